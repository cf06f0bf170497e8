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
use std::hash::{Hash, Hasher};

/// An identifier, hashed by its first half, in half the time. It is a digest: to find two with the same first half takes
/// 2^64 trials, and they would do no more than share a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(TxId);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (half, _) = self.0.0.split_at(16);
        state.write(half);
    }
}

/// A value for each of some transactions.
#[derive(Debug)]
pub(super) struct TxTable<V>(HashMap<Key, V>);

impl<V> Default for TxTable<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V: Copy> TxTable<V> {
    pub(super) fn get(&self, id: TxId) -> Option<V> {
        self.0.get(&Key(id)).copied()
    }

    pub(super) fn contains(&self, id: TxId) -> bool {
        self.0.contains_key(&Key(id))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn insert(&mut self, id: TxId, value: V) {
        self.0.insert(Key(id), value);
    }

    pub(super) fn remove(&mut self, id: TxId) -> Option<V> {
        self.0.remove(&Key(id))
    }
}

/// Some transactions.
#[derive(Debug, Default)]
pub(super) struct TxSet(HashSet<Key>);

impl TxSet {
    pub(super) fn contains(&self, id: TxId) -> bool {
        self.0.contains(&Key(id))
    }

    /// Whether it was not there.
    pub(super) fn insert(&mut self, id: TxId) -> bool {
        self.0.insert(Key(id))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
