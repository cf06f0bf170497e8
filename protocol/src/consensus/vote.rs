//! Votes, certificates and evidence: everything that a validator can be held to.

use crate::crypto::{Signature, SigningKey};
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::units::{Height, View};
use serde::{Deserialize, Serialize};

/// What a vote says about a view.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum VoteKind {
    /// This block is valid and the only one I notarize in this view (the scheme's "prepare").
    Notarize,
    /// This view passed without a block for me (the scheme's view change).
    Nullify,
    /// This view notarized this block, and I never nullified the view (the scheme's "commit").
    Finalize,
}

/// A signed statement about one view of one height.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Vote {
    /// What it says.
    pub kind: VoteKind,
    /// About which height.
    pub height: Height,
    /// About which view.
    pub view: View,
    /// About which block; [`BlockId::NONE`] for a nullify vote.
    pub id: BlockId,
    /// Who says so.
    pub signer: ValidatorId,
    /// Ed25519 over [`Vote::message`].
    pub signature: Signature,
}

impl Vote {
    /// The bytes that a vote signs: domain, chain, kind, height, view, block.
    #[must_use]
    pub fn message(
        chain: ChainId,
        kind: VoteKind,
        height: Height,
        view: View,
        id: BlockId,
    ) -> Vec<u8> {
        let mut message = Vec::with_capacity(96);
        message.extend_from_slice(b"kithkin/vote/1");
        message.extend_from_slice(&chain.0);
        message.push(match kind {
            VoteKind::Notarize => 1,
            VoteKind::Nullify => 2,
            VoteKind::Finalize => 3,
        });
        message.extend_from_slice(&height.0.to_be_bytes());
        message.extend_from_slice(&view.0.to_be_bytes());
        message.extend_from_slice(&id.0);
        message
    }

    /// Signs a vote. Only the consensus core calls this, behind its own guard (spec section 2, `sign`).
    #[must_use]
    pub fn sign(
        chain: ChainId,
        kind: VoteKind,
        height: Height,
        view: View,
        id: BlockId,
        signer: ValidatorId,
        key: &SigningKey,
    ) -> Self {
        let signature = key.sign(&Self::message(chain, kind, height, view, id));
        Self {
            kind,
            height,
            view,
            id,
            signer,
            signature,
        }
    }
}

/// Votes of one kind for one block in one view, by a quorum of distinct validators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Certificate {
    /// Kind of the votes: a notarization, nullification or finalization.
    pub kind: VoteKind,
    /// Height of the votes.
    pub height: Height,
    /// View of the votes.
    pub view: View,
    /// Block of the votes; [`BlockId::NONE`] for a nullification.
    pub id: BlockId,
    /// Signers and signatures, ordered by signer.
    pub votes: Vec<(ValidatorId, Signature)>,
}

/// Proof that a validator signed two statements that no honest one signs both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Evidence {
    /// Two votes of one signer, height and view: two notarize or two finalize votes for different blocks, or a
    /// nullify and a finalize vote.
    Votes(Vote, Vote),
    /// Two proposals of one master, height and view for different blocks.
    Proposals(SignedProposalId, SignedProposalId),
}

/// What a master signs when it proposes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SignedProposalId {
    /// Height of the proposal.
    pub height: Height,
    /// View of the proposal.
    pub view: View,
    /// The proposed block.
    pub id: BlockId,
    /// The master.
    pub leader: ValidatorId,
    /// Ed25519 over domain, chain, height, view, block.
    pub signature: Signature,
}
