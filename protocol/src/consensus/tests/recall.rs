//! A node that starts asks for its own votes: it waits, it notices what it has forgotten, nobody can make it believe so.

use super::*;
use crate::consensus::{Fault, Note, Recall, TimerKind};

/// Node `me` of four, started with the question; not the master of the first view.
fn started(quarantine: bool, wal: Wal) -> Solo {
    let fixture = fixture(4, Profile::Hardened);
    let order = Ledger::genesis(&fixture.genesis)
        .unwrap()
        .0
        .standings()
        .leader_order();
    let config = Config {
        me: Some(Arc::clone(&fixture.identities[usize::from(order[3].0)])),
        recall: true,
        quarantine,
        ..Config::default()
    };
    Solo::started(fixture, config, wal)
}

impl Solo {
    fn answer(&mut self, from: ValidatorId, head: u64, votes: Vec<Vote>) -> Vec<Output> {
        let (nonce, head) = (self.now.0, Height(head));
        self.receive(from, Message::Recall(Recall::Answer { nonce, head, votes }))
    }
}

fn quarantined(outputs: &[Output]) -> Option<(u64, Option<u64>)> {
    outputs.iter().find_map(|output| match output {
        Output::Note(Note::Quarantined { vote_from, forgot }) => {
            Some((vote_from.0, forgot.map(|height| height.0)))
        }
        _ => None,
    })
}

/// What came meanwhile is voted on as soon as a quorum, the node itself included, has been heard; not before.
#[test]
fn a_node_votes_when_a_quorum_has_been_heard() {
    let mut solo = started(false, Wal::default());
    solo.step(Input::Work(true));
    let others = solo.others();
    let block = solo.block(1);
    let outputs = solo.send_proposal(1, &block, Justification::default());
    assert_eq!(votes_sent(&outputs), []);
    let outputs = solo.fire_latest(TimerKind::View);
    assert_eq!(votes_sent(&outputs), [], "not even to nullify");
    let outputs = solo.answer(others[0], 0, Vec::new());
    assert_eq!(votes_sent(&outputs), []);
    // The same one again is no second one, and neither are a stranger and an answer to an earlier question.
    solo.answer(others[0], 0, Vec::new());
    solo.answer(ValidatorId(9), 0, Vec::new());
    let (nonce, head, votes) = (1, Height(0), Vec::new());
    let old = Message::Recall(Recall::Answer { nonce, head, votes });
    assert_eq!(votes_sent(&solo.receive(others[1], old)), []);
    // Who was not heard is asked again.
    let outputs = solo.fire_latest(TimerKind::Recall);
    let asks = |output: &Output| matches!(output, Output::Broadcast(Message::Recall(Recall::Ask { nonce })) if *nonce == solo.now.0);
    assert!(outputs.iter().any(asks));
    let outputs = solo.answer(others[1], 0, Vec::new());
    assert_eq!(quarantined(&outputs), None);
    assert_eq!(votes_sent(&outputs), [(VoteKind::Notarize, 1, block.id())]);
    // The timer that ran out in vain runs again.
    let outputs = solo.fire(&outputs, TimerKind::View);
    assert_eq!(
        votes_sent(&outputs),
        [(VoteKind::Nullify, 1, BlockId::NONE)]
    );
}

/// A clock that was set back reads what it read at an earlier start: answers to that start's question still count nothing.
#[test]
fn a_repeated_moment_is_no_repeated_question() {
    let fixture = fixture(4, Profile::Hardened);
    let nonce = |start: u64| {
        let config = Config {
            me: Some(Arc::clone(&fixture.identities[0])),
            recall: true,
            start,
            ..Config::default()
        };
        let ledger = Ledger::genesis(&fixture.genesis).unwrap().0;
        let now = fixture.genesis.time_ms.plus(1_000);
        let (core, outputs) = Consensus::start(config, ledger, Wal::default(), now);
        let nonce = outputs.iter().find_map(|output| match output {
            Output::Broadcast(Message::Recall(Recall::Ask { nonce })) => Some(*nonce),
            _ => None,
        });
        (core, now, nonce.unwrap())
    };
    let (_, _, earlier) = nonce(1);
    let (mut core, now, later) = nonce(2);
    assert_ne!(earlier, later);
    let mut answer = |nonce: u64| {
        for from in [1, 2].map(ValidatorId) {
            let (head, votes) = (Height(0), Vec::new());
            let message = Message::Recall(Recall::Answer { nonce, head, votes });
            let _ = core.step(now, Input::Message { from, message });
        }
        core.is_recalling()
    };
    assert!(answer(earlier), "old answers let nobody vote");
    assert!(!answer(later));
}

/// Its own signature under a vote that it does not have on record: it follows, and votes three heights later.
#[test]
fn a_forgotten_vote_means_quarantine() {
    let mut solo = started(false, Wal::default());
    let others = solo.others();
    let block = solo.block(1);
    let forgotten = solo.vote(solo.me, VoteKind::Notarize, 1, BlockId([5; 32]));
    solo.answer(others[0], 0, vec![forgotten]);
    let outputs = solo.answer(others[1], 0, Vec::new());
    assert_eq!(quarantined(&outputs), Some((4, Some(1))));
    let outputs = solo.send_proposal(1, &block, Justification::default());
    assert_eq!(votes_sent(&outputs), []);
    // It follows: three others finalize.
    for kind in [VoteKind::Notarize, VoteKind::Finalize] {
        for &signer in &others {
            solo.send_vote(signer, kind, 1, block.id());
        }
    }
    assert_eq!(solo.core.height(), Height(2));
}

/// A copy of the disk from before its admission: it is no member there, and may have voted since.
#[test]
fn who_is_not_admitted_yet_asks_as_well() {
    let later = fixture(5, Profile::Hardened).identities.remove(4);
    let config = Config {
        me: Some(Arc::clone(&later)),
        recall: true,
        ..Config::default()
    };
    let mut solo = Solo::started(fixture(4, Profile::Hardened), config, Wal::default());
    let others = solo.others();
    let (chain, height, id) = (solo.chain(), Height(9), BlockId([5; 32]));
    let (kind, key) = (VoteKind::Notarize, &later.vote_key);
    let forgotten = Vote::sign(chain, kind, height, View(1), id, later.id, key);
    solo.answer(others[0], 9, vec![forgotten]);
    // Its own word does not count towards the quorum.
    let outputs = solo.answer(others[1], 9, Vec::new());
    assert_eq!(quarantined(&outputs), None);
    let outputs = solo.answer(others[2], 9, Vec::new());
    assert_eq!(quarantined(&outputs), Some((12, Some(9))));
}

/// Votes on record, votes of others, forged ones and too many of them change nothing.
#[test]
fn a_healthy_node_cannot_be_sent_into_quarantine() {
    let probe = started(false, Wal::default());
    let own = probe.vote(probe.me, VoteKind::Nullify, 1, BlockId::NONE);
    let (height, view) = (Height(1), View(1));
    let records = [
        WalEntry::View {
            height,
            view,
            base: None,
        },
        WalEntry::Vote(own.clone()),
    ];
    let mut solo = started(false, Wal::load(Height(0), None, records).unwrap());
    let others = solo.others();
    let foreign = solo.vote(others[0], VoteKind::Notarize, 1, BlockId([5; 32]));
    let mut stolen = foreign.clone();
    stolen.signer = solo.me;
    let mut altered = own.clone();
    altered.view = View(2);
    let mut elsewhere = own.clone();
    elsewhere.height = Height(7);
    let votes = vec![own.clone(), foreign, stolen, altered, elsewhere];
    let outputs = solo.answer(others[0], 0, vec![own; 65]);
    let blamed = |output: &Output| {
        matches!(
            output,
            Output::Note(Note::Misbehaved {
                fault: Fault::TooMany { count: 65 },
                ..
            })
        )
    };
    assert!(outputs.iter().any(blamed));
    solo.answer(others[0], 0, votes.clone());
    let outputs = solo.answer(others[1], 0, votes);
    assert_eq!(quarantined(&outputs), None);
    // And it votes: finalize it may not in the view that it nullified, but notarize it may.
    let block = solo.block(1);
    let outputs = solo.send_proposal(1, &block, Justification::default());
    assert_eq!(votes_sent(&outputs), [(VoteKind::Notarize, 1, block.id())]);
}

/// Told by its operator that the log is lost, it stays out up to two heights above the highest that anybody claims.
#[test]
fn a_lost_log_means_quarantine_above_the_highest_head() {
    let mut solo = started(true, Wal::default());
    let others = solo.others();
    solo.answer(others[0], 40, Vec::new());
    let outputs = solo.answer(others[1], 41, Vec::new());
    assert_eq!(quarantined(&outputs), Some((44, None)));
}

/// Everybody answers, voter or not: what was counted, and what waits unverified.
#[test]
fn the_others_tell_what_they_saw() {
    let mut solo = Solo::follower(4, 3);
    solo.step(Input::Work(true));
    let others = solo.others();
    let peer = others[0];
    solo.send_vote(peer, VoteKind::Notarize, 1, BlockId([5; 32]));
    solo.send_vote(peer, VoteKind::Nullify, 1, BlockId::NONE);
    let outputs = solo.receive(peer, Message::Recall(Recall::Ask { nonce: 9 }));
    let told = outputs.iter().find_map(|output| match output {
        Output::Send {
            to,
            message:
                Message::Recall(Recall::Answer {
                    nonce: 9,
                    head: Height(0),
                    votes,
                }),
        } if *to == peer => Some(votes.len()),
        _ => None,
    });
    assert_eq!(told, Some(2));
    // Not more often than anything else.
    let outputs = solo.receive(peer, Message::Recall(Recall::Ask { nonce: 9 }));
    assert!(outputs.is_empty());
}

/// All start at once, as after a loss of power: all ask, all answer, all may vote.
#[test]
fn a_whole_cluster_that_starts_goes_on() {
    let fixture = fixture(4, Profile::Hardened);
    let now = fixture.genesis.time_ms.plus(1_000);
    let mut asked = Vec::new();
    let mut cores: Vec<_> = fixture
        .identities
        .iter()
        .map(|identity| {
            let config = Config {
                me: Some(Arc::clone(identity)),
                recall: true,
                ..Config::default()
            };
            let ledger = Ledger::genesis(&fixture.genesis).unwrap().0;
            let (core, outputs) = Consensus::start(config, ledger, Wal::default(), now);
            asked.push((identity.id, outputs));
            core
        })
        .collect();
    let mut queue: Vec<(ValidatorId, Vec<Output>)> = asked;
    for (core, identity) in cores.iter_mut().zip(&fixture.identities) {
        // Something to do, so that the first master proposes.
        queue.push((identity.id, core.step(now, Input::Work(true))));
    }
    let mut committed = 0;
    while let Some((id, outputs)) = queue.pop() {
        for output in outputs {
            let deliveries: Vec<_> = match output {
                Output::Broadcast(message) => fixture
                    .identities
                    .iter()
                    .filter(|other| other.id != id)
                    .map(|other| {
                        (
                            other.id,
                            Input::Message {
                                from: id,
                                message: message.clone(),
                            },
                        )
                    })
                    .collect(),
                Output::Send { to, message } => vec![(to, Input::Message { from: id, message })],
                Output::Build { height, view, .. } => {
                    let transactions =
                        vec![fixture.transaction(fixture.genesis.chain_id(), height.0)];
                    vec![(
                        id,
                        Input::Built {
                            height,
                            view,
                            transactions,
                        },
                    )]
                }
                Output::Commit { .. } => {
                    committed += 1;
                    Vec::new()
                }
                _ => Vec::new(),
            };
            for (to, input) in deliveries {
                let outputs = cores[usize::from(to.0)].step(now, input);
                queue.insert(0, (to, outputs));
            }
        }
    }
    assert_eq!(committed, 4, "everybody finalized the first block");
}
