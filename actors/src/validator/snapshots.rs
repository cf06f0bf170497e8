//! Snapshots on disk: making, serving, receiving and putting them in place. Checking is `kithkin_protocol::ledger::snapshot`'s.
//!
//! | key | value |
//! |---|---|
//! | `x` height, place | an entry of a snapshot |
//! | `y` height | a complete snapshot: its manifest, and where the steps that lead to it are |
//! | `p` height | a light client's step that came from others |
//! | `r` | the manifest of the snapshot that is being fetched |
//! | `n` part | this part of it is there |
//! | `i` | the snapshot that is being put in place |
//! | `c` | where the chain of this node begins, if not at the genesis |
//!
//! A snapshot may have more bytes than one batch, so it is put in place step by step. The record `i` makes that atomic: it is
//! written once everything is there and removed with the last step, and a node that finds it at start does all steps again
//! before it reads anything else. The entries are checked against the root once more before the old state is touched.

use super::storage::{ChainStore, StorageError, put_root, read};
use crate::ports::store::{Batch, Pairs, Space};
use kithkin_protocol::consensus::Certificate;
use kithkin_protocol::credit::Electorate;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ledger::light::Step;
use kithkin_protocol::ledger::snapshot::{
    Due, Entry, Kept, Manifest, ManifestBuilder, STEPS_BYTES_MAX, Survey, place,
};
use kithkin_protocol::ledger::{Ledger, State, StateProof};
use kithkin_protocol::units::Height;
use kithkin_protocol::wire;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// About how many bytes are written at once: consensus shares the disk.
const WRITE_BYTES: usize = 1024 * 1024;
/// How many proofs of the validators are read at once.
const STEPS_READ: usize = 64;
/// How many entries are read at once.
const READ_ENTRIES: usize = 1_024;

/// A complete snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Complete {
    pub(super) manifest: Manifest,
    /// Heights of the steps that a light client cannot leave out, up to the snapshot.
    changes: Vec<Height>,
}

/// Where the chain of a node begins that got a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Base {
    /// The snapshot's height; blocks follow.
    pub(super) height: Height,
    /// The finalization of the block of that height.
    pub(super) certificate: Certificate,
}

/// A snapshot whose parts are all there and whose root is certain.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Installing {
    manifest: Manifest,
    last: Step,
}

impl Installing {
    /// The root that the chain states.
    fn root(&self) -> Digest {
        self.last.header.parent_state_root
    }
}

/// The validator's key space, as far as snapshots are concerned. A clone is the same one, for other threads.
#[derive(Clone)]
pub(super) struct Snapshots {
    space: Space,
}

impl Snapshots {
    pub(super) fn new(space: Space) -> Self {
        Self { space }
    }

    /// Writes a snapshot and forgets all but the newest `keep`. Takes as long as it takes: for a thread of its own.
    pub(super) fn make(
        &self,
        due: &Due,
        chunk_bytes: u64,
        keep: usize,
    ) -> Result<Complete, StorageError> {
        let height = due.state.meta().height;
        let mut survey = Survey::default();
        let mut batch = Batch::default();
        batch.delete_prefix(entries_prefix(height));
        for (key, value) in due.state.entries() {
            survey.add(&key, &value);
            put_entry(&mut batch, height, &Entry { key, value });
            if batch.len_bytes() >= WRITE_BYTES {
                self.space.write_blocking(std::mem::take(&mut batch))?;
            }
        }
        self.space.write_blocking(batch)?;
        let mut builder = ManifestBuilder::new(height, survey.depth(chunk_bytes)?);
        self.each_entry(height, |entry| Ok(builder.add(&entry)?))?;
        let manifest = builder.finish();
        let (found, expected) = (manifest.root()?, due.root);
        if found != expected {
            return Err(StorageError::SnapshotRoot {
                height,
                found,
                expected,
            });
        }
        let complete = Complete {
            changes: self.changes_until(height)?,
            manifest,
        };
        let mut batch = Batch::default();
        batch.put(complete_key(height), wire::encode(&complete));
        let all = self.heights(b"y")?;
        let old = all.len().saturating_add(1).saturating_sub(keep.max(1));
        for height in all.into_iter().take(old) {
            put_forget(&mut batch, height);
        }
        self.space.write_blocking(batch)?;
        Ok(complete)
    }

    /// The heights of all steps up to `height` that say that the validators change.
    fn changes_until(&self, height: Height) -> Result<Vec<Height>, StorageError> {
        let before = self.complete()?.pop();
        let (mut changes, since) = before.map_or_else(
            || (Vec::new(), Height(0)),
            |before| (before.changes, before.manifest.height()),
        );
        // An entry stands at the height of the step that it belongs to.
        let first = [b"l".as_slice(), &since.plus(1).0.to_be_bytes()].concat();
        let mut from = first;
        loop {
            let page = self.space.scan_from(b"l", &from, STEPS_READ)?;
            let Some((last, _)) = page.last() else {
                return Ok(changes);
            };
            from = [last.as_slice(), &[0]].concat();
            for (key, value) in page {
                let at = height_of(key.get(1..).unwrap_or_default());
                if at > height {
                    return Ok(changes);
                }
                let proof: StateProof = read(&key, &value)?;
                if changes_validators(&proof) {
                    changes.push(at);
                }
            }
        }
    }

    /// All complete snapshots, ascending.
    pub(super) fn complete(&self) -> Result<Vec<Complete>, StorageError> {
        let found = self.space.scan(b"y")?;
        found
            .iter()
            .map(|(key, value)| read(key, value))
            .collect::<Result<_, _>>()
    }

    /// All entries of a complete snapshot.
    pub(super) fn entries(&self, height: Height) -> Result<Pairs, StorageError> {
        let mut entries = Vec::new();
        self.each_entry(height, |entry| {
            entries.push((entry.key, entry.value));
            Ok(())
        })?;
        Ok(entries)
    }

    /// The entries of a part; none when they are gone.
    pub(super) fn part(
        &self,
        manifest: &Manifest,
        part: u32,
    ) -> Result<Option<Vec<Entry>>, StorageError> {
        let prefix = entries_prefix(manifest.height());
        let mut from = [prefix.as_slice(), manifest.first_place(part).as_ref()].concat();
        let mut entries: Vec<Entry> = Vec::new();
        let mut ended = false;
        while !ended {
            let page = self.space.scan_from(&prefix, &from, READ_ENTRIES)?;
            ended = page.len() < READ_ENTRIES;
            for (key, value) in page {
                let entry: Entry = read(&key, &value)?;
                if manifest.part_of(&place(&entry.key)) != part {
                    ended = true;
                    break;
                }
                entries.push(entry);
                from = [key.as_slice(), &[0]].concat();
            }
        }
        // Removed while it was read, it would be a wrong part.
        let there = self.space.get(&complete_key(manifest.height()))?.is_some();
        Ok((there && !entries.is_empty()).then_some(entries))
    }

    /// The next steps that lead to a snapshot, after a height; none when they are not there.
    pub(super) fn steps_to(
        &self,
        store: &ChainStore,
        complete: &Complete,
        after: Height,
    ) -> Result<Vec<Step>, StorageError> {
        let last = complete.manifest.height().plus(1);
        let heights = complete.changes.iter().chain([&last]).copied();
        read_steps(store, heights.filter(|height| *height > after))
    }

    /// The next steps after a height that a light client cannot leave out, up to `head`.
    pub(super) fn steps_after(
        &self,
        store: &ChainStore,
        after: Height,
        head: Height,
    ) -> Result<Vec<Step>, StorageError> {
        let changes = self.changes_until(head)?;
        read_steps(store, changes.into_iter().filter(|height| *height > after))
    }

    /// What is there of a snapshot that was being fetched, and all steps that came from others. Entries that belong to no
    /// snapshot are removed: a crash left them.
    pub(super) fn kept(&self) -> Result<(Option<Kept>, Vec<Step>), StorageError> {
        let manifest: Option<Manifest> = match self.space.get(b"r")? {
            None => None,
            Some(value) => Some(read(b"r", &value)?),
        };
        let receiving = manifest.as_ref().map(Manifest::height);
        let complete = self.heights(b"y")?;
        let mut batch = Batch::default();
        for height in self.heights(b"x")? {
            if !complete.contains(&height) && receiving != Some(height) {
                batch.delete_prefix(entries_prefix(height));
            }
        }
        if !batch.is_empty() {
            self.space.write_blocking(batch)?;
        }
        let kept = match manifest {
            None => None,
            Some(manifest) => {
                let mut parts = BTreeSet::new();
                for (key, _) in self.space.scan(b"n")? {
                    let number = key.last_chunk::<4>().map_or(0, |n| u32::from_be_bytes(*n));
                    parts.insert(number);
                }
                Some(Kept { manifest, parts })
            }
        };
        let steps = self.space.scan(b"p")?;
        let steps: Result<Vec<Step>, StorageError> =
            steps.iter().map(|(key, value)| read(key, value)).collect();
        Ok((kept, steps?))
    }

    /// The heights under a prefix, ascending; jumps from one to the next.
    fn heights(&self, prefix: &[u8]) -> Result<Vec<Height>, StorageError> {
        let mut heights = Vec::new();
        let mut from = prefix.to_vec();
        while let Some((key, _)) = self.space.scan_from(prefix, &from, 1)?.pop() {
            let height = height_of(key.get(prefix.len()..).unwrap_or_default());
            heights.push(height);
            from = [prefix, &height.plus(1).0.to_be_bytes()].concat();
        }
        Ok(heights)
    }

    fn each_entry(
        &self,
        height: Height,
        mut each: impl FnMut(Entry) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let prefix = entries_prefix(height);
        let mut from = prefix.clone();
        loop {
            let page = self.space.scan_from(&prefix, &from, READ_ENTRIES)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            from = [last.as_slice(), &[0]].concat();
            for (key, value) in page {
                each(read(&key, &value)?)?;
            }
        }
    }

    /// Makes a snapshot whose parts are all durable the state of this node. Nobody else may write meanwhile. Parts that are
    /// not what they were when they came are thrown away, and the old state stays.
    pub(super) fn install(&self, manifest: Manifest, last: Step) -> Result<(), StorageError> {
        let installing = Installing { manifest, last };
        let entries = self.checked(&installing);
        let mut batch = Batch::default();
        match &entries {
            Ok(_) => {
                batch.put(b"i".to_vec(), wire::encode(&installing));
            }
            Err(_) => put_discard(&mut batch, installing.manifest.height()),
        }
        self.space.write_blocking(batch)?;
        self.put_in_place(installing, entries?)
    }

    /// Ends what [`Self::install`] began, if it did.
    pub(super) fn finish_install(&self) -> Result<(), StorageError> {
        let Some(value) = self.space.get(b"i")? else {
            return Ok(());
        };
        let installing = read(b"i", &value)?;
        let entries = self.checked(&installing)?;
        self.put_in_place(installing, entries)
    }

    /// The entries of a snapshot that is being put in place, if they are the state that the chain states.
    fn checked(&self, installing: &Installing) -> Result<Pairs, StorageError> {
        let height = installing.manifest.height();
        let entries = self.entries(height)?;
        let ledger = Ledger::restore(&entries).map_err(StorageError::State)?;
        let (found, expected) = (ledger.state_root(), installing.root());
        if found != expected || ledger.height() != height {
            return Err(StorageError::SnapshotRoot {
                height,
                found,
                expected,
            });
        }
        Ok(entries)
    }

    fn put_in_place(&self, installing: Installing, entries: Pairs) -> Result<(), StorageError> {
        let (height, root) = (installing.manifest.height(), installing.root());
        let Installing { manifest, last } = installing;
        let mut batch = Batch::default();
        batch.delete_prefix(b"s".to_vec());
        for (key, value) in entries {
            batch.put([b"s".as_slice(), &key].concat(), value);
            if batch.len_bytes() >= WRITE_BYTES {
                self.space.write_blocking(std::mem::take(&mut batch))?;
            }
        }
        let mut changes = Vec::new();
        for (key, value) in self.space.scan(b"p")? {
            let step: Step = read(&key, &value)?;
            if step.header.height <= height && changes_validators(&step.electorate) {
                changes.push(step.header.height);
            }
        }
        if let Some(certificate) = last.header.parent_cert {
            let base = Base {
                height,
                certificate,
            };
            batch.put(b"c".to_vec(), wire::encode(&base));
        }
        put_root(&mut batch, root);
        let complete = Complete { manifest, changes };
        batch.put(complete_key(height), wire::encode(&complete));
        for key in [b"i", b"r"] {
            batch.delete(key.to_vec());
        }
        // What was signed for heights that are final now is of no use.
        for prefix in [b"n", b"w"] {
            batch.delete_prefix(prefix.to_vec());
        }
        Ok(self.space.write_blocking(batch)?)
    }
}

/// The steps at these heights, as many as fit into one message, up to the first that is not there.
fn read_steps(
    store: &ChainStore,
    heights: impl Iterator<Item = Height>,
) -> Result<Vec<Step>, StorageError> {
    let mut steps = Vec::new();
    let mut bytes = 0;
    for height in heights {
        let Some(step) = store.step(height)? else {
            break;
        };
        bytes += wire::encode(&step).len();
        if bytes > STEPS_BYTES_MAX && !steps.is_empty() {
            break;
        }
        steps.push(step);
    }
    Ok(steps)
}

/// Whether an [`Electorate`] announces other validators.
fn changes_validators(proof: &StateProof) -> bool {
    let electorate = proof.value.as_ref().map(|value| State::decode_value(value));
    electorate.is_some_and(|read| read.is_ok_and(|found: Electorate| found.next.is_some()))
}

/// Adds the beginning of a snapshot that is being fetched.
pub(super) fn put_begin(batch: &mut Batch, manifest: &Manifest) {
    put_forget(batch, manifest.height());
    batch.delete_prefix(b"n".to_vec());
    batch.put(b"r".to_vec(), wire::encode(manifest));
}

/// Adds a part of it.
pub(super) fn put_part(batch: &mut Batch, height: Height, part: u32, entries: &[Entry]) {
    for entry in entries {
        put_entry(batch, height, entry);
    }
    let key = [b"n".as_slice(), &part.to_be_bytes()].concat();
    batch.put(key, wire::encode(&()));
}

/// Adds its end without success.
pub(super) fn put_discard(batch: &mut Batch, height: Height) {
    put_forget(batch, height);
    batch.delete_prefix(b"n".to_vec());
    batch.delete(b"r".to_vec());
}

/// Adds steps that came from others.
pub(super) fn put_steps(batch: &mut Batch, steps: &[Step]) {
    for step in steps {
        batch.put(step_key(step.header.height), wire::encode(step));
    }
}

fn put_forget(batch: &mut Batch, height: Height) {
    batch.delete(complete_key(height));
    batch.delete_prefix(entries_prefix(height));
}

fn put_entry(batch: &mut Batch, height: Height, entry: &Entry) {
    let key = [
        entries_prefix(height).as_slice(),
        place(&entry.key).as_ref(),
    ]
    .concat();
    batch.put(key, wire::encode(entry));
}

fn entries_prefix(height: Height) -> Vec<u8> {
    [b"x".as_slice(), &height.0.to_be_bytes()].concat()
}

fn complete_key(height: Height) -> Vec<u8> {
    [b"y".as_slice(), &height.0.to_be_bytes()].concat()
}

pub(super) fn step_key(height: Height) -> Vec<u8> {
    [b"p".as_slice(), &height.0.to_be_bytes()].concat()
}

/// The height at the beginning of a key without its prefix.
fn height_of(key: &[u8]) -> Height {
    let bytes = key.first_chunk::<8>();
    Height(bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes)))
}
