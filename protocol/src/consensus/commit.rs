//! [`Consensus`] continued: finalized blocks, bodies that are missing, and catching up (spec sections 2 and 5).

use crate::consensus::catchup::Service;
use crate::consensus::core::Consensus;
use crate::consensus::io::{Fault, Note, Output, TimerKind};
use crate::consensus::message::{COMMITTED_PER_MESSAGE, Finalized, Message};
use crate::consensus::past::Past;
use crate::consensus::round::{Fetch, Round};
use crate::consensus::vote::{Certificate, Vote, VoteKind};
use crate::consensus::wal::Wal;
use crate::credit::EVIDENCE_MAX;
use crate::ids::{BlockId, ValidatorId};
use crate::ledger::Block;
use crate::units::{Height, Millis};
use std::sync::Arc;

/// How many blocks a peer gets that votes on an old height (spec section 2, on Vote: h..h+3).
const COMMITTED_UNASKED: u16 = 4;
/// Every how many heights evidence that is still unpunished is told again.
const EVIDENCE_REPEATED_EVERY: u64 = 8;

impl Consensus {
    /// spec 2, check: q x FIN(v, id), body known: commit; body unknown: fetch id from the signers
    pub(super) fn try_commit(&mut self) -> bool {
        let Some(certificate) = self.round.finalization.clone() else {
            return false;
        };
        let Some(block) = self.round.bodies.get(&certificate.id).cloned() else {
            self.fetch_body(&certificate);
            return false;
        };
        self.commit(&block, certificate);
        true
    }

    /// spec 2, commit(B, C): S_h = execute(B); one durable write; start(h+1)
    fn commit(&mut self, block: &Arc<Block>, certificate: Certificate) {
        let (height, id) = (self.round.height, certificate.id);
        let effects = match self.ledger.execute(block) {
            Ok(effects) => effects,
            Err(error) => {
                // A quorum finalized what we cannot execute: never guess, never vote again.
                self.halted = true;
                self.note(Note::Halted { height, error });
                return;
            }
        };
        for vote in certificate.iter_votes() {
            self.count(&vote);
        }
        // Votes beyond the quorum earn credit as well.
        let rest = self.round.inbox.take_finalize(id);
        self.verify_and_count(rest);
        self.late.prune(height);
        let votes = self.round.tally.finalize_votes(id);
        for vote in certificate.iter_votes().chain(votes) {
            self.late.keep(vote);
        }
        self.head_certificate = Some(certificate.clone());
        self.decide_parent(block);
        let block = Arc::clone(block);
        self.out.push(Output::Commit {
            block,
            id,
            certificate,
            effects,
        });

        let next = Round::new(&self.config, &self.ledger, Wal::default());
        let over = std::mem::replace(&mut self.round, next);
        self.heard.rest(self.now);
        self.keep_past(Past::new(over, id));
        self.drop_timers();
        if self.needs_upgrade() {
            return;
        }
        self.pool.prune(self.ledger.standings());
        self.tell_hearsay();
        if height.0.is_multiple_of(EVIDENCE_REPEATED_EVERY) {
            let waiting: Vec<_> = self.pool.iter().take(EVIDENCE_MAX).cloned().collect();
            for evidence in waiting {
                self.broadcast(Message::Evidence(Box::new(evidence)));
            }
        }
        self.refresh_rouse();
        self.keep_following();
    }

    /// A node that does not vote is told nothing by those who do not know it: it asks again and again.
    pub(super) fn keep_following(&mut self) {
        if self.round.voter.is_none() && !self.halted && !self.is_set(TimerKind::CatchUp) {
            let pause = self.config.timing.rebroadcast_every();
            self.set_timer(TimerKind::CatchUp, pause);
        }
    }

    /// spec 5: a node that does not know the rules of the next height stops instead of guessing.
    pub(super) fn needs_upgrade(&mut self) -> bool {
        let Err(error) = self.ledger.check_version() else {
            return false;
        };
        self.halted = true;
        let height = self.round.height;
        self.note(Note::Halted { height, error });
        true
    }

    /// spec 2, on Finalization/Committed(h, B, C) from anyone: verify C under V_h and id(B): commit
    pub(super) fn on_committed(&mut self, from: ValidatorId, finalized: Vec<Finalized>) {
        if finalized.len() > COMMITTED_PER_MESSAGE {
            return self.fault(
                from,
                Fault::TooMany {
                    count: finalized.len(),
                },
            );
        }
        let before = self.round.height;
        for Finalized { block, certificate } in finalized {
            let height = block.header.height;
            if height < self.round.height {
                continue;
            }
            if height > self.round.height || self.halted {
                break;
            }
            let id = block.id();
            // The certificate says nothing about the transactions' bytes: whoever hands the block on could have
            // exchanged them, or their signatures.
            let complete = |core: &Self| {
                core.round.bodies.contains_key(&id) || core.ledger.check_body(&block).is_ok()
            };
            if certificate.id != id || !self.is_finalization(&certificate) || !complete(self) {
                self.fault(from, Fault::Committed { height });
                self.catch_up.failed(from);
                self.ask_next();
                return;
            }
            // The commit itself makes the block durable.
            self.round.bodies.entry(id).or_insert(block);
            self.round.finalization = Some(certificate);
            self.try_commit();
        }
        if self.round.height > before {
            // More where that came from?
            self.catch_up.asked_again(from);
            self.ask(from);
        }
    }

    /// spec 5: a peer that began with a snapshot lacks what was asked for; others may have it.
    pub(super) fn on_no_blocks(&mut self, peer: ValidatorId, from: Height) {
        if from == self.round.height && self.catch_up.was_asked(peer) {
            self.catch_up.failed(peer);
            self.ask_next();
        }
    }

    /// Verifies a certificate of this height; votes that are counted already cost nothing.
    pub(super) fn verify_certificate(&self, certificate: &Certificate) -> bool {
        let known = |vote: &Vote| self.round.tally.knows(vote);
        certificate
            .verify_knowing(self.chain, &self.round.set, &known)
            .is_ok()
    }

    /// Whether a certificate finalizes some block at the current height.
    pub(super) fn is_finalization(&self, certificate: &Certificate) -> bool {
        certificate.kind == VoteKind::Finalize
            && certificate.height == self.round.height
            && self.verify_certificate(certificate)
    }

    /// A peer works on a later height: it says to have finalized this one.
    pub(super) fn on_ahead(&mut self, peer: ValidatorId, height: Height) {
        self.catch_up.claim(peer, height);
        if self.catch_up.is_asking() {
            return;
        }
        if height > self.round.height.plus(1) {
            self.ask_next();
        } else if !self.is_set(TimerKind::CatchUp) {
            // One height behind is normal for a moment: the votes are on their way.
            self.set_timer(TimerKind::CatchUp, self.config.timing.repropose_after());
        }
    }

    pub(super) fn on_catch_up_timer(&mut self) {
        // spec 5: several peers in turn; one that is silent loses its turn
        if let Some(peer) = self.catch_up.take_asked() {
            self.catch_up.failed(peer);
            if !self.ask_next() {
                // It may only have been asked too soon again, and where nothing happens nobody else says to be ahead.
                let (from, count) = (self.round.height, 1);
                self.broadcast(Message::GetCommitted { from, count });
            }
            return self.keep_following();
        }
        if !self.ask_next() && self.round.voter.is_none() {
            let (from, count) = (self.round.height, 1);
            self.broadcast(Message::GetCommitted { from, count });
        }
        self.keep_following();
    }

    /// Whether there is somebody to ask.
    fn ask_next(&mut self) -> bool {
        let peer = self.catch_up.next(self.round.height);
        if let Some(peer) = peer {
            self.ask(peer);
        }
        peer.is_some()
    }

    fn ask(&mut self, peer: ValidatorId) {
        let from = self.round.height;
        let count = u16::try_from(COMMITTED_PER_MESSAGE).unwrap_or(u16::MAX);
        self.note(Note::CatchingUp { peer, from });
        self.send(peer, Message::GetCommitted { from, count });
        let patience = self.config.timing.base_ms.max(200);
        self.set_timer(TimerKind::CatchUp, Millis(patience));
    }

    pub(super) fn on_get_committed(&mut self, peer: ValidatorId, from: Height, count: u16) {
        let count = count.min(u16::try_from(COMMITTED_PER_MESSAGE).unwrap_or(u16::MAX));
        if from > self.ledger.height() || from == Height(0) || count == 0 {
            return;
        }
        if self.limiter.allow(peer, Service::AskedCommitted, self.now) {
            self.out.push(Output::SendCommitted {
                to: peer,
                from,
                count,
            });
        }
    }

    /// spec 2, on Vote: h < cur.h: (1 per peer per 100 ms) send Committed(h..h+3)
    pub(super) fn answer_committed(&mut self, peer: ValidatorId, from: Height) {
        if from == Height(0) || from > self.ledger.height() {
            return;
        }
        if self.limiter.allow(peer, Service::Committed, self.now) {
            let count = COMMITTED_UNASKED;
            self.out.push(Output::SendCommitted {
                to: peer,
                from,
                count,
            });
        }
    }

    /// Asks the signers of a certificate for its block, one after the other.
    pub(super) fn fetch_body(&mut self, certificate: &Certificate) {
        let id = certificate.id;
        if self
            .round
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.id == id)
        {
            return;
        }
        let me = self.config.me.as_ref().map(|me| me.id);
        let signers = certificate.votes.iter().map(|&(signer, _)| signer);
        let peers = signers.filter(|&signer| Some(signer) != me).collect();
        self.round.fetch = Some(Fetch {
            id,
            peers,
            asked: 0,
        });
        self.fetch_next();
    }

    pub(super) fn fetch_next(&mut self) {
        let height = self.round.height;
        let Some(fetch) = &mut self.round.fetch else {
            return;
        };
        let (id, place) = (fetch.id, fetch.asked.checked_rem(fetch.peers.len()));
        fetch.asked = fetch.asked.saturating_add(1);
        let Some(&peer) = place.and_then(|place| fetch.peers.get(place)) else {
            return;
        };
        self.send(peer, Message::GetBody { height, id });
        self.set_timer(TimerKind::Fetch, self.config.timing.repropose_after());
    }

    pub(super) fn on_get_body(&mut self, peer: ValidatorId, height: Height, id: BlockId) {
        if height < self.round.height {
            return self.answer_committed(peer, height);
        }
        let block = self
            .round
            .bodies
            .get(&id)
            .filter(|_| height == self.round.height)
            .cloned();
        if let Some(block) = block
            && self.limiter.allow(peer, Service::Body, self.now)
        {
            self.send(peer, Message::Body(block));
        }
    }

    /// Takes a body only if it was asked for or will be needed, and complete.
    pub(super) fn on_body(&mut self, from: ValidatorId, block: &Arc<Block>) {
        let id = block.id();
        if !self.is_wanted(id) {
            return;
        }
        if let Err(error) = self.ledger.check_body(block) {
            let error = Box::new(error);
            return self.fault(from, Fault::Block { error });
        }
        if self
            .round
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.id == id)
        {
            self.round.fetch = None;
        }
        self.keep_body(id, block);
    }

    /// Whether this is the body that is being fetched, or of a block that was notarized before its proposal arrived:
    /// votes overtake blocks, and whoever let the block go by could not commit it.
    fn is_wanted(&self, id: BlockId) -> bool {
        let round = &self.round;
        let fetched = round.fetch.as_ref().is_some_and(|fetch| fetch.id == id);
        fetched
            || !round.bodies.contains_key(&id)
                && round.views.notarizations().any(|cert| cert.id == id)
    }
}
