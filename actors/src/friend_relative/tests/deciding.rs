//! Showing requests, approving and refusing them, and replaying an approval.

use crate::friend_relative::messages::{
    Conduct, Decide, Decision, Inventory, KinError, Pending, ReplayApproval,
};
use crate::ports::names::ActorName;
use crate::ports::network::LinkRule;
use crate::testing::{AUTHOR, House, PATIENT, kin};
use kithkin_protocol::emergency::{Phase, Purpose, Reason, RefusalReason, Request};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::{State, TxBody};
use kithkin_protocol::roster::Handover;
use kithkin_protocol::units::{Epoch, Tier};
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

/// New shares stand on chain, and a kin has not heard so when it is asked about a case that counts on them.
#[actix::test]
async fn a_request_may_overtake_the_notice_of_new_shares() {
    let house = House::enrolled(1).await;
    house.write(Tier::Summary, &["sum"], &[0, 1, 2, 3, 4]).await;
    let before = house.request(&[Tier::Summary]).await.case;
    let mut decided = Vec::new();
    for n in 0..3 {
        decided.push(house.ask_kin(n, approve(before)).await.expect("final"));
    }
    house.until_sent(3).await;
    let network = house.cluster.network();
    network.set_node(kin(4), LinkRule::severed());
    let close = TxBody::Close { case: before };
    let closed = house.client(AUTHOR).submit(close, House::deadline()).await;
    closed.expect("closed");
    let until = House::deadline();
    while handover(&house)
        .await
        .is_none_or(|handover| handover.acceptances.len() < 4)
    {
        assert!(Instant::now() < until, "no new shares");
        house.pass_a_block().await;
    }
    network.set_node(kin(0), LinkRule::severed());
    network.clear_node(kin(4));
    house.until_on_chain(|entry| entry.epoch == Epoch(2)).await;
    let wants = |request: &mut Request| request.epoch = Epoch(2);
    let case = house.request_with(&[Tier::Summary], wants).await.case;
    network.clear_node(kin(0));
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
