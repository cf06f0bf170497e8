//! Getting uploads and ciphertexts back: from the hospital that wrote them, or from any k kin.
//!
//! Nothing is believed: an upload must be the one of a proved header, a
//! ciphertext the one that the manifest names. A bad shard is named and left out.

use super::device::{Device, lost};
use super::messages::PatientError;
use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::{FetchShards, FetchUpload};
use crate::hospital::Hospital;
use crate::hospital::messages::FetchRecords;
use crate::ports::names::ActorName;
use crate::scope::belongs;
use crate::upload::Upload;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{KinId, RecordId};
use kithkin_protocol::ledger::{Enrolment, Era};
use kithkin_protocol::record::{
    BatchHeader, RecordEntry, Shard, ShardError, ciphertext_digest, rebuild,
};
use kithkin_protocol::sharing::Threshold;
use kithkin_protocol::units::ShareIndex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long one answer may take.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// About how many bytes of ciphertext are put together from shards at a time.
const GROUP_BYTES: u64 = 16 * 1024 * 1024;

/// Ciphertexts by record.
pub(super) type Ciphertexts = BTreeMap<RecordId, Vec<u8>>;

/// What the hospital that wrote an upload still has of it. None when it has none, or another.
pub(super) async fn from_hospital(
    device: &Arc<Device>,
    header: &BatchHeader,
) -> Option<(Arc<Upload>, Ciphertexts)> {
    let name = device.setting.directory.name(header.author);
    let name = name.filter(|name| matches!(name, ActorName::Hospital(_)))?;
    let fetch = FetchRecords {
        root: header.manifest_root,
    };
    let answer = device
        .port
        .ask::<Hospital, _>(name, fetch, FETCH_WITHIN)
        .await;
    let fetched = match answer {
        Ok(Ok(fetched)) => fetched,
        Ok(Err(error)) => {
            tracing::info!(patient = %device.me, %name, %error, "the hospital sends nothing");
            return None;
        }
        Err(error) => {
            tracing::info!(patient = %device.me, %error, "the hospital sends nothing");
            return None;
        }
    };
    let header = *header;
    let sorted = device.heavy(move |_| {
        if !belongs(&header, &fetched.upload) {
            return Ok(None);
        }
        let manifest = &fetched.upload.manifest;
        let good = fetched.ciphertexts.into_iter().filter(|(record, bytes)| {
            let entry = manifest.entry(record);
            entry.is_some_and(|entry| entry.ciphertext == ciphertext_digest(bytes))
        });
        let good: Ciphertexts = good.collect();
        Ok(Some((fetched.upload, good)))
    });
    // A hospital that sends something else is as good as one that sends nothing.
    sorted.await.ok().flatten()
}

/// The upload of a header, from whichever kin sends the right one first.
pub(super) async fn upload_from_kin(
    device: &Arc<Device>,
    enrolment: &Enrolment,
    header: &BatchHeader,
) -> Result<Arc<Upload>, PatientError> {
    let root = header.manifest_root;
    let mut last = String::from("no kin was asked");
    let mut answers: FuturesUnordered<_> = kin(device, enrolment)
        .into_iter()
        .map(|(_, name)| async move {
            let fetch = FetchUpload { root, ground: None };
            let asked = device
                .port
                .ask::<FriendRelative, _>(name, fetch, FETCH_WITHIN);
            (name, asked.await)
        })
        .collect();
    while let Some((name, answer)) = answers.next().await {
        match answer {
            Ok(Ok(upload)) => {
                let (header, checked) = (*header, upload.clone());
                let good = device.heavy(move |_| Ok(belongs(&header, &checked)));
                if good.await? {
                    return Ok(upload);
                }
                last = format!("{name} sent another upload");
                tracing::warn!(patient = %device.me, %root, last, "left out");
            }
            Ok(Err(error)) => last = format!("{name}: {error}"),
            Err(error) => last = error.to_string(),
        }
    }
    Err(lost(root, last))
}

/// Puts the ciphertexts that are missing in `have` together from the kin's shards.
pub(super) async fn fill_from_kin(
    device: &Arc<Device>,
    era: &Era,
    upload: &Upload,
    have: &mut Ciphertexts,
) -> Result<(), PatientError> {
    let root = upload.root();
    let entries = upload.manifest.entries().iter();
    let missing: Vec<RecordEntry> = entries
        .filter(|entry| !have.contains_key(&entry.record))
        .cloned()
        .collect();
    for group in groups(missing) {
        fill_group(device, era, root, group, have).await?;
    }
    Ok(())
}

/// Records that are fetched together: neither answers nor memory grow with the whole upload.
fn groups(entries: Vec<RecordEntry>) -> Vec<Vec<RecordEntry>> {
    let mut groups: Vec<Vec<RecordEntry>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        let size = u64::from(entry.bytes);
        match groups.last_mut() {
            Some(group) if bytes + size <= GROUP_BYTES => {
                group.push(entry);
                bytes += size;
            }
            _ => {
                groups.push(vec![entry]);
                bytes = size;
            }
        }
    }
    groups
}

async fn fill_group(
    device: &Arc<Device>,
    era: &Era,
    root: Digest,
    group: Vec<RecordEntry>,
    have: &mut Ciphertexts,
) -> Result<(), PatientError> {
    let only: Vec<RecordId> = group.iter().map(|entry| entry.record).collect();
    let holders: BTreeSet<KinId> = era.holders.iter().copied().collect();
    let named = |kin| Some((kin, device.setting.directory.name(kin)?));
    let mut answers: FuturesUnordered<_> = holders
        .into_iter()
        .filter_map(named)
        .map(|(kin, name)| {
            let fetch = FetchShards {
                root,
                only: only.clone(),
                ground: None,
            };
            async move {
                let asked = device
                    .port
                    .ask::<FriendRelative, _>(name, fetch, FETCH_WITHIN);
                (kin, name, asked.await)
            }
        })
        .collect();
    let mut work = Work::new(group, era.shape);
    let mut last = String::from("no kin was asked");
    while let Some((kin, name, answer)) = answers.next().await {
        match answer {
            Ok(Ok(shards)) => work.take(&era.slots_of(kin).collect::<Vec<_>>(), shards),
            Ok(Err(error)) => last = format!("{name}: {error}"),
            Err(error) => last = error.to_string(),
        }
        if work.askable() {
            let me = device.me;
            work = device
                .heavy(move |_| {
                    work.rebuild(|record, fault| {
                        tracing::warn!(patient = %me, %record, fault, "a bad shard is left out");
                    })?;
                    Ok(work)
                })
                .await?;
        }
        if work.missing.is_empty() {
            have.append(&mut work.done);
            return Ok(());
        }
    }
    let first = work.missing.values().next();
    Err(PatientError::Record {
        record: first.map_or(RecordId([0; RecordId::LEN]), |(entry, _)| entry.record),
        reason: format!("too few kin sent good shards; last: {last}"),
    })
}

/// Records on their way to be put together.
struct Work {
    threshold: Threshold,
    missing: BTreeMap<RecordId, (RecordEntry, Vec<Shard>)>,
    done: Ciphertexts,
}

impl Work {
    fn new(group: Vec<RecordEntry>, threshold: Threshold) -> Self {
        let missing = group
            .into_iter()
            .map(|entry| (entry.record, (entry, Vec::new())));
        Self {
            threshold,
            missing: missing.collect(),
            done: Ciphertexts::new(),
        }
    }

    /// Takes the shards of a kin that holds these slots. Whatever else it sends is left out.
    fn take(&mut self, slots: &[ShareIndex], shards: Vec<(RecordId, Shard)>) {
        for (record, shard) in shards {
            if !slots.contains(&shard.index) {
                continue;
            }
            if let Some((_, gathered)) = self.missing.get_mut(&record)
                && gathered.iter().all(|other| other.index != shard.index)
            {
                gathered.push(shard);
            }
        }
    }

    fn askable(&self) -> bool {
        let needed = self.threshold.needed();
        self.missing
            .values()
            .any(|(_, shards)| shards.len() >= needed)
    }

    /// Puts together what can be; names bad shards.
    fn rebuild(&mut self, mut bad: impl FnMut(RecordId, String)) -> Result<(), PatientError> {
        let needed = self.threshold.needed();
        let mut done = Vec::new();
        for (record, (entry, shards)) in &mut self.missing {
            if shards.len() < needed {
                continue;
            }
            match rebuild(shards, self.threshold, entry) {
                Ok(rebuilt) => {
                    for fault in rebuilt.refused {
                        bad(*record, fault.to_string());
                    }
                    self.done.insert(*record, rebuilt.ciphertext);
                    done.push(*record);
                }
                // Another kin may still send a good one.
                Err(ShardError::TooFew { .. }) => shards.retain(|shard| {
                    let good = shard.verify(entry, self.threshold);
                    if let Err(fault) = good {
                        bad(*record, fault.to_string());
                    }
                    good.is_ok()
                }),
                Err(error) => {
                    return Err(PatientError::Record {
                        record: *record,
                        reason: error.to_string(),
                    });
                }
            }
        }
        for record in done {
            self.missing.remove(&record);
        }
        Ok(())
    }
}

/// Place in the roster and name of every kin that the directory knows.
fn kin(device: &Device, enrolment: &Enrolment) -> Vec<(usize, ActorName)> {
    let ids = enrolment.roster.iter().map(|member| member.id());
    let known = |(position, kin): (usize, KinId)| {
        let name = device.setting.directory.name(kin)?;
        matches!(name, ActorName::Kin(..)).then_some((position, name))
    };
    ids.enumerate().filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kithkin_protocol::record::shards;

    fn entry(ciphertext: &[u8], shard_root: Digest) -> RecordEntry {
        let none = Digest([0; 32]);
        RecordEntry {
            record: RecordId([1; 32]),
            commitment: none,
            ciphertext: ciphertext_digest(ciphertext),
            capsule: none,
            shard_root,
            bytes: u32::try_from(ciphertext.len()).expect("short"),
        }
    }

    /// One bad shard is named and left out; the next kin's takes its place.
    #[test]
    fn a_bad_shard_is_named_and_another_takes_its_place() {
        let ciphertext = b"what a hospital has sealed".repeat(20);
        let threshold = Threshold::majority(5).expect("five");
        let set = shards(&ciphertext, threshold).expect("cut");
        let entry = entry(&ciphertext, set.root);
        let record = entry.record;
        let mut work = Work::new(vec![entry], threshold);
        let mut named = Vec::new();
        for (position, mut shard) in set.shards.into_iter().enumerate() {
            if position == 1 {
                shard.bytes[0] ^= 1;
            }
            // Somebody else's shard, and a second one, do not count.
            let other = ShareIndex::from_position(position + 1).expect("few");
            work.take(&[other], vec![(record, shard.clone())]);
            work.take(
                &[shard.index],
                vec![(record, shard.clone()), (record, shard)],
            );
            let enough = work.askable();
            assert_eq!(enough, position >= 2);
            if enough {
                work.rebuild(|_, fault| named.push(fault)).expect("no liar");
            }
            if work.missing.is_empty() {
                assert_eq!(position, 3);
                break;
            }
        }
        assert_eq!(work.done[&record], ciphertext);
        assert_eq!(named, ["shard 2 is not the one that was stored"]);
    }

    #[test]
    fn groups_are_bounded() {
        let sized = |bytes| RecordEntry {
            bytes,
            ..entry(b"x", Digest([0; 32]))
        };
        let megabytes = |n: u32| sized(n << 20);
        let sizes =
            |groups: Vec<Vec<RecordEntry>>| -> Vec<usize> { groups.iter().map(Vec::len).collect() };
        assert_eq!(sizes(groups(Vec::new())), Vec::<usize>::new());
        let entries = [1, 15, 1, 15, 15, 2].map(megabytes).to_vec();
        assert_eq!(sizes(groups(entries)), [2, 2, 1, 1]);
    }
}
