//! A roster that changes: what this kin has to do next, across restarts (opening.md sections 4, 5 and 7).
//!
//! Everything follows from what is proved of the ledger and what is in the store,
//! so every step can be taken again. Nothing here decides for a person: who joins,
//! supports or objects says so on the own screen.

use super::decide::FINAL_WITHIN;
use super::desk::{Desk, HINT_PATIENCE, PROVE_WITHIN, decode, lock};
use super::invitations;
use super::messages::{AboutRoster, KinError, RosterWish};
use super::passage::{answer, deal, take};
use super::second;
use super::storage::{Put as _, Ward};
use crate::clients::ClientError;
use crate::ports::random::SystemRng;
use crate::ports::store::Batch;
use crate::scope::prove_at;
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::PatientId;
use kithkin_protocol::ledger::{self, Rules, State, TxBody};
use kithkin_protocol::roster::{Handover, Plan, RosterStep, Stage};
use kithkin_protocol::sharing::{DrillAnswer, DrillContext};
use kithkin_protocol::units::{CircleKind, Height, ShareIndex};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a flow needs to know of a patient's roster.
pub(super) struct Circle {
    pub(super) patient: PatientId,
    pub(super) entry: ledger::Patient,
    /// This kin's place on the present roster.
    pub(super) index: Option<ShareIndex>,
    /// Its shares, when they are of the present epoch.
    pub(super) ward: Option<Arc<Ward>>,
}

pub(super) fn bad(patient: PatientId, reason: impl core::fmt::Display) -> KinError {
    KinError::Roster {
        patient,
        reason: reason.to_string(),
    }
}

/// Does what is to be done about one patient's roster. `waited`: how many looks something has been due for; those further down
/// the roster leave the first ones time, so that not everybody says the same. `mend`: whether to look for missing pieces of records.
pub(super) async fn pursue(
    desk: &Arc<Desk>,
    patient: PatientId,
    waited: u32,
    mend: bool,
) -> Result<(), KinError> {
    let roster = desk.roster(patient);
    let mut seen = roster.lock().await;
    let Some((entry, head)) = desk.enrolled_at(patient, Duration::ZERO).await? else {
        return Ok(());
    };
    // Proofs may be of heads that are some seconds old; what was seen later must not be undone by them.
    if head < *seen {
        return Ok(());
    }
    *seen = head;
    move_on(desk, patient, &entry).await?;
    if is_second(desk, patient) {
        drop(seen);
        return leave(desk, patient, entry, mend).await;
    }
    let index = entry.in_roster(desk.me).map(|(index, _)| index);
    let ward = desk.ward(patient).filter(|ward| ward.epoch == entry.epoch);
    let circle = Circle {
        patient,
        entry,
        index,
        ward,
    };
    let (handover, at) = handover(desk, patient).await?;
    if at < *seen {
        return Ok(());
    }
    *seen = at;
    match handover {
        // Both proofs are of heads that may differ.
        Some(handover) if handover.epoch == circle.entry.epoch => {
            go_on(desk, &circle, &handover, waited, at).await?;
        }
        Some(_) => {}
        None => {
            forget_failed(desk, &circle, at).await?;
            refresh_if_due(desk, &circle, waited).await?;
        }
    }
    // Of these none keeps the next from being done, and none of them what comes before.
    let told =
        |error: &KinError| tracing::warn!(kin = %desk.me, %patient, %error, "will be tried again");
    if let Err(error) = prove_alive(desk, &circle).await {
        told(&error);
    }
    if let Err(error) = super::mend::show(desk, &circle).await {
        told(&error);
    }
    // It writes nothing but pieces, and may take long: fellow kin are asked for them.
    drop(seen);
    if mend && let Err(error) = super::mend::mend(desk, &circle, head).await {
        told(&error);
    }
    Ok(())
}

fn is_second(desk: &Desk, patient: PatientId) -> bool {
    let ward = desk.ward(patient);
    ward.is_some_and(|ward| ward.circle == CircleKind::Second)
}

/// Moves on to the epoch of a case of the first circle: its request may be here before the notice that the shares of
/// that epoch stand.
pub(super) async fn reach(desk: &Arc<Desk>, case: &Case) -> Result<(), KinError> {
    let patient = case.patient();
    let is_behind = || {
        let held = desk.ward(patient);
        held.is_none_or(|ward| ward.circle == CircleKind::First && ward.epoch < case.request.epoch)
    };
    if case.circle() != CircleKind::First || !case.roster.contains(&desk.me) || !is_behind() {
        return Ok(());
    }
    let roster = desk.roster(patient);
    // Who has it may be waiting for others.
    let Ok(mut seen) = tokio::time::timeout(PROVE_WITHIN, roster.lock()).await else {
        return Ok(());
    };
    // Whoever had the lock may have moved on.
    if !is_behind() {
        return Ok(());
    }
    let key = State::patient_key(patient);
    let deadline = Instant::now() + PROVE_WITHIN;
    let (value, head) = prove_at(&desk.client, key, case.height, HINT_PATIENCE, deadline).await?;
    let Some(entry) = value.filter(|_| head.height >= *seen) else {
        return Ok(());
    };
    *seen = head.height;
    move_on(desk, patient, &decode(&entry)?).await
}

/// Follows the ledger to what it says of the patient now.
async fn move_on(
    desk: &Arc<Desk>,
    patient: PatientId,
    entry: &ledger::Patient,
) -> Result<(), KinError> {
    desk.put_device(patient, entry.device);
    second::follow(desk, patient, entry).await?;
    if is_second(desk, patient) {
        return Ok(());
    }
    let index = entry.in_roster(desk.me).map(|(index, _)| index);
    catch_up(desk, patient, entry, index).await
}

/// A member of the second circle keeps no pieces of records; what is left of a time in the first goes when others have shown
/// theirs.
async fn leave(
    desk: &Arc<Desk>,
    patient: PatientId,
    entry: ledger::Patient,
    mend: bool,
) -> Result<(), KinError> {
    if !mend {
        return Ok(());
    }
    let circle = Circle {
        patient,
        entry,
        index: None,
        ward: None,
    };
    super::room::leave(desk, &circle).await
}

/// The handover that is under way, proved, with the height of the proof.
async fn handover(desk: &Desk, patient: PatientId) -> Result<(Option<Handover>, Height), KinError> {
    let deadline = Instant::now() + PROVE_WITHIN;
    let key = State::handover_key(patient);
    let (value, head) = desk.client.prove(key, deadline).await?;
    let handover = value.map(|value| decode(&value)).transpose()?;
    Ok((handover, head.height))
}

/// The ledger has gone on to another epoch: the new shares take the place of the old ones, which are erased.
async fn catch_up(
    desk: &Arc<Desk>,
    patient: PatientId,
    entry: &ledger::Patient,
    index: Option<ShareIndex>,
) -> Result<(), KinError> {
    // An offer or an activation that was begun before must not overwrite what is put in place here.
    let _offers = desk.offers.lock().await;
    let held = desk.ward(patient);
    let is_behind = |ward: &Arc<Ward>| ward.epoch < entry.epoch;
    let passage = desk.store.passage(patient)?;
    let next = passage.and_then(|passage| passage.next);
    let next = next
        .map(|(_, ward)| ward)
        .filter(|next| next.epoch == entry.epoch && next.enrolment.has_shares_of(&entry.enrolment));
    let mut batch = Batch::default();
    match (next, index) {
        (Some(next), Some(_)) => {
            let mut ward = next;
            ward.active = true;
            ward.since = entry.roster_since;
            ward.rewrapped = entry.rewrapped;
            batch.ward(&ward).no_passage(patient).joined(patient);
            let under = |ward: &Ward| ward.rewrapped.map(|anew| anew.rewrap.root);
            let before = held.as_deref().and_then(under);
            if let Some(before) = before.filter(|before| Some(*before) != under(&ward)) {
                batch.no_rewrapped(&before);
            }
            desk.store.write(batch).await?;
            tracing::info!(kin = %desk.me, %patient, epoch = %ward.epoch, "new shares");
            desk.put_ward(Arc::new(ward));
            lock(&desk.joining).remove(&patient);
        }
        // Not on the roster any more.
        (_, None) if held.as_ref().is_some_and(is_behind) => {
            batch.no_ward(patient).no_passage(patient);
            desk.store.write(batch).await?;
            tracing::info!(kin = %desk.me, %patient, "no longer on this roster; the shares are erased");
            desk.drop_ward(patient);
        }
        // The old ones are worth nothing; a dealing to the same roster gives this kin others.
        (None, Some(_)) if held.as_ref().is_some_and(is_behind) => {
            batch.no_ward(patient).joining(patient);
            desk.store.write(batch).await?;
            tracing::error!(kin = %desk.me, %patient, "the shares of this epoch are lost; propose a change to the same roster to get others");
            lock(&desk.joining).insert(patient);
            desk.drop_ward(patient);
        }
        _ => return Ok(()),
    }
    if let Some(old) = held {
        erase(desk, old).await;
    }
    Ok(())
}

/// A handover that this kin took shares in is over, and came to nothing: what was dealt in it is erased. `at`: where it was proved that
/// none is under way.
async fn forget_failed(desk: &Arc<Desk>, circle: &Circle, at: Height) -> Result<(), KinError> {
    let patient = circle.patient;
    let Some(passage) = desk.store.passage(patient)? else {
        return Ok(());
    };
    // It may have ended well after the entry was proved: only one that was proved no earlier tells.
    let Some((entry, head)) = desk.enrolled_at(patient, Duration::ZERO).await? else {
        return Ok(());
    };
    if head < at || entry.epoch != circle.entry.epoch {
        return Ok(());
    }
    let mut batch = Batch::default();
    batch.no_passage(patient);
    if let Some(under) = &passage.rewrap {
        batch.no_rewrapped(under);
    }
    if circle.index.is_none() {
        // The person agreed to that one, not to whatever is proposed next.
        batch.joined(patient);
    }
    desk.store.write(batch).await?;
    if circle.index.is_none() {
        lock(&desk.joining).remove(&patient);
    }
    tracing::info!(kin = %desk.me, %patient, "a change of the roster came to nothing; its shares are erased");
    if let Some((_, next)) = passage.next {
        erase(desk, Arc::new(next)).await;
    }
    Ok(())
}

/// Destroys the keys of shares that are not used any more; one that is left over goes at the next start.
pub(super) async fn erase(desk: &Arc<Desk>, old: Arc<Ward>) {
    let patient = old.patient;
    let destroy = move |desk: &Desk| {
        for share in &old.shares {
            desk.keys.destroy(&share.key)?;
        }
        Ok(())
    };
    if let Err(error) = desk.heavy(destroy).await {
        tracing::warn!(kin = %desk.me, %patient, %error, "older shares are not erased yet");
    }
}

async fn go_on(
    desk: &Arc<Desk>,
    circle: &Circle,
    handover: &Handover,
    waited: u32,
    at: Height,
) -> Result<(), KinError> {
    answer(desk, circle, handover).await?;
    match handover.stage {
        // People decide.
        Stage::Proposed => {
            if let (Plan::Rules(change), 0) = (&handover.plan, waited) {
                let before = Rules::of(&circle.entry.enrolment);
                let changes = change.rules.changes_since(&before).join("; ");
                let (kin, patient) = (desk.me, circle.patient);
                tracing::info!(%kin, %patient, changes, "looser rules are proposed; object if this is not the patient's wish");
            }
            Ok(())
        }
        Stage::Dealing => {
            let present = circle.entry.present(circle.patient);
            let first = u32::try_from(present.quorum()).unwrap_or(u32::MAX);
            match circle.index {
                Some(index) if u32::from(index.get()) <= first.saturating_add(waited) => {
                    deal(desk, circle, index, handover).await
                }
                _ => Ok(()),
            }
        }
        Stage::Accepting => take(desk, circle, handover, at).await,
    }
}

async fn refresh_if_due(desk: &Arc<Desk>, circle: &Circle, waited: u32) -> Result<(), KinError> {
    let Some(index) = circle.index.filter(|_| circle.entry.wants_refresh) else {
        return Ok(());
    };
    // A refresh would only wait for the case to end.
    if circle.entry.live_cases > 0 || u32::from(index.get()) > waited.saturating_add(1) {
        return Ok(());
    }
    let step = RosterStep::Propose(Box::new(Plan::Refresh));
    submit(desk, circle.patient, step).await
}

/// Answers the drill that is under way.
async fn prove_alive(desk: &Arc<Desk>, circle: &Circle) -> Result<(), KinError> {
    let (Some(index), Some(ward)) = (circle.index, circle.ward.clone()) else {
        return Ok(());
    };
    let Some((height, seed)) = circle.entry.drill.round else {
        return Ok(());
    };
    let proved = circle.entry.drill.proved.get(&index);
    if proved.is_some_and(|(proved, _)| *proved >= height) {
        return Ok(());
    }
    let patient = circle.patient;
    let answers = desk
        .heavy(move |desk| {
            let chain = desk.client.chain();
            let tiers = ward.enrolment.tiers.iter();
            tiers
                .map(|shares| {
                    let context = DrillContext {
                        chain,
                        patient,
                        tier: shares.tier,
                        epoch: ward.epoch,
                        seed,
                    };
                    let share = super::prepare::share(desk, &ward, shares.tier)?;
                    context
                        .answer(share.share(), &shares.commitments, &mut SystemRng)
                        .map_err(|error| bad(patient, error))
                })
                .collect::<Result<Vec<DrillAnswer>, KinError>>()
        })
        .await?;
    submit(desk, patient, RosterStep::Prove { height, answers }).await
}

/// Has a step stand on chain. A refusal is no failure: somebody else was quicker, or an earlier try stands already.
pub(super) async fn submit(
    desk: &Arc<Desk>,
    patient: PatientId,
    step: RosterStep,
) -> Result<(), KinError> {
    if let Err(reason) = stand(desk, patient, step).await? {
        tracing::debug!(kin = %desk.me, %patient, reason, "a step about the roster was refused");
    }
    Ok(())
}

/// Has a step stand on chain; or why the ledger refuses it.
async fn stand(
    desk: &Desk,
    patient: PatientId,
    step: RosterStep,
) -> Result<Result<(), String>, KinError> {
    let body = TxBody::Roster {
        patient,
        step: Box::new(step),
    };
    let deadline = Instant::now() + FINAL_WITHIN;
    match desk.client.submit(body, deadline).await {
        Ok(_) => Ok(Ok(())),
        Err(ClientError::Rejected { reason }) => Ok(Err(reason)),
        Err(error) => Err(error.into()),
    }
}

/// Carries out what the person wants.
pub(super) async fn wish(desk: Arc<Desk>, about: AboutRoster) -> Result<(), KinError> {
    let AboutRoster { patient, wish } = about;
    let step = match wish {
        RosterWish::Join | RosterWish::Decline => {
            let accepts = wish == RosterWish::Join;
            // To the first roster, as long as the patient is not enrolled, or to a second circle of one who is; else to a roster
            // that is proposed.
            let now = desk.client.now();
            let is_invited = desk.invitations.answers_second(patient, accepts, now)
                || desk.enrolled(patient, Duration::ZERO).await?.is_none();
            let is_answered = is_invited && invitations::answer(&desk, patient, accepts).await?;
            return match accepts {
                _ if is_answered => Ok(()),
                true => join(&desk, patient).await,
                false => decline(&desk, patient).await,
            };
        }
        RosterWish::Resign => RosterStep::Resign,
        RosterWish::Propose(plan) => RosterStep::Propose(plan),
        RosterWish::Support | RosterWish::Object => {
            let (under_way, _) = handover(&desk, patient).await?;
            let under_way = under_way.ok_or_else(|| bad(patient, "nothing is proposed"))?;
            let handover = under_way.id;
            if wish == RosterWish::Support {
                RosterStep::Support { handover }
            } else {
                RosterStep::Object { handover }
            }
        }
    };
    stand(&desk, patient, step)
        .await?
        .map_err(|reason| bad(patient, reason))
}

async fn join(desk: &Arc<Desk>, patient: PatientId) -> Result<(), KinError> {
    let mut batch = Batch::default();
    batch.joining(patient);
    desk.store.write(batch).await?;
    lock(&desk.joining).insert(patient);
    desk.follow();
    Ok(())
}

async fn decline(desk: &Arc<Desk>, patient: PatientId) -> Result<(), KinError> {
    let roster = desk.roster(patient);
    let _turn = roster.lock().await;
    let taken = desk
        .store
        .passage(patient)?
        .is_some_and(|passage| passage.next.is_some());
    if taken {
        return Err(bad(
            patient,
            "the share is taken already; resign when the change is done",
        ));
    }
    let mut batch = Batch::default();
    batch.joined(patient);
    desk.store.write(batch).await?;
    lock(&desk.joining).remove(&patient);
    Ok(())
}
