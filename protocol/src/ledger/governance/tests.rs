//! Amendments from the outside: adopted by a quorum, once, at the right height; everything else is refused on chain.

use super::*;
use crate::ledger::test_chain::Chain;
use crate::ledger::{BlockError, EnvelopeError, Ledger, Rejection, TxBody, What};
use crate::wire;

fn refusal(what: &[What]) -> GovernanceError {
    match what {
        [
            What::Rejected {
                reason: Rejection::Governance(error),
                ..
            },
        ] => error.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

/// One at a time from a lone validator to five, each with a vote from two heights after its admission on, and back.
#[test]
fn a_ledger_grows_from_one_validator_and_shrinks() {
    let mut chain = Chain::new(1, 5);
    for place in 1..5 {
        let before = chain.numbers();
        let info = chain.info(place);
        let what = chain.amend(vec![Change::Admit(info)]);
        assert!(matches!(what[..], [What::Amended { .. }]), "{what:?}");
        assert_eq!(chain.numbers(), before, "not the next height");
        chain.pass(1);
        assert_eq!(chain.numbers().len(), place + 1, "the one after");
        chain.pass(3);
    }
    let newcomer = chain.ledger.standings().record(ValidatorId(4)).unwrap();
    assert_eq!(newcomer.joined, Some(Height(18)));
    assert!(!newcomer.is_eligible(Height(1_000)));
    assert_eq!(
        chain
            .ledger
            .standings()
            .record(ValidatorId(0))
            .unwrap()
            .joined,
        None
    );
    for id in [2, 4, 1, 0] {
        let what = chain.amend(vec![Change::Remove(ValidatorId(id))]);
        assert!(matches!(what[..], [What::Amended { .. }]), "{what:?}");
        chain.pass(3);
        assert!(!chain.numbers().contains(&id));
        // What it did before stays punishable.
        assert!(chain.ledger.standings().record(ValidatorId(id)).is_some());
    }
    assert_eq!(chain.numbers(), [3]);
    let error = refusal(&chain.amend(vec![Change::Remove(ValidatorId(3))]));
    assert_eq!(error, GovernanceError::Size { n: 0 });
    // A number is never used again.
    let info = chain.new_keys(4, 4);
    let error = refusal(&chain.amend(vec![Change::Admit(info)]));
    let (found, expected) = (ValidatorId(4), ValidatorId(5));
    assert_eq!(error, GovernanceError::NewNumber { found, expected });
    // The whole is read back as it was.
    let standings = chain.ledger.standings();
    assert_eq!(
        wire::decode(&wire::encode(standings)),
        Ok(standings.clone())
    );
}

/// Signatures of a quorum of the block's own validators, each once, in order, over this amendment on this chain.
#[test]
fn nobody_but_a_quorum_decides() {
    let mut chain = Chain::new(4, 5);
    chain.pass(1);
    let admit = vec![Change::Admit(chain.info(4))];
    let amendment = chain.amendment(admit);
    let two = chain.govern(&amendment, 2);
    let (found, quorum, n) = (2, 3, 4);
    assert_eq!(
        refusal(&chain.push(vec![two])),
        GovernanceError::Quorum { found, quorum, n }
    );
    let good = chain.govern(&amendment, 3);
    let TxBody::Governance(good) = good.content.body.clone() else {
        panic!("a governance body");
    };
    type Spoil = fn(&mut Governance);
    let signer = |id| GovernanceError::Signer {
        signer: ValidatorId(id),
    };
    let cases: [(Spoil, GovernanceError); 7] = [
        (|g| g.signatures.swap(0, 1), signer(0)),
        (|g| g.signatures[1] = g.signatures[0], signer(0)),
        (|g| g.signatures[2].0 = ValidatorId(4), signer(4)),
        (
            |g| g.signatures[2].0 = ValidatorId(3),
            GovernanceError::Signature,
        ),
        (|g| g.signatures[2].1.0[7] ^= 1, GovernanceError::Signature),
        (
            |g| g.amendment.valid_until_ms.0 += 1,
            GovernanceError::Signature,
        ),
        (
            |g| {
                let remove = Change::Remove(ValidatorId(0));
                g.amendment.changes.push(remove.into());
            },
            GovernanceError::Signature,
        ),
    ];
    for (spoil, expected) in cases {
        let mut spoilt = (*good).clone();
        spoil(&mut spoilt);
        let transaction = chain.hand_in(TxBody::Governance(Box::new(spoilt)));
        assert_eq!(refusal(&chain.push(vec![transaction])), expected);
    }
    // The same words on another chain.
    let other = Chain::new(3, 5).ledger.chain();
    assert_ne!(
        amendment.message(other),
        amendment.message(chain.ledger.chain())
    );
    // The real one still counts, once.
    let transaction = chain.hand_in(TxBody::Governance(good.clone()));
    assert!(matches!(
        chain.push(vec![transaction])[..],
        [What::Amended { number: 0, .. }]
    ));
    let again = chain.hand_in(TxBody::Governance(good));
    let (found, expected) = (0, 1);
    assert_eq!(
        refusal(&chain.push(vec![again])),
        GovernanceError::Number { found, expected }
    );
    chain.pass(2);
    assert_eq!(chain.numbers(), [0, 1, 2, 3, 4]);
    // Now four of five are needed.
    let amendment = chain.amendment(vec![Change::Remove(ValidatorId(1))]);
    let three = chain.govern(&amendment, 3);
    let (found, quorum, n) = (3, 4, 5);
    assert_eq!(
        refusal(&chain.push(vec![three])),
        GovernanceError::Quorum { found, quorum, n }
    );
    let mut late = chain.amendment(vec![Change::Remove(ValidatorId(1))]);
    late.valid_until_ms = chain.ledger.head_time();
    let late = chain.govern(&late, 5);
    assert!(matches!(
        refusal(&chain.push(vec![late])),
        GovernanceError::Expired { .. }
    ));
}

/// At most f members in one block, and one below four; nothing of an amendment is done when a part of it cannot be.
#[test]
fn changes_are_bounded_and_all_or_nothing() {
    let mut chain = Chain::new(7, 12);
    let before = wire::encode(chain.ledger.standings().newest_validators());
    let remove = |id| Change::Remove(ValidatorId(id));
    let infos: Vec<_> = (7..12).map(|place| chain.info(place)).collect();
    let admit = |place: usize| Change::Admit(infos[place - 7].clone());
    let (found, allowed) = (3, 2);
    let mut stranger = infos[0].clone();
    stranger.hospital = Some(HospitalId([9; 32]));
    let hospital = HospitalId([9; 32]);
    let mut same_key = infos[0].clone();
    same_key.network_key = same_key.vote_key;
    let mut stolen = infos[0].clone();
    stolen.network_key = chain.info(3).vote_key;
    let upgrade = |version, height| Change::Upgrade {
        version: ProtocolVersion(version),
        height: Height(height),
    };
    let cases = [
        (vec![], GovernanceError::Changes { count: 0 }),
        (vec![remove(1); 17], GovernanceError::Changes { count: 17 }),
        (
            vec![remove(1), remove(2), admit(7)],
            GovernanceError::TooManyMembers { found, allowed },
        ),
        (
            vec![remove(1), remove(1)],
            GovernanceError::Twice { id: ValidatorId(1) },
        ),
        (
            vec![remove(1), remove(9)],
            GovernanceError::NoMember { id: ValidatorId(9) },
        ),
        (
            vec![Change::Rekey(infos[0].clone())],
            GovernanceError::NoMember { id: ValidatorId(7) },
        ),
        (
            vec![Change::Admit(same_key)],
            GovernanceError::KeyUsed { id: ValidatorId(7) },
        ),
        (
            vec![Change::Admit(stolen)],
            GovernanceError::KeyUsed { id: ValidatorId(7) },
        ),
        (
            vec![Change::Admit(stranger)],
            GovernanceError::Hospital { hospital },
        ),
        (
            vec![remove(1), Change::Pardon(ValidatorId(2))],
            GovernanceError::NotExcluded { id: ValidatorId(2) },
        ),
        (
            vec![admit(7), upgrade(1, 1_000)],
            GovernanceError::Upgrade {
                version: ProtocolVersion(1),
                earliest: Height(13),
            },
        ),
    ];
    for (changes, expected) in cases {
        // Whoever proposes is told before anybody signs; which hospitals are accredited stands elsewhere.
        if !matches!(expected, GovernanceError::Hospital { .. }) {
            let told = chain.ledger.standings().check_changes(&changes);
            assert_eq!(told, Err(expected.clone()));
        }
        assert_eq!(refusal(&chain.amend(changes)), expected);
        assert_eq!(
            wire::encode(chain.ledger.standings().newest_validators()),
            before
        );
        assert_eq!(chain.ledger.standings().amendments(), 0);
        assert_eq!(chain.ledger.standings().next_number(), ValidatorId(7));
    }
    let fine = [remove(1), admit(7)];
    assert_eq!(chain.ledger.standings().check_changes(&fine), Ok(()));
    // Two in one block, with each other's leave; the second amendment of the block waits.
    let first = chain.amendment(vec![remove(1), admit(7)]);
    let mut second = chain.amendment(vec![remove(2)]);
    second.number = 1;
    let transactions = vec![chain.govern(&first, 7), chain.govern(&second, 7)];
    let what = chain.push(transactions);
    assert!(matches!(what[0], What::Amended { number: 0, .. }));
    assert_eq!(refusal(&what[1..]), GovernanceError::SecondInBlock);
    // In the next block it works on the set that is on its way.
    let again = chain.govern(&second, 7);
    assert!(matches!(
        chain.push(vec![again])[..],
        [What::Amended { number: 1, .. }]
    ));
    assert_eq!(chain.numbers(), [0, 2, 3, 4, 5, 6, 7]);
    chain.pass(1);
    assert_eq!(chain.numbers(), [0, 3, 4, 5, 6, 7]);
}

/// New keys for a validator: the old ones certify up to the height before, the new ones from it on; the record stays.
#[test]
fn keys_change_between_two_heights() {
    let mut chain = Chain::new(4, 6);
    chain.pass(3);
    let credit = chain
        .ledger
        .standings()
        .record(ValidatorId(2))
        .unwrap()
        .credit;
    let new = chain.new_keys(2, 5);
    assert!(matches!(
        chain.amend(vec![Change::Rekey(new.clone())])[..],
        [What::Amended { .. }]
    ));
    let record = chain.ledger.standings().record(ValidatorId(2)).unwrap();
    assert!(record.credit >= credit);
    assert_eq!(record.joined, None);
    // `push` signs with the keys of the height; the headers' checks would refuse any other.
    let change_at = chain.ledger.height().plus(2);
    for _ in 0..6 {
        chain.pass(1);
        let (block, certificate) = chain.blocks.last().unwrap();
        let set = chain.ledger.standings().validators_at(block.header.height);
        assert_eq!(certificate.verify(chain.ledger.chain(), set), Ok(()));
        let is_new = set.get(ValidatorId(2)) == Some(&new);
        assert_eq!(is_new, block.header.height >= change_at);
        // Under the other set it does not hold.
        let other = if is_new { Height(1) } else { change_at };
        let other = chain.ledger.standings().validators_at(other);
        assert!(certificate.verify(chain.ledger.chain(), other).is_err());
    }
    // The old keys are nobody's for as long as they can convict.
    let mut thief = chain.info(4);
    thief.vote_key = chain.info(2).vote_key;
    let error = refusal(&chain.amend(vec![Change::Admit(thief)]));
    assert_eq!(error, GovernanceError::KeyUsed { id: ValidatorId(4) });
    // One key may change alone, and come under no other use.
    let mut half = new.clone();
    half.network_key = new.vote_key;
    let error = refusal(&chain.amend(vec![Change::Rekey(half)]));
    assert_eq!(error, GovernanceError::KeyUsed { id: ValidatorId(2) });
    let mut half = new;
    half.network_key = chain.info(4).network_key;
    assert!(matches!(
        chain.amend(vec![Change::Rekey(half)])[..],
        [What::Amended { .. }]
    ));
}

/// Below its first height the ledger goes on; there a program that does not know the version stops.
#[test]
fn an_unknown_version_ends_the_chain_for_this_program() {
    let mut chain = Chain::new(4, 4);
    let upgrade = |version, height| Change::Upgrade {
        version: ProtocolVersion(version),
        height: Height(height),
    };
    let what = chain.amend(vec![upgrade(3, 50)]);
    assert!(matches!(what[..], [What::Amended { .. }]));
    // Another word before it has come replaces it.
    let what = chain.amend(vec![upgrade(2, 6)]);
    assert!(matches!(what[..], [What::Amended { .. }]));
    assert_eq!(
        chain.ledger.standings().upgrade(),
        Some((ProtocolVersion(2), Height(6)))
    );
    chain.pass(3);
    let (height, needed) = (Height(6), ProtocolVersion(2));
    let error = BlockError::Version { height, needed };
    assert_eq!(chain.ledger.check_version(), Err(error.clone()));
    let block = chain.block(Vec::new());
    assert_eq!(chain.ledger.check_block(&block), Err(error.clone()));
    let root = chain.ledger.state_root();
    assert_eq!(chain.ledger.execute(&block).map(|_| ()), Err(error));
    assert_eq!(
        (chain.ledger.height(), chain.ledger.state_root()),
        (Height(5), root)
    );
}

/// A validator's vote key hands in amendments and nothing else, and only while it is a validator.
#[test]
fn vote_keys_sign_amendments_only() {
    let mut chain = Chain::new(4, 6);
    let close = TxBody::Close {
        case: crate::ids::CaseId([1; 32]),
    };
    let transaction = chain.hand_in(close);
    let block = chain.block(vec![transaction]);
    let unknown = |error| {
        matches!(
            error,
            Err(BlockError::Envelope {
                source: EnvelopeError::UnknownSigner { .. },
                ..
            })
        )
    };
    assert!(unknown(chain.ledger.check_block(&block)));
    let amendment = chain.amendment(vec![Change::Remove(ValidatorId(0))]);
    let transaction = chain.govern(&amendment, 4);
    chain.push(vec![transaction]);
    let next = chain.amendment(vec![Change::Remove(ValidatorId(1))]);
    let by_removed = chain.govern(&next, 4);
    chain.pass(1);
    let block = chain.block(vec![by_removed]);
    assert!(unknown(chain.ledger.check_block(&block)));
}

/// Who stands in the state as the next validators is who votes, also after a restart.
#[test]
fn the_electorate_is_part_of_the_state() {
    let mut chain = Chain::new(4, 6);
    let mut stored = std::collections::BTreeMap::new();
    let (_, writes) = Ledger::genesis(&chain.genesis).unwrap();
    let info = chain.info(4);
    let mut blocks = vec![vec![Change::Admit(info)], vec![], vec![], vec![]];
    stored.extend(
        writes
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    let mut ledger = Ledger::genesis(&chain.genesis).unwrap().0;
    for changes in blocks.drain(..) {
        if changes.is_empty() {
            chain.pass(1);
        } else {
            chain.amend(changes);
        }
        let effects = ledger.execute(&chain.blocks.last().unwrap().0).unwrap();
        for (key, value) in effects.writes {
            match value {
                Some(value) => stored.insert(key, value),
                None => stored.remove(&key),
            };
        }
        let entries: Vec<_> = stored.clone().into_iter().collect();
        let restored = Ledger::restore(&entries).unwrap();
        assert_eq!(restored.state_root(), chain.ledger.state_root());
        let proof = restored
            .prove(crate::ledger::State::electorate_key())
            .unwrap();
        let electorate: crate::credit::Electorate =
            wire::decode(proof.value.as_ref().unwrap()).unwrap();
        assert_eq!(electorate, chain.ledger.standings().electorate());
    }
    assert_eq!(chain.ledger.standings().electorate().since, Height(3));
}
