//! The supervisor with small actors and a fake store: every way to die, and back.

use super::*;
use crate::ports::names::ActorName;
use crate::ports::network::{Delivered, Life, Network, Port};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, System};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc};

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
struct Toil(Duration);

impl Handler<Delivered<Toil>> for Adder {
    type Result = ();

    fn handle(&mut self, toil: Delivered<Toil>, _: &mut Self::Context) {
        std::thread::sleep(toil.message.0);
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

#[test]
fn after_a_panic_the_state_is_back_and_old_holders_of_the_name_reach_the_new_instance() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        bench.start(&[ANNA, BERT]).await;
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.add(ANNA, 2).await, 2);
        bench.inject(ANNA, Fault::Panic).await;
        assert_eq!(
            bench.add(ANNA, 3).await,
            5,
            "from the store, through the same port"
        );
        assert_eq!(bench.event(ANNA).await, died(panicked(), 1));
        assert_eq!(
            bench.event(ANNA).await,
            EventKind::Restarted { incarnation: 2 }
        );
        let status = bench.status(ANNA).await;
        assert_eq!((status.restarts, status.state), (1, ActorState::Running));
        assert_eq!(status.last_reason, Some(panicked()));
        assert_eq!(bench.status(BERT).await.restarts, 0);
    });
}

#[test]
fn the_name_has_its_new_address_before_the_restart_is_announced() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        bench.start(&[ANNA]).await;
        bench.inject(ANNA, Fault::Stop).await;
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.event(ANNA).await, died(RestartReason::Stopped, 1));
        assert_eq!(
            bench.event(ANNA).await,
            EventKind::Restarted { incarnation: 2 }
        );
        // One try, no waiting.
        let sum = bench.driver.ask::<Adder, _>(ANNA, Add(1), DEADLINE).await;
        assert_eq!(sum, Ok(1));
    });
}

#[test]
fn a_second_panic_while_it_is_dropped_brings_nothing_down() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        let spec = bench.spec(ANNA, false, true);
        bench.order(Start { spec }).await.expect("a free name");
        bench.running(&[ANNA]).await.expect("it starts");
        bench.inject(ANNA, Fault::Panic).await;
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.event(ANNA).await, died(panicked(), 1));
        assert_eq!(
            bench.event(ANNA).await,
            EventKind::Restarted { incarnation: 2 }
        );
    });
}

#[test]
fn a_stalled_actor_moves_to_a_fresh_thread_and_the_old_instance_is_fenced_off() {
    run(async {
        let config = SupervisorConfig {
            arbiters: 1,
            stall_after: Duration::from_millis(300),
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        bench.start(&[ANNA, BERT]).await;
        bench
            .inject(ANNA, Fault::Stall(Duration::from_secs(2)))
            .await;
        // Waits in the blocked mailbox: what the old instance does with it must not count.
        bench.driver.tell::<Adder, _>(ANNA, Add(100));
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.event(ANNA).await, died(RestartReason::Stalled, 1));
        assert_eq!(
            bench.add(ANNA, 1).await,
            1,
            "the new instance works beside the blocked one"
        );
        assert_eq!(
            bench.add(BERT, 1).await,
            1,
            "the neighbour was moved with it"
        );
        assert_eq!(
            bench.status(BERT).await.last_reason,
            Some(RestartReason::Stalled)
        );

        let old = bench.ports.lock().expect("no panic")[0].clone();
        assert_eq!(old.me(), ANNA);
        let fenced = bench.network.stats().total.fenced;
        old.tell::<Adder, _>(BERT, Add(50));
        assert_eq!(bench.network.stats().total.fenced, fenced + 1);

        bench.until_ended(ANNA, 1).await;
        assert_eq!(
            bench.add(ANNA, 1).await,
            2,
            "it could not write when it woke up"
        );
        assert_eq!(bench.add(BERT, 0).await, 1);
    });
}

#[test]
fn neighbours_of_one_who_keeps_stalling_are_not_given_up() {
    run(async {
        let config = SupervisorConfig {
            arbiters: 1,
            stall_after: Duration::from_millis(160),
            deaths_max: 3,
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        bench.start(&[ANNA, BERT]).await;
        for _ in 0..3 {
            bench.running(&[ANNA]).await.expect("it starts");
            bench
                .inject(ANNA, Fault::Stall(Duration::from_secs(2)))
                .await;
            while !matches!(bench.event(ANNA).await, EventKind::Died { .. }) {}
        }
        let last = bench.event(ANNA).await;
        let reason = RestartReason::Stalled;
        assert_eq!(last, EventKind::GivenUp { reason, deaths: 3 });
        assert_eq!(bench.add(BERT, 1).await, 1);
        assert_eq!(bench.status(BERT).await.restarts, 3);
    });
}

#[test]
fn an_unserved_mailbox_on_a_running_thread_is_noticed_too() {
    run(async {
        let config = SupervisorConfig {
            stall_after: Duration::from_millis(100),
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        bench.start(&[ANNA, BERT]).await;
        bench.driver.tell::<Adder, _>(ANNA, Hang);
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.event(ANNA).await, died(RestartReason::Stalled, 1));
        bench.until_ended(ANNA, 1).await;
        assert_eq!(bench.add(ANNA, 1).await, 1);
        assert_eq!(bench.status(BERT).await.restarts, 0);
    });
}

#[test]
fn heavy_work_in_pieces_is_no_stall() {
    run(async {
        let config = SupervisorConfig {
            arbiters: 1,
            stall_after: Duration::from_millis(1500),
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        bench.start(&[ANNA, BERT]).await;
        // Four seconds of work, 100 ms at a time: the thread is busy for longer than the limit, yet
        // gets from one actor to the next in between.
        for _ in 0..20 {
            let toil = Toil(Duration::from_millis(100));
            let (a, b) = tokio::join!(
                bench.driver.ask::<Adder, _>(ANNA, toil.clone(), DEADLINE),
                bench.driver.ask::<Adder, _>(BERT, toil, DEADLINE),
            );
            assert_eq!((a, b), (Ok(()), Ok(())));
        }
        for name in [ANNA, BERT] {
            assert_eq!(bench.status(name).await.restarts, 0);
        }
    });
}

#[test]
fn too_many_deaths_end_in_a_loud_surrender_and_the_others_go_on() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        bench.start(&[ANNA, BERT]).await;
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        for incarnation in 1..=4 {
            bench.inject(ANNA, Fault::Panic).await;
            assert_eq!(bench.event(ANNA).await, died(panicked(), incarnation));
            if incarnation < 4 {
                let incarnation = incarnation + 1;
                assert_eq!(
                    bench.event(ANNA).await,
                    EventKind::Restarted { incarnation }
                );
            }
        }
        let reason = panicked();
        let given_up = EventKind::GivenUp {
            reason: reason.clone(),
            deaths: 4,
        };
        assert_eq!(bench.event(ANNA).await, given_up);
        assert_eq!(
            bench.status(ANNA).await.state,
            ActorState::GivenUp { reason }
        );
        let gone = SupervisorError::GivenUp { name: ANNA };
        assert_eq!(bench.running(&[ANNA]).await, Err(gone));
        assert!(!bench.network.book().contains(ANNA));
        assert_eq!(bench.add(BERT, 1).await, 1);

        bench
            .order(Release { name: ANNA })
            .await
            .expect("a second chance");
        assert_eq!(
            bench.event(ANNA).await,
            EventKind::Restarted { incarnation: 5 }
        );
    });
}

#[test]
fn an_actor_that_does_not_start_is_tried_again() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        let good = bench.spec(ANNA, false, false);
        let spec = Spec::new(ANNA, move |birth| match birth.incarnation() {
            1 => Err(StartError::new("the disk is asleep")),
            2 => panic!("the factory breaks"),
            _ => (good.make)(birth),
        });
        bench.order(Start { spec }).await.expect("a free name");
        bench.running(&[ANNA]).await.expect("at the third try");
        let failed = |message: &str| RestartReason::StartFailed {
            message: message.to_owned(),
        };
        assert_eq!(
            bench.event(ANNA).await,
            died(failed("the disk is asleep"), 1)
        );
        let panicked = failed("panicked: the factory breaks");
        assert_eq!(bench.event(ANNA).await, died(panicked, 2));
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.add(ANNA, 1).await, 1);
    });
}

#[test]
fn a_pause_before_a_restart_shows_in_the_status() {
    run(async {
        let config = SupervisorConfig {
            backoff_first: Duration::from_secs(3600),
            backoff_max: Duration::from_secs(3600),
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        bench.start(&[ANNA]).await;
        bench.inject(ANNA, Fault::Stop).await;
        while bench.event(ANNA).await == EventKind::Started {}
        let status = bench.status(ANNA).await;
        assert!(matches!(status.state, ActorState::BackingOff { .. }));
        let fault = Fault::Stop;
        let refused = bench.order(Inject { name: ANNA, fault }).await;
        assert_eq!(refused, Err(SupervisorError::NotRunning { name: ANNA }));
        // Held and released, it starts at once.
        bench.order(Hold { name: ANNA }).await.expect("it is known");
        bench
            .order(Release { name: ANNA })
            .await
            .expect("it is held");
        bench.running(&[ANNA]).await.expect("it starts");
    });
}

#[test]
fn a_held_actor_stays_stopped_until_it_is_released() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        bench.start(&[ANNA, BERT]).await;
        assert_eq!(bench.add(ANNA, 1).await, 1);
        bench.order(Hold { name: ANNA }).await.expect("it runs");
        assert!(!bench.network.book().contains(ANNA));
        assert_eq!(bench.status(ANNA).await.state, ActorState::Held);
        bench.until_ended(ANNA, 1).await;
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.event(ANNA).await, EventKind::Held);
        let refused = bench.order(Release { name: BERT }).await;
        assert_eq!(refused, Err(SupervisorError::NotHeld { name: BERT }));
        assert_eq!(
            bench.status(ANNA).await.restarts,
            0,
            "nobody started it meanwhile"
        );

        bench
            .order(Release { name: ANNA })
            .await
            .expect("it is held");
        assert_eq!(
            bench.event(ANNA).await,
            EventKind::Restarted { incarnation: 2 }
        );
        assert_eq!(bench.add(ANNA, 1).await, 2);
    });
}

#[test]
fn the_end_comes_role_by_role_and_waits_for_nobody_for_ever() {
    run(async {
        let config = SupervisorConfig {
            finish_within: Duration::from_millis(300),
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        let (validator, leader) = (ActorName::Validator(0), ActorName::Leader(0));
        let (hospital, patient) = (ActorName::Hospital(0), ActorName::Patient(0));
        bench.start(&[validator, leader, hospital, patient]).await;
        let spec = bench.spec(ANNA, true, false);
        bench.order(Start { spec }).await.expect("a free name");
        bench.running(&[]).await.expect("they start");

        let mut report = bench.order(Shutdown).await;
        report.finished[..2].sort_unstable();
        assert_eq!(report.finished, [hospital, patient, leader, validator]);
        assert_eq!(report.abandoned, [ANNA]);
        assert_eq!(bench.network.book().names(), []);
        let spec = bench.spec(BERT, false, false);
        let refused = bench.order(Start { spec }).await;
        assert_eq!(refused, Err(SupervisorError::ShuttingDown));
        assert_eq!(
            bench.order(Shutdown).await.abandoned,
            [ANNA],
            "the same report again"
        );
        // The threads end, and what is left on them with them.
        bench.until_ended(ANNA, 1).await;
    });
}

#[test]
fn names_are_unique_and_unknown_ones_are_refused() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        bench.start(&[ANNA]).await;
        let specs = vec![
            bench.spec(BERT, false, false),
            bench.spec(ANNA, false, false),
        ];
        let taken = bench.order(StartMany { specs }).await;
        assert_eq!(taken, Err(SupervisorError::Taken { name: ANNA }));
        let unknown = SupervisorError::Unknown { name: BERT };
        assert_eq!(
            bench.order(Hold { name: BERT }).await,
            Err(unknown),
            "none was started"
        );
        assert_eq!(bench.order(Release { name: BERT }).await, Err(unknown));
        assert_eq!(bench.running(&[BERT]).await, Err(unknown));
    });
}

#[test]
fn five_hundred_actors_start_quickly() {
    run(async {
        let bench = Bench::new(SupervisorConfig::default()).await;
        let names = (0..50).flat_map(|patient| (0..10).map(move |n| ActorName::Kin(patient, n)));
        let specs: Vec<_> = names.map(|name| bench.spec(name, false, false)).collect();
        assert_eq!(specs.len(), 500);
        let start = Instant::now();
        bench.order(StartMany { specs }).await.expect("free names");
        bench.running(&[]).await.expect("they start");
        let took = start.elapsed();
        println!("500 actors run after {took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        let start = Instant::now();
        assert_eq!(bench.order(Shutdown).await.finished.len(), 500);
        println!("and have finished after {:?}", start.elapsed());
    });
}
