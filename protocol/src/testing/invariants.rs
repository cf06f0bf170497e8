//! The rules of the specification's section 6, checked after every event over what honest nodes do.
//!
//! A violation is a value: the first one found is kept. Rules about masters and credit are in `referee`.

use crate::consensus::{Certificate, Evidence, Message, Note, Output, Vote, VoteKind, WalEntry};
use crate::credit::ValidatorSet;
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::{Block, Ledger};
use crate::testing::disk::{Disk, Record};
use crate::testing::referee::Referee;
use crate::units::{Height, View};
use std::collections::{BTreeMap, BTreeSet};

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule: I1 to I22 of section 6, D for "durable before sent" of section 5, or "conduct".
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

impl core::fmt::Display for Violation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// Everything that honest nodes committed, signed and stored so far.
pub struct Invariants {
    chain: ChainId,
    /// Whether certificates count from `2f + 1` votes on.
    short_quorum: bool,
    honest: BTreeSet<ValidatorId>,
    /// Honest ones that were set back to an old copy of their disk: they count among the faulty.
    restored: BTreeSet<ValidatorId>,
    committed: BTreeMap<Height, BlockId>,
    votes: BTreeMap<(Height, View, VoteKind, ValidatorId), BlockId>,
    proposals: BTreeMap<(ValidatorId, Height, View), BlockId>,
    notarized: BTreeMap<(Height, View), BlockId>,
    nullified: BTreeSet<(Height, View)>,
    finalized: BTreeMap<(Height, View), BlockId>,
    referee: Referee,
    violation: Option<Violation>,
    /// Convictions on chain.
    pub convicted: BTreeSet<ValidatorId>,
    /// Validators that some honest node accused.
    pub accused: BTreeSet<ValidatorId>,
    /// How many contradicting votes and proposals were sent by nodes that an old copy of their disk had made forget.
    pub relapses: u64,
}

impl Invariants {
    /// Nothing has happened yet; `ledger` is the genesis. With `short_quorum` the checker has the quorum wrong in the
    /// same way as the nodes, so that not each certificate is a violation but only what follows from them.
    #[must_use]
    pub fn new(ledger: Ledger, honest: BTreeSet<ValidatorId>, short_quorum: bool) -> Self {
        Self {
            chain: ledger.chain(),
            short_quorum,
            honest,
            restored: BTreeSet::new(),
            committed: BTreeMap::new(),
            votes: BTreeMap::new(),
            proposals: BTreeMap::new(),
            notarized: BTreeMap::new(),
            nullified: BTreeSet::new(),
            finalized: BTreeMap::new(),
            referee: Referee::new(ledger),
            violation: None,
            convicted: BTreeSet::new(),
            accused: BTreeSet::new(),
            relapses: 0,
        }
    }

    /// An honest node is set back to an old copy of its disk. What it asks the others may miss a lost vote, since they need
    /// not all be heard: from now on it may contradict itself, and be convicted for it.
    pub(super) fn on_restored(&mut self, node: ValidatorId) {
        self.restored.insert(node);
    }

    /// I3: an honest node does not contradict itself.
    fn consistent(&mut self, node: ValidatorId, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.restored.contains(&node) {
            self.relapses += 1;
        } else {
            self.check(holds, "I3", what);
        }
    }

    /// The first rule that was broken.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The block that honest nodes finalized at `height`.
    #[must_use]
    pub fn committed(&self, height: Height) -> Option<BlockId> {
        self.committed.get(&height).copied()
    }

    /// The state after `height` that all honest nodes share.
    pub(super) fn ledger_at(&self, height: u64) -> Option<&Ledger> {
        self.referee.at(height)
    }

    /// The state after the highest block that any honest node has committed.
    pub(super) fn agreed(&self) -> &Ledger {
        self.referee.head()
    }

    fn quorum(&self, set: &ValidatorSet) -> usize {
        if self.short_quorum {
            2 * set.f() + 1
        } else {
            set.n() - set.f()
        }
    }

    /// Notes a violation, unless there is one already.
    pub(super) fn fail(&mut self, rule: &'static str, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { rule, what: what() });
        }
    }

    fn check(&mut self, holds: bool, rule: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(rule, what);
        }
    }

    /// An honest node executes an output; `disk` is as it was before.
    pub(super) fn on_output(&mut self, node: ValidatorId, disk: &Disk, output: &Output) {
        match output {
            Output::Persist(WalEntry::View { height, view, base }) => {
                self.on_view(node, disk, *height, *view, *base);
            }
            Output::Accuse(evidence) => {
                self.on_evidence(evidence);
                self.accused.insert(evidence.accused());
            }
            Output::Note(Note::Halted { height, error }) => {
                self.fail("I2", || format!("{node} halts at {height}: {error}"));
            }
            Output::Note(Note::OwnBlockRefused { height, error }) => {
                self.fail("conduct", || {
                    format!("{node} built an invalid block at {height}: {error:?}")
                });
            }
            Output::Note(Note::Misbehaved { peer, fault }) => {
                let honest = self.honest.contains(peer);
                self.check(!honest, "conduct", || {
                    format!("{node} blames honest {peer}: {fault}")
                });
            }
            Output::Note(Note::Quarantined { vote_from, .. }) => {
                let restored = self.restored.contains(&node);
                self.check(restored, "conduct", || {
                    format!("{node} has lost nothing and votes from {vote_from} on only")
                });
            }
            // What is stored counts once it is durable: `on_durable`.
            Output::Persist(_) | Output::Commit { .. } => {}
            Output::Broadcast(_) | Output::Send { .. } => {}
            Output::SendCommitted { .. } | Output::SetTimer { .. } => {}
            Output::Build { .. } | Output::Note(_) => {}
        }
    }

    /// A record of an honest node is durable now. Before that it counts for nothing: nobody else has seen what follows
    /// from it, and a crash may undo it.
    pub(super) fn on_durable(&mut self, node: ValidatorId, record: &Record) {
        match record {
            Record::Wal(WalEntry::Notarization(cert) | WalEntry::Nullification(cert)) => {
                self.on_certificate(cert);
            }
            Record::Wal(_) | Record::VoteFrom(_) => {}
            Record::Commit(finalized) => {
                self.on_commit(node, &finalized.block, &finalized.certificate)
            }
        }
    }

    fn on_commit(&mut self, node: ValidatorId, block: &Block, certificate: &Certificate) {
        let (height, id) = (block.header.height, block.id());
        let fits = (certificate.id, certificate.height) == (id, height)
            && certificate.kind == VoteKind::Finalize;
        self.check(fits, "I7", || {
            format!("{node} commits {height} without proof")
        });
        let before = *self.committed.entry(height).or_insert(id);
        self.check(before == id, "I1", || {
            format!("height {height}: {node} commits {id}, another node {before}")
        });
        self.on_certificate(certificate);
        for evidence in &block.header.evidence {
            self.on_evidence(evidence);
            self.convicted.insert(evidence.accused());
        }
        if self.violation.is_none()
            && let Err(violation) = self.referee.on_block(block)
        {
            self.violation = Some(violation);
        }
    }

    /// I21: on entering a view its justification is complete, and written before.
    fn on_view(
        &mut self,
        node: ValidatorId,
        disk: &Disk,
        height: Height,
        view: View,
        base: Option<View>,
    ) {
        let lowest = base.map_or(1, |base| base.0 + 1);
        let mut based = base.is_none();
        let mut nulls = BTreeSet::new();
        for entry in disk.written().filter(|entry| entry.height() == height) {
            match entry {
                WalEntry::Notarization(cert) => based |= Some(cert.view) == base,
                WalEntry::Nullification(cert) if (lowest..view.0).contains(&cert.view.0) => {
                    nulls.insert(cert.view);
                }
                _ => {}
            }
        }
        let complete = based && nulls.len() as u64 == view.0.saturating_sub(lowest);
        self.check(complete, "I21", || {
            format!("{node} enters view {view} of height {height} on {base:?} and {nulls:?}")
        });
    }

    /// A message of an honest node leaves; `disk` is as it is now.
    pub(super) fn on_leaving(&mut self, node: ValidatorId, disk: &Disk, message: &Message) {
        match message {
            Message::Ballots(ballots) => {
                let fresh = ballots.len() == 1;
                for ballot in ballots {
                    self.on_vote(node, &ballot.vote);
                    if fresh {
                        self.check(is_durable(disk, &ballot.vote), "D", || {
                            let vote = &ballot.vote;
                            let (kind, height, view) = (vote.kind, vote.height, vote.view);
                            format!("{node} sends {kind:?} of {height} {view} before what it stands on is on disk")
                        });
                    }
                }
            }
            Message::Proposal(proposal) => {
                let key = (node, proposal.height, proposal.view);
                let id = proposal.block.id();
                let before = *self.proposals.entry(key).or_insert(id);
                self.consistent(node, before == id, || format!("{key:?} proposed twice"));
                let gone = proposal.height.0 <= disk.chain.len() as u64;
                let stored = gone || disk.wal.iter().any(
                    |entry| matches!(entry, WalEntry::Proposal { signed, .. } if signed.id == id),
                );
                self.check(stored, "D", || {
                    format!("{key:?} proposed before it is on disk")
                });
            }
            Message::NewView(_)
            | Message::GetCommitted { .. }
            | Message::Committed(_)
            | Message::NoBlocks { .. }
            | Message::GetBody { .. }
            | Message::Body(_)
            | Message::Evidence(_)
            | Message::Recall(_)
            | Message::Hearsay(_) => {}
        }
    }

    fn on_vote(&mut self, node: ValidatorId, vote: &Vote) {
        let (height, view) = (vote.height, vote.view);
        let key = (height, view, vote.kind, node);
        let before = *self.votes.entry(key).or_insert(vote.id);
        self.check(vote.signer == node, "I3", || {
            format!("{node} sends a vote of {} as its own", vote.signer)
        });
        self.consistent(node, before == vote.id, || {
            format!(
                "{node} signs {:?} twice at height {height}, view {view}",
                vote.kind
            )
        });
        let opposite = match vote.kind {
            VoteKind::Notarize => return,
            VoteKind::Nullify => VoteKind::Finalize,
            VoteKind::Finalize => VoteKind::Nullify,
        };
        let both = self.votes.contains_key(&(height, view, opposite, node));
        self.consistent(node, !both, || {
            format!("{node} nullifies and finalizes at height {height}, view {view}")
        });
    }

    fn on_certificate(&mut self, cert: &Certificate) {
        let place = (cert.height, cert.view);
        let distinct = cert.votes.windows(2).all(|pair| pair[0].0 < pair[1].0);
        // Nothing is signed of heights whose validators nobody can know yet.
        let set = self.referee.validators_at(cert.height);
        let enough = distinct && set.is_some_and(|set| cert.votes.len() >= self.quorum(set));
        self.check(enough, "I7", || {
            format!("too few signers of {:?} at {place:?}", cert.kind)
        });
        let new = match cert.kind {
            VoteKind::Notarize => self.notarized.insert(place, cert.id),
            VoteKind::Nullify => (!self.nullified.insert(place)).then_some(cert.id),
            VoteKind::Finalize => self.finalized.insert(place, cert.id),
        };
        match new {
            // The quorum was counted above.
            None => {
                let votes: Vec<_> = cert.iter_votes().collect();
                let holds = self.referee.validators_at(cert.height).is_some_and(|set| {
                    let holds = crate::consensus::verify_votes(self.chain, set, &votes);
                    holds.iter().all(|&holds| holds)
                });
                self.check(holds, "I7", || {
                    format!("a signature in {:?} at {place:?} does not hold", cert.kind)
                });
            }
            Some(id) => self.check(id == cert.id, "I5", || {
                format!("{:?} at {place:?} for {id} and for {}", cert.kind, cert.id)
            }),
        }
        if let Some(&finalized) = self.finalized.get(&place) {
            let nullified = self.nullified.contains(&place);
            self.check(!nullified, "I4", || {
                format!("finalized and nullified {place:?}")
            });
            let notarized = self.notarized.get(&place).copied();
            self.check(notarized.is_none_or(|id| id == finalized), "I6", || {
                format!("{place:?} finalized for {finalized}, notarized for {notarized:?}")
            });
        }
    }

    fn on_evidence(&mut self, evidence: &Evidence) {
        let accused = evidence.accused();
        let honest = self.honest.contains(&accused) && !self.restored.contains(&accused);
        self.check(!honest, "I9", || {
            format!("honest {accused} convicted by {evidence:?}")
        });
        let set = self.referee.validators_at(evidence.height());
        let holds = set.is_some_and(|set| evidence.verify(self.chain, set).is_ok());
        self.check(holds, "I9", || {
            format!("no validator of its height is convicted by {evidence:?}")
        });
    }

    /// An honest node's state after an event: I8 and I17.
    pub(super) fn on_state(&mut self, node: ValidatorId, ledger: &Ledger) {
        let height = ledger.height();
        let Some(agreed) = self.referee.at(height.0) else {
            return;
        };
        let same =
            agreed.state_root() == ledger.state_root() && agreed.head_id() == ledger.head_id();
        self.check(same, "I8", || {
            format!("the state of {node} after height {height} is another")
        });
    }

    /// Every finalization was preceded by a notarization that somebody stored (I6); asked at the end.
    pub fn check_finalized_were_notarized(&mut self) {
        let lacking = self
            .finalized
            .iter()
            .find(|(place, id)| self.notarized.get(place) != Some(id))
            .map(|(place, _)| *place);
        if let Some(place) = lacking {
            self.fail("I6", || {
                format!("nobody stored the notarization of {place:?}")
            });
        }
    }

    /// The same, at once.
    ///
    /// # Panics
    /// On a violation.
    pub fn assert_finalized_were_notarized(&mut self) {
        self.check_finalized_were_notarized();
        assert_eq!(self.violation, None);
    }
}

/// Section 5: NOT needs body and view, FIN the notarization, NUL the view, each its own record.
fn is_durable(disk: &Disk, vote: &Vote) -> bool {
    if vote.height.0 <= disk.chain.len() as u64 {
        return true;
    }
    let (mut own, mut view, mut body, mut notarized) = (false, vote.view == View(1), false, false);
    for entry in disk
        .wal
        .iter()
        .filter(|entry| entry.height() == vote.height)
    {
        match entry {
            WalEntry::Vote(stored) => {
                own |= (stored.kind, stored.view, stored.id) == (vote.kind, vote.view, vote.id);
            }
            WalEntry::View { view: entered, .. } => view |= *entered >= vote.view,
            WalEntry::Body(block) => body |= block.id() == vote.id,
            WalEntry::Notarization(cert) => {
                notarized |= (cert.view, cert.id) == (vote.view, vote.id);
            }
            WalEntry::Nullification(_) | WalEntry::Proposal { .. } => {}
        }
    }
    own && match vote.kind {
        VoteKind::Notarize => body && view,
        VoteKind::Nullify => view,
        VoteKind::Finalize => notarized,
    }
}
