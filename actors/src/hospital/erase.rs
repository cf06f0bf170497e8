//! Erasing the own copies of an upload by the patient's order, and signing for it.

use crate::hospital::desk::{Desk, PROVED_WITHIN, ledger, off_thread};
use crate::hospital::messages::{EraseCopies, HospitalError};
use crate::hospital::repair;
use crate::ports::names::ActorName;
use crate::scope::prove_batch_at;
use kithkin_protocol::ledger::{BatchPlace, Event, What};
use kithkin_protocol::record::{CopiesErased, CopiesErasedBody};
use kithkin_protocol::units::Height;
use std::sync::Arc;
use std::time::Instant;

/// The patient asks for it.
pub(super) async fn on_message(
    desk: &Arc<Desk>,
    from: ActorName,
    message: EraseCopies,
) -> Result<CopiesErased, HospitalError> {
    let EraseCopies { place, ordered } = message;
    let deadline = Instant::now() + PROVED_WITHIN;
    let (patient, _) = desk.prove_patient(place.0, deadline).await?;
    if desk.setting.directory.account(from) != Some(patient.device) {
        return Err(HospitalError::Forbidden {
            reason: format!("{from} does not speak for the patient whose records these are"),
        });
    }
    erase(desk, place, ordered).await
}

/// Orders about this hospital's own uploads that a block told of: each with its place, and the block's height.
pub(super) fn orders(desk: &Desk, events: &[Event]) -> Vec<(BatchPlace, Height)> {
    let mine = events.iter().filter_map(|event| {
        let What::Erase { author, place, .. } = &event.what else {
            return None;
        };
        (*author == desk.me).then_some((*place, event.height))
    });
    mine.collect()
}

/// Erases what is kept of the batch at a place, if the ledger has the patient's order. The key goes first; what is signed for
/// is durable before the receipt leaves.
pub(super) async fn erase(
    desk: &Arc<Desk>,
    place: BatchPlace,
    ordered: Height,
) -> Result<CopiesErased, HospitalError> {
    let deadline = Instant::now() + PROVED_WITHIN;
    let entry = prove_batch_at(&desk.client, place, ordered, deadline).await;
    let entry = entry
        .map_err(ledger)?
        .filter(|entry| entry.ordered_ms.is_some());
    let entry = entry.ok_or_else(|| HospitalError::Forbidden {
        reason: "the ledger has no order to erase this batch".to_owned(),
    })?;
    let _turn = desk.erasing.lock().await;
    let (header, root) = (entry.header, entry.header.manifest_root);
    if let Some(receipt) = desk.books.erased(root)? {
        return Ok(receipt);
    }
    let _active = desk.work_on(root);
    let records = match desk.archive.upload(root).await? {
        Some(upload) => u32::try_from(upload.capsules.len()).unwrap_or(u32::MAX),
        None => 0,
    };
    let archive = desk.archive.clone();
    off_thread(move || archive.shred_blocking(header.patient, root)).await??;
    repair::forget(desk, root).await?;
    let receipt = CopiesErasedBody {
        chain: header.chain,
        hospital: desk.me,
        patient: header.patient,
        tier: header.tier,
        batch: entry.id,
        manifest_root: root,
        records,
        at: desk.client.now(),
    }
    .sign(&desk.identity.signing);
    desk.books.put_erased(root, &receipt).await?;
    tracing::info!(hospital = %desk.me, patient = %header.patient, tier = %header.tier, %root, "erased by the patient's order");
    Ok(receipt)
}
