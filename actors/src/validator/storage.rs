//! What a validator keeps: blocks with certificates, the ledger's entries, the write-ahead records of one height.
//!
//! | key | value |
//! |---|---|
//! | `g` | the genesis |
//! | `b` height | a final block's identifier and its finalization |
//! | `d` height, block | a block's body: header and transactions, also of blocks that are not final yet |
//! | `t` transaction, in the index | height, place, why it was rejected (as text) |
//! | `s` entry | the entry's value |
//! | `e` | the root of all entries |
//! | `k` case, height | nothing: see `case_index` |
//! | `w` height, number | a write-ahead record |
//! | `l` height | who votes on the height, proved under its header's parent state root: a light client's step |
//! | `q` | the first height that the validator votes on again after a quarantine |
//! | `c`, `i`, `n`, `p`, `r`, `x`, `y` | snapshots: see `snapshots` |
//!
//! Heights and numbers are big-endian, so that keys sort as they count. A commit
//! is one batch: block, certificate, entries, and the removal of the height's
//! write-ahead records; there is no moment at which one is durable without the other.
//!
//! A body is the largest thing that is written, and it is written once: before the vote for its block, as a write-ahead
//! record. The commit names it, and removes the bodies of the height that did not become final.

use super::case_index;
use super::snapshots::{Base, Snapshots, step_key};
use crate::ports::store::{Batch, Space, StoreError};
use kithkin_protocol::consensus::{Certificate, Finalized, Wal, WalEntry, WalError};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{BlockId, TxId};
use kithkin_protocol::ledger::snapshot::SnapshotError;
use kithkin_protocol::ledger::{
    Block, Effects, Genesis, Ledger, LedgerError, Meta, State, What, Write, light,
};
use kithkin_protocol::units::Height;
use kithkin_protocol::wire::{self, WireError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Most blocks of the chain that are read at once.
const BLOCKS_PER_READ: usize = 64;

/// How many of the last final blocks stay in memory: as many as a peer gets that is a little behind, and one whose commit
/// may be on its way to the disk. Under load that is asked for many times a second, and reading and decoding 4 MiB for each
/// answer would make everybody late. At most 20 MiB per store, as encoded.
const RECENT_BLOCKS: usize = 5;

/// What to do about damage.
const RESTORE: &str = "the data folder is damaged: check the disk, keep a copy of the folder, then restore it from a backup, or \
     start with an empty one and --quarantine, and the others bring this validator up to date";

/// Why a validator's store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store belongs to another ledger.
    #[error(
        "the data folder belongs to another cluster (its genesis differs); choose another folder, or the configuration that it was made with"
    )]
    OtherGenesis,
    /// A record cannot be read.
    #[error("the record {key} cannot be read; {RESTORE}")]
    Record {
        /// Which one.
        key: String,
        /// Why.
        #[source]
        source: WireError,
    },
    /// A final block's body is missing, or it is not what was finalized.
    #[error("the block at height {height} is missing or not the one that was finalized; {RESTORE}")]
    Body {
        /// Its height.
        height: Height,
    },
    /// Entries of the state that are not those that were written.
    #[error(
        "the state at height {height} has the root {found}, but {expected} was written with it; {RESTORE}"
    )]
    StateRoot {
        /// The height.
        height: Height,
        /// The root of what is on disk.
        found: Digest,
        /// The root that was written.
        expected: Digest,
    },
    /// The ledger cannot be set up.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The stored state is none.
    #[error("{0}; {RESTORE}")]
    State(#[source] LedgerError),
    /// The write-ahead records contradict each other or the chain.
    #[error("{0}; {RESTORE}")]
    Wal(#[from] WalError),
    /// A mistake of this program; the log says where.
    #[error("this program has failed while it worked on a snapshot")]
    Panicked,
    /// A snapshot cannot be cut into parts, or what was written of it is not what is read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Other entries on disk than were checked when they came, or than the ledger has in memory.
    #[error(
        "the entries on disk of the snapshot at height {height} have the root {found}, not {expected}: the disk or the \
         memory of this machine is damaged; {RESTORE}"
    )]
    SnapshotRoot {
        /// The snapshot's height.
        height: Height,
        /// The root of what is on disk.
        found: Digest,
        /// The root that the chain states.
        expected: Digest,
    },
}

/// Where a final transaction stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TxPlace {
    pub(super) height: Height,
    pub(super) index: u32,
    /// Why it had no effect, in words.
    pub(super) rejected: Option<String>,
}

/// The validator's key space.
#[derive(Clone)]
pub struct ChainStore {
    space: Space,
    /// Number of the next write-ahead record.
    wal_number: u64,
    /// Keys of the write-ahead records that are there or about to be, by height.
    records: BTreeMap<Height, Vec<Vec<u8>>>,
    /// Bodies of blocks that are not final, as far as they are written or about to be.
    bodies: BTreeSet<(Height, BlockId)>,
    /// The last final blocks. That one is here does not say that its commit is durable.
    recent: VecDeque<(BlockId, Arc<Block>)>,
    /// Where the chain begins here, if not at the genesis.
    base: Option<Base>,
}

impl ChainStore {
    /// Reads the ledger and the write-ahead records back; writes the genesis on first use.
    ///
    /// # Errors
    /// Every [`StorageError`].
    pub fn open(space: Space, genesis: &Genesis) -> Result<(Self, Ledger, Wal), StorageError> {
        let mut store = Self {
            space,
            wal_number: 0,
            records: BTreeMap::new(),
            bodies: BTreeSet::new(),
            recent: VecDeque::new(),
            base: None,
        };
        match store.space.get(b"g")? {
            None => store.found(genesis)?,
            Some(stored) if stored == wire::encode(genesis) => {}
            Some(_) => return Err(StorageError::OtherGenesis),
        }
        store.snapshots().finish_install()?;
        store.base = match store.space.get(b"c")? {
            None => None,
            Some(value) => Some(read(b"c", &value)?),
        };
        let entries: Vec<(Vec<u8>, Vec<u8>)> = store
            .space
            .scan(b"s")?
            .into_iter()
            .map(|(mut key, value)| (key.split_off(1), value))
            .collect();
        let ledger = Ledger::restore(&entries).map_err(StorageError::State)?;
        store.check_root(&ledger)?;
        let head = ledger.height();
        let certificate = match head {
            Height(0) => None,
            head => match (store.block(head)?, &store.base) {
                (Some(finalized), _) => Some(finalized.certificate),
                (None, Some(base)) if base.height == head => Some(base.certificate.clone()),
                (None, _) => None,
            },
        };
        let mut records = Vec::new();
        for (key, value) in store.space.scan(&body_prefix(head.plus(1)))? {
            let block: Block = read(&key, &value)?;
            let (height, id) = (block.header.height, block.id());
            // The commit will name it without looking at it again.
            if key != body_key(height, id) || !block.commits() {
                return Err(StorageError::Body {
                    height: head.plus(1),
                });
            }
            store.bodies.insert((height, id));
            records.push(WalEntry::Body(Arc::new(block)));
        }
        for (key, value) in store.space.scan(b"w")? {
            let entry: WalEntry = read(&key, &value)?;
            let height = entry.height();
            store.records.entry(height).or_default().push(key.clone());
            records.push(entry);
            let number = key.last_chunk::<8>().map_or(0, |n| u64::from_be_bytes(*n));
            store.wal_number = store.wal_number.max(number + 1);
        }
        let wal = Wal::load(head, certificate, records)?;
        wal.verify(&ledger)?;
        Ok((store, ledger, wal))
    }

    /// The height that a validator has reached in this key space; none when none has been there.
    ///
    /// # Errors
    /// [`StorageError::Store`] or [`StorageError::Record`].
    pub fn height(space: &Space) -> Result<Option<Height>, StorageError> {
        let key = [b"s".as_slice(), &State::meta_key()].concat();
        let meta: Option<Meta> = match space.get(&key)? {
            None => None,
            Some(value) => Some(read(&key, &value)?),
        };
        Ok(meta.map(|meta| meta.height))
    }

    /// Whether the entries are those that were written: the root was written with them.
    fn check_root(&self, ledger: &Ledger) -> Result<(), StorageError> {
        let (height, found) = (ledger.height(), ledger.state_root());
        let expected = match self.space.get(b"e")? {
            Some(value) => read(b"e", &value)?,
            None => Digest::ZERO,
        };
        if found == expected {
            return Ok(());
        }
        Err(StorageError::StateRoot {
            height,
            found,
            expected,
        })
    }

    fn found(&self, genesis: &Genesis) -> Result<(), StorageError> {
        let (ledger, writes) = Ledger::genesis(genesis)?;
        let mut batch = Batch::default();
        put_state(&mut batch, &writes);
        put_root(&mut batch, ledger.state_root());
        batch.put(b"g".to_vec(), wire::encode(genesis));
        Ok(self.space.write_blocking(batch)?)
    }

    pub(super) fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.space.clone())
    }

    /// The first height from which on all blocks are there: 1, unless this node has got a snapshot.
    #[must_use]
    pub fn first_block(&self) -> Height {
        let base = self.base.as_ref();
        base.map_or(Height(1), |base| base.height.plus(1))
    }

    /// The key space itself.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// A final block.
    ///
    /// # Errors
    /// [`StorageError::Store`], [`StorageError::Record`] or [`StorageError::Body`].
    pub fn block(&self, height: Height) -> Result<Option<Finalized>, StorageError> {
        match self.block_with_len(height)? {
            Some((finalized, _)) if !finalized.block.commits() => {
                Err(StorageError::Body { height })
            }
            found => Ok(found.map(|(finalized, _)| finalized)),
        }
    }

    /// A final block, and how many bytes its body has.
    fn block_with_len(&self, height: Height) -> Result<Option<(Finalized, usize)>, StorageError> {
        let Some((id, certificate)) = self.final_id(height)? else {
            return Ok(None);
        };
        if let Some((_, block)) = self.recent.iter().find(|(recent, _)| *recent == id) {
            let (block, length) = (Arc::clone(block), block.encoded_len());
            return Ok(Some((Finalized { block, certificate }, length)));
        }
        let key = body_key(height, id);
        let Some(value) = self.space.get(&key)? else {
            return Err(StorageError::Body { height });
        };
        let block: Block = read(&key, &value)?;
        if block.id() != id {
            return Err(StorageError::Body { height });
        }
        let block = Arc::new(block);
        Ok(Some((Finalized { block, certificate }, value.len())))
    }

    /// The identifier of a final block, and its finalization.
    ///
    /// # Errors
    /// [`StorageError::Store`] or [`StorageError::Record`].
    pub fn final_id(&self, height: Height) -> Result<Option<(BlockId, Certificate)>, StorageError> {
        let key = block_key(height);
        let Some(value) = self.space.get(&key)? else {
            return Ok(None);
        };
        let (id, certificate): (BlockId, Certificate) = read(&key, &value)?;
        if certificate.id != id || certificate.height != height {
            return Err(StorageError::Body { height });
        }
        Ok(Some((id, certificate)))
    }

    /// Final blocks from a height on, as many as fit into `bytes_max`, but at least one if there is one.
    ///
    /// # Errors
    /// [`StorageError::Store`] or [`StorageError::Record`].
    pub fn blocks(
        &self,
        from: Height,
        count: usize,
        bytes_max: usize,
    ) -> Result<Vec<Finalized>, StorageError> {
        let mut blocks = Vec::new();
        let mut bytes = 0;
        for offset in 0..count.min(BLOCKS_PER_READ) as u64 {
            let Some((block, length)) = self.block_with_len(from.plus(offset))? else {
                break;
            };
            bytes += length;
            if bytes > bytes_max && !blocks.is_empty() {
                break;
            }
            blocks.push(block);
        }
        Ok(blocks)
    }

    /// The first height that this validator may vote on; 0 when it never was in quarantine.
    ///
    /// # Errors
    /// [`StorageError::Store`] or [`StorageError::Record`].
    pub fn vote_from(&self) -> Result<Height, StorageError> {
        match self.space.get(b"q")? {
            None => Ok(Height(0)),
            Some(value) => read(b"q", &value),
        }
    }

    /// Steps of light clients from a height on, at most `count`: with the last of them everything that was final before
    /// it can be proved from the genesis.
    ///
    /// # Errors
    /// [`StorageError::Store`] or [`StorageError::Record`].
    pub fn steps(&self, from: Height, count: usize) -> Result<Vec<light::Step>, StorageError> {
        let mut heights = BTreeSet::new();
        for prefix in [b"l", b"p"] {
            for (key, _) in self.space.scan(prefix)? {
                let height = key.last_chunk::<8>().map_or(0, |n| u64::from_be_bytes(*n));
                heights.insert(Height(height));
            }
        }
        let mut steps = Vec::new();
        for height in heights.range(from..) {
            if steps.len() >= count {
                break;
            }
            // The last one waits for its block.
            steps.extend(self.step(*height)?);
        }
        Ok(steps)
    }

    /// Whether there is a step of a light client at this height; reads less than [`Self::step`].
    pub(super) fn has_step(&self, height: Height) -> Result<bool, StorageError> {
        let key = [b"l".as_slice(), &height.0.to_be_bytes()].concat();
        let made = self.space.get(&key)?.is_some() && self.space.get(&block_key(height))?.is_some();
        Ok(made || self.space.get(&step_key(height))?.is_some())
    }

    /// The step of a light client at this height, if there is one.
    pub(super) fn step(&self, height: Height) -> Result<Option<light::Step>, StorageError> {
        let key = step_key(height);
        if let Some(value) = self.space.get(&key)? {
            return Ok(Some(read(&key, &value)?));
        }
        let key = [b"l".as_slice(), &height.0.to_be_bytes()].concat();
        let Some(value) = self.space.get(&key)? else {
            return Ok(None);
        };
        let Some(Finalized { block, certificate }) = self.block(height)? else {
            return Ok(None);
        };
        Ok(Some(light::Step {
            header: block.header.clone(),
            certificate,
            electorate: read(&key, &value)?,
        }))
    }

    /// Adds one write-ahead record to `batch`.
    pub(super) fn put_wal(&mut self, batch: &mut Batch, entry: &WalEntry) {
        if let WalEntry::Body(block) = entry {
            return self.put_body(batch, block);
        }
        let mut key = wal_prefix(entry.height());
        key.extend_from_slice(&self.wal_number.to_be_bytes());
        self.wal_number += 1;
        let records = self.records.entry(entry.height()).or_default();
        records.push(key.clone());
        batch.put(key, wire::encode(entry));
    }

    fn put_body(&mut self, batch: &mut Batch, block: &Block) {
        let (height, id) = (block.header.height, block.id());
        if self.bodies.insert((height, id)) {
            let body = wire::encode_sized(block, block.encoded_len());
            batch.put(body_key(height, id), body);
        }
    }

    /// Adds a commit: everything that must become durable together.
    pub(super) fn put_commit(
        &mut self,
        batch: &mut Batch,
        block: &Arc<Block>,
        certificate: &Certificate,
        effects: &Effects,
    ) {
        let (height, id) = (block.header.height, block.id());
        self.put_body(batch, block);
        self.recent.push_back((id, Arc::clone(block)));
        if self.recent.len() > RECENT_BLOCKS {
            self.recent.pop_front();
        }
        let later = self.bodies.split_off(&(height.plus(1), BlockId::NONE));
        for (height, other) in std::mem::replace(&mut self.bodies, later) {
            if other != id {
                batch.delete(body_key(height, other));
            }
        }
        batch.put(block_key(height), wire::encode(&(id, certificate)));
        let mut rejected = rejections(effects);
        let mut places: Vec<(TxId, u32)> = (0u32..)
            .zip(&block.transactions)
            .map(|(index, transaction)| (transaction.id(), index))
            .collect();
        places.sort_unstable();
        for (id, index) in places {
            let place = TxPlace {
                height,
                index,
                rejected: rejected.remove(&index),
            };
            batch.put_index(tx_key(id), wire::encode_sized(&place, 16));
        }
        put_state(batch, &effects.writes);
        case_index::put(batch, height, &effects.writes);
        put_root(batch, effects.state_root);
        if let Some(electorate) = &effects.electorate {
            let key = [b"l".as_slice(), &height.plus(1).0.to_be_bytes()].concat();
            batch.put(key, wire::encode(electorate));
        }
        let later = self.records.split_off(&height.plus(1));
        for key in std::mem::replace(&mut self.records, later)
            .into_values()
            .flatten()
        {
            batch.delete(key);
        }
    }

    pub(super) fn place(&self, id: TxId) -> Result<Option<TxPlace>, StorageError> {
        let key = tx_key(id);
        match self.space.get_index(&key)? {
            None => Ok(None),
            Some(value) => Ok(Some(read(&key, &value)?)),
        }
    }
}

/// Adds the end of a quarantine.
pub(super) fn put_quarantine(batch: &mut Batch, vote_from: Height) {
    batch.put(b"q".to_vec(), wire::encode(&vote_from));
}

/// Why transactions of a block had no effect, by place.
pub(super) fn rejections(effects: &Effects) -> BTreeMap<u32, String> {
    effects
        .events
        .iter()
        .filter_map(|event| match (&event.what, event.cause) {
            (What::Rejected { reason, .. }, Some((_, index))) => Some((index, reason.to_string())),
            _ => None,
        })
        .collect()
}

/// Adds the root of the state that stands in the batch.
pub(super) fn put_root(batch: &mut Batch, root: Digest) {
    batch.put(b"e".to_vec(), wire::encode(&root));
}

fn put_state(batch: &mut Batch, writes: &[Write]) {
    for (key, value) in writes {
        let key = [b"s".as_slice(), key].concat();
        match value {
            Some(value) => batch.put(key, value.clone()),
            None => batch.delete(key),
        };
    }
}

pub(super) fn read<T: serde::de::DeserializeOwned>(
    key: &[u8],
    value: &[u8],
) -> Result<T, StorageError> {
    wire::decode(value).map_err(|source| StorageError::Record {
        key: kithkin_protocol::hex(key),
        source,
    })
}

fn block_key(height: Height) -> Vec<u8> {
    [b"b".as_slice(), &height.0.to_be_bytes()].concat()
}

fn body_prefix(height: Height) -> Vec<u8> {
    [b"d".as_slice(), &height.0.to_be_bytes()].concat()
}

fn body_key(height: Height, id: BlockId) -> Vec<u8> {
    [b"d".as_slice(), &height.0.to_be_bytes(), id.as_ref()].concat()
}

fn tx_key(id: TxId) -> Vec<u8> {
    [b"t".as_slice(), id.as_ref()].concat()
}

fn wal_prefix(height: Height) -> Vec<u8> {
    [b"w".as_slice(), &height.0.to_be_bytes()].concat()
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
