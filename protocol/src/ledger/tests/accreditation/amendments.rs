//! What amendments accredit and revoke, and what they cannot.

use super::*;

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
