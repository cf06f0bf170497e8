//! [`Consensus`]: one step at a time. Inputs are sorted out here; everything that follows from what is known is done
//! in [`Consensus::settle`], one transition after the other, until nothing more follows.
//!
//! The transitions are in `transition`, `propose` and `commit`, the messages in `receive`.

use crate::consensus::activity::Level;
use crate::consensus::catchup::{CatchUp, Future, Limiter};
use crate::consensus::config::Config;
use crate::consensus::io::{Fault, Input, Note, NullifyReason, Output, Timer, TimerKind};
use crate::consensus::late::LateVotes;
use crate::consensus::message::Message;
#[cfg(any(test, feature = "testing"))]
use crate::consensus::mutant::{Mutant, QuorumScope};
use crate::consensus::past::Past;
use crate::consensus::pool::EvidencePool;
use crate::consensus::recall::Asking;
use crate::consensus::round::Round;
use crate::consensus::silence::Heard;
use crate::consensus::vote::{Certificate, VoteKind};
use crate::consensus::wal::Wal;
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::Ledger;
use crate::units::{Height, Millis, View};
use std::collections::{BTreeMap, BTreeSet};

/// The consensus of one node. Pure: the same inputs at the same times give the same outputs.
#[derive(Clone)]
pub struct Consensus {
    pub(super) config: Config,
    pub(super) chain: ChainId,
    pub(super) ledger: Ledger,
    pub(super) round: Round,
    /// The heights that were decided last.
    pub(super) past: BTreeMap<Height, Past>,
    /// Who has passed on what does not hold: nothing more is taken on its word.
    pub(super) liars: BTreeSet<ValidatorId>,
    /// Finalizes the ledger's head.
    pub(super) head_certificate: Option<Certificate>,
    pub(super) late: LateVotes,
    pub(super) pool: EvidencePool,
    pub(super) catch_up: CatchUp,
    pub(super) limiter: Limiter,
    pub(super) future: Future,
    pub(super) heard: Heard,
    /// While the others are asked for our own votes.
    pub(super) recall: Option<Asking>,
    /// The present timer of each kind.
    timers: BTreeMap<TimerKind, u64>,
    serial: u64,
    pub(super) now: Millis,
    pub(super) halted: bool,
    pub(super) out: Vec<Output>,
}

impl Consensus {
    /// Starts after the ledger's head, with what was durable of the next height (spec section 2, `start`).
    #[must_use]
    pub fn start(
        mut config: Config,
        ledger: Ledger,
        mut wal: Wal,
        now: Millis,
    ) -> (Self, Vec<Output>) {
        #[cfg(any(test, feature = "testing"))]
        let _scope = QuorumScope::enter(config.plants(Mutant::ShortQuorum));
        let restored = !wal.is_empty();
        let vote_from = config.vote_from;
        let recall = config.recall || config.quarantine;
        if recall {
            config.vote_from = Height(u64::MAX);
        }
        let head_certificate = wal.head_certificate.take();
        let round = Round::new(&config, &ledger, wal);
        let mut core = Self {
            chain: ledger.chain(),
            heard: Heard::new(now, round.height),
            round,
            config,
            ledger,
            past: BTreeMap::new(),
            liars: BTreeSet::new(),
            late: LateVotes::default(),
            pool: EvidencePool::default(),
            catch_up: CatchUp::default(),
            limiter: Limiter::default(),
            future: Future::default(),
            recall: None,
            timers: BTreeMap::new(),
            serial: 0,
            now,
            halted: false,
            out: Vec::new(),
            head_certificate,
        };
        for vote in core
            .head_certificate
            .iter()
            .flat_map(Certificate::iter_votes)
        {
            core.late.keep(vote);
        }
        if core.needs_upgrade() {
            let outputs = std::mem::take(&mut core.out);
            return (core, outputs);
        }
        // The others may have gone on while this node was away.
        let from = core.round.height;
        core.broadcast(Message::GetCommitted { from, count: 1 });
        if recall {
            core.begin_recall(vote_from);
        }
        if restored {
            core.resume();
        } else {
            core.refresh_rouse();
        }
        core.keep_following();
        core.settle();
        let outputs = std::mem::take(&mut core.out);
        (core, outputs)
    }

    /// One step. The shell executes the outputs in order; the core may step on meanwhile.
    #[must_use]
    pub fn step(&mut self, now: Millis, input: Input) -> Vec<Output> {
        if self.halted {
            return Vec::new();
        }
        #[cfg(any(test, feature = "testing"))]
        let _scope = QuorumScope::enter(self.config.plants(Mutant::ShortQuorum));
        self.now = now;
        match input {
            Input::Message { from, message } => self.receive(from, message),
            Input::TimerFired(timer) => self.on_timer(timer),
            Input::Built {
                height,
                view,
                transactions,
            } => self.on_built(height, view, transactions),
            Input::Work(work) => self.on_work(work),
        }
        self.settle();
        std::mem::take(&mut self.out)
    }

    /// The state after the last finalized block.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The height that is being agreed on.
    #[must_use]
    pub fn height(&self) -> Height {
        self.round.height
    }

    /// The current view of that height.
    #[must_use]
    pub fn view(&self) -> View {
        self.round.views.current()
    }

    /// The master of the current view.
    #[must_use]
    pub fn leader(&self) -> Option<ValidatorId> {
        self.round.leader(self.view())
    }

    /// Finalizes the last finalized block, with every vote for it that is known by now; none at height 0.
    #[must_use]
    pub fn head_certificate(&self) -> Option<Certificate> {
        self.head_certificate
            .clone()
            .map(|cert| self.late.complete(cert))
    }

    /// Whether this node still asks for its own votes, and so does not vote.
    #[cfg(test)]
    pub(super) fn is_recalling(&self) -> bool {
        self.recall.is_some()
    }

    /// Whether this node has stopped for good ([`Note::Halted`]).
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// Does everything that follows from what is known, one transition after the other. Each either makes progress
    /// that cannot be made twice, or says that there is nothing to do.
    fn settle(&mut self) {
        while !self.halted
            && (self.try_finish_recall()
                || self.try_commit()
                || self.try_count()
                || self.try_advance()
                || self.try_vote()
                || self.try_propose()
                || self.try_replay())
        {}
    }

    /// A message of the next height that came early.
    fn try_replay(&mut self) -> bool {
        let Some((from, message)) = self.future.take(self.round.height) else {
            return false;
        };
        self.receive(from, message);
        true
    }

    fn on_timer(&mut self, timer: Timer) {
        if self.timers.get(&timer.kind) != Some(&timer.serial) {
            return;
        }
        self.timers.remove(&timer.kind);
        match timer.kind {
            TimerKind::View => {
                let view = self.view();
                // Whoever gives a view up takes part until the height is over.
                self.round.activity.call();
                self.nullify(view, NullifyReason::Timeout);
            }
            TimerKind::Rebroadcast => self.rebroadcast(),
            TimerKind::Repropose => self.on_repropose(),
            TimerKind::Rouse => {
                self.round.activity.call();
                self.arm();
            }
            // `settle` looks at the waiting proposal again.
            TimerKind::Recheck => {}
            TimerKind::Fetch => self.fetch_next(),
            TimerKind::CatchUp => self.on_catch_up_timer(),
            TimerKind::Recall => self.ask_recall(),
        }
    }

    /// spec 2, on timer: sign(NUL, v)
    pub(super) fn nullify(&mut self, view: View, reason: NullifyReason) {
        let before = self.round.book.has(view, VoteKind::Nullify);
        self.sign(VoteKind::Nullify, view, BlockId::NONE);
        if !before && self.round.book.has(view, VoteKind::Nullify) {
            let height = self.round.height;
            self.note(Note::Nullifying {
                height,
                view,
                reason,
            });
        }
    }

    fn on_work(&mut self, work: bool) {
        self.round.activity.work(work);
        match self.round.activity.level() {
            Level::Idle => self.rest(),
            Level::Work | Level::Called => self.arm(),
        }
    }

    /// Starts the timers of the current view, once.
    pub(super) fn arm(&mut self) {
        if self.round.armed.is_some() {
            return;
        }
        self.round.armed = Some(self.now);
        self.heard.wait(self.now);
        let (view, timing) = (self.view(), self.config.timing);
        let base = self.round.views.base();
        let bare = base.is_some_and(|base| base.plus(1) == view);
        let silent = self.is_master_silent();
        self.round.is_hurried = silent;
        let patience = match (silent, bare) {
            (false, _) => timing.timeout(view),
            (true, false) => Millis(0),
            // Nothing is expected of a silent master here before the others would re-propose.
            (true, true) => timing.repropose_after(),
        };
        self.set_timer(TimerKind::View, patience);
        self.set_timer(TimerKind::Rebroadcast, timing.rebroadcast_every());
        if bare {
            // spec 2, enter: came by a bare notarization, finalization is normally one hop away
            self.set_timer(TimerKind::Repropose, timing.repropose_after());
        } else {
            self.round.propose_due = true;
        }
    }

    /// A word of the master that was not to be waited for: it is, for what is left of its time.
    pub(super) fn wait_after_all(&mut self, from: ValidatorId) {
        if !self.round.is_hurried || self.leader() != Some(from) {
            return;
        }
        self.round.is_hurried = false;
        if let Some(armed) = self.round.armed
            && self.is_set(TimerKind::View)
        {
            let patience = self.config.timing.timeout(self.view()).0;
            let left = patience.saturating_sub(self.now.0.saturating_sub(armed.0));
            self.set_timer(TimerKind::View, Millis(left));
        }
    }

    /// spec 2, optional: a master silent for long while q others were heard: timeout(v) = 0; ADR 32: or since it let a view
    /// or two heights pass
    fn is_master_silent(&self) -> bool {
        let me = self.config.me.as_ref().map(|me| me.id);
        let master = self.leader().filter(|master| Some(*master) != me);
        let (set, height) = (&self.round.set, self.round.height);
        let (now, timing) = (self.now, &self.config.timing);
        master.is_some_and(|master| self.heard.is_silent(master, set, height, now, timing))
    }

    /// Back to idle: the own mempool has become empty and nobody else needs this height.
    pub(super) fn rest(&mut self) {
        self.round.armed = None;
        self.heard.rest(self.now);
        self.round.propose_due = false;
        self.round.building = None;
        for kind in [TimerKind::View, TimerKind::Rebroadcast] {
            self.timers.remove(&kind);
        }
    }

    /// Sets the timer of the idle rule to when the height is called at the latest, or starts the view.
    pub(super) fn refresh_rouse(&mut self) {
        match self.round.activity.wait(self.now, &self.config.timing) {
            Some(after) => self.set_timer(TimerKind::Rouse, after),
            None => {
                self.timers.remove(&TimerKind::Rouse);
                self.arm();
            }
        }
    }

    pub(super) fn set_timer(&mut self, kind: TimerKind, after: Millis) {
        self.serial = self.serial.saturating_add(1);
        self.timers.insert(kind, self.serial);
        let timer = Timer {
            kind,
            serial: self.serial,
        };
        self.out.push(Output::SetTimer { timer, after });
    }

    pub(super) fn forget_timer(&mut self, kind: TimerKind) {
        self.timers.remove(&kind);
    }

    pub(super) fn is_set(&self, kind: TimerKind) -> bool {
        self.timers.contains_key(&kind)
    }

    /// Forgets all timers that belong to a height or view.
    pub(super) fn drop_timers(&mut self) {
        self.timers
            .retain(|&kind, _| matches!(kind, TimerKind::CatchUp | TimerKind::Recall));
    }

    /// Forgets the timers that belong to a view.
    pub(super) fn drop_view_timers(&mut self) {
        self.timers.retain(|&kind, _| match kind {
            TimerKind::View
            | TimerKind::Rebroadcast
            | TimerKind::Repropose
            | TimerKind::Recheck => false,
            TimerKind::Rouse | TimerKind::Fetch | TimerKind::CatchUp | TimerKind::Recall => true,
        });
    }

    pub(super) fn broadcast(&mut self, message: Message) {
        self.out.push(Output::Broadcast(message));
    }

    pub(super) fn send(&mut self, to: ValidatorId, message: Message) {
        self.out.push(Output::Send { to, message });
    }

    pub(super) fn note(&mut self, note: Note) {
        self.out.push(Output::Note(note));
    }

    pub(super) fn fault(&mut self, peer: ValidatorId, fault: Fault) {
        self.note(Note::Misbehaved { peer, fault });
    }
}
