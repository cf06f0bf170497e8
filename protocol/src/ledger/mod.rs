//! The ledger: transactions, blocks, the deterministic state machine and its authenticated state.
//!
//! [`Ledger`] is the state after one height. It checks the next block, executes
//! it, and proves single entries. Who may write a block and how validators
//! agree on it is in [`crate::consensus`]; credit is in [`crate::credit`]; the
//! steps of a case are in [`crate::emergency`].

mod accreditation;
mod block;
mod enrolment;
mod epochs;
mod event;
mod execute;
mod genesis;
mod governance;
mod grants;
pub mod light;
mod lookup;
mod mempool;
mod patient;
mod proof;
mod rules;
mod second;
mod sequence;
pub mod snapshot;
mod state;
mod table;
#[cfg(test)]
pub(crate) mod test_chain;
mod transaction;
mod tree;

pub use accreditation::{
    Accredited, IssuerInfo, NAME_BYTES_MAX, Register, ReviewerInfo, Revoked, Role,
};
pub use block::{BLOCK_BYTES_MAX, Block, BlockParts, Header};
pub use enrolment::{Enrolment, EnrolmentError, Member, Seat, SecondCircle, TierShares};
pub use epochs::{CircleEpochs, Epochs};
pub use event::{Effects, Event, Rejection, What};
pub(crate) use execute::Replay;
pub use execute::duties;
pub use execute::{
    EnvelopeError, LIVE_CASES_MAX, LIVE_CASES_PER_HOSPITAL_MAX, OrderError,
    REQUESTS_PER_HOSPITAL_MAX, REQUESTS_PER_PATIENT_MAX, RequestLimit, SUSPENSION_MS,
    URGENT_PER_HOSPITAL_MAX, URGENT_PER_PATIENT_MAX,
};
pub use genesis::{
    Genesis, GenesisError, HospitalInfo, Profile, VALIDATORS_MAX, ValidatorInfo, Workload,
};
pub use governance::{
    Amendment, CHANGES_MAX, Change, Clause, Governance, GovernanceError, PROTOCOL_VERSION,
    ProtocolVersion, SETS_MAX,
};
pub use mempool::{AdmissionError, Mempool, PER_SENDER_MAX, POOL_BYTES_MAX, SETTLED_MAX};
pub use patient::{Drill, Era, FORMER_DEVICES_MAX, Patient, Shown};
pub use proof::{
    Confirmed, HEAD_AGE_MS_MAX, HeadStatement, ProofError, TxProof, confirm_head, confirm_state,
};
pub use rules::{Rules, RulesChange, RulesError};
pub use second::{SecondError, SecondWord};
pub use sequence::{SEQUENCE_WINDOW, SequenceError, SequenceWindow};
pub use state::{BatchEntry, BatchPlace, Hospital, Meta, RestoreError, State};
pub use table::Write;
pub use transaction::{
    Approval, Envelope, Judged, OPAQUE_BYTES_MAX, SignedTransaction, TRANSACTION_BYTES_MAX,
    Transaction, TxBody, VALIDITY_MS_MAX, read_digest, release_digest, verify_many, verify_some,
};
pub use tree::{StateProof, StateProofError, TreeError};

use crate::consensus::Vote;
use crate::credit::{Head, HeaderError, Standings};
use crate::crypto::Digest;
use crate::ids::{BlockId, ChainId};
use crate::units::{Height, Millis};
use snapshot::Due;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use tree::StateTree;
#[cfg(any(test, feature = "testing"))]
pub(crate) use tree::shared::Shared as SharedTrees;

/// Most blocks whose execution is remembered until one of them is final: more than one only when a master equivocates or
/// views fail.
const TRIED_MAX: usize = 2;

/// The state after one height, with its tree.
#[derive(Clone)]
pub struct Ledger {
    state: State,
    tree: StateTree,
    /// Blocks that were checked on this state, with what executing them gives.
    tried: VecDeque<(BlockId, State, Effects)>,
    /// Every how many heights a snapshot is due.
    snapshots_every: Option<NonZeroU64>,
}

/// Why a ledger cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The genesis is no basis for a ledger.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The stored state cannot be read.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The tree cannot be built.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Why a block is not valid on this state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The header does not fit.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The block is larger than allowed.
    #[error("the block has {bytes} bytes; at most {BLOCK_BYTES_MAX} are allowed")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// The header commits to other transactions.
    #[error("the header commits to other transactions")]
    TxRoot,
    /// A transaction cannot be executed.
    #[error("transaction {index} cannot be executed")]
    Envelope {
        /// Its place in the block.
        index: usize,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
    /// From this height on the ledger follows rules that this program does not know.
    #[error(
        "from height {height} on the ledger follows version {needed} of its rules; this program knows up to {PROTOCOL_VERSION}: install the newer one"
    )]
    Version {
        /// The height.
        height: Height,
        /// The version that is needed.
        needed: ProtocolVersion,
    },
    /// Our own tree is damaged.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl Ledger {
    fn new(state: State, tree: StateTree) -> Self {
        Self {
            state,
            tree,
            tried: VecDeque::new(),
            snapshots_every: None,
        }
    }

    /// From now on the effects of every so many heights hold the state, for a snapshot, and who votes next, proved. Local policy;
    /// nothing that is agreed on depends on it.
    pub fn make_snapshots(&mut self, every: Option<NonZeroU64>) {
        self.snapshots_every = every;
    }

    /// The ledger at height 0, and the entries to store for it.
    ///
    /// # Errors
    /// [`LedgerError::Genesis`] when the genesis is no basis for a ledger.
    pub fn genesis(genesis: &Genesis) -> Result<(Self, Vec<Write>), LedgerError> {
        genesis.validate()?;
        let mut state = State::genesis(genesis);
        let writes = state.drain();
        let tree = StateTree::build(&writes)?;
        Ok((Self::new(state, tree), writes))
    }

    /// The ledger as it was stored: all entries that were written and not removed since.
    ///
    /// # Errors
    /// [`LedgerError::Restore`] when an entry cannot be read or none says where the chain stands.
    pub fn restore(entries: &[(Vec<u8>, Vec<u8>)]) -> Result<Self, LedgerError> {
        let state = State::restore(
            entries
                .iter()
                .map(|(key, value)| (key.as_slice(), value.as_slice())),
        )?;
        let writes: Vec<Write> = entries
            .iter()
            .map(|(key, value)| (key.clone(), Some(value.clone())))
            .collect();
        let tree = StateTree::build(&writes)?;
        Ok(Self::new(state, tree))
    }

    /// The tables.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The ledger's identifier.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.state.meta().chain
    }

    /// Height of the last executed block; 0 before the first.
    #[must_use]
    pub fn height(&self) -> Height {
        self.state.meta().height
    }

    /// The last executed block.
    #[must_use]
    pub fn head_id(&self) -> BlockId {
        self.state.meta().head
    }

    /// Block time of the last executed block.
    #[must_use]
    pub fn head_time(&self) -> Millis {
        self.state.meta().time_ms
    }

    /// Root of the state after the last executed block.
    #[must_use]
    pub fn state_root(&self) -> Digest {
        self.tree.root()
    }

    /// Validators, credit and seed.
    #[must_use]
    pub fn standings(&self) -> &Standings {
        self.state.standings()
    }

    /// Where the chain stands, as header checks need it.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            height: self.height(),
            id: self.head_id(),
            state_root: self.state_root(),
            time_ms: self.head_time(),
        }
    }

    /// Proves the entry with this key, or that there is none.
    ///
    /// # Errors
    /// [`TreeError`] when our own tree is damaged.
    pub fn prove(&self, key: Vec<u8>) -> Result<StateProof, TreeError> {
        self.tree.prove(key)
    }

    /// The state that executing a block would lead to, when it was checked on this state lately.
    #[must_use]
    pub fn tried(&self, id: BlockId) -> Option<&State> {
        let tried = self.tried.iter().find(|(tried, ..)| *tried == id);
        tried.map(|(_, state, _)| state)
    }

    /// Whether this program knows the rules of the next height.
    ///
    /// # Errors
    /// [`BlockError::Version`] when a newer program is needed.
    pub fn check_version(&self) -> Result<(), BlockError> {
        let height = self.height().plus(1);
        let needed = self.standings().version_at(height);
        if needed > PROTOCOL_VERSION {
            return Err(BlockError::Version { height, needed });
        }
        Ok(())
    }

    /// Checks everything about a block but whether its time lies in the future. What executing it gives is remembered,
    /// so that [`Self::execute`] need not do it again.
    ///
    /// # Errors
    /// The first [`BlockError`] found.
    pub fn check_block(&mut self, block: &Block) -> Result<(), BlockError> {
        self.check_block_knowing(block, &|_| false)
    }

    /// [`Self::check_block`] for somebody who has verified some of the header's votes before: `known` says which.
    ///
    /// # Errors
    /// The first [`BlockError`] found.
    pub fn check_block_knowing(
        &mut self,
        block: &Block,
        known: &dyn Fn(&Vote) -> bool,
    ) -> Result<(), BlockError> {
        let id = block.id();
        // The identifier binds the header, and by the root the content of the transactions. Their signatures it does not.
        if self.tried.iter().any(|(tried, ..)| *tried == id) {
            return self.check_body(block);
        }
        self.standings()
            .check_header_knowing(&block.header, &self.head(), known)?;
        self.check_body(block)?;
        let (state, effects) = self.try_execute(block)?;
        self.tried.push_back((id, state, effects));
        if self.tried.len() > TRIED_MAX {
            self.tried.pop_front();
        }
        Ok(())
    }

    /// Checks that the transactions are those which the header commits to, that their signatures hold, and the size. For
    /// a block whose header was judged otherwise: the identifier binds the header only, and the header the content of the
    /// transactions but not their signatures. So whoever hands on a block that is notarized or final could still spoil it.
    ///
    /// # Errors
    /// [`BlockError::TooLong`], [`BlockError::TxRoot`], or [`BlockError::Envelope`] with a bad signature.
    pub fn check_body(&self, block: &Block) -> Result<(), BlockError> {
        let bytes = block.encoded_len();
        if bytes > BLOCK_BYTES_MAX {
            return Err(BlockError::TooLong { bytes });
        }
        if !block.commits() {
            return Err(BlockError::TxRoot);
        }
        match self.state.meta().workload {
            Workload::Records | Workload::Opaque => check_signatures(&block.transactions),
            // Execution sees to it that there are none.
            Workload::OpaqueUnsigned => Ok(()),
        }
    }

    /// Executes a block that has been checked, or that a quorum has finalized and [`Self::check_body`] found complete.
    ///
    /// # Errors
    /// [`BlockError`] when it cannot be executed; nothing changes.
    pub fn execute(&mut self, block: &Block) -> Result<Effects, BlockError> {
        if !block.commits() {
            return Err(BlockError::TxRoot);
        }
        let id = block.id();
        let tried = std::mem::take(&mut self.tried);
        let known = tried.into_iter().find(|(tried, ..)| *tried == id);
        let (state, mut effects) = match known {
            Some((_, state, effects)) => (state, effects),
            None => self.try_execute(block)?,
        };
        self.tree.apply(&effects.writes)?;
        self.state = state;
        effects.state_root = self.state_root();
        let key = State::electorate_key();
        let height = self.height().0;
        let due = self
            .snapshots_every
            .is_some_and(|every| height % every == 0);
        if due {
            effects.snapshot = Some(Box::new(Due {
                state: self.state.clone(),
                root: self.state_root(),
            }));
        }
        if due
            || height.is_multiple_of(light::LIGHT_EVERY)
            || effects.writes.iter().any(|(written, _)| *written == key)
        {
            effects.electorate = Some(self.prove(key)?);
        }
        Ok(effects)
    }

    fn try_execute(&self, block: &Block) -> Result<(State, Effects), BlockError> {
        self.check_version()?;
        let mut state = self.state.clone();
        let effects = state.execute(block)?;
        Ok((state, effects))
    }
}

fn check_signatures(transactions: &[SignedTransaction]) -> Result<(), BlockError> {
    // One bad signature says enough, and whoever judged them beforehand may have stopped there.
    let known = |transaction: &SignedTransaction| matches!(transaction.verdict(), Some(Err(_)));
    let mut bad = transactions.iter().position(known);
    if bad.is_none() {
        let _ = verify_some(transactions, 1);
        bad = transactions
            .iter()
            .position(|transaction| transaction.verify().is_err());
    }
    match bad.and_then(|index| Some((index, transactions.get(index)?))) {
        None => Ok(()),
        Some((index, transaction)) => Err(BlockError::Envelope {
            index,
            source: EnvelopeError::Signature {
                id: transaction.id(),
            },
        }),
    }
}

#[cfg(test)]
mod tests;
