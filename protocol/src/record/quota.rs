//! Room: what a new batch adds to what a kin keeps, and what may be erased to make room, in which order.
//!
//! Only what nobody needs any more is ever pruned: what the patient ordered to be erased, and what
//! a later batch replaces that all kin hold. What is current stays, and so
//! does what a live case may open; a full kin refuses new batches instead.

use super::{BatchHeader, BatchStatus, Manifest, RECORDS_MAX};
use crate::ids::BatchId;
use crate::sharing::Threshold;
use crate::units::Millis;
use std::cmp::Reverse;

/// Most that a kin keeps of one record beside its shard, in bytes: manifest line, capsule, path, keys of the store.
pub const RECORD_OVERHEAD_BYTES: u64 = 1_024;

/// Most batches that [`prunable`] looks at.
pub const HELD_MAX: usize = 1 << 20;

/// How much a kin is willing to keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// In bytes.
    pub bytes_max: u64,
}

/// Whether a batch is still needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Yes.
    Current,
    /// A later batch has all of it.
    Superseded {
        /// When that one became final, by its block's time.
        since: Millis,
        /// How many kin hold that one.
        successor: BatchStatus,
    },
    /// The patient ordered it to be erased.
    Ordered {
        /// When the order became final, by its block's time.
        since: Millis,
    },
}

/// A batch that a kin keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldBatch {
    /// Which.
    pub batch: BatchId,
    /// What it takes ([`held_bytes`]).
    pub bytes: u64,
    /// Whether it is still needed.
    pub standing: Standing,
    /// Whether a live case has it in scope; it stays until that is closed.
    pub in_case: bool,
}

/// What to erase, in this order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pruned {
    /// The batches.
    pub batches: Vec<BatchId>,
    /// What they take together.
    pub bytes: u64,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// It does not fit, even when everything that may go is gone.
    #[error(
        "{adds} bytes more do not fit: {used} of {bytes_max} are taken, {prunable} could be freed"
    )]
    Full {
        /// What is to be added.
        adds: u64,
        /// What is kept already.
        used: u64,
        /// What could be erased.
        prunable: u64,
        /// The quota.
        bytes_max: u64,
    },
    /// More bytes than a number holds.
    #[error("the sizes of what is kept do not add up")]
    Overflow,
    /// More than [`HELD_MAX`].
    #[error("{found} batches; at most {HELD_MAX} are looked at")]
    TooMany {
        /// How many there are.
        found: usize,
    },
}

/// What a kin keeps of a batch, in bytes: `slots` shards of each record and [`RECORD_OVERHEAD_BYTES`].
///
/// # Errors
/// [`QuotaError::Overflow`], also for a length that no ciphertext has.
pub fn held_bytes(manifest: &Manifest, shape: Threshold, slots: usize) -> Result<u64, QuotaError> {
    let of_record = |shard: u64| {
        shard
            .checked_add(RECORD_OVERHEAD_BYTES)?
            .checked_mul(slots as u64)
    };
    manifest
        .entries()
        .iter()
        .try_fold(0u64, |sum, entry| {
            let shard = entry.shard_bytes(shape)? as u64;
            sum.checked_add(of_record(shard)?)
        })
        .ok_or(QuotaError::Overflow)
}

/// [`held_bytes`] as the header alone allows to say it: never less, and at most two bytes a record and one a slot more.
///
/// # Errors
/// [`QuotaError::Overflow`], also for a header with more records than a batch can have.
pub fn held_bytes_max(
    header: &BatchHeader,
    shape: Threshold,
    slots: usize,
) -> Result<u64, QuotaError> {
    let records = u64::from(header.records);
    if records > RECORDS_MAX as u64 {
        return Err(QuotaError::Overflow);
    }
    // A shard has less than `bytes / needed + 2` bytes.
    let shards = header.bytes.div_ceil(shape.needed() as u64);
    let overhead = records * (RECORD_OVERHEAD_BYTES + 2);
    shards
        .checked_add(overhead)
        .and_then(|bytes| bytes.checked_mul(slots as u64))
        .ok_or(QuotaError::Overflow)
}

/// Everything that may be erased, in the order in which it should go: what was ordered first, then what was
/// superseded, the longest ago first; of the same moment the largest first.
///
/// # Errors
/// [`QuotaError::TooMany`].
pub fn prunable(held: &[HeldBatch]) -> Result<Vec<HeldBatch>, QuotaError> {
    let found = held.len();
    if found > HELD_MAX {
        return Err(QuotaError::TooMany { found });
    }
    let mut ranked: Vec<_> = held
        .iter()
        .filter_map(|batch| Some((rank(batch)?, *batch)))
        .collect();
    ranked.sort_unstable_by_key(|(rank, batch)| (*rank, Reverse(batch.bytes), batch.batch));
    Ok(ranked.into_iter().map(|(_, batch)| batch).collect())
}

/// Whether and how early a batch may go.
fn rank(held: &HeldBatch) -> Option<(u8, Millis)> {
    match held.standing {
        _ if held.in_case => None,
        Standing::Ordered { since } => Some((0, since)),
        Standing::Superseded {
            since,
            successor: BatchStatus::Stored,
        } => Some((1, since)),
        Standing::Current
        | Standing::Superseded {
            successor: BatchStatus::Degraded,
            ..
        } => None,
    }
}

impl Quota {
    /// What to erase so that `adds` bytes more fit: nothing if they do already, else as few as the order of [`prunable`] allows.
    ///
    /// # Errors
    /// Every [`QuotaError`].
    pub fn admit(self, held: &[HeldBatch], adds: u64) -> Result<Pruned, QuotaError> {
        let candidates = prunable(held)?;
        let sum = |batches: &[HeldBatch]| {
            let mut bytes = batches.iter().map(|batch| batch.bytes);
            bytes.try_fold(0u64, u64::checked_add)
        };
        let overflow = QuotaError::Overflow;
        let used = sum(held).ok_or(overflow)?;
        let wanted = used.checked_add(adds).ok_or(overflow)?;
        let excess = wanted.saturating_sub(self.bytes_max);
        let mut pruned = Pruned::default();
        for batch in &candidates {
            if pruned.bytes >= excess {
                break;
            }
            pruned.batches.push(batch.batch);
            pruned.bytes = pruned.bytes.checked_add(batch.bytes).ok_or(overflow)?;
        }
        if pruned.bytes < excess {
            return Err(QuotaError::Full {
                adds,
                used,
                prunable: pruned.bytes,
                bytes_max: self.bytes_max,
            });
        }
        Ok(pruned)
    }
}
