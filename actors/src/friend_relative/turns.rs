//! Turns: for each id one flow at a time, and none waits for the flows of another id.

use super::desk::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Most ids that are remembered while nobody uses them.
const REMEMBERED_MAX: usize = 256;

/// Locks by id, each with what is remembered under it. What nobody uses may be forgotten; all of it can be had again.
pub(super) struct Turns<K, T = ()>(Mutex<BTreeMap<K, Arc<tokio::sync::Mutex<T>>>>);

impl<K, T> Default for Turns<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Copy, T: Default> Turns<K, T> {
    /// The lock of an id. While it is in use it is not forgotten.
    pub(super) fn of(&self, id: K) -> Arc<tokio::sync::Mutex<T>> {
        let mut turns = lock(&self.0);
        if turns.len() >= REMEMBERED_MAX && !turns.contains_key(&id) {
            let idle = turns.iter().find(|(_, turn)| Arc::strong_count(turn) == 1);
            let idle = idle.map(|(id, _)| *id);
            if let Some(id) = idle {
                turns.remove(&id);
            }
        }
        turns.entry(id).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn ids_do_not_wait_for_each_other_and_idle_ones_are_forgotten() {
        let turns: Turns<usize, u8> = Turns::default();
        let (first, second) = (turns.of(1), turns.of(2));
        let mut held = first.lock().await;
        assert!(second.try_lock().is_ok());
        assert!(turns.of(1).try_lock().is_err());
        *held = 7;
        drop(second);
        for id in 3..3 * REMEMBERED_MAX {
            turns.of(id);
        }
        assert!(lock(&turns.0).len() <= REMEMBERED_MAX);
        drop(held);
        assert_eq!(*turns.of(1).lock().await, 7, "it was in use");
        assert_eq!(*turns.of(2).lock().await, 0, "it was not");
    }
}
