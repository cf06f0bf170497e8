//! A patient who has lost the device, with real kin and a real hospital: patient 1 of the house is nobody yet, the new device.

use super::{read, texts};
use crate::friend_relative::messages::{
    Conduct, Decide, Decision, FetchRewrapped, KinError, ReleaseShares,
};
use crate::hospital::messages::{CloseCase, ReadCase, RequestOpening};
use crate::patient::Patient;
use crate::patient::messages::{
    AboutRoster as OwnRoster, AboutSecond, FetchCapsules, PatientError, ReadAll, Rebuild, Rebuilt,
    SecondWish, Source,
};
use crate::ports::names::ActorName;
use crate::ports::network::LinkRule;
use crate::rewrapped::Asker;
use crate::testing::{AUTHOR, House, NEW, PATIENCE, PATIENT, SPONSOR, kin};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::{Purpose, Reason};
use kithkin_protocol::units::{Epoch, Millis, Tier};
use std::time::Instant;

const ALL: [u8; 5] = [0, 1, 2, 3, 4];

/// Enrolled, with so short a delay for a veto; three records.
pub(super) async fn house(veto_ms: u64) -> House {
    let house = House::open(1).await;
    let mut wish = house.wish();
    wish.rules.veto_ms = Millis(veto_ms);
    house.ask_patient(wish).await.expect("enrolled");
    house.write(Tier::Chart, &["a", "b"], &ALL).await;
    house.write(Tier::Summary, &["c"], &ALL).await;
    house
}

async fn rebuild(house: &House) -> Result<Rebuilt, PatientError> {
    let patient = house.patient();
    house.ask_new_device(Rebuild { patient }).await
}

pub(super) async fn replaced(house: &House) {
    let account = house.identity(NEW).account();
    let entry = house.until_on_chain(|entry| entry.device == account).await;
    assert!(entry.is_recovering);
}

async fn share_keys(house: &House, n: u8, are: impl Fn(&[String]) -> bool) {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut names = house.keys_of(kin(n)).names().expect("names");
        names.retain(|name| name.starts_with("share-"));
        if are(&names) {
            return;
        }
        assert!(Instant::now() < until, "still {names:?}");
        house.until_looked(kin(n), 1).await;
    }
}

/// An emergency at a hospital that wrote nothing of this.
async fn emergency(house: &House, tier: Tier) -> Vec<String> {
    let request = RequestOpening {
        patient: house.patient(),
        tiers: vec![tier],
        purpose: Purpose::BreakGlass,
        reason: Reason::Unconscious,
        encounter: "encounter".to_owned(),
        expires_in_ms: Millis(600_000),
        session_ms: Millis(600_000),
        credential: None,
        after: None,
    };
    let case = house
        .ask_hospital(SPONSOR, request)
        .await
        .expect("requested")
        .case;
    for n in [0, 2, 4] {
        let decision = Decision::Approve;
        house
            .ask_kin(n, Decide { case, decision })
            .await
            .expect("approved");
    }
    let question = ReadCase {
        case,
        tier: Some(tier),
        within_ms: Millis(30_000),
    };
    let opened = house.ask_hospital(SPONSOR, question).await.expect("opened");
    assert_eq!(opened.forged, []);
    house
        .ask_hospital(SPONSOR, CloseCase(case))
        .await
        .expect("closed");
    let texts = texts(&opened.records).into_iter().map(str::to_owned);
    texts.collect()
}

#[actix::test]
async fn keys_are_rebuilt_on_a_new_device_and_others_take_their_place() {
    let house = house(1).await;
    let early = rebuild(&house).await.expect_err("nobody vouched");
    assert!(matches!(early, PatientError::Roster { .. }), "{early}");
    house.hold(PATIENT).await;
    house.vouch_for_new_device().await;
    replaced(&house).await;
    house.ask_kin(4, Conduct::Forge).await;
    let before = house.on_chain().await.expect("enrolled");
    let rebuilt = rebuild(&house).await.expect("rebuilt");
    assert_eq!(
        (rebuilt.wrong, rebuilt.silent),
        (vec![house.kin(4)], vec![])
    );
    assert_eq!((rebuilt.batches, rebuilt.records, rebuilt.empty), (2, 3, 0));
    let entry = house.until_on_chain(|entry| entry.epoch == Epoch(2)).await;
    house.ask_kin(4, Conduct::Honest).await;
    assert!(!entry.is_recovering);
    assert_eq!(entry.exposed, Some(Epoch(1)));
    for (new, old) in entry.enrolment.tiers.iter().zip(&before.enrolment.tiers) {
        assert_ne!(new.commitments.public_key(), old.commitments.public_key());
    }
    for n in ALL {
        share_keys(&house, n, |names| {
            names.len() == 3 && names.iter().all(|name| name.contains("-2-"))
        })
        .await;
    }
    // The patient has everything back, and so has an emergency, from new shares and new capsules.
    let own = house
        .ask_new_device(read(&[Tier::Chart, Tier::Summary], Source::Kin))
        .await;
    let mut own = texts(&own.expect("opened"))
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    own.sort();
    assert_eq!(own, ["a", "b", "c"]);
    assert_eq!(emergency(&house, Tier::Chart).await, ["a", "b"]);
    // Whoever finds the old phone gets nothing, not even ciphertext.
    house.release(PATIENT).await;
    let stolen: Result<_, PatientError> =
        house.ask_patient(read(&[Tier::Chart], Source::Kin)).await;
    assert!(
        matches!(stolen, Err(PatientError::Upload { .. })),
        "{stolen:?}"
    );
    let again = rebuild(&house).await.expect_err("done already");
    assert!(again.to_string().contains("already"), "{again}");
}

#[actix::test]
async fn shares_go_to_nobody_but_the_device_that_stands_on_chain_and_only_until_it_has_dealt() {
    let house = house(1).await;
    let patient = house.patient();
    let forbidden = async |from: ActorName| {
        let asked = house.ask_kin_as(from, 0, ReleaseShares { patient }).await;
        assert!(
            matches!(asked, Err(KinError::Forbidden { .. })),
            "{from}: {asked:?}"
        );
    };
    let strangers = [PATIENT, NEW, AUTHOR, kin(1), ActorName::Driver];
    for from in strangers {
        forbidden(from).await;
    }
    house.vouch_for_new_device().await;
    replaced(&house).await;
    for from in strangers.into_iter().filter(|from| *from != NEW) {
        forbidden(from).await;
    }
    let released = house.ask_kin_as(NEW, 0, ReleaseShares { patient }).await;
    assert_eq!(released.expect("it is the device").shares.len(), 3);
    rebuild(&house).await.expect("rebuilt");
    house.until_on_chain(|entry| entry.epoch == Epoch(2)).await;
    forbidden(NEW).await;
}

#[actix::test]
async fn the_old_device_stops_a_stranger_in_time() {
    let house = house(3_600_000).await;
    house.vouch_for_new_device().await;
    house.ask_patient(OwnRoster::Veto).await.expect("final");
    let entry = house.on_chain().await.expect("enrolled");
    assert_eq!(entry.device, house.identity(PATIENT).account());
    let refused = rebuild(&house).await.expect_err("it was stopped");
    assert!(matches!(refused, PatientError::Roster { .. }), "{refused}");
    let patient = house.patient();
    let asked = house.ask_kin_as(NEW, 0, ReleaseShares { patient }).await;
    assert!(
        matches!(asked, Err(KinError::Forbidden { .. })),
        "{asked:?}"
    );
    let own = house.ask_patient(read(&[Tier::Chart], Source::Kin)).await;
    assert_eq!(texts(&own.expect("opened")), ["a", "b"]);
}

#[actix::test]
async fn wrong_shares_name_their_authors_and_too_few_good_ones_rebuild_nothing() {
    let house = house(1).await;
    house.vouch_for_new_device().await;
    replaced(&house).await;
    for n in [1, 2, 3] {
        house.ask_kin(n, Conduct::Forge).await;
    }
    let failed = rebuild(&house).await.expect_err("two good ones");
    let named = [1, 2, 3].map(|n| house.kin(n)).to_vec();
    assert!(
        matches!(&failed, PatientError::Shares { wrong, .. } if *wrong == named),
        "{failed}"
    );
    house.ask_kin(2, Conduct::Honest).await;
    let rebuilt = rebuild(&house).await.expect("three good ones");
    assert_eq!(rebuilt.wrong, [1, 3].map(|n| house.kin(n)));
    house.until_on_chain(|entry| entry.epoch == Epoch(2)).await;
}

#[actix::test]
async fn the_old_shares_stand_until_the_last_kin_holds_the_new_ones() {
    let house = house(1).await;
    house.vouch_for_new_device().await;
    replaced(&house).await;
    house.hold(kin(3)).await;
    let rebuilt = rebuild(&house).await.expect("four are enough");
    assert_eq!(rebuilt.silent, [house.kin(3)]);
    // Kin and device forget nothing when they crash in between.
    house.crash(NEW).await;
    house.crash(kin(0)).await;
    assert_eq!(
        rebuild(&house).await.expect("under way").batches,
        rebuilt.batches
    );
    assert_eq!(house.on_chain().await.expect("enrolled").epoch, Epoch(1));
    share_keys(&house, 1, |names| names.len() == 6).await;
    house.release(kin(3)).await;
    house.until_on_chain(|entry| entry.epoch == Epoch(2)).await;
    share_keys(&house, 3, |names| names.len() == 3).await;
    assert_eq!(emergency(&house, Tier::Summary).await, ["c"]);
}

#[actix::test]
async fn new_capsules_are_handed_out_like_the_upload_that_they_belong_to() {
    let house = house(1).await;
    let upload = house.write(Tier::Chart, &["d"], &ALL).await;
    house.vouch_for_new_device().await;
    replaced(&house).await;
    rebuild(&house).await.expect("rebuilt");
    let entry = house.until_on_chain(|entry| entry.epoch == Epoch(2)).await;
    let anew = entry.rewrapped.expect("made anew");
    let question = FetchRewrapped {
        under: anew.rewrap.root,
        root: upload.root(),
        ground: None,
    };
    for from in [kin(1), NEW, AUTHOR] {
        let sent = house.ask_kin_as(from, 0, question).await.expect("it may");
        sent.verify(&anew.rewrap, &upload.root())
            .expect("under the root");
    }
    // Nobody waits for a kin that does not answer: the next one's answer is as good.
    let network = house.cluster.network();
    network.set_link_both(NEW, kin(0), LinkRule::severed());
    let (port, directory) = (house.port(NEW), &house.cluster.setting().directory);
    let asker = Asker {
        port: &port,
        directory,
        ground: None,
        within: PATIENCE * 2,
    };
    let roster = ALL.map(|n| house.kin(n));
    let fetched = crate::rewrapped::fetch(asker, roster, anew, upload.root());
    let fetched = tokio::time::timeout(PATIENCE, fetched).await;
    fetched.expect("in time").expect("the others have it");
    network.clear_links();
    for from in [PATIENT, SPONSOR, ActorName::Driver] {
        let refused = house.ask_kin_as(from, 0, question).await;
        assert!(
            matches!(refused, Err(KinError::Forbidden { .. })),
            "{from}: {refused:?}"
        );
    }
    let other = FetchRewrapped {
        under: Digest([4; 32]),
        ..question
    };
    let unknown = house.ask_kin_as(kin(1), 0, other).await;
    assert!(
        matches!(unknown, Err(KinError::Unknown { .. })),
        "{unknown:?}"
    );
    let capsules = FetchCapsules {
        under: anew.rewrap.root,
        root: upload.root(),
    };
    for from in [AUTHOR, ActorName::Driver] {
        let asked = house
            .port(from)
            .ask::<Patient, _>(NEW, capsules, PATIENCE)
            .await;
        assert!(matches!(asked, Ok(Err(PatientError::Forbidden { .. }))));
    }
    let only = ReadAll {
        only: vec![upload.root()],
        ..read(&[Tier::Chart], Source::Kin)
    };
    let own = house.ask_new_device(only).await;
    assert_eq!(texts(&own.expect("opened")), ["d"]);
}

#[actix::test]
async fn a_new_device_names_the_second_circle_again() {
    let house = House::open_with(1, 8).await;
    let mut wish = house.wish();
    wish.rules.veto_ms = Millis(1);
    let others = wish.roster.split_off(ALL.len());
    wish.second = Some(SecondWish {
        roster: others.clone(),
        threshold: Some(3),
    });
    house.ask_patient(wish).await.expect("enrolled");
    house.write(Tier::Summary, &["c"], &ALL).await;
    house.hold(PATIENT).await;
    house.vouch_for_new_device().await;
    replaced(&house).await;
    rebuild(&house).await.expect("rebuilt");
    let entry = house
        .until_on_chain(|entry| entry.second_epoch == Epoch(3))
        .await;
    let second = entry.enrolment.second.clone().expect("named again");
    assert_eq!(second.roster, others);
    assert_eq!(second.commitments.threshold(), 3);
    let summary = &entry.enrolment.tiers[0].commitments;
    assert_eq!(second.commitments.public_key(), summary.public_key());
    for n in 5..8 {
        share_keys(&house, n, |names| {
            names.len() == 1 && names.iter().all(|name| name.contains("-3-"))
        })
        .await;
    }
    // It owes them nothing any more.
    house.crash(NEW).await;
    let withdrawn = house
        .ask_new_device(AboutSecond::Withdraw)
        .await
        .expect("final");
    assert_eq!((withdrawn.epoch, withdrawn.kin), (Epoch(4), 0));
}
