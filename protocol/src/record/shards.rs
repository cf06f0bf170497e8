//! Reed-Solomon shards of a ciphertext, one for each kin, under one Merkle root.
//!
//! Any `threshold.needed()` of the `threshold.kin()` shards give the ciphertext
//! back. The code is systematic: the first shards are pieces of the ciphertext
//! itself, the others are made from them. Confidentiality is the envelope's job.
//!
//! The tree has two levels: a shard's digest stands on the Merkle root of its
//! chunks ([`super::CHUNK_BYTES`]), the shard root on the digests. The digest binds
//! index, threshold and length of the ciphertext, so a root stands for one way of cutting only.

use super::chunks::shard_digest;
use super::{CHUNK_BYTES, CIPHERTEXT_BYTES_MAX, RecordEntry, ciphertext_digest};
use crate::crypto::Digest;
use crate::crypto::merkle::{self, MerklePath, MerkleTree};
use crate::sharing::{KIN_MAX, Threshold};
use crate::units::ShareIndex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// One kin's piece of a ciphertext, with the proof that it is the one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shard {
    /// Whose shard: the kin's share index.
    pub index: ShareIndex,
    /// Its bytes; every shard of a ciphertext has the same, even number of them.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// From the shard to the shard root.
    pub path: MerklePath,
}

/// All shards of one ciphertext.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardSet {
    /// What the manifest names them by.
    pub root: Digest,
    /// The shard of share index `i` at position `i - 1`.
    pub shards: Vec<Shard>,
}

/// A ciphertext put together again, and what was refused on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rebuilt {
    /// The ciphertext that the manifest names.
    pub ciphertext: Vec<u8>,
    /// Shards that were refused.
    pub refused: Vec<ShardFault>,
}

/// A shard that was refused, and whose it claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShardFault {
    /// Not the shard that the root stands for.
    #[error("shard {index} is not the one that was stored")]
    Wrong {
        /// The shard's index.
        index: ShareIndex,
    },
    /// A second one with the same index; proves nobody's fault.
    #[error("shard {index} is given twice")]
    Duplicate {
        /// The shard's index.
        index: ShareIndex,
    },
}

/// Why a ciphertext cannot be cut or put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Empty, or more than [`CIPHERTEXT_BYTES_MAX`].
    #[error("a ciphertext has 1 to {CIPHERTEXT_BYTES_MAX} bytes, not {bytes}")]
    Length {
        /// Its length.
        bytes: usize,
    },
    /// More shards than there can be kin.
    #[error("{found} shards; a patient has at most {KIN_MAX} kin")]
    TooMany {
        /// How many were given.
        found: usize,
    },
    /// Fewer good shards than needed.
    #[error("{good} good shards; {needed} are needed")]
    TooFew {
        /// How many good ones of different indices there were.
        good: usize,
        /// The threshold.
        needed: usize,
        /// What was refused.
        refused: Vec<ShardFault>,
    },
    /// Good shards that give another ciphertext: the author cut it wrongly.
    #[error(
        "the shards do not give the ciphertext that the manifest names: its author is at fault"
    )]
    Inconsistent,
    /// The code refused the numbers; does not happen within the limits.
    #[error("the erasure code cannot work with these numbers")]
    Code,
}

/// Cuts `ciphertext` into one shard for each of `threshold.kin()` kin.
///
/// # Errors
/// [`ShardError::Length`]; [`ShardError::Code`] does not happen within the limits.
pub fn shards(ciphertext: &[u8], threshold: Threshold) -> Result<ShardSet, ShardError> {
    let cut = Cut::new(ciphertext.len(), threshold)?;
    let mut pieces: Vec<Vec<u8>> = ciphertext.chunks(cut.shard_bytes).map(Vec::from).collect();
    // The last piece may be short, and with a tiny ciphertext some may be missing.
    pieces.resize_with(threshold.needed(), Vec::new);
    for piece in &mut pieces {
        piece.resize(cut.shard_bytes, 0);
    }
    if cut.recovery() > 0 {
        let recovery = reed_solomon_simd::encode(threshold.needed(), cut.recovery(), &pieces)
            .map_err(|_| ShardError::Code)?;
        pieces.extend(recovery);
    }
    let indexed = || (0..).map_while(ShareIndex::from_position).zip(&pieces);
    let tree = MerkleTree::new(indexed().map(|(index, bytes)| cut.leaf(index, bytes)));
    let shards = indexed()
        .filter_map(|(index, bytes)| {
            Some(Shard {
                index,
                bytes: bytes.clone(),
                path: tree.path(index.position())?,
            })
        })
        .collect();
    Ok(ShardSet {
        root: tree.root(),
        shards,
    })
}

impl Shard {
    /// Checks that this is the shard of its index under the entry's root.
    ///
    /// # Errors
    /// [`ShardFault::Wrong`].
    pub fn verify(&self, entry: &RecordEntry, threshold: Threshold) -> Result<(), ShardFault> {
        let index = self.index;
        let wrong = ShardFault::Wrong { index };
        let cut = Cut::of(entry, threshold).map_err(|_| wrong)?;
        let (position, kin) = (self.path.index as usize, self.path.leaves as usize);
        if self.bytes.len() != cut.shard_bytes
            || position != index.position()
            || kin != threshold.kin()
        {
            return Err(wrong);
        }
        self.path
            .verify(cut.leaf(index, &self.bytes).as_ref(), &entry.shard_root)
            .map_err(|_| wrong)
    }

    /// The shard's digest and Merkle leaf: what a kin's receipt covers.
    #[must_use]
    pub fn leaf(&self, entry: &RecordEntry, threshold: Threshold) -> Digest {
        leaf(self.index, threshold, u64::from(entry.bytes), &self.bytes)
    }
}

/// Puts the ciphertext of `entry` together from any `threshold.needed()` good shards; bad ones are named and left out.
///
/// # Errors
/// Every [`ShardError`].
pub fn rebuild(
    shards: &[Shard],
    threshold: Threshold,
    entry: &RecordEntry,
) -> Result<Rebuilt, ShardError> {
    if shards.len() > KIN_MAX {
        let found = shards.len();
        return Err(ShardError::TooMany { found });
    }
    Cut::of(entry, threshold)?;
    let (mut good, mut refused) = (BTreeMap::new(), Vec::new());
    for shard in shards {
        let index = shard.index;
        match good.entry(index) {
            Entry::Occupied(_) => refused.push(ShardFault::Duplicate { index }),
            Entry::Vacant(place) => match shard.verify(entry, threshold) {
                Ok(()) => _ = place.insert(shard.bytes.as_slice()),
                Err(fault) => refused.push(fault),
            },
        }
    }
    if good.len() < threshold.needed() {
        return Err(ShardError::TooFew {
            good: good.len(),
            needed: threshold.needed(),
            refused,
        });
    }
    Ok(Rebuilt {
        ciphertext: join(&good, threshold, entry)?,
        refused,
    })
}

/// The ciphertext of `entry` from `threshold.needed()` or more shards that were verified.
pub(super) fn join(
    good: &BTreeMap<ShareIndex, &[u8]>,
    threshold: Threshold,
    entry: &RecordEntry,
) -> Result<Vec<u8>, ShardError> {
    let cut = Cut::of(entry, threshold)?;
    let mut ciphertext = cut.join(good)?;
    ciphertext.truncate(cut.length as usize);
    if ciphertext_digest(&ciphertext) != entry.ciphertext {
        return Err(ShardError::Inconsistent);
    }
    Ok(ciphertext)
}

/// How a ciphertext of some length is cut.
pub(super) struct Cut {
    threshold: Threshold,
    length: u64,
    /// Length of each shard.
    pub(super) shard_bytes: usize,
}

impl Cut {
    fn new(bytes: usize, threshold: Threshold) -> Result<Self, ShardError> {
        if !(1..=CIPHERTEXT_BYTES_MAX).contains(&bytes) {
            return Err(ShardError::Length { bytes });
        }
        Ok(Self {
            threshold,
            length: bytes as u64,
            // The code works on pairs of bytes.
            shard_bytes: bytes.div_ceil(threshold.needed()).next_multiple_of(2),
        })
    }

    pub(super) fn of(entry: &RecordEntry, threshold: Threshold) -> Result<Self, ShardError> {
        let bytes = usize::try_from(entry.bytes).unwrap_or(usize::MAX);
        Self::new(bytes, threshold)
    }

    /// Number of chunks of each shard.
    pub(super) fn chunks(&self) -> usize {
        self.shard_bytes.div_ceil(CHUNK_BYTES)
    }

    /// Length of one chunk; none past the last.
    pub(super) fn chunk_bytes(&self, number: usize) -> Option<usize> {
        let before = number.checked_mul(CHUNK_BYTES)?;
        let rest = self.shard_bytes.checked_sub(before)?;
        (rest > 0).then(|| rest.min(CHUNK_BYTES))
    }

    fn recovery(&self) -> usize {
        self.threshold.kin() - self.threshold.needed()
    }

    fn leaf(&self, index: ShareIndex, bytes: &[u8]) -> Digest {
        leaf(index, self.threshold, self.length, bytes)
    }

    /// The data pieces in order, those that are missing restored.
    fn join(&self, good: &BTreeMap<ShareIndex, &[u8]>) -> Result<Vec<u8>, ShardError> {
        let needed = self.threshold.needed();
        let original: BTreeMap<usize, &[u8]> = good
            .iter()
            .map(|(index, bytes)| (index.position(), *bytes))
            .take_while(|(position, _)| *position < needed)
            .collect();
        let restored = if original.len() == needed {
            BTreeMap::new()
        } else {
            let recovery = good
                .iter()
                .filter(|(index, _)| index.position() >= needed)
                .map(|(index, bytes)| (index.position() - needed, *bytes));
            let known = original.iter().map(|(position, bytes)| (*position, *bytes));
            reed_solomon_simd::decode(needed, self.recovery(), known, recovery)
                .map_err(|_| ShardError::Code)?
        };
        let mut joined = Vec::with_capacity(needed * self.shard_bytes);
        for position in 0..needed {
            let piece = original
                .get(&position)
                .copied()
                .or_else(|| restored.get(&position).map(Vec::as_slice))
                .ok_or(ShardError::Code)?;
            joined.extend_from_slice(piece);
        }
        Ok(joined)
    }
}

fn leaf(index: ShareIndex, threshold: Threshold, length: u64, bytes: &[u8]) -> Digest {
    let chunks = merkle::root(bytes.chunks(CHUNK_BYTES));
    shard_digest(index, threshold, length, &chunks)
}
