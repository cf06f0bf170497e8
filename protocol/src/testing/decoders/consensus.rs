//! Frames of the consensus: messages, logs, finalized blocks.

use super::decoded;
use super::scene::{certify, now, with_scene};
use crate::consensus::{
    Ballot, Certificate, Config, Consensus, Evidence, Finalized, Hearsay, Justification, Message,
    NewView, Proposal, Recall, SignedProposalId, Timing, Vote, VoteKind, Wal, WalEntry,
};
use crate::ids::BlockId;
use crate::units::{Height, View};
use crate::wire;
use std::sync::Arc;

pub(super) fn consensus_message(frame: &[u8]) {
    if let Some(message) = decoded::<Message>(frame) {
        with_scene(|scene| scene.deliver(&message));
    }
}

pub(super) fn consensus_signed(frame: &[u8]) {
    if let Ok(mut message) = wire::decode::<Message>(frame) {
        with_scene(|scene| {
            scene.sign_message(&mut message);
            scene.deliver(&message);
        });
    }
}

pub(super) fn message_seeds() -> Vec<Vec<u8>> {
    with_scene(|scene| {
        let (chain, height) = (scene.chain, scene.ledger.height().plus(1));
        let block = Arc::new(scene.next_block());
        let id = block.id();
        let leader = scene.order[0];
        let key = &scene.identity(leader).unwrap().vote_key;
        let signed = SignedProposalId::sign(chain, height, View(1), id, leader, key);
        let notarization = certify(&scene.fixture, chain, VoteKind::Notarize, height, id);
        let null = BlockId::NONE;
        let nullification = certify(&scene.fixture, chain, VoteKind::Nullify, height, null);
        let proposal = Proposal {
            height,
            view: View(1),
            block: Arc::clone(&block),
            justification: Justification::default(),
            leader,
            signature: signed.signature,
        };
        let mut other = signed.clone();
        other.id = BlockId([5; 32]);
        scene.sign_proposal_id(&mut other);
        let ballots: Vec<_> = [VoteKind::Notarize, VoteKind::Finalize, VoteKind::Nullify]
            .into_iter()
            .map(|kind| {
                let id = if kind == VoteKind::Nullify { null } else { id };
                Ballot {
                    vote: Vote::sign(chain, kind, height, View(1), id, leader, key),
                    proposal: (kind == VoteKind::Notarize).then_some(signed.signature),
                }
            })
            .collect();
        let votes = (ballots[1].vote.clone(), ballots[2].vote.clone());
        let recalled = vec![votes.0.clone(), votes.1.clone()];
        let page = |base: Option<Certificate>, nullifications: Vec<Certificate>, view| NewView {
            height,
            view: View(view),
            justification: Justification {
                base,
                nullifications,
            },
        };
        let hearsay = Hearsay {
            height: scene.ledger.height(),
            votes: ballots.iter().map(|ballot| ballot.vote.clone()).collect(),
            proposals: vec![signed.clone(), other.clone()],
        };
        let messages = [
            Message::Hearsay(Box::new(hearsay)),
            Message::Proposal(Box::new(proposal)),
            Message::Ballots(ballots),
            Message::NewView(Box::new(page(Some(notarization), Vec::new(), 2))),
            Message::NewView(Box::new(page(None, vec![nullification], 2))),
            Message::GetCommitted {
                from: Height(1),
                count: 4,
            },
            Message::Committed(vec![Finalized {
                certificate: certify(&scene.fixture, chain, VoteKind::Finalize, height, id),
                block: Arc::clone(&block),
            }]),
            Message::Committed(scene.blocks.clone()),
            Message::NoBlocks {
                from: height,
                first: height.plus(20),
            },
            Message::GetBody { height, id },
            Message::Body(block),
            Message::Evidence(Box::new(Evidence::from_votes(votes.0, votes.1).unwrap())),
            Message::Evidence(Box::new(Evidence::from_proposals(signed, other).unwrap())),
            Message::Recall(Recall::Ask { nonce: 7 }),
            Message::Recall(Recall::Answer {
                nonce: 7,
                head: Height(1),
                votes: recalled,
            }),
        ];
        messages.iter().map(wire::encode).collect()
    })
}

/// A node starts from what its disk says: records that do not fit are refused, never a panic.
pub(super) fn wal(frame: &[u8]) {
    let Some(entries) = decoded::<Vec<WalEntry>>(frame) else {
        return;
    };
    with_scene(|scene| {
        let certificate = scene.blocks.last().map(|last| last.certificate.clone());
        if let Ok(wal) = Wal::load(scene.ledger.height(), certificate, entries) {
            let me = Arc::clone(&scene.fixture.identities[0]);
            let config = Config::new(me, Timing::default());
            let _ = Consensus::start(config, scene.ledger.clone(), wal, now(&scene.ledger));
        }
    });
}

pub(super) fn wal_seeds() -> Vec<Vec<u8>> {
    with_scene(|scene| {
        let (chain, height) = (scene.chain, scene.ledger.height().plus(1));
        let block = Arc::new(scene.next_block());
        let (id, null) = (block.id(), BlockId::NONE);
        let leader = scene.order[0];
        let key = &scene.identity(leader).unwrap().vote_key;
        let vote = Vote::sign(chain, VoteKind::Notarize, height, View(1), id, leader, key);
        let notarization = certify(&scene.fixture, chain, VoteKind::Notarize, height, id);
        let nullification = certify(&scene.fixture, chain, VoteKind::Nullify, height, null);
        let entries = vec![
            WalEntry::Body(block),
            WalEntry::Proposal {
                signed: SignedProposalId::sign(chain, height, View(1), id, leader, key),
                base: None,
            },
            WalEntry::Vote(vote),
            WalEntry::Notarization(notarization),
            WalEntry::Nullification(nullification),
            WalEntry::View {
                height,
                view: View(2),
                base: Some(View(1)),
            },
        ];
        let short = entries[..3].to_vec();
        vec![wire::encode(&entries), wire::encode(&short)]
    })
}

pub(super) fn finalized(frame: &[u8]) {
    let Some(finalized) = decoded::<Finalized>(frame) else {
        return;
    };
    with_scene(|scene| {
        let set = scene.ledger.standings().validators();
        let Finalized {
            mut block,
            mut certificate,
        } = finalized;
        let _ = certificate.verify(scene.chain, set);
        let mut ledger = scene.ledger.clone();
        let _ = ledger.check_block(&block);
        scene.sign_block(&mut block);
        scene.sign_certificate(&mut certificate);
        let _ = certificate.verify(scene.chain, set);
        if ledger.check_block(&block).is_ok() {
            ledger.execute(&block).expect("was checked");
        }
    });
}

pub(super) fn finalized_seeds() -> Vec<Vec<u8>> {
    with_scene(|scene| {
        let block = Arc::new(scene.next_block());
        let (height, id) = (block.header.height, block.id());
        let next = Finalized {
            certificate: certify(&scene.fixture, scene.chain, VoteKind::Finalize, height, id),
            block,
        };
        let all = scene.blocks.iter().chain([&next]);
        all.map(wire::encode).collect()
    })
}
