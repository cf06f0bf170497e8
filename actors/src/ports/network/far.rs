//! Names that live in another process: what the network needs of a transport that reaches them.
//!
//! The transport is a value behind a small trait, so that this module knows neither sockets nor the messages of any
//! actor. What there is: [`crate::peer`].

use crate::ports::names::ActorName;
use core::any::Any;
use kithkin_protocol::credit::Company;
use kithkin_protocol::ids::ValidatorId;
use std::sync::Arc;

/// A message as it travels: written once, shared by all who are sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the bytes are; the transport's own numbers.
    pub kind: u8,
    /// A frame of [`kithkin_protocol::wire`].
    pub bytes: Arc<[u8]>,
}

/// A transport to other processes. Called on the threads of actors: nothing here may wait.
pub trait Far: Send + Sync {
    /// Writes a message; none when messages of its type stay in their process.
    fn write(&self, message: &dyn Any) -> Option<Frame>;

    /// Puts a frame into the queue of `to`; false when it was dropped, or has pushed out another one.
    fn send(&self, to: ActorName, frame: Frame) -> bool;

    /// Puts a frame into the queues of several; answers how many of them have it without a loss.
    fn send_all(&self, to: &[ActorName], frame: &Frame) -> usize {
        let sent = |to: &&ActorName| self.send(**to, frame.clone());
        to.iter().filter(sent).count()
    }

    /// Says who the validators are from now on. Beside them only the operator's guests are talked to.
    fn admit(&self, company: Company);

    /// The names of the operator's guests: others who follow the chain and may have what this node lacks.
    fn guests(&self) -> Vec<ValidatorId>;

    /// Holds against `author` that it has said what no validator says. True when the log has not told of it lately.
    fn blame(&self, author: ActorName) -> bool;
}
