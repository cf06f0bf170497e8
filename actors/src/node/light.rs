//! A client of nodes that believes none of them: what a node says is compared with the genesis, change by change.
//!
//! The rules are those of `kithkin_protocol::ledger::light`. What is proved is final; that it is the newest a node could still
//! conceal, by telling of an old block: whoever needs to know looks at its time.

use super::client::{ClientFailure, NodeClient};
use kithkin_protocol::ids::ChainId;
use kithkin_protocol::ledger::light::{Claim, Follower, LightError, Proved, STEPS_MAX};
use kithkin_protocol::ledger::{Genesis, State, TxProof};
use kithkin_protocol::units::Height;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How often it is begun anew when the validators change while an entry is being proved.
const TRIES: u32 = 4;

/// Why a node's word is not proved.
#[derive(Debug, thiserror::Error)]
pub enum LightFailure {
    /// The node gives no answer.
    #[error(transparent)]
    Client(#[from] ClientFailure),
    /// The node is of another ledger than the genesis.
    #[error("the node is of the ledger {found}, and the genesis founds {wanted}")]
    Ledger {
        /// The node's ledger.
        found: ChainId,
        /// The genesis' ledger.
        wanted: ChainId,
    },
    /// What the node shows does not follow from the genesis.
    #[error("what the node says does not follow from the genesis")]
    Proof(#[from] LightError),
    /// The proof holds, and is not of the entry that was asked for, or it cannot be read.
    #[error("the node proves something else than it was asked for")]
    Other,
}

/// What is certain of a ledger, from its genesis on.
pub struct LightClient {
    chain: ChainId,
    follower: Follower,
    steps: usize,
}

impl LightClient {
    /// Starts at a genesis.
    ///
    /// # Errors
    /// [`LightFailure::Proof`] when it is no basis for a ledger.
    pub fn new(genesis: &Genesis) -> Result<Self, LightFailure> {
        Ok(Self {
            chain: genesis.chain_id(),
            follower: Follower::new(genesis)?,
            steps: 0,
        })
    }

    /// An entry of the state, none when there is none, and the block that commits to it: the next one of the ledger, so this
    /// waits for a block.
    ///
    /// # Errors
    /// Every [`LightFailure`].
    pub async fn entry<T: DeserializeOwned>(
        &mut self,
        client: &NodeClient,
        key: Vec<u8>,
        within: Duration,
    ) -> Result<(Option<T>, Proved), LightFailure> {
        let found = client.welcome().chain;
        if found != self.chain {
            let wanted = self.chain;
            return Err(LightFailure::Ledger { found, wanted });
        }
        let mut tries = 1..TRIES;
        let proved = loop {
            self.catch_up(client, within).await?;
            let proved = client.prove_final(key.clone(), within).await?;
            match self.follower.follow(&proved.step) {
                Ok(()) => break proved,
                // They have changed meanwhile.
                Err(LightError::Set { .. } | LightError::Certificate { .. })
                    if tries.next().is_some() => {}
                Err(error) => return Err(error.into()),
            }
        };
        if proved.entry.key != key {
            return Err(LightFailure::Other);
        }
        let claim = Claim::Entry(proved.entry);
        let checked = self.follower.check(&claim)?;
        let Claim::Entry(proof) = claim else {
            return Err(LightFailure::Other);
        };
        let value = proof.value.map(|value| State::decode_value(&value));
        let value = value.transpose().map_err(|_| LightFailure::Other)?;
        Ok((value, checked))
    }

    /// Checks that a transaction is final, in a block up to the last one that an entry was proved by.
    ///
    /// # Errors
    /// [`LightFailure::Proof`].
    pub fn transaction(&self, proof: TxProof) -> Result<Proved, LightFailure> {
        Ok(self.follower.check(&Claim::Transaction {
            header: Box::new(proof.header),
            certificate: proof.certificate,
            path: proof.path,
            transaction: proof.transaction,
        })?)
    }

    /// Follows all changes of the validators that the node knows.
    async fn catch_up(
        &mut self,
        client: &NodeClient,
        within: Duration,
    ) -> Result<(), LightFailure> {
        loop {
            let after = self
                .follower
                .last()
                .map_or(Height(0), |(height, ..)| height);
            let steps = client.steps(after, within).await?;
            if steps.is_empty() {
                return Ok(());
            }
            self.steps = self.steps.saturating_add(steps.len());
            if self.steps > STEPS_MAX {
                return Err(LightError::Steps { count: self.steps }.into());
            }
            for step in &steps {
                self.follower.follow(step)?;
            }
        }
    }
}
