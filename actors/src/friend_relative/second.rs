//! Being in a patient's second circle (docs/adr/0035): a share of the summary key, no shards, and no part in what becomes of the
//! first circle's roster.
//!
//! The summary key stays when the first circle's shares are refreshed or handed on,
//! and so do these shares; only the epoch and the first circle in the books move on.
//! They go when the ledger has another second circle, or none.

use super::access::{by_case, forbidden};
use super::desk::{Desk, HINT_PATIENCE, PROVE_WITHIN, decode};
use super::messages::{FetchUpload, Ground, KinError};
use super::roster::erase;
use super::storage::{Put as _, Ward};
use crate::friend_relative::FriendRelative;
use crate::hospital::Hospital;
use crate::hospital::messages::LendRecords;
use crate::ports::names::ActorName;
use crate::ports::store::Batch;
use crate::scope::{belongs, prove_at};
use crate::upload::Upload;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::{CaseId, PatientId};
use kithkin_protocol::ledger::{self, Enrolment, SecondCircle, State};
use kithkin_protocol::record::BatchHeader;
use kithkin_protocol::units::{CircleKind, Tier};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long everybody together may take to lend an upload.
const LEND_WITHIN: Duration = Duration::from_secs(4);
/// Pause before somebody is asked again who refused.
const PAUSE: Duration = Duration::from_millis(100);

/// The ward of a kin of either circle, proved to stand on chain; that of a second circle as of the case, if the ledger is there.
pub(super) async fn active_ward(desk: &Arc<Desk>, case: &Case) -> Result<Arc<Ward>, KinError> {
    let patient = case.patient();
    let unknown = KinError::NotMyPatient { patient };
    let (held, coming) = (desk.ward(patient), desk.coming(patient));
    if held.is_none() && coming.is_none() {
        return Err(unknown);
    }
    if case.circle() == CircleKind::First {
        return desk.active_ward(patient).await;
    }
    let (needed, is_known) = (case.circles(), |ward: &Arc<Ward>| {
        let (held, needed) = (ward.circles(), case.circles());
        ward.active && held.first >= needed.first && held.second >= needed.second
    });
    if let Some(ward) = held.filter(is_known) {
        return Ok(ward);
    }
    // The circle may have been named just before it was asked.
    let key = State::patient_key(patient);
    let deadline = Instant::now() + PROVE_WITHIN;
    let proved = prove_at(&desk.client, key, case.height, HINT_PATIENCE, deadline).await?;
    let entry = proved.0.ok_or(unknown.clone())?;
    follow(desk, patient, &decode(&entry)?).await?;
    let ward = desk.ward(patient).filter(is_known);
    ward.ok_or_else(|| {
        tracing::debug!(kin = %desk.me, %patient, %needed, "not in this second circle, or not seen yet");
        unknown
    })
}

/// Moves on with the ledger: a place that was accepted becomes this kin's when it stands there, and shares of a circle that is
/// none any more are erased.
pub(super) async fn follow(
    desk: &Arc<Desk>,
    patient: PatientId,
    entry: &ledger::Patient,
) -> Result<(), KinError> {
    // An offer must not be overwritten by what was proved before it.
    let _offers = desk.offers.lock().await;
    let coming = desk.coming(patient);
    if let Some(coming) = coming.filter(|ward| ward.second_epoch <= entry.second_epoch) {
        arrive(desk, entry, coming).await?;
    }
    let held = desk.ward(patient);
    let Some(held) = held.filter(|ward| ward.circle == CircleKind::Second) else {
        return Ok(());
    };
    let (seen, now) = (held.circles(), entry.circles());
    let is_older = now.first < seen.first || now.second < seen.second;
    if is_older || (held.active && now == seen) {
        return Ok(());
    }
    let mut batch = Batch::default();
    if is_of(&held, entry) {
        let ward = standing(desk, &held, entry);
        batch.ward(&ward);
        desk.store.write(batch).await?;
        desk.put_ward(Arc::new(ward));
    } else {
        // What is not named any more, or never was, opens nothing.
        batch.no_ward(patient);
        no_capsules(&mut batch, &held);
        desk.store.write(batch).await?;
        desk.drop_ward(patient);
        erase(desk, held).await;
        tracing::info!(kin = %desk.me, %patient, "no longer in the second circle; the share is erased");
    }
    Ok(())
}

/// The ledger has come to the epoch of a place that was accepted: with this kin in it, or with somebody else.
async fn arrive(
    desk: &Arc<Desk>,
    entry: &ledger::Patient,
    coming: Arc<Ward>,
) -> Result<(), KinError> {
    let patient = coming.patient;
    let mut batch = Batch::default();
    batch.no_coming(patient);
    if !is_of(&coming, entry) {
        if desk.ward(patient).is_none() {
            no_capsules(&mut batch, &coming);
        }
        desk.store.write(batch).await?;
        desk.drop_coming(patient);
        erase(desk, coming).await;
        tracing::info!(kin = %desk.me, %patient, "a second circle was not named after all; the share is erased");
        return Ok(());
    }
    let ward = standing(desk, &coming, entry);
    // Who is in the second circle is not in the first any more.
    batch.ward(&ward).no_passage(patient).joined(patient);
    desk.store.write(batch).await?;
    let before = desk.ward(patient);
    desk.put_ward(Arc::new(ward));
    desk.drop_coming(patient);
    tracing::info!(kin = %desk.me, %patient, epoch = %coming.second_epoch, "in the second circle");
    if let Some(before) = before {
        erase(desk, before).await;
    }
    Ok(())
}

/// Capsules that were kept for a circle go with it.
fn no_capsules(batch: &mut Batch, ward: &Ward) {
    if let Some(anew) = ward.rewrapped {
        batch.no_rewrapped(&anew.rewrap.root);
    }
}

/// Whether the ledger has the circle that this ward is of.
fn is_of(ward: &Ward, entry: &ledger::Patient) -> bool {
    let content = |second: &SecondCircle| (second.roster.clone(), second.commitments.clone());
    let (held, stands) = (&ward.enrolment.second, &entry.enrolment.second);
    ward.second_epoch == entry.second_epoch
        && held.as_ref().map(content) == stands.as_ref().map(content)
}

/// The ward as of the entry.
fn standing(desk: &Desk, ward: &Ward, entry: &ledger::Patient) -> Ward {
    let enrolment = without_acceptances(entry.enrolment.clone());
    Ward {
        epoch: entry.epoch,
        since: entry.roster_since,
        digest: enrolment.digest(desk.client.chain(), ward.patient),
        active: true,
        enrolment,
        rewrapped: entry.rewrapped,
        ..ward.clone()
    }
}

/// As it is kept: acceptances are on chain.
pub(super) fn without_acceptances(mut enrolment: Enrolment) -> Enrolment {
    enrolment.acceptances = Vec::new();
    if let Some(second) = &mut enrolment.second {
        second.acceptances = Vec::new();
    }
    enrolment
}

/// Capsules of the summary that a new device has made are kept here, too, for cases of this circle: whether `from` may have those
/// that stand `under` this root.
pub(super) async fn may_have_capsules(
    desk: &Desk,
    from: ActorName,
    under: Digest,
    ground: Option<Ground>,
) -> Result<(), KinError> {
    let mut wards = desk.wards().into_iter();
    let ward = wards.find(|ward| {
        let root = ward.rewrapped.map(|anew| anew.rewrap.root);
        ward.circle == CircleKind::Second && root == Some(under)
    });
    let ward = ward.ok_or_else(|| forbidden("no such capsules are kept here"))?;
    let hospital = desk.setting.directory.hospital(from);
    let (Some(hospital), Some(Ground::Case(case))) = (hospital, ground) else {
        return Err(forbidden(format!("{from} has no case of this circle")));
    };
    let of = (ward.patient, Tier::Summary);
    by_case(desk, (from, hospital), of, case).await?;
    Ok(())
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
