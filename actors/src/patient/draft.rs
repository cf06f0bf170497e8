//! An enrolment on its way to the ledger: dealt once, offered as often as needed.
//!
//! A restart offers the same shares again. Only an enrolment that cannot become
//! final any more is given up for another one; that one gets fresh tier keys,
//! since shares of the old ones were handed out and nothing is sealed to them yet
//! (opening.md section 1).

use super::device::{Device, tier_key_name};
use super::messages::{Enrol, PatientError};
use crate::ports::random::SystemRng;
use kithkin_protocol::crypto::{Sealed, Secret32, Signature};
use kithkin_protocol::emergency::{Escalation, TierPolicy};
use kithkin_protocol::ids::PatientId;
use kithkin_protocol::ledger::{Enrolment, TierShares};
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
    /// Sealed shares in the order of the roster; empty once the enrolment stands.
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
            && enrolment.tiers.iter().all(|shares| {
                shares.commitments.threshold() == wish.threshold.needed()
                    && shares.policy == wish.policy(shares.tier)
            })
    }
}

/// What the patient asks for, checked.
pub(super) struct Wish {
    pub(super) enrol: Enrol,
    pub(super) threshold: Threshold,
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
        let threshold = match enrol.threshold {
            Some(needed) => Threshold::new(needed, kin)?,
            None => Threshold::majority(kin)?,
        };
        Ok(Self { enrol, threshold })
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

/// Deals fresh tier keys. They are in the vault on return, and nowhere else.
pub(super) fn draw(device: &Device, wish: &Wish, round: u32) -> Result<Draft, PatientError> {
    let mut rng = SystemRng;
    let keys: Vec<(Tier, TierKey)> = Tier::ALL
        .into_iter()
        .map(|tier| (tier, TierKey::random(&mut rng)))
        .collect();
    let mut tiers = Vec::new();
    let mut offers = vec![SealedShares::new(); wish.enrol.roster.len()];
    for (tier, key) in &keys {
        let commitments = deal_tier(device.me, wish, *tier, key, &mut offers)?;
        tiers.push(TierShares {
            tier: *tier,
            commitments,
            policy: wish.policy(*tier),
        });
    }
    let enrolment = Enrolment {
        sealing: device.identity.opening.sealing_key(),
        roster: wish.enrol.roster.clone(),
        tiers,
        rules: wish.enrol.rules,
        escalation: Escalation::default(),
        second: None,
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
fn deal_tier(
    patient: PatientId,
    wish: &Wish,
    tier: Tier,
    key: &TierKey,
    offers: &mut [SealedShares],
) -> Result<Commitments, PatientError> {
    let mut rng = SystemRng;
    let (commitments, shares) = deal(key, wish.threshold, &mut rng)?;
    let context = ShareContext {
        patient,
        tier,
        epoch: Enrolment::EPOCH,
    };
    for ((member, share), offer) in wish.enrol.roster.iter().zip(&shares).zip(offers) {
        let sealed = seal_share(share, &context, &member.sealing, &mut rng).map_err(|error| {
            PatientError::Roster {
                reason: format!("{}: {error}", member.id()),
            }
        })?;
        offer.push((tier, sealed));
    }
    Ok(commitments)
}
