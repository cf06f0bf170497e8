//! Enrolment: a patient's circles of kin and tier keys, accepted by every kin before it stands on chain.

use crate::crypto::{Digest, SealingKey, Signature, SigningKey, VerifyingKey, hash};
use crate::emergency::{Escalation, TierPolicy};
use crate::ids::{ChainId, HospitalId, KinId, PatientId};
use crate::roster::{Relation, RosterRules};
use crate::sharing::{Commitments, KIN_MAX, KIN_MIN, majority};
use crate::units::{CircleKind, Epoch, ShareIndex, Tier};
use crate::wire;
use serde::{Deserialize, Serialize};

/// One friend or relative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Signs approvals, receipts and releases.
    pub key: VerifyingKey,
    /// Others seal messages to it.
    pub sealing: SealingKey,
    /// What this person is to the patient.
    pub relation: Relation,
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

/// Whom to turn to when the first circle cannot be reached. They open the summary and nothing else, by a majority of
/// their own, and hold no shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondCircle {
    /// Its kin, none of whom is in the first circle; the first has share index 1.
    pub roster: Vec<Member>,
    /// Commitments to a second sharing of the summary key, drawn independently of the first; their number is the
    /// threshold.
    pub commitments: Commitments,
    /// One signature per kin, in the roster's order ([`Enrolment::acceptance`]).
    pub acceptances: Vec<Signature>,
}

/// One kin's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat<'a> {
    /// In which circle.
    pub circle: CircleKind,
    /// The index of its shares there.
    pub index: ShareIndex,
    /// Its keys.
    pub member: &'a Member,
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
    /// How much time changes of the roster take, and how often shares are refreshed and tried.
    pub rules: RosterRules,
    /// What happens while kin don't answer.
    pub escalation: Escalation,
    /// Whom to turn to when the roster cannot be reached, if the patient wishes.
    pub second: Option<SecondCircle>,
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
    #[error("a circle has {KIN_MIN} to {KIN_MAX} kin; the {circle} has {count}")]
    RosterSize {
        /// The circle.
        circle: CircleKind,
        /// How many were given.
        count: usize,
    },
    /// A kin listed twice, in one circle or in both, or the patient as own kin.
    #[error("{kin} is listed twice, or is the patient")]
    KinTwice {
        /// The kin in question.
        kin: KinId,
    },
    /// Not exactly the three tiers in order.
    #[error("an enrolment names the tiers summary, chart and sensitive, in this order")]
    Tiers,
    /// A threshold that is no majority.
    #[error("{circle} circle, tier {tier}: threshold {threshold} is not within {least}..={most}")]
    Threshold {
        /// The circle.
        circle: CircleKind,
        /// The tier.
        tier: Tier,
        /// Its number of commitments.
        threshold: usize,
        /// The smallest allowed: more than half.
        least: usize,
        /// The largest allowed: all kin.
        most: usize,
    },
    /// A rule outside its bounds: a closed summary or chart, a list of hospitals that is empty, too long or not ascending,
    /// a waiting time of more than a week, a session of none.
    #[error("tier {tier}: the rule is outside its bounds")]
    Policy {
        /// The tier.
        tier: Tier,
    },
    /// The second circle shares another key than the summary's: it would open nothing.
    #[error("the second circle does not share the summary key")]
    SecondKey,
    /// The second circle's sharing is not independent of the first's: shares of both would add up.
    #[error("the second circle's sharing has a coefficient in common with the first's")]
    SecondSharing,
    /// Times out of order or outside their bounds.
    #[error(
        "kin are asked again after a second or more, and the second circle after that, within a day"
    )]
    Escalation,
    /// Not one acceptance per kin.
    #[error("{found} acceptances for {expected} kin of the {circle} circle")]
    AcceptanceCount {
        /// The circle.
        circle: CircleKind,
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
    /// Delays or periods outside their bounds.
    #[error("the rules about the roster are outside their bounds")]
    Rules,
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
                &wire::encode(&(&self.sealing, &self.roster, &self.tiers)),
                &wire::encode(&(&self.rules, &self.sponsor)),
                &wire::encode(&(
                    self.escalation,
                    self.second.as_ref().map(SecondCircle::content),
                )),
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

    /// The kin of a circle, in the order of their share indices; none when the patient has named no second.
    #[must_use]
    pub fn roster_of(&self, circle: CircleKind) -> &[Member] {
        match circle {
            CircleKind::First => &self.roster,
            CircleKind::Second => self.second.as_ref().map_or(&[], |second| &second.roster),
        }
    }

    /// The commitments that partial openings of a circle are checked against. The second circle has them for the summary only.
    #[must_use]
    pub fn commitments(&self, circle: CircleKind, tier: Tier) -> Option<&Commitments> {
        match (circle, tier) {
            (CircleKind::First, _) => Some(&self.tier(tier)?.commitments),
            (CircleKind::Second, Tier::Summary) => Some(&self.second.as_ref()?.commitments),
            (CircleKind::Second, Tier::Chart | Tier::Sensitive) => None,
        }
    }

    /// The kin of both circles.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        let second = self.roster_of(CircleKind::Second);
        self.roster.iter().chain(second)
    }

    /// The member with this identifier, in whichever circle.
    #[must_use]
    pub fn member(&self, kin: KinId) -> Option<Seat<'_>> {
        [CircleKind::First, CircleKind::Second]
            .into_iter()
            .find_map(|circle| {
                let roster = self.roster_of(circle);
                let position = roster.iter().position(|member| member.id() == kin)?;
                Some(Seat {
                    circle,
                    index: ShareIndex::from_position(position)?,
                    member: roster.get(position)?,
                })
            })
    }

    /// Checks everything but signatures; a kin does so before it accepts.
    ///
    /// # Errors
    /// The first [`EnrolmentError`] found.
    pub fn check_shape(&self, patient: PatientId) -> Result<(), EnrolmentError> {
        let first = CircleKind::First;
        check_size(first, &self.roster)?;
        if let Some(second) = &self.second {
            check_size(CircleKind::Second, &second.roster)?;
        }
        let mut seen = std::collections::BTreeSet::from([KinId(patient.0)]);
        for member in self.members() {
            let kin = member.id();
            if !seen.insert(kin) {
                return Err(EnrolmentError::KinTwice { kin });
            }
        }
        if !self.rules.is_bounded() {
            return Err(EnrolmentError::Rules);
        }
        if !self.tiers.iter().map(|shares| shares.tier).eq(Tier::ALL) {
            return Err(EnrolmentError::Tiers);
        }
        for shares in &self.tiers {
            let tier = shares.tier;
            check_threshold(first, tier, &shares.commitments, &self.roster)?;
            if !shares.policy.is_within_bounds(tier) {
                return Err(EnrolmentError::Policy { tier });
            }
        }
        if let Some(SecondCircle {
            roster,
            commitments,
            ..
        }) = &self.second
        {
            let tier = Tier::Summary;
            check_threshold(CircleKind::Second, tier, commitments, roster)?;
            let summary = self.commitments(first, tier);
            let summary = summary.ok_or(EnrolmentError::Tiers)?;
            if summary.public_key() != commitments.public_key() {
                return Err(EnrolmentError::SecondKey);
            }
            let mut others = commitments.as_points().iter().skip(1);
            if others.any(|point| summary.as_points().contains(point)) {
                return Err(EnrolmentError::SecondSharing);
            }
        }
        if !self.escalation.is_within_bounds() {
            return Err(EnrolmentError::Escalation);
        }
        Ok(())
    }

    /// Checks that every kin of both circles has accepted.
    ///
    /// # Errors
    /// [`EnrolmentError::AcceptanceCount`], [`EnrolmentError::Acceptance`] naming the kin.
    pub fn check_acceptances(&self, digest: &Digest) -> Result<(), EnrolmentError> {
        check_accepted(CircleKind::First, &self.roster, &self.acceptances, digest)?;
        let second = self.second.as_ref();
        second.map_or(Ok(()), |second| second.check_accepted(digest))
    }
}

impl SecondCircle {
    /// What is signed of it.
    pub(crate) fn content(&self) -> (&[Member], &Commitments) {
        (&self.roster, &self.commitments)
    }

    /// Checks that every member has signed this.
    pub(crate) fn check_accepted(&self, digest: &Digest) -> Result<(), EnrolmentError> {
        let circle = CircleKind::Second;
        check_accepted(circle, &self.roster, &self.acceptances, digest)
    }
}

fn check_size(circle: CircleKind, roster: &[Member]) -> Result<(), EnrolmentError> {
    let count = roster.len();
    if (KIN_MIN..=KIN_MAX).contains(&count) {
        Ok(())
    } else {
        Err(EnrolmentError::RosterSize { circle, count })
    }
}

fn check_threshold(
    circle: CircleKind,
    tier: Tier,
    commitments: &Commitments,
    roster: &[Member],
) -> Result<(), EnrolmentError> {
    let (threshold, least, most) = (
        commitments.threshold(),
        majority(roster.len()),
        roster.len(),
    );
    if (least..=most).contains(&threshold) {
        return Ok(());
    }
    Err(EnrolmentError::Threshold {
        circle,
        tier,
        threshold,
        least,
        most,
    })
}

fn check_accepted(
    circle: CircleKind,
    roster: &[Member],
    acceptances: &[Signature],
    digest: &Digest,
) -> Result<(), EnrolmentError> {
    let (found, expected) = (acceptances.len(), roster.len());
    if found != expected {
        return Err(EnrolmentError::AcceptanceCount {
            circle,
            found,
            expected,
        });
    }
    for (member, signature) in roster.iter().zip(acceptances) {
        let kin = member.id();
        member
            .key
            .verify(&Enrolment::acceptance(digest, kin), signature)
            .map_err(|_| EnrolmentError::Acceptance { kin })?;
    }
    Ok(())
}
