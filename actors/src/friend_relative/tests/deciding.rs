//! Showing requests, approving and refusing them, and replaying an approval.

use crate::friend_relative::messages::{
    AboutRoster, Conduct, Decide, Decision, Inventory, KinError, Pending, ReplayApproval,
    RosterWish,
};
use crate::ports::names::ActorName;
use crate::ports::network::LinkRule;
use crate::testing::{AUTHOR, House, PATIENT, kin};
use kithkin_protocol::emergency::{Phase, Purpose, Reason, RefusalReason, Request};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::{State, TxBody};
use kithkin_protocol::roster::{Handover, Plan};
use kithkin_protocol::units::{Epoch, Millis, Tier};
use std::time::Instant;

fn approve(case: CaseId) -> Decide {
    Decide {
        case,
        decision: Decision::Approve,
    }
}

fn refuse(case: CaseId) -> Decide {
    Decide {
        case,
        decision: Decision::Refuse(RefusalReason::Doubtful),
    }
}

#[actix::test]
async fn a_request_is_shown_until_it_is_answered() {
    let house = House::enrolled(4).await;
    assert_eq!(house.ask_kin(0, Pending).await, Ok(Vec::new()));
    let request = house.request(&[Tier::Summary, Tier::Chart]).await;
    let pending = house.ask_kin(0, Pending).await.expect("proved");
    let [shown] = pending.as_slice() else {
        panic!("{pending:?}");
    };
    assert_eq!(shown.case, request.case);
    assert_eq!(shown.hospital, house.hospital(AUTHOR));
    assert_eq!(
        (shown.purpose, shown.reason),
        (Purpose::BreakGlass, Reason::Unconscious)
    );
    assert_eq!(shown.tiers, [Tier::Summary, Tier::Chart]);
    let decided = house
        .ask_kin(0, approve(request.case))
        .await
        .expect("final");
    assert_eq!(decided.phase, Phase::Requested);
    let case = house
        .until_case(request.case, |case| !case.approvals.is_empty())
        .await;
    assert!(case.approvals.contains_key(&house.kin(0)));
    assert_eq!(house.ask_kin(0, Pending).await, Ok(Vec::new()));
    // Asked again, it answers the same; the other answer comes too late.
    let again = house
        .ask_kin(0, approve(request.case))
        .await
        .expect("the same");
    assert_eq!(again, decided);
    let changed = house.ask_kin(0, refuse(request.case)).await;
    assert!(matches!(changed, Err(KinError::Case { .. })), "{changed:?}");
}

/// The handover that is under way.
async fn handover(house: &House) -> Option<Handover> {
    let key = State::handover_key(house.patient());
    let proved = house.client(AUTHOR).prove(key, House::deadline()).await;
    let (value, _) = proved.expect("proved");
    value.map(|value| State::decode_value(&value).expect("a handover"))
}

/// The one validator.
const VALIDATOR: ActorName = ActorName::Validator(0);
/// Its word does not get through until a test lets it.
const SLOW: u8 = 4;

/// Waits until all but the slow kin have taken new shares, stops one of them, and lets the slow one go on: the new shares stand on chain,
/// and the stopped kin has not heard so. `wanted`: how many are to take them.
async fn new_shares_without(house: &House, away: u8, wanted: usize) {
    let until = House::deadline();
    loop {
        let now = handover(house).await;
        if now
            .as_ref()
            .is_some_and(|now| now.acceptances.len() + 1 == wanted)
        {
            break;
        }
        assert!(Instant::now() < until, "no new shares: {now:?}");
        house.pass_a_block().await;
    }
    house.hold(kin(away)).await;
    house.cluster.network().clear_link(kin(SLOW), VALIDATOR);
    house.until_on_chain(|entry| entry.epoch == Epoch(2)).await;
}

async fn request_of_second_epoch(house: &House) -> CaseId {
    let wants = |request: &mut Request| request.epoch = Epoch(2);
    house.request_with(&[Tier::Summary], wants).await.case
}

#[actix::test]
async fn a_request_may_overtake_the_news_of_new_shares() {
    let house = House::enrolled(1).await;
    house.write(Tier::Summary, &["sum"], &[0, 1, 2, 3, 4]).await;
    let before = house.request(&[Tier::Summary]).await.case;
    let mut decided = Vec::new();
    for n in 0..3 {
        decided.push(house.ask_kin(n, approve(before)).await.expect("final"));
    }
    house.until_sent(3).await;
    let network = house.cluster.network();
    network.set_link(kin(SLOW), VALIDATOR, LinkRule::severed());
    let close = TxBody::Close { case: before };
    let closed = house.client(AUTHOR).submit(close, House::deadline()).await;
    closed.expect("closed");
    new_shares_without(&house, 0, 5).await;
    let case = request_of_second_epoch(&house).await;
    // It looks at its rosters a second after a start at the earliest.
    house.release(kin(0)).await;
    for n in 0..5 {
        house.ask_kin(n, approve(case)).await.expect("final");
    }
    // What was decided before the new shares stays said.
    for (n, decided) in (0..).zip(decided) {
        let again = house.ask_kin(n, approve(before)).await.expect("the same");
        assert_eq!((again.height, again.phase), (decided.height, Phase::Closed));
    }
}

#[actix::test]
async fn a_request_may_overtake_the_news_of_being_kin() {
    let house = House::open_with(1, 6).await;
    let mut wish = house.wish();
    let roster = std::mem::take(&mut wish.roster);
    wish.roster = roster.iter().take(5).cloned().collect();
    wish.rules.veto_ms = Millis(500);
    house.ask_patient(wish).await.expect("enrolled");
    let network = house.cluster.network();
    network.set_link(kin(SLOW), VALIDATOR, LinkRule::severed());
    let patient = house.patient();
    let says = |n, wish| house.ask_kin(n, AboutRoster { patient, wish });
    says(5, RosterWish::Join).await.expect("said");
    let thresholds = [4; Tier::ALL.len()];
    let plan = Box::new(Plan::Reshare { roster, thresholds });
    says(0, RosterWish::Propose(plan)).await.expect("final");
    for n in [1, 2] {
        says(n, RosterWish::Support).await.expect("final");
    }
    new_shares_without(&house, 5, 6).await;
    let case = request_of_second_epoch(&house).await;
    house.release(kin(5)).await;
    let pending = house.ask_kin(5, Pending).await.expect("proved");
    assert!(
        pending.iter().any(|shown| shown.case == case),
        "{pending:?}"
    );
    house.ask_kin(5, approve(case)).await.expect("final");
}

#[actix::test]
async fn refusals_shut_the_case_and_are_final() {
    let house = House::enrolled(1).await;
    let request = house.request(&[Tier::Chart]).await;
    for n in 0..3 {
        let decided = house.ask_kin(n, refuse(request.case)).await.expect("final");
        let expected = if n < 2 {
            Phase::Requested
        } else {
            Phase::Refused
        };
        assert_eq!(decided.phase, expected);
    }
    let late = house.ask_kin(4, approve(request.case)).await;
    let late = late.expect_err("it is over").to_string();
    assert!(late.contains("refused"), "{late}");
    let case = house.case(request.case).await;
    assert_eq!(case.refusals.len(), 3);
    assert!(case.approvals.is_empty());
}

#[actix::test]
async fn only_the_person_at_the_screen_decides() {
    let house = House::enrolled(1).await;
    let request = house.request(&[Tier::Chart]).await;
    for stranger in [AUTHOR, PATIENT, kin(1), ActorName::Validator(0)] {
        let decided = house.ask_kin_as(stranger, 0, approve(request.case)).await;
        assert!(
            matches!(decided, Err(KinError::Forbidden { .. })),
            "{decided:?}"
        );
        let pending = house.ask_kin_as(stranger, 0, Pending).await;
        assert!(
            matches!(pending, Err(KinError::Forbidden { .. })),
            "{pending:?}"
        );
        let held = house.ask_kin_as(stranger, 0, Inventory).await;
        assert!(matches!(held, Err(KinError::Forbidden { .. })), "{held:?}");
        let replay = ReplayApproval {
            from: request.case,
            into: request.case,
        };
        let replay = house.ask_kin_as(stranger, 0, replay).await;
        assert!(
            matches!(replay, Err(KinError::Forbidden { .. })),
            "{replay:?}"
        );
        house.ask_kin_as(stranger, 0, Conduct::Forge).await;
    }
    assert!(house.case(request.case).await.approvals.is_empty());
}

#[actix::test]
async fn a_decision_survives_a_crash_right_after_it_was_made() {
    let house = House::enrolled(1).await;
    let request = house.request(&[Tier::Chart]).await;
    // The ledger stands still: the decision is durable, and cannot become final yet.
    house.ask_kin(0, Pending).await.expect("proved");
    house.hold(ActorName::Validator(0)).await;
    let port = house.port(ActorName::Driver);
    let asked = port.ask::<crate::friend_relative::FriendRelative, _>(
        kin(0),
        approve(request.case),
        std::time::Duration::from_secs(60),
    );
    // The question stays open: one whose asker has gone is not looked at.
    let mut asked = std::pin::pin!(asked);
    let early = tokio::time::timeout(std::time::Duration::from_millis(50), asked.as_mut()).await;
    assert!(early.is_err(), "nobody can answer yet");
    house.release(ActorName::Validator(0)).await;
    house
        .until_case(request.case, |case| !case.approvals.is_empty())
        .await;
}

#[actix::test]
async fn a_replayed_approval_is_refused_both_ways() {
    let house = House::enrolled(1).await;
    let first = house.request(&[Tier::Chart]).await;
    let second = house.request(&[Tier::Chart]).await;
    let replay = ReplayApproval {
        from: first.case,
        into: second.case,
    };
    let nothing = house.ask_kin(0, replay).await;
    assert!(matches!(nothing, Err(KinError::Case { .. })), "{nothing:?}");
    house.ask_kin(0, approve(first.case)).await.expect("final");
    house.crash(kin(0)).await;
    let replayed = house.ask_kin(0, replay).await.expect("tried");
    let again = replayed.again.expect("refused");
    assert!(again.contains("is used already"), "{again}");
    let moved = replayed.moved.expect("refused");
    assert!(
        moved.contains("does not fit this request: expiry differs"),
        "{moved}"
    );
    assert!(house.case(second.case).await.approvals.is_empty());
}
