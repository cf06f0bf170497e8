//! What is written together or not at all.

/// Changes of one key space that reach the disk together or not at all, in the order they were added.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    pub(super) changes: Vec<Change>,
    bytes: usize,
}

/// One change; keys without the space's prefix.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Put { key: Vec<u8>, value: Vec<u8> },
    PutIndex { key: Vec<u8>, value: Vec<u8> },
    Delete { key: Vec<u8> },
    DeletePrefix { prefix: Vec<u8> },
}

/// Counted for each change on top of its bytes: RocksDB's own header, and room for the space's prefix.
const CHANGE_BYTES: usize = 32;

impl Batch {
    /// Sets `key` to `value`: a frame of [`kithkin_protocol::wire`], so that it starts with a format version.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        let (key, value) = (key.into(), value.into());
        self.add(key.len() + value.len(), Change::Put { key, value })
    }

    /// Sets `key` to `value` where only [`super::Space::get_index`] finds it: for small entries by the thousand under keys
    /// without an order, of which each is asked for by its whole key if at all. They stand apart from the rest, and are
    /// not removed. Cheapest in ascending order of keys.
    pub fn put_index(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        let (key, value) = (key.into(), value.into());
        self.add(key.len() + value.len(), Change::PutIndex { key, value })
    }

    /// Removes `key`, if it is there.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        let key = key.into();
        self.add(key.len(), Change::Delete { key })
    }

    /// Removes every key that starts with `prefix`; an empty one empties the key space.
    pub fn delete_prefix(&mut self, prefix: impl Into<Vec<u8>>) -> &mut Self {
        let prefix = prefix.into();
        self.add(2 * prefix.len(), Change::DeletePrefix { prefix })
    }

    fn add(&mut self, bytes: usize, change: Change) -> &mut Self {
        self.bytes = self
            .bytes
            .saturating_add(bytes)
            .saturating_add(CHANGE_BYTES);
        self.changes.push(change);
        self
    }

    /// Whether nothing would be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Number of changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// About how many bytes it takes in the log; limited by [`super::BATCH_BYTES_MAX`].
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.bytes
    }
}
