//! [`Cluster`] continued: what goes wrong. Cuts, crashes, old copies of disks, clocks, slow disks, messages from nowhere.

use super::Cluster;
use super::clock::Event;
use crate::consensus::Message;
use crate::ids::ValidatorId;
use crate::ledger::Ledger;
use crate::testing::trace::fingerprint;
use std::sync::Arc;

impl Cluster {
    /// Cuts every link between the two groups, in both directions.
    pub fn partition(&mut self, one: &[u16], other: &[u16]) {
        for &a in one {
            for &b in other {
                self.cut.insert((a, b));
                self.cut.insert((b, a));
            }
        }
    }

    /// Cuts one direction of one link.
    pub fn cut_one_way(&mut self, from: u16, to: u16) {
        self.cut.insert((from, to));
    }

    /// Mends every link.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Decides anew which validators each twin shows which of its instances.
    pub fn shuffle_twins(&mut self) {
        for side in &mut self.sides {
            *side = self.dice.percent(50);
        }
    }

    /// Stops a node at once; what is not durable is gone.
    pub fn crash(&mut self, node: u16) {
        self.crash_place(usize::from(node));
    }

    pub(super) fn crash_place(&mut self, place: usize) {
        if self.nodes[place].core.is_some() {
            self.tell(place, "CRASHES");
            let waiting = self.nodes[place].disk.waiting().len() as u64;
            let survive = usize::try_from(self.dice.below(waiting + 1)).unwrap();
            self.on_durable(place, survive);
            self.nodes[place].crash(survive, &mut self.dice);
        }
    }

    /// The first `count` waiting records are about to be durable.
    pub(super) fn on_durable(&mut self, place: usize, count: usize) {
        let node = &self.nodes[place];
        if node.is_honest() {
            for record in &node.disk.waiting()[..count] {
                self.invariants.on_durable(node.identity.id, record);
            }
        }
    }

    /// Lets a node crash instead of executing the output with this number (from 0, over all its lives), and restart
    /// after a while.
    pub fn crash_before(&mut self, node: u16, output: u64) {
        self.nodes[usize::from(node)].crash_before = Some(output);
    }

    /// Copies a node's disk.
    pub fn copy_disk(&mut self, node: u16) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[usize::from(node)];
        node.copies.push((now_ms, node.disk.copy()));
    }

    /// How many copies of a node's disk there are.
    #[must_use]
    pub fn copies(&self, node: u16) -> usize {
        self.nodes[usize::from(node)].copies.len()
    }

    /// Sets a node back to a copy of its disk; it starts again after a while, and with `recall` asks for its own votes
    /// then and at every later start. Returns the age of the copy in milliseconds.
    pub fn restore(&mut self, node: u16, copy: usize, recall: bool, after_ms: u64) -> u64 {
        let place = usize::from(node);
        self.crash_place(place);
        self.tell(place, "is set back to an old copy of its disk");
        let restored = &mut self.nodes[place];
        self.invariants.on_restored(restored.identity.id);
        restored.recall |= recall;
        restored.crash_before = None;
        let (at_ms, disk) = &restored.copies[copy];
        let age = self.now_ms - at_ms;
        restored.disk = disk.copy();
        self.after(after_ms, Event::Restart { node });
        age
    }

    /// Starts a node from what is on its disk.
    pub fn restart(&mut self, node: u16) {
        self.start(usize::from(node));
    }

    pub(super) fn start(&mut self, place: usize) {
        self.tell(place, "starts");
        let (now, timing, mutant) = (self.clock(place), self.setup.timing, self.setup.mutant);
        let honest = self.nodes[place].is_honest();
        let me = self.nodes[place].identity.id;
        if !self.nodes[place].disk.repair() && honest {
            self.invariants
                .fail("D", || format!("{me} takes a torn record for a whole one"));
        }
        let ledger = self.ledger_of(place);
        match self.nodes[place].start(ledger, timing, mutant, now) {
            Ok(outputs) => self.execute(place, outputs),
            Err(error) if honest => {
                self.invariants.fail("D", || {
                    format!("{me} cannot start from its own log: {error}")
                });
            }
            Err(_) => {}
        }
    }

    /// The state after the chain on a node's disk.
    pub(super) fn ledger_of(&self, place: usize) -> Ledger {
        let chain = &self.nodes[place].disk.chain;
        let agreed = self.invariants.ledger_at(chain.len() as u64);
        let tip = chain.last().map(|last| last.block.id());
        if let Some(ledger) = agreed.filter(|_| !self.setup.replay_chain)
            && tip.is_none_or(|tip| tip == ledger.head_id())
        {
            return ledger.clone();
        }
        let mut ledger = Ledger::genesis(&self.fixture.genesis).unwrap().0;
        for finalized in chain {
            ledger.execute(&finalized.block).unwrap();
        }
        ledger
    }

    /// Sets a node's clock ahead of the others.
    pub fn set_clock_ahead(&mut self, node: u16, ms: u64) {
        self.set_clock(node, i64::try_from(ms).unwrap());
    }

    /// Sets a node's clock ahead of the others, or with a negative number behind.
    pub fn set_clock(&mut self, node: u16, ms: i64) {
        self.nodes[usize::from(node)].clock_ahead_ms = ms;
    }

    /// Takes back the crashes that were planned.
    pub fn spare(&mut self) {
        for node in &mut self.nodes {
            node.crash_before = None;
        }
    }

    /// Sets how long a node's disk takes to sync at most.
    pub fn set_sync(&mut self, node: u16, ms: u64) {
        self.nodes[usize::from(node)].sync_ms_max = ms;
    }

    /// Sends a node a message that nobody in the cluster made.
    pub fn inject(&mut self, from: ValidatorId, to: u16, message: Message) {
        let fingerprint = fingerprint(&message);
        let message = Arc::new(message);
        let event = Event::Deliver {
            from,
            to,
            message,
            fingerprint,
        };
        self.after(1, event);
    }
}
