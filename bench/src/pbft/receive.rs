//! [`Pbft`] continued: messages from other nodes, and catching up.

use crate::pbft::change::{Duty, ViewChange, duty, is_prepared};
use crate::pbft::core::Pbft;
use kithkin_protocol::consensus::{
    BALLOTS_PER_MESSAGE, Ballot, COMMITTED_PER_MESSAGE, Finalized, Message, NewView, NullifyReason,
    Output, Proposal, SKEW_MS_MAX, SignedProposalId, TimerKind, VIEWS_AHEAD_MAX, VoteKind,
};
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::units::{Height, Millis, View};
use std::cmp::Ordering;

/// Most messages of the next height that are kept.
const EARLY_MAX: usize = 1_024;

impl Pbft {
    pub(super) fn receive(&mut self, from: ValidatorId, message: Message) {
        let height = match &message {
            Message::Proposal(proposal) => proposal.height,
            Message::Ballots(ballots) => ballots
                .first()
                .map_or(self.height, |ballot| ballot.vote.height),
            Message::NewView(new_view) => new_view.height,
            Message::GetCommitted { .. }
            | Message::Committed(_)
            | Message::GetBody { .. }
            | Message::Body(_)
            | Message::Evidence(_) => self.height,
            #[allow(unreachable_patterns, reason = "kinds that only credit-BFT knows")]
            _ => return,
        };
        match height.cmp(&self.height) {
            Ordering::Less => return self.answer_late(from, height, &message),
            Ordering::Greater => return self.on_ahead(from, height, message),
            Ordering::Equal => {}
        }
        match message {
            Message::Proposal(proposal) => self.on_proposal(from, *proposal),
            Message::Ballots(ballots) => self.on_ballots(from, ballots),
            Message::NewView(new_view) => self.on_view_change(from, &new_view),
            Message::GetCommitted { from: first, count } => {
                self.send_committed(from, first, count);
            }
            Message::Committed(blocks) => self.on_committed(from, blocks),
            _ => {}
        }
    }

    fn on_proposal(&mut self, from: ValidatorId, proposal: Proposal) {
        let view = proposal.view;
        let known = self.accepted.contains_key(&view);
        if self.primary(view) != Some(from) || proposal.leader != from || known || !self.near(view)
        {
            return;
        }
        let id = proposal.block.id();
        let message = SignedProposalId::message(self.chain, self.height, view, id);
        let signed = self
            .set
            .get(from)
            .is_some_and(|info| info.vote_key.verify(&message, &proposal.signature).is_ok());
        if !signed || view < self.view {
            return;
        }
        let duty = if view == self.first_view {
            Duty::Fresh
        } else {
            let (chain, height) = (self.chain, self.height);
            match duty(&proposal.justification, view, chain, height, &self.set) {
                Some(duty) => duty,
                None => return,
            }
        };
        if view == self.first_view && self.changing {
            return;
        }
        if view > self.view || self.changing {
            self.enter(view);
        }
        let block = proposal.block;
        match duty {
            Duty::Again(again) if again != id => return,
            // A quorum found it valid; its transactions must be those that its root commits to.
            Duty::Again(_) if !block.commits() => return,
            Duty::Again(_) => {}
            Duty::Fresh => {
                let early = block.header.time_ms.0 > self.now.0 + SKEW_MS_MAX;
                if early || block.header.view != view || self.check_block(&block).is_err() {
                    return self.leave_for(view.plus(1), NullifyReason::InvalidBlock);
                }
            }
        }
        self.keep_body(id, &block);
        self.accept(view, id);
    }

    fn near(&self, view: View) -> bool {
        view >= self.first_view && view.0 <= self.view.0 + VIEWS_AHEAD_MAX
    }

    fn on_ballots(&mut self, from: ValidatorId, ballots: Vec<Ballot>) {
        for Ballot { vote, .. } in ballots.into_iter().take(BALLOTS_PER_MESSAGE) {
            let counts = vote.kind != VoteKind::Nullify && vote.height == self.height;
            if vote.signer == from && counts && vote.is_well_formed() && self.near(vote.view) {
                let votes = self.votes.entry((vote.view, vote.kind)).or_default();
                votes.entry(from).or_insert(vote);
            }
        }
        self.arm();
    }

    fn on_view_change(&mut self, from: ValidatorId, message: &NewView) {
        let (height, to) = (self.height, message.view);
        let change = message.justification.nullifications.first();
        let Some(change) = change.and_then(|carried| ViewChange::read(carried, to)) else {
            return;
        };
        let fits = change.signer == from && to > self.first_view && self.near(to);
        if !fits || !change.holds(self.chain, height, &self.set) {
            return;
        }
        if let Some(prepared) = change.prepared {
            let base = message.justification.base.as_ref();
            let Some(cert) = base.filter(|cert| (cert.view, cert.id) == prepared) else {
                return;
            };
            if !is_prepared(cert, self.chain, height, &self.set) {
                return;
            }
            // The new primary needs the certificate; whoever holds it may claim it as its own.
            if self
                .prepared
                .as_ref()
                .is_none_or(|own| own.view < cert.view)
            {
                self.prepared = Some(cert.clone());
            }
        }
        self.changes.entry(to).or_default().insert(from, change);
        self.arm();
        self.join();
        self.try_new_view();
    }

    /// Views that more than `f` validators want are wanted by an honest one: go along with the lowest of theirs.
    fn join(&mut self) {
        let mut wanted: Vec<View> = Vec::new();
        for info in self.set.iter() {
            let views = self.changes.iter().rev();
            let highest = views
                .filter(|(view, changes)| **view > self.view && changes.contains_key(&info.id))
                .map(|(view, _)| *view)
                .next();
            wanted.extend(highest);
        }
        wanted.sort_unstable();
        if wanted.len() > self.set.f()
            && let Some(&lowest) = wanted.first()
        {
            self.leave_for(lowest, NullifyReason::Timeout);
        }
    }

    // Catching up.

    pub(super) fn try_early(&mut self) -> bool {
        let height = self.height;
        let place = self.early.iter().position(|(_, message)| match message {
            Message::Proposal(proposal) => proposal.height <= height,
            Message::Ballots(ballots) => ballots
                .first()
                .is_none_or(|ballot| ballot.vote.height <= height),
            Message::NewView(new_view) => new_view.height <= height,
            _ => true,
        });
        let Some((from, message)) = place.and_then(|place| self.early.remove(place)) else {
            return false;
        };
        self.receive_current(from, message);
        true
    }

    /// A message that waited: one of a height that has passed meanwhile is dropped.
    fn receive_current(&mut self, from: ValidatorId, message: Message) {
        let current = match &message {
            Message::Proposal(proposal) => proposal.height == self.height,
            Message::Ballots(ballots) => ballots
                .first()
                .is_some_and(|ballot| ballot.vote.height == self.height),
            Message::NewView(new_view) => new_view.height == self.height,
            _ => false,
        };
        if current {
            self.receive(from, message);
        }
    }

    fn on_ahead(&mut self, from: ValidatorId, height: Height, message: Message) {
        if height == self.height.plus(1) && self.early.len() < EARLY_MAX {
            self.early.push_back((from, message));
        }
        if !self.is_set(TimerKind::CatchUp) {
            // One height ahead is normal for a moment.
            self.asked = Some(from);
            self.set_timer(TimerKind::CatchUp, self.timing.repropose_after());
        }
    }

    pub(super) fn ask(&mut self, peer: ValidatorId) {
        self.asked = Some(peer);
        let from = self.height;
        let count = u16::try_from(COMMITTED_PER_MESSAGE).unwrap_or(u16::MAX);
        let message = Message::GetCommitted { from, count };
        self.out.push(Output::Send { to: peer, message });
        self.set_timer(TimerKind::CatchUp, Millis(self.timing.base_ms.max(200)));
    }

    pub(super) fn ask_again(&mut self) {
        if let Some(peer) = self.asked {
            self.ask(peer);
        }
    }

    fn send_committed(&mut self, to: ValidatorId, from: Height, count: u16) {
        if from > Height(0) && from <= self.ledger.height() && count > 0 {
            self.out.push(Output::SendCommitted { to, from, count });
        }
    }

    /// Somebody still works on a finalized height. A first commit vote is the normal end of a height; a view change
    /// or a repeated proposal shows that somebody is stuck.
    fn answer_late(&mut self, to: ValidatorId, height: Height, message: &Message) {
        if matches!(message, Message::NewView(_)) {
            self.send_committed(to, height, 4);
        }
    }

    fn on_committed(&mut self, from: ValidatorId, blocks: Vec<Finalized>) {
        let before = self.height;
        for Finalized { block, certificate } in blocks.into_iter().take(COMMITTED_PER_MESSAGE) {
            let fits = block.header.height == self.height
                && certificate.height == self.height
                && certificate.kind == VoteKind::Finalize
                && certificate.id == block.id()
                && block.commits()
                && certificate.verify(self.chain, &self.set).is_ok();
            if fits {
                self.commit(&block, certificate);
            }
        }
        if self.height > before {
            self.ask(from);
        } else {
            self.asked = None;
        }
    }
}
