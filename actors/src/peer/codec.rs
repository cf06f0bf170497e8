//! Which messages travel between validators, in which lane, and how they are read.
//!
//! A kind is one byte before the frame. It says how to read the frame and in which lane it may come; consensus messages
//! have three kinds, by size and haste.

use super::lane::Lane;
use crate::ports::network::Frame;
use crate::validator::messages::{Consensus, Gossip, Lacking, Outlined, Snapshot, Supplied};
use core::any::Any;
use kithkin_protocol::consensus::{Message, Outline};
use kithkin_protocol::ledger::SignedTransaction;
use kithkin_protocol::ledger::snapshot::StateSync;
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
/// Proposals without their transactions.
pub(super) const OUTLINES: u8 = 5;
/// Questions for transactions that an outline names.
pub(super) const LACKING: u8 = 6;
/// The answers.
pub(super) const SUPPLIED: u8 = 7;

/// Bytes of a transaction's identifier in a frame.
const ID_BYTES: usize = 34;

/// Questions about snapshots, and short answers.
pub(super) const SNAPSHOT_QUESTIONS: u8 = 8;
/// Snapshots.
pub(super) const SNAPSHOTS: u8 = 9;

/// The lane of a kind; none for an unknown one.
pub(super) fn lane(kind: u8) -> Option<Lane> {
    match kind {
        VOTES | LACKING | SNAPSHOT_QUESTIONS => Some(Lane::Votes),
        BLOCKS | OUTLINES | SUPPLIED => Some(Lane::Blocks),
        TRANSACTIONS => Some(Lane::Transactions),
        SYNC | SNAPSHOTS => Some(Lane::Sync),
        _ => None,
    }
}

/// Something that a peer has sent.
pub(super) enum Arrived {
    /// For the core.
    Consensus(Consensus),
    /// For the mempool.
    Gossip(Gossip),
    /// A proposal without its transactions.
    Outlined(Box<Outlined>),
    /// A question for transactions.
    Lacking(Lacking),
    /// Its answer.
    Supplied(Supplied),
    /// About a snapshot.
    Snapshot(Snapshot),
}

impl Arrived {
    /// Whether it belongs to following the chain: questions for what is final, and answers, which prove themselves. All that
    /// somebody may say who is no validator.
    pub(super) fn is_of_sync(&self) -> bool {
        match self {
            Self::Consensus(Consensus(message)) => match message {
                Message::GetCommitted { .. }
                | Message::Committed(_)
                | Message::NoBlocks { .. }
                | Message::Recall(_) => true,
                Message::Proposal(_)
                | Message::Ballots(_)
                | Message::NewView(_)
                | Message::GetBody { .. }
                | Message::Body(_)
                | Message::Evidence(_)
                | Message::Hearsay(_) => false,
            },
            Self::Snapshot(_) => true,
            Self::Gossip(_) | Self::Outlined(_) | Self::Lacking(_) | Self::Supplied(_) => false,
        }
    }
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
        // In another process the transactions are known already, as a rule.
        if let Message::Proposal(proposal) = message
            && let Some(outline) = Outline::of(proposal)
        {
            let expected = outline.transactions.len() * ID_BYTES + 4_096;
            return Some(Frame {
                kind: OUTLINES,
                bytes: wire::encode_sized(&outline, expected).into(),
            });
        }
        let bytes = wire::encode_sized(message, expected_bytes(message));
        return Some(Frame {
            kind: kind(message),
            bytes: bytes.into(),
        });
    }
    if let Some(Snapshot(message)) = message.downcast_ref() {
        return Some(Frame {
            kind: snapshot_kind(message),
            bytes: wire::encode(message).into(),
        });
    }
    if let Some(Gossip(transactions)) = message.downcast_ref() {
        let expected = bytes_of(transactions) + 8;
        return Some(Frame {
            kind: TRANSACTIONS,
            bytes: wire::encode_sized(transactions.as_ref(), expected).into(),
        });
    }
    if let Some(lacking) = message.downcast_ref::<Lacking>() {
        return Some(Frame {
            kind: LACKING,
            bytes: wire::encode(lacking).into(),
        });
    }
    let supplied: &Supplied = message.downcast_ref()?;
    let expected = bytes_of(&supplied.transactions) + 128;
    Some(Frame {
        kind: SUPPLIED,
        bytes: wire::encode_sized(supplied, expected).into(),
    })
}

fn bytes_of(transactions: &[SignedTransaction]) -> usize {
    let lengths = transactions.iter().map(SignedTransaction::encoded_len);
    lengths.sum()
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
    match kind {
        OUTLINES => {
            return Ok(Arrived::Outlined(Box::new(Outlined(wire::decode_bounded(
                bytes, limit,
            )?))));
        }
        LACKING => return Ok(Arrived::Lacking(wire::decode_bounded(bytes, limit)?)),
        SUPPLIED => return Ok(Arrived::Supplied(wire::decode_bounded(bytes, limit)?)),
        SNAPSHOT_QUESTIONS | SNAPSHOTS => {
            let message: StateSync = wire::decode_bounded(bytes, limit)?;
            if snapshot_kind(&message) != kind {
                return Err(CodecError::Lane { lane });
            }
            return Ok(Arrived::Snapshot(Snapshot(message)));
        }
        _ => {}
    }
    let message: Message = wire::decode_bounded(bytes, limit)?;
    if self::kind(&message) != kind {
        return Err(CodecError::Lane { lane });
    }
    Ok(Arrived::Consensus(Consensus(message)))
}

fn snapshot_kind(message: &StateSync) -> u8 {
    match message {
        StateSync::Steps { .. } | StateSync::Manifest(_) | StateSync::Chunk { .. } => SNAPSHOTS,
        StateSync::Ask { .. }
        | StateSync::Offer { .. }
        | StateSync::GetSteps { .. }
        | StateSync::GetManifest { .. }
        | StateSync::GetChunk { .. }
        | StateSync::Gone { .. } => SNAPSHOT_QUESTIONS,
    }
}

fn kind(message: &Message) -> u8 {
    match message {
        Message::Proposal(_) | Message::Body(_) => BLOCKS,
        Message::Committed(_) => SYNC,
        Message::Ballots(_)
        | Message::NewView(_)
        | Message::GetCommitted { .. }
        | Message::NoBlocks { .. }
        | Message::GetBody { .. }
        | Message::Evidence(_)
        | Message::Recall(_)
        | Message::Hearsay(_) => VOTES,
    }
}

/// About how many bytes it will take: saves the buffer's growing.
fn expected_bytes(message: &Message) -> usize {
    let block = match message {
        Message::Proposal(proposal) => &proposal.block,
        Message::Body(block) => block,
        _ => return 512,
    };
    bytes_of(&block.transactions) + 4_096
}
