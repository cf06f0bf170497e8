//! Receipts: a kin's signature that it checked and durably stored its shards of one upload (opening.md section 2).

use crate::crypto::{Digest, HashWriter, Signature, SigningKey, VerifyingKey, hash, merkle};
use crate::ids::{ChainId, KinId, PatientId};
use crate::sharing::KIN_MAX;
use crate::units::{Epoch, ShareIndex, Tier};
use serde::{Deserialize, Serialize};

/// What a kin signs for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceiptBody {
    /// The ledger.
    pub chain: ChainId,
    /// Who stored.
    pub kin: KinId,
    /// The kin's place in the roster.
    pub index: ShareIndex,
    /// Whose records.
    pub patient: PatientId,
    /// Of which tier.
    pub tier: Tier,
    /// Generation of the roster.
    pub epoch: Epoch,
    /// The upload.
    pub manifest_root: Digest,
    /// [`held_digest`] of the kin's own shards.
    pub held: Digest,
}

/// A signed receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// What was signed.
    pub body: ReceiptBody,
    /// By the kin's key.
    pub signature: Signature,
}

/// A receipt as it stands on chain, beside its batch's header: all else in its body follows from header and roster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceiptLine {
    /// The kin's place in the roster.
    pub index: ShareIndex,
    /// [`held_digest`] of the kin's own shards.
    pub held: Digest,
    /// By the kin's key, over the whole [`ReceiptBody`].
    pub signature: Signature,
}

impl From<&Receipt> for ReceiptLine {
    fn from(receipt: &Receipt) -> Self {
        Self {
            index: receipt.body.index,
            held: receipt.body.held,
            signature: receipt.signature,
        }
    }
}

/// What can be wrong with receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not signed by the kin that it names.
    #[error("the receipt is not signed by kin {kin}")]
    Signature {
        /// Whose receipt it claims to be.
        kin: KinId,
    },
    /// Two receipts of one share index.
    #[error("there are two receipts for share index {index}")]
    Duplicate {
        /// The index in question.
        index: ShareIndex,
    },
    /// More than there can be kin.
    #[error("{found} receipts; a patient has at most {KIN_MAX} kin")]
    TooMany {
        /// How many were given.
        found: usize,
    },
}

impl ReceiptBody {
    /// Signs the receipt.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> Receipt {
        let signature = key.sign(self.digest().as_ref());
        Receipt {
            body: self,
            signature,
        }
    }

    fn digest(&self) -> Digest {
        let mut writer = HashWriter::new("kithkin/receipt/1");
        writer
            .field(self.chain)
            .field(self.kin)
            .number(u64::from(self.index.get()))
            .field(self.patient)
            .field(self.tier.as_str())
            .number(u64::from(self.epoch.0))
            .field(self.manifest_root)
            .field(self.held);
        writer.finish()
    }
}

impl Receipt {
    /// Checks that `key` is the key of the kin that the receipt names, and that it signed.
    ///
    /// # Errors
    /// [`ReceiptError::Signature`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), ReceiptError> {
        let kin = self.body.kin;
        if KinId::of(key) != kin {
            return Err(ReceiptError::Signature { kin });
        }
        key.verify(self.body.digest().as_ref(), &self.signature)
            .map_err(|_| ReceiptError::Signature { kin })
    }

    fn leaf(&self) -> Digest {
        let signed = self.body.digest();
        hash(
            "kithkin/receipt-leaf/1",
            &[signed.as_ref(), self.signature.as_ref()],
        )
    }
}

/// The Merkle root over receipts, in the order of their share indices.
///
/// # Errors
/// [`ReceiptError::TooMany`] or [`ReceiptError::Duplicate`]. Signatures are the caller's to check.
pub fn receipts_root(receipts: &[Receipt]) -> Result<Digest, ReceiptError> {
    if receipts.len() > KIN_MAX {
        let found = receipts.len();
        return Err(ReceiptError::TooMany { found });
    }
    let mut sorted: Vec<&Receipt> = receipts.iter().collect();
    sorted.sort_by_key(|receipt| receipt.body.index);
    for pair in sorted.windows(2) {
        if let [a, b] = pair
            && a.body.index == b.body.index
        {
            let index = a.body.index;
            return Err(ReceiptError::Duplicate { index });
        }
    }
    Ok(merkle::root(sorted.into_iter().map(Receipt::leaf)))
}

/// Digest of the leaves ([`super::Shard::leaf`]) of a kin's shards, in the order of the manifest.
#[must_use]
pub fn held_digest(leaves: impl IntoIterator<Item = Digest>) -> Digest {
    let mut writer = HashWriter::new("kithkin/held/1");
    for leaf in leaves {
        writer.field(leaf);
    }
    writer.finish()
}
