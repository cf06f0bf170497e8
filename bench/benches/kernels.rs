//! What single steps cost: batch verification, block execution, certificate check, leader order, proposals as frames.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kithkin_protocol::consensus::{Certificate, Justification, Message, Proposal, Vote, VoteKind};
use kithkin_protocol::credit::{Ranking, ValidatorSet, leader_order};
use kithkin_protocol::crypto::{
    Digest, Secret32, Signature, SigningKey, VerifyingKey, verify_batch,
};
use kithkin_protocol::ids::{BlockId, ValidatorId};
use kithkin_protocol::ledger::{
    Block, Genesis, Header, Ledger, Profile, SignedTransaction, Transaction, TxBody, Workload,
};
use kithkin_protocol::testing::{Fixture, fixture};
use kithkin_protocol::units::{Credit, Height, Millis, Sequence, View};
use kithkin_protocol::wire;
use std::hint::black_box;
use std::sync::Arc;

const SIZES: [u16; 7] = [4, 7, 10, 16, 31, 61, 100];
const TRANSACTIONS: u64 = 2_000;

fn batch_verification(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch verification");
    for count in [1usize, 16, 256, 2_048] {
        let keys: Vec<_> = (0..16u8)
            .map(|n| SigningKey::from_seed(Secret32::new([n; 32])))
            .collect();
        let messages: Vec<Vec<u8>> = (0..count).map(|n| n.to_be_bytes().repeat(6)).collect();
        let items: Vec<(VerifyingKey, &[u8], Signature)> = messages
            .iter()
            .zip(keys.iter().cycle())
            .map(|(message, key)| (key.verifying_key(), message.as_slice(), key.sign(message)))
            .collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| verify_batch(black_box(&items)));
        });
    }
    group.finish();
}

/// A block of opaque transactions of 512 bytes, on an empty ledger.
fn block(fixture: &Fixture, genesis: &Genesis, ledger: &Ledger, signed: bool) -> Block {
    let chain = genesis.chain_id();
    let until = Millis(genesis.time_ms.0 + 60_000);
    let key = SigningKey::from_seed(Secret32::new([3; 32]));
    let transactions: Vec<SignedTransaction> = (1..=TRANSACTIONS)
        .map(|n| {
            let mut payload = vec![0; 320];
            payload[..8].copy_from_slice(&n.to_be_bytes());
            if signed {
                let body = TxBody::Opaque(payload);
                let signer = key.verifying_key();
                let (sequence, valid_until_ms) = (Sequence(n), until);
                Transaction {
                    chain,
                    signer,
                    sequence,
                    valid_until_ms,
                    body,
                }
                .sign(&key)
            } else {
                SignedTransaction::unsigned(chain, Sequence(n), until, payload)
            }
        })
        .collect();
    let standings = ledger.standings();
    let author = standings.leader_order()[0];
    let vrf = &fixture.identities[usize::from(author.0)].vrf_key;
    let (_, vrf_proof) = vrf.prove(&standings.beacon_input()).expect("provable");
    let header = Header {
        chain,
        height: Height(1),
        parent_id: BlockId::NONE,
        parent_state_root: ledger.state_root(),
        author,
        view: View(1),
        time_ms: genesis.time_ms.plus(1),
        tx_root: Block::tx_root(&transactions),
        parent_cert: None,
        late_votes: Vec::new(),
        evidence: Vec::new(),
        vrf_proof,
    };
    Block::new(header, transactions)
}

fn block_execution(c: &mut Criterion) {
    let mut group = c.benchmark_group("block execution");
    group.sample_size(20);
    group.throughput(Throughput::Elements(TRANSACTIONS));
    let cases = [
        (Workload::OpaqueUnsigned, "2000 unsigned"),
        (Workload::Opaque, "2000 signed, already verified"),
    ];
    for (workload, name) in cases {
        let fixture = fixture(4, Profile::Balanced);
        let mut genesis = fixture.genesis.clone();
        genesis.workload = workload;
        let key = SigningKey::from_seed(Secret32::new([3; 32]));
        genesis.hospitals[0].key = key.verifying_key();
        let fresh = || Ledger::genesis(&genesis).expect("a genesis").0;
        let block = block(&fixture, &genesis, &fresh(), workload == Workload::Opaque);
        fresh().check_block(&block).expect("valid");
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                fresh,
                |ledger| {
                    ledger
                        .execute(black_box(&block))
                        .map(|effects| effects.writes.len())
                },
                criterion::BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn certificate(fixture: &Fixture, set: &ValidatorSet) -> Certificate {
    let (chain, id) = (fixture.genesis.chain_id(), BlockId([7; 32]));
    let (kind, height, view) = (VoteKind::Finalize, Height(5), View(1));
    let voters = fixture.identities.iter().take(set.quorum());
    let votes = voters.map(|who| {
        let vote = Vote::sign(chain, kind, height, view, id, who.id, &who.vote_key);
        (vote.signer, vote.signature)
    });
    let votes = votes.collect();
    Certificate {
        kind,
        height,
        view,
        id,
        votes,
    }
}

fn certificate_check(c: &mut Criterion) {
    let mut group = c.benchmark_group("certificate check");
    for n in SIZES {
        let fixture = fixture(n, Profile::Balanced);
        let set = ValidatorSet::new(fixture.genesis.validators.iter().cloned());
        let certificate = certificate(&fixture, &set);
        let chain = fixture.genesis.chain_id();
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| black_box(&certificate).verify(chain, &set));
        });
    }
    group.finish();
}

fn leaders(c: &mut Criterion) {
    let mut group = c.benchmark_group("leader order");
    for n in SIZES {
        let fixture = fixture(n, Profile::Balanced);
        let set = ValidatorSet::new(fixture.genesis.validators.iter().cloned());
        let credit = |id: u16| Credit(400_000 + 7_919 * u32::from(id) % 400_000);
        let ranking = Ranking::new((0..n).map(|id| (ValidatorId(id), credit(id), true)));
        let mut height = 0;
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| {
                height += 1;
                let seed = Digest([9; 32]);
                leader_order(
                    Profile::Balanced,
                    &set,
                    &ranking,
                    &seed,
                    Height(height),
                    &[],
                )
            });
        });
    }
    group.finish();
}

fn proposals(c: &mut Criterion) {
    let fixture = fixture(4, Profile::Balanced);
    let mut genesis = fixture.genesis.clone();
    genesis.workload = Workload::OpaqueUnsigned;
    let ledger = Ledger::genesis(&genesis).expect("a genesis").0;
    let message = Message::Proposal(Box::new(Proposal {
        height: Height(1),
        view: View(1),
        block: Arc::new(block(&fixture, &genesis, &ledger, false)),
        justification: Justification::default(),
        leader: ValidatorId(0),
        signature: Signature([1; 64]),
    }));
    let frame = wire::encode(&message);
    let mut group = c.benchmark_group("proposal of 2000 transactions");
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function("encode", |b| b.iter(|| wire::encode(black_box(&message))));
    group.bench_function("decode", |b| {
        b.iter(|| wire::decode::<Message>(black_box(&frame)).is_ok());
    });
    group.finish();
}

criterion_group!(
    kernels,
    batch_verification,
    block_execution,
    certificate_check,
    leaders,
    proposals
);
criterion_main!(kernels);
