//! One validator's record, and the integer arithmetic of credit (spec section 4).
//!
//! When the rules apply is decided in `standings`.

use crate::credit::{CREDIT_INIT, CREDIT_MAX, CREDIT_NEWCOMER};
use crate::ids::ValidatorId;
use crate::units::{Credit, Height, View};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// After so many convictions a validator is no candidate any more until a governance vote.
pub const OFFENCES_MAX: u32 = 3;

/// For each signed finalize vote.
pub(super) const GAIN_VOTE: u32 = 200;
/// For a block that is finalized in the view of its making.
pub(super) const GAIN_AUTHOR: u32 = 2_000;
/// For a block that is finalized in a later view.
pub(super) const GAIN_AUTHOR_LATE: u32 = 500;
/// For the first view in a row that passed without the master's block; doubles up to three times.
const LOSE_SKIPPED: u32 = 8_000;
/// For 64 heights without a credited vote.
pub(super) const LOSE_INACTIVE: u32 = 2_000;
/// For an unjustified emergency case of the validator's hospital.
pub(super) const LOSE_UNJUSTIFIED: u32 = 50_000;
/// For an overdue review, at once and again every 24 h.
pub(super) const LOSE_OVERDUE: u32 = 20_000;
/// Most that drift gives back in 128 heights.
const RECOVER_MAX: u32 = 1_000;
/// How many heights without a credited vote make a validator inactive.
pub(super) const ACTIVE_HEIGHTS: u64 = 64;
/// How many heights without a credited vote end a validator's candidacy.
const CANDIDATE_HEIGHTS: u64 = 16;
/// How long a newcomer waits until it is a candidate.
const CANDIDATE_AGE: u64 = 1_024;
/// How long the first offence excludes, in heights; doubles with each further one.
const JAIL_HEIGHTS: u64 = 10_000;

/// What the ledger knows of one validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Standing, in `0..=1_000_000`.
    pub credit: Credit,
    /// Height of the last block that credited a vote of it; the height of admission before the first.
    pub last_active: Height,
    /// Excluded from leading and from gains below this height; 0 when never convicted.
    pub jailed_until: Height,
    /// Convictions.
    pub offences: u32,
    /// Views in a row that passed without its block.
    pub miss: u32,
    /// First height it votes on; none for members of the genesis.
    pub joined: Option<Height>,
    /// Heights whose offences were punished. Few, because a validator with [`OFFENCES_MAX`] convictions is not
    /// convicted again: at most `OFFENCES_MAX - 1` and one block's evidence.
    pub(super) punished: BTreeSet<Height>,
    /// Offences up to this height are settled by a governance vote; 0 when there was none.
    pub(super) pardoned: Height,
}

/// Why a credit changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreditReason {
    /// Rule 1: its finalize vote for this height was credited.
    Voted {
        /// The height of the vote.
        height: Height,
    },
    /// Rule 2: its block was finalized.
    Authored {
        /// Whether in the view of its making.
        own_view: bool,
    },
    /// Rule 2: a view passed without its block.
    Skipped,
    /// Rule 3: it signed what no honest validator signs.
    Convicted {
        /// Height of the offence.
        height: Height,
        /// View of the offence.
        view: View,
    },
    /// Rule 4: no credited vote for 64 heights.
    Inactive,
    /// Rule 5: drift towards the initial credit.
    Drift,
    /// Rule 6: an emergency case of its hospital was judged unjustified.
    CaseUnjustified,
    /// Rule 6: a review of its hospital is overdue.
    ReviewOverdue,
}

/// One change of one validator's credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditChange {
    /// Whose.
    pub validator: ValidatorId,
    /// Credit before.
    pub before: Credit,
    /// Credit after.
    pub after: Credit,
    /// Why.
    pub reason: CreditReason,
}

/// A validator as tables show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingRow {
    /// Its number.
    pub id: ValidatorId,
    /// Standing, in `0..=1_000_000`.
    pub credit: Credit,
    /// Standing in steps of 100,000, in `0..=7`.
    pub grade: u32,
    /// Whether it may be a master before all others have been (spec section 3).
    pub eligible: bool,
    /// Excluded below this height; none when free.
    pub jailed_until: Option<Height>,
    /// Convictions.
    pub offences: u32,
    /// Views in a row that passed without its block.
    pub miss: u32,
    /// Height of the last block that credited a vote of it.
    pub last_active: Height,
}

/// Credit in steps of 100,000, at most 7 (spec section 3).
pub(super) fn grade(credit: Credit) -> u32 {
    (credit.0 / 100_000).min(7)
}

impl Record {
    /// A member of the genesis.
    pub(super) fn founder() -> Self {
        Self {
            credit: CREDIT_INIT,
            last_active: Height(0),
            jailed_until: Height(0),
            offences: 0,
            miss: 0,
            joined: None,
            punished: BTreeSet::new(),
            pardoned: Height(0),
        }
    }

    /// A validator that votes from `height` on.
    pub(super) fn newcomer(height: Height) -> Self {
        Self {
            credit: CREDIT_NEWCOMER,
            last_active: height,
            joined: Some(height),
            ..Self::founder()
        }
    }

    /// Whether an offence still excludes it at `height`.
    #[must_use]
    pub fn is_jailed(&self, height: Height) -> bool {
        self.jailed_until > height
    }

    /// Whether one of the last `heights` heights up to `height` credited a vote of it.
    pub(super) fn is_active(&self, height: Height, heights: u64) -> bool {
        self.last_active.0.saturating_add(heights) > height.0
    }

    /// Whether it is a candidate as of the state after `height` (spec section 3).
    #[must_use]
    pub fn is_eligible(&self, height: Height) -> bool {
        let old_enough = self
            .joined
            .is_none_or(|joined| height.0.saturating_sub(joined.0) >= CANDIDATE_AGE);
        !self.is_jailed(height)
            && self.offences < OFFENCES_MAX
            && old_enough
            && self.is_active(height, CANDIDATE_HEIGHTS)
    }

    /// `C += r * (MAX - C) / MAX`. Gains shrink towards the top. The jailed gain nothing (I18).
    pub(super) fn gain(&mut self, reward: u32, height: Height) {
        if self.is_jailed(height) {
            return;
        }
        let room = u64::from(CREDIT_MAX.0.saturating_sub(self.credit.0));
        let gain = u64::from(reward).saturating_mul(room) / u64::from(CREDIT_MAX.0);
        let sum = self.credit.plus(u32::try_from(gain).unwrap_or(u32::MAX));
        self.credit = sum.min(CREDIT_MAX);
    }

    /// `C -= p`, held at zero.
    pub(super) fn lose(&mut self, penalty: u32) {
        self.credit = self.credit.minus(penalty);
    }

    /// A view passed without its block.
    pub(super) fn skip(&mut self) {
        self.lose(LOSE_SKIPPED << self.miss.min(3));
        self.miss = self.miss.saturating_add(1);
    }

    /// It is convicted of an offence at `offence`, by the block at `height`.
    pub(super) fn convict(&mut self, offence: Height, height: Height) {
        self.credit = Credit(0);
        let term = JAIL_HEIGHTS.saturating_mul(1 << self.offences.min(32));
        self.jailed_until = height.plus(term).max(self.jailed_until);
        self.offences = self.offences.saturating_add(1);
        self.punished.insert(offence);
    }

    /// A governance vote at `height` ends its exclusion: what it did until now is settled, its credit stays, and one
    /// more conviction excludes it again.
    pub(super) fn pardon(&mut self, height: Height) {
        self.offences = OFFENCES_MAX.saturating_sub(1);
        self.jailed_until = height;
        self.pardoned = height;
        self.punished.clear();
    }

    /// Rule 5: a sixty-fourth of what exceeds the initial credit goes; who is active gets some back below it.
    pub(super) fn drift(&mut self, height: Height) {
        if self.credit > CREDIT_INIT {
            self.lose((self.credit.0 - CREDIT_INIT.0) / 64);
        } else if self.is_active(height, ACTIVE_HEIGHTS) && !self.is_jailed(height) {
            let missing = CREDIT_INIT.0 - self.credit.0;
            self.credit = self.credit.plus(missing.min(RECOVER_MAX));
        }
    }
}
