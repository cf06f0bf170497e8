//! A partial opening on its way: signed by the kin, then sealed to the request's session key (opening.md section 3).
//!
//! HPKE's base mode does not say who sealed; the signature inside does. The
//! digest that is signed also goes on chain before anything is sent.

use super::{
    BadPartial, CheckedPartial, Opening, OpeningContext, PartialOpening, Rho, check_partial,
    check_partials,
};
use crate::crypto::{
    Digest, HashWriter, OpeningKey, Sealed, SealingKey, Signature, SigningKey, VerifyingKey,
    verify_each,
};
use crate::wire;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

/// A partial opening with its author's signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedPartial {
    /// The partial opening.
    pub partial: PartialOpening,
    /// The kin's signature over [`PartialOpening::digest`].
    pub signature: Signature,
}

/// Why a partial opening could not be sent or received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// The session key is unusable.
    #[error("the request's session key is unusable")]
    Recipient,
    /// Not sealed to this session key in this context, or changed on the way.
    #[error("not sealed to this session, or changed on the way")]
    Unsealable,
    /// Sealed well, but not a partial opening.
    #[error("the sealed message is no partial opening")]
    Malformed,
    /// Not signed by this key: says nothing about who is at fault.
    #[error("the partial opening is not signed by this kin")]
    Signature,
    /// Signed, and bad: its author is at fault.
    #[error(transparent)]
    Partial(#[from] BadPartial),
}

impl PartialOpening {
    /// `H(domain, rho, i, D, proof)`: what the kin signs and puts on chain.
    #[must_use]
    pub fn digest(&self, rho: &Rho) -> Digest {
        let mut writer = HashWriter::new("kithkin/partial/2");
        writer
            .field(rho)
            .number(u64::from(self.index.get()))
            .number(self.points.len() as u64);
        for point in &self.points {
            writer.field(point);
        }
        writer
            .field(self.proof.on_base)
            .field(self.proof.on_m)
            .field(self.proof.response);
        writer.finish()
    }

    /// Signs the partial opening as part of the case of `rho`.
    #[must_use]
    pub fn sign(self, rho: &Rho, key: &SigningKey) -> SignedPartial {
        let signature = key.sign(self.digest(rho).as_ref());
        SignedPartial {
            partial: self,
            signature,
        }
    }
}

impl SignedPartial {
    /// Checks signature and proof, and keeps what the check has decoded. The caller knows which key belongs to the
    /// share's index.
    ///
    /// # Errors
    /// [`ReleaseError::Signature`] or [`ReleaseError::Partial`].
    pub fn check(
        &self,
        opening: &Opening,
        kin: &VerifyingKey,
    ) -> Result<CheckedPartial, ReleaseError> {
        let digest = self.partial.digest(&opening.context().rho);
        kin.verify(digest.as_ref(), &self.signature)
            .map_err(|_| ReleaseError::Signature)?;
        Ok(check_partial(opening, &self.partial)?)
    }

    /// [`SignedPartial::check`] for several at once, in their order: signatures in one batch, proofs in one sum. If one of them
    /// is bad, each is looked at by itself.
    #[must_use]
    pub fn check_all(
        opening: &Opening,
        answers: &[(&Self, VerifyingKey)],
    ) -> Vec<Result<CheckedPartial, ReleaseError>> {
        let rho = &opening.context().rho;
        let digests: Vec<Digest> = answers
            .iter()
            .map(|(signed, _)| signed.partial.digest(rho))
            .collect();
        let items: Vec<(VerifyingKey, &[u8], Signature)> = answers
            .iter()
            .zip(&digests)
            .map(|((signed, kin), digest)| (*kin, digest.as_ref(), signed.signature))
            .collect();
        let signatures = verify_each(&items);
        let by_kin = || answers.iter().zip(&signatures);
        let signed: Vec<&PartialOpening> = by_kin()
            .filter(|(_, holds)| **holds)
            .map(|((signed, _), _)| &signed.partial)
            .collect();
        let mut partials = check_partials(opening, &signed).into_iter();
        by_kin()
            .map(|(_, holds)| {
                let partial = if *holds { partials.next() } else { None };
                Ok(partial.ok_or(ReleaseError::Signature)??)
            })
            .collect()
    }

    /// [`SignedPartial::check`] for whom the verdict is enough.
    ///
    /// # Errors
    /// [`ReleaseError::Signature`] or [`ReleaseError::Partial`].
    pub fn verify(&self, opening: &Opening, kin: &VerifyingKey) -> Result<(), ReleaseError> {
        self.check(opening, kin).map(drop)
    }

    /// Seals to the session key that the request names.
    ///
    /// # Errors
    /// [`ReleaseError::Recipient`].
    pub fn seal(
        &self,
        context: &OpeningContext,
        session_key: &SealingKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, ReleaseError> {
        session_key
            .seal(info(context).as_ref(), &wire::encode(self), rng)
            .map_err(|_| ReleaseError::Recipient)
    }

    /// Opens what [`SignedPartial::seal`] sealed; nothing inside is checked yet.
    ///
    /// # Errors
    /// [`ReleaseError::Unsealable`] or [`ReleaseError::Malformed`].
    pub fn unseal(
        sealed: &Sealed,
        context: &OpeningContext,
        session_key: &OpeningKey,
    ) -> Result<Self, ReleaseError> {
        let frame = session_key
            .open(info(context).as_ref(), sealed)
            .map_err(|_| ReleaseError::Unsealable)?;
        wire::decode(&frame).map_err(|_| ReleaseError::Malformed)
    }
}

fn info(context: &OpeningContext) -> Digest {
    let mut writer = HashWriter::new("kithkin/partial-transport/1");
    writer
        .field(context.rho)
        .field(context.patient)
        .field(context.tier.as_str())
        .field(context.circle.as_str())
        .number(u64::from(context.epoch.0));
    writer.finish()
}
