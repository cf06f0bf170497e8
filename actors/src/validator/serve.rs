//! Serving snapshots: one answer to a peer at a time, read on other threads.

use super::actor::Validator;
use super::messages::Snapshot;
use super::snapshots::{Complete, Snapshots};
use super::storage::{ChainStore, StorageError};
use crate::ports::names::ActorName;
use crate::ports::network::Port;
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::ledger::snapshot::{SnapshotId, StateSync};
use kithkin_protocol::units::Height;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Most peers that are served at a time, each with one answer.
const SERVED_MAX: usize = 16;

impl Validator {
    pub(super) fn on_question(&mut self, from: ValidatorId, question: StateSync) {
        let (StateSync::GetSteps { snapshot, .. }
        | StateSync::GetManifest { snapshot }
        | StateSync::GetChunk { snapshot, .. }) = question
        else {
            return;
        };
        let Some(place) = Place::take(&self.sync.serving, from) else {
            return;
        };
        let to = ActorName::Validator(from.0);
        let Some(complete) = self.sync.complete.get(&snapshot).cloned() else {
            let gone = StateSync::Gone { snapshot };
            return self.port.tell::<Self, _>(to, Snapshot(gone));
        };
        let (store, snapshots) = (self.store.clone(), self.sync.snapshots.clone());
        let (me, port) = (self.me, self.port.clone());
        tokio::task::spawn_blocking(move || {
            let read = answer(&store, &snapshots, &complete, question);
            if let Err(error) = &read {
                tracing::error!(validator = %me, %error, "cannot read a snapshot for a peer");
            }
            let gone = StateSync::Gone { snapshot };
            let message = read.ok().flatten().unwrap_or(gone);
            // The answer may be followed by the next question at once.
            drop(place);
            send(&port, to, message);
        });
    }

    /// The newest snapshot above `height` that can be led to.
    pub(super) fn newest_above(&self, height: Height) -> Option<SnapshotId> {
        let led_to = |id: &SnapshotId| self.store.has_step(id.height.plus(1)).unwrap_or(false);
        let above = self.sync.complete.keys().rev();
        let mut above = above.take_while(|id| id.height > height);
        above.find(|id| led_to(id)).copied()
    }
}

pub(super) fn send(port: &Port, to: ActorName, message: StateSync) {
    port.tell::<Validator, _>(to, Snapshot(message));
}

/// The answer to a question about a snapshot; none when it is gone.
fn answer(
    store: &ChainStore,
    snapshots: &Snapshots,
    complete: &Complete,
    question: StateSync,
) -> Result<Option<StateSync>, StorageError> {
    Ok(match question {
        StateSync::GetSteps { snapshot, after } => {
            let steps = snapshots.steps_to(store, complete, after)?;
            (!steps.is_empty()).then_some(StateSync::Steps { snapshot, steps })
        }
        StateSync::GetManifest { .. } => {
            Some(StateSync::Manifest(Box::new(complete.manifest.clone())))
        }
        StateSync::GetChunk { snapshot, part } => {
            let entries = snapshots.part(&complete.manifest, part)?;
            entries.map(|entries| StateSync::Chunk {
                snapshot,
                part,
                entries,
            })
        }
        StateSync::Ask { .. }
        | StateSync::Offer { .. }
        | StateSync::Steps { .. }
        | StateSync::Manifest(_)
        | StateSync::Chunk { .. }
        | StateSync::Gone { .. } => None,
    })
}

/// One peer that is being served.
struct Place {
    all: Arc<Mutex<BTreeSet<ValidatorId>>>,
    peer: ValidatorId,
}

impl Place {
    fn take(all: &Arc<Mutex<BTreeSet<ValidatorId>>>, peer: ValidatorId) -> Option<Self> {
        let mut served = all.lock().unwrap_or_else(PoisonError::into_inner);
        let free = served.len() < SERVED_MAX && served.insert(peer);
        free.then(|| Self {
            all: Arc::clone(all),
            peer,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut served = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        served.remove(&self.peer);
    }
}
