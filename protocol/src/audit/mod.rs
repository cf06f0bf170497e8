//! Audit bundles: what happened in an emergency case, provable to somebody who was not there and trusts nobody.
//!
//! A [`Bundle`] holds everything that a reader needs beside the genesis: the steps of a light client up to a head, entries of the state
//! under that head, and every transaction of a case with its block's header, finalization and place. [`verify()`] follows the
//! steps from the genesis, checks every proof, executes the case anew with the ledger's own rules and requires the result
//! to be the proved entry; whatever was changed, left out, added or moved makes it fail with an [`AuditError`] that names it. What
//! it finds are [`Findings`]; [`words`] says them in plain sentences. [`build()`] puts a bundle together from a [`Source`].
//!
//! Not here: files, networks, and the words of attachments. The rules of a case are in [`crate::emergency`] and
//! [`crate::ledger`]; `audit/replay.rs` is the one file that applies them. The format is described in `docs/spec/audit.md`.

mod build;
mod bundle;
mod error;
mod findings;
mod replay;
mod verify;
pub mod words;

pub use build::{BuildError, Source, build};
pub use bundle::{
    ATTACHMENT_NAME_BYTES_MAX, ATTACHMENTS_MAX, Attachment, BATCHES_MAX, BUNDLE_BYTES_MAX, Bundle,
    BundleError, CASES_MAX, CaseFile, FORMAT, Placed, SealedBlock, Subject, TRANSACTIONS_MAX,
};
pub use error::{AuditError, Part};
pub use findings::{
    AsOf, AttachmentFinding, BatchFinding, CaseFinding, Closing, Decision, Findings,
    HospitalFinding, Judgement, Mark, PatientFinding, ReadReport, Release, ScopeFinding,
    TierFinding, Veto, VoucherFinding,
};
pub use verify::{verify, verify_bytes};

#[cfg(test)]
mod tests;
