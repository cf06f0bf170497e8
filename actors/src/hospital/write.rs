//! Writing a file: seal, keep, spread, anchor.
//!
//! Nothing goes on chain before the own copies are durable and more than half of
//! the kin have signed for their shards of every part of the file.

use crate::clients::ClientError;
use crate::hospital::books::{Holding, Stage};
use crate::hospital::desk::{Active, Desk, FINAL_WITHIN, PROVED_WITHIN, ledger, off_thread};
use crate::hospital::messages::{HospitalError, Unsigned, WriteRecord, Written, WrittenBatch};
use crate::hospital::repair;
use crate::hospital::sealing::{Draft, Sealer, plan};
use crate::hospital::spread::{Spread, indices};
use crate::upload::shard_threshold;
use crate::validator::messages::Finalized;
use futures_util::future::join_all;
use kithkin_protocol::ledger::{Enrolment, TxBody};
use kithkin_protocol::record::{BatchHeader, BatchStatus, Receipt, ReceiptLine, receipts_root};
use kithkin_protocol::sharing::majority;
use kithkin_protocol::units::{Height, Millis};
use kithkin_protocol::wire;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long a transaction is waited for before the ledger is asked whether the hospital is still accredited. Few take longer.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Longest time that a write waits for kin that do not answer.
const PATIENCE_MS_MAX: Millis = Millis(600_000);

/// An upload that is kept here, with what the kin signed for.
struct Kept {
    draft: Draft,
    receipts: Vec<Receipt>,
    unsigned: Vec<Unsigned>,
    _active: Active,
}

pub(super) async fn write(desk: &Arc<Desk>, asked: WriteRecord) -> Result<Written, HospitalError> {
    let _room = desk.room_for(asked.bundle.len()).await;
    let now = desk.client.now();
    let bundle = Arc::clone(&asked.bundle);
    let deadline = Instant::now() + PROVED_WITHIN;
    let (plain, accredited, patient) = tokio::join!(
        off_thread(move || plan(&bundle, now)),
        desk.prove_accreditation(deadline),
        desk.prove_patient(asked.patient, deadline),
    );
    let (plain, (), (enrolled, head)) = (plain??, accredited?, patient?);
    let enrolment = Arc::new(enrolled.enrolment);
    let threshold = shard_threshold(&enrolment).ok_or_else(|| HospitalError::Ledger {
        reason: "the patient's roster has a size that nothing can be cut for".to_owned(),
    })?;
    let sealer = Sealer {
        chain: desk.client.chain(),
        patient: asked.patient,
        author: desk.me,
        epoch: enrolled.epoch,
        enrolment: Arc::clone(&enrolment),
        threshold,
    };
    let drafts = off_thread(move || {
        let drafts = plain.iter().map(|plain| sealer.seal(plain));
        drafts.collect::<Result<Vec<_>, _>>()
    })
    .await??;

    let patience = Duration::from_millis(asked.patience_ms.min(PATIENCE_MS_MAX).0);
    let deadline = Instant::now() + patience;
    let keeping = drafts
        .into_iter()
        .flatten()
        .map(|draft| keep(desk, draft, &enrolment, deadline));
    let kept = join_all(keeping).await;
    let kept = all_or_nothing(desk, kept, enrolment.roster.len()).await?;
    let placing = kept
        .into_iter()
        .map(|kept| place(desk, kept, &enrolment, head.height));
    let batches = join_all(placing).await;
    Ok(Written {
        batches: batches.into_iter().collect::<Result<_, _>>()?,
        bytes: asked.bundle.len(),
    })
}

/// Keeps the own copies and collects receipts, both at once.
async fn keep(
    desk: &Arc<Desk>,
    draft: Draft,
    enrolment: &Arc<Enrolment>,
    deadline: Instant,
) -> Result<Kept, HospitalError> {
    let active = desk.work_on(draft.root);
    let spread = Spread {
        root: draft.root,
        upload: Arc::clone(&draft.upload),
        pieces: Arc::clone(&draft.pieces),
        enrolment: Arc::clone(enrolment),
    };
    let sealed = Holding {
        stage: Stage::Sealed,
        header: None,
        receipts: Vec::new(),
    };
    let own_copies = async {
        desk.books.put_holding(draft.root, &sealed).await?;
        let (upload, ciphertexts) = (Arc::clone(&draft.upload), Arc::clone(&draft.ciphertexts));
        desk.archive.put(upload, ciphertexts).await
    };
    let spreading = spread.to(desk, indices(enrolment), deadline);
    let (kept, (receipts, unsigned)) = tokio::join!(own_copies, spreading);
    kept?;
    Ok(Kept {
        draft,
        receipts,
        unsigned,
        _active: active,
    })
}

/// A file stands on chain whole or not at all: too few receipts for one upload stop all of them.
async fn all_or_nothing(
    desk: &Desk,
    kept: Vec<Result<Kept, HospitalError>>,
    kin: usize,
) -> Result<Vec<Kept>, HospitalError> {
    let needed = majority(kin);
    let kept = kept.into_iter().collect::<Result<Vec<_>, _>>()?;
    let worst = kept.iter().min_by_key(|kept| kept.receipts.len());
    let worst = worst.map(|kept| (kept.receipts.len(), kept.unsigned.clone()));
    match worst {
        Some((receipts, unsigned)) if receipts < needed => {
            for kept in kept {
                repair::forget(desk, kept.draft.root).await?;
            }
            Err(HospitalError::TooFewReceipts {
                receipts,
                needed,
                kin,
                unsigned,
            })
        }
        Some(_) | None => Ok(kept),
    }
}

/// Puts one upload on chain.
async fn place(
    desk: &Arc<Desk>,
    kept: Kept,
    enrolment: &Enrolment,
    height: Height,
) -> Result<WrittenBatch, HospitalError> {
    let Kept {
        draft,
        receipts,
        unsigned,
        _active,
    } = kept;
    let header = header(&draft, &receipts, enrolment)?;
    let mut holding = Holding {
        stage: Stage::Submitted(desk.client.now(), height),
        header: Some(header),
        receipts,
    };
    desk.books.put_holding(draft.root, &holding).await?;
    let body = TxBody::Batch {
        header: Box::new(header),
        receipts: lines(&holding.receipts),
    };
    // After a failure it may stand all the same, or come to stand: the repairs find out.
    let finalized = finalized(desk, body).await?;
    holding.stage = Stage::Placed(header.status);
    desk.books.put_holding(draft.root, &holding).await?;
    let transaction = &finalized.proof.transaction;
    Ok(WrittenBatch {
        tier: header.tier,
        batch: header.id(),
        root: draft.root,
        height: finalized.proof.header.height,
        records: header.records,
        status: header.status,
        unsigned,
        transaction: transaction.id(),
        on_chain_bytes: wire::encode(transaction).len(),
    })
}

/// Waits until a transaction stands, or until it is certain that it does not: the ledger has refused it, or this hospital is
/// not accredited any more, so that no block takes it.
async fn finalized(desk: &Desk, body: TxBody) -> Result<Finalized, HospitalError> {
    let deadline = Instant::now() + FINAL_WITHIN;
    let ended = async {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            if let Some(error) = accreditation_ended(desk, deadline).await {
                return error;
            }
        }
    };
    let submitted = tokio::select! {
        submitted = desk.client.submit(body, deadline) => submitted,
        error = ended => return Err(error),
    };
    match submitted {
        Ok(finalized) => Ok(finalized),
        // Perhaps in the very block that revoked the hospital.
        Err(error @ ClientError::Rejected { .. }) => {
            let ended = accreditation_ended(desk, Instant::now() + PROVED_WITHIN).await;
            Err(ended.unwrap_or_else(|| ledger(error)))
        }
        Err(error) => Err(ledger(error)),
    }
}

/// That this hospital is not accredited any more, if that can be proved.
async fn accreditation_ended(desk: &Desk, deadline: Instant) -> Option<HospitalError> {
    let proved = desk.prove_accreditation(deadline).await;
    let is_certain = |error: &HospitalError| matches!(error, HospitalError::NotAccredited { .. });
    proved.err().filter(is_certain)
}

/// Receipts as they stand on chain.
pub(super) fn lines(receipts: &[Receipt]) -> Vec<ReceiptLine> {
    let mut lines: Vec<ReceiptLine> = receipts.iter().map(ReceiptLine::from).collect();
    lines.sort_by_key(|line| line.index);
    lines
}

fn header(
    draft: &Draft,
    receipts: &[Receipt],
    enrolment: &Enrolment,
) -> Result<BatchHeader, HospitalError> {
    let kin = enrolment.roster.len();
    let upload = &draft.upload;
    let manifest = &upload.manifest;
    let root = receipts_root(receipts).map_err(|error| HospitalError::Ledger {
        reason: error.to_string(),
    })?;
    let status = BatchStatus::of(receipts.len(), kin);
    let status = status.ok_or(HospitalError::TooFewReceipts {
        receipts: receipts.len(),
        needed: majority(kin),
        kin,
        unsigned: Vec::new(),
    })?;
    Ok(BatchHeader {
        chain: upload.chain,
        patient: upload.patient,
        tier: upload.tier,
        author: upload.author,
        epoch: upload.epoch,
        manifest_root: draft.root,
        records: u32::try_from(manifest.entries().len()).unwrap_or(u32::MAX),
        bytes: manifest.bytes(),
        receipts_root: root,
        receipts: u8::try_from(receipts.len()).unwrap_or(u8::MAX),
        status,
    })
}
