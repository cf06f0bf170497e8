//! One node of a cluster: the core, its disk, its mempool, and what waits for the disk.

use crate::consensus::{
    Config, Consensus, Identity, Message, Mutant, Output, Timing, Wal, WalError,
};
use crate::ids::ValidatorId;
use crate::ledger::{Ledger, SignedTransaction};
use crate::testing::byzantine::{Adversary, Behaviour};
use crate::testing::dice::Dice;
use crate::testing::disk::Disk;
use crate::units::Millis;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One node.
pub(super) struct Node {
    pub(super) identity: Arc<Identity>,
    pub(super) behaviour: Behaviour,
    pub(super) adversary: Adversary,
    /// Its next keys, once a change of them has been proposed.
    pub(super) successor: Option<Arc<Identity>>,
    /// Whether it has anything to do with the cluster yet.
    pub(super) joined: bool,
    /// None while crashed.
    pub(super) core: Option<Consensus>,
    /// Rises with every start: timers of an earlier life are dead.
    pub(super) life: u64,
    pub(super) disk: Disk,
    /// Records appended in this life, records durable of them, and up to where a running sync reaches.
    pub(super) appended: u64,
    pub(super) durable: u64,
    pub(super) syncing: Option<u64>,
    /// Messages that leave once so many records are durable; none for everybody.
    pub(super) outbox: VecDeque<(u64, Option<ValidatorId>, Arc<Message>)>,
    pub(super) mempool: BTreeMap<u64, SignedTransaction>,
    /// Outputs executed in all lives.
    pub(super) executed: u64,
    /// Crash instead of executing this output.
    pub(super) crash_before: Option<u64>,
    /// Whether it asks for its own votes when it starts.
    pub(super) recall: bool,
    /// Older copies of its disk, the oldest first, and when each was made.
    pub(super) copies: Vec<(u64, Disk)>,
    /// How far this node's clock is ahead; negative when behind.
    pub(super) clock_ahead_ms: i64,
    /// Longest time of a sync here, in milliseconds.
    pub(super) sync_ms_max: u64,
}

impl Node {
    pub(super) fn new(identity: Arc<Identity>, behaviour: Behaviour, sync_ms_max: u64) -> Self {
        Self {
            identity,
            behaviour,
            adversary: Adversary::default(),
            successor: None,
            joined: true,
            core: None,
            life: 0,
            disk: Disk::default(),
            appended: 0,
            durable: 0,
            syncing: None,
            outbox: VecDeque::new(),
            mempool: BTreeMap::new(),
            executed: 0,
            crash_before: None,
            recall: false,
            copies: Vec::new(),
            clock_ahead_ms: 0,
            sync_ms_max,
        }
    }

    pub(super) fn is_honest(&self) -> bool {
        matches!(self.behaviour, Behaviour::Honest)
    }

    /// Starts the core from what is on disk; `ledger` is the state after the chain there.
    pub(super) fn start(
        &mut self,
        ledger: Ledger,
        timing: Timing,
        mutant: Option<Mutant>,
        now: Millis,
    ) -> Result<Vec<Output>, WalError> {
        let wal = Wal::load(
            ledger.height(),
            self.disk.head_certificate(),
            self.disk.wal.clone(),
        )?;
        let mut config = Config::new(Arc::clone(&self.identity), timing);
        config.mutant = mutant;
        config.successor = self.successor.clone();
        config.vote_from = self.disk.vote_from;
        config.recall = self.recall;
        self.life += 1;
        config.start = self.life;
        let (core, outputs) = Consensus::start(config, ledger, wal, now);
        self.core = Some(core);
        Ok(outputs)
    }

    pub(super) fn crash(&mut self, survive: usize, dice: &mut Dice) {
        self.core = None;
        self.mempool.clear();
        self.outbox.clear();
        self.syncing = None;
        self.disk.crash(survive, dice);
        self.durable = self.appended;
    }

    pub(super) fn height(&self) -> u64 {
        self.disk.chain.len() as u64
    }
}
