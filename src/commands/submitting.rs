//! From a signed word of somebody who has no process of their own to a final block: what commands hand in at a node's door.

use super::Failure;
use super::governance::{ANSWER_WITHIN, now, unproved};
use anyhow::anyhow;
use kithkin_actors::node::{ClientFailure, NodeClient};
use kithkin_actors::validator::messages::{Answer, Look};
use kithkin_protocol::crypto::SigningKey;
use kithkin_protocol::ids::{AccountId, ChainId};
use kithkin_protocol::ledger::{SignedTransaction, Transaction, TxBody, TxProof};
use kithkin_protocol::units::Millis;
use std::time::{Duration, Instant};

/// How long the transaction stays valid: a try, not a standing order.
const VALID_FOR: Millis = Millis(600_000);

/// What is handed in, for people.
pub(super) struct Paper {
    /// For example `the amendment`.
    pub(super) name: &'static str,
    /// The command that says later whether it has become final.
    pub(super) asked_by: &'static str,
}

/// Signs a transaction for a ledger at this block time, under the signer's next number.
pub(super) async fn envelope(
    client: &NodeClient,
    (chain, time_ms): (ChainId, Millis),
    key: &SigningKey,
    body: TxBody,
) -> Result<SignedTransaction, Failure> {
    let signer = key.verifying_key();
    let look = Look::Sequences(AccountId::of(&signer));
    let answer = client.look(look, ANSWER_WITHIN).await.map_err(silent)?;
    let Answer::Sequences(window) = answer else {
        return Err(silent(ClientFailure::Other));
    };
    let content = Transaction {
        chain,
        signer,
        sequence: window.lowest(),
        valid_until_ms: time_ms.max(now()).plus(VALID_FOR.0),
        body,
    };
    Ok(content.sign(key))
}

/// Hands a transaction in and waits until it is final and has had an effect, as the node says.
pub(super) async fn hand_in(
    client: &NodeClient,
    transaction: SignedTransaction,
    Paper { name, asked_by }: &Paper,
    deadline: Instant,
) -> Result<TxProof, Failure> {
    let id = transaction.id();
    let submitted = client.submit_many(vec![transaction], ANSWER_WITHIN);
    if let Some((_, refusal)) = submitted.await.map_err(silent)?.into_iter().next() {
        return Err(Failure::NotHeld(
            anyhow!(refusal).context(format!("the node does not take {name}")),
        ));
    }
    let within = deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_secs(1));
    let last = client.await_tx(id, within).await.map_err(|error| {
        Failure::NotHeld(anyhow!(error).context(format!(
            "{name} was handed in and is not final yet; it may become so, and {asked_by} says whether it has"
        )))
    })?;
    let height = last.proof.header.height;
    match last.rejected {
        None => Ok(last.proof),
        Some(reason) => Err(Failure::NotHeld(anyhow!(
            "the ledger has refused {name} at height {height}: {reason}"
        ))),
    }
}

fn silent(error: ClientFailure) -> Failure {
    unproved(error.into())
}
