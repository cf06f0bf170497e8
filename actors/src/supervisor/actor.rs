//! The supervisor: an actor on a thread of its own that keeps the other actors running.

use super::backoff::Verdict;
use super::body::{Birth, Spec, StartError, StartedActor, give_birth};
use super::config::SupervisorConfig;
use super::hook;
use super::leaving::Leaving;
use super::messages::{ActorState, EventKind, RestartReason, SupervisorError, SupervisorEvent};
use super::ward::Ward;
use super::workers::Workers;
use crate::ports::names::ActorName;
use crate::ports::network::Network;
use actix::{Actor, Addr, Arbiter, AsyncContext, Context, Handler, SpawnHandle};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, oneshot};

/// Events that a slow watcher may lag behind before it misses the oldest.
const EVENTS_MAX: usize = 8192;

/// A factory has returned.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(super) struct Born {
    pub(super) name: ActorName,
    pub(super) incarnation: u64,
    pub(super) outcome: Result<StartedActor, StartError>,
}

/// An instance has come to its end.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(super) struct Ended {
    pub(super) name: ActorName,
    pub(super) incarnation: u64,
    pub(super) reason: RestartReason,
}

/// Who waits until certain actors run.
pub(super) struct Waiter {
    pub(super) names: BTreeSet<ActorName>,
    pub(super) reply: oneshot::Sender<Result<(), SupervisorError>>,
}

/// Keeps actors running. See [`crate::supervisor`].
pub struct Supervisor {
    pub(super) config: SupervisorConfig,
    pub(super) network: Network,
    pub(super) workers: Workers,
    pub(super) wards: BTreeMap<ActorName, Ward>,
    pub(super) leaving: Option<Leaving>,
    pub(super) tick: Option<SpawnHandle>,
    pub(super) last_tick: Instant,
    pub(super) waiters: Vec<Waiter>,
    pub(super) events: broadcast::Sender<SupervisorEvent>,
}

impl Supervisor {
    /// Starts a supervisor on a thread of its own, with its threads for actors. Call it on a thread
    /// of an actix `System` (or of one of its arbiters).
    ///
    /// # Errors
    ///
    /// The operating system has no thread left.
    ///
    /// # Panics
    ///
    /// Outside of an actix `System`.
    pub fn launch(config: SupervisorConfig, network: Network) -> io::Result<Addr<Self>> {
        hook::install();
        let supervisor = Self {
            workers: Workers::start(config.arbiters, config.tick())?,
            config,
            network,
            wards: BTreeMap::new(),
            leaving: None,
            tick: None,
            last_tick: Instant::now(),
            waiters: Vec::new(),
            events: broadcast::channel(EVENTS_MAX).0,
        };
        let own = Arbiter::try_new()?;
        Ok(Self::start_in_arbiter(&own.handle(), |ctx| {
            // No limit: a death notice must never be dropped, and whoever writes here is ours.
            ctx.set_mailbox_capacity(0);
            supervisor
        }))
    }

    pub(super) fn admit(
        &mut self,
        specs: Vec<Spec>,
        ctx: &Context<Self>,
    ) -> Result<(), SupervisorError> {
        if self.leaving.is_some() {
            return Err(SupervisorError::ShuttingDown);
        }
        let mut names = BTreeSet::new();
        for spec in &specs {
            if self.wards.contains_key(&spec.name) || !names.insert(spec.name) {
                return Err(SupervisorError::Taken { name: spec.name });
            }
        }
        for spec in specs {
            let (name, life) = (spec.name, self.network.life(spec.name));
            let ward = Ward::new(spec, life, self.workers.next());
            self.wards.insert(name, ward);
            self.bring_up(name, ctx);
        }
        Ok(())
    }

    pub(super) fn ward(&mut self, name: ActorName) -> Result<&mut Ward, SupervisorError> {
        self.wards
            .get_mut(&name)
            .ok_or(SupervisorError::Unknown { name })
    }

    /// Runs the factory on the actor's thread. [`Born`] tells how it went.
    pub(super) fn bring_up(&mut self, name: ActorName, ctx: &Context<Self>) {
        let Some(ward) = self.wards.get_mut(&name) else {
            return;
        };
        ward.starting();
        let Some(worker) = self.workers.at(ward.slot) else {
            return;
        };
        let (life, pulse) = (ward.life.clone(), worker.pulse.clone());
        let birth = Birth::new(name, life, &self.network, pulse, ctx.address());
        let make = ward.make.clone();
        if !worker.run(move || give_birth(&make, birth)) {
            // The thread is gone, which only the end of the whole system brings about.
            tracing::error!(actor = %name, "its thread is gone");
        }
    }

    /// An instance is dead, or as good as dead: fences it off and decides what comes next.
    /// `blamed`: whether it counts as a death of this actor, not as a move away from a blocked thread.
    pub(super) fn bury(
        &mut self,
        name: ActorName,
        reason: RestartReason,
        blamed: bool,
        ctx: &mut Context<Self>,
    ) {
        let limits = self.config.limits();
        let Some(ward) = self.wards.get_mut(&name) else {
            return;
        };
        let incarnation = ward.life.current();
        let born = ward.ended();
        ward.last_reason = Some(reason.clone());
        let verdict = if blamed {
            ward.record.death(&limits, born, Instant::now())
        } else {
            Verdict::RestartAfter(Duration::ZERO)
        };
        let next = ward.life.current();
        self.network.book().remove(name);
        tracing::warn!(actor = %name, incarnation, %reason, ?verdict, "actor died");
        self.tell(
            name,
            EventKind::Died {
                reason: reason.clone(),
                incarnation,
            },
        );
        match verdict {
            Verdict::RestartAfter(pause) => self.restart_after(name, pause, next, ctx),
            Verdict::GiveUp { deaths } => self.give_up(name, reason, deaths),
        }
    }

    fn restart_after(
        &mut self,
        name: ActorName,
        pause: Duration,
        incarnation: u64,
        ctx: &mut Context<Self>,
    ) {
        let Some(ward) = self.wards.get_mut(&name) else {
            return;
        };
        let until = Instant::now() + pause;
        ward.state = ActorState::BackingOff { until };
        ctx.run_later(pause, move |this, ctx| {
            // Meanwhile it may have been held, released and started, or the program may be ending.
            let waits = this.wards.get(&name).is_some_and(|ward| {
                ward.life.is(incarnation) && ward.state == ActorState::BackingOff { until }
            });
            if waits && this.leaving.is_none() {
                this.bring_up(name, ctx);
            }
        });
    }

    fn give_up(&mut self, name: ActorName, reason: RestartReason, deaths: usize) {
        tracing::error!(actor = %name, deaths, %reason, "given up: it will not be started again");
        if let Some(ward) = self.wards.get_mut(&name) {
            ward.state = ActorState::GivenUp {
                reason: reason.clone(),
            };
        }
        self.tell(name, EventKind::GivenUp { reason, deaths });
        let (fail, keep) = core::mem::take(&mut self.waiters)
            .into_iter()
            .partition(|waiter| waiter.names.contains(&name));
        self.waiters = keep;
        let fail: Vec<Waiter> = fail;
        for waiter in fail {
            let _ = waiter.reply.send(Err(SupervisorError::GivenUp { name }));
        }
    }

    /// Nobody may be listening, which is no fault.
    pub(super) fn tell(&self, name: ActorName, kind: EventKind) {
        let _ = self.events.send(SupervisorEvent { name, kind });
    }

    fn on_born(&mut self, born: Born, ctx: &mut Context<Self>) {
        let current = self
            .wards
            .get_mut(&born.name)
            .filter(|ward| ward.life.is(born.incarnation) && ward.state == ActorState::Starting);
        let (ward, started) = match (current, born.outcome) {
            (Some(ward), Ok(started)) => (ward, started),
            (Some(_), Err(error)) => {
                let reason = RestartReason::StartFailed {
                    message: error.message,
                };
                return self.bury(born.name, reason, true, ctx);
            }
            // Its thread was blocked, it was held, or the program ends: it is fenced off already.
            (None, _) => return,
        };
        ward.running(started.control);
        let kind = match ward.starts {
            1 => EventKind::Started,
            _ => EventKind::Restarted {
                incarnation: born.incarnation,
            },
        };
        self.network.book().point_entry(born.name, started.entry);
        tracing::debug!(actor = %born.name, incarnation = born.incarnation, "actor runs");
        self.tell(born.name, kind);
        for waiter in &mut self.waiters {
            waiter.names.remove(&born.name);
        }
        for waiter in self
            .waiters
            .extract_if(.., |waiter| waiter.names.is_empty())
        {
            let _ = waiter.reply.send(Ok(()));
        }
    }

    fn on_ended(&mut self, ended: Ended, ctx: &mut Context<Self>) {
        let Some(ward) = self.wards.get_mut(&ended.name) else {
            return;
        };
        if !ward.life.is(ended.incarnation) || ward.control.is_none() {
            // An instance that was fenced off before it ended.
            return;
        }
        if self.leaving.is_none() {
            return self.bury(ended.name, ended.reason, true, ctx);
        }
        if let RestartReason::Panicked { message } = &ended.reason {
            tracing::error!(actor = %ended.name, message, "panicked while it was finishing");
        }
        ward.ended();
        ward.state = ActorState::Stopped;
        self.network.book().remove(ended.name);
        self.left(ended.name, ctx);
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.last_tick = Instant::now();
        self.tick = Some(ctx.run_interval(self.config.tick(), Self::on_tick));
    }
}

impl Handler<Born> for Supervisor {
    type Result = ();

    fn handle(&mut self, born: Born, ctx: &mut Self::Context) {
        self.on_born(born, ctx);
    }
}

impl Handler<Ended> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Self::Context) {
        self.on_ended(ended, ctx);
    }
}
