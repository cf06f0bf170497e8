//! What `actix::Supervisor` does, measured: why supervision is ours (`docs/adr/0030-own-supervision.md`).

use actix::{
    Actor, ActorContext, Addr, Arbiter, Context, Handler, MailboxError, Message, Supervised, System,
};

/// Counts its restarts.
#[derive(Default)]
struct Clerk {
    restarts: u32,
}

impl Actor for Clerk {
    type Context = Context<Self>;
}

impl Supervised for Clerk {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.restarts += 1;
    }
}

#[derive(Message)]
#[rtype(result = "u32")]
enum Order {
    Report,
    Stop,
    Panic,
}

impl Handler<Order> for Clerk {
    type Result = u32;

    fn handle(&mut self, order: Order, ctx: &mut Self::Context) -> u32 {
        match order {
            Order::Report => {}
            Order::Stop => ctx.stop(),
            Order::Panic => panic!("as ordered"),
        }
        self.restarts
    }
}

fn on(arbiter: &Arbiter) -> Addr<Clerk> {
    actix::Supervisor::start_in_arbiter(&arbiter.handle(), |_| Clerk::default())
}

#[test]
fn the_supervisor_of_actix_restarts_what_stopped_and_dies_with_what_panicked() {
    System::new().block_on(async {
        let arbiter = Arbiter::new();
        let clerk = on(&arbiter);
        let neighbour = on(&arbiter);
        assert_eq!(clerk.send(Order::Stop).await, Ok(0));
        assert_eq!(
            clerk.send(Order::Report).await,
            Ok(1),
            "restarted, same address, same state"
        );

        assert_eq!(clerk.send(Order::Panic).await, Err(MailboxError::Closed));
        assert_eq!(
            clerk.send(Order::Report).await,
            Err(MailboxError::Closed),
            "dead for ever"
        );
        assert!(!clerk.connected());

        assert_eq!(
            neighbour.send(Order::Report).await,
            Ok(0),
            "its thread lives on"
        );
        assert_eq!(
            on(&arbiter).send(Order::Report).await,
            Ok(0),
            "and takes new actors"
        );
    });
}

#[test]
fn every_clone_of_an_address_has_a_place_of_its_own_in_a_full_mailbox() {
    System::new().block_on(async {
        let clerk = Clerk::create(|ctx| {
            ctx.set_mailbox_capacity(2);
            Clerk::default()
        });
        // Nothing is taken out before the next await.
        let shared = (0..10).filter(|_| clerk.try_send(Order::Report).is_ok());
        assert_eq!(
            shared.count(),
            2,
            "one address for all senders keeps the limit"
        );
        let cloned = (0..10).filter(|_| clerk.clone().try_send(Order::Report).is_ok());
        assert_eq!(cloned.count(), 10, "a clone for each message has none");
    });
}
