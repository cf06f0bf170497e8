//! What the ledger costs: `cargo bench -p kithkin-protocol --features testing --bench ledger [-- FILTER]`.
//!
//! A plain program, no harness: it prints the median of several runs of each part. Blocks are built as an honest master
//! builds them, with certificates by all validators. Whole clusters are measured elsewhere.

use kithkin_protocol::consensus::{Certificate, Vote, VoteKind};
use kithkin_protocol::crypto::{OpeningKey, Secret32, SigningKey};
use kithkin_protocol::ledger::{
    BLOCK_BYTES_MAX, Block, Header, HospitalInfo, Ledger, Mempool, Profile, SignedTransaction,
    Transaction, TxBody, Workload, verify_many,
};
use kithkin_protocol::testing::{Fixture, fixture};
use kithkin_protocol::units::{Height, Millis, Sequence, View};
use kithkin_protocol::wire;
use std::hint::black_box;
use std::time::{Duration, Instant};

const SENDERS: u64 = 16;
const PAYLOAD: usize = 512;

/// A chain by all validators of a fixture.
struct Chain {
    fixture: Fixture,
    senders: Vec<SigningKey>,
    ledger: Ledger,
    certificate: Option<Certificate>,
    sequence: u64,
}

impl Chain {
    fn new(n: u16, workload: Workload) -> Self {
        let mut fixture = fixture(n, Profile::Balanced);
        let seed = |kind: u8, n: u64| {
            let mut seed = [kind; 32];
            seed[..8].copy_from_slice(&n.to_be_bytes());
            Secret32::new(seed)
        };
        let senders: Vec<_> = (0..SENDERS)
            .map(|n| SigningKey::from_seed(seed(50, n)))
            .collect();
        fixture.genesis.workload = workload;
        fixture.genesis.hospitals = senders
            .iter()
            .zip(0..)
            .map(|(key, n)| HospitalInfo {
                key: key.verifying_key(),
                sealing: OpeningKey::from_seed(seed(51, n)).sealing_key(),
                name: format!("hospital {n}"),
            })
            .collect();
        let ledger = Ledger::genesis(&fixture.genesis).expect("valid").0;
        Self {
            fixture,
            senders,
            ledger,
            certificate: None,
            sequence: 0,
        }
    }

    fn until(&self) -> Millis {
        self.ledger.head_time().plus(3_600_000)
    }

    fn unsigned(&mut self, count: usize) -> Vec<SignedTransaction> {
        (0..count)
            .map(|_| {
                self.sequence += 1;
                let sequence = Sequence(self.sequence);
                let payload = vec![7; PAYLOAD];
                SignedTransaction::unsigned(self.ledger.chain(), sequence, self.until(), payload)
            })
            .collect()
    }

    fn signed(&mut self, count: usize) -> Vec<SignedTransaction> {
        (0..count)
            .map(|_| {
                let sender = usize::try_from(self.sequence % SENDERS).expect("small");
                let sequence = Sequence(self.sequence / SENDERS);
                self.sequence += 1;
                let content = Transaction {
                    chain: self.ledger.chain(),
                    signer: self.senders[sender].verifying_key(),
                    sequence,
                    valid_until_ms: self.until(),
                    body: TxBody::Opaque(vec![7; PAYLOAD]),
                };
                content.sign(&self.senders[sender])
            })
            .collect()
    }

    fn block(&self, transactions: Vec<SignedTransaction>) -> Block {
        let standings = self.ledger.standings();
        let author = standings.leader_order()[0];
        let vrf = &self.fixture.identities[usize::from(author.0)].vrf_key;
        let header = Header {
            chain: self.ledger.chain(),
            height: self.ledger.height().plus(1),
            parent_id: self.ledger.head_id(),
            parent_state_root: self.ledger.state_root(),
            author,
            view: View(1),
            time_ms: self.ledger.head_time().plus(1),
            tx_root: Block::tx_root(&transactions),
            parent_cert: self.certificate.clone(),
            late_votes: Vec::new(),
            evidence: Vec::new(),
            vrf_proof: vrf.prove(&standings.beacon_input()).expect("provable").1,
        };
        Block::new(header, transactions)
    }

    fn certify(&mut self, block: &Block) {
        let (chain, height, id) = (self.ledger.chain(), block.header.height, block.id());
        let votes = self.fixture.identities.iter().map(|identity| {
            let (me, key) = (identity.id, &identity.vote_key);
            let vote = Vote::sign(chain, VoteKind::Finalize, height, View(1), id, me, key);
            (me, vote.signature)
        });
        self.certificate = Some(Certificate {
            kind: VoteKind::Finalize,
            height,
            view: View(1),
            id,
            votes: votes.collect(),
        });
    }
}

/// A value as it comes from the network: nothing about it is known yet.
fn fresh<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    wire::decode(&wire::encode(value)).expect("decodes")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark is what measures time"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = black_box(work());
    (value, start.elapsed())
}

struct Report {
    filter: Option<String>,
    parts: Vec<(&'static str, Vec<Duration>)>,
}

impl Report {
    fn add(&mut self, part: &'static str, took: Duration) {
        match self.parts.iter_mut().find(|(name, _)| *name == part) {
            Some((_, all)) => all.push(took),
            None => self.parts.push((part, vec![took])),
        }
    }

    fn time<T>(&mut self, part: &'static str, work: impl FnOnce() -> T) -> T {
        let (value, took) = timed(work);
        self.add(part, took);
        value
    }

    /// Prints medians: for the whole, and for each of `per` items.
    fn print(&mut self, title: &str, per: usize) {
        println!("\n{title}");
        for (part, mut all) in self.parts.drain(..) {
            all.sort_unstable();
            let median = all[all.len() / 2].as_secs_f64() * 1e6;
            let each = median / per as f64;
            println!("  {part:<42} {median:>10.1} us   {each:>8.3} us each");
        }
    }

    fn wants(&self, title: &str) -> bool {
        let wanted = self.filter.as_ref();
        wanted.is_none_or(|filter| title.contains(filter.as_str()))
    }
}

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let mut report = Report {
        filter,
        parts: Vec::new(),
    };
    if report.wants("unsigned") {
        blocks(&mut report, Workload::OpaqueUnsigned, 2_000, 15);
    }
    if report.wants("signed") {
        blocks(&mut report, Workload::Opaque, 2_000, 9);
    }
    for n in [4, 40, 100] {
        if report.wants("height") {
            heights(&mut report, n);
        }
    }
}

/// Full blocks from the network to the executed state, and through the mempool.
fn blocks(report: &mut Report, workload: Workload, count: usize, runs: usize) {
    let mut chain = Chain::new(4, workload);
    let mut pool = Mempool::default();
    for run in 0..runs {
        let transactions = match workload {
            Workload::OpaqueUnsigned => chain.unsigned(count),
            Workload::Records | Workload::Opaque => chain.signed(count),
        };
        let now = chain.ledger.head_time().plus(1);
        let arrived = report.time("transactions: encode and decode", || fresh(&transactions));
        report.time("transactions: identifier and length", || {
            arrived.iter().map(SignedTransaction::id).count()
        });
        if workload == Workload::Opaque {
            let again: Vec<_> = arrived.iter().map(|tx| tx.altered(|_| ())).collect();
            report.time("transactions: one signature at a time", || {
                again.iter().filter(|tx| tx.verify().is_ok()).count()
            });
            report.time("transactions: signatures in batches", || {
                verify_many(&arrived)
            });
        }
        let admitted = arrived.clone();
        report.time("mempool: admit (signatures known)", || {
            for transaction in admitted {
                pool.admit(transaction, &chain.ledger, now)
                    .expect("admitted");
            }
        });
        let candidates = report.time("mempool: oldest", || {
            pool.oldest(Height(0), BLOCK_BYTES_MAX)
        });
        let state = chain.ledger.state().clone();
        let chosen = report.time("leader: select", || {
            state.select(&candidates, now, BLOCK_BYTES_MAX)
        });
        assert_eq!(chosen.len(), count);
        let block = chain.block(chosen);
        let frame = report.time("block: encode", || wire::encode(&block));
        let foreign = report.time("block: decode", || {
            wire::decode::<Block>(&frame).expect("decodes")
        });
        report.time("block: identifier, root, length", || {
            (block.id(), block.commits(), block.encoded_len())
        });
        report.time("block: check, from the network", || {
            chain.ledger.check_block(&foreign).expect("valid")
        });
        report.time("block: check, of known transactions", || {
            chain.ledger.check_block(&block).expect("valid")
        });
        report.time("block: execute after check", || {
            chain.ledger.execute(&block).expect("valid")
        });
        let now = chain.ledger.head_time();
        report.time("mempool: on block", || {
            pool.on_block(&block, &chain.ledger, now)
        });
        assert!(pool.is_empty(), "run {run}");
        chain.certify(&block);
    }
    report.print(
        &format!("{count} transactions of {PAYLOAD} bytes, {workload}, 4 validators"),
        count,
    );
}

/// Heights without transactions: what the consensus part costs.
fn heights(report: &mut Report, n: u16) {
    let mut chain = Chain::new(n, Workload::Records);
    for _ in 0..12 {
        let block = fresh(&chain.block(Vec::new()));
        report.time("standings: clone", || chain.ledger.standings().clone());
        report.time("standings: leader order", || {
            chain.ledger.standings().leader_order()
        });
        report.time("standings: encode", || {
            wire::encode(chain.ledger.standings())
        });
        if let Some(cert) = &chain.certificate {
            let standings = chain.ledger.standings();
            report.time("certificate: verify", || {
                cert.verify(chain.ledger.chain(), standings.previous_validators())
                    .expect("holds")
            });
        }
        report.time("standings: check header", || {
            chain
                .ledger
                .standings()
                .check_header(&block.header, &chain.ledger.head())
                .expect("valid")
        });
        let id = report.time("header: identifier", || block.id());
        let mut standings = chain.ledger.standings().clone();
        report.time("standings: apply", || standings.apply(&block.header, id));
        report.time("block: check", || {
            chain.ledger.check_block(&block).expect("valid")
        });
        report.time("block: execute after check", || {
            chain.ledger.execute(&block).expect("valid")
        });
        chain.certify(&block);
    }
    report.print(&format!("a height without transactions, {n} validators"), 1);
}
