//! An enrolment on its way to the ledger: dealt once, offered as often as needed.
//!
//! A restart offers the same shares again. Only an enrolment that cannot become
//! final any more is given up for another one; that one gets fresh tier keys,
//! since shares of the old ones were handed out and nothing is sealed to them yet
//! (opening.md section 1).

use super::device::{Device, tier_key_name};
use super::messages::{Enrol, PatientError, SecondWish};
use crate::ports::random::SystemRng;
use kithkin_protocol::crypto::{Sealed, Secret32, Signature};
use kithkin_protocol::emergency::TierPolicy;
use kithkin_protocol::ledger::{Enrolment, Member, SecondCircle, TierShares};
use kithkin_protocol::sharing::{
    Commitments, KIN_MAX, ShareContext, Threshold, TierKey, deal, seal_share,
};
use kithkin_protocol::units::{Millis, Tier};
use serde::{Deserialize, Serialize};

/// One share per tier, sealed to one kin.
pub(super) type SealedShares = Vec<(Tier, Sealed)>;

/// What was dealt, before everybody has agreed to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Draft {
    /// Which dealing of this device it is; its tier keys are named after it.
    pub(super) round: u32,
    /// Without acceptances and sponsor's signature.
    pub(super) enrolment: Enrolment,
    /// Sealed shares in the order of the roster, then of the second circle; empty once the enrolment stands.
    pub(super) offers: Vec<SealedShares>,
    /// Until when a transaction that carried it may become final; none when none was ever sent.
    pub(super) submitted_until: Option<Millis>,
}

impl Draft {
    /// Whether this is what is asked for.
    pub(super) fn fits(&self, wish: &Wish) -> bool {
        let enrolment = &self.enrolment;
        enrolment.roster == wish.enrol.roster
            && enrolment.sponsor == wish.enrol.sponsor
            && enrolment.rules == wish.enrol.rules
            && enrolment.escalation == wish.enrol.escalation
            && self.fits_second(wish)
            && enrolment.tiers.iter().all(|shares| {
                shares.commitments.threshold() == wish.threshold.needed()
                    && shares.policy == wish.policy(shares.tier)
            })
    }
}

impl Draft {
    fn fits_second(&self, wish: &Wish) -> bool {
        let dealt = self.enrolment.second.as_ref();
        let dealt = dealt.map(|dealt| (&dealt.roster, dealt.commitments.threshold()));
        let wished = wish.enrol.second.as_ref().zip(wish.second);
        dealt == wished.map(|(second, threshold)| (&second.roster, threshold.needed()))
    }
}

/// What the patient asks for, checked.
pub(super) struct Wish {
    pub(super) enrol: Enrol,
    pub(super) threshold: Threshold,
    /// Of the second circle, if there is to be one.
    second: Option<Threshold>,
}

impl Wish {
    /// Checks what can be checked before anything is dealt.
    ///
    /// # Errors
    /// [`PatientError::Roster`].
    pub(super) fn new(enrol: Enrol) -> Result<Self, PatientError> {
        let kin = enrol.roster.len();
        if kin > KIN_MAX || enrol.policies.len() > Tier::ALL.len() {
            return Err(PatientError::Roster {
                reason: format!("at most {KIN_MAX} kin, and one rule per tier"),
            });
        }
        let threshold = threshold(enrol.threshold, kin)?;
        let second = enrol.second.as_ref();
        let second = second.map(threshold_of_second).transpose()?;
        Ok(Self {
            enrol,
            threshold,
            second,
        })
    }

    fn policy(&self, tier: Tier) -> TierPolicy {
        let mut policies = self.enrol.policies.iter();
        let own = policies.find(|(of, _)| *of == tier);
        own.map_or_else(
            || TierPolicy::default_for(tier),
            |(_, policy)| policy.clone(),
        )
    }
}

fn threshold(needed: Option<usize>, kin: usize) -> Result<Threshold, PatientError> {
    Ok(match needed {
        Some(needed) => Threshold::new(needed, kin)?,
        None => Threshold::majority(kin)?,
    })
}

pub(super) fn threshold_of_second(second: &SecondWish) -> Result<Threshold, PatientError> {
    let kin = second.roster.len();
    if kin > KIN_MAX {
        return Err(PatientError::Roster {
            reason: format!("at most {KIN_MAX} kin in the second circle"),
        });
    }
    threshold(second.threshold, kin)
}

/// Deals fresh tier keys. They are in the vault on return, and nowhere else.
pub(super) fn draw(device: &Device, wish: &Wish, round: u32) -> Result<Draft, PatientError> {
    let mut rng = SystemRng;
    let keys: Vec<(Tier, TierKey)> = Tier::ALL
        .into_iter()
        .map(|tier| (tier, TierKey::random(&mut rng)))
        .collect();
    let mut tiers = Vec::new();
    let mut offers = vec![SealedShares::new(); wish.enrol.roster.len()];
    let mut second = None;
    for (tier, key) in &keys {
        let roster = (&wish.enrol.roster[..], wish.threshold);
        let context = ShareContext {
            patient: device.me,
            tier: *tier,
            epoch: Enrolment::EPOCH,
        };
        let commitments = deal_tier(&context, roster, key, &mut offers)?;
        if let (Tier::Summary, Some(wished), Some(threshold)) =
            (tier, &wish.enrol.second, wish.second)
        {
            // Drawn anew: what the circles hold of the key adds up to nothing (ADR 35).
            let mut sealed = vec![SealedShares::new(); wished.roster.len()];
            let roster = (&wished.roster[..], threshold);
            let commitments = deal_tier(&context, roster, key, &mut sealed)?;
            let circle = SecondCircle {
                roster: wished.roster.clone(),
                commitments,
                acceptances: Vec::new(),
            };
            second = Some((circle, sealed));
        }
        tiers.push(TierShares {
            tier: *tier,
            commitments,
            policy: wish.policy(*tier),
        });
    }
    let (second, others) = second.unzip();
    offers.extend(others.unwrap_or_default());
    let enrolment = Enrolment {
        sealing: device.identity.opening.sealing_key(),
        roster: wish.enrol.roster.clone(),
        tiers,
        rules: wish.enrol.rules,
        escalation: wish.enrol.escalation,
        second,
        sponsor: wish.enrol.sponsor,
        sponsor_signature: Signature([0; Signature::LEN]),
        acceptances: Vec::new(),
    };
    let shape = enrolment.check_shape(device.me);
    shape.map_err(|error| PatientError::Roster {
        reason: error.to_string(),
    })?;
    let secrets: Vec<(String, Secret32)> = keys
        .iter()
        .map(|(tier, key)| (tier_key_name(*tier, round), key.to_secret()))
        .collect();
    let named: Vec<(&str, &Secret32)> = secrets.iter().map(|(n, s)| (n.as_str(), s)).collect();
    device.keys.create_many(&named)?;
    Ok(Draft {
        round,
        enrolment,
        offers,
        submitted_until: None,
    })
}

/// Deals one key and adds each kin's sealed share to its offer.
pub(super) fn deal_tier(
    context: &ShareContext,
    (roster, threshold): (&[Member], Threshold),
    key: &TierKey,
    offers: &mut [SealedShares],
) -> Result<Commitments, PatientError> {
    let mut rng = SystemRng;
    let (commitments, shares) = deal(key, threshold, &mut rng)?;
    for ((member, share), offer) in roster.iter().zip(&shares).zip(offers) {
        let sealed = seal_share(share, context, &member.sealing, &mut rng).map_err(|error| {
            PatientError::Roster {
                reason: format!("{}: {error}", member.id()),
            }
        })?;
        offer.push((context.tier, sealed));
    }
    Ok(commitments)
}
