//! Submitting, and waiting until a transaction is final.

use super::{ClientError, LedgerClient, PAUSE, TRY};
use crate::ports::names::ActorName;
use crate::validator::messages::{Answer, AwaitTx, Finalized, Look, Submit};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kithkin_protocol::ids::TxId;
use kithkin_protocol::ledger::{
    AdmissionError, EnvelopeError, ProofError, SequenceWindow, SignedTransaction, Transaction,
    TxBody,
};
use kithkin_protocol::units::{Millis, Sequence};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Instant;

/// How long a transaction stays valid once it is signed.
const VALID_FOR: Millis = Millis(120_000);

/// Which sequence numbers this client has given out.
#[derive(Default)]
pub(super) struct Sequences {
    /// What the ledger said last; none before the first time.
    window: Option<SequenceWindow>,
    /// Given out and not known to be final, each with the last valid time of its transaction.
    pending: BTreeMap<Sequence, Millis>,
}

impl LedgerClient {
    /// Signs and submits, and waits until the transaction is final. The proof has been checked.
    ///
    /// # Errors
    /// [`ClientError::NotFinal`] at `deadline`; [`ClientError::Rejected`] when it is final but had no effect.
    pub async fn submit(&self, body: TxBody, deadline: Instant) -> Result<Finalized, ClientError> {
        let asked = Instant::now();
        let mut last = String::from("no validator was asked");
        while Instant::now() < deadline {
            let transaction = match self.sign(&body).await {
                Ok(transaction) => transaction,
                Err(error) => {
                    last = error.to_string();
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let sequence = transaction.content.sequence;
            let valid_until = transaction.content.valid_until_ms;
            let sent = self
                .send_until_final(&transaction, deadline, &mut last)
                .await;
            if let Some(finalized) = sent {
                self.settle(sequence);
                let height = finalized.proof.header.height;
                let (me, took) = (self.0.port.me(), asked.elapsed());
                tracing::debug!(%me, %height, ?took, "a transaction is final");
                return match finalized.rejected {
                    Some(reason) => Err(ClientError::Rejected { reason }),
                    None => Ok(finalized),
                };
            }
            // Taken by another transaction of ours (for example before a restart), or out of time: the number
            // comes free when this transaction can no longer become final.
            self.abandon(sequence, valid_until);
        }
        Err(ClientError::NotFinal { last })
    }

    /// Sends until the transaction is final. None at the deadline, or when another transaction has its sequence number.
    async fn send_until_final(
        &self,
        transaction: &SignedTransaction,
        deadline: Instant,
        last: &mut String,
    ) -> Option<Finalized> {
        let id = transaction.id();
        while Instant::now() < deadline {
            let names = self.names();
            let enough = self.0.validators.f() + 1;
            let mut stale = false;
            let mut admitted = 0usize;
            let mut submissions: FuturesUnordered<_> = names
                .iter()
                .take(enough)
                .map(|name| self.ask(*name, Submit(transaction.clone()), deadline))
                .collect();
            while let Some(answer) = submissions.next().await {
                match answer {
                    Ok(Ok(_) | Err(AdmissionError::Waiting)) => admitted += 1,
                    Ok(Err(error)) => {
                        stale |= matches!(
                            error,
                            AdmissionError::SequenceWaiting { .. }
                                | AdmissionError::Envelope(EnvelopeError::Sequence(_))
                        );
                        *last = error.to_string();
                    }
                    Err(error) => *last = error.to_string(),
                }
            }
            if admitted > 0 || stale {
                match self.await_tx_once(id, &names, deadline).await {
                    Ok(finalized) => return Some(finalized),
                    Err(error) => *last = error,
                }
            }
            if stale && admitted == 0 {
                self.forget_window();
                return None;
            }
            if admitted == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
        None
    }

    /// Waits until a transaction of anybody is final. The proof has been checked.
    ///
    /// # Errors
    /// [`ClientError::NotFinal`] at `deadline`.
    pub async fn await_tx(&self, id: TxId, deadline: Instant) -> Result<Finalized, ClientError> {
        let mut last = String::from("no validator was asked");
        while Instant::now() < deadline {
            match self.await_tx_once(id, &self.names(), deadline).await {
                Ok(finalized) => return Ok(finalized),
                Err(error) => last = error,
            }
        }
        Err(ClientError::NotFinal { last })
    }

    /// The proof shows that the transaction is final; whether it had an effect is the validators' word, so f+1 must
    /// say the same.
    async fn await_tx_once(
        &self,
        id: TxId,
        names: &[ActorName],
        deadline: Instant,
    ) -> Result<Finalized, String> {
        let f = self.0.validators.f();
        let (mut effective, mut refused) = (0usize, 0usize);
        let mut waits: FuturesUnordered<_> = names
            .iter()
            .map(|name| self.ask(*name, AwaitTx(id), deadline))
            .collect();
        let mut last = String::from("no validator answered");
        while let Some(answer) = waits.next().await {
            match answer {
                Ok(Ok(finalized)) => match self.check(id, &finalized) {
                    Ok(()) => {
                        let said = match finalized.rejected {
                            Some(_) => &mut refused,
                            None => &mut effective,
                        };
                        *said += 1;
                        if *said > f {
                            return Ok(finalized);
                        }
                        last = String::from("too few validators say what it has done");
                    }
                    Err(error) => last = error.to_string(),
                },
                Ok(Err(error)) => last = error.to_string(),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }

    fn check(&self, id: TxId, finalized: &Finalized) -> Result<(), ProofError> {
        let inner = &self.0;
        finalized.proof.verify(inner.chain, &inner.validators)?;
        if finalized.proof.transaction.id() == id {
            Ok(())
        } else {
            Err(ProofError::Transaction)
        }
    }

    async fn sign(&self, body: &TxBody) -> Result<SignedTransaction, ClientError> {
        if self.sequences().window.is_none() {
            let look = Look::Sequences(self.account());
            let deadline = Instant::now() + TRY;
            if let Answer::Sequences(window) = self.look(look, deadline).await? {
                self.sequences().window = Some(window);
            }
        }
        let now = self.0.clock.now();
        let valid_until_ms = now.plus(VALID_FOR.0);
        let mut sequences = self.sequences();
        sequences.pending.retain(|_, until| *until >= now);
        let taken = sequences.pending.keys().copied().collect();
        let sequence = sequences
            .window
            .clone()
            .unwrap_or_default()
            .next_free(&taken);
        sequences.pending.insert(sequence, valid_until_ms);
        drop(sequences);
        let content = Transaction {
            chain: self.0.chain,
            signer: self.0.key.verifying_key(),
            sequence,
            valid_until_ms,
            body: body.clone(),
        };
        Ok(content.sign(&self.0.key))
    }

    fn settle(&self, sequence: Sequence) {
        let mut sequences = self.sequences();
        sequences.pending.remove(&sequence);
        if let Some(window) = &mut sequences.window {
            // A number that the window had already is no news.
            let _ = window.take(sequence);
        }
    }

    fn abandon(&self, sequence: Sequence, until: Millis) {
        self.sequences().pending.insert(sequence, until);
    }

    fn forget_window(&self) {
        self.sequences().window = None;
    }

    fn sequences(&self) -> std::sync::MutexGuard<'_, Sequences> {
        self.0
            .sequences
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
