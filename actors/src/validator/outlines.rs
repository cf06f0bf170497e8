//! Proposals between processes: outlined, put together from the mempool, completed by the master.
//!
//! Whatever is lost on the way is said again: a master repeats its proposal while its view lasts.

use crate::ports::names::ActorName;
use crate::ports::network::Delivered;
use crate::validator::actor::Validator;
use crate::validator::messages::{Lacking, Outlined, Supplied};
use crate::validator::portion::Portion;
use actix::{Context, Handler};
use kithkin_protocol::consensus::{Filling, Input, Message, OUTLINED_MAX, Proposal};
use kithkin_protocol::ids::{BlockId, ValidatorId};
use kithkin_protocol::ledger::Block;
use kithkin_protocol::units::Millis;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many of the blocks that this validator has proposed are kept for questions.
const PROPOSED_KEPT: usize = 2;
/// A peer is supplied with transactions of one block once in so many milliseconds.
const SUPPLY_EVERY_MS: u64 = 50;

/// What is under way.
#[derive(Default)]
pub(super) struct Outlines {
    /// Blocks that this validator has proposed, latest last.
    proposed: Vec<Arc<Block>>,
    /// The proposal of each peer that lacks transactions. As a rule there is one, of the master.
    filling: BTreeMap<ValidatorId, Filling>,
    /// When whoever was supplied last with transactions of which of these blocks.
    supplied: BTreeMap<(BlockId, ValidatorId), Millis>,
    /// How large the next own block may be.
    pub(super) portion: Portion,
}

impl Outlines {
    /// Keeps a block whose outline leaves.
    pub(super) fn propose(&mut self, block: &Arc<Block>) {
        self.proposed.retain(|known| known.id() != block.id());
        self.proposed.push(Arc::clone(block));
        if self.proposed.len() > PROPOSED_KEPT {
            let gone = self.proposed.remove(0).id();
            self.supplied.retain(|(block, _), _| *block != gone);
        }
    }

    /// The answer to a question, if there is one.
    fn supply(
        &mut self,
        to: ValidatorId,
        lacking: &Lacking,
        now: Millis,
        f: usize,
    ) -> Option<Supplied> {
        let known = self
            .proposed
            .iter()
            .find(|known| known.id() == lacking.block);
        let block = known?;
        let last = self.supplied.get(&(lacking.block, to));
        // After a clock was set back nobody waits for it.
        let early = last.is_some_and(|at| now.0.abs_diff(at.0) < SUPPLY_EVERY_MS);
        // Each place once: the answer is never larger than the block.
        let ascends = lacking.places.is_sorted_by(|a, b| a < b);
        if early || !ascends {
            return None;
        }
        let transaction = |place: &u32| {
            let place = usize::try_from(*place).ok()?;
            block.transactions.get(place).cloned()
        };
        let transactions = lacking
            .places
            .iter()
            .map(transaction)
            .collect::<Option<_>>()?;
        let about = (block.id(), block.encoded_len(), block.transactions.len());
        self.portion.on_question(about, to, lacking.places.len(), f);
        self.supplied.insert((lacking.block, to), now);
        Some(Supplied {
            block: lacking.block,
            transactions,
        })
    }
}

impl Validator {
    fn take(&mut self, from: ValidatorId, proposal: Proposal, ctx: &mut Context<Self>) {
        let message = Message::Proposal(Box::new(proposal));
        self.step(Input::Message { from, message }, ctx);
    }
}

impl Handler<Delivered<Outlined>> for Validator {
    type Result = ();

    fn handle(&mut self, delivered: Delivered<Outlined>, ctx: &mut Self::Context) {
        let ActorName::Validator(from) = delivered.from else {
            return;
        };
        let from = ValidatorId(from);
        let outline = delivered.message.0;
        // Of a height that is over the core reads the header alone; of one that is far away, not even that.
        let here = self.core.height();
        let useless = outline.height < here || outline.height > here.plus(1);
        let filling = Filling::new(outline, |id| self.pool.get(id).cloned());
        let filling = match filling {
            Ok(filling) => filling,
            Err(error) => {
                tracing::warn!(validator = %self.me, peer = %from, %error, "a peer misbehaved");
                return;
            }
        };
        let (height, view) = filling.place();
        if useless {
            return self.take(from, filling.into_header(), ctx);
        }
        match filling.finish() {
            Ok(proposal) => {
                self.outlines.filling.remove(&from);
                self.take(from, proposal, ctx);
            }
            Err(filling) => {
                let lacking = Lacking {
                    block: filling.id(),
                    places: filling.lacking(),
                };
                tracing::debug!(
                    validator = %self.me, peer = %from, %height, %view, count = lacking.places.len(),
                    "an outlined proposal lacks transactions"
                );
                self.outlines.filling.insert(from, *filling);
                self.port
                    .tell::<Self, _>(ActorName::Validator(from.0), lacking);
            }
        }
    }
}

impl Handler<Delivered<Lacking>> for Validator {
    type Result = ();

    fn handle(&mut self, delivered: Delivered<Lacking>, _: &mut Self::Context) {
        let ActorName::Validator(from) = delivered.from else {
            return;
        };
        if delivered.message.places.len() > OUTLINED_MAX {
            return;
        }
        let now = self.now();
        let f = self.ledger().standings().validators().f();
        let answer = self
            .outlines
            .supply(ValidatorId(from), &delivered.message, now, f);
        if let Some(supplied) = answer {
            self.port
                .tell::<Self, _>(ActorName::Validator(from), supplied);
        }
    }
}

impl Handler<Delivered<Supplied>> for Validator {
    type Result = ();

    fn handle(&mut self, delivered: Delivered<Supplied>, ctx: &mut Self::Context) {
        let ActorName::Validator(from) = delivered.from else {
            return;
        };
        let from = ValidatorId(from);
        let Supplied {
            block,
            transactions,
        } = delivered.message;
        let Some(mut filling) = self.outlines.filling.remove(&from) else {
            return;
        };
        if filling.id() != block {
            // The answer to an earlier question.
            self.outlines.filling.insert(from, filling);
            return;
        }
        if let Err(error) = filling.supply(transactions) {
            // The answer to an earlier question, before the mempool had got some of them: the other one is on its way.
            tracing::debug!(validator = %self.me, peer = %from, %error, "not what an outlined proposal lacks");
            self.outlines.filling.insert(from, filling);
            return;
        }
        if let Ok(proposal) = filling.finish() {
            self.take(from, proposal, ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kithkin_protocol::crypto::Digest;
    use kithkin_protocol::crypto::vrf::VrfProof;
    use kithkin_protocol::ids::ChainId;
    use kithkin_protocol::ledger::{Header, SignedTransaction};
    use kithkin_protocol::units::{Height, Sequence, View};

    /// A block that nobody checks, of `count` transactions.
    fn block(view: u64, count: u64) -> Arc<Block> {
        let chain = ChainId([1; 32]);
        let make = |n| {
            SignedTransaction::unsigned(chain, Sequence(n), Millis(9), view.to_be_bytes().to_vec())
        };
        let transactions: Vec<_> = (0..count).map(make).collect();
        let header = Header {
            chain,
            height: Height(1),
            parent_id: BlockId::NONE,
            parent_state_root: Digest([0; 32]),
            author: ValidatorId(0),
            view: View(view),
            time_ms: Millis(2),
            tx_root: Block::tx_root(&transactions),
            parent_cert: None,
            late_votes: Vec::new(),
            evidence: Vec::new(),
            vrf_proof: VrfProof([0; 80]),
        };
        Arc::new(Block::new(header, transactions))
    }

    fn lacking(block: &Block, places: &[u32]) -> Lacking {
        Lacking {
            block: block.id(),
            places: places.to_vec(),
        }
    }

    const PEER: ValidatorId = ValidatorId(1);
    const OTHER: ValidatorId = ValidatorId(2);

    #[test]
    fn what_a_peer_lacks_is_supplied_in_the_order_of_its_question() {
        let (mut outlines, block) = (Outlines::default(), block(1, 5));
        let question = lacking(&block, &[1, 4]);
        assert_eq!(outlines.supply(PEER, &question, Millis(0), 1), None);
        outlines.propose(&block);
        let answer = outlines.supply(PEER, &question, Millis(0), 1);
        let theirs = [1, 4].map(|place: usize| block.transactions[place].clone());
        let expected = Supplied {
            block: block.id(),
            transactions: theirs.to_vec(),
        };
        assert_eq!(answer, Some(expected));
    }

    /// Or a question of a few bytes a place could ask for one large transaction thousands of times.
    #[test]
    fn a_question_names_each_place_once_and_in_order() {
        let (mut outlines, block) = (Outlines::default(), block(1, 3));
        outlines.propose(&block);
        for places in [&[2, 2, 2][..], &[0, 0], &[1, 0], &[3], &[0, u32::MAX]] {
            let question = lacking(&block, places);
            assert_eq!(outlines.supply(PEER, &question, Millis(0), 1), None);
        }
        // What was refused is no answer: the next question need not wait.
        let question = lacking(&block, &[0, 1, 2]);
        assert!(outlines.supply(PEER, &question, Millis(0), 1).is_some());
    }

    #[test]
    fn a_peer_is_supplied_with_the_same_block_once_in_a_while() {
        let (mut outlines, first, second) = (Outlines::default(), block(1, 3), block(2, 3));
        outlines.propose(&first);
        outlines.propose(&second);
        let start = Millis(1_000);
        let mut answers = |to, block: &Block, after: u64| {
            let question = lacking(block, &[0]);
            let answer = outlines.supply(to, &question, start.plus(after), 1);
            answer.is_some()
        };
        assert!(answers(PEER, &first, 0));
        assert!(!answers(PEER, &first, SUPPLY_EVERY_MS - 1));
        assert!(answers(OTHER, &first, 1));
        // Asking for another one between does not start the time anew.
        assert!(answers(PEER, &second, 2));
        assert!(!answers(PEER, &first, 3));
        assert!(!answers(PEER, &second, 4));
        assert!(answers(PEER, &first, SUPPLY_EVERY_MS));
        assert!(!answers(PEER, &first, 2 * SUPPLY_EVERY_MS - 1));
        assert!(answers(PEER, &first, 2 * SUPPLY_EVERY_MS));
        // A clock that was set back makes nobody wait.
        let question = lacking(&first, &[0]);
        assert!(outlines.supply(PEER, &question, Millis(5), 1).is_some());
    }

    #[test]
    fn the_last_blocks_are_kept_and_no_more() {
        let mut outlines = Outlines::default();
        let blocks: Vec<_> = (1..=4).map(|view| block(view, 2)).collect();
        for block in &blocks {
            outlines.propose(block);
            assert!(
                outlines
                    .supply(PEER, &lacking(block, &[0]), Millis(0), 1)
                    .is_some()
            );
        }
        let later = Millis(SUPPLY_EVERY_MS);
        let kept = blocks
            .iter()
            .filter(|block| {
                outlines
                    .supply(PEER, &lacking(block, &[1]), later, 1)
                    .is_some()
            })
            .count();
        assert_eq!(kept, PROPOSED_KEPT);
        assert_eq!(outlines.supplied.len(), PROPOSED_KEPT);
        // One that is proposed again becomes the latest.
        outlines.propose(&blocks[2]);
        outlines.propose(&blocks[0]);
        let question = lacking(&blocks[2], &[0]);
        assert!(outlines.supply(OTHER, &question, later, 1).is_some());
        let question = lacking(&blocks[3], &[0]);
        assert_eq!(outlines.supply(OTHER, &question, later, 1), None);
    }
}
