//! What an onlooker sees of a cluster. Fed by the validators' sights and the supervisor's events.

use kithkin_actors::observe::{Observer, Seen, Sight};
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::supervisor::{EventKind, SupervisorEvent};
use kithkin_protocol::consensus::ViewReason;
use kithkin_protocol::credit::{CreditChange, CreditReason};
use kithkin_protocol::emergency::CaseEvent;
use kithkin_protocol::ids::{CaseId, ValidatorId};
use kithkin_protocol::ledger::{Event, What};
use kithkin_protocol::units::{Height, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{broadcast, watch};

/// Most events that are kept; older ones are dropped.
const EVENTS_KEPT: usize = 100_000;

/// An actor that was started again, or given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Who.
    pub name: ActorName,
    /// Why it had died.
    pub reason: String,
    /// When it died.
    pub at: Instant,
}

/// Where the cluster stands.
#[derive(Clone, Debug, Default)]
pub struct Glance {
    /// The newest block that any validator has made durable.
    pub newest: Option<Seen>,
    /// Height of each validator's newest durable block.
    pub heights: BTreeMap<ValidatorId, Height>,
    /// Views that were nullified: height and the view entered instead.
    pub view_changes: BTreeSet<(Height, View)>,
    /// Transactions in all blocks seen.
    pub transactions: u64,
    /// What hospitals' validators lost for their cases, in order.
    pub penalties: Vec<CreditChange>,
    /// The last step of each case.
    pub cases: BTreeMap<CaseId, CaseEvent>,
}

/// Collects; cloning shares it.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    glance: Glance,
    events: Vec<(Instant, Event)>,
    deaths: Vec<Restart>,
}

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            version: watch::Sender::new(0),
        }))
    }
}

impl Board {
    /// What validators are given to tell this board what they see.
    #[must_use]
    pub fn observer(&self) -> Observer {
        let board = self.clone();
        Observer::new(move |sight| board.see(sight))
    }

    /// Notes what the supervisor tells, until it ends.
    pub fn follow(&self, mut events: broadcast::Receiver<SupervisorEvent>) {
        let board = self.clone();
        actix::spawn(async move {
            loop {
                match events.recv().await {
                    Ok(event) => board.note(&event),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
    }

    /// Where the cluster stands now.
    #[must_use]
    pub fn glance(&self) -> Glance {
        self.state().glance.clone()
    }

    /// Height of the newest durable block.
    #[must_use]
    pub fn height(&self) -> Height {
        let state = self.state();
        state
            .glance
            .newest
            .as_ref()
            .map_or(Height(0), |seen| seen.height)
    }

    /// Everything that happened on chain, in order, each once, with the moment at which it was first seen.
    #[must_use]
    pub fn events(&self) -> Vec<(Instant, Event)> {
        self.state().events.clone()
    }

    /// Actors that died and were started again or given up.
    #[must_use]
    pub fn restarts(&self) -> Vec<Restart> {
        self.state().deaths.clone()
    }

    /// Changes whenever the board does. Ask for it before looking, then nothing is missed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    fn see(&self, sight: Sight) {
        let mut state = self.state();
        match sight {
            Sight::Block(seen, events) => state.see_block(*seen, &events),
            Sight::View {
                height,
                view,
                reason,
                ..
            } => {
                if reason == ViewReason::Nullified {
                    state.glance.view_changes.insert((height, view));
                }
            }
            Sight::Part { .. } => {}
        }
        drop(state);
        self.changed();
    }

    fn note(&self, event: &SupervisorEvent) {
        if let EventKind::Died { reason, .. } = &event.kind {
            self.state().deaths.push(Restart {
                name: event.name,
                reason: reason.to_string(),
                at: Instant::now(),
            });
        }
        self.changed();
    }

    fn changed(&self) {
        self.0.version.send_modify(|version| *version += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn see_block(&mut self, seen: Seen, events: &[Event]) {
        let glance = &mut self.glance;
        glance.heights.insert(seen.validator, seen.height);
        let newest = glance.newest.as_ref();
        if newest.is_some_and(|newest| newest.height >= seen.height) {
            return;
        }
        glance.transactions += seen.transactions as u64;
        let of_cases = seen.credit.iter().filter(|change| {
            matches!(
                change.reason,
                CreditReason::CaseUnjustified | CreditReason::ReviewOverdue
            )
        });
        glance.penalties.extend(of_cases);
        glance.newest = Some(seen);
        for event in events {
            if let What::Case { case, step, .. } = &event.what {
                glance.cases.insert(*case, *step);
            }
            self.events.push((Instant::now(), event.clone()));
        }
        if self.events.len() > EVENTS_KEPT {
            let surplus = self.events.len() - EVENTS_KEPT;
            self.events.drain(..surplus);
        }
    }
}
