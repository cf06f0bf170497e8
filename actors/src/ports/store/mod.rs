//! One RocksDB per process: a key space per actor, group commit, fencing. (API first; bodies follow.)
mod batch;
mod error;

pub use batch::Batch;
pub use error::StoreError;
use std::path::Path;

/// Most bytes of one [`Batch`].
pub const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest name of a key space in bytes.
pub const SPACE_NAME_BYTES_MAX: usize = 128;

/// How to open a [`Store`].
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// The cluster whose data this is (the genesis' hash): written at first, compared later. None: not checked.
    pub cluster: Option<[u8; 32]>,
}

/// Counters since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Synced writes to RocksDB.
    pub commits: u64,
    /// Batches in them.
    pub batches: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Time spent in them, in microseconds.
    pub sync_us: u64,
    /// Batches refused: fenced, too large, overloaded, or after a failure.
    pub refused: u64,
}

/// The process's database.
#[derive(Clone)]
pub struct Store;

impl Store {
    /// Opens or creates.
    pub fn open(_dir: &Path, _options: StoreOptions) -> Result<Self, StoreError> {
        todo!()
    }
    /// Opens the key space of an actor under the next incarnation.
    pub fn space(&self, _name: &str) -> Result<Space, StoreError> {
        todo!()
    }
    /// The first failed write.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        todo!()
    }
    /// Calls `notify` once, at the first failed write.
    pub fn on_failure(&self, _notify: impl Fn(&StoreError) + Send + Sync + 'static) {
        todo!()
    }
    /// Counters.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        todo!()
    }
    /// Writes what is queued and closes.
    pub fn close(self) -> Result<(), StoreError> {
        todo!()
    }
}

/// The key space of one actor.
#[derive(Clone)]
pub struct Space;

impl Space {
    /// Reads a value.
    pub fn get(&self, _key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        todo!()
    }
    /// Everything under a prefix.
    #[expect(clippy::type_complexity, reason = "pairs")]
    pub fn scan(&self, _prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        todo!()
    }
    /// At most `limit` pairs under a prefix, from the key `start` on.
    #[expect(clippy::type_complexity, reason = "pairs")]
    pub fn scan_from(
        &self,
        _prefix: &[u8],
        _start: &[u8],
        _limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        todo!()
    }
    /// Queues a batch; `done` runs on the committer's thread once it is on disk.
    pub fn commit(
        &self,
        _batch: Batch,
        _done: impl FnOnce(Result<(), StoreError>) + Send + 'static,
    ) {
        todo!()
    }
    /// The same as a future.
    pub fn write(
        &self,
        _batch: Batch,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        async { todo!() }
    }
    /// The same, waiting here.
    pub fn write_blocking(&self, _batch: Batch) -> Result<(), StoreError> {
        todo!()
    }
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        todo!()
    }
    /// Which opening of this name.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        todo!()
    }
}
