//! The report to the patient, drawn from cases as the ledger has them.

use super::chain::*;
use crate::crypto::Digest;
use crate::emergency::{
    Advice, CaseError, ClosedBy, Disclosure, Facts, Outcome, Phase, Reading, RefusalReason,
    ReviewState, Said, Verdict,
};
use crate::ids::{CaseId, HospitalId, KinId};
use crate::ledger::*;
use crate::record::{BatchHeader, BatchStatus};
use crate::units::{Epoch, Height, Millis, Tier};

fn kin(n: u8) -> KinId {
    KinId::of(&key(n).verifying_key())
}

fn report_of(chain: &Chain, id: CaseId, batches: &[(Height, BatchHeader)]) -> Disclosure {
    let state = chain.ledger.state();
    let case = state.case(id).expect("on chain");
    let roster = state.roster_of(patient(), case.epochs());
    let facts = Facts {
        case,
        as_of: (chain.ledger.height(), chain.ledger.head_time()),
        roster: roster.expect("kept").roster_of(case.circle()),
        hospital: &state.hospital(case.hospital).expect("accredited").info.name,
        batches,
    };
    Disclosure::of(&facts).expect("facts that fit")
}

fn report(chain: &Chain, id: CaseId) -> Disclosure {
    report_of(chain, id, &[])
}

fn said(report: &Disclosure) -> Vec<Said> {
    report.kin.iter().map(|line| line.said).collect()
}

#[test]
fn a_case_that_was_opened_is_told_from_its_request_to_the_verdict() {
    let mut chain = Chain::new();
    chain.enrol();
    let id = chain.open_case();
    let mut times = vec![chain.ledger.head_time()];
    for n in &KIN[..2] {
        let approval = chain.approval(id);
        chain.act(*n, approval);
        times.push(chain.ledger.head_time());
    }
    let now = report(&chain, id);
    let phase = Phase::Granted;
    assert_eq!(now.outcome, Outcome::UnderWay { phase });
    assert_eq!(now.advice, [Advice::Veto, Advice::TalkWithKin]);
    let digest = Digest([3; 32]);
    chain.act(KIN[0], TxBody::Release { case: id, digest });
    times.push(chain.ledger.head_time());
    let read = TxBody::Read {
        case: id,
        tier: Tier::Summary,
        records: 1,
        digest,
    };
    chain.act(HOSPITAL, read);
    let read_ms = chain.ledger.head_time();
    chain.act(HOSPITAL, TxBody::Close { case: id });
    let closed_ms = chain.ledger.head_time();

    let closed = report(&chain, id);
    assert_eq!(closed.asked.at_ms, times[0]);
    assert_eq!(closed.asked.hospital_name, "hospital 2");
    assert_eq!(closed.asked.clinician, key(CLINICIAN).verifying_key());
    assert!(closed.asked.role.is_some());
    assert_eq!((closed.needed, closed.agreed()), (2, 2));
    let yes = |at: usize| Said::Yes { at_ms: times[at] };
    assert_eq!(said(&closed), [yes(1), yes(2), Said::Nothing]);
    let released: Vec<_> = closed.kin.iter().map(|line| line.released_ms).collect();
    assert_eq!(released, [Some(times[3]), None, None]);
    assert_eq!(closed.granted_ms, Some(times[2]));
    let reading = Reading {
        times: 1,
        records: 1,
        first_ms: read_ms,
        last_ms: read_ms,
    };
    assert_eq!(closed.tiers[0].read, Some(reading));
    assert!(closed.anything_read());
    let by = ClosedBy::Hospital;
    let at_ms = closed_ms;
    assert_eq!(closed.outcome, Outcome::Closed { at_ms, by });
    let week = 7 * 24 * 3_600_000;
    let by_ms = closed_ms.plus(week);
    assert_eq!(closed.review, ReviewState::Due { by_ms });
    let told = [
        Advice::TellTheReviewer,
        Advice::TalkWithKin,
        // Two of two that were needed: the third, who said nothing, would have been one to spare.
        Advice::ChangeKin,
        Advice::ChangeRules,
    ];
    assert_eq!(closed.advice, told);
    assert_eq!(closed.transactions, 6);

    chain.run_after(week, Vec::new());
    let late = report(&chain, id);
    assert_eq!(late.review, ReviewState::Overdue { since_ms: by_ms });
    assert_eq!(late.advice[0], Advice::PressForReview);
    let verdict = Verdict::Unjustified;
    chain.act(REVIEWER, TxBody::Review { case: id, verdict });
    let judged = report(&chain, id);
    assert!(matches!(judged.review, ReviewState::Given(review) if review.verdict == verdict));
    assert_eq!(judged.advice[0], Advice::AskForReasons);
    assert!(!judged.advice.contains(&Advice::TellTheReviewer));
}

#[test]
fn a_case_that_came_to_nothing_is_told_too() {
    let mut chain = Chain::new();
    chain.enrol();
    let nothing = |report: &Disclosure| {
        assert!(!report.anything_read() && report.granted_ms.is_none());
        assert_eq!(report.review, ReviewState::None);
        assert_eq!(report.advice[0], Advice::NothingToDo);
        assert_eq!(report.advice.last(), Some(&Advice::ChangeRules));
    };
    let refused = chain.open_case();
    let mut times = Vec::new();
    for n in &KIN[1..] {
        let reason = RefusalReason::NotThere;
        chain.act(
            *n,
            TxBody::Refuse {
                case: refused,
                reason,
            },
        );
        times.push(chain.ledger.head_time());
    }
    let refused = report(&chain, refused);
    let no = |at: usize| Said::No {
        at_ms: times[at],
        reason: RefusalReason::NotThere,
    };
    assert_eq!(said(&refused), [Said::Nothing, no(0), no(1)]);
    assert_eq!(refused.outcome, Outcome::Refused { at_ms: times[1] });
    nothing(&refused);

    let vetoed = chain.open_case();
    chain.act(PATIENT, TxBody::Veto { case: vetoed });
    let at_ms = chain.ledger.head_time();
    let vetoed = report(&chain, vetoed);
    assert_eq!(vetoed.outcome, Outcome::Vetoed { at_ms });
    nothing(&vetoed);
    assert!(!vetoed.advice.contains(&Advice::ChangeKin));

    let expired = chain.open_case();
    chain.run_after(3_600_000, Vec::new());
    let expired = report(&chain, expired);
    let at_ms = expired.asked.expires_ms;
    assert_eq!(expired.outcome, Outcome::Expired { at_ms });
    assert!(expired.advice.contains(&Advice::ChangeKin));
    nothing(&expired);
}

/// Only batches of the tier that stood when it was asked count; records that were named one by one are counted themselves.
#[test]
fn the_records_that_were_asked_for_are_counted() {
    let mut chain = Chain::new();
    chain.enrol();
    let id = chain.open_case();
    let up_to = chain
        .ledger
        .state()
        .case(id)
        .expect("on chain")
        .request
        .scopes[0]
        .up_to;
    let batch = |tier, records| BatchHeader {
        chain: chain.ledger.chain(),
        patient: patient(),
        tier,
        author: HospitalId::of(&key(HOSPITAL).verifying_key()),
        epoch: Epoch(1),
        manifest_root: Digest([6; 32]),
        records,
        bytes: 200,
        receipts_root: Digest::ZERO,
        receipts: 3,
        status: BatchStatus::Stored,
    };
    let batches = [
        (up_to, batch(Tier::Summary, 3)),
        (Height(1), batch(Tier::Summary, 4)),
        (up_to.plus(1), batch(Tier::Summary, 100)),
        (up_to, batch(Tier::Chart, 1_000)),
    ];
    let report = report_of(&chain, id, &batches);
    assert_eq!(report.tiers[0].records, 7);
    assert!(!report.tiers[0].is_selection);
}

#[test]
fn a_roster_that_is_not_the_cases_is_refused() {
    let mut chain = Chain::new();
    chain.enrol();
    let id = chain.open_case();
    let case = chain.ledger.state().case(id).expect("on chain");
    let enrolment = chain.ledger.state().roster_of(patient(), case.epochs());
    let mut roster = enrolment.expect("kept").roster.clone();
    let of = |roster: &[Member]| {
        Disclosure::of(&Facts {
            case,
            as_of: (Height(1), Millis(1)),
            roster,
            hospital: "",
            batches: &[],
        })
    };
    assert!(of(&roster).is_ok());
    let epoch = case.request.epoch;
    let last = roster.pop().expect("three");
    let missing = CaseError::NotKin {
        kin: last.id(),
        epoch,
    };
    assert_eq!(of(&roster), Err(missing));
    roster.push(Member {
        key: key(SECOND_KIN[0]).verifying_key(),
        ..last
    });
    let stranger = CaseError::NotKin {
        kin: kin(SECOND_KIN[0]),
        epoch,
    };
    assert_eq!(of(&roster), Err(stranger));
}
