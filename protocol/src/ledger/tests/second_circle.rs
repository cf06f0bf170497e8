//! The second circle on the ledger: how it is enrolled, and when it may be asked.

use super::chain::*;
use super::*;
use crate::emergency::{
    CaseError, CaseEvent, Circle, Escalation, Phase, RefusalReason, SECOND_CIRCLE_WITHIN_MS,
    SecondCircleError, Verdict,
};
use crate::ids::{CaseId, KinId};
use crate::roster::{Plan, Present, Proposer, RosterError};
use crate::sharing::{Commitments, Threshold, TierKey, deal};
use crate::units::{CircleKind, Tier};

const REMIND_MS: u64 = 10_000;
const SECOND_MS: u64 = 20_000;

/// A chain whose patient has a second circle and short times.
fn enrolled() -> Chain {
    let mut chain = Chain::new();
    chain.enrol_with(|chain, enrolment| {
        enrolment.second = Some(chain.second_circle());
        enrolment.escalation = Escalation {
            remind_after_ms: Millis(REMIND_MS),
            second_circle_after_ms: Millis(SECOND_MS),
        };
    });
    chain
}

/// A request of `n` to the second circle, going on from `after`.
fn second(chain: &mut Chain, n: u8, after: CaseId) -> Request {
    chain.request_with(n, |request| request.circle = Circle::Second { after })
}

/// Why the second circle cannot be asked.
fn why_not(chain: &mut Chain, n: u8, request: Request) -> SecondCircleError {
    match chain.refused(n, request) {
        Rejection::SecondCircle(error) => error,
        other => panic!("expected a rule of the second circle, got {other:?}"),
    }
}

fn steps(events: &[What], of: CaseId) -> Vec<CaseEvent> {
    let steps = events.iter().filter_map(|what| match what {
        What::Case { case, step, .. } if *case == of => Some(*step),
        _ => None,
    });
    steps.collect()
}

fn kin_id(n: u8) -> KinId {
    KinId::of(&key(n).verifying_key())
}

#[test]
fn a_second_circle_stands_apart_and_shares_the_summary_key() {
    let mut chain = Chain::new();
    let good = {
        let mut enrolment = chain.enrolment();
        enrolment.second = Some(chain.second_circle());
        enrolment
    };
    assert_eq!(good.check_shape(patient()), Ok(()));
    let other_key = TierKey::random(&mut chain.rng);
    let three = Threshold::majority(3).expect("three kin");
    let (other, _) = deal(&other_key, three, &mut chain.rng).expect("dealt");
    let spoilt = |change: &dyn Fn(&mut SecondCircle)| {
        let mut enrolment = good.clone();
        change(enrolment.second.as_mut().expect("there"));
        enrolment.check_shape(patient())
    };
    let (circle, tier) = (CircleKind::Second, Tier::Summary);
    assert_eq!(
        spoilt(&|s| s.roster.truncate(2)),
        Err(EnrolmentError::RosterSize { circle, count: 2 })
    );
    let kin = kin_id(KIN[1]);
    assert_eq!(
        spoilt(&|s| s.roster[2] = good.roster[1].clone()),
        Err(EnrolmentError::KinTwice { kin })
    );
    let kin = kin_id(SECOND_KIN[0]);
    assert_eq!(
        spoilt(&|s| s.roster[2] = s.roster[0].clone()),
        Err(EnrolmentError::KinTwice { kin })
    );
    let kin = KinId(patient().0);
    assert_eq!(
        spoilt(&|s| s.roster[2].key = key(PATIENT).verifying_key()),
        Err(EnrolmentError::KinTwice { kin })
    );
    // Two of four are no majority, whatever they are of three.
    let stranger = key(77).verifying_key();
    assert_eq!(
        spoilt(&|s| {
            let mut fourth = s.roster[0].clone();
            fourth.key = stranger;
            s.roster.push(fourth);
        }),
        Err(EnrolmentError::Threshold {
            circle,
            tier,
            threshold: 2,
            least: 3,
            most: 4
        })
    );
    assert_eq!(
        spoilt(&|s| s.commitments = other.clone()),
        Err(EnrolmentError::SecondKey)
    );
    // Majorities of three: with the first circle's polynomial, one share of each circle would be enough.
    assert_eq!(
        spoilt(&|s| s.commitments = good.tiers[0].commitments.clone()),
        Err(EnrolmentError::SecondSharing)
    );
    let seat = good.member(kin_id(SECOND_KIN[2])).expect("a member");
    assert_eq!((seat.circle, seat.index.get()), (circle, 3));
    let seat = good.member(kin_id(KIN[2])).expect("a member");
    assert_eq!((seat.circle, seat.index.get()), (CircleKind::First, 3));
    assert!(good.commitments(circle, Tier::Chart).is_none());
    assert_ne!(
        good.commitments(circle, tier).map(Commitments::as_points),
        good.commitments(CircleKind::First, tier)
            .map(Commitments::as_points)
    );
}

#[test]
fn no_later_dealing_shares_a_coefficient_with_the_second_circle() {
    let mut chain = Chain::new();
    let mut enrolment = chain.enrolment();
    enrolment.second = Some(chain.second_circle());
    let second = enrolment.second.clone().expect("there");
    let own: Vec<Commitments> = enrolment
        .tiers
        .iter()
        .map(|shares| shares.commitments.clone())
        .collect();
    let present = Present {
        patient: patient(),
        enrolment: &enrolment,
        device: patient().into(),
        is_recovering: false,
        wants_refresh: false,
    };
    let redeal = |commitments: Vec<Commitments>| {
        let roster = enrolment.roster.clone();
        let plan = Plan::Redeal {
            roster,
            commitments,
            rewrap: None,
        };
        plan.check(&present, Proposer::Patient)
    };
    assert_eq!(redeal(own.clone()), Ok(()));
    let mut spoilt = own;
    spoilt[0] = second.commitments;
    assert!(
        matches!(redeal(spoilt), Err(RosterError::Plan { fault }) if fault.contains("second circle"))
    );
}

#[test]
fn every_member_of_both_circles_accepts_all_of_it() {
    let mut chain = Chain::new();
    let id = chain.ledger.chain();
    let mut good = chain.enrolment();
    let without = good.digest(id, patient());
    good.second = Some(chain.second_circle());
    chain.accept(&mut good);
    let digest = good.digest(id, patient());
    assert_ne!(digest, without);
    assert_eq!(good.check_acceptances(&digest), Ok(()));
    type Change = fn(&mut SecondCircle);
    let changes: [Change; 2] = [
        |second| second.roster.swap(0, 1),
        |second| {
            let mut points = second.commitments.as_points().to_vec();
            points[1] = points[0];
            second.commitments = Commitments::from_points(points).expect("points");
        },
    ];
    for change in changes {
        let mut other = good.clone();
        change(other.second.as_mut().expect("there"));
        assert_ne!(other.digest(id, patient()), digest);
    }
    // One who has not accepted spoils it for all, on the ledger too.
    let acceptances: [Change; 2] = [
        |second| second.acceptances.swap(0, 1),
        |second| second.acceptances.truncate(2),
    ];
    for spoil in acceptances {
        let mut bad = good.clone();
        spoil(bad.second.as_mut().expect("there"));
        assert!(matches!(
            chain.rejected(PATIENT, TxBody::Enrol(Box::new(bad))),
            Rejection::Enrolment(
                EnrolmentError::Acceptance { .. } | EnrolmentError::AcceptanceCount { .. }
            )
        ));
    }
    let events = chain.act(PATIENT, TxBody::Enrol(Box::new(good)));
    assert_eq!(events, vec![What::Enrolled { patient: patient() }]);
}

/// The first circle is silent; the second opens the summary by a majority of its own.
#[test]
fn the_second_circle_follows_the_first_with_its_own_majority() {
    let mut chain = enrolled();
    let first = chain.open_case();
    let early = second(&mut chain, HOSPITAL, first);
    let at = chain
        .ledger
        .state()
        .case(first)
        .expect("there")
        .requested_ms
        .plus(SECOND_MS);
    assert_eq!(
        why_not(&mut chain, HOSPITAL, early),
        SecondCircleError::TooEarly { at }
    );
    let events = chain.run_after(REMIND_MS, Vec::new());
    assert_eq!(steps(&events, first), [CaseEvent::Remind]);
    assert!(chain.run_after(1, Vec::new()).is_empty(), "only once");
    let events = chain.run_after(SECOND_MS - REMIND_MS, Vec::new());
    assert_eq!(steps(&events, first), [CaseEvent::SecondCircle]);

    let request = second(&mut chain, HOSPITAL, first);
    let case = chain.opened(HOSPITAL, request);
    let stored = chain.ledger.state().case(case).expect("there").clone();
    assert_eq!(stored.roster, SECOND_KIN.map(kin_id));
    assert_eq!((stored.threshold, stored.circle()), (2, CircleKind::Second));
    let context = stored.opening_context(chain.ledger.chain(), Tier::Summary);
    assert_eq!(context.circle, CircleKind::Second);
    assert_eq!(
        stored.timing.second_circle_at_ms, None,
        "nobody comes after"
    );

    // Each circle decides its own case.
    for (n, of) in [(KIN[0], case), (SECOND_KIN[0], first)] {
        let approval = chain.approval(of);
        assert!(matches!(
            chain.rejected(n, approval),
            Rejection::Case(CaseError::NotKin { .. })
        ));
    }
    let TxBody::Approve(mut wrong) = chain.approval(case) else {
        unreachable!("an approval")
    };
    wrong.circle = Circle::First;
    let field = "circle";
    assert_eq!(
        chain.rejected(SECOND_KIN[0], TxBody::Approve(wrong)),
        Rejection::Case(CaseError::Mismatch { field })
    );
    let approval = chain.approval(case);
    chain.act(SECOND_KIN[0], approval.clone());
    assert_eq!(chain.phase(case), Phase::Requested, "one is no quorum");
    chain.act(SECOND_KIN[2], approval);
    assert_eq!(chain.phase(case), Phase::Granted);
    assert_eq!(chain.phase(first), Phase::Requested, "the first goes on");
    // The patient has a say in both.
    chain.act(PATIENT, TxBody::Veto { case });
    assert_eq!(chain.phase(case), Phase::Closed);
}

#[test]
fn a_request_that_expired_unanswered_leads_to_the_second_circle_too() {
    let mut chain = enrolled();
    let request = chain.request_with(HOSPITAL, |request| {
        request.expires_ms = request.expires_ms.minus(600_000).plus(5_000);
    });
    let first = chain.opened(HOSPITAL, request);
    let events = chain.run_after(5_000, Vec::new());
    assert_eq!(steps(&events, first), [CaseEvent::Expired]);
    let events = chain.run_after(SECOND_MS, Vec::new());
    assert_eq!(steps(&events, first), [CaseEvent::SecondCircle]);
    assert_eq!(chain.phase(first), Phase::Expired);
    let request = second(&mut chain, HOSPITAL, first);
    chain.opened(HOSPITAL, request);
    // But not for ever.
    chain.run_after(SECOND_CIRCLE_WITHIN_MS.0, Vec::new());
    let request = second(&mut chain, HOSPITAL, first);
    assert_eq!(
        why_not(&mut chain, HOSPITAL, request),
        SecondCircleError::TooLate
    );
}

#[test]
fn the_second_circle_opens_nothing_but_the_summary_and_only_after_the_first() {
    let mut without = Chain::new();
    without.enrol();
    let after = without.open_case();
    without.run_after(3_600_000, Vec::new());
    let request = second(&mut without, HOSPITAL, after);
    assert_eq!(
        why_not(&mut without, HOSPITAL, request),
        SecondCircleError::NoCircle
    );

    let mut chain = enrolled();
    let after = chain.open_case();
    let chart_request =
        chain.request_with(HOSPITAL, |request| request.scopes[0].tier = Tier::Chart);
    let chart_only = chain.opened(HOSPITAL, chart_request);
    let events = chain.run_after(SECOND_MS, Vec::new());
    assert_eq!(
        steps(&events, after),
        [CaseEvent::Remind, CaseEvent::SecondCircle]
    );
    assert_eq!(steps(&events, chart_only), [CaseEvent::Remind]);
    for more in [false, true] {
        let request = chain.request_with(HOSPITAL, |request| {
            request.circle = Circle::Second { after };
            let mut chart = request.scopes[0].clone();
            chart.tier = Tier::Chart;
            if more {
                request.scopes.push(chart);
            } else {
                request.scopes[0] = chart;
            }
        });
        assert_eq!(
            why_not(&mut chain, HOSPITAL, request),
            SecondCircleError::Scope
        );
    }
    let request = second(&mut chain, HOSPITAL, after);
    let case = chain.opened(HOSPITAL, request);
    let nowhere = CaseId([9; 32]);
    for (n, after, expected) in [
        (
            HOSPITAL,
            nowhere,
            SecondCircleError::UnknownCase { after: nowhere },
        ),
        (
            OTHER_HOSPITAL,
            after,
            SecondCircleError::OtherCase {
                after,
                field: "hospital",
            },
        ),
        (
            HOSPITAL,
            case,
            SecondCircleError::OtherCase {
                after: case,
                field: "circle",
            },
        ),
        (
            HOSPITAL,
            chart_only,
            SecondCircleError::OtherCase {
                after: chart_only,
                field: "tier",
            },
        ),
    ] {
        let request = second(&mut chain, n, after);
        assert_eq!(why_not(&mut chain, n, request), expected);
    }
}

/// Whoever was told no by kin or patient is not helped by asking once more and then the next ones.
#[test]
fn the_second_circle_is_no_way_around_a_no() {
    let refuse = |case| TxBody::Refuse {
        case,
        reason: RefusalReason::PatientCanDecide,
    };
    for by_patient in [true, false] {
        let mut chain = enrolled();
        let refused = chain.open_case();
        if by_patient {
            chain.act(PATIENT, TxBody::Veto { case: refused });
        } else {
            chain.act(KIN[0], refuse(refused));
            chain.act(KIN[2], refuse(refused));
        }
        let phase = chain.phase(refused);
        let again = chain.open_case();
        chain.run_after(SECOND_MS, Vec::new());
        let request = second(&mut chain, HOSPITAL, refused);
        assert_eq!(
            why_not(&mut chain, HOSPITAL, request),
            SecondCircleError::Reached {
                after: refused,
                phase
            }
        );
        let request = second(&mut chain, HOSPITAL, again);
        let case = refused;
        assert_eq!(
            why_not(&mut chain, HOSPITAL, request),
            SecondCircleError::SaidNo { case, phase }
        );
        // It stands against this hospital, not against the next one that the patient is brought to.
        let request = chain.request_of(OTHER_HOSPITAL);
        let theirs = chain.opened(OTHER_HOSPITAL, request);
        chain.run_after(SECOND_MS, Vec::new());
        let request = second(&mut chain, OTHER_HOSPITAL, theirs);
        chain.opened(OTHER_HOSPITAL, request);
    }
}

/// The patient wakes up in the ambulance and stops what the kin have granted: that is a no as well, from then on.
#[test]
fn a_veto_of_a_granted_case_is_a_no() {
    for is_reviewed in [false, true] {
        let mut chain = enrolled();
        let granted = chain.open_case();
        let approval = chain.approval(granted);
        chain.act(KIN[0], approval.clone());
        chain.act(KIN[1], approval);
        assert_eq!(chain.phase(granted), Phase::Granted);
        chain.act(PATIENT, TxBody::Veto { case: granted });
        assert_eq!(chain.phase(granted), Phase::Closed);
        if is_reviewed {
            let (case, verdict) = (granted, Verdict::Inconclusive);
            chain.act(REVIEWER, TxBody::Review { case, verdict });
            assert_eq!(chain.phase(granted), Phase::Reviewed);
        }
        let again = chain.open_case();
        chain.run_after(SECOND_MS, Vec::new());
        let request = second(&mut chain, HOSPITAL, again);
        assert_eq!(
            why_not(&mut chain, HOSPITAL, request),
            SecondCircleError::SaidNo {
                case: granted,
                phase: Phase::Vetoed
            }
        );
    }
}

#[test]
fn a_first_circle_that_granted_was_reached() {
    let mut chain = enrolled();
    let after = chain.open_case();
    let approval = chain.approval(after);
    chain.act(KIN[0], approval.clone());
    chain.act(KIN[1], approval);
    for close in [false, true] {
        if close {
            chain.act(HOSPITAL, TxBody::Close { case: after });
        }
        let phase = chain.phase(after);
        let events = chain.run_after(SECOND_MS, Vec::new());
        assert_eq!(steps(&events, after), [], "nothing to escalate");
        let request = second(&mut chain, HOSPITAL, after);
        assert_eq!(
            why_not(&mut chain, HOSPITAL, request),
            SecondCircleError::Reached { after, phase }
        );
    }
}
