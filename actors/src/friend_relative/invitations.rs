//! Invitations to become a patient's kin: the person is asked before anything is signed.
//!
//! What is offered is checked first, so that nobody is asked about shares that
//! do not fit. An invitation takes no place among this kin's patients, is kept
//! across restarts, and is over after [`INVITATION_MS`]; the person's answer
//! holds as long, also when the patient deals anew meanwhile because somebody
//! else has declined.

use super::desk::{Desk, lock};
use super::messages::{Invitation, KinError, OnInvitation};
use super::storage::{Put as _, Storage};
use crate::ports::store::Batch;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::PatientId;
use kithkin_protocol::ledger::Enrolment;
use kithkin_protocol::sharing::Commitments;
use kithkin_protocol::units::{CircleKind, Millis, Tier};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// For how long an invitation waits for an answer, and an answer holds: a week.
pub(super) const INVITATION_MS: Millis = Millis(7 * 24 * 3_600_000);
/// Most invitations that are kept; the next ones are refused until one of these is over.
pub(super) const INVITATIONS_MAX: usize = 16;
/// For how long a patient's device that asks waits for the person: shorter than it waits for this device.
const HOLD: Duration = Duration::from_secs(3);

/// The invitations that this kin has.
pub(super) struct Invitations {
    conduct: Mutex<OnInvitation>,
    known: Mutex<BTreeMap<PatientId, Invitation>>,
    /// They are written one after the other.
    writing: tokio::sync::Mutex<()>,
    answered: Notify,
}

impl Invitations {
    /// As they were stored; `usual` is how this device behaves as long as nobody has said otherwise.
    pub(super) fn open(store: &Storage, usual: OnInvitation) -> Result<Self, KinError> {
        let known = store.invitations()?.into_iter();
        Ok(Self {
            conduct: Mutex::new(store.on_invitation()?.unwrap_or(usual)),
            known: Mutex::new(known.map(|one| (one.patient, one)).collect()),
            writing: tokio::sync::Mutex::default(),
            answered: Notify::new(),
        })
    }

    /// All that are known. They are not in the store any more.
    pub(super) fn forget(&self) {
        lock(&self.known).clear();
    }

    /// Whether this would be an answer, or another one, to being asked for the second circle of a patient, who may be enrolled
    /// already.
    pub(super) fn answers_second(&self, patient: PatientId, accepted: bool, now: Millis) -> bool {
        let standing = self.standing(patient, now);
        standing
            .is_some_and(|one| one.circle == CircleKind::Second && one.accepted != Some(accepted))
    }

    /// One that is not over.
    fn standing(&self, patient: PatientId, now: Millis) -> Option<Invitation> {
        let known = lock(&self.known).get(&patient).cloned();
        known.filter(|one| one.until_ms > now)
    }
}

/// What a person is asked.
pub(super) struct Question {
    patient: PatientId,
    digest: Digest,
    circle: CircleKind,
    kin: usize,
    needed: usize,
}

impl Question {
    /// Whether to be kin in this circle of an enrolment, whose acceptance covers `digest`.
    pub(super) fn new(
        patient: PatientId,
        enrolment: &Enrolment,
        circle: CircleKind,
        digest: Digest,
    ) -> Self {
        let commitments = enrolment.commitments(circle, Tier::Summary);
        Self {
            patient,
            digest,
            circle,
            kin: enrolment.roster_of(circle).len(),
            needed: commitments.map_or(0, Commitments::threshold),
        }
    }
}

/// Returns when the person has accepted, or has done so before. Nobody is asked about what `check` finds fault with.
///
/// # Errors
/// [`KinError::Declined`], [`KinError::Undecided`]; whatever is wrong with the offer.
pub(super) async fn welcome(
    desk: &Arc<Desk>,
    question: Question,
    check: impl FnOnce(&Desk) -> Result<(), KinError> + Send + 'static,
) -> Result<(), KinError> {
    let conduct = *lock(&desk.invitations.conduct);
    if conduct == OnInvitation::Accept {
        return Ok(());
    }
    let patient = question.patient;
    note(desk, question, check).await?;
    if conduct == OnInvitation::Decline {
        answer(desk, patient, false).await?;
    }
    let until = Instant::now() + HOLD;
    loop {
        let answered = desk.invitations.answered.notified();
        tokio::pin!(answered);
        // From here on no answer is missed.
        answered.as_mut().enable();
        let now = desk.client.now();
        let standing = desk.invitations.standing(patient, now);
        let until_ms = match standing {
            Some(one) => match one.accepted {
                Some(true) => return Ok(()),
                Some(false) => return Err(KinError::Declined),
                None => one.until_ms,
            },
            None => now,
        };
        let left = until.saturating_duration_since(Instant::now());
        if tokio::time::timeout(left, answered).await.is_err() {
            return Err(KinError::Undecided { until_ms });
        }
    }
}

/// Keeps an invitation for the person to see.
async fn note(
    desk: &Arc<Desk>,
    question: Question,
    check: impl FnOnce(&Desk) -> Result<(), KinError> + Send + 'static,
) -> Result<(), KinError> {
    let Question {
        patient,
        digest,
        circle,
        kin,
        needed,
    } = question;
    let is_known =
        |one: &Invitation| one.circle == circle && (one.digest == digest || one.accepted.is_some());
    let now = desk.client.now();
    let standing = desk.invitations.standing(patient, now);
    if standing.is_some_and(|one| is_known(&one)) {
        return Ok(());
    }
    desk.heavy(move |desk| check(desk)).await?;
    let _turn = desk.invitations.writing.lock().await;
    let mut batch = Batch::default();
    let over: Vec<PatientId> = {
        let known = lock(&desk.invitations.known);
        let over = known.values().filter(|one| one.until_ms <= now);
        over.map(|one| one.patient).collect()
    };
    let count = lock(&desk.invitations.known).len();
    let others = count.saturating_sub(over.len());
    let standing = desk.invitations.standing(patient, now);
    if standing.is_none() && others >= INVITATIONS_MAX {
        return Err(KinError::TooMuch {
            what: "invitations that wait for an answer",
            limit: INVITATIONS_MAX,
        });
    }
    let invitation = Invitation {
        patient,
        digest,
        circle,
        kin,
        needed,
        // Who deals anew does not get more time by it.
        until_ms: standing.map_or(now.plus(INVITATION_MS.0), |one| one.until_ms),
        accepted: None,
    };
    for patient in &over {
        batch.no_invitation(*patient);
    }
    batch.invitation(&invitation);
    desk.store.write(batch).await?;
    let mut known = lock(&desk.invitations.known);
    known.retain(|patient, _| !over.contains(patient));
    known.insert(patient, invitation);
    tracing::info!(kin = %desk.me, %patient, %circle, "a patient asks you to be kin; accept or decline");
    Ok(())
}

/// The person's answer, if there is an invitation to answer. It is durable on return, and whoever waits for it hears it.
pub(super) async fn answer(
    desk: &Arc<Desk>,
    patient: PatientId,
    accepted: bool,
) -> Result<bool, KinError> {
    let _turn = desk.invitations.writing.lock().await;
    let standing = desk.invitations.standing(patient, desk.client.now());
    let Some(mut invitation) = standing else {
        return Ok(false);
    };
    invitation.accepted = Some(accepted);
    let mut batch = Batch::default();
    batch.invitation(&invitation);
    desk.store.write(batch).await?;
    lock(&desk.invitations.known).insert(patient, invitation);
    desk.invitations.answered.notify_waiters();
    Ok(true)
}

/// All that are not over, the answered ones too.
pub(super) fn shown(desk: &Desk) -> Vec<Invitation> {
    let now = desk.client.now();
    let known = lock(&desk.invitations.known);
    let standing = known.values().filter(|one| one.until_ms > now);
    standing.cloned().collect()
}

/// How this device behaves from now on. Durable on return.
pub(super) async fn behave(desk: &Arc<Desk>, conduct: OnInvitation) -> Result<(), KinError> {
    let mut batch = Batch::default();
    batch.on_invitation(conduct);
    desk.store.write(batch).await?;
    *lock(&desk.invitations.conduct) = conduct;
    Ok(())
}
