//! Snapshots and this actor: making them in peace, and fetching one when this node is far behind; `serve` answers others. Whom
//! to ask for what is decided in `kithkin_protocol::ledger::snapshot`.
//!
//! Reading and writing happen on other threads. While a snapshot is fetched no blocks are asked for. When one is in place
//! the actor stops, and the supervisor starts it anew from what is on disk, as after a crash.

use super::actor::Validator;
use super::messages::Snapshot;
use super::serve::{Places, send};
use super::snapshots::{Complete, Snapshots, put_begin, put_discard, put_part, put_steps};
use super::storage::{ChainStore, StorageError};
use crate::ports::names::ActorName;
use crate::ports::network::Delivered;
use crate::ports::store::{Batch, StoreError};
use actix::{ActorContext, AsyncContext, Context, Handler, Message, WeakAddr};
use kithkin_protocol::consensus;
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::ledger::Genesis;
use kithkin_protocol::ledger::light::Step;
use kithkin_protocol::ledger::snapshot::{
    CHUNK_BYTES, Due, Fetch, FetchConfig, Manifest, Order, SNAPSHOT_EVERY, SNAPSHOTS_KEPT,
    SnapshotId, StateSync,
};
use kithkin_protocol::units::{Height, Millis};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether somebody is silent.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long offers are waited for at least; a node that has just started asks for no blocks meanwhile.
const OFFERS_MS_MIN: u64 = 1_000;
/// How long other answers may take at least: up to some megabytes.
const ANSWERS_MS_MIN: u64 = 5_000;
/// A node that catches up asks for snapshots at most so often.
const ASK_AGAIN_MS: u64 = 10_000;
/// The same when blocks cannot be had.
const ASK_AGAIN_NEEDED_MS: u64 = 1_000;

/// Local policy about snapshots. Nodes need not agree, but only those that do can complete each other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Every how many heights one is made; also how far behind a node must be to fetch one.
    pub every: NonZeroU64,
    /// How many are kept, at least 1.
    pub keep: usize,
    /// About how many bytes one part has.
    pub chunk_bytes: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            every: NonZeroU64::new(SNAPSHOT_EVERY).unwrap_or(NonZeroU64::MIN),
            keep: SNAPSHOTS_KEPT,
            chunk_bytes: CHUNK_BYTES,
        }
    }
}

/// What the actor keeps about snapshots.
pub(super) struct SyncState {
    policy: SnapshotPolicy,
    fetch: Fetch,
    pub(super) snapshots: Snapshots,
    pub(super) complete: BTreeMap<SnapshotId, Arc<Complete>>,
    pub(super) serving: Places,
    making: bool,
    /// A snapshot is being put in place: the core has ended.
    leaving: bool,
    /// At start no blocks are asked for before it is known whether there is a snapshot.
    held: bool,
    /// A question for blocks was held back.
    withheld: bool,
    asked_at: Option<Millis>,
    /// Who does not have the blocks after this height any more.
    without: (Height, BTreeSet<ValidatorId>),
    me: Option<WeakAddr<Validator>>,
}

impl SyncState {
    pub(super) fn open(
        policy: SnapshotPolicy,
        me: ValidatorId,
        genesis: Arc<Genesis>,
        base_ms: u64,
        store: &ChainStore,
    ) -> Result<Self, StorageError> {
        let snapshots = store.snapshots();
        let (kept, steps) = snapshots.kept()?;
        let config = FetchConfig {
            me,
            genesis,
            every: policy.every.get(),
            offers_ms: base_ms.saturating_mul(4).max(OFFERS_MS_MIN),
            answers_ms: base_ms.saturating_mul(20).max(ANSWERS_MS_MIN),
        };
        let mut sync = Self {
            policy,
            fetch: Fetch::new(config, kept, steps),
            complete: BTreeMap::new(),
            snapshots,
            serving: Places::default(),
            making: false,
            leaving: false,
            held: true,
            withheld: false,
            asked_at: None,
            without: (Height(0), BTreeSet::new()),
            me: None,
        };
        for complete in sync.snapshots.complete()? {
            sync.offer(complete);
        }
        Ok(sync)
    }

    /// Whether the core is to be asked nothing more.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether a message is to be held back: a question for blocks while a snapshot is on its way.
    pub(super) fn holds(&mut self, message: &consensus::Message) -> bool {
        let holds = (self.held || self.fetch.is_fetching())
            && matches!(message, consensus::Message::GetCommitted { .. });
        self.withheld |= holds;
        holds
    }

    fn offer(&mut self, complete: Complete) {
        let id = complete.manifest.id();
        self.complete.insert(id, Arc::new(complete));
        while self.complete.len() > self.policy.keep.max(1) {
            self.complete.pop_first();
        }
    }
}

/// The store -> Validator. Something about a snapshot is durable, or cannot be.
#[derive(Message)]
#[rtype(result = "()")]
struct Stored {
    part: Option<(Height, u32)>,
    result: Result<(), StoreError>,
}

/// A thread of this actor -> Validator. A snapshot was made.
#[derive(Message)]
#[rtype(result = "()")]
struct Made(Result<Complete, StorageError>);

/// A thread of this actor -> Validator. A snapshot was put in place.
#[derive(Message)]
#[rtype(result = "()")]
struct Installed(Result<(), StorageError>);

impl Validator {
    pub(super) fn begin_sync(&mut self, ctx: &mut Context<Self>) {
        self.sync.me = Some(ctx.address().downgrade());
        ctx.run_interval(LOOK_EVERY, |this, _| this.tend_sync());
        self.ask_for_snapshots(false);
    }

    /// Gives up who is silent, and a snapshot that the chain has come to by blocks.
    fn tend_sync(&mut self) {
        let (now, head) = (self.now(), self.ledger().height());
        let orders = self.sync.fetch.on_tick(now, head);
        self.carry_orders(orders);
    }

    /// This node is behind; `needed` says that it cannot have the blocks.
    pub(super) fn on_behind(&mut self, needed: bool) {
        let pause = if needed {
            ASK_AGAIN_NEEDED_MS
        } else {
            ASK_AGAIN_MS
        };
        let now = self.now();
        let lately = |at: Millis| at <= now && now.minus(at.0).0 < pause;
        if self.sync.me.is_some() && !self.sync.asked_at.is_some_and(lately) {
            self.ask_for_snapshots(needed);
        }
    }

    /// A peer does not have the blocks from `from` on. More than f such peers are word enough that a snapshot is needed.
    pub(super) fn on_no_blocks(&mut self, peer: ValidatorId, from: Height) {
        let validators = self.ledger().standings().validators();
        let (member, f) = (validators.contains(peer), validators.f());
        if !member || from != self.core.height() {
            return;
        }
        let (height, peers) = &mut self.sync.without;
        if *height != from {
            *height = from;
            peers.clear();
        }
        peers.insert(peer);
        if peers.len() > f {
            self.on_behind(true);
        }
    }

    fn ask_for_snapshots(&mut self, needed: bool) {
        let (now, head) = (self.now(), self.ledger().height());
        self.sync.asked_at = Some(now);
        let members = self.ledger().standings().validators().ids();
        let peers: Vec<ValidatorId> = members.chain(self.port.guests()).collect();
        let orders = self.sync.fetch.ask(now, head, needed, &peers);
        self.carry_orders(orders);
    }

    /// Writes a snapshot on a thread of its own; one at a time.
    pub(super) fn make_snapshot(&mut self, due: Box<Due>) {
        // Parts of the same snapshot that others sent stand where this one is written, and would be removed with it.
        self.tend_sync();
        let Some(me) = self.sync.me.clone().filter(|_| !self.sync.making) else {
            tracing::info!(validator = %self.me, "the last snapshot is not complete yet; this one is left out");
            return;
        };
        let (snapshots, policy) = (self.sync.snapshots.clone(), self.sync.policy);
        self.sync.making = in_background("snapshot", move || {
            let made = whatever_happens(|| snapshots.make(&due, policy.chunk_bytes, policy.keep));
            tell(&me, Made(made));
        });
    }

    fn carry_orders(&mut self, orders: Vec<Order>) {
        for order in orders {
            let mut batch = Batch::default();
            match order {
                Order::Send { to, message } => {
                    let to = ActorName::Validator(to.0);
                    self.port.tell::<Self, _>(to, Snapshot(message));
                }
                Order::KeepSteps(steps) => {
                    put_steps(&mut batch, &steps);
                    self.keep(batch, None);
                }
                Order::Begin(manifest) => {
                    tracing::info!(
                        validator = %self.me, height = %manifest.height(),
                        parts = manifest.parts().count(), "far behind: fetching the state of a snapshot"
                    );
                    put_begin(&mut batch, &manifest);
                    self.keep(batch, None);
                }
                Order::Store {
                    height,
                    part,
                    entries,
                } => {
                    put_part(&mut batch, height, part, &entries);
                    self.keep(batch, Some((height, part)));
                }
                Order::Discard(height) => {
                    put_discard(&mut batch, height);
                    self.keep(batch, None);
                }
                Order::Install { manifest, last } => self.install(manifest, *last),
                Order::Declined => self.go_on_with_blocks(),
                Order::Refused { peer, what } => {
                    tracing::warn!(validator = %self.me, %peer, what, "a peer misbehaved");
                }
            }
        }
    }

    fn keep(&self, batch: Batch, part: Option<(Height, u32)>) {
        let Some(me) = self.sync.me.clone() else {
            return;
        };
        let space = self.store.space();
        space.commit(batch, move |result| tell(&me, Stored { part, result }));
    }

    fn install(&mut self, manifest: Manifest, last: Step) {
        let Some(me) = self.sync.me.clone() else {
            return;
        };
        // The records of what was voted on go with the old state: they must all be about heights that the snapshot covers.
        let (head, height) = (self.ledger().height(), manifest.height());
        assert!(head < height, "looked at before every order");
        tracing::info!(validator = %self.me, %height, "a snapshot is complete; putting it in place");
        self.sync.leaving = true;
        let snapshots = self.sync.snapshots.clone();
        let began = in_background("install", move || {
            let installed = whatever_happens(|| snapshots.install(manifest, last));
            tell(&me, Installed(installed));
        });
        if !began {
            // Nothing was written.
            self.sync.leaving = false;
            let orders = self.sync.fetch.on_not_installed();
            self.carry_orders(orders);
        }
    }

    fn go_on_with_blocks(&mut self) {
        self.sync.held = false;
        if std::mem::take(&mut self.sync.withheld) && !self.sync.leaving {
            let message = consensus::Message::GetCommitted {
                from: self.core.height(),
                count: 1,
            };
            self.send(consensus::Output::Broadcast(message));
        }
    }
}

/// What came of it, also when it has panicked: the actor waits for that.
fn whatever_happens<T>(work: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    done.unwrap_or(Err(StorageError::Panicked))
}

/// Whether a thread could be had.
fn in_background(name: &str, work: impl FnOnce() + Send + 'static) -> bool {
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work);
    if let Err(error) = &thread {
        tracing::error!(%error, name, "no thread");
    }
    thread.is_ok()
}

fn tell<M>(me: &WeakAddr<Validator>, message: M)
where
    M: Message<Result = ()> + Send + 'static,
    Validator: Handler<M>,
{
    if let Some(me) = me.upgrade() {
        #[expect(
            clippy::disallowed_methods,
            reason = "whoever says this must not wait for a mailbox, it must not be lost, and few are under way"
        )]
        me.do_send(message);
    }
}

impl Handler<Stored> for Validator {
    type Result = ();

    fn handle(&mut self, stored: Stored, ctx: &mut Self::Context) {
        match (stored.result, stored.part) {
            (Ok(()), Some((height, part))) => {
                self.tend_sync();
                let orders = self.sync.fetch.on_stored(self.now(), height, part);
                self.carry_orders(orders);
            }
            (Ok(()), None) => {}
            (Err(error), _) => {
                tracing::error!(validator = %self.me, %error, "cannot write; stopping");
                ctx.stop();
            }
        }
    }
}

impl Handler<Made> for Validator {
    type Result = ();

    fn handle(&mut self, made: Made, _: &mut Self::Context) {
        self.sync.making = false;
        match made.0 {
            Ok(complete) => {
                let manifest = &complete.manifest;
                tracing::info!(
                    validator = %self.me, height = %manifest.height(),
                    parts = manifest.parts().count(), "a snapshot was made"
                );
                self.sync.offer(complete);
            }
            Err(error) => {
                tracing::error!(validator = %self.me, %error, "a snapshot cannot be made");
            }
        }
    }
}

impl Handler<Installed> for Validator {
    type Result = ();

    fn handle(&mut self, installed: Installed, ctx: &mut Self::Context) {
        match installed.0 {
            Ok(()) => {
                tracing::info!(validator = %self.me, "a snapshot is in place; starting anew from it");
            }
            Err(error) => {
                tracing::error!(validator = %self.me, %error, "a snapshot cannot be put in place");
            }
        }
        ctx.stop();
    }
}

impl Handler<Delivered<Snapshot>> for Validator {
    type Result = ();

    fn handle(&mut self, delivered: Delivered<Snapshot>, _: &mut Self::Context) {
        let ActorName::Validator(from) = delivered.from else {
            return;
        };
        let from = ValidatorId(from);
        // Whoever sends blocks may bring this node past the snapshot that it is fetching.
        self.tend_sync();
        let now = self.now();
        let fetch = &mut self.sync.fetch;
        let orders = match delivered.message.0 {
            StateSync::Ask { height } => {
                let snapshot = self.newest_above(height);
                let to = delivered.from;
                return send(&self.port, to, StateSync::Offer { snapshot });
            }
            question @ (StateSync::GetSteps { .. }
            | StateSync::GetManifest { .. }
            | StateSync::GetChunk { .. }) => return self.on_question(from, question),
            StateSync::Offer { snapshot } => fetch.on_offer(now, from, snapshot),
            StateSync::Steps { snapshot, steps } => fetch.on_steps(now, from, snapshot, steps),
            StateSync::Manifest(manifest) => fetch.on_manifest(now, from, *manifest),
            StateSync::Chunk {
                snapshot,
                part,
                entries,
            } => fetch.on_chunk(now, from, snapshot, part, entries),
            StateSync::Gone { snapshot } => fetch.on_gone(now, from, snapshot),
        };
        self.carry_orders(orders);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_for_a_thread_hears_of_its_panic() {
        assert!(matches!(whatever_happens(|| Ok(1)), Ok(1)));
        let panicked: Result<(), _> = whatever_happens(|| panic!("on purpose"));
        assert!(matches!(panicked, Err(StorageError::Panicked)));
    }
}
