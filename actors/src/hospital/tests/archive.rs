//! The own copies in a whole cluster: a store that fails, a crash between pack and entry, a pack that was damaged.

use super::{House, house_with, join};
use crate::cluster::QUOTA_BYTES;
use crate::friend_relative::messages::FetchShards;
use crate::hospital::ArchiveError;
use crate::hospital::messages::{
    FetchRecords, HospitalError, ReadCase, RequestOpening, Requested, Written,
};
use crate::ports::names::ActorName;
use crate::ports::objects::Deed;
use crate::ports::objects::double::{Done, Double, Writes};
use crate::validator::messages::{Answer, Look};
use kithkin_fhir::fixture::demo_bundle;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::{Purpose, Reason};
use kithkin_protocol::record::BatchStatus;
use kithkin_protocol::units::{Height, Millis, Tier};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

async fn batches_on_chain(house: &House) -> usize {
    let client = house.cluster.client();
    let mut count = 0;
    for tier in Tier::ALL {
        let look = Look::Batches(house.patient(), tier, Height(u64::MAX));
        let answer = client.look(look, House::deadline()).await.expect("seen");
        let Answer::Batches(batches) = answer else {
            panic!("{answer:?}");
        };
        count += batches.len();
    }
    count
}

fn packs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn of(done: &[Done], deed: Deed) -> Vec<&str> {
    let those = done.iter().filter(|one| one.deed == deed);
    those.map(|one| one.path.as_str()).collect()
}

#[actix::test]
async fn ciphertexts_are_in_the_data_folder_and_nowhere_else() {
    let house = house_with(1, QUOTA_BYTES, None).await;
    let written = house.write(demo_bundle(), 10_000).await.expect("written");
    let folder = house.data.path().join("archive/hospital-0");
    let mut names: Vec<String> = written
        .batches
        .iter()
        .map(|batch| format!("{}.pack", kithkin_protocol::hex(batch.root.as_ref())))
        .collect();
    names.sort();
    let mut found: Vec<String> = packs(&folder)
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    found.sort();
    assert_eq!(found, names);
    assert_eq!(
        packs(&house.data.path().join("archive/hospital-1")),
        Vec::<PathBuf>::new()
    );
    house.close().await;
}

#[actix::test]
async fn a_store_that_fails_fails_the_write_and_the_hospital_goes_on() {
    let double = Double::new();
    let house = house_with(1, QUOTA_BYTES, Some(double.objects())).await;
    double.set(Writes::Full);
    let refused = house.write(demo_bundle(), 10_000).await;
    assert!(
        matches!(&refused, Err(HospitalError::Archive(ArchiveError::Keep(_)))),
        "{refused:?}"
    );
    assert_eq!(batches_on_chain(&house).await, 0);
    double.set(Writes::Work);
    let written = house.write(demo_bundle(), 30_000).await.expect("written");
    let stored = written
        .batches
        .iter()
        .all(|batch| batch.status == BatchStatus::Stored);
    assert!(stored, "{written:?}");
    assert_eq!(batches_on_chain(&house).await, written.batches.len());
    house.close().await;
}

/// A crash when packs are in the store but nobody has heard so: nothing is acknowledged, and the packs go.
#[actix::test]
async fn packs_without_an_upload_are_removed_after_a_crash() {
    let double = Double::new();
    let house = house_with(1, QUOTA_BYTES, Some(double.objects())).await;
    double.set(Writes::Unanswered);
    let crash = async {
        double
            .until_done(|done| !of(done, Deed::Write).is_empty())
            .await;
        // Before the crash: what is written after it is not orphaned.
        let orphans: Vec<String> = of(&double.done(), Deed::Write)
            .into_iter()
            .map(str::to_owned)
            .collect();
        house.panic(ActorName::Hospital(0)).await;
        double.set(Writes::Work);
        orphans
    };
    let (written, orphans) = tokio::join!(house.write(demo_bundle(), 30_000), crash);
    let written: Written = written.expect("written at the second try");
    let gone = |done: &[Done]| {
        let removed = of(done, Deed::Remove);
        orphans.iter().all(|path| removed.contains(&path.as_str()))
    };
    double.until_done(gone).await;
    // What was acknowledged is still there.
    let removed = double.done();
    for batch in &written.batches {
        let root = kithkin_protocol::hex(batch.root.as_ref());
        let path = format!("hospital-0/{root}.pack");
        assert!(
            !of(&removed, Deed::Remove).contains(&path.as_str()),
            "{path}"
        );
        assert!(of(&removed, Deed::Write).contains(&path.as_str()), "{path}");
    }
    assert_eq!(batches_on_chain(&house).await, written.batches.len());
    house.close().await;
}

/// The hospital that wrote the records asks to open them itself, so that it has own copies to read.
async fn request_at_author(house: &House) -> Requested {
    let message = RequestOpening {
        patient: house.patient(),
        tiers: Tier::ALL.to_vec(),
        purpose: Purpose::BreakGlass,
        reason: Reason::Unconscious,
        encounter: "A-2026-18".to_owned(),
        expires_in_ms: Millis(600_000),
        session_ms: Millis(600_000),
        credential: None,
        after: None,
    };
    house.ask(0, message).await.expect("it stands")
}

#[actix::test]
async fn what_the_archive_has_lost_comes_from_the_kin() {
    let house = house_with(1, QUOTA_BYTES, None).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    house.cluster.network().tap(move |event| {
        if event.content.is::<FetchShards>() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let bundle = demo_bundle();
    let written = house.write(bundle, 10_000).await.expect("written");
    let folder = house.data.path().join("archive/hospital-0");
    let file = |root: Digest| {
        let root = kithkin_protocol::hex(root.as_ref());
        folder.join(format!("{root}.pack"))
    };
    type Damage = fn(Vec<u8>) -> Option<Vec<u8>>;
    let kinds: [(&str, Damage); 4] = [
        ("as it was", Some),
        ("one bit", |mut pack| {
            let last = pack.last_mut()?;
            *last ^= 1;
            Some(pack)
        }),
        ("cut off", |mut pack| {
            pack.truncate(pack.len() / 2);
            Some(pack)
        }),
        ("missing", |_| None),
    ];
    let packs: Vec<(PathBuf, Vec<u8>)> = written
        .batches
        .iter()
        .map(|batch| file(batch.root))
        .map(|path| (path.clone(), std::fs::read(path).expect("there")))
        .collect();
    for (kind, spoil) in kinds {
        for (path, pack) in &packs {
            match spoil(pack.clone()) {
                Some(pack) => std::fs::write(path, pack).expect("written"),
                None => std::fs::remove_file(path).expect("removed"),
            }
        }
        // Shards are fetched ahead once the case is granted, maybe before the last approval is answered.
        let before = asked.load(Ordering::SeqCst);
        // A new case, so that nothing of the last one is remembered.
        let case = request_at_author(&house).await.case;
        for n in 0..3 {
            house.approve(case, n).await;
        }
        let read = ReadCase {
            case,
            tier: None,
            within_ms: Millis(30_000),
        };
        let opened = house.ask(0, read).await.expect("opened");
        assert_eq!(join(&opened.records), bundle, "{kind}");
        assert_eq!(opened.unopened, Vec::new(), "{kind}");
        let shards = asked.load(Ordering::SeqCst) - before;
        assert_eq!(
            shards > 0,
            kind != "as it was",
            "{kind}: {shards} questions"
        );
        let close = crate::hospital::messages::CloseCase(case);
        house.ask(0, close).await.expect("closed");
    }
    // Who asks for the copies themselves hears what is wrong with which record.
    let port = house.cluster.network().port(ActorName::Patient(0));
    let root = written.batches[0].root;
    let fetched = house.ask_as(port, 0, FetchRecords { root }).await;
    assert!(
        matches!(
            &fetched,
            Err(HospitalError::Archive(ArchiveError::Read { .. }))
        ),
        "{fetched:?}"
    );
    house.close().await;
}
