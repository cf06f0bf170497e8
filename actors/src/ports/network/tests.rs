//! The network between two or three small actors.

use super::*;
use actix::{Actor, Context, Handler, Message, ResponseFuture, System};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const A: ActorName = ActorName::Hospital(0);
const B: ActorName = ActorName::Kin(0, 0);
/// Longer than any of this takes; a failure, not a pace.
const DEADLINE: Duration = Duration::from_secs(20);

/// Passes on what it hears, in order.
struct Ear(mpsc::UnboundedSender<(ActorName, u32)>);

impl Actor for Ear {
    type Context = Context<Self>;
}

#[derive(Message, Clone)]
#[rtype(result = "u32")]
struct Say(u32);

impl Handler<Delivered<Say>> for Ear {
    type Result = u32;

    fn handle(&mut self, said: Delivered<Say>, _: &mut Self::Context) -> u32 {
        let _ = self.0.send((said.from, said.message.0));
        said.message.0 + 1
    }
}

/// Never answers.
#[derive(Message, Clone)]
#[rtype(result = "()")]
struct Ponder;

impl Handler<Delivered<Ponder>> for Ear {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Delivered<Ponder>, _: &mut Self::Context) -> Self::Result {
        Box::pin(core::future::pending())
    }
}

/// Panics.
#[derive(Message, Clone)]
#[rtype(result = "()")]
struct Die;

impl Handler<Delivered<Die>> for Ear {
    type Result = ();

    fn handle(&mut self, _: Delivered<Die>, _: &mut Self::Context) {
        panic!("as ordered");
    }
}

type Heard = mpsc::UnboundedReceiver<(ActorName, u32)>;

fn ear(network: &Network, name: ActorName) -> Heard {
    let (tell, heard) = mpsc::unbounded_channel();
    let addr = Ear::create(|ctx| {
        ctx.set_mailbox_capacity(1024);
        Ear(tell)
    });
    network.book().point(name, addr);
    heard
}

async fn next(heard: &mut Heard) -> (ActorName, u32) {
    let next = tokio::time::timeout(DEADLINE, heard.recv()).await;
    next.expect("nothing was heard in time")
        .expect("the actor is gone")
}

fn run<F: Future<Output = ()>>(test: F) {
    System::new().block_on(test);
}

#[test]
fn a_message_arrives_with_its_sender_and_a_request_is_answered() {
    run(async {
        let network = Network::new(1);
        let mut heard = ear(&network, B);
        let port = network.port(A);
        port.tell::<Ear, _>(B, Say(1));
        assert_eq!(next(&mut heard).await, (A, 1));
        assert_eq!(port.ask::<Ear, _>(B, Say(2), DEADLINE).await, Ok(3));
        let stats = network.stats();
        assert_eq!((stats.total.sent, stats.total.delivered), (2, 2));
        assert_eq!(stats.by_type[core::any::type_name::<Say>()].sent, 2);
    });
}

#[test]
fn a_new_address_takes_the_messages_of_everybody_who_knew_the_old_one() {
    run(async {
        let network = Network::new(1);
        let mut old = ear(&network, B);
        let port = network.port(A);
        port.tell::<Ear, _>(B, Say(1));
        assert_eq!(next(&mut old).await, (A, 1));
        let mut new = ear(&network, B);
        port.tell_all::<Ear, _>([B, B], &Say(2));
        assert_eq!(next(&mut new).await, (A, 2));
        assert_eq!(next(&mut new).await, (A, 2));
    });
}

#[test]
fn requests_fail_in_four_ways_and_each_can_be_tried_again() {
    run(async {
        let network = Network::new(1);
        let port = network.port(A);
        let ask = |to| port.ask::<Ear, _>(to, Say(1), DEADLINE);
        let nobody = ask(B).await.expect_err("nobody has this name");
        assert_eq!(nobody.kind, AskErrorKind::NoAddress);

        let _heard = ear(&network, B);
        let slow = port
            .ask::<Ear, _>(B, Ponder, Duration::from_millis(10))
            .await;
        let slow = slow.expect_err("it never answers");
        assert_eq!(slow.kind, AskErrorKind::Timeout);

        let dead = port
            .ask::<Ear, _>(B, Die, DEADLINE)
            .await
            .expect_err("it panics");
        assert_eq!(dead.kind, AskErrorKind::Closed);
        let dead = ask(B).await.expect_err("its mailbox is closed for ever");
        assert_eq!(dead.kind, AskErrorKind::Closed);
        assert!(nobody.retriable() && slow.retriable() && dead.retriable());
    });
}

#[test]
fn ask_until_waits_for_the_name_to_come_back() {
    run(async {
        let network = Network::new(1);
        let port = network.port(A);
        let later = network.clone();
        let ask = port.ask_until::<Ear, _>(B, Say(4), DEADLINE, Instant::now() + DEADLINE);
        let (answer, _heard) = tokio::join!(ask, async move {
            // The first try is over when the name was looked up in vain.
            while later.stats().total.no_address == 0 {
                tokio::task::yield_now().await;
            }
            ear(&later, B)
        });
        assert_eq!(answer, Ok(5));

        let gone = ActorName::Kin(9, 9);
        let soon = Instant::now() + Duration::from_millis(50);
        let error = port.ask_until::<Ear, _>(gone, Say(4), DEADLINE, soon).await;
        assert_eq!(
            error.map_err(|error| error.kind),
            Err(AskErrorKind::NoAddress)
        );
        assert!(!network.book().wait_for(gone, Instant::now()).await);
        assert!(network.book().wait_for(B, Instant::now() + DEADLINE).await);
    });
}

#[test]
fn a_request_works_from_a_runtime_that_is_not_actix() {
    let (network, (tell, _heard)) = (Network::new(1), mpsc::unbounded_channel());
    let book = network.book().clone();
    let (done, finished) = tokio::sync::oneshot::channel::<()>();
    let system = std::thread::spawn(move || {
        run(async move {
            book.point(B, Ear(tell).start());
            let _ = finished.await;
        });
    });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let answer = runtime.block_on(async move {
        let port = network.port(ActorName::Driver);
        let ask = async move {
            port.ask_until::<Ear, _>(B, Say(1), DEADLINE, Instant::now() + DEADLINE)
                .await
        };
        // The future is `Send`.
        tokio::spawn(ask).await.expect("no panic")
    });
    assert_eq!(answer, Ok(2));
    drop(done);
    system.join().expect("no panic");
}

#[test]
fn a_full_mailbox_drops_and_counts() {
    run(async {
        let network = Network::new(1);
        let mut heard = ear(&network, B);
        let port = network.port(A);
        assert_eq!(port.ask::<Ear, _>(B, Say(0), DEADLINE).await, Ok(1));
        // The actor runs on this thread: nothing is taken out before the next await.
        for n in 0..3000 {
            port.clone().tell::<Ear, _>(B, Say(n));
        }
        let total = network.stats().total;
        assert_eq!((total.delivered, total.refused), (1 + 1024, 3000 - 1024));
        assert_eq!(next(&mut heard).await, (A, 0));
        for n in 0..1024 {
            assert_eq!(next(&mut heard).await, (A, n));
        }
        port.tell::<Ear, _>(B, Say(7));
        assert_eq!(next(&mut heard).await, (A, 7), "it takes messages again");
    });
}

#[test]
fn too_many_requests_for_one_actor_are_refused() {
    run(async {
        let network = Network::new(1);
        let _heard = ear(&network, B);
        let (port, mut asking) = (network.port(A), Vec::new());
        for _ in 0..1024 {
            let port = port.clone();
            asking.push(tokio::task::spawn_local(async move {
                port.ask::<Ear, _>(B, Ponder, DEADLINE).await
            }));
        }
        while network.stats().total.delivered < 1024 {
            tokio::task::yield_now().await;
        }
        let error = port.ask::<Ear, _>(B, Say(1), DEADLINE).await;
        assert_eq!(error.map_err(|error| error.kind), Err(AskErrorKind::Full));
        for ask in asking {
            ask.abort();
            let _ = ask.await;
        }
        assert_eq!(port.ask::<Ear, _>(B, Say(1), DEADLINE).await, Ok(2));
    });
}

#[test]
fn a_delayed_link_keeps_its_order_and_delays_both_ways() {
    run(async {
        let network = Network::new(1);
        let mut heard = ear(&network, B);
        network.set_link_both(A, B, LinkRule::delayed(30));
        let (port, start) = (network.port(A), Instant::now());
        for n in 0..50 {
            port.tell::<Ear, _>(B, Say(n));
        }
        for n in 0..50 {
            assert_eq!(next(&mut heard).await, (A, n));
        }
        assert!(start.elapsed() >= Duration::from_millis(30));
        let start = Instant::now();
        assert_eq!(port.ask::<Ear, _>(B, Say(1), DEADLINE).await, Ok(2));
        assert!(start.elapsed() >= Duration::from_millis(60));
        let late = port
            .ask::<Ear, _>(B, Say(1), Duration::from_millis(40))
            .await;
        assert_eq!(late.map_err(|error| error.kind), Err(AskErrorKind::Timeout));

        network.clear_links();
        let (near, start) = (network.port(A), Instant::now());
        near.tell::<Ear, _>(B, Say(99));
        while next(&mut heard).await != (A, 99) {}
        assert!(start.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_delayed_message_reaches_the_address_of_its_arrival() {
    run(async {
        let network = Network::new(1);
        network.set_default(LinkRule::delayed(20));
        let _old = ear(&network, B);
        network.port(A).tell::<Ear, _>(B, Say(1));
        let mut new = ear(&network, B);
        assert_eq!(next(&mut new).await, (A, 1));
    });
}

/// Which of 1000 messages of a link with half of them lost arrive.
async fn survivors(seed: u64, busy_neighbour: bool) -> Vec<u32> {
    let network = Network::new(seed);
    let mut heard = ear(&network, B);
    let mut other = ear(&network, A);
    network.set_default(LinkRule::lossy(0.5));
    let port = network.port(A);
    for n in 0..1000 {
        port.tell::<Ear, _>(B, Say(n));
        if busy_neighbour {
            network.port(B).tell::<Ear, _>(A, Say(n));
        }
    }
    let total = network.stats().total;
    assert_eq!(total.lost + total.delivered, total.sent);
    network.clear_links();
    port.tell::<Ear, _>(B, Say(u32::MAX));
    let mut arrived = Vec::new();
    loop {
        match next(&mut heard).await.1 {
            u32::MAX => break,
            n => arrived.push(n),
        }
    }
    other.close();
    arrived
}

#[test]
fn losses_follow_from_the_seed_link_by_link() {
    run(async {
        let first = survivors(7, false).await;
        assert!((400..600).contains(&first.len()), "{} of 1000", first.len());
        assert_eq!(
            first,
            survivors(7, true).await,
            "another link's traffic changes nothing"
        );
        assert_ne!(first, survivors(8, false).await);
    });
}

#[test]
fn a_cut_loses_everything_and_nodes_and_links_combine() {
    let heals = |network: &Network| {
        network.clear_node(A);
        network.links(A, B)
    };
    let network = Network::new(1);
    assert_eq!(network.links(A, B), links::Passage::Now);
    network.set_node(A, LinkRule::severed());
    assert_eq!(network.links(A, B), links::Passage::Lost);
    assert_eq!(network.links(B, A), links::Passage::Lost);
    assert_eq!(
        network.links(A, A),
        links::Passage::Now,
        "to oneself there is no link"
    );
    network.set_link(A, B, LinkRule::delayed(5));
    let after = |ms| links::Passage::After(Duration::from_millis(ms));
    assert_eq!(network.links(A, B), after(5), "the link's own rule wins");
    assert_eq!(network.links(B, A), links::Passage::Lost);
    network.clear_link(A, B);
    assert_eq!(heals(&network), links::Passage::Now);

    network.set_node(A, LinkRule::delayed(5));
    network.set_node(B, LinkRule::delayed(7));
    assert_eq!(network.links(A, B), after(12));

    let (validator, own) = (ActorName::Validator(1), ActorName::Leader(1));
    network.set_node(validator, LinkRule::severed());
    assert_eq!(
        network.links(validator, own),
        links::Passage::Now,
        "one machine"
    );
    assert_eq!(
        network.links(validator, ActorName::Leader(2)),
        links::Passage::Lost
    );
}

impl Network {
    fn links(&self, from: ActorName, to: ActorName) -> links::Passage {
        self.inner.links.passage(from, to)
    }
}

#[test]
fn a_lost_request_and_a_lost_reply_are_timeouts() {
    run(async {
        let network = Network::new(1);
        let mut heard = ear(&network, B);
        let port = network.port(A);
        let short = Duration::from_millis(20);
        network.set_link(A, B, LinkRule::severed());
        let error = port.ask::<Ear, _>(B, Say(1), short).await;
        assert_eq!(
            error.map_err(|error| error.kind),
            Err(AskErrorKind::Timeout)
        );
        assert!(heard.try_recv().is_err(), "it never arrived");
        network.clear_links();
        network.set_link(B, A, LinkRule::severed());
        let error = port.ask::<Ear, _>(B, Say(2), short).await;
        assert_eq!(
            error.map_err(|error| error.kind),
            Err(AskErrorKind::Timeout)
        );
        assert_eq!(
            next(&mut heard).await,
            (A, 2),
            "it arrived, the answer was lost"
        );
        assert_eq!(network.stats().total.lost, 2);
    });
}

#[test]
fn a_tap_sees_messages_requests_replies_and_losses() {
    run(async {
        let network = Network::new(1);
        let mut heard = ear(&network, B);
        let (note, mut notes) = mpsc::unbounded_channel();
        network.tap(move |event| {
            let said = event.content.downcast_ref::<Say>().map(|say| say.0);
            let replied = event.content.downcast_ref::<u32>().copied();
            let number = said.or(replied);
            let _ = note.send((event.from, event.to, event.reply, event.lost, number));
        });
        let port = network.port(A);
        port.tell::<Ear, _>(B, Say(1));
        next(&mut heard).await;
        port.ask::<Ear, _>(B, Say(5), DEADLINE)
            .await
            .expect("a reply");
        network.set_node(B, LinkRule::severed());
        port.tell::<Ear, _>(B, Say(9));
        let mut seen = Vec::new();
        while let Ok(note) = notes.try_recv() {
            seen.push(note);
        }
        let expected = [
            (A, B, false, false, Some(1)),
            (A, B, false, false, Some(5)),
            (B, A, true, false, Some(6)),
            (A, B, false, true, Some(9)),
        ];
        assert_eq!(seen, expected);
    });
}

#[test]
fn a_port_of_an_older_incarnation_is_mute() {
    run(async {
        let network = Network::new(1);
        let mut heard = ear(&network, B);
        let old = network.port_of(A, 1);
        old.tell::<Ear, _>(B, Say(1));
        assert_eq!(next(&mut heard).await, (A, 1));
        network.life(A).advance();
        assert!(!old.is_current());
        old.tell::<Ear, _>(B, Say(2));
        let error = old
            .ask::<Ear, _>(B, Say(2), DEADLINE)
            .await
            .expect_err("fenced");
        assert_eq!(
            (error.kind, error.retriable()),
            (AskErrorKind::Fenced, false)
        );
        network.port_of(A, 2).tell::<Ear, _>(B, Say(3));
        assert_eq!(next(&mut heard).await, (A, 3));
        assert_eq!(network.stats().total.fenced, 2);
    });
}
