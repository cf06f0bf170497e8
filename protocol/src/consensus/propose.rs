//! [`Consensus`] continued: what the master of a view does (spec section 2, `propose`).

use crate::consensus::activity::Level;
use crate::consensus::core::Consensus;
use crate::consensus::io::{Note, Output};
use crate::consensus::message::{Message, NULLIFICATIONS_PER_MESSAGE, Proposal};
use crate::consensus::vote::{SignedProposalId, VoteKind};
use crate::consensus::wal::WalEntry;
use crate::crypto::vrf::VrfProof;
use crate::ids::{BlockId, ValidatorId};
use crate::ledger::{BLOCK_BYTES_MAX, Block, Header, SignedTransaction};
use crate::units::{Height, Millis, View};
use std::sync::Arc;

impl Consensus {
    /// spec 2, propose: once per (h, v), durable: a restarted master must not equivocate.
    pub(super) fn try_propose(&mut self) -> bool {
        let view = self.view();
        // Once the height is decided only the block itself is missing.
        let ready =
            self.round.propose_due && self.round.leads() && self.round.finalization.is_none();
        if !ready || self.round.proposals.contains_key(&view) {
            return false;
        }
        let base = self
            .round
            .views
            .base_certificate()
            .map(|cert| (cert.id, cert.clone()));
        if let Some((id, cert)) = base {
            // spec 2, propose: B = body of J.base.id; fetch if missing; not obtainable: stay silent
            let Some(block) = self.round.bodies.get(&id).cloned() else {
                self.fetch_body(&cert);
                return false;
            };
            self.propose(id, &block);
            return true;
        }
        if self
            .round
            .building
            .is_some_and(|(building, _)| building == view)
        {
            return false;
        }
        // spec 2, validFresh: later than the parent
        let time_ms = self.now.max(self.ledger.head_time().plus(1));
        self.round.building = Some((view, time_ms));
        let height = self.round.height;
        let empty = Block::new(self.header(view, time_ms, &[]), Vec::new());
        // Lengths of lists take a few bytes more when they are not empty.
        let used = empty.encoded_len().saturating_add(16);
        let bytes_max = BLOCK_BYTES_MAX.saturating_sub(used);
        self.out.push(Output::Build {
            height,
            view,
            time_ms,
            bytes_max,
        });
        true
    }

    /// The transactions that were ordered.
    pub(super) fn on_built(
        &mut self,
        height: Height,
        view: View,
        transactions: Vec<SignedTransaction>,
    ) {
        let current = height == self.round.height && view == self.view();
        let ordered = self
            .round
            .building
            .filter(|&(building, _)| current && building == view);
        let Some((_, time_ms)) = ordered else {
            return;
        };
        if self.round.proposals.contains_key(&view) {
            return;
        }
        // Idle rule: the own mempool said that there was something; there is nothing, and nobody else asks.
        if transactions.is_empty() && self.round.activity.level() == Level::Work {
            self.on_no_work();
            return;
        }
        let header = self.header(view, time_ms, &transactions);
        let mut block = Block::new(header, transactions);
        if let Err(error) = self.check_block(&block) {
            self.note(Note::OwnBlockRefused { height, error });
            // Transactions that do not fit must not cost the view.
            block = Block::new(self.header(view, time_ms, &[]), Vec::new());
            if let Err(error) = self.check_block(&block) {
                self.note(Note::OwnBlockRefused { height, error });
                return;
            }
        }
        self.propose(block.id(), &Arc::new(block));
    }

    fn on_no_work(&mut self) {
        self.round.activity.work(false);
        self.rest();
    }

    /// A header on the present state, with everything that earns or costs credit.
    fn header(
        &mut self,
        view: View,
        time_ms: Millis,
        transactions: &[SignedTransaction],
    ) -> Header {
        let standings = self.ledger.standings();
        let author = self.round.voter.as_ref();
        let fresh = || {
            let me = author?;
            let (output, proof) = me.vrf_key.prove(&standings.beacon_input()).ok()?;
            standings.know_beacon(me.id, proof, output);
            Some(proof)
        };
        let vrf_proof = self
            .round
            .beacon
            .or_else(fresh)
            .unwrap_or(VrfProof([0; 80]));
        self.round.beacon = Some(vrf_proof);
        Header {
            chain: self.chain,
            height: self.round.height,
            parent_id: self.ledger.head_id(),
            parent_state_root: self.ledger.state_root(),
            author: author.map_or(ValidatorId(u16::MAX), |me| me.id),
            view,
            time_ms,
            tx_root: Block::tx_root(transactions),
            parent_cert: self.head_certificate(),
            late_votes: self.late.for_block(standings),
            evidence: self.pool.for_block(standings),
            vrf_proof,
        }
    }

    /// spec 2, propose: wal.prop[v] = (id(B), J, sig); FSYNC; broadcast Proposal
    fn propose(&mut self, id: BlockId, block: &Arc<Block>) {
        let Some(me) = self.round.voter.clone() else {
            return;
        };
        let (height, view, base) = (self.round.height, self.view(), self.round.views.base());
        self.keep_body(id, block);
        let signed = SignedProposalId::sign(self.chain, height, view, id, me.id, &me.vote_key);
        self.round.proposals.insert(view, (signed.clone(), base));
        self.out.push(Output::Persist(WalEntry::Proposal {
            signed: signed.clone(),
            base,
        }));
        if let Some(evidence) = self.round.seen.note(signed) {
            // Only with a twin of ours at work.
            self.accuse(evidence);
        }
        self.resend_proposal();
        self.sign(VoteKind::Notarize, view, id);
    }

    /// spec 2, propose: wal.prop[v] exists: re-send it
    pub(super) fn resend_proposal(&mut self) {
        let (height, view) = (self.round.height, self.view());
        let Some((signed, base)) = self.round.proposals.get(&view) else {
            return;
        };
        let Some(block) = self.round.bodies.get(&signed.id) else {
            return;
        };
        let proposal = Proposal {
            height,
            view,
            block: Arc::clone(block),
            justification: self
                .round
                .views
                .latest(*base, view, NULLIFICATIONS_PER_MESSAGE),
            leader: signed.leader,
            signature: signed.signature,
        };
        self.broadcast(Message::Proposal(Box::new(proposal)));
    }
}
