//! Ciphertexts of a case or a grant: the own copies, or put together from the kin's shards (opening.md section 2).
//!
//! Any `k` shards of a record do, so nobody waits for slow kin. A shard that
//! does not belong to its root names the kin that sent it.

use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::{FetchShards, Ground};
use crate::hospital::archive::Ciphertexts;
use crate::hospital::books::Forgery;
use crate::hospital::capsules::{TierScope, borrow};
use crate::hospital::case::CaseWork;
use crate::hospital::desk::{Desk, off_thread};
use crate::hospital::messages::{HospitalError, LendRecords};
use crate::hospital::puzzle::{Gathered, Puzzle};
use crate::upload::Upload;
use futures_util::stream::{FuturesUnordered, StreamExt as _, TryStreamExt as _, iter};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{KinId, RecordId};
use kithkin_protocol::ledger::Era;
use kithkin_protocol::record::{Shard, ciphertext_digest};
use kithkin_protocol::units::{CircleKind, Epoch, ShareIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most uploads that are gathered at a time.
const UPLOADS_AT_ONCE: usize = 4;
/// How long the own copies are waited for, at most half of the time that there is: the rest is for the kin.
const OWN_WITHIN: Duration = Duration::from_secs(10);
/// How long one kin may take to send shards.
const TRY: Duration = Duration::from_secs(5);
/// Pause before a kin is asked again that answered, but would not give them yet.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause: whoever refuses again and again is asked less often.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Most bytes of ciphertext of one tier that stay in memory for the next read.
const REMEMBERED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The ciphertexts of one tier's scope, from memory or gathered. Who comes second waits for the first.
pub(super) async fn gather(
    desk: &Desk,
    work: &CaseWork,
    scope: &TierScope,
    deadline: Instant,
) -> Result<Arc<Gathered>, HospitalError> {
    let Some(mut place) = work.gathered.of(scope.tier, deadline).await else {
        return Ok(Arc::new(nothing(scope, "the time was over")));
    };
    if let Some(found) = &*place {
        return Ok(Arc::clone(found));
    }
    let uploads: Vec<Gathered> = iter(&scope.uploads)
        .map(|upload| one_upload(desk, work, scope, upload, deadline))
        .buffer_unordered(UPLOADS_AT_ONCE)
        .try_collect()
        .await?;
    let mut all = Gathered::default();
    for one in uploads {
        all.ciphertexts.extend(one.ciphertexts);
        all.missing.extend(one.missing);
    }
    let all = Arc::new(all);
    let bytes: usize = all.ciphertexts.values().map(Vec::len).sum();
    if all.missing.is_empty() && bytes <= REMEMBERED_BYTES_MAX {
        *place = Some(Arc::clone(&all));
    }
    Ok(all)
}

fn nothing(scope: &TierScope, reason: &str) -> Gathered {
    Gathered {
        ciphertexts: BTreeMap::new(),
        missing: scope.records().map(|id| (id, reason.to_owned())).collect(),
    }
}

async fn one_upload(
    desk: &Desk,
    work: &CaseWork,
    scope: &TierScope,
    upload: &Arc<Upload>,
    deadline: Instant,
) -> Result<Gathered, HospitalError> {
    let root = upload.root();
    let mut wanted: BTreeSet<RecordId> = scope
        .capsules
        .iter()
        .filter(|(of, _)| *of == root)
        .map(|(_, capsule)| capsule.entry().record)
        .collect();
    let (ground, eras) = (Ground::Case(work.file.case), &work.file.eras);
    let lent = lent(desk, work, upload, &mut wanted).await?;
    if wanted.is_empty() {
        return Ok(lent);
    }
    let (mut gathered, forged) = of_upload(desk, ground, eras, wanted, upload, deadline).await?;
    for kin in forged {
        accuse(desk, work, kin).await?;
    }
    gathered.ciphertexts.extend(lent.ciphertexts);
    Ok(gathered)
}

/// What the upload's author lends to a case of a second circle; it is not `wanted` any more.
async fn lent(
    desk: &Desk,
    work: &CaseWork,
    upload: &Arc<Upload>,
    wanted: &mut BTreeSet<RecordId>,
) -> Result<Gathered, HospitalError> {
    let mut gathered = Gathered::default();
    if work.file.circle() == CircleKind::First || upload.author == desk.me {
        return Ok(gathered);
    }
    let (root, case) = (upload.root(), work.file.case);
    match borrow(desk, upload.author, LendRecords { root, case }, TRY).await {
        Ok(lent) => {
            let upload = Arc::clone(upload);
            let good = move |(record, bytes): &(RecordId, Vec<u8>)| {
                let entry = upload.manifest.entry(record);
                entry.is_some_and(|entry| entry.ciphertext == ciphertext_digest(bytes))
            };
            let sorted = off_thread(move || lent.ciphertexts.into_iter().filter(good).collect());
            gathered.ciphertexts = sorted.await?;
            gathered
                .ciphertexts
                .retain(|record, _| wanted.remove(record));
        }
        Err(reason) => tracing::debug!(%case, upload = %root, reason, "its author lends nothing"),
    }
    Ok(gathered)
}

/// Ciphertexts of some records of one upload, and which kin sent what was not stored.
pub(super) async fn of_upload(
    desk: &Desk,
    ground: Ground,
    eras: &BTreeMap<Epoch, Era>,
    wanted: BTreeSet<RecordId>,
    upload: &Arc<Upload>,
    deadline: Instant,
) -> Result<(Gathered, BTreeSet<KinId>), HospitalError> {
    if let Some(own) = own(desk, &wanted, upload, deadline).await {
        let gathered = Gathered {
            ciphertexts: own.into_iter().collect(),
            missing: BTreeMap::new(),
        };
        return Ok((gathered, BTreeSet::new()));
    }
    let Some((_, era)) = eras.range(..=upload.epoch).last() else {
        let reason = "the ledger does not say how it was cut".to_owned();
        let gathered = Gathered {
            ciphertexts: BTreeMap::new(),
            missing: wanted.into_iter().map(|id| (id, reason.clone())).collect(),
        };
        return Ok((gathered, BTreeSet::new()));
    };
    let mut puzzle = Puzzle::new(upload, &wanted, era.shape);
    let forged = from_kin(desk, ground, era, upload.root(), &mut puzzle, deadline).await?;
    Ok((puzzle.finish(), forged))
}

/// The own copies of an upload that was written here. None when it was not, or when they cannot be read: the kin have them too.
async fn own(
    desk: &Desk,
    wanted: &BTreeSet<RecordId>,
    upload: &Arc<Upload>,
    deadline: Instant,
) -> Option<Ciphertexts> {
    if upload.author != desk.me {
        return None;
    }
    let now = Instant::now();
    let share = deadline.saturating_duration_since(now) / 2;
    let until = now + share.min(OWN_WITHIN);
    match desk.archive.some(upload, wanted, until).await {
        Ok(own) => Some(own),
        Err(error) => {
            tracing::warn!(upload = %upload.root(), %error, "the own copies cannot be read; asking the kin");
            None
        }
    }
}

/// Asks all kin at once until every record is whole or nobody is left to answer. Returns who sent what was not stored.
async fn from_kin(
    desk: &Desk,
    ground: Ground,
    era: &Era,
    root: Digest,
    puzzle: &mut Puzzle,
    deadline: Instant,
) -> Result<BTreeSet<KinId>, HospitalError> {
    let questions = puzzle.questions();
    let mut faults: BTreeSet<KinId> = BTreeSet::new();
    let holders: BTreeSet<KinId> = era.holders.iter().copied().collect();
    let mut asked: FuturesUnordered<_> = holders
        .iter()
        .flat_map(|kin| {
            let kin = *kin;
            questions.iter().map(move |only| async move {
                let question = FetchShards {
                    root,
                    only: only.clone(),
                    ground: Some(ground),
                };
                (kin, ask(desk, kin, question, deadline).await)
            })
        })
        .collect();
    while let Some((kin, answer)) = asked.next().await {
        let shards = match answer {
            Ok(shards) => shards,
            Err(reason) => {
                tracing::debug!(?ground, %kin, reason, "no shards from this kin");
                continue;
            }
        };
        let slots: Vec<ShareIndex> = era.slots_of(kin).collect();
        if !puzzle.add(&slots, shards) {
            faults.insert(kin);
        }
        if puzzle.is_ready() {
            let mut taken = std::mem::take(puzzle);
            let (back, bad) = off_thread(move || {
                let bad = taken.solve();
                (taken, bad)
            })
            .await?;
            *puzzle = back;
            let holder = |slot: ShareIndex| era.holders.get(slot.position()).copied();
            faults.extend(bad.into_iter().filter_map(holder));
        }
        if puzzle.is_solved() {
            break;
        }
    }
    Ok(faults)
}

async fn accuse(desk: &Desk, work: &CaseWork, kin: KinId) -> Result<(), HospitalError> {
    let forgery = Forgery {
        kin,
        fault: "sent a shard that was not stored".to_owned(),
        partial: None,
    };
    desk.accuse(work, forgery).await
}

async fn ask(
    desk: &Desk,
    kin: KinId,
    question: FetchShards,
    deadline: Instant,
) -> Result<Vec<(RecordId, Shard)>, String> {
    let name = desk.setting.directory.name(kin);
    let name = name.ok_or("the directory does not know this kin")?;
    let mut pause = PAUSE;
    loop {
        let asked = desk
            .port
            .ask_until::<FriendRelative, _>(name, question.clone(), TRY, deadline);
        // It may not know yet that the case is granted, or the consent given.
        let refused = match asked.await.map_err(|error| error.to_string())? {
            Ok(shards) => return Ok(shards),
            Err(refused) => refused.to_string(),
        };
        if Instant::now() + pause >= deadline {
            return Err(refused);
        }
        tokio::time::sleep(pause).await;
        pause = PAUSE_MAX.min(pause * 2);
    }
}
