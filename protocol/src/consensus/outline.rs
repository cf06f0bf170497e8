//! Proposals between processes: the transactions' identifiers travel, not the transactions, which the receiver has in
//! its mempool already. What it lacks it asks for.

use crate::consensus::message::{Justification, Proposal};
use crate::crypto::Signature;
use crate::ids::{BlockId, TxId, ValidatorId};
use crate::ledger::{Block, Header, SignedTransaction};
use crate::units::{Height, View};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most transactions of a block that is outlined: a frame of a megabyte. A block of more travels whole.
pub const OUTLINED_MAX: usize = 28_000;

/// A proposal without its transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// See [`Proposal::height`].
    pub height: Height,
    /// See [`Proposal::view`].
    pub view: View,
    /// The block's header; its root binds the identifiers.
    pub header: Header,
    /// The block's transactions, in order; at most [`OUTLINED_MAX`].
    pub transactions: Vec<TxId>,
    /// See [`Proposal::justification`].
    pub justification: Justification,
    /// See [`Proposal::leader`].
    pub leader: ValidatorId,
    /// See [`Proposal::signature`].
    pub signature: Signature,
}

/// Why a proposal cannot be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutlineError {
    /// More transactions than are outlined.
    #[error("a block of {count} transactions is outlined; at most {OUTLINED_MAX} are")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Not all transactions that are lacking.
    #[error("not all transactions came that are lacking")]
    Supply,
}

impl Outline {
    /// The outline of a proposal; none when its block has too many transactions for one.
    #[must_use]
    pub fn of(proposal: &Proposal) -> Option<Self> {
        let block = &proposal.block;
        (block.transactions.len() <= OUTLINED_MAX).then(|| Self {
            height: proposal.height,
            view: proposal.view,
            header: block.header.clone(),
            transactions: block.transactions.iter().map(|tx| tx.id()).collect(),
            justification: proposal.justification.clone(),
            leader: proposal.leader,
            signature: proposal.signature,
        })
    }
}

impl Outline {
    fn with(self, transactions: Vec<SignedTransaction>) -> Proposal {
        Proposal {
            height: self.height,
            view: self.view,
            block: Arc::new(Block::new(self.header, transactions)),
            justification: self.justification,
            leader: self.leader,
            signature: self.signature,
        }
    }
}

/// A proposal that is being put together.
#[derive(Clone, Debug)]
pub struct Filling {
    /// Without its identifiers, which have become [`Self::transactions`].
    outline: Outline,
    id: BlockId,
    transactions: Vec<Option<SignedTransaction>>,
    /// What is lacking: places, ascending, and identifiers.
    lacking: Vec<(u32, TxId)>,
}

impl Filling {
    /// Fills in what `find` finds. Whether the header commits to these identifiers is not looked at: whoever takes the
    /// finished proposal checks its block anyway.
    ///
    /// # Errors
    /// [`OutlineError::TooMany`].
    pub fn new(
        mut outline: Outline,
        find: impl Fn(TxId) -> Option<SignedTransaction>,
    ) -> Result<Self, OutlineError> {
        let ids = std::mem::take(&mut outline.transactions);
        let count = ids.len();
        if count > OUTLINED_MAX {
            return Err(OutlineError::TooMany { count });
        }
        let transactions: Vec<_> = ids.iter().map(|id| find(*id)).collect();
        let lacking = (0u32..)
            .zip(&ids)
            .zip(&transactions)
            .filter(|(_, found)| found.is_none())
            .map(|((place, id), _)| (place, *id))
            .collect();
        Ok(Self {
            id: outline.header.id(),
            outline,
            transactions,
            lacking,
        })
    }

    /// The block.
    #[must_use]
    pub fn id(&self) -> BlockId {
        self.id
    }

    /// Height and view of the proposal.
    #[must_use]
    pub fn place(&self) -> (Height, View) {
        (self.outline.height, self.outline.view)
    }

    /// Places of the transactions that are lacking, ascending.
    #[must_use]
    pub fn lacking(&self) -> Vec<u32> {
        self.lacking.iter().map(|(place, _)| *place).collect()
    }

    /// Fills in the transactions that are lacking, in their order. Others may stand between them: the answer to an
    /// earlier question, when the mempool has got some of them meanwhile.
    ///
    /// # Errors
    /// [`OutlineError::Supply`] when one is not among them; nothing changes.
    pub fn supply(&mut self, supplied: Vec<SignedTransaction>) -> Result<(), OutlineError> {
        let mut supplied = supplied.into_iter();
        let wanted = self.lacking.iter().map(|(_, id)| *id);
        let found: Option<Vec<SignedTransaction>> = wanted
            .map(|id| supplied.find(|transaction| transaction.id() == id))
            .collect();
        let found = found.ok_or(OutlineError::Supply)?;
        for ((place, _), transaction) in std::mem::take(&mut self.lacking).iter().zip(found) {
            let place = usize::try_from(*place).unwrap_or(usize::MAX);
            if let Some(target) = self.transactions.get_mut(place) {
                *target = Some(transaction);
            }
        }
        Ok(())
    }

    /// The proposal with the block's header alone: enough for who has no use for the transactions any more.
    #[must_use]
    pub fn into_header(self) -> Proposal {
        self.outline.with(Vec::new())
    }

    /// The proposal, when nothing is lacking any more.
    ///
    /// # Errors
    /// The filling itself, when something is.
    pub fn finish(mut self) -> Result<Proposal, Box<Self>> {
        if !self.lacking.is_empty() {
            return Err(Box::new(self));
        }
        let transactions = std::mem::take(&mut self.transactions);
        Ok(self
            .outline
            .with(transactions.into_iter().flatten().collect()))
    }
}
