//! The authenticated state: a Jellyfish Merkle tree (crate `jmt`) over all entries, kept in memory.
//!
//! Only the newest version is kept. The root depends on the entries alone, so
//! after a restart the tree is built anew from the stored entries.

use crate::crypto::{Digest, HashWriter};
use crate::ledger::table::Write;
use jmt::proof::SparseMerkleProof;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader, TreeUpdateBatch};
use jmt::{JellyfishMerkleTree, KeyHash, OwnedValue, SimpleHasher, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The tree over the state after one height. Its version counts updates since it was built; it is no part of the root.
#[derive(Clone)]
pub(crate) struct StateTree {
    nodes: BTreeMap<NodeKey, Node>,
    values: BTreeMap<KeyHash, OwnedValue>,
    version: Version,
    root: Digest,
}

/// SHA-256 by `ring`, in the shape that `jmt` asks for.
#[derive(Clone)]
pub(crate) struct Sha256(ring::digest::Context);

impl SimpleHasher for Sha256 {
    fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
    fn finalize(self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        out
    }
}

/// Why a tree cannot be updated or asked; only a defect or damaged memory leads here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state tree is inconsistent: {reason}")]
pub struct TreeError {
    /// The library's words.
    pub reason: String,
}

/// Shows that an entry has a value, or that there is no such entry, under a state root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateProof {
    /// The entry's key.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// The entry's value; none when there is no such entry.
    pub value: Option<serde_bytes::ByteBuf>,
    /// The path, as the library encodes it.
    #[serde(with = "serde_bytes")]
    path: Vec<u8>,
}

/// A proof that does not lead from this entry to this root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not lead from this entry to this state root")]
pub struct StateProofError;

impl StateProof {
    /// Checks the proof against `root`.
    ///
    /// # Errors
    /// [`StateProofError`] when it does not hold.
    pub fn verify(&self, root: &Digest) -> Result<(), StateProofError> {
        let path: SparseMerkleProof<Sha256> =
            borsh::from_slice(&self.path).map_err(|_| StateProofError)?;
        path.verify(
            jmt::RootHash(root.0),
            key_hash(&self.key),
            self.value.as_ref().map(|value| value.as_slice()),
        )
        .map_err(|_| StateProofError)
    }
}

fn key_hash(key: &[u8]) -> KeyHash {
    KeyHash(place(key).0)
}

/// Where an entry stands. Keys are hashed with a domain of their own, so that nobody can choose a place in the tree.
pub(crate) fn place(key: &[u8]) -> Digest {
    let mut writer = HashWriter::new("kithkin/state-key/1");
    writer.field(key);
    writer.finish()
}

impl StateTree {
    /// Builds the tree over `entries`.
    pub(crate) fn build(entries: &[Write]) -> Result<Self, TreeError> {
        let mut tree = Self {
            nodes: BTreeMap::new(),
            values: BTreeMap::new(),
            version: 0,
            root: Digest::ZERO,
        };
        tree.put(entries, 0)?;
        Ok(tree)
    }

    /// Brings the tree to the next state.
    pub(crate) fn apply(&mut self, writes: &[Write]) -> Result<(), TreeError> {
        self.put(writes, self.version + 1)
    }

    pub(crate) fn root(&self) -> Digest {
        self.root
    }

    pub(crate) fn prove(&self, key: Vec<u8>) -> Result<StateProof, TreeError> {
        let (value, path) = JellyfishMerkleTree::<_, Sha256>::new(self)
            .get_with_proof(key_hash(&key), self.version)
            .map_err(tree_error)?;
        Ok(StateProof {
            key,
            value: value.map(serde_bytes::ByteBuf::from),
            path: borsh::to_vec(&path).map_err(tree_error)?,
        })
    }

    fn put(&mut self, writes: &[Write], version: Version) -> Result<(), TreeError> {
        let values: Vec<(KeyHash, Option<OwnedValue>)> = writes
            .iter()
            .map(|(key, value)| (key_hash(key), value.clone()))
            .collect();
        let (root, batch) = JellyfishMerkleTree::<_, Sha256>::new(self)
            .put_value_set(values, version)
            .map_err(tree_error)?;
        self.keep(batch);
        self.version = version;
        self.root = Digest(root.0);
        Ok(())
    }

    fn keep(&mut self, batch: TreeUpdateBatch) {
        for ((_, key), value) in batch.node_batch.values() {
            match value {
                Some(value) => self.values.insert(*key, value.clone()),
                None => self.values.remove(key),
            };
        }
        for (key, node) in batch.node_batch.nodes() {
            self.nodes.insert(key.clone(), node.clone());
        }
        for stale in batch.stale_node_index_batch {
            self.nodes.remove(&stale.node_key);
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn tree_error(error: impl ToString) -> TreeError {
    TreeError {
        reason: error.to_string(),
    }
}

impl TreeReader for StateTree {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(self.nodes.get(key).cloned())
    }

    fn get_value_option(
        &self,
        _newest: Version,
        key: KeyHash,
    ) -> anyhow::Result<Option<OwnedValue>> {
        Ok(self.values.get(&key).cloned())
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Err(anyhow::anyhow!("this tree is never restored leaf by leaf"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(key: u32, value: Option<u32>) -> Write {
        (
            key.to_be_bytes().to_vec(),
            value.map(|value| value.to_be_bytes().to_vec()),
        )
    }

    /// A tree that grew block by block and one built at once after a restart must agree.
    #[test]
    fn the_root_depends_on_the_entries_alone() {
        let mut grown = StateTree::build(&[write(0, Some(0))]).expect("builds");
        for round in 1..40u32 {
            let writes = [
                write(round, Some(round)),
                write(round / 2, Some(1000 + round)),
                write(round / 3, (round % 5 != 0).then_some(round)),
            ];
            let deduplicated: BTreeMap<_, _> = writes.into_iter().collect();
            let writes: Vec<Write> = deduplicated.into_iter().collect();
            grown.apply(&writes).expect("applies");
        }
        let mut entries = BTreeMap::new();
        entries.insert(0u32, 0u32);
        for round in 1..40u32 {
            let mut writes = BTreeMap::new();
            writes.insert(round, Some(round));
            writes.insert(round / 2, Some(1000 + round));
            writes.insert(round / 3, (round % 5 != 0).then_some(round));
            for (key, value) in writes {
                match value {
                    Some(value) => entries.insert(key, value),
                    None => entries.remove(&key),
                };
            }
        }
        let all: Vec<Write> = entries.iter().map(|(k, v)| write(*k, Some(*v))).collect();
        let built = StateTree::build(&all).expect("builds");
        assert_eq!(grown.root(), built.root());
        assert_eq!(grown.values.len(), entries.len());
        assert!(
            grown.nodes.len() <= 2 * entries.len() + 8,
            "stale nodes are pruned"
        );
        for key in 0..45u32 {
            let proof = grown.prove(key.to_be_bytes().to_vec()).expect("provable");
            assert_eq!(proof.value.is_some(), entries.contains_key(&key));
            assert_eq!(proof.verify(&built.root()), Ok(()));
            assert_eq!(proof.verify(&Digest::ZERO), Err(StateProofError));
            let mut forged = proof;
            forged.value = Some(serde_bytes::ByteBuf::from(b"forged".to_vec()));
            assert_eq!(forged.verify(&built.root()), Err(StateProofError));
        }
    }
}
