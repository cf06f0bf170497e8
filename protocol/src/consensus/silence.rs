//! When each peer was last heard, so that a master that is silent is not waited for (spec section 2, optional, and ADR 32).
//! Local policy: it only decides when this node gives a view up, and a quorum must do so.
//!
//! Three rules. A master that said nothing in a view of its own that a quorum nullified is not waited for again until it says
//! something. One that let two whole heights pass without a word, and for so long as no healthy node pauses, is not waited for,
//! when a quorum took part in the second or later. And neither is one that has been silent for long while a quorum was heard.
//! Peers are compared with each other, not with the clock, because on an idle ledger everybody is silent; and a pause counts only
//! while this node waits in a view.

use crate::consensus::catchup::PEERS_MAX;
use crate::consensus::config::Timing;
use crate::credit::ValidatorSet;
use crate::ids::ValidatorId;
use crate::units::{Height, Millis};
use std::collections::{BTreeMap, BTreeSet};

/// A message that came: when, how long this node had waited in views until then, and at which height it was.
#[derive(Clone, Copy, Debug)]
struct Sign {
    at: Millis,
    waited: Millis,
    height: Height,
}

/// How long this node has waited in views, all in all: while the ledger is idle nothing is expected of anybody.
#[derive(Clone, Copy, Debug, Default)]
struct Waited {
    before: Millis,
    since: Option<Millis>,
}

impl Waited {
    fn until(&self, now: Millis) -> Millis {
        let since = self.since.unwrap_or(now);
        self.before.plus(now.0.saturating_sub(since.0))
    }
}

/// Last signs of life; at most [`PEERS_MAX`].
#[derive(Clone, Debug)]
pub(super) struct Heard {
    since: Sign,
    waited: Waited,
    last: BTreeMap<ValidatorId, Sign>,
    /// Masters that let a view of theirs pass without a word, and have said none since; at most [`PEERS_MAX`].
    passed: BTreeSet<ValidatorId>,
}

impl Heard {
    /// Nobody has been heard before `at`.
    pub(super) fn new(at: Millis, height: Height) -> Self {
        Self {
            since: Sign {
                at,
                waited: Millis(0),
                height,
            },
            waited: Waited::default(),
            last: BTreeMap::new(),
            passed: BTreeSet::new(),
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.last.len().max(self.passed.len())
    }

    /// A message of `peer` came; the transport vouches for that. `height` is what this node agrees on.
    pub(super) fn note(&mut self, peer: ValidatorId, at: Millis, height: Height) {
        self.passed.remove(&peer);
        if self.last.len() < PEERS_MAX || self.last.contains_key(&peer) {
            let waited = self.waited.until(at);
            self.last.insert(peer, Sign { at, waited, height });
        }
    }

    /// This node waits in a view from now on.
    pub(super) fn wait(&mut self, now: Millis) {
        self.waited.since.get_or_insert(now);
    }

    /// This node waits for nothing from now on.
    pub(super) fn rest(&mut self, now: Millis) {
        let before = self.waited.until(now);
        self.waited = Waited {
            before,
            since: None,
        };
    }

    /// A quorum nullified a view that this node had waited in since `since`.
    pub(super) fn let_pass(&mut self, master: ValidatorId, since: Millis) {
        let is_silent = self.last.get(&master).is_none_or(|last| last.at < since);
        if is_silent && self.passed.len() < PEERS_MAX {
            self.passed.insert(master);
        }
    }

    /// Whether `master` of a view of `height` is not worth waiting for.
    pub(super) fn is_silent(
        &self,
        master: ValidatorId,
        set: &ValidatorSet,
        height: Height,
        now: Millis,
        timing: &Timing,
    ) -> bool {
        if self.passed.contains(&master) {
            return true;
        }
        let last = self.last.get(&master).copied().unwrap_or(self.since);
        let quorum_since = |at: Millis, height: Height| {
            let later = set.ids().filter(|id| {
                let sign = self.last.get(id);
                *id != master && sign.is_some_and(|sign| sign.at >= at && sign.height >= height)
            });
            later.count().saturating_add(1) >= set.quorum()
        };
        // A healthy node of a large set on a busy machine may be late by a height.
        let missed = last.height.plus(2);
        let is_due =
            height > missed && self.waited.until(now) >= last.waited.plus(timing.pause().0);
        is_due && quorum_since(last.at, missed)
            || quorum_since(last.at.plus(timing.silent_after().0), Height(0))
    }
}
