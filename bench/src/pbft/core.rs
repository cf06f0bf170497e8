//! [`Pbft`]: the state of one node, its timers, proposals, votes and commits. Messages are in `receive`.

use crate::pbft::change::ViewChange;
use kithkin_protocol::consensus::{
    Agreement, Ballot, Certificate, Config, Identity, Input, Justification, Message, NewView, Note,
    NullifyReason, Output, Proposal, SignedProposalId, Timer, TimerKind, Timing, ViewReason, Vote,
    VoteKind, WalEntry, verify_votes,
};
use kithkin_protocol::credit::{Standings, ValidatorSet};
use kithkin_protocol::crypto::vrf::VrfProof;
use kithkin_protocol::ids::{BlockId, ChainId, ValidatorId};
use kithkin_protocol::ledger::{BLOCK_BYTES_MAX, Block, Header, Ledger, SignedTransaction};
use kithkin_protocol::units::{Height, Millis, View};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Votes of one kind in one view, by signer. An honest validator has one; a second one is not taken.
type Votes = BTreeMap<ValidatorId, Vote>;

/// One node.
pub struct Pbft {
    pub(super) me: Option<Arc<Identity>>,
    pub(super) timing: Timing,
    pub(super) chain: ChainId,
    pub(super) ledger: Ledger,
    pub(super) head_certificate: Option<Certificate>,
    pub(super) set: ValidatorSet,
    order: Vec<ValidatorId>,
    pub(super) height: Height,
    /// The view in which this height began.
    pub(super) first_view: View,
    pub(super) view: View,
    /// Whether the present view still waits for its new-view.
    pub(super) changing: bool,
    pub(super) accepted: BTreeMap<View, BlockId>,
    pub(super) bodies: BTreeMap<BlockId, Arc<Block>>,
    pub(super) votes: BTreeMap<(View, VoteKind), Votes>,
    /// Verified votes of this height and the last one.
    verified: BTreeSet<Vote>,
    pub(super) prepared: Option<Certificate>,
    pub(super) changes: BTreeMap<View, BTreeMap<ValidatorId, ViewChange>>,
    /// Own messages of this height that are worth repeating.
    pub(super) said: Vec<Message>,
    building: Option<(View, Millis, Justification)>,
    work: bool,
    armed: bool,
    timers: BTreeMap<TimerKind, u64>,
    serial: u64,
    pub(super) early: VecDeque<(ValidatorId, Message)>,
    pub(super) asked: Option<ValidatorId>,
    pub(super) now: Millis,
    halted: bool,
    pub(super) out: Vec<Output>,
}

impl Pbft {
    /// Starts at height 1; a node that finds a chain stays mute.
    #[must_use]
    pub fn start(config: &Config, ledger: Ledger, now: Millis) -> (Self, Vec<Output>) {
        let standings = ledger.standings();
        let core = Self {
            me: config.me.clone(),
            timing: config.timing,
            chain: ledger.chain(),
            set: standings.validators().clone(),
            order: standings.leader_order(),
            height: ledger.height().plus(1),
            halted: ledger.height() > Height(0),
            ledger,
            head_certificate: None,
            first_view: View(1),
            view: View(1),
            changing: false,
            accepted: BTreeMap::new(),
            bodies: BTreeMap::new(),
            votes: BTreeMap::new(),
            verified: BTreeSet::new(),
            prepared: None,
            changes: BTreeMap::new(),
            said: Vec::new(),
            building: None,
            work: false,
            armed: false,
            timers: BTreeMap::new(),
            serial: 0,
            early: VecDeque::new(),
            asked: None,
            now,
            out: Vec::new(),
        };
        (core, Vec::new())
    }

    pub(super) fn primary(&self, view: View) -> Option<ValidatorId> {
        of_view(&self.order, view)
    }

    fn leads(&self) -> bool {
        let primary = self.primary(self.view);
        self.me.as_ref().is_some_and(|me| primary == Some(me.id))
    }

    // Timers.

    pub(super) fn set_timer(&mut self, kind: TimerKind, after: Millis) {
        self.serial += 1;
        self.timers.insert(kind, self.serial);
        let serial = self.serial;
        let timer = Timer { kind, serial };
        self.out.push(Output::SetTimer { timer, after });
    }

    pub(super) fn is_set(&self, kind: TimerKind) -> bool {
        self.timers.contains_key(&kind)
    }

    /// Starts the timers of the present view, once: somebody has something to agree on.
    pub(super) fn arm(&mut self) {
        if !self.armed {
            self.armed = true;
            let views = View(self.view.0 - self.first_view.0 + 1);
            self.set_timer(TimerKind::View, self.timing.timeout(views));
            self.set_timer(TimerKind::Rebroadcast, self.timing.rebroadcast_every());
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        if self.timers.get(&timer.kind) != Some(&timer.serial) {
            return;
        }
        self.timers.remove(&timer.kind);
        match timer.kind {
            TimerKind::View => self.leave_for(self.view.plus(1), NullifyReason::Timeout),
            TimerKind::Rebroadcast => {
                for message in self.said.clone() {
                    self.out.push(Output::Broadcast(message));
                }
                self.set_timer(TimerKind::Rebroadcast, self.timing.rebroadcast_every());
            }
            TimerKind::CatchUp => self.ask_again(),
            // Timers that only credit-BFT sets.
            _ => {}
        }
    }

    // Primary.

    fn try_build(&mut self) {
        let waits = self.changing || self.accepted.contains_key(&self.view);
        if self.work && self.leads() && !waits && self.building.is_none() {
            self.order_block(Justification::default());
        }
    }

    /// Orders a fresh block for the present view.
    pub(super) fn order_block(&mut self, justification: Justification) {
        let time_ms = self.now.max(self.ledger.head_time().plus(1));
        self.building = Some((self.view, time_ms, justification));
        let Some(header) = self.header(time_ms, &[]) else {
            return;
        };
        let used = Block::new(header, Vec::new()).encoded_len() + 16;
        self.out.push(Output::Build {
            height: self.height,
            view: self.view,
            time_ms,
            bytes_max: BLOCK_BYTES_MAX - used,
        });
    }

    fn header(&self, time_ms: Millis, transactions: &[SignedTransaction]) -> Option<Header> {
        let me = self.me.as_ref()?;
        let input = self.ledger.standings().beacon_input();
        let proof = me.vrf_key.prove(&input).ok().map(|(_, proof)| proof);
        Some(Header {
            chain: self.chain,
            height: self.height,
            parent_id: self.ledger.head_id(),
            parent_state_root: self.ledger.state_root(),
            author: me.id,
            view: self.view,
            time_ms,
            tx_root: Block::tx_root(transactions),
            parent_cert: self.head_certificate.clone(),
            late_votes: Vec::new(),
            evidence: Vec::new(),
            vrf_proof: proof.unwrap_or(VrfProof([0; 80])),
        })
    }

    fn on_built(&mut self, height: Height, view: View, transactions: Vec<SignedTransaction>) {
        let current = height == self.height && view == self.view;
        let Some((_, time_ms, justification)) = self
            .building
            .take_if(|(building, _, _)| current && *building == view)
        else {
            return;
        };
        // A new view is owed a block, even an empty one.
        let owed = view > self.first_view;
        if transactions.is_empty() && !owed {
            self.work = false;
            return;
        }
        let Some(header) = self.header(time_ms, &transactions) else {
            return;
        };
        let block = Arc::new(Block::new(header, transactions));
        if let Err(error) = self.check_block(&block) {
            self.out
                .push(Output::Note(Note::OwnBlockRefused { height, error }));
            return;
        }
        self.pre_prepare(&block, justification);
    }

    pub(super) fn check_block(
        &mut self,
        block: &Block,
    ) -> Result<(), kithkin_protocol::ledger::BlockError> {
        let verified = &self.verified;
        self.ledger
            .check_block_knowing(block, &|vote| verified.contains(vote))
    }

    /// Sends the pre-prepare and prepares.
    pub(super) fn pre_prepare(&mut self, block: &Arc<Block>, justification: Justification) {
        let Some(me) = self.me.clone() else { return };
        let (id, height, view) = (block.id(), self.height, self.view);
        self.keep_body(id, block);
        let signed = SignedProposalId::sign(self.chain, height, view, id, me.id, &me.vote_key);
        let signature = signed.signature;
        self.out
            .push(Output::Persist(WalEntry::Proposal { signed, base: None }));
        self.say(Message::Proposal(Box::new(Proposal {
            height,
            view,
            block: Arc::clone(block),
            justification,
            leader: me.id,
            signature,
        })));
        self.accept(view, id);
    }

    // Votes.

    pub(super) fn keep_body(&mut self, id: BlockId, block: &Arc<Block>) {
        if self.bodies.insert(id, Arc::clone(block)).is_none() {
            self.out
                .push(Output::Persist(WalEntry::Body(Arc::clone(block))));
        }
    }

    /// Takes the one block of a view and prepares it.
    pub(super) fn accept(&mut self, view: View, id: BlockId) {
        if self.accepted.insert(view, id).is_none() {
            self.arm();
            self.vote(VoteKind::Notarize, view, id);
        }
    }

    fn vote(&mut self, kind: VoteKind, view: View, id: BlockId) {
        let Some(me) = self.me.clone() else { return };
        let vote = Vote::sign(self.chain, kind, self.height, view, id, me.id, &me.vote_key);
        self.out.push(Output::Persist(WalEntry::Vote(vote.clone())));
        self.verified.insert(vote.clone());
        let votes = self.votes.entry((view, kind)).or_default();
        votes.insert(me.id, vote.clone());
        let proposal = None;
        self.say(Message::Ballots(vec![Ballot { vote, proposal }]));
    }

    fn say(&mut self, message: Message) {
        self.said.push(message.clone());
        self.out.push(Output::Broadcast(message));
    }

    /// A quorum of one kind for one block in a view, every vote of it verified.
    fn quorum(&mut self, view: View, kind: VoteKind) -> Option<Certificate> {
        let quorum = self.set.quorum();
        let votes = self.votes.get_mut(&(view, kind))?;
        let mut counts: BTreeMap<BlockId, usize> = BTreeMap::new();
        for vote in votes.values() {
            *counts.entry(vote.id).or_default() += 1;
        }
        let (&id, _) = counts.iter().find(|&(_, &count)| count >= quorum)?;
        let fresh: Vec<Vote> = votes
            .values()
            .filter(|vote| vote.id == id && !self.verified.contains(vote))
            .cloned()
            .collect();
        let verdicts = verify_votes(self.chain, &self.set, &fresh);
        for (vote, holds) in fresh.into_iter().zip(verdicts) {
            if holds {
                self.verified.insert(vote);
            } else {
                votes.remove(&vote.signer);
            }
        }
        let good: Vec<_> = votes
            .values()
            .filter(|vote| vote.id == id)
            .map(|vote| (vote.signer, vote.signature))
            .collect();
        (good.len() >= quorum).then_some(Certificate {
            kind,
            height: self.height,
            view,
            id,
            votes: good,
        })
    }

    /// Everything that follows from what is known.
    pub(super) fn settle(&mut self) {
        while !self.halted && (self.try_commit() || self.try_prepared() || self.try_early()) {}
        self.try_build();
    }

    fn try_prepared(&mut self) -> bool {
        let view = self.view;
        let Some(me) = self.me.as_ref().map(|me| me.id) else {
            return false;
        };
        let said = self.votes.get(&(view, VoteKind::Finalize));
        let done = said.is_some_and(|votes| votes.contains_key(&me));
        if done || self.changing || !self.accepted.contains_key(&view) {
            return false;
        }
        let Some(cert) = self.quorum(view, VoteKind::Notarize) else {
            return false;
        };
        if self.accepted.get(&view) != Some(&cert.id) {
            return false;
        }
        let id = cert.id;
        self.out
            .push(Output::Persist(WalEntry::Notarization(cert.clone())));
        self.prepared = Some(cert);
        self.vote(VoteKind::Finalize, view, id);
        true
    }

    fn try_commit(&mut self) -> bool {
        let views: Vec<View> = self
            .votes
            .keys()
            .filter(|(_, kind)| *kind == VoteKind::Finalize)
            .map(|(view, _)| *view)
            .collect();
        for view in views {
            let Some(cert) = self.quorum(view, VoteKind::Finalize) else {
                continue;
            };
            if let Some(block) = self.bodies.get(&cert.id).cloned() {
                self.commit(&block, cert);
                return true;
            }
            let signer = cert.votes.iter().map(|&(signer, _)| signer);
            let peer = signer.into_iter().find(|&id| Some(id) != self.asked);
            if let Some(peer) = peer
                && !self.is_set(TimerKind::CatchUp)
            {
                self.ask(peer);
            }
        }
        false
    }

    pub(super) fn commit(&mut self, block: &Arc<Block>, certificate: Certificate) {
        let height = self.height;
        let effects = match self.ledger.execute(block) {
            Ok(effects) => effects,
            Err(error) => {
                self.halted = true;
                self.out.push(Output::Note(Note::Halted { height, error }));
                return;
            }
        };
        self.head_certificate = Some(certificate.clone());
        self.out.push(Output::Commit {
            block: Arc::clone(block),
            id: certificate.id,
            certificate,
            effects,
        });
        self.set = self.ledger.standings().validators().clone();
        self.order = self.ledger.standings().leader_order();
        self.verified.retain(|vote| vote.height == height);
        self.height = height.plus(1);
        self.first_view = block.header.view;
        self.view = self.first_view;
        self.changing = false;
        self.accepted.clear();
        self.bodies.clear();
        self.votes.clear();
        self.prepared = None;
        self.changes.clear();
        self.said.clear();
        self.building = None;
        self.armed = false;
        // The shell says so anew after each commit.
        self.work = false;
        self.timers.clear();
    }

    // View change.

    /// Leaves all views below `to`.
    pub(super) fn leave_for(&mut self, to: View, reason: NullifyReason) {
        let Some(me) = self.me.clone() else { return };
        if to <= self.view {
            return;
        }
        let (height, view) = (self.height, self.view);
        self.out.push(Output::Note(Note::Nullifying {
            height,
            view,
            reason,
        }));
        self.view = to;
        self.changing = true;
        self.building = None;
        let prepared = self.prepared.as_ref().map(|cert| (cert.view, cert.id));
        let change = ViewChange::sign(self.chain, height, to, prepared, me.id, &me.vote_key);
        // The record that it left: a nullify vote for the view that it left.
        let left = Vote::sign(
            self.chain,
            VoteKind::Nullify,
            height,
            view,
            BlockId::NONE,
            me.id,
            &me.vote_key,
        );
        self.out.push(Output::Persist(WalEntry::Vote(left)));
        self.say(Message::NewView(Box::new(NewView {
            height,
            view: to,
            justification: Justification {
                base: self.prepared.clone(),
                nullifications: vec![change.carried(height)],
            },
        })));
        self.changes.entry(to).or_default().insert(me.id, change);
        self.armed = false;
        self.arm();
        self.try_new_view();
    }

    /// The primary of the view that is waited for: with view-changes of a quorum it begins the view.
    pub(super) fn try_new_view(&mut self) {
        let view = self.view;
        let changes = self.changes.get(&view);
        let enough = changes.is_some_and(|changes| changes.len() >= self.set.quorum());
        if !self.changing || !self.leads() || !enough {
            return;
        }
        let Some(changes) = changes else { return };
        let highest = changes.values().filter_map(|change| change.prepared).max();
        let mut justification = Justification {
            base: None,
            nullifications: changes
                .values()
                .map(|change| change.carried(self.height))
                .collect(),
        };
        let Some((prepared, id)) = highest else {
            self.enter(view);
            self.order_block(justification);
            return;
        };
        // The view-change that named it brought its certificate; without its block this primary stays silent.
        let known = self.prepared.as_ref().filter(|cert| cert.view == prepared);
        let (Some(cert), Some(block)) = (known.cloned(), self.bodies.get(&id).cloned()) else {
            return;
        };
        justification.base = Some(cert);
        self.enter(view);
        self.pre_prepare(&block, justification);
    }

    /// A view begins.
    pub(super) fn enter(&mut self, view: View) {
        self.view = view;
        self.changing = false;
        self.armed = false;
        self.arm();
        self.out.push(Output::Note(Note::ViewChanged {
            height: self.height,
            view,
            reason: ViewReason::Nullified,
            leader: self.primary(view),
        }));
    }
}

impl Agreement for Pbft {
    fn step(&mut self, now: Millis, input: Input) -> Vec<Output> {
        if self.halted {
            return Vec::new();
        }
        self.now = now;
        match input {
            Input::Message { from, message } => self.receive(from, message),
            Input::TimerFired(timer) => self.on_timer(timer),
            Input::Built {
                height,
                view,
                transactions,
            } => self.on_built(height, view, transactions),
            Input::Work(work) => {
                self.work = work;
                if work {
                    self.arm();
                } else if self.armed && self.said.is_empty() && self.votes.is_empty() {
                    self.armed = false;
                    self.timers.clear();
                }
            }
        }
        self.settle();
        std::mem::take(&mut self.out)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn height(&self) -> Height {
        self.height
    }

    fn view(&self) -> View {
        self.view
    }

    fn leader(&self) -> Option<ValidatorId> {
        self.primary(self.view)
    }

    fn head_certificate(&self) -> Option<Certificate> {
        self.head_certificate.clone()
    }

    fn is_halted(&self) -> bool {
        self.halted
    }

    /// The primary stays.
    fn next_master(&self, standings: &Standings) -> Option<ValidatorId> {
        of_view(&standings.leader_order(), self.view)
    }
}

/// The primary of `view`: in turn.
fn of_view(order: &[ValidatorId], view: View) -> Option<ValidatorId> {
    let place = view.0.checked_sub(1)?.checked_rem(order.len() as u64)?;
    order.get(usize::try_from(place).ok()?).copied()
}
