//! Coming into a patient's second circle after the enrolment: the share is checked and durable before the acceptance is signed
//! (docs/adr/0035).
//!
//! Until the ledger has the patient's word this is a place on the way, kept beside whatever this kin holds already: should
//! nothing come of it, the circle of before still opens. What becomes of it is in [`super::second`].

use super::anew::gather_summary;
use super::desk::{Desk, PATIENTS_MAX};
use super::invitations::{self, Question};
use super::messages::{KinError, OfferSecond};
use super::offers::{SEALED_BYTES_MAX, keep_shares, refused};
use super::roster::{Circle, erase};
use super::second::without_acceptances;
use super::storage::{Put as _, Ward};
use crate::ports::names::ActorName;
use crate::ports::store::Batch;
use kithkin_protocol::crypto::Signature;
use kithkin_protocol::ledger::{self, Enrolment};
use kithkin_protocol::sharing::{KIN_MAX, Share, ShareContext, open_share};
use kithkin_protocol::units::{CircleKind, Height, Tier};
use std::sync::Arc;
use std::time::Duration;

/// Checks and keeps the share; signs the acceptance when it is durable.
pub(super) async fn accept(
    desk: Arc<Desk>,
    from: ActorName,
    offer: OfferSecond,
) -> Result<Signature, KinError> {
    let patient = offer.patient;
    check_size(&offer)?;
    let digest = offer.word.digest(desk.client.chain(), patient);
    let (entry, head) = entry(&desk, from, &offer).await?;
    let circle = Circle {
        patient,
        entry,
        index: None,
        ward: None,
    };
    // Whoever is in the circle already has been asked; other shares are no other question.
    let is_member = |ward: Arc<Ward>| ward.circle == CircleKind::Second && ward.active;
    let is_settled = desk.ward(patient).is_some_and(is_member)
        || desk
            .coming(patient)
            .is_some_and(|ward| ward.digest == digest);
    if !is_settled {
        let (offered, entry) = (offer.clone(), circle.entry.clone());
        let enrolment = offer.word.enrolment(&entry.enrolment);
        let question = Question::new(patient, &enrolment, CircleKind::Second, digest);
        let check = move |desk: &Desk| check(desk, &offered, &entry).map(drop);
        invitations::welcome(&desk, question, check).await?;
    }
    // Whatever this place needs is here before it is accepted.
    gather_summary(&desk, &circle, head).await?;
    let acceptance = desk
        .identity
        .signing
        .sign(&Enrolment::acceptance(&digest, desk.me));
    let _turn = desk.offers.lock().await;
    let before = desk.coming(patient);
    match &before {
        // The same again, for example because the answer was lost: the share is here already.
        Some(ward) if ward.digest == digest => return Ok(acceptance),
        None if desk.ward(patient).is_none() && desk.patient_count() >= PATIENTS_MAX => {
            return Err(KinError::TooMuch {
                what: "patients of one kin",
                limit: PATIENTS_MAX,
            });
        }
        Some(_) | None => {}
    }
    let keep = move |desk: &Desk| keep(desk, &offer, &circle.entry);
    let ward = desk.heavy(keep).await?;
    let mut batch = Batch::default();
    batch.coming(&ward);
    desk.store.write(batch).await?;
    desk.put_coming(Arc::new(ward));
    desk.follow();
    if let Some(old) = before {
        erase(&desk, old).await;
    }
    Ok(acceptance)
}

fn check_size(offer: &OfferSecond) -> Result<(), KinError> {
    let circle = offer.word.circle.as_ref();
    if circle.is_some_and(|circle| circle.roster.len() > KIN_MAX) {
        return Err(KinError::TooMuch {
            what: "members of one circle",
            limit: KIN_MAX,
        });
    }
    if offer.share.enc.len() + offer.share.ciphertext.len() > SEALED_BYTES_MAX {
        return Err(KinError::TooMuch {
            what: "bytes of one sealed share",
            limit: SEALED_BYTES_MAX,
        });
    }
    Ok(())
}

/// The patient as the ledger has it, and at which height, provided that the word comes from the patient's device and can stand there.
async fn entry(
    desk: &Arc<Desk>,
    from: ActorName,
    offer: &OfferSecond,
) -> Result<(ledger::Patient, Height), KinError> {
    let patient = offer.patient;
    let entry = desk.enrolled_at(patient, Duration::ZERO).await?;
    let (entry, head) = entry.ok_or_else(|| refused("the ledger has no such patient"))?;
    let device = desk.setting.directory.account(from);
    let is_device = matches!(from, ActorName::Patient(_)) && device == Some(entry.device);
    if !is_device {
        return Err(KinError::Forbidden {
            reason: format!("{from} does not speak for patient {patient}"),
        });
    }
    let (named, due) = (offer.word.epochs, entry.circles().next_second());
    if named.first > due.first || named.second > due.second {
        // It passes: what was proved here is some seconds older than what the device knows.
        return Err(KinError::Ledger {
            reason: format!("it is not seen at epoch {named} yet"),
        });
    }
    offer.word.check(patient, &entry).map_err(refused)?;
    Ok((entry, head))
}

/// Checks the share; returns it with the enrolment as it will be, without acceptances.
fn check(
    desk: &Desk,
    offer: &OfferSecond,
    entry: &ledger::Patient,
) -> Result<(Enrolment, Share), KinError> {
    let (patient, epochs) = (offer.patient, offer.word.epochs);
    let enrolment = without_acceptances(offer.word.enrolment(&entry.enrolment));
    let me = desk.identity.member();
    let seat = enrolment.member(desk.me).filter(|seat| {
        let place = (seat.circle, seat.index) == (CircleKind::Second, offer.index);
        place && seat.member.sealing == me.sealing
    });
    seat.ok_or_else(|| refused(format!("place {} is not this kin's", offer.index)))?;
    let tier = Tier::Summary;
    let commitments = enrolment.commitments(CircleKind::Second, tier);
    let commitments = commitments.ok_or_else(|| refused("nobody is named"))?;
    let context = ShareContext {
        patient,
        tier,
        epoch: epochs.second,
    };
    let (index, key) = (offer.index, &desk.identity.opening);
    let share = open_share(&offer.share, key, index, &context, commitments)
        .map_err(|error| refused(format!("the patient's device dealt wrongly: {error}")))?;
    Ok((enrolment, share))
}

/// Checks the share and seals it under a fresh key of its own.
fn keep(desk: &Desk, offer: &OfferSecond, entry: &ledger::Patient) -> Result<Ward, KinError> {
    let (patient, epochs) = (offer.patient, offer.word.epochs);
    let (enrolment, share) = check(desk, offer, entry)?;
    let (circle, shares) = (CircleKind::Second, vec![(Tier::Summary, share)]);
    Ok(Ward {
        patient,
        circle,
        index: offer.index,
        offered_ms: desk.client.now(),
        epoch: epochs.first,
        second_epoch: epochs.second,
        since: entry.roster_since,
        digest: offer.word.digest(desk.client.chain(), patient),
        active: false,
        shares: keep_shares(desk, patient, (&enrolment, circle), epochs.second, shares)?,
        enrolment,
        rewrapped: entry.rewrapped,
    })
}
