//! Approving and refusing: proved, durable, then submitted (opening.md section 3).

use super::desk::Desk;
use super::messages::{Decide, Decided, Decision, KinError, ReplayApproval, Replayed};
use super::requests::standing;
use super::storage::{Docket, Put as _};
use crate::clients::ClientError;
use crate::ports::names::ActorName;
use crate::ports::store::Batch;
use crate::validator::Validator;
use crate::validator::messages::Submit;
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::{Approval, SignedTransaction, TxBody};
use kithkin_protocol::units::Height;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a transaction may take to become final.
pub(super) const FINAL_WITHIN: Duration = Duration::from_secs(30);
/// How long one validator may take to refuse a replayed transaction.
const REPLAY_TRY: Duration = Duration::from_secs(2);

fn bad(case: CaseId, reason: impl Into<String>) -> KinError {
    KinError::Case {
        case,
        reason: reason.into(),
    }
}

/// What this kin has said in the case, as the ledger has it: true for an approval.
pub(super) fn said(desk: &Desk, case: &Case) -> Option<bool> {
    if case.approvals.contains_key(&desk.me) {
        Some(true)
    } else if case.refusals.contains_key(&desk.me) {
        Some(false)
    } else {
        None
    }
}

/// Carries a person's decision out. Asked again, it answers the same.
pub(super) async fn decide(desk: Arc<Desk>, message: Decide) -> Result<Decided, KinError> {
    let Decide { case: id, decision } = message;
    let turn = desk.deciding.of(id);
    let alone = turn.lock().await;
    let (case, head) = standing(&desk, id, Height(0)).await?;
    let approves = decision == Decision::Approve;
    match said(&desk, &case) {
        Some(before) if before == approves => {
            return already(&desk, id, decision, &case, head).await;
        }
        Some(_) => return Err(bad(id, "this kin has decided otherwise before")),
        None if !case.phase.is_live() => {
            let phase = case.phase.as_str();
            return Err(bad(
                id,
                format!("it takes no decisions any more: it is {phase}"),
            ));
        }
        None => {}
    }
    let docket = Docket {
        decision,
        height: None,
        transaction: None,
        settled: false,
    };
    put(&desk, id, &docket).await?;
    let height = submit(&desk, &case, docket).await?;
    drop(alone);
    let deadline = Instant::now() + FINAL_WITHIN;
    loop {
        let (case, head) = standing(&desk, id, height).await?;
        if head >= height || Instant::now() >= deadline {
            let phase = case.phase;
            return Ok(Decided { height, phase });
        }
    }
}

/// The ledger has this decision already: from before a restart, or of a call whose answer was lost.
async fn already(
    desk: &Arc<Desk>,
    id: CaseId,
    decision: Decision,
    case: &Case,
    head: Height,
) -> Result<Decided, KinError> {
    let docket = match desk.store.docket(id)? {
        Some(docket) if docket.decision == decision && docket.height.is_some() => docket,
        other => {
            let docket = Docket {
                decision,
                height: Some(head),
                transaction: other.and_then(|docket| docket.transaction),
                settled: false,
            };
            put(desk, id, &docket).await?;
            docket
        }
    };
    Ok(Decided {
        height: docket.height.unwrap_or(head),
        phase: case.phase,
    })
}

/// Submits a durable decision and notes where it stands.
pub(super) async fn submit(
    desk: &Arc<Desk>,
    case: &Case,
    mut docket: Docket,
) -> Result<Height, KinError> {
    let body = match docket.decision {
        Decision::Approve => TxBody::Approve(Approval::of(case)),
        Decision::Refuse(reason) => TxBody::Refuse {
            case: case.id,
            reason,
        },
    };
    let deadline = Instant::now() + FINAL_WITHIN;
    match desk.client.submit(body, deadline).await {
        Ok(finalized) => {
            docket.height = Some(finalized.proof.header.height);
            docket.transaction = Some(finalized.proof.transaction);
        }
        Err(ClientError::Rejected { reason }) => {
            // Perhaps because the same decision of an earlier try stands already.
            let (now, head) = standing(desk, case.id, Height(0)).await?;
            if said(desk, &now) != Some(docket.decision == Decision::Approve) {
                return Err(bad(case.id, reason));
            }
            docket.height = Some(head);
        }
        Err(error) => return Err(error.into()),
    }
    put(desk, case.id, &docket).await?;
    Ok(docket.height.unwrap_or_default())
}

pub(super) async fn put(desk: &Desk, case: CaseId, docket: &Docket) -> Result<(), KinError> {
    let mut batch = Batch::default();
    batch.docket(case, docket);
    desk.store.write(batch).await
}

/// Misuses an approval in both ways that scenarios ask for, and reports what became of it.
pub(super) async fn replay(desk: Arc<Desk>, message: ReplayApproval) -> Result<Replayed, KinError> {
    let ReplayApproval { from, into } = message;
    let docket = desk.store.docket(from)?;
    let transaction = docket.and_then(|docket| docket.transaction);
    let transaction = transaction.ok_or_else(|| bad(from, "no approval of it is kept here"))?;
    let TxBody::Approve(given) = &transaction.content.body else {
        return Err(bad(from, "this kin did not approve"));
    };
    let moved = TxBody::Approve(Approval {
        case: into,
        ..given.clone()
    });
    let again = refusal(&desk, transaction).await?;
    let deadline = Instant::now() + FINAL_WITHIN;
    let moved = match desk.client.submit(moved, deadline).await {
        Ok(_) => None,
        Err(ClientError::Rejected { reason }) => Some(reason),
        Err(error) => return Err(error.into()),
    };
    Ok(Replayed { again, moved })
}

/// Hands the very same transaction in again; the first refusal in a validator's words. A validator that lags behind
/// may take it in, which does no harm: no block can hold it a second time.
async fn refusal(desk: &Desk, transaction: SignedTransaction) -> Result<Option<String>, KinError> {
    let mut silent = None;
    let mut taken = false;
    for id in desk.client.validators().ids() {
        let name = ActorName::Validator(id.0);
        let submit = Submit(transaction.clone());
        match desk
            .port
            .ask::<Validator, _>(name, submit, REPLAY_TRY)
            .await
        {
            Ok(Err(error)) => return Ok(Some(error.to_string())),
            Ok(Ok(_)) => taken = true,
            Err(error) => silent = Some(error),
        }
    }
    match silent {
        Some(error) if !taken => Err(KinError::Ledger {
            reason: error.to_string(),
        }),
        _ => Ok(None),
    }
}
