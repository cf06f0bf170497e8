//! Proving a request before it is shown or signed (opening.md section 3).
//!
//! A notice or a validator's list is a hint. What counts is the transaction with
//! its block's certificate, and the case as f+1 validators have it now.

use super::desk::{Desk, PROVE_WITHIN};
use super::messages::{KinError, PendingRequest};
use super::roster::reach;
use super::second::active_ward;
use super::storage::Ward;
use crate::validator::messages::{Answer, Concern, Look};
use futures_util::stream::{self, StreamExt as _};
use kithkin_protocol::emergency::{Case, Request, Stage};
use kithkin_protocol::ids::{CaseId, HospitalId, TxId};
use kithkin_protocol::ledger::{LIVE_CASES_MAX, TxBody};
use kithkin_protocol::units::{CircleKind, Height};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a validator may take to list cases.
const LOOK_WITHIN: Duration = Duration::from_secs(3);
/// Most cases of one patient that are looked at: no more can wait for an answer.
const CASES_MAX: usize = LIVE_CASES_MAX as usize;
/// Requests that are proved at a time.
const PROOFS_AT_ONCE: usize = 8;

/// A request whose transaction was proved to be final.
#[derive(Debug)]
pub(super) struct ProvedRequest {
    pub(super) case: CaseId,
    pub(super) hospital: HospitalId,
    pub(super) request: Request,
    pub(super) height: Height,
    pub(super) index: u32,
}

fn bad(case: CaseId, reason: impl Into<String>) -> KinError {
    KinError::Case {
        case,
        reason: reason.into(),
    }
}

/// The request of a case, proved once and then remembered.
pub(super) async fn proved(desk: &Arc<Desk>, case: CaseId) -> Result<Arc<ProvedRequest>, KinError> {
    if let Some(request) = desk.request(case) {
        return Ok(request);
    }
    let deadline = Instant::now() + PROVE_WITHIN;
    // The client has checked certificate, path and signature.
    let proof = desk.client.await_tx(TxId(case.0), deadline).await?.proof;
    let content = proof.transaction.content.clone();
    let TxBody::Request(request) = content.body else {
        return Err(bad(case, "the transaction is no request"));
    };
    let hospital = HospitalId::of(&content.signer);
    let accredited = desk.client.prove_hospital(hospital, deadline).await?;
    if accredited.is_none() {
        return Err(bad(
            case,
            "the request was not signed by an accredited hospital",
        ));
    }
    let chain = desk.client.chain();
    let digest = request.digest(chain, hospital);
    let signed = request
        .clinician
        .verify(digest.as_ref(), &request.clinician_signature);
    signed.map_err(|_| bad(case, "the clinician's signature does not hold"))?;
    let session = request.session.verify(&request.binding(chain, hospital));
    session.map_err(|error| bad(case, error.to_string()))?;
    let proved = Arc::new(ProvedRequest {
        case,
        hospital,
        request: *request,
        height: proof.header.height,
        index: proof.path.index,
    });
    desk.put_request(proved.clone());
    Ok(proved)
}

/// The case as it stands now, proved and fitting its request and, while it lives, the patient's roster; with the height of the proof.
pub(super) async fn standing(
    desk: &Arc<Desk>,
    id: CaseId,
    height: Height,
) -> Result<(Case, Height), KinError> {
    let request = proved(desk, id).await?;
    let (case, head) = desk.case_at(id, height.max(request.height)).await?;
    let differs = [
        ("request", case.request != request.request),
        ("hospital", case.hospital != request.hospital),
        (
            "place",
            (case.height, case.index) != (request.height, request.index),
        ),
    ];
    refuse_difference(id, &differs)?;
    // Once it is over the roster goes on without it.
    if case.phase.is_live() {
        fitting_ward(desk, &case).await?;
    }
    Ok((case, head))
}

/// What this kin holds for a case that lives and was proved.
pub(super) async fn fitting_ward(desk: &Arc<Desk>, case: &Case) -> Result<Arc<Ward>, KinError> {
    reach(desk, case).await?;
    let ward = active_ward(desk, case).await?;
    let roster = ward.enrolment.roster_of(ward.circle).iter();
    let roster = roster.map(|member| member.id());
    let differs = [
        ("epoch", case.request.epoch != ward.epoch),
        ("circle", case.circle() != ward.circle),
        (
            "second circle",
            ward.circle == CircleKind::Second && case.second_epoch != ward.second_epoch,
        ),
        ("roster", !roster.eq(case.roster.iter().copied())),
    ];
    refuse_difference(case.id, &differs)?;
    Ok(ward)
}

fn refuse_difference(id: CaseId, differs: &[(&str, bool)]) -> Result<(), KinError> {
    match differs.iter().find(|(_, differs)| *differs) {
        Some((what, _)) => Err(bad(
            id,
            format!("its {what} is not the one that was proved"),
        )),
        None => Ok(()),
    }
}

/// Cases in which this kin is asked, as one validator lists them: hints, newest last. Also of patients whose kin it has become
/// without having heard so.
pub(super) async fn hints(desk: &Arc<Desk>) -> Result<Vec<Case>, KinError> {
    let mut cases = Vec::new();
    for patient in desk.circles() {
        let look = Look::Cases(Concern::Patient(patient));
        let answer = desk.client.look(look, Instant::now() + LOOK_WITHIN).await?;
        if let Answer::Cases(mut found) = answer {
            found.retain(|case| case.patient() == patient && case.roster.contains(&desk.me));
            found.sort_by_key(|case| (case.height, case.index));
            cases.extend(found);
        }
    }
    Ok(cases)
}

/// Every request that waits for this kin's answer, each proved. One that cannot be proved is not shown.
pub(super) async fn pending(desk: Arc<Desk>) -> Result<Vec<PendingRequest>, KinError> {
    let live = |case: &Case| case.phase.is_live() && !decided(&desk, case);
    let cases_max = CASES_MAX.saturating_mul(desk.circles().len());
    let waiting = hints(&desk).await?.into_iter().filter(live).take(cases_max);
    let proved: Vec<_> = stream::iter(waiting)
        .map(|hint| {
            let desk = &desk;
            async move { (hint.id, standing(desk, hint.id, Height(0)).await) }
        })
        .buffered(PROOFS_AT_ONCE)
        .collect()
        .await;
    let mut pending = Vec::new();
    for (id, proved) in proved {
        match proved {
            Ok((case, _)) if live(&case) => pending.push(shown(&case)),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(kin = %desk.me, case = %id, %error, "a request is not shown");
            }
        }
    }
    Ok(pending)
}

/// Shows a request again of which the ledger has reminded this kin. Whether that was so; a decision may have come in between.
pub(super) async fn remind(desk: &Arc<Desk>, id: CaseId) -> Result<bool, KinError> {
    let (case, _) = standing(desk, id, Height(0)).await?;
    let waits = case.phase.is_live() && case.stage > Stage::Asked && !decided(desk, &case);
    if waits {
        let (kin, hospital, until) = (desk.me, case.hospital, case.request.expires_ms);
        tracing::info!(%kin, case = %id, %hospital, %until, "a request still waits for an answer");
    }
    Ok(waits)
}

fn decided(desk: &Desk, case: &Case) -> bool {
    case.approvals.contains_key(&desk.me) || case.refusals.contains_key(&desk.me)
}

fn shown(case: &Case) -> PendingRequest {
    let credential = case.request.credential.as_ref();
    PendingRequest {
        case: case.id,
        patient: case.patient(),
        hospital: case.hospital,
        role: credential.map(|credential| credential.role),
        purpose: case.request.purpose,
        reason: case.request.reason,
        tiers: case.request.scopes.iter().map(|scope| scope.tier).collect(),
        expires_ms: case.request.expires_ms,
        reminded: case.stage > Stage::Asked,
    }
}
