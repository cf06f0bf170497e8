//! Having records erased: the order on chain, then a signed receipt from everybody who holds something of them.
//!
//! Receipts are kept as they come; whoever has not answered is asked again when the person asks again.

use super::device::{Device, FINAL_WITHIN, lost};
use super::messages::{Erase, ErasureReport, Holder, KinReceipts, PatientError, Silent};
use crate::clients::ClientError;
use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::{EraseBatch, KinError};
use crate::hospital::Hospital;
use crate::hospital::messages::EraseCopies;
use crate::scope::{every_batch_place, prove_batch, prove_batch_at};
use futures_util::future::join_all;
use kithkin_protocol::crypto::{Digest, VerifyingKey};
use kithkin_protocol::ids::{BatchId, HospitalId, KinId};
use kithkin_protocol::ledger::{self, BatchEntry, BatchPlace, State, TxBody};
use kithkin_protocol::record::{CopiesErased, Erased, Erasure};
use kithkin_protocol::units::{Height, Millis, ShareIndex, Tier};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long proofs may take.
const PROVE_WITHIN: Duration = Duration::from_secs(20);
/// How long a holder may take to erase and sign.
const ERASED_WITHIN: Duration = Duration::from_secs(20);

/// What has come so far, kept across restarts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Collected {
    pub(super) batch: BatchId,
    kin: BTreeMap<KinId, Vec<Erasure>>,
    hospital: Option<CopiesErased>,
}

/// A kin that holds pieces, or should: its key, and the slots that it has to sign for.
struct KinHolder {
    kin: KinId,
    key: VerifyingKey,
    slots: BTreeSet<ShareIndex>,
}

/// Orders, asks everybody who has not answered yet, and says who has and who has not.
pub(super) async fn erase(
    device: Arc<Device>,
    message: Erase,
) -> Result<ErasureReport, PatientError> {
    let root = message.root;
    let (place, entry) = find(&device, root).await?;
    let ordered = match entry.ordered_ms {
        Some(_) => Height(0),
        None => order(&device, entry.id).await?,
    };
    let deadline = Instant::now() + PROVE_WITHIN;
    let (patient, head) = device
        .enrolled(deadline)
        .await?
        .ok_or_else(|| lost(root, "this patient is not enrolled"))?;
    // Whoever is asked proves the order at this height, too.
    let head = head.max(ordered);
    let entry = prove_batch_at(&device.client, place, head, deadline).await?;
    let ordered_ms = entry.as_ref().and_then(|entry| entry.ordered_ms);
    let (Some(entry), Some(ordered_ms)) = (entry, ordered_ms) else {
        return Err(lost(root, "the order is not proved yet; ask again"));
    };
    let mut collected = device.collected(root)?.unwrap_or(Collected {
        batch: entry.id,
        kin: BTreeMap::new(),
        hospital: None,
    });
    let silent = ask_all(&device, &patient, (place, head), &entry, &mut collected).await;
    device.put_collected(root, &collected).await?;
    Ok(report(collected, root, ordered_ms, silent))
}

fn report(
    collected: Collected,
    root: Digest,
    ordered_ms: Millis,
    silent: Vec<Silent>,
) -> ErasureReport {
    let kin = collected.kin.into_iter();
    ErasureReport {
        batch: collected.batch,
        root,
        ordered_ms,
        kin: kin
            .map(|(kin, receipts)| KinReceipts { kin, receipts })
            .collect(),
        hospital: collected.hospital,
        silent,
    }
}

/// The batch of an upload, proved, wherever it stands.
async fn find(device: &Device, root: Digest) -> Result<(BatchPlace, BatchEntry), PatientError> {
    let deadline = Instant::now() + PROVE_WITHIN;
    let (_, head) = device
        .enrolled(deadline)
        .await?
        .ok_or_else(|| lost(root, "this patient is not enrolled"))?;
    let roots = BTreeSet::from([root]);
    for tier in Tier::ALL {
        let places = every_batch_place(
            &device.client,
            &device.port,
            (device.me, tier, head),
            Some(&roots),
            deadline,
        );
        for place in places.await? {
            let entry = prove_batch(&device.client, place, deadline).await?;
            if let Some(entry) = entry.filter(|entry| entry.header.manifest_root == root) {
                return Ok((place, entry));
            }
        }
    }
    Err(lost(root, "it does not stand on chain"))
}

/// Returns the height of the order.
async fn order(device: &Device, batch: BatchId) -> Result<Height, PatientError> {
    let deadline = Instant::now() + FINAL_WITHIN;
    match device
        .client
        .submit(TxBody::Erase { batch }, deadline)
        .await
    {
        Ok(finalized) => Ok(finalized.proof.header.height),
        Err(ClientError::Rejected { reason }) => Err(PatientError::Order { batch, reason }),
        Err(error) => Err(error.into()),
    }
}

/// Asks everybody at the same time; returns who has not answered as it should.
async fn ask_all(
    device: &Device,
    patient: &ledger::Patient,
    place: (BatchPlace, Height),
    entry: &BatchEntry,
    collected: &mut Collected,
) -> Vec<Silent> {
    let mut silent = Vec::new();
    let holders = holders(patient, entry);
    let missing = holders
        .iter()
        .filter(|holder| !collected.kin.contains_key(&holder.kin));
    let kin = missing
        .map(|holder| async move { (holder.kin, ask_kin(device, place, entry, holder).await) });
    let author = entry.header.author;
    let hospital = async {
        match collected.hospital {
            Some(receipt) => Ok(receipt),
            None => ask_hospital(device, place, entry, author).await,
        }
    };
    let (kin, hospital) = tokio::join!(join_all(kin), hospital);
    for (kin, answer) in kin {
        match answer {
            Ok(receipts) => _ = collected.kin.insert(kin, receipts),
            Err(reason) => {
                let who = Holder::Kin(kin);
                silent.push(Silent { who, reason });
            }
        }
    }
    match hospital {
        Ok(receipt) => collected.hospital = Some(receipt),
        Err(reason) => {
            let who = Holder::Hospital(author);
            silent.push(Silent { who, reason });
        }
    }
    silent
}

/// Everybody on the roster: those who should hold a slot, and those who may have been handed something.
fn holders(patient: &ledger::Patient, entry: &BatchEntry) -> Vec<KinHolder> {
    let era = patient.era_of(entry.header.epoch);
    let roster = patient.enrolment.roster.iter();
    let holders = roster.map(|member| {
        let kin = member.id();
        KinHolder {
            kin,
            key: member.key,
            slots: era.into_iter().flat_map(|era| era.slots_of(kin)).collect(),
        }
    });
    holders.collect()
}

async fn ask_kin(
    device: &Device,
    (place, ordered): (BatchPlace, Height),
    entry: &BatchEntry,
    holder: &KinHolder,
) -> Result<Vec<Erasure>, String> {
    let name = device.setting.directory.name(holder.kin);
    let name = name.ok_or("the directory does not know this kin")?;
    let question = EraseBatch { place, ordered };
    let asked = device
        .port
        .ask::<FriendRelative, _>(name, question, ERASED_WITHIN);
    let answer: Result<Vec<Erasure>, KinError> = asked.await.map_err(|error| error.to_string())?;
    let receipts = answer.map_err(|error| error.to_string())?;
    check(&receipts, entry, holder)?;
    Ok(receipts)
}

/// Whether the receipts are this kin's, for this batch, and cover every slot that it has to answer for.
fn check(receipts: &[Erasure], entry: &BatchEntry, holder: &KinHolder) -> Result<(), String> {
    let header = &entry.header;
    let mut signed = BTreeSet::new();
    for receipt in receipts {
        let body = &receipt.body;
        let fits = (body.chain, body.patient, body.tier, body.batch)
            == (header.chain, header.patient, header.tier, entry.id)
            && body.erased == Erased::Batch
            && body.kin == holder.kin;
        if !fits {
            return Err("a receipt is for something else".to_owned());
        }
        receipt
            .verify(&holder.key)
            .map_err(|error| error.to_string())?;
        signed.insert(body.slot);
    }
    match holder.slots.difference(&signed).next() {
        Some(slot) => Err(format!("no receipt for the pieces of slot {slot}")),
        None => Ok(()),
    }
}

async fn ask_hospital(
    device: &Device,
    (place, ordered): (BatchPlace, Height),
    entry: &BatchEntry,
    author: HospitalId,
) -> Result<CopiesErased, String> {
    let key = hospital_key(device, author).await?;
    let name = device.setting.directory.name(author);
    let name = name.ok_or("the directory does not know this hospital")?;
    let question = EraseCopies { place, ordered };
    let asked = device
        .port
        .ask::<Hospital, _>(name, question, ERASED_WITHIN);
    let receipt = asked.await.map_err(|error| error.to_string())?;
    let receipt = receipt.map_err(|error| error.to_string())?;
    let (body, header) = (&receipt.body, &entry.header);
    let fits = (body.chain, body.patient, body.tier) == (header.chain, header.patient, header.tier)
        && (body.hospital, body.batch, body.manifest_root)
            == (author, entry.id, header.manifest_root);
    if !fits {
        return Err("the receipt is for something else".to_owned());
    }
    receipt.verify(&key).map_err(|error| error.to_string())?;
    Ok(receipt)
}

async fn hospital_key(device: &Device, hospital: HospitalId) -> Result<VerifyingKey, String> {
    let deadline = Instant::now() + PROVE_WITHIN;
    let proved = device
        .client
        .prove(State::hospital_key(hospital), deadline)
        .await;
    let (value, _) = proved.map_err(|error| error.to_string())?;
    let value = value.ok_or("the hospital is not accredited any more")?;
    let hospital: ledger::Hospital =
        State::decode_value(&value).map_err(|error| error.to_string())?;
    Ok(hospital.info.key)
}
