//! The checks of a header: each fault by itself.

use super::Chain;
use crate::consensus::{Evidence, VoteKind};
use crate::credit::{HeaderError, LateVoteError, OffenceError};
use crate::crypto::Digest;
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::{Header, Profile};
use crate::units::{Height, Millis, View};

fn chain() -> Chain {
    let mut chain = Chain::new(5, Profile::Hardened);
    for _ in 0..6 {
        let mut header = chain.header(View(1));
        if header.height.0 > 1 {
            // Validator 4 is always late, so that its votes can still be credited.
            header.parent_cert = Some(chain.finalization(View(1), 0..4));
        }
        chain.push(&header);
    }
    chain
}

fn error(chain: &Chain, change: impl FnOnce(&mut Header)) -> HeaderError {
    let mut header = chain.header(View(1));
    assert_eq!(chain.standings.check_header(&header, &chain.head), Ok(()));
    change(&mut header);
    chain
        .standings
        .check_header(&header, &chain.head)
        .unwrap_err()
}

#[test]
fn every_field_is_bound() {
    let chain = chain();
    assert!(matches!(
        error(&chain, |h| h.chain = ChainId([1; 32])),
        HeaderError::Chain { .. }
    ));
    assert!(matches!(
        error(&chain, |h| h.height = Height(6)),
        HeaderError::Height { .. }
    ));
    assert!(matches!(
        error(&chain, |h| h.height = Height(8)),
        HeaderError::Height { .. }
    ));
    assert!(matches!(
        error(&chain, |h| h.parent_id = BlockId::NONE),
        HeaderError::Parent { .. }
    ));
    assert!(matches!(
        error(&chain, |h| h.parent_state_root = Digest::ZERO),
        HeaderError::StateRoot { .. }
    ));
    assert!(matches!(
        error(&chain, |h| h.time_ms = Millis(h.time_ms.0 - 1)),
        HeaderError::Time { .. }
    ));
    assert!(matches!(
        error(&chain, |h| h.view = View(2)),
        HeaderError::Author { .. }
    ));
    assert!(matches!(
        error(&chain, |h| h.view = View(0)),
        HeaderError::Author { expected: None, .. }
    ));
    assert!(matches!(
        error(&chain, |h| h.author = ValidatorId(77)),
        HeaderError::Author { .. }
    ));
    assert_eq!(
        error(&chain, |h| h.vrf_proof.0[3] ^= 1),
        HeaderError::Beacon
    );
    let stolen = chain.fixture.identities[usize::from(chain.standings.leader_order()[1].0)]
        .vrf_key
        .prove(&chain.standings.beacon_input())
        .unwrap()
        .1;
    assert_eq!(error(&chain, |h| h.vrf_proof = stolen), HeaderError::Beacon);
}

#[test]
fn the_parents_finalization_is_complete_and_genuine() {
    let chain = chain();
    assert_eq!(
        error(&chain, |h| h.parent_cert = None),
        HeaderError::ParentCertPresence
    );
    // n = 5: n - f = 4 is the quorum, 2f + 1 = 3 would be too few (spec section 7).
    let few = chain.finalization(View(1), 0..3);
    assert!(matches!(
        error(&chain, |h| h.parent_cert = Some(few)),
        HeaderError::ParentCert(_)
    ));
    let mut other = chain.finalization(View(1), 0..4);
    other.id = BlockId([9; 32]);
    assert_eq!(
        error(&chain, |h| h.parent_cert = Some(other)),
        HeaderError::ParentCertSubject
    );
    let mut kind = chain.finalization(View(1), 0..4);
    kind.kind = VoteKind::Notarize;
    assert_eq!(
        error(&chain, |h| h.parent_cert = Some(kind)),
        HeaderError::ParentCertSubject
    );
    let mut forged = chain.finalization(View(1), 0..5);
    forged.votes[4].1.0[0] ^= 1;
    assert!(matches!(
        error(&chain, |h| h.parent_cert = Some(forged)),
        HeaderError::ParentCert(_)
    ));
    let first = Chain::new(4, Profile::Literal);
    let mut header = first.header(View(1));
    header.parent_cert = Some(chain.finalization(View(1), 0..4));
    let error = first.standings.check_header(&header, &first.head);
    assert_eq!(error, Err(HeaderError::ParentCertPresence));
}

#[test]
fn late_votes_are_of_the_last_heights_sorted_and_uncredited() {
    let chain = chain();
    let next = chain.head.height.0 + 1;
    let vote = |height: u64, signer| {
        let id = chain
            .standings
            .uncredited(ValidatorId(4), Height(height))
            .unwrap_or(BlockId([1; 32]));
        chain.vote(VoteKind::Finalize, Height(height), View(1), id, signer)
    };
    let check = |votes: Vec<_>| {
        let mut header = chain.header(View(1));
        header.late_votes = votes;
        match chain.standings.check_header(&header, &chain.head) {
            Ok(()) => None,
            Err(HeaderError::LateVote { index, source }) => Some((index, source)),
            Err(other) => panic!("{other}"),
        }
    };
    let good: Vec<_> = (next - 4..=next - 2)
        .map(|height| vote(height, 4))
        .collect();
    assert_eq!(check(good.clone()), None);
    assert_eq!(
        check(vec![vote(next - 5, 4)]),
        Some((0, LateVoteError::Subject))
    );
    assert_eq!(
        check(vec![vote(next - 1, 4)]),
        Some((0, LateVoteError::Subject))
    );
    let twice = vec![good[0].clone(), good[0].clone()];
    assert_eq!(check(twice), Some((1, LateVoteError::Order)));
    let backwards = vec![good[1].clone(), good[0].clone()];
    assert_eq!(check(backwards), Some((1, LateVoteError::Order)));
    let (signer, height) = (ValidatorId(0), Height(next - 3));
    assert_eq!(
        check(vec![vote(next - 3, 0)]),
        Some((0, LateVoteError::Credited { signer, height }))
    );
    let mut forged = good.clone();
    forged[2].signature.0[1] ^= 1;
    assert_eq!(check(forged), Some((2, LateVoteError::Signature)));
    let mut stranger = good[0].clone();
    stranger.signer = ValidatorId(50);
    assert_eq!(check(vec![stranger]), Some((0, LateVoteError::Signature)));
    let mut other = good[0].clone();
    other.kind = VoteKind::Notarize;
    assert_eq!(check(vec![other]), Some((0, LateVoteError::Subject)));
}

#[test]
fn evidence_is_proved_recent_sorted_and_bounded() {
    let chain = chain();
    let offence = |height: u64, signer: u16| {
        let vote = |byte| {
            let id = BlockId([byte; 32]);
            chain.vote(VoteKind::Finalize, Height(height), View(2), id, signer)
        };
        Evidence::from_votes(vote(1), vote(2)).unwrap()
    };
    let check = |evidence: Vec<_>| {
        let mut header = chain.header(View(1));
        header.evidence = evidence;
        chain.standings.check_header(&header, &chain.head)
    };
    let fault = |index, source| Err(HeaderError::Evidence { index, source });
    let mut sorted = vec![offence(3, 0), offence(3, 1), offence(7, 0)];
    sorted.sort();
    assert_eq!(check(sorted.clone()), Ok(()));
    sorted.reverse();
    assert_eq!(check(sorted), fault(1, OffenceError::Order));
    assert_eq!(
        check(vec![offence(3, 0), offence(3, 0)]),
        fault(1, OffenceError::Order)
    );
    assert_eq!(
        check(vec![offence(8, 0)]),
        fault(0, OffenceError::Age { height: Height(8) })
    );
    assert_eq!(
        check(vec![offence(0, 0)]),
        fault(0, OffenceError::Age { height: Height(0) })
    );
    let many = (0..17).map(|_| offence(3, 0)).collect();
    assert_eq!(check(many), Err(HeaderError::EvidenceCount { count: 17 }));
    let Evidence::Votes(a, b) = offence(3, 0) else {
        panic!("votes");
    };
    assert!(matches!(
        check(vec![Evidence::Votes(b, a)]),
        Err(HeaderError::Evidence {
            source: OffenceError::Proof(_),
            ..
        })
    ));
}
