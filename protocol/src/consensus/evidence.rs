//! Evidence: two signed statements that no honest validator signs both.
//!
//! Whether an offence can still be punished is for [`crate::credit`] to say;
//! how conflicts are noticed is in `tally` and `proposals`.

use crate::consensus::vote::{Evidence, SignedProposalId, Vote, VoteKind};
use crate::credit::ValidatorSet;
use crate::crypto::SigningKey;
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::units::{Height, View};
use std::fmt;

/// Why evidence proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The two statements are of different validators, heights or views.
    #[error("the two statements are about different validators, heights or views")]
    Unrelated,
    /// An honest validator may sign both.
    #[error("an honest validator may sign both statements")]
    NoConflict,
    /// The smaller statement comes first, so that one offence has one form.
    #[error("the two statements stand in the wrong order")]
    Order,
    /// The accused did not vote on that height.
    #[error("{accused} did not vote on that height")]
    Stranger {
        /// The accused.
        accused: ValidatorId,
    },
    /// A signature does not hold.
    #[error("a signature of the evidence does not hold")]
    Signature,
}

/// The kinds of offences that evidence proves (spec section 4, rule 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Offence {
    /// Two notarize votes for different blocks in one view.
    DoubleNotarize,
    /// A nullify and a finalize vote in one view.
    NullifyAndFinalize,
    /// Two finalize votes for different blocks in one view.
    DoubleFinalize,
    /// Two proposals for different blocks in one view.
    DoubleProposal,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DoubleNotarize => "double notarize",
            Self::NullifyAndFinalize => "nullify and finalize",
            Self::DoubleFinalize => "double finalize",
            Self::DoubleProposal => "double proposal",
        })
    }
}

impl SignedProposalId {
    /// The bytes that a proposal signs: domain, chain, height, view, block.
    #[must_use]
    pub fn message(chain: ChainId, height: Height, view: View, id: BlockId) -> Vec<u8> {
        let mut message = Vec::with_capacity(104);
        message.extend_from_slice(b"kithkin/proposal/1");
        message.extend_from_slice(&chain.0);
        message.extend_from_slice(&height.0.to_be_bytes());
        message.extend_from_slice(&view.0.to_be_bytes());
        message.extend_from_slice(&id.0);
        message
    }

    /// Signs a proposal. Only the consensus core calls this, once per view (spec section 2, `propose`).
    #[must_use]
    pub fn sign(
        chain: ChainId,
        height: Height,
        view: View,
        id: BlockId,
        leader: ValidatorId,
        key: &SigningKey,
    ) -> Self {
        let signature = key.sign(&Self::message(chain, height, view, id));
        Self {
            height,
            view,
            id,
            leader,
            signature,
        }
    }

    /// Whether the leader is a member of `set` and its signature holds.
    #[must_use]
    pub fn holds(&self, chain: ChainId, set: &ValidatorSet) -> bool {
        let message = Self::message(chain, self.height, self.view, self.id);
        set.get(self.leader)
            .is_some_and(|info| info.vote_key.verify(&message, &self.signature).is_ok())
    }
}

impl Evidence {
    /// Evidence from two votes, if they conflict.
    #[must_use]
    pub fn from_votes(a: Vote, b: Vote) -> Option<Self> {
        conflict(&a, &b).then(|| {
            if a < b {
                Self::Votes(a, b)
            } else {
                Self::Votes(b, a)
            }
        })
    }

    /// Evidence from two proposals, if they conflict.
    #[must_use]
    pub fn from_proposals(a: SignedProposalId, b: SignedProposalId) -> Option<Self> {
        let same = (a.height, a.view, a.leader) == (b.height, b.view, b.leader);
        (same && a.id != b.id).then(|| {
            if a < b {
                Self::Proposals(a, b)
            } else {
                Self::Proposals(b, a)
            }
        })
    }

    /// What it proves, if it holds.
    #[must_use]
    pub fn offence(&self) -> Offence {
        match self {
            Self::Votes(a, b) => match (a.kind, b.kind) {
                (VoteKind::Notarize, VoteKind::Notarize) => Offence::DoubleNotarize,
                (VoteKind::Finalize, VoteKind::Finalize) => Offence::DoubleFinalize,
                // Of different kinds only these two contradict each other, see `conflict`.
                (VoteKind::Notarize | VoteKind::Nullify | VoteKind::Finalize, _) => {
                    Offence::NullifyAndFinalize
                }
            },
            Self::Proposals(..) => Offence::DoubleProposal,
        }
    }

    /// Who is accused.
    #[must_use]
    pub fn accused(&self) -> ValidatorId {
        match self {
            Self::Votes(vote, _) => vote.signer,
            Self::Proposals(proposal, _) => proposal.leader,
        }
    }

    /// Height of the offence.
    #[must_use]
    pub fn height(&self) -> Height {
        match self {
            Self::Votes(vote, _) => vote.height,
            Self::Proposals(proposal, _) => proposal.height,
        }
    }

    /// View of the offence.
    #[must_use]
    pub fn view(&self) -> View {
        match self {
            Self::Votes(vote, _) => vote.view,
            Self::Proposals(proposal, _) => proposal.view,
        }
    }

    /// Checks the proof under the validators of its height.
    ///
    /// # Errors
    /// The first [`EvidenceError`] found.
    pub fn verify(&self, chain: ChainId, set: &ValidatorSet) -> Result<(), EvidenceError> {
        let accused = self.accused();
        if !set.contains(accused) {
            return Err(EvidenceError::Stranger { accused });
        }
        let (ordered, holds) = match self {
            Self::Votes(a, b) => {
                if (a.signer, a.height, a.view) != (b.signer, b.height, b.view) {
                    return Err(EvidenceError::Unrelated);
                }
                if !conflict(a, b) {
                    return Err(EvidenceError::NoConflict);
                }
                (a < b, a.holds(chain, set) && b.holds(chain, set))
            }
            Self::Proposals(a, b) => {
                if (a.leader, a.height, a.view) != (b.leader, b.height, b.view) {
                    return Err(EvidenceError::Unrelated);
                }
                if a.id == b.id {
                    return Err(EvidenceError::NoConflict);
                }
                (a < b, a.holds(chain, set) && b.holds(chain, set))
            }
        };
        if !ordered {
            return Err(EvidenceError::Order);
        }
        if !holds {
            return Err(EvidenceError::Signature);
        }
        Ok(())
    }
}

/// DoubleNotarize, DoubleFinalize or NullifyAndFinalize (spec section 4, rule 3). Notarize and nullify in one view
/// are no conflict: spec section 2 allows to notarize after nullifying.
fn conflict(a: &Vote, b: &Vote) -> bool {
    use VoteKind::{Finalize, Notarize, Nullify};
    let same = (a.signer, a.height, a.view) == (b.signer, b.height, b.view);
    same && match (a.kind, b.kind) {
        (Notarize, Notarize) | (Finalize, Finalize) => a.id != b.id,
        (Nullify, Finalize) | (Finalize, Nullify) => true,
        (Notarize, Nullify | Finalize) | (Nullify | Finalize, Notarize) | (Nullify, Nullify) => {
            false
        }
    }
}
