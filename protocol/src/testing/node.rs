//! One node of a cluster: the core, its disk, its mempool.

use crate::consensus::{Certificate, Config, Consensus, Finalized, Output, Timing, Wal, WalEntry};
use crate::ledger::{Genesis, Ledger, SignedTransaction};
use crate::testing::byzantine::Behaviour;
use crate::units::{Height, Millis};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Block and finalization of every height from 1 on.
    pub chain: Vec<Finalized>,
    /// The write-ahead records of the next height.
    pub wal: Vec<WalEntry>,
}

impl Disk {
    /// The finalization of the last block.
    #[must_use]
    pub fn head_certificate(&self) -> Option<Certificate> {
        self.chain.last().map(|last| last.certificate.clone())
    }

    /// At most `count` blocks from `from` on.
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

    /// Stores a block and deletes the records of its height, in one write.
    pub fn commit(&mut self, finalized: Finalized) {
        let height = finalized.block.header.height;
        assert_eq!(
            height.0,
            self.chain.len() as u64 + 1,
            "commits are in order"
        );
        self.chain.push(finalized);
        self.wal.retain(|entry| entry.height() > height);
    }
}

/// One node.
pub(super) struct Node {
    pub(super) identity: Arc<crate::consensus::Identity>,
    pub(super) behaviour: Behaviour,
    /// None while crashed.
    pub(super) core: Option<Consensus>,
    /// Rises with every start: timers of an earlier life are dead.
    pub(super) life: u64,
    pub(super) disk: Disk,
    pub(super) mempool: BTreeMap<u64, SignedTransaction>,
    /// Outputs executed in all lives.
    pub(super) executed: u64,
    /// Crash instead of executing this output.
    pub(super) crash_before: Option<u64>,
    /// How far this node's clock is ahead.
    pub(super) clock_ahead_ms: u64,
    /// The ledger as of some height of the chain on disk, so that a restart need not replay everything.
    checkpoint: Option<Ledger>,
}

impl Node {
    pub(super) fn new(identity: Arc<crate::consensus::Identity>, behaviour: Behaviour) -> Self {
        Self {
            identity,
            behaviour,
            core: None,
            life: 0,
            disk: Disk::default(),
            mempool: BTreeMap::new(),
            executed: 0,
            crash_before: None,
            clock_ahead_ms: 0,
            checkpoint: None,
        }
    }

    pub(super) fn is_honest(&self) -> bool {
        matches!(self.behaviour, Behaviour::Honest)
    }

    /// Starts the core from what is on disk.
    pub(super) fn start(&mut self, genesis: &Genesis, timing: Timing, now: Millis) -> Vec<Output> {
        let mut ledger = match self.checkpoint.take() {
            Some(ledger) => ledger,
            None => Ledger::genesis(genesis).unwrap().0,
        };
        let done = usize::try_from(ledger.height().0).unwrap();
        for finalized in &self.disk.chain[done..] {
            ledger.execute(&finalized.block).unwrap();
        }
        let wal = Wal::load(
            ledger.height(),
            self.disk.head_certificate(),
            self.disk.wal.clone(),
        )
        .unwrap();
        let config = Config::new(Arc::clone(&self.identity), timing);
        self.life += 1;
        let (core, outputs) = Consensus::start(config, ledger, wal, now);
        self.core = Some(core);
        outputs
    }

    pub(super) fn crash(&mut self) {
        self.core = None;
        self.mempool.clear();
    }

    pub(super) fn height(&self) -> u64 {
        self.disk.chain.len() as u64
    }
}
