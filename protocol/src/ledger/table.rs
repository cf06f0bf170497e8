//! A table of the state: a persistent map that remembers what changed.
//!
//! Cloning is cheap (structure is shared), so a block can be tried on a copy
//! and the copy thrown away.

use crate::wire;
use rpds::RedBlackTreeMapSync;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::ops::RangeBounds;

/// Key and new value of one changed entry, both as bytes; no value when the entry is gone.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// One table. `tag` starts each of its keys in the authenticated state.
#[derive(Clone, Debug)]
pub(crate) struct Table<K: Ord, V> {
    tag: u8,
    map: RedBlackTreeMapSync<K, V>,
    changed: BTreeSet<K>,
}

impl<K, V> Table<K, V>
where
    K: Ord + Clone + Serialize + DeserializeOwned,
    V: Clone + Serialize + DeserializeOwned,
{
    pub(crate) fn new(tag: u8) -> Self {
        Self {
            tag,
            map: RedBlackTreeMapSync::new_sync(),
            changed: BTreeSet::new(),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.map.contains_key(key)
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        self.changed.insert(key.clone());
        self.map.insert_mut(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if self.map.remove_mut(key) {
            self.changed.insert(key.clone());
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.map.iter()
    }

    pub(crate) fn range<'a>(
        &'a self,
        range: impl RangeBounds<K> + 'a,
    ) -> impl Iterator<Item = (&'a K, &'a V)> {
        self.map.range(range)
    }

    /// All entries as bytes: keys of the authenticated state, and values.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        let entries = self.map.iter();
        entries.map(|(key, value)| (self.state_key(key), wire::encode(value)))
    }

    /// The key of an entry in the authenticated state.
    pub(crate) fn state_key(&self, key: &K) -> Vec<u8> {
        let mut bytes = vec![self.tag];
        bytes.extend(wire::encode(key));
        bytes
    }

    /// Moves what changed since the last call into `writes`.
    pub(crate) fn drain(&mut self, writes: &mut Vec<Write>) {
        for key in std::mem::take(&mut self.changed) {
            let value = self.map.get(&key).map(wire::encode);
            writes.push((self.state_key(&key), value));
        }
    }

    /// Takes one stored entry back, without its tag.
    pub(crate) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), wire::WireError> {
        self.map
            .insert_mut(wire::decode(key)?, wire::decode(value)?);
        Ok(())
    }
}
