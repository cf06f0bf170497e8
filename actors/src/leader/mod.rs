//! Leader: awake only while its validator is the master of a view; picks transactions and hands back the block's content.
//!
//! A leader keeps nothing: after a crash the view times out and the next order finds a fresh one.

mod actor;
pub mod messages;

pub use actor::Leader;
