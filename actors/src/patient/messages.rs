//! What a patient's device is asked and told.

use crate::upload::OpenedRecord;
use actix::Message;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::TierPolicy;
use kithkin_protocol::ids::{CaseId, GrantId, HospitalId, KinId, RecordId};
use kithkin_protocol::ledger::Member;
use kithkin_protocol::roster::{Plan, RosterRules};
use kithkin_protocol::units::{Height, Tier};

/// Driver (the patient's screen) -> Patient. Chooses kin and deals them shares of fresh tier keys. The reply comes when
/// the enrolment is final. Asking again after success changes nothing.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Enrolled, PatientError>")]
pub struct Enrol {
    /// The kin; the first gets share index 1.
    pub roster: Vec<Member>,
    /// The hospital that vouches for the patient's identity.
    pub sponsor: HospitalId,
    /// Kin needed to open a tier; none means the smallest majority.
    pub threshold: Option<usize>,
    /// Rules that differ from the default.
    pub policies: Vec<(Tier, TierPolicy)>,
    /// How much time changes of the roster take, and how often shares are refreshed and tried.
    pub rules: RosterRules,
}

/// A final enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Height of the block that it stands in; the present one when it stood already.
    pub height: Height,
    /// Kin on the roster.
    pub kin: usize,
    /// Kin needed.
    pub threshold: usize,
}

/// Driver (the patient's screen) -> Patient. Opens records with the patient's own keys, without anybody's consent.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vec<OpenedRecord>, PatientError>")]
pub struct ReadAll {
    /// These tiers.
    pub tiers: Vec<Tier>,
    /// Only uploads with these manifest roots; empty means all.
    pub only: Vec<Digest>,
    /// Where the ciphertexts are to come from.
    pub source: Source,
}

/// Driver (the patient's screen) -> Patient. Something about the own roster. The reply comes when it is final; what becomes of it
/// is seen on the ledger.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Height, PatientError>")]
pub enum AboutRoster {
    /// This shall become of it, after the delay in which kin may object.
    Propose(Box<Plan>),
    /// What is under way shall not be.
    Veto,
}

/// Where ciphertexts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The hospital that wrote them; the kin's shards where it has none.
    Hospital,
    /// The kin's shards only.
    Kin,
}

/// Driver (the patient's screen) -> Patient. Stops a case. The reply comes when the veto is final.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Height, PatientError>")]
pub struct Veto(pub CaseId);

/// Why a patient's device does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatientError {
    /// A roster that cannot be enrolled.
    #[error("the roster is refused: {reason}")]
    Roster {
        /// Why.
        reason: String,
    },
    /// A kin did not accept; deal anew without it.
    #[error("{kin} did not accept: {reason}")]
    NotAccepted {
        /// The kin.
        kin: KinId,
        /// Why.
        reason: String,
    },
    /// The hospital did not vouch.
    #[error("{hospital} does not vouch for this patient: {reason}")]
    NotSponsored {
        /// The hospital.
        hospital: HospitalId,
        /// Why.
        reason: String,
    },
    /// A hospital does not sign what was proposed to it.
    #[error("{hospital} does not agree: {reason}")]
    NotAgreed {
        /// The hospital.
        hospital: HospitalId,
        /// Why.
        reason: String,
    },
    /// A grant cannot be given, changed or proved.
    #[error("grant {grant}: {reason}")]
    Grant {
        /// The grant.
        grant: GrantId,
        /// Why.
        reason: String,
    },
    /// A record cannot be opened.
    #[error("record {record} cannot be opened: {reason}")]
    Record {
        /// The record.
        record: RecordId,
        /// Why.
        reason: String,
    },
    /// An upload cannot be found anywhere.
    #[error("upload {root} cannot be found: {reason}")]
    Upload {
        /// Manifest root.
        root: Digest,
        /// Why.
        reason: String,
    },
    /// Only the person in front of the device may ask for this.
    #[error("not allowed: {reason}")]
    Forbidden {
        /// Why.
        reason: String,
    },
    /// The ledger could not be reached or refused.
    #[error("the ledger: {reason}")]
    Ledger {
        /// Why.
        reason: String,
    },
    /// The own store or vault failed.
    #[error("the store: {reason}")]
    Store {
        /// Why.
        reason: String,
    },
}
