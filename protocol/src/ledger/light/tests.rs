//! Proofs that hold, and every way of spoiling one.

use super::*;
use crate::crypto::merkle;
use crate::ids::ValidatorId;
use crate::ledger::test_chain::Chain;
use crate::ledger::{Change, TxBody};

/// A chain whose validators change four times, with a transaction in each of its parts.
fn chain() -> Chain {
    let mut chain = Chain::new(4, 8);
    for place in 4..7 {
        let info = chain.info(place);
        chain.amend(vec![Change::Admit(info)]);
        chain.pass(4);
    }
    chain.amend(vec![
        Change::Remove(ValidatorId(0)),
        Change::Remove(ValidatorId(1)),
    ]);
    chain.pass(40);
    chain
}

/// The claim that the only transaction of the block at `height` is final.
fn claim(chain: &Chain, height: usize) -> Claim {
    let (block, certificate) = &chain.blocks[height - 1];
    let ids: Vec<_> = block.transactions.iter().map(|tx| tx.id()).collect();
    Claim::Transaction {
        header: Box::new(block.header.clone()),
        certificate: certificate.clone(),
        path: merkle::MerkleTree::new(&ids).path(0).unwrap(),
        transaction: block.transactions[0].clone(),
    }
}

#[test]
fn transactions_and_entries_are_proved_from_the_genesis() {
    let chain = chain();
    assert!(chain.blocks.len() >= 56, "past the fiftieth height");
    for height in [1, 6, 11, 16] {
        let proved = verify(&chain.genesis, &chain.steps, &claim(&chain, height)).unwrap();
        assert_eq!(proved.height, Height(height as u64));
        assert_eq!(proved.id, chain.blocks[height - 1].0.id());
        assert_eq!(proved.index, Some(0));
    }
    let last = chain.steps.last().unwrap();
    let entry = Claim::Entry(last.electorate.clone());
    let proved = verify(&chain.genesis, &chain.steps, &entry).unwrap();
    assert_eq!(proved.height, last.header.height);
    // What is written for one change is enough for it: few steps, whatever the length.
    assert!(chain.steps.len() <= 4 * 3 + 2, "{}", chain.steps.len());
    // The same over the wire.
    let bytes = crate::wire::encode(&(chain.steps.clone(), claim(&chain, 16)));
    let (steps, claim): (Vec<Step>, Claim) = crate::wire::decode(&bytes).unwrap();
    assert!(verify(&chain.genesis, &steps, &claim).is_ok());
}

#[test]
fn every_spoilt_part_is_found() {
    let chain = chain();
    let target = claim(&chain, 16);
    type Spoil = fn(&mut Vec<Step>);
    type Named = fn(&LightError) -> bool;
    let cases: [(Spoil, Named); 12] = [
        (
            |s| s.clear(),
            |e| matches!(e, LightError::Steps { count: 0 }),
        ),
        (
            |s| s.swap(1, 2),
            |e| {
                matches!(
                    e,
                    LightError::Order { .. }
                        | LightError::Set { .. }
                        | LightError::Certificate { .. }
                )
            },
        ),
        (
            |s| s[1] = s[0].clone(),
            |e| matches!(e, LightError::Order { .. }),
        ),
        (
            |s| s[0].header.chain.0[3] ^= 1,
            |e| matches!(e, LightError::Chain { .. }),
        ),
        (
            |s| s[0].header.time_ms.0 += 1,
            |e| matches!(e, LightError::Subject { .. }),
        ),
        (
            |s| s[0].header.parent_state_root.0[0] ^= 1,
            |e| matches!(e, LightError::Subject { .. }),
        ),
        (
            |s| s[0].certificate.id.0[0] ^= 1,
            |e| matches!(e, LightError::Subject { .. }),
        ),
        (
            |s| s[0].certificate.height.0 += 1,
            |e| matches!(e, LightError::Subject { .. }),
        ),
        (
            |s| s[0].certificate.kind = VoteKind::Notarize,
            |e| matches!(e, LightError::Subject { .. }),
        ),
        (
            |s| s[0].certificate.votes[2].1.0[9] ^= 1,
            |e| {
                matches!(
                    e,
                    LightError::Certificate {
                        source: CertError::Signature,
                        ..
                    }
                )
            },
        ),
        (
            |s| s[0].certificate.votes.truncate(2),
            |e| {
                matches!(
                    e,
                    LightError::Certificate {
                        source: CertError::Count { .. },
                        ..
                    }
                )
            },
        ),
        (
            |s| s[0].electorate.key.push(0),
            |e| matches!(e, LightError::Electorate { .. }),
        ),
    ];
    for (place, (spoil, named)) in cases.into_iter().enumerate() {
        let mut steps = chain.steps.clone();
        spoil(&mut steps);
        let error = verify(&chain.genesis, &steps, &target).unwrap_err();
        assert!(named(&error), "case {place}: {error:?}");
    }
    // Every byte of a step's encoding: it does not decode, it does not verify, or it says the same (a library's
    // proof has more than one encoding of some parts). Never another claim.
    let good = verify(
        &chain.genesis,
        &chain.steps[..3],
        &Claim::Entry(chain.steps[2].electorate.clone()),
    );
    let frame = crate::wire::encode(&chain.steps[2]);
    let mut refused = 0;
    for byte in (0..frame.len()).step_by(7) {
        let mut spoilt = frame.clone();
        spoilt[byte] ^= 0x15;
        let Ok(step) = crate::wire::decode::<Step>(&spoilt) else {
            refused += 1;
            continue;
        };
        let steps = [chain.steps[0].clone(), chain.steps[1].clone(), step];
        let entry = Claim::Entry(chain.steps[2].electorate.clone());
        match verify(&chain.genesis, &steps, &entry) {
            Err(_) => refused += 1,
            same => assert_eq!(same, good, "byte {byte}"),
        }
    }
    assert!(
        refused * 10 > frame.len() / 7 * 9,
        "{refused} of {}",
        frame.len() / 7
    );
}

/// A set change that is left out is noticed, even when those who signed are members of both sets.
#[test]
fn a_change_that_is_left_out_is_noticed() {
    let chain = chain();
    for left_out in 0..chain.steps.len() {
        let old = &chain.steps[left_out];
        let electorate: Electorate =
            State::decode_value(old.electorate.value.as_ref().unwrap()).unwrap();
        if electorate.next.is_none() {
            continue;
        }
        let mut steps = chain.steps.clone();
        steps.remove(left_out);
        let result = verify(
            &chain.genesis,
            &steps,
            &Claim::Entry(old.electorate.clone()),
        );
        assert!(
            matches!(
                result,
                Err(LightError::Set { .. } | LightError::Certificate { .. })
            ),
            "{result:?}"
        );
    }
    // The attack that naive skipping allows: three of the first four finalize a block at a height where seven vote.
    let mut step = chain.steps.last().unwrap().clone();
    step.header.height = Height(30);
    let id = step.header.id();
    let votes = (0..3).map(|place| {
        let (info, identity) = &chain.people[place];
        let (kind, view) = (VoteKind::Finalize, crate::units::View(1));
        let chain = chain.ledger.chain();
        let key = &identity.vote_key;
        let vote = crate::consensus::Vote::sign(chain, kind, Height(30), view, id, info.id, key);
        (info.id, vote.signature)
    });
    step.certificate = Certificate {
        kind: VoteKind::Finalize,
        height: Height(30),
        view: crate::units::View(1),
        id,
        votes: votes.collect(),
    };
    let result = verify(
        &chain.genesis,
        &[step.clone()],
        &Claim::Entry(step.electorate),
    );
    assert_eq!(result, Err(LightError::Set { height: Height(30) }));
}

#[test]
fn claims_stand_or_fall_by_themselves() {
    let chain = chain();
    let check = |claim: &Claim| verify(&chain.genesis, &chain.steps, claim);
    let spoilt = |spoil: fn(&mut Claim)| {
        let mut claim = claim(&chain, 6);
        spoil(&mut claim);
        check(&claim).unwrap_err()
    };
    let height = Height(6);
    let other = spoilt(|claim| {
        if let Claim::Transaction { transaction, .. } = claim {
            *transaction = transaction.altered(|envelope| {
                envelope.content.body = TxBody::Close {
                    case: crate::ids::CaseId([0; 32]),
                };
            });
        }
    });
    assert_eq!(other, LightError::Transaction { height });
    let unsigned = spoilt(|claim| {
        if let Claim::Transaction { transaction, .. } = claim {
            *transaction = transaction.altered(|envelope| envelope.signature.0[0] ^= 1);
        }
    });
    assert_eq!(unsigned, LightError::Transaction { height });
    let path = spoilt(|claim| {
        if let Claim::Transaction { path, .. } = claim {
            path.index = 1;
        }
    });
    assert_eq!(path, LightError::Transaction { height });
    // A height that no step covers.
    let uncovered = verify(&chain.genesis, &chain.steps[..1], &claim(&chain, 11));
    assert_eq!(uncovered, Err(LightError::Uncovered { height: Height(11) }));
    // An entry of another state.
    let entry = Claim::Entry(chain.steps[0].electorate.clone());
    assert!(matches!(check(&entry), Err(LightError::Entry { .. })));
    // Another genesis.
    let other = Chain::new(3, 8);
    assert!(matches!(
        verify(&other.genesis, &chain.steps, &claim(&chain, 6)),
        Err(LightError::Chain { .. })
    ));
}
