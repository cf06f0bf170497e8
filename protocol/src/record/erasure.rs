//! Receipts of deletion: a kin's signature that it erased its shards of a batch, or of some of its records.
//!
//! No signature shows that nothing was kept; it says who answers for it. From then on the
//! kin need not show these shards any more ([`super::Duty::erased`]), and may not.
//!
//! Not here: what may be erased to make room ([`super::prunable`]), and who may order it.

use super::ReceiptBody;
use crate::crypto::{Digest, HashWriter, Signature, SigningKey, VerifyingKey};
use crate::ids::{BatchId, ChainId, KinId, PatientId, RecordId};
use crate::units::{Epoch, Millis, ShareIndex, Tier};
use serde::{Deserialize, Serialize};

/// Most single records that one receipt names; 1,024 take 35 KiB, and whoever erased more signs several.
pub const ERASED_MAX: usize = 1_024;

/// What of a batch was erased.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Erased {
    /// All of it.
    Batch,
    /// Single records: 1 to [`ERASED_MAX`], in ascending order, none twice.
    Records(Vec<RecordId>),
}

/// What a kin signs for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErasureBody {
    /// The ledger.
    pub chain: ChainId,
    /// Who erased.
    pub kin: KinId,
    /// Whose shards: the kin's own share index, or a slot that it took over.
    pub slot: ShareIndex,
    /// Whose records.
    pub patient: PatientId,
    /// Of which tier.
    pub tier: Tier,
    /// Generation of the roster in which the kin erased.
    pub epoch: Epoch,
    /// The batch.
    pub batch: BatchId,
    /// What of it.
    pub erased: Erased,
    /// [`super::held_digest`] of the erased shards, in the order of the manifest: for a whole batch what the kin's storage receipt says.
    pub held: Digest,
    /// When, by the kin's clock.
    pub at: Millis,
}

/// A signed receipt of deletion.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Erasure {
    /// What was signed.
    pub body: ErasureBody,
    /// By the kin's key.
    pub signature: Signature,
}

/// What can be wrong with a receipt of deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ErasureError {
    /// Not signed by the kin that it names.
    #[error("the receipt of deletion is not signed by kin {kin}")]
    Signature {
        /// Whose it claims to be.
        kin: KinId,
    },
    /// No record, or more than [`ERASED_MAX`].
    #[error("a receipt of deletion names 1 to {ERASED_MAX} records, not {found}")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// Records out of order, or one twice.
    #[error("record {record} does not stand behind the one before it")]
    Order {
        /// The record in question.
        record: RecordId,
    },
}

impl Erased {
    /// Whether the record is among what was erased.
    #[must_use]
    pub fn covers(&self, record: &RecordId) -> bool {
        match self {
            Self::Batch => true,
            Self::Records(records) => records.binary_search(record).is_ok(),
        }
    }

    fn check(&self) -> Result<(), ErasureError> {
        let Self::Records(records) = self else {
            return Ok(());
        };
        let found = records.len();
        if !(1..=ERASED_MAX).contains(&found) {
            return Err(ErasureError::Count { found });
        }
        let behind = records.iter().skip(1);
        match records.iter().zip(behind).find(|(a, b)| a >= b) {
            Some((_, record)) => Err(ErasureError::Order { record: *record }),
            None => Ok(()),
        }
    }
}

impl ErasureBody {
    /// Signs the receipt.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> Erasure {
        let signature = key.sign(self.digest().as_ref());
        Erasure {
            body: self,
            signature,
        }
    }

    /// Whether this ends what the kin promised with a storage receipt: the same kin, shards and patient, and all of them.
    #[must_use]
    pub fn ends(&self, receipt: &ReceiptBody) -> bool {
        self.erased == Erased::Batch
            && (self.chain, self.patient, self.tier)
                == (receipt.chain, receipt.patient, receipt.tier)
            && (self.kin, self.slot, self.held) == (receipt.kin, receipt.index, receipt.held)
    }

    fn digest(&self) -> Digest {
        let mut writer = HashWriter::new("kithkin/erasure/1");
        writer
            .field(self.chain)
            .field(self.kin)
            .number(u64::from(self.slot.get()))
            .field(self.patient)
            .field(self.tier.as_str())
            .number(u64::from(self.epoch.0))
            .field(self.batch)
            .field(self.held)
            .number(self.at.0);
        // The kind comes first, so that a list of no records is not the whole batch.
        match &self.erased {
            Erased::Batch => _ = writer.number(0),
            Erased::Records(records) => {
                writer.number(1).number(records.len() as u64);
                for record in records {
                    writer.field(record);
                }
            }
        }
        writer.finish()
    }
}

impl Erasure {
    /// Checks the shape, that `key` is the key of the kin that the receipt names, and that it signed.
    ///
    /// # Errors
    /// Every [`ErasureError`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), ErasureError> {
        self.body.erased.check()?;
        let kin = self.body.kin;
        if KinId::of(key) != kin {
            return Err(ErasureError::Signature { kin });
        }
        key.verify(self.body.digest().as_ref(), &self.signature)
            .map_err(|_| ErasureError::Signature { kin })
    }
}
