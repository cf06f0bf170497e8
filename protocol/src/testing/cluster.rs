//! The cluster: an event queue under virtual time, a seeded network, crashes and restarts.

use crate::consensus::{Finalized, Input, Message, Note, Output, Timer, ViewReason};
use crate::credit::ValidatorSet;
use crate::crypto::{Digest, HashWriter, hash};
use crate::ids::{ChainId, ValidatorId};
use crate::ledger::SignedTransaction;
use crate::testing::byzantine::Behaviour;
use crate::testing::fixture::{Fixture, GENESIS_MS, fixture};
use crate::testing::invariants::Invariants;
use crate::testing::node::Node;
use crate::testing::setup::{Network, Setup};
use crate::units::{Height, Millis, View};
use crate::wire;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
enum Event {
    Deliver {
        from: ValidatorId,
        to: u16,
        message: Message,
    },
    Timer {
        node: u16,
        life: u64,
        timer: Timer,
    },
    Built {
        node: u16,
        life: u64,
        height: Height,
        view: View,
        transactions: Vec<SignedTransaction>,
    },
    Work {
        node: u16,
    },
    Restart {
        node: u16,
    },
}

/// Nodes, network and clock.
pub struct Cluster {
    /// Keys and genesis.
    pub fixture: Fixture,
    /// What the network does; may be changed at any time.
    pub network: Network,
    /// The safety rules.
    pub invariants: Invariants,
    /// How many views nodes entered because the one before was nullified.
    pub view_changes: u64,
    /// How many messages were sent.
    pub messages: u64,
    /// How many times a node asked others for blocks.
    pub catch_ups: u64,
    setup: Setup,
    chain: ChainId,
    nodes: Vec<Node>,
    cut: BTreeSet<(u16, u16)>,
    queue: BTreeMap<(u64, u64), Event>,
    serial: u64,
    now_ms: u64,
    rng: ChaCha20Rng,
    log: Digest,
    sequence: u64,
}

impl Cluster {
    /// Starts every node at height 0.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let fixture = fixture(setup.n, setup.profile);
        let chain = fixture.genesis.chain_id();
        let set = ValidatorSet::new(fixture.genesis.validators.iter().cloned());
        let nodes: Vec<Node> = fixture
            .identities
            .iter()
            .map(|identity| {
                let behaviour = setup.byzantine.get(&identity.id.0).copied();
                Node::new(identity.clone(), behaviour.unwrap_or(Behaviour::Honest))
            })
            .collect();
        let honest = nodes
            .iter()
            .filter(|node| node.is_honest())
            .map(|node| node.identity.id)
            .collect();
        let mut cluster = Self {
            invariants: Invariants::new(chain, set, honest),
            fixture,
            network: setup.network,
            view_changes: 0,
            messages: 0,
            catch_ups: 0,
            rng: ChaCha20Rng::seed_from_u64(setup.seed),
            setup,
            chain,
            nodes,
            cut: BTreeSet::new(),
            queue: BTreeMap::new(),
            serial: 0,
            now_ms: GENESIS_MS + 1,
            log: Digest::ZERO,
            sequence: 0,
        };
        for node in 0..cluster.setup.n {
            cluster.restart(node);
        }
        cluster
    }

    // What happens to the cluster.

    /// Hands the next transaction to these nodes' mempools.
    pub fn submit_to(&mut self, nodes: &[u16]) {
        let transaction = self.fixture.transaction(self.chain, self.sequence);
        for &node in nodes {
            let mempool = &mut self.nodes[usize::from(node)].mempool;
            mempool.insert(self.sequence, transaction.clone());
            self.after(0, Event::Work { node });
        }
        self.sequence += 1;
    }

    /// Hands the next transaction to every node's mempool.
    pub fn submit(&mut self) {
        let all: Vec<_> = (0..self.setup.n).collect();
        self.submit_to(&all);
    }

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

    /// Stops a node at once; what is not durable is gone.
    pub fn crash(&mut self, node: u16) {
        self.nodes[usize::from(node)].crash();
    }

    /// Lets a node crash instead of executing the output with this number (from 0, over all its lives), and restart
    /// after a while.
    pub fn crash_before(&mut self, node: u16, output: u64) {
        self.nodes[usize::from(node)].crash_before = Some(output);
    }

    /// Starts a node from what is on its disk.
    pub fn restart(&mut self, node: u16) {
        let timing = self.setup.timing;
        let place = usize::from(node);
        let now = self.clock(place);
        let outputs = self.nodes[place].start(&self.fixture.genesis, timing, now);
        self.execute(place, outputs);
    }

    /// Sets a node's clock ahead of the others.
    pub fn set_clock_ahead(&mut self, node: u16, ms: u64) {
        self.nodes[usize::from(node)].clock_ahead_ms = ms;
    }

    /// Sends a node a message that nobody in the cluster made.
    pub fn inject(&mut self, from: ValidatorId, to: u16, message: Message) {
        self.after(1, Event::Deliver { from, to, message });
    }

    // What can be seen of it.

    /// The ledger's identifier.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        self.now_ms - GENESIS_MS - 1
    }

    /// Height of a node's durable chain.
    #[must_use]
    pub fn height(&self, node: u16) -> u64 {
        self.nodes[usize::from(node)].height()
    }

    /// A node's core; none while crashed.
    #[must_use]
    pub fn core(&self, node: u16) -> Option<&crate::consensus::Consensus> {
        self.nodes[usize::from(node)].core.as_ref()
    }

    /// A node's disk.
    #[must_use]
    pub fn disk(&self, node: u16) -> &crate::testing::Disk {
        &self.nodes[usize::from(node)].disk
    }

    /// Outputs that a node has executed.
    #[must_use]
    pub fn executed(&self, node: u16) -> u64 {
        self.nodes[usize::from(node)].executed
    }

    /// Honest nodes, also crashed ones.
    #[must_use]
    pub fn honest(&self) -> Vec<u16> {
        (0..self.setup.n)
            .filter(|&node| self.nodes[usize::from(node)].is_honest())
            .collect()
    }

    /// Whether every honest node has finalized `height`.
    #[must_use]
    pub fn all_at(&self, height: u64) -> bool {
        self.honest()
            .iter()
            .all(|&node| self.height(node) >= height)
    }

    /// Digest over everything that happened.
    #[must_use]
    pub fn log(&self) -> Digest {
        self.log
    }

    // The clock.

    /// Runs until `done`, at most for `limit_ms`; whether `done` was reached.
    pub fn run_until(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let deadline = self.now_ms + limit_ms;
        while !done(self) {
            let Some((&(at, _), _)) = self.queue.first_key_value() else {
                return false;
            };
            if at > deadline {
                self.now_ms = deadline;
                return false;
            }
            let ((at, _), event) = self.queue.pop_first().unwrap();
            self.now_ms = at;
            self.handle(event);
        }
        true
    }

    /// Runs for this long.
    pub fn run_for(&mut self, ms: u64) {
        self.run_until(ms, |_| false);
    }

    /// Runs until every honest node has finalized `height`.
    ///
    /// # Panics
    /// With the seed, when that takes longer than `limit_ms`.
    pub fn run_to(&mut self, height: u64, limit_ms: u64) {
        if !self.run_until(limit_ms, |cluster| cluster.all_at(height)) {
            let heights: Vec<_> = (0..self.setup.n).map(|node| self.height(node)).collect();
            let views: Vec<_> = self
                .nodes
                .iter()
                .map(|node| node.core.as_ref().map(|core| core.view().0))
                .collect();
            panic!(
                "seed {}: heights {heights:?}, views {views:?} instead of {height}",
                self.setup.seed
            );
        }
    }

    fn clock(&self, place: usize) -> Millis {
        Millis(self.now_ms + self.nodes[place].clock_ahead_ms)
    }

    fn after(&mut self, delay_ms: u64, event: Event) {
        self.serial += 1;
        self.queue
            .insert((self.now_ms + delay_ms, self.serial), event);
    }

    fn handle(&mut self, event: Event) {
        let (place, input) = match event {
            Event::Deliver { from, to, message } => {
                self.note(
                    b"deliver",
                    u64::from(from.0) << 16 | u64::from(to),
                    &wire::encode(&message),
                );
                (usize::from(to), Input::Message { from, message })
            }
            Event::Timer { node, life, timer } => {
                if self.nodes[usize::from(node)].life != life {
                    return;
                }
                self.note(b"timer", u64::from(node), &timer.serial.to_be_bytes());
                (usize::from(node), Input::TimerFired(timer))
            }
            Event::Built {
                node,
                life,
                height,
                view,
                transactions,
            } => {
                if self.nodes[usize::from(node)].life != life {
                    return;
                }
                (
                    usize::from(node),
                    Input::Built {
                        height,
                        view,
                        transactions,
                    },
                )
            }
            Event::Work { node } => {
                let work = !self.nodes[usize::from(node)].mempool.is_empty();
                (usize::from(node), Input::Work(work))
            }
            Event::Restart { node } => return self.restart(node),
        };
        let now = self.clock(place);
        let Some(core) = &mut self.nodes[place].core else {
            return;
        };
        let outputs = core.step(now, input);
        self.execute(place, outputs);
        let node = &self.nodes[place];
        // A crash in the middle of the outputs leaves nothing to look at.
        if let Some(core) = node.core.as_ref().filter(|_| node.is_honest()) {
            self.invariants.on_state(core.ledger());
        }
    }

    fn note(&mut self, kind: &[u8], number: u64, bytes: &[u8]) {
        let mut writer = HashWriter::new("test-log");
        writer
            .field(self.log)
            .field(kind)
            .number(self.now_ms)
            .number(number);
        writer.field(hash("test-log-item", &[bytes]));
        self.log = writer.finish();
    }

    // What nodes want.

    fn execute(&mut self, place: usize, outputs: Vec<Output>) {
        for output in outputs {
            if self.nodes[place].crash_before == Some(self.nodes[place].executed) {
                self.nodes[place].crash_before = None;
                self.nodes[place].crash();
                let node = u16::try_from(place).unwrap();
                self.after(50, Event::Restart { node });
                return;
            }
            self.nodes[place].executed += 1;
            self.execute_one(place, output);
        }
    }

    fn execute_one(&mut self, place: usize, output: Output) {
        let node = &self.nodes[place];
        let (me, life) = (node.identity.id, node.life);
        if node.is_honest() {
            self.invariants.on_output(me, &output);
        }
        let peers: Vec<_> = self
            .fixture
            .identities
            .iter()
            .map(|peer| peer.id)
            .filter(|&id| id != me)
            .collect();
        let node = &self.nodes[place];
        if let Some(sendings) = node
            .behaviour
            .twist(&node.identity, self.chain, &peers, &output)
        {
            for (to, message) in sendings {
                self.transmit(me, to, &message);
            }
            return;
        }
        match output {
            Output::Persist(entry) => {
                let entry = if self.setup.through_wire {
                    wire::decode(&wire::encode(&entry)).unwrap()
                } else {
                    entry
                };
                self.nodes[place].disk.wal.push(entry);
            }
            Output::Broadcast(message) => {
                for to in peers {
                    self.transmit(me, to, &message);
                }
            }
            Output::Send { to, message } => self.transmit(me, to, &message),
            Output::SendCommitted { to, from, count } => {
                let finalized = self.nodes[place].disk.read(from, count);
                if !finalized.is_empty() {
                    self.transmit(me, to, &Message::Committed(finalized));
                }
            }
            Output::SetTimer { timer, after } => {
                self.after(
                    after.0,
                    Event::Timer {
                        node: me.0,
                        life,
                        timer,
                    },
                );
            }
            Output::Build { height, view, .. } => {
                // One transaction per block, so that heights go by.
                let mempool = &self.nodes[place].mempool;
                let transactions = mempool.values().take(1).cloned().collect();
                self.after(
                    1,
                    Event::Built {
                        node: me.0,
                        life,
                        height,
                        view,
                        transactions,
                    },
                );
            }
            Output::Commit {
                block, certificate, ..
            } => {
                for transaction in &block.transactions {
                    let sequence = transaction.content.sequence.0;
                    self.nodes[place].mempool.remove(&sequence);
                }
                self.nodes[place]
                    .disk
                    .commit(Finalized { block, certificate });
                self.after(0, Event::Work { node: me.0 });
            }
            Output::Note(Note::ViewChanged {
                reason: ViewReason::Nullified,
                ..
            }) => self.view_changes += 1,
            Output::Note(Note::CatchingUp { .. }) => self.catch_ups += 1,
            Output::Accuse(_) | Output::Note(_) => {}
        }
    }

    fn transmit(&mut self, from: ValidatorId, to: ValidatorId, message: &Message) {
        self.messages += 1;
        let network = self.network;
        let lost = self.draw(100) < network.loss_percent;
        if lost || self.cut.contains(&(from.0, to.0)) {
            return;
        }
        let copies = 1 + u64::from(self.draw(100) < network.duplicate_percent);
        for _ in 0..copies {
            let spread = network.delay_max_ms - network.delay_min_ms + 1;
            let delay = network.delay_min_ms + self.draw(spread);
            let message = if self.setup.through_wire {
                wire::decode(&wire::encode(message)).unwrap()
            } else {
                message.clone()
            };
            self.after(
                delay,
                Event::Deliver {
                    from,
                    to: to.0,
                    message,
                },
            );
        }
    }

    /// A number below `bound`; simple, for schedules only.
    fn draw(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }
}
