//! The queue of batches and the one thread that writes them.
//!
//! All actors' batches pass one queue, in the order of the calls. The committer takes what is there, merges it
//! into one synced write and then runs the callbacks in queue order; while the disk works, the next group
//! gathers. Fences travel in the same queue: whatever an older incarnation queued before its fence is written,
//! whatever it queues afterwards is refused.
//!
//! **A full queue** holds the caller back, for at most [`Limits::wait`] in all, and then refuses at once until the
//! committer has taken something again. A short pause of an actor's thread is what slows a too fast producer
//! down without any code in the actor; the bound on it is what lets the rest of the process live on when the disk
//! hangs. Refusing alone would fail hundreds of actors in every burst that a disk takes in half a second.
//!
//! **No gaps.** The disk holds a prefix of what an incarnation committed: once a batch was refused, its later ones
//! are refused too, else a restart would find the effects of the second without the first.

use super::StoreError;
use super::batch::{Batch, Change};
use super::reclaim::Reclaim;
use super::shared::Shared;
use super::space::{SpaceId, successor};
use rocksdb::{ColumnFamily, WriteBatch};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What runs when a batch is on disk, or refused.
pub(super) type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Bounds of the queue.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Batches waiting.
    pub(super) batches: usize,
    /// Bytes waiting.
    pub(super) bytes: usize,
    /// How long a caller is held back.
    pub(super) wait: Duration,
    /// Bytes merged into one write, unless a single batch has more.
    pub(super) merge_bytes: usize,
    /// Entries merged into one write.
    pub(super) merge_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batches: super::QUEUE_BATCHES_MAX,
            bytes: super::QUEUE_BYTES_MAX,
            wait: Duration::from_millis(super::QUEUE_WAIT_MS_MAX),
            merge_bytes: super::MERGE_BYTES_MAX,
            merge_entries: super::MERGE_BATCHES_MAX,
        }
    }
}

/// One thing to do, in order.
pub(super) enum Entry {
    Write {
        space: Arc<SpaceId>,
        batch: Batch,
        done: Done,
    },
    Fence {
        name: String,
        incarnation: u64,
        done: Done,
    },
}

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Self::Write { batch, .. } => batch.len_bytes(),
            Self::Fence { .. } => 0,
        }
    }

    fn into_done(self) -> Done {
        match self {
            Self::Write { done, .. } | Self::Fence { done, .. } => done,
        }
    }
}

/// Why an entry was not queued, and its callback.
pub(super) type Refused = (StoreError, Done);

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The last incarnation allotted for each name.
    incarnations: BTreeMap<String, u64>,
    /// Someone waited in vain and nothing was taken since.
    stalled: bool,
    closing: bool,
}

/// The queue in front of the committer.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    drained: Condvar,
    limits: Limits,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
            limits,
        }
    }

    /// Every change under the lock is complete before anything can panic, so a poisoned lock is sound.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a batch; waits while the queue is full, unless `at_once`.
    pub(super) fn push(&self, shared: &Shared, entry: Entry, at_once: bool) -> Result<(), Refused> {
        let bytes = entry.bytes();
        let deadline = Instant::now() + self.limits.wait;
        let mut waiting = self.lock();
        loop {
            if waiting.closing {
                return Err((shared.closed(), entry.into_done()));
            }
            let fits = waiting.entries.is_empty()
                || (waiting.entries.len() < self.limits.batches
                    && waiting.bytes.saturating_add(bytes) <= self.limits.bytes);
            if fits || at_once {
                waiting.bytes = waiting.bytes.saturating_add(bytes);
                waiting.entries.push_back(entry);
                self.filled.notify_one();
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if waiting.stalled || left.is_zero() {
                waiting.stalled = true;
                let error = StoreError::Overloaded {
                    dir: shared.dir.clone(),
                    batches: waiting.entries.len(),
                    bytes: waiting.bytes,
                };
                return Err((error, entry.into_done()));
            }
            waiting = self
                .drained
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Allots the next incarnation of `name` and queues its fence, in one step: fences stand in the queue in the
    /// order of their numbers. None when the store is closing.
    pub(super) fn push_fence(&self, name: &str, done: Done) -> Option<u64> {
        let mut waiting = self.lock();
        if waiting.closing {
            return None;
        }
        let incarnation = waiting
            .incarnations
            .get(name)
            .map_or(1, |last| last.saturating_add(1));
        waiting.incarnations.insert(name.to_owned(), incarnation);
        waiting.entries.push_back(Entry::Fence {
            name: name.to_owned(),
            incarnation,
            done,
        });
        self.filled.notify_one();
        Some(incarnation)
    }

    /// Takes no more entries; those queued are still written.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }

    /// The next group, waiting for one; none when the queue is closed and empty.
    fn take(&self) -> Option<Vec<Entry>> {
        let mut waiting = self.lock();
        while waiting.entries.is_empty() {
            if waiting.closing {
                return None;
            }
            waiting = self
                .filled
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut group = Vec::new();
        let mut group_bytes = 0_usize;
        while let Some(next) = waiting.entries.front() {
            let bytes = next.bytes();
            let full = group.len() >= self.limits.merge_entries
                || group_bytes.saturating_add(bytes) > self.limits.merge_bytes;
            if full && !group.is_empty() {
                break;
            }
            group_bytes = group_bytes.saturating_add(bytes);
            group.extend(waiting.entries.pop_front());
        }
        waiting.bytes = waiting.bytes.saturating_sub(group_bytes);
        waiting.stalled = false;
        self.drained.notify_all();
        Some(group)
    }

    fn take_rest(&self) -> VecDeque<Entry> {
        let mut waiting = self.lock();
        waiting.closing = true;
        waiting.bytes = 0;
        self.drained.notify_all();
        std::mem::take(&mut waiting.entries)
    }
}

/// The committer's thread: until the queue is closed and empty.
pub(super) fn run(shared: &Arc<Shared>, mut reclaim: Reclaim) {
    // However this thread ends, nobody waits for an answer for ever.
    let _last = Last(Arc::clone(shared));
    let mut current = BTreeMap::new();
    while let Some(group) = shared.queue.take() {
        let bytes = commit(shared, group, &mut current);
        // Closed meanwhile: nothing to look at.
        let _ = shared.with_db(|db| {
            reclaim.note(db, bytes);
            Ok(())
        });
    }
}

struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(StoreError::Io {
                dir: self.0.dir.clone(),
                detail: "the committer's thread panicked".to_owned(),
            });
        }
        for entry in self.0.queue.take_rest() {
            answer(entry.into_done(), Err(self.0.closed()));
        }
    }
}

/// Writes one group and answers each of its entries. `current` holds the incarnations that may write. Returns how many
/// bytes it wrote.
fn commit(shared: &Shared, group: Vec<Entry>, current: &mut BTreeMap<String, u64>) -> u64 {
    let mut merged = Vec::new();
    let mut answers = Vec::with_capacity(group.len());
    let (mut batches, mut bytes, mut refused) = (0_u64, 0_u64, 0_u64);
    let mut failure = shared.failure();
    for entry in group {
        match entry {
            Entry::Fence {
                name,
                incarnation,
                done,
            } => {
                current.insert(name, incarnation);
                answers.push((done, None));
            }
            Entry::Write { space, batch, done } => {
                let refusal = failure.clone().or_else(|| fenced(&space, current));
                if refusal.is_some() {
                    refused += 1;
                } else {
                    batches += 1;
                    bytes += batch.len_bytes() as u64;
                    merged.push((space, batch));
                }
                answers.push((done, refusal));
            }
        }
    }
    if merged.iter().any(|(_, batch)| !batch.is_empty()) {
        let started = Instant::now();
        match shared.write_synced(&merged) {
            Ok(()) => shared.counters.committed(batches, bytes, started.elapsed()),
            Err(error) => {
                shared.fail(error.clone());
                failure = Some(error);
                refused += batches;
            }
        }
    }
    shared
        .counters
        .refused
        .fetch_add(refused, Ordering::Relaxed);
    for (done, refusal) in answers {
        let error = refusal.or_else(|| failure.clone());
        answer(done, error.map_or(Ok(()), Err));
    }
    bytes
}

fn fenced(space: &SpaceId, current: &BTreeMap<String, u64>) -> Option<StoreError> {
    let may = current.get(&space.name).copied().unwrap_or_default();
    (space.incarnation != may).then(|| StoreError::Fenced {
        space: space.name.clone(),
        incarnation: space.incarnation,
        current: may,
    })
}

/// Adds a batch to what is written; `index` is where entries without an order stand.
pub(super) fn merge(merged: &mut WriteBatch, index: &ColumnFamily, prefix: &[u8], batch: &Batch) {
    let whole = |key: &[u8]| [prefix, key].concat();
    for change in &batch.changes {
        match change {
            Change::Put { key, value } => merged.put(whole(key), value),
            Change::PutIndex { key, value } => merged.put_cf(index, whole(key), value),
            Change::Delete { key } => merged.delete(whole(key)),
            Change::DeletePrefix { prefix: below } => {
                let from = whole(below);
                let to = successor(&from);
                merged.delete_range(from, to);
            }
        }
    }
}

/// A callback that panics hurts neither the other callbacks nor the committer.
pub(super) fn answer(done: Done, result: Result<(), StoreError>) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!(
            "a callback of the database's committer panicked; the batch's outcome stands"
        );
    }
}
