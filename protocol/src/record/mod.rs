//! Sealed records: the envelope, its key capsule, its shards, and what of it stands on chain.
//!
//! A hospital seals each record to the patient's tier key, without the patient
//! being there, and spreads the ciphertext over the kin so that any majority of
//! them can put it together. On chain stands one [`BatchHeader`] per upload.
//!
//! | file | opening.md | holds |
//! |---|---|---|
//! | `capsule`, `capsule_key` | 2 | the record's key, encapsulated so that shares can open it (TDH2) |
//! | `envelope` | 2 | compress, encrypt, commit; and back |
//! | `shards` | architecture, "A record's way" | Reed-Solomon shards with Merkle proofs |
//! | `manifest` | 2 | one entry per record; their Merkle root |
//! | `batch` | 2 | the header on chain |
//! | `receipt` | 2 | a kin's signature for what it stored |
//!
//! Not here: who may open what ([`crate::sharing`] makes capsule keys,
//! [`crate::emergency`] says when). The protocol in prose: `docs/spec/opening.md`.

mod batch;
mod capsule;
mod capsule_key;
mod envelope;
mod manifest;
mod receipt;
mod shards;

#[cfg(test)]
mod hostile_author_tests;

pub use batch::{BatchError, BatchHeader, BatchStatus};
pub use capsule::{Capsule, CapsuleError, CheckedCapsule, Label, SealContext, WrappedKey};
pub use capsule_key::CapsuleKey;
pub use envelope::{
    CIPHERTEXT_BYTES_MAX, RECORD_BYTES_MAX, RecordError, SealedRecord, ciphertext_digest, open,
    seal,
};
pub use manifest::{Manifest, ManifestError, RECORDS_MAX, RecordEntry};
pub use receipt::{Receipt, ReceiptBody, ReceiptError, ReceiptLine, held_digest, receipts_root};
pub use shards::{Rebuilt, Shard, ShardError, ShardFault, ShardSet, rebuild, shards};
