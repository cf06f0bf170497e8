//! A hospital: seals records, spreads shards, opens cases, reads.

mod actor;
pub mod messages;

pub use actor::Hospital;
