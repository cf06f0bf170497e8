//! The cluster: an event queue under virtual time, a seeded network, disks that sync late, crashes and restarts.

use crate::ids::{ChainId, ValidatorId};
use crate::ledger::{Ledger, SignedTransaction};
use crate::testing::byzantine::Behaviour;
use crate::testing::dice::{Dice, Log};
use crate::testing::fixture::{self, Fixture, GENESIS_MS, fixture_again};
use crate::testing::invariants::Invariants;
use crate::testing::node::Node;
use crate::testing::setup::{Network, Setup};
use crate::testing::trace::Trace;
use clock::{Due, Event};
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

mod clock;
mod faults;
mod links;
mod membership;
mod outputs;
mod seen;

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
    peers: Vec<Vec<ValidatorId>>,
    /// The second instance of each twin.
    twins: Vec<(ValidatorId, usize)>,
    /// Which validators talk to the second instances.
    sides: Vec<bool>,
    cut: BTreeSet<(u16, u16)>,
    queue: BinaryHeap<Due>,
    serial: u64,
    now_ms: u64,
    dice: Dice,
    log: Log,
    sequence: u64,
    transactions: Vec<SignedTransaction>,
    /// How many of them are amendments.
    amendments: u64,
    events: u64,
    trace: Trace,
}

impl Cluster {
    /// Starts every node at height 0.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let fixture = fixture_again(setup.n, setup.profile);
        let ledger = Ledger::genesis(&fixture.genesis).unwrap().0;
        let chain = ledger.chain();
        let behaviour = |id: ValidatorId| {
            let found = setup.byzantine.get(&id.0).copied();
            found.unwrap_or(Behaviour::Honest)
        };
        let node = |identity: &Arc<crate::consensus::Identity>| {
            Node::new(
                Arc::clone(identity),
                behaviour(identity.id),
                setup.sync_ms_max,
            )
        };
        let mut nodes: Vec<Node> = fixture.identities.iter().map(node).collect();
        for id in setup.n..setup.n + setup.newcomers {
            let mut newcomer = node(&Arc::new(fixture::identity(id, id)));
            newcomer.joined = false;
            nodes.push(newcomer);
        }
        for node in &mut nodes {
            node.recall = setup.recall;
        }
        let mut twins = Vec::new();
        for identity in &fixture.identities {
            if behaviour(identity.id) == Behaviour::Twin {
                twins.push((identity.id, nodes.len()));
                nodes.push(node(identity));
            }
        }
        let honest = nodes.iter().filter(|node| node.is_honest());
        let honest: BTreeSet<_> = honest.map(|node| node.identity.id).collect();
        let people = setup.n + setup.newcomers;
        let all = || (0..people).map(ValidatorId);
        let peers = nodes
            .iter()
            .map(|node| all().filter(|&id| id != node.identity.id).collect());
        let short = setup.mutant == Some(crate::consensus::Mutant::ShortQuorum);
        let mut cluster = Self {
            peers: peers.collect(),
            invariants: Invariants::new(ledger, honest, short),
            network: setup.network,
            view_changes: 0,
            messages: 0,
            catch_ups: 0,
            dice: Dice::new(setup.seed),
            sides: (0..people).map(|id| id % 2 == 1).collect(),
            setup,
            chain,
            nodes,
            twins,
            cut: BTreeSet::new(),
            queue: BinaryHeap::new(),
            serial: 0,
            now_ms: GENESIS_MS + 1,
            log: Log::new(),
            sequence: 0,
            transactions: Vec::new(),
            amendments: 0,
            events: 0,
            trace: Trace::default(),
            fixture,
        };
        for place in 0..cluster.nodes.len() {
            if cluster.nodes[place].joined {
                cluster.start(place);
            }
        }
        cluster
    }

    /// Hands the next transaction to these nodes' mempools.
    pub fn submit_to(&mut self, nodes: &[u16]) {
        let transaction = self.fixture.transaction(self.chain, self.sequence);
        self.hand_in(transaction, nodes);
    }

    fn hand_in(&mut self, transaction: SignedTransaction, nodes: &[u16]) {
        self.transactions.push(transaction.clone());
        for &node in nodes {
            let mempool = &mut self.nodes[usize::from(node)].mempool;
            mempool.insert(self.sequence, transaction.clone());
            self.after(0, Event::Work { node });
        }
        self.sequence += 1;
    }

    /// Hands the next transaction to every node's mempool.
    pub fn submit(&mut self) {
        let all: Vec<_> = (0..self.places()).collect();
        self.submit_to(&all);
    }

    /// Hands every transaction that is not on chain yet to every mempool again, as clients do that got no answer.
    pub(super) fn resubmit(&mut self) {
        for place in 0..self.nodes.len() {
            let done: BTreeSet<u64> = self.nodes[place]
                .disk
                .finalized()
                .flat_map(|finalized| &finalized.block.transactions)
                .map(|transaction| transaction.content.sequence.0)
                .collect();
            for transaction in &self.transactions {
                let sequence = transaction.content.sequence.0;
                if !done.contains(&sequence) {
                    let mempool = &mut self.nodes[place].mempool;
                    mempool.insert(sequence, transaction.clone());
                }
            }
            self.drop_dead_amendments(place);
            let node = u16::try_from(place).unwrap();
            self.after(0, Event::Work { node });
        }
    }
}
