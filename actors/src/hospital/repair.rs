//! Uploads that are not finished: the round in the background that finishes them.
//!
//! An upload that stands as degraded lacks receipts; its missing kin are asked
//! until all have signed, then the ledger is told (`Restock`). One whose header
//! was submitted before a crash is looked for on chain. One that was never
//! submitted was never acknowledged, and goes.

use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::FetchUpload;
use crate::hospital::books::{Holding, Stage};
use crate::hospital::desk::{Alone, Desk, FINAL_WITHIN, PROVED_WITHIN, ledger, off_thread};
use crate::hospital::messages::HospitalError;
use crate::hospital::sealing::Pieces;
use crate::hospital::spread::{Spread, indices};
use crate::hospital::write::lines;
use crate::scope;
use crate::upload::shard_threshold;
use futures_util::stream::{StreamExt as _, iter};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{KinId, PatientId};
use kithkin_protocol::ledger::{BatchEntry, Enrolment, Patient as Enrolled, TxBody};
use kithkin_protocol::record::BatchStatus;
use kithkin_protocol::units::{Height, Millis, ShareIndex};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most uploads that one round looks at; the next round goes on behind them.
const UPLOADS_PER_ROUND: usize = 64;
/// Most uploads that are repaired at a time.
const REPAIRS_AT_ONCE: usize = 4;
/// How long a kin may take to show that it is there, and then to store what it lacks.
const ALIVE_WITHIN: Duration = Duration::from_millis(500);
const STORED_WITHIN: Duration = Duration::from_secs(10);
/// How long after its submission a transaction can no longer become final, with room for clocks that differ.
const SETTLED_MS: Millis = Millis(300_000);

/// What one round finds out once.
#[derive(Default)]
struct Round {
    /// Kin that were asked whether they are there.
    alive: tokio::sync::Mutex<BTreeMap<KinId, bool>>,
    /// Patients as they were proved.
    patients: tokio::sync::Mutex<BTreeMap<PatientId, Arc<Enrolled>>>,
}

/// One round over the unfinished uploads. Does nothing while another one runs.
pub(super) async fn round(desk: &Arc<Desk>) {
    let Some(_alone) = Alone::take(&desk.repairing) else {
        return;
    };
    let found = Round::default();
    let mut after = None;
    loop {
        let roots = match desk.books.unfinished(after, UPLOADS_PER_ROUND) {
            Ok(roots) => roots,
            Err(error) => return tracing::error!(%error, "cannot read which uploads to repair"),
        };
        let Some(last) = roots.last().copied() else {
            return;
        };
        after = Some(last);
        let repairs = iter(roots)
            .filter(|root| std::future::ready(!desk.is_active(*root)))
            .map(|root| {
                let found = &found;
                async move { (root, finish(desk, root, found).await) }
            })
            .buffer_unordered(REPAIRS_AT_ONCE);
        let mut repairs = std::pin::pin!(repairs);
        while let Some((root, finished)) = repairs.next().await {
            if let Err(error) = finished {
                tracing::debug!(upload = %root, %error, "the upload stays unfinished");
            }
        }
        if desk.disk.failed() || !desk.port.is_current() {
            return;
        }
    }
}

/// Forgets an upload that is not on chain.
pub(super) async fn forget(desk: &Desk, root: Digest) -> Result<(), HospitalError> {
    desk.archive.remove(root).await?;
    desk.books.remove_holding(root).await
}

/// Does what can be done for one upload now.
async fn finish(desk: &Arc<Desk>, root: Digest, found: &Round) -> Result<(), HospitalError> {
    let _active = desk.work_on(root);
    let Some(mut holding) = desk.books.holding(root)? else {
        return desk.books.remove_holding(root).await;
    };
    let before = holding.clone();
    match holding.stage {
        Stage::Sealed => return forget(desk, root).await,
        Stage::Submitted(when, height) => match on_chain(desk, &holding, height).await? {
            Some(entry) => holding.stage = Stage::Placed(entry.header.status),
            None if desk.client.now() > when.plus(SETTLED_MS.0) => {
                return forget(desk, root).await;
            }
            None => return Ok(()),
        },
        Stage::Placed(_) => {}
    }
    let restocked = match holding.stage {
        Stage::Placed(BatchStatus::Degraded) => restock(desk, root, &mut holding, found).await,
        Stage::Placed(BatchStatus::Stored) | Stage::Sealed | Stage::Submitted(..) => Ok(()),
    };
    // What was found out on the way is kept even if the rest failed.
    if holding != before {
        desk.books.put_holding(root, &holding).await?;
    }
    restocked
}

/// The batch as it stands on chain, not below `since`, proved. None when it certainly does not at this moment.
async fn on_chain(
    desk: &Desk,
    holding: &Holding,
    since: Height,
) -> Result<Option<BatchEntry>, HospitalError> {
    let Some(header) = &holding.header else {
        return Ok(None);
    };
    let deadline = Instant::now() + PROVED_WITHIN;
    let (client, port) = (&desk.client, &desk.port);
    let (patient, tier) = (header.patient, header.tier);
    let (_, head) = desk.prove_patient(patient, deadline).await?;
    let places = scope::batch_places(
        client,
        port,
        (patient, tier, head.height),
        head.height,
        deadline,
    );
    let places = places.await;
    let places = places.map_err(ledger)?.into_iter();
    for place in places.filter(|(_, _, height, _)| *height >= since) {
        let entry = scope::prove_batch(client, place, deadline).await;
        if let Some(entry) = entry.map_err(ledger)?
            && entry.id == header.id()
        {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// Asks the kin that have not signed yet; tells the ledger when all have.
async fn restock(
    desk: &Arc<Desk>,
    root: Digest,
    holding: &mut Holding,
    found: &Round,
) -> Result<(), HospitalError> {
    let Some(header) = holding.header else {
        return Ok(());
    };
    let enrolled = found.patient(desk, header.patient).await?;
    if header.epoch < enrolled.roster_since {
        return Err(HospitalError::Ledger {
            reason: format!("upload {root} was cut for another roster"),
        });
    }
    let kin = enrolled.enrolment.roster.len();
    if holding.receipts.len() < kin {
        ask_missing(desk, root, &enrolled, holding, found).await?;
    }
    if holding.receipts.len() < kin {
        return Ok(());
    }
    desk.books.put_holding(root, holding).await?;
    let body = TxBody::Restock {
        batch: header.id(),
        receipts: lines(&holding.receipts),
    };
    let submitted = desk
        .client
        .submit(body, Instant::now() + FINAL_WITHIN)
        .await;
    if let Err(error) = submitted {
        // Refused also when an earlier try, of which nothing was heard, has done it.
        let entry = on_chain(desk, holding, Height(0)).await?;
        if entry.is_none_or(|entry| entry.header.status != BatchStatus::Stored) {
            return Err(ledger(error));
        }
    }
    tracing::info!(upload = %root, "all kin hold their shards now");
    holding.stage = Stage::Placed(BatchStatus::Stored);
    Ok(())
}

/// Sends shards to those of the missing kin that are there.
async fn ask_missing(
    desk: &Arc<Desk>,
    root: Digest,
    enrolled: &Enrolled,
    holding: &mut Holding,
    found: &Round,
) -> Result<(), HospitalError> {
    let enrolment = &enrolled.enrolment;
    let mut missing: Vec<ShareIndex> = Vec::new();
    for index in indices(enrolment).filter(|index| !holding.holds(*index)) {
        if found.is_there(desk, root, index, enrolment).await {
            missing.push(index);
        }
    }
    let threshold = shard_threshold(enrolment);
    let (Some(threshold), false) = (threshold, missing.is_empty()) else {
        return Ok(());
    };
    let upload = desk.archive.upload(root).await?;
    let upload = upload.ok_or(HospitalError::UnknownUpload { root })?;
    let ciphertexts = desk.archive.ciphertexts(&upload).await?;
    let pieces = off_thread(move || Pieces::cut(&ciphertexts, threshold)).await??;
    let spread = Spread {
        root,
        upload,
        pieces: Arc::new(pieces),
        enrolment: Arc::new(enrolment.clone()),
    };
    let until = Instant::now() + STORED_WITHIN;
    let (receipts, _) = spread.to(desk, missing, until).await;
    for receipt in receipts {
        holding.add(receipt);
    }
    Ok(())
}

impl Round {
    async fn patient(
        &self,
        desk: &Desk,
        patient: PatientId,
    ) -> Result<Arc<Enrolled>, HospitalError> {
        let mut patients = self.patients.lock().await;
        if let Some(known) = patients.get(&patient) {
            return Ok(Arc::clone(known));
        }
        let deadline = Instant::now() + PROVED_WITHIN;
        let (enrolled, _) = desk.prove_patient(patient, deadline).await?;
        let enrolled = Arc::new(enrolled);
        patients.insert(patient, Arc::clone(&enrolled));
        Ok(enrolled)
    }

    /// Whether a kin answers at all: cheaper than cutting shards for one that does not. It may refuse, and that will do.
    async fn is_there(
        &self,
        desk: &Desk,
        root: Digest,
        index: ShareIndex,
        enrolment: &Enrolment,
    ) -> bool {
        let Some(kin) = enrolment.roster.get(index.position()) else {
            return false;
        };
        let kin = kin.id();
        let mut alive = self.alive.lock().await;
        if let Some(known) = alive.get(&kin) {
            return *known;
        }
        let there = match desk.setting.directory.name(kin) {
            Some(name) => {
                let question = FetchUpload { root, ground: None };
                let port = &desk.port;
                let asked = port.ask::<FriendRelative, _>(name, question, ALIVE_WITHIN);
                asked.await.is_ok()
            }
            None => false,
        };
        alive.insert(kin, there);
        there
    }
}
