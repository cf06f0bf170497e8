//! The threads that actors live on: one arbiter for each core, each with a pulse.
//!
//! A thread counts as blocked when it shows no sign of life for the whole of
//! `stall_after`. Signs are the beats of its heart (a timer) and every turn that
//! it gives to an actor: a thread with so much to do that its timers run late
//! goes from actor to actor all the same, so what counts is one turn of one
//! actor that lasts for so long. The time is measured in the supervisor's own
//! ticks, and a tick that came late (the machine was busy, the process was
//! paused) counts for no more than two: a starved machine does not make anybody
//! look stalled.

use super::hook::Running;
use crate::ports::names::ActorName;
use crate::ports::network::code;
use actix::{Arbiter, ArbiterHandle};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long a blocked thread that woke up may still run, so that the instances on it see that they are fenced off.
const RETIRE_AFTER: Duration = Duration::from_secs(1);

/// What a thread shows of itself.
#[derive(Default)]
pub(super) struct Pulse {
    /// Signs of life so far.
    beats: AtomicU64,
    /// Whose code runs now ([`code`]), 0 for nobody's: who is to blame when the thread is blocked.
    running: AtomicU64,
    /// Its actors were moved away; it ends when it can.
    retired: AtomicBool,
}

impl Pulse {
    /// Marks the actor as running on this thread until the guard is dropped.
    pub(super) fn enter(&self, name: ActorName, incarnation: u64) -> Turn<'_> {
        self.beats.fetch_add(1, Ordering::Relaxed);
        self.running.store(code(name), Ordering::Relaxed);
        Turn {
            pulse: self,
            _running: Running::now(name, incarnation),
        }
    }

    /// Whether the code of `name` runs at this moment.
    pub(super) fn runs(&self, name: ActorName) -> bool {
        self.running.load(Ordering::Relaxed) == code(name)
    }
}

/// One actor's turn on a thread.
pub(super) struct Turn<'a> {
    pulse: &'a Pulse,
    _running: Running,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pulse.running.store(0, Ordering::Relaxed);
    }
}

/// One thread.
pub(super) struct Worker {
    handle: ArbiterHandle,
    pub(super) pulse: Arc<Pulse>,
    seen: u64,
    /// For how long it has given no sign of life.
    stuck: Duration,
}

impl Worker {
    fn start(beat_every: Duration) -> io::Result<Self> {
        let arbiter = Arbiter::try_new()?;
        let pulse = Arc::new(Pulse::default());
        let worker = Self {
            handle: arbiter.handle(),
            pulse: pulse.clone(),
            seen: 0,
            stuck: Duration::ZERO,
        };
        arbiter.spawn(beat(pulse, beat_every));
        Ok(worker)
    }

    /// Runs `task` on this thread; false when the thread is gone.
    pub(super) fn run(&self, task: impl FnOnce() + Send + 'static) -> bool {
        self.handle.spawn_fn(task)
    }
}

async fn beat(pulse: Arc<Pulse>, every: Duration) {
    while !pulse.retired.load(Ordering::Acquire) {
        pulse.beats.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(every).await;
    }
    tokio::time::sleep(RETIRE_AFTER).await;
    Arbiter::current().stop();
}

/// All threads. An actor keeps the number of its slot; a blocked thread is replaced in its slot.
pub(super) struct Workers {
    slots: Vec<Worker>,
    next: usize,
    beat_every: Duration,
}

impl Workers {
    pub(super) fn start(count: usize, beat_every: Duration) -> io::Result<Self> {
        let slots = (0..count.max(1)).map(|_| Worker::start(beat_every));
        Ok(Self {
            slots: slots.collect::<Result<_, _>>()?,
            next: 0,
            beat_every,
        })
    }

    /// The next slot, in turn.
    pub(super) fn next(&mut self) -> usize {
        let slot = self.next % self.slots.len();
        self.next = slot + 1;
        slot
    }

    /// The thread in a slot that [`Workers::next`] gave.
    pub(super) fn at(&self, slot: usize) -> Option<&Worker> {
        self.slots.get(slot)
    }

    /// Looks at all threads; `passed` is how much time counts since the last look. Answers the
    /// slots that gave no sign of life for `stall_after`.
    pub(super) fn look(&mut self, passed: Duration, stall_after: Duration) -> Vec<usize> {
        let mut blocked = Vec::new();
        for (slot, worker) in self.slots.iter_mut().enumerate() {
            let beats = worker.pulse.beats.load(Ordering::Relaxed);
            if beats == worker.seen {
                worker.stuck += passed;
            } else {
                worker.seen = beats;
                worker.stuck = Duration::ZERO;
            }
            if worker.stuck >= stall_after {
                blocked.push(slot);
            }
        }
        blocked
    }

    /// Puts a fresh thread into a slot. The old one ends when it wakes up.
    pub(super) fn replace(&mut self, slot: usize) -> io::Result<()> {
        let fresh = Worker::start(self.beat_every)?;
        if let Some(worker) = self.slots.get_mut(slot) {
            let old = core::mem::replace(worker, fresh);
            old.pulse.retired.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Ends all threads, each when it has finished what it runs now.
    pub(super) fn stop(&self) {
        for worker in &self.slots {
            worker.handle.stop();
        }
    }
}
