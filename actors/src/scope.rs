//! Which capsules a request covers, found and proved the same way by kin, hospitals and patients.
//!
//! A partial opening is good only if whoever made it and whoever checks it list
//! the same capsules in the same order: batches by height and place in the
//! block, records in the order of their manifest (docs/spec/opening.md).

use crate::clients::{ClientError, LedgerClient};
use crate::ports::names::ActorName;
use crate::ports::network::Port;
use crate::upload::Upload;
use crate::validator::Validator;
use crate::validator::messages::{Answer, Look};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{PatientId, RecordId, ValidatorId};
use kithkin_protocol::ledger::{BatchEntry, BatchPlace, Confirmed, State};
use kithkin_protocol::record::{BatchHeader, Capsule, CheckedCapsule};
use kithkin_protocol::sharing::OPENING_CAPSULES_MAX;
use kithkin_protocol::units::{Height, Tier};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Most batches of one patient and tier that are looked at: each has a capsule at least.
pub const BATCHES_MAX: usize = OPENING_CAPSULES_MAX;
/// How long one validator may take to list batches.
const TRY: Duration = Duration::from_millis(1_500);
/// Pause before validators that lag behind are asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// The value of a state entry at a head of at least `height`. When validators do not get there within
/// `patience`, the newest that was proved: a height that one validator named may be invented.
///
/// # Errors
/// [`ClientError::NotProved`] at `deadline`.
pub async fn prove_at(
    client: &LedgerClient,
    key: Vec<u8>,
    height: Height,
    patience: Duration,
    deadline: Instant,
) -> Result<(Option<Vec<u8>>, Confirmed), ClientError> {
    let patient_until = deadline.min(Instant::now() + patience);
    loop {
        let proved = client.prove(key.clone(), deadline).await?;
        if proved.1.height >= height || Instant::now() >= patient_until {
            return Ok(proved);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Places of all batches of a patient and tier up to a height, in order, but for those that the patient has ordered to be
/// erased by the height `at`; both heights were final when somebody named them. While a case is open no such order is taken,
/// so at the case's own height or later everybody lists the same.
///
/// Of 2f+1 validators that have reached `at`, at least f+1 are honest and list every batch; at most f list
/// one that is not there. So what f+1 of them list is complete, and can be proved one by one ([`prove_batch`]).
///
/// # Errors
/// [`ClientError::Silent`] when too few validators have reached the heights at `deadline`.
pub async fn batch_places(
    client: &LedgerClient,
    port: &Port,
    (patient, tier, up_to): (PatientId, Tier, Height),
    at: Height,
    deadline: Instant,
) -> Result<Vec<BatchPlace>, ClientError> {
    let all = Wanted {
        patient,
        tier,
        up_to,
        at,
        with_ordered: false,
        roots: None,
    };
    places(client, port, all, deadline).await
}

/// Places of the batches of uploads with these manifest roots, none for all, also of those that are ordered to be erased.
///
/// # Errors
/// As [`batch_places`].
pub async fn every_batch_place(
    client: &LedgerClient,
    port: &Port,
    (patient, tier, up_to): (PatientId, Tier, Height),
    roots: Option<&BTreeSet<Digest>>,
    deadline: Instant,
) -> Result<Vec<BatchPlace>, ClientError> {
    let some = Wanted {
        patient,
        tier,
        up_to,
        at: up_to,
        with_ordered: true,
        roots,
    };
    places(client, port, some, deadline).await
}

/// As [`batch_places`], but only batches of uploads with these manifest roots: so that opening a few files of many
/// takes the proofs of a few.
///
/// # Errors
/// As [`batch_places`].
pub async fn batch_places_of(
    client: &LedgerClient,
    port: &Port,
    (patient, tier, up_to): (PatientId, Tier, Height),
    roots: &BTreeSet<Digest>,
    deadline: Instant,
) -> Result<Vec<BatchPlace>, ClientError> {
    let some = Wanted {
        patient,
        tier,
        up_to,
        at: up_to,
        with_ordered: false,
        roots: Some(roots),
    };
    places(client, port, some, deadline).await
}

/// Which batches are looked for.
#[derive(Clone, Copy)]
struct Wanted<'r> {
    patient: PatientId,
    tier: Tier,
    up_to: Height,
    /// The height that a validator must have reached.
    at: Height,
    /// Whether those that are ordered to be erased are wanted too.
    with_ordered: bool,
    /// None means all.
    roots: Option<&'r BTreeSet<Digest>>,
}

async fn places(
    client: &LedgerClient,
    port: &Port,
    wanted: Wanted<'_>,
    deadline: Instant,
) -> Result<Vec<BatchPlace>, ClientError> {
    let f = client.validators().f();
    let mut lists: BTreeMap<ValidatorId, BTreeSet<BatchPlace>> = BTreeMap::new();
    let mut last = String::from("no validator answered");
    loop {
        let mut answers: FuturesUnordered<_> = client
            .validators()
            .ids()
            .filter(|id| !lists.contains_key(id))
            .map(|id| async move { (id, list(port, id, wanted, deadline).await) })
            .collect();
        while let Some((id, answer)) = answers.next().await {
            match answer {
                Ok(places) => _ = lists.insert(id, places),
                Err(reason) => last = reason,
            }
            if lists.len() > 2 * f {
                return Ok(agreed(&lists, f + 1));
            }
        }
        drop(answers);
        if Instant::now() + PAUSE >= deadline {
            return Err(ClientError::Silent { last });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What one validator lists, provided that it has reached the height.
async fn list(
    port: &Port,
    id: ValidatorId,
    wanted: Wanted<'_>,
    deadline: Instant,
) -> Result<BTreeSet<BatchPlace>, String> {
    let Wanted {
        patient,
        tier,
        up_to,
        at,
        with_ordered,
        roots,
    } = wanted;
    let at = at.max(up_to);
    let ask = |look| {
        let left = deadline.saturating_duration_since(Instant::now());
        port.ask::<Validator, Look>(ActorName::Validator(id.0), look, TRY.min(left))
    };
    match ask(Look::Head).await {
        Ok(Ok(Answer::Head(height, _))) if height >= at => {}
        Ok(Ok(_)) => return Err(format!("{id} has not reached height {at}")),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(error) => return Err(error.to_string()),
    }
    match ask(Look::Batches(patient, tier, up_to)).await {
        Ok(Ok(Answer::Batches(batches))) => Ok(batches
            .into_iter()
            .filter(|((height, _), entry)| {
                let asked = roots.is_none_or(|roots| roots.contains(&entry.header.manifest_root));
                asked && *height <= up_to && (with_ordered || entry.ordered_ms.is_none())
            })
            .take(BATCHES_MAX)
            .map(|((height, index), _)| (patient, tier, height, index))
            .collect()),
        Ok(Ok(_)) => Err(format!("{id} answered something else")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn agreed(lists: &BTreeMap<ValidatorId, BTreeSet<BatchPlace>>, needed: usize) -> Vec<BatchPlace> {
    let mut counts: BTreeMap<BatchPlace, usize> = BTreeMap::new();
    for place in lists.values().flatten() {
        *counts.entry(*place).or_default() += 1;
    }
    let enough = counts.into_iter().filter(|(_, count)| *count >= needed);
    enough.map(|(place, _)| place).take(BATCHES_MAX).collect()
}

/// The batch at a place, proved. None when there is none.
///
/// # Errors
/// [`ClientError::NotProved`] at `deadline`.
pub async fn prove_batch(
    client: &LedgerClient,
    place: BatchPlace,
    deadline: Instant,
) -> Result<Option<BatchEntry>, ClientError> {
    prove_batch_at(client, place, place.2, deadline).await
}

/// As [`prove_batch`], at a head of at least `height` if validators get there.
///
/// # Errors
/// [`ClientError::NotProved`] at `deadline`.
pub async fn prove_batch_at(
    client: &LedgerClient,
    place: BatchPlace,
    height: Height,
    deadline: Instant,
) -> Result<Option<BatchEntry>, ClientError> {
    let key = State::batch_key(place);
    let (value, head) = prove_at(client, key, height, TRY, deadline).await?;
    value
        .map(|value| State::decode_value(&value))
        .transpose()
        .map_err(|error| ClientError::NotProved {
            needed: client.validators().f() + 1,
            last: format!("at height {}: {error}", head.height),
        })
}

/// Whether `upload` is the one that `header` stands for, with the capsules that its manifest names.
#[must_use]
pub fn belongs(header: &BatchHeader, upload: &Upload) -> bool {
    let of_header = (
        header.chain,
        header.patient,
        header.tier,
        header.author,
        header.epoch,
    );
    let of_upload = (
        upload.chain,
        upload.patient,
        upload.tier,
        upload.author,
        upload.epoch,
    );
    let named = upload.manifest.entries().iter().map(|entry| entry.capsule);
    of_header == of_upload
        && header.covers(&upload.manifest)
        && named.eq(upload.capsules.iter().map(Capsule::digest))
}

/// Of the capsules of one upload those in scope: all when `only` is empty.
#[must_use]
pub fn in_scope(
    mut capsules: Vec<CheckedCapsule>,
    only: &BTreeSet<RecordId>,
) -> Vec<CheckedCapsule> {
    if !only.is_empty() {
        capsules.retain(|capsule| only.contains(&capsule.entry().record));
    }
    capsules
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place that fewer than f+1 name is invented; one that f+1 name was seen by an honest validator.
    #[test]
    fn what_enough_validators_list_counts() {
        let place = |n: u64| (PatientId([1; 32]), Tier::Chart, Height(n), 0);
        let lists = BTreeMap::from([
            (ValidatorId(0), BTreeSet::from([place(1), place(5)])),
            (ValidatorId(1), BTreeSet::from([place(1), place(9)])),
            (ValidatorId(2), BTreeSet::from([place(5), place(1)])),
        ]);
        assert_eq!(agreed(&lists, 2), vec![place(1), place(5)]);
        assert_eq!(agreed(&lists, 3), vec![place(1)]);
    }
}
