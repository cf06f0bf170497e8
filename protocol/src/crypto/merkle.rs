//! Merkle trees in the shape of RFC 6962 (leaves and nodes hashed under different prefixes), by `ct-merkle`.
//!
//! The root that we publish also binds the number of leaves, because the
//! library's proof alone does not.

use crate::crypto::{Digest, hash};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{InclusionProof, RootHash};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Most leaves of one tree.
pub const LEAVES_MAX: usize = 1 << 24;

/// A tree in memory, for making paths.
pub struct MerkleTree(MemoryBackedTree<Sha256, Vec<u8>>);

/// Shows that a leaf stands at `index` in a tree of `leaves` leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerklePath {
    /// Place of the leaf, from 0.
    pub index: u32,
    /// Number of leaves of the tree.
    pub leaves: u32,
    /// Root of the bare RFC 6962 tree; the published root binds it to `leaves`.
    pub inner: Digest,
    /// Digests of the siblings, from the leaf upwards, 32 bytes each.
    #[serde(with = "serde_bytes")]
    pub siblings: Vec<u8>,
}

/// A path that does not lead from this leaf to this root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Merkle path does not lead from this leaf to this root")]
pub struct MerkleError;

impl MerkleTree {
    /// Builds the tree over `leaves`, in order.
    ///
    /// # Panics
    /// With more than [`LEAVES_MAX`] leaves: callers bound their lists far below.
    #[must_use]
    pub fn new<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Self {
        let mut tree = MemoryBackedTree::new();
        for leaf in leaves {
            tree.push(leaf.as_ref().to_vec());
        }
        assert!(tree.len() <= LEAVES_MAX as u64, "a tree of too many leaves");
        Self(tree)
    }

    /// The root, bound to the number of leaves.
    #[must_use]
    pub fn root(&self) -> Digest {
        bind(self.0.root().as_bytes(), self.0.len())
    }

    /// The path of the leaf at `index`; none past the end.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<MerklePath> {
        self.0.get(index)?;
        Some(MerklePath {
            index: u32::try_from(index).ok()?,
            leaves: u32::try_from(self.0.len()).ok()?,
            inner: Digest((*self.0.root().as_bytes()).into()),
            siblings: self.0.prove_inclusion(index).as_bytes().to_vec(),
        })
    }
}

/// The root over `leaves`, in order, without keeping the tree.
#[must_use]
pub fn root<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Digest {
    // Roots of full subtrees, the largest first: after `count` leaves one for each set bit of `count` (RFC 6962, 2.1).
    let mut full: Vec<[u8; 32]> = Vec::new();
    let mut count: u64 = 0;
    for leaf in leaves {
        let mut hasher = Sha256::new_with_prefix([0]);
        hasher.update(leaf.as_ref());
        let mut node: [u8; 32] = hasher.finalize().into();
        let mut level = count;
        while level & 1 == 1
            && let Some(left) = full.pop()
        {
            node = parent(&left, &node);
            level >>= 1;
        }
        full.push(node);
        count += 1;
    }
    let inner = full
        .into_iter()
        .rev()
        .reduce(|right, left| parent(&left, &right))
        .unwrap_or_else(|| Sha256::digest([]).into());
    bind(&inner, count)
}

fn parent(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut node = [1; 65];
    let (_, children) = node.split_at_mut(1);
    let (first, second) = children.split_at_mut(32);
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    Sha256::digest(node).into()
}

impl MerklePath {
    /// The root that the path names; only [`verify`](Self::verify) shows that it leads there.
    #[must_use]
    pub fn root(&self) -> Digest {
        bind(&self.inner.0, u64::from(self.leaves))
    }

    /// Checks that the path leads from `leaf` to `root`.
    ///
    /// # Errors
    /// [`MerkleError`] when it does not.
    pub fn verify(&self, leaf: &[u8], root: &Digest) -> Result<(), MerkleError> {
        if self.root() != *root {
            return Err(MerkleError);
        }
        let proof = InclusionProof::<Sha256>::try_from_bytes(self.siblings.clone())
            .map_err(|_| MerkleError)?;
        RootHash::<Sha256>::new(self.inner.0.into(), u64::from(self.leaves))
            .verify_inclusion(&leaf, u64::from(self.index), &proof)
            .map_err(|_| MerkleError)
    }
}

fn bind(inner: &[u8], leaves: u64) -> Digest {
    hash("kithkin/merkle/1", &[inner, &leaves.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_without_a_tree_is_the_trees() {
        for count in (0..70usize).chain([127, 128, 129, 1_000]) {
            let leaves: Vec<[u8; 32]> = (0..count).map(|i| [i as u8; 32]).collect();
            assert_eq!(
                root(&leaves),
                MerkleTree::new(&leaves).root(),
                "{count} leaves"
            );
        }
    }

    #[test]
    fn every_leaf_has_a_path_that_fits_nothing_else() {
        for count in 1..20usize {
            let leaves: Vec<[u8; 2]> = (0..count).map(|i| [i as u8, 7]).collect();
            let tree = MerkleTree::new(&leaves);
            assert_eq!(tree.root(), root(&leaves));
            for (i, leaf) in leaves.iter().enumerate() {
                let path = tree.path(i).expect("in range");
                assert_eq!(path.verify(leaf, &tree.root()), Ok(()));
                assert_eq!(path.verify(b"other", &tree.root()), Err(MerkleError));
                assert_eq!(path.verify(leaf, &Digest::ZERO), Err(MerkleError));
                let moved = MerklePath {
                    index: path.index + 1,
                    ..path.clone()
                };
                assert_eq!(moved.verify(leaf, &tree.root()), Err(MerkleError));
                let grown = MerklePath {
                    leaves: path.leaves + 1,
                    ..path
                };
                assert_eq!(grown.verify(leaf, &tree.root()), Err(MerkleError));
            }
            assert!(tree.path(count).is_none());
        }
    }
}
