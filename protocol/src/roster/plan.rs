//! What shall become of a roster and its shares, and who may propose it.

use super::{RosterError, RosterRules};
use crate::crypto::{SealingKey, VerifyingKey};
use crate::ids::{AccountId, KinId, PatientId};
use crate::ledger::{Enrolment, Member, RulesChange};
use crate::record::Rewrap;
use crate::sharing::{Commitments, KIN_MAX, KIN_MIN, majority};
use crate::units::{CircleKind, Tier};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A change of the shares, of who holds them, or of the device that speaks for the patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    /// New shares of the same keys for the same kin (design, opening section 4).
    Refresh,
    /// The present kin deal the same keys to another roster (section 5).
    Reshare {
        /// The new roster; the first has share index 1.
        roster: Vec<Member>,
        /// The new threshold of each tier, in the order of [`Tier::ALL`].
        thresholds: [u8; Tier::ALL.len()],
    },
    /// The patient's own device, which holds the keys, deals them anew; a new device, which has rebuilt them, deals others.
    Redeal {
        /// The new roster; the first has share index 1.
        roster: Vec<Member>,
        /// Commitments of each tier, in the order of [`Tier::ALL`].
        commitments: Vec<Commitments>,
        /// The capsules of everything sealed so far, made anew for the other keys; none when the keys stay.
        rewrap: Option<Rewrap>,
    },
    /// Another device speaks for the patient, who has lost the old one (section 6). Kin then release their shares to it, and
    /// the keys count as exposed: they lay on a device that somebody may have found.
    Recover {
        /// Signs for the patient from then on.
        device: VerifyingKey,
        /// Others seal messages to it.
        sealing: SealingKey,
    },
    /// Other rules of the patient's; who is kin, and what they hold, stays. Only those that loosen something wait here.
    Rules(Box<RulesChange>),
}

/// Who proposed a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proposer {
    /// The patient's device.
    Patient,
    /// One of the kin; a quorum of them has to support it.
    Kin(KinId),
}

/// The roster as it stands while a plan is judged.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// Whose roster.
    pub patient: PatientId,
    /// Roster, commitments and rules.
    pub enrolment: &'a Enrolment,
    /// The account of the device that speaks for the patient.
    pub device: AccountId,
    /// Whether the present device was put in by the kin and has not dealt yet.
    pub is_recovering: bool,
    /// Whether a refresh is due.
    pub wants_refresh: bool,
}

impl Present<'_> {
    /// How many kin it takes for whatever the roster decides: the highest threshold of the tiers.
    #[must_use]
    pub fn quorum(&self) -> usize {
        let tiers = &self.enrolment.tiers;
        let thresholds = tiers.iter().map(|tier| tier.commitments.threshold());
        thresholds.max().unwrap_or(usize::MAX)
    }

    /// How many shares of a tier open it: so many dealings its new shares are made of.
    #[must_use]
    pub fn threshold(&self, tier: Tier) -> usize {
        let shares = self.enrolment.tier(tier);
        shares.map_or(0, |shares| shares.commitments.threshold())
    }

    /// How many objections stop a plan: so many that those who don't object are no quorum.
    #[must_use]
    pub fn objections_max(&self) -> usize {
        let kin = self.enrolment.roster.len();
        kin.saturating_sub(self.quorum()).saturating_add(1)
    }

    /// Whether `kin` is on the roster.
    #[must_use]
    pub fn has(&self, kin: KinId) -> bool {
        self.enrolment
            .roster
            .iter()
            .any(|member| member.id() == kin)
    }

    /// The patient's rules about rosters.
    #[must_use]
    pub fn rules(&self) -> RosterRules {
        self.enrolment.rules
    }
}

impl Plan {
    /// The plan's name in text.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Reshare { .. } => "reshare",
            Self::Redeal { .. } => "redeal",
            Self::Recover { .. } => "recover",
            Self::Rules(_) => "rules",
        }
    }

    /// The roster after the plan.
    #[must_use]
    pub fn roster<'a>(&'a self, present: &Present<'a>) -> &'a [Member] {
        match self {
            Self::Refresh | Self::Recover { .. } | Self::Rules(_) => &present.enrolment.roster,
            Self::Reshare { roster, .. } | Self::Redeal { roster, .. } => roster,
        }
    }

    /// Whether the same kin get shares anew from the patient's own device.
    #[must_use]
    pub fn keeps_roster(&self, present: &Present<'_>) -> bool {
        matches!(self, Self::Redeal { roster, .. } if *roster == present.enrolment.roster)
    }

    /// Whether other tier keys take the place of the present ones.
    #[must_use]
    pub fn replaces_keys(&self) -> bool {
        matches!(
            self,
            Self::Redeal {
                rewrap: Some(_),
                ..
            }
        )
    }

    /// Whether the shares come from the present kin.
    #[must_use]
    pub fn is_dealt_by_kin(&self) -> bool {
        matches!(self, Self::Refresh | Self::Reshare { .. })
    }

    /// Checks that this can be proposed, and by whom.
    ///
    /// # Errors
    /// [`RosterError::NotAllowed`] for a proposer who may not; [`RosterError::Plan`] naming what is wrong.
    pub fn check(&self, present: &Present<'_>, proposer: Proposer) -> Result<(), RosterError> {
        match (self, proposer) {
            (_, Proposer::Kin(kin)) if !present.has(kin) => Err(RosterError::NotKin { kin }),
            (Self::Redeal { .. } | Self::Rules(_), Proposer::Kin(_)) => {
                Err(RosterError::NotAllowed {
                    role: "patient's device",
                })
            }
            (Self::Recover { .. }, Proposer::Patient) => {
                Err(RosterError::NotAllowed { role: "kin" })
            }
            // Each ends uploads and requests that are under way, so one kin must not cause them at will.
            (Self::Refresh, Proposer::Kin(_)) => check(present.wants_refresh, "no refresh is due"),
            (Self::Refresh, Proposer::Patient) => Ok(()),
            (Self::Reshare { roster, thresholds }, _) => {
                check_roster(present, roster)?;
                let kin = roster.len();
                let good = |threshold: u8| (majority(kin)..=kin).contains(&threshold.into());
                check(
                    thresholds.iter().copied().all(good),
                    "a threshold is no majority of the roster",
                )
            }
            (
                Self::Redeal {
                    roster,
                    commitments,
                    rewrap,
                },
                _,
            ) => {
                check_roster(present, roster)?;
                check(
                    rewrap.is_some() == present.is_recovering,
                    "a new device deals other keys and capsules, and no other device does",
                )?;
                check_redealt(present, roster.len(), commitments)
            }
            (Self::Rules(change), Proposer::Patient) => Ok(change.rules.check()?),
            (Self::Recover { device, .. }, _) => {
                let account = AccountId::of(device);
                let is_known =
                    present.has(account.into()) || PatientId::from(account) == present.patient;
                check(!is_known, "the device's key is in use already")
            }
        }
    }
}

fn check(holds: bool, fault: &'static str) -> Result<(), RosterError> {
    holds.then_some(()).ok_or(RosterError::Plan { fault })
}

fn check_roster(present: &Present<'_>, roster: &[Member]) -> Result<(), RosterError> {
    let mut seen = BTreeSet::from([KinId(present.patient.0), present.device.into()]);
    let second = present.enrolment.roster_of(CircleKind::Second).iter();
    seen.extend(second.map(Member::id));
    check(
        (KIN_MIN..=KIN_MAX).contains(&roster.len()),
        "a roster has 3 to 64 kin",
    )?;
    check(
        roster.iter().all(|member| seen.insert(member.id())),
        "a kin is listed twice, is in the second circle, or is the patient",
    )
}

fn check_redealt(
    present: &Present<'_>,
    kin: usize,
    commitments: &[Commitments],
) -> Result<(), RosterError> {
    let tiers = &present.enrolment.tiers;
    check(
        commitments.len() == tiers.len(),
        "commitments for each tier are needed",
    )?;
    for (new, old) in commitments.iter().zip(tiers) {
        check(
            (majority(kin)..=kin).contains(&new.threshold()),
            "a threshold is no majority of the roster",
        )?;
        let stays = new.public_key() == old.commitments.public_key();
        check(
            stays || present.is_recovering,
            "the tier keys must stay; another key would leave the records shut",
        )?;
        check(
            !stays || !present.is_recovering,
            "the keys lay on the lost device; other keys must be dealt",
        )?;
        // As at the enrolment: shares of both circles would add up.
        let second = present.enrolment.commitments(CircleKind::Second, old.tier);
        let mut others = second
            .iter()
            .flat_map(|second| second.as_points().iter().skip(1));
        check(
            others.all(|point| !new.as_points().contains(point)),
            "the sharing has a coefficient in common with the second circle's",
        )?;
    }
    let keys: BTreeSet<_> = commitments
        .iter()
        .map(|new| *new.public_key().as_bytes())
        .collect();
    check(keys.len() == tiers.len(), "two tiers have the same key")
}
