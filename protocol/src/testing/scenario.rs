//! One seed, one run: a cluster under a storm of drawn faults, then calm, every rule checked on the way.
//!
//! The same [`Scenario`] always gives the same [`Outcome`], whatever else the machine does: everything is drawn from
//! the seed, and time is virtual.

use crate::consensus::{Mutant, Timing};
use crate::crypto::{Remembered, Simulated, hash};
use crate::ids::ValidatorId;
use crate::ledger::{Profile, SharedTrees};
use crate::testing::byzantine::Behaviour;
use crate::testing::cluster::Cluster;
use crate::testing::dice::{Dice, mix};
use crate::testing::fault::{Fault, Faults};
use crate::testing::invariants::Violation;
use crate::testing::setup::{Network, Setup};
use crate::units::View;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use strikes::draw_network;

mod strikes;

/// Heights of a run, unless told otherwise.
pub const HEIGHTS: u64 = 20;
/// Of a hundred runs so many use real signatures and execute everything themselves.
const REAL_PERCENT: u64 = 1;
/// Of a hundred runs so many encode and decode every message and record.
const WIRE_PERCENT: u64 = 2;
/// In so many of a hundred runs every node asks for its own votes when it starts, not only those with old disks.
const RECALL_PERCENT: u64 = 30;
/// How long a height may take beyond the timeouts of the views that it may need, once the network is whole: delays,
/// repetitions, and clocks that stand apart by up to two seconds, twice.
const SLACK_MS: u64 = 5_000;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Number of validators.
    pub validators: u16,
    /// Draws everything.
    pub seed: u64,
    /// Heights that every honest node must come to.
    pub heights: u64,
    /// What may go wrong.
    pub faults: Faults,
    /// These kinds at f validators; with none, up to f validators of any kind.
    pub byzantine: Vec<Behaviour>,
    /// A bug planted in every node.
    pub mutant: Option<Mutant>,
    /// How masters are ordered; drawn when none is given.
    pub profile: Option<Profile>,
    /// Whether to draw the sequence diagram.
    pub trace: bool,
}

impl Scenario {
    /// Everything drawn from the seed.
    #[must_use]
    pub fn new(validators: u16, seed: u64) -> Self {
        Self {
            validators,
            seed,
            heights: HEIGHTS,
            faults: Faults::All,
            byzantine: Vec::new(),
            mutant: None,
            profile: None,
            trace: false,
        }
    }

    /// Eight hex digits that tell two configurations apart; the seed is no part of it.
    #[must_use]
    pub fn configuration(&self) -> String {
        let general = Self {
            seed: 0,
            trace: false,
            ..self.clone()
        };
        let digest = hash("kithkin/simulation/1", &[format!("{general:?}").as_bytes()]);
        digest.to_hex().chars().take(8).collect()
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule that was broken, if one was. A cluster that gets stuck breaks I19 or I20.
    pub violation: Option<Violation>,
    /// When, in virtual milliseconds since the start.
    pub at_ms: u64,
    /// Height that every honest node came to.
    pub heights: u64,
    /// Views that nodes entered because the one before was nullified.
    pub view_changes: u64,
    /// Messages sent.
    pub messages: u64,
    /// Events handled.
    pub events: u64,
    /// How often each kind of fault struck; a lasting one counts once.
    pub faults: BTreeMap<Fault, u64>,
    /// The kinds of Byzantine validators that took part.
    pub byzantine: BTreeSet<Behaviour>,
    /// Whether signatures were real.
    pub real: bool,
    /// Digest over everything that happened.
    pub log: [u8; 16],
    /// The sequence diagram, if it was asked for.
    pub diagram: Option<String>,
}

/// Runs one seed. A panic of the code under test is a violation too.
#[must_use]
pub fn simulate(scenario: &Scenario) -> Outcome {
    let real = mix(scenario.seed ^ 0x7265_616c) % 100 < REAL_PERCENT;
    let _signatures = (!real).then(Simulated::enter);
    let _trees = (!real).then(SharedTrees::enter);
    let _verdicts = real.then(Remembered::enter);
    let run = catch_unwind(AssertUnwindSafe(|| Run::new(scenario, real).go()));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let what = text
            .or(panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic")
            .to_owned();
        Outcome {
            violation: Some(Violation {
                rule: "panic",
                what,
            }),
            at_ms: 0,
            heights: 0,
            view_changes: 0,
            messages: 0,
            events: 0,
            faults: BTreeMap::new(),
            byzantine: BTreeSet::new(),
            real,
            log: [0; 16],
            diagram: None,
        }
    })
}

struct Run<'a> {
    scenario: &'a Scenario,
    /// Validators, and those who may be admitted.
    n: u16,
    dice: Dice,
    cluster: Cluster,
    kinds: Vec<Fault>,
    /// Who is set back to old copies of its disk: with the others that may be faulty not more than f.
    forgetful: Vec<u16>,
    /// All that may be faulty, in one way or another.
    faulty: BTreeSet<ValidatorId>,
    /// How many clocks may go wrong beyond a second: with the Byzantine ones not more than f.
    bad_clocks: u16,
    faults: BTreeMap<Fault, u64>,
    byzantine: BTreeSet<Behaviour>,
    real: bool,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, real: bool) -> Self {
        let n = scenario.validators;
        let mut dice = Dice::new(scenario.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ u64::from(n));
        let mut faults = BTreeMap::new();
        let mut kinds = scenario.faults.kinds().to_vec();
        let f = n.saturating_sub(1) / 3;
        if f == 0 || !scenario.byzantine.is_empty() {
            // Nobody else may be faulty.
            kinds.retain(|kind| *kind != Fault::OldCopy);
        }
        let wanted = if scenario.faults == Faults::All {
            dice.between(3, 6)
        } else {
            kinds.len() as u64
        };
        while kinds.len() as u64 > wanted {
            kinds.remove(dice.below(kinds.len() as u64) as usize);
        }
        let mut setup = Setup::new(n, dice.next());
        setup.trace = scenario.trace;
        setup.mutant = scenario.mutant;
        setup.replay_chain = real;
        setup.through_wire = dice.percent(WIRE_PERCENT);
        let drawn =
            [Profile::Literal, Profile::Balanced, Profile::Hardened][dice.below(3) as usize];
        setup.profile = scenario.profile.unwrap_or(drawn);
        let reserved = u16::from(kinds.contains(&Fault::OldCopy));
        let liars = match (scenario.faults, scenario.byzantine.is_empty()) {
            (_, false) => f,
            (Faults::All, true) => dice.node(f + 1 - reserved),
            (Faults::Network | Faults::Crashes | Faults::None, true) => 0,
        };
        while (setup.byzantine.len() as u64) < u64::from(liars) {
            let kinds = if scenario.byzantine.is_empty() {
                &Behaviour::ALL[..]
            } else {
                &scenario.byzantine
            };
            let kind = kinds[dice.below(kinds.len() as u64) as usize];
            setup.byzantine.insert(dice.node(n), kind);
        }
        if liars > 0 {
            faults.insert(Fault::Byzantine, u64::from(liars));
        }
        let mut forgetful = Vec::new();
        if reserved > 0 {
            let count = 1 + dice.node(f - liars);
            while forgetful.len() < usize::from(count) {
                let node = dice.node(n);
                if !setup.byzantine.contains_key(&node) && !forgetful.contains(&node) {
                    forgetful.push(node);
                }
            }
        }
        if kinds.contains(&Fault::SetChange) {
            setup.newcomers = 1 + dice.node(2);
        }
        setup.recall = dice.percent(RECALL_PERCENT);
        setup.network = draw_network(&kinds, &mut dice);
        setup.sync_ms_max = dice.below(3);
        for kind in &kinds {
            if matches!(
                kind,
                Fault::Loss | Fault::Duplicates | Fault::Reordering | Fault::Spikes
            ) {
                faults.insert(*kind, 1);
            }
        }
        let bad_clocks = f - liars - u16::try_from(forgetful.len()).unwrap_or(f);
        let faulty = setup.byzantine.keys().chain(&forgetful).copied();
        let faulty = faulty.chain(0..bad_clocks).map(ValidatorId).collect();
        Self {
            scenario,
            n: n + setup.newcomers,
            faulty,
            byzantine: setup.byzantine.values().copied().collect(),
            cluster: Cluster::new(setup),
            dice,
            kinds,
            bad_clocks,
            forgetful,
            faults,
            real,
        }
    }

    fn go(mut self) -> Outcome {
        self.storm();
        if self.cluster.invariants.violation().is_none() {
            self.calm();
        }
        if self.cluster.invariants.violation().is_none() {
            self.cluster.invariants.check_finalized_were_notarized();
        }
        let cluster = &self.cluster;
        let honest = cluster.honest();
        Outcome {
            violation: cluster.invariants.violation().cloned(),
            at_ms: cluster.elapsed_ms(),
            heights: honest
                .iter()
                .map(|&node| cluster.height(node))
                .min()
                .unwrap_or(0),
            view_changes: cluster.view_changes,
            messages: cluster.messages,
            events: cluster.events(),
            faults: self.faults,
            byzantine: self.byzantine,
            real: self.real,
            log: cluster.log(),
            diagram: self.scenario.trace.then(|| cluster.diagram()),
        }
    }

    /// Something new goes wrong for each height that the storm is to see.
    fn storm(&mut self) {
        let striking: Vec<Fault> = self
            .kinds
            .iter()
            .copied()
            .filter(|kind| {
                matches!(
                    kind,
                    Fault::Partition
                        | Fault::OneWay
                        | Fault::Crash
                        | Fault::OldCopy
                        | Fault::SetChange
                        | Fault::Clock
                        | Fault::SlowDisk
                )
            })
            .collect();
        let steps = self.scenario.heights * 6 / 10;
        for step in 0..steps {
            self.cluster.submit();
            self.copy_disks(step);
            if !striking.is_empty() {
                let turn = usize::try_from(step).unwrap();
                let drawn = self.dice.below(striking.len() as u64) as usize;
                // Each kind once, then as it comes.
                let kind = striking.get(turn).copied().unwrap_or(striking[drawn]);
                self.strike(kind);
            }
            if self.dice.percent(30) {
                self.cluster.shuffle_twins();
            }
            let pause = self.dice.between(20, 900);
            let goal = self.cluster_height() + 1;
            self.cluster.advance(pause, |cluster| cluster.all_at(goal));
            if self.cluster.invariants.violation().is_some() {
                return;
            }
        }
    }

    fn cluster_height(&self) -> u64 {
        (0..self.n)
            .map(|node| self.cluster.height(node))
            .max()
            .unwrap_or(0)
    }

    /// No cuts, no losses, everybody up, clocks at most a second apart, and work: every height must come in time.
    fn calm(&mut self) {
        let cluster = &mut self.cluster;
        cluster.heal();
        cluster.spare();
        cluster.network = Network::default();
        for node in 0..self.n {
            let jump = i64::try_from(self.dice.below(1_801)).unwrap_or(0);
            cluster.set_clock(node, jump - 900);
        }
        for place in 0..cluster.places() {
            cluster.set_sync(place, 1);
            if cluster.core(place).is_none() && cluster.has_joined(place) {
                cluster.restart(place);
            }
        }
        let highest = self.cluster_height();
        let target = self.scenario.heights.max(highest + 4);
        let timing = Timing::default();
        for goal in highest + 1..=target {
            while self.cluster.height_of_work() < target + 2 {
                self.cluster.submit();
            }
            if goal == highest + 1 {
                self.cluster.resubmit();
            }
            let standings = self.cluster.agreed().standings();
            let (now, soon) = (standings.validators(), standings.newest_validators());
            let f = now.f().max(soon.f()) as u64;
            // I19: the sum of the next f + 1 timeouts, from the view on in which the farthest node is.
            let view = self.cluster.highest_view(goal);
            let timeouts = (0..=f + 1)
                .map(|more| timing.timeout(View(view + more)).0)
                .sum::<u64>();
            if !self
                .cluster
                .advance(timeouts + SLACK_MS, |cluster| cluster.all_at(goal))
            {
                let somebody = self.cluster_height() >= goal;
                let rule = if somebody { "I20" } else { "I19" };
                let what = format!(
                    "height {goal} is not reached in {timeouts} + {SLACK_MS} ms: {}",
                    self.cluster.standing()
                );
                self.cluster.invariants.fail(rule, || what);
                return;
            }
        }
    }
}
