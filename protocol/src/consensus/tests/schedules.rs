//! Directed schedules for the faults of specification section 7 that random seeds hardly find, and the timeouts.

use super::*;
use crate::consensus::TimerKind;

/// The timeouts of the specification's section 1.
#[test]
fn timeouts_double_six_times_up_to_a_minute() {
    let lan = Timing::default();
    let seen: Vec<_> = (1..=9).map(|view| lan.timeout(View(view)).0).collect();
    assert_eq!(
        seen,
        [300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 19_200, 19_200]
    );
    assert_eq!(lan.timeout(View(u64::MAX)).0, 19_200);
    assert_eq!(Timing::wide().timeout(View(7)).0, 60_000);
    assert_eq!(
        (lan.repropose_after().0, lan.rebroadcast_every().0),
        (150, 300)
    );
}

/// A stuck node repeats its votes, its view and nothing else, as long as it is stuck.
#[test]
fn a_stuck_node_repeats_itself() {
    let mut solo = Solo::follower(4, 3);
    solo.step(Input::Work(true));
    solo.fire_latest(TimerKind::View);
    for _ in 0..3 {
        let outputs = solo.fire_latest(TimerKind::Rebroadcast);
        assert_eq!(
            votes_sent(&outputs),
            [(VoteKind::Nullify, 1, BlockId::NONE)]
        );
        let views = outputs
            .iter()
            .filter(|output| matches!(output, Output::Broadcast(Message::NewView(_))));
        assert_eq!(views.count(), 1);
    }
}

/// A node that learns of a nullification tells the others why it moved.
#[test]
fn a_new_view_is_passed_on() {
    let mut solo = Solo::follower(4, 3);
    for signer in solo.others() {
        solo.send_vote(signer, VoteKind::Nullify, 1, BlockId::NONE);
    }
    // The third vote made the certificate.
    assert_eq!(solo.core.view(), View(2));
    let mut solo = Solo::follower(4, 3);
    let others = solo.others();
    solo.send_vote(others[0], VoteKind::Nullify, 1, BlockId::NONE);
    solo.send_vote(others[1], VoteKind::Nullify, 1, BlockId::NONE);
    let outputs = solo.send_vote(others[2], VoteKind::Nullify, 1, BlockId::NONE);
    let passed = outputs.iter().any(|output| match output {
        Output::Broadcast(Message::NewView(page)) => page.justification.nullifications.len() == 1,
        _ => false,
    });
    assert!(passed);
}

/// Votes that came before the proposal wait unverified; the node's own vote, the last one that the quorum needed, makes
/// them count. Otherwise one silent validator would cost every height a re-broadcast.
#[test]
fn the_own_vote_completes_a_quorum() {
    let mut solo = Solo::follower(4, 3);
    solo.step(Input::Work(true));
    solo.fire_latest(TimerKind::View);
    let block = solo.block(1);
    let others = solo.others();
    solo.send_vote(others[0], VoteKind::Notarize, 1, block.id());
    solo.send_vote(others[1], VoteKind::Notarize, 1, block.id());
    assert_eq!(solo.core.view(), View(1));
    solo.send_proposal(1, &block, Justification::default());
    assert_eq!(solo.core.view(), View(2), "notarized by three of four");
}

/// A master that entered by a notarization waits for the finalization, then re-proposes the very same block.
#[test]
fn the_next_master_re_proposes_after_a_while() {
    let fixture = fixture(4, Profile::Hardened);
    let second = Ledger::genesis(&fixture.genesis)
        .unwrap()
        .0
        .standings()
        .leader_order()[1];
    let mut solo = Solo::with(fixture, Some(second), Wal::default());
    let block = solo.block(1);
    solo.send_proposal(1, &block, Justification::default());
    let others = solo.others();
    solo.send_vote(others[0], VoteKind::Notarize, 1, block.id());
    let outputs = solo.send_vote(others[1], VoteKind::Notarize, 1, block.id());
    let proposes = |outputs: &[Output]| {
        outputs.iter().find_map(|output| match output {
            Output::Broadcast(Message::Proposal(proposal)) => {
                Some((proposal.view.0, proposal.block.id()))
            }
            _ => None,
        })
    };
    assert_eq!((solo.core.view(), proposes(&outputs)), (View(2), None));
    let outputs = solo.fire_latest(TimerKind::Repropose);
    assert_eq!(proposes(&outputs), Some((2, block.id())));
    assert!(votes_sent(&outputs).contains(&(VoteKind::Notarize, 2, block.id())));
}

/// Nullified at one half, notarized at another: the block comes through in a later view, and only that block.
#[test]
fn a_block_that_may_be_final_is_never_replaced() {
    let mut solo = Solo::follower(4, 3);
    let block = solo.block(1);
    // This node gave view 1 up, knows view 1 to be nullified, and is in view 2.
    let page = Justification {
        base: None,
        nullifications: vec![solo.nullification(1)],
    };
    let peer = solo.others()[0];
    solo.send_new_view(peer, 2, page);
    assert_eq!(solo.core.view(), View(2));
    // Then the notarization of view 1 shows up: it stays a fact, and the base of what comes after view 2.
    let base = solo.certificate(&solo.others(), VoteKind::Notarize, 1, block.id());
    let nullifications = vec![solo.nullification(2)];
    solo.send_new_view(
        peer,
        3,
        Justification {
            base: Some(base),
            nullifications,
        },
    );
    assert_eq!(solo.core.view(), View(3));
    assert_eq!(solo.core.round.views.base(), Some(View(1)));
}

/// Votes that conflict convict wherever they meet: in votes, in certificates, in a header of the next height.
#[test]
fn contradictions_are_noticed_in_certificates_too() {
    let mut solo = Solo::follower(4, 3);
    let (liar, block) = (solo.others()[0], solo.block(1));
    solo.step(Input::Work(true));
    solo.send_vote(liar, VoteKind::Nullify, 1, BlockId::NONE);
    let outputs = solo.send_proposal(1, &block, Justification::default());
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Accuse(_)))
    );
    // Committed by a certificate in which the liar's finalize vote stands.
    let certificate = solo.certificate(&solo.others(), VoteKind::Finalize, 1, block.id());
    let finalized = crate::consensus::Finalized {
        block: Arc::new(block),
        certificate,
    };
    let outputs = solo.receive(solo.others()[1], Message::Committed(vec![finalized]));
    let accused = outputs.iter().find_map(|output| match output {
        Output::Accuse(evidence) => Some(evidence.accused()),
        _ => None,
    });
    assert_eq!(accused, Some(liar));
}

/// Found by the model check: the last vote of a quorum contradicts an earlier one of its signer. It convicts, and
/// it counts.
#[test]
fn a_contradicting_vote_completes_a_quorum() {
    let mut solo = Solo::follower(4, 3);
    let block = solo.block(1);
    solo.step(Input::Work(true));
    solo.send_proposal(1, &block, Justification::default());
    let others = solo.others();
    solo.send_vote(others[2], VoteKind::Nullify, 1, BlockId::NONE);
    solo.send_vote(others[0], VoteKind::Finalize, 1, block.id());
    solo.send_vote(others[1], VoteKind::Finalize, 1, block.id());
    let outputs = solo.send_vote(others[2], VoteKind::Finalize, 1, block.id());
    let accused = outputs
        .iter()
        .any(|output| matches!(output, Output::Accuse(_)));
    let committed = outputs
        .iter()
        .any(|output| matches!(output, Output::Commit { .. }));
    assert!(accused && committed);
}
