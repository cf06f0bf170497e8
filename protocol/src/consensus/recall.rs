//! [`Consensus`] continued: a node that starts asks the others which of its own votes they saw (spec section 5).
//!
//! A disk that was restored from an old copy, or whose log was lost, has forgotten votes that others may still count. So with
//! [`Config::recall`](crate::consensus::Config::recall) a node that starts does not vote before a quorum, itself included, has been heard. A vote that
//! carries its own signature and does not stand in its log proves that it forgot; then it goes into quarantine: no votes up to two heights
//! above the highest finalized height that anybody claims. Answers need no vote of the answering node, so a
//! cluster whose nodes all start at once goes on as soon as all have asked each other.
//!
//! A liar can invent no vote of ours, so it can send no healthy node into quarantine. It can claim a height that does not
//! exist, and so keep a node out that has lost its log: that one counts among the faulty already.

use crate::consensus::book::Permit;
use crate::consensus::catchup::Service;
use crate::consensus::core::Consensus;
use crate::consensus::io::{Fault, Note, TimerKind};
use crate::consensus::message::{BALLOTS_PER_MESSAGE, Message};
use crate::consensus::round::voter;
use crate::consensus::vote::Vote;
use crate::ids::ValidatorId;
use crate::units::Height;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many heights above the highest finalized one a node in quarantine does not vote on (spec section 5).
pub const QUARANTINE_HEIGHTS: u64 = 2;

/// Question and answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recall {
    /// "Which of my votes have you seen, and how far is your chain?"
    Ask {
        /// Tells answers to this start from those to an earlier one.
        nonce: u64,
    },
    /// The answer.
    Answer {
        /// The question's.
        nonce: u64,
        /// The height of the sender's last finalized block.
        head: Height,
        /// Votes of the asker for that height and the next, the latest; at most [`BALLOTS_PER_MESSAGE`]. The sender may not
        /// have verified them.
        votes: Vec<Vote>,
    },
}

/// Waiting for answers.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    nonce: u64,
    /// Who has answered, and the height that it claims. At most one entry per validator.
    heads: BTreeMap<ValidatorId, Height>,
    /// The highest height of an own vote that does not stand in the log.
    forgot: Option<Height>,
    /// From where votes are allowed as far as the configuration goes.
    vote_from: Height,
}

impl Consensus {
    /// Asks, before anything else happens. [`Config::vote_from`](crate::consensus::Config::vote_from) is out of reach until the answers are in.
    pub(super) fn begin_recall(&mut self, vote_from: Height) {
        let nonce = self.now.0 ^ self.config.start;
        self.recall = Some(Asking {
            nonce,
            heads: BTreeMap::new(),
            forgot: None,
            vote_from,
        });
        self.ask_recall();
    }

    pub(super) fn ask_recall(&mut self) {
        if let Some(asking) = &self.recall {
            let nonce = asking.nonce;
            self.broadcast(Message::Recall(Recall::Ask { nonce }));
            self.set_timer(TimerKind::Recall, self.config.timing.rebroadcast_every());
        }
    }

    pub(super) fn on_recall(&mut self, from: ValidatorId, recall: Recall) {
        match recall {
            Recall::Ask { nonce } => self.answer_recall(from, nonce),
            Recall::Answer { nonce, head, votes } => self.on_recalled(from, nonce, head, &votes),
        }
    }

    fn answer_recall(&mut self, peer: ValidatorId, nonce: u64) {
        if !self.limiter.allow(peer, Service::Recall, self.now) {
            return;
        }
        let mut votes = self.round.tally.votes_of(peer);
        votes.extend(self.round.inbox.votes_of(peer));
        if let Some(past) = self.last_past() {
            votes.extend(past.tally.votes_of(peer));
        }
        votes.sort_by_key(|vote| std::cmp::Reverse((vote.height, vote.view)));
        votes.truncate(BALLOTS_PER_MESSAGE);
        let head = self.ledger.height();
        self.send(peer, Message::Recall(Recall::Answer { nonce, head, votes }));
    }

    fn on_recalled(&mut self, from: ValidatorId, nonce: u64, head: Height, votes: &[Vote]) {
        let count = votes.len();
        if count > BALLOTS_PER_MESSAGE {
            return self.fault(from, Fault::TooMany { count });
        }
        if self
            .recall
            .as_ref()
            .is_none_or(|asking| asking.nonce != nonce)
            || !self.ledger.standings().validators().contains(from)
        {
            return;
        }
        let forgot = votes
            .iter()
            .filter(|vote| self.is_forgotten(vote))
            .map(|vote| vote.height)
            .max();
        if let Some(asking) = &mut self.recall {
            asking.heads.insert(from, head);
            asking.forgot = asking.forgot.max(forgot);
        }
        if head >= self.round.height {
            self.on_ahead(from, head.plus(1));
        }
    }

    /// Whether a vote is ours, of this height or a later one, and not in the log.
    fn is_forgotten(&self, vote: &Vote) -> bool {
        let logged = vote.height == self.round.height
            && matches!(
                self.round.book.permit_once(vote.kind, vote.view, vote.id),
                Permit::Signed(_)
            );
        let (chain, kind, height) = (self.chain, vote.kind, vote.height);
        let message = Vote::message(chain, kind, height, vote.view, vote.id);
        let mut own = self.config.me.iter().chain(&self.config.successor);
        vote.height >= self.round.height
            && !logged
            && own.any(|me| {
                let key = me.vote_key.verifying_key();
                vote.signer == me.id && key.verify(&message, &vote.signature).is_ok()
            })
    }

    /// Goes on once a quorum has been heard, this node included where it is a member.
    pub(super) fn try_finish_recall(&mut self) -> bool {
        let set = self.ledger.standings().validators();
        let Some(asking) = &self.recall else {
            return false;
        };
        let heard = asking.heads.keys().filter(|&&peer| set.contains(peer));
        let mut own = self.config.me.iter().chain(&self.config.successor);
        let member = own.any(|me| me.is_in(set));
        // Who is no member here may have been one on a later copy of its disk: it asks as well, before it votes one day.
        let votes = self.config.me.is_some();
        if votes && heard.count().saturating_add(usize::from(member)) < set.quorum() {
            return false;
        }
        let highest = asking.heads.values().max().copied();
        let highest = highest.max(asking.forgot).unwrap_or_default();
        let highest = highest.max(self.ledger.height());
        let forgot = asking.forgot;
        self.config.vote_from = asking.vote_from;
        if self.config.quarantine || forgot.is_some() {
            let vote_from = highest.plus(QUARANTINE_HEIGHTS).plus(1);
            let vote_from = vote_from.max(self.config.vote_from);
            self.config.vote_from = vote_from;
            self.note(Note::Quarantined { vote_from, forgot });
        }
        self.recall = None;
        self.forget_timer(TimerKind::Recall);
        let height = self.round.height;
        self.round.voter = voter(&self.config, self.ledger.standings())
            .filter(|_| height >= self.config.vote_from);
        // What waited for a vote: finalize votes that a crash cut off, and the view's timer, which may have run out in vain.
        // Proposals are looked at again.
        self.finalize_notarized();
        if self.round.armed.take().is_some() {
            self.arm();
        }
        true
    }
}
