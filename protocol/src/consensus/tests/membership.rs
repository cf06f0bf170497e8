//! Sets that change while the cluster runs: a small cluster of cores under virtual time, with crashes.

use super::*;
use crate::consensus::{Finalized, Timer};
use crate::ledger::{Amendment, Change, SignedTransaction, Transaction, TxBody, ValidatorInfo};
use crate::units::Sequence;
use std::collections::BTreeMap;

enum Event {
    Input(usize, u64, Input),
    Timer(usize, u64, Timer),
}

#[derive(Default)]
struct Disk {
    chain: Vec<Finalized>,
    wal: Vec<WalEntry>,
}

struct Net {
    fixture: Fixture,
    configs: Vec<Config>,
    cores: Vec<Option<Consensus>>,
    disks: Vec<Disk>,
    lives: Vec<u64>,
    queue: BTreeMap<(u64, u64), Event>,
    serial: u64,
    now: u64,
    waiting: Vec<SignedTransaction>,
    sequence: u64,
    /// The height of the last vote that each node sent.
    voted: Vec<Height>,
}

impl Net {
    /// Founders that run, and as many more that do not yet.
    fn new(founders: usize, people: u16) -> Self {
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
        };
        for node in 0..founders {
            net.start(node);
        }
        net
    }

    fn start(&mut self, node: usize) {
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
        self.push(1, Event::Input(node, self.lives[node], Input::Work(true)));
    }

    fn crash(&mut self, node: usize) {
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
                    self.push(1, Event::Input(node, life, Input::Work(true)));
                }
                Output::Accuse(evidence) => panic!("I9: {evidence:?}"),
                Output::Note(crate::consensus::Note::Misbehaved { peer, fault }) => {
                    panic!("{from} blames {peer}: {fault}")
                }
                Output::Note(_) => {}
            }
        }
    }

    /// Runs until these nodes have finalized `height`.
    fn run_to(&mut self, nodes: &[usize], height: u64) {
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

    fn heights(&self) -> Vec<usize> {
        self.disks.iter().map(|disk| disk.chain.len()).collect()
    }

    /// Hands in an amendment signed by these nodes with their first keys.
    fn govern(&mut self, by: &[usize], number: u64, changes: Vec<Change>) {
        let chain = self.fixture.genesis.chain_id();
        let amendment = Amendment {
            number,
            valid_until_ms: Millis(self.now + 600_000),
            changes,
        };
        let identities = &self.fixture.identities;
        let signatures = by.iter().map(|&node| {
            let identity = &identities[node];
            (identity.id, amendment.sign(chain, &identity.vote_key))
        });
        let governance = amendment.clone().combine(signatures.collect::<Vec<_>>());
        let key = &identities[by[0]].vote_key;
        self.sequence += 1;
        let transaction = Transaction {
            chain,
            signer: key.verifying_key(),
            sequence: Sequence(self.sequence),
            valid_until_ms: Millis(self.now + 600_000),
            body: TxBody::Governance(Box::new(governance)),
        };
        self.waiting.push(transaction.sign(key));
    }

    fn info(&self, node: usize) -> ValidatorInfo {
        let people = fixture(
            u16::try_from(self.configs.len()).unwrap(),
            Profile::Balanced,
        );
        people.genesis.validators[node].clone()
    }

    fn members(&self, node: usize) -> Vec<u16> {
        let standings = self.cores[node].as_ref().unwrap().ledger().standings();
        standings.validators().ids().map(|id| id.0).collect()
    }

    fn head(&self, node: usize) -> u64 {
        self.disks[node].chain.len() as u64
    }
}

/// One node is down while another is admitted; then all wait for the newcomer, which catches up and votes; the crashed one
/// comes back into a set that it does not know; a founder is removed and stops.
#[test]
fn sets_change_while_nodes_are_down() {
    let mut net = Net::new(4, 5);
    net.run_to(&[0, 1, 2, 3], 2);
    net.crash(3);
    let newcomer = net.info(4);
    net.govern(&[0, 1, 2], 0, vec![Change::Admit(newcomer)]);
    // Four of five must vote from two heights after the amendment on: nothing goes on without the newcomer.
    let decided = loop {
        let next = net.head(0) + 1;
        net.run_to(&[0, 1, 2], next);
        let standings = net.cores[0].as_ref().unwrap().ledger().standings();
        if standings.amendments() == 1 {
            break next;
        }
    };
    net.run_to(&[0, 1, 2], decided + 1);
    assert_eq!(net.members(0), [0, 1, 2, 3, 4]);
    net.start(4);
    net.run_to(&[0, 1, 2, 4], decided + 6);
    assert!(net.voted[4].0 > decided + 1, "the newcomer votes");
    assert!(net.voted[3].0 < decided, "the crashed one did not");
    net.start(3);
    let far = net.head(0) + 4;
    net.run_to(&[0, 1, 2, 3, 4], far);
    assert!(net.voted[3].0 > decided);

    net.govern(&[1, 2, 3, 4], 1, vec![Change::Remove(ValidatorId(0))]);
    let decided = loop {
        let next = net.head(1) + 1;
        net.run_to(&[1], next);
        let standings = net.cores[1].as_ref().unwrap().ledger().standings();
        if standings.amendments() == 2 {
            break next;
        }
    };
    // It follows, but its last vote is for the last height of the old set at most.
    net.run_to(&[0, 1, 2, 3, 4], decided + 6);
    assert_eq!(net.members(0), [1, 2, 3, 4]);
    assert!(
        net.voted[0].0 <= decided + 1,
        "{} after {decided}",
        net.voted[0]
    );
    for (height, finalized) in (1u64..).zip(&net.disks[1].chain) {
        let set = net.cores[1]
            .as_ref()
            .unwrap()
            .ledger()
            .standings()
            .validators_at(Height(height));
        let certificate = &finalized.certificate;
        assert_eq!(
            certificate.verify(net.fixture.genesis.chain_id(), set),
            Ok(()),
            "{height}"
        );
    }
}

/// A validator that was given its next keys goes over to them without a pause, also through a crash.
#[test]
fn a_live_validator_changes_its_keys() {
    let mut net = Net::new(4, 5);
    // The keys of a fifth person become the second ones of validator 1.
    let keys = crate::testing::fixture(5, Profile::Balanced)
        .identities
        .remove(4);
    let keys = Arc::try_unwrap(keys).expect("nobody else has it");
    let next = Arc::new(Identity {
        id: ValidatorId(1),
        ..keys
    });
    net.crash(1);
    net.configs[1].successor = Some(next);
    net.start(1);
    let info = ValidatorInfo {
        id: ValidatorId(1),
        ..net.info(4)
    };
    net.run_to(&[0, 1, 2, 3], 2);
    net.govern(&[0, 1, 2], 0, vec![Change::Rekey(info.clone())]);
    net.run_to(&[0, 1, 2, 3], 8);
    let standings = |net: &Net, node: usize| {
        net.cores[node]
            .as_ref()
            .unwrap()
            .ledger()
            .standings()
            .clone()
    };
    assert_eq!(
        standings(&net, 0).validators().get(ValidatorId(1)),
        Some(&info)
    );
    // With another one down, every vote of it is needed.
    net.crash(3);
    let far = net.head(0) + 4;
    net.run_to(&[0, 1, 2], far);
    net.crash(1);
    net.start(1);
    net.run_to(&[0, 1, 2], far + 4);
    assert!(standings(&net, 0).rows().all(|row| row.offences == 0));
}
