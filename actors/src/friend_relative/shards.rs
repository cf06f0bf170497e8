//! Keeping shards of sealed records, and handing them out.
//!
//! A receipt says: everything was checked and is durable (opening.md section 2).

use super::access::{Reach, Wanted, reach, within};
use super::desk::{Desk, PROVE_WITHIN};
use super::messages::{FetchShards, FetchUpload, KinError, StoreShards};
use super::storage::{Kept, Put as _, Ward};
use crate::ports::names::ActorName;
use crate::ports::store::Batch;
use crate::upload::{Upload, shard_threshold};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::RecordId;
use kithkin_protocol::record::{RECORDS_MAX, Receipt, ReceiptBody, Shard, held_bytes, held_digest};
use kithkin_protocol::units::{CircleKind, ShareIndex};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Most uploads of one kin.
const UPLOADS_MAX: usize = 100_000;
/// Most bytes of shards in one upload.
pub(super) const STORE_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Most bytes of shards in one answer; name fewer records to get the rest.
pub(super) const FETCH_BYTES_MAX: usize = 64 * 1024 * 1024;
/// About how many bytes of shards are written at once.
pub(super) const WRITE_BYTES: usize = 4 * 1024 * 1024;

fn refused(reason: impl core::fmt::Display) -> KinError {
    KinError::Shards {
        reason: reason.to_string(),
    }
}

/// Checks, stores, and signs a receipt when all is durable.
pub(super) async fn store(
    desk: Arc<Desk>,
    from: ActorName,
    message: StoreShards,
) -> Result<Receipt, KinError> {
    let upload = &message.upload;
    if desk.setting.directory.hospital(from) != Some(upload.author) {
        return Err(KinError::Forbidden {
            reason: format!("{from} is not the author of this upload"),
        });
    }
    let ward = desk.ward(upload.patient);
    ward.ok_or(KinError::NotMyPatient {
        patient: upload.patient,
    })?;
    let ward = desk.active_ward(upload.patient).await?;
    if ward.circle != CircleKind::First {
        return Err(refused("the second circle keeps no shards"));
    }
    // Shares may have been refreshed since it was cut; the roster must be the same.
    let fits = (ward.since..=ward.epoch).contains(&upload.epoch);
    if upload.chain != desk.client.chain() || !fits {
        return Err(refused("the upload is for another ledger or roster epoch"));
    }
    desk.heavy(move |desk| keep(desk, &ward, &message)).await
}

fn keep(desk: &Desk, ward: &Ward, message: &StoreShards) -> Result<Receipt, KinError> {
    let upload = &*message.upload;
    let root = upload.root();
    if let Some(kept) = desk.store.kept(&root)? {
        // A manifest root does not say whose records they are.
        if (kept.patient, kept.tier, kept.author, kept.epoch)
            != (upload.patient, upload.tier, upload.author, upload.epoch)
        {
            return Err(refused("another upload has the same manifest"));
        }
        if kept.damaged {
            return repair(desk, ward, message, root, kept);
        }
        return Ok(receipt(desk, ward, upload, root, kept.held));
    }
    if desk.upload_count() >= UPLOADS_MAX {
        return Err(KinError::TooMuch {
            what: "uploads kept",
            limit: UPLOADS_MAX,
        });
    }
    if desk.store.erased(&root)?.is_some() {
        return Err(KinError::Erased { root });
    }
    let shape = shard_threshold(&ward.enrolment).ok_or_else(|| refused("no usable roster"))?;
    let slot_bytes = held_bytes(&upload.manifest, shape, 1).map_err(refused)?;
    let held = check(ward, message)?;
    desk.reserve(upload.patient, slot_bytes)?;
    let written = write(desk, ward, message, (root, held), slot_bytes);
    if written.is_err() {
        desk.note_room(upload.patient, slot_bytes, 0);
    }
    written
}

/// Something of the upload was lost here: nothing is signed for that is not on this disk again, checked.
fn repair(
    desk: &Desk,
    ward: &Ward,
    message: &StoreShards,
    root: Digest,
    kept: Kept,
) -> Result<Receipt, KinError> {
    // Other slots that have become this kin's duty come from their holders.
    if kept.slots != [ward.index] {
        return Err(refused(
            "pieces of it are lost here and are being made anew",
        ));
    }
    let held = check(ward, message)?;
    let batch = shards(desk, root, message)?;
    let kept = Kept {
        damaged: false,
        held,
        ..kept
    };
    desk.keep(root, &message.upload, &kept, batch)?;
    Ok(receipt(desk, ward, &message.upload, root, held))
}

/// Writes shards that have been checked; the last ones are in the batch that comes back, to be written with the mark.
fn shards(desk: &Desk, root: Digest, message: &StoreShards) -> Result<Batch, KinError> {
    let mut batch = Batch::default();
    let entries = message.upload.manifest.entries().iter();
    for (entry, shard) in entries.zip(&message.shards) {
        batch.shard(&root, &entry.record, shard);
        if batch.len_bytes() >= WRITE_BYTES {
            desk.store.write_blocking(std::mem::take(&mut batch))?;
        }
    }
    Ok(batch)
}

/// Writes what has been checked, and signs.
fn write(
    desk: &Desk,
    ward: &Ward,
    message: &StoreShards,
    (root, held): (Digest, Digest),
    slot_bytes: u64,
) -> Result<Receipt, KinError> {
    let upload = &*message.upload;
    let batch = shards(desk, root, message)?;
    // The mark comes last: a crash in between leaves shards that nobody was told of.
    let kept = Kept {
        patient: upload.patient,
        tier: upload.tier,
        author: upload.author,
        epoch: upload.epoch,
        records: u32::try_from(message.shards.len()).unwrap_or(u32::MAX),
        slots: vec![ward.index],
        surplus: Vec::new(),
        moved_ms: None,
        slot_bytes,
        damaged: false,
        held,
    };
    desk.keep(root, upload, &kept, batch)?;
    desk.uploads.fetch_add(1, Ordering::Relaxed);
    Ok(receipt(desk, ward, upload, root, held))
}

/// Checks every capsule and every shard; returns what the receipt covers.
fn check(ward: &Ward, message: &StoreShards) -> Result<Digest, KinError> {
    let upload = &*message.upload;
    let entries = upload.manifest.entries();
    if entries.len() != message.shards.len() {
        return Err(refused(format!(
            "{} shards for {} records",
            message.shards.len(),
            entries.len()
        )));
    }
    let bytes: usize = message.shards.iter().map(|shard| shard.bytes.len()).sum();
    if bytes > STORE_BYTES_MAX {
        return Err(KinError::TooMuch {
            what: "bytes of shards in one upload",
            limit: STORE_BYTES_MAX,
        });
    }
    let threshold = shard_threshold(&ward.enrolment).ok_or_else(|| refused("no usable roster"))?;
    // The cheap checks first: a shard of somebody else costs one hash, a capsule two multiplications.
    let mut leaves = Vec::with_capacity(entries.len());
    for (entry, shard) in entries.iter().zip(&message.shards) {
        if shard.index != ward.index {
            return Err(refused(format!(
                "the shard of record {} is that of share index {}, not {}",
                entry.record, shard.index, ward.index
            )));
        }
        shard
            .verify(entry, threshold)
            .map_err(|fault| refused(format!("record {}: {fault}", entry.record)))?;
        leaves.push(shard.leaf(entry, threshold));
    }
    let commitments = ward
        .commitments(upload.tier)
        .ok_or_else(|| refused("the patient has no such tier"))?;
    upload.check(commitments).map_err(refused)?;
    Ok(held_digest(leaves))
}

fn receipt(desk: &Desk, ward: &Ward, upload: &Upload, root: Digest, held: Digest) -> Receipt {
    ReceiptBody {
        chain: upload.chain,
        kin: desk.me,
        index: ward.index,
        patient: upload.patient,
        tier: upload.tier,
        epoch: upload.epoch,
        manifest_root: root,
        held,
    }
    .sign(&desk.identity.signing)
}

/// Hands out manifest and capsules of an upload.
pub(super) async fn fetch_upload(
    desk: Arc<Desk>,
    from: ActorName,
    message: FetchUpload,
) -> Result<Arc<Upload>, KinError> {
    let root = message.root;
    let kept = desk.store.kept(&root)?.ok_or(KinError::Unknown { root })?;
    let proved = reach(&desk, from, (root, &kept), message.ground, Wanted::Upload);
    in_time(proved).await?;
    desk.heavy(move |desk| {
        let upload = desk.store.upload(&root)?;
        upload.map(Arc::new).ok_or(KinError::Unknown { root })
    })
    .await
}

/// Hands out shards of an upload, in the order of the manifest.
pub(super) async fn fetch_shards(
    desk: Arc<Desk>,
    from: ActorName,
    message: FetchShards,
) -> Result<Vec<(RecordId, Shard)>, KinError> {
    if message.only.len() > RECORDS_MAX {
        return Err(KinError::TooMuch {
            what: "records in one request",
            limit: RECORDS_MAX,
        });
    }
    let root = message.root;
    let kept = desk.store.kept(&root)?.ok_or(KinError::Unknown { root })?;
    let proved = reach(&desk, from, (root, &kept), message.ground, Wanted::Shards);
    let reach = in_time(proved).await?;
    let wanted = within(&reach, &message.only)?;
    desk.heavy(move |desk| read(desk, &root, &kept.slots, &wanted))
        .await
}

fn read(
    desk: &Desk,
    root: &Digest,
    slots: &[ShareIndex],
    wanted: &Reach,
) -> Result<Vec<(RecordId, Shard)>, KinError> {
    let unknown = KinError::Unknown { root: *root };
    let upload = desk.store.upload(root)?.ok_or(unknown)?;
    let mut shards = Vec::new();
    let mut bytes = 0usize;
    for entry in upload.manifest.entries() {
        if !wanted.is_empty() && !wanted.contains(&entry.record) {
            continue;
        }
        for slot in slots {
            // One that is lost must not keep the others from who needs them.
            let Some(shard) = desk.store.shard(root, &entry.record, *slot)? else {
                continue;
            };
            bytes = bytes.saturating_add(shard.bytes.len());
            if bytes > FETCH_BYTES_MAX {
                return Err(KinError::TooMuch {
                    what: "bytes of shards in one answer",
                    limit: FETCH_BYTES_MAX,
                });
            }
            shards.push((entry.record, shard));
        }
    }
    Ok(shards)
}

/// Whoever asks waits no longer than a proof may take.
pub(super) async fn in_time<T>(
    work: impl Future<Output = Result<T, KinError>>,
) -> Result<T, KinError> {
    tokio::time::timeout(PROVE_WITHIN, work)
        .await
        .unwrap_or_else(|_| {
            Err(KinError::Ledger {
                reason: "what is to allow it could not be proved in time".to_owned(),
            })
        })
}
