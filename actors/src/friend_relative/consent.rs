//! Handing out what is sealed under a patient's consent (docs/spec/consent.md).
//!
//! The grant is proved anew for every question, so what has ended opens nothing
//! any more. Questions that arrive while a proof is under way share the next one.

use super::access::{Reach, forbidden};
use super::desk::{Desk, PROVE_WITHIN, decode, remember};
use super::messages::KinError;
use super::prepare::batch;
use super::storage::Kept;
use kithkin_protocol::consent::Grant;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{GrantId, HospitalId};
use kithkin_protocol::ledger::{BatchPlace, State};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Grants that were proved lately, with the moment at which the proof was asked for.
#[derive(Default)]
pub(super) struct Grants(tokio::sync::Mutex<BTreeMap<GrantId, (Instant, Arc<Grant>)>>);

/// Decides over a hospital that names a grant. The batch is where the hospital says that the upload stands on chain: it
/// is proved once, and then its height is known.
///
/// # Errors
/// [`KinError::Forbidden`], [`KinError::Grant`], [`KinError::Ledger`].
pub(super) async fn by_grant(
    desk: &Arc<Desk>,
    hospital: HospitalId,
    (root, kept): (Digest, &Kept),
    id: GrantId,
    place: BatchPlace,
) -> Result<Reach, KinError> {
    if (place.0, place.1) != (kept.patient, kept.tier) {
        return Err(forbidden("the batch is of another patient or tier"));
    }
    let grant = fresh(desk, id).await?;
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
async fn fresh(desk: &Desk, id: GrantId) -> Result<Arc<Grant>, KinError> {
    let asked = Instant::now();
    let mut grants = desk.grants.0.lock().await;
    if let Some((begun, grant)) = grants.get(&id)
        && *begun >= asked
    {
        return Ok(grant.clone());
    }
    let begun = Instant::now();
    let key = State::grant_key(id);
    let (value, _) = desk.client.prove(key, begun + PROVE_WITHIN).await?;
    let value = value.ok_or_else(|| refused(id, "it does not stand on the ledger"))?;
    let grant: Arc<Grant> = Arc::new(decode(&value)?);
    remember(&mut grants, id, (begun, grant.clone()));
    Ok(grant)
}

fn refused(grant: GrantId, reason: impl core::fmt::Display) -> KinError {
    KinError::Grant {
        grant,
        reason: reason.to_string(),
    }
}
