//! What goes into the core and what comes out.

use crate::consensus::message::Message;
use crate::consensus::vote::{Certificate, Evidence};
use crate::consensus::wal::WalEntry;
use crate::ids::{BlockId, ValidatorId};
use crate::ledger::{Block, BlockError, Effects, SignedTransaction};
use crate::units::{Height, Millis, View};
use std::sync::Arc;

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message; the transport has authenticated who sent it.
    Message {
        /// The sender.
        from: ValidatorId,
        /// What it sent.
        message: Message,
    },
    /// A timer that [`Output::SetTimer`] set has run out. Stale ones are ignored: the shell need not cancel any.
    TimerFired(Timer),
    /// The answer to [`Output::Build`].
    Built {
        /// The order's height.
        height: Height,
        /// The order's view.
        view: View,
        /// In the order of execution; may be empty.
        transactions: Vec<SignedTransaction>,
    },
    /// Whether transactions wait for a block. To be reported anew after each [`Output::Commit`].
    Work(bool),
}

/// What the shell is to do, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make durable before anything after it leaves.
    Persist(WalEntry),
    /// Send to every other validator.
    Broadcast(Message),
    /// Send to one validator.
    Send {
        /// To whom.
        to: ValidatorId,
        /// What.
        message: Message,
    },
    /// Load finalized blocks from the store and send them as [`Message::Committed`].
    SendCommitted {
        /// To whom.
        to: ValidatorId,
        /// First height; not above the head.
        from: Height,
        /// How many at most; fewer when a frame holds no more.
        count: u16,
    },
    /// Give the timer back after this time.
    SetTimer {
        /// The timer.
        timer: Timer,
        /// When, in milliseconds from now.
        after: Millis,
    },
    /// Choose transactions for a block and answer with [`Input::Built`].
    Build {
        /// To be repeated in the answer.
        height: Height,
        /// To be repeated in the answer.
        view: View,
        /// The block's time, for transactions that expire.
        time_ms: Millis,
        /// How many bytes the transactions may have, encoded.
        bytes_max: usize,
    },
    /// A block is final: store block, certificate and effects in one durable batch, then delete the write-ahead
    /// records of its height.
    Commit {
        /// The block.
        block: Arc<Block>,
        /// Its identifier.
        id: BlockId,
        /// Its finalization.
        certificate: Certificate,
        /// What executing it changed.
        effects: Effects,
    },
    /// A validator was caught; for the logs. The core brings it on chain by itself.
    Accuse(Evidence),
    /// Something worth showing.
    Note(Note),
}

/// A timer; `serial` tells a present one from a stale one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// What it is for.
    pub kind: TimerKind,
    /// Rises with every timer that is set.
    pub serial: u64,
}

/// What a timer is for. Of each kind at most one is present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKind {
    /// The view has lasted too long.
    View,
    /// Say again what the others may have missed.
    Rebroadcast,
    /// The finalization has had its time: re-propose.
    Repropose,
    /// The idle rule: time for the heartbeat, or to listen to a few.
    Rouse,
    /// A proposal from the future may now be in time.
    Recheck,
    /// A peer did not send a block body.
    Fetch,
    /// A peer did not send finalized blocks.
    CatchUp,
    /// Too few have said which of our votes they saw.
    Recall,
}

/// Something worth showing to an operator; changes nothing.
#[derive(Clone, Debug)]
pub enum Note {
    /// A view was entered.
    ViewChanged {
        /// Height.
        height: Height,
        /// The view entered.
        view: View,
        /// Why.
        reason: ViewReason,
        /// Who leads it.
        leader: Option<ValidatorId>,
    },
    /// This node voted to nullify.
    Nullifying {
        /// Height.
        height: Height,
        /// View.
        view: View,
        /// Why.
        reason: NullifyReason,
    },
    /// This node is behind and asks a peer.
    CatchingUp {
        /// Who is asked.
        peer: ValidatorId,
        /// First height asked for.
        from: Height,
    },
    /// This node has forgotten what it signed, or was told so. It follows, and votes from `vote_from` on. The shell
    /// keeps that height durably, for the next start.
    Quarantined {
        /// The first height that it votes on again.
        vote_from: Height,
        /// The height of a vote of its own that its log does not have; none when the operator has ordered it.
        forgot: Option<Height>,
    },
    /// A peer sent what an honest one does not send.
    Misbehaved {
        /// The peer.
        peer: ValidatorId,
        /// What it did.
        fault: Fault,
    },
    /// The ledger refuses our own block; nothing was proposed. A defect.
    OwnBlockRefused {
        /// Height.
        height: Height,
        /// Why.
        error: BlockError,
    },
    /// A finalized block cannot be executed: this node's state is damaged, or more than f validators are faulty; or the
    /// next height follows rules that this program does not know ([`BlockError::Version`]).
    /// The node has stopped voting for good.
    Halted {
        /// Height.
        height: Height,
        /// Why.
        error: BlockError,
    },
}

/// Why a view was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewReason {
    /// The view before was nullified: the scheme's view change.
    Nullified,
    /// A block was notarized; its finalization is under way. The normal end of a view.
    Notarized,
}

/// Why a node votes to nullify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullifyReason {
    /// The view lasted too long.
    Timeout,
    /// The master's block is invalid.
    InvalidBlock,
}

/// What a peer did that an honest one does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More items in a message than allowed.
    #[error("a message with {count} items")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A vote of someone else.
    #[error("a vote of {signer}")]
    ForeignVote {
        /// Whose.
        signer: ValidatorId,
    },
    /// A vote whose signature does not hold.
    #[error("a vote whose signature does not hold")]
    VoteSignature,
    /// A certificate that does not hold or does not belong where it stood.
    #[error("a certificate that does not hold")]
    Certificate,
    /// A proposal by someone who does not lead the view, or with a bad signature.
    #[error("a proposal for view {view} that its master did not send")]
    Proposal {
        /// The view.
        view: View,
    },
    /// A re-proposal of another block than the notarized one, or a fresh block of another view.
    #[error("a proposal for view {view} whose block does not fit its justification")]
    ProposalBlock {
        /// The view.
        view: View,
    },
    /// A fresh block that is not valid.
    #[error("an invalid block: {error}")]
    Block {
        /// Why.
        error: Box<BlockError>,
    },
    /// Finalized blocks that are none.
    #[error("a block at height {height} without a valid finalization")]
    Committed {
        /// The height.
        height: Height,
    },
    /// Evidence that proves nothing.
    #[error("evidence that proves nothing")]
    Evidence,
    /// A vote or proposal of somebody else, passed on, whose signature does not hold.
    #[error("hearsay whose signatures do not hold")]
    Hearsay,
}
