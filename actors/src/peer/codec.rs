//! Which messages travel between validators, in which lane, and how they are read.
//!
//! A kind is one byte before the frame. It says how to read the frame and in which lane it may come; consensus messages
//! have three kinds, by size and haste.

use super::lane::Lane;
use crate::ports::network::Frame;
use crate::validator::messages::{Consensus, Gossip};
use core::any::Any;
use kithkin_protocol::consensus::Message;
use kithkin_protocol::ledger::SignedTransaction;
use kithkin_protocol::wire::{self, WireError};
use std::sync::Arc;

/// Consensus messages without block bodies.
pub(super) const VOTES: u8 = 1;
/// Consensus messages with a block that is voted on.
pub(super) const BLOCKS: u8 = 2;
/// Transactions.
pub(super) const TRANSACTIONS: u8 = 3;
/// Consensus messages with finalized blocks.
pub(super) const SYNC: u8 = 4;

/// The lane of a kind; none for an unknown one.
pub(super) fn lane(kind: u8) -> Option<Lane> {
    match kind {
        VOTES => Some(Lane::Votes),
        BLOCKS => Some(Lane::Blocks),
        TRANSACTIONS => Some(Lane::Transactions),
        SYNC => Some(Lane::Sync),
        _ => None,
    }
}

/// Something that a peer has sent.
pub(super) enum Arrived {
    /// For the core.
    Consensus(Consensus),
    /// For the mempool.
    Gossip(Gossip),
}

/// Why a frame of a peer is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    /// A kind that does not belong into the lane, or none at all.
    #[error("kind {kind} does not belong into the lane {lane}")]
    Kind { kind: u8, lane: Lane },
    /// A consensus message in the wrong lane.
    #[error("a message of another lane came in {lane}")]
    Lane { lane: Lane },
    /// The frame.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Writes a message; none when messages of its type stay in their process.
pub(super) fn write(message: &dyn Any) -> Option<Frame> {
    if let Some(Consensus(message)) = message.downcast_ref() {
        let bytes = wire::encode_sized(message, expected_bytes(message));
        return Some(Frame {
            kind: kind(message),
            bytes: bytes.into(),
        });
    }
    let Gossip(transactions) = message.downcast_ref()?;
    let expected = transactions
        .iter()
        .map(SignedTransaction::encoded_len)
        .sum::<usize>()
        + 8;
    Some(Frame {
        kind: TRANSACTIONS,
        bytes: wire::encode_sized(transactions.as_ref(), expected).into(),
    })
}

/// Reads a frame that came in `lane`.
pub(super) fn read(lane: Lane, kind: u8, bytes: &[u8]) -> Result<Arrived, CodecError> {
    if self::lane(kind) != Some(lane) {
        return Err(CodecError::Kind { kind, lane });
    }
    let limit = lane.frame_bytes_max();
    if kind == TRANSACTIONS {
        let transactions: Vec<SignedTransaction> = wire::decode_bounded(bytes, limit)?;
        return Ok(Arrived::Gossip(Gossip(Arc::new(transactions))));
    }
    let message: Message = wire::decode_bounded(bytes, limit)?;
    if self::kind(&message) != kind {
        return Err(CodecError::Lane { lane });
    }
    Ok(Arrived::Consensus(Consensus(message)))
}

fn kind(message: &Message) -> u8 {
    match message {
        Message::Proposal(_) | Message::Body(_) => BLOCKS,
        Message::Committed(_) => SYNC,
        Message::Ballots(_)
        | Message::NewView(_)
        | Message::GetCommitted { .. }
        | Message::GetBody { .. }
        | Message::Evidence(_)
        | Message::Recall(_) => VOTES,
    }
}

/// About how many bytes it will take: saves the buffer's growing.
fn expected_bytes(message: &Message) -> usize {
    let block = match message {
        Message::Proposal(proposal) => &proposal.block,
        Message::Body(block) => block,
        _ => return 512,
    };
    let transactions = block.transactions.iter();
    transactions
        .map(SignedTransaction::encoded_len)
        .sum::<usize>()
        + 4_096
}
