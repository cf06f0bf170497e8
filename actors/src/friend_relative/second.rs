//! Being in a patient's second circle (docs/adr/0035): a share of the summary key, no shards, and no part in what becomes of the
//! first circle's roster.
//!
//! The summary key stays when the first circle's shares are refreshed or handed on,
//! and so do these shares; only the epoch and the first circle in the books move on.

use super::desk::{Desk, HINT_PATIENCE};
use super::messages::{FetchUpload, Ground, KinError};
use super::roster::erase;
use super::storage::{Put as _, Ward};
use crate::friend_relative::FriendRelative;
use crate::hospital::Hospital;
use crate::hospital::messages::LendRecords;
use crate::ports::names::ActorName;
use crate::ports::store::Batch;
use crate::scope::belongs;
use crate::upload::Upload;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{CaseId, PatientId};
use kithkin_protocol::ledger::{self, Enrolment, SecondCircle};
use kithkin_protocol::record::BatchHeader;
use kithkin_protocol::units::{CircleKind, Epoch};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long everybody together may take to lend an upload.
const LEND_WITHIN: Duration = Duration::from_secs(4);
/// Pause before somebody is asked again who refused.
const PAUSE: Duration = Duration::from_millis(100);

/// The ward of a kin of either circle, proved to stand on chain; that of a second circle as of `epoch`, if the ledger is there.
pub(super) async fn active_ward(
    desk: &Arc<Desk>,
    patient: PatientId,
    epoch: Epoch,
) -> Result<Arc<Ward>, KinError> {
    let unknown = KinError::NotMyPatient { patient };
    let Some(ward) = desk.ward(patient) else {
        return Err(unknown);
    };
    if ward.circle == CircleKind::First {
        return desk.active_ward(patient).await;
    }
    if ward.active && ward.epoch >= epoch {
        return Ok(ward);
    }
    let entry = desk.enrolled(patient, HINT_PATIENCE).await?;
    follow(desk, patient, &entry.ok_or(unknown.clone())?).await?;
    let ward = desk.ward(patient).filter(|ward| ward.active);
    ward.ok_or(unknown)
}

/// Moves on with the ledger. Shares of a circle that is none any more are erased.
pub(super) async fn follow(
    desk: &Arc<Desk>,
    patient: PatientId,
    entry: &ledger::Patient,
) -> Result<(), KinError> {
    // An offer must not be overwritten by what was proved before it.
    let _offers = desk.offers.lock().await;
    let held = desk.ward(patient);
    let Some(held) = held.filter(|ward| ward.circle == CircleKind::Second) else {
        return Ok(());
    };
    if entry.epoch < held.epoch || (held.active && entry.epoch == held.epoch) {
        return Ok(());
    }
    let mut batch = Batch::default();
    if same(&held.enrolment, &entry.enrolment) {
        let enrolment = without_acceptances(entry.enrolment.clone());
        let ward = Ward {
            epoch: entry.epoch,
            since: entry.roster_since,
            digest: enrolment.digest(desk.client.chain(), patient),
            active: true,
            enrolment,
            ..Ward::clone(&held)
        };
        batch.ward(&ward);
        desk.store.write(batch).await?;
        desk.put_ward(Arc::new(ward));
    } else {
        // One enrolment stands for good; what it does not name any more, or never named, opens nothing.
        batch.no_ward(patient);
        desk.store.write(batch).await?;
        desk.drop_ward(patient);
        erase(desk, held).await;
        tracing::info!(kin = %desk.me, %patient, "no longer in the second circle; the share is erased");
    }
    Ok(())
}

fn same(held: &Enrolment, entry: &Enrolment) -> bool {
    let content = |second: &SecondCircle| (second.roster.clone(), second.commitments.clone());
    held.second.as_ref().map(content) == entry.second.as_ref().map(content)
}

/// As it is kept: acceptances are on chain.
pub(super) fn without_acceptances(mut enrolment: Enrolment) -> Enrolment {
    enrolment.acceptances = Vec::new();
    if let Some(second) = &mut enrolment.second {
        second.acceptances = Vec::new();
    }
    enrolment
}

/// An upload that a granted case covers: from the hospital that wrote it or a device of the first circle, whichever sends the right
/// one first. This kin keeps none itself.
pub(super) async fn lent(
    desk: &Arc<Desk>,
    ward: &Ward,
    header: &BatchHeader,
    case: CaseId,
) -> Result<Arc<Upload>, KinError> {
    let root = header.manifest_root;
    let directory = &desk.setting.directory;
    let first = ward.enrolment.roster.iter().map(|member| member.id());
    let names = first.filter_map(|kin| directory.name(kin));
    let until = Instant::now() + LEND_WITHIN;
    let mut asked: FuturesUnordered<_> = names
        .chain(directory.name(header.author))
        .map(|name| async move { (name, ask(desk, name, root, case, until).await) })
        .collect();
    while let Some((name, answer)) = asked.next().await {
        match answer {
            Ok(upload) => {
                let (wanted, checked) = (*header, upload.clone());
                if desk.heavy(move |_| Ok(belongs(&wanted, &checked))).await? {
                    return Ok(upload);
                }
                tracing::warn!(kin = %desk.me, from = %name, %root, "sent another upload");
            }
            Err(reason) => tracing::debug!(kin = %desk.me, from = %name, reason, "no upload"),
        }
    }
    Err(KinError::Unknown { root })
}

async fn ask(
    desk: &Desk,
    name: ActorName,
    root: Digest,
    case: CaseId,
    until: Instant,
) -> Result<Arc<Upload>, String> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let refused = if matches!(name, ActorName::Hospital(_)) {
            let lend = LendRecords { root, case };
            let asked = desk.port.ask::<Hospital, _>(name, lend, left).await;
            match asked.map_err(|error| error.to_string())? {
                Ok(lent) => return Ok(lent.upload),
                Err(error) => error.to_string(),
            }
        } else {
            let ground = Some(Ground::Case(case));
            let fetch = FetchUpload { root, ground };
            let asked = desk.port.ask::<FriendRelative, _>(name, fetch, left).await;
            match asked.map_err(|error| error.to_string())? {
                Ok(upload) => return Ok(upload),
                Err(error) => error.to_string(),
            }
        };
        // It may not know yet that the case is granted.
        if Instant::now() + PAUSE >= until {
            return Err(refused);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
