//! Enrolment: a patient's roster and tier keys, accepted by every kin before it stands on chain.

use crate::crypto::{Digest, SealingKey, Signature, SigningKey, VerifyingKey, hash};
use crate::emergency::{TierPolicy, WAITING_MS_MAX};
use crate::ids::{ChainId, HospitalId, KinId, PatientId};
use crate::sharing::{Commitments, KIN_MAX, KIN_MIN, majority};
use crate::units::{Epoch, Tier};
use crate::wire;
use serde::{Deserialize, Serialize};

/// One friend or relative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Signs approvals, receipts and releases.
    pub key: VerifyingKey,
    /// Others seal messages to it.
    pub sealing: SealingKey,
}

impl Member {
    /// The kin's identifier.
    #[must_use]
    pub fn id(&self) -> KinId {
        KinId::of(&self.key)
    }
}

/// Key, shares and rule of one tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierShares {
    /// The tier.
    pub tier: Tier,
    /// Feldman commitments; the first is the tier's public key, their number the threshold.
    pub commitments: Commitments,
    /// The patient's rule.
    pub policy: TierPolicy,
}

/// What a patient signs once, and every kin with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Others seal messages to the patient with it.
    pub sealing: SealingKey,
    /// The kin; the first has share index 1.
    pub roster: Vec<Member>,
    /// All three tiers, ascending.
    pub tiers: Vec<TierShares>,
    /// The accredited hospital that vouches for the patient's identity.
    pub sponsor: HospitalId,
    /// Its signature ([`Enrolment::sponsorship`]).
    pub sponsor_signature: Signature,
    /// One signature per kin, in the roster's order ([`Enrolment::acceptance`]).
    pub acceptances: Vec<Signature>,
}

/// An enrolment that cannot stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentError {
    /// Too few or too many kin.
    #[error("a roster has {KIN_MIN} to {KIN_MAX} kin, not {count}")]
    RosterSize {
        /// How many were given.
        count: usize,
    },
    /// A kin listed twice, or the patient as own kin.
    #[error("{kin} is listed twice, or is the patient")]
    KinTwice {
        /// The kin in question.
        kin: KinId,
    },
    /// Not exactly the three tiers in order.
    #[error("an enrolment names the tiers summary, chart and sensitive, in this order")]
    Tiers,
    /// A threshold that is no majority.
    #[error("tier {tier}: threshold {threshold} is not within {least}..={most}")]
    Threshold {
        /// The tier.
        tier: Tier,
        /// Its number of commitments.
        threshold: usize,
        /// The smallest allowed: more than half.
        least: usize,
        /// The largest allowed: all kin.
        most: usize,
    },
    /// A rule outside its bounds: a closed summary or chart, a waiting time of more than a week, a session of none.
    #[error("tier {tier}: the rule is outside its bounds")]
    Policy {
        /// The tier.
        tier: Tier,
    },
    /// Not one acceptance per kin.
    #[error("{found} acceptances for {expected} kin")]
    AcceptanceCount {
        /// Acceptances given.
        found: usize,
        /// Kin on the roster.
        expected: usize,
    },
    /// An acceptance that this kin did not sign.
    #[error("{kin} has not accepted this enrolment")]
    Acceptance {
        /// The kin in question.
        kin: KinId,
    },
    /// The hospital did not vouch.
    #[error("{sponsor} is not accredited or has not vouched for this enrolment")]
    Sponsor {
        /// The hospital in question.
        sponsor: HospitalId,
    },
}

impl Enrolment {
    /// The epoch of a first roster.
    pub const EPOCH: Epoch = Epoch(1);

    /// Digest of all that kin and sponsor sign.
    #[must_use]
    pub fn digest(&self, chain: ChainId, patient: PatientId) -> Digest {
        hash(
            "kithkin/enrolment/1",
            &[
                chain.as_ref(),
                patient.as_ref(),
                &wire::encode(&(&self.sealing, &self.roster, &self.tiers, &self.sponsor)),
            ],
        )
    }

    /// The bytes that a kin signs when it has checked and stored its shares.
    #[must_use]
    pub fn acceptance(digest: &Digest, kin: KinId) -> Vec<u8> {
        hash("kithkin/acceptance/1", &[digest.as_ref(), kin.as_ref()])
            .0
            .to_vec()
    }

    /// The bytes that the sponsoring hospital signs.
    #[must_use]
    pub fn sponsorship(digest: &Digest) -> Vec<u8> {
        hash("kithkin/sponsorship/1", &[digest.as_ref()]).0.to_vec()
    }

    /// Signs as the sponsoring hospital.
    #[must_use]
    pub fn sponsor(digest: &Digest, key: &SigningKey) -> Signature {
        key.sign(&Self::sponsorship(digest))
    }

    /// Shares, commitments and rule of one tier.
    #[must_use]
    pub fn tier(&self, tier: Tier) -> Option<&TierShares> {
        self.tiers.iter().find(|shares| shares.tier == tier)
    }

    /// Checks everything but signatures; a kin does so before it accepts.
    ///
    /// # Errors
    /// The first [`EnrolmentError`] found.
    pub fn check_shape(&self, patient: PatientId) -> Result<(), EnrolmentError> {
        let count = self.roster.len();
        if !(KIN_MIN..=KIN_MAX).contains(&count) {
            return Err(EnrolmentError::RosterSize { count });
        }
        let mut seen = std::collections::BTreeSet::from([KinId(patient.0)]);
        for member in &self.roster {
            let kin = member.id();
            if !seen.insert(kin) {
                return Err(EnrolmentError::KinTwice { kin });
            }
        }
        if !self.tiers.iter().map(|shares| shares.tier).eq(Tier::ALL) {
            return Err(EnrolmentError::Tiers);
        }
        for TierShares {
            tier,
            commitments,
            policy,
        } in &self.tiers
        {
            let (tier, threshold, least) = (*tier, commitments.threshold(), majority(count));
            if !(least..=count).contains(&threshold) {
                return Err(EnrolmentError::Threshold {
                    tier,
                    threshold,
                    least,
                    most: count,
                });
            }
            let must_open = tier != Tier::Sensitive;
            if (must_open && !policy.openable)
                || policy.waiting_ms > WAITING_MS_MAX
                || policy.session_ms_max.0 == 0
            {
                return Err(EnrolmentError::Policy { tier });
            }
        }
        Ok(())
    }

    /// Checks that every kin has accepted.
    ///
    /// # Errors
    /// [`EnrolmentError::AcceptanceCount`], [`EnrolmentError::Acceptance`] naming the kin.
    pub fn check_acceptances(&self, digest: &Digest) -> Result<(), EnrolmentError> {
        if self.acceptances.len() != self.roster.len() {
            return Err(EnrolmentError::AcceptanceCount {
                found: self.acceptances.len(),
                expected: self.roster.len(),
            });
        }
        for (member, signature) in self.roster.iter().zip(&self.acceptances) {
            let kin = member.id();
            member
                .key
                .verify(&Self::acceptance(digest, kin), signature)
                .map_err(|_| EnrolmentError::Acceptance { kin })?;
        }
        Ok(())
    }
}
