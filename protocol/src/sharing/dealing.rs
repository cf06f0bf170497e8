//! What kin deal to each other, in a refresh and when the roster changes (opening.md sections 4 and 5).
//!
//! A kin deals a polynomial: its commitments are public and stand on chain, its
//! value for each recipient is secret and travels sealed. A recipient that can
//! use nothing of what it got complains. Then the dealer publishes that one value
//! in the clear, and [`Dealing::judge`] says from the commitments whether it did
//! its part. A false complaint thus harms nobody but the complainer, whose value
//! is public now.
//!
//! Who may complain, until when, and who signed the answer is for the ledger to
//! say. The two kinds of dealing: `refresh`, `reshare`.

use super::polynomial::Polynomial;
use super::{ShareContext, Threshold};
use crate::crypto::group::{Point, Scalar, ScalarBytes};
use crate::crypto::{Digest, OpeningKey, Sealed, SealingKey};
use crate::units::ShareIndex;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The secret value of one dealing for one recipient. Wiped when dropped, never printed.
///
/// Unlike a share it may be zero: a dealing is judged by its commitments alone.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SubShare {
    #[zeroize(skip)]
    dealer: ShareIndex,
    #[zeroize(skip)]
    recipient: ShareIndex,
    scalar: Scalar,
}

/// A sub-share in the clear, as a dealer puts it on chain after a complaint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublishedShare {
    /// Who dealt it: an index of the old roster.
    pub dealer: ShareIndex,
    /// Whom it is for: an index of the roster that the dealing serves.
    pub recipient: ShareIndex,
    /// The value; not decoded yet.
    pub value: ScalarBytes,
}

/// A dealing whose public part cannot be used; the dealer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("dealing of kin {dealer}: {fault}")]
pub struct BadDealing {
    /// Whose dealing it is.
    pub dealer: ShareIndex,
    /// What is wrong.
    pub fault: DealingFault,
}

/// What is wrong with the public part of a dealing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DealingFault {
    /// It was made for another threshold.
    #[error("made for a threshold of {found}, not of {expected}")]
    Threshold {
        /// The threshold it fits.
        found: usize,
        /// The threshold that is wanted.
        expected: usize,
    },
    /// It deals something else than the dealer's share.
    #[error("its first commitment is not the public key of the dealer's share")]
    OtherShare,
}

/// A sub-share that cannot be used, and between whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sub-share of kin {dealer} for {recipient}: {fault}")]
pub struct BadSubShare {
    /// Who dealt.
    pub dealer: ShareIndex,
    /// For whom.
    pub recipient: ShareIndex,
    /// What is wrong.
    pub fault: SubShareFault,
}

/// What is wrong with a sub-share. In the recipient's hands every fault but [`SubShareFault::Recipient`] is a reason
/// to complain; in a [`Verdict`] it convicts the dealer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubShareFault {
    /// The recipient's sealing key is unusable; the recipient is at fault.
    #[error("the recipient's sealing key is unusable")]
    Recipient,
    /// Sealed to another person, for another patient, tier, epoch, pair or purpose, or changed on the way.
    #[error("it cannot be unsealed: wrong key or context, or changed on the way")]
    Unsealable,
    /// Not a canonical scalar.
    #[error("it is no canonical scalar")]
    Encoding,
    /// It does not lie on the committed polynomial.
    #[error("it does not fit the dealer's commitments")]
    Value,
    /// There is none.
    #[error("it is missing")]
    Missing,
}

/// What came of a complaint.
#[derive(Debug)]
#[must_use = "a verdict says whether the dealing stays in the set"]
pub enum Verdict {
    /// The dealer published what it had committed to. The recipient, and anybody, goes on with this value.
    /// Nobody is at fault: what the recipient was sent remains unknown.
    Cleared(SubShare),
    /// The dealer is at fault: its dealing is left out.
    Named(BadSubShare),
}

/// The public part of a dealing: what sub-shares are sealed under and checked against.
pub trait Dealing {
    /// Domain string of the sealed sub-shares; each kind of dealing has its own.
    const DOMAIN: &'static str;

    /// Who dealt.
    fn dealer(&self) -> ShareIndex;

    /// The committed polynomial's value for `recipient`, times `G`.
    fn value_key(&self, recipient: ShareIndex) -> Point;

    /// How many different sub-shares of this dealing can stand in the clear before anybody can compute the whole
    /// polynomial: with one more. What that would mean, each kind says.
    fn publishable(&self) -> usize;

    /// Checks a sub-share of this dealing against the commitments.
    ///
    /// # Errors
    /// [`SubShareFault::Value`] when it does not fit, above all if somebody else dealt it.
    fn verify(&self, sub_share: &SubShare) -> Result<(), BadSubShare> {
        if sub_share.dealer == self.dealer()
            && Point::mul_base(&sub_share.scalar) == self.value_key(sub_share.recipient)
        {
            Ok(())
        } else {
            Err(self.fault(sub_share.recipient, SubShareFault::Value))
        }
    }

    /// Seals a sub-share to its recipient; bound to patient, tier, `context`'s epoch (the one that ends), dealer and
    /// recipient.
    ///
    /// # Errors
    /// [`SubShareFault::Recipient`] when the recipient's key is unusable.
    fn seal(
        &self,
        sub_share: &SubShare,
        context: &ShareContext,
        recipient: &SealingKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, BadSubShare> {
        let info = self.info(sub_share.recipient, context);
        let scalar = Zeroizing::new(sub_share.scalar.to_bytes());
        recipient
            .seal(info.as_ref(), scalar.as_ref(), rng)
            .map_err(|_| self.fault(sub_share.recipient, SubShareFault::Recipient))
    }

    /// Opens the sub-share sealed for `recipient` and checks it.
    ///
    /// # Errors
    /// [`SubShareFault::Unsealable`], [`SubShareFault::Encoding`] or [`SubShareFault::Value`]: complain.
    fn open(
        &self,
        sealed: &Sealed,
        key: &OpeningKey,
        recipient: ShareIndex,
        context: &ShareContext,
    ) -> Result<SubShare, BadSubShare> {
        let bytes = key
            .open(self.info(recipient, context).as_ref(), sealed)
            .map_err(|_| self.fault(recipient, SubShareFault::Unsealable))?;
        let bytes = Zeroizing::new(bytes);
        let value = <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new);
        let value = value.map_err(|_| self.fault(recipient, SubShareFault::Encoding))?;
        self.read(recipient, &value)
    }

    /// Judges what the dealer published after `recipient` complained; `None` once the time for it has passed. An
    /// answer to another complaint is none.
    fn judge(&self, recipient: ShareIndex, answer: Option<&PublishedShare>) -> Verdict {
        let answer = answer
            .filter(|answer| (answer.dealer, answer.recipient) == (self.dealer(), recipient))
            .ok_or_else(|| self.fault(recipient, SubShareFault::Missing));
        match answer.and_then(|answer| self.read(recipient, &answer.value.0)) {
            Ok(sub_share) => Verdict::Cleared(sub_share),
            Err(fault) => Verdict::Named(fault),
        }
    }

    /// Decodes and checks the value for `recipient`.
    ///
    /// # Errors
    /// [`SubShareFault::Encoding`] or [`SubShareFault::Value`].
    fn read(&self, recipient: ShareIndex, value: &[u8; 32]) -> Result<SubShare, BadSubShare> {
        let scalar = ScalarBytes(*value)
            .decode()
            .map_err(|_| self.fault(recipient, SubShareFault::Encoding))?;
        let sub_share = SubShare::new(self.dealer(), recipient, scalar);
        self.verify(&sub_share)?;
        Ok(sub_share)
    }

    /// `fault`, put to this dealing's account.
    fn fault(&self, recipient: ShareIndex, fault: SubShareFault) -> BadSubShare {
        let dealer = self.dealer();
        BadSubShare {
            dealer,
            recipient,
            fault,
        }
    }

    /// What the seal of the sub-share for `recipient` is bound to.
    fn info(&self, recipient: ShareIndex, context: &ShareContext) -> Digest {
        let mut writer = context.writer(Self::DOMAIN);
        writer
            .number(u64::from(self.dealer().get()))
            .number(u64::from(recipient.get()));
        writer.finish()
    }
}

impl SubShare {
    fn new(dealer: ShareIndex, recipient: ShareIndex, scalar: Scalar) -> Self {
        Self {
            dealer,
            recipient,
            scalar,
        }
    }

    /// Who dealt it.
    #[must_use]
    pub fn dealer(&self) -> ShareIndex {
        self.dealer
    }

    /// Whom it is for.
    #[must_use]
    pub fn recipient(&self) -> ShareIndex {
        self.recipient
    }

    pub(super) fn scalar(&self) -> &Scalar {
        &self.scalar
    }

    /// The value in the clear: the dealer's answer to a complaint. From then on it is no secret.
    #[must_use]
    pub fn publish(&self) -> PublishedShare {
        PublishedShare {
            dealer: self.dealer,
            recipient: self.recipient,
            value: ScalarBytes::from(&self.scalar),
        }
    }
}

/// The value of the dealt polynomial for every index of `threshold`, ascending.
pub(super) fn values(
    dealer: ShareIndex,
    polynomial: &Polynomial,
    threshold: Threshold,
) -> Vec<SubShare> {
    threshold
        .indices()
        .map(|recipient| SubShare::new(dealer, recipient, polynomial.value(recipient)))
        .collect()
}

impl core::fmt::Debug for SubShare {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (dealer, recipient) = (self.dealer, self.recipient);
        write!(f, "SubShare({dealer} for {recipient}, <redacted>)")
    }
}
