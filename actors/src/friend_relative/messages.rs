//! What a friend or relative is asked and told.

use crate::upload::Upload;
use actix::Message;
use kithkin_protocol::crypto::{Digest, Sealed, Signature, hash};
use kithkin_protocol::emergency::{ClinicalRole, Phase, Purpose, Reason, RefusalReason};
use kithkin_protocol::ids::{CaseId, GrantId, HandoverId, HospitalId, PatientId, RecordId};
use kithkin_protocol::ledger::{BatchPlace, Enrolment, SecondWord};
use kithkin_protocol::record::{Erasure, Receipt, RewrappedBatch, Shard};
use kithkin_protocol::roster::Plan;
use kithkin_protocol::units::{CircleKind, Epoch, Height, Millis, ShareIndex, Tier};
use kithkin_protocol::wire;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Patient -> FriendRelative. "Be my kin: here is the roster, and here are your shares." The reply is the signed
/// acceptance, given when the person has accepted and the shares are checked and durable.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Signature, KinError>")]
pub struct OfferShares {
    /// Who asks.
    pub patient: PatientId,
    /// The enrolment, still without acceptances.
    pub enrolment: Arc<Enrolment>,
    /// The kin's place in the roster.
    pub index: ShareIndex,
    /// One share per tier, sealed to the kin.
    pub shares: Vec<(Tier, Sealed)>,
}

/// Patient -> FriendRelative. "Be in my second circle from now on: here is who is in it, and here is your share." The reply is the
/// signed acceptance, given when the share is checked and durable. What was held before stays until the ledger has the word.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Signature, KinError>")]
pub struct OfferSecond {
    /// Who asks.
    pub patient: PatientId,
    /// The word, still without acceptances.
    pub word: Arc<SecondWord>,
    /// The kin's place in the circle.
    pub index: ShareIndex,
    /// Its share of the summary key, sealed to it.
    pub share: Sealed,
}

/// Driver (the kin's screen) -> FriendRelative. Who asks me to be kin, and what have I answered?
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Vec<Invitation>, KinError>")]
pub struct Invited;

/// A patient's question whether this person wants to be kin. Answered with [`RosterWish::Join`] or [`RosterWish::Decline`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Who asks.
    pub patient: PatientId,
    /// The enrolment that was offered last.
    pub digest: Digest,
    /// For which circle.
    pub circle: CircleKind,
    /// How many kin are to be in it.
    pub kin: usize,
    /// How many of them will be needed.
    pub needed: usize,
    /// Until when it waits for an answer, and until when an answer holds.
    pub until_ms: Millis,
    /// The person's answer; none as long as there is none.
    pub accepted: Option<bool>,
}

/// Driver -> FriendRelative. Do this with invitations from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Message, Serialize, Deserialize)]
#[rtype(result = "Result<(), KinError>")]
pub enum OnInvitation {
    /// Ask the person.
    #[default]
    Ask,
    /// Accept: for devices that nobody sits in front of, as in a simulated cluster.
    Accept,
    /// Decline.
    Decline,
}

/// Hospital -> FriendRelative. "Keep these." The reply is a receipt, given when all is checked and durable.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Receipt, KinError>")]
pub struct StoreShards {
    /// Manifest and capsules.
    pub upload: Arc<Upload>,
    /// This kin's shard of each record, in the manifest's order.
    pub shards: Vec<Shard>,
}

/// What allows a hospital to fetch what is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// A case that is granted.
    Case(CaseId),
    /// The patient's consent, and where the upload's batch stands on chain: a grant names a height up to which batches are meant.
    Grant(GrantId, BatchPlace),
}

/// Hospital, Patient or another kin of the patient -> FriendRelative. "Send me manifest and capsules of an upload."
/// The author needs no ground, and a kin neither: it keeps the same or should.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Arc<Upload>, KinError>")]
pub struct FetchUpload {
    /// Manifest root of the upload.
    pub root: Digest,
    /// What allows it; the patient needs nothing.
    pub ground: Option<Ground>,
}

/// Hospital or Patient -> FriendRelative. "Send me your shards of an upload."
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vec<(RecordId, Shard)>, KinError>")]
pub struct FetchShards {
    /// Manifest root of the upload.
    pub root: Digest,
    /// These records; empty means all.
    pub only: Vec<RecordId>,
    /// What allows it; the patient needs nothing.
    pub ground: Option<Ground>,
}

/// Patient -> FriendRelative. "The ledger has my order: erase what you keep of this batch." The reply is a receipt of deletion for
/// each slot, given when nothing of it can be read here any more.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Vec<Erasure>, KinError>")]
pub struct EraseBatch {
    /// Where the batch stands.
    pub place: BatchPlace,
    /// A height at which the order stands.
    pub ordered: Height,
}

/// Sealed sub-shares of one dealer: for each tier, in order, one for each recipient, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle(pub Vec<Vec<Sealed>>);

impl Bundle {
    /// What stands on chain of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash("kithkin/bundle/1", &[&wire::encode(self)])
    }
}

/// Another kin of the patient, also one that is to become so -> FriendRelative. "Send me what this dealer has sealed for us."
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Bundle, KinError>")]
pub struct FetchBundle {
    /// Whose roster changes.
    pub patient: PatientId,
    /// The handover.
    pub handover: HandoverId,
    /// Who dealt: the index in the present roster.
    pub dealer: ShareIndex,
}

/// Hospital, Patient or another kin of the patient -> FriendRelative. "Send me the capsules of an upload that the patient's new device
/// has made." Who may have the upload may have these.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Arc<RewrappedBatch>, KinError>")]
pub struct FetchRewrapped {
    /// The root on chain over the new capsules of all batches.
    pub under: Digest,
    /// Manifest root of the upload.
    pub root: Digest,
    /// What allows it; the patient needs none.
    pub ground: Option<Ground>,
}

/// Patient, from a new device -> FriendRelative. "The ledger says that I speak for this patient now: give me your shares, so that I
/// can rebuild the keys" (opening.md section 6).
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<ReleasedShares, KinError>")]
pub struct ReleaseShares {
    /// Whose keys.
    pub patient: PatientId,
}

/// A kin's shares themselves, sealed to the new device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedShares {
    /// Generation of the shares.
    pub epoch: Epoch,
    /// One share per tier, in order.
    pub shares: Vec<(Tier, Sealed)>,
}

/// Driver (the kin's screen) -> FriendRelative. The person wants something of a patient's roster. The reply comes when it is
/// final, for what goes on chain.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), KinError>")]
pub struct AboutRoster {
    /// Whose roster.
    pub patient: PatientId,
    /// What.
    pub wish: RosterWish,
}

/// What a person on a roster, or invited to one, may want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RosterWish {
    /// I accept the invitation: take my share when it is dealt.
    Join,
    /// I decline it, or take the acceptance back before the share is taken.
    Decline,
    /// I do not want to be kin any more; I stay until I am replaced.
    Resign,
    /// This shall become of the roster, since the patient cannot say so.
    Propose(Box<Plan>),
    /// I support what another kin has proposed.
    Support,
    /// I object to what is proposed.
    Object,
}

/// Driver (the kin's screen) -> FriendRelative. Which requests wait for an answer?
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vec<PendingRequest>, KinError>")]
pub struct Pending;

/// What a kin is shown before it decides; every field but the last is covered by its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRequest {
    /// The case.
    pub case: CaseId,
    /// Whose records.
    pub patient: PatientId,
    /// Who asks.
    pub hospital: HospitalId,
    /// What the clinician is, by the word of whoever vouches.
    pub role: Option<ClinicalRole>,
    /// What for.
    pub purpose: Purpose,
    /// What happened.
    pub reason: Reason,
    /// Which tiers.
    pub tiers: Vec<Tier>,
    /// Until when an answer counts.
    pub expires_ms: Millis,
    /// Whether the kin who have not answered have been reminded: the patient's rules say when that is due.
    pub reminded: bool,
}

/// Driver (the kin's screen) -> FriendRelative. The person has decided. The reply comes when the decision is final.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Decided, KinError>")]
pub struct Decide {
    /// The case.
    pub case: CaseId,
    /// The decision.
    pub decision: Decision,
}

/// A kin's answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Open.
    Approve,
    /// Do not open.
    Refuse(RefusalReason),
}

/// A final decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Height of the block that it stands in.
    pub height: Height,
    /// Where the case stood right after, as proved.
    pub phase: Phase,
}

/// Driver -> FriendRelative. Behave like this from now on: for demonstrations and scenarios. Never crosses a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Message, Serialize, Deserialize)]
#[rtype(result = "()")]
pub enum Conduct {
    /// As the protocol says.
    #[default]
    Honest,
    /// Sends partial openings made with a wrong share, signed and announced like good ones; and a wrong share to a new device.
    Forge,
    /// Approves, but never releases.
    Withhold,
    /// Deals sub-shares that do not fit their commitments when a roster changes.
    DealWrong,
}

/// Driver -> FriendRelative. Misuses an approval that this kin gave before: sends the very same transaction again, and
/// then the same approval pointed at another case. Never crosses a machine.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Replayed, KinError>")]
pub struct ReplayApproval {
    /// The case that was approved.
    pub from: CaseId,
    /// The case that the approval is pointed at.
    pub into: CaseId,
}

/// What became of both attempts, in the validators' words; none for an attempt that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The same transaction again.
    pub again: Option<String>,
    /// The approval moved to another case.
    pub moved: Option<String>,
}

/// Driver -> FriendRelative. Lose everything but the own identity, as a broken device does: for demonstrations and scenarios.
/// Never crosses a machine.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<(), KinError>")]
pub struct Wipe;

/// Driver -> FriendRelative. What this kin keeps and what it has let go.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Held, KinError>")]
pub struct Inventory;

/// The answer to [`Inventory`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Patients whose kin this is.
    pub patients: usize,
    /// Shares of tier keys.
    pub shares: usize,
    /// Uploads.
    pub uploads: usize,
    /// Uploads that were erased by order, each with its receipts.
    pub erased: usize,
    /// Shards.
    pub shards: usize,
    /// The newest epoch of shares that it holds.
    pub epoch: u32,
    /// Partial openings that ever left this kin, by case.
    pub released: Vec<CaseId>,
}

/// Why a kin does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KinError {
    /// The enrolment, or a share in it, is wrong: the patient's device is at fault.
    #[error("the offered shares are refused: {reason}")]
    Offer {
        /// Why.
        reason: String,
    },
    /// The person does not want to be kin of this patient.
    #[error("the person declines")]
    Declined,
    /// The person has not said yet whether to be kin of this patient.
    #[error("the person has not decided yet, and has until {until_ms}")]
    Undecided {
        /// Until when the invitation stands, by the kin's clock.
        until_ms: Millis,
    },
    /// The upload or a shard in it is wrong: the hospital is at fault.
    #[error("the shards are refused: {reason}")]
    Shards {
        /// Why.
        reason: String,
    },
    /// Not kin of that patient.
    #[error("not kin of patient {patient}")]
    NotMyPatient {
        /// The patient.
        patient: PatientId,
    },
    /// Nothing with that name is kept here.
    #[error("no upload {root} is kept here")]
    Unknown {
        /// Manifest root.
        root: Digest,
    },
    /// The patient's records take as much room here as this person has given them.
    #[error(
        "{adds} bytes more do not fit: {used} of the {bytes_max} that this kin keeps for the patient are taken"
    )]
    Full {
        /// What was to be added.
        adds: u64,
        /// What is taken.
        used: u64,
        /// The quota.
        bytes_max: u64,
    },
    /// The upload was erased by the patient's order, and is not taken again.
    #[error("upload {root} was erased by the patient's order")]
    Erased {
        /// Manifest root.
        root: Digest,
    },
    /// No order of the patient stands on the ledger.
    #[error("the ledger has no order to erase the batch at height {height}, place {index}")]
    NotOrdered {
        /// Height of the batch.
        height: Height,
        /// Its place in the block.
        index: u32,
    },
    /// The asker may not have it.
    #[error("not allowed: {reason}")]
    Forbidden {
        /// Why.
        reason: String,
    },
    /// A change of a roster does not go on.
    #[error("the roster of patient {patient}: {reason}")]
    Roster {
        /// The patient.
        patient: PatientId,
        /// Why.
        reason: String,
    },
    /// The case cannot be proved, or does not allow the step.
    #[error("case {case}: {reason}")]
    Case {
        /// The case.
        case: CaseId,
        /// Why.
        reason: String,
    },
    /// The grant cannot be proved, or does not allow it.
    #[error("grant {grant}: {reason}")]
    Grant {
        /// The grant.
        grant: GrantId,
        /// Why.
        reason: String,
    },
    /// More than a kin takes, keeps or sends at once.
    #[error("too much at once: {what}; at most {limit}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
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
