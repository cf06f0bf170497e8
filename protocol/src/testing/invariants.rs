//! The safety rules of the specification's section 6, checked after every event over what honest nodes do.

use crate::consensus::{Certificate, Evidence, Message, Output, Vote, VoteKind, WalEntry};
use crate::credit::{CREDIT_MAX, ValidatorSet};
use crate::crypto::Digest;
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::Ledger;
use crate::units::{Height, View};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that honest nodes committed, signed and stored so far.
pub struct Invariants {
    chain: ChainId,
    set: ValidatorSet,
    honest: BTreeSet<ValidatorId>,
    committed: BTreeMap<Height, BlockId>,
    states: BTreeMap<Height, (Digest, Digest, Vec<ValidatorId>)>,
    votes: BTreeMap<(ValidatorId, Height, View, VoteKind), BlockId>,
    proposals: BTreeMap<(ValidatorId, Height, View), BlockId>,
    notarized: BTreeMap<(Height, View), BlockId>,
    nullified: BTreeSet<(Height, View)>,
    finalized: BTreeMap<(Height, View), BlockId>,
    /// Convictions on chain.
    pub convicted: BTreeSet<ValidatorId>,
    /// Validators that some honest node accused.
    pub accused: BTreeSet<ValidatorId>,
}

impl Invariants {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(chain: ChainId, set: ValidatorSet, honest: BTreeSet<ValidatorId>) -> Self {
        Self {
            chain,
            set,
            honest,
            committed: BTreeMap::new(),
            states: BTreeMap::new(),
            votes: BTreeMap::new(),
            proposals: BTreeMap::new(),
            notarized: BTreeMap::new(),
            nullified: BTreeSet::new(),
            finalized: BTreeMap::new(),
            convicted: BTreeSet::new(),
            accused: BTreeSet::new(),
        }
    }

    /// The block that honest nodes finalized at `height`.
    #[must_use]
    pub fn committed(&self, height: Height) -> Option<BlockId> {
        self.committed.get(&height).copied()
    }

    /// An honest node executed an output.
    pub fn on_output(&mut self, node: ValidatorId, output: &Output) {
        match output {
            Output::Persist(WalEntry::Notarization(cert) | WalEntry::Nullification(cert)) => {
                self.on_certificate(cert);
            }
            Output::Broadcast(message) | Output::Send { message, .. } => {
                self.on_message(node, message)
            }
            Output::Commit {
                block,
                id,
                certificate,
                ..
            } => {
                assert_eq!(block.id(), *id);
                let height = block.header.height;
                let before = *self.committed.entry(height).or_insert(*id);
                assert_eq!(before, *id, "I1: two blocks at height {height}");
                assert_eq!((certificate.id, certificate.height), (*id, height), "I7");
                self.on_certificate(certificate);
                if let Some(parent) = height.0.checked_sub(1).filter(|&parent| parent > 0) {
                    let parent = self.committed.get(&Height(parent));
                    assert!(parent.is_none_or(|id| *id == block.header.parent_id), "I2");
                }
                for evidence in &block.header.evidence {
                    self.on_evidence(evidence);
                    self.convicted.insert(evidence.accused());
                }
            }
            Output::Accuse(evidence) => {
                self.on_evidence(evidence);
                self.accused.insert(evidence.accused());
            }
            Output::Note(crate::consensus::Note::Halted { height, error }) => {
                panic!("{node} halted at {height}: {error}")
            }
            Output::Note(crate::consensus::Note::OwnBlockRefused { height, error }) => {
                panic!("{node} built an invalid block at {height}: {error}")
            }
            Output::Note(crate::consensus::Note::Misbehaved { peer, fault }) => {
                assert!(
                    !self.honest.contains(peer),
                    "{node} blames honest {peer}: {fault}"
                );
            }
            Output::Persist(_) | Output::SendCommitted { .. } | Output::SetTimer { .. } => {}
            Output::Build { .. } | Output::Note(_) => {}
        }
    }

    fn on_message(&mut self, node: ValidatorId, message: &Message) {
        match message {
            Message::Ballots(ballots) => {
                for ballot in ballots {
                    self.on_vote(node, &ballot.vote);
                }
            }
            Message::Proposal(proposal) => {
                let key = (node, proposal.height, proposal.view);
                let id = proposal.block.id();
                let before = *self.proposals.entry(key).or_insert(id);
                assert_eq!(before, id, "I3: {key:?} proposed twice");
            }
            Message::NewView(_)
            | Message::GetCommitted { .. }
            | Message::Committed(_)
            | Message::GetBody { .. }
            | Message::Body(_)
            | Message::Evidence(_)
            | Message::Recall(_) => {}
        }
    }

    fn on_vote(&mut self, node: ValidatorId, vote: &Vote) {
        assert_eq!(vote.signer, node);
        let key = (node, vote.height, vote.view, vote.kind);
        let before = *self.votes.entry(key).or_insert(vote.id);
        assert_eq!(before, vote.id, "I3: {key:?} signed twice");
        let nullify = (node, vote.height, vote.view, VoteKind::Nullify);
        let finalize = (node, vote.height, vote.view, VoteKind::Finalize);
        let both = self.votes.contains_key(&nullify) && self.votes.contains_key(&finalize);
        assert!(
            !both,
            "I3: {node} nullified and finalized {} {}",
            vote.height, vote.view
        );
    }

    fn on_certificate(&mut self, cert: &Certificate) {
        let place = (cert.height, cert.view);
        let signers: BTreeSet<_> = cert.votes.iter().map(|(signer, _)| *signer).collect();
        assert!(
            signers.len() >= self.set.quorum(),
            "I7: too few signers at {place:?}"
        );
        let new = match cert.kind {
            VoteKind::Notarize => self.notarized.insert(place, cert.id).is_none(),
            VoteKind::Nullify => self.nullified.insert(place),
            VoteKind::Finalize => self.finalized.insert(place, cert.id).is_none(),
        };
        if new {
            assert_eq!(
                cert.verify(self.chain, &self.set),
                Ok(()),
                "I7 at {place:?}"
            );
        }
        let known = match cert.kind {
            VoteKind::Notarize => self.notarized.get(&place),
            VoteKind::Finalize => self.finalized.get(&place),
            VoteKind::Nullify => None,
        };
        assert!(
            known.is_none_or(|&id| id == cert.id),
            "I5: two blocks certified at {place:?}"
        );
        if let Some(finalized) = self.finalized.get(&place) {
            assert!(
                !self.nullified.contains(&place),
                "I4: finalized and nullified {place:?}"
            );
            let notarized = self.notarized.get(&place);
            assert!(
                notarized.is_none_or(|id| id == finalized),
                "I6 at {place:?}"
            );
        }
    }

    fn on_evidence(&mut self, evidence: &Evidence) {
        let accused = evidence.accused();
        assert!(
            !self.honest.contains(&accused),
            "I9: honest {accused} convicted by {evidence:?}"
        );
        assert_eq!(evidence.verify(self.chain, &self.set), Ok(()));
    }

    /// An honest node's state after an event.
    pub fn on_state(&mut self, ledger: &Ledger) {
        if self.states.contains_key(&ledger.height()) && self.states.len() > 4_000 {
            return;
        }
        let standings = ledger.standings();
        let state = (
            ledger.state_root(),
            standings.seed(),
            standings.leader_order(),
        );
        for row in standings.rows() {
            assert!(row.credit <= CREDIT_MAX, "I15: {row:?}");
        }
        let known = self
            .states
            .entry(ledger.height())
            .or_insert_with(|| state.clone());
        assert_eq!(*known, state, "I8 at height {}", ledger.height());
    }

    /// Every finalization was preceded by a notarization that somebody stored (I6); asked at the end.
    pub fn assert_finalized_were_notarized(&self) {
        for (place, id) in &self.finalized {
            assert_eq!(self.notarized.get(place), Some(id), "I6 at {place:?}");
        }
    }
}
