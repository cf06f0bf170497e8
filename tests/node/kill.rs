//! kill -9, again and again, under load: no fork, nothing acknowledged lost, and whoever was killed catches up.
//!
//! `KITHKIN_KILLS` says how often (20 when it is not set); with it the catching up is held to five seconds.

use crate::founding::{HOSPITALS, Town, on_runtime};
use crate::running::{LONG, Running, seed};
use kithkin_actors::node::NodeClient;
use kithkin_protocol::ids::TxId;
use kithkin_protocol::units::Height;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long a killed node may take, from its start until it stands where the others stood then.
const CATCH_UP: Duration = Duration::from_secs(5);
/// How long a writer waits for one transaction at one node before it goes to the next.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the writers were told is final.
#[derive(Default)]
struct Acknowledged {
    ids: Mutex<Vec<TxId>>,
    count: watch::Sender<u64>,
}

#[test]
fn a_killed_node_comes_back_and_nothing_is_lost() {
    let asked = std::env::var("KITHKIN_KILLS")
        .ok()
        .and_then(|text| text.parse::<usize>().ok());
    let seed = seed();
    eprintln!("seed {seed}; the same choices again: KITHKIN_SEED={seed}");
    let town = Arc::new(Town::found("tcp"));
    let mut nodes: Vec<Option<Running>> = town.start_all().into_iter().map(Some).collect();
    on_runtime(rounds(
        &town,
        &mut nodes,
        ChaCha8Rng::seed_from_u64(seed),
        asked,
    ));
}

async fn rounds(
    town: &Arc<Town>,
    nodes: &mut [Option<Running>],
    mut rng: ChaCha8Rng,
    asked: Option<usize>,
) {
    let acknowledged = Arc::new(Acknowledged::default());
    let stop = watch::Sender::new(false);
    let writers: Vec<_> = (0..HOSPITALS)
        .map(|n| {
            tokio::spawn(write(
                town.clone(),
                n,
                acknowledged.clone(),
                stop.subscribe(),
            ))
        })
        .collect();
    let (mut took, mut masters) = (Vec::new(), 0);
    for _ in 0..asked.unwrap_or(20) {
        progress(&acknowledged, 1 + u64::from(rng.next_u32() % 20)).await;
        let any = (rng.next_u32() % 4) as usize;
        let master = master(town, any).await;
        // Half of the time whoever builds the next block.
        let victim = match master {
            Some(master) if rng.next_u32().is_multiple_of(2) => master,
            _ => (rng.next_u32() % 4) as usize,
        };
        masters += usize::from(master == Some(victim));
        nodes[victim].take().expect("it runs").kill();
        // The three others go on without it: a quorum.
        progress(&acknowledged, u64::from(rng.next_u32() % 10)).await;
        let head = height((victim + 1) % 4, town).await;
        if rng.next_u32().is_multiple_of(4) {
            // Once more, before or while it comes back.
            let starting = town.start(victim);
            let moment = Duration::from_millis(u64::from(rng.next_u32() % 300));
            // No line is awaited here: this is how long it is let live.
            let _ = starting.line_within(moment);
            starting.kill();
        }
        let began = Instant::now();
        nodes[victim] = Some(town.start(victim));
        caught_up(town, victim, head).await;
        took.push(began.elapsed());
    }
    stop.send_replace(true);
    for writer in writers {
        writer.await.expect("no panic");
    }
    let mut head = Height(0);
    for n in 0..4 {
        head = head.max(height(n, town).await);
    }
    let mut chains = Vec::new();
    for n in 0..4 {
        caught_up(town, n, head).await;
        chains.push(town.blocks(n, head).await);
    }
    assert!(chains.iter().all(|chain| *chain == chains[0]), "a fork");
    let ids = acknowledged.ids.lock().expect("no panic").clone();
    for n in 0..4 {
        let client = town.client(n).await;
        for id in &ids {
            let found = client.await_tx(*id, LONG).await;
            assert!(found.is_ok(), "validator {n} has lost {id}: {found:?}");
        }
    }
    took.sort_unstable();
    eprintln!(
        "{} kills, {masters} of them the next master; {} acknowledged, height {head}, no fork; catching up, \
         from the start of the process: median {:?}, longest {:?}",
        took.len(),
        ids.len(),
        took[took.len() / 2],
        took[took.len() - 1]
    );
    if asked.is_some() {
        assert!(took.iter().all(|time| *time <= CATCH_UP), "{took:?}");
    }
}

/// Waits until so many more transactions were acknowledged.
async fn progress(acknowledged: &Acknowledged, more: u64) {
    let mut count = acknowledged.count.subscribe();
    let goal = *count.borrow() + more;
    let reached = tokio::time::timeout(LONG, count.wait_for(|count| *count >= goal)).await;
    reached.expect("writing goes on").expect("somebody counts");
}

async fn height(n: usize, town: &Town) -> Height {
    town.client(n)
        .await
        .status(LONG)
        .await
        .expect("an answer")
        .height
}

async fn master(town: &Town, n: usize) -> Option<usize> {
    let status = town.client(n).await.status(LONG).await.expect("an answer");
    status.master.map(|id| usize::from(id.0))
}

/// Waits until a node has made `head` durable.
async fn caught_up(town: &Town, n: usize, head: Height) {
    let client = town.client(n).await;
    let mut news = client.follow(LONG).await.expect("an answer");
    if client.status(LONG).await.expect("an answer").height >= head {
        return;
    }
    let reached = async {
        while let Some(news) = news.recv().await {
            if matches!(news, kithkin_actors::node::client::News::Final(block) if block.height >= head)
            {
                return;
            }
        }
        panic!("validator {n} has closed its door");
    };
    tokio::time::timeout(LONG, reached)
        .await
        .expect("it catches up");
}

/// Writes one transaction after the other until it is told to stop; each until some node says that it is final.
async fn write(
    town: Arc<Town>,
    n: usize,
    acknowledged: Arc<Acknowledged>,
    stop: watch::Receiver<bool>,
) {
    let key = town.hospital(n);
    let mut at = n;
    for sequence in 0.. {
        let transaction = town.transaction(&key, sequence);
        let id = transaction.id();
        loop {
            if *stop.borrow() {
                return;
            }
            let Ok(client) = NodeClient::connect(town.doors[at % 4]).await else {
                at += 1;
                tokio::task::yield_now().await;
                continue;
            };
            let taken = client
                .submit_many(vec![transaction.clone()], PATIENCE)
                .await;
            // Refused or not, it may stand: the answer of a node that was killed is lost, and the next one says that the number is used.
            if taken.is_ok() && client.await_tx(id, PATIENCE).await.is_ok() {
                break;
            }
            at += 1;
        }
        acknowledged.ids.lock().expect("no panic").push(id);
        acknowledged.count.send_modify(|count| *count += 1);
    }
}
