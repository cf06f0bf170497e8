//! A friend or relative: keeps shares and shards, proves requests, decides, releases partial openings.

mod actor;
pub mod messages;

pub use actor::FriendRelative;
