//! [`Consensus`] continued: hearsay, by which an offence whose two halves were shown to different honest nodes comes
//! to light.
//!
//! Nothing is told while all goes well. When the block after a height is final, all nodes agree on which block was
//! decided there and in which view; votes and proposals that do not belong to that decision are *odd*, and
//! whoever holds one tells everybody, once. Of the two halves of an offence at least one is odd; whoever holds the
//! other compares. See `past` for what is kept, and how much of it is told.

use crate::consensus::core::Consensus;
use crate::consensus::io::Fault;
use crate::consensus::message::{BALLOTS_PER_MESSAGE, Hearsay, Message, SIGNATURES_PER_MESSAGE};
use crate::consensus::past::{PAST_HEIGHTS, Past, Told};
use crate::consensus::tally::Tally;
use crate::consensus::verify_votes;
use crate::consensus::vote::{Certificate, SignedProposalId};
use crate::ids::ValidatorId;
use crate::ledger::Block;
use std::cmp::Ordering;

impl Consensus {
    /// A valid header shows votes on heights before that may contradict those which came here.
    pub(super) fn learn_votes(&mut self, block: &Block) {
        let header = &block.header;
        let votes = header.parent_cert.iter().flat_map(Certificate::iter_votes);
        let mut found = Vec::new();
        for vote in votes.chain(header.late_votes.iter().cloned()) {
            if let Some(past) = self.past.get_mut(&vote.height) {
                found.extend(past.count(self.chain, &vote));
            }
        }
        for evidence in found {
            self.accuse(evidence);
        }
    }

    /// `block` is final: which view of its parent was decided is agreed on.
    pub(super) fn decide_parent(&mut self, block: &Block) {
        self.learn_votes(block);
        if let Some(cert) = &block.header.parent_cert
            && let Some(past) = self.past.get_mut(&cert.height)
        {
            past.decide(cert);
        }
    }

    /// Keeps the height that is over, and forgets the oldest one.
    pub(super) fn keep_past(&mut self, past: Past) {
        self.past.insert(past.height, past);
        while self.past.len() > PAST_HEIGHTS {
            self.past.pop_first();
        }
    }

    /// Tells everybody of odd votes and signatures on the last heights.
    pub(super) fn tell_hearsay(&mut self) {
        let (standings, next) = (self.ledger.standings(), self.round.height);
        let me = self.config.me.as_ref().map(|me| me.id);
        let mut all = Told::default();
        let mut messages = Vec::new();
        for past in self.past.values_mut() {
            let height = past.height;
            let useful =
                |id: ValidatorId| Some(id) != me && standings.may_punish(id, height, next).is_ok();
            let told = past.tell(self.chain, &useful);
            messages.extend(told.hearsay);
            all.forgers.extend(told.forgers);
            all.evidence.extend(told.evidence);
        }
        for forger in all.forgers {
            self.fault(forger, Fault::VoteSignature);
        }
        for evidence in all.evidence {
            self.accuse(evidence);
        }
        for hearsay in messages {
            self.broadcast(Message::Hearsay(Box::new(hearsay)));
        }
    }

    pub(super) fn on_hearsay(&mut self, from: ValidatorId, hearsay: Box<Hearsay>) {
        let count = hearsay.votes.len().max(hearsay.proposals.len());
        if hearsay.votes.len() > BALLOTS_PER_MESSAGE
            || hearsay.proposals.len() > SIGNATURES_PER_MESSAGE
        {
            return self.fault(from, Fault::TooMany { count });
        }
        if self.liars.contains(&from) {
            return;
        }
        let height = hearsay.height;
        let holds = match height.cmp(&self.round.height) {
            Ordering::Less => self.on_past_hearsay(from, &hearsay),
            Ordering::Equal => self.on_present_hearsay(from, &hearsay),
            Ordering::Greater => {
                if height == self.round.height.plus(1) {
                    self.future.keep(height, from, Message::Hearsay(hearsay));
                }
                return;
            }
        };
        if !holds && self.ledger.standings().validators().contains(from) {
            // Honest nodes tell only what they have verified; so the cost of this is paid once for each validator.
            self.liars.insert(from);
            self.fault(from, Fault::Hearsay);
        }
    }

    /// Whether everything that was looked at holds.
    fn on_past_hearsay(&mut self, from: ValidatorId, hearsay: &Hearsay) -> bool {
        let (standings, chain) = (self.ledger.standings(), self.chain);
        let Some(past) = self.past.get_mut(&hearsay.height) else {
            return true;
        };
        if !past.set.contains(from) {
            return true;
        }
        let (height, next) = (past.height, self.round.height);
        let useful = |id: ValidatorId| standings.may_punish(id, height, next).is_ok();
        let votes = hearsay.votes.iter();
        let votes: Vec<_> = votes
            .filter(|vote| past.wants(vote) && useful(vote.signer))
            .cloned()
            .collect();
        let verdicts = verify_votes(chain, &past.set, &votes);
        let mut all_hold = verdicts.iter().all(|&holds| holds);
        let mut found = Vec::new();
        for (vote, _) in votes.iter().zip(verdicts).filter(|(_, holds)| *holds) {
            found.extend(past.count(chain, vote));
        }
        for signed in &hearsay.proposals {
            if past.wants_signature(signed) && useful(signed.leader) {
                let holds = signed.holds(chain, &past.set);
                all_hold &= holds;
                found.extend(holds.then(|| past.note_signature(signed.clone())).flatten());
            }
        }
        for evidence in found {
            self.accuse(evidence);
        }
        all_hold
    }

    /// The others are ahead of this node. Whether everything that was looked at holds.
    fn on_present_hearsay(&mut self, from: ValidatorId, hearsay: &Hearsay) -> bool {
        let (round, view) = (&self.round, self.view());
        if !round.set.contains(from) {
            return true;
        }
        let votes = hearsay.votes.iter().filter(|vote| {
            vote.height == round.height
                && Tally::in_range(vote.view, view)
                && round.tally.wants(vote)
        });
        let votes: Vec<_> = votes.cloned().collect();
        let verdicts = verify_votes(self.chain, &round.set, &votes);
        let mut all_hold = verdicts.iter().all(|&holds| holds);
        for (vote, _) in votes.iter().zip(verdicts).filter(|(_, holds)| *holds) {
            self.count(vote);
        }
        for signed in &hearsay.proposals {
            let wanted = signed.height == self.round.height
                && Tally::in_range(signed.view, view)
                && self.round.leader(signed.view) == Some(signed.leader)
                && self.round.seen.wants(signed.view, signed.id);
            if wanted {
                all_hold &= self.note_signature(signed.view, signed.id, signed.signature);
            }
        }
        all_hold
    }

    /// A master's signature under a proposal of a height that is over. False when it does not hold.
    pub(super) fn note_past_signature(&mut self, signed: &SignedProposalId) -> bool {
        let chain = self.chain;
        let Some(past) = self.past.get_mut(&signed.height) else {
            return true;
        };
        if !past.wants_signature(signed) {
            return true;
        }
        if !signed.holds(chain, &past.set) {
            return false;
        }
        if let Some(evidence) = past.note_signature(signed.clone()) {
            self.accuse(evidence);
        }
        true
    }

    /// What is kept of the height before the present one.
    pub(super) fn last_past(&self) -> Option<&Past> {
        self.past.get(&self.ledger.height())
    }
}
