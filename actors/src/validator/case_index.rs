//! Which blocks have changed which emergency case, as a validator keeps it beside its blocks: an auditor who comes two years
//! later reads a dozen blocks, and not all that lie between.
//!
//! Whatever counts for a case is noted in its entry of the state, so the entries that a block writes say it all; that time has
//! passed for a case may add a height without a transaction.

use super::storage::{ChainStore, StorageError};
use crate::ports::store::Batch;
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::{State, Write};
use kithkin_protocol::units::Height;
use kithkin_protocol::wire;

/// Adds the cases that the block at `height` has changed.
pub(super) fn put(batch: &mut Batch, height: Height, writes: &[Write]) {
    for (key, _) in writes {
        if let Some(case) = State::case_of_key(key) {
            let key = [prefix(case).as_slice(), &height.0.to_be_bytes()].concat();
            batch.put(key, wire::encode(&()));
        }
    }
}

impl ChainStore {
    /// The heights of the final blocks that have changed a case, ascending, as far as they are here.
    ///
    /// # Errors
    /// [`StorageError::Store`].
    pub fn heights_of(&self, case: CaseId) -> Result<Vec<Height>, StorageError> {
        let found = self.space().scan(&prefix(case))?;
        let height = |key: &[u8]| key.last_chunk::<8>().map_or(0, |n| u64::from_be_bytes(*n));
        Ok(found.iter().map(|(key, _)| Height(height(key))).collect())
    }
}

fn prefix(case: CaseId) -> Vec<u8> {
    [b"k".as_slice(), case.as_ref()].concat()
}
