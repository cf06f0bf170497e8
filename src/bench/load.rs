//! The load generator: transactions made and signed beforehand, sent open-loop at a rate or closed-loop at saturation.
//!
//! Open-loop latency counts from the moment at which a transaction was *to be* sent, so a generator that falls behind
//! hides nothing (no coordinated omission).

use crate::bench::latency::{Latency, Percentiles};
use kithkin_protocol::crypto::{Signature, SigningKey, VerifyingKey, verify_batch};
use kithkin_protocol::ids::{ChainId, TxId};
use kithkin_protocol::ledger::{Genesis, SignedTransaction, Transaction, TxBody, Workload};
use kithkin_protocol::units::{Millis, Sequence};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Transactions in one message of the generator.
const BATCH: usize = 128;
/// How far the generator runs ahead at saturation, in transactions: a few blocks.
pub(super) const AHEAD: u64 = 32_768;
/// Bytes of a transaction around its payload, about.
const ENVELOPE: usize = 190;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Size of a transaction in bytes, envelope and signature included.
    pub tx_bytes: usize,
    /// Transactions a second; none for as many as the validators take.
    pub rate: Option<f64>,
    /// Seconds that count.
    pub seconds: u64,
    /// Seconds before, that do not.
    pub warm_up: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Final transactions a second.
    pub throughput_per_s: f64,
    /// From the intended moment of sending until durable at a validator.
    pub latency_ms: Percentiles,
    /// Transactions that were due in the time that counts and not final at its end.
    pub unfinished: u64,
    /// Blocks in the time that counts.
    pub blocks: u64,
    /// Bytes of final transactions in the time that counts.
    pub bytes: u64,
    /// Messages of the consensus core per block; none where they are not counted.
    pub messages_per_block: Option<f64>,
    /// CPU seconds of the generator, in the time of the whole run.
    pub generator_cpu_s: f64,
    /// CPU seconds of the validators, in the same time.
    pub nodes_cpu_s: f64,
    /// Whether at saturation everything that was made beforehand had been sent: the throughput is a lower bound then.
    pub exhausted: bool,
}

/// Transactions that became durable at the watching validator, and when.
#[derive(Debug)]
pub struct Final {
    /// The transactions of one block.
    pub ids: Vec<TxId>,
    /// When the block was durable.
    pub at: Instant,
}

/// Validators under load.
pub trait Target {
    /// What hands a batch of transactions to them, from a thread of its own.
    fn sender(&self) -> Box<dyn FnMut(Vec<SignedTransaction>) + Send>;
    /// The next final block; none when there will be none.
    fn next(&mut self) -> impl Future<Output = Option<Final>>;
    /// The warm-up is over: from now on it counts.
    fn counting_begins(&mut self) {}
    /// Messages of the consensus core so far, where they are counted.
    fn messages(&self) -> Option<u64>;
    /// CPU ticks of the validators' own processes; none when they run in this one.
    fn cpu_ticks(&self) -> Option<u64>;
}

/// Makes `count` transactions for a ledger; signed ones by its hospitals in turn.
#[must_use]
pub fn prepare(
    genesis: &Genesis,
    senders: &[SigningKey],
    count: usize,
    tx_bytes: usize,
) -> Vec<SignedTransaction> {
    let chain = genesis.chain_id();
    let until = Millis(genesis.time_ms.0 + 3_600_000);
    let payload = tx_bytes.saturating_sub(ENVELOPE);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = count.div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..count)
            .step_by(share)
            .map(|from| {
                let to = (from + share).min(count);
                scope.spawn(move || {
                    let make = |n| make(chain, genesis.workload, senders, n, until, payload);
                    (from..to).map(make).collect::<Vec<_>>()
                })
            })
            .collect();
        let join =
            |part: std::thread::ScopedJoinHandle<'_, Vec<_>>| part.join().unwrap_or_default();
        parts.into_iter().flat_map(join).collect()
    })
}

fn make(
    chain: ChainId,
    workload: Workload,
    senders: &[SigningKey],
    n: usize,
    until: Millis,
    payload: usize,
) -> SignedTransaction {
    // As incompressible as what is sealed.
    let mut bytes = vec![0; payload];
    ChaCha8Rng::seed_from_u64(n as u64).fill_bytes(&mut bytes);
    let transaction = match (workload, senders.get(n % senders.len().max(1))) {
        (Workload::Opaque | Workload::Records, Some(key)) => Transaction {
            chain,
            signer: key.verifying_key(),
            sequence: Sequence((n / senders.len()) as u64),
            valid_until_ms: until,
            body: TxBody::Opaque(bytes),
        }
        .sign(key),
        _ => SignedTransaction::unsigned(chain, Sequence(n as u64), until, bytes),
    };
    // Worked out once, as a client would before it sends.
    let _ = transaction.encoded_len();
    transaction
}

/// What the generator's thread and the counting share.
struct Shared {
    stop: AtomicBool,
    finished: AtomicU64,
    sent: AtomicU64,
}

/// Sends the load and counts what becomes final.
pub async fn run(
    target: &mut impl Target,
    load: &Load,
    transactions: Vec<SignedTransaction>,
) -> Measured {
    let places: HashMap<TxId, u32> = (0u32..)
        .zip(&transactions)
        .map(|(n, tx)| (tx.id(), n))
        .collect();
    let tx_len = transactions
        .first()
        .map_or(0, SignedTransaction::encoded_len) as u64;
    let shared = Arc::new(Shared {
        stop: AtomicBool::new(false),
        finished: AtomicU64::new(0),
        sent: AtomicU64::new(0),
    });
    let made = transactions.len() as u64;
    let (own_before, nodes_before) = (cpu_ticks("/proc/self/stat"), target.cpu_ticks());
    let start = Instant::now() + Duration::from_millis(20);
    let send = target.sender();
    let generator = generator(send, load.rate, transactions, start, shared.clone());
    let from = start + Duration::from_secs(load.warm_up);
    let to = from + Duration::from_secs(load.seconds);
    // At saturation the block that is under way at the end counts by its share, so it is waited for, as long again at most.
    let last = match load.rate {
        Some(_) => to,
        None => to + Duration::from_secs(load.seconds),
    };
    let mut count = Count::new(load.rate, start, from, to);
    let (mut messages, mut messages_from) = (None, None);
    let mut counting = false;
    loop {
        if !counting && Instant::now() >= from {
            counting = true;
            target.counting_begins();
        }
        let until = if counting { last } else { from };
        let wait = until.saturating_duration_since(Instant::now());
        match tokio::time::timeout(wait, target.next()).await {
            Ok(Some(block)) => {
                if block.at >= from && messages_from.is_none() {
                    messages_from = target.messages();
                }
                shared
                    .finished
                    .fetch_add(block.ids.len() as u64, Ordering::Relaxed);
                count.block(&block, &places, &sent_at(&generator));
                if block.at <= to {
                    messages = target.messages();
                } else {
                    break;
                }
            }
            Err(_) if !counting => {}
            Ok(None) | Err(_) => break,
        }
    }
    let own = cpu_ticks("/proc/self/stat").saturating_sub(own_before);
    let apart = target.cpu_ticks().zip(nodes_before);
    shared.stop.store(true, Ordering::Relaxed);
    let thread = tokio::task::spawn_blocking(move || generator.join())
        .await
        .unwrap_or_default();
    let (generator_ticks, nodes_ticks) = match apart {
        Some((after, before)) => (own, after.saturating_sub(before)),
        None => (thread, own.saturating_sub(thread)),
    };
    let sent = shared.sent.load(Ordering::Relaxed);
    // Messages are counted from the first counted block to the last.
    let between = count.blocks.saturating_sub(1).max(1) as f64;
    let messages = messages.zip(messages_from);
    Measured {
        throughput_per_s: count.transactions / load.seconds as f64,
        latency_ms: count.latency.percentiles(),
        unfinished: sent.saturating_sub(shared.finished.load(Ordering::Relaxed)),
        blocks: count.blocks,
        bytes: (count.transactions * tx_len as f64) as u64,
        messages_per_block: messages.map(|(to, from)| (to - from) as f64 / between),
        generator_cpu_s: seconds(generator_ticks),
        nodes_cpu_s: seconds(nodes_ticks),
        exhausted: load.rate.is_none() && sent == made,
    }
}

/// The generator's thread, and when it sent each batch at saturation.
struct Generator {
    thread: std::thread::JoinHandle<u64>,
    /// Sending times of the batches, in order.
    batches: Arc<std::sync::Mutex<Vec<Instant>>>,
}

impl Generator {
    fn join(self) -> u64 {
        self.thread.join().unwrap_or_default()
    }
}

fn sent_at(generator: &Generator) -> impl Fn(u32) -> Option<Instant> + use<> {
    let batches = generator.batches.clone();
    move |n| {
        let batches = batches.lock().ok()?;
        batches.get(n as usize / BATCH).copied()
    }
}

fn generator(
    mut send: Box<dyn FnMut(Vec<SignedTransaction>) + Send>,
    rate: Option<f64>,
    transactions: Vec<SignedTransaction>,
    start: Instant,
    shared: Arc<Shared>,
) -> Generator {
    let batches = Arc::new(std::sync::Mutex::new(Vec::new()));
    let times = batches.clone();
    let thread = std::thread::spawn(move || {
        let mut sent = 0;
        std::thread::sleep(start.saturating_duration_since(Instant::now()));
        while sent < transactions.len() && !shared.stop.load(Ordering::Relaxed) {
            let due = match rate {
                Some(rate) => due_by(start.elapsed(), rate),
                None => (shared.finished.load(Ordering::Relaxed) + AHEAD) as usize,
            };
            let due = due.min(transactions.len());
            let ready = rate.is_some() && due > sent || due >= sent + BATCH;
            if !ready && due < transactions.len() {
                std::thread::sleep(Duration::from_micros(500));
                continue;
            }
            while sent < due {
                let to = (sent + BATCH).min(due);
                let batch = transactions
                    .get(sent..to)
                    .map(<[_]>::to_vec)
                    .unwrap_or_default();
                if rate.is_none()
                    && let Ok(mut times) = times.lock()
                {
                    times.push(Instant::now());
                }
                send(batch);
                sent = to;
                if rate.is_none() && due < sent + BATCH {
                    break;
                }
            }
            shared.sent.store(sent as u64, Ordering::Relaxed);
        }
        cpu_ticks("/proc/thread-self/stat")
    });
    Generator { thread, batches }
}

/// How many transactions are to be sent by now: the first at the start, the next one over the rate later.
fn due_by(elapsed: Duration, rate: f64) -> usize {
    (elapsed.as_secs_f64() * rate) as usize + 1
}

/// What became final in the time that counts.
struct Count {
    rate: Option<f64>,
    start: Instant,
    from: Instant,
    to: Instant,
    /// When the last block became final.
    before: Instant,
    /// A block that was under way at the start or at the end counts by the share of its time.
    transactions: f64,
    blocks: u64,
    latency: Latency,
}

impl Count {
    fn new(rate: Option<f64>, start: Instant, from: Instant, to: Instant) -> Self {
        Self {
            rate,
            start,
            from,
            to,
            before: start,
            transactions: 0.0,
            blocks: 0,
            latency: Latency::default(),
        }
    }

    fn block(
        &mut self,
        block: &Final,
        places: &HashMap<TxId, u32>,
        sent_at: &impl Fn(u32) -> Option<Instant>,
    ) {
        let share = share(self.before, block.at, self.from, self.to);
        self.transactions += share * block.ids.len() as f64;
        self.before = self.before.max(block.at);
        if block.at < self.from || block.at > self.to {
            return;
        }
        self.blocks += 1;
        for id in &block.ids {
            let Some(&n) = places.get(id) else { continue };
            let intended = match self.rate {
                Some(rate) => Some(self.start + Duration::from_secs_f64(f64::from(n) / rate)),
                None => sent_at(n),
            };
            if let Some(intended) = intended.filter(|intended| *intended >= self.from) {
                self.latency
                    .add(block.at.saturating_duration_since(intended));
            }
        }
    }
}

/// How much of the time from `before` to `at` lies between `from` and `to`.
fn share(before: Instant, at: Instant, from: Instant, to: Instant) -> f64 {
    let inside = at.min(to).saturating_duration_since(before.max(from));
    let whole = at.saturating_duration_since(before);
    if whole.is_zero() {
        return if at >= from && at <= to { 1.0 } else { 0.0 };
    }
    inside.as_secs_f64() / whole.as_secs_f64()
}

/// CPU time used, in clock ticks, as Linux tells; 0 elsewhere.
pub(super) fn cpu_ticks(path: &str) -> u64 {
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    // The name in parentheses may hold spaces; user and system time are fields 14 and 15.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |n: usize| {
        fields
            .get(n)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    field(11) + field(12)
}

/// Linux counts a hundred ticks a second on every machine that we know.
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / 100.0
}

/// The most signed transactions a second that `validators` on this machine can verify at all, each of them every one:
/// cores / (validators x batch verification of one signature), measured now.
#[must_use]
pub fn machine_limit(validators: u16) -> f64 {
    const SIGNATURES: usize = 2_048;
    let key = SigningKey::random(&mut kithkin_actors::ports::random::SystemRng);
    let messages: Vec<[u8; 53]> = (0..SIGNATURES).map(|n| [n as u8; 53]).collect();
    let items: Vec<(VerifyingKey, &[u8], Signature)> = messages
        .iter()
        .map(|message| (key.verifying_key(), message.as_slice(), key.sign(message)))
        .collect();
    let start = Instant::now();
    let holds = verify_batch(&items).is_ok();
    let each = start.elapsed().as_secs_f64() / SIGNATURES as f64;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if holds {
        cores as f64 / (f64::from(validators) * each)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_due_at_its_time_and_not_one_later() {
        let at = |ms| due_by(Duration::from_millis(ms), 40.0);
        assert_eq!([at(0), at(24), at(26), at(49), at(51)], [1, 1, 2, 2, 3]);
    }

    #[test]
    fn blocks_on_the_edge_count_by_their_share() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let (from, to) = (at(1_000), at(2_000));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(share(at(1_200), at(1_300), from, to), 1.0));
        assert!(close(share(at(900), at(1_300), from, to), 0.75));
        assert!(close(share(at(1_900), at(2_300), from, to), 0.25));
        assert!(close(share(at(500), at(4_500), from, to), 0.25));
        assert!(close(share(at(500), at(900), from, to), 0.0));
        assert!(close(share(at(2_000), at(2_100), from, to), 0.0));
        // Two blocks in one tick of the clock.
        assert!(close(share(at(1_500), at(1_500), from, to), 1.0));
        assert!(close(share(at(2_500), at(2_500), from, to), 0.0));
    }
}
