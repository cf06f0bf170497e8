//! Asking to open records, following the case, ending it.

use crate::clients::ClientError;
use crate::hospital::books::CaseFile;
use crate::hospital::case::session_names;
use crate::hospital::desk::{
    Alone, Desk, FINAL_WITHIN, PROVED_WITHIN, forbidden, ledger, off_thread, vault,
};
use crate::hospital::messages::{HospitalError, RequestOpening, Requested};
use crate::hospital::read;
use crate::ports::random::SystemRng;
use crate::validator::messages::{Answer, Concern, Look};
use kithkin_protocol::crypto::aead::derive_key;
use kithkin_protocol::crypto::group::{PointBytes, ScalarBytes};
use kithkin_protocol::crypto::{OpeningKey, Signature, hash};
use kithkin_protocol::emergency::{CaseEvent, Circle, ClinicalRole, Credential, Request, Scope};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::{Confirmed, Event, Patient as Enrolled, TxBody, What};
use kithkin_protocol::sharing::{SchnorrProof, SessionPublic, SessionSecret};
use kithkin_protocol::units::{Height, Tier};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// Longest encounter number in bytes.
const ENCOUNTER_BYTES_MAX: usize = 256;
/// Most events of one notice that are looked at.
const EVENTS_MAX: usize = 4_096;

/// Asks to open records. The session's keys are in the vault, and the request in the books, before anything leaves.
pub(super) async fn request(
    desk: &Arc<Desk>,
    asked: RequestOpening,
) -> Result<Requested, HospitalError> {
    let tiers: BTreeSet<Tier> = asked.tiers.iter().copied().collect();
    if tiers.is_empty() {
        return Err(forbidden("the request names no tier"));
    }
    if asked.encounter.len() > ENCOUNTER_BYTES_MAX {
        return Err(forbidden(format!(
            "an encounter number has at most {ENCOUNTER_BYTES_MAX} bytes"
        )));
    }
    let deadline = Instant::now() + PROVED_WITHIN;
    let ((), (enrolled, head)) = tokio::try_join!(
        desk.prove_accreditation(deadline),
        desk.prove_patient(asked.patient, deadline),
    )?;
    let (eps, opening) = (
        SessionSecret::random(&mut SystemRng),
        OpeningKey::random(&mut SystemRng),
    );
    keep_session(desk, &eps, &opening).await?;
    let request = compose(desk, &asked, &tiers, &enrolled, &head, &eps, &opening);
    desk.books.put_request(&request).await?;

    let body = TxBody::Request(Box::new(request.clone()));
    let submitted = desk
        .client
        .submit(body, Instant::now() + FINAL_WITHIN)
        .await;
    let requested = match submitted {
        Ok(finalized) => Requested {
            case: CaseId(finalized.proof.transaction.id().0),
            height: finalized.proof.header.height,
        },
        Err(error) => refused(desk, &request, error).await?,
    };
    let case = requested.case;
    if asked.after.is_some() {
        // The second circle may have become another one since the patient was proved.
        desk.adopt(case, requested.height).await?;
        tracing::info!(%case, height = %requested.height, "an opening is requested of the second circle");
        return Ok(requested);
    }
    let file = CaseFile {
        case,
        request,
        enrolment: enrolled.enrolment,
        eras: enrolled.eras,
        rewrapped: enrolled.rewrapped,
    };
    desk.books.put_case(&file).await?;
    tracing::info!(%case, height = %requested.height, "an opening is requested");
    Ok(requested)
}

async fn keep_session(
    desk: &Desk,
    eps: &SessionSecret,
    opening: &OpeningKey,
) -> Result<(), HospitalError> {
    let names = session_names(eps.point());
    let (keys, eps, seed) = (desk.keys.clone(), eps.to_secret(), opening.seed().clone());
    off_thread(move || {
        let [eps_name, seed_name] = &names;
        keys.create_many(&[(eps_name, &eps), (seed_name, &seed)])
            .map_err(vault)
    })
    .await?
}

fn compose(
    desk: &Desk,
    asked: &RequestOpening,
    tiers: &BTreeSet<Tier>,
    enrolled: &Enrolled,
    head: &Confirmed,
    eps: &SessionSecret,
    opening: &OpeningKey,
) -> Request {
    let point = eps.point();
    let salt = derive_key(
        desk.encounter_salt.expose(),
        &[b"kithkin/encounter-salt/1", point.as_ref()],
    );
    let scopes = tiers.iter().map(|tier| Scope {
        tier: *tier,
        up_to: head.height,
        only: Vec::new(),
    });
    let mut request = Request {
        patient: asked.patient,
        epoch: enrolled.epoch,
        circle: asked
            .after
            .map_or(Circle::First, |after| Circle::Second { after }),
        scopes: scopes.collect(),
        purpose: asked.purpose,
        reason: asked.reason,
        encounter: hash(
            "kithkin/encounter/1",
            &[salt.expose(), asked.encounter.as_bytes()],
        ),
        clinician: desk.clinician.verifying_key(),
        credential: Some(credential(desk, asked)),
        session: unproved(point),
        session_key: opening.sealing_key(),
        expires_ms: desk.client.now().plus(asked.expires_in_ms.0),
        session_ms: asked.session_ms,
        clinician_signature: Signature([0; Signature::LEN]),
    };
    // opening.md section 3: the proof is bound to every other field.
    let chain = desk.client.chain();
    request.session = eps.prove(&request.binding(chain, desk.me), &mut SystemRng);
    request.signed(chain, desk.me, &desk.clinician)
}

/// What an issuer has signed for the clinician, or the hospital's own word, for as long as the request can be of use.
fn credential(desk: &Desk, asked: &RequestOpening) -> Credential {
    let own = || {
        let credential = Credential {
            clinician: desk.clinician.verifying_key(),
            issuer: desk.identity.account(),
            role: ClinicalRole::Physician,
            hospital: desk.me,
            valid_until_ms: desk.client.now().plus(asked.expires_in_ms.0),
            signature: Signature([0; Signature::LEN]),
        };
        credential.signed(desk.client.chain(), &desk.identity.signing)
    };
    asked.credential.clone().unwrap_or_else(own)
}

/// The point alone: the proof needs the rest of the request first.
fn unproved(point: PointBytes) -> SessionPublic {
    let zero = ScalarBytes([0; ScalarBytes::LEN]);
    SessionPublic {
        point,
        proof: SchnorrProof {
            challenge: zero,
            response: zero,
        },
    }
}

/// A refusal can mean that an earlier try of the same request stands. Anything else is the answer.
async fn refused(
    desk: &Desk,
    request: &Request,
    error: ClientError,
) -> Result<Requested, HospitalError> {
    // Its keys stay until it could open nothing any more: what is found here is one validator's word.
    match find(desk, request).await? {
        Some(requested) => Ok(requested),
        None => Err(ledger(error)),
    }
}

/// The case of a request, if there is one: as one validator says, then proved.
async fn find(desk: &Desk, request: &Request) -> Result<Option<Requested>, HospitalError> {
    let deadline = Instant::now() + PROVED_WITHIN;
    let look = Look::Cases(Concern::Hospital(desk.me));
    let Answer::Cases(cases) = desk.client.look(look, deadline).await.map_err(ledger)? else {
        return Ok(None);
    };
    let session = request.session.point;
    let Some(found) = cases
        .into_iter()
        .find(|case| case.request.session.point == session)
    else {
        return Ok(None);
    };
    let case = desk.prove_case(found.id, deadline).await?;
    let mine = case.request.session.point == session && case.hospital == desk.me;
    Ok(mine.then_some(Requested {
        case: case.id,
        height: case.height,
    }))
}

/// Ends a case: first on chain, then by destroying the keys that could open anything of it.
pub(super) async fn close(desk: &Arc<Desk>, case: CaseId) -> Result<Height, HospitalError> {
    desk.case(case).await?;
    let submitted = desk
        .client
        .submit(TxBody::Close { case }, Instant::now() + FINAL_WITHIN)
        .await;
    match submitted {
        Ok(finalized) => {
            end(desk, case).await?;
            Ok(finalized.proof.header.height)
        }
        Err(error) => {
            // It may be over already, by time or by veto: then the keys go all the same.
            tend_one(desk, case).await?;
            Err(ledger(error))
        }
    }
}

/// Looks at everything that may be over, or may have become a case without this incarnation knowing it.
pub(super) async fn tend(desk: &Arc<Desk>) {
    let Some(_alone) = Alone::take(&desk.tending) else {
        return;
    };
    if let Err(error) = tend_all(desk).await {
        tracing::warn!(%error, "open cases cannot be looked at; trying again later");
    }
}

async fn tend_all(desk: &Arc<Desk>) -> Result<(), HospitalError> {
    for request in desk.books.requests()? {
        let session = request.session.point;
        if let Some(requested) = find(desk, &request).await? {
            desk.adopt(requested.case, requested.height).await?;
        } else if desk.client.now() > request.expires_ms.plus(request.session_ms.0) {
            // Whatever became of it, it opens nothing any more.
            desk.destroy_session(session).await?;
            desk.books.remove_request(session).await?;
        }
    }
    for case in desk.books.open_cases()? {
        tend_one(desk, case).await?;
    }
    Ok(())
}

/// Destroys the keys of a case that is over.
async fn tend_one(desk: &Arc<Desk>, id: CaseId) -> Result<(), HospitalError> {
    let deadline = Instant::now() + PROVED_WITHIN;
    let case = desk.prove_case(id, deadline).await?;
    let over = case.phase.opens() && desk.client.now() > case.session_end();
    if over || !case.phase.is_live() {
        end(desk, id).await?;
    }
    Ok(())
}

async fn end(desk: &Desk, case: CaseId) -> Result<(), HospitalError> {
    if let Some(file) = desk.books.case(case)? {
        desk.destroy_session(file.request.session.point).await?;
    }
    desk.books.end_case(case).await?;
    if let Some(work) = desk.cases.peek(case) {
        work.wake();
    }
    desk.cases.forget(case);
    Ok(())
}

/// Something happened to a case, as a validator says: who acts on it asks for proof.
pub(super) fn on_notice(desk: &Arc<Desk>, events: &[Event]) {
    let mut over = false;
    for event in events.iter().take(EVENTS_MAX) {
        let What::Case {
            case,
            hospital,
            step,
            ..
        } = &event.what
        else {
            continue;
        };
        if *hospital != desk.me {
            continue;
        }
        if let Some(work) = desk.cases.peek(*case) {
            work.wake();
        }
        match step {
            CaseEvent::Granted | CaseEvent::Opened => read::fetch_ahead(desk, *case),
            CaseEvent::Refused
            | CaseEvent::Vetoed
            | CaseEvent::Expired
            | CaseEvent::Revoked
            | CaseEvent::Closed(..) => over = true,
            CaseEvent::SecondCircle => {
                tracing::info!(%case, "nobody of the first circle has decided it; the second one may be asked");
            }
            CaseEvent::Requested
            | CaseEvent::Remind
            | CaseEvent::Approved(_)
            | CaseEvent::KinRefused(..)
            | CaseEvent::Waiting
            | CaseEvent::Released(..)
            | CaseEvent::Read(_)
            | CaseEvent::Overdue
            | CaseEvent::Reviewed(_) => {}
        }
    }
    if over {
        let desk = Arc::clone(desk);
        actix::spawn(async move { tend(&desk).await });
    }
}
