//! From an approval to delivered partial openings: what is left to do in one case, and doing it.
//!
//! Every step can be taken again after a restart. The partial openings are
//! durable before they are announced, and marked as sent before the first byte
//! leaves, so what was announced and what is sent are the same bytes for ever.
//! Before each announcement and each sending the case is proved anew, at a head
//! of at most 30 s that f+1 validators agree on: granted, and not vetoed since
//! (opening.md section 3).

use super::decide::{FINAL_WITHIN, put, said, submit};
use super::desk::Desk;
use super::messages::{Conduct, Decision, KinError};
use super::prepare::prepare;
use super::requests::{fitting_ward, standing};
use super::storage::{Docket, Outgoing, Put as _, Ward};
use crate::clients::ClientError;
use crate::hospital::Hospital;
use crate::hospital::messages::DeliverPartials;
use crate::ports::store::Batch;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::{Case, RELEASES_MAX};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::TxBody;
use kithkin_protocol::units::Height;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one sending may take. Before it is repeated the case is proved anew.
const DELIVER_TRY: Duration = Duration::from_secs(3);

/// What is left to do in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing, for good.
    Settled,
    /// Something; nothing can be done until the case moves on.
    Later,
}

/// Does what can be done in a case that this kin has decided. `height`: where something happened, as far as known.
pub(super) async fn pursue(
    desk: &Arc<Desk>,
    id: CaseId,
    height: Height,
) -> Result<Outcome, KinError> {
    let turn = desk.deciding.of(id);
    let alone = turn.lock().await;
    let Some(docket) = desk.store.docket(id)? else {
        return Ok(Outcome::Settled);
    };
    if docket.settled {
        return Ok(Outcome::Settled);
    }
    let (mut case, _) = standing(desk, id, height).await?;
    let approves = docket.decision == Decision::Approve;
    match said(desk, &case) {
        Some(said) if said == approves => {}
        // The ledger has the other decision, of an earlier try. Nothing is released that was taken back.
        Some(_) => return settle(desk, id, docket).await,
        None if !case.phase.is_live() => return settle(desk, id, docket).await,
        None => {
            let height = submit(desk, &case, docket.clone()).await?;
            (case, _) = standing(desk, id, height).await?;
        }
    }
    drop(alone);
    let docket = desk.store.docket(id)?.unwrap_or(docket);
    if !approves || !case.phase.is_live() {
        return settle(desk, id, docket).await;
    }
    if !case.opens_at(desk.client.now()) || desk.conduct() == Conduct::Withhold {
        return Ok(Outcome::Later);
    }
    let ward = fitting_ward(desk, &case).await?;
    match release(desk, case, &ward).await? {
        Outcome::Settled => settle(desk, id, docket).await,
        Outcome::Later => Ok(Outcome::Later),
    }
}

/// Nothing is left to do: what was to be sent is not kept any longer.
async fn settle(desk: &Arc<Desk>, id: CaseId, mut docket: Docket) -> Result<Outcome, KinError> {
    if let Some(mut outgoing) = desk.store.outgoing(id)?
        && !outgoing.done
    {
        outgoing.done = true;
        outgoing.partials = Vec::new();
        put_outgoing(desk, id, &outgoing).await?;
    }
    docket.settled = true;
    put(desk, id, &docket).await?;
    Ok(Outcome::Settled)
}

async fn put_outgoing(desk: &Desk, id: CaseId, outgoing: &Outgoing) -> Result<(), KinError> {
    let mut batch = Batch::default();
    batch.outgoing(id, outgoing);
    desk.store.write(batch).await
}

/// Announces and delivers. The case was just proved to be granted.
async fn release(desk: &Arc<Desk>, case: Case, ward: &Arc<Ward>) -> Result<Outcome, KinError> {
    let id = case.id;
    let mut outgoing = match desk.store.outgoing(id)? {
        Some(outgoing) => outgoing,
        None => {
            let fresh = prepare(desk, &case, ward).await?;
            put_outgoing(desk, id, &fresh).await?;
            fresh
        }
    };
    if outgoing.done || outgoing.partials.is_empty() {
        return Ok(Outcome::Settled);
    }
    let Some(case) = announce(desk, case, outgoing.digest).await? else {
        return Ok(Outcome::Later);
    };
    let Some(hospital) = desk.setting.directory.name(case.hospital) else {
        return Err(KinError::Case {
            case: id,
            reason: "its hospital is not in the directory".to_owned(),
        });
    };
    if !outgoing.left {
        outgoing.left = true;
        put_outgoing(desk, id, &outgoing).await?;
    }
    let deliver = DeliverPartials {
        case: id,
        partials: outgoing.partials,
    };
    // Once for each proof that the case is open: the next try starts with a new one, so a veto stops it.
    let answer = desk
        .port
        .ask::<Hospital, _>(hospital, deliver, DELIVER_TRY)
        .await;
    match answer {
        Ok(Ok(())) => {
            tracing::info!(kin = %desk.me, case = %id, to = %hospital, "partial openings delivered");
            Ok(Outcome::Settled)
        }
        Ok(Err(error)) => Err(undelivered(id, &error)),
        Err(error) => Err(undelivered(id, &error)),
    }
}

fn undelivered(case: CaseId, error: &dyn core::fmt::Display) -> KinError {
    KinError::Case {
        case,
        reason: format!("the partial openings are not delivered yet: {error}"),
    }
}

/// The case right after the digest was announced on it, proved and still open. None when it does not open any more.
async fn announce(desk: &Arc<Desk>, case: Case, digest: Digest) -> Result<Option<Case>, KinError> {
    let id = case.id;
    let announced = |case: &Case| {
        let mine = case.releases.get(&desk.me);
        mine.is_some_and(|digests| digests.contains(&digest))
    };
    if announced(&case) {
        return Ok(Some(case));
    }
    let body = TxBody::Release { case: id, digest };
    let submitted = desk
        .client
        .submit(body, Instant::now() + FINAL_WITHIN)
        .await;
    let height = match submitted {
        Ok(finalized) => finalized.proof.header.height,
        // Perhaps because it stands already, or the case is over: the case itself tells.
        Err(ClientError::Rejected { reason }) => {
            tracing::debug!(kin = %desk.me, case = %id, reason, "the announcement was refused");
            Height(0)
        }
        Err(error) => return Err(error.into()),
    };
    let (case, _) = standing(desk, id, height).await?;
    let opens = case.opens_at(desk.client.now()) && desk.conduct() != Conduct::Withhold;
    if !opens {
        return Ok(None);
    }
    if announced(&case) {
        return Ok(Some(case));
    }
    let before = case.releases.get(&desk.me).map_or(0, Vec::len);
    Err(KinError::Case {
        case: id,
        reason: format!("the announcement does not stand ({before} of {RELEASES_MAX} are used)"),
    })
}
