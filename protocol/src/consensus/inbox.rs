//! Votes of the current height whose signatures nobody has looked at: they wait until together they matter, and are
//! then verified in one batch (spec section 2, on Vote).
//!
//! A vote matters when its group (same view, kind, block) could be a quorum, or when its signer made another vote that
//! contradicts it. Votes beyond a quorum are never verified. Bounded like the tally: only the signer itself can
//! send a vote, and two blocks of one signer, view and kind are all that is taken.

use crate::consensus::VIEWS_AHEAD_MAX;
use crate::consensus::message::Ballot;
use crate::consensus::tally::Tally;
use crate::consensus::vote::{Evidence, Vote, VoteKind};
use crate::ids::{BlockId, ValidatorId};
use crate::units::View;
use std::collections::BTreeMap;

/// Most different blocks that unverified votes of one signer, view and kind are kept for.
const BLOCKS_PER_SIGNER: usize = 2;

/// View, kind, block.
type Group = (View, VoteKind, BlockId);

/// Unverified votes by group and signer.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbox(BTreeMap<Group, BTreeMap<ValidatorId, Ballot>>);

impl Inbox {
    /// Takes a vote of a member; a second copy is dropped.
    pub(super) fn put(&mut self, ballot: Ballot) {
        let vote = &ballot.vote;
        let kinds =
            (vote.view, vote.kind, BlockId([0; 32]))..=(vote.view, vote.kind, BlockId([0xff; 32]));
        let others = self
            .0
            .range(kinds)
            .filter(|(group, signers)| group.2 != vote.id && signers.contains_key(&vote.signer));
        if others.count() < BLOCKS_PER_SIGNER {
            let group = self.0.entry((vote.view, vote.kind, vote.id)).or_default();
            group.entry(vote.signer).or_insert(ballot);
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// The group of `vote`, if it could be a quorum together with those that are counted; taken out.
    pub(super) fn take_quorum(&mut self, vote: &Vote, tally: &Tally, quorum: usize) -> Vec<Ballot> {
        let group = (vote.view, vote.kind, vote.id);
        let waiting = self.0.get(&group).map_or(0, BTreeMap::len);
        let counted = tally.count(vote.view, vote.kind, vote.id);
        // A certificate that exists needs no more votes.
        if counted >= quorum || waiting.saturating_add(counted) < quorum {
            return Vec::new();
        }
        self.0
            .remove(&group)
            .map(|group| group.into_values().collect())
            .unwrap_or_default()
    }

    /// `vote` itself and the waiting votes of its signer that contradict it, when there are such, waiting or counted;
    /// taken out.
    pub(super) fn take_conflict(&mut self, vote: &Vote, tally: &Tally) -> Vec<Ballot> {
        let mut taken = self.take_contradicting(vote);
        if !taken.is_empty() || tally.contradicts(vote) {
            taken.extend(self.remove(vote));
        }
        taken
    }

    /// The waiting votes of the signer of `vote` that contradict it; taken out.
    pub(super) fn take_contradicting(&mut self, vote: &Vote) -> Vec<Ballot> {
        // Only votes of one view contradict each other.
        let first = (vote.view, VoteKind::Notarize, BlockId([0; 32]));
        let last = (vote.view, VoteKind::Finalize, BlockId([0xff; 32]));
        let (mut taken, mut empty) = (Vec::new(), Vec::new());
        for (group, signers) in self.0.range_mut(first..=last) {
            let contradicts = signers.get(&vote.signer).is_some_and(|other| {
                Evidence::from_votes(other.vote.clone(), vote.clone()).is_some()
            });
            if contradicts {
                taken.extend(signers.remove(&vote.signer));
            }
            if signers.is_empty() {
                empty.push(*group);
            }
        }
        for group in empty {
            self.0.remove(&group);
        }
        taken
    }

    /// All votes of one validator that wait, unverified.
    pub(super) fn votes_of(&self, signer: ValidatorId) -> Vec<Vote> {
        let mine = self.0.values().filter_map(|group| group.get(&signer));
        mine.map(|ballot| ballot.vote.clone()).collect()
    }

    /// All finalize votes for a block, whatever their view; taken out.
    pub(super) fn take_finalize(&mut self, id: BlockId) -> Vec<Ballot> {
        let groups = self.0.keys().filter(|group| {
            let (_, kind, of) = group;
            (*kind, *of) == (VoteKind::Finalize, id)
        });
        let groups: Vec<_> = groups.copied().collect();
        let taken = groups.iter().filter_map(|group| self.0.remove(group));
        taken.flat_map(BTreeMap::into_values).collect()
    }

    /// All votes.
    pub(super) fn votes(&self) -> impl Iterator<Item = Vote> + '_ {
        let ballots = self.0.values().flat_map(BTreeMap::values);
        ballots.map(|ballot| ballot.vote.clone())
    }

    /// Takes out one vote, when it waits.
    pub(super) fn remove(&mut self, vote: &Vote) -> Option<Ballot> {
        let group = (vote.view, vote.kind, vote.id);
        let signers = self.0.get_mut(&group)?;
        let ballot = signers.remove(&vote.signer);
        // What is empty must go: its place costs memory, and a look with every vote.
        if signers.is_empty() {
            self.0.remove(&group);
        }
        ballot
    }

    /// Forgets votes of views beyond `newest`.
    pub(super) fn limit(&mut self, newest: View) {
        self.0.retain(|&(view, _, _), _| view <= newest);
    }

    /// Everything that waits; for a height that nobody has roused, where each vote matters.
    pub(super) fn drain(&mut self) -> Vec<Ballot> {
        std::mem::take(&mut self.0)
            .into_values()
            .flat_map(BTreeMap::into_values)
            .collect()
    }

    /// Forgets votes that are out of range of `current`.
    pub(super) fn prune(&mut self, current: View) {
        let oldest = current.minus(VIEWS_AHEAD_MAX);
        self.0
            .retain(|&(view, _, _), signers| view >= oldest && !signers.is_empty());
    }
}
