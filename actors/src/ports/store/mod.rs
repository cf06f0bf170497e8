//! One RocksDB per process: a key space per actor, group commit, fencing.
//!
//! What a node signs or acknowledges is on disk, synced, before it leaves: an actor commits a [`Batch`] and
//! sends when the answer is there. Many actors share one fsync, because one thread writes for all of them.
//!
//! * `mod`: [`Store`], the process's handle. `space`: [`Space`], an actor's handle.
//! * `committer`: the queue and the writing thread; what happens when the queue is full.
//! * `open`: lock, creation, format. `options`: how RocksDB is set up, and why; `reclaim`: space that
//!   comes back. `error`: what can go wrong.
//!
//! A value is a frame of [`kithkin_protocol::wire`] and so starts with a version of its own. Secret keys are not
//! here but in [`super::vault`]: RocksDB keeps deleted values until it compacts.

mod batch;
mod committer;
mod error;
mod open;
mod options;
mod reclaim;
mod shared;
mod space;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use error::StoreError;
pub use options::StoreOptions;
pub use space::{Pairs, Space};

use committer::Limits;
use reclaim::Reclaim;
use shared::Shared;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Most bytes of one [`Batch`]: two of the largest records.
pub const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most bytes merged into one write, unless a single batch has more: what a slow disk syncs in well under a second.
pub const MERGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most batches merged into one write.
pub const MERGE_BATCHES_MAX: usize = 4_096;
/// Most bytes waiting to be written.
pub const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most batches waiting to be written.
pub const QUEUE_BATCHES_MAX: usize = 65_536;
/// How long, in milliseconds, a full queue holds a caller back before it refuses.
pub const QUEUE_WAIT_MS_MAX: u64 = 2_000;
/// Longest name of a key space in bytes.
pub const SPACE_NAME_BYTES_MAX: usize = 128;

/// The process's database. A clone is the same database.
///
/// It is closed by [`Self::close`], or when the last [`Store`] and [`Space`] are dropped; both write first what is
/// queued.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// Counted since the database was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Synced writes.
    pub commits: u64,
    /// Batches in them.
    pub batches: u64,
    /// Bytes in them, as [`Batch::len_bytes`] counts.
    pub bytes: u64,
    /// Time spent in them, in microseconds.
    pub sync_us: u64,
    /// Batches that were not written: fenced off, too large, overloaded, after a gap or a failure.
    pub refused: u64,
}

impl Store {
    /// Opens the database in the folder `dir/db`, or creates it, with the folders that are missing. Holds
    /// `dir/LOCK` until it is closed.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Folder`], [`StoreError::UnknownFormat`], [`StoreError::OtherCluster`],
    /// [`StoreError::Corrupt`], [`StoreError::DiskFull`], [`StoreError::Io`]. What was on disk is still there then.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_limited(dir, &options, Limits::default())
    }

    fn open_limited(
        dir: &Path,
        options: &StoreOptions,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new(open::open(dir, options)?, limits));
        let theirs = Arc::clone(&shared);
        let reclaim = Reclaim::new(options.write_buffer_bytes);
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer::run(&theirs, reclaim))
            .map_err(|error| StoreError::Io {
                dir: dir.to_owned(),
                detail: format!("cannot start the committer's thread: {error}"),
            })?;
        // Nobody has the handle yet, so nothing runs on that thread that would ask.
        let _ = shared.committer.set(thread.thread().id());
        let thread = Mutex::new(Some(thread));
        Ok(Self {
            handle: Arc::new(Handle { shared, thread }),
        })
    }

    /// Opens the key space of an actor and fences off whoever opened it before: on return everything that older
    /// incarnations had queued is written or refused, and whatever they commit from now on gets
    /// [`StoreError::Fenced`].
    ///
    /// Waits for the committer, so for about one fsync. Incarnations count from 1 in each process: the folder's
    /// lock keeps other processes out.
    ///
    /// # Errors
    /// [`StoreError::BadSpaceName`], [`StoreError::Closed`], [`StoreError::WouldDeadlock`] in a callback of the
    /// committer, and the [`Self::failure`] if there was one.
    pub fn space(&self, name: &str) -> Result<Space, StoreError> {
        Space::open(&self.handle, name)
    }

    /// The first failed write, if one failed. Nothing is written after it; reading goes on. To write again, remove
    /// the cause and open the database anew.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        self.handle.shared.failure()
    }

    /// Calls `notify` once, at the first failed write: on the committer's thread, before the batches concerned get
    /// their answers; or here and now, if it has happened. Several can listen.
    pub fn on_failure(&self, notify: impl Fn(&StoreError) + Send + Sync + 'static) {
        self.handle.shared.on_failure(Box::new(notify));
    }

    /// What was written since the database was opened.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.handle.shared.counters.read()
    }

    /// Writes what is queued, closes the database and releases the folder, whoever still holds a [`Space`]: they get
    /// [`StoreError::Closed`] from then on.
    ///
    /// # Errors
    /// The [`Self::failure`] if there was one, [`StoreError::DiskFull`] or [`StoreError::Io`] of the last flush (what
    /// was acknowledged is in the log even then), [`StoreError::WouldDeadlock`] in a callback of the committer.
    pub fn close(self) -> Result<(), StoreError> {
        let shared = &self.handle.shared;
        if shared.on_committer() {
            return Err(StoreError::WouldDeadlock {
                call: "Store::close",
            });
        }
        self.handle.stop();
        let closed = shared.close_db();
        shared.failure().map_or(closed, Err)
    }
}

impl core::fmt::Debug for Store {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.handle.shared.dir)
            .finish_non_exhaustive()
    }
}

/// Keeps the committer running; stops it when the last one is dropped.
struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Handle {
    /// Ends the committer after what is queued, and waits for it.
    fn stop(&self) {
        self.shared.queue.close();
        // Held while waiting: whoever else stops it returns after its end too.
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        // The last handle may die in a callback; the thread then ends by itself.
        if self.shared.on_committer() {
            return;
        }
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the database's committer ended in a panic");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}
