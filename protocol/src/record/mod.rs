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
//! | `chunks` | Redundant data | the pieces of a shard, each with its own proof |
//! | `manifest` | 2 | one entry per record; their Merkle root |
//! | `batch` | 2 | the header on chain |
//! | `receipt` | 2 | a kin's signature for what it stored |
//! | `duties` | Redundant data | what a kin should hold; uniform draws from it |
//! | `possession` | Redundant data | drawn places that a kin must show |
//! | `repair` | Redundant data | a lost shard made anew from those of other kin |
//! | `rewrap` | 6 | records' keys encapsulated anew, to another tier key |
//! | `slots` | Redundant data | who holds which shard after a change of the roster |
//! | `erasure`, `copies`, `quota` | Redundant data | what a kin, and a hospital, sign for what they erased; room and what makes some |
//!
//! Not here: who may open what ([`crate::sharing`] makes capsule keys,
//! [`crate::emergency`] says when). The protocol in prose: `docs/spec/opening.md`.

mod batch;
mod capsule;
mod capsule_key;
mod chunks;
mod copies;
mod duties;
mod envelope;
mod erasure;
mod manifest;
mod possession;
mod quota;
mod receipt;
mod repair;
mod rewrap;
mod shards;
mod slots;

#[cfg(test)]
mod hostile_author_tests;

pub use batch::{BatchError, BatchHeader, BatchStatus};
pub use capsule::{
    Capsule, CapsuleChallenge, CapsuleError, CheckedCapsule, Label, SealContext, WrappedKey,
};
pub use capsule_key::CapsuleKey;
pub use chunks::{CHUNK_BYTES, ChunkFault, ChunkProof};
pub use copies::{CopiesErased, CopiesErasedBody, CopiesErasedError};
pub use duties::{DUTIES_MAX, Duties, Duty, DutyError};
pub(crate) use envelope::open_with;
pub use envelope::{
    CIPHERTEXT_BYTES_MAX, RECORD_BYTES_MAX, RecordError, SealedRecord, ciphertext_digest, open,
    seal,
};
pub use erasure::{ERASED_MAX, Erased, Erasure, ErasureBody, ErasureError};
pub use manifest::{Manifest, ManifestError, ManifestLine, RECORDS_MAX, RecordEntry};
pub use possession::{
    ANSWER_BYTES_MAX, Answer, CHALLENGES, Challenge, Outcome, Place, PlaceFault, PossessionError,
    Proof, Verdict,
};
pub use quota::{
    HELD_MAX, HeldBatch, Pruned, Quota, QuotaError, RECORD_OVERHEAD_BYTES, Standing, held_bytes,
    held_bytes_max, prunable,
};
pub use receipt::{Receipt, ReceiptBody, ReceiptError, ReceiptLine, held_digest, receipts_root};
pub use repair::{Offered, Repair, RepairError, RepairFault};
pub use rewrap::{
    REWRAP_BATCHES_MAX, Rewrap, RewrapError, RewrapTree, Rewrapped, RewrappedBatch, Wrapped,
    rewrap, rewrap_leaf,
};
pub use shards::{Rebuilt, Shard, ShardError, ShardFault, ShardSet, rebuild, shards};
pub use slots::{Endurance, SlotError, Slots, assign_slots};
