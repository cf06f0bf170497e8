//! The review of a case: who may judge, what it costs, what the reviewer has to do.

use super::chain::*;
use crate::crypto::Digest;
use crate::emergency::{CaseEvent, Phase, Review, ReviewTask, Verdict};
use crate::ids::{AccountId, CaseId, HospitalId};
use crate::ledger::*;
use crate::units::Credit;

const DAY: u64 = 24 * 3_600_000;

/// Accredited too, but works for [`HOSPITAL`].
const OWN_REVIEWER: u8 = 6;

/// A ledger on which also people are accredited who may have a part in a case.
fn chain() -> Chain {
    let mut genesis = genesis();
    for n in [OWN_REVIEWER, CLINICIAN, KIN[0], VALIDATOR] {
        let own = (n == OWN_REVIEWER).then(|| HospitalId::of(&key(HOSPITAL).verifying_key()));
        genesis.reviewers.push(ReviewerInfo {
            key: key(n).verifying_key(),
            hospital: own,
        });
    }
    Chain::founded(genesis)
}

fn account(n: u8) -> AccountId {
    AccountId::of(&key(n).verifying_key())
}

/// A case of `hospital` that was granted, opened and closed.
fn closed(chain: &mut Chain, hospital: u8) -> CaseId {
    let request = chain.request_of(hospital);
    let case = chain.opened(hospital, request);
    for n in &KIN[..2] {
        let approval = chain.approval(case);
        chain.act(*n, approval);
    }
    let digest = Digest([3; 32]);
    chain.act(KIN[0], TxBody::Release { case, digest });
    chain.act(hospital, TxBody::Close { case });
    case
}

fn credit(chain: &Chain) -> Credit {
    let mut rows = chain.ledger.standings().rows();
    rows.next().expect("one validator").credit
}

#[test]
fn only_an_accredited_reviewer_outside_the_hospital_and_the_case_may_judge() {
    let mut chain = chain();
    chain.enrol();
    let case = closed(&mut chain, HOSPITAL);
    let verdict = Verdict::Justified;
    for signer in [HOSPITAL, OTHER_HOSPITAL, PATIENT, KIN[1]] {
        let refused = chain.rejected(signer, TxBody::Review { case, verdict });
        let signer = account(signer);
        assert_eq!(refused, Rejection::NotReviewer { signer });
    }
    for (signer, tie) in [
        (CLINICIAN, "is the clinician who asked"),
        (VALIDATOR, "is a validator of the hospital"),
        (KIN[0], "is one of the kin who were asked"),
    ] {
        assert_eq!(chain.ledger.state().review_tasks(account(signer)), []);
        let refused = chain.rejected(signer, TxBody::Review { case, verdict });
        let signer = account(signer);
        assert_eq!(refused, Rejection::ReviewerTied { signer, tie });
    }
    let own = chain.rejected(OWN_REVIEWER, TxBody::Review { case, verdict });
    let hospital = HospitalId::of(&key(HOSPITAL).verifying_key());
    let signer = account(OWN_REVIEWER);
    assert_eq!(own, Rejection::OwnHospital { signer, hospital });
    assert_eq!(chain.ledger.state().review_tasks(signer), []);
    assert_eq!(chain.phase(case), Phase::Closed);
    chain.act(REVIEWER, TxBody::Review { case, verdict });
    let state = chain.ledger.state();
    let review = Review {
        verdict,
        reviewer: account(REVIEWER),
        at_ms: chain.ledger.head_time(),
    };
    assert_eq!(state.case(case).expect("on chain").review, Some(review));
    // A verdict is the last word.
    let again = TxBody::Review {
        case,
        verdict: Verdict::Unjustified,
    };
    let phase = Phase::Reviewed;
    let refused = Rejection::Case(crate::emergency::CaseError::Phase { phase });
    assert_eq!(chain.rejected(REVIEWER, again), refused);
}

/// Who works for one hospital may judge the cases of another; so may who was in another case.
#[test]
fn a_hospitals_own_reviewer_judges_the_cases_of_others() {
    let mut chain = chain();
    chain.enrol();
    let case = closed(&mut chain, OTHER_HOSPITAL);
    let tasks = chain.ledger.state().review_tasks(account(OWN_REVIEWER));
    assert_eq!(tasks.len(), 1);
    let verdict = Verdict::Inconclusive;
    let before = credit(&chain);
    chain.act(OWN_REVIEWER, TxBody::Review { case, verdict });
    assert_eq!(chain.phase(case), Phase::Reviewed);
    assert!(credit(&chain) >= before, "inconclusive costs nothing");
}

#[test]
fn a_task_names_its_deadline_and_the_most_urgent_comes_first() {
    let mut chain = chain();
    chain.enrol();
    let mine = |chain: &Chain| chain.ledger.state().review_tasks(account(REVIEWER));
    let never_granted = chain.open_case();
    assert_eq!(mine(&chain), []);
    let first = closed(&mut chain, HOSPITAL);
    let closed_ms = chain.ledger.head_time();
    chain.run_after(DAY, Vec::new());
    let second = closed(&mut chain, OTHER_HOSPITAL);
    let task = ReviewTask {
        case: first,
        hospital: HospitalId::of(&key(HOSPITAL).verifying_key()),
        closed_ms,
        due_ms: closed_ms.plus(7 * DAY),
        is_overdue: false,
    };
    let tasks = mine(&chain);
    assert_eq!(tasks[0], task);
    let ids: Vec<_> = tasks.iter().map(|task| task.case).collect();
    assert_eq!(ids, [first, second]);
    assert_eq!(chain.phase(never_granted), Phase::Expired);
    let verdict = Verdict::Justified;
    let case = first;
    chain.act(REVIEWER, TxBody::Review { case, verdict });
    assert_eq!(mine(&chain).len(), 1);
}

/// However many cases there ever were, only those that are not over are looked at; and no task is missed.
#[test]
fn looking_for_tasks_passes_by_what_is_over() {
    let mut chain = chain();
    chain.enrol();
    let mut waiting = Vec::new();
    for n in 0..6 {
        let case = closed(&mut chain, [HOSPITAL, OTHER_HOSPITAL][n % 2]);
        if n < 4 {
            let verdict = Verdict::Justified;
            chain.act(REVIEWER, TxBody::Review { case, verdict });
        } else {
            waiting.push(case);
        }
        let vetoed = chain.open_case();
        chain.act(PATIENT, TxBody::Veto { case: vetoed });
        // So often, and no oftener, may one hospital ask within a day.
        chain.run_after(DAY, Vec::new());
    }
    let live = chain.open_case();
    let state = chain.ledger.state();
    assert_eq!(state.cases().count(), 13);
    let open: Vec<_> = state.open_cases().map(|case| case.id).collect();
    assert_eq!(open.len(), 3);
    assert!(open.contains(&live) && waiting.iter().all(|case| open.contains(case)));
    let tasks = state.review_tasks(account(REVIEWER));
    let tasks: Vec<_> = tasks.iter().map(|task| task.case).collect();
    assert_eq!(tasks, waiting);
    // Overdue, it waits on.
    chain.run_after(30 * DAY, Vec::new());
    let state = chain.ledger.state();
    assert_eq!(state.open_cases().count(), 2);
    assert_eq!(state.review_tasks(account(REVIEWER)).len(), 2);
}

/// Rule 6: 20,000 at once and again every day, whoever has the validator; a late verdict ends it.
#[test]
fn an_overdue_review_costs_credit_once_a_day_until_the_verdict() {
    let mut chain = chain();
    chain.enrol();
    let case = closed(&mut chain, HOSPITAL);
    let cost = |chain: &mut Chain, after: u64| {
        let events = chain.run_after(after, Vec::new());
        let overdue = |what: &What| {
            matches!(
                what,
                What::Case {
                    step: CaseEvent::Overdue,
                    ..
                }
            )
        };
        events.iter().filter(|what| overdue(what)).count()
    };
    assert_eq!(cost(&mut chain, 7 * DAY - 1_000), 0);
    let before = credit(&chain).0;
    assert_eq!(cost(&mut chain, 2_000), 1);
    let after = credit(&chain).0;
    // What it earned for this block is far less than what it lost.
    assert!(before - after > 15_000, "{before} {after}");
    assert_eq!(cost(&mut chain, DAY / 2), 0);
    assert_eq!(cost(&mut chain, DAY / 2), 1);
    assert!(chain.ledger.state().review_tasks(account(REVIEWER))[0].is_overdue);
    let verdict = Verdict::Justified;
    chain.act(REVIEWER, TxBody::Review { case, verdict });
    assert_eq!(cost(&mut chain, 3 * DAY), 0);
}

/// A hospital without a validator has no credit; it may not request for a time.
#[test]
fn an_unjustified_case_costs_credit_or_the_right_to_request() {
    let mut chain = chain();
    chain.enrol();
    let verdict = Verdict::Unjustified;
    let case = closed(&mut chain, HOSPITAL);
    let before = credit(&chain).0;
    chain.act(REVIEWER, TxBody::Review { case, verdict });
    let lost = before - credit(&chain).0;
    // What it earned for this block is far less than the 50,000 that it lost.
    assert!((45_000..=50_000).contains(&lost), "{lost}");
    let case = closed(&mut chain, OTHER_HOSPITAL);
    chain.act(REVIEWER, TxBody::Review { case, verdict });
    let until = chain.ledger.head_time().plus(SUSPENSION_MS.0);
    let request = chain.request_of(OTHER_HOSPITAL);
    let refused = chain.rejected(OTHER_HOSPITAL, TxBody::Request(Box::new(request)));
    assert!(
        matches!(refused, Rejection::Suspended { until: found, .. } if found == until),
        "{refused:?}"
    );
}

#[test]
fn a_genesis_lists_reviewers_that_can_be() {
    let wrong = |change: &dyn Fn(&mut Genesis)| {
        let mut genesis = genesis();
        assert_eq!(genesis.validate(), Ok(()));
        change(&mut genesis);
        genesis.validate()
    };
    let id = account(REVIEWER);
    let refused = Err(GenesisError::Reviewer { id });
    let twice = wrong(&|genesis| genesis.reviewers.push(genesis.reviewers[0].clone()));
    assert_eq!(twice, refused);
    let unknown = wrong(&|genesis| genesis.reviewers[0].hospital = Some(HospitalId([9; 32])));
    assert_eq!(unknown, refused);
    let own = wrong(&|genesis| genesis.reviewers[0].key = key(HOSPITAL).verifying_key());
    let id = account(HOSPITAL);
    assert_eq!(own, Err(GenesisError::Reviewer { id }));
}
