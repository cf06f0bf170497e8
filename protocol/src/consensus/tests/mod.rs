//! Tests of the consensus core: the pure structs, what is signed and verified, and one node alone, step by step.
//!
//! Whole clusters are tested in [`crate::testing`].

mod certificates;
mod hearsay;
mod membership;
mod net;
mod node;
mod offender;
mod outline;
mod recall;
mod schedules;
mod silence;
mod structs;
mod wal;

use crate::consensus::{
    Ballot, Certificate, Config, Consensus, Identity, Input, Justification, Message, NewView,
    Output, Proposal, SignedProposalId, Timing, Vote, VoteKind, Wal, WalEntry,
};
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::{Block, Header, Ledger, Profile};
use crate::testing::{Fixture, fixture};
use crate::units::{Height, Millis, View};
use std::sync::Arc;

/// One core, and the keys of all the others.
struct Solo {
    fixture: Fixture,
    core: Consensus,
    me: ValidatorId,
    now: Millis,
    /// Everything that was ordered so far.
    seen: Vec<Output>,
}

impl Solo {
    /// A node that is the master of no view up to `quiet_views`, roused, at height 1.
    fn follower(n: u16, quiet_views: usize) -> Self {
        let fixture = fixture(n, Profile::Hardened);
        let ledger = Ledger::genesis(&fixture.genesis).unwrap().0;
        let order = ledger.standings().leader_order();
        let me = order[quiet_views];
        Self::with(fixture, Some(me), Wal::load(Height(0), None, []).unwrap())
    }

    /// The master of view 1.
    fn master(n: u16) -> Self {
        let fixture = fixture(n, Profile::Hardened);
        let ledger = Ledger::genesis(&fixture.genesis).unwrap().0;
        let me = ledger.standings().leader_order()[0];
        Self::with(fixture, Some(me), Wal::load(Height(0), None, []).unwrap())
    }

    fn with(fixture: Fixture, me: Option<ValidatorId>, wal: Wal) -> Self {
        let config = Config {
            me: me.map(|me| Arc::clone(&fixture.identities[usize::from(me.0)])),
            timing: Timing::default(),
            ..Config::default()
        };
        Self::started(fixture, config, wal)
    }

    fn started(fixture: Fixture, config: Config, wal: Wal) -> Self {
        let ledger = Ledger::genesis(&fixture.genesis).unwrap().0;
        let me = config.me.as_ref().map(|me| me.id);
        let now = fixture.genesis.time_ms.plus(1_000);
        let (core, seen) = Consensus::start(config, ledger, wal, now);
        let me = me.unwrap_or(ValidatorId(u16::MAX));
        Self {
            fixture,
            core,
            me,
            now,
            seen,
        }
    }

    fn chain(&self) -> ChainId {
        self.fixture.genesis.chain_id()
    }

    fn identity(&self, id: ValidatorId) -> &Identity {
        &self.fixture.identities[usize::from(id.0)]
    }

    /// All validators but this one.
    fn others(&self) -> Vec<ValidatorId> {
        let ids = self.fixture.identities.iter().map(|identity| identity.id);
        ids.filter(|&id| id != self.me).collect()
    }

    fn order(&self) -> Vec<ValidatorId> {
        self.core.ledger().standings().leader_order()
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let outputs = self.core.step(self.now, input);
        // Kept as text would be enough, but tests look into them.
        self.seen.extend(outputs.iter().filter_map(copy));
        outputs
    }

    fn receive(&mut self, from: ValidatorId, message: Message) -> Vec<Output> {
        self.step(Input::Message { from, message })
    }

    fn vote(&self, signer: ValidatorId, kind: VoteKind, view: u64, id: BlockId) -> Vote {
        let key = &self.identity(signer).vote_key;
        Vote::sign(
            self.chain(),
            kind,
            self.core.height(),
            View(view),
            id,
            signer,
            key,
        )
    }

    fn send_vote(
        &mut self,
        signer: ValidatorId,
        kind: VoteKind,
        view: u64,
        id: BlockId,
    ) -> Vec<Output> {
        let vote = self.vote(signer, kind, view, id);
        self.receive(
            signer,
            Message::Ballots(vec![Ballot {
                vote,
                proposal: None,
            }]),
        )
    }

    /// A certificate by these signers.
    fn certificate(
        &self,
        signers: &[ValidatorId],
        kind: VoteKind,
        view: u64,
        id: BlockId,
    ) -> Certificate {
        let mut votes: Vec<_> = signers
            .iter()
            .map(|&signer| (signer, self.vote(signer, kind, view, id).signature))
            .collect();
        votes.sort();
        Certificate {
            kind,
            height: self.core.height(),
            view: View(view),
            id,
            votes,
        }
    }

    fn nullification(&self, view: u64) -> Certificate {
        self.certificate(&self.others(), VoteKind::Nullify, view, BlockId::NONE)
    }

    /// A fresh, valid block by the master of `view`.
    fn block(&self, view: u64) -> Block {
        let ledger = self.core.ledger();
        let order = self.order();
        let author = order[usize::try_from(view - 1).unwrap() % order.len()];
        let input = ledger.standings().beacon_input();
        let header = Header {
            chain: self.chain(),
            height: self.core.height(),
            parent_id: ledger.head_id(),
            parent_state_root: ledger.state_root(),
            author,
            view: View(view),
            time_ms: self.now,
            tx_root: Block::tx_root(&[]),
            parent_cert: self.core.head_certificate(),
            late_votes: Vec::new(),
            evidence: Vec::new(),
            vrf_proof: self.identity(author).vrf_key.prove(&input).unwrap().1,
        };
        Block::new(header, Vec::new())
    }

    /// A proposal of `block` by the master of `view`.
    fn proposal(
        &self,
        view: u64,
        block: &Block,
        justification: Justification,
    ) -> (ValidatorId, Message) {
        let order = self.order();
        let leader = order[usize::try_from(view - 1).unwrap() % order.len()];
        let key = &self.identity(leader).vote_key;
        let (height, id) = (self.core.height(), block.id());
        let signed = SignedProposalId::sign(self.chain(), height, View(view), id, leader, key);
        let proposal = Proposal {
            height,
            view: View(view),
            block: Arc::new(block.clone()),
            justification,
            leader,
            signature: signed.signature,
        };
        (leader, Message::Proposal(Box::new(proposal)))
    }

    fn send_proposal(
        &mut self,
        view: u64,
        block: &Block,
        justification: Justification,
    ) -> Vec<Output> {
        let (leader, message) = self.proposal(view, block, justification);
        self.receive(leader, message)
    }

    fn send_new_view(
        &mut self,
        from: ValidatorId,
        view: u64,
        justification: Justification,
    ) -> Vec<Output> {
        let height = self.core.height();
        let message = NewView {
            height,
            view: View(view),
            justification,
        };
        self.receive(from, Message::NewView(Box::new(message)))
    }

    fn fire(&mut self, outputs: &[Output], kind: crate::consensus::TimerKind) -> Vec<Output> {
        let timer = outputs.iter().rev().find_map(|output| match output {
            Output::SetTimer { timer, .. } if timer.kind == kind => Some(*timer),
            _ => None,
        });
        self.step(Input::TimerFired(timer.expect("the timer was set")))
    }

    /// Fires the latest timer of this kind that was ever set.
    fn fire_latest(&mut self, kind: crate::consensus::TimerKind) -> Vec<Output> {
        let timers = std::mem::take(&mut self.seen);
        let outputs = self.fire(&timers, kind);
        let newer = std::mem::replace(&mut self.seen, timers);
        self.seen.extend(newer);
        outputs
    }
}

/// Outputs are not `Clone`, because effects are large; tests keep what they look at.
fn copy(output: &Output) -> Option<Output> {
    match output {
        Output::SetTimer { timer, after } => Some(Output::SetTimer {
            timer: *timer,
            after: *after,
        }),
        Output::Persist(entry) => Some(Output::Persist(entry.clone())),
        _ => None,
    }
}

/// The votes that were sent, as (kind, view, block).
fn votes_sent(outputs: &[Output]) -> Vec<(VoteKind, u64, BlockId)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Broadcast(Message::Ballots(ballots)) => Some(ballots),
            _ => None,
        })
        .flatten()
        .map(|ballot| (ballot.vote.kind, ballot.vote.view.0, ballot.vote.id))
        .collect()
}

/// The records that were written.
fn written(outputs: &[Output]) -> Vec<WalEntry> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Persist(entry) => Some(entry.clone()),
            _ => None,
        })
        .collect()
}
