//! Dealings as they stand on chain, and the shares of the tiers that come of them.

use super::handover::Dealt;
use super::plan::Plan;
use crate::crypto::group::ScalarBytes;
use crate::ledger::{Enrolment, TierShares};
use crate::sharing::{
    BadDealing, Dealing as _, PublishedShare, Refresh, RenewalError, Resharing, ResharingDealing,
    SharingError, Threshold, Verdict, ZeroDealing,
};
use crate::units::{ShareIndex, Tier};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The public part of one dealer's dealing of one tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TierDealing {
    /// In a refresh: a polynomial whose value at 0 is 0.
    Zero(ZeroDealing),
    /// In a change of the roster: a polynomial whose value at 0 is the dealer's share.
    Share(ResharingDealing),
}

/// Dealings that cannot stand, and whose they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DealingError {
    /// Not one for each tier.
    #[error("{found} dealings for {} tiers", Tier::ALL.len())]
    Count {
        /// How many there are.
        found: usize,
    },
    /// A dealing of another kind than the plan asks for, or in another's name.
    #[error("the dealing of tier {tier} is of another kind, or in another's name")]
    Kind {
        /// The tier.
        tier: Tier,
    },
    /// Its commitments do not fit.
    #[error("tier {tier}: {fault}")]
    Bad {
        /// The tier.
        tier: Tier,
        /// What is wrong, and whose it is.
        fault: BadDealing,
    },
    /// A number of kin and a threshold that do not fit each other.
    #[error("tier {tier}: {fault}")]
    Sharing {
        /// The tier.
        tier: Tier,
        /// What is wrong.
        fault: SharingError,
    },
    /// The dealings do not give commitments: too few, or a sum that vanishes.
    #[error("the dealings of tier {tier} do not add up")]
    Sum {
        /// The tier.
        tier: Tier,
    },
}

impl TierDealing {
    /// Whether `share` is what this dealing has for `recipient`.
    #[must_use]
    pub fn fits(&self, recipient: ShareIndex, share: &ScalarBytes) -> bool {
        let answer = |dealer| PublishedShare {
            dealer,
            recipient,
            value: *share,
        };
        let verdict = match self {
            Self::Zero(dealing) => dealing.judge(recipient, Some(&answer(dealing.dealer()))),
            Self::Share(dealing) => dealing.judge(recipient, Some(&answer(dealing.dealer()))),
        };
        matches!(verdict, Verdict::Cleared(_))
    }
}

/// Checks what `dealer` deals: everything that can be told without the sub-shares.
pub(super) fn check(
    plan: &Plan,
    present: &Enrolment,
    dealer: ShareIndex,
    dealings: &[TierDealing],
) -> Result<(), DealingError> {
    let found = dealings.len();
    if found != present.tiers.len() {
        return Err(DealingError::Count { found });
    }
    for ((shares, dealing), place) in present.tiers.iter().zip(dealings).zip(0..) {
        let tier = shares.tier;
        let checked = match (plan, dealing) {
            (Plan::Refresh, TierDealing::Zero(dealing)) if dealing.dealer() == dealer => {
                dealing.check(threshold_of(present, shares)?)
            }
            (Plan::Reshare { .. }, TierDealing::Share(dealing)) if dealing.dealer() == dealer => {
                dealing.check(&shares.commitments, new_threshold(plan, tier, place)?)
            }
            _ => return Err(DealingError::Kind { tier }),
        };
        checked.map_err(|fault| DealingError::Bad { tier, fault })?;
    }
    Ok(())
}

/// The shares of the tiers after the handover: roster's rules stay, commitments are the new ones.
///
/// # Errors
/// [`DealingError`] when the dealings are not complete or do not add up.
pub fn handed_over(
    plan: &Plan,
    present: &Enrolment,
    dealings: &BTreeMap<ShareIndex, Dealt>,
) -> Result<Vec<TierShares>, DealingError> {
    present
        .tiers
        .iter()
        .enumerate()
        .map(|(place, shares)| {
            let commitments = match plan {
                Plan::Refresh => refresh(present, shares, dealings)?.commitments().clone(),
                Plan::Reshare { .. } => reshare(plan, shares, dealings)?.commitments().clone(),
                Plan::Redeal { commitments, .. } => commitments
                    .get(place)
                    .cloned()
                    .ok_or(DealingError::Sum { tier: shares.tier })?,
                Plan::Recover { .. } | Plan::Rules(_) => shares.commitments.clone(),
            };
            Ok(TierShares {
                commitments,
                ..shares.clone()
            })
        })
        .collect()
}

/// The refresh of one tier by all dealings that stand.
///
/// # Errors
/// [`DealingError`] when they are too few or do not add up.
pub fn refresh(
    present: &Enrolment,
    shares: &TierShares,
    dealings: &BTreeMap<ShareIndex, Dealt>,
) -> Result<Refresh, DealingError> {
    let tier = shares.tier;
    let of_tier = pick(tier, dealings, |dealing| match dealing {
        TierDealing::Zero(dealing) => Some(dealing.clone()),
        TierDealing::Share(_) => None,
    });
    Refresh::new(&shares.commitments, threshold_of(present, shares)?, of_tier)
        .map_err(|error| sum_error(tier, error))
}

/// The resharing of one tier by as many dealers as its old threshold, those with the lowest indices.
///
/// # Errors
/// [`DealingError`] when they are too few or do not add up.
pub fn reshare(
    plan: &Plan,
    shares: &TierShares,
    dealings: &BTreeMap<ShareIndex, Dealt>,
) -> Result<Resharing, DealingError> {
    let tier = shares.tier;
    let mut of_tier = pick(tier, dealings, |dealing| match dealing {
        TierDealing::Share(dealing) => Some(dealing.clone()),
        TierDealing::Zero(_) => None,
    });
    of_tier.truncate(shares.commitments.threshold());
    let place = place_of(tier);
    let new = new_threshold(plan, tier, place)?;
    Resharing::new(&shares.commitments, new, of_tier).map_err(|error| sum_error(tier, error))
}

fn pick<D>(
    tier: Tier,
    dealings: &BTreeMap<ShareIndex, Dealt>,
    of: impl Fn(&TierDealing) -> Option<D>,
) -> Vec<D> {
    let place = place_of(tier);
    let of_tier = dealings
        .values()
        .filter_map(|dealt| dealt.dealings.get(place));
    of_tier.filter_map(of).collect()
}

/// Where a tier's dealing stands among those of a dealer.
fn place_of(tier: Tier) -> usize {
    Tier::ALL
        .iter()
        .position(|other| *other == tier)
        .unwrap_or(0)
}

fn sum_error(tier: Tier, error: RenewalError) -> DealingError {
    match error {
        RenewalError::Sharing(fault) => DealingError::Sharing { tier, fault },
        _ => DealingError::Sum { tier },
    }
}

fn threshold_of(present: &Enrolment, shares: &TierShares) -> Result<Threshold, DealingError> {
    let tier = shares.tier;
    Threshold::new(shares.commitments.threshold(), present.roster.len())
        .map_err(|fault| DealingError::Sharing { tier, fault })
}

fn new_threshold(plan: &Plan, tier: Tier, place: usize) -> Result<Threshold, DealingError> {
    let Plan::Reshare { roster, thresholds } = plan else {
        return Err(DealingError::Kind { tier });
    };
    let needed = thresholds.get(place).copied().map_or(0, usize::from);
    Threshold::new(needed, roster.len()).map_err(|fault| DealingError::Sharing { tier, fault })
}
