//! A small cluster of cores under virtual time, with crashes and one validator that offends.

use super::offender::Offender;
use super::*;
use crate::consensus::{Finalized, Note, Timer};
use crate::ledger::SignedTransaction;
use std::collections::BTreeMap;

enum Event {
    Input(usize, u64, Input),
    Timer(usize, u64, Timer),
}

#[derive(Default)]
pub(super) struct Disk {
    pub(super) chain: Vec<Finalized>,
    wal: Vec<WalEntry>,
}

pub(super) struct Net {
    pub(super) fixture: Fixture,
    pub(super) configs: Vec<Config>,
    pub(super) cores: Vec<Option<Consensus>>,
    pub(super) disks: Vec<Disk>,
    lives: Vec<u64>,
    queue: BTreeMap<(u64, u64), Event>,
    serial: u64,
    pub(super) now: u64,
    pub(super) waiting: Vec<SignedTransaction>,
    pub(super) sequence: u64,
    /// The height of the last vote that each node sent.
    pub(super) voted: Vec<Height>,
    /// Whether everybody believes that there is work.
    busy: bool,
    /// Who shows its votes or proposals of one height to two others only, and each something else.
    pub(super) offender: Option<Offender>,
    /// How many messages of hearsay were sent, to everybody each.
    pub(super) hearsay: usize,
}

impl Net {
    /// Founders that run, and as many more that do not yet. All of them believe that there is work, and mostly there is
    /// none, so the first view of a height often fails.
    pub(super) fn new(founders: usize, people: u16) -> Self {
        Self::with(founders, people, true)
    }

    /// Founders that run and have no work: each height is an empty block, by the heartbeat.
    pub(super) fn idle(n: u16) -> Self {
        Self::with(usize::from(n), n, false)
    }

    fn with(founders: usize, people: u16, busy: bool) -> Self {
        let mut fixture = fixture(people, Profile::Balanced);
        fixture.genesis.validators.truncate(founders);
        let configs: Vec<_> = fixture
            .identities
            .iter()
            .map(|identity| Config::new(Arc::clone(identity), Timing::default()))
            .collect();
        let all = configs.len();
        let mut net = Self {
            now: fixture.genesis.time_ms.0 + 1,
            fixture,
            configs,
            cores: (0..all).map(|_| None).collect(),
            disks: (0..all).map(|_| Disk::default()).collect(),
            lives: vec![0; all],
            queue: BTreeMap::new(),
            serial: 0,
            waiting: Vec::new(),
            sequence: 0,
            voted: vec![Height(0); all],
            busy,
            offender: None,
            hearsay: 0,
        };
        for node in 0..founders {
            net.start(node);
        }
        net
    }

    pub(super) fn start(&mut self, node: usize) {
        let mut ledger = Ledger::genesis(&self.fixture.genesis).unwrap().0;
        let disk = &self.disks[node];
        for finalized in &disk.chain {
            ledger.execute(&finalized.block).unwrap();
        }
        let last = disk.chain.last().map(|last| last.certificate.clone());
        let wal = Wal::load(ledger.height(), last, disk.wal.clone()).unwrap();
        self.lives[node] += 1;
        let config = self.configs[node].clone();
        let (core, outputs) = Consensus::start(config, ledger, wal, Millis(self.now));
        self.cores[node] = Some(core);
        self.carry_out(node, outputs);
        self.push(
            1,
            Event::Input(node, self.lives[node], Input::Work(self.busy)),
        );
    }

    pub(super) fn crash(&mut self, node: usize) {
        self.cores[node] = None;
    }

    fn push(&mut self, after: u64, event: Event) {
        self.serial += 1;
        self.queue.insert((self.now + after, self.serial), event);
    }

    fn carry_out(&mut self, node: usize, outputs: Vec<Output>) {
        let (from, life) = (self.fixture.identities[node].id, self.lives[node]);
        let deliver = |net: &mut Self, to: usize, message: Message| {
            let life = net.lives[to];
            net.push(2, Event::Input(to, life, Input::Message { from, message }));
        };
        for output in outputs {
            match output {
                Output::Persist(entry) => self.disks[node].wal.push(entry),
                Output::Broadcast(message) => {
                    if let Message::Ballots(ballots) = &message {
                        let heights = ballots.iter().map(|ballot| ballot.vote.height);
                        self.voted[node] = heights.max().unwrap().max(self.voted[node]);
                    }
                    self.hearsay += usize::from(matches!(message, Message::Hearsay(_)));
                    if self.offender.as_ref().is_some_and(|one| one.node == node) {
                        self.show(&message);
                        continue;
                    }
                    for to in (0..self.cores.len()).filter(|&to| to != node) {
                        deliver(self, to, message.clone());
                    }
                }
                Output::Send { to, message } => deliver(self, usize::from(to.0), message),
                Output::SendCommitted { to, from, count } => {
                    let start = usize::try_from(from.0 - 1).unwrap();
                    let chain = &self.disks[node].chain;
                    let blocks = chain.iter().skip(start).take(usize::from(count));
                    let message = Message::Committed(blocks.cloned().collect());
                    deliver(self, usize::from(to.0), message);
                }
                Output::SetTimer { timer, after } => {
                    self.push(after.0.max(1), Event::Timer(node, life, timer));
                }
                Output::Build {
                    height,
                    view,
                    time_ms,
                    bytes_max,
                } => {
                    let state = self.cores[node].as_ref().unwrap().ledger().state();
                    let transactions = state.select(&self.waiting, time_ms, bytes_max);
                    let built = Input::Built {
                        height,
                        view,
                        transactions,
                    };
                    self.push(1, Event::Input(node, life, built));
                }
                Output::Commit {
                    block, certificate, ..
                } => {
                    let height = block.header.height;
                    for other in &self.disks {
                        let there = other.chain.get(usize::try_from(height.0 - 1).unwrap());
                        let same = there.is_none_or(|there| there.block.id() == block.id());
                        assert!(same, "I1: two blocks at height {height}");
                    }
                    let disk = &mut self.disks[node];
                    assert_eq!(height.0, disk.chain.len() as u64 + 1);
                    disk.chain.push(Finalized { block, certificate });
                    disk.wal.retain(|entry| entry.height() > height);
                    self.push(1, Event::Input(node, life, Input::Work(self.busy)));
                }
                Output::Accuse(evidence) => {
                    assert!(self.offends(evidence.accused()), "I9: {evidence:?}");
                }
                Output::Note(Note::Misbehaved { peer, fault }) => {
                    assert!(self.offends(peer), "{from} blames {peer}: {fault}");
                }
                Output::Note(_) => {}
            }
        }
    }

    /// Runs until these nodes have finalized `height`.
    pub(super) fn run_to(&mut self, nodes: &[usize], height: u64) {
        let done = |net: &Self| {
            nodes
                .iter()
                .all(|&node| net.disks[node].chain.len() as u64 >= height)
        };
        let deadline = self.now + 120_000;
        while !done(self) {
            let ((at, _), event) = self.queue.pop_first().expect("something happens");
            self.now = at;
            assert!(
                self.now < deadline,
                "stuck before height {height}: {:?}",
                self.heights()
            );
            let (node, life) = match &event {
                Event::Input(node, life, _) | Event::Timer(node, life, _) => (*node, *life),
            };
            if self.lives[node] != life {
                continue;
            }
            let input = match event {
                Event::Input(_, _, input) => input,
                Event::Timer(_, _, timer) => Input::TimerFired(timer),
            };
            let now = Millis(self.now);
            if let Some(core) = &mut self.cores[node] {
                let outputs = core.step(now, input);
                self.carry_out(node, outputs);
            }
        }
    }

    fn offends(&self, id: ValidatorId) -> bool {
        let offender = self.offender.as_ref();
        offender.is_some_and(|one| self.fixture.identities[one.node].id == id)
    }

    /// Sends what the offender makes of one of its messages.
    fn show(&mut self, message: &Message) {
        let Some(mut offender) = self.offender.take() else {
            return;
        };
        let me = Arc::clone(&self.fixture.identities[offender.node]);
        let chain = self.fixture.genesis.chain_id();
        let node = offender.node;
        for to in (0..self.cores.len()).filter(|&to| to != node) {
            for (after, message) in offender.twist(&me, chain, to, message) {
                let (from, life) = (me.id, self.lives[to]);
                let input = Input::Message { from, message };
                self.push(after, Event::Input(to, life, input));
            }
        }
        self.offender = Some(offender);
    }

    fn heights(&self) -> Vec<usize> {
        self.disks.iter().map(|disk| disk.chain.len()).collect()
    }
}
