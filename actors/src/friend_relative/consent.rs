//! Handing out what is sealed under a patient's consent (docs/spec/consent.md).
//!
//! The grant is proved anew for every question, so what has ended opens nothing
//! any more. Questions that arrive while a proof is under way share the next one.

use super::access::{Reach, forbidden};
use super::desk::{Desk, PROVE_WITHIN, decode};
use super::messages::KinError;
use super::prepare::batch;
use super::recent::Seen;
use super::storage::Kept;
use crate::ports::names::ActorName;
use kithkin_protocol::consent::Grant;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{GrantId, HospitalId};
use kithkin_protocol::ledger::{BatchPlace, State};
use std::sync::Arc;
use std::time::Instant;

/// Decides over a hospital that names a grant. The batch is where the hospital says that the upload stands on chain: it
/// is proved once, and then its height is known.
///
/// # Errors
/// [`KinError::Forbidden`], [`KinError::Grant`], [`KinError::Ledger`].
pub(super) async fn by_grant(
    desk: &Arc<Desk>,
    (from, hospital): (ActorName, HospitalId),
    (root, kept): (Digest, &Kept),
    id: GrantId,
    place: BatchPlace,
) -> Result<Reach, KinError> {
    if (place.0, place.1) != (kept.patient, kept.tier) {
        return Err(forbidden("the batch is of another patient or tier"));
    }
    let grant = fresh(desk, from, id).await?;
    if grant.patient() != kept.patient {
        return Err(forbidden(format!("grant {id} is about another patient")));
    }
    let now = desk.client.now();
    let scope = grant.reach(now, hospital, kept.tier, place.2);
    let scope = scope.map_err(|error| refused(id, error))?;
    // The grant comes first: who has none cannot have any number of places proved.
    if batch(desk, place).await?.manifest_root != root {
        return Err(forbidden("the upload does not stand in that batch"));
    }
    Ok(scope.only.iter().copied().collect())
}

/// The grant as it stands, by a proof that was begun after this was asked.
async fn fresh(desk: &Desk, asker: ActorName, id: GrantId) -> Result<Arc<Grant>, KinError> {
    let asked = Instant::now();
    let prove = async {
        let deadline = Instant::now() + PROVE_WITHIN;
        let (value, _) = desk.client.prove(State::grant_key(id), deadline).await?;
        let value = value.ok_or_else(|| refused(id, "it does not stand on the ledger"))?;
        decode(&value)
    };
    let is_good = |seen: &Seen<Grant>| seen.is_since(asked);
    desk.grants.get(asker, id, is_good, prove).await
}

fn refused(grant: GrantId, reason: impl core::fmt::Display) -> KinError {
    KinError::Grant {
        grant,
        reason: reason.to_string(),
    }
}
