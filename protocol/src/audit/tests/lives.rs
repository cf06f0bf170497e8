//! Cases of every kind: what is executed anew from the bundle is what the ledger has, however a case goes.

use super::scene::*;
use crate::audit::words::Report;
use crate::audit::{Bundle, Findings, Subject};
use crate::crypto::Digest;
use crate::emergency::{ClosedBy, Phase, Purpose, RefusalReason, Verdict};
use crate::ids::CaseId;
use crate::ledger::TxBody;
use crate::units::Tier;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::collections::BTreeSet;

fn shown(scene: &mut Scene, case: CaseId) -> (Findings, String) {
    let (_, findings) = scene.shown(Subject::Case(case));
    let text = Report::new(&findings).sentences().join("\n");
    (findings, text)
}

#[test]
fn every_end_of_a_case_is_shown() {
    let mut scene = Scene::new();
    let refused = scene.open(HOSPITAL, PATIENT);
    for n in &KIN[..3] {
        let reason = RefusalReason::PatientCanDecide;
        let body = TxBody::Refuse {
            case: refused,
            reason,
        };
        scene.act(*n, body);
    }
    let vetoed = scene.open(HOSPITAL, PATIENT);
    scene.approve(vetoed, &KIN[..2]);
    scene.act(PATIENT, TxBody::Veto { case: vetoed });
    let stopped = scene.open(HOSPITAL, PATIENT);
    scene.approve(stopped, &KIN[..3]);
    scene.act(PATIENT, TxBody::Veto { case: stopped });
    let expired = scene.open(HOSPITAL, PATIENT);
    scene.approve(expired, &KIN[..2]);
    scene.chain.pass(13);
    let timed_out = scene.open(HOSPITAL, PATIENT);
    scene.approve(timed_out, &KIN);
    scene.chain.pass(31);
    let open = scene.open(HOSPITAL, PATIENT);
    let early = shown(&mut scene, open);
    assert!(
        early.1.contains("it was waiting for approvals"),
        "{}",
        early.1
    );
    let expected = [
        (refused, Phase::Refused, None, "too many kin refused"),
        (vetoed, Phase::Vetoed, None, "ended with the patient's veto"),
        (
            stopped,
            Phase::Closed,
            Some(ClosedBy::Veto),
            "closed by the patient's veto",
        ),
        (expired, Phase::Expired, None, "too few kin approved"),
        (
            timed_out,
            Phase::Closed,
            Some(ClosedBy::Time),
            "the session's time was over",
        ),
        (open, Phase::Requested, None, "It was never granted"),
    ];
    for (case, phase, closed, words) in expected {
        let (findings, text) = shown(&mut scene, case);
        let found = &findings.cases[0];
        assert_eq!(found.phase, phase);
        assert_eq!(found.closed.map(|closing| closing.by), closed);
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

/// A waiting time that the patient asked for ends by itself, between two blocks of the case.
#[test]
fn a_waiting_time_is_kept() {
    let mut scene = Scene::new();
    let tiers = [Tier::Summary, Tier::Chart];
    let request = scene.request(HOSPITAL, PATIENT, &tiers, Purpose::EmergencyTreatment);
    let transaction = scene.sign(HOSPITAL, TxBody::Request(Box::new(request)));
    let case = CaseId(transaction.id().0);
    scene.chain.push(vec![transaction]);
    scene.approve(case, &KIN[..3]);
    let (waiting, text) = shown(&mut scene, case);
    assert_eq!(waiting.cases[0].phase, Phase::Waiting);
    assert!(text.contains("the patient's waiting time was not over"));
    scene.chain.pass(2);
    scene.act(KIN[0], Scene::release(case, KIN[0]));
    let (findings, text) = shown(&mut scene, case);
    let found = &findings.cases[0];
    assert_eq!(found.phase, Phase::Open);
    let granted = found.requested.time_ms.plus(WAITING_MS);
    assert_eq!(found.granted_ms, Some(granted));
    assert_eq!(found.scopes.len(), 2);
    assert!(
        text.contains("after waiting 4 seconds unless life is at risk"),
        "{text}"
    );
}

/// Everybody does anything at any time; most of it is refused. What the bundles show is what stands.
#[test]
fn whatever_happens_is_shown() {
    let seed: u64 = std::env::var("KITHKIN_SEED")
        .map_or(0xa0d17, |text| text.parse().expect("a seed is a number"));
    println!("KITHKIN_SEED={seed}");
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut phases = BTreeSet::new();
    for _ in 0..6 {
        let mut scene = Scene::new();
        let mut cases = Vec::new();
        for _ in 0..70 {
            anything(&mut scene, &mut cases, &mut rng);
        }
        for of in [PATIENT, OTHER_PATIENT] {
            let bundle = scene.bundle(Subject::Patient(patient(of)));
            let bytes = bundle.encode().unwrap();
            assert_eq!(Bundle::decode(&bytes).as_ref(), Ok(&bundle));
            let findings = scene.verify(&bundle).unwrap();
            let state = scene.chain.ledger.state();
            let live: Vec<CaseId> = state.cases_of(patient(of)).map(|case| case.id).collect();
            let found: Vec<CaseId> = findings.cases.iter().map(|case| case.id).collect();
            assert_eq!(found, live);
            phases.extend(findings.cases.iter().map(|case| case.phase));
        }
    }
    println!("{phases:?}");
    assert!(phases.len() >= 6, "{phases:?}");
}

/// One step of one or two people in one block.
fn anything(scene: &mut Scene, cases: &mut Vec<CaseId>, rng: &mut ChaCha20Rng) {
    let mut pick = |most: usize| usize::try_from(rng.next_u32()).unwrap() % most;
    let by = [HOSPITAL, OTHER_HOSPITAL][pick(2)];
    if cases.is_empty() || (cases.len() < 8 && pick(9) == 0) {
        let of = [PATIENT, OTHER_PATIENT][pick(2)];
        let purpose = [Purpose::BreakGlass, Purpose::EmergencyTreatment][pick(2)];
        let request = scene.request(by, of, &[Tier::Chart], purpose);
        let transaction = scene.sign(by, TxBody::Request(Box::new(request)));
        let case = CaseId(transaction.id().0);
        scene.chain.push(vec![transaction]);
        // A hospital may have too many cases already, or have lost its right to ask.
        if scene.chain.ledger.state().case(case).is_some() {
            cases.push(case);
        }
        return;
    }
    // Mostly the newest, so that some come far.
    let case = match pick(3) {
        0 => cases[pick(cases.len())],
        _ => *cases.last().unwrap(),
    };
    let mut block = Vec::new();
    for _ in 0..=pick(2) {
        let n = KIN[pick(5)];
        let (signer, body) = match pick(14) {
            0..=5 => (n, scene.approval(case)),
            6 => {
                let reason = RefusalReason::Unstated;
                (n, TxBody::Refuse { case, reason })
            }
            7..=9 => (n, Scene::release(case, n)),
            10 => (by, TxBody::Close { case }),
            11 => {
                let verdict = [Verdict::Justified, Verdict::Unjustified][pick(2)];
                (REVIEWER, TxBody::Review { case, verdict })
            }
            12 => {
                let read = TxBody::Read {
                    case,
                    tier: Tier::Chart,
                    records: 3,
                    digest: Digest([7; 32]),
                };
                (by, read)
            }
            _ if pick(3) == 0 => ([PATIENT, OTHER_PATIENT][pick(2)], TxBody::Veto { case }),
            _ => break,
        };
        let transaction = scene.sign(signer, body);
        block.push(transaction);
    }
    scene.chain.push(block);
}
