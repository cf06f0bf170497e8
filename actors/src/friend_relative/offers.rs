//! Becoming a patient's kin: the offered shares are checked and durable before the acceptance is signed.
//!
//! opening.md section 1. A patient's device may offer anew as long as its
//! enrolment does not stand on chain; the older shares are then erased by
//! destroying their keys.

use super::desk::{Desk, PATIENTS_MAX};
use super::invitations::{self, Question};
use super::messages::{KinError, OfferShares};
use super::roster::erase;
use super::second::without_acceptances;
use super::storage::{KeptShare, Put as _, Ward};
use crate::ports::names::ActorName;
use crate::ports::random::SystemRng;
use crate::ports::store::Batch;
use kithkin_protocol::crypto::{Digest, Secret32, Signature};
use kithkin_protocol::ids::PatientId;
use kithkin_protocol::ledger::{Enrolment, VALIDITY_MS_MAX};
use kithkin_protocol::sharing::{KIN_MAX, Share, ShareContext, open_share, store_share};
use kithkin_protocol::units::{CircleKind, Epoch, Millis, Tier};
use rand_core::Rng as _;
use std::sync::Arc;
use std::time::Duration;

/// What names of share keys in the vault start with.
pub(super) const KEY_PREFIX: &str = "share-";
/// For how long shares are kept of an enrolment that does not stand on the ledger, when there is no room: longer than a
/// transaction can be valid.
const OFFER_MS: Millis = Millis(2 * VALIDITY_MS_MAX.0);
/// Most bytes of one sealed share: it has 49, and the sender decides what arrives.
pub(super) const SEALED_BYTES_MAX: usize = 256;

/// Checks and keeps the shares; signs the acceptance when they are durable.
pub(super) async fn accept(
    desk: Arc<Desk>,
    from: ActorName,
    offer: OfferShares,
) -> Result<Signature, KinError> {
    let patient = offer.patient;
    if desk.setting.directory.patient(from) != Some(patient) {
        return Err(KinError::Forbidden {
            reason: format!("{from} is not the device of patient {patient}"),
        });
    }
    let circles = [CircleKind::First, CircleKind::Second];
    let kin = circles.map(|circle| offer.enrolment.roster_of(circle).len());
    let tiers = offer.enrolment.tiers.len();
    if kin.iter().any(|kin| *kin > KIN_MAX) || tiers > Tier::ALL.len() {
        return Err(KinError::TooMuch {
            what: "kin or tiers of one enrolment",
            limit: KIN_MAX,
        });
    }
    let digest = offer.enrolment.digest(desk.client.chain(), patient);
    let acceptance = desk
        .identity
        .signing
        .sign(&Enrolment::acceptance(&digest, desk.me));
    let is_settled = |ward: Arc<Ward>| ward.active || ward.digest == digest;
    if !desk.ward(patient).is_some_and(is_settled) {
        let seat = offer.enrolment.member(desk.me);
        let circle = seat.map_or(CircleKind::First, |seat| seat.circle);
        let question = Question::new(patient, &offer.enrolment, circle, digest);
        let offered = offer.clone();
        let check = move |desk: &Desk| check(desk, &offered).map(drop);
        invitations::welcome(&desk, question, check).await?;
    }
    let _turn = desk.offers.lock().await;
    if desk.wards().len() >= PATIENTS_MAX {
        forget_stale(&desk).await?;
    }
    let held = desk.ward(patient);
    match &held {
        // The same again, for example because the answer was lost: the shares are here already.
        Some(ward) if ward.digest == digest => return Ok(acceptance),
        // What was seen on chain once stands for good; a validator that lags behind is not to be believed over it.
        Some(ward) if ward.active => {
            return Err(KinError::Offer {
                reason: "another enrolment of this patient stands on chain".to_owned(),
            });
        }
        Some(_) => refuse_if_another_stands(&desk, &offer, digest).await?,
        None if desk.patient_count() >= PATIENTS_MAX => {
            return Err(KinError::TooMuch {
                what: "patients of one kin",
                limit: PATIENTS_MAX,
            });
        }
        None => {}
    }
    let ward = desk.heavy(move |desk| keep(desk, &offer)).await?;
    let mut batch = Batch::default();
    batch.ward(&ward);
    desk.store.write(batch).await?;
    desk.put_ward(Arc::new(ward));
    desk.follow();
    if let Some(old) = held {
        // The new shares are durable: a key that could not be destroyed now is destroyed at the next start.
        erase(&desk, old).await;
    }
    Ok(acceptance)
}

/// Erases shares of enrolments that never came to stand on the ledger, and cannot any more.
async fn forget_stale(desk: &Arc<Desk>) -> Result<(), KinError> {
    let now = desk.client.now();
    let is_old = |ward: &Ward| !ward.active && ward.offered_ms.plus(OFFER_MS.0) <= now;
    for ward in desk.wards().into_iter().filter(|ward| is_old(ward)) {
        let patient = ward.patient;
        let enrolled = desk.enrolled(patient, Duration::ZERO).await?;
        if enrolled.is_some_and(|entry| entry.was_enrolled_as(ward.digest)) {
            continue;
        }
        let mut batch = Batch::default();
        batch.no_ward(patient);
        desk.store.write(batch).await?;
        desk.drop_ward(patient);
        erase(desk, ward).await;
        tracing::info!(kin = %desk.me, %patient, "never enrolled; the shares are erased");
    }
    Ok(())
}

async fn refuse_if_another_stands(
    desk: &Arc<Desk>,
    offer: &OfferShares,
    digest: Digest,
) -> Result<(), KinError> {
    let patient = offer.patient;
    let Some(enrolled) = desk.enrolled(patient, Duration::ZERO).await? else {
        return Ok(());
    };
    if enrolled.was_enrolled_as(digest) {
        return Ok(());
    }
    Err(KinError::Offer {
        reason: "another enrolment of this patient stands on chain".to_owned(),
    })
}

/// Checks everything and seals each share under a fresh key of its own.
fn keep(desk: &Desk, offer: &OfferShares) -> Result<Ward, KinError> {
    let shares = check(desk, offer)?;
    let enrolment = without_acceptances(Enrolment::clone(&offer.enrolment));
    let seat = enrolment.member(desk.me);
    let circle = seat.map_or(CircleKind::First, |seat| seat.circle);
    let of = (&enrolment, circle);
    let kept = keep_shares(desk, offer.patient, of, Enrolment::EPOCH, shares)?;
    Ok(Ward {
        patient: offer.patient,
        circle,
        index: offer.index,
        epoch: Enrolment::EPOCH,
        second_epoch: Enrolment::EPOCH,
        since: Enrolment::EPOCH,
        digest: enrolment.digest(desk.client.chain(), offer.patient),
        active: false,
        offered_ms: desk.client.now(),
        enrolment,
        shares: kept,
        rewrapped: None,
    })
}

/// Seals each share, if it fits the commitments of the enrolment's circle, under a fresh key of its own, which is in the vault on
/// return.
pub(super) fn keep_shares(
    desk: &Desk,
    patient: PatientId,
    (enrolment, circle): (&Enrolment, CircleKind),
    epoch: Epoch,
    shares: Vec<(Tier, Share)>,
) -> Result<Vec<KeptShare>, KinError> {
    let mut kept = Vec::new();
    let mut keys = Vec::new();
    let mut rng = SystemRng;
    for (tier, share) in shares {
        let context = ShareContext {
            patient,
            tier,
            epoch,
        };
        let commitments = enrolment.commitments(circle, tier);
        let commitments = commitments.ok_or_else(|| refused("no such tier"))?;
        // Most were compared when they came; what is bound to these commitments for good is compared with them here.
        let share = share.held(commitments).map_err(refused)?;
        let key = Secret32::random(&mut rng);
        let sealed = store_share(&share, &key, &context, &mut rng).map_err(refused)?;
        let patient = patient.to_hex();
        let name = format!(
            "{KEY_PREFIX}{}-{tier}-{}-{:08x}",
            patient.get(..16).unwrap_or(&patient),
            context.epoch,
            rng.next_u32()
        );
        kept.push(KeptShare {
            tier,
            key: name.clone(),
            sealed,
        });
        keys.push((name, key));
    }
    let named: Vec<(&str, &Secret32)> = keys
        .iter()
        .map(|(name, key)| (name.as_str(), key))
        .collect();
    desk.keys.create_many(&named)?;
    Ok(kept)
}

fn check(desk: &Desk, offer: &OfferShares) -> Result<Vec<(Tier, Share)>, KinError> {
    let enrolment = &offer.enrolment;
    enrolment.check_shape(offer.patient).map_err(refused)?;
    let me = desk.identity.member();
    let seat = enrolment.member(desk.me);
    let seat = seat.filter(|seat| seat.index == offer.index && seat.member.sealing == me.sealing);
    let seat = seat.ok_or_else(|| KinError::Offer {
        reason: format!("place {} of the roster is not this kin's", offer.index),
    })?;
    // The second circle opens the summary and nothing else (ADR 35).
    let tiers: &[Tier] = match seat.circle {
        CircleKind::First => &Tier::ALL,
        CircleKind::Second => &[Tier::Summary],
    };
    if !offer.shares.iter().map(|(tier, _)| tier).eq(tiers) {
        return Err(KinError::Offer {
            reason: "one share for each tier of the circle is needed, in order".to_owned(),
        });
    }
    let mut shares = Vec::new();
    for (tier, sealed) in &offer.shares {
        let commitments = enrolment.commitments(seat.circle, *tier);
        let commitments = commitments.ok_or_else(|| refused("no such tier"))?;
        if sealed.enc.len() + sealed.ciphertext.len() > SEALED_BYTES_MAX {
            return Err(KinError::TooMuch {
                what: "bytes of one sealed share",
                limit: SEALED_BYTES_MAX,
            });
        }
        let context = context(offer, *tier);
        let (index, key) = (offer.index, &desk.identity.opening);
        let share = open_share(sealed, key, index, &context, commitments).map_err(|error| {
            KinError::Offer {
                reason: format!("the patient's device dealt wrongly in tier {tier}: {error}"),
            }
        })?;
        shares.push((*tier, share));
    }
    Ok(shares)
}

fn context(offer: &OfferShares, tier: Tier) -> ShareContext {
    ShareContext {
        patient: offer.patient,
        tier,
        epoch: Enrolment::EPOCH,
    }
}

pub(super) fn refused(error: impl core::fmt::Display) -> KinError {
    KinError::Offer {
        reason: error.to_string(),
    }
}
