//! Proposals between processes: outlined, put together from the mempool, completed by the master.
//!
//! Whatever is lost on the way is said again: a master repeats its proposal while its view lasts.

use crate::ports::names::ActorName;
use crate::ports::network::Delivered;
use crate::validator::actor::Validator;
use crate::validator::messages::{Lacking, Outlined, Supplied};
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
    /// Who was supplied last with what.
    supplied: BTreeMap<ValidatorId, (BlockId, Millis)>,
}

impl Outlines {
    /// Keeps a block whose outline leaves.
    pub(super) fn propose(&mut self, block: &Arc<Block>) {
        self.proposed.retain(|known| known.id() != block.id());
        self.proposed.push(Arc::clone(block));
        if self.proposed.len() > PROPOSED_KEPT {
            self.proposed.remove(0);
        }
    }

    /// The answer to a question, if there is one.
    fn supply(&mut self, to: ValidatorId, lacking: &Lacking, now: Millis) -> Option<Supplied> {
        let known = self
            .proposed
            .iter()
            .find(|known| known.id() == lacking.block);
        let block = known?;
        let last = self.supplied.get(&to);
        let early = last.is_some_and(|(id, at)| {
            *id == lacking.block && now.0.saturating_sub(at.0) < SUPPLY_EVERY_MS
        });
        if early || lacking.places.len() > block.transactions.len() {
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
        self.supplied.insert(to, (lacking.block, now));
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
        // Of a height that is over the core reads the header alone; of one that is far away, nothing.
        let behind = outline.height < self.core.height();
        let filling = Filling::new(outline, |id| self.pool.get(id).cloned());
        let filling = match filling {
            Ok(filling) => filling,
            Err(error) => {
                tracing::warn!(validator = %self.me, peer = %from, %error, "a peer misbehaved");
                return;
            }
        };
        let (height, view) = filling.place();
        if behind {
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
        let answer = self
            .outlines
            .supply(ValidatorId(from), &delivered.message, now);
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
            tracing::warn!(validator = %self.me, peer = %from, %error, "a peer misbehaved");
            return;
        }
        if let Ok(proposal) = filling.finish() {
            self.take(from, proposal, ctx);
        }
    }
}
