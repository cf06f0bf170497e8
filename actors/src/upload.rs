//! An upload as it travels and rests: manifest and capsules, which every kin and the hospital keep whole.
//!
//! Ciphertexts and shards travel beside it. All checks are those of
//! `kithkin_protocol::record`; this is their common shape in messages and stores.

use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{ChainId, HospitalId, PatientId, RecordId};
use kithkin_protocol::ledger::Enrolment;
use kithkin_protocol::record::{Capsule, CapsuleError, CheckedCapsule, Manifest, SealContext};
use kithkin_protocol::sharing::{Commitments, Threshold};
use kithkin_protocol::units::{Epoch, Tier};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// One upload of records of one tier, without the ciphertexts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The ledger.
    pub chain: ChainId,
    /// Whose records.
    pub patient: PatientId,
    /// Of which tier.
    pub tier: Tier,
    /// Who sealed them.
    pub author: HospitalId,
    /// Generation of the roster that holds the shards.
    pub epoch: Epoch,
    /// One entry per record.
    pub manifest: Manifest,
    /// One capsule per entry, in its order.
    pub capsules: Vec<Capsule>,
}

/// What can be wrong with an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// Not one capsule per record.
    #[error("{capsules} capsules for {records} records")]
    Count {
        /// Capsules given.
        capsules: usize,
        /// Records in the manifest.
        records: usize,
    },
    /// A capsule does not belong where it stands, or its proof does not hold.
    #[error("the capsule of record {record} is bad: {source}")]
    Capsule {
        /// The record.
        record: RecordId,
        /// Why.
        source: CapsuleError,
    },
}

impl Upload {
    /// Names the upload; stands in its header on chain.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.manifest.root()
    }

    /// What a record's ciphertext and capsule are bound to.
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

    /// Checks every capsule against its entry and the tier's key.
    ///
    /// # Errors
    /// [`UploadError`] naming the first bad record.
    pub fn check(&self, commitments: &Commitments) -> Result<Vec<CheckedCapsule>, UploadError> {
        let entries = self.manifest.entries();
        if entries.len() != self.capsules.len() {
            return Err(UploadError::Count {
                capsules: self.capsules.len(),
                records: entries.len(),
            });
        }
        entries
            .iter()
            .zip(&self.capsules)
            .map(|(entry, capsule)| {
                let context = self.context(entry.record);
                capsule
                    .check(&context, entry, commitments.public_key())
                    .map_err(|source| UploadError::Capsule {
                        record: entry.record,
                        source,
                    })
            })
            .collect()
    }
}

/// How shards of a roster are cut: any majority rebuilds, whatever the tier's threshold.
#[must_use]
pub fn shard_threshold(enrolment: &Enrolment) -> Option<Threshold> {
    Threshold::majority(enrolment.roster.len()).ok()
}

/// A record that was opened. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct OpenedRecord {
    /// The tier.
    #[zeroize(skip)]
    pub tier: Tier,
    /// The record.
    #[zeroize(skip)]
    pub record: RecordId,
    /// The upload that it came with.
    #[zeroize(skip)]
    pub root: Digest,
    /// The plaintext.
    pub bytes: Vec<u8>,
}

impl core::fmt::Debug for OpenedRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "OpenedRecord({}, {}, {} bytes <redacted>)",
            self.tier,
            self.record,
            self.bytes.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hospital::messages::WriteRecord;
    use kithkin_protocol::units::Millis;
    use std::sync::Arc;

    #[test]
    fn plaintext_is_not_printed_and_is_wiped() {
        let bytes = b"Penicillin allergy".to_vec();
        let write = WriteRecord {
            patient: PatientId([1; 32]),
            bundle: Arc::new(bytes.clone()),
            patience_ms: Millis(1),
        };
        let mut record = OpenedRecord {
            tier: Tier::Summary,
            record: RecordId([2; 32]),
            root: Digest([3; 32]),
            bytes,
        };
        for text in [
            format!("{write:?}"),
            format!("{record:?}"),
            format!("{write:#?}"),
        ] {
            let printed = text.contains("80, 101") || text.contains("enicillin");
            assert!(!printed && text.contains("18 bytes <redacted>"), "{text}");
        }
        fn wiped_when_dropped<T: ZeroizeOnDrop>(_: &T) {}
        wiped_when_dropped(&record);
        record.zeroize();
        assert!(record.bytes.is_empty());
    }
}
