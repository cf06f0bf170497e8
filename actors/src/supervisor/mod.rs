//! Starts every actor, notices one that panicked, stopped or stalled, and starts it anew.
//!
//! Supervision is ours because `actix::Supervisor` dies with an actor that
//! panics (measured in this folder's tests; see `docs/adr/0030-own-supervision.md`).
//!
//! * A factory ([`Spec`]) builds an actor from its stored state, on the thread
//!   where the actor will live, and hands it to [`Birth::start`].
//! * The future that runs the actor is wrapped: its end is the death notice, and
//!   a panic ends at the wrapper with its message.
//! * Each restart is a new *incarnation*. Before anything else the number of the
//!   name moves on ([`crate::ports::network::Life`]): the ports of the old instance
//!   refuse to send from then on, even when it sits in a blocked thread and wakes
//!   up much later. The store fences it as soon as its successor opens the key
//!   space ([`crate::ports::store`]).
//! * [`Supervisor`] decides when to start again (`backoff.rs`), which threads
//!   still run (`workers.rs`) and who stalled (`stalls.rs`).
//!
//! Read on: `messages.rs` (what it can be asked), then `actor.rs`.

mod actor;
mod backoff;
mod body;
mod config;
mod handlers;
mod hook;
mod leaving;
mod messages;
mod stalls;
mod ward;
mod workers;

#[cfg(test)]
mod measured;
#[cfg(test)]
mod tests;

pub use actor::Supervisor;
pub use body::{Birth, LifeGuard, Spec, StartError, StartedActor, Supervised};
pub use config::SupervisorConfig;
pub use messages::{
    ActorState, ActorStatus, EventKind, Fault, Finish, Hold, Inject, Ping, Release, RestartReason,
    Shutdown, ShutdownReport, Start, StartMany, Status, Suffer, SupervisorError, SupervisorEvent,
    Watch, WhenRunning,
};
