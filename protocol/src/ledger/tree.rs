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
use std::sync::Arc;

/// The tree over the state after one height.
#[derive(Clone)]
pub(crate) struct StateTree(Arc<Nodes>);

/// One version of the tree. Its number counts updates since the tree was built; it is no part of the root.
#[derive(Clone)]
struct Nodes {
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
        let mut nodes = Nodes {
            nodes: BTreeMap::new(),
            values: BTreeMap::new(),
            version: 0,
            root: Digest::ZERO,
        };
        nodes.put(entries, 0)?;
        Ok(Self(Arc::new(nodes)))
    }

    /// Brings the tree to the next state.
    pub(crate) fn apply(&mut self, writes: &[Write]) -> Result<(), TreeError> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(next) = shared::find(self, writes) {
            *self = next;
            return Ok(());
        }
        #[cfg(any(test, feature = "testing"))]
        let before = shared::Shared::is_on().then(|| self.clone());
        let version = self.0.version + 1;
        Arc::make_mut(&mut self.0).put(writes, version)?;
        #[cfg(any(test, feature = "testing"))]
        if let Some(before) = before {
            shared::keep(before, writes, self);
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> Digest {
        self.0.root
    }

    pub(crate) fn prove(&self, key: Vec<u8>) -> Result<StateProof, TreeError> {
        let (value, path) = JellyfishMerkleTree::<_, Sha256>::new(&*self.0)
            .get_with_proof(key_hash(&key), self.0.version)
            .map_err(tree_error)?;
        Ok(StateProof {
            key,
            value: value.map(serde_bytes::ByteBuf::from),
            path: borsh::to_vec(&path).map_err(tree_error)?,
        })
    }
}

impl Nodes {
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

impl TreeReader for Nodes {
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

/// Updates that a thread shares while a simulation runs: the nodes of a cluster bring equal trees from one state to the next
/// with equal writes. The writes are each node's own and compared whole, so a node that executed something else than the
/// others comes to another root, as ever. Compiled for tests only.
#[cfg(any(test, feature = "testing"))]
pub(crate) mod shared {
    use super::{StateTree, Write};
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// An update: before, what was written, after. The trees before are one and the same, not only alike.
    type Update = (StateTree, Vec<Write>, StateTree);

    thread_local! {
        static UPDATES: RefCell<Option<BTreeMap<u64, Vec<Update>>>> = const { RefCell::new(None) };
    }

    /// While this lives, its thread shares updates. Scopes do not nest: the end of one ends all.
    #[derive(Debug)]
    pub(crate) struct Shared {
        /// A scope ends on the thread on which it began.
        not_send: core::marker::PhantomData<*const ()>,
    }

    impl Shared {
        #[must_use = "the scope ends when this is dropped"]
        pub(crate) fn enter() -> Self {
            UPDATES.set(Some(BTreeMap::new()));
            Self {
                not_send: core::marker::PhantomData,
            }
        }

        pub(super) fn is_on() -> bool {
            UPDATES.with_borrow(Option::is_some)
        }
    }

    impl Drop for Shared {
        fn drop(&mut self) {
            UPDATES.set(None);
        }
    }

    pub(super) fn find(tree: &StateTree, writes: &[Write]) -> Option<StateTree> {
        UPDATES.with_borrow(|updates| {
            let mut known = updates.as_ref()?.get(&tree.0.version)?.iter();
            known
                .find(|(before, known, _)| Arc::ptr_eq(&before.0, &tree.0) && known == writes)
                .map(|(_, _, after)| after.clone())
        })
    }

    pub(super) fn keep(before: StateTree, writes: &[Write], after: &StateTree) {
        UPDATES.with_borrow_mut(|updates| {
            if let Some(updates) = updates {
                let known = updates.entry(before.0.version).or_default();
                known.push((before, writes.to_vec(), after.clone()));
            }
        });
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

    /// Who writes the same gets the tree of the first, who writes something else another root.
    #[test]
    fn shared_updates_are_the_same_updates() {
        let genesis = StateTree::build(&[write(0, Some(0))]).expect("builds");
        let apply = |tree: &StateTree, value: u32| {
            let mut tree = tree.clone();
            tree.apply(&[write(1, Some(value))]).expect("applies");
            tree
        };
        let alone = apply(&genesis, 1);
        let _scope = shared::Shared::enter();
        let (one, other, liar) = (apply(&genesis, 1), apply(&genesis, 1), apply(&genesis, 2));
        assert_eq!(one.root(), alone.root());
        assert!(Arc::ptr_eq(&one.0, &other.0));
        assert_ne!(liar.root(), one.root());
        assert_eq!(apply(&one, 2).root(), liar.root());
        // Never written into: it is shared.
        assert_eq!(apply(&genesis, 1).root(), alone.root());
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
        assert_eq!(grown.0.values.len(), entries.len());
        assert!(
            grown.0.nodes.len() <= 2 * entries.len() + 8,
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
