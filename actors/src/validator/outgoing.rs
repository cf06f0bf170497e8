//! What a validator sends to its peers, once whatever had to be durable before it is.

use super::Validator;
use crate::ports::names::ActorName;
use crate::validator::messages::Consensus;
use kithkin_protocol::consensus::{self, Ballot, Output};
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::units::Height;
use kithkin_protocol::wire::FRAME_BYTES_MAX;
use std::time::Instant;

/// Finalized blocks are read for one peer for a third of the time at most: each answer is followed by a pause of so many
/// times as long.
const PAUSE_PER_SERVICE: u32 = 2;

impl Validator {
    pub(super) fn send(&mut self, output: Output) {
        match output {
            Output::Broadcast(message) | Output::Send { message, .. }
                if self.sync.holds(&message) => {}
            Output::Broadcast(message) => {
                let mut to = self.peers();
                if let consensus::Message::Ballots(ballots) = &message {
                    self.put_next_master_first(&mut to, ballots);
                }
                if matches!(message, consensus::Message::GetCommitted { .. }) {
                    // Where the set has changed since, the operator may know somebody who has the blocks.
                    to.extend(self.guests());
                }
                self.port.tell_all::<Self, _>(to, &Consensus(message));
            }
            Output::Send { to, message } => {
                let to = ActorName::Validator(to.0);
                self.port.tell::<Self, _>(to, Consensus(message));
            }
            Output::SendCommitted { to, from, count } => self.send_committed(to, from, count),
            Output::Persist(_)
            | Output::Commit { .. }
            | Output::SetTimer { .. }
            | Output::Build { .. }
            | Output::Note(_)
            | Output::Accuse(_) => {}
        }
    }

    /// All wait for the next block, and so for whoever makes it to see that the present one is final. Among many
    /// receivers the order matters: the last one hears a vote when the first has long worked on it.
    fn put_next_master_first(&self, to: &mut [ActorName], ballots: &[Ballot]) {
        let next = self.next_master.filter(|(block, _)| {
            ballots
                .first()
                .is_some_and(|ballot| ballot.vote.id == *block)
        });
        let place = next.and_then(|(_, master)| {
            to.iter()
                .position(|peer| *peer == ActorName::Validator(master.0))
        });
        if let Some(front) = place.and_then(|place| to.get_mut(..=place)) {
            front.rotate_right(1);
        }
    }

    /// Whom everything is told that all should hear.
    pub(super) fn peers(&self) -> Vec<ActorName> {
        let members = self.ledger().standings().validators();
        let others = members.ids().filter(|id| *id != self.me);
        others.map(|id| ActorName::Validator(id.0)).collect()
    }

    fn send_committed(&mut self, to: ValidatorId, from: Height, count: u16) {
        let began = Instant::now();
        if self.served.get(&to).is_some_and(|until| began < *until) {
            return;
        }
        self.read_and_send(to, from, count);
        // Who executes what it was sent takes longer than this; who asks for nothing but to keep this node busy waits.
        let until = began + began.elapsed() * (1 + PAUSE_PER_SERVICE);
        self.served.insert(to, until);
    }

    fn read_and_send(&self, to: ValidatorId, from: Height, count: u16) {
        let to = ActorName::Validator(to.0);
        match self.store.blocks(from, usize::from(count), FRAME_BYTES_MAX) {
            Ok(blocks) if blocks.is_empty() => {
                let first = self.store.first_block();
                if from < first {
                    let message = consensus::Message::NoBlocks { from, first };
                    self.port.tell::<Self, _>(to, Consensus(message));
                }
            }
            Ok(blocks) => {
                let message = consensus::Message::Committed(blocks);
                self.port.tell::<Self, _>(to, Consensus(message));
            }
            Err(error) => {
                tracing::error!(validator = %self.me, %error, "cannot read blocks for a peer");
            }
        }
    }
}
