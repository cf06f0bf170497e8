//! A whole chart: kin and hospital at the same time, on as many threads as there are cores.
//!
//! Kin have machines of their own; here they share one. The hospital checks the capsules while the kin work, then
//! judges all partial openings at once, and combines and opens on one thread.

use super::figures::{Spent, cores, timed};
use super::scene::{Scene, rng};
use super::work::{Steps, combined, judge, plaintexts, prepare, release};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What is done at the same time: kin with the hospital's own check; judging; combination and records.
pub(crate) const PHASES: [&str; 3] = [
    "releasing, and the hospital's check",
    "judging",
    "combining and opening",
];

/// One opening of a chart.
pub(crate) struct Run {
    /// By the clock.
    pub(crate) clock: [Duration; PHASES.len()],
    /// By the clock, had the cores had nothing else to do: the jobs' time on the processor, dealt to the cores.
    pub(crate) free: [Duration; PHASES.len()],
    /// Time in each step, over all threads.
    pub(crate) steps: Steps,
}

/// `jobs` of them on all cores, each by its number; results in order, and how long the whole took.
fn at_once<T: Send>(jobs: usize, work: impl Fn(usize) -> T + Sync) -> (Vec<T>, Duration) {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(jobs)));
    let worker = || {
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            if job >= jobs {
                break;
            }
            let result = work(job);
            done.lock().expect("no panic").push((job, result));
        }
    };
    let ((), spent) = timed(|| {
        std::thread::scope(|scope| {
            for _ in 0..cores() {
                scope.spawn(worker);
            }
        });
    });
    let mut done = done.into_inner().expect("no panic");
    done.sort_by_key(|(job, _)| *job);
    let results = done.into_iter().map(|(_, result)| result).collect();
    (results, spent.clock)
}

/// When the last of the cores is ready that take one job after the other.
fn on_free_cores(jobs: &[Spent]) -> Duration {
    let mut busy = vec![Duration::ZERO; cores()];
    for job in jobs {
        if let Some(first) = busy.iter_mut().min() {
            *first += job.cpu;
        }
    }
    busy.into_iter().max().unwrap_or_default()
}

/// Opens everything once; all kin release, and all that they sent is judged.
pub(crate) fn open_chart(scene: &Scene, run: u64) -> Run {
    let mut all = Steps::default();
    // The first job is the hospital's.
    let (released, releasing) = at_once(scene.kin.len() + 1, |job| {
        let mut steps = Steps::default();
        let Some(position) = job.checked_sub(1) else {
            let prepared = prepare(scene, &mut steps);
            return (steps, Some(prepared), None);
        };
        let mut rng = rng(run * 1_000 + job as u64);
        let sealed = release(scene, &scene.kin[position], &mut rng, &mut steps);
        (steps, None, Some(sealed))
    });
    let (mut ready, mut sealed, mut jobs) = (None, Vec::new(), Vec::new());
    for (steps, hospital, kin) in released {
        jobs.push(steps.total());
        all.merge(&steps);
        ready = ready.or(hospital);
        sealed.extend(kin);
    }
    let releasing_free = on_free_cores(&jobs);
    let (capsules, opening) = ready.expect("the hospital's job");
    let (judged, judging) = at_once(sealed.len(), |job| {
        let mut steps = Steps::default();
        let partial = judge(scene, &opening, &scene.kin[job], &sealed[job], &mut steps);
        (steps, partial)
    });
    let (mut partials, mut jobs) = (Vec::new(), Vec::new());
    for (steps, partial) in judged {
        jobs.push(steps.total());
        all.merge(&steps);
        partials.push(partial);
    }
    let judging_free = on_free_cores(&jobs);
    partials.truncate(scene.commitments.threshold());
    let mut last = Steps::default();
    let keys = combined(scene, &opening, &partials, &mut last);
    plaintexts(scene, &keys, &capsules, &mut last);
    all.merge(&last);
    Run {
        clock: [releasing, judging, last.total().clock],
        free: [releasing_free, judging_free, last.total().cpu],
        steps: all,
    }
}
