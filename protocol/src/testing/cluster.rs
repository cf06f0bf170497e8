//! The cluster: an event queue under virtual time, a seeded network, disks that sync late, crashes and restarts.

use crate::consensus::{
    Consensus, Finalized, Input, Message, Note, Output, Timer, ViewReason, WalEntry,
};
use crate::ids::{ChainId, ValidatorId};
use crate::ledger::{Ledger, SignedTransaction};
use crate::testing::byzantine::{Behaviour, Scene};
use crate::testing::dice::{Dice, Log};
use crate::testing::disk::{Disk, Record};
use crate::testing::fixture::{self, Fixture, GENESIS_MS, fixture_again};
use crate::testing::invariants::Invariants;
use crate::testing::node::Node;
use crate::testing::setup::{Network, Setup};
use crate::testing::trace::{Trace, describe, describe_output, fingerprint};
use crate::units::{Height, Millis, View};
use crate::wire;
use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

mod membership;

#[derive(Debug)]
enum Event {
    Deliver {
        from: ValidatorId,
        to: u16,
        message: Arc<Message>,
        fingerprint: u64,
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
    Synced {
        node: u16,
        life: u64,
    },
    Restart {
        node: u16,
    },
}

/// An event and its moment; the earliest comes first, of those at one moment the first that was made.
struct Due {
    at: u64,
    serial: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
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

    // What happens to the cluster.

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

    fn crash_place(&mut self, place: usize) {
        if self.nodes[place].core.is_some() {
            self.tell(place, "CRASHES");
            let waiting = self.nodes[place].disk.waiting().len() as u64;
            let survive = usize::try_from(self.dice.below(waiting + 1)).unwrap();
            self.on_durable(place, survive);
            self.nodes[place].crash(survive, &mut self.dice);
        }
    }

    /// The first `count` waiting records are about to be durable.
    fn on_durable(&mut self, place: usize, count: usize) {
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

    fn start(&mut self, place: usize) {
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
    fn ledger_of(&self, place: usize) -> Ledger {
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

    // What can be seen of it.

    /// The ledger's identifier.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// How many places there are: validators, and the second instances of twins.
    #[must_use]
    pub fn places(&self) -> u16 {
        u16::try_from(self.nodes.len()).unwrap()
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        self.now_ms - GENESIS_MS - 1
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Height of a node's durable chain.
    #[must_use]
    pub fn height(&self, node: u16) -> u64 {
        self.nodes[usize::from(node)].height()
    }

    /// A node's core; none while crashed.
    #[must_use]
    pub fn core(&self, node: u16) -> Option<&Consensus> {
        self.nodes[usize::from(node)].core.as_ref()
    }

    /// A node's disk.
    #[must_use]
    pub fn disk(&self, node: u16) -> &Disk {
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
        (0..self.people())
            .filter(|&node| {
                let node = &self.nodes[usize::from(node)];
                node.is_honest() && node.joined
            })
            .collect()
    }

    /// Whether every honest node has finalized `height`.
    #[must_use]
    pub fn all_at(&self, height: u64) -> bool {
        self.nodes
            .iter()
            .filter(|node| node.is_honest() && node.joined)
            .all(|node| node.height() >= height)
    }

    /// Digest over everything that happened.
    #[must_use]
    pub fn log(&self) -> [u8; 16] {
        self.log.digest()
    }

    /// The sequence diagram, if one was asked for.
    #[must_use]
    pub fn diagram(&self) -> String {
        self.trace.text(self.nodes.len())
    }

    // The clock.

    /// Runs until `done`, a violation, or the time is over; whether `done` was reached.
    pub(super) fn advance(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let deadline = self.now_ms + limit_ms;
        while !done(self) {
            if self.invariants.violation().is_some() {
                return false;
            }
            match self.queue.peek() {
                Some(due) if due.at <= deadline => {}
                _ => {
                    self.now_ms = deadline;
                    return false;
                }
            }
            let due = self.queue.pop().unwrap();
            self.now_ms = due.at;
            self.events += 1;
            self.handle(due.event);
        }
        true
    }

    /// Runs until `done`, at most for `limit_ms`; whether `done` was reached.
    ///
    /// # Panics
    /// With the seed, on a violation.
    pub fn run_until(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let reached = self.advance(limit_ms, done);
        if let Some(violation) = self.invariants.violation() {
            panic!("seed {}: {violation}", self.setup.seed);
        }
        reached
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
            panic!(
                "seed {}: {} instead of {height}",
                self.setup.seed,
                self.standing()
            );
        }
    }

    /// Heights and views of all nodes, for reports.
    pub(super) fn standing(&self) -> String {
        let heights: Vec<_> = (0..self.places()).map(|node| self.height(node)).collect();
        let views: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                node.core
                    .as_ref()
                    .map(|core| (core.height().0, core.view().0))
            })
            .collect();
        format!("chains {heights:?}, at height and view {views:?}")
    }

    /// How many transactions were submitted so far: no more heights than that have work. Amendments may come to nothing.
    pub(super) fn height_of_work(&self) -> u64 {
        self.sequence - self.amendments
    }

    /// The highest view of an honest node that works on `height`.
    pub(super) fn highest_view(&self, height: u64) -> u64 {
        let honest = self.nodes.iter().filter(|node| node.is_honest());
        honest
            .filter_map(|node| node.core.as_ref())
            .filter(|core| core.height().0 == height)
            .map(|core| core.view().0)
            .max()
            .unwrap_or(1)
    }

    fn clock(&self, place: usize) -> Millis {
        Millis(
            self.now_ms
                .saturating_add_signed(self.nodes[place].clock_ahead_ms),
        )
    }

    fn after(&mut self, delay_ms: u64, event: Event) {
        self.serial += 1;
        self.queue.push(Due {
            at: self.now_ms + delay_ms,
            serial: self.serial,
            event,
        });
    }

    fn handle(&mut self, event: Event) {
        let (place, input) = match event {
            Event::Deliver {
                from,
                to,
                message,
                fingerprint,
            } => {
                let place = usize::from(to);
                self.log
                    .add(self.now_ms << 20 | u64::from(from.0) << 10 | u64::from(to));
                self.log.add(fingerprint);
                if self.nodes[place].core.is_none() {
                    return;
                }
                if self.setup.trace {
                    let (ms, nodes) = (self.elapsed_ms(), self.nodes.len());
                    self.trace
                        .arrow(ms, usize::from(from.0), place, nodes, &describe(&message));
                }
                if !self.nodes[place].is_honest() {
                    self.overhear(place, &message);
                }
                let message = Arc::unwrap_or_clone(message);
                (place, Input::Message { from, message })
            }
            Event::Timer { node, life, timer } => {
                let place = usize::from(node);
                if self.nodes[place].life != life {
                    return;
                }
                self.log.add(self.now_ms << 20 | u64::from(node));
                self.log.add(timer.serial);
                (place, Input::TimerFired(timer))
            }
            Event::Built {
                node,
                life,
                height,
                view,
                transactions,
            } => {
                let place = usize::from(node);
                if self.nodes[place].life != life {
                    return;
                }
                let input = Input::Built {
                    height,
                    view,
                    transactions,
                };
                (place, input)
            }
            Event::Work { node } => {
                let place = usize::from(node);
                let work = !self.nodes[place].mempool.is_empty();
                if work {
                    self.tell(place, "has work");
                }
                (place, Input::Work(work))
            }
            Event::Synced { node, life } => {
                if self.nodes[usize::from(node)].life == life {
                    self.on_synced(usize::from(node));
                }
                return;
            }
            Event::Restart { node } => {
                let place = usize::from(node);
                if self.nodes[place].core.is_none() {
                    self.start(place);
                }
                return;
            }
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
            self.invariants.on_state(node.identity.id, core.ledger());
            if self.events.is_multiple_of(256) {
                for (what, size, most) in core.census() {
                    if size > most {
                        let me = node.identity.id;
                        self.invariants.fail("I22", || {
                            format!("{me} holds {size} {what}, more than {most}")
                        });
                    }
                }
            }
        }
    }

    fn tell(&mut self, place: usize, what: &str) {
        if self.setup.trace {
            let (ms, nodes) = (self.elapsed_ms(), self.nodes.len());
            self.trace.at(ms, place, nodes, what);
        }
    }

    // What nodes want.

    fn execute(&mut self, place: usize, outputs: Vec<Output>) {
        for output in outputs {
            let node = &mut self.nodes[place];
            if node.crash_before == Some(node.executed) {
                node.crash_before = None;
                self.crash_place(place);
                let node = u16::try_from(place).unwrap();
                self.after(50, Event::Restart { node });
                return;
            }
            node.executed += 1;
            if self.setup.trace
                && let Some(what) = describe_output(&output)
            {
                self.tell(place, &what);
            }
            if self.nodes[place].is_honest() {
                let node = &self.nodes[place];
                self.invariants
                    .on_output(node.identity.id, &node.disk, &output);
            } else if self.twist(place, &output) {
                continue;
            }
            self.execute_one(place, output);
        }
        self.sync(place);
    }

    /// Lets a Byzantine node do something else instead.
    fn twist(&mut self, place: usize, output: &Output) -> bool {
        let node = &mut self.nodes[place];
        let mut scene = Scene {
            me: &node.identity,
            chain: self.chain,
            peers: &self.peers[place],
            core: node.core.as_ref(),
            mind: &mut node.adversary,
            dice: &mut self.dice,
        };
        let Some(sendings) = node.behaviour.twist(&mut scene, output) else {
            return false;
        };
        for (to, message) in sendings {
            self.transmit(place, to, &Arc::new(message));
        }
        true
    }

    fn overhear(&mut self, place: usize, message: &Message) {
        let node = &mut self.nodes[place];
        let mut scene = Scene {
            me: &node.identity,
            chain: self.chain,
            peers: &self.peers[place],
            core: node.core.as_ref(),
            mind: &mut node.adversary,
            dice: &mut self.dice,
        };
        for (to, message) in node.behaviour.hear(&mut scene, message) {
            self.transmit(place, to, &Arc::new(message));
        }
    }

    fn execute_one(&mut self, place: usize, output: Output) {
        let life = self.nodes[place].life;
        let me = u16::try_from(place).unwrap();
        match output {
            Output::Persist(entry) => {
                let entry: WalEntry = if self.setup.through_wire {
                    wire::decode(&wire::encode(&entry)).unwrap()
                } else {
                    entry
                };
                self.append(place, Record::Wal(entry));
            }
            Output::Broadcast(message) => self.dispatch(place, None, Arc::new(message)),
            Output::Send { to, message } => self.dispatch(place, Some(to), Arc::new(message)),
            Output::SendCommitted { to, from, count } => {
                let finalized = self.nodes[place].disk.read(from, count);
                if !finalized.is_empty() {
                    self.dispatch(place, Some(to), Arc::new(Message::Committed(finalized)));
                }
            }
            Output::SetTimer { timer, after } => {
                let event = Event::Timer {
                    node: me,
                    life,
                    timer,
                };
                self.after(after.0, event);
            }
            Output::Build {
                height,
                view,
                time_ms,
                bytes_max,
            } => {
                let transactions = self.choose(place, time_ms, bytes_max);
                let event = Event::Built {
                    node: me,
                    life,
                    height,
                    view,
                    transactions,
                };
                self.after(1, event);
            }
            Output::Commit {
                block, certificate, ..
            } => {
                self.log.add(block.header.height.0);
                for transaction in &block.transactions {
                    let sequence = transaction.content.sequence.0;
                    self.nodes[place].mempool.remove(&sequence);
                }
                if self.amendments > 0 {
                    self.drop_dead_amendments(place);
                }
                self.append(
                    place,
                    Record::Commit(Box::new(Finalized { block, certificate })),
                );
                self.after(0, Event::Work { node: me });
            }
            Output::Note(Note::ViewChanged {
                reason: ViewReason::Nullified,
                ..
            }) => self.view_changes += 1,
            Output::Note(Note::Quarantined { vote_from, .. }) => {
                self.append(place, Record::VoteFrom(vote_from));
            }
            Output::Note(Note::CatchingUp { .. }) => self.catch_ups += 1,
            Output::Accuse(_) | Output::Note(_) => {}
        }
    }

    // Disk and network.

    fn append(&mut self, place: usize, record: Record) {
        let node = &mut self.nodes[place];
        node.disk.append(record);
        node.appended += 1;
        if node.sync_ms_max == 0 && node.disk.waiting().len() == 1 {
            self.on_durable(place, 1);
            let node = &mut self.nodes[place];
            node.disk.sync(1);
            node.durable = node.appended;
        }
    }

    /// Starts a sync of everything that was written, unless one runs.
    fn sync(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        if node.core.is_none() || node.syncing.is_some() || node.disk.is_synced() {
            return;
        }
        node.syncing = Some(node.appended);
        let (life, most) = (node.life, node.sync_ms_max);
        let delay = self.dice.between(0, most);
        let node = u16::try_from(place).unwrap();
        self.after(delay, Event::Synced { node, life });
    }

    fn on_synced(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let Some(reached) = node.syncing.take() else {
            return;
        };
        let count = usize::try_from(reached - node.durable).unwrap();
        self.on_durable(place, count);
        let node = &mut self.nodes[place];
        node.disk.sync(count);
        node.durable = reached;
        while let Some((_, to, message)) = {
            let node = &mut self.nodes[place];
            let free = node
                .outbox
                .front()
                .is_some_and(|(ticket, ..)| *ticket <= node.durable);
            free.then(|| node.outbox.pop_front()).flatten()
        } {
            self.leave(place, to, &message);
        }
        self.sync(place);
    }

    /// Sends a message once everything that was written before it is durable.
    fn dispatch(&mut self, place: usize, to: Option<ValidatorId>, message: Arc<Message>) {
        let node = &mut self.nodes[place];
        if node.disk.is_synced() && node.outbox.is_empty() {
            self.leave(place, to, &message);
        } else {
            node.outbox.push_back((node.appended, to, message));
        }
    }

    fn leave(&mut self, place: usize, to: Option<ValidatorId>, message: &Arc<Message>) {
        let node = &self.nodes[place];
        if node.is_honest() {
            self.invariants
                .on_leaving(node.identity.id, &node.disk, message);
        }
        match to {
            Some(to) => self.transmit(place, to, message),
            None => {
                for peer in 0..self.peers[place].len() {
                    let to = self.peers[place][peer];
                    self.transmit(place, to, message);
                }
            }
        }
    }

    fn transmit(&mut self, place: usize, to: ValidatorId, message: &Arc<Message>) {
        self.messages += 1;
        let from = self.nodes[place].identity.id;
        let Some(target) = self.route(place, to) else {
            return;
        };
        if !self.nodes[target].joined {
            return;
        }
        let network = self.network;
        let lost = self.dice.percent(network.loss_percent);
        if lost || (!self.cut.is_empty() && self.cut.contains(&(from.0, to.0))) {
            return;
        }
        let fingerprint = fingerprint(message);
        let copies = 1 + u64::from(self.dice.percent(network.duplicate_percent));
        for _ in 0..copies {
            let mut delay = self
                .dice
                .between(network.delay_min_ms, network.delay_max_ms);
            if self.dice.percent(network.spike_percent) {
                delay += network.spike_ms;
            }
            let message = if self.setup.through_wire {
                Arc::new(wire::decode(&wire::encode(message.as_ref())).unwrap())
            } else {
                Arc::clone(message)
            };
            let to = u16::try_from(target).unwrap();
            let event = Event::Deliver {
                from,
                to,
                message,
                fingerprint,
            };
            self.after(delay, event);
        }
    }

    /// Which instance of `to` a message reaches; none when a twin's instance does not talk to it.
    fn route(&self, place: usize, to: ValidatorId) -> Option<usize> {
        if self.twins.is_empty() {
            return Some(usize::from(to.0));
        }
        let from = self.nodes[place].identity.id;
        let second = |id: ValidatorId| self.twins.iter().find(|(twin, _)| *twin == id);
        if second(from).is_some() && (place >= self.sides.len()) != self.sides[usize::from(to.0)] {
            return None;
        }
        match second(to) {
            Some(&(_, instance)) if self.sides[usize::from(from.0)] => Some(instance),
            _ => Some(usize::from(to.0)),
        }
    }
}
