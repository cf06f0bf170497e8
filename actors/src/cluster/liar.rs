//! Validators that lie, so that people can watch what becomes of them: an honest core whose proposals and votes are
//! twisted on their way out.
//!
//! Only a cluster in one process that was launched with [`Lies`] has such validators; a node of its own has no way to
//! become one.

use kithkin_protocol::consensus::{
    Agreement, Algorithm, Ballot, Certificate, Consensus, Identity, Input, Message, Output,
    Proposal, SignedProposalId, Vote, VoteKind,
};
use kithkin_protocol::ids::{BlockId, ChainId, ValidatorId};
use kithkin_protocol::ledger::Ledger;
use kithkin_protocol::units::{Height, Millis, View};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How a validator lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// As a master it proposes two blocks in one view, one to each half of the others.
    Equivocate,
    /// Of each notarize and finalize vote one half of the others gets another one, which contradicts it.
    DoubleVote,
}

/// A lie that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no way to lie; write equivocate or double-vote")]
pub struct NoSuchLie {
    /// What was written.
    pub text: String,
}

impl std::str::FromStr for Lie {
    type Err = NoSuchLie;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "equivocate" => Ok(Self::Equivocate),
            "double-vote" => Ok(Self::DoubleVote),
            _ => Err(NoSuchLie {
                text: text.to_owned(),
            }),
        }
    }
}

/// Who lies now, and how; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Lies(Arc<Mutex<BTreeMap<ValidatorId, Lie>>>);

impl Lies {
    /// From now on this validator lies like this, or not at all.
    pub fn set(&self, id: ValidatorId, lie: Option<Lie>) {
        let mut lies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match lie {
            Some(lie) => lies.insert(id, lie),
            None => lies.remove(&id),
        };
    }

    fn of(&self, id: ValidatorId) -> Option<Lie> {
        let lies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lies.get(&id).copied()
    }

    /// Credit-BFT, with a liar around it that does nothing until it is told to.
    pub(super) fn algorithm(&self) -> Algorithm {
        let lies = self.clone();
        Algorithm::new("credit-bft", move |config, ledger, wal, now| {
            let (me, chain) = (config.me.clone(), ledger.chain());
            let (core, outputs) = Consensus::start(config, ledger, wal, now);
            let core: Box<dyn Agreement> = match me {
                Some(me) => Box::new(Liar {
                    core,
                    me,
                    chain,
                    lies: lies.clone(),
                }),
                None => Box::new(core),
            };
            (core, outputs)
        })
    }
}

struct Liar {
    core: Consensus,
    me: Arc<Identity>,
    chain: ChainId,
    lies: Lies,
}

impl Agreement for Liar {
    fn step(&mut self, now: Millis, input: Input) -> Vec<Output> {
        let outputs = self.core.step(now, input);
        match self.lies.of(self.me.id) {
            Some(lie) => outputs
                .into_iter()
                .flat_map(|output| self.twist(lie, output))
                .collect(),
            None => outputs,
        }
    }

    fn ledger(&self) -> &Ledger {
        self.core.ledger()
    }

    fn height(&self) -> Height {
        self.core.height()
    }

    fn view(&self) -> View {
        self.core.view()
    }

    fn leader(&self) -> Option<ValidatorId> {
        self.core.leader()
    }

    fn head_certificate(&self) -> Option<Certificate> {
        self.core.head_certificate()
    }

    fn is_halted(&self) -> bool {
        self.core.is_halted()
    }
}

impl Liar {
    fn twist(&self, lie: Lie, output: Output) -> Vec<Output> {
        let (truth, other) = match (lie, output) {
            (Lie::Equivocate, Output::Broadcast(Message::Proposal(proposal))) => {
                match self.rival(&proposal) {
                    Some(rival) => (
                        Message::Proposal(proposal),
                        Message::Proposal(Box::new(rival)),
                    ),
                    None => return vec![Output::Broadcast(Message::Proposal(proposal))],
                }
            }
            (Lie::DoubleVote, Output::Broadcast(Message::Ballots(ballots))) => {
                let others = ballots.iter().map(|ballot| self.contradict(ballot));
                let others = Message::Ballots(others.collect());
                (Message::Ballots(ballots), others)
            }
            // It does not accuse itself.
            (_, Output::Broadcast(Message::Evidence(evidence)))
                if evidence.accused() == self.me.id =>
            {
                return Vec::new();
            }
            (_, output) => return vec![output],
        };
        self.halves(&truth, &other)
    }

    /// The first half of the others gets one message, the rest the other.
    fn halves(&self, truth: &Message, other: &Message) -> Vec<Output> {
        let set = self.core.ledger().standings().validators();
        let peers: Vec<_> = set.ids().filter(|id| *id != self.me.id).collect();
        let middle = peers.len().div_ceil(2);
        let sends = peers.into_iter().enumerate().map(|(place, to)| {
            let message = if place < middle { truth } else { other };
            Output::Send {
                to,
                message: message.clone(),
            }
        });
        sends.collect()
    }

    /// A second, equally valid block for the same view, a millisecond later; none where only one block is possible.
    fn rival(&self, proposal: &Proposal) -> Option<Proposal> {
        if proposal.justification.base.is_some() {
            return None;
        }
        let block = proposal.block.altered(|parts| parts.header.time_ms.0 += 1);
        let (height, view, id) = (proposal.height, proposal.view, block.id());
        let (me, key) = (self.me.id, &self.me.vote_key);
        let signed = SignedProposalId::sign(self.chain, height, view, id, me, key);
        Some(Proposal {
            block: Arc::new(block),
            signature: signed.signature,
            ..proposal.clone()
        })
    }

    /// A vote that no honest validator signs beside this one. A nullify vote stays as it is.
    fn contradict(&self, ballot: &Ballot) -> Ballot {
        let vote = &ballot.vote;
        let (kind, id) = match vote.kind {
            VoteKind::Notarize => (VoteKind::Notarize, BlockId(vote.id.0.map(|byte| !byte))),
            VoteKind::Finalize => (VoteKind::Nullify, BlockId::NONE),
            VoteKind::Nullify => return ballot.clone(),
        };
        let (height, view) = (vote.height, vote.view);
        let (me, key) = (self.me.id, &self.me.vote_key);
        Ballot {
            vote: Vote::sign(self.chain, kind, height, view, id, me, key),
            proposal: None,
        }
    }
}
