//! Delivers late: one thread with a heap of due deliveries, started by the first delayed message.
//!
//! A thread of its own, not a runtime: a sender may be on any thread, and a
//! cluster without delays pays nothing for it.

use core::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

type Delivery = Box<dyn FnOnce() + Send>;

struct Job {
    due: Instant,
    /// Keeps the order among jobs that are due at the same instant.
    number: u64,
    run: Delivery,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Job {}
impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Job {
    /// Reversed: the heap's greatest is the job that is due first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

/// The way to the thread. It ends when this is dropped and the last delivery is made.
#[derive(Default)]
pub(super) struct Courier(OnceLock<Option<Sender<(Instant, Delivery)>>>);

impl Courier {
    /// Runs `run` after `delay`, on the courier's thread.
    pub(super) fn post(&self, delay: Duration, run: impl FnOnce() + Send + 'static) {
        let due = Instant::now() + delay;
        match self.0.get_or_init(start) {
            // The thread ends only after this sender is gone, so sending cannot fail.
            Some(post) => drop(post.send((due, Box::new(run)))),
            None => run(),
        }
    }
}

fn start() -> Option<Sender<(Instant, Delivery)>> {
    let (post, arriving) = channel();
    let thread = thread::Builder::new().name("kithkin-courier".into());
    match thread.spawn(move || deliver(&arriving)) {
        Ok(_) => Some(post),
        Err(error) => {
            tracing::error!(%error, "no thread for delayed messages: they go without delay");
            None
        }
    }
}

fn deliver(arriving: &Receiver<(Instant, Delivery)>) {
    let mut jobs: BinaryHeap<Job> = BinaryHeap::new();
    let mut number = 0;
    let mut open = true;
    while open || !jobs.is_empty() {
        let now = Instant::now();
        while jobs.peek().is_some_and(|job| job.due <= now) {
            if let Some(job) = jobs.pop() {
                (job.run)();
            }
        }
        let next = jobs
            .peek()
            .map(|job| job.due.saturating_duration_since(Instant::now()));
        let arrived = match next {
            Some(wait) if open => arriving.recv_timeout(wait),
            Some(wait) => {
                thread::sleep(wait);
                Err(RecvTimeoutError::Timeout)
            }
            None => arriving.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match arrived {
            Ok((due, run)) => {
                number += 1;
                jobs.push(Job { due, number, run });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => open = false,
        }
    }
}
