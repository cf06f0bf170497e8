//! A small cluster in memory: seeded delays and losses, mute nodes, virtual time.

use crate::pbft::Pbft;
use kithkin_protocol::consensus::{
    Agreement as _, Certificate, Config, Finalized, Input, Message, Output, Timer, Timing,
};
use kithkin_protocol::crypto::Simulated;
use kithkin_protocol::ids::{BlockId, ValidatorId};
use kithkin_protocol::ledger::{Ledger, Profile, SignedTransaction};
use kithkin_protocol::testing::{Fixture, fixture};
use kithkin_protocol::units::{Height, Millis, View};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};

enum Event {
    Deliver(u16, u16, Message),
    Timer(u16, Timer),
    Built(u16, Height, View),
}

struct Cluster {
    fixture: Fixture,
    nodes: Vec<Pbft>,
    chains: Vec<Vec<Finalized>>,
    pools: Vec<BTreeMap<u64, SignedTransaction>>,
    /// Nothing that they send arrives.
    mute: BTreeSet<u16>,
    /// Of every hundred messages so many are lost.
    loss: u64,
    queue: BTreeMap<(u64, u64), Event>,
    now: u64,
    serial: u64,
    rng: ChaCha20Rng,
    _simulated: Simulated,
}

impl Cluster {
    fn new(n: u16, seed: u64) -> Self {
        let simulated = Simulated::enter();
        let fixture = fixture(n, Profile::Fixed);
        let now = fixture.genesis.time_ms.0 + 1;
        let start = |identity: &std::sync::Arc<_>| {
            let (ledger, _) = Ledger::genesis(&fixture.genesis).expect("a genesis");
            let config = Config::new(std::sync::Arc::clone(identity), Timing::default());
            Pbft::start(&config, ledger, Millis(now)).0
        };
        let nodes: Vec<_> = fixture.identities.iter().map(start).collect();
        Self {
            chains: vec![Vec::new(); nodes.len()],
            pools: vec![BTreeMap::new(); nodes.len()],
            nodes,
            fixture,
            mute: BTreeSet::new(),
            loss: 0,
            queue: BTreeMap::new(),
            now,
            serial: 0,
            rng: ChaCha20Rng::seed_from_u64(seed),
            _simulated: simulated,
        }
    }

    fn n(&self) -> u16 {
        u16::try_from(self.nodes.len()).expect("few")
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.serial += 1;
        self.queue.insert((self.now + ms, self.serial), event);
    }

    fn submit(&mut self, sequence: u64) {
        let chain = self.fixture.genesis.chain_id();
        let transaction = self.fixture.transaction(chain, sequence);
        for node in 0..self.n() {
            self.pools[usize::from(node)].insert(sequence, transaction.clone());
            self.step(node, Input::Work(true));
        }
    }

    fn send(&mut self, from: u16, to: u16, message: Message) {
        let lost = self.mute.contains(&from) || self.rng.next_u64() % 100 < self.loss;
        if from != to && !lost {
            let delay = 1 + self.rng.next_u64() % 20;
            self.after(delay, Event::Deliver(from, to, message));
        }
    }

    fn step(&mut self, node: u16, input: Input) {
        let at = usize::from(node);
        let outputs = self.nodes[at].step(Millis(self.now), input);
        let mut committed = false;
        for output in outputs {
            match output {
                Output::Broadcast(message) => {
                    for to in 0..self.n() {
                        self.send(node, to, message.clone());
                    }
                }
                Output::Send { to, message } => self.send(node, to.0, message),
                Output::SetTimer { timer, after } => self.after(after.0, Event::Timer(node, timer)),
                Output::Build { height, view, .. } => {
                    self.after(1, Event::Built(node, height, view))
                }
                Output::SendCommitted { to, from, count } => {
                    let from = usize::try_from(from.0 - 1).expect("small");
                    let blocks = self.chains[at].iter().skip(from).take(usize::from(count));
                    let message = Message::Committed(blocks.cloned().collect());
                    self.send(node, to.0, message);
                }
                Output::Commit {
                    block, certificate, ..
                } => {
                    self.pools[at].retain(|_, tx| {
                        !block.transactions.iter().any(|other| other.id() == tx.id())
                    });
                    self.chains[at].push(Finalized { block, certificate });
                    committed = true;
                }
                Output::Persist(_) | Output::Accuse(_) | Output::Note(_) => {}
                #[allow(unreachable_patterns, reason = "orders that only credit-BFT gives")]
                _ => {}
            }
        }
        if committed {
            let work = !self.pools[at].is_empty();
            self.step(node, Input::Work(work));
        }
    }

    /// Until every node that is heard has these transactions final; panics after an hour of virtual time.
    fn run_until_final(&mut self) {
        let end = self.now + 3_600_000;
        let everybody = |this: &Self| {
            let mut heard = (0..this.n()).filter(|node| !this.mute.contains(node));
            heard.all(|node| this.pools[usize::from(node)].is_empty())
        };
        while !everybody(self) {
            let ((now, _), event) = self.queue.pop_first().expect("somebody does something");
            assert!(now < end, "stuck");
            self.now = now;
            match event {
                Event::Deliver(from, to, message) => {
                    let from = ValidatorId(from);
                    self.step(to, Input::Message { from, message });
                }
                Event::Timer(node, timer) => self.step(node, Input::TimerFired(timer)),
                Event::Built(node, height, view) => {
                    let transactions = self.pools[usize::from(node)].values().take(2).cloned();
                    let transactions = transactions.collect();
                    self.step(
                        node,
                        Input::Built {
                            height,
                            view,
                            transactions,
                        },
                    );
                }
            }
        }
    }

    /// No two nodes have different blocks at one height; every certificate holds.
    fn check(&self) {
        let mut chain: BTreeMap<Height, BlockId> = BTreeMap::new();
        for Finalized { block, certificate } in self.chains.iter().flatten() {
            let height = block.header.height;
            assert_eq!(
                *chain.entry(height).or_insert(block.id()),
                block.id(),
                "a fork at {height}"
            );
            self.check_certificate(certificate);
        }
    }

    fn check_certificate(&self, certificate: &Certificate) {
        let set = self.nodes[0].ledger().standings().validators();
        let chain = self.fixture.genesis.chain_id();
        assert_eq!(certificate.verify(chain, set), Ok(()));
    }

    fn highest_view(&self) -> u64 {
        let blocks = self.chains.iter().flatten();
        blocks
            .map(|finalized| finalized.block.header.view.0)
            .max()
            .unwrap_or(0)
    }
}

#[test]
fn nodes_agree_and_the_primary_stays() {
    for n in [1, 4, 7, 10] {
        let mut cluster = Cluster::new(n, 1);
        for sequence in 0..12 {
            cluster.submit(sequence);
        }
        cluster.run_until_final();
        cluster.check();
        assert_eq!(
            cluster.highest_view(),
            1,
            "nobody had a reason to change the view"
        );
    }
}

#[test]
fn a_silent_primary_is_replaced_for_good() {
    let mut cluster = Cluster::new(4, 2);
    cluster.mute.insert(0);
    for sequence in 0..12 {
        cluster.submit(sequence);
    }
    cluster.run_until_final();
    cluster.check();
    assert_eq!(cluster.highest_view(), 2);
}

/// The primary falls silent in the middle, at many different moments: what was prepared is proposed again.
#[test]
fn a_primary_that_stops_at_any_moment_forks_nothing() {
    for seed in 0..60 {
        let mut cluster = Cluster::new(4, seed);
        for sequence in 0..4 {
            cluster.submit(sequence);
        }
        for _ in 0..seed {
            let Some(((now, _), event)) = cluster.queue.pop_first() else {
                break;
            };
            cluster.now = now;
            match event {
                Event::Deliver(from, to, message) => {
                    let from = ValidatorId(from);
                    cluster.step(to, Input::Message { from, message });
                }
                Event::Timer(node, timer) => cluster.step(node, Input::TimerFired(timer)),
                Event::Built(node, height, view) => {
                    let transactions: Vec<_> = cluster.pools[usize::from(node)]
                        .values()
                        .take(2)
                        .cloned()
                        .collect();
                    cluster.step(
                        node,
                        Input::Built {
                            height,
                            view,
                            transactions,
                        },
                    );
                }
            }
        }
        cluster.mute.insert(0);
        for sequence in 4..8 {
            cluster.submit(sequence);
        }
        cluster.run_until_final();
        cluster.check();
    }
}

#[test]
fn lost_messages_delay_and_fork_nothing() {
    for seed in 0..40 {
        let mut cluster = Cluster::new(4, 1_000 + seed);
        cluster.loss = 20;
        for sequence in 0..8 {
            cluster.submit(sequence);
        }
        cluster.run_until_final();
        cluster.check();
    }
}
