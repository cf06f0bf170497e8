//! What a hospital is asked and told.

use crate::hospital::archive::ArchiveError;
use crate::upload::{OpenedRecord, Upload};
use actix::Message;
use kithkin_protocol::crypto::{Digest, Sealed, Signature, VerifyingKey};
use kithkin_protocol::emergency::{Credential, Purpose, Reason};
use kithkin_protocol::ids::{
    BatchId, CaseId, GrantId, HospitalId, KinId, PatientId, RecordId, TxId,
};
use kithkin_protocol::ledger::{BatchPlace, Enrolment};
use kithkin_protocol::record::{BatchStatus, CopiesErased};
use kithkin_protocol::units::{Height, Millis, Tier};
use std::sync::Arc;

/// Patient -> Hospital. "Vouch for my identity." The reply is the sponsor's signature under the enrolment.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Signature, HospitalError>")]
pub struct Sponsor {
    /// Who asks.
    pub patient: PatientId,
    /// What is to stand on chain.
    pub enrolment: Arc<Enrolment>,
}

/// Driver (hospital IT) -> Hospital. Seals a FHIR bundle to the patient and stores it with the kin. The reply comes
/// when every batch is final.
#[derive(Clone, Message)]
#[rtype(result = "Result<Written, HospitalError>")]
pub struct WriteRecord {
    /// Whose record.
    pub patient: PatientId,
    /// The bundle, byte for byte.
    pub bundle: Arc<Vec<u8>>,
    /// How long to wait for kin that do not answer before the upload goes on chain as degraded.
    pub patience_ms: Millis,
}

impl core::fmt::Debug for WriteRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (patient, bytes) = (self.patient, self.bundle.len());
        write!(f, "WriteRecord({patient}, {bytes} bytes <redacted>)")
    }
}

/// A file that is sealed, stored and anchored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// One batch per tier that has records.
    pub batches: Vec<WrittenBatch>,
    /// Size of the bundle.
    pub bytes: usize,
}

/// One batch of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenBatch {
    /// The tier.
    pub tier: Tier,
    /// The batch.
    pub batch: BatchId,
    /// Manifest root of the upload.
    pub root: Digest,
    /// Height of the block that it stands in.
    pub height: Height,
    /// How many records.
    pub records: u32,
    /// `stored` when every kin has signed for it, else `degraded`.
    pub status: BatchStatus,
    /// Which kin have not signed for it, and why; empty when it is `stored`.
    pub unsigned: Vec<Unsigned>,
    /// The transaction.
    pub transaction: TxId,
    /// Bytes that it takes on chain: the whole signed transaction.
    pub on_chain_bytes: usize,
}

/// A kin that has not signed for its shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// Who.
    pub kin: KinId,
    /// Why not: what the kin said, or that it said nothing.
    pub reason: String,
}

/// Reasons behind a sentence; each once.
fn reasons(unsigned: &[Unsigned]) -> String {
    let reasons: std::collections::BTreeSet<&str> =
        unsigned.iter().map(|one| one.reason.as_str()).collect();
    let mut text = String::new();
    for reason in reasons {
        text.push_str("; ");
        text.push_str(reason);
    }
    text
}

/// Driver (the clinician's screen) -> Hospital. Asks to open records in an emergency. The reply comes when the request
/// is final.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Requested, HospitalError>")]
pub struct RequestOpening {
    /// Whose records.
    pub patient: PatientId,
    /// Which tiers.
    pub tiers: Vec<Tier>,
    /// What for.
    pub purpose: Purpose,
    /// What happened.
    pub reason: Reason,
    /// The hospital's own encounter number; only its digest goes on chain.
    pub encounter: String,
    /// How long the request waits for kin.
    pub expires_in_ms: Millis,
    /// How long the session is to last once granted.
    pub session_ms: Millis,
    /// What an issuer has signed for the clinician on duty ([`OnDuty`]); none when the hospital vouches itself, as it may on a
    /// ledger that has never had an issuer.
    pub credential: Option<Credential>,
    /// The case in which the first circle was asked and could not be reached, when this asks the patient's second circle.
    pub after: Option<CaseId>,
}

/// Driver (the clinician's screen) -> Hospital. Which key does an issuer have to vouch for?
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<VerifyingKey, HospitalError>")]
pub struct OnDuty;

/// A final request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requested {
    /// The case.
    pub case: CaseId,
    /// Height of the block that the request stands in.
    pub height: Height,
}

/// FriendRelative -> Hospital. Partial openings, one per tier of the request in its order, each sealed to the request's
/// session key. The reply comes when they are durable.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), HospitalError>")]
pub struct DeliverPartials {
    /// The case.
    pub case: CaseId,
    /// Tier and sealed partial opening.
    pub partials: Vec<(Tier, Sealed)>,
}

/// Driver (the clinician's screen) -> Hospital. Opens the case's records as soon as enough kin have released. The read is
/// final on chain before the reply comes.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Opened, HospitalError>")]
pub struct ReadCase {
    /// The case.
    pub case: CaseId,
    /// Only this tier; none means all of the request.
    pub tier: Option<Tier>,
    /// How long to wait.
    pub within_ms: Millis,
}

/// Opened records.
#[derive(Clone, Debug)]
pub struct Opened {
    /// In the order of tiers, batches and manifests.
    pub records: Vec<OpenedRecord>,
    /// Records in scope that could not be put together or opened, and why. Empty unless kin or an author are at fault.
    pub unopened: Vec<(RecordId, String)>,
    /// Kin whose partial openings or shards were bad.
    pub forged: Vec<KinId>,
    /// Kin whose partial openings were used or would do.
    pub good: Vec<KinId>,
    /// Height of the block in which the read stands.
    pub height: Height,
}

/// Driver (the clinician's screen) -> Hospital. The emergency is over. The reply comes when this is final.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Height, HospitalError>")]
pub struct CloseCase(pub CaseId);

/// Patient -> Hospital. "Send me manifest, capsules and ciphertexts of an upload that you wrote for me."
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Fetched, HospitalError>")]
pub struct FetchRecords {
    /// Manifest root of the upload.
    pub root: Digest,
}

/// Another hospital, or a kin of a patient's second circle -> Hospital. "Lend me an upload that you wrote: a case of the second circle
/// is granted." The hospital whose case it is gets the ciphertexts in scope, a kin manifest and capsules.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Fetched, HospitalError>")]
pub struct LendRecords {
    /// Manifest root of the upload.
    pub root: Digest,
    /// The case.
    pub case: CaseId,
}

/// Patient -> Hospital. "The ledger has my order: erase your copies of this batch." The reply is a receipt of deletion, given when
/// nothing of them can be read any more.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<CopiesErased, HospitalError>")]
pub struct EraseCopies {
    /// Where the batch stands.
    pub place: BatchPlace,
    /// A height at which the order stands.
    pub ordered: Height,
}

/// An upload with its ciphertexts.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Manifest and capsules.
    pub upload: Arc<Upload>,
    /// Ciphertexts by record.
    pub ciphertexts: Vec<(RecordId, Vec<u8>)>,
}

/// Why a hospital does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HospitalError {
    /// The bundle is no usable FHIR R4 bundle.
    #[error("the bundle is refused: {reason}")]
    Bundle {
        /// Why.
        reason: String,
    },
    /// The patient is not enrolled.
    #[error("patient {patient} is not enrolled")]
    UnknownPatient {
        /// The patient.
        patient: PatientId,
    },
    /// This hospital is not accredited, or no longer: nothing that it signs stands on the ledger.
    #[error("{hospital} is not accredited on this ledger")]
    NotAccredited {
        /// This hospital.
        hospital: HospitalId,
    },
    /// Too few kin took their shards.
    #[error(
        "only {receipts} of {kin} kin have signed for the upload; {needed} are needed{}",
        reasons(unsigned)
    )]
    TooFewReceipts {
        /// How many signed.
        receipts: usize,
        /// How many must.
        needed: usize,
        /// How many there are.
        kin: usize,
        /// Who has not, and why.
        unsigned: Vec<Unsigned>,
    },
    /// Too few kin have released good partial openings in time.
    #[error("{good} of {needed} partial openings came in time; the case is {phase}")]
    NotOpened {
        /// Good ones.
        good: usize,
        /// How many are needed.
        needed: usize,
        /// Where the case stands.
        phase: String,
        /// Kin whose partial openings were bad.
        forged: Vec<KinId>,
    },
    /// Sealed, granted, but the records cannot be put together.
    #[error("record {record} cannot be opened: {reason}")]
    Record {
        /// The record.
        record: RecordId,
        /// Why.
        reason: String,
    },
    /// This hospital has no such case.
    #[error("case {case} was not requested here")]
    UnknownCase {
        /// The case.
        case: CaseId,
    },
    /// This hospital does not sign such a grant or renewal.
    #[error("the hospital declines: {reason}")]
    Declined {
        /// Why.
        reason: String,
    },
    /// This hospital has no such grant: it was never given, or has ended and its keys are destroyed.
    #[error("grant {grant} is not kept here")]
    UnknownGrant {
        /// The grant.
        grant: GrantId,
    },
    /// The grant does not allow the step.
    #[error("grant {grant}: {reason}")]
    Grant {
        /// The grant.
        grant: GrantId,
        /// Why.
        reason: String,
    },
    /// Nothing with that name is kept here.
    #[error("no upload {root} is kept here")]
    UnknownUpload {
        /// Manifest root.
        root: Digest,
    },
    /// The asker may not have it.
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
    /// The own copies of sealed records.
    #[error("the archive: {0}")]
    Archive(#[source] ArchiveError),
    /// The own store or vault failed.
    #[error("the store: {reason}")]
    Store {
        /// Why.
        reason: String,
    },
}
