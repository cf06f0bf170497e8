//! What a process at a node's client door asks for by the hundred: many transactions at once, and the chain's identifiers.

use crate::ports::network::Delivered;
use crate::validator::messages::{CHAIN_MAX, Chain, QueryError, SubmitMany};
use crate::validator::{GOSSIP_MAX, Validator};
use actix::Handler;
use kithkin_protocol::consensus::Input;
use kithkin_protocol::ids::{BlockId, TxId};
use kithkin_protocol::ledger::{AdmissionError, SignedTransaction};
use kithkin_protocol::units::Height;

/// Most bytes of transactions in one gossip message, or one transaction that is larger.
const GOSSIP_BYTES_MAX: usize = 512 * 1024;

/// After so many transactions of one question that nobody honest hands in, the others are not looked at.
pub(crate) const OFFENCES_MAX: usize = 16;

impl Handler<Delivered<SubmitMany>> for Validator {
    type Result = actix::MessageResult<Delivered<SubmitMany>>;

    fn handle(
        &mut self,
        delivered: Delivered<SubmitMany>,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        let (mut new, mut offences) = (Vec::new(), 0);
        let answers: Vec<Result<TxId, AdmissionError>> = delivered
            .message
            .0
            .into_iter()
            .map(|transaction| {
                if offences >= OFFENCES_MAX {
                    return Err(AdmissionError::Unchecked);
                }
                let admitted = self.admit(transaction.clone());
                match &admitted {
                    Ok(_) => new.push(transaction),
                    Err(error) => offences += usize::from(error.is_offence()),
                }
                admitted
            })
            .collect();
        if !new.is_empty() {
            for batch in batches(new) {
                self.gossip(batch);
            }
            self.step(Input::Work(true), ctx);
        }
        actix::MessageResult(answers)
    }
}

impl Handler<Delivered<Chain>> for Validator {
    type Result = Result<Vec<(Height, BlockId)>, QueryError>;

    fn handle(&mut self, delivered: Delivered<Chain>, _: &mut Self::Context) -> Self::Result {
        let Chain { from, count } = delivered.message;
        let mut ids: Vec<(Height, BlockId)> = Vec::new();
        while ids.len() < usize::from(count.min(CHAIN_MAX)) {
            let next = from.plus(ids.len() as u64);
            let found = self
                .store
                .final_id(next)
                .map_err(|error| QueryError::Store {
                    name: self.port.me(),
                    reason: error.to_string(),
                })?;
            let Some((id, _)) = found else {
                let first = self.store.first_block();
                if ids.is_empty() && next > Height(0) && next < first {
                    let (name, height) = (self.port.me(), next);
                    return Err(QueryError::Pruned {
                        name,
                        height,
                        first,
                    });
                }
                break;
            };
            ids.push((next, id));
        }
        Ok(ids)
    }
}

/// Cuts transactions into messages of bounded size.
fn batches(transactions: Vec<SignedTransaction>) -> Vec<Vec<SignedTransaction>> {
    let mut batches: Vec<Vec<SignedTransaction>> = Vec::new();
    let mut bytes = 0;
    for transaction in transactions {
        let length = transaction.encoded_len();
        match batches.last_mut() {
            Some(last) if last.len() < GOSSIP_MAX && bytes + length <= GOSSIP_BYTES_MAX => {
                last.push(transaction);
                bytes += length;
            }
            _ => {
                batches.push(vec![transaction]);
                bytes = length;
            }
        }
    }
    batches
}
