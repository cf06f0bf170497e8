//! Keeping shards and handing them out.

use crate::friend_relative::desk::Desk;
use crate::friend_relative::messages::{
    Decide, Decision, FetchShards, FetchUpload, Ground, KinError, StoreShards,
};
use crate::friend_relative::shards;
use crate::friend_relative::storage::{Kept, Put as _, Ward};
use crate::ports::names::ActorName;
use crate::ports::store::{Batch, Store, StoreOptions};
use crate::testing::{AUTHOR, House, PATIENT, SPONSOR, TestUpload, kin};
use crate::upload::shard_threshold;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::record::held_digest;
use kithkin_protocol::units::{CircleKind, Epoch, ShareIndex, Tier};
use std::sync::Arc;

#[actix::test]
async fn a_receipt_covers_what_is_durable_and_is_given_again() {
    let house = House::enrolled(1).await;
    let upload = house.seal(Tier::Chart, &["one", "two", "three"]).await;
    let receipt = house.store(&upload, 2).await.expect("stored");
    let key = house.identity(kin(2)).signing.verifying_key();
    assert!(receipt.verify(&key).is_ok());
    assert_eq!(receipt.body.manifest_root, upload.root());
    assert_eq!(receipt.body.index.position(), 2);
    let enrolment = house.on_chain().await.expect("enrolled").enrolment;
    let threshold = shard_threshold(&enrolment).expect("a roster");
    let entries = upload.upload.manifest.entries().iter();
    let message = upload.of_kin(2);
    let leaves = entries
        .zip(&message.shards)
        .map(|(entry, shard)| shard.leaf(entry, threshold));
    assert_eq!(receipt.body.held, held_digest(leaves));
    house.crash(kin(2)).await;
    let held = house.held(2).await;
    assert_eq!((held.uploads, held.shards), (1, 3));
    assert_eq!(house.store(&upload, 2).await, Ok(receipt));
    assert_eq!(house.held(2).await, held);
}

/// A kin's flows over a store of the test's own; its shares are elsewhere.
async fn kin_beside(house: &House, store: &Store) -> Arc<Desk> {
    let name = kin(0);
    let desk = Desk::open(
        house.cluster.setting().clone(),
        house.identity(name),
        house.keys_of(ActorName::Patient(1)),
        house.port(name),
        store.space("kin").expect("a space"),
    );
    let desk = desk.expect("opens");
    let entry = house.on_chain().await.expect("enrolled");
    let patient = house.patient();
    desk.put_ward(Arc::new(Ward {
        patient,
        circle: CircleKind::First,
        index: ShareIndex::from_position(0).expect("the first"),
        epoch: entry.epoch,
        second_epoch: entry.second_epoch,
        offered_ms: house.now(),
        since: entry.roster_since,
        digest: entry.enrolment.digest(house.chain(), patient),
        active: true,
        enrolment: entry.enrolment,
        shares: Vec::new(),
        rewrapped: None,
    }));
    Arc::new(desk)
}

#[actix::test]
async fn nothing_is_signed_for_that_was_lost_until_it_is_here_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), StoreOptions::default()).expect("opens");
    let house = House::enrolled(1).await;
    let desk = kin_beside(&house, &store).await;
    let upload = house.seal(Tier::Chart, &["one", "two"]).await;
    let (root, message) = (upload.root(), upload.of_kin(0));
    let hand_in = |message| shards::store(desk.clone(), AUTHOR, message);
    let receipt = hand_in(message.clone()).await.expect("stored");
    // A drill has found that a piece is gone.
    let record = message.upload.manifest.entries()[0].record;
    let slot = message.shards[0].index;
    let kept = desk.store.kept(&root).expect("read").expect("kept");
    let mut lose = Batch::default();
    let damaged = true;
    lose.no_shard(&root, &record, slot)
        .kept(&root, &Kept { damaged, ..kept });
    desk.store.write(lose).await.expect("lost");
    let mut empty = message.clone();
    empty.shards.clear();
    let refused = hand_in(empty).await;
    assert!(
        matches!(&refused, Err(KinError::Shards { reason }) if reason.contains("0 shards for 2")),
        "{refused:?}"
    );
    assert_eq!(hand_in(message.clone()).await, Ok(receipt));
    let again = desk.store.shard(&root, &record, slot).expect("read");
    assert_eq!(again.as_ref(), message.shards.first());
    let kept = desk.store.kept(&root).expect("read").expect("kept");
    assert!(!kept.damaged);
    // What the kin should hold besides is made anew from the others' before it signs.
    let mut more = Batch::default();
    let other = ShareIndex::from_position(4).expect("the fifth");
    let slots = vec![slot, other];
    let damaged = true;
    more.kept(
        &root,
        &Kept {
            damaged,
            slots,
            ..kept
        },
    );
    desk.store.write(more).await.expect("lost");
    let refused = hand_in(message).await;
    assert!(
        matches!(refused, Err(KinError::Shards { .. })),
        "{refused:?}"
    );
}

#[actix::test]
async fn bad_uploads_are_refused_and_nothing_is_kept() {
    let house = House::enrolled(1).await;
    let upload = house.seal(Tier::Chart, &["one", "two"]).await;
    let good = upload.of_kin(0);
    let with = |change: &dyn Fn(&mut StoreShards)| {
        let mut message = good.clone();
        change(&mut message);
        message
    };
    let neighbour = upload.of_kin(1);
    let another = house.seal(Tier::Chart, &["one", "two"]).await;
    for (message, word) in [
        (
            with(&|m| m.shards[1].bytes[0] ^= 1),
            "shard 1 is not the one",
        ),
        (with(&|m| drop(m.shards.pop())), "1 shards for 2 records"),
        (with(&|m| m.shards.swap(0, 1)), "shard 1 is not the one"),
        (neighbour, "share index 2, not 1"),
        (
            with(&|m| Arc::make_mut(&mut m.upload).capsules.swap(0, 1)),
            "the capsule of record",
        ),
        (
            with(&|m| Arc::make_mut(&mut m.upload).capsules[0] = another.upload.capsules[0]),
            "the manifest names another capsule",
        ),
        (
            with(&|m| Arc::make_mut(&mut m.upload).tier = Tier::Sensitive),
            "belongs to another record, patient, tier",
        ),
        (
            with(&|m| Arc::make_mut(&mut m.upload).epoch = Epoch(2)),
            "another ledger or roster epoch",
        ),
        (
            with(&|m| Arc::make_mut(&mut m.upload).chain.0[0] ^= 1),
            "another ledger or roster epoch",
        ),
    ] {
        let refused = house.ask_kin_as(AUTHOR, 0, message).await;
        let refused = refused.expect_err("refused").to_string();
        assert!(refused.contains(word), "{refused}");
    }
    let held = house.held(0).await;
    assert_eq!((held.uploads, held.shards), (0, 0));
    house
        .store(&upload, 0)
        .await
        .expect("the good one is taken");
}

#[actix::test]
async fn only_the_author_stores_and_only_for_an_enrolled_patient() {
    let house = House::enrolled(1).await;
    let upload = house.seal(Tier::Chart, &["one"]).await;
    for stranger in [SPONSOR, PATIENT, kin(1), ActorName::Driver] {
        let refused = house.ask_kin_as(stranger, 0, upload.of_kin(0)).await;
        assert!(
            matches!(refused, Err(KinError::Forbidden { .. })),
            "{refused:?}"
        );
    }
    let port = house.port(AUTHOR);
    let other = ActorName::Kin(1, 0);
    let asked = port.ask::<crate::friend_relative::FriendRelative, _>(
        other,
        upload.of_kin(0),
        crate::testing::PATIENCE,
    );
    let refused = asked.await.expect("it answers");
    assert!(
        matches!(refused, Err(KinError::NotMyPatient { .. })),
        "{refused:?}"
    );
}

async fn fetch(
    house: &House,
    from: ActorName,
    upload: &TestUpload,
    ground: Option<Ground>,
) -> (Result<(), KinError>, Result<usize, KinError>) {
    let root = upload.root();
    let whole = FetchUpload { root, ground };
    let whole = house.ask_kin_as(from, 0, whole).await.map(|fetched| {
        assert_eq!(fetched, upload.upload);
    });
    let only = Vec::new();
    let shards = FetchShards { root, only, ground };
    let shards = house.ask_kin_as(from, 0, shards).await;
    (whole, shards.map(|shards| shards.len()))
}

fn forbidden<T: core::fmt::Debug>(result: Result<T, KinError>) -> bool {
    matches!(result, Err(KinError::Forbidden { .. }))
}

#[actix::test]
async fn the_patient_fetches_and_strangers_do_not() {
    let house = House::enrolled(1).await;
    let upload = house.seal(Tier::Chart, &["one", "two"]).await;
    house.store(&upload, 0).await.expect("stored");
    assert_eq!(fetch(&house, PATIENT, &upload, None).await, (Ok(()), Ok(2)));
    // Manifest and capsules also for who wrote them; all of it for fellow kin, who make lost pieces anew from it.
    let (whole, shards) = fetch(&house, AUTHOR, &upload, None).await;
    assert!(whole.is_ok() && forbidden(shards));
    assert_eq!(fetch(&house, kin(3), &upload, None).await, (Ok(()), Ok(2)));
    for stranger in [
        SPONSOR,
        ActorName::Patient(1),
        ActorName::Kin(1, 0),
        ActorName::Validator(0),
        ActorName::Driver,
    ] {
        let (whole, shards) = fetch(&house, stranger, &upload, None).await;
        assert!(forbidden(whole) && forbidden(shards), "{stranger}");
    }
    let root = Digest([7; 32]);
    let unknown = FetchUpload { root, ground: None };
    let unknown = house.ask_kin_as(PATIENT, 0, unknown).await;
    assert_eq!(unknown, Err(KinError::Unknown { root }));
    let flood = FetchShards {
        root: upload.root(),
        only: vec![upload.upload.manifest.entries()[0].record; 5_000],
        ground: None,
    };
    let flood = house.ask_kin_as(PATIENT, 0, flood).await;
    assert!(matches!(flood, Err(KinError::TooMuch { .. })), "{flood:?}");
}

#[actix::test]
async fn a_hospital_fetches_with_a_granted_case_only() {
    let house = House::enrolled(1).await;
    let all = [0, 1, 2, 3, 4];
    let upload = house.write(Tier::Chart, &["one", "two"], &all).await;
    let summary = house.write(Tier::Summary, &["sum"], &all).await;
    let only = vec![upload.upload.manifest.entries()[1].record];
    let request = house
        .request_with(&[Tier::Chart], |request| {
            request.scopes[0].only.clone_from(&only);
        })
        .await;
    let ground = Some(Ground::Case(request.case));
    let (_, early) = fetch(&house, AUTHOR, &upload, ground).await;
    assert!(forbidden(early), "it is only requested");
    for n in 0..3 {
        let decide = Decide {
            case: request.case,
            decision: Decision::Approve,
        };
        house.ask_kin(n, decide).await.expect("approved");
    }
    house
        .until_case(request.case, |case| case.phase.opens())
        .await;
    // That it was shut a moment ago is soon forgotten.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while fetch(&house, AUTHOR, &upload, ground).await.1.is_err() {
        assert!(std::time::Instant::now() < until, "still shut");
    }
    let root = upload.root();
    let ask = |only| FetchShards { root, only, ground };
    let shards = house
        .ask_kin_as(AUTHOR, 4, ask(Vec::new()))
        .await
        .expect("granted");
    assert_eq!(
        shards.iter().map(|(record, _)| *record).collect::<Vec<_>>(),
        only
    );
    let first = vec![upload.upload.manifest.entries()[0].record];
    assert!(
        forbidden(house.ask_kin_as(AUTHOR, 4, ask(first)).await),
        "out of scope"
    );
    assert!(
        forbidden(house.ask_kin_as(SPONSOR, 4, ask(Vec::new())).await),
        "not its case"
    );
    let other = FetchShards {
        root: summary.root(),
        only: Vec::new(),
        ground,
    };
    assert!(
        forbidden(house.ask_kin_as(AUTHOR, 4, other).await),
        "another tier"
    );
    let invented = FetchShards {
        root,
        only: Vec::new(),
        ground: Some(Ground::Case(CaseId([9; 32]))),
    };
    let invented = house.ask_kin_as(AUTHOR, 4, invented).await;
    assert!(
        matches!(invented, Err(KinError::Case { .. })),
        "{invented:?}"
    );
}
