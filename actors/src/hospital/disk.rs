//! The hospital's key space: frames in, frames out, and what a refused write means.
//!
//! | key | value | owner |
//! |---|---|---|
//! | `u` root | upload, under a key of its own | `archive` |
//! | `y` patient root | that key, wrapped (`crate::keybook`) | `archive` |
//! | `z` root | receipt of deletion for copies that were erased by order | `books` |
//! | `h` root | receipts, header, where the upload stands | `books` |
//! | `r` root | the upload is not finished: not on chain, or not with all kin | `books` |
//! | `q` session point | a request that may not be on chain yet | `books` |
//! | `k` case | request and roster | `books` |
//! | `o` case | the case may still be open | `books` |
//! | `p` case index number | sealed partial openings as they came | `books` |
//! | `f` case kin | what that kin forged | `books` |
//! | `g` grant | terms that were signed | `consent::files` |
//! | `b` grant | the sealed keys of a grant | `consent::files` |
//! | `t` | purposes for which grants are signed | `consent::files` |

use crate::hospital::messages::HospitalError;
use crate::keybook::KeyBookError;
use crate::ports::store::{Batch, Pairs, Space, StoreError};
use kithkin_protocol::wire;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One hospital's keys in the process's database.
#[derive(Clone)]
pub(super) struct Disk {
    space: Space,
    /// A write was refused. The store refuses all later ones of this incarnation too.
    failed: Arc<AtomicBool>,
}

impl Disk {
    pub(super) fn new(space: Space) -> Self {
        Self {
            space,
            failed: Arc::default(),
        }
    }

    /// Whether a write was refused, so that this incarnation has no future.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, HospitalError> {
        self.space.get(key).map_err(|error| store(&error))
    }

    pub(super) fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, HospitalError> {
        let value = self.raw(key)?;
        value.map(|value| decode(key, &value)).transpose()
    }

    /// At most `limit` pairs below `prefix`, from `start` on.
    pub(super) fn scan(
        &self,
        prefix: &[u8],
        start: &[u8],
        limit: usize,
    ) -> Result<Pairs, HospitalError> {
        self.space
            .scan_from(prefix, start, limit)
            .map_err(|error| store(&error))
    }

    /// Durable when this returns.
    pub(super) async fn write(&self, batch: Batch) -> Result<(), HospitalError> {
        let written = self.space.write(batch).await;
        self.judge(written)
    }

    /// As [`Self::write`], for what the book of keys has written or read.
    pub(super) fn judge_book<T>(&self, done: Result<T, KeyBookError>) -> Result<T, HospitalError> {
        done.map_err(|error| {
            if matches!(error, KeyBookError::Store(_)) {
                self.failed.store(true, Ordering::Relaxed);
            }
            HospitalError::Store {
                reason: error.to_string(),
            }
        })
    }

    fn judge(&self, written: Result<(), StoreError>) -> Result<(), HospitalError> {
        written.map_err(|error| {
            self.failed.store(true, Ordering::Relaxed);
            store(&error)
        })
    }
}

pub(super) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, HospitalError> {
    wire::decode(value).map_err(|error| HospitalError::Store {
        reason: format!(
            "the record {} cannot be read: {error}",
            kithkin_protocol::hex(key)
        ),
    })
}

fn store(error: &StoreError) -> HospitalError {
    HospitalError::Store {
        reason: error.to_string(),
    }
}

/// A key: one letter, then the parts.
pub(super) fn key(letter: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![letter];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}
