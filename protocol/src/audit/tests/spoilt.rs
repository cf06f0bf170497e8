//! Whoever changes anything is found out, and the error says where.

use super::scene::*;
use super::story;
use crate::audit::{
    AuditError, Bundle, BundleError, CaseFile, FORMAT, Part, Placed, SealedBlock, Subject, build,
    verify, verify_bytes,
};
use crate::consensus::{CertError, Certificate, Vote, VoteKind};
use crate::credit::Electorate;
use crate::crypto::merkle::MerkleTree;
use crate::crypto::{Digest, SigningKey};
use crate::emergency::{CaseError, Phase, Reading};
use crate::ids::CaseId;
use crate::ledger::light::LightError;
use crate::ledger::{Block, Genesis, Ledger, Rejection, SignedTransaction, State};
use crate::units::{Height, Millis, Tier, View as ViewNumber};
use crate::wire;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::error::Error as _;

fn exported() -> (Genesis, Bundle, CaseId) {
    let (mut scene, case) = story();
    let bundle = scene.bundle(Subject::Case(case));
    (scene.chain.genesis, bundle, case)
}

/// The variant's name and what it says, down to the cause.
fn named(error: &AuditError) -> (String, String) {
    let debug = format!("{error:?}");
    let name = debug.split([' ', '(', '{']).next().unwrap().to_owned();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    (name, text)
}

/// Changes of single bytes, at random places, to random other values. `KITHKIN_SEED` and `KITHKIN_CHANGES` choose others.
#[test]
fn every_changed_byte_is_found() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (seed, changes) = (number("KITHKIN_SEED", 34), number("KITHKIN_CHANGES", 1_000));
    println!("KITHKIN_SEED={seed} KITHKIN_CHANGES={changes}");
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let (genesis, bundle, _) = exported();
    let sound = bundle.encode().unwrap();
    assert!(verify_bytes(&genesis, &sound).is_ok());
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..changes {
        let at = usize::try_from(rng.next_u64()).unwrap() % sound.len();
        let by = u8::try_from(rng.next_u32() % 255 + 1).unwrap();
        let mut bytes = sound.clone();
        bytes[at] ^= by;
        match verify_bytes(&genesis, &bytes) {
            Ok(_) => panic!("byte {at} of {} changed by {by:#x} unseen", sound.len()),
            Err(error) => {
                let (name, text) = named(&error);
                assert!(text.len() > 20, "{text}");
                *names.entry(name).or_default() += 1;
            }
        }
    }
    println!("{} bytes: {names:?}", sound.len());
    for expected in [
        "Step",
        "StateProof",
        "Block",
        "Place",
        "Signature",
        "Attachment",
        "Bundle",
    ] {
        assert!(
            names.contains_key(expected),
            "{expected} is not in {names:?}"
        );
    }
}

#[test]
fn every_cut_and_every_addition_is_found() {
    let (genesis, bundle, _) = exported();
    let sound = bundle.encode().unwrap();
    for length in (0..sound.len()).step_by(97) {
        let error = verify_bytes(&genesis, &sound[..length]).unwrap_err();
        assert!(matches!(error, AuditError::Bundle(_)), "{error}");
    }
    let longer = [sound.as_slice(), &[0]].concat();
    let error = verify_bytes(&genesis, &longer).unwrap_err();
    assert!(matches!(
        error,
        AuditError::Bundle(BundleError::Frame(wire::WireError::Trailing { bytes: 1 }))
    ));
    let mut newer = sound.clone();
    newer[13] = FORMAT + 1;
    let found = FORMAT + 1;
    assert_eq!(Bundle::decode(&newer), Err(BundleError::Format { found }));
    assert_eq!(Bundle::decode(b"{}"), Err(BundleError::Magic));
    // The same value in more bytes: the list of 1 case with a longer head.
    let attachments = wire::encode(&bundle.attachments);
    let head = sound.len() - attachments.len() + 1;
    assert_eq!(sound[head], 0x92, "a list of two");
    let loose = [&sound[..head], &[0xdc, 0, 2], &sound[head + 1..]].concat();
    assert_eq!(
        Bundle::decode(&loose),
        Err(BundleError::NotCanonical { at: head })
    );
}

type Spoil = fn(&mut Bundle);
type Named = fn(&AuditError) -> bool;

#[test]
fn what_is_left_out_added_or_moved_is_named() {
    type E = AuditError;
    let cases: [(&str, Spoil, Named); 19] = [
        (
            "the last transaction",
            |b| drop(b.cases[0].blocks.pop()),
            |e| matches!(e, E::List { what: "reviewers" }),
        ),
        (
            "one in the middle",
            |b| drop(b.cases[0].blocks.remove(5)),
            |e| {
                matches!(
                    e,
                    E::Count {
                        found: 11,
                        proved: 12,
                        ..
                    }
                )
            },
        ),
        (
            "the request",
            |b| drop(b.cases[0].blocks.remove(0)),
            |e| matches!(e, E::Count { .. }),
        ),
        (
            "one of two in a block",
            |b| drop(b.cases[0].blocks[3].transactions.remove(0)),
            |e| matches!(e, E::Count { .. }),
        ),
        (
            "all of a block",
            |b| b.cases[0].blocks[4].transactions.clear(),
            |e| matches!(e, E::BlockEmpty { .. }),
        ),
        (
            "two blocks change places",
            |b| b.cases[0].blocks.swap(4, 5),
            |e| matches!(e, E::BlockOrder { .. }),
        ),
        (
            "two transactions change blocks",
            |b| {
                let other = b.cases[0].blocks[5].transactions[0].clone();
                b.cases[0].blocks[4].transactions[0] = other;
            },
            |e| matches!(e, E::Place { number: 6, .. }),
        ),
        (
            "two transactions of a block change places",
            |b| b.cases[0].blocks[3].transactions.swap(0, 1),
            |e| {
                matches!(
                    e,
                    E::Order {
                        number: 5,
                        index: 0,
                        ..
                    }
                )
            },
        ),
        (
            "a transaction twice",
            |b| {
                let twice = b.cases[0].blocks[4].transactions[0].clone();
                b.cases[0].blocks[4].transactions.push(twice);
            },
            |e| matches!(e, E::Order { number: 7, .. }),
        ),
        (
            "a block twice",
            |b| {
                let twice = b.cases[0].blocks[4].clone();
                b.cases[0].blocks.insert(5, twice);
            },
            |e| matches!(e, E::BlockOrder { .. }),
        ),
        (
            "another certificate",
            |b| {
                let other = b.cases[0].blocks[5].certificate.clone();
                b.cases[0].blocks[4].certificate = other;
            },
            |e| {
                matches!(
                    e,
                    E::Block {
                        source: LightError::Subject { .. },
                        ..
                    }
                )
            },
        ),
        (
            "too few votes",
            |b| b.cases[0].blocks[4].certificate.votes.truncate(2),
            |e| {
                matches!(
                    e,
                    E::Block {
                        source: LightError::Certificate {
                            source: CertError::Count { .. },
                            ..
                        },
                        ..
                    }
                )
            },
        ),
        (
            "a signature",
            |b| {
                let placed = &mut b.cases[0].blocks[1].transactions[0];
                placed.transaction = placed.transaction.altered(|tx| tx.signature.0[3] ^= 4);
            },
            |e| matches!(e, E::Signature { number: 2, .. }),
        ),
        (
            "the change of validators",
            |b| drop(b.steps.remove(0)),
            |e| {
                matches!(
                    e,
                    E::Step {
                        number: 1,
                        source: LightError::Set { .. } | LightError::Certificate { .. },
                        ..
                    }
                )
            },
        ),
        (
            "all steps",
            |b| b.steps.clear(),
            |e| matches!(e, E::NoSteps),
        ),
        (
            "the case's entry",
            |b| b.cases[0].entry.value = b.patient.value.clone(),
            |e| {
                matches!(
                    e,
                    E::StateProof {
                        part: Part::Case(_),
                        ..
                    }
                )
            },
        ),
        (
            "another entry for the patient",
            |b| b.patient = b.meta.clone(),
            |e| {
                matches!(
                    e,
                    E::Misplaced {
                        part: Part::Patient(_)
                    }
                )
            },
        ),
        (
            "a batch twice",
            |b| {
                let twice = b.cases[0].batches[0].clone();
                b.cases[0].batches.push(twice);
            },
            |e| {
                matches!(
                    e,
                    E::Misplaced {
                        part: Part::Batch { number: 2, .. }
                    }
                )
            },
        ),
        (
            "attachments change places",
            |b| b.attachments.swap(0, 1),
            |e| matches!(e, E::Attachment { number: 2 }),
        ),
    ];
    let (genesis, bundle, _) = exported();
    for (what, spoil, expected) in cases {
        let mut spoilt = bundle.clone();
        spoil(&mut spoilt);
        assert_ne!(spoilt, bundle, "{what}");
        let error = verify(&genesis, &spoilt).expect_err(what);
        assert!(expected(&error), "{what}: {error:?}");
    }
}

#[test]
fn a_foreign_genesis_is_refused() {
    let (genesis, bundle, _) = exported();
    let mut foreign = genesis.clone();
    foreign.time_ms = Millis(1);
    assert!(matches!(
        verify(&foreign, &bundle),
        Err(AuditError::Step {
            number: 1,
            source: LightError::Chain { .. },
            ..
        })
    ));
    let mut broken = genesis;
    broken.validators.clear();
    assert!(matches!(
        verify(&broken, &bundle),
        Err(AuditError::Genesis(_))
    ));
}

/// Puts other transactions into a block and works out everything anew but the votes.
fn rebuilt(block: &SealedBlock, transactions: &[SignedTransaction]) -> SealedBlock {
    let mut header = block.header.clone();
    header.tx_root = Block::tx_root(transactions);
    let tree = MerkleTree::new(transactions.iter().map(SignedTransaction::id));
    let placed = transactions
        .iter()
        .enumerate()
        .map(|(index, transaction)| Placed {
            path: tree.path(index).unwrap(),
            transaction: transaction.clone(),
        });
    let mut certificate = block.certificate.clone();
    certificate.id = header.id();
    SealedBlock {
        transactions: placed.collect(),
        certificate,
        header,
    }
}

/// The votes of a certificate anew, by keys of the forger's.
fn vote_again(certificate: &mut Certificate, header: &crate::ledger::Header) {
    let stranger: SigningKey = key(66);
    for (signer, signature) in &mut certificate.votes {
        let (view, id) = (certificate.view, header.id());
        let kind = VoteKind::Finalize;
        let vote = Vote::sign(
            header.chain,
            kind,
            header.height,
            view,
            id,
            *signer,
            &stranger,
        );
        *signature = vote.signature;
    }
}

/// Somebody signs a kin's approval with another key, and works out every digest anew: what is missing is the validators' votes.
#[test]
fn recomputed_hashes_do_not_help() {
    let (genesis, bundle, case) = exported();
    let forged = |signer: u8, votes: bool| {
        let mut spoilt = bundle.clone();
        let block = &mut spoilt.cases[0].blocks[1];
        let mut content = block.transactions[0].transaction.content.clone();
        content.signer = key(signer).verifying_key();
        *block = rebuilt(block, &[content.sign(&key(signer))]);
        if votes {
            vote_again(&mut block.certificate, &block.header);
        }
        verify(&genesis, &spoilt).unwrap_err()
    };
    for (signer, votes) in [(66, false), (66, true), (KIN[4], false), (KIN[4], true)] {
        let error = forged(signer, votes);
        assert!(
            matches!(
                error,
                AuditError::Block {
                    case: named,
                    height: Height(9),
                    source: LightError::Certificate {
                        source: CertError::Signature,
                        ..
                    },
                } if named == case
            ),
            "{error:?}"
        );
    }
    // The header as it was: the path does not lead there.
    let mut spoilt = bundle.clone();
    let block = &mut spoilt.cases[0].blocks[1];
    let mut content = block.transactions[0].transaction.content.clone();
    content.signer = key(66).verifying_key();
    let (header, certificate) = (block.header.clone(), block.certificate.clone());
    *block = rebuilt(block, &[content.sign(&key(66))]);
    (block.header, block.certificate) = (header, certificate);
    assert!(matches!(
        verify(&genesis, &spoilt),
        Err(AuditError::Place { number: 2, .. })
    ));
    // The head itself rebuilt over another state.
    let mut spoilt = bundle;
    let last = spoilt.steps.last_mut().unwrap();
    last.header.parent_state_root = Digest([5; 32]);
    last.certificate.id = last.header.id();
    vote_again(&mut last.certificate, &last.header);
    assert!(matches!(
        verify(&genesis, &spoilt),
        Err(AuditError::Step {
            source: LightError::Certificate { .. },
            ..
        })
    ));
}

/// Transactions that really stand on chain, in final blocks, but do not belong where they are put.
#[test]
fn true_transactions_in_the_wrong_case_are_refused() {
    let mut scene = Scene::new();
    let case = scene.open(HOSPITAL, PATIENT);
    let other = scene.open(OTHER_HOSPITAL, PATIENT);
    scene.approve(case, &KIN[..2]);
    scene.approve(other, &KIN[..2]);
    let genesis = scene.chain.genesis.clone();
    let mut view = scene.view();
    let mut make = |case| build(&genesis, &mut view, Subject::Case(case), Vec::new()).unwrap();
    let (own, foreign) = (make(case), make(other));
    let mut spoilt = own.clone();
    spoilt.cases[0].blocks[2] = foreign.cases[0].blocks[2].clone();
    assert_eq!(
        verify(&genesis, &spoilt),
        Err(AuditError::Foreign { case, number: 3 })
    );
    let mut spoilt = own;
    spoilt.cases[0].blocks = foreign.cases[0].blocks.clone();
    assert_eq!(
        verify(&genesis, &spoilt),
        Err(AuditError::Foreign { case, number: 1 })
    );
}

/// What a ledger with corrupt validators would show: all of them sign a state in which this entry was changed.
fn corrupt(scene: &mut Scene, case: CaseId, change: impl FnOnce(&mut State)) -> View {
    let mut state = scene.chain.ledger.state().clone();
    change(&mut state);
    let entries: Vec<_> = state.entries().collect();
    let forged = Ledger::restore(&entries).unwrap();
    assert!(forged.state().case(case).is_some());
    let mut view = scene.view();
    let head = view.steps.last_mut().unwrap();
    head.header.parent_state_root = forged.state_root();
    head.electorate = forged.prove(State::electorate_key()).unwrap();
    let id = head.header.id();
    head.certificate.id = id;
    let value = head.electorate.value.as_ref().unwrap();
    let electorate: Electorate = State::decode_value(value).unwrap();
    let votes = electorate.current.iter().map(|info| {
        let key = &scene.chain.identity(info).vote_key;
        let (chain, height) = (head.header.chain, head.header.height);
        let kind = VoteKind::Finalize;
        let vote = Vote::sign(chain, kind, height, ViewNumber(1), id, info.id, key);
        (info.id, vote.signature)
    });
    head.certificate.votes = votes.collect();
    view.ledger = forged;
    view
}

/// The bundle of a forged state, put together by hand: the builder would not.
fn by_hand(view: &View, case: CaseId, heights: &[u64]) -> Bundle {
    let prove = |key| view.ledger.prove(key).unwrap();
    let seal = |height: &u64| {
        let (block, certificate) = view.blocks[usize::try_from(*height).unwrap() - 1].clone();
        let mut sealed = SealedBlock {
            header: block.header.clone(),
            certificate,
            transactions: Vec::new(),
        };
        sealed = SealedBlock {
            certificate: sealed.certificate.clone(),
            ..rebuilt(&sealed, &block.transactions)
        };
        assert_eq!(sealed.header, block.header);
        sealed
    };
    let stands = view.ledger.state().case(case).unwrap();
    Bundle {
        subject: Subject::Case(case),
        steps: view.steps.clone(),
        meta: prove(State::meta_key()),
        patient: prove(State::patient_key(stands.patient())),
        rosters: vec![prove(State::roster_key(stands.patient(), stands.epochs()))],
        register: prove(State::register_key()),
        issuers: Vec::new(),
        hospitals: vec![prove(State::hospital_key(stands.hospital))],
        reviewers: Vec::new(),
        cases: vec![CaseFile {
            entry: prove(State::case_key(case)),
            batches: Vec::new(),
            blocks: heights.iter().map(seal).collect(),
        }],
        attachments: Vec::new(),
    }
}

/// Even if every validator signs a state in which a kin released after two of three approvals, the rules say no.
#[test]
fn a_release_without_a_quorum_is_refused_whoever_signs_it() {
    let mut scene = Scene::new();
    let case = scene.open(HOSPITAL, PATIENT);
    scene.approve(case, &KIN[..2]);
    let release = scene.sign(KIN[0], Scene::release(case, KIN[0]));
    let id = release.id();
    scene.chain.push(vec![release]);
    let genesis = scene.chain.genesis.clone();
    // As it is, the release was refused, and the builder leaves it out.
    assert_eq!(scene.bundle(Subject::Case(case)).cases[0].blocks.len(), 3);
    let released = |threshold: Option<u16>| {
        move |state: &mut State| {
            let mut stands = state.case(case).unwrap().clone();
            stands.phase = Phase::Open;
            stands.granted_ms = Some(stands.requested_ms);
            stands.releases.insert(kin(KIN[0]), vec![Digest([1; 32])]);
            stands.threshold = threshold.unwrap_or(stands.threshold);
            stands.note(id);
            state.cases.put(case, stands);
        }
    };
    // By the forged entry two approvals would even have done; by the patient's rule they did not.
    for threshold in [None, Some(2)] {
        let view = corrupt(&mut scene, case, released(threshold));
        let forged = by_hand(&view, case, &[3, 4, 5, 6]);
        let error = verify(&genesis, &forged).unwrap_err();
        let AuditError::Refused {
            number: 4, reason, ..
        } = &error
        else {
            panic!("{error:?}");
        };
        let phase = Phase::Requested;
        assert_eq!(**reason, Rejection::Case(CaseError::Phase { phase }));
        let left_out = by_hand(&view, case, &[3, 4, 5]);
        assert!(matches!(
            verify(&genesis, &left_out),
            Err(AuditError::Count {
                found: 3,
                proved: 4,
                ..
            })
        ));
    }
}

/// States that corrupt validators sign, each with one lie about the same four transactions.
#[test]
fn a_state_that_the_transactions_do_not_lead_to_is_refused() {
    type Lie = fn(&mut crate::emergency::Case);
    let lies: [(&str, Lie); 6] = [
        ("list of approvals", |c| {
            c.approvals.clear();
        }),
        ("threshold", |c| c.threshold = 2),
        ("roster", |c| c.roster.truncate(4)),
        ("list of reads", |c| {
            let (times, records, at) = (1, 7, Millis(4));
            let read = Reading {
                times,
                records,
                first_ms: at,
                last_ms: at,
            };
            c.reads.insert(Tier::Summary, read);
        }),
        ("timing", |c| c.timing.session_ms = Millis(1)),
        ("time of the grant", |c| c.granted_ms = Some(Millis(5))),
    ];
    let mut scene = Scene::new();
    let case = scene.open(HOSPITAL, PATIENT);
    scene.approve(case, &KIN[..3]);
    let genesis = scene.chain.genesis.clone();
    let heights = [3, 4, 5, 6];
    for (field, lie) in lies {
        let view = corrupt(&mut scene, case, |state| {
            let mut stands = state.case(case).unwrap().clone();
            lie(&mut stands);
            state.cases.put(case, stands);
        });
        let forged = by_hand(&view, case, &heights);
        assert_eq!(
            verify(&genesis, &forged),
            Err(AuditError::Differs { case, field })
        );
    }
    let swapped = corrupt(&mut scene, case, |state| {
        let mut stands = state.case(case).unwrap().clone();
        stands.log.0 = Digest([1; 32]);
        state.cases.put(case, stands);
    });
    let forged = by_hand(&swapped, case, &heights);
    assert_eq!(verify(&genesis, &forged), Err(AuditError::Log { case }));
    // A head of the year 20000, at which a case would be overdue for ages.
    let late = corrupt(&mut scene, case, |state| {
        let mut meta = state.meta().clone();
        meta.time_ms = Millis(u64::MAX);
        state.meta.put((), meta);
    });
    let forged = by_hand(&late, case, &heights);
    assert!(matches!(
        verify(&genesis, &forged),
        Err(AuditError::Time { .. })
    ));
    let elsewhere = corrupt(&mut scene, case, |state| {
        let mut meta = state.meta().clone();
        meta.height = Height(3);
        state.meta.put((), meta);
    });
    let forged = by_hand(&elsewhere, case, &heights);
    assert!(matches!(
        verify(&genesis, &forged),
        Err(AuditError::Head { .. })
    ));
}
