//! Validator shell: mailbox, timers, disk, peers. Rules: `kithkin_protocol::consensus`.
//!
//! Everything that leaves this actor waits for what was to be durable before
//! it: outputs of the core become a batch and a list of actions, and the actions
//! are carried out when the batch is synced, in order.

use crate::leader::Leader;
use crate::leader::messages::Assemble;
use crate::observe::{Observer, Seen};
use crate::ports::clock::SharedClock;
use crate::ports::names::ActorName;
use crate::ports::network::{Delivered, Port};
use crate::ports::random::SystemRng;
use crate::ports::store::{Batch, Space, StoreError};
use crate::validator::ahead::Ahead;
use crate::validator::light::Proving;
use crate::validator::messages::{Assembled, Consensus, Finalized, Follow, Notice};
use crate::validator::outlines::Outlines;
use crate::validator::storage::{ChainStore, StorageError, put_quarantine};
use crate::validator::sync::{SnapshotPolicy, SyncState};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, SpawnHandle};
use kithkin_protocol::consensus::{
    self, Agreement, Algorithm, Certificate, Config, Identity, Input, Note, Output, Timer,
    TimerKind, Timing, WalEntry,
};
use kithkin_protocol::credit::Part;
use kithkin_protocol::ids::{BlockId, TxId, ValidatorId};
use kithkin_protocol::ledger::{Block, Effects, Event, Genesis, Ledger, Mempool};
use kithkin_protocol::units::{Height, Millis};
use rand_core::Rng as _;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Most callers that wait for transactions.
pub(super) const WAITERS_MAX: usize = 10_000;
/// Most actors that follow one validator.
const FOLLOWERS_MAX: usize = 10_000;
/// How often waiting transactions are passed on again: gossip may be lost.
const GOSSIP_EVERY: Duration = Duration::from_secs(1);

/// How often a starting validator looks whether it can be reached.
const REACHABLE_AGAIN: Duration = Duration::from_millis(2);

/// What a validator is started with.
pub struct ValidatorConfig {
    /// Its number and keys.
    pub identity: Arc<Identity>,
    /// The keys that it goes on with when an amendment has given them to it.
    pub successor: Option<Arc<Identity>>,
    /// What the ledger starts from.
    pub genesis: Arc<Genesis>,
    /// Local timing policy.
    pub timing: Timing,
    /// What decides on blocks; all validators of a ledger run the same.
    pub algorithm: Algorithm,
    /// How far its own records can be trusted.
    pub memory: Memory,
    /// When snapshots are made.
    pub snapshots: SnapshotPolicy,
    /// The clock.
    pub clock: SharedClock,
    /// Who is told what happens.
    pub observer: Observer,
}

/// How far a validator's records of what it signed can be trusted when it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// Altogether: all validators share one database, and lose their memory together or not at all.
    #[default]
    Trusted,
    /// It asks the others for votes of its own that it may have forgotten, before it votes.
    Asked,
    /// They are lost, and the operator says so: quarantine (`docs/spec/consensus.md`, Starting again).
    Lost,
}

/// One validator.
pub struct Validator {
    pub(super) me: ValidatorId,
    pub(super) port: Port,
    pub(super) core: Box<dyn Agreement>,
    pub(super) pool: Mempool,
    pub(super) store: ChainStore,
    pub(super) genesis: Arc<Genesis>,
    pub(super) identity: Arc<Identity>,
    pub(super) successor: Option<Arc<Identity>>,
    /// At this height somebody who has left is no longer talked with.
    pub(super) review_at: Option<Height>,
    pub(super) part: Option<Part>,
    pub(super) observer: Observer,
    /// Entries of the state that the next block will prove.
    pub(super) proving: Vec<Proving>,
    pub(super) waiters: BTreeMap<TxId, Vec<oneshot::Sender<Finalized>>>,
    pub(super) outlines: Outlines,
    pub(super) ahead: Option<Ahead>,
    /// The block that was found valid last, and the first master after it.
    pub(super) next_master: Option<(BlockId, ValidatorId)>,
    clock: SharedClock,
    followers: BTreeMap<ActorName, BTreeSet<super::messages::Concern>>,
    /// The present timer of each kind.
    timers: BTreeMap<TimerKind, SpawnHandle>,
    /// What the core ordered at start, until this actor can be reached: it asks the others what it missed.
    first: Vec<Output>,
    /// Until when a peer gets no finalized blocks.
    pub(super) served: BTreeMap<ValidatorId, Instant>,
    /// Batches on their way to the disk, oldest first, each with what waits for it.
    in_flight: VecDeque<(u64, Vec<Action>)>,
    tickets: u64,
    pub(super) sync: SyncState,
}

/// What may happen only when everything before it is durable.
pub(super) enum Action {
    Output(Box<Output>),
    Committed(Box<Commit>),
    Reply(Box<dyn FnOnce(&Validator) + Send>),
}

pub(super) struct Commit {
    pub(super) block: Arc<Block>,
    pub(super) certificate: Certificate,
    pub(super) effects: Effects,
    /// Where the core stood right after it, for those who watch.
    pub(super) seen: Seen,
}

/// The store -> Validator. A batch is durable, or cannot be.
#[derive(Message)]
#[rtype(result = "()")]
struct Durable {
    ticket: u64,
    result: Result<(), StoreError>,
}

impl Validator {
    /// Comes back from the store as it was, or starts from the genesis.
    ///
    /// # Errors
    /// [`StorageError`] when the store cannot be used.
    pub fn open(config: ValidatorConfig, port: Port, space: Space) -> Result<Self, StorageError> {
        let (store, mut ledger, wal) = ChainStore::open(space, &config.genesis)?;
        ledger.make_snapshots(Some(config.snapshots.every));
        let me = config.identity.id;
        let genesis = config.genesis.clone();
        let sync = SyncState::open(config.snapshots, me, genesis, config.timing.base_ms, &store)?;
        let (core, first) = config.algorithm.start(
            Config {
                successor: config.successor.clone(),
                vote_from: store.vote_from()?,
                recall: config.memory != Memory::Trusted,
                quarantine: config.memory == Memory::Lost,
                start: SystemRng.next_u64(),
                ..Config::new(config.identity.clone(), config.timing)
            },
            ledger,
            wal,
            config.clock.now(),
        );
        Ok(Self {
            me,
            port,
            core,
            pool: Mempool::default(),
            store,
            genesis: config.genesis,
            identity: config.identity,
            successor: config.successor,
            review_at: None,
            part: None,
            proving: Vec::new(),
            waiters: BTreeMap::new(),
            outlines: Outlines::default(),
            ahead: None,
            next_master: None,
            clock: config.clock,
            observer: config.observer,
            followers: BTreeMap::new(),
            timers: BTreeMap::new(),
            served: BTreeMap::new(),
            first,
            in_flight: VecDeque::new(),
            tickets: 0,
            sync,
        })
    }

    pub(super) fn ledger(&self) -> &Ledger {
        self.core.ledger()
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Carries out what the core ordered at start, as soon as answers can arrive.
    fn begin(&mut self, ctx: &mut Context<Self>) {
        if self.port.is_reachable() {
            self.begin_sync(ctx);
            self.execute(Vec::new(), ctx);
        } else {
            ctx.run_later(REACHABLE_AGAIN, Self::begin);
        }
    }

    pub(super) fn step(&mut self, input: Input, ctx: &mut Context<Self>) {
        if self.sync.is_leaving() {
            return;
        }
        let outputs = self.core.step(self.now(), input);
        self.execute(outputs, ctx);
    }

    /// Splits the core's orders into what becomes durable, what may happen at once and what waits.
    fn execute(&mut self, outputs: Vec<Output>, ctx: &mut Context<Self>) {
        let mut all = std::mem::take(&mut self.first);
        all.extend(outputs);
        let mut batch = Batch::default();
        let mut actions = Vec::new();
        let mut committed = false;
        let mut built = Vec::new();
        for output in all {
            match output {
                Output::Persist(entry) => {
                    self.store.put_wal(&mut batch, &entry);
                    if let WalEntry::Body(block) = &entry {
                        self.assemble_ahead(block);
                    }
                }
                Output::Commit {
                    block,
                    certificate,
                    effects,
                    ..
                } => {
                    self.store
                        .put_commit(&mut batch, &block, &certificate, &effects);
                    // Before a block is ordered that follows it, or that one would hold the same transactions.
                    let now = self.now();
                    self.pool.on_block(&block, self.core.ledger(), now);
                    committed = true;
                    actions.push(Action::Committed(Box::new(Commit {
                        seen: Seen::new(self.me, self.ledger(), &block, &effects),
                        block,
                        certificate,
                        effects,
                    })));
                }
                Output::SetTimer { timer, after } => self.set_timer(timer, after, ctx),
                Output::Build { .. } => match self.prepared(&output) {
                    Some(input) => built.push(input),
                    None => self.order_block(output),
                },
                Output::Note(note) => {
                    if let Note::Quarantined { vote_from, .. } = &note {
                        put_quarantine(&mut batch, *vote_from);
                    }
                    self.on_note(&note);
                }
                Output::Accuse(evidence) => {
                    let (offender, offence) = (evidence.accused(), evidence.offence());
                    let (height, view) = (evidence.height(), evidence.view());
                    tracing::warn!(validator = %self.me, %offender, %offence, %height, %view, "an offence is proved");
                }
                Output::Broadcast(_) | Output::Send { .. } | Output::SendCommitted { .. } => {
                    if let Output::Broadcast(consensus::Message::Proposal(proposal)) = &output {
                        self.outlines.propose(&proposal.block);
                    }
                    actions.push(Action::Output(Box::new(output)));
                }
            }
        }
        self.defer(batch, actions, ctx);
        for input in built {
            self.step(input, ctx);
        }
        if committed {
            let outputs = self
                .core
                .step(self.now(), Input::Work(!self.pool.is_empty()));
            self.execute(outputs, ctx);
        }
    }

    /// Carries `actions` out once `batch` and everything before it is durable.
    pub(super) fn defer(
        &mut self,
        batch: Batch,
        mut actions: Vec<Action>,
        ctx: &mut Context<Self>,
    ) {
        if batch.is_empty() {
            match self.in_flight.back_mut() {
                Some((_, waiting)) => waiting.append(&mut actions),
                None => self.carry_out(actions),
            }
            return;
        }
        self.tickets += 1;
        let ticket = self.tickets;
        self.in_flight.push_back((ticket, actions));
        let me = ctx.address();
        self.store.space().commit(batch, move |result| {
            #[expect(
                clippy::disallowed_methods,
                reason = "the committer must not wait for a mailbox, this must not be lost, and one is under way per batch"
            )]
            me.do_send(Durable { ticket, result });
        });
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Output(output) => self.send(*output),
                Action::Committed(commit) => self.on_committed(*commit),
                Action::Reply(reply) => reply(self),
            }
        }
    }

    fn order_block(&self, order: Output) {
        let Output::Build {
            height,
            view,
            time_ms,
            bytes_max,
        } = order
        else {
            return;
        };
        let bytes_max = bytes_max.min(self.outlines.portion.bytes());
        let order = Assemble {
            height,
            view,
            ahead_of: None,
            time_ms,
            bytes_max,
            state: self.ledger().state().clone(),
            candidates: self.pool.oldest(height, bytes_max),
        };
        let leader = ActorName::Leader(self.me.0);
        self.port.tell::<Leader, _>(leader, order);
    }

    fn on_committed(&mut self, mut commit: Commit) {
        self.answer_waiters(&commit);
        self.answer_proving(&commit);
        if let Some(due) = commit.effects.snapshot.take() {
            self.make_snapshot(due);
        }
        let header = &commit.block.header;
        let height = header.height;
        if header.author == self.me {
            let f = self.ledger().standings().validators().f();
            self.outlines.portion.on_final(commit.block.id(), f);
        }
        if commit.effects.electorate.is_some() || self.review_at.is_some_and(|at| at <= height) {
            self.admit_peers();
        }
        self.see_part();
        super::convictions::log(self.me, &commit);
        let events: Arc<Vec<Event>> = Arc::new(commit.effects.events);
        if !events.is_empty() {
            for (follower, concerns) in &self.followers {
                let theirs: Vec<Event> = events
                    .iter()
                    .filter(|event| concerns.iter().any(|concern| concern.covers(event)))
                    .cloned()
                    .collect();
                if !theirs.is_empty() {
                    crate::clients::notify(&self.port, *follower, Notice(Arc::new(theirs)));
                }
            }
        }
        self.observer.saw(commit.seen, events);
    }

    /// Of each kind one timer is present. Those that it replaces would stay with the actor until they run out, and be looked
    /// at with every message: at a hundred heights a second that is most of its time.
    fn set_timer(&mut self, timer: Timer, after: Millis, ctx: &mut Context<Self>) {
        let after = Duration::from_millis(after.0);
        let handle = ctx.run_later(after, move |this, ctx| {
            this.step(Input::TimerFired(timer), ctx);
        });
        if let Some(replaced) = self.timers.insert(timer.kind, handle) {
            ctx.cancel_future(replaced);
        }
    }
}

impl Actor for Validator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.admit_peers();
        self.see_part();
        self.begin(ctx);
        ctx.run_interval(GOSSIP_EVERY, |this, _| this.tend());
    }
}

impl Handler<Durable> for Validator {
    type Result = ();

    fn handle(&mut self, durable: Durable, ctx: &mut Self::Context) {
        match durable.result {
            Ok(()) => {
                if let Some((ticket, actions)) = self.in_flight.pop_front() {
                    assert_eq!(ticket, durable.ticket, "the store answers in order");
                    self.carry_out(actions);
                }
            }
            Err(error) => {
                // Nothing that was to follow has left. The supervisor, or whoever runs the process, decides.
                tracing::error!(validator = %self.me, %error, "cannot write; stopping");
                ctx.stop();
            }
        }
    }
}

impl Handler<Delivered<Consensus>> for Validator {
    type Result = ();

    fn handle(&mut self, delivered: Delivered<Consensus>, ctx: &mut Self::Context) {
        let ActorName::Validator(from) = delivered.from else {
            return;
        };
        let message = delivered.message.0;
        let from = ValidatorId(from);
        if let consensus::Message::NoBlocks { from: height, .. } = &message {
            self.on_no_blocks(from, *height);
        }
        self.step(Input::Message { from, message }, ctx);
    }
}

impl Handler<Delivered<Assembled>> for Validator {
    type Result = ();

    fn handle(&mut self, delivered: Delivered<Assembled>, ctx: &mut Self::Context) {
        if delivered.from != ActorName::Leader(self.me.0) {
            return;
        }
        if let Some(parent) = delivered.message.ahead_of {
            return self.on_assembled_ahead(parent, delivered.message);
        }
        let Assembled {
            height,
            view,
            transactions,
            ..
        } = delivered.message;
        let input = Input::Built {
            height,
            view,
            transactions,
        };
        self.step(input, ctx);
    }
}

impl Handler<Delivered<Follow>> for Validator {
    type Result = ();

    fn handle(&mut self, delivered: Delivered<Follow>, _: &mut Self::Context) {
        let known = self.followers.contains_key(&delivered.from);
        if known || self.followers.len() < FOLLOWERS_MAX {
            let concerns = delivered.message.0.into_iter().take(64).collect();
            self.followers.insert(delivered.from, concerns);
        }
    }
}

crate::supervised!(Validator {
    // Votes of a large set arrive in bursts; a dropped one costs a re-broadcast.
    const MAILBOX: usize = 4_096;
});
