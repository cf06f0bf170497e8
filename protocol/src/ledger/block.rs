//! Blocks and their headers. Who may write one and when is for [`crate::consensus`] to say.

use crate::consensus::{Certificate, Evidence, Vote};
use crate::crypto::vrf::VrfProof;
use crate::crypto::{Digest, hash, merkle};
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::SignedTransaction;
use crate::units::{Height, Millis, View};
use crate::wire;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::OnceLock;

/// Largest block in bytes, as a frame: 4 MiB.
pub const BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Everything about a block but its transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The ledger that the block belongs to.
    pub chain: ChainId,
    /// Number of the block, from 1.
    pub height: Height,
    /// The block before; [`BlockId::NONE`] at height 1.
    pub parent_id: BlockId,
    /// Root of the state after the block before.
    pub parent_state_root: Digest,
    /// The master that built the block. A re-proposal by another master keeps it.
    pub author: ValidatorId,
    /// The view in which it was built.
    pub view: View,
    /// Block time, later than the block before.
    pub time_ms: Millis,
    /// Merkle root over the transaction ids.
    pub tx_root: Digest,
    /// Finalization of the block before; none at height 1.
    pub parent_cert: Option<Certificate>,
    /// Finalize votes for earlier heights that have not earned credit yet.
    pub late_votes: Vec<Vote>,
    /// Proofs of offences, sorted, none punished before.
    pub evidence: Vec<Evidence>,
    /// The author's contribution to the beacon.
    pub vrf_proof: VrfProof,
}

impl Header {
    /// The block's identifier: binds every field, so also author and view of authorship.
    #[must_use]
    pub fn id(&self) -> BlockId {
        id_of(&wire::encode(self))
    }
}

fn id_of(encoded: &[u8]) -> BlockId {
    hash("kithkin/block/1", &[encoded]).into()
}

/// A header and transactions: the content of a [`Block`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockParts {
    /// The header.
    pub header: Header,
    /// In the order of execution.
    pub transactions: Vec<SignedTransaction>,
}

/// A header and the transactions that it is to commit to. Never changed: identifier, length and whether the header
/// really commits to the transactions are worked out when they are first asked for, and kept.
#[derive(Clone)]
pub struct Block {
    parts: BlockParts,
    /// Identifier, and length of the header as a frame.
    identity: OnceLock<(BlockId, usize)>,
    commits: OnceLock<bool>,
}

impl Block {
    /// Puts header and transactions together; whether they belong together is for [`Self::commits`] to say.
    #[must_use]
    pub fn new(header: Header, transactions: Vec<SignedTransaction>) -> Self {
        BlockParts {
            header,
            transactions,
        }
        .into()
    }

    /// Takes the block apart.
    #[must_use]
    pub fn into_parts(self) -> BlockParts {
        self.parts
    }

    /// Another block: a copy with a change.
    #[must_use]
    pub fn altered(&self, change: impl FnOnce(&mut BlockParts)) -> Self {
        let mut parts = self.parts.clone();
        change(&mut parts);
        parts.into()
    }

    /// The header's identifier.
    #[must_use]
    pub fn id(&self) -> BlockId {
        self.identity().0
    }

    fn identity(&self) -> (BlockId, usize) {
        *self.identity.get_or_init(|| {
            let header = wire::encode(&self.header);
            (id_of(&header), header.len())
        })
    }

    /// Length in bytes, as a frame.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        // The pair's head; version byte and header; the list's head; transactions without their version bytes.
        let list = match self.transactions.len() {
            0..16 => 1,
            16..0x1_0000 => 3,
            _ => 5,
        };
        let transactions = self.transactions.iter().map(|tx| tx.encoded_len() - 1);
        1 + self.identity().1 + list + transactions.sum::<usize>()
    }

    /// Whether the header commits to exactly these transactions. Their signatures are no part of it.
    #[must_use]
    pub fn commits(&self) -> bool {
        *self
            .commits
            .get_or_init(|| Self::tx_root(&self.transactions) == self.header.tx_root)
    }

    /// The Merkle root that the header must carry for `transactions`.
    #[must_use]
    pub fn tx_root(transactions: &[SignedTransaction]) -> Digest {
        merkle::root(transactions.iter().map(SignedTransaction::id))
    }
}

impl From<BlockParts> for Block {
    fn from(parts: BlockParts) -> Self {
        Self {
            parts,
            identity: OnceLock::new(),
            commits: OnceLock::new(),
        }
    }
}

impl std::ops::Deref for Block {
    type Target = BlockParts;

    fn deref(&self) -> &BlockParts {
        &self.parts
    }
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Block {}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parts.fmt(f)
    }
}

impl Serialize for Block {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BlockParts::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Sequence;

    fn block(count: u64) -> Block {
        let transactions: Vec<_> = (0..count)
            .map(|n| {
                let payload = vec![1; usize::try_from(n % 300).expect("small")];
                SignedTransaction::unsigned(ChainId([1; 32]), Sequence(n), Millis(n), payload)
            })
            .collect();
        let header = Header {
            chain: ChainId([1; 32]),
            height: Height(count << 20),
            parent_id: BlockId::NONE,
            parent_state_root: Digest::ZERO,
            author: ValidatorId(3),
            view: View(1),
            time_ms: Millis(1),
            tx_root: Block::tx_root(&transactions),
            parent_cert: None,
            late_votes: Vec::new(),
            evidence: Vec::new(),
            vrf_proof: VrfProof([0; 80]),
        };
        Block::new(header, transactions)
    }

    #[test]
    fn what_is_kept_is_true() {
        for count in [0, 1, 15, 16, 17, 1_000, 65_535, 65_536] {
            let sent = block(count);
            let frame = wire::encode(&sent);
            assert_eq!(sent.encoded_len(), frame.len(), "{count} transactions");
            assert_eq!(sent.id(), sent.header.id());
            assert!(sent.commits());
            if count > 1_000 {
                continue;
            }
            let came: Block = wire::decode(&frame).expect("decodes");
            assert_eq!((came.id(), came.encoded_len()), (sent.id(), frame.len()));
            assert_eq!(came, sent);
            let short = came.altered(|parts| drop(parts.transactions.pop()));
            assert_eq!((short.id(), short.commits()), (sent.id(), count == 0));
        }
    }
}
