//! Finalize votes that came after their certificate: the next own block brings them credit (spec section 4, rule 1).
//!
//! Bounded: one vote per validator for each of the last [`LATE`] heights.

use crate::consensus::vote::{Certificate, Vote, VoteKind};
use crate::credit::{LATE, Standings};
use crate::ids::ValidatorId;
use crate::units::Height;
use std::collections::BTreeMap;

/// Votes for finalized blocks by height and signer; verified.
#[derive(Clone, Debug, Default)]
pub(super) struct LateVotes(BTreeMap<(Height, ValidatorId), Vote>);

impl LateVotes {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, vote: &Vote) -> bool {
        self.0.contains_key(&(vote.height, vote.signer))
    }

    /// Whether exactly this vote is kept, and so was verified.
    pub(super) fn knows(&self, vote: &Vote) -> bool {
        self.0.get(&(vote.height, vote.signer)) == Some(vote)
    }

    /// Whether a vote, should it hold, can still earn credit.
    pub(super) fn wants(&self, vote: &Vote, standings: &Standings) -> bool {
        vote.kind == VoteKind::Finalize
            && !self.contains(vote)
            && standings.uncredited(vote.signer, vote.height) == Some(vote.id)
    }

    /// Keeps a vote that was verified before.
    pub(super) fn keep(&mut self, vote: Vote) {
        self.0.entry((vote.height, vote.signer)).or_insert(vote);
    }

    /// For the block after `standings`: heights h-LATE..h-2, not yet credited, ascending.
    pub(super) fn for_block(&self, standings: &Standings) -> Vec<Vote> {
        let height = standings.height().plus(1);
        self.0
            .values()
            .filter(|vote| vote.height >= height.minus(LATE) && vote.height.plus(2) <= height)
            .filter(|vote| standings.uncredited(vote.signer, vote.height) == Some(vote.id))
            .cloned()
            .collect()
    }

    /// Adds to a finalization the votes of the same view that came after it: all of them earn credit.
    pub(super) fn complete(&self, mut certificate: Certificate) -> Certificate {
        let mut votes: BTreeMap<_, _> = certificate.votes.into_iter().collect();
        for vote in self.0.values() {
            if (vote.height, vote.view, vote.id)
                == (certificate.height, certificate.view, certificate.id)
            {
                votes.entry(vote.signer).or_insert(vote.signature);
            }
        }
        certificate.votes = votes.into_iter().collect();
        certificate
    }

    /// Forgets votes that no later block after `head` can credit.
    pub(super) fn prune(&mut self, head: Height) {
        let oldest = head.plus(1).minus(LATE);
        self.0.retain(|&(height, _), _| height >= oldest);
    }
}
