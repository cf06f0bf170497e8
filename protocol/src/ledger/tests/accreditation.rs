//! Accreditation by amendments: who comes, who goes, and what ends with it, in the block that decides it.

use super::*;
use crate::consent::{GrantDeed, GrantEvent, GrantPurpose, GrantTerms, RevokedBy, Standing};
use crate::crypto::{OpeningKey, Secret32};
use crate::emergency::{ClinicalRole, ClosedBy, Credential, CredentialError, Purpose, Scope};
use crate::ids::AccountId;

/// Keys of nobody yet.
const NEW: u8 = 50;
const ISSUER: u8 = 51;
const OTHER_ISSUER: u8 = 52;
const INSIDER: u8 = 53;
const LATER: u8 = 54;

fn account(n: u8) -> AccountId {
    AccountId::of(&key(n).verifying_key())
}

fn hospital_id(n: u8) -> HospitalId {
    account(n).into()
}

fn hospital(n: u8) -> Clause {
    Clause::Accredit(Accredited::Hospital(hospital_info(n)))
}

fn issuer(n: u8) -> Clause {
    named_issuer(n, "chamber of physicians")
}

fn named_issuer(n: u8, name: &str) -> Clause {
    Clause::Accredit(Accredited::Issuer(IssuerInfo {
        key: key(n).verifying_key(),
        name: name.to_owned(),
    }))
}

fn reviewer(n: u8, at: Option<u8>) -> Clause {
    Clause::Accredit(Accredited::Reviewer(ReviewerInfo {
        key: key(n).verifying_key(),
        hospital: at.map(hospital_id),
    }))
}

pub(super) fn revoke(role: Role, n: u8) -> Clause {
    let account = account(n);
    Clause::Revoke { role, account }
}

/// The lone validator, run by another hospital or by none.
fn run_by(hospital: Option<u8>) -> Clause {
    let mut info = genesis().validators[0].clone();
    info.hospital = hospital.map(hospital_id);
    Change::Rekey(info).into()
}

impl Chain {
    fn governance(&self, changes: Vec<Clause>) -> TxBody {
        let amendment = Amendment {
            number: self.ledger.state().amendments(),
            valid_until_ms: self.ledger.head_time().plus(60_000),
            changes,
        };
        let signature = amendment.sign(self.ledger.chain(), &key(VALIDATOR));
        let whole = amendment.combine([(ValidatorId(0), signature)]);
        TxBody::Governance(Box::new(whole))
    }

    /// What an amendment does beside being adopted.
    pub(super) fn amend(&mut self, changes: Vec<Clause>) -> Vec<What> {
        let body = self.governance(changes.clone());
        let mut what = self.act(VALIDATOR, body);
        match what.first() {
            Some(What::Amended { changes: told, .. }) => assert_eq!(*told, changes),
            other => panic!("not adopted: {other:?}"),
        }
        what.split_off(1)
    }

    fn not_adopted(&mut self, changes: Vec<Clause>) -> GovernanceError {
        let body = self.governance(changes);
        match self.rejected(VALIDATOR, body) {
            Rejection::Governance(error) => error,
            other => panic!("refused for another reason: {other}"),
        }
    }

    fn case_of(&mut self, hospital: u8, issuer: u8) -> CaseId {
        let request = self.request_vouched(hospital, issuer);
        self.opened(hospital, request)
    }

    fn grant(&mut self, case: CaseId) {
        for n in &KIN[..2] {
            let approval = self.approval(case);
            self.act(*n, approval);
        }
        assert_eq!(self.phase(case), Phase::Granted);
    }

    /// Whether a transaction of the signer can stand in the next block.
    fn is_known(&self, signer: u8) -> bool {
        let close = TxBody::Close {
            case: CaseId([1; 32]),
        };
        let sequence = Sequence(self.sequences.get(&signer).copied().unwrap_or_default());
        let transaction = self.sign_with(signer, sequence, close);
        let block = self.block(1, vec![transaction]);
        match self.ledger.clone().check_block(&block) {
            Ok(()) => true,
            Err(BlockError::Envelope {
                source: EnvelopeError::UnknownSigner { .. },
                ..
            }) => false,
            Err(other) => panic!("{other}"),
        }
    }

    fn live(&self) -> u16 {
        let patient = self.ledger.state().patient(patient()).expect("enrolled");
        patient.live_cases
    }
}

/// What happened to cases, beside what time does to the patient's roster.
fn steps(what: &[What]) -> Vec<(CaseId, CaseEvent)> {
    let steps = what.iter().filter_map(|what| match what {
        What::Case { case, step, .. } => Some((*case, *step)),
        What::Roster { .. } => None,
        other => panic!("not a case's step: {other:?}"),
    });
    steps.collect()
}

/// What a block accredits is there in that block, and from the next one on a newcomer signs.
#[test]
fn a_newcomer_is_accredited_at_once() {
    let mut chain = Chain::new();
    chain.enrol();
    assert!(!chain.is_known(NEW));
    let accredit = chain.governance(vec![hospital(NEW), issuer(OTHER_ISSUER)]);
    let request = chain.request_vouched(HOSPITAL, OTHER_ISSUER);
    let transactions = vec![
        chain.sign(VALIDATOR, accredit),
        chain.sign(HOSPITAL, TxBody::Request(Box::new(request))),
    ];
    let what = chain.run(transactions);
    assert!(
        matches!(what[1], What::Case { hospital, .. } if hospital == hospital_id(HOSPITAL)),
        "{what:?}"
    );
    chain.case_of(NEW, OTHER_ISSUER);
    let state = chain.ledger.state();
    assert_eq!(state.amendments(), 1);
    assert_eq!(state.standings().amendments(), 0, "no validator changed");
    let proof = chain.ledger.prove(State::hospital_key(hospital_id(NEW)));
    let entry: Hospital =
        State::decode_value(&proof.expect("provable").value.expect("there")).expect("a hospital");
    assert_eq!(entry.info, hospital_info(NEW));
    // One count for all kinds of amendments.
    chain.amend(vec![run_by(Some(NEW))]);
    assert_eq!(chain.ledger.state().amendments(), 2);
    let outdated = Governance {
        amendment: Amendment {
            number: 1,
            valid_until_ms: chain.ledger.head_time().plus(60_000),
            changes: vec![issuer(ISSUER)],
        },
        signatures: Vec::new(),
    };
    let (found, expected) = (1, 2);
    assert_eq!(
        chain.rejected(VALIDATOR, TxBody::Governance(Box::new(outdated))),
        GovernanceError::Number { found, expected }.into()
    );
}

/// Every rule, and that nothing of an amendment is done when a part of it cannot be.
#[test]
fn what_cannot_be_accredited_or_revoked_changes_nothing() {
    let mut chain = Chain::new();
    chain.enrol();
    chain.amend(vec![
        issuer(ISSUER),
        hospital(NEW),
        revoke(Role::Hospital, NEW),
    ]);
    let taken = |n| GovernanceError::RoleTaken {
        account: account(n),
    };
    let unknown = |role, n| {
        let account = account(n);
        GovernanceError::NotAccredited { account, role }
    };
    let twice = |role, n| {
        let account = account(n);
        GovernanceError::Accredited { account, role }
    };
    let mut validator = genesis().validators[0].clone();
    validator.network_key = key(ISSUER).verifying_key();
    let mut gone = genesis().validators[0].clone();
    gone.vote_key = key(NEW).verifying_key();
    let cases = [
        (hospital(HOSPITAL), twice(Role::Hospital, HOSPITAL)),
        (issuer(ISSUER), twice(Role::Issuer, ISSUER)),
        (reviewer(REVIEWER, None), twice(Role::Reviewer, REVIEWER)),
        (hospital(ISSUER), taken(ISSUER)),
        (hospital(VALIDATOR), taken(VALIDATOR)),
        (issuer(98), taken(98)),
        (issuer(HOSPITAL), taken(HOSPITAL)),
        (reviewer(PATIENT, None), taken(PATIENT)),
        (reviewer(KIN[1], None), taken(KIN[1])),
        (
            hospital(NEW),
            GovernanceError::WasRevoked {
                account: account(NEW),
            },
        ),
        (
            reviewer(NEW, None),
            GovernanceError::WasRevoked {
                account: account(NEW),
            },
        ),
        (
            reviewer(INSIDER, Some(NEW)),
            GovernanceError::Hospital {
                hospital: hospital_id(NEW),
            },
        ),
        (
            named_issuer(OTHER_ISSUER, ""),
            GovernanceError::Name { bytes: 0 },
        ),
        (
            named_issuer(OTHER_ISSUER, &"n".repeat(101)),
            GovernanceError::Name { bytes: 101 },
        ),
        (revoke(Role::Hospital, NEW), unknown(Role::Hospital, NEW)),
        (
            revoke(Role::Issuer, HOSPITAL),
            unknown(Role::Issuer, HOSPITAL),
        ),
        (
            revoke(Role::Reviewer, INSIDER),
            unknown(Role::Reviewer, INSIDER),
        ),
        (
            revoke(Role::Hospital, HOSPITAL),
            GovernanceError::HospitalRuns {
                hospital: hospital_id(HOSPITAL),
                id: ValidatorId(0),
            },
        ),
        (
            Change::Rekey(validator).into(),
            GovernanceError::KeyUsed { id: ValidatorId(0) },
        ),
        (
            Change::Rekey(gone).into(),
            GovernanceError::KeyUsed { id: ValidatorId(0) },
        ),
        (
            Change::Remove(ValidatorId(7)).into(),
            GovernanceError::NoMember { id: ValidatorId(7) },
        ),
    ];
    let before = chain.ledger.state().clone();
    for (clause, expected) in cases {
        // Beside changes that could be, before and after it.
        let changes = vec![
            issuer(OTHER_ISSUER),
            hospital(LATER),
            clause,
            revoke(Role::Hospital, OTHER_HOSPITAL),
        ];
        assert_eq!(chain.not_adopted(changes), expected);
        let after = chain.ledger.state();
        assert_eq!(after.amendments(), 1);
        assert_eq!(after.register(), before.register());
        for n in [HOSPITAL, OTHER_HOSPITAL, NEW, LATER] {
            assert_eq!(
                after.hospital(hospital_id(n)),
                before.hospital(hospital_id(n))
            );
        }
        for n in [ISSUER, OTHER_ISSUER, REVIEWER, INSIDER] {
            assert_eq!(after.issuer(account(n)), before.issuer(account(n)));
            assert_eq!(after.reviewer(account(n)), before.reviewer(account(n)));
            assert_eq!(after.revoked(account(n)), before.revoked(account(n)));
        }
        assert_eq!(
            after.standings().newest_validators(),
            before.standings().newest_validators()
        );
    }
    let count = CHANGES_MAX + 1;
    assert_eq!(
        chain.not_adopted(vec![issuer(OTHER_ISSUER); count]),
        GovernanceError::Changes { count }
    );
    let none = GovernanceError::Changes { count: 0 };
    assert_eq!(chain.not_adopted(Vec::new()), none);
}

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

/// What a revoked hospital has on its way into the same block is refused, and does not spoil the block.
#[test]
fn a_block_that_revokes_somebody_may_hold_what_it_signed() {
    let mut chain = Chain::new();
    let enrolment = chain.enrolment();
    chain.amend(vec![run_by(None)]);
    let mut sponsored = chain.enrolment();
    chain.accept(&mut sponsored);
    let stranger = TxBody::Enrol(Box::new(enrolment));
    let revocation = chain.governance(vec![
        revoke(Role::Hospital, HOSPITAL),
        revoke(Role::Reviewer, REVIEWER),
    ]);
    let request = chain.request_of(HOSPITAL);
    let verdict = TxBody::Review {
        case: CaseId([1; 32]),
        verdict: Verdict::Justified,
    };
    let transactions = vec![
        chain.sign(VALIDATOR, revocation),
        chain.sign(HOSPITAL, TxBody::Request(Box::new(request))),
        chain.sign(PATIENT, stranger),
        chain.sign(REVIEWER, verdict),
    ];
    let what = chain.run(transactions);
    let reasons: Vec<&Rejection> = what[1..]
        .iter()
        .map(|what| match what {
            What::Rejected { reason, .. } => reason,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(matches!(reasons[0], Rejection::NotHospital { .. }));
    assert!(matches!(
        reasons[1],
        Rejection::Enrolment(EnrolmentError::Sponsor { .. })
    ));
    assert!(matches!(reasons[2], Rejection::UnknownCase { .. }));
    for signer in [HOSPITAL, REVIEWER, PATIENT] {
        assert!(!chain.is_known(signer), "{signer}");
    }
    let late = chain.sign_with(PATIENT, Sequence(9), TxBody::Enrol(Box::new(sponsored)));
    let block = chain.block(1, vec![late]);
    assert!(matches!(
        chain.ledger.check_block(&block),
        Err(BlockError::Envelope {
            source: EnvelopeError::UnknownSigner { .. },
            ..
        })
    ));
}

/// A hospital that runs a validator goes together with it, or after it has been given away.
#[test]
fn a_hospital_leaves_no_validator_behind() {
    let mut chain = Chain::new();
    let runs = |hospital| GovernanceError::HospitalRuns {
        hospital: hospital_id(hospital),
        id: ValidatorId(0),
    };
    let gone = |n| GovernanceError::Hospital {
        hospital: hospital_id(n),
    };
    assert_eq!(
        chain.not_adopted(vec![revoke(Role::Hospital, HOSPITAL)]),
        runs(HOSPITAL)
    );
    // To one that goes as well, or that does not come: no.
    assert_eq!(
        chain.not_adopted(vec![
            run_by(Some(OTHER_HOSPITAL)),
            revoke(Role::Hospital, OTHER_HOSPITAL),
        ]),
        gone(OTHER_HOSPITAL)
    );
    assert_eq!(chain.not_adopted(vec![run_by(Some(NEW))]), gone(NEW));
    // To one that comes in the same amendment, wherever it stands there.
    chain.amend(vec![
        run_by(Some(NEW)),
        revoke(Role::Hospital, HOSPITAL),
        hospital(NEW),
    ]);
    let standings = chain.ledger.standings();
    assert_eq!(
        (standings.amendments(), chain.ledger.state().amendments()),
        (1, 1)
    );
    let newest = standings.newest_validators().iter().next();
    assert_eq!(
        newest.and_then(|info| info.hospital),
        Some(hospital_id(NEW))
    );
    assert!(
        chain
            .ledger
            .state()
            .hospital(hospital_id(HOSPITAL))
            .is_none()
    );
    assert_eq!(
        chain.not_adopted(vec![revoke(Role::Hospital, NEW)]),
        runs(NEW),
        "what is decided and not yet in force counts"
    );
}

/// With the first issuer hospitals no longer vouch for their own, and never again.
#[test]
fn issuers_take_over_from_hospitals() {
    let mut chain = Chain::new();
    chain.enrol();
    let cannot = |issuer| {
        let issuer = account(issuer);
        Rejection::Credential(CredentialError::Issuer { issuer })
    };
    let before = chain.case_of(HOSPITAL, HOSPITAL);
    let early = chain.request_vouched(HOSPITAL, ISSUER);
    assert_eq!(chain.refused(HOSPITAL, early), cannot(ISSUER));
    let other = chain.request_vouched(HOSPITAL, OTHER_HOSPITAL);
    assert_eq!(chain.refused(HOSPITAL, other), cannot(OTHER_HOSPITAL));
    assert_eq!(chain.amend(vec![issuer(ISSUER), issuer(OTHER_ISSUER)]), []);
    let own = chain.request_vouched(HOSPITAL, HOSPITAL);
    assert_eq!(chain.refused(HOSPITAL, own), cannot(HOSPITAL));
    let asked = chain.case_of(HOSPITAL, ISSUER);
    let granted = chain.case_of(HOSPITAL, ISSUER);
    chain.grant(granted);
    let elsewhere = chain.case_of(HOSPITAL, OTHER_ISSUER);
    // It goes: what is not granted ends, what kin have granted goes on.
    let ended = chain.amend(vec![revoke(Role::Issuer, ISSUER)]);
    assert_eq!(steps(&ended), [(asked, CaseEvent::Revoked)]);
    assert_eq!(
        [before, asked, granted, elsewhere].map(|case| chain.phase(case)),
        [
            Phase::Requested,
            Phase::Revoked,
            Phase::Granted,
            Phase::Requested
        ]
    );
    assert_eq!(chain.live(), 3);
    chain.act(HOSPITAL, TxBody::Close { case: granted });
    assert_eq!(chain.phase(granted), Phase::Closed);
    let late = chain.request_vouched(HOSPITAL, ISSUER);
    assert_eq!(chain.refused(HOSPITAL, late), cannot(ISSUER));
    chain.amend(vec![revoke(Role::Issuer, OTHER_ISSUER)]);
    let own = chain.request_vouched(HOSPITAL, HOSPITAL);
    assert_eq!(
        chain.refused(HOSPITAL, own),
        cannot(HOSPITAL),
        "a revocation widens nothing"
    );
    let since = chain.ledger.state().register().issuers_since;
    assert!(since.is_some_and(|since| since < chain.ledger.height()));
    // Issuers sign credentials, and nothing on chain.
    chain.amend(vec![issuer(LATER)]);
    assert!(!chain.is_known(LATER));
}

/// A credential is one clinician's, one hospital's, for a time, on one ledger.
#[test]
fn a_credential_is_checked_field_by_field() {
    let mut chain = Chain::new();
    chain.enrol();
    chain.amend(vec![issuer(ISSUER)]);
    let now = chain.ledger.head_time();
    type Spoil = fn(&mut Credential);
    type Expected = fn(&CredentialError) -> bool;
    let signed_wrong: [(Spoil, Expected); 4] = [
        (
            |c| c.clinician = key(NEW).verifying_key(),
            |e| matches!(e, CredentialError::Clinician { .. }),
        ),
        (
            |c| c.hospital = hospital_id(OTHER_HOSPITAL),
            |e| matches!(e, CredentialError::Hospital { .. }),
        ),
        (
            |c| c.valid_until_ms = Millis(5),
            |e| matches!(e, CredentialError::Expired { .. }),
        ),
        (
            |c| c.valid_until_ms = Millis(u64::MAX),
            |e| matches!(e, CredentialError::TooLong { .. }),
        ),
    ];
    for (index, (spoil, expected)) in signed_wrong.into_iter().enumerate() {
        let mut credential = chain.credential(HOSPITAL, ISSUER);
        spoil(&mut credential);
        let credential = credential.signed(chain.ledger.chain(), &key(ISSUER));
        let request = chain.request_for(HOSPITAL, credential, |_| ());
        match chain.refused(HOSPITAL, request) {
            Rejection::Credential(error) => assert!(expected(&error), "case {index}: {error}"),
            other => panic!("case {index}: {other}"),
        }
    }
    // Every field is under the signature.
    let forged: [Spoil; 4] = [
        |c| c.role = ClinicalRole::Nurse,
        |c| c.valid_until_ms.0 += 1,
        |c| c.signature.0[9] ^= 1,
        |c| *c = c.clone().signed(crate::ids::ChainId([7; 32]), &key(ISSUER)),
    ];
    for (index, spoil) in forged.into_iter().enumerate() {
        let mut credential = chain.credential(HOSPITAL, ISSUER);
        spoil(&mut credential);
        let request = chain.request_for(HOSPITAL, credential, |_| ());
        let rejection = chain.refused(HOSPITAL, request);
        let expected = Rejection::Credential(CredentialError::Signature);
        assert_eq!(rejection, expected, "case {index}");
    }
    // The clinician signs the credential too: another one cannot be put in its place.
    let mut swapped = chain.request_vouched(HOSPITAL, ISSUER);
    let mut midwife = chain.credential(HOSPITAL, ISSUER);
    midwife.role = ClinicalRole::Midwife;
    swapped.credential = Some(midwife.signed(chain.ledger.chain(), &key(ISSUER)));
    assert!(matches!(
        chain.refused(HOSPITAL, swapped),
        Rejection::Request { .. }
    ));
    // It counts up to its last millisecond, and not a block longer.
    let end = now.plus(1_000);
    let credential = Credential {
        valid_until_ms: end,
        ..chain.credential(HOSPITAL, ISSUER)
    };
    let credential = credential.signed(chain.ledger.chain(), &key(ISSUER));
    for (at, counts) in [(end, true), (end.plus(1), false)] {
        let request = chain.request_for(HOSPITAL, credential.clone(), |_| ());
        let transaction = chain.sign(HOSPITAL, TxBody::Request(Box::new(request)));
        let after = at.0 - chain.ledger.head_time().0;
        let what = chain.run_after(after, vec![transaction]);
        assert_eq!(matches!(what[..], [What::Case { .. }]), counts, "{what:?}");
    }
}

/// The patient learns who asked without saying who the clinician is; it counts as an attempt, and opens nothing.
#[test]
fn a_request_without_a_credential_is_an_attempt() {
    let mut chain = Chain::new();
    chain.enrol();
    let missing = Rejection::Credential(CredentialError::Missing);
    for issuers in [Vec::new(), vec![issuer(ISSUER)]] {
        if !issuers.is_empty() {
            chain.amend(issuers);
        }
        let request = chain.request_with(HOSPITAL, |request| request.credential = None);
        assert_eq!(chain.refused(HOSPITAL, request), missing);
        assert_eq!(chain.live(), 0);
    }
}

/// What a patient has granted a hospital ends with it, and another's does not.
#[test]
fn grants_end_with_their_hospital() {
    let mut chain = Chain::new();
    chain.enrol();
    let terms = |chain: &Chain, n: u8| GrantTerms {
        patient: patient(),
        hospital: hospital_id(n),
        scopes: vec![Scope {
            tier: Tier::Chart,
            up_to: chain.ledger.height(),
            only: Vec::new(),
        }],
        purpose: GrantPurpose::Treatment,
        from_ms: chain.ledger.head_time(),
        until_ms: chain.ledger.head_time().plus(60_000),
        key: OpeningKey::from_seed(Secret32::new([n; 32])).sealing_key(),
    };
    let [gone, stays] = [OTHER_HOSPITAL, HOSPITAL].map(|n| {
        let terms = terms(&chain, n);
        let grant = terms.id(chain.ledger.chain());
        let hospital_signature = terms.sign(chain.ledger.chain(), &key(n));
        let deed = GrantDeed {
            terms,
            encapsulation: Digest([4; 32]),
            hospital_signature,
        };
        chain.act(PATIENT, TxBody::Grant(Box::new(deed)));
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

/// A genesis whose reviewers cannot be.
#[test]
fn a_genesis_is_checked_for_reviewers_and_names() {
    type Spoil = fn(&mut Genesis);
    let spoilt: [Spoil; 5] = [
        |g| g.reviewers.push(g.reviewers[0].clone()),
        |g| g.reviewers[0].key = key(HOSPITAL).verifying_key(),
        |g| g.reviewers[0].hospital = Some(hospital_id(NEW)),
        |g| g.hospitals[0].name.clear(),
        |g| g.hospitals[1].name = "n".repeat(NAME_BYTES_MAX + 1),
    ];
    for (index, spoil) in spoilt.into_iter().enumerate() {
        let mut genesis = genesis();
        spoil(&mut genesis);
        let error = genesis.validate().expect_err("spoilt");
        let expected = match index {
            0..3 => matches!(error, GenesisError::Reviewer { .. }),
            _ => matches!(error, GenesisError::Hospital { .. }),
        };
        assert!(expected, "case {index}: {error}");
    }
    let mut works = genesis();
    works.reviewers[0].hospital = Some(hospital_id(OTHER_HOSPITAL));
    assert_eq!(works.validate(), Ok(()));
}
