//! Requests at the ledger's door: the patient's rules, and how often a hospital may ask.

use super::chain::*;
use super::*;
use crate::emergency::{
    Escalation, LISTED_MAX, Phase, Purpose, REQUEST_MS_MAX, Reason, TierPolicy, WAITING_MS_MAX,
    WhoMayAsk,
};
use crate::ids::HospitalId;
use crate::units::Tier;

fn hospital(n: u8) -> HospitalId {
    HospitalId::of(&key(n).verifying_key())
}

/// The enrolment with a change, as [`Enrolment::check_shape`] sees it.
fn shape(change: impl FnOnce(&mut Enrolment)) -> Result<(), EnrolmentError> {
    let mut enrolment = Chain::new().enrolment();
    change(&mut enrolment);
    enrolment.check_shape(patient())
}

#[test]
fn rules_stay_within_their_bounds() {
    type Spoil = fn(&mut TierPolicy);
    let listed = |count: u8| WhoMayAsk::Only((0..count).map(|n| HospitalId([n; 32])).collect());
    let most = u8::try_from(LISTED_MAX).expect("few");
    let good: [WhoMayAsk; 3] = [WhoMayAsk::AnyAccredited, listed(1), listed(most)];
    for who in good {
        assert_eq!(shape(|e| e.tiers[1].policy.who = who), Ok(()));
    }
    let bad = [
        listed(0),
        listed(most + 1),
        WhoMayAsk::Only(vec![HospitalId([2; 32]), HospitalId([1; 32])]),
        WhoMayAsk::Only(vec![HospitalId([2; 32]); 2]),
    ];
    let tier = Tier::Chart;
    for who in bad {
        assert_eq!(
            shape(|e| e.tiers[1].policy.who = who),
            Err(EnrolmentError::Policy { tier })
        );
    }
    let spoilt: [Spoil; 3] = [
        |policy| policy.openable = false,
        |policy| policy.waiting_ms = WAITING_MS_MAX.plus(1),
        |policy| policy.session_ms_max = Millis(0),
    ];
    for spoil in spoilt {
        assert_eq!(
            shape(|e| spoil(&mut e.tiers[1].policy)),
            Err(EnrolmentError::Policy { tier })
        );
    }
    let times = |remind, second| {
        shape(|e| {
            e.escalation = Escalation {
                remind_after_ms: Millis(remind),
                second_circle_after_ms: Millis(second),
            };
        })
    };
    assert_eq!(times(1_000, 1_001), Ok(()));
    assert_eq!(times(1_000, REQUEST_MS_MAX.0), Ok(()));
    for (remind, second) in [
        (999, 5_000),
        (5_000, 5_000),
        (6_000, 5_000),
        (1_000, REQUEST_MS_MAX.0 + 1),
    ] {
        assert_eq!(times(remind, second), Err(EnrolmentError::Escalation));
    }
}

/// What the kin accept covers the rules: nobody can exchange one afterwards.
#[test]
fn the_rules_are_part_of_what_everybody_signs() {
    let mut chain = Chain::new();
    let enrolment = chain.enrolment();
    let id = chain.ledger.chain();
    let digest = enrolment.digest(id, patient());
    type Change = fn(&mut Enrolment);
    let changes: [Change; 3] = [
        |e| e.tiers[0].policy.who = WhoMayAsk::Only(vec![HospitalId([1; 32])]),
        |e| e.escalation.remind_after_ms.0 += 1,
        |e| e.escalation.second_circle_after_ms.0 += 1,
    ];
    for change in changes {
        let mut other = enrolment.clone();
        change(&mut other);
        assert_ne!(other.digest(id, patient()), digest);
    }
}

#[test]
fn only_listed_hospitals_may_ask_and_the_patient_sees_who_tried() {
    let mut chain = Chain::new();
    chain.enrol_with(|_, enrolment| {
        enrolment.tiers[0].policy.who = WhoMayAsk::Only(vec![hospital(OTHER_HOSPITAL)]);
    });
    let request = chain.request();
    assert!(matches!(
        chain.refused(HOSPITAL, request),
        Rejection::Request { field } if field.starts_with("hospital")
    ));
    let request = chain.request_of(OTHER_HOSPITAL);
    let case = chain.opened(OTHER_HOSPITAL, request);
    assert_eq!(chain.phase(case), Phase::Requested);
    // The rule of each tier in scope counts: the chart is open to both, the summary is not.
    let both = |request: &mut Request| {
        let mut chart = request.scopes[0].clone();
        chart.tier = Tier::Chart;
        request.scopes.push(chart);
    };
    let chart_only = chain.request_with(HOSPITAL, |request| request.scopes[0].tier = Tier::Chart);
    chain.opened(HOSPITAL, chart_only);
    let request = chain.request_with(HOSPITAL, both);
    assert!(matches!(
        chain.refused(HOSPITAL, request),
        Rejection::Request { field } if field.starts_with("hospital")
    ));
    let sensitive = chain.request_with(OTHER_HOSPITAL, |request| {
        request.scopes[0].tier = Tier::Sensitive;
    });
    assert!(matches!(
        chain.refused(OTHER_HOSPITAL, sensitive),
        Rejection::Request { field } if field.starts_with("tier")
    ));
}

#[test]
fn a_request_without_threat_to_life_waits_as_long_as_the_patient_said() {
    let mut chain = Chain::new();
    chain.enrol_with(|_, enrolment| enrolment.tiers[0].policy.waiting_ms = Millis(5_000));
    let request = chain.request_with(HOSPITAL, |request| {
        request.purpose = Purpose::EmergencyTreatment;
    });
    let case = chain.opened(HOSPITAL, request);
    for n in &KIN[..2] {
        let approval = chain.approval(case);
        chain.act(*n, approval);
    }
    assert_eq!(chain.phase(case), Phase::Waiting);
    chain.run_after(5_000, Vec::new());
    assert_eq!(chain.phase(case), Phase::Granted);
    // A threat to life waits for nothing but the quorum.
    let urgent = chain.open_case();
    for n in &KIN[..2] {
        let approval = chain.approval(urgent);
        chain.act(*n, approval);
    }
    assert_eq!(chain.phase(urgent), Phase::Granted);
}

const HOUR_MS: u64 = 3_600_000;

fn until(rejection: &Rejection, expected: RequestLimit) -> Millis {
    match rejection {
        Rejection::TooOften { limit, until, .. } if *limit == expected => *until,
        other => panic!("expected a limit, got {other:?}"),
    }
}

#[test]
fn a_hospital_asks_about_a_patient_so_often_a_day_and_no_more() {
    let mut chain = Chain::new();
    chain.enrol();
    // Half of them two hours later; from the fifth on they are refused for another reason, and count all the same.
    let half = URGENT_PER_PATIENT_MAX / 2;
    let first_hour = chain.ledger.head_time().0 / HOUR_MS;
    for n in 0..URGENT_PER_PATIENT_MAX {
        if n == half {
            chain.run_after(2 * HOUR_MS, Vec::new());
        }
        let request = chain.request();
        chain.act(HOSPITAL, TxBody::Request(Box::new(request)));
    }
    let request = chain.request();
    let at = until(&chain.refused(HOSPITAL, request), RequestLimit::Patient);
    assert_eq!(at, Millis((first_hour + 25) * HOUR_MS));
    // Nobody else is held up: not another hospital, and not what is counted apart.
    let elsewhere = chain.request_of(OTHER_HOSPITAL);
    chain.opened(OTHER_HOSPITAL, elsewhere);
    let treatment = |request: &mut Request| request.purpose = Purpose::EmergencyTreatment;
    for _ in 0..REQUESTS_PER_PATIENT_MAX {
        let request = chain.request_with(HOSPITAL, treatment);
        let events = chain.act(HOSPITAL, TxBody::Request(Box::new(request)));
        let too_often = |what: &What| {
            let reason = match what {
                What::Rejected { reason, .. } => reason,
                _ => return false,
            };
            matches!(reason, Rejection::TooOften { .. })
        };
        assert!(!events.iter().any(too_often));
    }
    let request = chain.request_with(HOSPITAL, treatment);
    until(&chain.refused(HOSPITAL, request), RequestLimit::Patient);

    // To the millisecond: one before that hour has passed, and then as many as were made in it.
    let wait = at.0 - chain.ledger.head_time().0;
    chain.run_after(wait - 2, Vec::new());
    let request = chain.request();
    assert_eq!(
        until(&chain.refused(HOSPITAL, request), RequestLimit::Patient),
        at
    );
    for _ in 0..half {
        let request = chain.request();
        chain.act(HOSPITAL, TxBody::Request(Box::new(request)));
    }
    let request = chain.request();
    assert_eq!(
        until(&chain.refused(HOSPITAL, request), RequestLimit::Patient),
        at.plus(2 * HOUR_MS)
    );
    let kept = |chain: &Chain| chain.ledger.state().attempts.iter().count();
    assert!(kept(&chain) > 0);
    chain.run_after(25 * HOUR_MS, Vec::new());
    assert_eq!(kept(&chain), 0, "nothing is kept that does not count");
}

/// Going through a register: whether the names exist or not, and though no name comes twice.
#[test]
fn a_hospital_asks_about_so_many_patients_a_day_and_no_more() {
    let mut chain = Chain::new();
    chain.enrol();
    let whom = |n: u32, purpose| {
        move |request: &mut Request| {
            request.patient.0[..4].copy_from_slice(&n.to_be_bytes());
            request.purpose = purpose;
        }
    };
    for (purpose, most) in [
        (Purpose::EmergencyTreatment, REQUESTS_PER_HOSPITAL_MAX),
        (Purpose::BreakGlass, URGENT_PER_HOSPITAL_MAX),
    ] {
        let transactions = (0..=most)
            .map(|n| {
                let request = chain.request_with(HOSPITAL, whom(n, purpose));
                chain.sign(HOSPITAL, TxBody::Request(Box::new(request)))
            })
            .collect();
        let events = chain.run(transactions);
        let refused = |what: &What| {
            matches!(
                what,
                What::Rejected {
                    reason: Rejection::TooOften {
                        limit: RequestLimit::Hospital,
                        ..
                    },
                    ..
                }
            )
        };
        assert_eq!(events.len(), most as usize + 1);
        assert_eq!(events.iter().filter(|what| refused(what)).count(), 1);
        assert!(events.last().is_some_and(refused));
        assert!(
            !events
                .iter()
                .any(|what| matches!(what, What::Attempt { .. })),
            "nobody is told who does not exist"
        );
    }
    let request = chain.request();
    until(&chain.refused(HOSPITAL, request), RequestLimit::Hospital);
    let elsewhere = chain.request_of(OTHER_HOSPITAL);
    chain.opened(OTHER_HOSPITAL, elsewhere);
}

/// The waiting time that the patient laid down is not got around by calling everything a threat to life.
#[test]
fn only_a_threat_to_life_breaks_the_glass() {
    let mut chain = Chain::new();
    chain.enrol();
    let acute = chain.request_with(HOSPITAL, |request| request.reason = Reason::Acute);
    match chain.refused(HOSPITAL, acute) {
        Rejection::Request { field } => assert!(field.starts_with("reason"), "{field}"),
        other => panic!("expected a wrong reason, got {other:?}"),
    }
    let treated = chain.request_with(HOSPITAL, |request| {
        request.reason = Reason::Acute;
        request.purpose = Purpose::EmergencyTreatment;
    });
    chain.opened(HOSPITAL, treated);
}
