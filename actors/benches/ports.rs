//! What the ports cost: messages, group commit, key files. Prints medians of several rounds; asserts nothing.
//!
//! `make bench`, or `cargo bench -p kithkin-actors --bench ports`.

use actix::{Actor, Context, Handler, Message, System};
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::ports::network::{Delivered, Network, Port};
use kithkin_actors::ports::store::{Batch, Store, StoreOptions};
use kithkin_actors::ports::vault::Vault;
use kithkin_protocol::crypto::Secret32;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const ROUNDS: usize = 9;
const MESSAGES: u32 = 1_000;
const WITHIN: Duration = Duration::from_secs(10);

#[derive(Message)]
#[rtype(result = "()")]
struct Say;

/// Tells of every message that it hears.
struct Ear(mpsc::UnboundedSender<()>);

impl Actor for Ear {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4_096);
    }
}

impl Handler<Delivered<Say>> for Ear {
    type Result = ();

    fn handle(&mut self, _: Delivered<Say>, _: &mut Self::Context) {
        // The bench may have ended.
        let _ = self.0.send(());
    }
}

fn main() {
    System::new().block_on(async {
        let network = Network::new(1);
        let (near, near_heard) = mpsc::unbounded_channel();
        network
            .book()
            .point(ActorName::Hospital(0), Ear(near).start());
        let elsewhere = actix::Arbiter::new();
        let (far, far_heard) = mpsc::unbounded_channel();
        let addr = Ear::start_in_arbiter(&elsewhere.handle(), |_| Ear(far));
        network.book().point(ActorName::Hospital(1), addr);
        let port = network.port(ActorName::Driver);
        messages(&port, 0, near_heard, "same thread").await;
        messages(&port, 1, far_heard, "other thread").await;
    });
    group_commit();
    key_files();
}

async fn messages(port: &Port, n: u16, mut heard: mpsc::UnboundedReceiver<()>, place: &str) {
    let to = ActorName::Hospital(n);
    let mut tells = Vec::new();
    let mut asks = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..MESSAGES {
            port.tell::<Ear, _>(to, Say);
        }
        for _ in 0..MESSAGES {
            heard.recv().await.expect("every message arrives");
        }
        tells.push(start.elapsed() / MESSAGES);
        let start = Instant::now();
        for _ in 0..MESSAGES {
            port.ask::<Ear, _>(to, Say, WITHIN).await.expect("a reply");
            heard.recv().await.expect("every message arrives");
        }
        asks.push(start.elapsed() / MESSAGES);
    }
    println!("tell, {place}: {:?} a message", median(tells));
    println!("ask,  {place}: {:?} a round trip", median(asks));
}

fn group_commit() {
    const SPACES: usize = 64;
    const EACH: usize = 20;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), StoreOptions::default()).expect("a store");
    let spaces: Vec<_> = (0..SPACES)
        .map(|n| store.space(&format!("kin-{n}")).expect("a space"))
        .collect();
    let batch = |n: usize| {
        let mut batch = Batch::default();
        batch.put(n.to_be_bytes().to_vec(), vec![7; 256]);
        batch
    };
    let mut alone = Vec::new();
    let mut together = Vec::new();
    let total = u32::try_from(SPACES * EACH).expect("few");
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for n in 0..EACH {
            for space in &spaces {
                space.write_blocking(batch(n)).expect("written");
            }
        }
        alone.push(start.elapsed() / total);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for space in &spaces {
                scope.spawn(|| {
                    for n in 0..EACH {
                        space.write_blocking(batch(n)).expect("written");
                    }
                });
            }
        });
        together.push(start.elapsed() / total);
    }
    let (alone, together) = (median(alone), median(together));
    let ratio = alone.as_secs_f64() / together.as_secs_f64();
    println!("synced write, one after the other: {alone:?}");
    println!("synced write, {SPACES} actors at once: {together:?}, {ratio:.1} times as many");
}

fn key_files() {
    const KEYS: u32 = 300;
    let names: Vec<String> = (0..KEYS).map(|n| format!("key-{n}")).collect();
    let secret = Secret32::new([7; 32]);
    let pairs: Vec<_> = names.iter().map(|name| (name.as_str(), &secret)).collect();
    let mut singly = Vec::new();
    let mut together = Vec::new();
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = Vault::open(folder.path()).expect("a vault");
        let start = Instant::now();
        for (name, secret) in &pairs {
            vault.keys_of("one").create(name, secret).expect("written");
        }
        singly.push(start.elapsed() / KEYS);
        let start = Instant::now();
        vault.keys_of("two").create_many(&pairs).expect("written");
        together.push(start.elapsed() / KEYS);
    }
    println!("key file, one by one: {:?}", median(singly));
    println!("key file, {KEYS} together: {:?}", median(together));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
