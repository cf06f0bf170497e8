//! [`Cluster`] continued: what nodes want done, and what Byzantine ones do instead.

use super::Cluster;
use super::clock::Event;
use crate::consensus::{Finalized, Message, Note, Output, ViewReason, WalEntry};
use crate::testing::byzantine::Scene;
use crate::testing::disk::Record;
use crate::testing::trace::describe_output;
use crate::wire;
use std::sync::Arc;

impl Cluster {
    pub(super) fn execute(&mut self, place: usize, outputs: Vec<Output>) {
        for output in outputs {
            let node = &mut self.nodes[place];
            if node.crash_before == Some(node.executed) {
                node.crash_before = None;
                self.crash_place(place);
                let node = u16::try_from(place).unwrap();
                self.after(50, Event::Restart { node });
                return;
            }
            node.executed += 1;
            if self.setup.trace
                && let Some(what) = describe_output(&output)
            {
                self.tell(place, &what);
            }
            if self.nodes[place].is_honest() {
                let node = &self.nodes[place];
                self.invariants
                    .on_output(node.identity.id, &node.disk, &output);
            } else if self.twist(place, &output) {
                continue;
            }
            self.execute_one(place, output);
        }
        self.sync(place);
    }

    /// Lets a Byzantine node do something else instead.
    pub(super) fn twist(&mut self, place: usize, output: &Output) -> bool {
        let node = &mut self.nodes[place];
        let mut scene = Scene {
            me: &node.identity,
            chain: self.chain,
            peers: &self.peers[place],
            core: node.core.as_ref(),
            mind: &mut node.adversary,
            dice: &mut self.dice,
        };
        let Some(sendings) = node.behaviour.twist(&mut scene, output) else {
            return false;
        };
        for (to, message) in sendings {
            self.transmit(place, to, &Arc::new(message));
        }
        true
    }

    pub(super) fn overhear(&mut self, place: usize, message: &Message) {
        let node = &mut self.nodes[place];
        let mut scene = Scene {
            me: &node.identity,
            chain: self.chain,
            peers: &self.peers[place],
            core: node.core.as_ref(),
            mind: &mut node.adversary,
            dice: &mut self.dice,
        };
        for (to, message) in node.behaviour.hear(&mut scene, message) {
            self.transmit(place, to, &Arc::new(message));
        }
    }

    pub(super) fn execute_one(&mut self, place: usize, output: Output) {
        let life = self.nodes[place].life;
        let me = u16::try_from(place).unwrap();
        match output {
            Output::Persist(entry) => {
                let entry: WalEntry = if self.setup.through_wire {
                    wire::decode(&wire::encode(&entry)).unwrap()
                } else {
                    entry
                };
                self.append(place, Record::Wal(entry));
            }
            Output::Broadcast(message) => self.dispatch(place, None, Arc::new(message)),
            Output::Send { to, message } => self.dispatch(place, Some(to), Arc::new(message)),
            Output::SendCommitted { to, from, count } => {
                let finalized = self.nodes[place].disk.read(from, count);
                if !finalized.is_empty() {
                    self.dispatch(place, Some(to), Arc::new(Message::Committed(finalized)));
                }
            }
            Output::SetTimer { timer, after } => {
                let event = Event::Timer {
                    node: me,
                    life,
                    timer,
                };
                self.after(after.0, event);
            }
            Output::Build {
                height,
                view,
                time_ms,
                bytes_max,
            } => {
                let transactions = self.choose(place, time_ms, bytes_max);
                let event = Event::Built {
                    node: me,
                    life,
                    height,
                    view,
                    transactions,
                };
                self.after(1, event);
            }
            Output::Commit {
                block, certificate, ..
            } => {
                self.log.add(block.header.height.0);
                for transaction in &block.transactions {
                    let sequence = transaction.content.sequence.0;
                    self.nodes[place].mempool.remove(&sequence);
                }
                if self.amendments > 0 {
                    self.drop_dead_amendments(place);
                }
                self.append(
                    place,
                    Record::Commit(Box::new(Finalized { block, certificate })),
                );
                self.after(0, Event::Work { node: me });
            }
            Output::Note(Note::ViewChanged {
                reason: ViewReason::Nullified,
                ..
            }) => self.view_changes += 1,
            Output::Note(Note::Quarantined { vote_from, .. }) => {
                self.append(place, Record::VoteFrom(vote_from));
            }
            Output::Note(Note::CatchingUp { .. }) => self.catch_ups += 1,
            Output::Accuse(_) | Output::Note(_) => {}
        }
    }
}
