//! What the handles and the committer's thread share: the open database, its failure, its counters.

use super::batch::Batch;
use super::committer::{Limits, Queue, merge};
use super::open::{FolderLock, Opened, index};
use super::space::SpaceId;
use super::{StoreError, StoreStats};
use rocksdb::{ColumnFamily, DB, WriteBatch, WriteOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::ThreadId;
use std::time::Duration;

type Notify = Box<dyn Fn(&StoreError) + Send + Sync>;

/// Behind every [`super::Store`] and [`super::Space`] of one database.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) queue: Queue,
    pub(super) counters: Counters,
    /// The committer's thread, once it runs.
    pub(super) committer: OnceLock<ThreadId>,
    /// None once closed. The lock file is released after the database.
    db: RwLock<Option<(DB, FolderLock)>>,
    failure: OnceLock<StoreError>,
    notify: Mutex<Vec<Notify>>,
    /// The error that the next write meets instead of the disk.
    #[cfg(test)]
    pub(super) injected: Mutex<Option<StoreError>>,
}

impl Shared {
    pub(super) fn new(opened: Opened, limits: Limits) -> Self {
        Self {
            dir: opened.dir,
            queue: Queue::new(limits),
            counters: Counters::default(),
            committer: OnceLock::new(),
            db: RwLock::new(Some((opened.db, opened.lock))),
            failure: OnceLock::new(),
            notify: Mutex::default(),
            #[cfg(test)]
            injected: Mutex::default(),
        }
    }

    /// Whether this is the committer's thread, on which nothing may wait for the committer.
    pub(super) fn on_committer(&self) -> bool {
        self.committer.get() == Some(&std::thread::current().id())
    }

    pub(super) fn closed(&self) -> StoreError {
        StoreError::Closed {
            dir: self.dir.clone(),
        }
    }

    /// Does something with the open database.
    pub(super) fn with_db<T>(
        &self,
        work: impl FnOnce(&DB) -> Result<T, rocksdb::Error>,
    ) -> Result<T, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let (db, _) = db.as_ref().ok_or_else(|| self.closed())?;
        work(db).map_err(|error| StoreError::from_rocksdb(&self.dir, &error))
    }

    /// [`Self::with_db`] for who needs the index.
    pub(super) fn with_index<T>(
        &self,
        work: impl FnOnce(&DB, &ColumnFamily) -> Result<T, rocksdb::Error>,
    ) -> Result<T, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let (db, _) = db.as_ref().ok_or_else(|| self.closed())?;
        let index = index(&self.dir, db)?;
        work(db, index).map_err(|error| StoreError::from_rocksdb(&self.dir, &error))
    }

    /// Writes and waits for the disk. Only the committer calls it.
    pub(super) fn write_synced(&self, batches: &[(Arc<SpaceId>, Batch)]) -> Result<(), StoreError> {
        #[cfg(test)]
        if let Some(error) = lock(&self.injected).take() {
            return Err(error);
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.with_index(|db, index| {
            // In one piece: a buffer that grows to megabytes by doubling is copied again and again.
            let bytes = batches.iter().map(|(_, batch)| batch.len_bytes());
            let room = bytes.fold(0, usize::saturating_add);
            let mut merged = WriteBatch::with_capacity_bytes(room);
            for (space, batch) in batches {
                merge(&mut merged, index, &space.prefix, batch);
            }
            db.write_opt(merged, &options)
        })
    }

    /// Writes the memtable out, so that the next start has no log to replay, and lets go of database and folder.
    pub(super) fn close_db(&self) -> Result<(), StoreError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        let Some((db, lock)) = db.take() else {
            return Ok(());
        };
        let flushed = if self.failure.get().is_some() {
            Ok(())
        } else {
            index(&self.dir, &db).and_then(|index| {
                db.flush()
                    .and_then(|()| db.flush_cf(index))
                    .map_err(|error| StoreError::from_rocksdb(&self.dir, &error))
            })
        };
        drop(db);
        drop(lock);
        flushed
    }

    pub(super) fn failure(&self) -> Option<StoreError> {
        self.failure.get().cloned()
    }

    /// Records the first failed write and tells those who asked.
    pub(super) fn fail(&self, error: StoreError) {
        tracing::error!(dir = %self.dir.display(), %error, "nothing more will be written");
        let listeners = {
            let mut notify = lock(&self.notify);
            // Only the first failure counts.
            let _ = self.failure.set(error);
            std::mem::take(&mut *notify)
        };
        for listener in listeners {
            self.tell(&listener);
        }
    }

    pub(super) fn on_failure(&self, listener: Notify) {
        let mut notify = lock(&self.notify);
        if self.failure.get().is_none() {
            notify.push(listener);
            return;
        }
        drop(notify);
        self.tell(&listener);
    }

    fn tell(&self, listener: &Notify) {
        let Some(error) = self.failure.get() else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| listener(error))).is_err() {
            tracing::error!("a listener to the database's failure panicked");
        }
    }
}

/// None of these locks guards a state that a panic could leave half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counted since the database was opened.
#[derive(Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    batches: AtomicU64,
    bytes: AtomicU64,
    sync_us: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Counters {
    pub(super) fn committed(&self, batches: u64, bytes: u64, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.batches.fetch_add(batches, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.sync_us.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> StoreStats {
        StoreStats {
            commits: self.commits.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            sync_us: self.sync_us.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}
