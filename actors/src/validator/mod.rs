//! Validator: runs credit-BFT, stores blocks, keeps the ledger, answers with proofs.
//!
//! The rules are in `kithkin_protocol::{consensus, ledger}`. [`messages`] is what others may say to it, `actor` the shell,
//! `storage` what it keeps in RocksDB and how it comes back after a crash, `queries` its answers, `intake` transactions that
//! come singly, `batch` those that come by the hundred, `outgoing` what it sends, `ahead` the next block before its time,
//! `outlines` proposals between processes, `judge` signatures, `notes` and `convictions` what the logs say, `sync`, `serve` and
//! `snapshots` how a node that is far behind gets the state, `archive` what auditors get and `export` how they
//! ask for it, `case_index` where in the chain a case is.

mod actor;
mod ahead;
mod archive;
mod batch;
mod case_index;
mod company;
mod convictions;
mod export;
mod intake;
mod judge;
mod light;
pub mod messages;
mod notes;
mod outgoing;
mod outlines;
mod portion;
mod queries;
mod serve;
mod snapshots;
mod storage;
mod sync;

pub use actor::{Memory, Validator, ValidatorConfig};
pub use archive::{Archive, ArchiveError};
pub(crate) use batch::OFFENCES_MAX;
pub use export::{AUDIT_BYTES_MAX, EXPORTS_MAX, ExportAsker, ExportAudit, ExportPlace, ExportRoom};
pub(crate) use intake::GOSSIP_MAX;
#[cfg(test)]
pub(crate) use judge::tests::signed;
pub(crate) use judge::{Party, judge};
pub use storage::{ChainStore, StorageError};
pub use sync::SnapshotPolicy;

#[cfg(test)]
mod tests;
