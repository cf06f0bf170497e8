//! What a validator answers. Nothing is said before it is durable.

use crate::ports::network::Delivered;
use crate::validator::actor::{Action, Commit, Validator, WAITERS_MAX};
use crate::validator::messages::{
    Answer, AwaitTx, Concern, Finalized, Look, Prove, Proved, QueryError,
};
use crate::validator::storage::{StorageError, rejections};
use actix::{Handler, ResponseFuture};
use kithkin_protocol::consensus::Certificate;
use kithkin_protocol::crypto::merkle::MerkleTree;
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::TxId;
use kithkin_protocol::ledger::{
    Block, Confirmed, Event, HeadStatement, SignedTransaction, TxProof, What,
};
use kithkin_protocol::units::Millis;
use tokio::sync::oneshot;

/// Cases that ended longer ago than this are not listed any more.
const CASES_LISTED_MS: Millis = Millis(24 * 3_600_000);
/// Most cases in one answer.
const CASES_MAX: usize = 256;

impl Concern {
    /// Whether an event is of this concern.
    #[must_use]
    pub fn covers(&self, event: &Event) -> bool {
        match (&event.what, self) {
            (
                What::Enrolled { patient }
                | What::Batch { patient, .. }
                | What::Roster { patient, .. }
                | What::Erase { patient, .. }
                | What::Attempt { patient, .. }
                | What::Case { patient, .. }
                | What::Grant { patient, .. },
                Self::Patient(concerned),
            ) => patient == concerned,
            (
                What::Case { hospital, .. }
                | What::Attempt { hospital, .. }
                | What::Grant { hospital, .. }
                | What::Erase {
                    author: hospital, ..
                },
                Self::Hospital(concerned),
            ) => hospital == concerned,
            (What::Rejected { .. } | What::Amended { .. }, _)
            | (
                What::Enrolled { .. } | What::Batch { .. } | What::Roster { .. },
                Self::Hospital(_),
            ) => false,
        }
    }

    fn covers_case(&self, case: &Case) -> bool {
        match self {
            Self::Patient(patient) => case.patient() == *patient,
            Self::Hospital(hospital) => case.hospital == *hospital,
        }
    }
}

impl Validator {
    /// Answers those who waited for transactions of a block that is now durable.
    pub(super) fn answer_waiters(&mut self, commit: &Commit) {
        let block = &commit.block;
        if !block
            .transactions
            .iter()
            .any(|transaction| self.waiters.contains_key(&transaction.id()))
        {
            return;
        }
        let tree = MerkleTree::new(block.transactions.iter().map(SignedTransaction::id));
        let mut rejected = rejections(&commit.effects);
        for (index, transaction) in block.transactions.iter().enumerate() {
            let Some(callers) = self.waiters.remove(&transaction.id()) else {
                continue;
            };
            let rejected = u32::try_from(index)
                .ok()
                .and_then(|index| rejected.remove(&index));
            let Some(proof) = tx_proof(block, &commit.certificate, &tree, index) else {
                continue;
            };
            for caller in callers {
                // A caller that has gone away needs no answer.
                let _ = caller.send(Finalized {
                    proof: proof.clone(),
                    rejected: rejected.clone(),
                });
            }
        }
    }

    fn finalized(&self, id: TxId) -> Result<Option<Finalized>, QueryError> {
        let fail = |error: StorageError| QueryError::Store {
            name: self.port.me(),
            reason: error.to_string(),
        };
        let Some(place) = self.store.place(id).map_err(fail)? else {
            return Ok(None);
        };
        let Some(stored) = self.store.block(place.height).map_err(fail)? else {
            return Ok(None);
        };
        let tree = MerkleTree::new(stored.block.transactions.iter().map(SignedTransaction::id));
        let proof = usize::try_from(place.index)
            .ok()
            .and_then(|index| tx_proof(&stored.block, &stored.certificate, &tree, index));
        Ok(proof.map(|proof| Finalized {
            proof,
            rejected: place.rejected,
        }))
    }

    fn proved(&self, key: Vec<u8>) -> Result<Proved, QueryError> {
        let ledger = self.ledger();
        let proof = ledger.prove(key).map_err(|error| QueryError::Store {
            name: self.port.me(),
            reason: error.to_string(),
        })?;
        let head = Confirmed {
            height: ledger.height(),
            head: ledger.head_id(),
            state_root: ledger.state_root(),
            time_ms: ledger.head_time(),
        };
        let key = &self.identity.vote_key;
        let statement = HeadStatement::sign(ledger.chain(), head, self.me, key);
        Ok(Proved { statement, proof })
    }

    fn look(&self, look: Look) -> Answer {
        let state = self.ledger().state();
        match look {
            Look::Sequences(account) => Answer::Sequences(state.sequences(account)),
            Look::Cases(concern) => {
                let since = self.now().minus(CASES_LISTED_MS.0);
                let lately = |case: &Case| {
                    case.phase.is_live() || case.closed.is_some_and(|(when, _)| when >= since)
                };
                let mut cases: Vec<&Case> = match concern {
                    Concern::Patient(patient) => state.cases_of(patient).collect(),
                    Concern::Hospital(_) => state.open_cases().collect(),
                };
                cases.retain(|case| concern.covers_case(case) && lately(case));
                // When there are too many, those that can still open something, then the newest.
                cases.sort_by_key(|case| (!case.phase.is_live(), std::cmp::Reverse(case.height)));
                Answer::Cases(cases.into_iter().take(CASES_MAX).cloned().collect())
            }
            Look::Batches(patient, tier, up_to) => Answer::Batches(
                state
                    .batches_of(patient, tier, up_to)
                    .map(|(place, entry)| ((place.2, place.3), entry.clone()))
                    .collect(),
            ),
            Look::Patient(id) => Answer::Patient(state.patient(id).cloned().map(Box::new)),
            Look::Case(id) => Answer::Case(state.case(id).cloned().map(Box::new)),
            Look::Reviews(reviewer) => {
                let mut tasks = state.review_tasks(reviewer);
                tasks.truncate(CASES_MAX);
                Answer::Reviews(tasks)
            }
            Look::Head => Answer::Head(self.ledger().height(), self.ledger().head_time()),
        }
    }

    /// Gives an answer once everything that it may tell of is durable.
    fn answer<T: Send + 'static>(
        &mut self,
        value: T,
        ctx: &mut actix::Context<Self>,
    ) -> ResponseFuture<Result<T, QueryError>> {
        let (reply, answer) = oneshot::channel();
        let busy = QueryError::Busy {
            name: self.port.me(),
        };
        let action = Action::Reply(Box::new(move |_| drop(reply.send(value))));
        self.defer(Default::default(), vec![action], ctx);
        Box::pin(async move { answer.await.map_err(|_| busy) })
    }
}

fn tx_proof(
    block: &Block,
    certificate: &Certificate,
    tree: &MerkleTree,
    index: usize,
) -> Option<TxProof> {
    Some(TxProof {
        header: block.header.clone(),
        certificate: certificate.clone(),
        path: tree.path(index)?,
        transaction: block.transactions.get(index)?.clone(),
    })
}

impl Handler<Delivered<AwaitTx>> for Validator {
    type Result = ResponseFuture<Result<Finalized, QueryError>>;

    fn handle(&mut self, delivered: Delivered<AwaitTx>, _: &mut Self::Context) -> Self::Result {
        let id = delivered.message.0;
        match self.finalized(id) {
            Ok(Some(finalized)) => return Box::pin(async move { Ok(finalized) }),
            Ok(None) => {}
            Err(error) => return Box::pin(async move { Err(error) }),
        }
        let name = self.port.me();
        if self.waiters.len() >= WAITERS_MAX {
            return Box::pin(async move { Err(QueryError::Busy { name }) });
        }
        let (caller, answer) = oneshot::channel();
        self.waiters.entry(id).or_default().push(caller);
        Box::pin(async move { answer.await.map_err(|_| QueryError::Busy { name }) })
    }
}

impl Handler<Delivered<Prove>> for Validator {
    type Result = ResponseFuture<Result<Proved, QueryError>>;

    fn handle(&mut self, delivered: Delivered<Prove>, ctx: &mut Self::Context) -> Self::Result {
        match self.proved(delivered.message.0) {
            Ok(proved) => self.answer(proved, ctx),
            Err(error) => Box::pin(async move { Err(error) }),
        }
    }
}

impl Handler<Delivered<Look>> for Validator {
    type Result = ResponseFuture<Result<Answer, QueryError>>;

    fn handle(&mut self, delivered: Delivered<Look>, ctx: &mut Self::Context) -> Self::Result {
        let answer = self.look(delivered.message);
        self.answer(answer, ctx)
    }
}
