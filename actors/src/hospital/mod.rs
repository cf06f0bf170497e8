//! A hospital: seals records, spreads shards, opens cases, reads.
//!
//! | file | holds |
//! |---|---|
//! | `actor` | the mailbox: one short handler for each message, and the ticks |
//! | `desk` | what every flow shares: keys, ledger, port, stores |
//! | `disk`, `books` | RocksDB: receipts, repairs, cases, partial openings |
//! | `archive` | uploads in RocksDB, their ciphertexts in the object store |
//! | `sealing`, `spread`, `write` | a bundle becomes sealed uploads, which kin receipt and the ledger anchors |
//! | `repair` | uploads that some kin has not signed for yet |
//! | `request`, `case` | asking to open records, and ending it; a case in memory |
//! | `read` | waiting for a case to open |
//! | `partials`, `judge`, `capsules`, `gather`, `puzzle` | partial openings, capsules in scope, ciphertexts from shards |
//! | `lend` | the own copies for cases of a second circle |
//! | [`consent`] | grants outside emergencies: terms, keys, reads |
//! | `reveal` | combining, logging the read, handing out plaintext |
//!
//! Handlers only start flows. A flow is a future over shared handles; whatever
//! takes the processor for long runs on the blocking pool. Rules are in
//! `kithkin_protocol`: `sharing`, `record`, `emergency`. The protocol in prose:
//! `docs/spec/opening.md`.

mod actor;
mod archive;
mod books;
mod capsules;
mod case;
pub mod consent;
mod desk;
mod disk;
mod erase;
mod gather;
mod judge;
mod lend;
pub mod messages;
mod partials;
mod puzzle;
mod read;
mod repair;
mod request;
mod reveal;
mod sealing;
mod spread;
#[cfg(test)]
mod tests;
mod write;

pub use actor::Hospital;
pub use archive::ArchiveError;
