//! Proposing what a new device has dealt.
//!
//! A proposal whose end nobody has seen may still become final. Until it cannot, plan,
//! sealed shares and keys stay, and asking again proposes the same once more: kin may
//! fetch at any moment what a proposal of this device promises them.

use super::device::{Device, FINAL_WITHIN, MAY_STAND_MS};
use super::messages::{PatientError, Rebuilt};
use super::roster::{bad, under_way};
use super::storage::Redealt;
use crate::clients::ClientError;
use kithkin_protocol::ledger::{self, TxBody};
use kithkin_protocol::roster::RosterStep;
use kithkin_protocol::units::Height;
use std::time::Instant;

/// Proposes what is kept. That it may stand from now on is durable before anybody is sent it.
///
/// # Errors
/// [`PatientError::Roster`] when the ledger has refused this very proposal; others when its end is not known.
pub(super) async fn propose(
    device: &Device,
    redealt: &mut Redealt,
) -> Result<Height, PatientError> {
    let before = redealt.may_stand_until;
    redealt.may_stand_until = Some(device.client.now().plus(MAY_STAND_MS));
    device.put_redealt(redealt).await?;
    let body = TxBody::Roster {
        patient: device.me,
        step: Box::new(RosterStep::Propose(Box::new(redealt.plan.clone()))),
    };
    let submitted = device
        .client
        .submit(body, Instant::now() + FINAL_WITHIN)
        .await;
    let ended = match submitted {
        Ok(finalized) => Ok(finalized.proof.header.height),
        Err(ClientError::Rejected { reason }) => Err(bad(reason)),
        Err(error) => return Err(error.into()),
    };
    // This one has come to its end. An earlier one, if any, has an end of its own.
    redealt.may_stand_until = before;
    device.put_redealt(redealt).await?;
    ended
}

/// Goes on with what was dealt before. None when that can take effect no more: then other keys may take its place.
///
/// # Errors
/// When it is refused now and may still become final, or its end is not known.
pub(super) async fn resume(
    device: &Device,
    entry: &ledger::Patient,
) -> Result<Option<Rebuilt>, PatientError> {
    let Some(mut redealt) = device.redealt()? else {
        return Ok(None);
    };
    // Read before the ledger is asked: what does not stand there by then has missed its time.
    let now = device.client.now();
    if stands(device, &redealt).await? {
        return Ok(Some(redealt.rebuilt));
    }
    if redealt.may_stand_until.is_none_or(|until| until <= now) {
        return Ok(None);
    }
    if redealt.from != entry.epoch {
        return Err(undecided("the shares have changed since it was made"));
    }
    match propose(device, &mut redealt).await {
        Ok(height) => Ok(Some(Rebuilt {
            height,
            ..redealt.rebuilt
        })),
        // Perhaps because it stands already.
        Err(PatientError::Roster { .. }) if stands(device, &redealt).await? => {
            Ok(Some(redealt.rebuilt))
        }
        Err(PatientError::Roster { reason }) => Err(undecided(&reason)),
        Err(error) => Err(error),
    }
}

/// Whether what was dealt is being accepted now.
async fn stands(device: &Device, redealt: &Redealt) -> Result<bool, PatientError> {
    let handover = under_way(device).await?;
    Ok(handover.is_some_and(|handover| handover.plan == redealt.plan))
}

fn undecided(reason: &str) -> PatientError {
    bad(format!(
        "what this device has proposed may still become final ({reason}); ask again in some minutes"
    ))
}
