//! Blocks and their headers. Who may write one and when is for [`crate::consensus`] to say.

use crate::consensus::{Certificate, Evidence, Vote};
use crate::crypto::vrf::VrfProof;
use crate::crypto::{Digest, hash, merkle};
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::SignedTransaction;
use crate::units::{Height, Millis, View};
use crate::wire;
use serde::{Deserialize, Serialize};

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
        hash("kithkin/block/1", &[&wire::encode(self)]).into()
    }
}

/// A header and the transactions that it commits to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// In the order of execution.
    pub transactions: Vec<SignedTransaction>,
}

impl Block {
    /// The header's identifier.
    #[must_use]
    pub fn id(&self) -> BlockId {
        self.header.id()
    }

    /// The Merkle root that the header must carry for `transactions`.
    #[must_use]
    pub fn tx_root(transactions: &[SignedTransaction]) -> Digest {
        merkle::root(transactions.iter().map(SignedTransaction::id))
    }
}
