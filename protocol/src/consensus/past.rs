//! The heights that were decided last: their votes and signatures of masters stay for a while, because an offence may
//! show only when somebody else tells what it saw (spec, Evidence).
//!
//! Bounded like the height that is being agreed on, but for views that nobody was near; [`PAST_HEIGHTS`] heights.

use crate::consensus::inbox::Inbox;
use crate::consensus::message::{BALLOTS_PER_MESSAGE, Hearsay, SIGNATURES_PER_MESSAGE};
use crate::consensus::proposals::Seen;
use crate::consensus::round::Round;
use crate::consensus::tally::Tally;
use crate::consensus::vote::{Certificate, Evidence, SignedProposalId, Vote, VoteKind};
use crate::credit::{ValidatorSet, leader};
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::units::{Height, View};
use std::collections::{BTreeMap, BTreeSet};

/// How many decided heights are remembered.
pub(super) const PAST_HEIGHTS: usize = 8;
/// How many views beyond the last one of a decided height its votes are kept for.
pub(super) const VIEWS_BEYOND: u64 = 8;
/// Most odd votes of one signer on one height that this node tells of.
const TOLD_PER_SIGNER: usize = 8;

/// What is kept of one decided height.
#[derive(Clone)]
pub(super) struct Past {
    pub(super) height: Height,
    pub(super) set: ValidatorSet,
    pub(super) order: Vec<ValidatorId>,
    pub(super) tally: Tally,
    /// Votes that never mattered, unverified.
    pub(super) inbox: Inbox,
    pub(super) seen: Seen,
    /// The block that was decided.
    id: BlockId,
    /// The view that this node had come to.
    reached: View,
    /// The view whose finalization the next block holds; none until that block is final. The same at all nodes.
    decided: Option<View>,
    /// Odd votes and signatures that this node has told everybody of. That another says to have done so counts nothing: it
    /// may have told this node only.
    told: BTreeSet<(View, VoteKind, BlockId, ValidatorId)>,
    told_signatures: BTreeSet<(View, BlockId)>,
    /// How many votes of each signer it has told.
    told_of: BTreeMap<ValidatorId, usize>,
    /// Who has sent its finalize vote for the block itself, after the height was over.
    arrived: BTreeSet<ValidatorId>,
    /// Whether there may be something to tell.
    fresh: bool,
}

/// What a look at odd votes has brought.
#[derive(Default)]
pub(super) struct Told {
    pub(super) hearsay: Option<Hearsay>,
    /// Whose signatures did not hold.
    pub(super) forgers: Vec<ValidatorId>,
    pub(super) evidence: Vec<Evidence>,
}

impl Past {
    /// The height is over; `id` is its block.
    pub(super) fn new(round: Round, id: BlockId) -> Self {
        let reached = round.views.current();
        let mut past = Self {
            height: round.height,
            set: round.set,
            order: round.order,
            tally: round.tally,
            inbox: round.inbox,
            seen: round.seen,
            id,
            reached,
            decided: None,
            told: BTreeSet::new(),
            told_signatures: BTreeSet::new(),
            told_of: BTreeMap::new(),
            arrived: BTreeSet::new(),
            fresh: true,
        };
        let newest = reached.plus(VIEWS_BEYOND);
        past.tally.limit(newest);
        past.inbox.limit(newest);
        past.seen.limit(newest);
        past
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        let votes = self.tally.len().saturating_add(self.inbox.len());
        votes.saturating_add(self.seen.len())
    }

    /// Whether votes of `view` are kept.
    pub(super) fn reaches(&self, view: View) -> bool {
        Tally::in_range(view, self.reached) && view <= self.reached.plus(VIEWS_BEYOND)
    }

    /// The next block is final, and with it which of the finalizations of this height counts.
    pub(super) fn decide(&mut self, certificate: &Certificate) {
        self.decided = Some(certificate.view);
        self.fresh = true;
    }

    /// Whether a vote of this height, should it hold, says something new.
    pub(super) fn wants(&self, vote: &Vote) -> bool {
        vote.height == self.height && self.reaches(vote.view) && self.tally.wants(vote)
    }

    /// Whether a vote is a step towards the decision, only later than those of others.
    pub(super) fn follows(&self, vote: &Vote) -> bool {
        vote.kind == VoteKind::Notarize && vote.id == self.id
    }

    /// Notes that its signer sent a finalize vote. Whether it is for the block, and the first since the height was over:
    /// then it is late, whether or not a certificate has brought it before.
    pub(super) fn arrives(&mut self, vote: &Vote) -> bool {
        vote.kind == VoteKind::Finalize
            && vote.id == self.id
            && self.set.contains(vote.signer)
            && self.arrived.insert(vote.signer)
    }

    /// Counts a verified vote of this height. Returns what it proves together with others.
    pub(super) fn count(&mut self, chain: ChainId, vote: &Vote) -> Vec<Evidence> {
        if !self.reaches(vote.view) {
            return Vec::new();
        }
        self.fresh |= !self.tally.contains(vote);
        // It may have waited here: told as counted, it is not to be told again as one that waits.
        let _ = self.inbox.remove(vote);
        let mut found: Vec<_> = self.tally.insert(vote).into_iter().collect();
        // What nobody had verified for want of importance has some now.
        for ballot in self.inbox.take_contradicting(vote) {
            if ballot.vote.holds(chain, &self.set) {
                found.extend(self.tally.insert(&ballot.vote));
                self.fresh = true;
            }
        }
        found
    }

    /// Whether a master's signature, should it hold, says something new.
    pub(super) fn wants_signature(&self, signed: &SignedProposalId) -> bool {
        signed.height == self.height
            && self.reaches(signed.view)
            && leader(&self.order, signed.view) == Some(signed.leader)
            && self.seen.wants(signed.view, signed.id)
    }

    /// Notes a verified signature of a master.
    pub(super) fn note_signature(&mut self, signed: SignedProposalId) -> Option<Evidence> {
        self.fresh = true;
        self.seen.note(signed)
    }

    /// Whether not everybody need have seen this vote, nor one like it. Of two votes that contradict each other at
    /// least one is odd, at every node alike: only one block and one view were decided.
    fn is_odd(&self, vote: &Vote, decided: View) -> bool {
        match vote.kind {
            VoteKind::Notarize => vote.id != self.id,
            VoteKind::Nullify => vote.view == decided,
            VoteKind::Finalize => vote.id != self.id || vote.view != decided,
        }
    }

    /// The odd votes and signatures of others that everybody is to be told of now. `useful` says of whom an offence at
    /// this height could still be punished.
    pub(super) fn tell(&mut self, chain: ChainId, useful: &dyn Fn(ValidatorId) -> bool) -> Told {
        let mut told = Told::default();
        let Some(decided) = self.decided.filter(|_| self.fresh) else {
            return told;
        };
        let chosen = self.choose(decided, useful);
        // More than one message holds: the rest follows with the next block.
        self.fresh = chosen.len() >= BALLOTS_PER_MESSAGE;
        let mut votes = Vec::new();
        for (vote, counted) in chosen {
            if !counted {
                let _ = self.inbox.remove(&vote);
                if !vote.holds(chain, &self.set) {
                    told.forgers.push(vote.signer);
                    continue;
                }
                told.evidence.extend(self.tally.insert(&vote));
            }
            self.told.insert(key(&vote));
            let count = self.told_of.entry(vote.signer).or_default();
            *count = count.saturating_add(1);
            votes.push(vote);
        }
        let proposals = self.choose_signatures(useful);
        let keys = proposals.iter().map(|signed| (signed.view, signed.id));
        self.told_signatures.extend(keys);
        if !votes.is_empty() || !proposals.is_empty() {
            let height = self.height;
            told.hearsay = Some(Hearsay {
                height,
                votes,
                proposals,
            });
        }
        told
    }

    /// Odd votes and whether they are counted, at most a message full. Counted ones first: only they can have done
    /// harm; then those nearest to the view that was decided; in turn over the signers.
    fn choose(&self, decided: View, useful: &dyn Fn(ValidatorId) -> bool) -> Vec<(Vote, bool)> {
        let counted = self.tally.votes().map(|vote| (vote, true));
        let waiting = self.inbox.votes().map(|vote| (vote, false));
        let mut odd: Vec<_> = counted
            .chain(waiting)
            .filter(|(vote, _)| self.is_odd(vote, decided) && !self.told.contains(&key(vote)))
            .filter(|(vote, _)| useful(vote.signer))
            .collect();
        odd.sort_by_key(|(vote, counted)| {
            let distance = vote.view.0.abs_diff(decided.0);
            (vote.signer, !counted, distance, key(vote))
        });
        let mut ranked = Vec::new();
        for mine in odd.chunk_by(|(a, _), (b, _)| a.signer == b.signer) {
            let before = mine
                .first()
                .and_then(|(vote, _)| self.told_of.get(&vote.signer));
            let left = TOLD_PER_SIGNER.saturating_sub(before.copied().unwrap_or(0));
            ranked.extend(mine.iter().take(left).cloned().enumerate());
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.truncate(BALLOTS_PER_MESSAGE);
        ranked.into_iter().map(|(_, odd)| odd).collect()
    }

    fn choose_signatures(&self, useful: &dyn Fn(ValidatorId) -> bool) -> Vec<SignedProposalId> {
        let odd = self.seen.iter().filter(|signed| {
            signed.id != self.id
                && !self.told_signatures.contains(&(signed.view, signed.id))
                && useful(signed.leader)
        });
        odd.take(SIGNATURES_PER_MESSAGE).cloned().collect()
    }
}

fn key(vote: &Vote) -> (View, VoteKind, BlockId, ValidatorId) {
    (vote.view, vote.kind, vote.id, vote.signer)
}
