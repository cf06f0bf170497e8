//! A hospital's receipt of deletion: its signature that it destroyed its copies of an upload and the key that they were under.
//!
//! As with a kin's ([`super::Erasure`]), no signature shows that nothing was kept; it says who answers for it.

use crate::crypto::{Digest, HashWriter, Signature, SigningKey, VerifyingKey};
use crate::ids::{BatchId, ChainId, HospitalId, PatientId};
use crate::units::{Millis, Tier};
use serde::{Deserialize, Serialize};

/// What a hospital signs for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CopiesErasedBody {
    /// The ledger.
    pub chain: ChainId,
    /// Who erased.
    pub hospital: HospitalId,
    /// Whose records.
    pub patient: PatientId,
    /// Of which tier.
    pub tier: Tier,
    /// The batch.
    pub batch: BatchId,
    /// Root of its manifest.
    pub manifest_root: Digest,
    /// How many records it had copies of; 0 if it had none.
    pub records: u32,
    /// When, by the hospital's clock.
    pub at: Millis,
}

/// A signed receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CopiesErased {
    /// What was signed.
    pub body: CopiesErasedBody,
    /// By the hospital's key.
    pub signature: Signature,
}

/// Not signed by the hospital that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receipt of deletion is not signed by hospital {hospital}")]
pub struct CopiesErasedError {
    /// Whose it claims to be.
    pub hospital: HospitalId,
}

impl CopiesErasedBody {
    /// Signs the receipt.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> CopiesErased {
        let signature = key.sign(self.digest().as_ref());
        CopiesErased {
            body: self,
            signature,
        }
    }

    fn digest(&self) -> Digest {
        let mut writer = HashWriter::new("kithkin/copies-erased/1");
        writer
            .field(self.chain)
            .field(self.hospital)
            .field(self.patient)
            .field(self.tier.as_str())
            .field(self.batch)
            .field(self.manifest_root)
            .number(u64::from(self.records))
            .number(self.at.0);
        writer.finish()
    }
}

impl CopiesErased {
    /// Checks that `key` is the key of the hospital that the receipt names, and that it signed.
    ///
    /// # Errors
    /// [`CopiesErasedError`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), CopiesErasedError> {
        let hospital = self.body.hospital;
        let refused = CopiesErasedError { hospital };
        if HospitalId::of(key) != hospital {
            return Err(refused);
        }
        let digest = self.body.digest();
        let verified = key.verify(digest.as_ref(), &self.signature);
        verified.map_err(|_| refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret32;

    #[test]
    fn it_is_its_hospitals_and_covers_every_field() {
        let key = SigningKey::from_seed(Secret32::new([1; 32]));
        let stranger = SigningKey::from_seed(Secret32::new([2; 32]));
        let body = CopiesErasedBody {
            chain: ChainId([1; 32]),
            hospital: HospitalId::of(&key.verifying_key()),
            patient: PatientId([2; 32]),
            tier: Tier::Chart,
            batch: BatchId([3; 32]),
            manifest_root: Digest([4; 32]),
            records: 5,
            at: Millis(6),
        };
        let good = body.sign(&key);
        assert_eq!(good.verify(&key.verifying_key()), Ok(()));
        let hospital = body.hospital;
        let bad = Err(CopiesErasedError { hospital });
        assert_eq!(good.verify(&stranger.verifying_key()), bad);
        assert_eq!(body.sign(&stranger).verify(&key.verifying_key()), bad);
        let change: [fn(&mut CopiesErasedBody); 7] = [
            |b| b.chain = ChainId([0; 32]),
            |b| b.patient = PatientId([0; 32]),
            |b| b.tier = Tier::Summary,
            |b| b.batch = BatchId([0; 32]),
            |b| b.manifest_root = Digest([0; 32]),
            |b| b.records = 6,
            |b| b.at = Millis(7),
        ];
        for (n, change) in change.into_iter().enumerate() {
            let mut changed = good;
            change(&mut changed.body);
            assert_eq!(changed.verify(&key.verifying_key()), bad, "field {n}");
        }
    }
}
