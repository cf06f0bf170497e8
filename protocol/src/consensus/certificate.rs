//! What makes a certificate valid, and the batch check of votes with bisecting.
//!
//! All verification of vote signatures is here. Counting is in `tally`.

use crate::consensus::vote::{Certificate, Vote, VoteKind};
use crate::credit::ValidatorSet;
use crate::crypto::{Signature, VerifyingKey, verify_batch, verify_each};
use crate::ids::{BlockId, ChainId, ValidatorId};

/// Says of a vote whether exactly it, with its signature, was found to hold under the validators of its height.
pub(crate) type Known<'a> = &'a dyn Fn(&Vote) -> bool;

/// Why a certificate does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// Fewer votes than a quorum, or more than there are validators.
    #[error("the certificate has {votes} votes; {quorum} to {n} are needed")]
    Count {
        /// How many it has.
        votes: usize,
        /// How many are needed.
        quorum: usize,
        /// How many validators there are.
        n: usize,
    },
    /// A nullification that names a block, or a certificate of another kind that names none.
    #[error("the certificate's kind and block do not go together")]
    Subject,
    /// View 0 does not exist.
    #[error("the certificate is for view 0")]
    View,
    /// A signer twice, or out of order.
    #[error("signer {signer} of the certificate stands twice or out of order")]
    Order {
        /// The signer.
        signer: ValidatorId,
    },
    /// A signer that does not vote on that height.
    #[error("signer {signer} of the certificate does not vote on that height")]
    Stranger {
        /// The signer.
        signer: ValidatorId,
    },
    /// At least one signature does not hold.
    #[error("a signature of the certificate does not hold")]
    Signature,
}

impl Vote {
    /// Whether kind, view and block go together: a nullify vote names no block, every other vote names one.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        well_formed(self.kind, self.id) && self.view.0 > 0
    }

    /// Whether this is a well-formed vote of a member of `set` with a signature that holds.
    #[must_use]
    pub fn holds(&self, chain: ChainId, set: &ValidatorSet) -> bool {
        let message = Self::message(chain, self.kind, self.height, self.view, self.id);
        self.is_well_formed()
            && set
                .get(self.signer)
                .is_some_and(|info| info.vote_key.verify(&message, &self.signature).is_ok())
    }
}

fn well_formed(kind: VoteKind, id: BlockId) -> bool {
    match kind {
        VoteKind::Nullify => id == BlockId::NONE,
        VoteKind::Notarize | VoteKind::Finalize => id != BlockId::NONE,
    }
}

impl Certificate {
    /// Checks the certificate under the validators of its height: at least a quorum of distinct members, ordered by
    /// number, each signature holding. More votes than a quorum are welcome: each earns its signer credit.
    ///
    /// # Errors
    /// The first [`CertError`] found.
    pub fn verify(&self, chain: ChainId, set: &ValidatorSet) -> Result<(), CertError> {
        self.verify_knowing(chain, set, &|_| false)
    }

    /// [`Self::verify`] for somebody who has verified some of the votes before, signature and all: `known` says which.
    pub(crate) fn verify_knowing(
        &self,
        chain: ChainId,
        set: &ValidatorSet,
        known: Known<'_>,
    ) -> Result<(), CertError> {
        let (votes, quorum, n) = (self.votes.len(), set.quorum(), set.n());
        if votes == 0 || votes < quorum || votes > n {
            return Err(CertError::Count { votes, quorum, n });
        }
        if !well_formed(self.kind, self.id) {
            return Err(CertError::Subject);
        }
        if self.view.0 == 0 {
            return Err(CertError::View);
        }
        let message = Vote::message(chain, self.kind, self.height, self.view, self.id);
        let mut items: Vec<(VerifyingKey, &[u8], Signature)> = Vec::with_capacity(votes);
        let mut last = None;
        for vote in self.iter_votes() {
            let signer = vote.signer;
            if last.is_some_and(|last| last >= signer) {
                return Err(CertError::Order { signer });
            }
            last = Some(signer);
            let info = set.get(signer).ok_or(CertError::Stranger { signer })?;
            if !known(&vote) {
                items.push((info.vote_key, &message, vote.signature));
            }
        }
        verify_batch(&items).map_err(|_| CertError::Signature)
    }

    /// The votes that the certificate is made of.
    pub fn iter_votes(&self) -> impl Iterator<Item = Vote> + '_ {
        self.votes.iter().map(|&(signer, signature)| Vote {
            kind: self.kind,
            height: self.height,
            view: self.view,
            id: self.id,
            signer,
            signature,
        })
    }
}

/// Which of `votes` hold: in one batch when all do, else by halves, so that one bad vote among many costs little more.
#[must_use]
pub fn verify_votes(chain: ChainId, set: &ValidatorSet, votes: &[Vote]) -> Vec<bool> {
    let mut verdicts = vec![false; votes.len()];
    let candidates: Vec<(usize, VerifyingKey, Vec<u8>)> = votes
        .iter()
        .enumerate()
        .filter(|(_, vote)| vote.is_well_formed())
        .filter_map(|(place, vote)| {
            let key = set.get(vote.signer)?.vote_key;
            let message = Vote::message(chain, vote.kind, vote.height, vote.view, vote.id);
            Some((place, key, message))
        })
        .collect();
    let items: Vec<_> = candidates
        .iter()
        .filter_map(|(place, key, message)| {
            Some((*key, message.as_slice(), votes.get(*place)?.signature))
        })
        .collect();
    for ((place, ..), holds) in candidates.iter().zip(verify_each(&items)) {
        if let Some(verdict) = verdicts.get_mut(*place) {
            *verdict = holds;
        }
    }
    verdicts
}
