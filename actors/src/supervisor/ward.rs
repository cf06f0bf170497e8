//! What the supervisor knows of one actor.

use super::backoff::Record;
use super::body::{Control, Factory, Spec};
use super::messages::{ActorState, ActorStatus, Ping, RestartReason};
use crate::ports::names::ActorName;
use crate::ports::network::Life;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(super) struct Ward {
    pub(super) name: ActorName,
    pub(super) make: Factory,
    pub(super) life: Life,
    /// On which thread it lives, or lived last.
    pub(super) slot: usize,
    pub(super) state: ActorState,
    /// There while it runs.
    pub(super) control: Option<Control>,
    pub(super) record: Record,
    /// Since when it runs.
    pub(super) born: Option<Instant>,
    pub(super) starts: u64,
    pub(super) last_reason: Option<RestartReason>,
    asked: u64,
    answered: Arc<AtomicU64>,
    /// For how long the newest ping (or the factory) has given no sign.
    pub(super) silent: Duration,
    /// How much time has passed since the newest ping.
    since_ping: Duration,
}

impl Ward {
    pub(super) fn new(spec: Spec, life: Life, slot: usize) -> Self {
        Self {
            name: spec.name,
            make: spec.make,
            life,
            slot,
            state: ActorState::Starting,
            control: None,
            record: Record::default(),
            born: None,
            starts: 0,
            last_reason: None,
            asked: 0,
            answered: Arc::default(),
            silent: Duration::ZERO,
            since_ping: Duration::ZERO,
        }
    }

    /// A new instance is going to start.
    pub(super) fn starting(&mut self) {
        self.state = ActorState::Starting;
        self.asked = 0;
        self.answered = Arc::default();
        self.silent = Duration::ZERO;
        self.since_ping = Duration::ZERO;
    }

    /// The instance runs.
    pub(super) fn running(&mut self, control: Control) {
        self.state = ActorState::Running;
        self.control = Some(control);
        self.born = Some(Instant::now());
        self.silent = Duration::ZERO;
        self.starts += 1;
    }

    /// Fences the instance off, lets go of it, and answers since when it ran.
    pub(super) fn ended(&mut self) -> Option<Instant> {
        self.life.advance();
        self.control = None;
        self.silent = Duration::ZERO;
        self.born.take()
    }

    /// Lets `passed` go by: the actor was silent for so much longer, or answered and is asked anew.
    /// There is never more than one ping in a mailbox.
    pub(super) fn tick(&mut self, passed: Duration, ping_every: Duration) {
        if !matches!(self.state, ActorState::Starting | ActorState::Running) {
            return;
        }
        let Some(control) = &self.control else {
            self.silent += passed;
            return;
        };
        self.since_ping += passed;
        if self.answered.load(Ordering::Acquire) != self.asked {
            self.silent += passed;
            return;
        }
        self.silent = Duration::ZERO;
        if self.since_ping >= ping_every {
            self.since_ping = Duration::ZERO;
            self.asked += 1;
            let ping = Ping {
                number: self.asked,
                answered: self.answered.clone(),
            };
            // A closed mailbox is told by the death notice, and none is full for this address.
            let _ = control.ping.try_send(ping);
        }
    }

    pub(super) fn status(&self) -> ActorStatus {
        ActorStatus {
            name: self.name,
            incarnation: self.life.current(),
            restarts: self.starts.saturating_sub(1),
            state: self.state.clone(),
            last_reason: self.last_reason.clone(),
        }
    }
}
