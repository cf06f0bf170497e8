//! [`Cluster`] continued: what is due when, and what happens then.

use super::Cluster;
use crate::consensus::{Input, Message, Timer};
use crate::ids::ValidatorId;
use crate::ledger::SignedTransaction;
use crate::testing::trace::describe;
use crate::units::{Height, Millis, View};
use std::cmp::Ordering;
use std::sync::Arc;

#[derive(Debug)]
pub(super) enum Event {
    Deliver {
        from: ValidatorId,
        to: u16,
        message: Arc<Message>,
        fingerprint: u64,
    },
    Timer {
        node: u16,
        life: u64,
        timer: Timer,
    },
    Built {
        node: u16,
        life: u64,
        height: Height,
        view: View,
        transactions: Vec<SignedTransaction>,
    },
    Work {
        node: u16,
    },
    Synced {
        node: u16,
        life: u64,
    },
    Restart {
        node: u16,
    },
}

/// An event and its moment; the earliest comes first, of those at one moment the first that was made.
pub(super) struct Due {
    pub(super) at: u64,
    pub(super) serial: u64,
    pub(super) event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

impl Cluster {
    /// Runs until `done`, a violation, or the time is over; whether `done` was reached.
    pub(in crate::testing) fn advance(
        &mut self,
        limit_ms: u64,
        done: impl Fn(&Self) -> bool,
    ) -> bool {
        let deadline = self.now_ms + limit_ms;
        while !done(self) {
            if self.invariants.violation().is_some() {
                return false;
            }
            match self.queue.peek() {
                Some(due) if due.at <= deadline => {}
                _ => {
                    self.now_ms = deadline;
                    return false;
                }
            }
            let due = self.queue.pop().unwrap();
            self.now_ms = due.at;
            self.events += 1;
            self.handle(due.event);
        }
        true
    }

    /// Runs until `done`, at most for `limit_ms`; whether `done` was reached.
    ///
    /// # Panics
    /// With the seed, on a violation.
    pub fn run_until(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let reached = self.advance(limit_ms, done);
        if let Some(violation) = self.invariants.violation() {
            panic!("seed {}: {violation}", self.setup.seed);
        }
        reached
    }

    /// Runs for this long.
    pub fn run_for(&mut self, ms: u64) {
        self.run_until(ms, |_| false);
    }

    /// Runs until every honest node has finalized `height`.
    ///
    /// # Panics
    /// With the seed, when that takes longer than `limit_ms`.
    pub fn run_to(&mut self, height: u64, limit_ms: u64) {
        if !self.run_until(limit_ms, |cluster| cluster.all_at(height)) {
            panic!(
                "seed {}: {} instead of {height}",
                self.setup.seed,
                self.standing()
            );
        }
    }

    pub(super) fn clock(&self, place: usize) -> Millis {
        Millis(
            self.now_ms
                .saturating_add_signed(self.nodes[place].clock_ahead_ms),
        )
    }

    pub(super) fn after(&mut self, delay_ms: u64, event: Event) {
        self.serial += 1;
        self.queue.push(Due {
            at: self.now_ms + delay_ms,
            serial: self.serial,
            event,
        });
    }

    pub(super) fn handle(&mut self, event: Event) {
        let (place, input) = match event {
            Event::Deliver {
                from,
                to,
                message,
                fingerprint,
            } => {
                let place = usize::from(to);
                self.log
                    .add(self.now_ms << 20 | u64::from(from.0) << 10 | u64::from(to));
                self.log.add(fingerprint);
                if self.nodes[place].core.is_none() {
                    return;
                }
                if self.setup.trace {
                    let (ms, nodes) = (self.elapsed_ms(), self.nodes.len());
                    self.trace
                        .arrow(ms, usize::from(from.0), place, nodes, &describe(&message));
                }
                if !self.nodes[place].is_honest() {
                    self.overhear(place, &message);
                }
                let message = Arc::unwrap_or_clone(message);
                (place, Input::Message { from, message })
            }
            Event::Timer { node, life, timer } => {
                let place = usize::from(node);
                if self.nodes[place].life != life {
                    return;
                }
                self.log.add(self.now_ms << 20 | u64::from(node));
                self.log.add(timer.serial);
                (place, Input::TimerFired(timer))
            }
            Event::Built {
                node,
                life,
                height,
                view,
                transactions,
            } => {
                let place = usize::from(node);
                if self.nodes[place].life != life {
                    return;
                }
                let input = Input::Built {
                    height,
                    view,
                    transactions,
                };
                (place, input)
            }
            Event::Work { node } => {
                let place = usize::from(node);
                let work = !self.nodes[place].mempool.is_empty();
                if work {
                    self.tell(place, "has work");
                }
                (place, Input::Work(work))
            }
            Event::Synced { node, life } => {
                if self.nodes[usize::from(node)].life == life {
                    self.on_synced(usize::from(node));
                }
                return;
            }
            Event::Restart { node } => {
                let place = usize::from(node);
                if self.nodes[place].core.is_none() {
                    self.start(place);
                }
                return;
            }
        };
        let now = self.clock(place);
        let Some(core) = &mut self.nodes[place].core else {
            return;
        };
        let outputs = core.step(now, input);
        self.execute(place, outputs);
        let node = &self.nodes[place];
        // A crash in the middle of the outputs leaves nothing to look at.
        if let Some(core) = node.core.as_ref().filter(|_| node.is_honest()) {
            self.invariants.on_state(node.identity.id, core.ledger());
            if self.events.is_multiple_of(256) {
                for (what, size, most) in core.census() {
                    if size > most {
                        let me = node.identity.id;
                        self.invariants.fail("I22", || {
                            format!("{me} holds {size} {what}, more than {most}")
                        });
                    }
                }
            }
        }
    }

    pub(super) fn tell(&mut self, place: usize, what: &str) {
        if self.setup.trace {
            let (ms, nodes) = (self.elapsed_ms(), self.nodes.len());
            self.trace.at(ms, place, nodes, what);
        }
    }
}
