//! What an opening is bound to (opening.md section 3).

use super::SessionPublic;
use crate::bytes::byte_newtype;
use crate::crypto::{Digest, HashWriter};
use crate::ids::{AccountId, ChainId, PatientId, TxId};
use crate::units::{CircleKind, Epoch, Height, Tier};

byte_newtype!(
    /// `rho`: the one finalized request that an opening serves.
    Rho, 32
);

impl Rho {
    /// `H(domain, chain, height, index, transaction)` for the request that stands in the block of `height` as
    /// transaction number `index` (from 0).
    #[must_use]
    pub fn of(chain: &ChainId, height: Height, index: u32, request: &TxId) -> Self {
        let mut writer = HashWriter::new("kithkin/rho/1");
        writer
            .field(chain)
            .number(height.0)
            .number(u64::from(index))
            .field(request);
        Self(writer.finish().0)
    }

    /// For shares released to a patient's new device: `H(domain, chain, patient, device, epoch)`. A key speaks for a patient once.
    #[must_use]
    pub fn of_recovery(
        chain: &ChainId,
        patient: &PatientId,
        device: &AccountId,
        epoch: Epoch,
    ) -> Self {
        let mut writer = HashWriter::new("kithkin/rho-recovery/1");
        writer
            .field(chain)
            .field(patient)
            .field(device)
            .number(u64::from(epoch.0));
        Self(writer.finish().0)
    }
}

/// What an opening is bound to. A partial opening made for one context serves no other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpeningContext {
    /// The ledger.
    pub chain: ChainId,
    /// The finalized request.
    pub rho: Rho,
    /// Digest of every field of the request but the proof in `session`, which is bound to it.
    pub request: Digest,
    /// Whose records.
    pub patient: PatientId,
    /// Of which tier.
    pub tier: Tier,
    /// Whose shares open: both circles count their indices from 1, and the commitments are those of this circle.
    pub circle: CircleKind,
    /// The generation of shares that opens.
    pub epoch: Epoch,
    /// The requester's point with its proof.
    pub session: SessionPublic,
}
