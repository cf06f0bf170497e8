//! What ends with a hospital, an issuer or a reviewer, and what goes on.

use super::super::consent::{deed, terms_for};
use super::*;
use crate::consent::{GrantEvent, RevokedBy, Standing};
use crate::emergency::{ClosedBy, Purpose};

/// A hospital goes: every case of it that could still open something ends in that very block, and no other.
#[test]
fn live_cases_end_with_their_hospital() {
    let mut chain = Chain::new();
    chain.enrol();
    let theirs = chain.case_of(HOSPITAL, HOSPITAL);
    let asked = chain.case_of(OTHER_HOSPITAL, OTHER_HOSPITAL);
    let granted = chain.case_of(OTHER_HOSPITAL, OTHER_HOSPITAL);
    let open = chain.case_of(OTHER_HOSPITAL, OTHER_HOSPITAL);
    chain.grant(granted);
    chain.grant(open);
    let digest = Digest([3; 32]);
    chain.act(KIN[0], TxBody::Release { case: open, digest });
    let before = chain.ledger.state().case(open).expect("there").log.1;
    let ended = steps(&chain.amend(vec![revoke(Role::Hospital, OTHER_HOSPITAL)]));
    let now = chain.ledger.head_time();
    let due = now.plus(genesis().review_within_ms.0);
    let closed = CaseEvent::Closed(ClosedBy::Revoked, due);
    assert_eq!(ended.len(), 3);
    for step in [
        (asked, CaseEvent::Revoked),
        (granted, closed),
        (open, closed),
    ] {
        assert!(ended.contains(&step), "{ended:?}");
    }
    assert_eq!(chain.phase(asked), Phase::Revoked);
    assert_eq!(chain.phase(theirs), Phase::Requested);
    assert_eq!(chain.live(), 1);
    let case = chain.ledger.state().case(open).expect("there");
    assert_eq!(case.closed, Some((now, ClosedBy::Revoked)));
    assert_eq!(case.log.1, before + 1, "the amendment belongs to the case");
    // Kin release nothing and approve nothing any more.
    for (case, phase) in [(granted, Phase::Closed), (asked, Phase::Revoked)] {
        let approval = chain.approval(case);
        let expected = Rejection::Case(crate::emergency::CaseError::Phase { phase });
        assert_eq!(chain.rejected(KIN[2], approval), expected);
        let release = TxBody::Release { case, digest };
        assert_eq!(chain.rejected(KIN[0], release), expected);
    }
    assert!(!chain.is_known(OTHER_HOSPITAL), "nor does it sign anything");
    assert!(chain.is_known(HOSPITAL));
    // The reviews go on; being late costs nobody any more.
    let due = genesis().review_within_ms.0;
    let late = chain.run_after(due, Vec::new());
    assert!(steps(&late).contains(&(granted, CaseEvent::Overdue)));
    let verdict = Verdict::Unjustified;
    for case in [granted, open] {
        chain.act(REVIEWER, TxBody::Review { case, verdict });
        assert_eq!(chain.phase(case), Phase::Reviewed);
    }
    let was = chain.ledger.state().revoked(account(OTHER_HOSPITAL));
    let was = was.expect("remembered");
    assert_eq!(was.was, Accredited::Hospital(hospital_info(OTHER_HOSPITAL)));
    assert_eq!(was.time_ms, now);
}

/// A case that waits for its time only ends as one that waits for kin does.
#[test]
fn a_waiting_case_ends_too() {
    let mut chain = Chain::new();
    let mut enrolment = chain.enrolment();
    for tier in &mut enrolment.tiers {
        tier.policy.waiting_ms = Millis(60_000);
    }
    chain.accept(&mut enrolment);
    chain.act(PATIENT, TxBody::Enrol(Box::new(enrolment)));
    chain.amend(vec![issuer(ISSUER)]);
    let waiting = |chain: &mut Chain| {
        let credential = chain.credential(OTHER_HOSPITAL, ISSUER);
        let request = chain.request_for(OTHER_HOSPITAL, credential, |request| {
            request.purpose = Purpose::EmergencyTreatment;
        });
        let case = chain.opened(OTHER_HOSPITAL, request);
        for n in &KIN[..2] {
            let approval = chain.approval(case);
            chain.act(*n, approval);
        }
        assert_eq!(chain.phase(case), Phase::Waiting);
        case
    };
    let first = waiting(&mut chain);
    chain.amend(vec![revoke(Role::Issuer, ISSUER), issuer(OTHER_ISSUER)]);
    assert_eq!(chain.phase(first), Phase::Revoked);
    assert_eq!(chain.live(), 0);
    assert_eq!(chain.run_after(120_000, Vec::new()), []);
}

/// What a patient has granted a hospital ends with it, and another's does not.
#[test]
fn grants_end_with_their_hospital() {
    let mut chain = Chain::new();
    chain.enrol();
    let [gone, stays] = [OTHER_HOSPITAL, HOSPITAL].map(|n| {
        let terms = terms_for(&chain, n, n);
        let grant = terms.id(chain.ledger.chain());
        let body = deed(&chain, terms, n);
        chain.act(PATIENT, body);
        grant
    });
    let told = chain.amend(vec![revoke(Role::Hospital, OTHER_HOSPITAL)]);
    let now = chain.ledger.head_time();
    let by = RevokedBy::Governance;
    let expected = What::Grant {
        grant: gone,
        patient: patient(),
        hospital: hospital_id(OTHER_HOSPITAL),
        step: GrantEvent::Revoked(by),
    };
    assert_eq!(told, [expected]);
    let standing = |grant| chain.ledger.state().grant(grant).expect("known").standing;
    assert_eq!(standing(gone), Standing::Revoked(now, by));
    assert_eq!(standing(stays), Standing::Live);
    let grant = chain.ledger.state().grant(gone).expect("known");
    assert_eq!(grant.log.1, 2, "the amendment belongs to the grant");
    let later = chain.run_after(60_000, Vec::new());
    assert!(
        matches!(later[..], [What::Grant { grant, step: GrantEvent::Expired, .. }] if grant == stays),
        "{later:?}"
    );
}

/// A reviewer judges other hospitals than the one where it works, as long as it is accredited.
#[test]
fn reviewers_judge_others_only() {
    let mut chain = Chain::new();
    chain.enrol();
    let verdict = Verdict::Justified;
    let review = |case| TxBody::Review { case, verdict };
    chain.amend(vec![reviewer(INSIDER, Some(HOSPITAL))]);
    let (own, other) = (
        chain.case_of(HOSPITAL, HOSPITAL),
        chain.case_of(OTHER_HOSPITAL, OTHER_HOSPITAL),
    );
    for (case, hospital) in [(own, HOSPITAL), (other, OTHER_HOSPITAL)] {
        chain.grant(case);
        chain.act(hospital, TxBody::Close { case });
    }
    let signer = account(INSIDER);
    assert_eq!(
        chain.rejected(INSIDER, review(own)),
        Rejection::OwnHospital {
            signer,
            hospital: hospital_id(HOSPITAL)
        }
    );
    chain.act(INSIDER, review(other));
    assert_eq!(chain.phase(other), Phase::Reviewed);
    // Another workplace, in one amendment; then none at all.
    chain.amend(vec![
        revoke(Role::Reviewer, INSIDER),
        reviewer(INSIDER, Some(OTHER_HOSPITAL)),
    ]);
    assert!(chain.ledger.state().revoked(signer).is_none());
    let revocation = chain.governance(vec![revoke(Role::Reviewer, INSIDER)]);
    let transactions = vec![
        chain.sign(VALIDATOR, revocation),
        chain.sign(INSIDER, review(own)),
    ];
    let what = chain.run(transactions);
    let reason = Rejection::NotReviewer { signer };
    assert_eq!(what[1], What::Rejected { signer, reason });
    assert!(!chain.is_known(INSIDER));
    chain.amend(vec![reviewer(INSIDER, Some(OTHER_HOSPITAL))]);
    chain.act(INSIDER, review(own));
    assert_eq!(chain.phase(own), Phase::Reviewed);
}
