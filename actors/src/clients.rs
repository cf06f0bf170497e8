//! What every actor that is no validator does with the ledger: submit, wait, have proved.
//!
//! A client believes no single validator. A final transaction comes with its
//! block's certificate; the present state comes with proofs under a head that
//! f+1 validators agree on. Only [`LedgerClient::look`] proves nothing: it is
//! for finding what to have proved.

mod prove;
mod submit;

use self::submit::Sequences;
use crate::friend_relative::FriendRelative;
use crate::hospital::Hospital;
use crate::patient::Patient;
use crate::ports::clock::SharedClock;
use crate::ports::names::ActorName;
use crate::ports::network::{AskError, Port};
use crate::validator::Validator;
use crate::validator::messages::{Answer, Concern, Follow, Look, Notice, QueryError};
use kithkin_protocol::credit::ValidatorSet;
use kithkin_protocol::crypto::SigningKey;
use kithkin_protocol::ids::{AccountId, ChainId};
use kithkin_protocol::ledger::Genesis;
use kithkin_protocol::units::Millis;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
