//! [`Consensus`] continued: signing, counting, entering views (spec section 2: `sign`, `check`, `onNotar`, `enter`).

use crate::consensus::SKEW_MS_MAX;
use crate::consensus::book::Permit;
use crate::consensus::catchup::Service;
use crate::consensus::core::Consensus;
use crate::consensus::io::{Fault, Note, NullifyReason, Output, TimerKind, ViewReason};
use crate::consensus::message::{BALLOTS_PER_MESSAGE, Ballot, Message, NewView};
use crate::consensus::mutant::Mutant;
use crate::consensus::tally::Tally;
use crate::consensus::vote::{Certificate, Evidence, SignedProposalId, Vote, VoteKind};
use crate::consensus::wal::WalEntry;
use crate::crypto::Signature;
use crate::ids::BlockId;
use crate::ledger::{Block, BlockError};
use crate::units::View;
use std::sync::Arc;

/// How many nullifications go along unasked; a peer that lacks more says in which view it is.
const NULLIFICATIONS_UNASKED: usize = 4;
/// How many own votes are repeated: those of the last few views.
const VOTES_REPEATED: usize = 24;
const _: () = assert!(VOTES_REPEATED <= BALLOTS_PER_MESSAGE);

impl Consensus {
    /// spec 2, sign: the only path that signs votes.
    pub(super) fn sign(&mut self, kind: VoteKind, view: View, id: BlockId) {
        let Some(me) = self.round.voter.clone() else {
            return;
        };
        let permit = if self.config.plants(Mutant::NullifiesAndFinalizes) {
            self.round.book.permit_once(kind, view, id)
        } else {
            self.round.book.permit(kind, view, id)
        };
        match permit {
            Permit::Sign => {}
            Permit::Never => return,
            // spec 2, sign: re-send the STORED vote. Not more often than we would answer anybody.
            Permit::Signed(vote) => {
                if self.limiter.allow(me.id, Service::Resend, self.now) {
                    let ballots = vec![self.ballot(vote)];
                    self.broadcast(Message::Ballots(ballots));
                }
                return;
            }
        }
        let views = &self.round.views;
        let ready = match kind {
            // spec 2, sign: NOT requires wal.view.v = v and wal.body[id]
            VoteKind::Notarize => view == views.current() && self.round.bodies.contains_key(&id),
            // spec 2, sign: NUL requires wal.view.v = v
            VoteKind::Nullify => view == views.current(),
            // spec 2, sign: FIN requires wal.notar[v].id = id; v may differ from the current view
            VoteKind::Finalize => views.notarization(view).is_some_and(|cert| cert.id == id),
        };
        if !ready {
            return;
        }
        let vote = Vote::sign(
            self.chain,
            kind,
            self.round.height,
            view,
            id,
            me.id,
            &me.vote_key,
        );
        self.round.book.record(vote.clone());
        // spec 2, sign: FSYNC, then broadcast. The shell syncs whatever stands before a message.
        if !self.config.plants(Mutant::VotesNotDurable) {
            self.out.push(Output::Persist(WalEntry::Vote(vote.clone())));
        }
        let ballots = vec![self.ballot(vote.clone())];
        self.broadcast(Message::Ballots(ballots));
        self.count(&vote);
    }

    /// The vote as it travels.
    fn ballot(&self, vote: Vote) -> Ballot {
        let proposal = match vote.kind {
            VoteKind::Notarize => self.round.seen.signature(vote.view, vote.id),
            VoteKind::Nullify | VoteKind::Finalize => None,
        };
        Ballot { vote, proposal }
    }

    /// Counts a verified vote of this height; a second, conflicting one is evidence.
    pub(super) fn count(&mut self, vote: &Vote) {
        if !Tally::in_range(vote.view, self.view()) {
            return;
        }
        if let Some(evidence) = self.round.tally.insert(vote) {
            self.accuse(evidence);
        }
        // It may have waited here: one that is counted is not to be told again as one that waits.
        let _ = self.round.inbox.remove(vote);
        // What nobody had verified for want of importance has some now.
        let quorum = self.round.set.quorum();
        let round = &mut self.round;
        let mut waiting = round.inbox.take_contradicting(vote);
        // Our own vote, or one out of a certificate, may be the last that a quorum needed.
        waiting.extend(round.inbox.take_quorum(vote, &round.tally, quorum));
        if !waiting.is_empty() {
            self.verify_and_count(waiting);
        }
    }

    /// Notes a master's signature that came along with a vote or a proposal.
    pub(super) fn note_signature(&mut self, view: View, id: BlockId, signature: Signature) -> bool {
        if !Tally::in_range(view, self.view()) || !self.round.seen.wants(view, id) {
            return self.round.seen.contains(view, id);
        }
        let Some(leader) = self.round.leader(view) else {
            return false;
        };
        let signed = SignedProposalId {
            height: self.round.height,
            view,
            id,
            leader,
            signature,
        };
        if !signed.holds(self.chain, &self.round.set) {
            return false;
        }
        // spec 2, on Proposal: second different id from l in (h, v): Evidence(DoubleProposal)
        if let Some(evidence) = self.round.seen.note(signed) {
            self.accuse(evidence);
        }
        true
    }

    /// Keeps evidence that this node has found itself, and tells everybody.
    pub(super) fn accuse(&mut self, evidence: Evidence) {
        if self.keep_evidence(&evidence) {
            self.broadcast(Message::Evidence(Box::new(evidence)));
        }
    }

    /// Keeps verified evidence for the next own block; whether it was news.
    pub(super) fn keep_evidence(&mut self, evidence: &Evidence) -> bool {
        let punishable = self
            .ledger
            .standings()
            .check_punishable(evidence, self.round.height)
            .is_ok();
        if !punishable || self.pool.is_settled(evidence) {
            return false;
        }
        self.pool.keep(evidence.clone());
        self.out.push(Output::Accuse(evidence.clone()));
        true
    }

    /// spec 2, check(v): looks at one view with new votes.
    pub(super) fn try_count(&mut self) -> bool {
        let Some(view) = self.round.tally.next_fresh() else {
            return false;
        };
        let quorum = self.round.set.quorum();
        let tally = &self.round.tally;
        let finalized = tally.certificate(view, VoteKind::Finalize, quorum);
        let notarized = tally.certificate(view, VoteKind::Notarize, quorum);
        let nullified = tally.certificate(view, VoteKind::Nullify, quorum);
        // spec 2, check: q x FIN(v, id), body known: commit
        if let Some(cert) = finalized {
            self.round.finalization.get_or_insert(cert);
        }
        if let Some(cert) = notarized {
            self.on_notarization(cert);
        }
        if let Some(cert) = nullified {
            self.on_nullification(cert);
        }
        true
    }

    /// spec 2, onNotar: first time: wal.notar[v] = C; sign(FIN, v, id). `try_advance` then leaves the view, always.
    pub(super) fn on_notarization(&mut self, cert: Certificate) {
        let (view, id) = (cert.view, cert.id);
        if self.config.plants(Mutant::IgnoresNotarization)
            && self.round.book.has(view, VoteKind::Nullify)
        {
            return;
        }
        if !self.round.views.add_notarization(cert.clone()) {
            return;
        }
        for vote in cert.iter_votes() {
            self.count(&vote);
        }
        let volatile = self.config.plants(Mutant::NotarizationNotDurable)
            || self.config.plants(Mutant::ViewNotDurable);
        if !volatile {
            self.out.push(Output::Persist(WalEntry::Notarization(cert)));
        }
        self.sign(VoteKind::Finalize, view, id);
    }

    pub(super) fn on_nullification(&mut self, cert: Certificate) {
        if !self.round.views.add_nullification(cert.clone()) {
            return;
        }
        for vote in cert.iter_votes() {
            self.count(&vote);
        }
        if !self.config.plants(Mutant::ViewNotDurable) {
            self.out
                .push(Output::Persist(WalEntry::Nullification(cert)));
        }
    }

    /// Enters the highest view that the known certificates justify (spec section 2, `enter`).
    pub(super) fn try_advance(&mut self) -> bool {
        let Some(next) = self.round.views.next() else {
            return false;
        };
        if self.config.plants(Mutant::WaitsAfterFinalize)
            && self.round.book.has(self.view(), VoteKind::Finalize)
        {
            return false;
        }
        self.note_silence();
        self.round.views.enter(next);
        let (height, view) = (self.round.height, next.view);
        // spec 2, enter: wal.view = (v, J); the certificates of J were written when they came
        if !self.config.plants(Mutant::ViewNotDurable) {
            self.out.push(Output::Persist(WalEntry::View {
                height,
                view,
                base: next.base,
            }));
        }
        let leader = self.round.leader(view);
        self.note(Note::ViewChanged {
            height,
            view,
            reason: next.reason,
            leader,
        });

        self.drop_view_timers();
        self.round.tally.prune(view);
        self.round.inbox.prune(view);
        self.round.seen.prune(view);
        self.round.pending.prune(view);
        self.round.armed = None;
        self.round.propose_due = false;
        self.round.building = None;
        self.round.activity.call();
        match next.reason {
            // spec 2, enter: J.nulls nonempty: broadcast NewView; me = leader: propose
            ViewReason::Nullified => self.announce_view(),
            // spec 2, enter: else after D_REP_MS, see `on_repropose`
            ViewReason::Notarized => {}
        }
        self.arm();
        true
    }

    /// The current view is left. If a quorum nullified it, it is remembered whether its master has said anything in it.
    fn note_silence(&mut self) {
        let (view, me) = (self.view(), self.config.me.as_ref().map(|me| me.id));
        if let Some(since) = self.round.armed
            && self.round.views.has_nullification(view)
            && let Some(master) = self.leader().filter(|master| Some(*master) != me)
        {
            self.heard.let_pass(master, since);
        }
    }

    /// spec 2, enter: D_REP_MS are over and the finalization has not come.
    pub(super) fn on_repropose(&mut self) {
        self.announce_view();
        self.round.propose_due = true;
    }

    fn announce_view(&mut self) {
        if self.config.plants(Mutant::NoNewView) {
            return;
        }
        let message = self.new_view();
        self.broadcast(message);
    }

    fn new_view(&self) -> Message {
        let views = &self.round.views;
        let (view, base) = (views.current(), views.base());
        let justification = views.latest(base, view, NULLIFICATIONS_UNASKED);
        Message::NewView(Box::new(NewView {
            height: self.round.height,
            view,
            justification,
        }))
    }

    /// spec 2, every REBCAST_MS while in v: own stored votes of this height, NewView, own proposal if master; and the question for the
    /// block, should it be final already.
    pub(super) fn rebroadcast(&mut self) {
        if self.config.plants(Mutant::NoRebroadcast) {
            return;
        }
        let votes = self.round.book.latest(VOTES_REPEATED);
        let ballots: Vec<_> = votes.into_iter().map(|vote| self.ballot(vote)).collect();
        if !ballots.is_empty() {
            self.broadcast(Message::Ballots(ballots));
        }
        self.announce_view();
        self.resend_proposal();
        // To whom this node is no validator any more its votes mean nothing, and it may not know that yet: it has to ask.
        let (from, count) = (self.round.height, 1);
        self.broadcast(Message::GetCommitted { from, count });
        self.set_timer(
            TimerKind::Rebroadcast,
            self.config.timing.rebroadcast_every(),
        );
    }

    /// spec 2, start(h): goes on where the durable records end, and re-sends them unchanged.
    pub(super) fn resume(&mut self) {
        self.round.activity.call();
        self.finalize_notarized();
        self.arm();
        self.rebroadcast();
    }

    /// A crash, or a time without votes, between a notarization's record and the vote that follows from it.
    pub(super) fn finalize_notarized(&mut self) {
        let notarized: Vec<_> = self
            .round
            .views
            .notarizations()
            .map(|cert| (cert.view, cert.id))
            .collect();
        for (view, id) in notarized {
            if !self.round.book.has(view, VoteKind::Finalize) {
                self.sign(VoteKind::Finalize, view, id);
            }
        }
    }

    /// Checks a fresh block. Most votes in its header this node has verified when they came.
    pub(super) fn check_block(&mut self, block: &Block) -> Result<(), BlockError> {
        let (past, late) = (self.past.get(&self.ledger.height()), &self.late);
        let known =
            |vote: &Vote| late.knows(vote) || past.is_some_and(|past| past.tally.knows(vote));
        self.ledger.check_block_knowing(block, &known)
    }

    /// Makes a block body durable, once.
    pub(super) fn keep_body(&mut self, id: BlockId, block: &Arc<Block>) {
        if self.round.bodies.contains_key(&id) {
            return;
        }
        self.round.bodies.insert(id, Arc::clone(block));
        if !self.config.plants(Mutant::BodyNotDurable) {
            self.out
                .push(Output::Persist(WalEntry::Body(Arc::clone(block))));
        }
    }

    /// spec 2, on Proposal, from "validJ" on: judges the waiting proposal of the current view.
    pub(super) fn try_vote(&mut self) -> bool {
        if self.recall.is_some() {
            // It stays until there may be a vote on it.
            return false;
        }
        let view = self.view();
        let Some(waiting) = self.round.pending.get(view).cloned() else {
            return false;
        };
        // Certificates that are still missing come with the others' NewView.
        let complete = self.round.views.justifies(waiting.base, view);
        if !complete && !self.config.plants(Mutant::AcceptsGaps) {
            return false;
        }
        let header = &waiting.block.header;
        let fits = match waiting.base.map(|base| self.round.views.notarization(base)) {
            // spec 2, on Proposal: J.base: require id(B) = J.base.id: no other block
            Some(base) => base.is_some_and(|cert| cert.id == waiting.id),
            // spec 2, on Proposal: else: require B.view = v
            None => header.view == view && header.height == self.round.height,
        };
        if !fits {
            self.round.pending.remove(view);
            self.fault(waiting.leader, Fault::ProposalBlock { view });
            return true;
        }
        if waiting.base.is_none() {
            // spec 2, validFresh: Unknown while the time lies in the future
            let early = header.time_ms.minus(self.now.plus(SKEW_MS_MAX).0);
            if early.0 > 0 {
                if !self.is_set(TimerKind::Recheck) {
                    self.set_timer(TimerKind::Recheck, early);
                }
                return false;
            }
            if let Err(error) = self.check_block(&waiting.block) {
                self.round.pending.remove(view);
                self.fault(
                    waiting.leader,
                    Fault::Block {
                        error: Box::new(error),
                    },
                );
                // spec 2, on Proposal: Invalid: sign(NUL, v) at once
                self.round.activity.call();
                self.arm();
                self.nullify(view, NullifyReason::InvalidBlock);
                return true;
            }
        } else if !self.round.bodies.contains_key(&waiting.id)
            && let Err(error) = self.ledger.check_body(&waiting.block)
        {
            // The notarized identifier says nothing about the signatures, nor whether these are its transactions.
            self.round.pending.remove(view);
            let error = Box::new(error);
            self.fault(waiting.leader, Fault::Block { error });
            return true;
        }
        self.learn_votes(&waiting.block);
        self.round.pending.remove(view);
        self.round.activity.call();
        self.arm();
        // A second proposal of one view must not be stored in place of the first.
        if self.round.book.permit(VoteKind::Notarize, view, waiting.id) != Permit::Never {
            self.keep_body(waiting.id, &waiting.block);
            self.sign(VoteKind::Notarize, view, waiting.id);
        }
        true
    }
}
