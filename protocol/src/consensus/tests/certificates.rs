//! What is signed, verified and sent.

use super::*;
use crate::consensus::late::LateVotes;
use crate::consensus::tally::Tally;
use crate::consensus::{CertError, Evidence, EvidenceError, Hearsay, verify_votes};
use crate::credit::ValidatorSet;
use crate::wire;

const ID: BlockId = BlockId([7; 32]);

fn set(fixture: &Fixture) -> ValidatorSet {
    ValidatorSet::new(fixture.genesis.validators.iter().cloned())
}

fn cert(fixture: &Fixture, signers: &[u16], kind: VoteKind, id: BlockId) -> Certificate {
    let chain = fixture.genesis.chain_id();
    let votes = signers.iter().map(|&signer| {
        let (signer, key) = (
            ValidatorId(signer),
            &fixture.identities[usize::from(signer)].vote_key,
        );
        let vote = Vote::sign(chain, kind, Height(3), View(2), id, signer, key);
        (signer, vote.signature)
    });
    Certificate {
        kind,
        height: Height(3),
        view: View(2),
        id,
        votes: votes.collect(),
    }
}

/// n - f, not 2f + 1: with five validators four are needed (spec section 7).
#[test]
fn quorums_are_n_minus_f() {
    for (n, f, quorum) in [
        (1, 0, 1),
        (2, 0, 2),
        (3, 0, 3),
        (4, 1, 3),
        (5, 1, 4),
        (6, 1, 5),
        (7, 2, 5),
        (10, 3, 7),
        (31, 10, 21),
        (100, 33, 67),
    ] {
        let set = set(&fixture(n, Profile::Balanced));
        assert_eq!((set.f(), set.quorum()), (f, quorum), "n {n}");
        // Two quorums share more than f.
        assert!(2 * quorum - usize::from(n) > f);
    }
    assert_eq!(ValidatorSet::default().quorum(), 0);
}

/// Votes that a node has counted cost nothing and change no verdict: whichever were counted, whichever signature is
/// spoiled or put in another's place.
#[test]
fn known_votes_change_no_verdict() {
    let fixture = fixture(5, Profile::Balanced);
    let (set, chain) = (set(&fixture), fixture.genesis.chain_id());
    let good = cert(&fixture, &[0, 1, 2, 3], VoteKind::Notarize, ID);
    let mut certs = vec![good.clone()];
    for place in 0..4 {
        let mut spoiled = good.clone();
        spoiled.votes[place].1.0[5] ^= 1;
        let mut swapped = good.clone();
        swapped.votes[place].1 = good.votes[(place + 1) % 4].1;
        let mut twice = good.clone();
        twice.votes[place] = good.votes[(place + 1) % 4];
        certs.extend([spoiled, swapped, twice]);
    }
    for change in 0..3 {
        let mut other = good.clone();
        match change {
            0 => other.id = BlockId([8; 32]),
            1 => other.view = View(3),
            _ => other.kind = VoteKind::Finalize,
        }
        certs.push(other);
    }
    for counted in 0..16u8 {
        let mut tally = Tally::new(Height(3));
        let mut late = LateVotes::default();
        for (place, vote) in good.iter_votes().enumerate() {
            if counted >> place & 1 == 1 {
                tally.insert(&vote);
                late.keep(vote);
            }
        }
        for cert in &certs {
            let verdict = cert.verify(chain, &set);
            assert_eq!(verdict.is_ok(), *cert == good);
            let by_tally = cert.verify_knowing(chain, &set, &|vote| tally.knows(vote));
            let by_late = cert.verify_knowing(chain, &set, &|vote| late.knows(vote));
            assert_eq!((&by_tally, &by_late), (&verdict, &verdict));
        }
    }
}

#[test]
fn certificates_need_distinct_members_in_order() {
    let fixture = fixture(5, Profile::Balanced);
    let (set, chain) = (set(&fixture), fixture.genesis.chain_id());
    let good = |signers: &[u16]| cert(&fixture, signers, VoteKind::Notarize, ID);
    assert_eq!(good(&[0, 1, 2, 3]).verify(chain, &set), Ok(()));
    assert_eq!(good(&[0, 1, 2, 3, 4]).verify(chain, &set), Ok(()));
    let few = good(&[0, 1, 2]).verify(chain, &set);
    assert_eq!(
        few,
        Err(CertError::Count {
            votes: 3,
            quorum: 4,
            n: 5
        })
    );
    let signer = ValidatorId(1);
    assert_eq!(
        good(&[0, 1, 1, 3]).verify(chain, &set),
        Err(CertError::Order { signer })
    );
    assert_eq!(
        good(&[0, 2, 1, 3]).verify(chain, &set),
        Err(CertError::Order { signer })
    );
    let mut stranger = good(&[0, 1, 2, 3]);
    stranger.votes[3].0 = ValidatorId(9);
    let error = stranger.verify(chain, &set);
    assert_eq!(
        error,
        Err(CertError::Stranger {
            signer: ValidatorId(9)
        })
    );
    let mut many = good(&[0, 1, 2, 3, 4]);
    many.votes.push((ValidatorId(9), many.votes[0].1));
    assert!(matches!(
        many.verify(chain, &set),
        Err(CertError::Count { votes: 6, .. })
    ));
    for change in [
        |cert: &mut Certificate| cert.kind = VoteKind::Finalize,
        |cert: &mut Certificate| cert.height = Height(4),
        |cert: &mut Certificate| cert.view = View(3),
        |cert: &mut Certificate| cert.id = BlockId([8; 32]),
        |cert: &mut Certificate| cert.votes[2].1.0[5] ^= 1,
        |cert: &mut Certificate| cert.votes.swap_remove(0).0 = ValidatorId(0),
    ] {
        let mut cert = good(&[0, 1, 2, 3, 4]);
        change(&mut cert);
        assert!(cert.verify(chain, &set).is_err(), "{cert:?}");
    }
    assert_eq!(
        good(&[0, 1, 2, 3]).verify(ChainId([0; 32]), &set),
        Err(CertError::Signature)
    );
    let nullify = |id| cert(&fixture, &[0, 1, 2, 3], VoteKind::Nullify, id).verify(chain, &set);
    assert_eq!(nullify(BlockId::NONE), Ok(()));
    assert_eq!(nullify(ID), Err(CertError::Subject));
    let none = cert(&fixture, &[0, 1, 2, 3], VoteKind::Finalize, BlockId::NONE);
    assert_eq!(none.verify(chain, &set), Err(CertError::Subject));
    assert!(good(&[0]).verify(chain, &ValidatorSet::default()).is_err());
}

/// Every set of bad votes among seven is found exactly.
#[test]
fn batches_name_the_bad_votes() {
    let fixture = fixture(7, Profile::Balanced);
    let (set, chain) = (set(&fixture), fixture.genesis.chain_id());
    let votes: Vec<_> = cert(&fixture, &[0, 1, 2, 3, 4, 5, 6], VoteKind::Notarize, ID)
        .iter_votes()
        .collect();
    for bad in 0..128u32 {
        let mut batch = votes.clone();
        for (place, vote) in batch
            .iter_mut()
            .enumerate()
            .filter(|(place, _)| bad >> place & 1 == 1)
        {
            match place % 3 {
                0 => vote.signature.0[9] ^= 4,
                1 => vote.signer = ValidatorId(70),
                _ => vote.id = BlockId::NONE,
            }
        }
        let verdicts = verify_votes(chain, &set, &batch);
        let expected: Vec<_> = (0..7).map(|place| bad >> place & 1 == 0).collect();
        assert_eq!(verdicts, expected, "{bad:07b}");
    }
}

#[test]
fn evidence_accuses_only_what_no_honest_validator_signs() {
    let fixture = fixture(4, Profile::Balanced);
    let (set, chain) = (set(&fixture), fixture.genesis.chain_id());
    let sign = |kind, view, id, signer: u16| {
        let key = &fixture.identities[usize::from(signer)].vote_key;
        Vote::sign(
            chain,
            kind,
            Height(3),
            View(view),
            id,
            ValidatorId(signer),
            key,
        )
    };
    use VoteKind::{Finalize, Notarize, Nullify};
    let other = BlockId([8; 32]);
    let offences = [
        (sign(Notarize, 1, ID, 0), sign(Notarize, 1, other, 0)),
        (sign(Finalize, 1, ID, 0), sign(Finalize, 1, other, 0)),
        (sign(Nullify, 1, BlockId::NONE, 0), sign(Finalize, 1, ID, 0)),
    ];
    for (a, b) in &offences {
        for evidence in [
            Evidence::from_votes(a.clone(), b.clone()),
            Evidence::from_votes(b.clone(), a.clone()),
        ] {
            let evidence = evidence.unwrap();
            assert_eq!(evidence.verify(chain, &set), Ok(()));
            assert_eq!(
                (evidence.accused(), evidence.height(), evidence.view()),
                (ValidatorId(0), Height(3), View(1))
            );
        }
    }
    let allowed = [
        (sign(Notarize, 1, ID, 0), sign(Notarize, 1, ID, 0)),
        (sign(Notarize, 1, ID, 0), sign(Notarize, 2, other, 0)),
        (sign(Notarize, 1, ID, 0), sign(Notarize, 1, other, 1)),
        (sign(Notarize, 1, ID, 0), sign(Finalize, 1, other, 0)),
        (sign(Notarize, 1, ID, 0), sign(Nullify, 1, BlockId::NONE, 0)),
        (sign(Nullify, 1, BlockId::NONE, 0), sign(Finalize, 2, ID, 0)),
    ];
    for (a, b) in allowed {
        assert_eq!(Evidence::from_votes(a.clone(), b.clone()), None);
        let forced = Evidence::Votes(a.clone().min(b.clone()), a.max(b));
        assert!(forced.verify(chain, &set).is_err());
    }
    let (a, b) = offences[0].clone();
    let (low, high) = (a.clone().min(b.clone()), a.max(b));
    let swapped = Evidence::Votes(high.clone(), low.clone());
    assert_eq!(swapped.verify(chain, &set), Err(EvidenceError::Order));
    let mut forged = low.clone();
    forged.signature.0[0] ^= 1;
    assert!(Evidence::Votes(forged, high).verify(chain, &set).is_err());
}

#[test]
fn two_proposals_of_a_view_are_evidence() {
    let fixture = fixture(4, Profile::Balanced);
    let (set, chain) = (set(&fixture), fixture.genesis.chain_id());
    let sign = |view, id, leader: u16| {
        let key = &fixture.identities[usize::from(leader)].vote_key;
        SignedProposalId::sign(chain, Height(3), View(view), id, ValidatorId(leader), key)
    };
    let other = BlockId([8; 32]);
    let evidence = Evidence::from_proposals(sign(1, ID, 2), sign(1, other, 2)).unwrap();
    assert_eq!(evidence.verify(chain, &set), Ok(()));
    assert_eq!(
        Evidence::from_proposals(sign(1, ID, 2), sign(1, ID, 2)),
        None
    );
    assert_eq!(
        Evidence::from_proposals(sign(1, ID, 2), sign(2, other, 2)),
        None
    );
    assert_eq!(
        Evidence::from_proposals(sign(1, ID, 2), sign(1, other, 1)),
        None
    );
    let Evidence::Proposals(a, b) = evidence else {
        panic!("proposals");
    };
    assert_eq!(
        Evidence::Proposals(b.clone(), a.clone()).verify(chain, &set),
        Err(EvidenceError::Order)
    );
    let forged = SignedProposalId {
        signature: b.signature,
        ..a.clone()
    };
    assert!(
        Evidence::Proposals(forged.clone().min(b.clone()), b.max(forged))
            .verify(chain, &set)
            .is_err()
    );
    // A vote key's signature under a proposal is none under a vote, and the other way round.
    assert_ne!(
        SignedProposalId::message(chain, Height(3), View(1), ID),
        Vote::message(chain, VoteKind::Notarize, Height(3), View(1), ID)
    );
}

#[test]
fn messages_are_read_back() {
    let mut solo = Solo::follower(4, 3);
    let block = solo.block(1);
    let (_, proposal) = solo.proposal(1, &block, Justification::default());
    let vote = solo.vote(ValidatorId(0), VoteKind::Notarize, 1, block.id());
    let ballot = Ballot {
        vote: vote.clone(),
        proposal: Some(vote.signature),
    };
    let evidence =
        Evidence::from_votes(vote, solo.vote(ValidatorId(0), VoteKind::Notarize, 1, ID)).unwrap();
    let justification = Justification {
        base: None,
        nullifications: vec![solo.nullification(1)],
    };
    let key = &solo.identity(ValidatorId(0)).vote_key;
    let (chain, leader) = (solo.chain(), ValidatorId(0));
    let hearsay = Hearsay {
        height: Height(1),
        votes: vec![solo.vote(leader, VoteKind::Finalize, 1, ID)],
        proposals: vec![SignedProposalId::sign(
            chain,
            Height(1),
            View(1),
            ID,
            leader,
            key,
        )],
    };
    let messages = vec![
        proposal,
        Message::Ballots(vec![ballot]),
        Message::NewView(Box::new(NewView {
            height: Height(1),
            view: View(2),
            justification,
        })),
        Message::GetCommitted {
            from: Height(1),
            count: 64,
        },
        Message::Committed(vec![]),
        Message::GetBody {
            height: Height(1),
            id: ID,
        },
        Message::Body(Arc::new(block)),
        Message::Evidence(Box::new(evidence)),
        Message::Hearsay(Box::new(hearsay)),
    ];
    for message in messages {
        let frame = wire::encode(&message);
        assert_eq!(wire::decode(&frame), Ok(message));
    }
    assert!(solo.step(Input::Work(false)).is_empty());
}
