//! A flood on all ports of three honest nodes out of four, while they serve a steady load: memory stays bounded, nobody
//! stops, nobody disagrees, and the honest transactions become final.
//!
//! `KITHKIN_FLOOD_FULL=1` (`make flood`) does it with 10,000 connections under a load of 1,000 transactions a second, and
//! holds the throughput to 70 % of what it was before.

use crate::attack::{Liar, Tally, garbage, strangers};
use crate::founding::{HOSPITALS, Town, on_runtime};
use crate::running::{LONG, Running, number};
use kithkin_actors::node::client::News;
use kithkin_actors::node::protocol::Refusal;
use kithkin_actors::peer::{Multiaddr, PeerId};
use kithkin_protocol::ids::TxId;
use kithkin_protocol::units::Height;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// By how much the memory of a node may grow from before the flood to its highest point: what `docs/architecture.md` says.
const GROWTH_MAX: u64 = 256 * 1024 * 1024;
/// Most bytes that a node may log meanwhile: a flood must not fill a disk.
const LOG_MAX: usize = 256 * 1024;
/// How much of the throughput must be left in the full run.
const RATIO_MIN: f64 = 0.7;
/// How often a writer hands in its next transactions.
const EVERY: Duration = Duration::from_millis(50);
/// The nodes that run.
const HONEST: usize = 3;

struct Size {
    connections: u64,
    strangers: u64,
    /// Transactions of one writer each time.
    batch: u64,
    /// How long the throughput is measured before, and at least during the flood.
    measured: Duration,
}

#[test]
fn a_flood_on_all_ports_costs_bounded_memory_and_stops_nobody() {
    let full = std::env::var_os("KITHKIN_FLOOD_FULL").is_some();
    let size = if full {
        Size {
            connections: 10_000,
            strangers: 300,
            batch: 13,
            measured: Duration::from_secs(20),
        }
    } else {
        Size {
            connections: 1_000,
            strangers: 15,
            batch: 2,
            measured: Duration::from_secs(3),
        }
    };
    let town = Arc::new(Town::found("tcp"));
    let mut nodes: Vec<Running> = (0..HONEST).map(|n| town.start(n)).collect();
    let peers: Vec<(PeerId, Multiaddr)> = nodes.iter_mut().map(ready).collect();
    let ratio = on_runtime(flood(&town, &nodes, &peers, &size));
    for node in &nodes {
        node.signal("TERM");
    }
    for node in nodes {
        let (status, _, stderr) = node.end();
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(stderr.len() < LOG_MAX, "{} bytes of log", stderr.len());
    }
    if full {
        assert!(ratio >= RATIO_MIN, "throughput fell to {ratio:.2}");
    }
}

/// Waits until a node is ready; answers who and where it is for its peers.
fn ready(node: &mut Running) -> (PeerId, Multiaddr) {
    let line = node.until("ready");
    assert_eq!(number(&line, "height"), 0);
    let peer = line["peer_id"].as_str().expect("a peer id");
    let listen = line["listen"][0].as_str().expect("an address");
    (
        peer.parse().expect("a peer id"),
        listen.parse().expect("an address"),
    )
}

/// What one node has made final.
#[derive(Default)]
struct Seen {
    transactions: AtomicU64,
    height: watch::Sender<Height>,
}

async fn flood(
    town: &Arc<Town>,
    nodes: &[Running],
    peers: &[(PeerId, Multiaddr)],
    size: &Size,
) -> f64 {
    let seen = Arc::new(Seen::default());
    let follower = tokio::spawn(follow(town.clone(), seen.clone()));
    let stop = watch::Sender::new(false);
    let submitted = Arc::new(Mutex::new(Vec::new()));
    let writers: Vec<JoinHandle<()>> = (0..HOSPITALS)
        .map(|n| {
            let (town, submitted, stop) = (town.clone(), submitted.clone(), stop.subscribe());
            tokio::spawn(write(town, n, size.batch, submitted, stop))
        })
        .collect();
    // The nodes have found each other, and whoever is missing is not waited for any more.
    let mut height = seen.height.subscribe();
    within(height.wait_for(|height| *height >= Height(20))).await;
    let before = rate(&seen, size.measured).await;
    let memory: Vec<u64> = nodes.iter().map(|node| memory(node, "VmRSS:")).collect();

    let tally = Arc::new(Tally::default());
    let attack_stop = watch::Sender::new(false);
    let liar = Arc::new(Liar::new(town, seen.height.subscribe(), &tally));
    let began = (Instant::now(), seen.transactions.load(Ordering::Relaxed));
    let (mut counted, mut endless) = (Vec::new(), Vec::new());
    let each = size.connections / (2 * HONEST as u64) + 1;
    for (n, peer) in peers.iter().enumerate() {
        let ports = [town.doors[n], socket(&peer.1)];
        for (seed, port) in (0..).zip(ports) {
            counted.push(tokio::spawn(garbage(port, each, seed, tally.clone())));
        }
        let count = size.strangers / HONEST as u64;
        counted.push(tokio::spawn(strangers(peer.clone(), count, tally.clone())));
        let stop = attack_stop.subscribe();
        endless.push(tokio::spawn(liar.clone().talk(
            peer.clone(),
            n as u64,
            stop,
        )));
        let stop = attack_stop.subscribe();
        endless.push(tokio::spawn(liar.clone().submit(town.doors[n], stop)));
    }
    // Who comes to the door meanwhile gets in and is answered.
    for n in 0..HONEST {
        let status = town.client(n).await.status(LONG).await.expect("an answer");
        assert_eq!(usize::from(status.validator.0), n);
    }
    for attacker in counted {
        attacker.await.expect("no panic");
    }
    tokio::time::sleep(size.measured.saturating_sub(began.0.elapsed())).await;
    let during = seen.transactions.load(Ordering::Relaxed) - began.1;
    let during = during as f64 / began.0.elapsed().as_secs_f64();
    let took = began.0.elapsed();
    attack_stop.send_replace(true);
    for attacker in endless {
        attacker.await.expect("no panic");
    }
    stop.send_replace(true);
    for writer in writers {
        writer.await.expect("no panic");
    }
    // What was taken in becomes final, at all nodes alike.
    let deadline = Instant::now() + LONG;
    let client = town.client(0).await;
    let submitted = submitted.lock().expect("no panic").clone();
    for id in &submitted {
        let found = client.await_tx(*id, LONG).await;
        assert!(found.is_ok(), "{id} is lost: {found:?}");
    }
    within(height.changed()).await;
    let head = *seen.height.borrow();
    let blocks = town.blocks(0, head).await;
    for n in 1..HONEST {
        let mut client = town.client(n).await;
        while client.status(LONG).await.expect("an answer").height < head {
            assert!(Instant::now() < deadline, "validator {n} lags behind");
            client = town.client(n).await;
        }
        assert_eq!(town.blocks(n, head).await, blocks, "validator {n}");
    }
    follower.abort();
    let mut grown = Vec::new();
    for (node, before) in nodes.iter().zip(&memory) {
        let (peak, after) = (self::memory(node, "VmHWM:"), self::memory(node, "VmRSS:"));
        eprintln!("memory: {before} bytes before, at most {peak}, {after} after");
        grown.push(peak.saturating_sub(*before));
    }
    let ratio = during / before;
    eprintln!(
        "{tally:?} in {took:?}; {before:.0} transactions a second before, {during:.0} during: {ratio:.2}"
    );
    assert!(grown.iter().all(|grown| *grown < GROWTH_MAX), "{grown:?}");
    ratio
}

fn socket(address: &Multiaddr) -> SocketAddr {
    let text = address.to_string();
    let parts: Vec<&str> = text.split('/').collect();
    assert_eq!((parts[1], parts[3]), ("ip4", "tcp"), "{text}");
    format!("{}:{}", parts[2], parts[4])
        .parse()
        .expect("an address")
}

async fn within<T, E: std::fmt::Debug>(work: impl Future<Output = Result<T, E>>) -> T {
    let done = tokio::time::timeout(LONG, work).await;
    done.expect("in time").expect("it goes on")
}

/// Transactions a second that become final in this time.
async fn rate(seen: &Seen, time: Duration) -> f64 {
    let (began, before) = (Instant::now(), seen.transactions.load(Ordering::Relaxed));
    tokio::time::sleep(time).await;
    let more = seen.transactions.load(Ordering::Relaxed) - before;
    more as f64 / began.elapsed().as_secs_f64()
}

/// Counts what becomes final at the first node.
async fn follow(town: Arc<Town>, seen: Arc<Seen>) {
    let client = town.client(0).await;
    let mut news = client.follow(LONG).await.expect("an answer");
    while let Some(news) = news.recv().await {
        let News::Final(block) = news else {
            // Read too slowly: what was in them does not count.
            continue;
        };
        let count = block.transactions.len() as u64;
        seen.transactions.fetch_add(count, Ordering::Relaxed);
        seen.height.send_replace(block.height);
    }
}

/// Hands transactions in at a steady rate until it is told to stop; notes the last of each batch.
async fn write(
    town: Arc<Town>,
    n: usize,
    batch: u64,
    submitted: Arc<Mutex<Vec<TxId>>>,
    stop: watch::Receiver<bool>,
) {
    let (key, client) = (town.hospital(n), town.client(n % HONEST).await);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // From the first on: a number that is never used holds up the window behind it.
    let mut sequence = 0;
    while !*stop.borrow() {
        ticks.tick().await;
        let transactions = (sequence..sequence + batch).map(|n| town.transaction(&key, n));
        let transactions: Vec<_> = transactions.collect();
        let ids: Vec<TxId> = transactions.iter().map(|tx| tx.id()).collect();
        let refused = client.submit_many(transactions, LONG).await;
        let refused = refused.expect("an answer");
        for (_, why) in &refused {
            // The ledger is behind: that shows in the throughput.
            assert!(
                matches!(why, Refusal::SenderFull | Refusal::PoolFull),
                "{why}"
            );
        }
        let taken = batch - refused.len() as u64;
        if let Some(last) = ids[..taken as usize].last() {
            submitted.lock().expect("no panic").push(*last);
        }
        // Refused ones were the last: their numbers are used again.
        sequence += taken;
    }
}

/// A line of what the operating system knows of a process, in bytes.
fn memory(node: &Running, name: &str) -> u64 {
    let path = format!("/proc/{}/status", node.id());
    let status = std::fs::read_to_string(path).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        * 1024
}
