//! The supervisor: an actor on a thread of its own that keeps the other actors running.

use super::backoff::{Limits, Verdict};
use super::body::{Birth, Spec, StartError, StartedActor, give_birth};
use super::hook;
use super::leaving::Leaving;
use super::messages::{
    ActorState, ActorStatus, EventKind, Hold, Inject, Release, RestartReason, Shutdown,
    ShutdownReport, Start, StartMany, Status, Suffer, SupervisorError, SupervisorEvent, Watch,
    WhenRunning,
};
use super::ward::Ward;
use super::workers::Workers;
use crate::ports::names::ActorName;
use crate::ports::network::Network;
use actix::{
    Actor, Addr, Arbiter, AsyncContext, Context, Handler, MessageResult, ResponseFuture,
    SpawnHandle,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, oneshot};

/// Events that a slow watcher may lag behind before it misses the oldest.
const EVENTS_MAX: usize = 8192;

/// How the supervisor works. The defaults are for people's machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorConfig {
    /// Threads for actors. Default: one for each core.
    pub arbiters: usize,
    /// The pause before the first restart; it doubles with each further one. Default 50 ms.
    pub backoff_first: Duration,
    /// The longest pause. Default 5 s.
    pub backoff_max: Duration,
    /// After so long without a death the pause starts over. Default 60 s.
    pub healthy_after: Duration,
    /// So many deaths within [`Self::deaths_window`] and an actor is given up. Default 8.
    pub deaths_max: usize,
    /// See [`Self::deaths_max`]. Default 60 s.
    pub deaths_window: Duration,
    /// A thread whose heartbeat stands still for so long is blocked, and its actors are moved.
    /// Default 5 s. An actor that leaves its mailbox unserved for six times as long on a thread
    /// that is not blocked is started anew as well.
    pub stall_after: Duration,
    /// How long the actors of one phase of the shutdown have to finish. Default 5 s.
    pub finish_within: Duration,
}

impl Default for SupervisorConfig {
    fn default() -> Self {
        Self {
            arbiters: std::thread::available_parallelism().map_or(1, usize::from),
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            healthy_after: Duration::from_secs(60),
            deaths_max: 8,
            deaths_window: Duration::from_secs(60),
            stall_after: Duration::from_secs(5),
            finish_within: Duration::from_secs(5),
        }
    }
}

impl SupervisorConfig {
    fn limits(&self) -> Limits {
        Limits {
            first: self.backoff_first,
            max: self.backoff_max,
            healthy_after: self.healthy_after,
            deaths_max: self.deaths_max,
            window: self.deaths_window,
        }
    }

    /// How often the supervisor looks, and the threads' hearts beat.
    fn tick(&self) -> Duration {
        (self.stall_after / 16).clamp(Duration::from_millis(5), Duration::from_millis(500))
    }
}

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
struct Waiter {
    names: BTreeSet<ActorName>,
    reply: oneshot::Sender<Result<(), SupervisorError>>,
}

/// Keeps actors running. See [`crate::supervisor`].
pub struct Supervisor {
    pub(super) config: SupervisorConfig,
    pub(super) network: Network,
    pub(super) workers: Workers,
    pub(super) wards: BTreeMap<ActorName, Ward>,
    pub(super) leaving: Option<Leaving>,
    pub(super) tick: Option<SpawnHandle>,
    last_tick: Instant,
    waiters: Vec<Waiter>,
    events: broadcast::Sender<SupervisorEvent>,
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

    fn admit(&mut self, specs: Vec<Spec>, ctx: &Context<Self>) -> Result<(), SupervisorError> {
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

    fn ward(&mut self, name: ActorName) -> Result<&mut Ward, SupervisorError> {
        self.wards
            .get_mut(&name)
            .ok_or(SupervisorError::Unknown { name })
    }

    /// Runs the factory on the actor's thread. [`Born`] tells how it went.
    fn bring_up(&mut self, name: ActorName, ctx: &Context<Self>) {
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
    fn bury(
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
        ward.life.advance();
        let born = ward.born.take();
        if let Some(control) = ward.control.take() {
            control.dismiss();
        }
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
    fn tell(&self, name: ActorName, kind: EventKind) {
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
            (None, Ok(started)) => return started.control.dismiss(),
            (None, Err(_)) => return,
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
        ward.life.advance();
        ward.control = None;
        ward.state = ActorState::Stopped;
        self.network.book().remove(ended.name);
        self.left(ended.name, ctx);
    }

    /// Looks for threads that are blocked and mailboxes that nobody serves.
    fn on_tick(&mut self, ctx: &mut Context<Self>) {
        let (now, tick) = (Instant::now(), self.config.tick());
        // What we slept through ourselves is nobody's fault: a late tick counts for two at most.
        let passed = now.duration_since(self.last_tick).min(tick * 2);
        self.last_tick = now;
        let stall_after = self.config.stall_after;
        for ward in self.wards.values_mut() {
            ward.tick(passed, stall_after / 4);
        }
        for slot in self.workers.look(passed, stall_after) {
            self.move_away(slot, ctx);
        }
        let hung: Vec<_> = self
            .wards
            .values()
            .filter(|ward| ward.silent >= stall_after * 6)
            .map(|ward| ward.name)
            .collect();
        for name in hung {
            self.stalled(name, true, ctx);
        }
    }

    /// A thread is blocked. Its actors go to a fresh one, provided that one of them was silent for
    /// so long that several pings would have been due.
    fn move_away(&mut self, slot: usize, ctx: &mut Context<Self>) {
        let wards = || self.wards.values().filter(|ward| ward.slot == slot);
        if !wards().any(|ward| ward.silent >= self.config.stall_after / 2) {
            return;
        }
        let alive = |ward: &&Ward| matches!(ward.state, ActorState::Running | ActorState::Starting);
        // Whose code runs on that thread now is to blame; the others only happen to live there.
        let pulse = self.workers.at(slot).map(|worker| worker.pulse.clone());
        let moved: Vec<_> = wards()
            .filter(alive)
            .map(|ward| {
                (
                    ward.name,
                    pulse.as_ref().is_some_and(|pulse| pulse.runs(ward.name)),
                )
            })
            .collect();
        tracing::error!(
            thread = slot,
            ?moved,
            "a thread is blocked: its actors move to a fresh one"
        );
        if let Err(error) = self.workers.replace(slot) {
            // Without a thread there is nothing to move to; the next look tries again.
            tracing::error!(%error, "no fresh thread");
            return;
        }
        for (name, blamed) in moved {
            self.stalled(name, blamed, ctx);
        }
    }

    fn stalled(&mut self, name: ActorName, blamed: bool, ctx: &mut Context<Self>) {
        if self.leaving.is_none() {
            self.bury(name, RestartReason::Stalled, blamed, ctx);
        }
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

impl Handler<Start> for Supervisor {
    type Result = Result<(), SupervisorError>;

    fn handle(&mut self, start: Start, ctx: &mut Self::Context) -> Self::Result {
        self.admit(vec![start.spec], ctx)
    }
}

impl Handler<StartMany> for Supervisor {
    type Result = Result<(), SupervisorError>;

    fn handle(&mut self, start: StartMany, ctx: &mut Self::Context) -> Self::Result {
        self.admit(start.specs, ctx)
    }
}

impl Handler<WhenRunning> for Supervisor {
    type Result = ResponseFuture<Result<(), SupervisorError>>;

    fn handle(&mut self, when: WhenRunning, _: &mut Self::Context) -> Self::Result {
        let mut names: BTreeSet<_> = when.names.into_iter().collect();
        if names.is_empty() {
            names.extend(self.wards.keys());
        }
        let mut refused = None;
        names.retain(
            |&name| match self.wards.get(&name).map(|ward| &ward.state) {
                Some(ActorState::Running) => false,
                Some(ActorState::GivenUp { .. }) => {
                    refused = Some(SupervisorError::GivenUp { name });
                    true
                }
                Some(_) => true,
                None => {
                    refused = Some(SupervisorError::Unknown { name });
                    true
                }
            },
        );
        let (reply, answer) = oneshot::channel();
        match refused {
            Some(error) => {
                let _ = reply.send(Err(error));
            }
            None if names.is_empty() => {
                let _ = reply.send(Ok(()));
            }
            None => self.waiters.push(Waiter { names, reply }),
        }
        Box::pin(async move { answer.await.unwrap_or(Err(SupervisorError::ShuttingDown)) })
    }
}

impl Handler<Inject> for Supervisor {
    type Result = Result<(), SupervisorError>;

    fn handle(&mut self, inject: Inject, _: &mut Self::Context) -> Self::Result {
        let name = inject.name;
        let control = &self.ward(name)?.control;
        let control = control
            .as_ref()
            .ok_or(SupervisorError::NotRunning { name })?;
        let sent = control.suffer.try_send(Suffer(inject.fault));
        sent.map_err(|_| SupervisorError::NotRunning { name })
    }
}

impl Handler<Hold> for Supervisor {
    type Result = Result<(), SupervisorError>;

    fn handle(&mut self, hold: Hold, _: &mut Self::Context) -> Self::Result {
        if self.leaving.is_some() {
            return Err(SupervisorError::ShuttingDown);
        }
        let ward = self.ward(hold.name)?;
        ward.state = ActorState::Held;
        ward.life.advance();
        ward.born = None;
        if let Some(control) = ward.control.take() {
            control.dismiss();
        }
        self.network.book().remove(hold.name);
        self.tell(hold.name, EventKind::Held);
        Ok(())
    }
}

impl Handler<Release> for Supervisor {
    type Result = Result<(), SupervisorError>;

    fn handle(&mut self, release: Release, ctx: &mut Self::Context) -> Self::Result {
        if self.leaving.is_some() {
            return Err(SupervisorError::ShuttingDown);
        }
        let name = release.name;
        let ward = self.ward(name)?;
        if !matches!(ward.state, ActorState::Held | ActorState::GivenUp { .. }) {
            return Err(SupervisorError::NotHeld { name });
        }
        ward.record = Default::default();
        self.bring_up(name, ctx);
        Ok(())
    }
}

impl Handler<Status> for Supervisor {
    type Result = MessageResult<Status>;

    fn handle(&mut self, _: Status, _: &mut Self::Context) -> Self::Result {
        let lines: Vec<ActorStatus> = self.wards.values().map(Ward::status).collect();
        MessageResult(lines)
    }
}

impl Handler<Watch> for Supervisor {
    type Result = MessageResult<Watch>;

    fn handle(&mut self, _: Watch, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.events.subscribe())
    }
}

impl Handler<Shutdown> for Supervisor {
    type Result = ResponseFuture<ShutdownReport>;

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) -> Self::Result {
        let answer = self.leave(ctx);
        Box::pin(async move { answer.await.unwrap_or_default() })
    }
}
