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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most peers that are served at a time, each with one answer; others wait, each with one question.
const SERVED_MAX: usize = 16;

impl Validator {
    pub(super) fn on_question(&mut self, from: ValidatorId, question: StateSync) {
        let (StateSync::GetSteps { snapshot, .. }
        | StateSync::GetManifest { snapshot }
        | StateSync::GetChunk { snapshot, .. }) = question
        else {
            return;
        };
        let Some(place) = self.sync.serving.take(from) else {
            return;
        };
        let to = ActorName::Validator(from.0);
        let Some(complete) = self.sync.complete.get(&snapshot).cloned() else {
            let gone = StateSync::Gone { snapshot };
            return self.port.tell::<Self, _>(to, Snapshot(gone));
        };
        let (store, snapshots) = (self.store.clone(), self.sync.snapshots.clone());
        let (me, port) = (self.me, self.port.clone());
        tokio::spawn(async move {
            let turn = place.turn().await;
            tokio::task::spawn_blocking(move || {
                let read = answer(&store, &snapshots, &complete, question);
                if let Err(error) = &read {
                    tracing::error!(validator = %me, %error, "cannot read a snapshot for a peer");
                }
                let gone = StateSync::Gone { snapshot };
                let message = read.ok().flatten().unwrap_or(gone);
                // The answer may be followed by the next question at once.
                drop((place, turn));
                send(&port, to, message);
            });
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

/// Who is being served or waits for it: each peer once.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Mutex<BTreeSet<ValidatorId>>>,
    free: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            all: Arc::default(),
            free: Arc::new(Semaphore::new(SERVED_MAX)),
        }
    }
}

impl Places {
    /// A place in the queue; none for a peer that has one.
    fn take(&self, peer: ValidatorId) -> Option<Place> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(peer).then(|| Place {
            all: self.clone(),
            peer,
        })
    }
}

/// One peer that is being served, or waits for it.
struct Place {
    all: Places,
    peer: ValidatorId,
}

impl Place {
    /// Waits for its turn, which ends with what is returned.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        self.all.free.clone().acquire_owned().await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let all = self.all.all.lock();
        all.unwrap_or_else(PoisonError::into_inner)
            .remove(&self.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// Who asks while as many are served as may be waits, instead of being taken for answered.
    #[test]
    fn the_seventeenth_waits_for_its_turn() {
        let places = Places::default();
        let take = |n| places.take(ValidatorId(n));
        let all: Vec<Place> = (0..17).map(|n| take(n).expect("a place")).collect();
        assert!(take(3).is_none(), "one answer at a time");
        let mut context = Context::from_waker(Waker::noop());
        let mut turns = Vec::new();
        for place in &all[..16] {
            let Poll::Ready(turn) = pin!(place.turn()).poll(&mut context) else {
                panic!("there is room");
            };
            turns.push(turn);
        }
        let mut last = pin!(all[16].turn());
        assert!(last.as_mut().poll(&mut context).is_pending());
        turns.pop();
        assert!(last.as_mut().poll(&mut context).is_ready());
    }
}
