//! What a step of a case did, and why one is not possible.

use super::{ClosedBy, Phase, RefusalReason, Verdict};
use crate::crypto::Digest;
use crate::ids::KinId;
use crate::units::{Epoch, Millis, Tier};
use serde::{Deserialize, Serialize};

/// Most releases that one kin may announce in one case (a kin may restart and answer anew).
pub const RELEASES_MAX: usize = 4;

/// What a step did, for those who follow the case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CaseEvent {
    /// The request stands on chain.
    Requested,
    /// A kin approved.
    Approved(KinId),
    /// A kin refused.
    KinRefused(KinId, RefusalReason),
    /// Kin who have not decided are to be asked again.
    Remind,
    /// The first circle has not come to a decision; from now on the hospital may turn to the second.
    SecondCircle,
    /// Only the waiting time is missing.
    Waiting,
    /// Kin may release.
    Granted,
    /// A kin announced its release.
    Released(KinId, Digest),
    /// The first release: the records can be opened.
    Opened,
    /// The hospital reported a read of so many records.
    Read(u32),
    /// Too many refusals.
    Refused,
    /// Stopped by the patient before it was granted.
    Vetoed,
    /// Too few approvals in time.
    Expired,
    /// Ended before it was granted: hospital or issuer are accredited no more.
    Revoked,
    /// Over; a verdict is due at this time.
    Closed(ClosedBy, Millis),
    /// The verdict is overdue.
    Overdue,
    /// Judged.
    Reviewed(Verdict),
}

/// Why a case does not open what somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    /// It is about somebody else.
    #[error("it is about another patient")]
    OtherPatient,
    /// Not granted yet, or over.
    #[error("it opens nothing: it is {}, or its session is over", phase.as_str())]
    Shut {
        /// The state that the case is in.
        phase: Phase,
    },
    /// The tier was not asked for.
    #[error("it does not cover tier {tier}")]
    Tier {
        /// The tier.
        tier: Tier,
    },
}

/// Why a step is not possible. Nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// The step does not fit the state.
    #[error("the case is {}", phase.as_str())]
    Phase {
        /// The state that the case is in.
        phase: Phase,
    },
    /// The signer is not on the roster of the case's epoch.
    #[error("{kin} is not on the roster of epoch {epoch}")]
    NotKin {
        /// The signer.
        kin: KinId,
        /// The roster's epoch.
        epoch: Epoch,
    },
    /// The signer has already approved or refused.
    #[error("{kin} has already decided")]
    AlreadyDecided {
        /// The signer.
        kin: KinId,
    },
    /// The signer releases without having approved.
    #[error("{kin} has not approved")]
    NotApproved {
        /// The signer.
        kin: KinId,
    },
    /// The approval was made for something else: another case, circle, epoch, hospital, purpose, reason or expiry.
    #[error("the approval does not fit this request: {field} differs")]
    Mismatch {
        /// The first field that differs.
        field: &'static str,
    },
    /// The hospital reports that it has read what it had not asked for.
    #[error("the request does not name the tier {tier}")]
    OutOfScope {
        /// The tier.
        tier: Tier,
    },
    /// The signer may not do this.
    #[error("only the {role} may do this")]
    NotAllowed {
        /// Who may.
        role: &'static str,
    },
    /// A kin announced too many releases.
    #[error("{kin} has announced {RELEASES_MAX} releases already")]
    TooManyReleases {
        /// The signer.
        kin: KinId,
    },
}
