//! A disk as an operating system gives it: what is written is durable only after a sync, and a crash in between
//! leaves any prefix of it, the last record torn.

use crate::consensus::{Certificate, Finalized, WalEntry};
use crate::testing::dice::Dice;
use crate::units::Height;
use crate::wire;

/// One record as it is appended.
#[derive(Clone, Debug)]
pub(super) enum Record {
    /// A write-ahead record of the consensus.
    Wal(WalEntry),
    /// A finalized block with its certificate; its height's write-ahead records go in the same write.
    Commit(Box<Finalized>),
    /// No votes below this height.
    VoteFrom(Height),
}

/// What survives a crash, and what doesn't yet.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Block and finalization of every height from 1 on.
    pub chain: Vec<Finalized>,
    /// The write-ahead records of the next height.
    pub wal: Vec<WalEntry>,
    /// From which height on the node may vote, as its last quarantine has it.
    pub vote_from: Height,
    /// Written and not synced.
    unsynced: Vec<Record>,
    /// The bytes of a record that a crash tore.
    torn: Option<Vec<u8>>,
}

impl Disk {
    /// The finalization of the last block.
    #[must_use]
    pub fn head_certificate(&self) -> Option<Certificate> {
        self.chain.last().map(|last| last.certificate.clone())
    }

    /// At most `count` durable blocks from `from` on.
    #[must_use]
    pub fn read(&self, from: Height, count: u16) -> Vec<Finalized> {
        let start = usize::try_from(from.0.saturating_sub(1)).unwrap();
        self.chain
            .iter()
            .skip(start)
            .take(usize::from(count))
            .cloned()
            .collect()
    }

    /// What is durable, as somebody copies it who stops the node first.
    pub(super) fn copy(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            wal: self.wal.clone(),
            vote_from: self.vote_from,
            ..Self::default()
        }
    }

    pub(super) fn append(&mut self, record: Record) {
        self.unsynced.push(record);
    }

    pub(super) fn is_synced(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// The records that wait for a sync.
    pub(super) fn waiting(&self) -> &[Record] {
        &self.unsynced
    }

    /// Makes the first `count` records durable.
    pub(super) fn sync(&mut self, count: usize) {
        for record in self.unsynced.drain(..count) {
            match record {
                Record::Wal(entry) => self.wal.push(entry),
                Record::Commit(finalized) => {
                    let height = finalized.block.header.height;
                    let next = self.chain.len() as u64 + 1;
                    assert_eq!(height.0, next, "commits are in order");
                    self.chain.push(*finalized);
                    self.wal.retain(|entry| entry.height() > height);
                }
                Record::VoteFrom(height) => self.vote_from = height,
            }
        }
    }

    /// Power fails: some first records that nobody had synced are on the disk all the same, perhaps half of the next.
    pub(super) fn crash(&mut self, survive: usize, dice: &mut Dice) {
        if let Some(Record::Wal(next)) = self.unsynced.get(survive)
            && dice.percent(50)
        {
            let bytes = wire::encode(next);
            let cut = dice.below(bytes.len() as u64) as usize;
            self.torn = Some(bytes[..cut].to_vec());
        }
        self.sync(survive);
        self.unsynced.clear();
    }

    /// Cuts a torn record off, as the store does that finds it. False if it could have been taken for a whole one.
    pub(super) fn repair(&mut self) -> bool {
        self.torn
            .take()
            .is_none_or(|bytes| wire::decode::<WalEntry>(&bytes).is_err())
    }

    /// Every finalized block that was written, durable or not.
    pub(super) fn finalized(&self) -> impl Iterator<Item = &Finalized> {
        let waiting = self.unsynced.iter().filter_map(|record| match record {
            Record::Commit(finalized) => Some(finalized.as_ref()),
            Record::Wal(_) | Record::VoteFrom(_) => None,
        });
        self.chain.iter().chain(waiting)
    }

    /// Every write-ahead record that was written, durable or not.
    pub(super) fn written(&self) -> impl Iterator<Item = &WalEntry> {
        let waiting = self.unsynced.iter().filter_map(|record| match record {
            Record::Wal(entry) => Some(entry),
            Record::Commit(_) | Record::VoteFrom(_) => None,
        });
        self.wal.iter().chain(waiting)
    }
}
