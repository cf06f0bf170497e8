//! What a hospital is asked and told about consents.

use crate::hospital::messages::HospitalError;
use crate::upload::OpenedRecord;
use actix::Message;
use kithkin_protocol::consent::{Bundle, GrantPurpose, GrantTerms, Renewal};
use kithkin_protocol::crypto::Signature;
use kithkin_protocol::emergency::Scope;
use kithkin_protocol::ids::{GrantId, KinId, RecordId};
use kithkin_protocol::units::{Height, Millis, Tier};
use std::collections::BTreeSet;

/// Patient -> Hospital. "I would let you read this, for that." The reply has the whole terms, with a fresh key of the hospital,
/// and the hospital's signature; the patient's is still missing.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<GrantOffer, HospitalError>")]
pub struct ProposeGrant {
    /// Which records.
    pub scopes: Vec<Scope>,
    /// What for.
    pub purpose: GrantPurpose,
    /// From when.
    pub from_ms: Millis,
    /// Until when.
    pub until_ms: Millis,
}

/// Terms that the hospital has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantOffer {
    /// The terms.
    pub terms: GrantTerms,
    /// [`GrantTerms::sign`].
    pub signature: Signature,
}

/// Patient -> Hospital. The sealed keys of a grant that stands on chain. The reply comes when they are checked and durable.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), HospitalError>")]
pub struct DeliverKeys {
    /// The grant.
    pub grant: GrantId,
    /// The keys.
    pub keys: Bundle,
}

/// Patient -> Hospital. "I would let the grant end later." The reply is signed by the hospital; the patient's signature is still
/// missing.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Renewal, HospitalError>")]
pub struct ProposeRenewal {
    /// The grant.
    pub grant: GrantId,
    /// When it ends so far.
    pub ends_ms: Millis,
    /// When it is to end.
    pub until_ms: Millis,
}

/// Driver (hospital IT) -> Hospital. Only for these purposes are grants and renewals signed from now on, also after a restart. All
/// of them unless said otherwise.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), HospitalError>")]
pub struct TakeGrants(pub BTreeSet<GrantPurpose>);

/// Driver (a clinician's screen) -> Hospital. Opens records under a grant. The read is final on chain before the reply comes.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<GrantOpened, HospitalError>")]
pub struct ReadGranted {
    /// The grant.
    pub grant: GrantId,
    /// Only these tiers; empty means all that the grant names.
    pub tiers: BTreeSet<Tier>,
    /// How long to wait for kin. The grant's end comes first.
    pub within_ms: Millis,
}

/// Records that were opened under a grant.
#[derive(Clone, Debug, Default)]
pub struct GrantOpened {
    /// In the order of tiers, batches and manifests.
    pub records: Vec<OpenedRecord>,
    /// Records in scope that stayed shut, and why: the grant ended before they were there, or kin or an author are at fault.
    pub unopened: Vec<(RecordId, String)>,
    /// Tiers of which not even the capsules were found in time, and why.
    pub shut: Vec<(Tier, String)>,
    /// Kin that sent shards that were not stored.
    pub forged: BTreeSet<KinId>,
    /// Height of the block in which the last statement of a read stands; none when nothing was read.
    pub height: Option<Height>,
}

/// Driver (hospital IT) -> Hospital. Gives a grant back before its time. The reply comes when that is final and the keys are
/// destroyed.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Height, HospitalError>")]
pub struct GiveBack(pub GrantId);

/// Driver -> Hospital. Asks all kin for what a grant once covered, whether or not it has ended. For demonstrations and scenarios:
/// never crosses a machine.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Vec<Misused>, HospitalError>")]
pub struct MisuseGrant(pub GrantId);

/// What one kin said to [`MisuseGrant`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misused {
    /// The kin.
    pub kin: KinId,
    /// Why it sent nothing; none when it sent shards.
    pub refused: Option<String>,
}
