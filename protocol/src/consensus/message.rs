//! What validators send each other, and how much of it fits into one message.

use crate::consensus::recall::Recall;
use crate::consensus::vote::{Certificate, Evidence, SignedProposalId, Vote};
use crate::crypto::Signature;
use crate::ids::{BlockId, ValidatorId};
use crate::ledger::Block;
use crate::units::{Height, View};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most nullifications in one message; a longer justification travels in pages.
pub const NULLIFICATIONS_PER_MESSAGE: usize = 16;
/// Most votes in one message.
pub const BALLOTS_PER_MESSAGE: usize = 64;
/// Most signatures of masters that are passed on in one message.
pub const SIGNATURES_PER_MESSAGE: usize = 16;
/// Most finalized blocks asked for or sent at once.
pub const COMMITTED_PER_MESSAGE: usize = 64;

/// A vote as it travels. A notarize vote takes along the master's signature under the proposal, so that two
/// proposals in one view convict their master wherever votes for both meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    /// The vote.
    pub vote: Vote,
    /// The master's signature over height, view and block of a notarize vote, as far as the sender still has it.
    pub proposal: Option<Signature>,
}

/// Why a view may be entered (spec section 1, J), or the latest page of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Justification {
    /// The notarization that the view builds on; none when every view before is nullified.
    pub base: Option<Certificate>,
    /// Nullifications of views between base and the justified view; at most [`NULLIFICATIONS_PER_MESSAGE`].
    pub nullifications: Vec<Certificate>,
}

/// A master's proposal. Accepted from the master itself only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Height.
    pub height: Height,
    /// View.
    pub view: View,
    /// The block: fresh without a base, else the base's block again.
    #[serde(with = "shared")]
    pub block: Arc<Block>,
    /// Why the view may be entered; its base decides what may be proposed.
    pub justification: Justification,
    /// The master.
    pub leader: ValidatorId,
    /// See [`SignedProposalId::message`].
    pub signature: Signature,
}

impl Proposal {
    /// What the master signed, for a block whose identifier is known.
    #[must_use]
    pub fn signed(&self, id: BlockId) -> SignedProposalId {
        SignedProposalId {
            height: self.height,
            view: self.view,
            id,
            leader: self.leader,
            signature: self.signature,
        }
    }
}

/// "I am in this view, and here is why."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewView {
    /// Height.
    pub height: Height,
    /// The sender's view.
    pub view: View,
    /// A page of the view's justification.
    pub justification: Justification,
}

/// A finalized block with its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finalized {
    /// The block.
    #[serde(with = "shared")]
    pub block: Arc<Block>,
    /// Its finalization.
    pub certificate: Certificate,
}

/// Votes and proposals of others on a height that is over, which do not belong to what was decided there. Each proves
/// itself; whoever holds a contradicting one convicts its signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hearsay {
    /// The height of all of them.
    pub height: Height,
    /// At most [`BALLOTS_PER_MESSAGE`].
    pub votes: Vec<Vote>,
    /// At most [`SIGNATURES_PER_MESSAGE`].
    pub proposals: Vec<SignedProposalId>,
}

/// Everything that validators send each other for consensus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// A block to vote on.
    Proposal(Box<Proposal>),
    /// Votes of the sender; at most [`BALLOTS_PER_MESSAGE`].
    Ballots(Vec<Ballot>),
    /// The sender's view.
    NewView(Box<NewView>),
    /// "Send me finalized blocks": answered by the shell from its store.
    GetCommitted {
        /// First height.
        from: Height,
        /// How many; at most [`COMMITTED_PER_MESSAGE`].
        count: u16,
    },
    /// Finalized blocks in ascending order of height; at most [`COMMITTED_PER_MESSAGE`], and fewer when a frame
    /// holds no more.
    Committed(Vec<Finalized>),
    /// The answer to [`Message::GetCommitted`] of a node that began with a snapshot and does not have these blocks.
    NoBlocks {
        /// The first height asked for.
        from: Height,
        /// The lowest height above it that the sender may have.
        first: Height,
    },
    /// "Send me this block of the height that is being voted on."
    GetBody {
        /// Height.
        height: Height,
        /// The block.
        id: BlockId,
    },
    /// The answer to [`Message::GetBody`].
    Body(#[serde(with = "shared")] Arc<Block>),
    /// Proof of an offence that the sender has found.
    Evidence(Box<Evidence>),
    /// Own votes that a node may have forgotten.
    Recall(Recall),
    /// What the sender saw of others and does not fit what was decided.
    Hearsay(Box<Hearsay>),
}

/// A block is shared inside a process and written out on the wire.
pub(crate) mod shared {
    use super::{Arc, Block, Deserialize, Serialize};

    pub(crate) fn serialize<S: serde::Serializer>(
        block: &Arc<Block>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        block.as_ref().serialize(s)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
        d: D,
    ) -> Result<Arc<Block>, D::Error> {
        Block::deserialize(d).map(Arc::new)
    }
}
