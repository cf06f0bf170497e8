//! Transactions that wait for a block: checked on admission, bounded per sender and in all.

use crate::ids::{AccountId, TxId};
use crate::ledger::{EnvelopeError, Ledger, SignedTransaction};
use crate::units::{Millis, Sequence};
use std::collections::BTreeMap;

/// Most bytes that wait in all.
pub const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most transactions of one sender that wait.
pub const PER_SENDER_MAX: usize = 256;

/// Why a transaction is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// No block may contain it.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It waits already.
    #[error("the transaction waits already")]
    Waiting,
    /// Another transaction with its sequence number waits already.
    #[error("another transaction with sequence {sequence} of this sender waits already")]
    SequenceWaiting {
        /// The number.
        sequence: Sequence,
    },
    /// Too many of this sender wait.
    #[error(
        "{PER_SENDER_MAX} transactions of this sender wait already; send again when some are finalized"
    )]
    SenderFull,
    /// Too many bytes wait.
    #[error("{POOL_BYTES_MAX} bytes of transactions wait already; send again later")]
    PoolFull,
}

/// The waiting transactions.
#[derive(Default)]
pub struct Mempool {
    waiting: BTreeMap<TxId, Waiting>,
    /// In the order of arrival.
    queue: BTreeMap<u64, TxId>,
    senders: BTreeMap<AccountId, BTreeMap<Sequence, TxId>>,
    arrivals: u64,
    bytes: usize,
}

struct Waiting {
    transaction: SignedTransaction,
    arrival: u64,
    bytes: usize,
}

impl Mempool {
    /// Takes a transaction in.
    ///
    /// # Errors
    /// [`AdmissionError`] with the reason; nothing changes.
    pub fn admit(
        &mut self,
        transaction: SignedTransaction,
        ledger: &Ledger,
        now: Millis,
    ) -> Result<TxId, AdmissionError> {
        let id = transaction.id();
        if self.waiting.contains_key(&id) {
            return Err(AdmissionError::Waiting);
        }
        let (signer, sequence) = (transaction.account(), transaction.content.sequence);
        if let Some(waiting) = self.senders.get(&signer) {
            if waiting.contains_key(&sequence) {
                return Err(AdmissionError::SequenceWaiting { sequence });
            }
            if waiting.len() >= PER_SENDER_MAX {
                return Err(AdmissionError::SenderFull);
            }
        }
        let bytes = transaction.encoded_len();
        if self.bytes.saturating_add(bytes) > POOL_BYTES_MAX {
            return Err(AdmissionError::PoolFull);
        }
        ledger.state().check_envelope(&transaction, now)?;
        // The dearest check comes last.
        ledger.state().check_signature(&transaction)?;
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.bytes += bytes;
        self.queue.insert(arrival, id);
        self.senders.entry(signer).or_default().insert(sequence, id);
        let waiting = Waiting {
            transaction,
            arrival,
            bytes,
        };
        self.waiting.insert(id, waiting);
        Ok(id)
    }

    /// Drops what the last block contains and what no later block may contain.
    pub fn on_block(&mut self, ledger: &Ledger, now: Millis) {
        let gone: Vec<TxId> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| {
                ledger
                    .state()
                    .check_envelope(&waiting.transaction, now)
                    .is_err()
            })
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// The waiting transactions in the order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = &SignedTransaction> {
        self.queue
            .values()
            .filter_map(|id| self.waiting.get(id))
            .map(|waiting| &waiting.transaction)
    }

    /// Copies of the oldest waiting transactions, as many as have `bytes` together.
    #[must_use]
    pub fn oldest(&self, bytes: usize) -> Vec<SignedTransaction> {
        let mut room = bytes;
        self.queue
            .values()
            .filter_map(|id| self.waiting.get(id))
            .map_while(|waiting| {
                room = room.checked_sub(waiting.bytes)?;
                Some(waiting.transaction.clone())
            })
            .collect()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn remove(&mut self, id: TxId) {
        if let Some(waiting) = self.waiting.remove(&id) {
            self.queue.remove(&waiting.arrival);
            self.bytes = self.bytes.saturating_sub(waiting.bytes);
            let signer = waiting.transaction.account();
            if let Some(sequences) = self.senders.get_mut(&signer) {
                sequences.remove(&waiting.transaction.content.sequence);
                if sequences.is_empty() {
                    self.senders.remove(&signer);
                }
            }
        }
    }
}
