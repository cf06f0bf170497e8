//! Choosing the transactions of the next block while this one is still being voted on.
//!
//! Only when more than a block's worth waits: otherwise what arrives meanwhile would have to wait for one block more.

use crate::leader::Leader;
use crate::leader::messages::Assemble;
use crate::ports::names::ActorName;
use crate::validator::actor::Validator;
use crate::validator::messages::Assembled;
use kithkin_protocol::consensus::{Input, Output};
use kithkin_protocol::ids::BlockId;
use kithkin_protocol::ledger::{BLOCK_BYTES_MAX, Block, SignedTransaction};
use kithkin_protocol::units::View;

/// Left free for a header that is not known yet: certificates and late votes of a large set.
const HEADER_BYTES: usize = 64 * 1024;

/// What was chosen ahead of time.
pub(super) struct Ahead {
    /// The block that it is to follow.
    parent: BlockId,
    /// None until the leader has answered.
    transactions: Option<Vec<SignedTransaction>>,
}

impl Validator {
    /// A block was found valid. If it leaves a full block's worth waiting, and this validator is the next master when it
    /// becomes final, its leader begins.
    pub(super) fn assemble_ahead(&mut self, block: &Block) {
        let (height, id) = (block.header.height, block.id());
        let state = self.ledger().tried(id);
        let next_master = state.and_then(|state| self.core.next_master(state.standings()));
        self.next_master = next_master.map(|master| (id, master));
        let bytes_max = BLOCK_BYTES_MAX
            .saturating_sub(HEADER_BYTES)
            .min(self.outlines.portion.bytes());
        let left = self.pool.bytes().saturating_sub(block.encoded_len());
        let begun = self.ahead.as_ref().is_some_and(|ahead| ahead.parent == id);
        if left < bytes_max || begun {
            return;
        }
        let next = height.plus(1);
        let Some(state) = self.ledger().tried(id).cloned() else {
            return;
        };
        if next_master != Some(self.me) {
            return;
        }
        self.pool.on_proposed(height, &block.transactions);
        let order = Assemble {
            height: next,
            view: View(1),
            ahead_of: Some(id),
            time_ms: self.now().max(block.header.time_ms),
            bytes_max,
            state,
            candidates: self.pool.oldest(next, bytes_max),
        };
        self.ahead = Some(Ahead {
            parent: id,
            transactions: None,
        });
        self.port
            .tell::<Leader, _>(ActorName::Leader(self.me.0), order);
    }

    pub(super) fn on_assembled_ahead(&mut self, parent: BlockId, assembled: Assembled) {
        if let Some(ahead) = self.ahead.as_mut().filter(|ahead| ahead.parent == parent) {
            ahead.transactions = Some(assembled.transactions);
        }
    }

    /// The answer to an order of the core, if it was prepared.
    pub(super) fn prepared(&mut self, order: &Output) -> Option<Input> {
        let Output::Build {
            height,
            view,
            time_ms,
            bytes_max,
        } = order
        else {
            return None;
        };
        let ahead = self.ahead.take()?;
        if ahead.parent != self.ledger().head_id() {
            return None;
        }
        let mut room = *bytes_max;
        let transactions: Vec<SignedTransaction> = ahead
            .transactions?
            .into_iter()
            .filter(|transaction| transaction.content.valid_until_ms >= *time_ms)
            .map_while(|transaction| {
                room = room.checked_sub(transaction.encoded_len())?;
                Some(transaction)
            })
            .collect();
        // To the core no transactions mean that none wait. What has come since was not chosen from.
        (!transactions.is_empty()).then_some(Input::Built {
            height: *height,
            view: *view,
            transactions,
        })
    }
}
