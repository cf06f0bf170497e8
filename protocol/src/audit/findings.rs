//! What a verified bundle shows: plain data, for people ([`super::words`]) and for programs (serde).
//!
//! Identifiers come out as hexadecimal in text formats, times as milliseconds since 1970. Nothing clinical is here: the ledger
//! knows none.

use super::bundle::Subject;
use crate::crypto::{Digest, VerifyingKey};
use crate::emergency::{
    Circle, ClinicalRole, ClosedBy, Phase, Purpose, Reason, RefusalReason, TierPolicy, Timing,
    Verdict,
};
use crate::ids::{
    AccountId, BatchId, BlockId, CaseId, ChainId, HospitalId, KinId, PatientId, TxId,
};
use crate::record::BatchStatus;
use crate::units::{Epoch, Height, Millis, Tier};
use serde::Serialize;

/// Everything that a bundle shows. All of it is proved but what [`ReadReport`] and [`AttachmentFinding`] hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// The ledger.
    pub chain: ChainId,
    /// What the bundle is about. Of a patient it holds all cases.
    pub subject: Subject,
    /// The state that it shows.
    pub as_of: AsOf,
    /// The patient.
    pub patient: PatientFinding,
    /// The cases, in the order in which they were opened.
    pub cases: Vec<CaseFinding>,
    /// Attached documents.
    pub attachments: Vec<AttachmentFinding>,
}

/// Up to where a bundle tells. What came later it cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AsOf {
    /// Height of the last block that counts.
    pub height: Height,
    /// That block.
    pub block: BlockId,
    /// Its time.
    pub time_ms: Millis,
}

/// A patient as the ledger knows one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatientFinding {
    /// The patient.
    pub id: PatientId,
    /// Generation of roster and keys.
    pub epoch: Epoch,
    /// The kin of the first circle; the first has share index 1.
    pub roster: Vec<KinId>,
    /// Threshold and rule of each tier, as they stand now.
    pub tiers: Vec<TierFinding>,
    /// How many cases there have ever been.
    pub cases: u32,
}

/// Threshold and rule of a tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TierFinding {
    /// The tier.
    pub tier: Tier,
    /// How many kin open it.
    pub threshold: usize,
    /// The patient's rule.
    pub policy: TierPolicy,
}

/// A hospital as it is accredited at the head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HospitalFinding {
    /// The hospital.
    pub id: HospitalId,
    /// Its name.
    pub name: String,
    /// It may not request before this time; 0 when nothing was held against it.
    pub suspended_until_ms: Millis,
    /// It is accredited no more since this block.
    pub revoked_at: Option<Height>,
}

/// Who vouched for a clinician, and as what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VoucherFinding {
    /// The issuer: the hospital itself while the ledger had none.
    pub issuer: AccountId,
    /// Its name.
    pub name: String,
    /// What the clinician is.
    pub role: ClinicalRole,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// The block.
    pub height: Height,
    /// The place in it.
    pub index: u32,
    /// Block time.
    pub time_ms: Millis,
    /// The transaction.
    pub transaction: TxId,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseFinding {
    /// The case.
    pub id: CaseId,
    /// Who asked.
    pub hospital: HospitalFinding,
    /// The clinician's key.
    pub clinician: VerifyingKey,
    /// Who vouched for the clinician.
    pub voucher: Option<VoucherFinding>,
    /// When.
    pub requested: Mark,
    /// What for.
    pub purpose: Purpose,
    /// What happened, as the hospital says.
    pub reason: Reason,
    /// Digest of the hospital's encounter number.
    pub encounter: Digest,
    /// Until when approvals counted.
    pub expires_ms: Millis,
    /// The roster epoch in which it was opened.
    pub epoch: Epoch,
    /// Whose approval was asked.
    pub circle: Circle,
    /// What was asked for.
    pub scopes: Vec<ScopeFinding>,
    /// The patient's rules for these tiers in that epoch, and the thresholds of the circle that was asked.
    pub rules: Vec<TierFinding>,
    /// Kin that may decide.
    pub roster: Vec<KinId>,
    /// Approvals needed.
    pub threshold: u16,
    /// The rules, drawn together for this request.
    pub timing: Timing,
    /// Approvals and refusals, in order.
    pub decisions: Vec<Decision>,
    /// When kin were allowed to release.
    pub granted_ms: Option<Millis>,
    /// Releases, in order.
    pub releases: Vec<Release>,
    /// What the hospital says that it has read, in order.
    pub reads: Vec<ReadReport>,
    /// The patient's veto.
    pub vetoed: Option<Veto>,
    /// How it ended, once granted.
    pub closed: Option<Closing>,
    /// When the verdict is, or next becomes, overdue.
    pub review_due_ms: Option<Millis>,
    /// Whether the verdict has been overdue.
    pub overdue: bool,
    /// The verdict.
    pub verdict: Option<Judgement>,
    /// Where it stands.
    pub phase: Phase,
    /// How many transactions it has; all are in the bundle.
    pub transactions: u32,
}

/// One tier of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScopeFinding {
    /// The tier.
    pub tier: Tier,
    /// Batches up to this height.
    pub up_to: Height,
    /// How many single records it names; 0 means all.
    pub only: usize,
    /// Batches that the bundle shows. Each is proved; that there is no other is not.
    pub batches: Vec<BatchFinding>,
}

/// A batch of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BatchFinding {
    /// The batch.
    pub id: BatchId,
    /// Who wrote it.
    pub author: HospitalId,
    /// Where it stands.
    pub height: Height,
    /// Its place in the block.
    pub index: u32,
    /// How many records.
    pub records: u32,
    /// How many kin hold it.
    pub status: BatchStatus,
}

/// What a kin decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Who.
    pub kin: KinId,
    /// Why not; none for an approval.
    pub refused: Option<RefusalReason>,
    /// When.
    pub mark: Mark,
}

/// A kin's announcement of what it was about to release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Who.
    pub kin: KinId,
    /// Digest over the partial openings.
    pub digest: Digest,
    /// When.
    pub mark: Mark,
    /// How many kin had approved, in time, in transactions that were final before.
    pub approvals_before: usize,
}

/// What the hospital says that its clinician has read. That it said so then is proved; that it is all, is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReadReport {
    /// Tier of the records.
    pub tier: Tier,
    /// How many.
    pub records: u32,
    /// Digest over their identifiers.
    pub digest: Digest,
    /// When it was reported.
    pub mark: Mark,
}

/// The patient stopped a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Veto {
    /// The device that spoke for the patient: the present one, or one that did so before.
    pub device: AccountId,
    /// When.
    pub mark: Mark,
}

/// How a granted case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Closing {
    /// By what.
    pub by: ClosedBy,
    /// When.
    pub time_ms: Millis,
    /// The transaction that ended it; none when its time was over.
    pub mark: Option<Mark>,
}

/// A reviewer's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Who judged.
    pub reviewer: AccountId,
    /// When.
    pub mark: Mark,
}

/// An attached document. Its bytes are those that were attached; what it says is not proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttachmentFinding {
    /// Its name.
    pub name: String,
    /// What it is.
    pub media_type: String,
    /// Its length.
    pub bytes: usize,
    /// Digest over all of it.
    pub digest: Digest,
}
