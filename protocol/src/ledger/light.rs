//! Light clients: a transaction or an entry of the state is final, proved from the genesis alone, with no I/O.
//!
//! Whoever has the genesis (kin, auditors, a node that starts from a snapshot) needs to know who voted on a height, and
//! that this quorum finalized the block. A [`Step`] shows both: a header with its finalization, and under the header's
//! parent state root the [`Electorate`], which says who votes on that height and the next.
//!
//! Steps may skip heights. That is sound because a step shows that nothing was skipped which matters: the
//! certificate is checked under the set that the client holds for right, so an honest member of that set took part, and an honest
//! validator finalizes valid blocks only; so the header's parent state root is the true one, and the set that
//! stands under it is the true set of that height. If it is not the client's own, a change was left out and the step is refused
//! ([`LightError::Set`]). Without that check, two thirds of an old, smaller set, all of them honest, could have signed what
//! the true, larger set then gave up. As for every light client, keys of a quorum of an old set must not fall into one
//! hand later; and a proof says that something is final, not that it is the newest.

use crate::consensus::{CertError, Certificate, VoteKind};
use crate::credit::{Electorate, ValidatorSet};
use crate::crypto::Digest;
use crate::crypto::merkle::MerklePath;
use crate::ids::BlockId;
use crate::ledger::{Genesis, GenesisError, Header, SignedTransaction, State, StateProof};
use crate::units::{Height, Millis};
use crate::wire::WireError;
use serde::{Deserialize, Serialize};

/// Every how many heights a step can be made even though the validators stay the same: so long a transaction waits at
/// most until a light client can be shown it. A divisor of the distance of snapshots.
pub const LIGHT_EVERY: u64 = 50;

/// Most steps of one proof. One is needed for each change of the validators, and one for the newest height.
pub const STEPS_MAX: usize = 4_096;

/// A header, its finalization, and who votes on its height and the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The header.
    pub header: Header,
    /// Its finalization.
    pub certificate: Certificate,
    /// The [`Electorate`] under the header's parent state root.
    pub electorate: StateProof,
}

/// What is to be proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claim {
    /// A transaction stands in a final block. The block's validators must be known from a step at its height or
    /// later.
    Transaction {
        /// The block's header.
        header: Box<Header>,
        /// Its finalization.
        certificate: Certificate,
        /// The path to the header's transaction root.
        path: MerklePath,
        /// The transaction.
        transaction: SignedTransaction,
    },
    /// An entry of the state before the block of the last step, or its absence.
    Entry(StateProof),
}

/// What has been proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The final block: the transaction's, or the one whose header commits to the state.
    pub height: Height,
    /// Its identifier.
    pub id: BlockId,
    /// Its time.
    pub time_ms: Millis,
    /// Place of the transaction in the block; none for an entry.
    pub index: Option<u32>,
}

/// Why a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LightError {
    /// The genesis is no basis for a ledger.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// No step, or too many.
    #[error("the proof has {count} steps; 1 to {STEPS_MAX} are needed")]
    Steps {
        /// How many.
        count: usize,
    },
    /// A header of another ledger.
    #[error("the header at height {height} belongs to another ledger")]
    Chain {
        /// The header's height.
        height: Height,
    },
    /// Steps that do not ascend.
    #[error("the step at height {height} does not come after the one before")]
    Order {
        /// The step's height.
        height: Height,
    },
    /// A certificate for something else.
    #[error("the certificate at height {height} does not finalize the header")]
    Subject {
        /// The header's height.
        height: Height,
    },
    /// The finalization does not hold under the validators that are known.
    #[error("the finalization at height {height} does not hold")]
    Certificate {
        /// The header's height.
        height: Height,
        /// Why.
        #[source]
        source: CertError,
    },
    /// A proof of another entry, or one that does not lead to the header's state root.
    #[error("the proof of the validators at height {height} does not hold")]
    Electorate {
        /// The step's height.
        height: Height,
    },
    /// The entry cannot be read.
    #[error("the entry of the validators at height {height} cannot be read")]
    Unreadable {
        /// The step's height.
        height: Height,
        /// Why.
        #[source]
        source: WireError,
    },
    /// Other validators than the steps before lead to: one is missing.
    #[error("at height {height} others voted than the steps before lead to: a step is missing")]
    Set {
        /// The step's height.
        height: Height,
    },
    /// No step says who voted on the transaction's height.
    #[error("no step says who voted on height {height}")]
    Uncovered {
        /// The height.
        height: Height,
    },
    /// The transaction is not in the block.
    #[error("the transaction is not in the block at height {height}")]
    Transaction {
        /// The block's height.
        height: Height,
    },
    /// The entry does not stand in the state.
    #[error("the entry does not stand in the state before height {height}")]
    Entry {
        /// The step's height.
        height: Height,
    },
}

/// What a light client holds for true: who votes, as far as it has followed. Bounded by what it is asked to follow.
#[derive(Clone, Debug)]
pub struct Follower {
    chain: crate::ids::ChainId,
    /// The set of the height after `height`.
    next: ValidatorSet,
    height: Height,
    /// The last step: height, block, block time, root of the state before it.
    last: Option<(Height, BlockId, Millis, Digest)>,
    /// Sets that are certain, each for a span of heights from first to last.
    spans: Vec<(Height, Height, ValidatorSet)>,
}

impl Follower {
    /// Starts at the genesis.
    ///
    /// # Errors
    /// [`LightError::Genesis`] when it is no basis for a ledger.
    pub fn new(genesis: &Genesis) -> Result<Self, LightError> {
        genesis.validate()?;
        Ok(Self {
            chain: genesis.chain_id(),
            next: ValidatorSet::new(genesis.validators.iter().cloned()),
            height: Height(0),
            last: None,
            spans: Vec::new(),
        })
    }

    /// Goes one step.
    ///
    /// # Errors
    /// [`LightError`] naming what does not hold; nothing changes.
    pub fn follow(&mut self, step: &Step) -> Result<(), LightError> {
        let height = step.header.height;
        if height <= self.height {
            return Err(LightError::Order { height });
        }
        let id = self.check_final(&step.header, &step.certificate, &self.next)?;
        let proof = &step.electorate;
        let root = step.header.parent_state_root;
        let value = proof
            .value
            .as_ref()
            .filter(|_| proof.key == State::electorate_key() && proof.verify(&root).is_ok())
            .ok_or(LightError::Electorate { height })?;
        let electorate: Electorate = State::decode_value(value)
            .map_err(|source| LightError::Unreadable { height, source })?;
        if electorate.current != self.next {
            return Err(LightError::Set { height });
        }
        match self.spans.last_mut() {
            Some((since, last, _)) if *since == electorate.since => *last = height,
            _ => self
                .spans
                .push((electorate.since, height, electorate.current)),
        }
        if let Some(next) = electorate.next {
            self.next = next;
        }
        self.height = height;
        self.last = Some((height, id, step.header.time_ms, root));
        Ok(())
    }

    /// Height, block, block time and the root of the state before the last step's block.
    #[must_use]
    pub fn last(&self) -> Option<(Height, BlockId, Millis, Digest)> {
        self.last
    }

    /// The validators of a height, as far as the steps make it certain.
    #[must_use]
    pub fn validators_at(&self, height: Height) -> Option<&ValidatorSet> {
        let mut spans = self.spans.iter().rev();
        spans
            .find(|(first, last, _)| (*first..=*last).contains(&height))
            .map(|(_, _, set)| set)
    }

    /// Checks a claim.
    ///
    /// # Errors
    /// [`LightError`] naming what does not hold.
    pub fn check(&self, claim: &Claim) -> Result<Proved, LightError> {
        match claim {
            Claim::Transaction {
                header,
                certificate,
                path,
                transaction,
            } => {
                let height = header.height;
                let id = self.check_header(header, certificate)?;
                let holds = path
                    .verify(transaction.id().as_ref(), &header.tx_root)
                    .is_ok()
                    && transaction.verify().is_ok();
                if !holds {
                    return Err(LightError::Transaction { height });
                }
                Ok(Proved {
                    height,
                    id,
                    time_ms: header.time_ms,
                    index: Some(path.index),
                })
            }
            Claim::Entry(proof) => {
                let (height, id, time_ms, root) =
                    self.last.ok_or(LightError::Steps { count: 0 })?;
                proof
                    .verify(&root)
                    .map_err(|_| LightError::Entry { height })?;
                Ok(Proved {
                    height,
                    id,
                    time_ms,
                    index: None,
                })
            }
        }
    }

    /// Checks that a header is final, under the validators of its height.
    ///
    /// # Errors
    /// [`LightError`] naming what does not hold; [`LightError::Uncovered`] when no step says who voted.
    pub fn check_header(
        &self,
        header: &Header,
        certificate: &Certificate,
    ) -> Result<BlockId, LightError> {
        let height = header.height;
        let set = self
            .validators_at(height)
            .ok_or(LightError::Uncovered { height })?;
        self.check_final(header, certificate, set)
    }

    fn check_final(
        &self,
        header: &Header,
        certificate: &Certificate,
        set: &ValidatorSet,
    ) -> Result<BlockId, LightError> {
        let height = header.height;
        if header.chain != self.chain {
            return Err(LightError::Chain { height });
        }
        let id = header.id();
        let fits = certificate.kind == VoteKind::Finalize
            && certificate.height == height
            && certificate.id == id;
        if !fits {
            return Err(LightError::Subject { height });
        }
        certificate
            .verify(self.chain, set)
            .map_err(|source| LightError::Certificate { height, source })?;
        Ok(id)
    }
}

/// Proves a claim from the genesis alone: each step is final under the validators that the steps before lead to, and the claim
/// stands in a final block or under the state root of the last one.
///
/// # Errors
/// The first [`LightError`] found.
pub fn verify(genesis: &Genesis, steps: &[Step], claim: &Claim) -> Result<Proved, LightError> {
    let count = steps.len();
    if count == 0 || count > STEPS_MAX {
        return Err(LightError::Steps { count });
    }
    let mut follower = Follower::new(genesis)?;
    for step in steps {
        follower.follow(step)?;
    }
    follower.check(claim)
}

#[cfg(test)]
mod tests;
