//! A node that is behind fetches a snapshot: whom it asks for what. Pure; time and messages come in, orders go out.
//!
//! ```text
//! ask --offers--> steps --verified--> manifest --root holds--> parts, from all who offered it --all stored--> install
//! ```
//!
//! Everything that comes is checked against what was verified before; who sends something wrong is never asked again. Who
//! is silent is not asked again for this snapshot. Offers are not believed, only tried, the one that most
//! peers make first. Bounded: [`ASKED_MAX`] peers, one question to each at a time, [`WINDOW`] parts on their way or
//! waiting for the disk.

use super::manifest::{Entry, Manifest, SnapshotId};
use super::message::StateSync;
use super::target::{Target, Wanted, is_needed};
use crate::ids::ValidatorId;
use crate::ledger::Genesis;
use crate::ledger::light::{Follower, Step};
use crate::units::{Height, Millis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most peers that are asked for offers at once.
pub const ASKED_MAX: usize = 8;
/// Most parts on their way or waiting for the disk.
pub const WINDOW: usize = 4;

/// What does not change.
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// This node.
    pub me: ValidatorId,
    /// Where trust begins.
    pub genesis: Arc<Genesis>,
    /// How many heights a snapshot must be ahead to be worth it.
    pub every: u64,
    /// How long offers are waited for.
    pub offers_ms: u64,
    /// How long any other answer may take.
    pub answers_ms: u64,
}

/// What is on disk of a snapshot that was being fetched when the node stopped.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its manifest, whose root was verified.
    pub manifest: Manifest,
    /// The parts that are there, verified too.
    pub parts: BTreeSet<u32>,
}

/// What the shell is to do, in this order.
#[derive(Clone, Debug)]
pub enum Order {
    /// Send.
    Send {
        /// To whom.
        to: ValidatorId,
        /// What.
        message: StateSync,
    },
    /// Keep steps; they are verified.
    KeepSteps(Vec<Step>),
    /// Keep a manifest; parts of it follow.
    Begin(Manifest),
    /// Keep a part, and say so with [`Fetch::on_stored`] once it is durable.
    Store {
        /// The snapshot's height.
        height: Height,
        /// The part.
        part: u32,
        /// Its entries.
        entries: Vec<Entry>,
    },
    /// Throw away what is kept of the snapshot of this height.
    Discard(Height),
    /// All parts are durable: make this the state of the node.
    Install {
        /// The manifest.
        manifest: Manifest,
        /// The last step, whose header states the root.
        last: Box<Step>,
    },
    /// No snapshot for now: blocks it is.
    Declined,
    /// A peer sent something wrong; for the log.
    Refused {
        /// The peer.
        peer: ValidatorId,
        /// What it sent.
        what: &'static str,
    },
}

/// See the module's documentation.
pub struct Fetch {
    config: FetchConfig,
    kept: Option<Kept>,
    /// Verified steps.
    steps: BTreeMap<Height, Step>,
    refused: BTreeSet<ValidatorId>,
    offers: BTreeMap<ValidatorId, SnapshotId>,
    /// Only snapshots of this height or above are worth it.
    least: Height,
    /// Since when offers are waited for.
    asking: Option<Millis>,
    /// Who was asked for an offer and has not made one: each may make one, also later.
    may_offer: BTreeSet<ValidatorId>,
    target: Option<Target>,
    installing: bool,
    /// The last peer that was asked for an offer.
    turn: ValidatorId,
}

impl Fetch {
    /// With what is on disk of an earlier attempt: a part of a snapshot, and verified steps, ascending.
    #[must_use]
    pub fn new(config: FetchConfig, kept: Option<Kept>, steps: Vec<Step>) -> Self {
        let turn = config.me;
        Self {
            config,
            kept,
            steps: by_height(steps),
            refused: BTreeSet::new(),
            offers: BTreeMap::new(),
            least: Height(u64::MAX),
            asking: None,
            may_offer: BTreeSet::new(),
            target: None,
            installing: false,
            turn,
        }
    }

    /// Whether a snapshot is being fetched or put in place.
    #[must_use]
    pub fn is_fetching(&self) -> bool {
        self.target.is_some() || self.installing
    }

    /// Whether offers are waited for.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Asks some of `peers` for offers. `needed` says that blocks cannot be had: then any snapshot above `head` will do.
    #[must_use]
    pub fn ask(
        &mut self,
        now: Millis,
        head: Height,
        needed: bool,
        peers: &[ValidatorId],
    ) -> Vec<Order> {
        let mut orders = Vec::new();
        if self.is_fetching() || self.is_asking() {
            return orders;
        }
        self.least = head.plus(if needed { 1 } else { self.config.every.max(1) });
        self.offers.clear();
        let mut peers: Vec<ValidatorId> = peers
            .iter()
            .copied()
            .filter(|peer| *peer != self.config.me && !self.refused.contains(peer))
            .collect();
        // In turn, beginning after whoever came last.
        peers.sort_unstable();
        let first = peers.partition_point(|peer| *peer <= self.turn);
        peers.rotate_left(first);
        peers.truncate(ASKED_MAX);
        self.turn = peers.last().copied().unwrap_or(self.turn);
        for &to in &peers {
            let message = StateSync::Ask { height: head };
            orders.push(Order::Send { to, message });
        }
        if peers.is_empty() {
            orders.push(Order::Declined);
        } else {
            self.asking = Some(now);
            self.may_offer = peers.into_iter().collect();
        }
        orders
    }

    /// An answer to [`StateSync::Ask`].
    #[must_use]
    pub fn on_offer(
        &mut self,
        now: Millis,
        from: ValidatorId,
        offer: Option<SnapshotId>,
    ) -> Vec<Order> {
        let asked = self.may_offer.remove(&from);
        if !asked || self.installing || self.refused.contains(&from) {
            return Vec::new();
        }
        if let Some(id) = offer.filter(|id| id.height >= self.least) {
            self.offers.insert(from, id);
        }
        if self.asking.is_some() {
            if self.may_offer.is_empty() {
                return self.choose(now);
            }
            return Vec::new();
        }
        if self.target.is_some() {
            return self.drive(now);
        }
        // Late, but welcome.
        if self.offers.is_empty() {
            Vec::new()
        } else {
            self.choose(now)
        }
    }

    /// An answer to [`StateSync::GetSteps`].
    #[must_use]
    pub fn on_steps(
        &mut self,
        now: Millis,
        from: ValidatorId,
        id: SnapshotId,
        steps: Vec<Step>,
    ) -> Vec<Order> {
        if !self.take(from, id, Wanted::Steps) {
            return Vec::new();
        }
        let mut orders = Vec::new();
        if let Some(target) = &mut self.target {
            let all = steps.len();
            let good = target.follow(steps, is_needed);
            let bad = good.len() < all || good.is_empty();
            if !good.is_empty() {
                self.steps.extend(by_height(good.clone()));
                orders.push(Order::KeepSteps(good));
            }
            if bad {
                self.refuse(from, "steps that lead nowhere", &mut orders);
            }
        }
        orders.extend(self.drive(now));
        orders
    }

    /// An answer to [`StateSync::GetManifest`].
    #[must_use]
    pub fn on_manifest(
        &mut self,
        now: Millis,
        from: ValidatorId,
        manifest: Manifest,
    ) -> Vec<Order> {
        let id = manifest.id();
        let mut orders = Vec::new();
        if self.take(from, id, Wanted::Manifest) {
            self.check_manifest(id, manifest, &mut orders);
        } else if self.asked(from) == Some(Wanted::Manifest) {
            self.forget_question(from);
            self.refuse(from, "a manifest that it did not offer", &mut orders);
        } else {
            return orders;
        }
        orders.extend(self.drive(now));
        orders
    }

    /// An answer to [`StateSync::GetChunk`].
    #[must_use]
    pub fn on_chunk(
        &mut self,
        now: Millis,
        from: ValidatorId,
        id: SnapshotId,
        part: u32,
        entries: Vec<Entry>,
    ) -> Vec<Order> {
        if !self.take(from, id, Wanted::Part(part)) {
            return Vec::new();
        }
        let mut orders = Vec::new();
        let mut wrong = false;
        if let Some(target) = &mut self.target {
            let manifest = target.manifest.as_ref();
            if manifest.is_some_and(|manifest| manifest.check(part, &entries).is_ok()) {
                target.storing.insert(part);
                orders.push(Order::Store {
                    height: id.height,
                    part,
                    entries,
                });
            } else {
                target.missing.insert(part);
                wrong = true;
            }
        }
        if wrong {
            self.refuse(from, "a wrong part of a snapshot", &mut orders);
        }
        orders.extend(self.drive(now));
        orders
    }

    /// A peer no longer has what it was asked for.
    #[must_use]
    pub fn on_gone(&mut self, now: Millis, from: ValidatorId, id: SnapshotId) -> Vec<Order> {
        if self.offers.get(&from) != Some(&id) {
            return Vec::new();
        }
        self.offers.remove(&from);
        self.forget_question(from);
        self.drive(now)
    }

    /// A part of the snapshot of this height is durable.
    #[must_use]
    pub fn on_stored(&mut self, now: Millis, height: Height, part: u32) -> Vec<Order> {
        let target = self.target.as_mut();
        let target = target.filter(|target| target.id.height == height);
        if target.is_some_and(|target| target.storing.remove(&part)) {
            self.drive(now)
        } else {
            Vec::new()
        }
    }

    /// Time has passed, and the chain may have grown without a snapshot. To be called before anything else is: a snapshot
    /// that the chain has come to must not be put in place any more, since votes on what follows it have been made.
    #[must_use]
    pub fn on_tick(&mut self, now: Millis, head: Height) -> Vec<Order> {
        let (offers, answers) = (self.config.offers_ms, self.config.answers_ms);
        // After a clock was set back nobody is waited for until it has caught up.
        let late = |since: Millis, patience| now.0.abs_diff(since.0) >= patience;
        if let Some(kept) = self.kept.take_if(|kept| kept.manifest.height() <= head) {
            let mut orders = vec![Order::Discard(kept.manifest.height())];
            orders.extend(self.on_tick(now, head));
            return orders;
        }
        if self.asking.is_some_and(|since| late(since, offers)) {
            return self.choose(now);
        }
        let Some(target) = &mut self.target else {
            return Vec::new();
        };
        if head >= target.id.height {
            let height = target.id.height;
            self.target = None;
            self.kept = None;
            return vec![Order::Discard(height), Order::Declined];
        }
        let silent: Vec<ValidatorId> = target
            .asked
            .iter()
            .filter(|(_, (_, since))| late(*since, answers))
            .map(|(peer, _)| *peer)
            .collect();
        if silent.is_empty() {
            return Vec::new();
        }
        target.silent.extend(&silent);
        for peer in silent {
            self.forget_question(peer);
        }
        self.drive(now)
    }

    /// The snapshot cannot be put in place: blocks will have to do.
    #[must_use]
    pub fn on_not_installed(&mut self) -> Vec<Order> {
        self.installing = false;
        vec![Order::Declined]
    }

    /// Takes the next offer: one that was begun before, or the one that most peers make.
    fn choose(&mut self, now: Millis) -> Vec<Order> {
        self.asking = None;
        let kept = self.kept.as_ref().map(|kept| kept.manifest.id());
        let mut votes: BTreeMap<SnapshotId, usize> = BTreeMap::new();
        for id in self.offers.values() {
            let count = votes.entry(*id).or_default();
            *count = count.saturating_add(1);
        }
        let best = votes
            .iter()
            .max_by_key(|(id, count)| (kept == Some(**id), **count, id.height))
            .map(|(id, _)| *id);
        let Some(id) = best else {
            return vec![Order::Declined];
        };
        let mut orders = Vec::new();
        match self.begin(id) {
            Some(target) => {
                if let Some(kept) = kept.filter(|kept| *kept != id) {
                    self.kept = None;
                    orders.push(Order::Discard(kept.height));
                }
                self.target = Some(target);
                orders.extend(self.drive(now));
            }
            // Our own genesis is no basis for a ledger; then nothing else works either.
            None => orders.push(Order::Declined),
        }
        orders
    }

    fn begin(&self, id: SnapshotId) -> Option<Target> {
        let mut target = Target::new(id, Follower::new(&self.config.genesis).ok()?);
        let known = self.steps.range(..=id.height.plus(1));
        // Where they end, the rest is asked for.
        let _ = target.follow(known.map(|(_, step)| step.clone()).collect(), |_| true);
        Some(target)
    }

    /// Asks for whatever is needed next of whoever is free.
    fn drive(&mut self, now: Millis) -> Vec<Order> {
        let mut orders = Vec::new();
        while let Some(target) = &mut self.target {
            self.kept = target.resume(self.kept.take(), &mut orders);
            if target.is_complete() {
                let Some((manifest, (last, _))) = target.manifest.take().zip(target.last.take())
                else {
                    break;
                };
                self.target = None;
                self.installing = true;
                let last = Box::new(last);
                orders.push(Order::Install { manifest, last });
                break;
            }
            let id = target.id;
            for (&peer, offer) in &self.offers {
                if *offer != id || target.silent.contains(&peer) {
                    continue;
                }
                if let Some((wanted, message)) = target.next_question(peer) {
                    target.asked.insert(peer, (wanted, now));
                    orders.push(Order::Send { to: peer, message });
                }
            }
            if !target.asked.is_empty() || !target.storing.is_empty() {
                break;
            }
            // Nobody is left who has it. What is stored stays for a later attempt.
            if let Some(manifest) = target.manifest.take() {
                let missing = std::mem::take(&mut target.missing);
                let parts = manifest.parts().filter(|part| !missing.contains(part));
                self.kept = Some(Kept {
                    parts: parts.collect(),
                    manifest,
                });
            }
            self.target = None;
            self.offers.retain(|_, offer| *offer != id);
            orders.extend(self.choose(now));
        }
        orders
    }

    fn check_manifest(&mut self, id: SnapshotId, manifest: Manifest, orders: &mut Vec<Order>) {
        let Some(target) = &mut self.target else {
            return;
        };
        let root = target.last.as_ref().map(|(_, root)| *root);
        if root.is_some() && manifest.root().ok() == root {
            target.missing = manifest.parts().collect();
            orders.push(Order::Begin(manifest.clone()));
            target.manifest = Some(manifest);
            return;
        }
        // It is what they all offered, and it is not the state.
        let liars: Vec<ValidatorId> = self
            .offers
            .iter()
            .filter(|(_, offer)| **offer == id)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in liars {
            self.refuse(peer, "a manifest of another state", orders);
        }
    }

    fn refuse(&mut self, peer: ValidatorId, what: &'static str, orders: &mut Vec<Order>) {
        self.refused.insert(peer);
        self.offers.remove(&peer);
        self.forget_question(peer);
        orders.push(Order::Refused { peer, what });
    }

    fn asked(&self, peer: ValidatorId) -> Option<Wanted> {
        let target = self.target.as_ref()?;
        target.asked.get(&peer).map(|(wanted, _)| *wanted)
    }

    /// Whether `peer` was asked for exactly this; it is no longer waited for then.
    fn take(&mut self, peer: ValidatorId, id: SnapshotId, wanted: Wanted) -> bool {
        match &mut self.target {
            Some(target) if target.id == id => {
                let right = target
                    .asked
                    .get(&peer)
                    .is_some_and(|(asked, _)| *asked == wanted);
                if right {
                    target.asked.remove(&peer);
                }
                right
            }
            _ => false,
        }
    }

    /// `peer` is no longer waited for; others are asked instead.
    fn forget_question(&mut self, peer: ValidatorId) {
        if let Some(target) = &mut self.target
            && let Some((Wanted::Part(part), _)) = target.asked.remove(&peer)
        {
            target.missing.insert(part);
        }
    }
}

fn by_height(steps: Vec<Step>) -> BTreeMap<Height, Step> {
    let steps = steps.into_iter();
    steps.map(|step| (step.header.height, step)).collect()
}
