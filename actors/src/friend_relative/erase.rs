//! Erasing an upload by the patient's order, and signing for it.
//!
//! The order stands on chain and is proved first. Then, each step durable before the next: what will be signed for is noted, the
//! upload's key is destroyed, its pieces are removed, and the receipts are signed. A crash in between goes on where it was.

use super::desk::{Desk, PROVE_WITHIN, lock};
use super::messages::{EraseBatch, KinError};
use super::storage::{Erased, Put as _};
use crate::ports::names::ActorName;
use crate::ports::store::Batch;
use crate::scope::prove_batch_at;
use kithkin_protocol::ledger::{BatchEntry, BatchPlace};
use kithkin_protocol::record::{self, BatchHeader, Erasure, ErasureBody, held_digest};
use kithkin_protocol::sharing::Threshold;
use kithkin_protocol::units::{Epoch, Height, ShareIndex};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the ledger says that this kin should hold of a batch.
struct Duty {
    /// How its records were cut; none when nobody holds anything.
    shape: Option<Threshold>,
    slots: BTreeSet<ShareIndex>,
    epoch: Epoch,
}

/// The patient asks for it.
pub(super) async fn on_message(
    desk: Arc<Desk>,
    from: ActorName,
    message: EraseBatch,
) -> Result<Vec<Erasure>, KinError> {
    let EraseBatch { place, ordered } = message;
    let device = desk.setting.directory.account(from);
    let speaks = match device {
        Some(device) => desk.speaks_for(device, place.0).await?,
        None => false,
    };
    if !speaks {
        return Err(KinError::Forbidden {
            reason: format!("{from} does not speak for the patient whose records these are"),
        });
    }
    erase(&desk, place, ordered).await
}

/// Erases the batch at a place, if the ledger has the patient's order, and signs for each slot.
pub(super) async fn erase(
    desk: &Arc<Desk>,
    place: BatchPlace,
    ordered: Height,
) -> Result<Vec<Erasure>, KinError> {
    let deadline = Instant::now() + PROVE_WITHIN;
    let entry = prove_batch_at(&desk.client, place, ordered, deadline).await?;
    let entry = entry.filter(|entry| entry.ordered_ms.is_some());
    let entry = entry.ok_or(KinError::NotOrdered {
        height: place.2,
        index: place.3,
    })?;
    let patient = desk.enrolled(place.0, Duration::ZERO).await?;
    let patient = patient.ok_or(KinError::NotMyPatient { patient: place.0 })?;
    let era = patient.era_of(entry.header.epoch);
    let duty = Duty {
        shape: era.map(|era| era.shape),
        slots: era
            .into_iter()
            .flat_map(|era| era.slots_of(desk.me))
            .collect(),
        epoch: patient.epoch,
    };
    desk.heavy(move |desk| erase_now(desk, place, &entry, &duty))
        .await
}

fn erase_now(
    desk: &Desk,
    place: BatchPlace,
    entry: &BatchEntry,
    duty: &Duty,
) -> Result<Vec<Erasure>, KinError> {
    let _turn = lock(&desk.erasing);
    let header = &entry.header;
    let root = header.manifest_root;
    let noted = match desk.store.erased(&root)? {
        Some(Erased {
            receipts: Some(receipts),
            ..
        }) => return Ok(receipts),
        Some(noted) => noted,
        None => {
            let noted = inspect(desk, header, duty)?;
            let mut write = Batch::default();
            write.erased(&root, &noted);
            desk.store.write_blocking(write)?;
            noted
        }
    };
    desk.forget_upload(header.patient, root, Some(place))?;
    let at = desk.client.now();
    let receipts: Vec<Erasure> = noted
        .slots
        .iter()
        .map(|(slot, held)| {
            let body = ErasureBody {
                chain: header.chain,
                kin: desk.me,
                slot: *slot,
                patient: header.patient,
                tier: header.tier,
                epoch: duty.epoch,
                batch: entry.id,
                erased: record::Erased::Batch,
                held: *held,
                at,
            };
            body.sign(&desk.identity.signing)
        })
        .collect();
    let done = Erased {
        receipts: Some(receipts.clone()),
        ..noted
    };
    let mut write = Batch::default();
    write.erased(&root, &done);
    desk.store.write_blocking(write)?;
    tracing::info!(kin = %desk.me, patient = %header.patient, tier = %header.tier, %root, "erased by the patient's order");
    Ok(receipts)
}

/// What is here of the batch, slot by slot; also for slots that are empty here, so that the patient has an answer for each.
fn inspect(desk: &Desk, header: &BatchHeader, duty: &Duty) -> Result<Erased, KinError> {
    let root = header.manifest_root;
    let upload = desk.store.upload(&root)?;
    let kept = desk.store.kept(&root)?;
    let mut slots = duty.slots.clone();
    slots.extend(kept.into_iter().flat_map(|kept| kept.slots));
    let mut noted = Erased {
        slots: Vec::new(),
        receipts: None,
    };
    for slot in slots {
        let mut leaves = Vec::new();
        if let (Some(upload), Some(shape)) = (&upload, duty.shape) {
            for entry in upload.manifest.entries() {
                if let Some(shard) = desk.store.shard(&root, &entry.record, slot)? {
                    leaves.push(shard.leaf(entry, shape));
                }
            }
        }
        noted.slots.push((slot, held_digest(leaves)));
    }
    Ok(noted)
}
