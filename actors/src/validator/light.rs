//! What light clients need: the steps that lead from the genesis to the validators of today, and entries of the state with the
//! block that commits to them. The rules: `kithkin_protocol::ledger::light`; the clients' side: [`crate::node::light`].
//!
//! A block's header holds the root of the state before it. So an entry of the present state is proved by the block after
//! it: whoever asks waits for that one, an idle ledger's heartbeat at most.

use super::actor::{Commit, Validator};
use super::messages::{LightSteps, ProveFinal, ProvedFinal, QueryError};
use crate::ports::network::Delivered;
use actix::{Handler, ResponseFuture};
use kithkin_protocol::ledger::light::Step;
use kithkin_protocol::ledger::{State, StateProof};
use kithkin_protocol::units::Height;
use tokio::sync::oneshot;

/// Most entries that wait for their block.
const PROVING_MAX: usize = 256;

/// An entry of the state after a height, which the next block will prove.
pub(super) struct Proving {
    height: Height,
    electorate: StateProof,
    entry: StateProof,
    caller: oneshot::Sender<ProvedFinal>,
}

impl Validator {
    /// Answers who has waited for this block.
    pub(super) fn answer_proving(&mut self, commit: &Commit) {
        let height = commit.block.header.height;
        for proving in std::mem::take(&mut self.proving) {
            let proved = proving.height.plus(1);
            if proved > height {
                self.proving.push(proving);
            } else if proved == height {
                let step = Step {
                    header: commit.block.header.clone(),
                    certificate: commit.certificate.clone(),
                    electorate: proving.electorate,
                };
                let entry = proving.entry;
                // A caller that has gone away needs no answer.
                let _ = proving.caller.send(ProvedFinal { step, entry });
            }
        }
    }

    pub(super) fn prove_final(
        &mut self,
        key: Vec<u8>,
    ) -> Result<oneshot::Receiver<ProvedFinal>, QueryError> {
        self.proving.retain(|proving| !proving.caller.is_closed());
        let name = self.port.me();
        if self.proving.len() >= PROVING_MAX {
            return Err(QueryError::Busy { name });
        }
        let ledger = self.ledger();
        let height = ledger.height();
        let prove = |key| {
            ledger.prove(key).map_err(|error| QueryError::Store {
                name,
                reason: error.to_string(),
            })
        };
        let (electorate, entry) = (prove(State::electorate_key())?, prove(key)?);
        let (caller, answer) = oneshot::channel();
        self.proving.push(Proving {
            height,
            electorate,
            entry,
            caller,
        });
        Ok(answer)
    }
}

impl Handler<Delivered<ProveFinal>> for Validator {
    type Result = ResponseFuture<Result<ProvedFinal, QueryError>>;

    fn handle(&mut self, delivered: Delivered<ProveFinal>, _: &mut Self::Context) -> Self::Result {
        let name = self.port.me();
        let asked = self.prove_final(delivered.message.0);
        Box::pin(async move { asked?.await.map_err(|_| QueryError::Busy { name }) })
    }
}

impl Handler<Delivered<LightSteps>> for Validator {
    type Result = ResponseFuture<Result<Vec<Step>, QueryError>>;

    fn handle(&mut self, delivered: Delivered<LightSteps>, _: &mut Self::Context) -> Self::Result {
        let LightSteps { after } = delivered.message;
        let (name, head) = (self.port.me(), self.ledger().height());
        let (store, snapshots) = (self.store.clone(), self.sync.snapshots.clone());
        Box::pin(async move {
            let read =
                tokio::task::spawn_blocking(move || snapshots.steps_after(&store, after, head));
            match read.await {
                Ok(Ok(steps)) => Ok(steps),
                Ok(Err(error)) => Err(QueryError::Store {
                    name,
                    reason: error.to_string(),
                }),
                // The thread has panicked.
                Err(_) => Err(QueryError::Busy { name }),
            }
        })
    }
}
