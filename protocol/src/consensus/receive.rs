//! [`Consensus`] continued: messages from peers (spec section 2, on Proposal, on Vote, on NewView).
//!
//! Each handler bounds what it takes, verifies it, and notes the facts;
//! what follows from them is done in `settle`.

use crate::consensus::VIEWS_AHEAD_MAX;
use crate::consensus::activity::Level;
use crate::consensus::catchup::Service;
use crate::consensus::certificate::verify_votes;
use crate::consensus::core::Consensus;
use crate::consensus::io::Fault;
use crate::consensus::message::{
    BALLOTS_PER_MESSAGE, Ballot, Justification, Message, NULLIFICATIONS_PER_MESSAGE, NewView,
    Proposal,
};
use crate::consensus::mutant::Mutant;
use crate::consensus::proposals::Waiting;
use crate::consensus::tally::Tally;
use crate::consensus::vote::{Certificate, Evidence, SignedProposalId, VoteKind};
use crate::credit::leader;
use crate::ids::{BlockId, ValidatorId};
use crate::units::{Height, View};
use std::cmp::Ordering;

impl Consensus {
    pub(super) fn receive(&mut self, from: ValidatorId, message: Message) {
        if self.config.me.as_ref().is_some_and(|me| me.id == from) {
            return;
        }
        self.heard.note(from, self.now, self.round.height);
        self.wait_after_all(from);
        match message {
            Message::Proposal(proposal) => self.on_proposal(from, proposal),
            Message::Ballots(ballots) => self.on_ballots(from, ballots),
            Message::NewView(new_view) => self.on_new_view(from, *new_view),
            Message::GetCommitted {
                from: height,
                count,
            } => self.on_get_committed(from, height, count),
            Message::Committed(finalized) => self.on_committed(from, finalized),
            Message::NoBlocks { from: height, .. } => self.on_no_blocks(from, height),
            Message::GetBody { height, id } => self.on_get_body(from, height, id),
            Message::Body(block) => self.on_body(from, &block),
            Message::Evidence(evidence) => self.on_evidence(from, &evidence),
            Message::Recall(recall) => self.on_recall(from, recall),
            Message::Hearsay(hearsay) => self.on_hearsay(from, hearsay),
        }
    }

    fn on_proposal(&mut self, from: ValidatorId, proposal: Box<Proposal>) {
        let (height, view) = (proposal.height, proposal.view);
        if from != proposal.leader || proposal.block.header.height != height {
            return self.fault(from, Fault::Proposal { view });
        }
        match height.cmp(&self.round.height) {
            Ordering::Less => {
                let id = proposal.block.id();
                if !self.note_past_signature(&proposal.signed(id)) {
                    return self.fault(from, Fault::Proposal { view });
                }
                return self.answer_committed(from, height);
            }
            Ordering::Greater => return self.on_early_proposal(from, proposal),
            Ordering::Equal => {}
        }
        // spec 2, on Proposal: v <= cur.v + MAX_VIEW_AHEAD, l = leader(h, v), sig
        if !Tally::in_range(view, self.view()) {
            return;
        }
        let id = proposal.block.id();
        if self.round.leader(view) != Some(from) || !self.signature_holds(&proposal, id) {
            return self.fault(from, Fault::Proposal { view });
        }
        let Proposal {
            block,
            justification,
            ..
        } = *proposal;
        let base = justification.base.as_ref().map(|cert| cert.view);
        if !self.absorb(from, justification, view) {
            return;
        }
        self.on_body(from, &block);
        if view >= self.view() {
            self.round.pending.put(
                view,
                Waiting {
                    leader: from,
                    id,
                    block,
                    base,
                },
            );
        }
    }

    /// Checks the master's signature and notes it; two different ones in a view are evidence.
    fn signature_holds(&mut self, proposal: &Proposal, id: BlockId) -> bool {
        let view = proposal.view;
        if self.round.seen.wants(view, id) {
            return self.note_signature(view, id, proposal.signature);
        }
        // Known, or a third block of a master that is convicted anyway.
        self.round.seen.contains(view, id)
    }

    /// A proposal of a later height. The next one's header carries the finalization of the present height.
    fn on_early_proposal(&mut self, from: ValidatorId, proposal: Box<Proposal>) {
        let height = proposal.height;
        self.on_ahead(from, height);
        if height != self.round.height.plus(1) {
            return;
        }
        if let Some(cert) = &proposal.block.header.parent_cert
            && self.round.finalization.is_none()
        {
            if !self.is_finalization(cert) {
                return self.fault(from, Fault::Certificate);
            }
            self.round.finalization = Some(cert.clone());
        }
        self.future.keep(height, from, Message::Proposal(proposal));
    }

    /// Takes over the certificates of a justification page. False when one does not hold.
    fn absorb(&mut self, from: ValidatorId, page: Justification, view: View) -> bool {
        let count = page.nullifications.len();
        if count > NULLIFICATIONS_PER_MESSAGE {
            self.fault(from, Fault::TooMany { count });
            return false;
        }
        if let Some(cert) = page.base {
            // spec 2, validJ: base is a valid Notarization of height h, 1 <= lo < v
            if cert.view >= view || !self.holds(&cert, VoteKind::Notarize) {
                self.fault(from, Fault::Certificate);
                return false;
            }
            // spec 2, on NewView: J.base: onNotar(J.base). A proposal's base says the same.
            self.on_notarization(cert);
        }
        for cert in page.nullifications {
            if cert.view > self.view().plus(VIEWS_AHEAD_MAX) {
                break;
            }
            if !self.holds(&cert, VoteKind::Nullify) {
                self.fault(from, Fault::Certificate);
                return false;
            }
            self.on_nullification(cert);
        }
        true
    }

    /// Whether a certificate of this kind and height holds; known ones cost nothing.
    fn holds(&self, cert: &Certificate, kind: VoteKind) -> bool {
        let views = &self.round.views;
        let known = match kind {
            VoteKind::Notarize => views
                .notarization(cert.view)
                .is_some_and(|known| known.id == cert.id),
            VoteKind::Nullify => views.has_nullification(cert.view) && cert.id == BlockId::NONE,
            VoteKind::Finalize => false,
        };
        cert.kind == kind
            && cert.height == self.round.height
            && (known || self.verify_certificate(cert))
    }

    fn on_new_view(&mut self, from: ValidatorId, new_view: NewView) {
        let NewView {
            height,
            view,
            justification,
        } = new_view;
        match height.cmp(&self.round.height) {
            Ordering::Less => return self.answer_committed(from, height),
            Ordering::Greater => {
                self.on_ahead(from, height);
                if height == self.round.height.plus(1) {
                    let message = NewView {
                        height,
                        view,
                        justification,
                    };
                    self.future
                        .keep(height, from, Message::NewView(Box::new(message)));
                }
                return;
            }
            Ordering::Equal => {}
        }
        if !self.absorb(from, justification, view) {
            return;
        }
        // spec 2, on NewView: v > cur.v: enter(v, J)
        while self.try_advance() {}
        match view.cmp(&self.view()) {
            Ordering::Equal => {}
            // spec 1: a long J travels in bounded pages, only what the receiver lacks
            Ordering::Less => {
                let forwards = !self.config.plants(Mutant::NoNewView);
                if forwards && self.limiter.allow(from, Service::Page, self.now) {
                    let justification = self.round.views.page_for(view);
                    let view = self.view();
                    let page = NewView {
                        height,
                        view,
                        justification,
                    };
                    self.send(from, Message::NewView(Box::new(page)));
                }
            }
            // Saying where we are asks for what we lack.
            Ordering::Greater => {
                if self.limiter.allow(from, Service::AskPage, self.now) {
                    let (view, justification) = (self.view(), Justification::default());
                    let ask = NewView {
                        height,
                        view,
                        justification,
                    };
                    self.send(from, Message::NewView(Box::new(ask)));
                }
            }
        }
    }

    fn on_ballots(&mut self, from: ValidatorId, ballots: Vec<Ballot>) {
        let count = ballots.len();
        if count > BALLOTS_PER_MESSAGE {
            return self.fault(from, Fault::TooMany { count });
        }
        // Votes of others travel in certificates only; so nobody can flood us in another's name.
        if let Some(foreign) = ballots.iter().find(|ballot| ballot.vote.signer != from) {
            let signer = foreign.vote.signer;
            return self.fault(from, Fault::ForeignVote { signer });
        }
        let (height, mut present, mut early) = (self.round.height, Vec::new(), Vec::new());
        let mut stuck_at: Option<Height> = None;
        for ballot in ballots {
            let voted = ballot.vote.height;
            match voted.cmp(&height) {
                Ordering::Equal => present.push(ballot),
                Ordering::Greater => {
                    self.on_ahead(from, voted);
                    if voted == height.plus(1) {
                        early.push(ballot);
                    }
                }
                Ordering::Less => {
                    if !self.on_past_ballot(ballot) {
                        stuck_at = Some(stuck_at.map_or(voted, |lowest| lowest.min(voted)));
                    }
                }
            }
        }
        if !early.is_empty() {
            // spec 2, on Vote: h > cur.h: buffer (bounded), ask for sync
            self.future
                .keep(height.plus(1), from, Message::Ballots(early));
        }
        if let Some(height) = stuck_at {
            self.answer_committed(from, height);
        }
        self.on_present_ballots(from, present);
    }

    /// spec 2, on Vote: signer in V_h, signature (in batches; bisect on failure); tally; conflicting pair: Evidence
    fn on_present_ballots(&mut self, from: ValidatorId, ballots: Vec<Ballot>) {
        let view = self.view();
        for ballot in ballots {
            let vote = ballot.vote.clone();
            let wanted = Tally::in_range(vote.view, view) && self.round.tally.wants(&vote);
            if !wanted || !vote.is_well_formed() || !self.round.set.contains(from) {
                continue;
            }
            // The master's signature proves itself, whoever brings it.
            if let (VoteKind::Notarize, Some(signature)) = (vote.kind, ballot.proposal)
                && self.round.seen.wants(vote.view, vote.id)
                && !self.note_signature(vote.view, vote.id, signature)
            {
                // Honest nodes pass on what they have verified.
                let view = vote.view;
                self.fault(from, Fault::Proposal { view });
                continue;
            }
            self.round.inbox.put(ballot);
            // Idle rule: before the height is roused each vote matters by itself.
            let round = &mut self.round;
            let due = if round.activity.level() < Level::Called {
                round.inbox.drain()
            } else {
                round.inbox.take_conflict(&vote, &round.tally)
            };
            self.verify_and_count(due);
            // Only now: a vote that contradicts another may be the last one of a quorum as well.
            let round = &mut self.round;
            let quorum = round.set.quorum();
            let due = round.inbox.take_quorum(&vote, &round.tally, quorum);
            self.verify_and_count(due);
        }
    }

    /// Verifies in one batch and counts what holds.
    pub(super) fn verify_and_count(&mut self, ballots: Vec<Ballot>) {
        if ballots.is_empty() {
            return;
        }
        let votes: Vec<_> = ballots.iter().map(|ballot| ballot.vote.clone()).collect();
        let verdicts = verify_votes(self.chain, &self.round.set, &votes);
        for (ballot, holds) in ballots.into_iter().zip(verdicts) {
            let vote = ballot.vote;
            if !holds {
                self.fault(vote.signer, Fault::VoteSignature);
                continue;
            }
            self.count(&vote);
            // Idle rule: votes of others rouse the height.
            if self
                .round
                .activity
                .hear(vote.signer, self.round.set.f(), &self.config.timing)
            {
                self.refresh_rouse();
            }
        }
    }

    /// A vote on a finalized height. True when it needs no answer, the normal end of a height: it was for the block that
    /// became final, and it was news or its signer's first since the height was over (a certificate was faster then). Whoever
    /// goes on repeating itself, or wants something else, is stuck there.
    fn on_past_ballot(&mut self, ballot: Ballot) -> bool {
        let Ballot { vote, proposal } = ballot;
        if let (VoteKind::Notarize, Some(signature)) = (vote.kind, proposal)
            && let Some(past) = self.past.get(&vote.height)
            && let Some(leader) = leader(&past.order, vote.view)
        {
            let (height, view, id) = (vote.height, vote.view, vote.id);
            let signed = SignedProposalId {
                height,
                view,
                id,
                leader,
                signature,
            };
            if !self.note_past_signature(&signed) {
                self.fault(vote.signer, Fault::Proposal { view });
                return true;
            }
        }
        let standings = self.ledger.standings();
        let set = standings.validators_at(vote.height);
        let mut past = self.past.get_mut(&vote.height);
        let arrives = past.as_mut().is_some_and(|past| past.arrives(&vote));
        let wanted = past.as_ref().is_some_and(|past| past.wants(&vote));
        let follows = wanted && past.as_ref().is_some_and(|past| past.follows(&vote));
        let earns = self.late.wants(&vote, standings);
        if !(wanted || earns) {
            return arrives;
        }
        if !vote.holds(self.chain, set) {
            // It came from its signer, and has cost a look.
            self.fault(vote.signer, Fault::VoteSignature);
            return true;
        }
        let found = past.map(|past| past.count(self.chain, &vote));
        if earns {
            self.late.keep(vote);
        }
        for evidence in found.into_iter().flatten() {
            self.accuse(evidence);
        }
        earns || follows
    }

    fn on_evidence(&mut self, from: ValidatorId, evidence: &Evidence) {
        let standings = self.ledger.standings();
        if standings
            .check_punishable(evidence, self.round.height)
            .is_err()
            || self.pool.is_settled(evidence)
        {
            return;
        }
        if standings
            .check_offence(evidence, self.round.height)
            .is_err()
        {
            return self.fault(from, Fault::Evidence);
        }
        self.keep_evidence(evidence);
    }
}
