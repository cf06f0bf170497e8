//! What a leader is told.

use actix::Message;
use kithkin_protocol::ids::BlockId;
use kithkin_protocol::ledger::{SignedTransaction, State};
use kithkin_protocol::units::{Height, Millis, View};

/// Validator -> its Leader. "I am master of this view: choose the transactions of the block."
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct Assemble {
    /// To be repeated in the answer.
    pub height: Height,
    /// To be repeated in the answer.
    pub view: View,
    /// To be repeated in the answer: the block before, when that is not final yet.
    pub ahead_of: Option<BlockId>,
    /// The block's time.
    pub time_ms: Millis,
    /// How many bytes the transactions may have.
    pub bytes_max: usize,
    /// The state that the block follows; a cheap copy.
    pub state: State,
    /// Waiting transactions, oldest first.
    pub candidates: Vec<SignedTransaction>,
}
