//! Transactions that wait for a block: checked on admission, bounded per sender and in all.
//!
//! Signatures are judged where [`verify_many`](super::verify_many) or
//! [`SignedTransaction::verify`] is called first; the pool asks and so pays
//! only for those that nobody has judged before.

use crate::ids::{AccountId, TxId};
use crate::ledger::genesis::Workload;
use crate::ledger::lookup::{TxSet, TxTable};
use crate::ledger::{Block, EnvelopeError, Ledger, SEQUENCE_WINDOW, SignedTransaction};
use crate::units::{Height, Millis, Sequence};
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes that wait in all.
pub const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most transactions of one sender that wait: as many as its sequence numbers allow. Sixteen senders fill four seconds
/// at 15,000 a second with it; the bytes of all are bounded by [`POOL_BYTES_MAX`].
pub const PER_SENDER_MAX: usize = SEQUENCE_WINDOW as usize;
/// Most identifiers of finalized transactions that are remembered, where no sequence number tells that one is old: one to
/// two seconds at the highest rate that was measured.
pub const SETTLED_MAX: usize = 128 * 1024;
/// How many of the oldest transactions are checked anew with each block. What no block takes any more would otherwise
/// stand in front of everything else until it expires.
const RECHECKED: usize = 32;

/// Why a transaction is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// No block may contain it.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It waits already.
    #[error("the transaction waits already")]
    Waiting,
    /// It was finalized lately.
    #[error("the transaction was finalized already")]
    Settled,
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
    /// Others that came along with it were invalid, so nobody has looked at it.
    #[error(
        "not looked at: too many that came along with it are invalid; send it again without them"
    )]
    Unchecked,
}

impl AdmissionError {
    /// Whether no honest validator passes such a transaction on: nothing that happens on the ledger meanwhile makes it
    /// valid, or has made it invalid.
    #[must_use]
    pub fn is_offence(&self) -> bool {
        match self {
            Self::Envelope(error) => error.is_final(),
            Self::Waiting
            | Self::Settled
            | Self::SequenceWaiting { .. }
            | Self::SenderFull
            | Self::PoolFull
            | Self::Unchecked => false,
        }
    }
}

/// The waiting transactions.
#[derive(Default)]
pub struct Mempool {
    /// In the order of arrival.
    queue: BTreeMap<u64, Waiting>,
    /// Places in the queue.
    places: TxTable<u64>,
    /// Places by last valid time.
    expiry: BTreeSet<(Millis, u64)>,
    /// Of those whose sequence numbers count.
    senders: BTreeMap<AccountId, BTreeMap<Sequence, TxId>>,
    settled: Settled,
    /// Height of the last block seen.
    height: Height,
    arrivals: u64,
    bytes: usize,
}

struct Waiting {
    transaction: SignedTransaction,
    /// The height that a block with it was last proposed for.
    proposed: Height,
}

/// Identifiers of finalized transactions: all of the last [`SETTLED_MAX`] / 2, at most [`SETTLED_MAX`].
#[derive(Default)]
struct Settled {
    newer: TxSet,
    older: TxSet,
}

impl Settled {
    fn insert(&mut self, id: TxId) {
        self.newer.insert(id);
        if self.newer.len() >= SETTLED_MAX / 2 {
            self.older = std::mem::take(&mut self.newer);
        }
    }

    fn contains(&self, id: TxId) -> bool {
        self.newer.contains(id) || self.older.contains(id)
    }
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
        if self.places.contains(id) {
            return Err(AdmissionError::Waiting);
        }
        let bytes = self.bytes.saturating_add(transaction.encoded_len());
        if bytes > POOL_BYTES_MAX {
            return Err(AdmissionError::PoolFull);
        }
        let numbered = ledger.state().meta().workload != Workload::OpaqueUnsigned;
        if numbered {
            self.check_sender(&transaction)?;
        } else if self.settled.contains(id) {
            return Err(AdmissionError::Settled);
        }
        ledger.state().check_envelope(&transaction, now)?;
        // The dearest check comes last.
        ledger.state().check_signature(&transaction)?;
        self.arrivals = self.arrivals.saturating_add(1);
        self.bytes = bytes;
        self.places.insert(id, self.arrivals);
        self.expiry
            .insert((transaction.content.valid_until_ms, self.arrivals));
        if numbered {
            let numbers = self.senders.entry(transaction.account()).or_default();
            numbers.insert(transaction.content.sequence, id);
        }
        let waiting = Waiting {
            transaction,
            proposed: Height(0),
        };
        self.queue.insert(self.arrivals, waiting);
        Ok(id)
    }

    fn check_sender(&self, transaction: &SignedTransaction) -> Result<(), AdmissionError> {
        let Some(waiting) = self.senders.get(&transaction.account()) else {
            return Ok(());
        };
        let sequence = transaction.content.sequence;
        if waiting.contains_key(&sequence) {
            return Err(AdmissionError::SequenceWaiting { sequence });
        }
        if waiting.len() >= PER_SENDER_MAX {
            return Err(AdmissionError::SenderFull);
        }
        Ok(())
    }

    /// A block for `height`, not final yet, holds these transactions: [`Self::oldest`] leaves them out for later heights
    /// until that height is final. Those that the final block does not hold are free again.
    pub fn on_proposed(&mut self, height: Height, transactions: &[SignedTransaction]) {
        for transaction in transactions {
            let place = self.places.get(transaction.id());
            if let Some(waiting) = place.and_then(|place| self.queue.get_mut(&place)) {
                waiting.proposed = height;
            }
        }
    }

    /// Drops what a finalized block contains, or has made impossible, and what has expired at `now`. `ledger` is the
    /// state after `block`. To be called for every block.
    pub fn on_block(&mut self, block: &Block, ledger: &Ledger, now: Millis) {
        self.height = block.header.height;
        let numbered = ledger.state().meta().workload != Workload::OpaqueUnsigned;
        for transaction in &block.transactions {
            self.remove(transaction.id());
            if !numbered {
                self.settled.insert(transaction.id());
                continue;
            }
            // Another transaction with the same number will never be executed.
            let numbers = self.senders.get(&transaction.account());
            let rival = numbers.and_then(|numbers| numbers.get(&transaction.content.sequence));
            if let Some(&rival) = rival {
                self.remove(rival);
            }
        }
        while let Some(&(until, place)) = self.expiry.first()
            && until < now
        {
            self.remove_at(place);
        }
        let impossible: Vec<u64> = self
            .queue
            .iter()
            .take(RECHECKED)
            .filter(|(_, waiting)| {
                let state = ledger.state();
                state.check_envelope(&waiting.transaction, now).is_err()
            })
            .map(|(&place, _)| place)
            .collect();
        for place in impossible {
            self.remove_at(place);
        }
    }

    /// The waiting transactions in the order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = &SignedTransaction> {
        self.queue.values().map(|waiting| &waiting.transaction)
    }

    /// The waiting transaction with this identifier: so that a block which names it need not bring it along.
    #[must_use]
    pub fn get(&self, id: TxId) -> Option<&SignedTransaction> {
        let waiting = self.queue.get(&self.places.get(id)?)?;
        Some(&waiting.transaction)
    }

    /// The oldest waiting transactions for a block at `height`, as many as have `bytes` together; without those that a
    /// block proposed for an earlier height, not final yet, holds. Shared, not copied.
    #[must_use]
    pub fn oldest(&self, height: Height, bytes: usize) -> Vec<SignedTransaction> {
        let mut room = bytes;
        self.queue
            .values()
            .filter(|waiting| waiting.proposed <= self.height || waiting.proposed >= height)
            .map_while(|waiting| {
                room = room.checked_sub(waiting.transaction.encoded_len())?;
                Some(waiting.transaction.clone())
            })
            .collect()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of all that wait, as frames.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn remove(&mut self, id: TxId) {
        if let Some(place) = self.places.get(id) {
            self.remove_at(place);
        }
    }

    fn remove_at(&mut self, place: u64) {
        let Some(Waiting { transaction, .. }) = self.queue.remove(&place) else {
            return;
        };
        self.places.remove(transaction.id());
        self.bytes = self.bytes.saturating_sub(transaction.encoded_len());
        let content = &transaction.content;
        self.expiry.remove(&(content.valid_until_ms, place));
        // Nobody without a number is listed, so unsigned ones cost no digest of their sender here.
        if !self.senders.is_empty()
            && let Some(numbers) = self.senders.get_mut(&transaction.account())
        {
            numbers.remove(&content.sequence);
            if numbers.is_empty() {
                self.senders.remove(&transaction.account());
            }
        }
    }
}

#[cfg(test)]
#[path = "mempool_tests.rs"]
mod tests;
