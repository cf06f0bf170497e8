//! Bundles, sound and spoilt.

mod lives;
mod over_time;
mod scene;
mod spoilt;
mod story;

use self::scene::*;
use self::story::story;
use super::words::{Basis, Report};
use super::*;
use crate::emergency::{ClosedBy, Phase, Verdict};
use crate::ids::CaseId;
use crate::units::Height;

#[test]
fn a_whole_case_is_shown() {
    let (mut scene, case) = story();
    let bundle = scene.bundle(Subject::Case(case));
    let bytes = bundle.encode().unwrap();
    println!(
        "{} bytes, {} steps, {} blocks",
        bytes.len(),
        bundle.steps.len(),
        bundle.cases[0].blocks.len()
    );
    assert_eq!(Bundle::decode(&bytes), Ok(bundle.clone()));
    let findings = verify_bytes(&scene.chain.genesis, &bytes).unwrap();
    assert!(bundle.steps.len() < scene.chain.steps.len() + 1, "pruned");
    let found = &findings.cases[0];
    let live = scene.chain.ledger.state().case(case).unwrap();
    assert_eq!(
        (found.phase, found.transactions),
        (Phase::Reviewed, live.log.1)
    );
    assert_eq!(found.transactions, 12);
    assert_eq!(findings.patient.cases, 1);
    let who = |refused: bool| {
        let decisions = found.decisions.iter();
        let those = decisions.filter(move |decision| decision.refused.is_some() == refused);
        those.map(|decision| decision.kin).collect::<Vec<_>>()
    };
    assert_eq!(who(false), [kin(KIN[0]), kin(KIN[2]), kin(KIN[3])]);
    assert_eq!(who(true), [kin(KIN[1])]);
    let releases: Vec<_> = found
        .releases
        .iter()
        .map(|release| (release.kin, release.approvals_before))
        .collect();
    assert_eq!(
        releases,
        [KIN[0], KIN[2], KIN[3]].map(|n| (kin(n), 3)).to_vec()
    );
    let reads: Vec<u32> = found.reads.iter().map(|read| read.records).collect();
    assert_eq!(reads, [1, 2]);
    assert_eq!(found.closed.unwrap().by, ClosedBy::Hospital);
    assert_eq!(found.verdict.unwrap().verdict, Verdict::Justified);
    // The batch that came after the request is out of its scope.
    assert_eq!(found.scopes[0].batches.len(), 1);
    assert_eq!(findings.attachments.len(), 2);
    assert_eq!(findings.as_of.height.plus(1), scene.chain.ledger.height());
}

#[test]
fn the_words_say_what_is_proved_and_what_is_not() {
    let (mut scene, case) = story();
    let bundle = scene.bundle(Subject::Case(case));
    let findings = verify(&scene.chain.genesis, &bundle).unwrap();
    let report = Report::new(&findings);
    let sentences = report.sentences();
    let text = sentences.join("\n");
    println!("{text}");
    let as_of = format!("as of height {}, 2023-11-14 22:", findings.as_of.height);
    for expected in [
        as_of.as_str(),
        "\"Hospital 2\"",
        "Kin 1 (",
        "Kin 2 (",
        "it did not believe the request",
        "By the patient's rules of epoch 1, 3 of 5 kin of the first circle had to approve",
        "3 kin had approved in time by then; 3 were needed",
        "Not proved, only reported: the hospital says that its clinician read 2 records of tier summary",
        "closed by the hospital",
        "there was an emergency",
        "Attached: 1-request.json",
        "Please note: what happened after height",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let reads = |basis| {
        let words = report.words.iter();
        words
            .filter(|line| line.basis == basis && line.text.contains("clinician read"))
            .count()
    };
    assert_eq!((reads(Basis::Reported), reads(Basis::Proved)), (2, 0));
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert_eq!(json["findings"]["cases"][0]["phase"], "reviewed");
    assert_eq!(json["findings"]["subject"]["case"], case.to_hex());
    let words = json["words"].as_array().unwrap();
    assert_eq!(words.len(), sentences.len());
    assert_eq!(words[0]["basis"], "proved");
}

#[test]
fn a_patients_bundle_holds_all_cases_or_none() {
    let (mut scene, first) = story();
    let second = scene.open(OTHER_HOSPITAL, PATIENT);
    let third = scene.open(HOSPITAL, PATIENT);
    let id = patient(PATIENT);
    let subject = Subject::Patient(id);
    let foreign = scene.bundle(Subject::Patient(patient(OTHER_PATIENT)));
    let bundle = scene.bundle(subject);
    let genesis = scene.chain.genesis.clone();
    let findings = verify(&genesis, &bundle).unwrap();
    let cases: Vec<CaseId> = findings.cases.iter().map(|case| case.id).collect();
    assert_eq!(cases, [first, second, third]);
    let text = Report::new(&findings).sentences().join("\n");
    assert!(text.contains("3 emergency cases about this patient; all of them"));

    let spoil = |change: &dyn Fn(&mut Bundle)| {
        let mut spoilt = bundle.clone();
        change(&mut spoilt);
        verify(&genesis, &spoilt).unwrap_err()
    };
    let dropped = spoil(&|bundle| drop(bundle.cases.remove(1)));
    let (found, proved) = (2, 3);
    assert_eq!(dropped, AuditError::CaseCount { found, proved });
    let swapped = spoil(&|bundle| bundle.cases.swap(1, 2));
    assert_eq!(swapped, AuditError::CaseLog);
    let twice = spoil(&|bundle| bundle.cases[2] = bundle.cases[1].clone());
    assert_eq!(twice, AuditError::CaseLog);
    // Proved under another head, so it does not even stand in this state.
    let spliced = spoil(&|bundle| bundle.cases[1] = foreign.cases[0].clone());
    assert!(
        matches!(spliced, AuditError::StateProof { .. }),
        "{spliced}"
    );
    let hospitals = spoil(&|bundle| drop(bundle.hospitals.pop()));
    assert_eq!(hospitals, AuditError::List { what: "hospitals" });
}

/// The same head for both: only whose case it is tells them apart.
#[test]
fn a_case_of_somebody_else_is_not_taken_in() {
    let (mut scene, case) = story();
    let mut view = scene.view();
    let genesis = scene.chain.genesis.clone();
    let mut make = |subject| build(&genesis, &mut view, subject, Vec::new()).unwrap();
    let own = make(Subject::Patient(patient(PATIENT)));
    let other = make(Subject::Patient(patient(OTHER_PATIENT)));
    let single = make(Subject::Case(case));
    let mut spliced = own.clone();
    spliced.cases = other.cases.clone();
    assert!(matches!(
        verify(&genesis, &spliced),
        Err(AuditError::OtherPatient { .. })
    ));
    let mut spliced = own;
    spliced.cases.extend(other.cases.clone());
    assert!(matches!(
        verify(&genesis, &spliced),
        Err(AuditError::OtherPatient { .. })
    ));
    let mut spliced = single;
    spliced.cases = other.cases;
    assert_eq!(
        verify(&genesis, &spliced),
        Err(AuditError::Subject { case })
    );
}

#[test]
fn an_older_head_is_sound_and_says_so() {
    let mut scene = Scene::new();
    let case = scene.open(HOSPITAL, PATIENT);
    let before = scene.bundle(Subject::Case(case));
    scene.approve(case, &KIN[..3]);
    scene.act(KIN[0], Scene::release(case, KIN[0]));
    let after = scene.bundle(Subject::Case(case));
    let genesis = scene.chain.genesis.clone();
    let (old, new) = (
        verify(&genesis, &before).unwrap(),
        verify(&genesis, &after).unwrap(),
    );
    assert_eq!(
        (old.cases[0].phase, new.cases[0].phase),
        (Phase::Requested, Phase::Open)
    );
    assert_eq!(old.as_of.height, Height(3));
    assert!(old.as_of.time_ms < new.as_of.time_ms);
    let text = Report::new(&old).sentences().join("\n");
    assert!(
        text.contains("as of height 3, 2023-11-14 22:13:23 UTC"),
        "{text}"
    );
    assert!(text.contains("what happened after height 3"), "{text}");
    // The new head with the old case, and the other way round.
    let mut mixed = after.clone();
    mixed.cases = before.cases.clone();
    assert!(matches!(
        verify(&genesis, &mixed),
        Err(AuditError::StateProof {
            part: Part::Case(_),
            ..
        })
    ));
    let mut mixed = before;
    mixed.cases = after.cases;
    assert!(matches!(
        verify(&genesis, &mixed),
        Err(AuditError::StateProof { .. })
    ));
}

#[test]
fn what_cannot_be_shown_is_said() {
    let (mut scene, case) = story();
    let genesis = scene.chain.genesis.clone();
    let mut view = scene.view();
    let nobody = Subject::Patient(crate::ids::PatientId([1; 32]));
    let none = Subject::Case(CaseId([1; 32]));
    for subject in [nobody, none] {
        let error = build(&genesis, &mut view, subject, Vec::new()).unwrap_err();
        assert!(matches!(error, BuildError::Unknown { .. }), "{error}");
    }
    let twice = [attachments(), attachments()].concat();
    let error = build(&genesis, &mut view, Subject::Case(case), twice).unwrap_err();
    assert!(matches!(
        error,
        BuildError::Unsound(AuditError::Attachment { number: 2 })
    ));
    let mut short = scene.view();
    short.blocks.remove(9);
    let error = build(&genesis, &mut short, Subject::Case(case), Vec::new()).unwrap_err();
    assert!(matches!(error, BuildError::NoBlock { height: Height(10) }));
    let mut headless = scene.view();
    headless.steps.clear();
    let error = build(&genesis, &mut headless, Subject::Case(case), Vec::new()).unwrap_err();
    assert!(matches!(error, BuildError::NoHead));
}
