//! What a patient's device says about the second circle after the enrolment: it names one, another one, the same one with
//! other shares, or none (ADR 35).
//!
//! When such a word counts, and what it changes, is in [`super::execute`].

use crate::crypto::{Digest, hash};
use crate::ids::{ChainId, KinId, PatientId};
use crate::ledger::enrolment::{Enrolment, EnrolmentError, SecondCircle};
use crate::ledger::epochs::CircleEpochs;
use crate::ledger::patient::Patient;
use crate::units::{CircleKind, Tier};
use crate::wire;
use serde::{Deserialize, Serialize};

/// A word about the second circle. Its members have signed it; the first circle is not asked, whose shares and majority
/// it leaves alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondWord {
    /// The roster in whose time it is said, and the epoch of the second circle that it makes: one more than the present.
    pub epochs: CircleEpochs,
    /// Who is in it from now on, and their acceptances of [`Self::digest`]; none when there is to be no second circle.
    pub circle: Option<SecondCircle>,
}

/// A word about the second circle that does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecondError {
    /// Dealt for other rosters than the present ones.
    #[error("it was dealt for epoch {found}, and due is epoch {due}; have it accepted anew")]
    Epochs {
        /// What it names.
        found: CircleEpochs,
        /// What it has to name.
        due: CircleEpochs,
    },
    /// There is no second circle that could be withdrawn.
    #[error("the patient has named no second circle")]
    None,
    /// A case is live, and perhaps just this circle is being asked.
    #[error(
        "a case about the patient is under way; name the second circle when it is over, or veto it"
    )]
    Live,
    /// The keys lay on a lost device.
    #[error("the keys lay on the lost device; deal other keys first, then name the second circle")]
    Recovering,
    /// Not independent of the sharing that it replaces: shares of both would add up.
    #[error("the sharing has a coefficient in common with the second circle's sharing before it")]
    OldSharing,
    /// The circle cannot stand beside the first.
    #[error(transparent)]
    Circle(#[from] EnrolmentError),
}

impl SecondWord {
    /// Digest of all that the members sign.
    #[must_use]
    pub fn digest(&self, chain: ChainId, patient: PatientId) -> Digest {
        hash(
            "kithkin/second-circle/1",
            &[
                chain.as_ref(),
                patient.as_ref(),
                &wire::encode(&(self.epochs, self.circle.as_ref().map(SecondCircle::content))),
            ],
        )
    }

    /// Checks everything but signatures and what is under way; a member does so before it accepts.
    ///
    /// # Errors
    /// The first [`SecondError`] found.
    pub fn check(&self, patient: PatientId, entry: &Patient) -> Result<(), SecondError> {
        let (found, due) = (self.epochs, entry.circles().next_second());
        if found != due {
            return Err(SecondError::Epochs { found, due });
        }
        if entry.is_recovering {
            return Err(SecondError::Recovering);
        }
        let before = &entry.enrolment.second;
        let Some(circle) = &self.circle else {
            return before.as_ref().map(|_| ()).ok_or(SecondError::None);
        };
        self.enrolment(&entry.enrolment).check_shape(patient)?;
        // Neither the device that speaks for the patient, nor one that did and was lost.
        let mut members = circle.roster.iter().map(|member| member.id());
        if let Some(kin) = members.find(|kin| entry.has_had_device((*kin).into())) {
            return Err(EnrolmentError::KinTwice { kin }.into());
        }
        if let Some(before) = before {
            let mut others = circle.commitments.as_points().iter().skip(1);
            if others.any(|point| before.commitments.as_points().contains(point)) {
                return Err(SecondError::OldSharing);
            }
        }
        Ok(())
    }

    /// Checks that every member has accepted.
    ///
    /// # Errors
    /// [`EnrolmentError::AcceptanceCount`], [`EnrolmentError::Acceptance`] naming the member.
    pub fn check_acceptances(&self, digest: &Digest) -> Result<(), EnrolmentError> {
        self.circle
            .as_ref()
            .map_or(Ok(()), |circle| circle.check_accepted(digest))
    }

    /// The enrolment with this second circle, without acceptances, as it stands when the word counts.
    #[must_use]
    pub fn enrolment(&self, present: &Enrolment) -> Enrolment {
        let second = self.circle.as_ref().map(|circle| SecondCircle {
            // They are a transaction on chain.
            acceptances: Vec::new(),
            ..circle.clone()
        });
        Enrolment {
            second,
            ..present.clone()
        }
    }

    /// Whether this is the second circle that stands.
    #[must_use]
    pub fn stands(&self, entry: &Patient) -> bool {
        let content = |enrolment: &Enrolment| {
            let second = enrolment.second.as_ref().map(SecondCircle::content);
            second.map(|(roster, commitments)| (roster.to_vec(), commitments.clone()))
        };
        self.epochs.second == entry.second_epoch
            && content(&self.enrolment(&entry.enrolment)) == content(&entry.enrolment)
    }
}

impl Enrolment {
    /// The threshold of the second circle; none when there is none.
    #[must_use]
    pub fn second_threshold(&self) -> Option<usize> {
        let commitments = self.commitments(CircleKind::Second, Tier::Summary);
        commitments.map(crate::sharing::Commitments::threshold)
    }

    /// Whether `kin` is in the second circle.
    #[must_use]
    pub fn is_in_second(&self, kin: KinId) -> bool {
        let second = self.roster_of(CircleKind::Second).iter();
        second.map(|member| member.id()).any(|id| id == kin)
    }
}
