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
        self.batches.put(place, BatchEntry { id, header });
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
