//! A patient's own device: the only place where tier keys exist.
//!
//! | file | holds |
//! |---|---|
//! | [`messages`] | what others may say to it |
//! | `actor` | the shell: mailbox and timers |
//! | `device` | what every flow works with: keys, store, ledger client |
//! | `draft` | an enrolment on its way to the ledger, as it is kept across restarts |
//! | `enrol` | choosing kin: dealing, asking everybody, submitting |
//! | `collect` | getting uploads and ciphertexts back from hospital or kin |
//! | [`consent`] | letting hospitals read, outside emergencies |
//! | `disclose` | the report about a case, from what the ledger proves |
//! | `erase` | having records erased: the order, and receipts of deletion from every holder |
//! | `readiness` | what drills say of the kin, told to the person |
//! | `read` | opening records with the own keys |
//! | `roster` | proposing and stopping changes of the roster |
//! | `rules` | laying down other rules |
//! | `anew` | a new device: rebuilding the keys, dealing others, wrapping the records' keys anew |
//! | `propose` | having what a new device dealt stand on chain, whatever happens to it meanwhile |
//! | `second` | naming, replacing and withdrawing the second circle after the enrolment |
//! | `storage` | what a new device keeps until all kin hold what it dealt |
//!
//! The rules are in `kithkin_protocol::{sharing, record, ledger}`.

mod actor;
mod anew;
mod collect;
pub mod consent;
mod device;
mod disclose;
mod draft;
mod enrol;
mod erase;
pub mod messages;
mod propose;
mod read;
mod readiness;
mod roster;
mod rules;
mod second;
mod storage;
#[cfg(test)]
mod tests;

pub use actor::Patient;
