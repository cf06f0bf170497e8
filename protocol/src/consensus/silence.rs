//! When each peer was last heard, so that a master that has been silent for long is not waited for (spec section 2,
//! optional). Local policy: it only decides when this node gives a view up, and a quorum must do so.
//!
//! Peers are compared with each other, not with the clock: on an idle ledger everybody is silent.

use crate::consensus::catchup::PEERS_MAX;
use crate::credit::ValidatorSet;
use crate::ids::ValidatorId;
use crate::units::Millis;
use std::collections::BTreeMap;

/// Last signs of life; at most [`PEERS_MAX`].
#[derive(Clone, Debug)]
pub(super) struct Heard {
    since: Millis,
    last: BTreeMap<ValidatorId, Millis>,
}

impl Heard {
    /// Nobody has been heard before `now`.
    pub(super) fn new(now: Millis) -> Self {
        Self {
            since: now,
            last: BTreeMap::new(),
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.last.len()
    }

    /// A message of `peer` came; the transport vouches for that.
    pub(super) fn note(&mut self, peer: ValidatorId, now: Millis) {
        if self.last.len() < PEERS_MAX || self.last.contains_key(&peer) {
            self.last.insert(peer, now);
        }
    }

    /// Whether a quorum, this node included, was heard `silent` after the last word of `master`, or later.
    pub(super) fn is_silent(
        &self,
        master: ValidatorId,
        set: &ValidatorSet,
        silent: Millis,
    ) -> bool {
        let last = self.last.get(&master).copied().unwrap_or(self.since);
        let later = set.ids().filter(|id| {
            let heard = self.last.get(id);
            *id != master && heard.is_some_and(|heard| *heard >= last.plus(silent.0))
        });
        later.count().saturating_add(1) >= set.quorum()
    }
}
