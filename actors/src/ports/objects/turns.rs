//! Turns: whoever writes or removes an object waits until whoever did so before is done.

use object_store::path::Path;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The turn of one object: who holds its lock.
pub(super) type Turn = Arc<tokio::sync::Mutex<()>>;

/// The turns of objects that somebody is at work on. There are no others: as many as writes are under way.
#[derive(Default)]
pub(super) struct Turns(Mutex<BTreeMap<Path, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    pub(super) fn of(&self, path: &Path) -> Turn {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(path).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Turn::default();
        turns.insert(path.clone(), Arc::downgrade(&turn));
        turn
    }
}
