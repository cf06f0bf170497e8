//! One node, step by step: what it answers to what.

use super::*;
use crate::consensus::{Fault, Finalized, Note, TimerKind};

fn faults(outputs: &[Output]) -> Vec<&Fault> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Note(Note::Misbehaved { fault, .. }) => Some(fault),
            _ => None,
        })
        .collect()
}

/// The golden run of one height: propose, notarize, finalize, commit, in this order, each record before its message.
#[test]
fn a_height_from_proposal_to_commit() {
    let mut solo = Solo::follower(4, 3);
    let block = solo.block(1);
    let id = block.id();
    let outputs = solo.send_proposal(1, &block, Justification::default());
    let body = outputs
        .iter()
        .position(|o| matches!(o, Output::Persist(WalEntry::Body(_))))
        .unwrap();
    let vote = outputs
        .iter()
        .position(|o| matches!(o, Output::Persist(WalEntry::Vote(_))))
        .unwrap();
    let sent = outputs
        .iter()
        .position(|o| matches!(o, Output::Broadcast(_)))
        .unwrap();
    assert!(body < vote && vote < sent, "NOT needs the body on disk");
    let others = solo.others();
    assert!(votes_sent(&solo.send_vote(others[0], VoteKind::Notarize, 1, id)).is_empty());
    let outputs = solo.send_vote(others[1], VoteKind::Notarize, 1, id);
    assert_eq!(votes_sent(&outputs), [(VoteKind::Finalize, 1, id)]);
    let cert = outputs
        .iter()
        .position(|o| matches!(o, Output::Persist(WalEntry::Notarization(_))))
        .unwrap();
    let sent = outputs
        .iter()
        .position(|o| matches!(o, Output::Broadcast(_)))
        .unwrap();
    assert!(cert < sent, "FIN needs the notarization on disk");
    assert_eq!(solo.core.view(), View(2), "always advance");
    solo.send_vote(others[0], VoteKind::Finalize, 1, id);
    let outputs = solo.send_vote(others[1], VoteKind::Finalize, 1, id);
    let commits = outputs
        .iter()
        .filter(|o| matches!(o, Output::Commit { .. }))
        .count();
    assert_eq!((commits, solo.core.height()), (1, Height(2)));
}

/// An invalid block is nullified at once, and its master named; a wrong re-proposal costs nothing but the vote.
#[test]
fn invalid_blocks_are_nullified_at_once() {
    let mut solo = Solo::follower(4, 3);
    let block = solo
        .block(1)
        .altered(|parts| parts.header.vrf_proof.0[0] ^= 1);
    let outputs = solo.send_proposal(1, &block, Justification::default());
    assert_eq!(
        votes_sent(&outputs),
        [(VoteKind::Nullify, 1, BlockId::NONE)]
    );
    assert!(matches!(faults(&outputs)[..], [Fault::Block { .. }]));
    // Another block of the same master afterwards finds no vote, and proves the offence.
    let good = solo.block(1);
    let outputs = solo.send_proposal(1, &good, Justification::default());
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Accuse(_)))
    );
}

#[test]
fn proposals_of_others_than_the_master_are_refused() {
    let mut solo = Solo::follower(4, 3);
    let block = solo.block(1);
    let (leader, message) = solo.proposal(1, &block, Justification::default());
    let relay = solo.others().into_iter().find(|&id| id != leader).unwrap();
    let outputs = solo.receive(relay, message.clone());
    assert!(matches!(faults(&outputs)[..], [Fault::Proposal { .. }]));
    let Message::Proposal(mut proposal) = message else {
        panic!("a proposal");
    };
    proposal.signature.0[7] ^= 1;
    let outputs = solo.receive(leader, Message::Proposal(proposal.clone()));
    assert!(matches!(faults(&outputs)[..], [Fault::Proposal { .. }]));
    assert!(votes_sent(&outputs).is_empty());
}

/// A block from the future waits and is voted on when its time has come.
#[test]
fn blocks_from_the_future_wait() {
    let mut solo = Solo::follower(4, 3);
    let late = solo.now.plus(2_001);
    let block = solo.block(1).altered(|parts| parts.header.time_ms = late);
    let outputs = solo.send_proposal(1, &block, Justification::default());
    assert!(votes_sent(&outputs).is_empty() && faults(&outputs).is_empty());
    solo.now = solo.now.plus(1);
    let outputs = solo.fire(&outputs, TimerKind::Recheck);
    assert_eq!(votes_sent(&outputs), [(VoteKind::Notarize, 1, block.id())]);
}

#[test]
fn votes_are_of_their_sender_genuine_and_in_reach() {
    let mut solo = Solo::follower(4, 3);
    let (a, b) = (solo.others()[0], solo.others()[1]);
    let id = BlockId([3; 32]);
    let vote = solo.vote(a, VoteKind::Notarize, 1, id);
    let ballots = Message::Ballots(vec![Ballot {
        vote: vote.clone(),
        proposal: None,
    }]);
    let outputs = solo.receive(b, ballots);
    assert!(matches!(faults(&outputs)[..], [Fault::ForeignVote { .. }]));
    let mut forged = vote.clone();
    forged.signature.0[1] ^= 1;
    let outputs = solo.receive(
        a,
        Message::Ballots(vec![Ballot {
            vote: forged,
            proposal: None,
        }]),
    );
    assert!(matches!(faults(&outputs)[..], [Fault::VoteSignature]));
    let outputs = solo.receive(
        a,
        Message::Ballots(vec![
            Ballot {
                vote: vote.clone(),
                proposal: None
            };
            65
        ]),
    );
    assert!(matches!(
        faults(&outputs)[..],
        [Fault::TooMany { count: 65 }]
    ));
    // Three nullify votes 65 views ahead are nothing, 64 ahead they are a certificate.
    for signer in solo.others() {
        assert!(written(&solo.send_vote(signer, VoteKind::Nullify, 66, BlockId::NONE)).is_empty());
    }
    for signer in solo.others() {
        solo.send_vote(signer, VoteKind::Nullify, 65, BlockId::NONE);
    }
    assert!(
        solo.seen
            .iter()
            .any(|output| matches!(output, Output::Persist(WalEntry::Nullification(_))))
    );
    assert_eq!(solo.core.view(), View(1));
}

/// After its own nullify vote a node notarizes still, advances on a notarization, and never finalizes the view.
#[test]
fn a_notarization_after_ones_own_nullification_is_heeded() {
    let mut solo = Solo::follower(4, 3);
    let block = solo.block(1);
    solo.step(Input::Work(true));
    let outputs = solo.fire_latest(TimerKind::View);
    assert_eq!(
        votes_sent(&outputs),
        [(VoteKind::Nullify, 1, BlockId::NONE)]
    );
    let outputs = solo.send_proposal(1, &block, Justification::default());
    assert_eq!(votes_sent(&outputs), [(VoteKind::Notarize, 1, block.id())]);
    let others = solo.others();
    solo.send_vote(others[0], VoteKind::Notarize, 1, block.id());
    let outputs = solo.send_vote(others[1], VoteKind::Notarize, 1, block.id());
    assert!(votes_sent(&outputs).is_empty(), "no FIN after NUL");
    assert_eq!(solo.core.view(), View(2));
}

/// A justification with one nullification missing gives no vote; the missing one brings it.
#[test]
fn incomplete_justifications_give_no_vote() {
    let mut solo = Solo::follower(4, 3);
    let block = solo.block(3);
    let part = Justification {
        base: None,
        nullifications: vec![solo.nullification(2)],
    };
    let outputs = solo.send_proposal(3, &block, part);
    assert!(votes_sent(&outputs).is_empty());
    assert_eq!(solo.core.view(), View(1));
    let page = Justification {
        base: None,
        nullifications: vec![solo.nullification(1)],
    };
    let peer = solo.others()[0];
    let outputs = solo.send_new_view(peer, 3, page);
    assert_eq!(solo.core.view(), View(3));
    assert_eq!(votes_sent(&outputs), [(VoteKind::Notarize, 3, block.id())]);
}

/// With a base only the base's block may be proposed, and without one only a fresh one.
#[test]
fn re_proposals_are_bound_to_their_base() {
    let mut solo = Solo::follower(4, 3);
    let old = solo.block(1);
    let base = solo.certificate(&solo.others(), VoteKind::Notarize, 1, old.id());
    let justification = Justification {
        base: Some(base),
        nullifications: vec![],
    };
    let fresh = solo.block(2);
    let outputs = solo.send_proposal(2, &fresh, justification.clone());
    assert!(matches!(
        faults(&outputs)[..],
        [Fault::ProposalBlock { .. }]
    ));
    assert!(
        !votes_sent(&outputs)
            .iter()
            .any(|(kind, ..)| *kind == VoteKind::Notarize)
    );
    let mut solo = Solo::follower(4, 3);
    let outputs = solo.send_proposal(2, &old, justification);
    assert!(votes_sent(&outputs).contains(&(VoteKind::Notarize, 2, old.id())));
    // The same block once more, under nullifications only: it is not of that view.
    let mut solo = Solo::follower(4, 3);
    let nulls = Justification {
        base: None,
        nullifications: vec![solo.nullification(1)],
    };
    let outputs = solo.send_proposal(2, &old, nulls);
    assert!(matches!(
        faults(&outputs)[..],
        [Fault::ProposalBlock { .. }]
    ));
    assert!(votes_sent(&outputs).is_empty());
}

#[test]
fn forged_certificates_change_nothing() {
    let mut solo = Solo::follower(4, 3);
    let peer = solo.others()[0];
    let mut few = solo.nullification(1);
    few.votes.truncate(2);
    let mut forged = solo.nullification(1);
    forged.votes[0].1.0[0] ^= 1;
    let mut kind = solo.certificate(&solo.others(), VoteKind::Finalize, 1, BlockId([1; 32]));
    kind.kind = VoteKind::Notarize;
    for (base, nullifications) in [
        (None, vec![few]),
        (None, vec![forged]),
        (Some(kind), vec![]),
    ] {
        let outputs = solo.send_new_view(
            peer,
            2,
            Justification {
                base,
                nullifications,
            },
        );
        assert!(matches!(faults(&outputs)[..], [Fault::Certificate]));
        assert!(written(&outputs).is_empty());
        assert_eq!(solo.core.view(), View(1));
    }
    let many = Justification {
        base: None,
        nullifications: vec![solo.nullification(1); 17],
    };
    let outputs = solo.send_new_view(peer, 2, many);
    assert!(matches!(
        faults(&outputs)[..],
        [Fault::TooMany { count: 17 }]
    ));
}

/// A node in view 40 answers a peer in view 1 with a page, once per 100 ms.
#[test]
fn peers_that_lag_in_views_get_pages() {
    let mut solo = Solo::follower(4, 3);
    let peer = solo.others()[0];
    for first in [1u64, 17, 33] {
        let nullifications = (first..(first + 16).min(41))
            .map(|view| solo.nullification(view))
            .collect();
        solo.send_new_view(
            peer,
            41,
            Justification {
                base: None,
                nullifications,
            },
        );
    }
    assert_eq!(solo.core.view(), View(41));
    let pages = |outputs: &[Output]| {
        outputs
            .iter()
            .filter_map(|output| match output {
                Output::Send {
                    message: Message::NewView(page),
                    ..
                } => Some(page.justification.nullifications.len()),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    solo.now = solo.now.plus(100);
    assert_eq!(
        pages(&solo.send_new_view(peer, 1, Justification::default())),
        [16]
    );
    assert!(pages(&solo.send_new_view(peer, 1, Justification::default())).is_empty());
    solo.now = solo.now.plus(100);
    assert_eq!(
        pages(&solo.send_new_view(peer, 33, Justification::default())),
        [8]
    );
}

/// A finalization without the block: the signers are asked in turn, and the right body commits.
#[test]
fn missing_bodies_are_fetched() {
    let mut solo = Solo::follower(4, 3);
    let block = solo.block(1);
    let mut outputs = Vec::new();
    for signer in solo.others() {
        outputs = solo.send_vote(signer, VoteKind::Finalize, 1, block.id());
    }
    let asked = |outputs: &[Output]| {
        outputs.iter().find_map(|output| match output {
            Output::Send {
                to,
                message: Message::GetBody { .. },
            } => Some(*to),
            _ => None,
        })
    };
    let first = asked(&outputs).expect("somebody is asked");
    let outputs = solo.fire_latest(TimerKind::Fetch);
    assert_ne!(asked(&outputs).unwrap(), first, "the next one");
    let wrong = block.altered(|parts| parts.header.time_ms.0 += 1);
    assert!(written(&solo.receive(first, Message::Body(Arc::new(wrong)))).is_empty());
    let outputs = solo.receive(first, Message::Body(Arc::new(block)));
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Commit { .. }))
    );
}

/// An identifier binds neither the presence of the transactions nor their signatures. Whoever hands on a notarized or
/// final block without them, or with others, is refused, and the right block is taken from the next.
#[test]
fn bodies_are_not_taken_on_their_headers_word() {
    let spoiled = |block: &Block| {
        [
            block.altered(|parts| parts.transactions.clear()),
            block.altered(|parts| parts.transactions.push(parts.transactions[0].clone())),
            block.altered(|parts| {
                let first = &mut parts.transactions[0];
                *first = first.altered(|envelope| envelope.signature.0[9] ^= 1);
            }),
        ]
    };
    let with_transaction = |solo: &Solo| {
        let transaction = solo.fixture.transaction(solo.chain(), 0);
        solo.block(1).altered(|parts| {
            parts.transactions = vec![transaction];
            parts.header.tx_root = Block::tx_root(&parts.transactions);
        })
    };
    let commits = |outputs: &[Output]| {
        outputs
            .iter()
            .any(|output| matches!(output, Output::Commit { .. }))
    };

    // Caught up with.
    let mut solo = Solo::follower(4, 3);
    let (block, peer) = (with_transaction(&solo), solo.others()[1]);
    let certificate = solo.certificate(&solo.others(), VoteKind::Finalize, 1, block.id());
    let message = |block: &Block| {
        Message::Committed(vec![Finalized {
            block: Arc::new(block.clone()),
            certificate: certificate.clone(),
        }])
    };
    for bad in spoiled(&block) {
        assert_eq!(bad.id(), block.id());
        let outputs = solo.receive(peer, message(&bad));
        assert!(matches!(faults(&outputs)[..], [Fault::Committed { .. }]));
        assert_eq!(solo.core.height(), Height(1));
    }
    assert!(commits(&solo.receive(peer, message(&block))));

    // Fetched.
    let mut solo = Solo::follower(4, 3);
    for signer in solo.others() {
        solo.send_vote(signer, VoteKind::Finalize, 1, block.id());
    }
    for bad in spoiled(&block) {
        let outputs = solo.receive(peer, Message::Body(Arc::new(bad)));
        assert!(matches!(faults(&outputs)[..], [Fault::Block { .. }]));
        assert!(written(&outputs).is_empty());
    }
    assert!(commits(
        &solo.receive(peer, Message::Body(Arc::new(block.clone())))
    ));

    // Proposed again.
    for (bad, votes) in spoiled(&block)
        .into_iter()
        .map(|bad| (bad, false))
        .chain([(block.clone(), true)])
    {
        let mut solo = Solo::follower(4, 3);
        let base = solo.certificate(&solo.others(), VoteKind::Notarize, 1, block.id());
        let justification = Justification {
            base: Some(base),
            nullifications: vec![],
        };
        let outputs = solo.send_proposal(2, &bad, justification);
        let notarize = (VoteKind::Notarize, 2, block.id());
        assert_eq!(votes_sent(&outputs).contains(&notarize), votes);
    }
}

/// Finalized blocks are taken from anybody, each proved by itself; the second of two in one message as well.
#[test]
fn finalized_blocks_prove_themselves() {
    let mut solo = Solo::follower(4, 3);
    let peer = solo.others()[1];
    let block = solo.block(1);
    let certificate = solo.certificate(&solo.others(), VoteKind::Finalize, 1, block.id());
    let block = Arc::new(block);
    let mut few = certificate.clone();
    few.votes.truncate(2);
    let other = block.altered(|parts| parts.header.time_ms.0 += 1);
    for (block, certificate) in [
        (Arc::clone(&block), few),
        (Arc::new(other), certificate.clone()),
    ] {
        let outputs = solo.receive(
            peer,
            Message::Committed(vec![Finalized { block, certificate }]),
        );
        assert!(matches!(faults(&outputs)[..], [Fault::Committed { .. }]));
        assert_eq!(solo.core.height(), Height(1));
    }
    let final_id = block.id();
    let finalized = Finalized { block, certificate };
    let outputs = solo.receive(peer, Message::Committed(vec![finalized.clone(), finalized]));
    assert_eq!(solo.core.height(), Height(2));
    assert!(faults(&outputs).is_empty(), "a block twice is no offence");
    // Whoever wants something else on the old height is answered, once per 100 ms.
    let height = Height(1);
    let answered = |solo: &mut Solo, peer, kind, id| {
        let key = &solo.identity(peer).vote_key;
        let vote = Vote::sign(solo.chain(), kind, height, View(1), id, peer, key);
        let proposal = None;
        let outputs = solo.receive(peer, Message::Ballots(vec![Ballot { vote, proposal }]));
        outputs
            .iter()
            .any(|output| matches!(output, Output::SendCommitted { .. }))
    };
    let none = BlockId::NONE;
    assert!(answered(&mut solo, peer, VoteKind::Nullify, none));
    assert!(!answered(&mut solo, peer, VoteKind::Nullify, none));
    solo.now = solo.now.plus(100);
    assert!(answered(&mut solo, peer, VoteKind::Nullify, none));
    // Who votes for the final block is only late, unless it repeats itself.
    let slow = solo.others()[0];
    assert!(!answered(&mut solo, slow, VoteKind::Notarize, final_id));
    assert!(answered(&mut solo, slow, VoteKind::Notarize, final_id));
    let slow = solo.others()[2];
    let different = BlockId([7; 32]);
    assert!(answered(&mut solo, slow, VoteKind::Notarize, different));
    // The certificate brought its vote before it did.
    solo.now = solo.now.plus(100);
    assert!(!answered(&mut solo, slow, VoteKind::Finalize, final_id));
    assert!(answered(&mut solo, slow, VoteKind::Finalize, final_id));
}

/// A node in quarantine, and one without keys, follow and say nothing.
#[test]
fn those_who_may_not_vote_follow() {
    for me in [Some(ValidatorId(0)), None] {
        let fixture = fixture(4, Profile::Hardened);
        let ledger = Ledger::genesis(&fixture.genesis).unwrap().0;
        let config = Config {
            me: me.map(|me| Arc::clone(&fixture.identities[usize::from(me.0)])),
            timing: Timing::default(),
            vote_from: Height(3),
            ..Config::default()
        };
        let now = fixture.genesis.time_ms.plus(1_000);
        let (core, seen) = Consensus::start(config, ledger, Wal::default(), now);
        let me = me.unwrap_or(ValidatorId(9));
        let mut solo = Solo {
            fixture,
            core,
            me,
            now,
            seen,
        };
        let others: Vec<_> = (0..4).map(ValidatorId).filter(|&id| id != me).collect();
        for height in 1..=2 {
            let block = solo.block(1);
            if solo.order()[0] != me {
                let outputs = solo.send_proposal(1, &block, Justification::default());
                assert!(votes_sent(&outputs).is_empty());
            }
            let certificate = solo.certificate(&others, VoteKind::Finalize, 1, block.id());
            let finalized = Finalized {
                block: Arc::new(block),
                certificate,
            };
            let outputs = solo.receive(others[0], Message::Committed(vec![finalized]));
            assert!(votes_sent(&outputs).is_empty());
            assert_eq!(solo.core.height(), Height(height + 1));
        }
    }
}

/// The timers of a view that is over, or of an earlier height, do nothing.
#[test]
fn stale_timers_do_nothing() {
    let mut solo = Solo::follower(4, 3);
    let early = solo.step(Input::Work(true));
    let peer = solo.others()[0];
    let page = Justification {
        base: None,
        nullifications: vec![solo.nullification(1)],
    };
    solo.send_new_view(peer, 2, page);
    for kind in [TimerKind::View, TimerKind::Rebroadcast] {
        assert!(solo.fire(&early, kind).is_empty());
    }
}

/// Own work that turns out to be none lets the height rest: no empty block, no nullify vote.
#[test]
fn a_master_without_transactions_rests() {
    let mut solo = Solo::master(4);
    let outputs = solo.step(Input::Work(true));
    let timers = outputs;
    let built = Input::Built {
        height: Height(1),
        view: View(1),
        transactions: vec![],
    };
    let outputs = solo.step(built);
    assert!(outputs.is_empty());
    assert!(solo.fire(&timers, TimerKind::View).is_empty());
    let outputs = solo.fire_latest(TimerKind::Rouse);
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Build { .. })),
        "the heartbeat"
    );
    let built = Input::Built {
        height: Height(1),
        view: View(1),
        transactions: vec![],
    };
    let outputs = solo.step(built);
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Broadcast(Message::Proposal(_))))
    );
}

/// Answers to orders of an earlier view are not used.
#[test]
fn late_transactions_are_not_proposed() {
    let mut solo = Solo::master(4);
    solo.step(Input::Work(true));
    let peer = solo.others()[0];
    let page = Justification {
        base: None,
        nullifications: vec![solo.nullification(1)],
    };
    solo.send_new_view(peer, 2, page);
    let built = Input::Built {
        height: Height(1),
        view: View(1),
        transactions: vec![],
    };
    assert!(solo.step(built).is_empty());
}

/// Votes overtake blocks: a block that arrives after its notarization is kept, so that the finalization commits it without
/// asking anybody.
#[test]
fn a_block_that_comes_after_its_notarization_is_committed_without_asking() {
    let mut solo = Solo::follower(4, 3);
    let block = solo.block(1);
    let id = block.id();
    let others = solo.others();
    for &other in &others {
        solo.send_vote(other, VoteKind::Notarize, 1, id);
    }
    assert_eq!(solo.core.view(), View(2), "notarized, the block unseen");
    let outputs = solo.send_proposal(1, &block, Justification::default());
    let kept = |output: &&Output| matches!(output, Output::Persist(WalEntry::Body(_)));
    assert_eq!(outputs.iter().filter(kept).count(), 1);
    let mut outputs = Vec::new();
    for &other in &others {
        outputs.extend(solo.send_vote(other, VoteKind::Finalize, 1, id));
    }
    let asked = outputs.iter().any(|output| {
        let Output::Send { message, .. } = output else {
            return false;
        };
        matches!(message, Message::GetBody { .. })
    });
    assert!(!asked, "nobody is asked");
    assert_eq!(solo.core.height(), Height(2));
    // A block that nobody notarized is not kept by the way.
    let stray = solo.block(1).altered(|parts| parts.header.time_ms.0 += 1);
    let body = Message::Body(std::sync::Arc::new(stray));
    let outputs = solo.receive(others[0], body);
    assert_eq!(outputs.iter().filter(kept).count(), 0);
}
