//! Who may fetch sealed records from a kin: the patient, its other kin, the author, and whoever has a case or a grant.
//!
//! What is handed out is ciphertext; still nobody gets it without need.

use super::consent;
use super::desk::Desk;
use super::messages::{Ground, KinError};
use super::storage::Kept;
use crate::ports::names::ActorName;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::{CaseId, HospitalId, KinId, PatientId, RecordId};
use kithkin_protocol::units::{CircleKind, Tier};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Manifest and capsules.
    Upload,
    /// Shards of the ciphertexts.
    Shards,
}

/// Which records of an upload may be had: all when empty.
pub(super) type Reach = BTreeSet<RecordId>;

pub(super) fn forbidden(reason: impl Into<String>) -> KinError {
    KinError::Forbidden {
        reason: reason.into(),
    }
}

/// Decides over one request to fetch something of `kept`, which has this manifest root.
///
/// # Errors
/// [`KinError::Forbidden`]; [`KinError::Case`], [`KinError::Grant`] and [`KinError::Ledger`] when what is to allow it cannot be
/// proved, or does not allow it.
pub(super) async fn reach(
    desk: &Arc<Desk>,
    from: ActorName,
    (root, kept): (Digest, &Kept),
    ground: Option<Ground>,
    wanted: Wanted,
) -> Result<Reach, KinError> {
    let directory = &desk.setting.directory;
    match from {
        // Not a device that was lost: whoever found it may have its keys.
        ActorName::Patient(_) => {
            let device = directory.account(from);
            let device = device.ok_or_else(|| forbidden(format!("{from} is unknown")))?;
            if desk.speaks_for(device, kept.patient).await? {
                Ok(Reach::new())
            } else {
                Err(forbidden(format!("{from} does not speak for this patient")))
            }
        }
        // A kin that missed an upload needs its capsules to answer for them, and the pieces of others to make its own anew
        // when no hospital and no patient is there to do it. It is ciphertext; the keys take a quorum all the same.
        ActorName::Kin(..) => {
            let ward = desk.ward(kept.patient);
            let fellow = ward
                .zip(directory.kin(from))
                .is_some_and(|(ward, kin)| ward.member(kin).is_some());
            match (fellow, ground, directory.kin(from)) {
                (true, ..) => Ok(Reach::new()),
                (false, Some(Ground::Case(case)), Some(kin)) if wanted == Wanted::Upload => {
                    by_second(desk, (from, kin), kept, case).await
                }
                _ => Err(forbidden(format!("{from} is no kin of this patient"))),
            }
        }
        ActorName::Hospital(_) => {
            let hospital = directory
                .hospital(from)
                .ok_or_else(|| forbidden(format!("{from} is not in the directory")))?;
            if wanted == Wanted::Upload && hospital == kept.author {
                return Ok(Reach::new());
            }
            match ground {
                Some(Ground::Case(case)) => {
                    let of = (kept.patient, kept.tier);
                    by_case(desk, (from, hospital), of, case).await
                }
                Some(Ground::Grant(grant, batch)) => {
                    consent::by_grant(desk, (from, hospital), (root, kept), grant, batch).await
                }
                None => Err(forbidden("a hospital needs a case or a grant")),
            }
        }
        ActorName::Validator(_) | ActorName::Leader(_) | ActorName::Driver => {
            Err(forbidden(format!("{from} may not have this")))
        }
    }
}

/// What a hospital may have of a patient's upload of this tier in a case of its own.
pub(super) async fn by_case(
    desk: &Desk,
    (from, hospital): (ActorName, HospitalId),
    of: (PatientId, Tier),
    id: CaseId,
) -> Result<Reach, KinError> {
    let case = desk.recent_case(from, id).await?;
    if case.hospital != hospital {
        return Err(forbidden(format!("case {id} is another hospital's")));
    }
    covered(desk, &case, of)
}

/// The second circle holds no capsules: it needs those of a case that is granted, to open them (ADR 35).
async fn by_second(
    desk: &Desk,
    (from, kin): (ActorName, KinId),
    kept: &Kept,
    id: CaseId,
) -> Result<Reach, KinError> {
    let case = desk.recent_case(from, id).await?;
    if case.circle() != CircleKind::Second || !case.roster.contains(&kin) {
        return Err(forbidden(format!("case {id} does not ask {kin}")));
    }
    covered(desk, &case, (kept.patient, kept.tier))
}

/// What an open case covers of an upload.
fn covered(
    desk: &Desk,
    case: &Case,
    (patient, tier): (PatientId, Tier),
) -> Result<Reach, KinError> {
    let scope = case.reach(desk.client.now(), patient, tier);
    let scope = scope.map_err(|error| forbidden(format!("case {}: {error}", case.id)))?;
    Ok(scope.only.iter().copied().collect())
}

/// The records that are handed out: those asked for, all within reach when none is named.
///
/// # Errors
/// [`KinError::Forbidden`] when a record out of reach is named.
pub(super) fn within(reach: &Reach, only: &[RecordId]) -> Result<Reach, KinError> {
    if only.is_empty() {
        return Ok(reach.clone());
    }
    let wanted: Reach = only.iter().copied().collect();
    match wanted
        .iter()
        .find(|record| !reach.is_empty() && !reach.contains(record))
    {
        Some(record) => Err(forbidden(format!("record {record} is out of scope"))),
        None => Ok(wanted),
    }
}
