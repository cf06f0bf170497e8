//! The supervisor with small actors and a fake store: every way to die, and back.

mod deaths;
mod orders;
mod stalls;

use super::*;
use crate::ports::names::ActorName;
use crate::ports::network::{Delivered, Life, Network, Port};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, System};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, broadcast, mpsc};

/// Longer than any of this takes; a failure, not a pace.
const DEADLINE: Duration = Duration::from_secs(30);
const ANNA: ActorName = ActorName::Kin(0, 0);
const BERT: ActorName = ActorName::Kin(0, 1);

/// What the disk is to a real actor. Refuses the writes of fenced instances.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<HashMap<ActorName, u32>>>);

impl Store {
    fn read(&self, name: ActorName) -> u32 {
        self.0
            .lock()
            .expect("no panic")
            .get(&name)
            .copied()
            .unwrap_or_default()
    }

    fn write(&self, name: ActorName, life: &Life, incarnation: u64, value: u32) -> bool {
        let current = life.is(incarnation);
        if current {
            self.0.lock().expect("no panic").insert(name, value);
        }
        current
    }
}

/// Adds up, and keeps the sum in the store.
struct Adder {
    name: ActorName,
    incarnation: u64,
    life: Life,
    store: Store,
    sum: u32,
    ends: Ends,
    /// Never finishes at a shutdown.
    stubborn: bool,
    /// Panics once more while it is dropped.
    brittle: bool,
}

/// Tells of each instance that is gone.
type Ends = mpsc::UnboundedSender<(ActorName, u64)>;

impl Actor for Adder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Work of its own: losing all addresses does not end it.
        ctx.run_interval(Duration::from_secs(3600), |_, _| {});
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        assert!(!self.brittle, "panics while it is dropped");
    }
}

impl Drop for Adder {
    fn drop(&mut self) {
        let _ = self.ends.send((self.name, self.incarnation));
    }
}

crate::supervised!(Adder {
    const MAILBOX: usize = 64;

    fn finish(&mut self, ctx: &mut Context<Self>) {
        if !self.stubborn {
            ctx.stop();
        }
    }
});

#[derive(Message, Clone)]
#[rtype(result = "u32")]
struct Add(u32);

impl Handler<Delivered<Add>> for Adder {
    type Result = u32;

    fn handle(&mut self, add: Delivered<Add>, _: &mut Self::Context) -> u32 {
        let sum = self.sum + add.message.0;
        if self
            .store
            .write(self.name, &self.life, self.incarnation, sum)
        {
            self.sum = sum;
        }
        self.sum
    }
}

/// Leaves the mailbox unserved while the thread goes on.
#[derive(Message, Clone)]
#[rtype(result = "()")]
struct Hang;

impl Handler<Delivered<Hang>> for Adder {
    type Result = ();

    fn handle(&mut self, _: Delivered<Hang>, ctx: &mut Self::Context) {
        ctx.wait(actix::fut::wrap_future(core::future::pending()));
    }
}

/// Blocks the thread for a while, as heavy work does.
#[derive(Message, Clone)]
#[rtype(result = "()")]
struct Toil {
    time: Duration,
    /// Told when the thread is blocked.
    begun: Arc<Notify>,
}

impl Toil {
    fn new(time: Duration) -> Self {
        let begun = Arc::new(Notify::new());
        Self { time, begun }
    }
}

impl Handler<Delivered<Toil>> for Adder {
    type Result = ();

    fn handle(&mut self, toil: Delivered<Toil>, _: &mut Self::Context) {
        toil.message.begun.notify_one();
        std::thread::sleep(toil.message.time);
    }
}

/// A supervisor with a driver and a record of everything.
struct Bench {
    network: Network,
    supervisor: Addr<Supervisor>,
    events: broadcast::Receiver<SupervisorEvent>,
    driver: Port,
    store: Store,
    ends: Ends,
    ended: mpsc::UnboundedReceiver<(ActorName, u64)>,
    /// The ports of all instances, in the order of their births.
    ports: Arc<Mutex<Vec<Port>>>,
}

fn quick() -> SupervisorConfig {
    SupervisorConfig {
        arbiters: 2,
        backoff_first: Duration::from_millis(5),
        backoff_max: Duration::from_millis(40),
        deaths_max: 4,
        ..SupervisorConfig::default()
    }
}

impl Bench {
    async fn new(config: SupervisorConfig) -> Self {
        let network = Network::new(1);
        let supervisor = Supervisor::launch(config, network.clone()).expect("threads");
        let events = supervisor.send(Watch).await.expect("a supervisor");
        let (ends, ended) = mpsc::unbounded_channel();
        Self {
            driver: network.port(ActorName::Driver),
            network,
            supervisor,
            events,
            store: Store::default(),
            ends,
            ended,
            ports: Arc::default(),
        }
    }

    fn spec(&self, name: ActorName, stubborn: bool, brittle: bool) -> Spec {
        let (store, ends, ports) = (self.store.clone(), self.ends.clone(), self.ports.clone());
        Spec::new(name, move |birth| {
            ports.lock().expect("no panic").push(birth.port());
            let adder = Adder {
                name,
                incarnation: birth.incarnation(),
                life: birth.life(),
                sum: store.read(name),
                store: store.clone(),
                ends: ends.clone(),
                stubborn,
                brittle,
            };
            Ok(birth.start(|_| adder))
        })
    }

    async fn start(&mut self, names: &[ActorName]) {
        for &name in names {
            let spec = self.spec(name, false, false);
            self.order(Start { spec }).await.expect("a free name");
        }
        self.running(names).await.expect("they start");
    }

    async fn running(&self, names: &[ActorName]) -> Result<(), SupervisorError> {
        let names = names.to_vec();
        let running = self.supervisor.send(WhenRunning { names });
        tokio::time::timeout(DEADLINE, running)
            .await
            .expect("in time")
            .expect("a supervisor")
    }

    async fn order<M>(&self, message: M) -> M::Result
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Supervisor: Handler<M>,
    {
        self.supervisor.send(message).await.expect("a supervisor")
    }

    async fn inject(&self, name: ActorName, fault: Fault) {
        self.order(Inject { name, fault }).await.expect("it runs");
    }

    /// The next event of this actor.
    async fn event(&mut self, name: ActorName) -> EventKind {
        loop {
            let event = tokio::time::timeout(DEADLINE, self.events.recv()).await;
            let event = event.expect("no event in time").expect("a supervisor");
            if event.name == name {
                return event.kind;
            }
        }
    }

    async fn add(&self, name: ActorName, n: u32) -> u32 {
        let deadline = Instant::now() + DEADLINE;
        let sum = self
            .driver
            .ask_until::<Adder, _>(name, Add(n), DEADLINE, deadline)
            .await;
        sum.expect("an answer")
    }

    async fn status(&self, name: ActorName) -> ActorStatus {
        let all = self.order(Status).await;
        all.into_iter()
            .find(|status| status.name == name)
            .expect("it is known")
    }

    async fn until_ended(&mut self, name: ActorName, incarnation: u64) {
        loop {
            let end = tokio::time::timeout(DEADLINE, self.ended.recv()).await;
            if end.expect("it did not end in time") == Some((name, incarnation)) {
                return;
            }
        }
    }
}

fn run<F: Future<Output = ()>>(test: F) {
    System::new().block_on(test);
}

fn died(reason: RestartReason, incarnation: u64) -> EventKind {
    EventKind::Died {
        reason,
        incarnation,
    }
}

fn panicked() -> RestartReason {
    RestartReason::Panicked {
        message: "injected panic".to_owned(),
    }
}
