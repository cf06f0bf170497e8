//! Making the partial openings of one case (opening.md section 3).
//!
//! Which capsules: the batches in scope, each proved, in canonical order, with
//! the uploads that this kin keeps or, for one that it missed, gets from another
//! kin of the patient.

use super::anew;
use super::desk::{Desk, PROVE_WITHIN};
use super::messages::{Conduct, FetchUpload, KinError};
use super::second;
use super::storage::{Outgoing, Put as _, Ward};
use crate::friend_relative::FriendRelative;
use crate::ports::random::SystemRng;
use crate::ports::store::Batch;
use crate::rewrapped;
use crate::scope::{batch_places, belongs, in_scope, prove_batch};
use crate::upload::Upload;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kithkin_protocol::crypto::group::{BASE, PointBytes, random_scalar};
use kithkin_protocol::crypto::{Digest, Sealed};
use kithkin_protocol::emergency::{Case, Request, Scope};
use kithkin_protocol::ids::{PatientId, RecordId};
use kithkin_protocol::ledger::{BatchEntry, BatchPlace, Member, release_digest};
use kithkin_protocol::record::{BatchHeader, CheckedCapsule, RewrappedBatch};
use kithkin_protocol::sharing::{
    Commitments, HeldShare, OPENING_CAPSULES_MAX, Opening, PartialOpening, load_share, partial_open,
};
use kithkin_protocol::units::{CircleKind, Height, Tier};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Proofs of batches that are asked for at a time.
const PROOFS_AT_ONCE: usize = 8;
/// How long a fellow kin may take to send an upload.
const FETCH_WITHIN: Duration = Duration::from_secs(3);

/// Uploads of one tier in scope, in canonical order.
struct TierScope {
    tier: Tier,
    only: BTreeSet<RecordId>,
    uploads: Vec<(Arc<Upload>, Option<Arc<RewrappedBatch>>)>,
}

fn bad(case: &Case, reason: impl core::fmt::Display) -> KinError {
    KinError::Case {
        case: case.id,
        reason: reason.to_string(),
    }
}

/// Computes, signs and seals this kin's partial openings of everything in scope. Nothing is stored or sent here.
///
/// The caller has proved that the case is granted, and that this kin approved.
pub(super) async fn prepare(
    desk: &Arc<Desk>,
    case: &Case,
    ward: &Arc<Ward>,
) -> Result<Outgoing, KinError> {
    let mut scopes = Vec::new();
    for scope in &case.request.scopes {
        scopes.push(collect(desk, case, ward, scope).await?);
    }
    let (case, ward) = (case.clone(), ward.clone());
    desk.heavy(move |desk| {
        let mut digests = Vec::new();
        let mut partials = Vec::new();
        for scope in &scopes {
            if let Some((digest, sealed)) = open_tier(desk, &case, &ward, scope)? {
                digests.push(digest);
                partials.push((scope.tier, sealed));
            }
        }
        Ok(Outgoing {
            digest: release_digest(&digests),
            partials,
            left: false,
            done: false,
        })
    })
    .await
}

async fn collect(
    desk: &Arc<Desk>,
    case: &Case,
    ward: &Arc<Ward>,
    scope: &Scope,
) -> Result<TierScope, KinError> {
    let headers = headers(desk, ward.patient, scope, case.height).await?;
    let mut uploads = Vec::new();
    let mut records = 0usize;
    for header in &headers {
        records = records.saturating_add(usize::try_from(header.records).unwrap_or(usize::MAX));
        // With single records named, those of other uploads are out of scope anyway.
        if scope.only.is_empty() && records > OPENING_CAPSULES_MAX {
            return Err(bad(case, "more records than one opening can cover"));
        }
        let upload = match ward.circle {
            CircleKind::First => upload(desk, &ward.enrolment.roster, header).await?,
            CircleKind::Second => second::lent(desk, ward, header, case.id).await?,
        };
        uploads.push((upload, anew::capsules(desk, ward, header).await?));
    }
    Ok(TierScope {
        tier: scope.tier,
        only: scope.only.iter().copied().collect(),
        uploads,
    })
}

/// Has every batch in the scopes of a request proved, so that the proofs are at hand when the case is granted.
pub(super) async fn prove_batches(desk: &Arc<Desk>, request: &Request) -> Result<(), KinError> {
    if desk.ward(request.patient).is_some() {
        for scope in &request.scopes {
            // Only to have them at hand; what counts is listed again when the case is granted.
            headers(desk, request.patient, scope, scope.up_to).await?;
        }
    }
    Ok(())
}

/// Headers of all batches in scope, each proved, in canonical order.
async fn headers(
    desk: &Arc<Desk>,
    patient: PatientId,
    scope: &Scope,
    at: Height,
) -> Result<Vec<BatchHeader>, KinError> {
    let deadline = Instant::now() + PROVE_WITHIN;
    let (client, port) = (&desk.client, &desk.port);
    let places = batch_places(
        client,
        port,
        (patient, scope.tier, scope.up_to),
        at,
        deadline,
    )
    .await?;
    stream::iter(places)
        .map(|place| batch(desk, place))
        .buffered(PROOFS_AT_ONCE)
        .try_collect()
        .await
}

/// The header at a place, proved once; a batch never moves and its manifest never changes.
pub(super) async fn batch(desk: &Arc<Desk>, place: BatchPlace) -> Result<BatchHeader, KinError> {
    if let Some(entry) = desk.store.batch_entry(&place)? {
        return Ok(entry.header);
    }
    let deadline = Instant::now() + PROVE_WITHIN;
    let entry: BatchEntry = prove_batch(&desk.client, place, deadline)
        .await?
        .ok_or_else(|| KinError::Ledger {
            reason: format!(
                "the batch at height {}, place {}, is not proved",
                place.2, place.3
            ),
        })?;
    let mut batch = Batch::default();
    batch.batch_entry(&place, &entry);
    desk.store.write(batch).await?;
    Ok(entry.header)
}

/// The upload that a header stands for: from the own store, or from another kin when it was stored without this one.
pub(super) async fn upload(
    desk: &Arc<Desk>,
    roster: &[Member],
    header: &BatchHeader,
) -> Result<Arc<Upload>, KinError> {
    let (root, wanted) = (header.manifest_root, *header);
    let own = desk
        .heavy(move |desk| {
            let upload = desk.store.upload(&root)?;
            Ok(upload.filter(|upload| belongs(&wanted, upload)))
        })
        .await?;
    if let Some(upload) = own {
        return Ok(Arc::new(upload));
    }
    let fellows = roster.iter().map(Member::id);
    for kin in fellows.filter(|kin| *kin != desk.me) {
        let Some(name) = desk.setting.directory.name(kin) else {
            continue;
        };
        let fetch = FetchUpload { root, ground: None };
        let answer = desk
            .port
            .ask::<FriendRelative, _>(name, fetch, FETCH_WITHIN)
            .await;
        match answer {
            Ok(Ok(upload)) => {
                let checked = upload.clone();
                if desk.heavy(move |_| Ok(belongs(&wanted, &checked))).await? {
                    return Ok(upload);
                }
                tracing::warn!(kin = %desk.me, from = %name, %root, "sent another upload");
            }
            Ok(Err(error)) => tracing::debug!(kin = %desk.me, from = %name, %error, "no upload"),
            Err(error) => tracing::debug!(kin = %desk.me, %error, "no upload"),
        }
    }
    Err(KinError::Unknown { root })
}

/// The partial opening of one tier, sealed, with the digest that is announced. None when there is nothing to open.
fn open_tier(
    desk: &Desk,
    case: &Case,
    ward: &Ward,
    scope: &TierScope,
) -> Result<Option<(Digest, Sealed)>, KinError> {
    let tier = scope.tier;
    let commitments = ward
        .commitments(tier)
        .ok_or_else(|| bad(case, "the patient has no such tier"))?;
    let capsules = capsules(case, scope, commitments)?;
    if capsules.is_empty() {
        return Ok(None);
    }
    let context = case.opening_context(desk.client.chain(), tier);
    let opening =
        Opening::new(&context, commitments, &capsules).map_err(|error| bad(case, error))?;
    let share = share(desk, ward, tier)?;
    let mut rng = SystemRng;
    let mut partial = partial_open(&share, &opening, &mut rng).map_err(|error| bad(case, error))?;
    if desk.conduct() == Conduct::Forge {
        partial = forged(&partial);
    }
    let digest = partial.digest(&context.rho);
    let sealed = partial
        .sign(&context.rho, &desk.identity.signing)
        .seal(&context, &case.request.session_key, &mut rng)
        .map_err(|error| bad(case, error))?;
    Ok(Some((digest, sealed)))
}

fn capsules(
    case: &Case,
    scope: &TierScope,
    commitments: &Commitments,
) -> Result<Vec<CheckedCapsule>, KinError> {
    let mut capsules = Vec::new();
    for (upload, anew) in &scope.uploads {
        let checked = rewrapped::check(upload, anew.as_deref(), commitments)
            .map_err(|error| bad(case, error))?;
        capsules.extend(in_scope(checked, &scope.only));
    }
    Ok(capsules)
}

pub(super) fn share(desk: &Desk, ward: &Ward, tier: Tier) -> Result<HeldShare, KinError> {
    let lost = |reason: String| KinError::Store {
        reason: format!("the share of tier {tier} is lost: {reason}"),
    };
    let kept = ward.shares.iter().find(|share| share.tier == tier);
    let kept = kept.ok_or_else(|| lost("none was kept".to_owned()))?;
    let key = desk.keys.load(&kept.key)?;
    let key = key.ok_or_else(|| lost("its key is not in the vault".to_owned()))?;
    let commitments = ward.commitments(tier);
    let commitments = commitments.ok_or_else(|| lost("the patient has no such tier".to_owned()))?;
    let context = ward.context(tier);
    load_share(&kept.sealed, &key, ward.index, &context, commitments)
        .map_err(|error| lost(error.to_string()))
}

/// What a kin with a wrong share would send: as many points as capsules, all of them in the group, and a proof that
/// reads well and does not hold. For demonstrations ([`Conduct::Forge`]).
fn forged(honest: &PartialOpening) -> PartialOpening {
    let points = honest
        .points
        .iter()
        .map(|_| PointBytes::from(&(BASE * random_scalar(&mut SystemRng))));
    PartialOpening {
        index: honest.index,
        points: points.collect(),
        proof: honest.proof,
    }
}
