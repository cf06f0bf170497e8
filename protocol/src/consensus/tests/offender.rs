//! A validator that keeps to the rules but for one offence, whose two halves it shows to two others, one to each; what it
//! has signed of that kind nobody else gets.

use super::*;
use crate::consensus::Offence;

pub(super) struct Offender {
    pub(super) node: usize,
    pub(super) offence: Offence,
    /// Who is shown the first half, the one that an honest validator would have signed, and who the other.
    pub(super) halves: [usize; 2],
    /// How long the halves are under way.
    pub(super) after: u64,
    /// Where it offends, in view 1; for proposals the first height from there on that it leads.
    pub(super) height: Height,
    /// Whether it did.
    pub(super) done: bool,
    /// Whether its proposals are blocks that nobody votes for.
    pub(super) invalid: bool,
}

/// How long everything else is under way.
const USUAL: u64 = 2;

impl Offender {
    /// What it sends to `to` instead of `message`, and how long that takes.
    pub(super) fn twist(
        &mut self,
        me: &Identity,
        chain: ChainId,
        to: usize,
        message: &Message,
    ) -> Vec<(u64, Message)> {
        let half = self.halves.iter().position(|&half| half == to);
        match message {
            Message::Ballots(ballots) => {
                let mut sent = Vec::new();
                let (mut rest, mut shown) = (Vec::new(), Vec::new());
                for ballot in ballots {
                    match (self.concerns(&ballot.vote), half) {
                        (false, _) => rest.push(ballot.clone()),
                        (true, Some(half)) => shown.extend(self.vote(me, chain, half, ballot)),
                        (true, None) => {}
                    }
                }
                for (after, ballots) in [(USUAL, rest), (self.after, shown)] {
                    if !ballots.is_empty() {
                        sent.push((after, Message::Ballots(ballots)));
                    }
                }
                sent
            }
            Message::Proposal(proposal) if self.leads(proposal) => {
                let half = half.map(|half| self.proposal(me, chain, half, proposal));
                half.map(|half| (self.after, half)).into_iter().collect()
            }
            // Whatever it knows of its own offence it keeps to itself.
            Message::Evidence(_) | Message::Hearsay(_) => Vec::new(),
            message => vec![(USUAL, message.clone())],
        }
    }

    /// Whether a vote is of the kind and place of the offence.
    fn concerns(&self, vote: &Vote) -> bool {
        let kind = match self.offence {
            // Votes for its block would bring its signature along.
            Offence::DoubleNotarize | Offence::DoubleProposal => VoteKind::Notarize,
            Offence::NullifyAndFinalize | Offence::DoubleFinalize => VoteKind::Finalize,
        };
        (vote.height, vote.view, vote.kind) == (self.height, View(1), kind)
    }

    fn vote(
        &mut self,
        me: &Identity,
        chain: ChainId,
        half: usize,
        ballot: &Ballot,
    ) -> Option<Ballot> {
        let vote = &ballot.vote;
        let other = BlockId(vote.id.0.map(|byte| !byte));
        let (kind, id) = match (self.offence, half) {
            (Offence::DoubleProposal, _) => return None,
            (_, 0) => return Some(ballot.clone()),
            (Offence::DoubleNotarize, _) => (VoteKind::Notarize, other),
            (Offence::NullifyAndFinalize, _) => (VoteKind::Nullify, BlockId::NONE),
            (Offence::DoubleFinalize, _) => (VoteKind::Finalize, other),
        };
        self.done = true;
        let vote = Vote::sign(chain, kind, vote.height, vote.view, id, me.id, &me.vote_key);
        Some(Ballot {
            vote,
            proposal: None,
        })
    }

    fn leads(&mut self, proposal: &Proposal) -> bool {
        if self.offence != Offence::DoubleProposal || proposal.view != View(1) {
            return false;
        }
        if !self.done && proposal.height >= self.height {
            self.height = proposal.height;
            self.done = true;
        }
        self.done && proposal.height == self.height
    }

    fn proposal(&self, me: &Identity, chain: ChainId, half: usize, proposal: &Proposal) -> Message {
        let block = proposal.block.altered(|parts| {
            if self.invalid {
                // Not after its parent.
                parts.header.time_ms = Millis(half as u64);
            } else {
                parts.header.time_ms.0 += half as u64;
            }
        });
        let (height, view, id) = (proposal.height, proposal.view, block.id());
        let signed = SignedProposalId::sign(chain, height, view, id, me.id, &me.vote_key);
        Message::Proposal(Box::new(Proposal {
            block: Arc::new(block),
            signature: signed.signature,
            ..proposal.clone()
        }))
    }
}
