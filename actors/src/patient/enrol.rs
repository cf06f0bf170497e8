//! Choosing kin: deal, let everybody check and agree, and have it stand on chain (opening.md section 1).

use super::device::{Device, FINAL_WITHIN, MAY_STAND_MS};
use super::draft::{Draft, SealedShares, Wish, draw};
use super::messages::{Enrol, Enrolled, PatientError};
use crate::clients::ClientError;
use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::{KinError, OfferShares};
use crate::hospital::Hospital;
use crate::hospital::messages::Sponsor;
use crate::ports::names::ActorName;
use crate::ports::network::{AskError, Delivered};
use actix::{Handler, Message};
use futures_util::future::{try_join, try_join_all};
use kithkin_protocol::crypto::{Digest, Signature};
use kithkin_protocol::ledger::{self, Enrolment, Member, TxBody};
use kithkin_protocol::units::{CircleKind, Height, ShareIndex, Tier};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long everybody together may take to agree.
pub(super) const AGREE_WITHIN: Duration = Duration::from_secs(20);
/// How long one try to ask somebody may take.
const ASK_WITHIN: Duration = Duration::from_secs(6);
/// After so many answers that the person has not decided, the patient is told: it may take days.
const UNANSWERED_MAX: u32 = 2;
/// Pause before somebody is asked again who could not reach the ledger.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a proof may take.
pub(super) const PROVE_WITHIN: Duration = Duration::from_secs(10);

/// Enrols, or answers where the enrolment stands already.
pub(super) async fn enrol(device: Arc<Device>, message: Enrol) -> Result<Enrolled, PatientError> {
    let _turn = device.enrolling.lock().await;
    let before = device.enrolled(Instant::now() + PROVE_WITHIN).await?;
    if let Some((patient, height)) = before {
        finish(&device, &patient).await?;
        return Ok(enrolled(&patient.enrolment, height));
    }
    let mut draft = draft(&device, Wish::new(message)?).await?;
    let mut enrolment = draft.enrolment.clone();
    let digest = enrolment.digest(device.client.chain(), device.me);
    let until = Instant::now() + AGREE_WITHIN;
    let shared = Arc::new(enrolment.clone());
    // Members of both circles, each circle counted from 1.
    let second = shared.roster_of(CircleKind::Second).iter().enumerate();
    let members = shared.roster.iter().enumerate().chain(second);
    let kin = try_join_all(
        members
            .zip(&draft.offers)
            .map(|(place, shares)| accepted(&device, &shared, digest, place, shares, until)),
    );
    let sponsor = sponsored(&device, &shared, digest, until);
    (enrolment.acceptances, enrolment.sponsor_signature) = try_join(kin, sponsor).await?;
    let others = enrolment.acceptances.split_off(shared.roster.len());
    if let Some(second) = &mut enrolment.second {
        second.acceptances = others;
    }
    // From here on it may become final, whatever happens to this device.
    draft.submitted_until = Some(device.client.now().plus(MAY_STAND_MS));
    device.put_draft(&draft).await?;
    let height = submit(&device, enrolment).await?;
    draft.offers = Vec::new();
    device.put_draft(&draft).await?;
    Ok(enrolled(&draft.enrolment, height))
}

fn enrolled(enrolment: &Enrolment, height: Height) -> Enrolled {
    let summary = enrolment.tier(Tier::Summary);
    Enrolled {
        height,
        kin: enrolment.roster.len(),
        threshold: summary.map_or(0, |shares| shares.commitments.threshold()),
    }
}

/// The enrolment stands: sealed shares are not needed any longer.
async fn finish(device: &Device, patient: &ledger::Patient) -> Result<(), PatientError> {
    let Some(mut draft) = device.draft()? else {
        return Ok(());
    };
    let chain = device.client.chain();
    let same = patient.was_enrolled_as(draft.enrolment.digest(chain, device.me));
    if same && !draft.offers.is_empty() {
        draft.offers = Vec::new();
        device.put_draft(&draft).await?;
    }
    Ok(())
}

/// The draft that was begun, if it is what is asked for; else a fresh one in its place.
async fn draft(device: &Arc<Device>, wish: Wish) -> Result<Draft, PatientError> {
    let old = device.draft()?;
    if let Some(old) = &old {
        if old.fits(&wish) && old.offers.len() == old.enrolment.members().count() {
            return Ok(old.clone());
        }
        let now = device.client.now();
        if old.submitted_until.is_some_and(|until| now < until) {
            return Err(PatientError::Roster {
                reason: "another enrolment was submitted and may still become final; \
                         ask for the same one, or wait some minutes"
                    .to_owned(),
            });
        }
    }
    // The ledger knows no enrolment of this patient and will know none: nothing is sealed to any of these keys.
    let kept = old.map_or(0, |old| old.round);
    let round = kept.saturating_add(1);
    let fresh = device.heavy(move |device| {
        device.forget_keys_but(kept)?;
        draw(device, &wish, round)
    });
    let fresh = fresh.await?;
    device.put_draft(&fresh).await?;
    let forget = device.heavy(move |device| device.forget_keys_but(round));
    // What cannot be destroyed now is destroyed with the next enrolment.
    if let Err(error) = forget.await {
        tracing::warn!(patient = %device.me, %error, "older tier keys are not destroyed yet");
    }
    Ok(fresh)
}

/// One kin's acceptance, checked.
async fn accepted(
    device: &Device,
    enrolment: &Arc<Enrolment>,
    digest: Digest,
    (position, member): (usize, &Member),
    shares: &SealedShares,
    until: Instant,
) -> Result<Signature, PatientError> {
    let kin = member.id();
    let refused = |reason: String| PatientError::NotAccepted { kin, reason };
    let name = device.setting.directory.name(kin);
    let name = name.ok_or_else(|| refused("the directory does not know this kin".to_owned()))?;
    let index = ShareIndex::from_position(position);
    let index = index.ok_or_else(|| refused("the roster is too long".to_owned()))?;
    let offer = OfferShares {
        patient: device.me,
        enrolment: enrolment.clone(),
        index,
        shares: shares.clone(),
    };
    let agreed = agreed(device, (member, name), offer, digest, until).await;
    agreed.map_err(|error| match error {
        NotAgreed::Kin(KinError::Declined) => PatientError::Declined { kin },
        NotAgreed::Kin(KinError::Undecided { until_ms }) => {
            PatientError::Undecided { kin, until_ms }
        }
        other => refused(other.to_string()),
    })
}

/// Why a kin has signed nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAgreed {
    /// It said why.
    #[error(transparent)]
    Kin(#[from] KinError),
    /// It was not reached.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// What it sent is no signature of its own.
    #[error("its signature does not hold")]
    Signature,
}

/// One kin's signature under an offer that it has accepted, checked; or why there is none.
pub(super) async fn agreed<M>(
    device: &Device,
    (member, name): (&Member, ActorName),
    offer: M,
    digest: Digest,
    until: Instant,
) -> Result<Signature, NotAgreed>
where
    M: Message<Result = Result<Signature, KinError>> + Clone + Send + 'static,
    FriendRelative: Handler<Delivered<M>>,
{
    let mut unanswered = 0;
    loop {
        let answer = device
            .port
            .ask_until::<FriendRelative, _>(name, offer.clone(), ASK_WITHIN, until)
            .await;
        match answer {
            Ok(Ok(signature)) => {
                let message = Enrolment::acceptance(&digest, member.id());
                let checked = member.key.verify(&message, &signature);
                checked.map_err(|_| NotAgreed::Signature)?;
                return Ok(signature);
            }
            // It will pass; the kin has not judged the shares yet.
            Ok(Err(KinError::Ledger { .. })) if Instant::now() + PAUSE < until => {
                tokio::time::sleep(PAUSE).await;
            }
            // The kin's device has waited for the person all the while.
            Ok(Err(error @ KinError::Undecided { .. })) => {
                unanswered += 1;
                if unanswered >= UNANSWERED_MAX || Instant::now() >= until {
                    return Err(error.into());
                }
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The sponsor's signature, checked.
async fn sponsored(
    device: &Device,
    enrolment: &Arc<Enrolment>,
    digest: Digest,
    until: Instant,
) -> Result<Signature, PatientError> {
    let hospital = enrolment.sponsor;
    let refused = |reason: String| PatientError::NotSponsored { hospital, reason };
    let accredited = device.client.prove_hospital(hospital, until).await?;
    let accredited = accredited.ok_or_else(|| refused("it is not accredited".to_owned()))?;
    let name = device.setting.directory.name(hospital);
    let name = name.filter(|name| matches!(name, ActorName::Hospital(_)));
    let name = name.ok_or_else(|| refused("the directory does not know it".to_owned()))?;
    let sponsor = Sponsor {
        patient: device.me,
        enrolment: enrolment.clone(),
    };
    let answer = device
        .port
        .ask_until::<Hospital, _>(name, sponsor, ASK_WITHIN, until)
        .await;
    let signature = match answer {
        Ok(Ok(signature)) => signature,
        Ok(Err(error)) => return Err(refused(error.to_string())),
        Err(error) => return Err(refused(error.to_string())),
    };
    let message = Enrolment::sponsorship(&digest);
    let checked = accredited.info.key.verify(&message, &signature);
    checked.map_err(|_| refused("its signature does not hold".to_owned()))?;
    Ok(signature)
}

async fn submit(device: &Device, enrolment: Enrolment) -> Result<Height, PatientError> {
    let chain = device.client.chain();
    let digest = enrolment.digest(chain, device.me);
    let body = TxBody::Enrol(Box::new(enrolment));
    let deadline = Instant::now() + FINAL_WITHIN;
    match device.client.submit(body, deadline).await {
        Ok(finalized) => Ok(finalized.proof.header.height),
        Err(ClientError::Rejected { reason }) => {
            // Perhaps because an earlier try stands already.
            let deadline = Instant::now() + PROVE_WITHIN;
            match device.enrolled(deadline).await? {
                Some((patient, height)) if patient.was_enrolled_as(digest) => Ok(height),
                _ => Err(PatientError::Ledger { reason }),
            }
        }
        Err(error) => Err(error.into()),
    }
}
