//! When each peer was last heard, so that a master that is silent is not waited for (spec section 2, optional, and ADR 32).
//! Local policy: it only decides when this node gives a view up, and a quorum must do so.
//!
//! Two rules. A master that said nothing in a view of its own that a quorum nullified is not waited for again until it says
//! something. And one that has been silent for long while a quorum was heard is not waited for at all: peers are compared
//! with each other, not with the clock, because on an idle ledger everybody is silent.

use crate::consensus::catchup::PEERS_MAX;
use crate::credit::ValidatorSet;
use crate::ids::ValidatorId;
use crate::units::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// Last signs of life; at most [`PEERS_MAX`].
#[derive(Clone, Debug)]
pub(super) struct Heard {
    since: Millis,
    last: BTreeMap<ValidatorId, Millis>,
    /// Masters that let a view of theirs pass without a word, and have said none since; at most [`PEERS_MAX`].
    passed: BTreeSet<ValidatorId>,
}

impl Heard {
    /// Nobody has been heard before `now`.
    pub(super) fn new(now: Millis) -> Self {
        Self {
            since: now,
            last: BTreeMap::new(),
            passed: BTreeSet::new(),
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.last.len().max(self.passed.len())
    }

    /// A message of `peer` came; the transport vouches for that.
    pub(super) fn note(&mut self, peer: ValidatorId, now: Millis) {
        self.passed.remove(&peer);
        if self.last.len() < PEERS_MAX || self.last.contains_key(&peer) {
            self.last.insert(peer, now);
        }
    }

    /// A quorum nullified a view that this node had waited in since `since`.
    pub(super) fn let_pass(&mut self, master: ValidatorId, since: Millis) {
        let is_silent = self.last.get(&master).is_none_or(|last| *last < since);
        if is_silent && self.passed.len() < PEERS_MAX {
            self.passed.insert(master);
        }
    }

    /// Whether `master` let its last view pass, or a quorum, this node included, was heard `silent` after the last word of `master`, or later.
    pub(super) fn is_silent(
        &self,
        master: ValidatorId,
        set: &ValidatorSet,
        silent: Millis,
    ) -> bool {
        if self.passed.contains(&master) {
            return true;
        }
        let last = self.last.get(&master).copied().unwrap_or(self.since);
        let later = set.ids().filter(|id| {
            let heard = self.last.get(id);
            *id != master && heard.is_some_and(|heard| *heard >= last.plus(silent.0))
        });
        later.count().saturating_add(1) >= set.quorum()
    }
}
