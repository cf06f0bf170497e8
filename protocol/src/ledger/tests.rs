//! The ledger from the outside: blocks by a lone validator, so that consensus stays out of the way.

mod accreditation;
mod chain;
mod consent;
mod disclosure;
mod erasure;
mod requests;
mod review;
mod roster;
mod second_circle;

use self::chain::*;
use super::*;
use crate::crypto::Signature;
use crate::emergency::{CaseEvent, Phase, Request, Verdict};
use crate::ids::{CaseId, HospitalId, KinId, ValidatorId};
use crate::record::{BatchHeader, BatchStatus, Receipt, ReceiptBody, ReceiptLine, receipts_root};
use crate::units::{Epoch, Sequence, Tier};

#[test]
fn a_case_from_request_to_verdict() {
    let mut chain = Chain::new();
    chain.enrol();
    let case = chain.open_case();
    for n in &KIN[..2] {
        let approval = chain.approval(case);
        chain.act(*n, approval);
    }
    assert_eq!(chain.phase(case), Phase::Granted);
    let digest = release_digest(&[Digest([3; 32])]);
    chain.act(KIN[0], TxBody::Release { case, digest });
    assert_eq!(chain.phase(case), Phase::Open);
    let proof = chain.ledger.prove(State::case_key(case)).expect("provable");
    assert_eq!(proof.verify(&chain.ledger.state_root()), Ok(()));
    let proved: crate::emergency::Case =
        State::decode_value(proof.value.as_ref().expect("there")).expect("a case");
    assert_eq!(proved.phase, Phase::Open);
    chain.act(HOSPITAL, TxBody::Close { case });
    assert_eq!(chain.phase(case), Phase::Closed);
    let live = chain.ledger.state().patient(patient()).expect("enrolled");
    assert_eq!(live.live_cases, 0);
    let verdict = Verdict::Unjustified;
    let credit = |chain: &Chain| chain.ledger.standings().rows().map(|row| row.credit).max();
    let before = credit(&chain);
    chain.act(REVIEWER, TxBody::Review { case, verdict });
    assert_eq!(chain.phase(case), Phase::Reviewed);
    assert!(credit(&chain) < before, "the hospital's validator pays");
    let log = chain.ledger.state().case(case).expect("on chain").log;
    assert_eq!(log.1, 6, "request, two approvals, release, close, verdict");
}

#[test]
fn the_same_transaction_counts_once() {
    let mut chain = Chain::new();
    chain.enrol();
    let case = chain.open_case();
    let approval = chain.approval(case);
    let signed = chain.sign(KIN[0], approval);
    chain.run(vec![signed.clone()]);
    let replayed = chain.block(1, vec![signed]);
    assert!(matches!(
        chain.ledger.check_block(&replayed),
        Err(BlockError::Envelope {
            index: 0,
            source: EnvelopeError::Sequence(SequenceError::Used { .. })
        })
    ));
}

#[test]
fn an_approval_of_one_case_does_not_fit_another() {
    let mut chain = Chain::new();
    chain.enrol();
    let (first, second) = (chain.open_case(), chain.open_case());
    let TxBody::Approve(mut moved) = chain.approval(first) else {
        unreachable!("an approval")
    };
    moved.case = second;
    // The expiry was signed with it, and the two requests expire at different times.
    let rejection = chain.rejected(KIN[0], TxBody::Approve(moved));
    let field = "expiry";
    assert_eq!(
        rejection,
        Rejection::Case(crate::emergency::CaseError::Mismatch { field })
    );
    assert!(
        chain
            .ledger
            .state()
            .case(second)
            .expect("there")
            .approvals
            .is_empty()
    );
}

#[test]
fn envelopes_that_no_block_may_hold() {
    let mut chain = Chain::new();
    chain.enrol();
    let case = chain.open_case();
    let body = chain.approval(case);
    let good = chain.sign_with(KIN[0], Sequence(0), body.clone());
    let refused = |chain: &Chain, spoil: &dyn Fn(&mut Transaction), signer: u8| {
        let mut content = good.content.clone();
        spoil(&mut content);
        let block = chain.block(1, vec![content.sign(&key(signer))]);
        match chain.ledger.clone().check_block(&block) {
            Err(BlockError::Envelope { source, .. }) => source,
            other => panic!("expected a bad envelope, got {other:?}"),
        }
    };
    type E = EnvelopeError;
    let foreign = refused(&chain, &|c| c.chain.0[0] ^= 1, KIN[0]);
    assert!(matches!(foreign, E::Chain { .. }));
    let old = refused(&chain, &|c| c.valid_until_ms = Millis(5), KIN[0]);
    assert!(matches!(old, E::Expired { .. }));
    let long = refused(&chain, &|c| c.valid_until_ms = Millis(u64::MAX), KIN[0]);
    assert!(matches!(long, E::ValidTooLong { .. }));
    let far = refused(&chain, &|c| c.sequence = Sequence(5_000), KIN[0]);
    assert!(matches!(far, E::Sequence(SequenceError::TooFar { .. })));
    let forged = refused(&chain, &|_| {}, KIN[1]);
    assert!(matches!(forged, E::Signature { .. }));
    let stranger = refused(&chain, &|c| c.signer = key(77).verifying_key(), 77);
    assert!(matches!(stranger, E::UnknownSigner { .. }));
    let header = chain.block(1, Vec::new()).into_parts().header;
    let root = Block::new(header, vec![good.clone()]);
    assert_eq!(chain.ledger.check_block(&root), Err(BlockError::TxRoot));
    assert_eq!(
        chain.ledger.check_block(&chain.block(1, vec![good])),
        Ok(())
    );
}

#[test]
fn an_enrolment_needs_every_kin_and_its_sponsor() {
    let mut chain = Chain::new();
    type Spoil = fn(&mut Enrolment, &Chain);
    type Expected = fn(&EnrolmentError) -> bool;
    let cases: [(Spoil, Expected); 6] = [
        (
            |e, _| e.roster.truncate(2),
            |e| matches!(e, EnrolmentError::RosterSize { count: 2, .. }),
        ),
        (
            |e, _| e.roster[2] = e.roster[0].clone(),
            |e| matches!(e, EnrolmentError::KinTwice { .. }),
        ),
        (
            |e, _| e.tiers.swap(0, 1),
            |e| matches!(e, EnrolmentError::Tiers),
        ),
        (
            |e, _| e.tiers[1].policy.openable = false,
            |e| matches!(e, EnrolmentError::Policy { tier: Tier::Chart }),
        ),
        (
            |e, _| e.acceptances.truncate(2),
            |e| {
                matches!(
                    e,
                    EnrolmentError::AcceptanceCount {
                        found: 2,
                        expected: 3,
                        ..
                    }
                )
            },
        ),
        (
            |e, _| e.acceptances.swap(0, 1),
            |e| matches!(e, EnrolmentError::Acceptance { .. }),
        ),
    ];
    for (index, (spoil, expected)) in cases.into_iter().enumerate() {
        let mut enrolment = chain.enrolment();
        spoil(&mut enrolment, &chain);
        // What is spoilt is vouched for all the same: the ledger checks it, not the sponsor alone.
        let digest = enrolment.digest(chain.ledger.chain(), patient());
        enrolment.sponsor_signature = Enrolment::sponsor(&digest, &key(HOSPITAL));
        match chain.rejected(PATIENT, TxBody::Enrol(Box::new(enrolment))) {
            Rejection::Enrolment(error) => assert!(expected(&error), "case {index}: {error}"),
            other => panic!("case {index}: {other}"),
        }
        assert_eq!(chain.ledger.state().patient_count(), 0);
    }
    let mut unsponsored = chain.enrolment();
    unsponsored.sponsor_signature = Signature([1; 64]);
    let body = TxBody::Enrol(Box::new(unsponsored));
    let stranger = chain.sign_with(PATIENT, Sequence(200), body.clone());
    assert!(matches!(
        chain.ledger.check_block(&chain.block(1, vec![stranger])),
        Err(BlockError::Envelope {
            source: EnvelopeError::UnknownSigner { .. },
            ..
        })
    ));
    assert!(matches!(
        chain.rejected(HOSPITAL, body),
        Rejection::Enrolment(EnrolmentError::Sponsor { .. } | EnrolmentError::Acceptance { .. })
    ));
    chain.enrol();
    let again = chain.enrolment();
    assert!(matches!(
        chain.rejected(PATIENT, TxBody::Enrol(Box::new(again))),
        Rejection::AlreadyEnrolled { .. }
    ));
}

#[test]
fn a_request_is_checked_field_by_field() {
    let mut chain = Chain::new();
    chain.enrol();
    type Spoil = fn(&mut Request);
    let spoilt: [(&str, Spoil); 5] = [
        ("epoch", |r| r.epoch = Epoch(2)),
        ("scope", |r| r.scopes.clear()),
        ("expiry", |r| r.expires_ms = Millis(1)),
        ("session length", |r| r.session_ms = Millis(0)),
        ("clinician's signature", |r| {
            r.clinician_signature = Signature([0; 64])
        }),
    ];
    for (field, spoil) in spoilt {
        let mut request = chain.request();
        spoil(&mut request);
        let rejection = chain.rejected(HOSPITAL, TxBody::Request(Box::new(request)));
        assert_eq!(rejection, Rejection::Request { field });
    }
    // A point that was steered to another record comes without a proof that fits.
    let mut steered = chain.request();
    steered.session.point = chain.request().session.point;
    let field = "session proof";
    assert_eq!(
        chain.rejected(HOSPITAL, TxBody::Request(Box::new(steered))),
        Rejection::Request { field }
    );
    // The same request once more: its point was used.
    let request = chain.request();
    chain.act(HOSPITAL, TxBody::Request(Box::new(request.clone())));
    assert!(matches!(
        chain.rejected(HOSPITAL, TxBody::Request(Box::new(request))),
        Rejection::Request { field } if field.starts_with("session point")
    ));
    let mut sensitive = chain.request();
    sensitive.scopes[0].tier = Tier::Sensitive;
    assert!(matches!(
        chain.rejected(HOSPITAL, TxBody::Request(Box::new(sensitive))),
        Rejection::Request { field } if field.starts_with("tier")
    ));
    let foreign = chain.request();
    assert!(matches!(
        chain.rejected(KIN[0], TxBody::Request(Box::new(foreign))),
        Rejection::NotHospital { .. }
    ));
}

/// A batch with receipts by these kin, and their lines.
fn batch(chain: &Chain, by: &[u8]) -> (BatchHeader, Vec<ReceiptLine>) {
    batch_with(chain, by, |_| ())
}

/// [`batch`], changed before the kin sign.
fn batch_with(
    chain: &Chain,
    by: &[u8],
    change: impl FnOnce(&mut BatchHeader),
) -> (BatchHeader, Vec<ReceiptLine>) {
    let mut header = BatchHeader {
        chain: chain.ledger.chain(),
        patient: patient(),
        tier: Tier::Chart,
        author: HospitalId::of(&key(HOSPITAL).verifying_key()),
        epoch: Epoch(1),
        manifest_root: Digest([6; 32]),
        records: 2,
        bytes: 200,
        receipts_root: Digest::ZERO,
        receipts: u8::try_from(by.len()).expect("few"),
        status: BatchStatus::of(by.len(), KIN.len()).unwrap_or(BatchStatus::Degraded),
    };
    change(&mut header);
    let receipts: Vec<Receipt> = by
        .iter()
        .map(|n| {
            let position = KIN.iter().position(|kin| kin == n).expect("a kin");
            let body = ReceiptBody {
                chain: header.chain,
                kin: KinId::of(&key(*n).verifying_key()),
                index: crate::units::ShareIndex::from_position(position).expect("an index"),
                patient: header.patient,
                tier: header.tier,
                epoch: header.epoch,
                manifest_root: header.manifest_root,
                held: Digest([*n; 32]),
            };
            body.sign(&key(*n))
        })
        .collect();
    header.receipts_root = receipts_root(&receipts).expect("different kin");
    (header, receipts.iter().map(ReceiptLine::from).collect())
}

fn batch_body(header: BatchHeader, receipts: Vec<ReceiptLine>) -> TxBody {
    let header = Box::new(header);
    TxBody::Batch { header, receipts }
}

#[test]
fn a_batch_stands_on_the_receipts_of_its_kin_and_on_nobodys_word() {
    let mut chain = Chain::new();
    chain.enrol();
    let (header, lines) = batch(&chain, &KIN[..2]);
    type Spoil = fn(&mut BatchHeader, &mut Vec<ReceiptLine>);
    let spoilt: [Spoil; 7] = [
        |_, lines| lines.clear(),
        |_, lines| lines[1] = lines[0],
        |_, lines| lines[0].signature = Signature([0; 64]),
        |_, lines| lines[0].held = Digest([1; 32]),
        |_, lines| lines[0].index = crate::units::ShareIndex::new(3).expect("an index"),
        |header, _| header.manifest_root = Digest([7; 32]),
        |header, _| (header.receipts, header.status) = (3, BatchStatus::Stored),
    ];
    for (index, spoil) in spoilt.into_iter().enumerate() {
        let (mut header, mut lines) = (header, lines.clone());
        spoil(&mut header, &mut lines);
        let rejection = chain.rejected(HOSPITAL, batch_body(header, lines));
        assert!(
            matches!(rejection, Rejection::Receipt(_) | Rejection::Batch { .. }),
            "case {index}: {rejection}"
        );
    }
    let events = chain.act(HOSPITAL, batch_body(header, lines.clone()));
    let stood = |events: &[What], as_stored: bool| matches!(events, [What::Batch { stored, .. }] if *stored == as_stored);
    assert!(stood(&events, false), "{events:?}");
    let batch_id = header.id();
    let restock = |receipts| TxBody::Restock {
        batch: batch_id,
        receipts,
    };
    assert!(matches!(
        chain.rejected(HOSPITAL, restock(lines)),
        Rejection::Batch { .. }
    ));
    let (_, all) = batch(&chain, &KIN);
    assert!(matches!(
        chain.rejected(OTHER_HOSPITAL, restock(all.clone())),
        Rejection::Batch { field: "author" }
    ));
    let events = chain.act(HOSPITAL, restock(all));
    assert!(stood(&events, true), "{events:?}");
    let entry = chain.ledger.state().batch(batch_id).expect("on chain");
    assert_eq!(entry.header.receipts, 3);
}

/// A hospital that asks again and again does not lock the one out where the patient lies.
#[test]
fn one_hospital_cannot_take_up_all_cases_of_a_patient() {
    let mut chain = Chain::new();
    chain.enrol();
    for _ in 0..LIVE_CASES_PER_HOSPITAL_MAX {
        chain.open_case();
    }
    let request = chain.request();
    assert!(matches!(
        chain.rejected(HOSPITAL, TxBody::Request(Box::new(request))),
        Rejection::TooManyCases { .. }
    ));
    let elsewhere = chain.request_of(OTHER_HOSPITAL);
    let events = chain.act(OTHER_HOSPITAL, TxBody::Request(Box::new(elsewhere)));
    assert!(matches!(
        events.as_slice(),
        [What::Case {
            step: CaseEvent::Requested,
            ..
        }]
    ));
}

#[test]
fn time_passes_with_blocks_and_moves_every_case() {
    let mut chain = Chain::new();
    chain.enrol();
    let case = chain.open_case();
    let events = chain.run_after(600_000, Vec::new());
    assert!(matches!(
        events.as_slice(),
        [What::Case {
            step: CaseEvent::Expired,
            ..
        }]
    ));
    assert_eq!(chain.phase(case), Phase::Expired);
    let patient = chain.ledger.state().patient(patient()).expect("enrolled");
    assert_eq!(patient.live_cases, 0);
}

#[test]
fn a_stored_ledger_with_damage_is_refused() {
    let chain = Chain::new();
    let entries: Vec<_> = chain.stored.clone().into_iter().collect();
    let mut cut = entries.clone();
    cut[0].1.truncate(1);
    assert!(matches!(
        Ledger::restore(&cut).map(|_| ()),
        Err(LedgerError::Restore(RestoreError::Entry { .. }))
    ));
    let mut unknown = entries.clone();
    unknown.push((vec![200], vec![1]));
    assert!(matches!(
        Ledger::restore(&unknown).map(|_| ()),
        Err(LedgerError::Restore(RestoreError::UnknownTable {
            table: Some(200)
        }))
    ));
    assert!(matches!(
        Ledger::restore(&[]).map(|_| ()),
        Err(LedgerError::Restore(RestoreError::NoMeta))
    ));
}

#[test]
fn kin_believe_fresh_heads_of_f_plus_one_only() {
    let mut chain = Chain::new();
    chain.enrol();
    let id = chain.ledger.chain();
    let set = chain.ledger.standings().validators();
    let head = Confirmed {
        height: chain.ledger.height(),
        head: chain.ledger.head_id(),
        state_root: chain.ledger.state_root(),
        time_ms: chain.ledger.head_time(),
    };
    let now = head.time_ms.plus(30_000);
    let good = HeadStatement::sign(id, head, ValidatorId(0), &key(VALIDATOR));
    assert_eq!(
        confirm_head(id, set, std::slice::from_ref(&good), now),
        Ok(head)
    );
    assert!(matches!(
        confirm_head(id, set, std::slice::from_ref(&good), now.plus(1)),
        Err(ProofError::Stale { .. })
    ));
    let forged = HeadStatement::sign(id, head, ValidatorId(0), &key(HOSPITAL));
    assert!(matches!(
        confirm_head(id, set, &[forged], now),
        Err(ProofError::TooFew {
            agree: 0,
            needed: 1
        })
    ));
    let proof = chain
        .ledger
        .prove(State::patient_key(patient()))
        .expect("provable");
    assert!(confirm_state(id, set, std::slice::from_ref(&good), &proof, now).is_ok());
    let mut older = Chain::new();
    let stale_proof = older
        .ledger
        .prove(State::patient_key(patient()))
        .expect("provable");
    assert_eq!(
        confirm_state(id, set, &[good], &stale_proof, now),
        Err(ProofError::State)
    );
    older.run(Vec::new());
}

#[test]
fn the_pool_takes_each_transaction_once_and_empties_with_the_block() {
    let mut chain = Chain::new();
    chain.enrol();
    let case = chain.open_case();
    let mut pool = Mempool::default();
    let body = chain.approval(case);
    let now = chain.ledger.head_time();
    let first = chain.sign(KIN[0], body.clone());
    let second = chain.sign(KIN[1], body.clone());
    pool.admit(first.clone(), &chain.ledger, now).expect("fits");
    pool.admit(second.clone(), &chain.ledger, now)
        .expect("fits");
    assert_eq!(
        pool.admit(first.clone(), &chain.ledger, now),
        Err(AdmissionError::Waiting)
    );
    let rival = chain.sign_with(KIN[0], Sequence(0), TxBody::Veto { case });
    assert!(matches!(
        pool.admit(rival, &chain.ledger, now),
        Err(AdmissionError::SequenceWaiting { .. })
    ));
    let forged = chain
        .sign(KIN[2], body)
        .altered(|envelope| envelope.signature.0[0] ^= 1);
    assert!(matches!(
        pool.admit(forged, &chain.ledger, now),
        Err(AdmissionError::Envelope(EnvelopeError::Signature { .. }))
    ));
    let chosen = chain
        .ledger
        .state()
        .select(pool.iter(), now.plus(1), BLOCK_BYTES_MAX);
    assert_eq!(chosen, vec![first, second]);
    let block = chain.block(1, chosen.clone());
    chain.run(chosen);
    pool.on_block(&block, &chain.ledger, chain.ledger.head_time());
    assert!(pool.is_empty());
}

/// Opaque payloads stand on the ledgers that were founded for them, and nowhere else.
#[test]
fn opaque_transactions_stand_where_they_belong() {
    type E = EnvelopeError;
    let refusal = |chain: &Chain, transactions: Vec<SignedTransaction>| match chain
        .ledger
        .clone()
        .check_block(&chain.block(1, transactions))
    {
        Err(BlockError::Envelope { source, .. }) => source,
        other => panic!("expected a bad envelope, got {other:?}"),
    };
    let opaque = |bytes: usize| TxBody::Opaque(vec![5; bytes]);
    let unsigned = |chain: &Chain, n: u64| {
        let until = chain.ledger.head_time().plus(60_000);
        SignedTransaction::unsigned(chain.ledger.chain(), Sequence(n), until, vec![7; 512])
    };

    let mut records = Chain::new();
    let transaction = records.sign(HOSPITAL, opaque(10));
    assert!(matches!(
        refusal(&records, vec![transaction]),
        E::Workload { .. }
    ));
    // The key of zeros is a point of small order, under which the signature of zeros holds.
    assert!(matches!(
        refusal(&records, vec![unsigned(&records, 0)]),
        E::Workload { .. }
    ));

    let mut signed = Chain::of(Workload::Opaque);
    let large = signed.sign_with(HOSPITAL, Sequence(0), opaque(OPAQUE_BYTES_MAX + 1));
    assert!(matches!(
        refusal(&signed, vec![large]),
        E::OpaqueTooLong { .. }
    ));
    let stranger = signed.sign_with(77, Sequence(0), opaque(3));
    assert!(matches!(
        refusal(&signed, vec![stranger]),
        E::UnknownSigner { .. }
    ));
    let transactions = vec![
        signed.sign(HOSPITAL, opaque(OPAQUE_BYTES_MAX)),
        signed.sign(HOSPITAL, opaque(0)),
    ];
    assert!(signed.run(transactions.clone()).is_empty());
    assert!(matches!(
        refusal(&signed, transactions),
        E::Sequence(SequenceError::Used { .. })
    ));

    let mut bare = Chain::of(Workload::OpaqueUnsigned);
    let with_sender = bare.sign(HOSPITAL, opaque(10));
    let with_body = unsigned(&bare, 0).altered(|envelope| {
        envelope.content.body = TxBody::Close {
            case: CaseId([1; 32]),
        };
    });
    for bad in [with_sender, with_body] {
        assert!(matches!(refusal(&bare, vec![bad]), E::Workload { .. }));
    }
    let foreign = unsigned(&signed, 0);
    assert!(matches!(refusal(&bare, vec![foreign]), E::Chain { .. }));
    let one = unsigned(&bare, 1);
    assert!(matches!(
        refusal(&bare, vec![one.clone(), unsigned(&bare, 2), one.clone()]),
        E::Twice { .. }
    ));
    let offered = [one.clone(), one.clone(), unsigned(&bare, 2)];
    let now = bare.ledger.head_time().plus(1);
    let chosen = bare
        .ledger
        .state()
        .select(&offered, now, one.encoded_len() * 3);
    assert_eq!(chosen, [one, unsigned(&bare, 2)]);
    let before = bare.stored.len();
    assert!(bare.run(chosen).is_empty());
    assert_eq!(bare.stored.len(), before, "nothing is kept of them");
}

/// What a check remembers changes no verdict and no result: the identifier binds neither presence nor signatures of
/// the transactions, and what was tried is what is executed.
#[test]
fn a_remembered_block_lends_its_verdict_to_no_other() {
    let mut chain = Chain::of(Workload::Opaque);
    let transactions: Vec<_> = (0..20)
        .map(|_| chain.sign(HOSPITAL, TxBody::Opaque(vec![1; 30])))
        .collect();
    let block = chain.block(1, transactions);
    let spoiled = [
        block.altered(|parts| {
            let last = &mut parts.transactions[19];
            *last = last.altered(|envelope| envelope.signature.0[40] ^= 4);
        }),
        block.altered(|parts| {
            let first = &mut parts.transactions[0];
            *first = first.altered(|envelope| envelope.content.sequence.0 += 30);
        }),
        block.altered(|parts| drop(parts.transactions.pop())),
        block.altered(|parts| parts.transactions.swap(0, 1)),
    ];
    let fresh = chain.ledger.clone();
    assert_eq!(chain.ledger.check_block(&block), Ok(()));
    for bad in &spoiled {
        assert_eq!(bad.id(), block.id());
        let verdict = fresh.clone().check_block(bad);
        assert!(verdict.is_err());
        assert_eq!(chain.ledger.check_block(bad), verdict);
    }
    for bad in &spoiled[1..] {
        assert_eq!(
            chain.ledger.execute(bad).expect_err("incomplete"),
            BlockError::TxRoot
        );
    }
    // Others are checked in between; more than are remembered.
    for after_ms in 2..6 {
        let rival = chain.block(after_ms, Vec::new());
        assert_eq!(chain.ledger.check_block(&rival), Ok(()));
        assert_eq!(chain.ledger.check_block(&block), Ok(()));
        let (mut remembering, mut forgetful) = (chain.ledger.clone(), fresh.clone());
        let known = remembering.execute(&block).expect("checked");
        let anew = forgetful.execute(&block).expect("valid");
        assert_eq!(known.writes, anew.writes);
        assert_eq!(known.events, anew.events);
        assert_eq!(known.credit, anew.credit);
        assert_eq!(remembering.state_root(), forgetful.state_root());
        assert_eq!(
            remembering.standings().leader_order(),
            forgetful.standings().leader_order()
        );
        // Nothing that was tried on the old state is taken for the new one.
        assert_eq!(
            remembering.check_block(&block),
            forgetful.check_block(&block)
        );
        assert!(remembering.check_block(&block).is_err());
    }
}
