//! Rosters, rules and devices that changed between cases, and the second circle: what counted then is what is checked.

use super::scene::*;
use crate::audit::words::Report;
use crate::audit::{AuditError, Bundle, Findings, Part, Subject, build};
use crate::emergency::{Circle, ClosedBy, Phase, RefusalReason, SecondCircleError, Verdict};
use crate::ids::{AccountId, CaseId};
use crate::ledger::{
    Accredited, Clause, Epochs, IssuerInfo, Rejection, Role, Rules, RulesChange, TxBody, What,
};
use crate::roster::{Plan, RosterEvent, RosterStep};
use crate::units::{Epoch, Millis, Tier};

/// An error with its causes, as the program prints it.
fn causes(error: &dyn core::error::Error) -> String {
    let causes = core::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

/// Why there is no bundle about the patient. The builder executes by the rules too, and finds no case that they would not have let be.
fn why_not_built(scene: &mut Scene) -> String {
    let genesis = scene.chain.genesis.clone();
    let mut view = scene.view();
    let subject = Subject::Patient(patient(PATIENT));
    let error = build(&genesis, &mut view, subject, Vec::new()).unwrap_err();
    causes(&error)
}

/// What was in force stands in the order of its epochs.
fn refuses_swapped_rosters(scene: &Scene, bundle: &Bundle) {
    let mut spoilt = bundle.clone();
    spoilt.rosters.swap(0, 1);
    let part = Part::Roster(Epochs {
        first: Epoch(1),
        second: Epoch(1),
        rules: Epoch(1),
    });
    assert_eq!(scene.verify(&spoilt), Err(AuditError::Misplaced { part }));
}

fn text(findings: &Findings) -> String {
    Report::new(findings).sentences().join("\n")
}

/// A case of epoch 1, another of epoch 2, in which one kin less may decide and the session is shorter.
fn two_epochs() -> (Scene, CaseId, CaseId) {
    let mut scene = Scene::new();
    let first = scene.open(HOSPITAL, PATIENT);
    scene.approve(first, &KIN[..3]);
    // It never approved.
    scene.act(KIN[4], Scene::release(first, KIN[4]));
    scene.act(HOSPITAL, TxBody::Close { case: first });
    scene.change(|state| {
        let id = patient(PATIENT);
        let mut entry = state.patient(id).unwrap().clone();
        entry.epoch = Epoch(2);
        entry.enrolment.roster.rotate_left(1);
        entry.enrolment.roster.truncate(4);
        entry.enrolment.tiers[0].policy.session_ms_max = Millis(7_000);
        state.patients.put(id, entry);
    });
    let second = scene.open(HOSPITAL, PATIENT);
    scene.approve(second, &KIN[1..4]);
    scene.act(KIN[1], Scene::release(second, KIN[1]));
    (scene, first, second)
}

#[test]
fn each_case_is_judged_by_the_roster_and_rules_of_its_epoch() {
    let (mut scene, first, second) = two_epochs();
    let (bundle, findings) = scene.shown(Subject::Patient(patient(PATIENT)));
    assert_eq!(bundle.rosters.len(), 2);
    let found: Vec<_> = findings
        .cases
        .iter()
        .map(|case| {
            (
                case.id,
                case.epoch,
                case.roster.len(),
                case.timing.session_ms,
            )
        })
        .collect();
    let expected = [
        (first, Epoch(1), 5, Millis(30_000)),
        (second, Epoch(2), 4, Millis(7_000)),
    ];
    assert_eq!(found, expected);
    let rule = |n: usize| findings.cases[n].rules[0].policy.session_ms_max;
    assert_eq!((rule(0), rule(1)), (Millis(4 * 3_600_000), Millis(7_000)));
    // Each alone needs its own roster only.
    for (case, epoch) in [(first, 1), (second, 2)] {
        let bundle = scene.bundle(Subject::Case(case));
        assert_eq!(bundle.rosters.len(), 1);
        let words = text(&scene.verify(&bundle).unwrap());
        assert!(
            words.contains(&format!("rules of epoch {epoch},")),
            "{words}"
        );
    }
    refuses_swapped_rosters(&scene, &bundle);
    let mut spoilt = bundle;
    spoilt.rosters.pop();
    let what = "rosters";
    assert_eq!(scene.verify(&spoilt), Err(AuditError::List { what }));
}

/// The patient shortens sessions while a case is live: that one keeps its own, the next has the new one.
fn two_rules() -> (Scene, CaseId, CaseId) {
    let mut scene = Scene::new();
    let first = scene.open(HOSPITAL, PATIENT);
    let state = scene.chain.ledger.state();
    let entry = state.patient(patient(PATIENT)).unwrap();
    let mut rules = Rules::of(&entry.enrolment);
    rules.policies[0].session_ms_max = Millis(7_000);
    let from = entry.rules_epoch;
    let plan = Plan::Rules(Box::new(RulesChange { from, rules }));
    let body = TxBody::Roster {
        patient: patient(PATIENT),
        step: Box::new(RosterStep::Propose(Box::new(plan))),
    };
    let done = scene.act(PATIENT, body);
    let changed = RosterEvent::RulesChanged(Epoch(2));
    assert!(matches!(&done[..], [What::Roster { step, .. }] if *step == changed));
    let second = scene.open(OTHER_HOSPITAL, PATIENT);
    for case in [first, second] {
        scene.approve(case, &KIN[..3]);
        scene.act(KIN[0], Scene::release(case, KIN[0]));
    }
    (scene, first, second)
}

#[test]
fn each_case_is_judged_by_the_rules_under_which_it_was_asked_for() {
    let (mut scene, first, second) = two_rules();
    let bundle = scene.bundle(Subject::Patient(patient(PATIENT)));
    assert_eq!(bundle.rosters.len(), 2);
    let findings = scene.verify(&bundle).unwrap();
    let cases = findings.cases.iter();
    let found: Vec<_> = cases
        .map(|case| {
            let rule = case.rules[0].policy.session_ms_max;
            (case.id, case.epoch, rule, case.timing.session_ms)
        })
        .collect();
    let usual = Millis(4 * 3_600_000);
    let expected = [
        (first, Epoch(1), usual, Millis(30_000)),
        (second, Epoch(1), Millis(7_000), Millis(7_000)),
    ];
    assert_eq!(found, expected);
    refuses_swapped_rosters(&scene, &bundle);
}

/// All validators sign that other people were kin all at once, and call it a change of rules.
#[test]
fn a_change_of_rules_under_a_live_case_changes_nobody() {
    let mut scene = Scene::new();
    let first = scene.open(HOSPITAL, PATIENT);
    scene.change(|state| {
        let id = patient(PATIENT);
        let mut entry = state.patient(id).unwrap().clone();
        entry.rules_epoch = Epoch(2);
        entry.enrolment.roster.rotate_left(1);
        state.patients.put(id, entry);
    });
    let second = scene.open(OTHER_HOSPITAL, PATIENT);
    assert!(scene.chain.ledger.state().case(first).is_some());
    let text = why_not_built(&mut scene);
    assert!(text.contains(&second.to_hex()[..8]), "{text}");
}

/// All validators sign that the roster changed while a case was live: the rules say no.
#[test]
fn an_epoch_does_not_change_under_a_live_case() {
    let mut scene = Scene::new();
    let first = scene.open(HOSPITAL, PATIENT);
    scene.approve(first, &KIN[..1]);
    scene.change(|state| {
        let id = patient(PATIENT);
        let mut entry = state.patient(id).unwrap().clone();
        entry.epoch = Epoch(2);
        state.patients.put(id, entry);
    });
    let second = scene.open(HOSPITAL, PATIENT);
    let text = why_not_built(&mut scene);
    assert!(text.contains(&second.to_hex()[..8]), "{text}");
    assert!(text.contains("0 transactions"), "{text}");
}

#[test]
fn a_veto_counts_from_a_device_that_was_replaced_since() {
    const NEW: u8 = 30;
    const STRANGER: u8 = 31;
    let device = |n: u8| AccountId::of(&key(n).verifying_key());
    let replace = |scene: &mut Scene, n: u8| {
        scene.change(|state| {
            let id = patient(PATIENT);
            let mut entry = state.patient(id).unwrap().clone();
            state.devices.remove(&entry.device);
            state.devices.put(device(n), id);
            entry.change_device(device(n));
            state.patients.put(id, entry);
        });
    };
    let mut scene = Scene::new();
    let mut vetoed = Vec::new();
    for signer in [PATIENT, NEW] {
        let case = scene.open(HOSPITAL, PATIENT);
        scene.act(signer, TxBody::Veto { case });
        vetoed.push((case, device(signer)));
        let next = if signer == PATIENT { NEW } else { STRANGER };
        replace(&mut scene, next);
    }
    let (_, findings) = scene.shown(Subject::Patient(patient(PATIENT)));
    let found: Vec<_> = findings
        .cases
        .iter()
        .map(|case| (case.id, case.vetoed.unwrap().device))
        .collect();
    assert_eq!(found, vetoed);
    assert!(
        findings
            .cases
            .iter()
            .all(|case| case.phase == Phase::Vetoed)
    );
}

/// The first circle does not answer, the second does.
fn both_circles() -> (Scene, CaseId, CaseId) {
    let mut scene = Scene::new();
    let after = scene.open(HOSPITAL, PATIENT);
    scene.approve(after, &KIN[..1]);
    scene.chain.pass(6);
    let second = scene.open_with(HOSPITAL, PATIENT, |request| {
        request.circle = Circle::Second { after };
    });
    scene.approve(second, &SECOND_KIN[..2]);
    scene.act(SECOND_KIN[0], Scene::release(second, SECOND_KIN[0]));
    (scene, after, second)
}

#[test]
fn a_case_of_the_second_circle_comes_with_the_one_before() {
    let (mut scene, after, second) = both_circles();
    let (bundle, findings) = scene.shown(Subject::Case(second));
    let ids: Vec<CaseId> = findings.cases.iter().map(|case| case.id).collect();
    assert_eq!(ids, [after, second]);
    let found = &findings.cases[1];
    assert_eq!((found.threshold, found.roster.len()), (2, 3));
    assert_eq!(found.rules.len(), 1);
    assert_eq!(
        (found.rules[0].tier, found.rules[0].threshold),
        (Tier::Summary, 2)
    );
    let words = text(&findings);
    assert!(
        words.contains("2 of 3 kin of the second circle had to approve"),
        "{words}"
    );
    assert!(words.contains("goes on from case"), "{words}");
    let mut alone = bundle.clone();
    alone.cases.remove(0);
    assert_eq!(
        scene.verify(&alone),
        Err(AuditError::Subject { case: second })
    );
    let mut turned = bundle;
    turned.cases.swap(0, 1);
    assert_eq!(
        scene.verify(&turned),
        Err(AuditError::Subject { case: second })
    );
    // The case before stands for itself.
    assert_eq!(scene.bundle(Subject::Case(after)).cases.len(), 1);
    let whole = scene.bundle(Subject::Patient(patient(PATIENT)));
    assert!(scene.verify(&whole).is_ok());
}

/// The circle of the time counts: the patient has named others since.
#[test]
fn a_case_is_judged_by_the_second_circle_of_its_time() {
    const OTHERS: [u8; 3] = [40, 41, 42];
    let (mut scene, after, second) = both_circles();
    scene.act(HOSPITAL, TxBody::Close { case: second });
    // One request had come to nothing when others were named; the next one has a case of the time before them to go on from.
    scene.chain.pass(20);
    let named = scene.name_second(PATIENT, &OTHERS);
    let named = named.iter().any(|what| {
        matches!(what, What::Roster { step, .. } if *step == RosterEvent::SecondNamed(Epoch(2)))
    });
    assert!(named);
    let by_others = scene.open_with(HOSPITAL, PATIENT, |request| {
        request.circle = Circle::Second { after };
    });
    scene.approve(by_others, &OTHERS[..2]);
    scene.act(OTHERS[1], Scene::release(by_others, OTHERS[1]));
    let bundle = scene.bundle(Subject::Patient(patient(PATIENT)));
    assert_eq!(bundle.rosters.len(), 2);
    let findings = scene.verify(&bundle).unwrap();
    let found: Vec<_> = findings
        .cases
        .iter()
        .map(|case| (case.id, case.roster.clone(), case.releases.len()))
        .collect();
    let ids = |of: &[u8]| of.iter().map(|n| kin(*n)).collect::<Vec<_>>();
    let expected = [
        (after, ids(&KIN), 0),
        (second, ids(&SECOND_KIN), 1),
        (by_others, ids(&OTHERS), 1),
    ];
    assert_eq!(found, expected);
    refuses_swapped_rosters(&scene, &bundle);
}

/// All validators sign that the second circle changed while a case was live: the rules say no.
#[test]
fn a_second_circle_does_not_change_under_a_live_case() {
    let mut scene = Scene::new();
    let after = scene.open(HOSPITAL, PATIENT);
    scene.chain.pass(6);
    scene.change(|state| {
        let id = patient(PATIENT);
        let mut entry = state.patient(id).unwrap().clone();
        entry.second_epoch = Epoch(2);
        entry
            .enrolment
            .second
            .as_mut()
            .unwrap()
            .roster
            .rotate_left(1);
        state.patients.put(id, entry);
    });
    let second = scene.open_with(HOSPITAL, PATIENT, |request| {
        request.circle = Circle::Second { after };
    });
    let text = why_not_built(&mut scene);
    assert!(text.contains(&second.to_hex()[..8]), "{text}");
}

/// All validators let a hospital turn to the second circle that had been told no by the patient; the whole history shows it.
#[test]
fn a_second_circle_asked_after_a_no_is_found_out() {
    let mut scene = Scene::new();
    let no = scene.open(HOSPITAL, PATIENT);
    for n in &KIN[..3] {
        let reason = RefusalReason::Doubtful;
        scene.act(*n, TxBody::Refuse { case: no, reason });
    }
    let after = scene.open(HOSPITAL, PATIENT);
    scene.chain.pass(6);
    let told = scene.chain.ledger.state().case(no).unwrap().clone();
    scene.change(|state| {
        let mut other = told.clone();
        other.phase = Phase::Expired;
        state.cases.put(no, other);
    });
    let second = scene.open_with(HOSPITAL, PATIENT, |request| {
        request.circle = Circle::Second { after };
    });
    scene.change(|state| state.cases.put(no, told));
    let genesis = scene.chain.genesis.clone();
    let mut view = scene.view();
    // Seen alone it holds: what happened in other cases is not in it.
    let alone = build(&genesis, &mut view, Subject::Case(second), Vec::new()).unwrap();
    let words = text(&scene.verify(&alone).unwrap());
    assert!(
        words.contains("had been told no in another case"),
        "{words}"
    );
    let entry = view.ledger.state().case(second).unwrap().clone();
    let mut whole = alone.clone();
    whole.subject = Subject::Patient(patient(PATIENT));
    let before = build(&genesis, &mut view, Subject::Case(no), Vec::new()).unwrap();
    whole.cases.insert(0, before.cases[0].clone());
    let error = scene.verify(&whole).unwrap_err();
    let AuditError::Refused {
        case,
        number: 1,
        reason,
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(case, entry.id);
    let phase = Phase::Refused;
    assert_eq!(
        *reason,
        Rejection::SecondCircle(SecondCircleError::SaidNo { case: no, phase })
    );
}

fn revoke(role: Role, n: u8) -> Clause {
    let account = AccountId::of(&key(n).verifying_key());
    Clause::Revoke { role, account }
}

/// The validators end what a hospital has begun: the amendment is a transaction of each of its live cases.
#[test]
fn a_revoked_hospital_and_its_cases_are_shown() {
    let mut scene = Scene::new();
    let closed = scene.open(HOSPITAL, PATIENT);
    scene.approve(closed, &KIN[..3]);
    scene.act(HOSPITAL, TxBody::Close { case: closed });
    let open = scene.open(HOSPITAL, PATIENT);
    scene.approve(open, &KIN[..3]);
    let asked = scene.open(HOSPITAL, PATIENT);
    // Signed by too few, and so refused, although it stands on chain.
    let amendment = scene
        .chain
        .amendment(vec![revoke(Role::Hospital, HOSPITAL)]);
    let too_few = scene.chain.govern(&amendment, 1);
    scene.chain.push(vec![too_few]);
    scene.chain.amend(vec![revoke(Role::Hospital, HOSPITAL)]);
    let verdict = Verdict::Unjustified;
    scene.act(
        REVIEWER,
        TxBody::Review {
            case: open,
            verdict,
        },
    );
    let other = scene.open(OTHER_HOSPITAL, PATIENT);

    let (bundle, findings) = scene.shown(Subject::Patient(patient(PATIENT)));
    let found: Vec<_> = findings
        .cases
        .iter()
        .map(|case| (case.id, case.phase, case.closed.map(|closing| closing.by)))
        .collect();
    let expected = [
        (closed, Phase::Closed, Some(ClosedBy::Hospital)),
        (open, Phase::Reviewed, Some(ClosedBy::Revoked)),
        (asked, Phase::Revoked, None),
        (other, Phase::Requested, None),
    ];
    assert_eq!(found, expected);
    assert!(findings.cases[1].closed.unwrap().mark.is_some());
    assert!(findings.cases[0].hospital.revoked_at.is_some());
    let words = text(&findings);
    for expected in [
        "revoked the hospital's accreditation",
        "accredited no more since block",
        "vouched for that key as a physician's",
    ] {
        assert!(words.contains(expected), "{expected} is not in {words}");
    }
    // Each alone.
    for case in [closed, open, asked, other] {
        let bundle = scene.bundle(Subject::Case(case));
        assert!(scene.verify(&bundle).is_ok());
    }
    let mut spoilt = bundle;
    let last = spoilt.cases[2].blocks.pop().unwrap();
    let short = scene.verify(&spoilt).unwrap_err();
    assert!(matches!(short, AuditError::Count { .. }), "{short}");
    spoilt.cases[2].blocks.push(last.clone());
    spoilt.cases[3].blocks.insert(0, last);
    let foreign = scene.verify(&spoilt).unwrap_err();
    assert!(
        matches!(
            foreign,
            AuditError::Count { .. } | AuditError::Foreign { .. }
        ),
        "{foreign}"
    );
}

/// From the first issuer on it is the issuers who vouch, and what they have vouched for ends with them.
#[test]
fn issuers_of_credentials_are_shown() {
    const ISSUER: u8 = 40;
    let mut scene = Scene::new();
    let before = scene.open(HOSPITAL, PATIENT);
    let issuer = Accredited::Issuer(IssuerInfo {
        key: key(ISSUER).verifying_key(),
        name: "Chamber of Physicians".to_owned(),
    });
    scene.chain.amend(vec![Clause::Accredit(issuer)]);
    let credential = scene.credential(HOSPITAL, ISSUER);
    let vouched = scene.open_with(HOSPITAL, PATIENT, |request| {
        request.credential = Some(credential);
    });
    scene.chain.amend(vec![revoke(Role::Issuer, ISSUER)]);
    let (bundle, findings) = scene.shown(Subject::Patient(patient(PATIENT)));
    assert_eq!(bundle.issuers.len(), 1);
    let found: Vec<_> = findings
        .cases
        .iter()
        .map(|case| (case.id, case.phase, case.voucher.clone().unwrap().name))
        .collect();
    let expected = [
        (before, Phase::Requested, "Hospital 2".to_owned()),
        (vouched, Phase::Revoked, "Chamber of Physicians".to_owned()),
    ];
    assert_eq!(found, expected);
    let mut spoilt = bundle.clone();
    spoilt.issuers.clear();
    let what = "issuers";
    assert_eq!(scene.verify(&spoilt), Err(AuditError::List { what }));
    let mut spoilt = bundle;
    spoilt.register = spoilt.meta.clone();
    let part = Part::Register;
    assert_eq!(scene.verify(&spoilt), Err(AuditError::Misplaced { part }));
}
