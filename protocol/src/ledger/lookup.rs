//! Tables by transaction identifier that are asked and never walked: hashed, since an ordered map compares identifiers
//! byte by byte at each of its levels, and a mempool does little else.
//!
//! The hash is keyed at random, so nobody can craft identifiers that collide; nothing else depends on the key, since no
//! order shows.

#![expect(
    clippy::disallowed_types,
    reason = "the order of a hash table differs from run to run: here nobody can see it"
)]

use crate::ids::TxId;
use std::collections::{HashMap, HashSet};

/// A value for each of some transactions.
#[derive(Debug)]
pub(super) struct TxTable<V>(HashMap<TxId, V>);

impl<V> Default for TxTable<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V: Copy> TxTable<V> {
    pub(super) fn get(&self, id: TxId) -> Option<V> {
        self.0.get(&id).copied()
    }

    pub(super) fn contains(&self, id: TxId) -> bool {
        self.0.contains_key(&id)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn insert(&mut self, id: TxId, value: V) {
        self.0.insert(id, value);
    }

    pub(super) fn remove(&mut self, id: TxId) -> Option<V> {
        self.0.remove(&id)
    }
}

/// Some transactions.
#[derive(Debug, Default)]
pub(super) struct TxSet(HashSet<TxId>);

impl TxSet {
    pub(super) fn contains(&self, id: TxId) -> bool {
        self.0.contains(&id)
    }

    /// Whether it was not there.
    pub(super) fn insert(&mut self, id: TxId) -> bool {
        self.0.insert(id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
