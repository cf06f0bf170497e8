//! What a patient's device is asked about consents.

use crate::patient::messages::PatientError;
use actix::Message;
use kithkin_protocol::consent::GrantPurpose;
use kithkin_protocol::ids::{GrantId, HospitalId, RecordId};
use kithkin_protocol::units::{Height, Millis, Tier};
use std::collections::{BTreeMap, BTreeSet};

/// Driver (the patient's screen) -> Patient. Lets a hospital read records. The reply comes when the grant is final.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Granted, PatientError>")]
pub struct GrantAccess {
    /// Who may read.
    pub hospital: HospitalId,
    /// Which tiers, and which records of each; none means all that stand on chain now.
    pub scopes: BTreeMap<Tier, BTreeSet<RecordId>>,
    /// What for.
    pub purpose: GrantPurpose,
    /// How long from now it begins.
    pub begins_in_ms: Millis,
    /// How long from now it ends.
    pub ends_in_ms: Millis,
}

/// A final grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The grant.
    pub grant: GrantId,
    /// Height of the block that it stands in.
    pub height: Height,
    /// When it ends.
    pub until_ms: Millis,
    /// Records whose keys the hospital gets.
    pub keys: usize,
    /// Records whose capsules wrap nothing, by the fault of their author: the others went on.
    pub left_out: Vec<RecordId>,
    /// Whether the hospital has taken the keys; else they are sent again and again.
    pub delivered: bool,
}

/// Driver (the patient's screen) -> Patient. Ends a grant at once. The reply comes when that is final.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Height, PatientError>")]
pub struct RevokeGrant(pub GrantId);

/// Driver (the patient's screen) -> Patient. Lets a live grant end later. The reply comes when that is final.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Renewed, PatientError>")]
pub struct RenewGrant {
    /// The grant.
    pub grant: GrantId,
    /// How long from now it ends.
    pub ends_in_ms: Millis,
}

/// A final renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Height of the block that it stands in.
    pub height: Height,
    /// When the grant ends.
    pub until_ms: Millis,
}

/// Driver (the patient's screen) -> Patient. A grant as it stands on chain, as a FHIR Consent for other programs.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<ConsentDocument, PatientError>")]
pub struct DescribeGrant(pub GrantId);

/// A FHIR R4 Consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentDocument {
    /// JSON.
    pub json: String,
    /// The height at which it was so.
    pub height: Height,
}
