//! Pieces of records: making those anew that should be here and are not, and showing that they are (ADR 33).
//!
//! No patient and no hospital is needed: which pieces a kin should hold follows from
//! the ledger, and any majority of the pieces of a record gives the others. A kin does so when it was away, when a
//! disk was lost, and when it took somebody's place.

use super::desk::{Desk, PROVE_WITHIN};
use super::messages::{FetchShards, KinError};
use super::prepare::{batch, upload};
use super::room;
use super::roster::{Circle, bad, submit};
use super::shards::WRITE_BYTES;
use super::storage::{Kept, Put as _, Ward};
use crate::friend_relative::FriendRelative;
use crate::ports::store::Batch;
use crate::scope::batch_places;
use crate::upload::Upload;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{KinId, PatientId, RecordId};
use kithkin_protocol::ledger::{self, Era, duties};
use kithkin_protocol::record::{
    Answer, BatchHeader, Challenge, Duties, DutyError, Offered, Proof, RecordEntry, Repair, Shard,
    held_bytes, held_digest,
};
use kithkin_protocol::roster::RosterStep;
use kithkin_protocol::units::{Height, Millis, ShareIndex, Tier};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a fellow kin may take to send its pieces of some records.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// Most bytes of pieces that are asked for at once, unless one record has more.
const PORTION_BYTES: usize = 4 * 1024 * 1024;

/// Looks through all batches of a patient and makes what is missing.
pub(super) async fn mend(desk: &Arc<Desk>, circle: &Circle, head: Height) -> Result<(), KinError> {
    if circle.index.is_none() {
        return room::leave(desk, circle).await;
    }
    let Some(ward) = &circle.ward else {
        return Ok(());
    };
    for tier in Tier::ALL {
        for header in headers(desk, circle, tier, head).await? {
            // Kept by whoever asks for them; one that was away when the keys were replaced asks now.
            if let Err(error) = super::anew::have_capsules(desk, ward, &header).await {
                tracing::warn!(kin = %desk.me, patient = %circle.patient, %tier, %error, "new capsules are still missing");
            }
            let Some(era) = circle.entry.era_of(header.epoch) else {
                continue;
            };
            let slots: Vec<ShareIndex> = era.slots_of(desk.me).collect();
            let kept = desk.store.kept(&header.manifest_root)?;
            let good = kept.filter(|kept| !kept.damaged);
            let here = |kept: &Kept, slot: &ShareIndex| {
                kept.slots.contains(slot) || kept.surplus.contains(slot)
            };
            match good {
                Some(kept) if kept.slots == slots => {
                    // What has gone to others is theirs to show; then it need not be here too.
                    if !kept.surplus.is_empty() && circle.entry.all_shown(tier, era) {
                        room::prune(desk, header.manifest_root, kept).await?;
                    }
                    continue;
                }
                Some(kept) if slots.iter().all(|slot| here(&kept, slot)) => {
                    // Slots that have moved on are somebody else's to serve.
                    let mut write = Batch::default();
                    let moved = moved(kept, slots, desk.client.now());
                    write.kept(&header.manifest_root, &moved);
                    desk.store.write(write).await?;
                    continue;
                }
                Some(_) | None if slots.is_empty() => continue,
                Some(_) | None => {}
            }
            // One that cannot be mended now must not keep the others from being mended.
            if let Err(error) = make(desk, ward, &header, era, slots).await {
                tracing::warn!(kin = %desk.me, patient = %circle.patient, %tier, %error, "pieces are still missing");
            }
        }
    }
    Ok(())
}

/// The mark of an upload when this kin has other slots than before, all of which are here.
fn moved(kept: Kept, slots: Vec<ShareIndex>, now: Millis) -> Kept {
    let mut surplus: BTreeSet<ShareIndex> = kept.slots.iter().copied().collect();
    surplus.extend(kept.surplus.iter().copied());
    surplus.retain(|slot| !slots.contains(slot));
    let moved_ms = slots.is_empty().then(|| kept.moved_ms.unwrap_or(now));
    Kept {
        slots,
        surplus: surplus.into_iter().collect(),
        moved_ms,
        ..kept
    }
}

/// Headers of all batches of a tier up to a height, but for those that are ordered to be erased; each proved once.
pub(super) async fn headers(
    desk: &Arc<Desk>,
    circle: &Circle,
    tier: Tier,
    up_to: Height,
) -> Result<Vec<BatchHeader>, KinError> {
    let deadline = Instant::now() + PROVE_WITHIN;
    let (client, port) = (&desk.client, &desk.port);
    let places = batch_places(client, port, (circle.patient, tier, up_to), up_to, deadline).await?;
    let mut headers = Vec::with_capacity(places.len());
    for place in places {
        headers.push(batch(desk, place).await?);
    }
    Ok(headers)
}

/// Makes this kin's pieces of one upload from those of others, and keeps them.
async fn make(
    desk: &Arc<Desk>,
    ward: &Arc<Ward>,
    header: &BatchHeader,
    era: &Era,
    slots: Vec<ShareIndex>,
) -> Result<(), KinError> {
    let root = header.manifest_root;
    let upload = upload(desk, &ward.enrolment.roster, header).await?;
    let slot_bytes = held_bytes(&upload.manifest, era.shape, 1);
    let slot_bytes = slot_bytes.map_err(|error| bad(ward.patient, error))?;
    let before = desk.store.kept(&root)?;
    let taken = before.as_ref().map_or(0, Kept::bytes);
    // Also what has become this kin's duty has to fit; the others still have as many pieces as it takes.
    let adds = slot_bytes
        .saturating_mul(slots.len() as u64)
        .saturating_sub(taken);
    let patient = ward.patient;
    desk.heavy(move |desk| desk.check_room(patient, adds))
        .await?;
    let mut leaves: BTreeMap<RecordId, Digest> = BTreeMap::new();
    for portion in portions(&upload, era) {
        let shards = collect(desk, ward.patient, root, era, &slots, portion).await?;
        for (entry, shard) in &shards {
            if slots.first() == Some(&shard.index) {
                leaves.insert(entry.record, shard.leaf(entry, era.shape));
            }
        }
        let mut write = Batch::default();
        for (entry, shard) in &shards {
            write.shard(&root, &entry.record, shard);
            if write.len_bytes() >= WRITE_BYTES {
                desk.store.write(std::mem::take(&mut write)).await?;
            }
        }
        desk.store.write(write).await?;
    }
    let order = upload.manifest.entries().iter();
    let held = order.filter_map(|entry| leaves.get(&entry.record).copied());
    let kept = Kept {
        patient: upload.patient,
        tier: upload.tier,
        author: upload.author,
        epoch: upload.epoch,
        records: u32::try_from(upload.manifest.entries().len()).unwrap_or(u32::MAX),
        surplus: surplus(before.as_ref(), &slots),
        slots,
        moved_ms: None,
        slot_bytes,
        damaged: false,
        held: held_digest(held),
    };
    let (now_taken, written) = (kept.bytes(), upload.clone());
    // The mark comes last, as for pieces that a hospital hands in.
    desk.heavy(move |desk| desk.keep(root, &written, &kept, Batch::default()))
        .await?;
    if before.is_none() {
        desk.uploads.fetch_add(1, Ordering::Relaxed);
    }
    desk.note_room(patient, taken, now_taken);
    tracing::info!(kin = %desk.me, patient = %upload.patient, tier = %upload.tier, %root, "pieces made anew from those of other kin");
    Ok(())
}

/// Pieces that are here and not this kin's to serve.
fn surplus(before: Option<&Kept>, slots: &[ShareIndex]) -> Vec<ShareIndex> {
    let here = before
        .into_iter()
        .flat_map(|kept| kept.slots.iter().chain(&kept.surplus));
    let surplus: BTreeSet<_> = here.copied().filter(|slot| !slots.contains(slot)).collect();
    surplus.into_iter().collect()
}

/// The records in portions whose pieces fit into one answer.
fn portions(upload: &Upload, era: &Era) -> Vec<Vec<RecordEntry>> {
    let (mut portions, mut portion, mut bytes) = (Vec::new(), Vec::new(), 0usize);
    for entry in upload.manifest.entries() {
        let shard = usize::try_from(entry.bytes).unwrap_or(usize::MAX) / era.shape.needed();
        if bytes.saturating_add(shard) > PORTION_BYTES && !portion.is_empty() {
            portions.push(std::mem::take(&mut portion));
            bytes = 0;
        }
        bytes = bytes.saturating_add(shard);
        portion.push(entry.clone());
    }
    portions.push(portion);
    portions
}

/// Asks the holders of the other slots one after the other until every wanted piece can be made.
async fn collect(
    desk: &Arc<Desk>,
    patient: PatientId,
    root: Digest,
    era: &Era,
    slots: &[ShareIndex],
    entries: Vec<RecordEntry>,
) -> Result<Vec<(RecordEntry, Shard)>, KinError> {
    let mut repairs = Vec::new();
    for entry in entries {
        for slot in slots {
            let repair = Repair::new(entry.clone(), era.shape, *slot);
            repairs.push((entry.clone(), repair.map_err(|error| bad(patient, error))?));
        }
    }
    let fellows: BTreeSet<KinId> = era.holders.iter().copied().collect();
    let only: BTreeSet<RecordId> = repairs.iter().map(|(entry, _)| entry.record).collect();
    let only: Vec<RecordId> = only.into_iter().collect();
    let shape = era.shape;
    repairs = desk
        .heavy(move |desk| {
            let records: BTreeSet<RecordId> =
                repairs.iter().map(|(entry, _)| entry.record).collect();
            let mut own = Vec::new();
            for record in records {
                for slot in shape.indices() {
                    let shard = desk.store.shard(&root, &record, slot)?;
                    own.extend(shard.map(|shard| (record, shard)));
                }
            }
            offer(desk, desk.me, &mut repairs, &own);
            Ok(repairs)
        })
        .await?;
    for kin in fellows.into_iter().filter(|kin| *kin != desk.me) {
        if repairs.iter().all(|(_, repair)| repair.is_ready()) {
            break;
        }
        let Some(sent) = ask(desk, kin, root, &only).await else {
            continue;
        };
        if sent.len() > only.len().saturating_mul(shape.kin()) {
            tracing::warn!(kin = %desk.me, from = %kin, "sent more pieces than there are");
            continue;
        }
        repairs = desk
            .heavy(move |desk| {
                offer(desk, kin, &mut repairs, &sent);
                Ok(repairs)
            })
            .await?;
    }
    let done = desk.heavy(move |_| {
        let made = repairs.into_iter().map(|(entry, repair)| {
            let shard = repair.finish().map_err(|error| bad(patient, error))?;
            Ok((entry, shard))
        });
        made.collect()
    });
    done.await
}

fn offer(
    desk: &Desk,
    from: KinId,
    repairs: &mut [(RecordEntry, Repair)],
    sent: &[(RecordId, Shard)],
) {
    for (record, shard) in sent {
        for (_, repair) in repairs
            .iter_mut()
            .filter(|(entry, _)| entry.record == *record)
        {
            match repair.offer(from, shard.clone()) {
                Ok(Offered::Taken | Offered::Spare) => {}
                Err(fault) => {
                    tracing::warn!(kin = %desk.me, %fault, "a fellow kin sent a wrong piece");
                    break;
                }
            }
        }
    }
}

async fn ask(
    desk: &Desk,
    kin: KinId,
    root: Digest,
    only: &[RecordId],
) -> Option<Vec<(RecordId, Shard)>> {
    let name = desk.setting.directory.name(kin)?;
    let question = FetchShards {
        root,
        only: only.to_vec(),
        ground: None,
    };
    let asked = desk
        .port
        .ask::<FriendRelative, _>(name, question, FETCH_WITHIN);
    match asked.await {
        Ok(Ok(shards)) => Some(shards),
        Ok(Err(error)) => {
            tracing::debug!(kin = %desk.me, from = %name, %error, "no pieces");
            None
        }
        Err(error) => {
            tracing::debug!(kin = %desk.me, %error, "no pieces");
            None
        }
    }
}

/// Answers the drill that is under way for the pieces of records, tier by tier.
pub(super) async fn show(desk: &Arc<Desk>, circle: &Circle) -> Result<(), KinError> {
    let (Some(index), Some(_)) = (circle.index, &circle.ward) else {
        return Ok(());
    };
    let Some((height, seed)) = circle.entry.drill.round else {
        return Ok(());
    };
    for tier in Tier::ALL {
        let shown = circle.entry.drill.shown.get(&(index, tier));
        if shown.is_some_and(|shown| shown.height >= height) {
            continue;
        }
        let headers = headers(desk, circle, tier, height).await?;
        let challenge = Challenge {
            seed,
            epoch: circle.entry.epoch,
            index,
            round: height.0,
        };
        let entry = circle.entry.clone();
        let patient = circle.patient;
        let answer = desk
            .heavy(move |desk| answer(desk, patient, &entry, tier, &headers, challenge))
            .await?;
        let Some((answer, lost)) = answer else {
            continue;
        };
        let step = RosterStep::Show {
            height,
            tier,
            answer,
        };
        submit(desk, circle.patient, step).await?;
        // The next look makes anew what is missing; what is there is served meanwhile.
        let mut write = Batch::default();
        for root in &lost {
            if let Some(kept) = desk.store.kept(root)? {
                let damaged = true;
                write.kept(root, &Kept { damaged, ..kept });
            }
        }
        if !write.is_empty() {
            desk.store.write(write).await?;
        }
    }
    Ok(())
}

/// One proof for each drawn place, and the uploads of which something is lost. None when this kin should hold nothing.
fn answer(
    desk: &Desk,
    patient: PatientId,
    entry: &ledger::Patient,
    tier: Tier,
    headers: &[BatchHeader],
    challenge: Challenge,
) -> Result<Option<(Answer, BTreeSet<Digest>)>, KinError> {
    let erased = BTreeSet::new();
    let duties = duties(entry, desk.me, headers, &erased);
    let duties = match Duties::new(desk.client.chain(), patient, tier, duties) {
        Ok(duties) => duties,
        Err(DutyError::Nothing) => return Ok(None),
        Err(error) => return Err(bad(patient, error)),
    };
    let mut proofs = Vec::new();
    let mut lost = BTreeSet::new();
    let mut uploads: BTreeMap<Digest, Option<Upload>> = BTreeMap::new();
    for place in challenge.places(&duties) {
        let root = place.duty.header.manifest_root;
        let upload = match uploads.entry(root) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(desk.store.upload(&root)?),
        };
        let proof = match upload {
            Some(upload) => {
                let record = place.record(&upload.manifest);
                let shard = match record {
                    Some(entry) => desk.store.shard(&root, &entry.record, place.duty.slot)?,
                    None => None,
                };
                place.prove(&upload.manifest, shard.as_ref())
            }
            None => Proof::Lost,
        };
        if proof == Proof::Lost {
            lost.insert(root);
        }
        proofs.push(proof);
    }
    let answer = Answer::new(proofs).map_err(|error| bad(patient, error))?;
    Ok(Some((answer, lost)))
}
