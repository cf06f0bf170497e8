//! The manifest of one upload: a line for each record, in order, under one Merkle root (opening.md section 2).
//!
//! Kept whole by every kin and by the hospital; only its root stands on chain.
//! A leaf also binds where the line's ciphertext starts when all of the upload's
//! stand one behind the other. So a place drawn from the total length on chain,
//! which is all that a verifier knows, belongs to one line only, and a line shows
//! that it is the one ([`crate::record::Challenge`]).

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

/// A line with the proof that it stands in a manifest, and where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ManifestLine {
    /// What the line says.
    pub entry: RecordEntry,
    /// Length of the ciphertexts of all lines before it, in bytes.
    pub start: u64,
    /// From the line to the manifest's root.
    pub path: MerklePath,
}

impl RecordEntry {
    /// The entry's Merkle leaf; covers every field and the place.
    fn leaf(&self, start: u64) -> Digest {
        let mut writer = HashWriter::new("kithkin/manifest-entry/2");
        writer
            .field(self.record)
            .field(self.commitment)
            .field(self.ciphertext)
            .field(self.capsule)
            .field(self.shard_root)
            .number(u64::from(self.bytes))
            .number(start);
        writer.finish()
    }
}

impl ManifestLine {
    /// Checks that the line stands in the manifest of `root`, at this place.
    ///
    /// # Errors
    /// [`ManifestError::Path`].
    pub fn verify(&self, root: &Digest) -> Result<(), ManifestError> {
        let leaf = self.entry.leaf(self.start);
        Ok(self.path.verify(leaf.as_ref(), root)?)
    }

    /// Where the line's ciphertext ends, in bytes.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start.saturating_add(u64::from(self.entry.bytes))
    }

    /// Whether no line stands behind it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.path.index.checked_add(1) == Some(self.path.leaves)
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

    /// The line at `position` (from 0) with its proof; none past the end.
    #[must_use]
    pub fn line(&self, position: usize) -> Option<ManifestLine> {
        let (start, entry) = self.placed().nth(position)?;
        Some(ManifestLine {
            entry: entry.clone(),
            start,
            path: self.path(position)?,
        })
    }

    /// Position of the line whose ciphertext has the byte at `offset`, when all stand one behind the other; none past the end.
    #[must_use]
    pub fn position_at(&self, offset: u64) -> Option<usize> {
        self.placed()
            .position(|(start, entry)| offset < start.saturating_add(u64::from(entry.bytes)))
    }

    /// Length of all ciphertexts together in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|entry| u64::from(entry.bytes)).sum()
    }

    fn tree(&self) -> MerkleTree {
        MerkleTree::new(self.placed().map(|(start, entry)| entry.leaf(start)))
    }

    /// Every line with the length of those before it.
    fn placed(&self) -> impl Iterator<Item = (u64, &RecordEntry)> {
        self.0.iter().scan(0u64, |next, entry| {
            let start = *next;
            *next = start.saturating_add(u64::from(entry.bytes));
            Some((start, entry))
        })
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
