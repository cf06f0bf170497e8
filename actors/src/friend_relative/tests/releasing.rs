//! From approvals to delivered partial openings.

use crate::friend_relative::messages::{Conduct, Decide, Decision};
use crate::hospital::messages::DeliverPartials;
use crate::patient::messages::Veto;
use crate::ports::names::ActorName;
use crate::testing::{AUTHOR, House, TestRequest, TestUpload, kin};
use kithkin_protocol::crypto::group::PointBytes;
use kithkin_protocol::emergency::{Case, Phase};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::{Role, release_digest};
use kithkin_protocol::record::CheckedCapsule;
use kithkin_protocol::sharing::{Opening, PartialOpening, SignedPartial, combine, verify_partial};
use kithkin_protocol::units::Tier;

const ALL: [u8; 5] = [0, 1, 2, 3, 4];

async fn approve(house: &House, case: CaseId, who: &[u8]) {
    for n in who {
        let decide = Decide {
            case,
            decision: Decision::Approve,
        };
        house.ask_kin(*n, decide).await.expect("final");
    }
}

/// What was sent, unsealed, with the digest that should stand on chain.
fn unsealed(
    house: &House,
    case: &Case,
    request: &TestRequest,
    sent: &DeliverPartials,
) -> (
    Vec<(Tier, PartialOpening)>,
    kithkin_protocol::crypto::Digest,
) {
    let mut digests = Vec::new();
    let partials = sent.partials.iter().map(|(tier, sealed)| {
        let context = case.opening_context(house.chain(), *tier);
        let signed = SignedPartial::unseal(sealed, &context, &request.opening);
        let partial = signed.expect("sealed to this session").partial;
        digests.push(partial.digest(&context.rho));
        (*tier, partial)
    });
    let partials = partials.collect();
    (partials, release_digest(&digests))
}

async fn opening(
    house: &House,
    case: &Case,
    tier: Tier,
    uploads: &[&TestUpload],
) -> (Opening, Vec<CheckedCapsule>) {
    let enrolment = house.on_chain().await.expect("enrolled").enrolment;
    let commitments = &enrolment.tier(tier).expect("all tiers").commitments;
    let mut capsules = Vec::new();
    for upload in uploads {
        capsules.extend(upload.upload.check(commitments).expect("good"));
    }
    let context = case.opening_context(house.chain(), tier);
    let opening = Opening::new(&context, commitments, &capsules).expect("good");
    (opening, capsules)
}

#[actix::test]
async fn nothing_leaves_below_the_threshold_and_all_approving_kin_release_above_it() {
    let house = House::enrolled(4).await;
    let first = house.write(Tier::Chart, &["one", "two"], &ALL).await;
    let second = house.write(Tier::Chart, &["three"], &ALL).await;
    let request = house.request(&[Tier::Summary, Tier::Chart]).await;
    approve(&house, request.case, &[0, 1]).await;
    for n in ALL {
        house.until_looked(kin(n), 3).await;
    }
    assert!(house.sent().is_empty());
    for n in ALL {
        assert_eq!(house.held(n).await.released, Vec::new());
    }
    approve(&house, request.case, &[2]).await;
    house.until_sent(3).await;
    let case = house
        .until_case(request.case, |case| case.releases.len() == 3)
        .await;
    assert_eq!(case.phase, Phase::Open);
    let (opening, capsules) = opening(&house, &case, Tier::Chart, &[&first, &second]).await;
    let mut partials = Vec::new();
    for n in 0..3 {
        let sent = house.sent().into_iter().find(|(from, _)| *from == kin(n));
        let (_, sent) = sent.expect("it has released");
        let (opened, digest) = unsealed(&house, &case, &request, &sent);
        // The summary has no records: nothing is sent for it.
        let [(Tier::Chart, partial)] = opened.as_slice() else {
            panic!("{opened:?}");
        };
        assert_eq!(case.releases[&house.kin(n)], [digest]);
        assert_eq!(verify_partial(&opening, partial), Ok(()));
        partials.push(partial.clone());
    }
    let combined = combine(&opening, &request.session, &partials).expect("enough");
    assert_eq!(combined.keys.len(), capsules.len());
    assert_eq!(combined.refused, Vec::new());
    for n in [3, 4] {
        assert_eq!(house.held(n).await.released, Vec::new());
    }
}

#[actix::test]
async fn a_crash_in_the_middle_sends_the_same_bytes_again_and_announces_once() {
    let house = House::enrolled(1).await;
    house.write(Tier::Chart, &["one"], &ALL).await;
    // The hospital is away: partial openings leave, and nobody acknowledges them.
    house.hold(AUTHOR).await;
    let request = house.request(&[Tier::Chart]).await;
    approve(&house, request.case, &[0, 1, 2]).await;
    house.until_sent(3).await;
    for n in 0..3 {
        house.crash(kin(n)).await;
    }
    // Every kin sends again after its crash.
    let count = |all: &[(ActorName, DeliverPartials)], n| {
        all.iter().filter(|(from, _)| *from == kin(n)).count()
    };
    let after = house.sent();
    let again =
        |all: &[(ActorName, DeliverPartials)]| (0..3).all(|n| count(all, n) > count(&after, n));
    let all = house.until_sent_so(again).await;
    let from = |n| {
        all.iter()
            .filter(move |(from, _)| *from == kin(n))
            .map(|(_, sent)| &sent.partials)
    };
    for n in 0..3 {
        let all: Vec<_> = from(n).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "kin {n}");
        assert_eq!(house.held(n).await.released, [request.case]);
    }
    let case = house.case(request.case).await;
    assert!(case.releases.values().all(|digests| digests.len() == 1));
    // The hospital of this test knows no such case, but it is there again; nothing but the session's end stops a kin.
    house.release(AUTHOR).await;
}

#[actix::test]
async fn a_forged_partial_opening_is_well_formed_announced_and_wrong() {
    let house = House::enrolled(1).await;
    let upload = house.write(Tier::Chart, &["one", "two"], &ALL).await;
    house.ask_kin(1, Conduct::Forge).await;
    // The conduct outlives a crash, for scenarios that do both.
    house.crash(kin(1)).await;
    let request = house.request(&[Tier::Chart]).await;
    approve(&house, request.case, &[0, 1, 2]).await;
    house.until_sent(3).await;
    let case = house
        .until_case(request.case, |case| case.releases.len() == 3)
        .await;
    let (opening, capsules) = opening(&house, &case, Tier::Chart, &[&upload]).await;
    for n in 0..3 {
        let (_, sent) = house
            .sent()
            .into_iter()
            .find(|(from, _)| *from == kin(n))
            .expect("released");
        let (opened, digest) = unsealed(&house, &case, &request, &sent);
        let (_, partial) = &opened[0];
        assert_eq!(case.releases[&house.kin(n)], [digest]);
        assert_eq!(partial.points.len(), capsules.len());
        assert!(
            partial
                .points
                .iter()
                .map(PointBytes::decode)
                .all(|point| point.is_ok())
        );
        assert_eq!(verify_partial(&opening, partial).is_ok(), n != 1);
    }
}

#[actix::test]
async fn who_withholds_approves_and_releases_nothing() {
    let house = House::enrolled(1).await;
    let upload = house.write(Tier::Chart, &["one"], &ALL).await;
    house.ask_kin(0, Conduct::Withhold).await;
    let request = house.request(&[Tier::Chart]).await;
    approve(&house, request.case, &[0, 1, 2, 3]).await;
    let case = house
        .until_case(request.case, |case| case.releases.len() == 3)
        .await;
    assert!(!case.releases.contains_key(&house.kin(0)));
    house.until_sent(3).await;
    assert_eq!(house.held(0).await.released, Vec::new());
    // The others are enough.
    let (opening, capsules) = opening(&house, &case, Tier::Chart, &[&upload]).await;
    let sent = house.sent();
    let mut partials = Vec::new();
    for n in 1..4 {
        let (_, sent) = sent
            .iter()
            .find(|(from, _)| *from == kin(n))
            .expect("released");
        let (mut opened, _) = unsealed(&house, &case, &request, sent);
        partials.push(opened.remove(0).1);
    }
    let combined = combine(&opening, &request.session, &partials).expect("enough");
    let enrolment = house.on_chain().await.expect("enrolled").enrolment;
    assert_eq!(
        opening.commitments().threshold(),
        enrolment.roster.len() / 2 + 1
    );
    assert_eq!(combined.keys.len(), capsules.len());
}

#[actix::test]
async fn a_kin_that_missed_an_upload_gets_it_from_another() {
    let house = House::enrolled(1).await;
    let stored = house.write(Tier::Chart, &["one"], &ALL).await;
    // Kin 4 was away: the upload stands as degraded.
    let degraded = house
        .write(Tier::Chart, &["two", "three"], &[0, 1, 2, 3])
        .await;
    let request = house.request(&[Tier::Chart]).await;
    approve(&house, request.case, &[1, 3, 4]).await;
    house.until_sent(3).await;
    let case = house
        .until_case(request.case, |case| case.releases.len() == 3)
        .await;
    let (opening, _) = opening(&house, &case, Tier::Chart, &[&stored, &degraded]).await;
    let sent = house.sent();
    let (_, sent) = sent
        .iter()
        .find(|(from, _)| *from == kin(4))
        .expect("released");
    let (opened, _) = unsealed(&house, &case, &request, sent);
    assert_eq!(verify_partial(&opening, &opened[0].1), Ok(()));
}

#[actix::test]
async fn single_records_are_opened_alone() {
    let house = House::enrolled(1).await;
    let upload = house
        .write(Tier::Chart, &["one", "two", "three"], &ALL)
        .await;
    let only = vec![upload.upload.manifest.entries()[1].record];
    let request = house
        .request_with(&[Tier::Chart], |request| {
            request.scopes[0].only.clone_from(&only);
        })
        .await;
    approve(&house, request.case, &[0, 1, 2]).await;
    let sent = house.until_sent(1).await;
    let case = house.case(request.case).await;
    let (opened, _) = unsealed(&house, &case, &request, &sent[0].1);
    assert_eq!(opened[0].1.points.len(), 1);
}

/// A case that is granted, and of which nothing has been released.
async fn withheld(house: &House) -> CaseId {
    house.write(Tier::Chart, &["one"], &ALL).await;
    for n in 0..3 {
        house.ask_kin(n, Conduct::Withhold).await;
    }
    let request = house.request(&[Tier::Chart]).await;
    approve(house, request.case, &[0, 1, 2]).await;
    assert_eq!(house.case(request.case).await.phase, Phase::Granted);
    request.case
}

/// The kin that have approved would release now if they could; one more is asked.
async fn nothing_leaves(house: &House, case: CaseId) {
    for n in 0..3 {
        house.ask_kin(n, Conduct::Honest).await;
        house.crash(kin(n)).await;
    }
    approve_late(house, case).await;
    for n in ALL {
        house.until_looked(kin(n), 3).await;
    }
    assert!(house.sent().is_empty());
    for n in ALL {
        assert_eq!(house.held(n).await.released, Vec::new());
    }
}

#[actix::test]
async fn after_a_veto_nothing_leaves_any_more() {
    let house = House::enrolled(1).await;
    let case = withheld(&house).await;
    house.ask_patient(Veto(case)).await.expect("final");
    nothing_leaves(&house, case).await;
}

#[actix::test]
async fn nothing_leaves_for_a_hospital_that_is_accredited_no_more() {
    let house = House::enrolled(1).await;
    let case = withheld(&house).await;
    let hospital = house.hospital(AUTHOR).into();
    let revoked = house
        .cluster
        .revoke(Role::Hospital, hospital, House::deadline());
    revoked.await.expect("adopted");
    nothing_leaves(&house, case).await;
}

async fn approve_late(house: &House, case: CaseId) {
    let decide = Decide {
        case,
        decision: Decision::Approve,
    };
    let late = house.ask_kin_as(ActorName::Driver, 3, decide).await;
    assert!(late.is_err(), "{late:?}");
}
