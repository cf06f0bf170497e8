//! What a patient's device is asked and told.

use crate::friend_relative::messages::Bundle;
use crate::upload::OpenedRecord;
use actix::Message;
use kithkin_protocol::crypto::{Digest, SealingKey, VerifyingKey};
use kithkin_protocol::emergency::{Disclosure, Escalation, TierPolicy};
use kithkin_protocol::ids::{
    BatchId, CaseId, GrantId, HandoverId, HospitalId, KinId, PatientId, RecordId,
};
use kithkin_protocol::ledger::Member;
use kithkin_protocol::record::{CopiesErased, Erasure, RewrappedBatch};
use kithkin_protocol::roster::{Plan, Readiness, RosterRules};
use kithkin_protocol::units::{Epoch, Height, Millis, Tier};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    /// When kin are asked again, and from when on the second circle may be asked.
    pub escalation: Escalation,
    /// Whom to turn to when the roster cannot be reached.
    pub second: Option<SecondWish>,
}

/// A second circle: it gets a sharing of the summary key of its own, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondWish {
    /// Its kin, none of whom is on the roster; the first gets share index 1.
    pub roster: Vec<Member>,
    /// How many of them open the summary; none means the smallest majority.
    pub threshold: Option<usize>,
}

/// Driver (the patient's screen) -> Patient. Something about the second circle after the enrolment. The reply comes when it is final.
/// Asking again goes on where it stopped, and after success changes nothing.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<SecondNamed, PatientError>")]
pub enum AboutSecond {
    /// These are in it from now on, instead of those who were.
    Name(SecondWish),
    /// The same people once more, with other shares; on a new device those whom the lost one had named.
    Again,
    /// Nobody is.
    Withdraw,
}

/// What stands about the second circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondNamed {
    /// Height of the block that the word stands in; the present one when it stood already.
    pub height: Height,
    /// Its epoch.
    pub epoch: Epoch,
    /// How many are in it; 0 when it was withdrawn.
    pub kin: usize,
    /// How many of them open the summary.
    pub threshold: usize,
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

/// Driver (the patient's screen) -> Patient. Lays down other rules; what is not named stays. The reply comes when it is final. What makes
/// the rules stricter counts from then on, everything else when the kin could have objected.
#[derive(Clone, Debug, Default, Message)]
#[rtype(result = "Result<LaidDown, PatientError>")]
pub struct LayDown {
    /// Rules of tiers.
    pub policies: Vec<(Tier, TierPolicy)>,
    /// When kin are asked again, and from when on the second circle may be asked.
    pub escalation: Option<Escalation>,
    /// How much time changes of the roster take, and how often shares are refreshed and tried.
    pub roster: Option<RosterRules>,
}

/// Rules that stand on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaidDown {
    /// Height of the block.
    pub height: Height,
    /// How long kin may object before they count; none when they count already.
    pub waits_ms: Option<Millis>,
    /// What is other than before, in words.
    pub changes: Vec<String>,
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

/// Driver (the new device's screen) -> Patient. The keys by which kin can vouch for this device.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Keys, PatientError>")]
pub struct ShowKeys;

/// Public keys of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What it signs with.
    pub signing: VerifyingKey,
    /// What others seal to.
    pub sealing: SealingKey,
}

/// Driver (the new device's screen) -> Patient. "I have lost my old device; this is my new one." Once the kin's word for it is final, it
/// asks them for their shares, rebuilds the keys, deals others, and wraps every record's key anew (opening.md section 6). The reply
/// comes when that is proposed; the new keys count when all kin hold their shares. Asking again goes on where it stopped.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Rebuilt, PatientError>")]
pub struct Rebuild {
    /// Who asks: a device speaks for this patient from then on.
    pub patient: PatientId,
}

/// What rebuilding the keys came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// Height of the block in which the proposal stands; of what it was made from, when it stood already.
    pub height: Height,
    /// Kin whose shares do not fit their commitments.
    pub wrong: Vec<KinId>,
    /// Kin that sent none.
    pub silent: Vec<KinId>,
    /// Uploads whose capsules were made anew.
    pub batches: usize,
    /// Records in them.
    pub records: usize,
    /// How many of these had a capsule that holds no key: whoever sealed them did so wrongly, and they open to nobody.
    pub empty: usize,
}

/// FriendRelative -> Patient (a new device). "Send me what you have dealt in this handover."
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Bundle, PatientError>")]
pub struct FetchRedealt {
    /// The handover.
    pub handover: HandoverId,
}

/// FriendRelative -> Patient (a new device). "Send me the capsules that you have made for this upload."
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Arc<RewrappedBatch>, PatientError>")]
pub struct FetchCapsules {
    /// The root on chain over the new capsules of all batches.
    pub under: Digest,
    /// Manifest root of the upload.
    pub root: Digest,
}

/// Driver (the patient's screen) -> Patient. The report about a case, drawn from what the ledger proves.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Disclosure, PatientError>")]
pub struct Disclose(pub CaseId);

/// Driver (the patient's screen) -> Patient. "Would my kin be there?" What the drills have shown, as the ledger proves it.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Readiness, PatientError>")]
pub struct ShowReadiness;

/// Driver (the patient's screen) -> Patient. Has an upload erased by everybody who holds anything of it: the order goes on
/// chain, then all are asked for signed receipts. Asking again asks those who have not answered.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<ErasureReport, PatientError>")]
pub struct Erase {
    /// Manifest root of the upload.
    pub root: Digest,
}

/// Who has erased, and who has not said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureReport {
    /// The batch.
    pub batch: BatchId,
    /// Manifest root.
    pub root: Digest,
    /// When the order became final, by block time.
    pub ordered_ms: Millis,
    /// Kin that signed, each for its slots.
    pub kin: Vec<KinReceipts>,
    /// What the author signed.
    pub hospital: Option<CopiesErased>,
    /// Who has not answered, or not as it should.
    pub silent: Vec<Silent>,
}

/// One kin's receipts of deletion, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KinReceipts {
    /// The kin.
    pub kin: KinId,
    /// One for each slot; none for a kin that held nothing and had to hold nothing.
    pub receipts: Vec<Erasure>,
}

/// Somebody from whom no good receipt has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// Who.
    pub who: Holder,
    /// Why not, as far as it is known.
    pub reason: String,
}

/// Somebody who holds something of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A kin.
    Kin(KinId),
    /// The hospital that wrote it.
    Hospital(HospitalId),
}

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
    /// Not everybody accepted a place in the second circle; nothing has changed.
    #[error(
        "the second circle stays as it is: {}; ask again when they can be reached, or name others",
        listed(silent)
    )]
    SecondSilent {
        /// Who did not, and why.
        silent: Vec<Silent>,
    },
    /// This person does not want to be kin; invite another, or go on without.
    #[error("{kin} declines to be kin; invite somebody else, or enrol without")]
    Declined {
        /// The kin.
        kin: KinId,
    },
    /// This person has not said yet whether to be kin.
    #[error(
        "{kin} has not decided yet whether to be kin; ask again later, or invite somebody else"
    )]
    Undecided {
        /// The kin.
        kin: KinId,
        /// Until when the invitation stands, by the kin's clock.
        until_ms: Millis,
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
    /// The keys cannot be rebuilt: too few kin released good shares.
    #[error("the keys cannot be rebuilt: {reason}; wrong shares came from {} kin", wrong.len())]
    Shares {
        /// Why.
        reason: String,
        /// Kin whose shares do not fit their commitments.
        wrong: Vec<KinId>,
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
    /// The ledger does not take the order to erase.
    #[error("batch {batch} is not erased: {reason}")]
    Order {
        /// The batch.
        batch: BatchId,
        /// Why.
        reason: String,
    },
    /// A case that is not about this patient, or that there is not.
    #[error("the ledger has no case {case} about this patient")]
    Case {
        /// The case.
        case: CaseId,
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

fn listed(silent: &[Silent]) -> String {
    let one = |silent: &Silent| match silent.who {
        Holder::Kin(kin) => format!("{kin} did not accept: {}", silent.reason),
        Holder::Hospital(hospital) => format!("{hospital}: {}", silent.reason),
    };
    silent.iter().map(one).collect::<Vec<_>>().join("; ")
}
