//! What every actor that is no validator does with the ledger: submit, wait, have proved.
//!
//! A client believes no single validator. A final transaction comes with its
//! block's certificate; the present state comes with proofs under a head that
//! f+1 validators agree on. Only [`LedgerClient::look`] proves nothing: it is
//! for finding what to have proved.

use crate::friend_relative::FriendRelative;
use crate::hospital::Hospital;
use crate::patient::Patient;
use crate::ports::clock::SharedClock;
use crate::ports::names::ActorName;
use crate::ports::network::{AskError, Port};
use crate::validator::Validator;
use crate::validator::messages::{
    Answer, AwaitTx, Concern, Finalized, Follow, Look, Notice, Prove, Proved, QueryError, Submit,
};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kithkin_protocol::credit::ValidatorSet;
use kithkin_protocol::crypto::SigningKey;
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::{AccountId, CaseId, ChainId, HospitalId, TxId};
use kithkin_protocol::ledger::{
    self, AdmissionError, Confirmed, EnvelopeError, Genesis, ProofError, SequenceWindow,
    SignedTransaction, State, Transaction, TxBody, confirm_head,
};
use kithkin_protocol::units::{Millis, Sequence};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a transaction stays valid once it is signed.
const VALID_FOR: Millis = Millis(120_000);
/// How long one validator may take to answer.
const TRY: Duration = Duration::from_millis(1_500);
/// Pause before validators that did not agree are asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// Why the ledger could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not final in time. It may become final later.
    #[error("the transaction was not final in time ({last}); it may become final later")]
    NotFinal {
        /// The last thing that a validator said.
        last: String,
    },
    /// Final, but refused.
    #[error("refused: {reason}")]
    Rejected {
        /// Why.
        reason: String,
    },
    /// No proof in time.
    #[error("no {needed} validators agreed in time: {last}")]
    NotProved {
        /// How many must agree.
        needed: usize,
        /// Why the last try failed.
        last: String,
    },
    /// No validator answered.
    #[error("no validator answered in time: {last}")]
    Silent {
        /// The last failure.
        last: String,
    },
}

/// One actor's access to the ledger. Cloning is cheap.
#[derive(Clone)]
pub struct LedgerClient(Arc<Inner>);

struct Inner {
    chain: ChainId,
    validators: ValidatorSet,
    port: Port,
    key: Arc<SigningKey>,
    clock: SharedClock,
    sequences: Mutex<Sequences>,
    /// Where the next round of questions starts, so that work spreads over the validators.
    next: AtomicUsize,
}

/// Which sequence numbers this client has given out.
#[derive(Default)]
struct Sequences {
    /// What the ledger said last; none before the first time.
    window: Option<SequenceWindow>,
    /// Given out and not known to be final, each with the last valid time of its transaction.
    pending: BTreeMap<Sequence, Millis>,
}

impl LedgerClient {
    /// A client that signs with `key` and speaks through `port`.
    #[must_use]
    pub fn new(genesis: &Genesis, port: Port, key: Arc<SigningKey>, clock: SharedClock) -> Self {
        Self(Arc::new(Inner {
            chain: genesis.chain_id(),
            validators: ValidatorSet::new(genesis.validators.iter().cloned()),
            port,
            key,
            clock,
            sequences: Mutex::default(),
            next: AtomicUsize::new(0),
        }))
    }

    /// The ledger.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.0.chain
    }

    /// The validators.
    #[must_use]
    pub fn validators(&self) -> &ValidatorSet {
        &self.0.validators
    }

    /// The account that this client signs for.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId::of(&self.0.key.verifying_key())
    }

    /// The key that this client signs with.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.0.key
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.0.clock.now()
    }

    /// Asks f+1 validators to tell this actor what happens; to be repeated, because a restarted validator forgets.
    pub fn follow(&self, concerns: &[Concern]) {
        let follow = Follow(concerns.to_vec());
        let names = self.names();
        let enough = names.into_iter().take(self.0.validators.f() + 1);
        self.0.port.tell_all::<Validator, _>(enough, &follow);
    }

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

    /// The value of a state entry at a head that is at most 30 s old and that f+1 validators agree on.
    ///
    /// # Errors
    /// [`ClientError::NotProved`] at `deadline`.
    pub async fn prove(
        &self,
        key: Vec<u8>,
        deadline: Instant,
    ) -> Result<(Option<Vec<u8>>, Confirmed), ClientError> {
        let needed = self.0.validators.f() + 1;
        let mut last = String::from("no validator was asked");
        while Instant::now() < deadline {
            match self.prove_once(&key, deadline).await {
                Ok(proved) => return Ok(proved),
                Err(error) => last = error,
            }
            tracing::debug!(me = %self.0.port.me(), last, "the validators do not agree yet; asking again");
            tokio::time::sleep(PAUSE).await;
        }
        Err(ClientError::NotProved { needed, last })
    }

    async fn prove_once(
        &self,
        key: &[u8],
        deadline: Instant,
    ) -> Result<(Option<Vec<u8>>, Confirmed), String> {
        let mut answers: FuturesUnordered<_> = self
            .names()
            .into_iter()
            .map(|name| self.ask(name, Prove(key.to_vec()), deadline))
            .collect();
        let mut proved: Vec<Proved> = Vec::new();
        let mut last = String::from("no validator answered");
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Ok(answer)) if answer.proof.key == key => proved.push(answer),
                Ok(Ok(_)) => last = String::from("a proof of another entry"),
                Ok(Err(error)) => last = error.to_string(),
                Err(error) => last = error.to_string(),
            }
            match self.confirmed(&proved) {
                Ok(found) => return Ok(found),
                Err(ProofError::TooFew { agree: 0, .. }) => {}
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }

    fn confirmed(&self, proved: &[Proved]) -> Result<(Option<Vec<u8>>, Confirmed), ProofError> {
        let inner = &self.0;
        let statements: Vec<_> = proved
            .iter()
            .map(|answer| answer.statement.clone())
            .collect();
        let head = confirm_head(
            inner.chain,
            &inner.validators,
            &statements,
            inner.clock.now(),
        )?;
        proved
            .iter()
            .find(|answer| answer.proof.verify(&head.state_root).is_ok())
            .map(|answer| {
                let value = answer.proof.value.as_ref().map(|value| value.to_vec());
                (value, head)
            })
            .ok_or(ProofError::State)
    }

    /// A case as it stands now, proved. None when there is no such case.
    ///
    /// # Errors
    /// [`ClientError::NotProved`] at `deadline`.
    pub async fn prove_case(
        &self,
        id: CaseId,
        deadline: Instant,
    ) -> Result<Option<Case>, ClientError> {
        self.prove_value(State::case_key(id), deadline).await
    }

    /// A hospital that is accredited now, proved. None for one that never was, or is not any more.
    ///
    /// # Errors
    /// [`ClientError::NotProved`] at `deadline`.
    pub async fn prove_hospital(
        &self,
        id: HospitalId,
        deadline: Instant,
    ) -> Result<Option<ledger::Hospital>, ClientError> {
        self.prove_value(State::hospital_key(id), deadline).await
    }

    async fn prove_value<T: DeserializeOwned>(
        &self,
        key: Vec<u8>,
        deadline: Instant,
    ) -> Result<Option<T>, ClientError> {
        let (value, _) = self.prove(key, deadline).await?;
        value
            .map(|value| State::decode_value(&value))
            .transpose()
            .map_err(|error| ClientError::NotProved {
                needed: self.0.validators.f() + 1,
                last: error.to_string(),
            })
    }

    /// Asks one validator after the other until one answers. Proves nothing.
    ///
    /// # Errors
    /// [`ClientError::Silent`] at `deadline`.
    pub async fn look(&self, look: Look, deadline: Instant) -> Result<Answer, ClientError> {
        let mut last = String::from("no validator was asked");
        while Instant::now() < deadline {
            for name in self.names() {
                match self.ask(name, look.clone(), deadline).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(error)) => last = error.to_string(),
                    Err(error) => last = error.to_string(),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(ClientError::Silent { last })
    }

    async fn ask<M>(
        &self,
        name: ActorName,
        message: M,
        deadline: Instant,
    ) -> Result<M::Result, AskError>
    where
        M: actix::Message + Send + 'static,
        M::Result: Send,
        Validator: actix::Handler<crate::ports::network::Delivered<M>>,
    {
        let left = deadline.saturating_duration_since(Instant::now());
        self.0
            .port
            .ask::<Validator, M>(name, message, TRY.min(left))
            .await
    }

    /// All validators, starting somewhere else each time.
    fn names(&self) -> Vec<ActorName> {
        let mut names: Vec<_> = self
            .0
            .validators
            .ids()
            .map(|id| ActorName::Validator(id.0))
            .collect();
        let start = self.0.next.fetch_add(1, Ordering::Relaxed) % names.len().max(1);
        names.rotate_left(start);
        names
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

/// Tells a follower, whatever role it has.
pub(crate) fn notify(port: &Port, follower: ActorName, notice: Notice) {
    match follower {
        ActorName::Kin(..) => port.tell::<FriendRelative, _>(follower, notice),
        ActorName::Hospital(_) => port.tell::<Hospital, _>(follower, notice),
        ActorName::Patient(_) => port.tell::<Patient, _>(follower, notice),
        ActorName::Validator(_) | ActorName::Leader(_) | ActorName::Driver => {}
    }
}

impl From<QueryError> for ClientError {
    fn from(error: QueryError) -> Self {
        Self::Silent {
            last: error.to_string(),
        }
    }
}
