//! Handing out the own copies of sealed records in a case of a patient's second circle (docs/adr/0035).
//!
//! The first circle's devices may be out of reach as their owners are. What is handed
//! out is ciphertext; still nobody gets it without need.

use crate::hospital::desk::{Desk, PROVED_WITHIN, forbidden};
use crate::hospital::messages::{Fetched, HospitalError, LendRecords};
use crate::ports::names::ActorName;
use kithkin_protocol::ids::RecordId;
use kithkin_protocol::units::CircleKind;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long reading some of the ciphertexts may take.
const LENT_WITHIN: Duration = Duration::from_secs(10);

/// Lends an upload: to the hospital whose case it is with the ciphertexts in scope, to the kin who are asked without.
pub(super) async fn lend(
    desk: &Desk,
    from: ActorName,
    asked: LendRecords,
) -> Result<Fetched, HospitalError> {
    let LendRecords { root, case: id } = asked;
    let upload = desk.archive.upload(root).await?;
    let upload = upload.ok_or(HospitalError::UnknownUpload { root })?;
    let case = desk.prove_case(id, Instant::now() + PROVED_WITHIN).await?;
    let directory = &desk.setting.directory;
    let is_hospital = directory.hospital(from) == Some(case.hospital);
    let is_kin = directory
        .kin(from)
        .is_some_and(|kin| case.roster.contains(&kin));
    if !is_hospital && !is_kin {
        return Err(forbidden(format!("case {id} is none of {from}")));
    }
    if case.circle() != CircleKind::Second {
        return Err(forbidden(format!("case {id} is not of a second circle")));
    }
    let scope = case.reach(desk.client.now(), upload.patient, upload.tier);
    let scope = scope.map_err(|error| forbidden(format!("case {id}: {error}")))?;
    let only: BTreeSet<RecordId> = scope.only.iter().copied().collect();
    let mut ciphertexts = Vec::new();
    if is_hospital {
        ciphertexts = match only.is_empty() {
            true => desk.archive.ciphertexts(&upload).await?,
            false => {
                let until = Instant::now() + LENT_WITHIN;
                desk.archive.some(&upload, &only, until).await?
            }
        };
    }
    Ok(Fetched {
        upload,
        ciphertexts,
    })
}
