//! What people did in a case, as it is kept for the report afterwards: refusals, reads, the review.
//!
//! No step of the case looks at these again; [`super::Disclosure`] tells them.

use super::{RefusalReason, Verdict};
use crate::ids::{AccountId, CaseId, HospitalId};
use crate::units::Millis;
use serde::{Deserialize, Serialize};

/// A kin's refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// When, by block time.
    pub at_ms: Millis,
}

/// What the hospital says that it has read of one tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reading {
    /// How often it reported a read.
    pub times: u32,
    /// Records, one counted again for each time that it was read.
    pub records: u32,
    /// The first read, by block time.
    pub first_ms: Millis,
    /// The last.
    pub last_ms: Millis,
}

impl Reading {
    /// With one read more.
    pub(super) fn with(self, records: u32, now: Millis) -> Self {
        Self {
            times: self.times.saturating_add(1),
            records: self.records.saturating_add(records),
            first_ms: self.first_ms,
            last_ms: now,
        }
    }

    /// Before the first read, which is now.
    pub(super) fn none(now: Millis) -> Self {
        Self {
            times: 0,
            records: 0,
            first_ms: now,
            last_ms: now,
        }
    }
}

/// A reviewer's signed word on a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Review {
    /// What the reviewer found.
    pub verdict: Verdict,
    /// Who signed.
    pub reviewer: AccountId,
    /// When, by block time.
    pub at_ms: Millis,
}

/// A case that waits for its review.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReviewTask {
    /// The case.
    pub case: CaseId,
    /// Whose conduct is to be judged.
    pub hospital: HospitalId,
    /// Since when the case is over.
    pub closed_ms: Millis,
    /// Until when the verdict was to be given; later than that it costs the hospital.
    pub due_ms: Millis,
    /// Whether that time has passed.
    pub is_overdue: bool,
}
