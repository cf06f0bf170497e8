//! Hashes of subtrees of the authenticated state, as the tree's library (`jmt`) defines them.
//!
//! A subtree without an entry has a fixed hash; one with a single entry is that entry's leaf, at whatever depth; any
//! other one hashes its halves. A test compares this with the library.

use crate::crypto::Digest;
use jmt::proof::{INTERNAL_DOMAIN_SEPARATOR, LEAF_DOMAIN_SEPARATOR};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// The library's hash of a subtree without entries.
const EMPTY: Digest = Digest(*b"SPARSE_MERKLE_PLACEHOLDER_HASH__");

/// A subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Node {
    /// No entry.
    Empty,
    /// One entry: its place, and the digest of its value.
    Leaf {
        /// Where it stands.
        place: Digest,
        /// See [`value_digest`].
        value: Digest,
    },
    /// More than one.
    Inner(Digest),
}

impl Node {
    pub(super) fn hash(&self) -> Digest {
        match self {
            Self::Empty => EMPTY,
            Self::Leaf { place, value } => sha256(&[LEAF_DOMAIN_SEPARATOR, &place.0, &value.0]),
            Self::Inner(hash) => *hash,
        }
    }

    /// The subtree with these halves.
    pub(super) fn join(left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Empty, Self::Empty) => Self::Empty,
            (leaf @ Self::Leaf { .. }, Self::Empty) | (Self::Empty, leaf @ Self::Leaf { .. }) => {
                leaf
            }
            (left, right) => Self::Inner(sha256(&[
                INTERNAL_DOMAIN_SEPARATOR,
                &left.hash().0,
                &right.hash().0,
            ])),
        }
    }

    /// The subtree over `leaves` (place and digest of the value), whose places ascend and agree in the first `depth` bits.
    pub(super) fn over(leaves: &[(Digest, Digest)], depth: u16) -> Self {
        match leaves {
            [] => Self::Empty,
            [(place, value)] => Self::Leaf {
                place: *place,
                value: *value,
            },
            more => {
                let middle = more.partition_point(|(place, _)| !bit(place, depth));
                let (left, right) = more.split_at(middle);
                // Different places differ in one of 256 bits, so this ends.
                let depth = depth.saturating_add(1);
                Self::join(Self::over(left, depth), Self::over(right, depth))
            }
        }
    }
}

/// The digest of a value, as it enters the tree.
#[must_use]
pub fn value_digest(value: &[u8]) -> Digest {
    sha256(&[value])
}

fn bit(place: &Digest, depth: u16) -> bool {
    let byte = place.0.get(usize::from(depth / 8)).copied();
    byte.unwrap_or(0) & (0x80 >> (depth % 8)) != 0
}

fn sha256(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Digest(out)
}
