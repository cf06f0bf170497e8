//! Vote counting on one height. Votes that come in here have been verified.
//!
//! Bounded: views within [`VIEWS_AHEAD_MAX`] of the current one on either side,
//! per view and kind at most two blocks of one signer (the second convicts it).

use crate::consensus::VIEWS_AHEAD_MAX;
use crate::consensus::vote::{Certificate, Evidence, Vote, VoteKind};
use crate::crypto::Signature;
use crate::ids::{BlockId, ValidatorId};
use crate::units::{Height, View};
use std::collections::{BTreeMap, BTreeSet};

/// Most different blocks that votes of one signer, view and kind are kept for.
const BLOCKS_PER_SIGNER: usize = 2;

/// Signatures by signer, by block.
type Votes = BTreeMap<BlockId, BTreeMap<ValidatorId, Signature>>;

/// All votes of one height.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    height: Height,
    votes: BTreeMap<(View, VoteKind), Votes>,
    /// Views with votes that nobody has looked at.
    fresh: BTreeSet<View>,
}

impl Tally {
    pub(super) fn new(height: Height) -> Self {
        Self {
            height,
            votes: BTreeMap::new(),
            fresh: BTreeSet::new(),
        }
    }

    /// Whether this statement of this signer is counted already.
    pub(super) fn contains(&self, vote: &Vote) -> bool {
        self.votes
            .get(&(vote.view, vote.kind))
            .and_then(|votes| votes.get(&vote.id))
            .is_some_and(|signers| signers.contains_key(&vote.signer))
    }

    /// Whether exactly this vote is counted, and so was verified.
    pub(super) fn knows(&self, vote: &Vote) -> bool {
        let votes = self.votes.get(&(vote.view, vote.kind));
        let signers = votes.and_then(|votes| votes.get(&vote.id));
        vote.height == self.height
            && signers.and_then(|signers| signers.get(&vote.signer)) == Some(&vote.signature)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.votes
            .values()
            .flat_map(BTreeMap::values)
            .map(BTreeMap::len)
            .sum()
    }

    /// Whether one more statement of this signer, view and kind is of use: the second convicts it, a third adds nothing.
    pub(super) fn wants(&self, vote: &Vote) -> bool {
        let votes = self.votes.get(&(vote.view, vote.kind));
        let signed = votes.into_iter().flat_map(BTreeMap::values);
        !self.contains(vote)
            && signed
                .filter(|signers| signers.contains_key(&vote.signer))
                .count()
                < BLOCKS_PER_SIGNER
    }

    /// How many votes are counted for a block.
    pub(super) fn count(&self, view: View, kind: VoteKind, id: BlockId) -> usize {
        let votes = self.votes.get(&(view, kind));
        votes
            .and_then(|votes| votes.get(&id))
            .map_or(0, BTreeMap::len)
    }

    /// Whether a vote contradicts one that is counted.
    pub(super) fn contradicts(&self, vote: &Vote) -> bool {
        self.conflict(vote).is_some()
    }

    /// Counts a verified vote. Returns proof of an offence when it contradicts one counted before.
    pub(super) fn insert(&mut self, vote: &Vote) -> Option<Evidence> {
        if vote.height != self.height || self.contains(vote) {
            return None;
        }
        let evidence = self.conflict(vote);
        let votes = self.votes.entry((vote.view, vote.kind)).or_default();
        let mine = votes
            .values()
            .filter(|signers| signers.contains_key(&vote.signer))
            .count();
        if mine < BLOCKS_PER_SIGNER {
            votes
                .entry(vote.id)
                .or_default()
                .insert(vote.signer, vote.signature);
            self.fresh.insert(vote.view);
        }
        evidence
    }

    fn conflict(&self, vote: &Vote) -> Option<Evidence> {
        [VoteKind::Notarize, VoteKind::Nullify, VoteKind::Finalize]
            .into_iter()
            .find_map(|kind| {
                let votes = self.votes.get(&(vote.view, kind))?;
                votes.iter().find_map(|(&id, signers)| {
                    let &signature = signers.get(&vote.signer)?;
                    let other = Vote {
                        kind,
                        height: self.height,
                        view: vote.view,
                        id,
                        signer: vote.signer,
                        signature,
                    };
                    Evidence::from_votes(other, vote.clone())
                })
            })
    }

    /// A view with news; each is given out once.
    pub(super) fn next_fresh(&mut self) -> Option<View> {
        self.fresh.pop_first()
    }

    /// The certificate of all votes of this kind and view for one block, if they are a quorum.
    pub(super) fn certificate(
        &self,
        view: View,
        kind: VoteKind,
        quorum: usize,
    ) -> Option<Certificate> {
        let votes = self.votes.get(&(view, kind))?;
        let (&id, signers) = votes
            .iter()
            .find(|(_, signers)| signers.len() >= quorum.max(1))?;
        Some(Certificate {
            kind,
            height: self.height,
            view,
            id,
            votes: signers
                .iter()
                .map(|(&signer, &signature)| (signer, signature))
                .collect(),
        })
    }

    /// All finalize votes for a block, whatever their view.
    pub(super) fn finalize_votes(&self, id: BlockId) -> Vec<Vote> {
        let finalize = |vote: &Vote| vote.kind == VoteKind::Finalize && vote.id == id;
        self.votes().filter(finalize).collect()
    }

    /// All votes of one validator.
    pub(super) fn votes_of(&self, signer: ValidatorId) -> Vec<Vote> {
        self.votes().filter(|vote| vote.signer == signer).collect()
    }

    /// Whether votes of `view` are kept while the node is in view `current`.
    pub(super) fn in_range(view: View, current: View) -> bool {
        view.0 > 0
            && view <= current.plus(VIEWS_AHEAD_MAX)
            && view >= current.minus(VIEWS_AHEAD_MAX)
    }

    /// All votes.
    pub(super) fn votes(&self) -> impl Iterator<Item = Vote> + '_ {
        let height = self.height;
        self.votes.iter().flat_map(move |(&(view, kind), votes)| {
            votes.iter().flat_map(move |(&id, signers)| {
                signers.iter().map(move |(&signer, &signature)| Vote {
                    kind,
                    height,
                    view,
                    id,
                    signer,
                    signature,
                })
            })
        })
    }

    /// Forgets votes of views beyond `newest`.
    pub(super) fn limit(&mut self, newest: View) {
        self.votes.retain(|&(view, _), _| view <= newest);
        self.fresh.retain(|&view| view <= newest);
    }

    /// Forgets votes that are out of range of `current`.
    pub(super) fn prune(&mut self, current: View) {
        let oldest = current.minus(VIEWS_AHEAD_MAX);
        self.votes.retain(|&(view, _), _| view >= oldest);
        self.fresh.retain(|&view| view >= oldest);
    }
}
