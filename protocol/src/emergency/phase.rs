//! Names of a case's states, of what ends it and of what is found afterwards.

use serde::{Deserialize, Serialize};

/// Where a case stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Waiting for approvals.
    Requested,
    /// Enough approvals; only the waiting time is missing.
    Waiting,
    /// Enough approvals, nothing released yet.
    Granted,
    /// A kin has released.
    Open,
    /// Over; a verdict is due.
    Closed,
    /// A reviewer has judged.
    Reviewed,
    /// Too many kin refused.
    Refused,
    /// The patient stopped it before it was granted.
    Vetoed,
    /// Too few kin approved in time.
    Expired,
    /// The hospital, or whoever vouched for its clinician, was revoked before it was granted.
    Revoked,
}

impl Phase {
    /// Whether kin may release partial openings.
    #[must_use]
    pub fn opens(self) -> bool {
        matches!(self, Self::Granted | Self::Open)
    }

    /// Whether the case can still come to an opening; the roster must not change meanwhile.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(
            self,
            Self::Requested | Self::Waiting | Self::Granted | Self::Open
        )
    }

    /// Whether kin have come to no decision: neither granted nor refused, and nobody has stopped it.
    #[must_use]
    pub fn is_undecided(self) -> bool {
        matches!(self, Self::Requested | Self::Waiting | Self::Expired)
    }

    /// The state's name in text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Waiting => "waiting",
            Self::Granted => "granted",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Reviewed => "reviewed",
            Self::Refused => "refused",
            Self::Vetoed => "vetoed",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// What ended a granted case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClosedBy {
    /// The session's time was over.
    Time,
    /// The hospital closed it.
    Hospital,
    /// The patient vetoed it.
    Veto,
    /// The hospital is accredited no more.
    Revoked,
}

/// A reviewer's verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// There was an emergency.
    Justified,
    /// There was none.
    Unjustified,
    /// It cannot be told.
    Inconclusive,
}

impl Verdict {
    /// The verdict in text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Justified => "justified",
            Self::Unjustified => "unjustified",
            Self::Inconclusive => "inconclusive",
        }
    }
}
