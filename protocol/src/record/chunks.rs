//! Chunks of a shard: what a kin shows when it is asked whether it still has the shard.
//!
//! A shard is cut into chunks; their Merkle root, bound to the shard's index, the
//! threshold and the length of the ciphertext, is the shard's digest. So one chunk
//! shows what the shard holds at a place, and nobody needs the rest of it.
//!
//! Not here: which chunks are asked for ([`super::Challenge`]).

use super::shards::Cut;
use super::{RecordEntry, Shard};
use crate::crypto::merkle::{MerklePath, MerkleTree};
use crate::crypto::{Digest, HashWriter};
use crate::sharing::Threshold;
use crate::units::ShareIndex;
use serde::{Deserialize, Serialize};

/// Length of a chunk in bytes; only a shard's last one may be shorter.
///
/// A proof costs the chunk and 32 bytes a level. With 512 bytes a place of an answer takes at
/// most 1.9 KiB, so that twenty take little more than half of a transaction; 1,024 would
/// make it 2.4, and 256 save only an eighth. Hashing takes three eighths more than in one
/// piece (nine blocks of SHA-256 a leaf, two a node); with 256 three quarters, with 1,024 a fifth. Most resources
/// of a record compress to less, so that their whole shard is one chunk. A disk loses sectors of 512 or 4,096 bytes.
pub const CHUNK_BYTES: usize = 512;

/// A chunk with the proof that the shard of some index has it at some place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChunkProof {
    /// The chunk, at most [`CHUNK_BYTES`].
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// From the chunk to the root of the shard's chunks.
    pub path: MerklePath,
    /// From the shard's digest to the shard root.
    pub shard_path: MerklePath,
}

/// A chunk that is not the one of this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not chunk {number} of shard {index}")]
pub struct ChunkFault {
    /// The shard's index.
    pub index: ShareIndex,
    /// Which chunk was wanted, from 0.
    pub number: usize,
}

impl Shard {
    /// The chunk `number` (from 0) with its proof; none past the end.
    #[must_use]
    pub fn chunk(&self, number: usize) -> Option<ChunkProof> {
        let bytes = self.bytes.chunks(CHUNK_BYTES).nth(number)?;
        Some(ChunkProof {
            bytes: bytes.to_vec(),
            path: MerkleTree::new(self.bytes.chunks(CHUNK_BYTES)).path(number)?,
            shard_path: self.path.clone(),
        })
    }
}

impl RecordEntry {
    /// Length of each shard in bytes; none for a length that no ciphertext has.
    #[must_use]
    pub fn shard_bytes(&self, threshold: Threshold) -> Option<usize> {
        Some(Cut::of(self, threshold).ok()?.shard_bytes)
    }

    /// Number of chunks of each shard; none for a length that no ciphertext has.
    #[must_use]
    pub fn chunks(&self, threshold: Threshold) -> Option<usize> {
        Some(Cut::of(self, threshold).ok()?.chunks())
    }
}

impl ChunkProof {
    /// Checks that this is chunk `number` (from 0) of the shard of `index` under the entry's root.
    ///
    /// # Errors
    /// [`ChunkFault`].
    pub fn verify(
        &self,
        entry: &RecordEntry,
        threshold: Threshold,
        index: ShareIndex,
        number: usize,
    ) -> Result<(), ChunkFault> {
        let wrong = ChunkFault { index, number };
        let cut = Cut::of(entry, threshold).map_err(|_| wrong)?;
        let places = [
            (&self.path, number, cut.chunks()),
            (&self.shard_path, index.position(), threshold.kin()),
        ];
        let fits = |(path, position, leaves): (&MerklePath, usize, usize)| {
            path.index as usize == position && path.leaves as usize == leaves
        };
        if cut.chunk_bytes(number) != Some(self.bytes.len()) || !places.into_iter().all(fits) {
            return Err(wrong);
        }
        let chunks = self.path.root();
        let digest = shard_digest(index, threshold, u64::from(entry.bytes), &chunks);
        self.path
            .verify(&self.bytes, &chunks)
            .and_then(|()| self.shard_path.verify(digest.as_ref(), &entry.shard_root))
            .map_err(|_| wrong)
    }
}

/// A shard's digest, given the Merkle root of its chunks.
pub(super) fn shard_digest(
    index: ShareIndex,
    threshold: Threshold,
    length: u64,
    chunks: &Digest,
) -> Digest {
    let mut writer = HashWriter::new("kithkin/shard/2");
    writer
        .number(u64::from(index.get()))
        .number(threshold.needed() as u64)
        .number(threshold.kin() as u64)
        .number(length)
        .field(chunks);
    writer.finish()
}
