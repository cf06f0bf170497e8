//! The key space of one actor.

use super::committer::{Done, Entry, answer};
use super::shared::Shared;
use super::{BATCH_BYTES_MAX, Batch, Handle, SPACE_NAME_BYTES_MAX, StoreError};
use rocksdb::{Direction, IteratorMode, ReadOptions};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

/// Keys and values, in the order of the keys.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The keys of one actor in the process's database; opened by [`super::Store::space`].
///
/// Reads see what is on disk: a batch shows after its `done`, not after [`Self::commit`]. They read files and
/// caches on the calling thread, which takes microseconds for a key and longer for a scan. An incarnation that
/// was fenced off can still read.
#[derive(Clone)]
pub struct Space {
    id: Arc<SpaceId>,
    handle: Arc<Handle>,
}

/// Who writes.
pub(super) struct SpaceId {
    pub(super) name: String,
    pub(super) incarnation: u64,
    /// In front of every key: 1, the name's length, the name. No space's prefix begins another's.
    pub(super) prefix: Vec<u8>,
    /// A batch was refused.
    gap: AtomicBool,
}

impl SpaceId {
    fn new(name: &str, incarnation: u64) -> Self {
        // `check_name` comes first; a longer name could not be told from another.
        let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        let prefix = [&[1, length], name.as_bytes()].concat();
        Self {
            name: name.to_owned(),
            incarnation,
            prefix,
            gap: AtomicBool::new(false),
        }
    }
}

impl Space {
    pub(super) fn open(handle: &Arc<Handle>, name: &str) -> Result<Self, StoreError> {
        check_name(name)?;
        let shared = &handle.shared;
        if shared.on_committer() {
            return Err(StoreError::WouldDeadlock {
                call: "Store::space",
            });
        }
        let (sender, fenced) = mpsc::sync_channel(1);
        let done: Done = Box::new(move |result| {
            // The receiver is gone only if this thread died.
            let _ = sender.send(result);
        });
        let incarnation = shared
            .queue
            .push_fence(name, done)
            .ok_or_else(|| shared.closed())?;
        fenced.recv().unwrap_or_else(|_| Err(shared.closed()))?;
        Ok(Self {
            id: Arc::new(SpaceId::new(name, incarnation)),
            handle: Arc::clone(handle),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.id.name
    }

    /// Which opening of this name: 1 for the first in this process.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.id.incarnation
    }

    /// Reads the value of `key`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`], [`StoreError::Closed`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared().with_db(|db| db.get(self.key(key)))
    }

    /// Reads the value of `key` in the index ([`Batch::put_index`]).
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_index(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared()
            .with_index(|db, index| db.get_cf(index, self.key(key)))
    }

    /// Reads everything whose key starts with `prefix`, in the order of the keys.
    ///
    /// For key ranges that their owner keeps small; otherwise page with [`Self::scan_from`].
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn scan(&self, prefix: &[u8]) -> Result<Pairs, StoreError> {
        self.scan_from(prefix, prefix, usize::MAX)
    }

    /// Reads at most `limit` pairs whose key starts with `prefix` and is not below `start`, in the order of the keys.
    /// The next page starts at the last key with a zero byte appended.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn scan_from(
        &self,
        prefix: &[u8],
        start: &[u8],
        limit: usize,
    ) -> Result<Pairs, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(successor(&self.key(prefix)));
        let from = self.key(start.max(prefix));
        let skip = self.id.prefix.len();
        self.shared().with_db(|db| {
            db.iterator_opt(IteratorMode::From(&from, Direction::Forward), options)
                .take(limit)
                .map(|pair| {
                    let (key, value) = pair?;
                    let key = key.get(skip..).unwrap_or_default();
                    Ok((key.to_vec(), value.into_vec()))
                })
                .collect()
        })
    }

    /// Queues a batch. Once it is on disk and synced, or refused, `done` runs on the committer's thread, in the
    /// order of the calls of all actors: keep it short, let it send a message, never let it wait. An empty batch
    /// takes its place in that order too.
    ///
    /// Waits for up to two seconds ([`super::QUEUE_WAIT_MS_MAX`]) while the queue is full. A batch refused
    /// before it was queued gets its answer on the calling thread, before this returns.
    ///
    /// # Errors
    /// `done` receives
    /// * [`StoreError::Fenced`]: the space was opened anew; this actor's time is over;
    /// * [`StoreError::Overloaded`], [`StoreError::BatchTooLarge`]: refused, and so is with [`StoreError::Gap`] every
    ///   later batch of this incarnation, so that the disk always holds a prefix of what it committed;
    /// * [`StoreError::DiskFull`], [`StoreError::Io`], [`StoreError::Corrupt`]: the write failed. That batch may or may
    ///   not be there after a restart; all later ones, of all actors, fail with the same error;
    /// * [`StoreError::Closed`].
    pub fn commit(&self, batch: Batch, done: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        self.queue(batch, Box::new(done));
    }

    /// As [`Self::commit`], as a future. The batch is queued by this call, not by the first poll: the order of the
    /// calls is the order on disk, and dropping the future drops the answer only.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub fn write(
        &self,
        batch: Batch,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        let closed = self.shared().closed();
        let (sender, written) = tokio::sync::oneshot::channel();
        self.queue(
            batch,
            Box::new(move |result| {
                // Nobody listens any more: what is written is written.
                let _ = sender.send(result);
            }),
        );
        async move { written.await.unwrap_or(Err(closed)) }
    }

    /// As [`Self::commit`], waiting here. For start-up, shutdown and tests; never in a handler.
    ///
    /// # Errors
    /// As [`Self::commit`], and [`StoreError::WouldDeadlock`] in a callback of the committer.
    pub fn write_blocking(&self, batch: Batch) -> Result<(), StoreError> {
        if self.shared().on_committer() {
            return Err(StoreError::WouldDeadlock {
                call: "Space::write_blocking",
            });
        }
        let (sender, written) = mpsc::sync_channel(1);
        self.queue(
            batch,
            Box::new(move |result| {
                // The receiver is gone only if this thread died.
                let _ = sender.send(result);
            }),
        );
        written
            .recv()
            .unwrap_or_else(|_| Err(self.shared().closed()))
    }

    fn queue(&self, batch: Batch, done: Done) {
        let shared = self.shared();
        let entry = match self.refusal(&batch) {
            Some(error) => Err((error, done)),
            None => Ok(Entry::Write {
                space: Arc::clone(&self.id),
                batch,
                done,
            }),
        };
        // A callback must not wait for the thread it runs on; what it queues is bounded by what was queued before.
        let queued =
            entry.and_then(|entry| shared.queue.push(shared, entry, shared.on_committer()));
        if let Err((error, done)) = queued {
            self.id.gap.store(true, Ordering::Relaxed);
            shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            answer(done, Err(error));
        }
    }

    /// Whether a batch was refused, so that every later one of this incarnation will be: its owner has no future and
    /// stops, and the next incarnation starts from what is on disk.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.id.gap.load(Ordering::Relaxed)
    }

    fn refusal(&self, batch: &Batch) -> Option<StoreError> {
        let space = || self.id.name.clone();
        if self.id.gap.load(Ordering::Relaxed) {
            return Some(StoreError::Gap { space: space() });
        }
        (batch.len_bytes() > BATCH_BYTES_MAX).then(|| StoreError::BatchTooLarge {
            space: space(),
            bytes: batch.len_bytes(),
            limit: BATCH_BYTES_MAX,
        })
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.id.prefix, key].concat()
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

impl core::fmt::Debug for Space {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Space")
            .field("name", &self.id.name)
            .field("incarnation", &self.id.incarnation)
            .finish_non_exhaustive()
    }
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let known = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    if (1..=SPACE_NAME_BYTES_MAX).contains(&name.len()) && name.as_bytes().iter().all(known) {
        return Ok(());
    }
    Err(StoreError::BadSpaceName {
        name: name.to_owned(),
    })
}

/// The first key behind all that start with `prefix`. Every prefix here starts with 1, so there is one.
pub(super) fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if last < u8::MAX {
            next.push(last + 1);
            break;
        }
    }
    next
}
