//! A patient's second circle, in a whole cluster: what it gets, what it opens, and that it stays when the first one's shares change.

use crate::friend_relative::messages::{
    Decide, Decision, FetchShards, FetchUpload, Ground, KinError, Pending, StoreShards,
};
use crate::hospital::messages::{HospitalError, LendRecords};
use crate::patient::messages::{Enrol, SecondWish};
use crate::ports::names::ActorName;
use crate::testing::{AUTHOR, House, PATIENCE, SPONSOR, TestRequest, TestUpload, kin};
use kithkin_protocol::emergency::{Circle, Escalation, Phase};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::TxBody;
use kithkin_protocol::units::{Epoch, Millis, Tier};
use std::collections::BTreeSet;
use std::time::Instant;

const FIRST: [u8; 5] = [0, 1, 2, 3, 4];
const SECOND: [u8; 3] = [5, 6, 7];
const SECOND_MS: u64 = 2_000;

/// Five kin on the roster, three in the second circle.
fn wish(house: &House) -> Enrol {
    let mut roster = house.cluster.roster(0);
    let others = roster.split_off(FIRST.len());
    Enrol {
        roster,
        escalation: Escalation {
            remind_after_ms: Millis(1_000),
            second_circle_after_ms: Millis(SECOND_MS),
        },
        second: Some(SecondWish {
            roster: others,
            threshold: None,
        }),
        ..house.wish()
    }
}

async fn enrolled() -> House {
    let house = House::open_with(1, 8).await;
    house.ask_patient(wish(&house)).await.expect("all accept");
    house
}

/// A request to the second circle, made as soon as it can be.
pub(super) async fn second(house: &House, epoch: Epoch) -> TestRequest {
    let first = house
        .request_with(&[Tier::Summary], |request| request.epoch = epoch)
        .await;
    let asked = house.now();
    let until = Instant::now() + PATIENCE;
    while house.now() < asked.plus(SECOND_MS + 500) {
        assert!(Instant::now() < until);
        // The case is proved anew each time: the clock goes on meanwhile.
        house.case(first.case).await;
    }
    let after = first.case;
    house
        .request_with(&[Tier::Summary], |request| {
            request.epoch = epoch;
            request.circle = Circle::Second { after };
        })
        .await
}

pub(super) async fn decide(house: &House, n: u8, case: CaseId) -> Result<Phase, KinError> {
    let decision = Decision::Approve;
    let decided = house.ask_kin(n, Decide { case, decision }).await;
    decided.map(|decided| decided.phase)
}

/// What a kin of the second circle may have of an upload from one of the first, and from the hospital that wrote it.
async fn may_have(house: &House, upload: &TestUpload, case: CaseId) -> (bool, bool, bool) {
    let (root, ground) = (upload.root(), Some(Ground::Case(case)));
    let whole = FetchUpload { root, ground };
    let whole = house.ask_kin_as(kin(SECOND[0]), 0, whole).await;
    let shards = FetchShards {
        root,
        only: Vec::new(),
        ground,
    };
    let shards = house.ask_kin_as(kin(SECOND[0]), 0, shards).await;
    let without = FetchUpload { root, ground: None };
    let without = house.ask_kin_as(kin(SECOND[0]), 0, without).await;
    (whole.is_ok(), shards.is_ok(), without.is_ok())
}

#[actix::test]
async fn the_second_circle_gets_a_share_of_the_summary_and_nothing_else() {
    let house = enrolled().await;
    for n in FIRST {
        assert_eq!(house.held(n).await.shares, 3);
    }
    for n in SECOND {
        assert_eq!(house.held(n).await.shares, 1);
    }
    let stands = house.on_chain().await.expect("it stands").enrolment;
    assert_eq!(stands.roster.len(), FIRST.len());
    let circle = stands.second.expect("named");
    assert_eq!(circle.commitments.threshold(), 2);
    // Asked again, the device answers where it stands; a restarted one too.
    house.crash(crate::testing::PATIENT).await;
    house.ask_patient(wish(&house)).await.expect("it stands");

    let summary = house.write(Tier::Summary, &["sum"], &FIRST).await;
    let chart = house.write(Tier::Chart, &["one"], &FIRST).await;
    let mut stray: StoreShards = summary.of_kin(0);
    stray.shards.clone_from(&summary.of_kin(0).shards);
    let refused = house.ask_kin_as(AUTHOR, SECOND[0], stray).await;
    assert!(
        matches!(&refused, Err(KinError::Shards { reason }) if reason.contains("no shards")),
        "{refused:?}"
    );

    let request = second(&house, Epoch(1)).await;
    let case = request.case;
    let nothing = (false, false, false);
    assert_eq!(
        may_have(&house, &summary, case).await,
        nothing,
        "not granted"
    );
    let first = decide(&house, 0, case).await;
    assert!(first.is_err(), "the first circle is not asked: {first:?}");
    let asked = house.ask_kin(SECOND[0], Pending).await.expect("shown");
    assert_eq!(asked.iter().map(|one| one.case).collect::<Vec<_>>(), [case]);
    let asked = house.ask_kin(0, Pending).await.expect("shown");
    assert!(asked.iter().all(|one| one.case != case), "{asked:?}");
    for n in [5, 6] {
        decide(&house, n, case).await.expect("approved");
    }
    house.until_case(case, |case| case.phase.opens()).await;
    // The capsules of the summary come from the first circle's devices; the pieces, and the chart, do not.
    let until = Instant::now() + PATIENCE;
    while may_have(&house, &summary, case).await != (true, false, false) {
        assert!(Instant::now() < until, "still shut");
    }
    assert_eq!(may_have(&house, &chart, case).await, nothing);
    let sent = house.until_sent(2).await;
    let from: BTreeSet<ActorName> = sent.iter().map(|(from, _)| *from).collect();
    assert_eq!(from, BTreeSet::from([kin(5), kin(6)]));
    for (_, delivered) in sent {
        let tiers: Vec<Tier> = delivered.partials.iter().map(|(tier, _)| *tier).collect();
        assert_eq!((delivered.case, tiers), (case, vec![Tier::Summary]));
    }
}

#[actix::test]
async fn the_second_circle_outlives_a_refresh_of_the_first() {
    let house = enrolled().await;
    house.write(Tier::Summary, &["sum"], &FIRST).await;
    let request = house.request(&[Tier::Summary]).await;
    for n in [0, 1, 2] {
        decide(&house, n, request.case).await.expect("approved");
    }
    house.until_sent(3).await;
    let close = TxBody::Close { case: request.case };
    let closed = house.client(AUTHOR).submit(close, House::deadline()).await;
    closed.expect("closed");
    let until = Instant::now() + PATIENCE;
    while house.held(0).await.epoch < 2 {
        assert!(Instant::now() < until, "the shares are not refreshed");
    }
    // None of them has ever been asked: what they hold has to be found to stand on chain all the same.
    let request = second(&house, Epoch(2)).await;
    for n in [6, 7] {
        decide(&house, n, request.case).await.expect("approved");
        let held = house.held(n).await;
        assert_eq!((held.shares, held.epoch), (1, 2));
    }
    let sent = house.until_sent_so(|sent| {
        let of_case = sent.iter().filter(|(_, sent)| sent.case == request.case);
        let from: BTreeSet<ActorName> = of_case.map(|(from, _)| *from).collect();
        from == BTreeSet::from([kin(6), kin(7)])
    });
    sent.await;
}

#[actix::test]
async fn a_hospital_lends_to_a_granted_case_of_the_second_circle_only() {
    let house = enrolled().await;
    let bundle = std::sync::Arc::new(kithkin_fhir::fixture::demo_bundle().to_vec());
    let write = crate::hospital::messages::WriteRecord {
        patient: house.patient(),
        bundle,
        patience_ms: Millis(20_000),
    };
    let written = house.ask_hospital(SPONSOR, write).await.expect("written");
    let of = |tier| written.batches.iter().find(|batch| batch.tier == tier);
    let (summary, chart) = (
        of(Tier::Summary).expect("one"),
        of(Tier::Chart).expect("one"),
    );
    let request = second(&house, Epoch(1)).await;
    let lend = async |from: ActorName, root, case| {
        let port = house.port(from);
        let asked = LendRecords { root, case };
        let asked = port.ask::<crate::hospital::Hospital, _>(SPONSOR, asked, PATIENCE);
        asked.await.expect("it answers")
    };
    let early = lend(AUTHOR, summary.root, request.case).await;
    assert!(
        matches!(early, Err(HospitalError::Forbidden { .. })),
        "{early:?}"
    );
    for n in [5, 7] {
        decide(&house, n, request.case).await.expect("approved");
    }
    house
        .until_case(request.case, |case| case.phase.opens())
        .await;
    let lent = lend(AUTHOR, summary.root, request.case)
        .await
        .expect("granted");
    assert_eq!(lent.ciphertexts.len(), summary.records as usize);
    let lent = lend(kin(5), summary.root, request.case)
        .await
        .expect("granted");
    assert!(lent.ciphertexts.is_empty(), "capsules only");
    for (what, from, root) in [
        ("the chart", AUTHOR, chart.root),
        ("the first circle", kin(0), summary.root),
        ("a stranger", ActorName::Kin(1, 0), summary.root),
        ("no hospital", ActorName::Patient(0), summary.root),
    ] {
        assert!(lend(from, root, request.case).await.is_err(), "{what}");
    }
}
