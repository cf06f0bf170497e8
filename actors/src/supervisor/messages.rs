//! What the supervisor can be asked and told, and what it asks of the actors.

use super::body::Spec;
use crate::ports::names::ActorName;
use actix::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// Driver -> Supervisor. Start one actor and keep it running. Answered before it runs: see [`WhenRunning`].
#[derive(Message)]
#[rtype(result = "Result<(), SupervisorError>")]
pub struct Start {
    /// What to start.
    pub spec: Spec,
}

/// Driver -> Supervisor. Start several actors; none when one of the names is taken.
#[derive(Message)]
#[rtype(result = "Result<(), SupervisorError>")]
pub struct StartMany {
    /// What to start.
    pub specs: Vec<Spec>,
}

/// Driver -> Supervisor. Answered when all these actors run; an error as soon as one of them is
/// given up. Put a time limit around it: an actor that is held
/// never comes.
#[derive(Message)]
#[rtype(result = "Result<(), SupervisorError>")]
pub struct WhenRunning {
    /// The actors to wait for; none means all.
    pub names: Vec<ActorName>,
}

/// Driver -> Supervisor. Do harm to an actor, as scenarios need it.
#[derive(Message)]
#[rtype(result = "Result<(), SupervisorError>")]
pub struct Inject {
    /// Whom.
    pub name: ActorName,
    /// What.
    pub fault: Fault,
}

/// Driver -> Supervisor. Stop an actor as a crash would, and keep it stopped until [`Release`]. From the
/// answer on it cannot send and its name has no address; it ends when its thread gets to it.
#[derive(Message)]
#[rtype(result = "Result<(), SupervisorError>")]
pub struct Hold {
    /// Whom.
    pub name: ActorName,
}

/// Driver -> Supervisor. Start an actor again that is held or was given up, with a clean record.
#[derive(Message)]
#[rtype(result = "Result<(), SupervisorError>")]
pub struct Release {
    /// Whom.
    pub name: ActorName,
}

/// Driver -> Supervisor. How every actor is, in the order of the names.
#[derive(Message)]
#[rtype(result = "Vec<ActorStatus>")]
pub struct Status;

/// Driver -> Supervisor. Tell of every [`SupervisorEvent`] from now on. Who reads too
/// slowly misses the oldest events (`Lagged`).
#[derive(Message)]
#[rtype(result = "broadcast::Receiver<SupervisorEvent>")]
pub struct Watch;

/// Driver -> Supervisor. Stop everything in order: patients, kin and hospitals, then leaders, then
/// validators. Each gets a [`Finish`]; who has not ended in time is left behind, fenced off.
#[derive(Message)]
#[rtype(result = "ShutdownReport")]
pub struct Shutdown;

/// How a shutdown went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Who ended in time, in the order in which they did.
    pub finished: Vec<ActorName>,
    /// Who did not.
    pub abandoned: Vec<ActorName>,
}

/// Supervisor -> any actor. Shows that the mailbox is served.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ping {
    pub(super) number: u64,
    pub(super) answered: Arc<AtomicU64>,
}

impl Ping {
    /// Answers it. Called by what [`crate::supervised!`] writes.
    pub fn answer(&self) {
        self.answered.store(self.number, Ordering::Release);
    }
}

/// Supervisor -> any actor. Suffer a fault, now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Suffer(pub Fault);

/// Supervisor -> any actor. Write down what must not be lost and stop: [`super::Supervised::finish`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Finish;

/// Harm that a scenario does to an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its handler panics.
    Panic,
    /// It stops.
    Stop,
    /// It blocks its thread for so long.
    Stall(Duration),
}

/// Why an instance of an actor came to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestartReason {
    /// It panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
    /// It stopped without being asked.
    #[error("stopped")]
    Stopped,
    /// It did not serve its mailbox. Also said of its neighbours on the blocked thread, who are moved with it.
    #[error("stalled")]
    Stalled,
    /// Its factory failed or panicked.
    #[error("did not start: {message}")]
    StartFailed {
        /// What the factory said.
        message: String,
    },
}

/// How an actor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorState {
    /// Its factory is at work.
    Starting,
    /// It has an address.
    Running,
    /// It died and waits for its next start.
    BackingOff {
        /// When that is.
        until: Instant,
    },
    /// It is kept stopped by [`Hold`].
    Held,
    /// It died too often.
    GivenUp {
        /// The last time.
        reason: RestartReason,
    },
    /// The supervisor is shutting down and the actor has ended.
    Stopped,
}

/// One line of [`Status`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorStatus {
    /// Who.
    pub name: ActorName,
    /// The newest incarnation, from 1. One that waits for its start counts.
    pub incarnation: u64,
    /// How often it was started again.
    pub restarts: u64,
    /// How it is.
    pub state: ActorState,
    /// Why it died the last time.
    pub last_reason: Option<RestartReason>,
}

/// Something happened to an actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorEvent {
    /// To whom.
    pub name: ActorName,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// It runs for the first time; its name has its address already.
    Started,
    /// An instance came to its end.
    Died {
        /// Why.
        reason: RestartReason,
        /// Which one.
        incarnation: u64,
    },
    /// It runs again; its name has the new address already.
    Restarted {
        /// The new number.
        incarnation: u64,
    },
    /// It will not be started again.
    GivenUp {
        /// The last death.
        reason: RestartReason,
        /// How many deaths were too many.
        deaths: usize,
    },
    /// It was stopped on demand.
    Held,
}

/// Why the supervisor refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SupervisorError {
    /// Nobody has this name.
    #[error("no actor is named {name}")]
    Unknown {
        /// The name.
        name: ActorName,
    },
    /// The name is taken.
    #[error("there is an actor named {name} already")]
    Taken {
        /// The name.
        name: ActorName,
    },
    /// The actor does not run at the moment.
    #[error("{name} does not run at the moment")]
    NotRunning {
        /// The name.
        name: ActorName,
    },
    /// Only an actor that is held or given up can be released.
    #[error("{name} is not held")]
    NotHeld {
        /// The name.
        name: ActorName,
    },
    /// The actor died too often and will not be started again.
    #[error("{name} was given up")]
    GivenUp {
        /// The name.
        name: ActorName,
    },
    /// Everything is being stopped.
    #[error("the supervisor is shutting down")]
    ShuttingDown,
}
