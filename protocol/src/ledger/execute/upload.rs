//! Uploads: what puts a batch of records on chain, and what the kin have signed for it.

use super::Run;
use crate::crypto::Digest;
use crate::ids::{AccountId, BatchId, PatientId, TxId};
use crate::ledger::enrolment::Enrolment;
use crate::ledger::event::{Rejection, What};
use crate::ledger::state::{BatchEntry, State};
use crate::record::{
    BatchHeader, BatchStatus, Receipt, ReceiptBody, ReceiptError, ReceiptLine, receipts_root,
};
use crate::sharing::Threshold;
use crate::units::Tier;

impl State {
    pub(super) fn put_batch(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        header: &BatchHeader,
        receipts: &[ReceiptLine],
    ) -> Result<(), Rejection> {
        let author = self.require_hospital(signer)?;
        let patient = self
            .patients
            .get(&header.patient)
            .ok_or(Rejection::UnknownPatient {
                patient: header.patient,
            })?;
        let kin = patient.enrolment.roster.len();
        let wrong = [
            ("chain", header.chain != self.meta().chain),
            ("author", header.author != author),
            ("epoch", header.epoch != patient.epoch),
            ("identifier", self.batch_places.contains(&header.id())),
        ];
        if let Some((field, _)) = wrong.into_iter().find(|(_, wrong)| *wrong) {
            return Err(Rejection::Batch { field });
        }
        // It would be sealed to a key that is about to go, and have no capsule under the other one.
        let handover = self.handovers.get(&header.patient);
        if handover.is_some_and(|handover| handover.plan.replaces_keys()) {
            let patient = header.patient;
            return Err(Rejection::KeysInExchange { patient });
        }
        // The roster had its size checked when it was enrolled.
        let roster = Threshold::majority(kin).map_err(|_| Rejection::Batch { field: "roster" })?;
        header.check(roster)?;
        if check_receipts(header, &patient.enrolment, receipts)? != header.receipts_root
            || receipts.len() != usize::from(header.receipts)
        {
            return Err(Rejection::Batch { field: "receipts" });
        }
        let (id, tier) = (header.id(), header.tier);
        let place = (header.patient, tier, run.height, cause.1);
        let stored = header.status == BatchStatus::Stored;
        self.batch_places.put(id, place);
        let header = *header;
        let entry = BatchEntry {
            id,
            header,
            ordered_ms: None,
        };
        self.batches.put(place, entry);
        run.batch(cause, header.patient, tier, id, stored);
        Ok(())
    }

    pub(super) fn restock(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        batch: BatchId,
        receipts: &[ReceiptLine],
    ) -> Result<(), Rejection> {
        let author = self.require_hospital(signer)?;
        let place = *self
            .batch_places
            .get(&batch)
            .ok_or(Rejection::UnknownBatch { batch })?;
        let mut entry = self
            .batches
            .get(&place)
            .cloned()
            .ok_or(Rejection::UnknownBatch { batch })?;
        let patient = self
            .patients
            .get(&place.0)
            .ok_or(Rejection::UnknownPatient { patient: place.0 })?;
        let kin = patient.enrolment.roster.len();
        let wrong = [
            ("author", entry.header.author != author),
            ("epoch", entry.header.epoch < patient.roster_since),
            ("status", entry.header.status == BatchStatus::Stored),
            ("order (it is to be erased)", entry.ordered_ms.is_some()),
            ("receipt count", receipts.len() != kin),
        ];
        if let Some((field, _)) = wrong.into_iter().find(|(_, wrong)| *wrong) {
            return Err(Rejection::Batch { field });
        }
        entry.header.status = BatchStatus::Stored;
        entry.header.receipts_root = check_receipts(&entry.header, &patient.enrolment, receipts)?;
        entry.header.receipts = u8::try_from(kin).unwrap_or(u8::MAX);
        self.batches.put(place, entry);
        run.batch(cause, place.0, place.1, batch, true);
        Ok(())
    }
}

/// Why a batch is not to be erased now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No such batch.
    #[error("batch {batch} is not on chain")]
    Unknown {
        /// The batch.
        batch: BatchId,
    },
    /// Only the patient's own device orders it.
    #[error("only the patient may have batch {batch} erased")]
    NotPatient {
        /// The batch.
        batch: BatchId,
    },
    /// The order stands already.
    #[error("batch {batch} is to be erased already")]
    Twice {
        /// The batch.
        batch: BatchId,
    },
    /// Kin and hospital must agree on what an open case reaches.
    #[error("a case is open; stop it, or wait until it is over")]
    CaseOpen,
    /// New capsules were made of all batches that stood when the exchange of keys was proposed.
    #[error("the patient's keys are being exchanged; wait until that is over")]
    KeysInExchange,
}

impl State {
    /// The patient orders a batch to be erased by whoever holds anything of it.
    pub(super) fn order_erasure(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        batch: BatchId,
    ) -> Result<(), OrderError> {
        let unknown = OrderError::Unknown { batch };
        let place = *self.batch_places.get(&batch).ok_or(unknown)?;
        let mut entry = self.batches.get(&place).cloned().ok_or(unknown)?;
        let mut patient = self.patients.get(&place.0).cloned().ok_or(unknown)?;
        if patient.device != signer {
            return Err(OrderError::NotPatient { batch });
        }
        if entry.ordered_ms.is_some() {
            return Err(OrderError::Twice { batch });
        }
        if patient.live_cases > 0 {
            return Err(OrderError::CaseOpen);
        }
        let handover = self.handovers.get(&place.0);
        if handover.is_some_and(|handover| handover.plan.replaces_keys()) {
            return Err(OrderError::KeysInExchange);
        }
        entry.ordered_ms = Some(run.now);
        let author = entry.header.author;
        self.batches.put(place, entry);
        // Places of a drill that is under way were drawn with this batch among them: it is drawn anew.
        if patient.drill.round.take().is_some() {
            patient.drill.due_ms = patient.drill.due_ms.min(run.now);
            let handover = self.handovers.get(&place.0).cloned();
            self.put_roster(place.0, patient, handover);
        }
        let what = What::Erase {
            patient: place.0,
            author,
            batch,
            place,
        };
        run.emit(Some(cause), what);
        Ok(())
    }
}

/// Checks that each receipt was signed by the kin of its index for exactly this upload, and returns their root. An
/// honest kin has checked every capsule and shard before it signs, so a majority of receipts also shows that the
/// upload can be opened: nobody can put one on chain that would stand in the way of the others.
fn check_receipts(
    header: &BatchHeader,
    enrolment: &Enrolment,
    lines: &[ReceiptLine],
) -> Result<Digest, Rejection> {
    if lines.len() > enrolment.roster.len() {
        let found = lines.len();
        return Err(ReceiptError::TooMany { found }.into());
    }
    let mut receipts = Vec::with_capacity(lines.len());
    for line in lines {
        let member = enrolment.roster.get(line.index.position());
        let member = member.ok_or(Rejection::Batch {
            field: "share index of a receipt",
        })?;
        let receipt = Receipt {
            body: ReceiptBody {
                chain: header.chain,
                kin: member.id(),
                index: line.index,
                patient: header.patient,
                tier: header.tier,
                epoch: header.epoch,
                manifest_root: header.manifest_root,
                held: line.held,
            },
            signature: line.signature,
        };
        receipt.verify(&member.key)?;
        receipts.push(receipt);
    }
    Ok(receipts_root(&receipts)?)
}

impl Run {
    fn batch(
        &mut self,
        cause: (TxId, u32),
        patient: PatientId,
        tier: Tier,
        batch: BatchId,
        stored: bool,
    ) {
        let what = What::Batch {
            patient,
            tier,
            batch,
            stored,
        };
        self.emit(Some(cause), what);
    }
}
