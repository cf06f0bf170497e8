//! Seeds over threads: each seed runs on one thread, and what comes of it doesn't depend on which.

use kithkin_protocol::crypto::hash;
use kithkin_protocol::testing::{Fault, Outcome, Scenario, Violation, simulate};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// All seeds of one cluster size together.
#[derive(Debug, Default)]
pub(super) struct Total {
    pub(super) seeds: u64,
    pub(super) heights: u64,
    pub(super) events: u64,
    pub(super) view_changes: u64,
    pub(super) real: u64,
    /// How many seeds had this kind of fault.
    pub(super) faults: BTreeMap<Fault, u64>,
    /// Fewest kinds of fault in one seed.
    pub(super) kinds_min: Option<usize>,
    /// By seed.
    pub(super) violations: BTreeMap<u64, Violation>,
    logs: BTreeMap<u64, [u8; 16]>,
}

impl Total {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        self.heights += outcome.heights;
        self.events += outcome.events;
        self.view_changes += outcome.view_changes;
        self.real += u64::from(outcome.real);
        let kinds = outcome.faults.len();
        self.kinds_min = Some(self.kinds_min.map_or(kinds, |least| least.min(kinds)));
        for kind in outcome.faults.into_keys() {
            *self.faults.entry(kind).or_default() += 1;
        }
        self.logs.insert(seed, outcome.log);
        if let Some(violation) = outcome.violation {
            self.violations.insert(seed, violation);
        }
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.heights += other.heights;
        self.events += other.events;
        self.view_changes += other.view_changes;
        self.real += other.real;
        self.kinds_min = match (self.kinds_min, other.kinds_min) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.violations.extend(other.violations);
        self.logs.extend(other.logs);
    }

    /// Digest over the event logs of all seeds, in the order of seeds: the same for any number of threads.
    pub(super) fn digest(&self) -> String {
        let logs: Vec<&[u8]> = self.logs.values().map(<[u8; 16]>::as_slice).collect();
        hash("kithkin/simulations/1", &logs)
            .to_hex()
            .chars()
            .take(16)
            .collect()
    }

    /// How many seeds ended with a cluster that got stuck, among the violations.
    pub(super) fn stuck(&self) -> usize {
        let rules = self.violations.values().map(|violation| violation.rule);
        rules.filter(|rule| matches!(*rule, "I19" | "I20")).count()
    }
}

/// Runs `count` seeds from that of `scenario` on; with `until_caught` no more after a violation.
pub(super) fn run(
    scenario: &Scenario,
    count: u64,
    jobs: usize,
    until_caught: bool,
    progress: &(dyn Fn() + Sync),
) -> Total {
    let (next, caught) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let mut total = Total::default();
        while !(until_caught && caught.load(Ordering::Relaxed)) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let seed = scenario.seed.wrapping_add(number);
            let outcome = simulate(&Scenario {
                seed,
                ..scenario.clone()
            });
            if outcome.violation.is_some() {
                caught.store(true, Ordering::Relaxed);
            }
            total.add(seed, outcome);
            progress();
        }
        total
    };
    let mut total = Total::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            // A panic of the code under test is caught inside; one of the simulator's own is passed on.
            match thread.join() {
                Ok(part) => total.merge(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    total
}
