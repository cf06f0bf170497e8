//! Opening records with the own tier keys, without anybody's consent (opening.md section 2).

use super::collect::{Ciphertexts, fill_from_kin, from_hospital, upload_from_kin};
use super::device::{Device, lost};
use super::messages::{PatientError, ReadAll, Source};
use crate::rewrapped::{self, Asker, of_epoch};
use crate::scope::{batch_places, batch_places_of, prove_batch};
use crate::upload::{OpenedRecord, Upload};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{KinId, RecordId};
use kithkin_protocol::ledger::{self, BatchPlace, Member};
use kithkin_protocol::record::{self, BatchHeader, CheckedCapsule, Rewrapped, RewrappedBatch};
use kithkin_protocol::sharing::{TierKey, capsule_key_direct};
use kithkin_protocol::units::{Height, Tier};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the proofs of one tier may take.
const PROVE_WITHIN: Duration = Duration::from_secs(20);
/// How long one kin may take to send capsules that were made anew.
const FETCH_WITHIN: Duration = Duration::from_secs(5);
/// Proofs of batches that are asked for at a time.
const PROOFS_AT_ONCE: usize = 8;

/// Opens everything that is asked for, in the order of tiers, batches and manifests.
pub(super) async fn read_all(
    device: Arc<Device>,
    message: ReadAll,
) -> Result<Vec<OpenedRecord>, PatientError> {
    let tiers: BTreeSet<Tier> = message.tiers.iter().copied().collect();
    let mut missing: BTreeSet<Digest> = message.only.iter().copied().collect();
    let deadline = Instant::now() + PROVE_WITHIN;
    let enrolled = device.enrolled(deadline).await?;
    let (patient, height) = enrolled.ok_or_else(|| PatientError::Ledger {
        reason: "this patient is not enrolled".to_owned(),
    })?;
    let mut opened = Vec::new();
    for tier in tiers {
        let headers = headers(&device, tier, height, &message.only).await?;
        for header in headers {
            if !message.only.is_empty() && !missing.remove(&header.manifest_root) {
                continue;
            }
            let enrolment = &patient.enrolment;
            let (upload, ciphertexts) = collect(&device, &patient, &header, message.source).await?;
            let commitments = enrolment
                .tier(tier)
                .map(|shares| shares.commitments.clone());
            let commitments =
                commitments.ok_or_else(|| lost(header.manifest_root, "no such tier"))?;
            let capsules = capsules(&device, &patient, &header, &upload).await?;
            let records = device.heavy(move |device| {
                let key = device.tier_key(tier, commitments.public_key())?;
                open(&key, tier, upload.root(), &capsules, &ciphertexts)
            });
            opened.extend(records.await?);
        }
    }
    match missing.first() {
        Some(root) => Err(lost(*root, "it does not stand on chain in these tiers")),
        None => Ok(opened),
    }
}

/// Headers of the batches of a tier that are asked for, each proved, in canonical order. `only` empty means all.
pub(super) async fn headers(
    device: &Arc<Device>,
    tier: Tier,
    up_to: Height,
    only: &[Digest],
) -> Result<Vec<BatchHeader>, PatientError> {
    let deadline = Instant::now() + PROVE_WITHIN;
    let (client, port) = (&device.client, &device.port);
    let places = if only.is_empty() {
        batch_places(client, port, (device.me, tier, up_to), up_to, deadline).await?
    } else {
        let roots = only.iter().copied().collect();
        batch_places_of(client, port, (device.me, tier, up_to), &roots, deadline).await?
    };
    stream::iter(places)
        .map(|place| header(device, place, deadline))
        .buffered(PROOFS_AT_ONCE)
        .try_collect()
        .await
}

async fn header(
    device: &Device,
    place: BatchPlace,
    deadline: Instant,
) -> Result<BatchHeader, PatientError> {
    let entry = prove_batch(&device.client, place, deadline).await?;
    let entry = entry.ok_or_else(|| PatientError::Ledger {
        reason: format!(
            "the batch at height {}, place {}, is not proved",
            place.2, place.3
        ),
    })?;
    Ok(entry.header)
}

async fn collect(
    device: &Arc<Device>,
    entry: &ledger::Patient,
    header: &BatchHeader,
    source: Source,
) -> Result<(Arc<Upload>, Ciphertexts), PatientError> {
    let sent = match source {
        Source::Hospital => from_hospital(device, header).await,
        Source::Kin => None,
    };
    let (upload, mut ciphertexts) = match sent {
        Some(sent) => sent,
        None => {
            let upload = upload_from_kin(device, &entry.enrolment, header).await?;
            (upload, Ciphertexts::new())
        }
    };
    let era = entry.era_of(header.epoch);
    let era = era.ok_or_else(|| {
        lost(
            header.manifest_root,
            "the ledger does not say how it was cut",
        )
    })?;
    fill_from_kin(device, era, &upload, &mut ciphertexts).await?;
    Ok((upload, ciphertexts))
}

/// The capsules that count for an upload, checked: its own, or those that a new device has made.
pub(super) async fn capsules(
    device: &Arc<Device>,
    entry: &ledger::Patient,
    header: &BatchHeader,
    upload: &Arc<Upload>,
) -> Result<Vec<CheckedCapsule>, PatientError> {
    let root = header.manifest_root;
    let anew = match of_epoch(entry.rewrapped, header.epoch) {
        Some(anew) => Some(from_kin(device, entry, anew, root).await?),
        None => None,
    };
    let shares = entry.enrolment.tier(header.tier);
    let commitments = shares.map(|shares| shares.commitments.clone());
    let commitments = commitments.ok_or_else(|| lost(root, "no such tier"))?;
    let upload = upload.clone();
    let check = device.heavy(move |_| {
        let checked = rewrapped::check(&upload, anew.as_deref(), &commitments);
        checked.map_err(|error| lost(root, error))
    });
    check.await
}

async fn from_kin(
    device: &Device,
    entry: &ledger::Patient,
    anew: Rewrapped,
    root: Digest,
) -> Result<Arc<RewrappedBatch>, PatientError> {
    let asker = Asker {
        port: &device.port,
        directory: &device.setting.directory,
        ground: None,
        within: FETCH_WITHIN,
    };
    let kin = entry.enrolment.roster.iter().map(Member::id);
    let kin: Vec<KinId> = kin.collect();
    let fetched = rewrapped::fetch(asker, kin, anew, root).await;
    fetched.map_err(|error| lost(root, error))
}

/// Capsules that this device, or one before it, has made and that are with the kin of the first circle only: for those who are to
/// come into the second.
pub(super) async fn new_capsules(
    device: &Device,
    under: Digest,
    root: Digest,
) -> Result<Arc<RewrappedBatch>, PatientError> {
    let none = || lost(root, "no capsules of it are kept here");
    let enrolled = device.enrolled(Instant::now() + FETCH_WITHIN).await?;
    let (entry, _) = enrolled.ok_or_else(none)?;
    let anew = entry.rewrapped.filter(|anew| anew.rewrap.root == under);
    from_kin(device, &entry, anew.ok_or_else(none)?, root).await
}

fn open(
    key: &TierKey,
    tier: Tier,
    root: Digest,
    capsules: &[CheckedCapsule],
    ciphertexts: &Ciphertexts,
) -> Result<Vec<OpenedRecord>, PatientError> {
    let failed = |record: RecordId, reason: &dyn core::fmt::Display| PatientError::Record {
        record,
        reason: reason.to_string(),
    };
    let mut records = Vec::with_capacity(capsules.len());
    for capsule in capsules {
        let record = capsule.entry().record;
        let ciphertext = ciphertexts.get(&record);
        let ciphertext = ciphertext.ok_or_else(|| failed(record, &"its ciphertext is missing"))?;
        let capsule_key =
            capsule_key_direct(key, capsule).map_err(|error| failed(record, &error))?;
        let bytes = record::open(&capsule_key, capsule, ciphertext)
            .map_err(|error| failed(record, &error))?;
        records.push(OpenedRecord {
            tier,
            record,
            root,
            bytes,
        });
    }
    Ok(records)
}
