//! Offences whose halves were shown to two different honest nodes, one to each, come to light and are punished; nobody
//! else is; and where nobody offends nothing is told.

use super::net::Net;
use super::offender::Offender;
use super::*;
use crate::consensus::{
    BALLOTS_PER_MESSAGE, Evidence, Fault, Finalized, Hearsay, Note, Offence,
    SIGNATURES_PER_MESSAGE, TimerKind,
};
use crate::credit::CREDIT_INIT;
use crate::units::Credit;

const KINDS: [Offence; 4] = [
    Offence::DoubleNotarize,
    Offence::NullifyAndFinalize,
    Offence::DoubleFinalize,
    Offence::DoubleProposal,
];

/// How many heights after the offence, or after its halves have arrived, the conviction stands on chain at the latest:
/// one until what was decided is agreed on, two until whoever knows builds a block, one more when the offender is master.
const WITHIN: u64 = 4;

/// A height that nobody has work for comes with the heartbeat.
const HEIGHT_MS: u64 = 10_000;

/// Lets one of `n` offend, and returns how many heights after the offence it was convicted.
fn convict(n: u16, offence: Offence, after: u64, invalid: bool, halves: [usize; 2]) -> u64 {
    let what = format!("{offence}, {n} validators, halves to {halves:?} after {after} ms");
    let mut net = Net::idle(n);
    let node = usize::from(n) - 1;
    net.offender = Some(Offender {
        node,
        offence,
        halves,
        after,
        height: Height(3),
        done: false,
        invalid,
    });
    let honest: Vec<_> = (0..node).collect();
    let mut height = 2;
    let convicted = loop {
        height += 1;
        net.run_to(&honest, height);
        let block = &net.disks[0].chain[usize::try_from(height - 1).unwrap()].block;
        if let Some(evidence) = block.header.evidence.first() {
            assert_eq!(evidence.offence(), offence, "{what}");
            break height;
        }
        let done = net.offender.as_ref().unwrap().done;
        assert!(height < 40, "{what}: never convicted; done: {done}");
    };
    let offender = net.offender.as_ref().unwrap();
    assert!(offender.done, "{what}");
    let offended = offender.height.0;
    for &node in &honest {
        let standings = net.cores[node].as_ref().unwrap().ledger().standings();
        for row in standings.rows() {
            let guilty = usize::from(row.id.0) == usize::from(n) - 1;
            assert_eq!(row.offences, u32::from(guilty), "{what}: {row:?}");
            assert_eq!(row.jailed_until.is_some(), guilty, "{what}: {row:?}");
            assert_eq!(row.credit == Credit(0), guilty, "{what}: {row:?}");
            assert!(guilty || row.credit.0 + 100_000 > CREDIT_INIT.0, "{what}");
        }
    }
    // Whoever holds something odd tells it once; a halves' holder at most, and what others saw of a view that failed.
    assert!(net.hearsay <= usize::from(n) * 2, "{what}: {}", net.hearsay);
    convicted - offended
}

#[test]
fn two_halves_shown_to_two_honest_nodes_convict() {
    for n in [4, 7] {
        for offence in KINDS {
            for halves in [[0, 1], [1, 0], [2, 0]] {
                let heights = convict(n, offence, 2, false, halves);
                assert!(heights <= WITHIN, "{offence}, {n}: after {heights} heights");
            }
        }
    }
}

/// The halves arrive when the height is over: one height later, and several.
#[test]
fn halves_that_come_late_convict_as_well() {
    for n in [4, 7] {
        for offence in [
            Offence::DoubleNotarize,
            Offence::NullifyAndFinalize,
            Offence::DoubleFinalize,
        ] {
            for late in [1, 3] {
                let after = late * HEIGHT_MS + HEIGHT_MS / 2;
                let heights = convict(n, offence, after, false, [0, 1]);
                let most = late + 1 + WITHIN;
                assert!(heights <= most, "{offence}, {n}: after {heights} heights");
            }
        }
    }
}

/// Nobody votes for either block, so no vote takes the master's signatures along.
#[test]
fn two_proposals_that_nobody_votes_for_convict() {
    for n in [4, 7] {
        let heights = convict(n, Offence::DoubleProposal, 2, true, [0, 1]);
        assert!(heights <= WITHIN, "{n}: after {heights} heights");
    }
}

#[test]
fn where_nobody_offends_nothing_is_told() {
    let mut net = Net::idle(4);
    for height in (4..=20).step_by(4) {
        net.run_to(&[0, 1, 2, 3], height);
    }
    net.crash(3);
    for height in (22..=32).step_by(2) {
        net.run_to(&[0, 1, 2], height);
    }
    assert_eq!(net.hearsay, 0);
}

/// Lets one height be decided in view 1 by the votes of all others; returns what was ordered.
pub(super) fn climb(solo: &mut Solo) -> Vec<Output> {
    solo.now = solo.now.plus(1_000);
    let (block, others) = (solo.block(1), solo.others());
    let certificate = solo.certificate(&others, VoteKind::Finalize, 1, block.id());
    let block = Arc::new(block);
    let finalized = Finalized { block, certificate };
    solo.receive(others[0], Message::Committed(vec![finalized]))
}

/// One node that has come to height 3.
fn at_height_3() -> Solo {
    let mut solo = Solo::follower(4, 3);
    climb(&mut solo);
    climb(&mut solo);
    assert_eq!(solo.core.height(), Height(3));
    solo
}

fn accused(outputs: &[Output]) -> Vec<Evidence> {
    let accusations = outputs.iter().filter_map(|output| match output {
        Output::Accuse(evidence) => Some(evidence.clone()),
        _ => None,
    });
    accusations.collect()
}

fn faults(outputs: &[Output]) -> Vec<(ValidatorId, Fault)> {
    let faults = outputs.iter().filter_map(|output| match output {
        Output::Note(Note::Misbehaved { peer, fault }) => Some((*peer, fault.clone())),
        _ => None,
    });
    faults.collect()
}

/// A vote of another validator, for a height that is over.
fn vote_at(solo: &Solo, signer: ValidatorId, kind: VoteKind, height: u64, id: BlockId) -> Vote {
    let key = &solo.identity(signer).vote_key;
    Vote::sign(solo.chain(), kind, Height(height), View(1), id, signer, key)
}

fn told(height: u64, votes: Vec<Vote>) -> Message {
    Message::Hearsay(Box::new(Hearsay {
        height: Height(height),
        votes,
        proposals: Vec::new(),
    }))
}

#[test]
fn hearsay_that_contradicts_what_came_here_is_evidence() {
    let mut solo = at_height_3();
    let (teller, guilty) = (solo.others()[0], solo.others()[1]);
    let other = BlockId([9; 32]);
    for height in [1, 2] {
        let vote = vote_at(&solo, guilty, VoteKind::Finalize, height, other);
        let outputs = solo.receive(teller, told(height, vec![vote]));
        let evidence = accused(&outputs);
        assert_eq!(evidence.len(), 1, "{height}");
        assert_eq!(evidence[0].accused(), guilty);
        assert_eq!(evidence[0].offence(), Offence::DoubleFinalize);
        assert!(faults(&outputs).is_empty());
    }
    // Alone it proves nothing, and is kept for what may still come.
    let vote = vote_at(&solo, guilty, VoteKind::Notarize, 2, other);
    let outputs = solo.receive(teller, told(2, vec![vote]));
    assert!(accused(&outputs).is_empty());
}

/// A forger of hearsay convicts nobody, is noticed once, and is not listened to again.
#[test]
fn forged_hearsay_convicts_nobody() {
    let mut solo = at_height_3();
    let (liar, honest, victim) = (solo.others()[0], solo.others()[1], solo.others()[2]);
    let forged = || {
        let mut vote = vote_at(&solo, victim, VoteKind::Finalize, 2, BlockId([9; 32]));
        vote.signature.0[0] ^= 1;
        told(2, vec![vote])
    };
    let message = forged();
    let outputs = solo.receive(liar, message.clone());
    assert!(accused(&outputs).is_empty());
    assert_eq!(faults(&outputs), [(liar, Fault::Hearsay)]);
    let outputs = solo.receive(liar, message);
    assert!(accused(&outputs).is_empty() && faults(&outputs).is_empty());
    let vote = vote_at(&solo, victim, VoteKind::Finalize, 2, BlockId([9; 32]));
    assert!(accused(&solo.receive(liar, told(2, vec![vote.clone()]))).is_empty());
    assert_eq!(accused(&solo.receive(honest, told(2, vec![vote]))).len(), 1);
}

#[test]
fn hearsay_is_bounded() {
    let mut solo = at_height_3();
    let from = solo.others()[0];
    let vote = vote_at(&solo, from, VoteKind::Nullify, 2, BlockId::NONE);
    let outputs = solo.receive(from, told(2, vec![vote; BALLOTS_PER_MESSAGE + 1]));
    let count = BALLOTS_PER_MESSAGE + 1;
    assert_eq!(faults(&outputs), [(from, Fault::TooMany { count })]);
    let key = &solo.identity(from).vote_key;
    let signed = SignedProposalId::sign(
        solo.chain(),
        Height(2),
        View(1),
        BlockId([1; 32]),
        from,
        key,
    );
    let count = SIGNATURES_PER_MESSAGE + 1;
    let hearsay = Hearsay {
        height: Height(2),
        votes: Vec::new(),
        proposals: vec![signed; count],
    };
    let outputs = solo.receive(from, Message::Hearsay(Box::new(hearsay)));
    assert_eq!(faults(&outputs), [(from, Fault::TooMany { count })]);
}

/// Of somebody who makes much noise little is told: what is nearest to the view that was decided, and nothing twice.
#[test]
fn little_is_told_of_a_noisy_signer() {
    let mut solo = Solo::follower(4, 3);
    let noisy = solo.others()[1];
    for view in (1..=20).rev() {
        solo.send_vote(noisy, VoteKind::Notarize, view, BlockId([9; 32]));
    }
    let hearsay = |outputs: &[Output]| -> Vec<Hearsay> {
        let messages = outputs.iter().filter_map(|output| match output {
            Output::Broadcast(Message::Hearsay(hearsay)) => Some((**hearsay).clone()),
            _ => None,
        });
        messages.collect()
    };
    assert!(hearsay(&climb(&mut solo)).is_empty(), "not decided yet");
    let told = hearsay(&climb(&mut solo));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].height, Height(1));
    let votes: Vec<_> = told[0]
        .votes
        .iter()
        .map(|vote| (vote.signer, vote.view.0))
        .collect();
    let expected: Vec<_> = (1..=8).map(|view| (noisy, view)).collect();
    assert_eq!(votes, expected);
    for _ in 0..3 {
        assert!(hearsay(&climb(&mut solo)).is_empty(), "once is enough");
    }
}

/// An odd vote that waited, unverified, and was then counted for hearsay's sake is told once, not twice.
#[test]
fn a_vote_that_waited_and_was_counted_is_told_once() {
    let mut solo = Solo::follower(4, 3);
    let (teller, guilty) = (solo.others()[0], solo.others()[1]);
    let odd = solo.vote(guilty, VoteKind::Notarize, 1, BlockId([9; 32]));
    // Once the height is called, votes of which no quorum is near wait.
    solo.fire_latest(TimerKind::Rouse);
    solo.send_vote(guilty, VoteKind::Notarize, 1, BlockId([9; 32]));
    solo.receive(teller, told(1, vec![odd]));
    climb(&mut solo);
    let outputs = climb(&mut solo);
    let votes = outputs.iter().find_map(|output| match output {
        Output::Broadcast(Message::Hearsay(hearsay)) => Some(hearsay.votes.len()),
        _ => None,
    });
    assert_eq!(votes, Some(1));
}

/// What one node was told it tells on, once: whoever told it may have told nobody else.
#[test]
fn what_was_told_is_told_on_once() {
    let mut solo = Solo::follower(4, 3);
    let (teller, guilty) = (solo.others()[0], solo.others()[1]);
    let odd = solo.vote(guilty, VoteKind::Notarize, 1, BlockId([9; 32]));
    climb(&mut solo);
    climb(&mut solo);
    for times in [1, 0, 0] {
        solo.receive(teller, told(1, vec![odd.clone()]));
        let outputs = climb(&mut solo);
        let again = |output: &&Output| matches!(output, Output::Broadcast(Message::Hearsay(_)));
        assert_eq!(outputs.iter().filter(again).count(), times);
    }
}

/// Whatever costs a look at a signature has an author who is named when it does not hold: the shell reads it more slowly then.
#[test]
fn a_signature_that_does_not_hold_is_held_against_whoever_sent_it() {
    let mut solo = at_height_3();
    let from = solo.others()[0];
    let id = BlockId([7; 32]);
    let ballot = |vote, proposal| Message::Ballots(vec![Ballot { vote, proposal }]);
    let rubbish = crate::crypto::Signature([9; 64]);
    // A vote on a height that is over.
    let mut forged = vote_at(&solo, from, VoteKind::Finalize, 1, id);
    forged.signature.0[5] ^= 1;
    let outputs = solo.receive(from, ballot(forged, None));
    assert_eq!(faults(&outputs), [(from, Fault::VoteSignature)]);
    // A master's signature along with a vote, on such a height and on the present one.
    let view = View(1);
    for height in [1, 3] {
        let vote = vote_at(&solo, from, VoteKind::Notarize, height, id);
        let outputs = solo.receive(from, ballot(vote, Some(rubbish)));
        assert_eq!(faults(&outputs), [(from, Fault::Proposal { view })]);
    }
    // The finalization in a proposal for the next height.
    let leader = solo.order()[0];
    let block = solo.block(1).altered(|parts| {
        parts.header.height = Height(4);
        parts.header.parent_cert = Some(Certificate {
            kind: VoteKind::Finalize,
            height: Height(3),
            view,
            id,
            votes: solo.others().iter().map(|id| (*id, rubbish)).collect(),
        });
    });
    let (_, Message::Proposal(mut early)) = solo.proposal(1, &block, Justification::default())
    else {
        panic!("a proposal");
    };
    early.height = Height(4);
    let outputs = solo.receive(leader, Message::Proposal(early));
    assert_eq!(faults(&outputs), [(leader, Fault::Certificate)]);
    // Good ones are no faults, in whatever order they come.
    let vote = vote_at(&solo, from, VoteKind::Finalize, 1, id);
    assert!(faults(&solo.receive(from, ballot(vote, None))).is_empty());
}
