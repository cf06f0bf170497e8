//! The manifest of one upload: a line for each record, in order, under one Merkle root (opening.md section 2).
//!
//! Kept whole by every kin and by the hospital; only its root stands on chain.

use crate::crypto::merkle::{MerkleError, MerklePath, MerkleTree};
use crate::crypto::{Digest, HashWriter};
use crate::ids::RecordId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most records of one upload.
pub const RECORDS_MAX: usize = 4_096;

/// One record's line: everything that is needed to check what kin and object store hold of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordEntry {
    /// Which record.
    pub record: RecordId,
    /// Binds the plaintext.
    pub commitment: Digest,
    /// Digest of the ciphertext.
    pub ciphertext: Digest,
    /// Digest of the capsule.
    pub capsule: Digest,
    /// Root of the shards.
    pub shard_root: Digest,
    /// Length of the ciphertext in bytes.
    pub bytes: u32,
}

/// The lines of one upload: 1 to [`RECORDS_MAX`], no record twice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<RecordEntry>", into = "Vec<RecordEntry>")]
pub struct Manifest(Vec<RecordEntry>);

/// What can be wrong with a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// No record, or more than [`RECORDS_MAX`].
    #[error("a manifest names 1 to {RECORDS_MAX} records, not {found}")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// A record that stands twice.
    #[error("record {record} stands twice in the manifest")]
    Duplicate {
        /// The record in question.
        record: RecordId,
    },
    /// The entry does not stand under this root.
    #[error("the entry does not stand in the manifest of this root")]
    Path(#[from] MerkleError),
}

impl RecordEntry {
    /// The entry's Merkle leaf; covers every field.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        let mut writer = HashWriter::new("kithkin/manifest-entry/1");
        writer
            .field(self.record)
            .field(self.commitment)
            .field(self.ciphertext)
            .field(self.capsule)
            .field(self.shard_root)
            .number(u64::from(self.bytes));
        writer.finish()
    }

    /// Checks that the entry stands in the manifest of `root`.
    ///
    /// # Errors
    /// [`ManifestError::Path`].
    pub fn verify(&self, path: &MerklePath, root: &Digest) -> Result<(), ManifestError> {
        Ok(path.verify(self.leaf().as_ref(), root)?)
    }
}

impl Manifest {
    /// A manifest of these lines, in this order.
    ///
    /// # Errors
    /// [`ManifestError::Count`] or [`ManifestError::Duplicate`].
    pub fn new(entries: Vec<RecordEntry>) -> Result<Self, ManifestError> {
        let found = entries.len();
        if !(1..=RECORDS_MAX).contains(&found) {
            return Err(ManifestError::Count { found });
        }
        let mut seen = BTreeSet::new();
        for entry in &entries {
            let record = entry.record;
            if !seen.insert(record) {
                return Err(ManifestError::Duplicate { record });
            }
        }
        Ok(Self(entries))
    }

    /// The lines in order.
    #[must_use]
    pub fn entries(&self) -> &[RecordEntry] {
        &self.0
    }

    /// The line of one record.
    #[must_use]
    pub fn entry(&self, record: &RecordId) -> Option<&RecordEntry> {
        self.0.iter().find(|entry| entry.record == *record)
    }

    /// The Merkle root that stands on chain.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.tree().root()
    }

    /// The path of the line at `position` (from 0); none past the end.
    #[must_use]
    pub fn path(&self, position: usize) -> Option<MerklePath> {
        self.tree().path(position)
    }

    /// Length of all ciphertexts together in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|entry| u64::from(entry.bytes)).sum()
    }

    fn tree(&self) -> MerkleTree {
        MerkleTree::new(self.0.iter().map(RecordEntry::leaf))
    }
}

impl TryFrom<Vec<RecordEntry>> for Manifest {
    type Error = ManifestError;
    fn try_from(entries: Vec<RecordEntry>) -> Result<Self, ManifestError> {
        Self::new(entries)
    }
}

impl From<Manifest> for Vec<RecordEntry> {
    fn from(manifest: Manifest) -> Self {
        manifest.0
    }
}
