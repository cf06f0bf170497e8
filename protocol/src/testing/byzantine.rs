//! Byzantine validators: an honest core whose outputs are twisted on their way out.

use crate::consensus::{
    Ballot, Identity, Message, Output, Proposal, SignedProposalId, Vote, VoteKind,
};
use crate::ids::{BlockId, ChainId, ValidatorId};
use std::sync::Arc;

/// How a validator behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// By the rules.
    Honest,
    /// Says nothing.
    Silent,
    /// Proposes two blocks per view to two halves of the others, and votes for both.
    Equivocate,
    /// Signs a contradicting vote to each of its votes: one half gets one, the other half the other.
    DoubleVote,
    /// Nullifies view 1 of every height as soon as it can, whether there is work or not.
    NullifyAtOnce,
}

/// What is sent to whom.
pub(super) type Sending = (ValidatorId, Message);

impl Behaviour {
    /// What this validator makes of one output of its core; none when the output is executed as it stands.
    pub(super) fn twist(
        self,
        me: &Identity,
        chain: ChainId,
        peers: &[ValidatorId],
        output: &Output,
    ) -> Option<Vec<Sending>> {
        let Output::Broadcast(message) = output else {
            let sends = matches!(output, Output::Send { .. } | Output::SendCommitted { .. });
            return (self == Self::Silent && sends).then(Vec::new);
        };
        match (self, message) {
            (Self::Honest, _) => None,
            (Self::Silent, _) => Some(Vec::new()),
            (Self::Equivocate, Message::Proposal(proposal)) => {
                let twin = twin(me, chain, proposal);
                Some(halves(peers, message, &Message::Proposal(Box::new(twin))))
            }
            (Self::Equivocate, Message::Ballots(ballots)) => {
                let mut all = ballots.clone();
                all.extend(
                    ballots
                        .iter()
                        .filter_map(|ballot| contradict(me, chain, ballot)),
                );
                let all = Message::Ballots(all);
                Some(peers.iter().map(|&peer| (peer, all.clone())).collect())
            }
            (Self::DoubleVote, Message::Ballots(ballots)) => {
                let other = ballots
                    .iter()
                    .map(|ballot| contradict(me, chain, ballot).unwrap_or_else(|| ballot.clone()));
                Some(halves(peers, message, &Message::Ballots(other.collect())))
            }
            (Self::NullifyAtOnce, Message::Ballots(ballots)) => {
                let mut all = ballots.clone();
                for ballot in ballots {
                    let (height, view) = (ballot.vote.height, ballot.vote.view);
                    all.push(ballot_of(
                        me,
                        chain,
                        VoteKind::Nullify,
                        height,
                        view,
                        BlockId::NONE,
                    ));
                    let (height, view) = (height.plus(1), crate::units::View(1));
                    all.push(ballot_of(
                        me,
                        chain,
                        VoteKind::Nullify,
                        height,
                        view,
                        BlockId::NONE,
                    ));
                }
                let all = Message::Ballots(all);
                Some(peers.iter().map(|&peer| (peer, all.clone())).collect())
            }
            (Self::Equivocate | Self::DoubleVote | Self::NullifyAtOnce, _) => None,
        }
    }
}

/// The first half of the peers gets one message, the second the other.
fn halves(peers: &[ValidatorId], one: &Message, other: &Message) -> Vec<Sending> {
    let middle = peers.len().div_ceil(2);
    peers
        .iter()
        .enumerate()
        .map(|(place, &peer)| {
            (
                peer,
                if place < middle {
                    one.clone()
                } else {
                    other.clone()
                },
            )
        })
        .collect()
}

/// A second, equally valid block for the same view: a millisecond later.
fn twin(me: &Identity, chain: ChainId, proposal: &Proposal) -> Proposal {
    let later = u64::from(proposal.justification.base.is_none());
    let block = proposal
        .block
        .altered(|parts| parts.header.time_ms.0 += later);
    let (height, view, id) = (proposal.height, proposal.view, block.id());
    let signed = SignedProposalId::sign(chain, height, view, id, me.id, &me.vote_key);
    Proposal {
        block: Arc::new(block),
        signature: signed.signature,
        ..proposal.clone()
    }
}

fn ballot_of(
    me: &Identity,
    chain: ChainId,
    kind: VoteKind,
    height: crate::units::Height,
    view: crate::units::View,
    id: BlockId,
) -> Ballot {
    Ballot {
        vote: Vote::sign(chain, kind, height, view, id, me.id, &me.vote_key),
        proposal: None,
    }
}

/// A vote that no honest validator signs beside `ballot`.
fn contradict(me: &Identity, chain: ChainId, ballot: &Ballot) -> Option<Ballot> {
    let vote = &ballot.vote;
    let (height, view) = (vote.height, vote.view);
    let other = BlockId(vote.id.0.map(|byte| byte ^ 0xff));
    Some(match vote.kind {
        VoteKind::Notarize => ballot_of(me, chain, VoteKind::Notarize, height, view, other),
        VoteKind::Finalize => ballot_of(me, chain, VoteKind::Nullify, height, view, BlockId::NONE),
        VoteKind::Nullify => return None,
    })
}
