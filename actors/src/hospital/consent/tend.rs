//! Destroying the keys of grants that have ended, and of offers that nobody took.

use super::files::GrantFile;
use crate::hospital::desk::{Alone, Desk, PROVED_WITHIN};
use crate::hospital::messages::HospitalError;
use kithkin_protocol::consent::GrantEvent;
use kithkin_protocol::ledger::{Event, What};
use kithkin_protocol::units::Millis;
use std::sync::Arc;
use std::time::Instant;

/// How long an offer waits for the patient.
const OFFER_MS: Millis = Millis(3_600_000);
/// Most events of one notice that are looked at.
const EVENTS_MAX: usize = 4_096;

/// A grant has ended, as a validator says: whoever acts on it asks for proof.
pub(in crate::hospital) fn on_notice(desk: &Arc<Desk>, events: &[Event]) {
    let me = desk.me;
    let ended = events.iter().take(EVENTS_MAX).any(|event| {
        matches!(
            &event.what,
            What::Grant { hospital, step: GrantEvent::Revoked(_) | GrantEvent::Expired, .. } if *hospital == me
        )
    });
    if ended {
        let desk = Arc::clone(desk);
        actix::spawn(async move { tend(&desk).await });
    }
}

/// Looks at all grants that may have ended.
pub(in crate::hospital) async fn tend(desk: &Arc<Desk>) {
    let Some(_alone) = Alone::take(&desk.tending_grants) else {
        return;
    };
    let files = match desk.consents.files() {
        Ok(files) => files,
        Err(error) => {
            tracing::warn!(%error, "grants cannot be looked at; trying again later");
            return;
        }
    };
    for file in files {
        // One that cannot be proved now keeps nobody from the others.
        if let Err(error) = tend_one(desk, &file).await {
            tracing::warn!(grant = %file.id, %error, "cannot look whether it has ended; trying again later");
        }
    }
}

async fn tend_one(desk: &Desk, file: &GrantFile) -> Result<(), HospitalError> {
    let grant = desk.grant(file.id, Instant::now() + PROVED_WITHIN).await?;
    let over = match grant {
        Some(grant) => !grant.is_live(),
        None => desk.client.now() > file.offered_ms.plus(OFFER_MS.0),
    };
    if over {
        desk.consents.forget(file.id).await?;
        tracing::info!(grant = %file.id, "its keys are destroyed");
    }
    Ok(())
}
