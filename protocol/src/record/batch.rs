//! What stands on chain of one upload: one header, whatever the number of records (opening.md section 2).

use super::{CIPHERTEXT_BYTES_MAX, Manifest, RECORDS_MAX, SealContext};
use crate::crypto::{Digest, HashWriter};
use crate::ids::{BatchId, ChainId, HospitalId, PatientId, RecordId};
use crate::sharing::{Threshold, majority};
use crate::units::{Epoch, Tier};
use serde::{Deserialize, Serialize};

/// How many kin hold their shards of an upload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchStatus {
    /// More than half, so it can be opened; but not all.
    Degraded,
    /// All of them.
    Stored,
}

impl BatchStatus {
    /// The status that `receipts` out of `kin` allow; none for half of them or fewer.
    #[must_use]
    pub fn of(receipts: usize, kin: usize) -> Option<Self> {
        if receipts > kin || receipts < majority(kin) {
            None
        } else if receipts == kin {
            Some(Self::Stored)
        } else {
            Some(Self::Degraded)
        }
    }

    /// The status in text and in hashes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Degraded => "degraded",
            Self::Stored => "stored",
        }
    }
}

/// The header of one upload of records of one tier. Signed by the transaction that carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BatchHeader {
    /// The ledger.
    pub chain: ChainId,
    /// Whose records.
    pub patient: PatientId,
    /// Of which tier.
    pub tier: Tier,
    /// Who wrote them.
    pub author: HospitalId,
    /// Generation of the roster that holds the shards.
    pub epoch: Epoch,
    /// Merkle root of the manifest.
    pub manifest_root: Digest,
    /// Number of records, 1 to [`RECORDS_MAX`].
    pub records: u32,
    /// Length of all ciphertexts together in bytes.
    pub bytes: u64,
    /// [`super::receipts_root`] of the kin's receipts.
    pub receipts_root: Digest,
    /// Number of receipts under that root.
    pub receipts: u8,
    /// What the number of receipts means for the roster.
    pub status: BatchStatus,
}

/// What can be wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// No record, or more than [`RECORDS_MAX`].
    #[error("an upload has 1 to {RECORDS_MAX} records, not {records}")]
    Records {
        /// What the header says.
        records: u32,
    },
    /// A total length that so many records cannot have.
    #[error("{bytes} bytes cannot be the length of {records} ciphertexts")]
    Bytes {
        /// What the header says.
        bytes: u64,
        /// How many records it has.
        records: u32,
    },
    /// The number of receipts does not give the claimed status.
    #[error("{receipts} receipts of {kin} kin do not make this upload {claimed:?}")]
    Status {
        /// What the header claims.
        claimed: BatchStatus,
        /// How many receipts it counts.
        receipts: u8,
        /// How many kin there are.
        kin: usize,
    },
}

impl BatchHeader {
    /// The header's identifier; covers every field.
    #[must_use]
    pub fn id(&self) -> BatchId {
        let mut writer = HashWriter::new("kithkin/batch/1");
        writer
            .field(self.chain)
            .field(self.patient)
            .field(self.tier.as_str())
            .field(self.author)
            .number(u64::from(self.epoch.0))
            .field(self.manifest_root)
            .number(u64::from(self.records))
            .number(self.bytes)
            .field(self.receipts_root)
            .number(u64::from(self.receipts))
            .field(self.status.as_str());
        writer.finish().into()
    }

    /// Checks what the ledger can check, given the roster of the header's epoch.
    ///
    /// # Errors
    /// Every [`BatchError`].
    pub fn check(&self, roster: Threshold) -> Result<(), BatchError> {
        let (records, bytes) = (self.records, self.bytes);
        if records == 0 || u64::from(records) > RECORDS_MAX as u64 {
            return Err(BatchError::Records { records });
        }
        let longest = u64::from(records) * CIPHERTEXT_BYTES_MAX as u64;
        if !(u64::from(records)..=longest).contains(&bytes) {
            return Err(BatchError::Bytes { bytes, records });
        }
        if BatchStatus::of(usize::from(self.receipts), roster.kin()) != Some(self.status) {
            return Err(BatchError::Status {
                claimed: self.status,
                receipts: self.receipts,
                kin: roster.kin(),
            });
        }
        Ok(())
    }

    /// Whether `manifest` is the one that the header stands for.
    #[must_use]
    pub fn covers(&self, manifest: &Manifest) -> bool {
        manifest.root() == self.manifest_root
            && manifest.entries().len() as u64 == u64::from(self.records)
            && manifest.bytes() == self.bytes
    }

    /// What the record's ciphertext and capsule are bound to.
    #[must_use]
    pub fn context(&self, record: RecordId) -> SealContext {
        SealContext {
            chain: self.chain,
            patient: self.patient,
            record,
            tier: self.tier,
            author: self.author,
        }
    }
}
