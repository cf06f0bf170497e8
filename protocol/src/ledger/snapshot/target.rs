//! One snapshot that is being fetched: how far it has come, and what is needed next. Whom to turn to is in [`super::fetch`].

use super::fetch::{Kept, Order, WINDOW};
use super::manifest::{Manifest, SnapshotId};
use super::message::StateSync;
use crate::credit::Electorate;
use crate::crypto::Digest;
use crate::ids::ValidatorId;
use crate::ledger::State;
use crate::ledger::light::{Follower, STEPS_MAX, Step};
use crate::units::{Height, Millis};
use std::collections::{BTreeMap, BTreeSet};

/// What a peer was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Steps,
    Manifest,
    Part(u32),
}

/// What is known of the snapshot, and who is asked for what.
pub(super) struct Target {
    pub(super) id: SnapshotId,
    follower: Follower,
    steps: usize,
    /// The step at the height after the snapshot's, and the root that it states.
    pub(super) last: Option<(Step, Digest)>,
    pub(super) manifest: Option<Manifest>,
    /// Parts that nobody was asked for, or in vain.
    pub(super) missing: BTreeSet<u32>,
    pub(super) asked: BTreeMap<ValidatorId, (Wanted, Millis)>,
    pub(super) silent: BTreeSet<ValidatorId>,
    /// Parts that wait for the disk.
    pub(super) storing: BTreeSet<u32>,
}

impl Target {
    /// Nothing is known yet; `follower` stands at the genesis.
    pub(super) fn new(id: SnapshotId, follower: Follower) -> Self {
        Self {
            id,
            follower,
            steps: 0,
            last: None,
            manifest: None,
            missing: BTreeSet::new(),
            asked: BTreeMap::new(),
            silent: BTreeSet::new(),
            storing: BTreeSet::new(),
        }
    }

    /// Follows steps as far as they hold, are needed and lead towards the snapshot; returns those.
    pub(super) fn follow(&mut self, steps: Vec<Step>, is_needed: fn(&Step) -> bool) -> Vec<Step> {
        let end = self.id.height.plus(1);
        let mut good = Vec::new();
        for step in steps {
            let height = step.header.height;
            let fits = height == end || (height < end && is_needed(&step));
            let room = self.steps < STEPS_MAX && self.last.is_none();
            if !fits || !room || self.follower.follow(&step).is_err() {
                break;
            }
            self.steps = self.steps.saturating_add(1);
            if let Some((height, _, _, root)) = self.follower.last()
                && height == end
            {
                self.last = Some((step.clone(), root));
            }
            good.push(step);
        }
        good
    }

    /// Takes over what is on disk of this very snapshot, once its root is known; returns what is not taken.
    pub(super) fn resume(&mut self, kept: Option<Kept>, orders: &mut Vec<Order>) -> Option<Kept> {
        let (None, Some((_, root)), Some(kept)) = (&self.manifest, &self.last, kept.as_ref())
        else {
            return kept;
        };
        if kept.manifest.id() != self.id {
            return Some(kept.clone());
        }
        if kept.manifest.root() == Ok(*root) {
            let parts = kept.manifest.parts();
            self.missing = parts.filter(|part| !kept.parts.contains(part)).collect();
            self.manifest = Some(kept.manifest.clone());
        } else {
            orders.push(Order::Discard(self.id.height));
        }
        None
    }

    pub(super) fn is_complete(&self) -> bool {
        let asked_parts = self
            .asked
            .values()
            .any(|(wanted, _)| matches!(wanted, Wanted::Part(_)));
        self.manifest.is_some()
            && self.missing.is_empty()
            && self.storing.is_empty()
            && !asked_parts
    }

    /// What a peer that is free can be asked for.
    pub(super) fn next_question(&mut self, peer: ValidatorId) -> Option<(Wanted, StateSync)> {
        if self.asked.contains_key(&peer) {
            return None;
        }
        let snapshot = self.id;
        if self.last.is_none() || self.manifest.is_none() {
            // One after the other, of one peer at a time.
            if !self.asked.is_empty() {
                return None;
            }
            return Some(if self.last.is_none() {
                let after = self.follower.last().map_or(Height(0), |last| last.0);
                (Wanted::Steps, StateSync::GetSteps { snapshot, after })
            } else {
                (Wanted::Manifest, StateSync::GetManifest { snapshot })
            });
        }
        let under_way = self.asked.len().saturating_add(self.storing.len());
        if under_way >= WINDOW {
            return None;
        }
        let part = self.missing.pop_first()?;
        Some((Wanted::Part(part), StateSync::GetChunk { snapshot, part }))
    }
}

/// Whether a step cannot be left out, unless it is the last one: else somebody could use up the steps that we follow.
pub(super) fn is_needed(step: &Step) -> bool {
    let electorate = step.electorate.value.as_ref();
    electorate.is_some_and(|value| {
        State::decode_value::<Electorate>(value).is_ok_and(|found| found.next.is_some())
    })
}
