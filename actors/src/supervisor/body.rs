//! How an actor comes to life under supervision, and how its end is noticed.

use super::actor::{Born, Ended, Supervisor};
use super::hook;
use super::messages::{Fault, Finish, Ping, RestartReason, Suffer};
use super::workers::Pulse;
use crate::ports::names::ActorName;
use crate::ports::network::{Entry, Life, Network, Port};
use actix::dev::ContextFut;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Recipient};
use core::pin::Pin;
use core::task::{self, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// An actor that the supervisor can run. Implemented by [`crate::supervised!`].
pub trait Supervised:
    Actor<Context = Context<Self>> + Handler<Ping> + Handler<Suffer> + Handler<Finish>
{
    /// How many messages may wait; further ones are dropped and counted.
    const MAILBOX: usize = 1024;

    /// The program is going to end: write down what must not be lost, then `ctx.stop()`, at once or
    /// when an answer that is still missing has come.
    fn finish(&mut self, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

/// Makes an actor one that the supervisor can run: `supervised!(Validator);`, or with the items of
/// [`Supervised`] that differ from the default:
///
/// ```text
/// supervised!(Validator {
///     const MAILBOX: usize = 8192;
///     fn finish(&mut self, ctx: &mut actix::Context<Self>) { self.flush(); ctx.stop(); }
/// });
/// ```
#[macro_export]
macro_rules! supervised {
    ($actor:ty) => {
        $crate::supervised!($actor {});
    };
    ($actor:ty { $($items:tt)* }) => {
        impl $crate::supervisor::Supervised for $actor { $($items)* }

        impl ::actix::Handler<$crate::supervisor::Ping> for $actor {
            type Result = ();
            fn handle(&mut self, ping: $crate::supervisor::Ping, _: &mut Self::Context) {
                ping.answer();
            }
        }

        impl ::actix::Handler<$crate::supervisor::Suffer> for $actor {
            type Result = ();
            fn handle(&mut self, suffer: $crate::supervisor::Suffer, ctx: &mut Self::Context) {
                suffer.0.strike(ctx);
            }
        }

        impl ::actix::Handler<$crate::supervisor::Finish> for $actor {
            type Result = ();
            fn handle(&mut self, _: $crate::supervisor::Finish, ctx: &mut Self::Context) {
                $crate::supervisor::Supervised::finish(self, ctx);
            }
        }
    };
}

impl Fault {
    /// Does the harm. Called by what [`crate::supervised!`] writes.
    ///
    /// # Panics
    ///
    /// [`Fault::Panic`] does, as ordered.
    pub fn strike(self, ctx: &mut impl ActorContext) {
        match self {
            Self::Panic => panic!("injected panic"),
            Self::Stop => ctx.stop(),
            Self::Stall(time) => std::thread::sleep(time),
        }
    }
}

/// Why a factory could not start its actor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// For the log and the status.
    pub message: String,
}

impl StartError {
    /// From any error.
    #[must_use]
    pub fn new(error: impl core::fmt::Display) -> Self {
        Self {
            message: error.to_string(),
        }
    }
}

pub(super) type Factory = Arc<dyn Fn(Birth) -> Result<StartedActor, StartError> + Send + Sync>;

/// One actor to supervise: its name and how to build it.
#[derive(Clone)]
pub struct Spec {
    /// The name; one actor each.
    pub name: ActorName,
    pub(super) make: Factory,
}

impl Spec {
    /// `make` runs on the actor's thread, at the first start and at each restart: it reads the
    /// stored state and hands the actor to [`Birth::start`]. It may block for as long as that takes,
    /// well below the time after which an actor counts as stalled.
    pub fn new(
        name: ActorName,
        make: impl Fn(Birth) -> Result<StartedActor, StartError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            make: Arc::new(make),
        }
    }
}

impl core::fmt::Debug for Spec {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Spec")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// One start of one actor: what a factory gets.
pub struct Birth {
    guard: LifeGuard,
    life: Life,
    port: Port,
    pulse: Arc<Pulse>,
}

impl Birth {
    pub(super) fn new(
        name: ActorName,
        life: Life,
        network: &Network,
        pulse: Arc<Pulse>,
        supervisor: Addr<Supervisor>,
    ) -> Self {
        let incarnation = life.current();
        Self {
            port: network.port_of(name, incarnation),
            guard: LifeGuard(Arc::new(Notice {
                name,
                incarnation,
                supervisor,
                reason: Mutex::new(RestartReason::Stopped),
            })),
            life,
            pulse,
        }
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> ActorName {
        self.guard.name()
    }

    /// Which instance of the name this will be, from 1 at the start of the program.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.guard.incarnation()
    }

    /// A hold on the instance's life, for an actor that wants one: see [`LifeGuard`].
    #[must_use]
    pub fn guard(&self) -> LifeGuard {
        self.guard.clone()
    }

    /// Whether this is still the newest start of the name: false when its thread was blocked for so
    /// long that the supervisor started another. A factory that waited for something asks before it
    /// opens its key space, since opening fences off whoever has it open.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.life.is(self.incarnation())
    }

    /// Which incarnation of the name may act.
    #[must_use]
    pub fn life(&self) -> Life {
        self.life.clone()
    }

    /// The actor's access to the network.
    #[must_use]
    pub fn port(&self) -> Port {
        self.port.clone()
    }

    /// Brings the actor to life on this thread. `make` may set timers on its context; messages
    /// arrive when the factory has returned.
    pub fn start<A: Supervised>(self, make: impl FnOnce(&mut Context<A>) -> A) -> StartedActor {
        let mut ctx = Context::new();
        ctx.set_mailbox_capacity(A::MAILBOX);
        let actor = make(&mut ctx);
        let addr = ctx.address();
        let life = Some((self.life, self.guard.incarnation()));
        let (leash, dismissed) = oneshot::channel();
        tokio::task::spawn_local(Body {
            actor: Some(ctx.into_future(actor)),
            guard: self.guard,
            dismissed,
            pulse: self.pulse,
        });
        StartedActor {
            // Each of these has a guaranteed place in the mailbox, however full it is.
            control: Control {
                ping: addr.clone().recipient(),
                suffer: addr.clone().recipient(),
                finish: addr.clone().recipient(),
                _leash: leash,
            },
            entry: Arc::new(Entry::new(addr, life)),
        }
    }
}

/// An actor that runs, of whatever type: made by [`Birth::start`].
pub struct StartedActor {
    pub(super) entry: Arc<Entry>,
    pub(super) control: Control,
}

/// How the supervisor talks to an actor of any type. Dropping it ends the instance, as soon as the
/// instance's thread gets to it.
pub(super) struct Control {
    pub(super) ping: Recipient<Ping>,
    pub(super) suffer: Recipient<Suffer>,
    pub(super) finish: Recipient<Finish>,
    _leash: oneshot::Sender<Never>,
}

/// Never sent: the end of the channel is the message.
enum Never {}

/// The life of one instance: the death notice goes out when the last clone is dropped.
///
/// The task that runs the actor holds one. An actor may hold another, and give one to work on other
/// threads that must be over before its successor starts (a write that was handed to a pool).
#[derive(Clone)]
pub struct LifeGuard(Arc<Notice>);

struct Notice {
    name: ActorName,
    incarnation: u64,
    supervisor: Addr<Supervisor>,
    reason: Mutex<RestartReason>,
}

impl LifeGuard {
    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> ActorName {
        self.0.name
    }

    /// Which instance of the name this is.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.0.incarnation
    }

    /// Unless told otherwise, an instance ended because it stopped.
    fn ends_because(&self, reason: RestartReason) {
        *self.0.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        let reason = self
            .reason
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let ended = Ended {
            name: self.name,
            incarnation: self.incarnation,
            reason: core::mem::replace(reason, RestartReason::Stopped),
        };
        // Fails only when the supervisor is gone; its mailbox has no limit.
        let _ = self.supervisor.try_send(ended);
    }
}

/// The task that runs one instance. A panic ends here: the arbiter does not see it, and dropping
/// what is left of the actor cannot panic a second time into an abort.
struct Body<A: Supervised> {
    actor: Option<ContextFut<A, Context<A>>>,
    guard: LifeGuard,
    /// Ready when the supervisor let go. A message would not do: an actor that waits for a future
    /// leaves its mailbox alone and is not woken by it.
    dismissed: oneshot::Receiver<Never>,
    pulse: Arc<Pulse>,
}

impl<A: Supervised> Future for Body<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let Self {
            actor,
            guard,
            dismissed,
            pulse,
        } = self.get_mut();
        let _turn = pulse.enter(guard.name(), guard.incarnation());
        if Pin::new(dismissed).poll(cx).is_pending()
            && let Some(actor) = actor.as_mut()
        {
            match catch_unwind(AssertUnwindSafe(|| Pin::new(actor).poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(())) => {}
                Err(payload) => {
                    let message = hook::text(payload.as_ref());
                    guard.ends_because(RestartReason::Panicked { message });
                }
            }
        }
        bury(actor, guard.name());
        Poll::Ready(())
    }
}

impl<A: Supervised> Drop for Body<A> {
    /// An arbiter that ends drops its tasks without polling them.
    fn drop(&mut self) {
        bury(&mut self.actor, self.guard.name());
    }
}

/// Drops an actor before its death notice goes out: what it held is free when its successor starts.
/// Dropping calls the actor's `stopping` and `stopped` if it did not end by itself.
fn bury<A: Supervised>(actor: &mut Option<ContextFut<A, Context<A>>>, name: ActorName) {
    let actor = actor.take();
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(actor))) {
        let message = hook::text(payload.as_ref());
        tracing::error!(actor = %name, message, "panicked again while it was dropped");
    }
}

/// Runs a factory on the actor's thread and tells the supervisor how it went.
pub(super) fn give_birth(make: &Factory, birth: Birth) {
    let (name, incarnation) = (birth.name(), birth.incarnation());
    if !birth.is_current() {
        // It waited in a thread that was blocked, and the actor lives elsewhere by now.
        return;
    }
    let (supervisor, pulse) = (birth.guard.0.supervisor.clone(), birth.pulse.clone());
    let _turn = pulse.enter(name, incarnation);
    let outcome = catch_unwind(AssertUnwindSafe(|| make(birth)));
    let outcome = outcome.unwrap_or_else(|payload| {
        Err(StartError {
            message: format!("panicked: {}", hook::text(payload.as_ref())),
        })
    });
    // Fails only when the supervisor is gone; its mailbox has no limit.
    drop(supervisor.try_send(Born {
        name,
        incarnation,
        outcome,
    }));
}
