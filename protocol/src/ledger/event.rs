//! What a block did: for those who follow the chain, and for storing it.

use crate::consent::{ConsentError, GrantEvent};
use crate::credit::CreditChange;
use crate::crypto::Digest;
use crate::emergency::{CaseError, CaseEvent, CredentialError, SecondCircleError};
use crate::ids::{AccountId, BatchId, CaseId, GrantId, HospitalId, PatientId, TxId};
use crate::ledger::enrolment::EnrolmentError;
use crate::ledger::execute::{OrderError, RequestLimit};
use crate::ledger::governance::{Clause, GovernanceError};
use crate::ledger::snapshot::Due;
use crate::ledger::state::BatchPlace;
use crate::ledger::table::Write;
use crate::ledger::tree::StateProof;
use crate::roster::{RosterError, RosterEvent};
use crate::units::{Height, Millis, Tier};

/// One thing that happened in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Height of the block.
    pub height: Height,
    /// Block time.
    pub time_ms: Millis,
    /// The transaction that caused it, and its place; none for the passing of time.
    pub cause: Option<(TxId, u32)>,
    /// What happened.
    pub what: What,
}

/// Kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A patient's roster and keys stand.
    Enrolled {
        /// The patient.
        patient: PatientId,
    },
    /// A batch of records stands.
    Batch {
        /// Whose records.
        patient: PatientId,
        /// Which tier.
        tier: Tier,
        /// The batch.
        batch: BatchId,
        /// Whether every kin holds its shards.
        stored: bool,
    },
    /// The patient has ordered a batch to be erased.
    Erase {
        /// Whose records.
        patient: PatientId,
        /// The hospital that wrote them.
        author: HospitalId,
        /// The batch.
        batch: BatchId,
        /// Where it stands.
        place: BatchPlace,
    },
    /// A case took a step.
    Case {
        /// The case.
        case: CaseId,
        /// Whose records.
        patient: PatientId,
        /// Who asks.
        hospital: HospitalId,
        /// The step.
        step: CaseEvent,
    },
    /// Something happened about a patient's roster.
    Roster {
        /// Whose roster.
        patient: PatientId,
        /// What.
        step: RosterEvent,
    },
    /// An accredited hospital asked for a patient's records and was refused; a [`What::Rejected`] of the same transaction
    /// tells the hospital, this one tells the patient.
    Attempt {
        /// Whose records.
        patient: PatientId,
        /// Who asked.
        hospital: HospitalId,
        /// Why it was refused.
        reason: Rejection,
    },
    /// An amendment was adopted; a change of the validators takes effect two heights later, everything else at once.
    Amended {
        /// Its number.
        number: u64,
        /// What it changes.
        changes: Vec<Clause>,
    },
    /// A grant took a step.
    Grant {
        /// The grant.
        grant: GrantId,
        /// Whose records.
        patient: PatientId,
        /// Who may read them.
        hospital: HospitalId,
        /// The step.
        step: GrantEvent,
    },
    /// A transaction stands on chain, but what it asked for was refused; nothing else changed, except that a request for
    /// records counts towards the hospital's limits.
    Rejected {
        /// Who signed it.
        signer: AccountId,
        /// Why it was refused.
        reason: Rejection,
    },
}

/// Why a well-formed transaction has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The patient is enrolled already.
    #[error("{patient} is enrolled already")]
    AlreadyEnrolled {
        /// The patient.
        patient: PatientId,
    },
    /// The enrolment cannot stand.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
    /// No such patient.
    #[error("{patient} is not enrolled")]
    UnknownPatient {
        /// The patient.
        patient: PatientId,
    },
    /// The signer is no accredited hospital.
    #[error("{signer} is not an accredited hospital")]
    NotHospital {
        /// The signer.
        signer: AccountId,
    },
    /// The hospital has lost its right to request for a time.
    #[error("{hospital} may not request before {until}")]
    Suspended {
        /// The hospital.
        hospital: HospitalId,
        /// When it may again.
        until: Millis,
    },
    /// The hospital has made too many requests within a day.
    #[error("{hospital} has asked too often {limit}; it may ask again from {until} on")]
    TooOften {
        /// The hospital.
        hospital: HospitalId,
        /// The limit that is reached; if both are, the one that lasts longer.
        limit: RequestLimit,
        /// When it may ask again, should it not ask elsewhere meanwhile.
        until: Millis,
    },
    /// The batch does not fit the patient's roster or the chain.
    #[error("the batch cannot stand: {field} is wrong")]
    Batch {
        /// What is wrong.
        field: &'static str,
    },
    /// A new device of the patient is dealing other keys; what is sealed to the present ones would stay shut.
    #[error(
        "the keys of {patient} are being replaced; seal it again to the new ones when that is done"
    )]
    KeysInExchange {
        /// The patient.
        patient: PatientId,
    },
    /// The numbers in the batch's header do not fit each other or the roster.
    #[error(transparent)]
    BatchHeader(#[from] crate::record::BatchError),
    /// A receipt does not hold, or stands twice.
    #[error(transparent)]
    Receipt(#[from] crate::record::ReceiptError),
    /// A batch is not to be erased now.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// No such batch.
    #[error("batch {batch} is not on chain")]
    UnknownBatch {
        /// The batch.
        batch: BatchId,
    },
    /// The request cannot stand.
    #[error("the request cannot stand: {field} is wrong")]
    Request {
        /// What is wrong.
        field: &'static str,
    },
    /// The second circle cannot be asked.
    #[error(transparent)]
    SecondCircle(#[from] SecondCircleError),
    /// Too many cases of one patient at once, of this hospital or of all.
    #[error("{patient} has {live} cases open already; close one first")]
    TooManyCases {
        /// The patient.
        patient: PatientId,
        /// How many.
        live: u16,
    },
    /// No such case.
    #[error("case {case} does not exist")]
    UnknownCase {
        /// The case.
        case: CaseId,
    },
    /// The amendment is not adopted.
    #[error(transparent)]
    Governance(#[from] GovernanceError),
    /// The case does not allow the step.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The roster does not allow the step.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The grant does not stand, or does not allow the step.
    #[error(transparent)]
    Consent(#[from] ConsentError),
    /// The clinician has no credential that counts.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The signer is no accredited reviewer.
    #[error("{signer} is not an accredited reviewer")]
    NotReviewer {
        /// The signer.
        signer: AccountId,
    },
    /// The reviewer works at the hospital whose case it is.
    #[error("{signer} works at {hospital} and cannot judge its cases")]
    OwnHospital {
        /// The signer.
        signer: AccountId,
        /// The hospital.
        hospital: HospitalId,
    },
    /// The reviewer is not outside the hospital, or has another part in the case.
    #[error("reviewer {signer} may not judge this case: it {tie}")]
    ReviewerTied {
        /// The reviewer.
        signer: AccountId,
        /// Which part.
        tie: &'static str,
    },
}

/// Everything that executing a block yields.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Changed entries of the state, to be stored with the block.
    pub writes: Vec<Write>,
    /// Root of the state after the block.
    pub state_root: Digest,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Changes of credit.
    pub credit: Vec<CreditChange>,
    /// Proves who votes on the next two heights, under the root of the state after the block: at every
    /// [`LIGHT_EVERY`](crate::ledger::light::LIGHT_EVERY)th height, and when that has changed. With the next block's header and finalization it
    /// is a step of a light client.
    pub electorate: Option<StateProof>,
    /// The state after the block, when a snapshot of it is due ([`Ledger::make_snapshots`](crate::ledger::Ledger::make_snapshots)).
    pub snapshot: Option<Box<Due>>,
}
