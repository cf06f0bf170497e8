//! Transactions that clients hand in and that peers pass on.

use super::Validator;
use crate::ports::names::ActorName;
use crate::ports::network::Delivered;
use crate::validator::messages::{Gossip, Submit};
use actix::Handler;
use kithkin_protocol::consensus::Input;
use kithkin_protocol::ids::TxId;
use kithkin_protocol::ledger::{AdmissionError, SignedTransaction};
use std::sync::Arc;

/// Most transactions in one gossip message.
pub(crate) const GOSSIP_MAX: usize = 256;

impl Validator {
    pub(super) fn admit(&mut self, transaction: SignedTransaction) -> Result<TxId, AdmissionError> {
        let now = self.now();
        self.pool.admit(transaction, self.core.ledger(), now)
    }

    pub(super) fn gossip(&self, transactions: Vec<SignedTransaction>) {
        if !transactions.is_empty() {
            let gossip = Gossip(Arc::new(transactions));
            self.port.tell_all::<Self, _>(self.peers(), &gossip);
        }
    }

    /// Passes on again what still waits, and forgets callers that went away.
    pub(super) fn tend(&mut self) {
        let waiting = self.pool.iter().take(GOSSIP_MAX).cloned().collect();
        self.gossip(waiting);
        self.waiters.retain(|_, callers| {
            callers.retain(|caller| !caller.is_closed());
            !callers.is_empty()
        });
    }
}

impl Handler<Delivered<Submit>> for Validator {
    type Result = Result<TxId, AdmissionError>;

    fn handle(&mut self, delivered: Delivered<Submit>, ctx: &mut Self::Context) -> Self::Result {
        let transaction = delivered.message.0;
        let id = self.admit(transaction.clone())?;
        self.gossip(vec![transaction]);
        self.step(Input::Work(true), ctx);
        Ok(id)
    }
}

impl Handler<Delivered<Gossip>> for Validator {
    type Result = ();

    fn handle(&mut self, delivered: Delivered<Gossip>, ctx: &mut Self::Context) {
        if !matches!(delivered.from, ActorName::Validator(_)) {
            return;
        }
        let mut new = false;
        for transaction in delivered.message.0.iter().take(GOSSIP_MAX) {
            match self.admit(transaction.clone()) {
                Ok(_) => new = true,
                // Each for itself: they were judged in one batch, and that was the dear part.
                Err(error) if error.is_offence() => {
                    if self.port.blame(delivered.from) {
                        tracing::warn!(validator = %self.me, peer = %delivered.from, %error, "a peer passes on rubbish");
                    }
                }
                Err(_) => {}
            }
        }
        if new {
            self.step(Input::Work(true), ctx);
        }
    }
}
