//! What can go wrong with an upload's ciphertexts.

use crate::ports::objects::ObjectsError;
use kithkin_protocol::ids::RecordId;

/// Why ciphertexts were not kept, read or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The pack was not written: the upload is not kept.
    #[error("the ciphertexts of an upload cannot be kept: {0}")]
    Keep(#[source] ObjectsError),
    /// The pack is missing, has another length, or the store fails.
    #[error("the ciphertext of record {record} cannot be read: {source}")]
    Read {
        /// The first record that was wanted of it.
        record: RecordId,
        /// Why; names the object.
        source: ObjectsError,
    },
    /// The object does not begin as the pack of this upload does.
    #[error("the ciphertext of record {record} cannot be read: {object} is no pack of its upload")]
    NoPack {
        /// The first record of the upload.
        record: RecordId,
        /// Place and name of the object.
        object: String,
    },
    /// The bytes are not those that were sealed.
    #[error(
        "the ciphertext of record {record} is damaged: {object} holds other bytes than its manifest names"
    )]
    Damaged {
        /// The record.
        record: RecordId,
        /// Place and name of the object.
        object: String,
    },
    /// The pack was not removed.
    #[error("the ciphertexts of an upload cannot be removed: {0}")]
    Remove(#[source] ObjectsError),
}
