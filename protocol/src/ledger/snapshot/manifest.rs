//! How a state is cut into parts, and how parts are checked.

use super::sparse::{Node, value_digest};
use crate::crypto::{Digest, hash};
use crate::ledger::tree;
use crate::units::Height;
use crate::wire;
use serde::{Deserialize, Serialize};

/// A state has at most two to the power of this many parts.
pub const DEPTH_MAX: u8 = 16;
/// Most bytes of keys and values in one part: it travels in one frame.
pub const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Names a snapshot as one node made it; honest nodes make the same of the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SnapshotId {
    /// The state is that after the block of this height.
    pub height: Height,
    /// Digest of the manifest.
    pub manifest: Digest,
}

/// An entry of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its key.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// Its value.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.key.len().saturating_add(self.value.len())
    }
}

/// What is wrong with a manifest or a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The number of parts is not what the depth says.
    #[error("a manifest of depth {depth} has {parts} parts")]
    Parts {
        /// The depth.
        depth: u8,
        /// How many there are.
        parts: usize,
    },
    /// An entry stands in a part that it does not belong into.
    #[error("part {part} names an entry of another part")]
    Misplaced {
        /// The part.
        part: u32,
    },
    /// Entries out of order, or one twice.
    #[error("the entries of part {part} do not ascend")]
    Order {
        /// The part.
        part: u32,
    },
    /// More bytes than a part may have.
    #[error("part {part} has {bytes} bytes; at most {CHUNK_BYTES_MAX} are allowed")]
    TooLong {
        /// The part.
        part: u32,
        /// Its size.
        bytes: usize,
    },
    /// There is no such part.
    #[error("there is no part {part}")]
    NoPart {
        /// The number.
        part: u32,
    },
    /// The entries are not those that the manifest names.
    #[error("the entries of part {part} are not those that the manifest names")]
    Hash {
        /// The part.
        part: u32,
    },
}

/// Where the entry with this key stands in the authenticated state.
#[must_use]
pub fn place(key: &[u8]) -> Digest {
    tree::place(key)
}

/// The parts of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    height: Height,
    depth: u8,
    parts: Vec<Node>,
}

impl Manifest {
    /// The height of the state.
    #[must_use]
    pub fn height(&self) -> Height {
        self.height
    }

    /// By how many first bits of their places entries are told apart.
    #[must_use]
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// The same with its parts in reverse.
    #[cfg(test)]
    pub(super) fn swapped(&self) -> Self {
        let mut swapped = self.clone();
        swapped.parts.reverse();
        swapped
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        SnapshotId {
            height: self.height,
            manifest: hash("kithkin/snapshot/1", &[&wire::encode(self)]),
        }
    }

    /// The root of the state that has these parts. If it is the root of a known state, then every part of the manifest
    /// is a part of that state: inner nodes, leaves and empty subtrees hash differently, and leaves name their place.
    ///
    /// # Errors
    /// [`SnapshotError::Parts`] and [`SnapshotError::Misplaced`].
    pub fn root(&self) -> Result<Digest, SnapshotError> {
        let (depth, parts) = (self.depth, self.parts.len());
        if depth > DEPTH_MAX || parts != 1 << depth {
            return Err(SnapshotError::Parts { depth, parts });
        }
        for (part, node) in (0u32..).zip(&self.parts) {
            if let Node::Leaf { place, .. } = node
                && self.part_of(place) != part
            {
                return Err(SnapshotError::Misplaced { part });
            }
        }
        let mut level = self.parts.clone();
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => Node::join(*left, *right),
                    // Never: a power of two is halved.
                    rest => rest.first().copied().unwrap_or(Node::Empty),
                })
                .collect();
        }
        Ok(level.first().map_or(Digest::ZERO, Node::hash))
    }

    /// The numbers of the parts that have entries, ascending.
    pub fn parts(&self) -> impl Iterator<Item = u32> {
        (0u32..)
            .zip(&self.parts)
            .filter(|(_, node)| **node != Node::Empty)
            .map(|(part, _)| part)
    }

    /// The part that an entry with this place belongs to.
    #[must_use]
    pub fn part_of(&self, place: &Digest) -> u32 {
        part_at(place, self.depth)
    }

    /// The lowest place of a part.
    #[must_use]
    pub fn first_place(&self, part: u32) -> Digest {
        let mut place = Digest::ZERO;
        let unused = 32 - u32::from(self.depth.min(32));
        let first = part.checked_shl(unused).unwrap_or(0);
        for (to, from) in place.0.iter_mut().zip(first.to_be_bytes()) {
            *to = from;
        }
        place
    }

    /// Checks the entries of a part.
    ///
    /// # Errors
    /// [`SnapshotError`] naming what is wrong.
    pub fn check(&self, part: u32, entries: &[Entry]) -> Result<(), SnapshotError> {
        let node = usize::try_from(part)
            .ok()
            .and_then(|part| self.parts.get(part))
            .ok_or(SnapshotError::NoPart { part })?;
        let bytes = entries.iter().map(Entry::bytes).sum();
        if bytes > CHUNK_BYTES_MAX {
            return Err(SnapshotError::TooLong { part, bytes });
        }
        let leaves: Vec<(Digest, Digest)> = entries
            .iter()
            .map(|entry| (place(&entry.key), value_digest(&entry.value)))
            .collect();
        if leaves.iter().any(|(place, _)| self.part_of(place) != part) {
            return Err(SnapshotError::Misplaced { part });
        }
        if !leaves.is_sorted_by(|(before, _), (after, _)| before < after) {
            return Err(SnapshotError::Order { part });
        }
        let found = Node::over(&leaves, u16::from(self.depth));
        if found.hash() != node.hash() {
            return Err(SnapshotError::Hash { part });
        }
        Ok(())
    }
}

fn part_at(place: &Digest, depth: u8) -> u32 {
    let first = place
        .0
        .first_chunk::<4>()
        .map_or(0, |b| u32::from_be_bytes(*b));
    // A shift by all 32 bits is none.
    first
        .checked_shr(32 - u32::from(depth.min(32)))
        .unwrap_or(0)
}

/// Measures a state, to find how finely it is to be cut.
pub struct Survey {
    /// Bytes by the finest part.
    bytes: Vec<u64>,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            bytes: vec![0; 1 << DEPTH_MAX],
        }
    }
}

impl Survey {
    /// Counts an entry.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let part = part_at(&place(key), DEPTH_MAX);
        if let Some(bytes) = usize::try_from(part)
            .ok()
            .and_then(|part| self.bytes.get_mut(part))
        {
            *bytes = bytes.saturating_add(key.len().saturating_add(value.len()) as u64);
        }
    }

    /// The coarsest cut whose parts have about `chunk_bytes` on average, and none more than [`CHUNK_BYTES_MAX`].
    ///
    /// # Errors
    /// [`SnapshotError::TooLong`] when even the finest cut has a larger part.
    pub fn depth(&self, chunk_bytes: u64) -> Result<u8, SnapshotError> {
        let mut level = self.bytes.clone();
        let total: u64 = level.iter().sum();
        let mut found = Err(SnapshotError::TooLong {
            part: 0,
            bytes: usize::try_from(total).unwrap_or(usize::MAX),
        });
        // From fine to coarse: what is too much for a part is too much for the parts that hold it.
        for depth in (0..=DEPTH_MAX).rev() {
            if level.iter().any(|bytes| *bytes > CHUNK_BYTES_MAX as u64) {
                break;
            }
            found = Ok(depth);
            let average = total >> depth.saturating_sub(1);
            if depth == 0 || average > chunk_bytes {
                break;
            }
            level = level.chunks(2).map(|pair| pair.iter().sum()).collect();
        }
        found
    }
}

/// Makes a manifest of entries that come in the order of their places.
pub struct ManifestBuilder {
    manifest: Manifest,
    /// Leaves of the part that is being filled.
    leaves: Vec<(Digest, Digest)>,
}

impl ManifestBuilder {
    /// For the state of this height, cut at this depth (at most [`DEPTH_MAX`]).
    #[must_use]
    pub fn new(height: Height, depth: u8) -> Self {
        Self {
            manifest: Manifest {
                height,
                depth: depth.min(DEPTH_MAX),
                parts: Vec::new(),
            },
            leaves: Vec::new(),
        }
    }

    /// Adds the next entry.
    ///
    /// # Errors
    /// [`SnapshotError::Order`] when its place is not above the last one's.
    pub fn add(&mut self, entry: &Entry) -> Result<(), SnapshotError> {
        let place = place(&entry.key);
        let part = self.manifest.part_of(&place);
        let filled = u32::try_from(self.manifest.parts.len()).unwrap_or(u32::MAX);
        if part < filled || self.leaves.last().is_some_and(|(last, _)| *last >= place) {
            return Err(SnapshotError::Order { part });
        }
        self.close_until(part);
        self.leaves.push((place, value_digest(&entry.value)));
        Ok(())
    }

    /// The manifest.
    #[must_use]
    pub fn finish(mut self) -> Manifest {
        self.close_until(1 << self.manifest.depth);
        self.manifest
    }

    /// Ends all parts before `part`.
    fn close_until(&mut self, part: u32) {
        while (self.manifest.parts.len() as u64) < u64::from(part) {
            let leaves = std::mem::take(&mut self.leaves);
            let node = Node::over(&leaves, u16::from(self.manifest.depth));
            self.manifest.parts.push(node);
        }
    }
}
