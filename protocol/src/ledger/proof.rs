//! Proofs for those who run no validator: kin, hospitals, patients, auditors. No I/O: a proof is checked by itself.
//!
//! A finalized transaction is proved by its block's header, the finalization
//! and a Merkle path. The present state is proved by an entry's path to a
//! state root that f+1 validators say is theirs: one of them is honest.

use crate::consensus::{CertError, Certificate, VoteKind};
use crate::credit::ValidatorSet;
use crate::crypto::merkle::MerklePath;
use crate::crypto::{Digest, Signature, SigningKey, hash};
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::{Header, SignedTransaction, StateProof};
use crate::units::{Height, Millis};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How old a head may be for a kin to act on it (design, architecture, step 5).
pub const HEAD_AGE_MS_MAX: Millis = Millis(30_000);

/// Shows that a transaction stands at a place of a finalized block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxProof {
    /// The block's header.
    pub header: Header,
    /// Its finalization.
    pub certificate: Certificate,
    /// The path to the header's transaction root.
    pub path: MerklePath,
    /// The transaction.
    pub transaction: SignedTransaction,
}

/// A validator's word on where its chain stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadStatement {
    /// Height of the last finalized block.
    pub height: Height,
    /// That block.
    pub head: BlockId,
    /// Root of the state after it.
    pub state_root: Digest,
    /// Its block time.
    pub time_ms: Millis,
    /// Who says so.
    pub validator: ValidatorId,
    /// Ed25519 over all of it and the chain.
    pub signature: Signature,
}

/// What f+1 validators agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// Height of the head.
    pub height: Height,
    /// The head.
    pub head: BlockId,
    /// Root of the state after it.
    pub state_root: Digest,
    /// Its block time.
    pub time_ms: Millis,
}

/// Why a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The certificate does not finalize this header.
    #[error("the certificate does not finalize this header")]
    Certificate(#[from] CertError),
    /// The certificate is for something else.
    #[error("the certificate is for another block or says something else")]
    Mismatch,
    /// For another ledger.
    #[error("the proof is for another ledger")]
    Chain,
    /// The transaction is not in the block.
    #[error("the transaction is not in the block")]
    Transaction,
    /// Too few validators agree.
    #[error("{agree} validators agree on a head; {needed} are needed")]
    TooFew {
        /// Most that agree.
        agree: usize,
        /// f+1.
        needed: usize,
    },
    /// The newest head is too old.
    #[error("the newest head is from {head_ms}, more than 30 s before {now_ms}")]
    Stale {
        /// Block time of the head.
        head_ms: Millis,
        /// Now.
        now_ms: Millis,
    },
    /// The entry's path does not lead to the confirmed root.
    #[error("the state proof does not lead to the confirmed root")]
    State,
}

impl TxProof {
    /// Checks the proof under the validators of the block's height; returns the place of the transaction.
    ///
    /// # Errors
    /// [`ProofError`] naming the part that does not hold.
    pub fn verify(
        &self,
        chain: ChainId,
        validators: &ValidatorSet,
    ) -> Result<(Height, u32), ProofError> {
        let header = &self.header;
        if header.chain != chain {
            return Err(ProofError::Chain);
        }
        let cert = &self.certificate;
        if cert.kind != VoteKind::Finalize || cert.height != header.height || cert.id != header.id()
        {
            return Err(ProofError::Mismatch);
        }
        cert.verify(chain, validators)?;
        self.path
            .verify(self.transaction.id().as_ref(), &header.tx_root)
            .map_err(|_| ProofError::Transaction)?;
        self.transaction
            .verify()
            .map_err(|_| ProofError::Transaction)?;
        Ok((header.height, self.path.index))
    }
}

impl HeadStatement {
    /// States where a validator's chain stands.
    #[must_use]
    pub fn sign(chain: ChainId, head: Confirmed, validator: ValidatorId, key: &SigningKey) -> Self {
        let signature = key.sign(Self::message(chain, &head, validator).as_ref());
        Self {
            height: head.height,
            head: head.head,
            state_root: head.state_root,
            time_ms: head.time_ms,
            validator,
            signature,
        }
    }

    fn stated(&self) -> Confirmed {
        Confirmed {
            height: self.height,
            head: self.head,
            state_root: self.state_root,
            time_ms: self.time_ms,
        }
    }

    fn holds(&self, chain: ChainId, validators: &ValidatorSet) -> bool {
        let message = Self::message(chain, &self.stated(), self.validator);
        validators.get(self.validator).is_some_and(|info| {
            info.vote_key
                .verify(message.as_ref(), &self.signature)
                .is_ok()
        })
    }

    fn message(chain: ChainId, head: &Confirmed, validator: ValidatorId) -> Digest {
        hash(
            "kithkin/head/1",
            &[
                chain.as_ref(),
                &head.height.0.to_be_bytes(),
                head.head.as_ref(),
                head.state_root.as_ref(),
                &head.time_ms.0.to_be_bytes(),
                &validator.0.to_be_bytes(),
            ],
        )
    }
}

/// Finds the newest head that f+1 validators agree on and that is at most 30 s old.
///
/// # Errors
/// [`ProofError::TooFew`] when no f+1 of the statements agree, [`ProofError::Stale`] when what they agree on is old.
pub fn confirm_head(
    chain: ChainId,
    validators: &ValidatorSet,
    statements: &[HeadStatement],
    now: Millis,
) -> Result<Confirmed, ProofError> {
    let needed = validators.f() + 1;
    let mut agree: BTreeMap<(Height, BlockId, Digest, Millis), BTreeSet<ValidatorId>> =
        BTreeMap::new();
    for statement in statements {
        if statement.holds(chain, validators) {
            let Confirmed {
                height,
                head,
                state_root,
                time_ms,
            } = statement.stated();
            agree
                .entry((height, head, state_root, time_ms))
                .or_default()
                .insert(statement.validator);
        }
    }
    let newest = agree.iter().rfind(|(_, who)| who.len() >= needed);
    let Some(((height, head, state_root, time_ms), _)) = newest else {
        let agree = agree.values().map(BTreeSet::len).max().unwrap_or(0);
        return Err(ProofError::TooFew { agree, needed });
    };
    if time_ms.plus(HEAD_AGE_MS_MAX.0) < now {
        return Err(ProofError::Stale {
            head_ms: *time_ms,
            now_ms: now,
        });
    }
    Ok(Confirmed {
        height: *height,
        head: *head,
        state_root: *state_root,
        time_ms: *time_ms,
    })
}

/// Checks that a state proof holds at a fresh head that f+1 validators agree on.
///
/// # Errors
/// As [`confirm_head`], and [`ProofError::State`] when the path does not lead to the confirmed root.
pub fn confirm_state(
    chain: ChainId,
    validators: &ValidatorSet,
    statements: &[HeadStatement],
    proof: &StateProof,
    now: Millis,
) -> Result<Confirmed, ProofError> {
    let head = confirm_head(chain, validators, statements, now)?;
    proof
        .verify(&head.state_root)
        .map_err(|_| ProofError::State)?;
    Ok(head)
}
