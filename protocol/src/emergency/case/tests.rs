use super::*;
use crate::crypto::group::ScalarBytes;
use crate::crypto::{SealingKey, Signature, VerifyingKey};
use crate::emergency::{
    Circle, ClinicalRole, Credential, Escalation, Purpose, Reason, Scope, TierPolicy,
};
use crate::ids::AccountId;
use crate::sharing::{SchnorrProof, SessionPublic};
use crate::units::{Epoch, Tier};

const CASE: CaseId = CaseId([9; 32]);
pub(crate) const HOSPITAL: HospitalId = HospitalId([8; 32]);
pub(crate) const PATIENT: PatientId = PatientId([7; 32]);

pub(crate) fn kin(n: u8) -> KinId {
    KinId([n; 32])
}

pub(crate) fn case(kin_count: u8, threshold: u16) -> Case {
    let request = Request {
        patient: PATIENT,
        epoch: Epoch(1),
        circle: Circle::First,
        scopes: vec![Scope {
            tier: Tier::Summary,
            up_to: Height(2),
            only: Vec::new(),
        }],
        purpose: Purpose::BreakGlass,
        reason: Reason::Unconscious,
        encounter: Digest::ZERO,
        clinician: VerifyingKey([1; 32]),
        credential: Some(Credential {
            clinician: VerifyingKey([1; 32]),
            issuer: AccountId([4; 32]),
            role: ClinicalRole::Physician,
            hospital: HOSPITAL,
            valid_until_ms: Millis(2_000),
            signature: Signature([0; 64]),
        }),
        session: SessionPublic {
            point: crate::crypto::group::PointBytes([2; 32]),
            proof: SchnorrProof {
                challenge: ScalarBytes([0; 32]),
                response: ScalarBytes([0; 32]),
            },
        },
        session_key: SealingKey([3; 32]),
        expires_ms: Millis(1_000),
        session_ms: Millis(500),
        clinician_signature: Signature([0; 64]),
    };
    Case {
        id: CASE,
        hospital: HOSPITAL,
        height: Height(3),
        index: 0,
        requested_ms: Millis(100),
        second_epoch: Epoch(1),
        rules_epoch: Epoch(1),
        roster: (1..=kin_count).map(kin).collect(),
        threshold,
        timing: Timing {
            not_before_ms: Millis(100),
            session_ms: Millis(500),
            review_within_ms: Millis(10_000),
            remind_at_ms: Millis(5_000),
            second_circle_at_ms: None,
        },
        request,
        phase: Phase::Requested,
        stage: Stage::Asked,
        approvals: BTreeMap::new(),
        refusals: BTreeMap::new(),
        releases: BTreeMap::new(),
        released_ms: BTreeMap::new(),
        reads: BTreeMap::new(),
        granted_ms: None,
        ended_ms: None,
        closed: None,
        review_due_ms: None,
        overdue: false,
        review: None,
        log: (Digest::ZERO, 0),
    }
}

pub(crate) fn approval() -> Approval {
    Approval {
        case: CASE,
        circle: Circle::First,
        epoch: Epoch(1),
        hospital: HOSPITAL,
        purpose: Purpose::BreakGlass,
        reason: Reason::Unconscious,
        expires_ms: Millis(1_000),
    }
}

fn granted() -> Case {
    let mut case = case(5, 3);
    for n in 1..=3 {
        case.on_approve(kin(n), &approval(), Millis(200))
            .expect("kin may approve");
    }
    assert_eq!(case.phase, Phase::Granted);
    case
}

/// Whoever hands out ciphertext or keys for a case asks this.
#[test]
fn a_case_reaches_what_it_opens_while_it_is_open() {
    let mut case = case(5, 3);
    let phase = Phase::Requested;
    let early = case.reach(Millis(200), PATIENT, Tier::Summary);
    assert_eq!(early, Err(ReachError::Shut { phase }));
    for n in 1..=3 {
        assert!(case.on_approve(kin(n), &approval(), Millis(250)).is_ok());
    }
    let phase = Phase::Granted;
    let last = Millis(case.session_end().0 - 1);
    assert_eq!(
        case.reach(last, PATIENT, Tier::Summary),
        Ok(&case.request.scopes[0])
    );
    let over = case.reach(case.session_end(), PATIENT, Tier::Summary);
    assert_eq!(over, Err(ReachError::Shut { phase }), "by its own clock");
    let other = case.reach(last, PatientId([1; 32]), Tier::Summary);
    assert_eq!(other, Err(ReachError::OtherPatient));
    let tier = Tier::Chart;
    let chart = case.reach(last, PATIENT, tier);
    assert_eq!(chart, Err(ReachError::Tier { tier }));
}

#[test]
fn the_threshold_grants_and_the_first_release_opens() {
    let mut case = case(5, 3);
    for n in 1..=2 {
        let events = case.on_approve(kin(n), &approval(), Millis(200));
        assert_eq!(events, Ok(vec![CaseEvent::Approved(kin(n))]));
        assert_eq!(case.phase, Phase::Requested);
    }
    let refused = case.on_release(kin(1), Digest::ZERO, Millis(300));
    let phase = Phase::Requested;
    assert_eq!(refused, Err(CaseError::Phase { phase }), "too early");
    let events = case.on_approve(kin(3), &approval(), Millis(250));
    assert_eq!(
        events,
        Ok(vec![CaseEvent::Approved(kin(3)), CaseEvent::Granted])
    );
    assert_eq!(
        case.on_release(kin(4), Digest::ZERO, Millis(300)),
        Err(CaseError::NotApproved { kin: kin(4) })
    );
    assert!(case.on_release(kin(2), Digest::ZERO, Millis(300)).is_ok());
    assert_eq!(case.phase, Phase::Open);
    // A kin beyond the threshold can still step in for one whose partial opening was bad.
    assert!(case.on_approve(kin(4), &approval(), Millis(300)).is_ok());
    assert!(case.on_release(kin(4), Digest::ZERO, Millis(300)).is_ok());
    assert!(
        case.on_read(HOSPITAL, (Tier::Summary, 3), Millis(310))
            .is_ok()
    );
    assert!(
        case.on_read(HOSPITAL, (Tier::Summary, 2), Millis(320))
            .is_ok()
    );
    let tier = Tier::Chart;
    let unasked = case.on_read(HOSPITAL, (tier, 1), Millis(330));
    assert_eq!(unasked, Err(CaseError::OutOfScope { tier }));
    assert_eq!(case.records_read(), 5);
    let reading = Reading {
        times: 2,
        records: 5,
        first_ms: Millis(310),
        last_ms: Millis(320),
    };
    assert_eq!(case.reads[&Tier::Summary], reading);
}

#[test]
fn an_approval_fits_one_request_only() {
    type Spoil = fn(&mut Approval);
    let spoilt: [(&str, Spoil); 7] = [
        ("case", |a| a.case = CaseId([1; 32])),
        ("circle", |a| a.circle = Circle::Second { after: CASE }),
        ("epoch", |a| a.epoch = Epoch(2)),
        ("hospital", |a| a.hospital = HospitalId([1; 32])),
        ("purpose", |a| a.purpose = Purpose::EmergencyTreatment),
        ("reason", |a| a.reason = Reason::Stroke),
        ("expiry", |a| a.expires_ms = Millis(999)),
    ];
    for (field, spoil) in spoilt {
        let mut case = case(5, 3);
        let mut approval = approval();
        spoil(&mut approval);
        let before = case.clone();
        let refused = case.on_approve(kin(1), &approval, Millis(200));
        assert_eq!(refused, Err(CaseError::Mismatch { field }));
        assert_eq!(case, before);
    }
}

#[test]
fn each_kin_decides_once_and_strangers_never() {
    let mut case = case(3, 2);
    assert!(case.on_approve(kin(1), &approval(), Millis(200)).is_ok());
    let twice = Err(CaseError::AlreadyDecided { kin: kin(1) });
    assert_eq!(case.on_approve(kin(1), &approval(), Millis(200)), twice);
    assert_eq!(
        case.on_refuse(kin(1), RefusalReason::Doubtful, Millis(200)),
        twice
    );
    let epoch = Epoch(1);
    let stranger = CaseError::NotKin { kin: kin(9), epoch };
    assert_eq!(
        case.on_approve(kin(9), &approval(), Millis(200)),
        Err(stranger)
    );
}

#[test]
fn refusals_end_the_case_only_when_the_threshold_is_out_of_reach() {
    let mut case = case(5, 3);
    for n in 1..=2 {
        assert!(
            case.on_refuse(kin(n), RefusalReason::Unstated, Millis(200))
                .is_ok()
        );
        assert_eq!(case.phase, Phase::Requested);
    }
    let events = case.on_refuse(kin(3), RefusalReason::NotThere, Millis(200));
    assert!(events.is_ok_and(|events| events.contains(&CaseEvent::Refused)));
    let phase = Phase::Refused;
    let late = case.on_approve(kin(4), &approval(), Millis(200));
    assert_eq!(late, Err(CaseError::Phase { phase }));
    assert_eq!(case.deadline(), None);
}

#[test]
fn a_veto_stops_the_case_at_any_time() {
    let mut early = case(5, 3);
    let other = PatientId([1; 32]);
    let role = "patient";
    assert_eq!(
        early.on_veto(other, Millis(200)),
        Err(CaseError::NotAllowed { role })
    );
    assert!(early.on_veto(PATIENT, Millis(200)).is_ok());
    assert_eq!(early.phase, Phase::Vetoed);

    let mut late = granted();
    assert!(late.on_veto(PATIENT, Millis(300)).is_ok());
    assert_eq!(late.closed, Some((Millis(300), ClosedBy::Veto)));
    assert!(late.on_release(kin(1), Digest::ZERO, Millis(300)).is_err());
    assert_eq!(late.review_due_ms, Some(Millis(10_300)));
}

#[test]
fn time_expires_requests_and_sessions_and_makes_verdicts_overdue() {
    let mut request = case(5, 3);
    assert_eq!(request.on_time(Millis(999)), vec![]);
    assert_eq!(request.on_time(Millis(1_000)), vec![CaseEvent::Expired]);

    let mut session = granted();
    assert!(session.opens_at(Millis(699)));
    assert!(!session.opens_at(Millis(700)), "the session lasts 500 ms");
    // After a long pause of the chain all that was due happens at once, in order.
    let events = session.on_time(Millis(700 + 10_000 + 24 * 3_600_000));
    assert_eq!(
        events,
        vec![
            CaseEvent::Closed(ClosedBy::Time, Millis(10_700)),
            CaseEvent::Overdue,
            CaseEvent::Overdue
        ]
    );
    assert!(session.overdue);
    assert!(
        session
            .on_review(AccountId([0xaa; 32]), Verdict::Justified, Millis(0))
            .is_ok()
    );
    assert_eq!(session.deadline(), None);
    assert!(
        session
            .on_review(AccountId([0xaa; 32]), Verdict::Justified, Millis(0))
            .is_err(),
        "only once"
    );
}

#[test]
fn the_waiting_time_holds_back_a_quorum_but_not_beyond_the_expiry() {
    let wait = |until| {
        let mut case = case(5, 3);
        case.timing.not_before_ms = Millis(until);
        for n in 1..=3 {
            case.on_approve(kin(n), &approval(), Millis(200))
                .expect("kin may approve");
        }
        assert_eq!(case.phase, Phase::Waiting);
        assert!(case.on_release(kin(1), Digest::ZERO, Millis(300)).is_err());
        case
    };
    let mut granted = wait(900);
    assert_eq!(granted.on_time(Millis(950)), vec![CaseEvent::Granted]);
    assert_eq!(granted.granted_ms, Some(Millis(900)));
    let mut expired = wait(1_500);
    assert_eq!(expired.on_time(Millis(1_600)), vec![CaseEvent::Expired]);
    let mut vetoed = wait(900);
    assert!(vetoed.on_veto(PATIENT, Millis(300)).is_ok());
    assert_eq!(vetoed.phase, Phase::Vetoed);
}

#[test]
fn a_threat_to_life_waits_for_nothing_and_the_strictest_session_counts() {
    let mut strict = TierPolicy::default_for(Tier::Chart);
    strict.waiting_ms = Millis(60_000);
    strict.session_ms_max = Millis(300);
    let policies = [&TierPolicy::default_for(Tier::Summary), &strict];
    let mut request = case(5, 3).request;
    let draw = |request: &Request| {
        let escalation = Escalation::default();
        Timing::draw(
            &policies,
            &escalation,
            true,
            request,
            Millis(100),
            Millis(1),
        )
    };
    let timing = draw(&request);
    assert_eq!(timing.not_before_ms, Millis(100));
    assert_eq!(timing.session_ms, Millis(300));
    request.purpose = Purpose::EmergencyTreatment;
    let timing = draw(&request);
    assert_eq!(timing.not_before_ms, Millis(60_100));
}

#[test]
fn announcements_are_bounded() {
    let mut case = granted();
    for _ in 0..RELEASES_MAX {
        assert!(case.on_release(kin(1), Digest::ZERO, Millis(300)).is_ok());
    }
    assert_eq!(
        case.on_release(kin(1), Digest::ZERO, Millis(300)),
        Err(CaseError::TooManyReleases { kin: kin(1) })
    );
}

/// A request until 1,000, a reminder at `remind`, the second circle from `second` on.
fn escalating(remind: u64, second: u64) -> Case {
    let mut case = case(5, 3);
    case.timing.remind_at_ms = Millis(remind);
    case.timing.second_circle_at_ms = Some(Millis(second));
    case
}

#[test]
fn kin_are_reminded_once_and_then_the_hospital_may_turn_to_others() {
    let mut steps = escalating(400, 600);
    assert_eq!(steps.on_time(Millis(399)), []);
    assert_eq!(steps.deadline(), Some(Millis(400)));
    assert_eq!(steps.on_time(Millis(400)), [CaseEvent::Remind]);
    assert_eq!(steps.on_time(Millis(599)), []);
    assert_eq!(steps.on_time(Millis(600)), [CaseEvent::SecondCircle]);
    assert_eq!(steps.deadline(), Some(Millis(1_000)));
    assert_eq!(steps.on_time(Millis(5_000)), [CaseEvent::Expired]);
    assert_eq!((steps.deadline(), steps.phase), (None, Phase::Expired));

    // After a long pause of the chain all at once, in order; and also when the request expired before.
    let (remind, second, expired) = (
        CaseEvent::Remind,
        CaseEvent::SecondCircle,
        CaseEvent::Expired,
    );
    let all = |remind, second| escalating(remind, second).on_time(Millis(9_000));
    assert_eq!(all(400, 600), [remind, second, expired]);
    assert_eq!(all(400, 2_000), [remind, expired, second]);
    assert_eq!(all(1_000, 2_000), [expired, second], "expiry comes first");
    let mut early = escalating(400, 2_000);
    early.on_time(Millis(1_500));
    assert_eq!(early.deadline(), Some(Millis(2_000)));
}

#[test]
fn nobody_is_asked_again_once_there_is_a_decision() {
    type Decide = fn(&mut Case);
    let decisions: [(Phase, Decide); 3] = [
        (Phase::Granted, |case| {
            for n in 1..=3 {
                case.on_approve(kin(n), &approval(), Millis(200))
                    .expect("kin may approve");
            }
        }),
        (Phase::Refused, |case| {
            for n in 1..=3 {
                case.on_refuse(kin(n), RefusalReason::NotThere, Millis(200))
                    .expect("kin may refuse");
            }
        }),
        (Phase::Vetoed, |case| {
            case.on_veto(PATIENT, Millis(200)).expect("may veto");
        }),
    ];
    for (phase, decide) in decisions {
        let mut case = escalating(400, 600);
        decide(&mut case);
        assert_eq!(case.phase, phase);
        assert_eq!(case.on_time(Millis(650)), [], "{phase:?}");
    }
    // Enough have approved: nobody is reminded while the patient's waiting time runs.
    let mut waiting = escalating(400, 600);
    waiting.timing.not_before_ms = Millis(900);
    for n in 1..=3 {
        waiting
            .on_approve(kin(n), &approval(), Millis(200))
            .expect("kin may approve");
    }
    assert_eq!(waiting.on_time(Millis(500)), []);
    assert_eq!(waiting.on_time(Millis(800)), [CaseEvent::SecondCircle]);
    assert_eq!(waiting.on_time(Millis(900)), [CaseEvent::Granted]);
}
