//! What all states of one check share: keys, players, and the numbered blocks, votes and proposals.

use super::bits::Bits;
use super::{Adversary, Scenario};
use crate::consensus::{
    Ballot, Certificate, Config, Justification, Message, Mutant, NewView, Proposal,
    SignedProposalId, Timing, Vote, VoteKind,
};
use crate::credit::ValidatorSet;
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::{Block, Header, Ledger, Profile};
use crate::testing::fixture::{Fixture, GENESIS_MS, fixture};
use crate::units::{Height, Millis, View};
use std::collections::HashMap;
use std::sync::Arc;

/// The height that is agreed on.
pub(super) const HEIGHT: Height = Height(1);
/// When the check begins: late enough that everybody is roused.
const START_MS: u64 = GENESIS_MS + 20_000;

/// One running instance.
#[derive(Clone, Debug)]
pub(super) struct Player {
    pub(super) name: String,
    pub(super) id: ValidatorId,
    /// Whether what it signs must be without contradiction.
    pub(super) honest: bool,
    pub(super) clock_ahead_ms: u64,
    /// The view within the bound that it leads, if any.
    pub(super) leads: Option<u64>,
}

/// What was sent, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fact {
    /// A vote: signer, and the number of kind, view and block.
    Vote(ValidatorId, usize),
    /// A proposal by its number.
    Proposed(usize),
}

/// All votes of one kind and view for one block.
pub(super) struct Group {
    pub(super) kind: VoteKind,
    pub(super) view: u64,
    pub(super) id: BlockId,
    pub(super) votes: Bits,
}

/// A proposal that may be delivered.
pub(super) struct Offer {
    pub(super) view: u64,
    pub(super) id: BlockId,
    pub(super) base: Option<u64>,
    pub(super) leader: ValidatorId,
    pub(super) message: Message,
}

/// Who an offer is from, for which view, block and base, with nullifications of which views.
type OfferKey = (ValidatorId, u64, BlockId, Option<(u64, BlockId)>, Vec<u64>);

pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) fixture: Fixture,
    pub(super) ledger: Ledger,
    pub(super) chain: ChainId,
    pub(super) set: ValidatorSet,
    pub(super) order: Vec<ValidatorId>,
    pub(super) players: Vec<Player>,
    /// Votes of this validator may be had at any time.
    pub(super) signs_everything: Option<ValidatorId>,
    /// How many votes the nodes take for a quorum.
    pub(super) quorum: usize,
    pub(super) groups: Vec<Group>,
    pub(super) offers: Vec<Offer>,
    pub(super) facts: Vec<Fact>,
    fact_numbers: HashMap<Fact, usize>,
    group_numbers: HashMap<(VoteKind, u64, BlockId), usize>,
    offer_numbers: HashMap<OfferKey, usize>,
    /// What was forged for a view out of these certificates.
    forged: HashMap<(u64, Vec<usize>), Vec<usize>>,
    pub(super) blocks: HashMap<BlockId, Arc<Block>>,
    /// The two blocks of the Byzantine master.
    pub(super) choices: Vec<BlockId>,
}

impl World {
    pub(super) fn new(scenario: Scenario) -> Self {
        let fixture = fixture(scenario.n, Profile::Hardened);
        let ledger = Ledger::genesis(&fixture.genesis).unwrap().0;
        let set = ledger.standings().validators().clone();
        let order = ledger.standings().leader_order();
        let quorum = match scenario.mutant {
            Some(Mutant::ShortQuorum) => 2 * set.f() + 1,
            _ => set.quorum(),
        };
        let mut world = Self {
            scenario,
            chain: ledger.chain(),
            fixture,
            ledger,
            set,
            order,
            players: Vec::new(),
            signs_everything: None,
            quorum,
            groups: Vec::new(),
            offers: Vec::new(),
            facts: Vec::new(),
            fact_numbers: HashMap::new(),
            group_numbers: HashMap::new(),
            offer_numbers: HashMap::new(),
            forged: HashMap::new(),
            blocks: HashMap::new(),
            choices: Vec::new(),
        };
        world.cast();
        world
    }

    /// Decides who plays.
    fn cast(&mut self) {
        for (place, &id) in self.order.clone().iter().enumerate() {
            let view = place as u64 + 1;
            let player = Player {
                name: format!("master {view}"),
                id,
                honest: true,
                clock_ahead_ms: 0,
                leads: Some(view).filter(|&view| view <= self.scenario.views),
            };
            match self.scenario.adversary {
                Adversary::Twin { leads } if leads == view => {
                    for (name, clock_ahead_ms) in [("twin A", 0), ("twin B", 1)] {
                        self.players.push(Player {
                            name: format!("{name} (master {view})"),
                            honest: false,
                            clock_ahead_ms,
                            ..player.clone()
                        });
                    }
                }
                Adversary::Byzantine { leads } if leads == view => {
                    self.signs_everything = Some(id);
                    for ahead in 0..2 {
                        let block = self.fresh_block(id, view, ahead);
                        self.choices.push(block.id());
                        self.blocks.insert(block.id(), Arc::new(block));
                    }
                }
                Adversary::Twin { .. } | Adversary::Byzantine { .. } | Adversary::Crashes => {
                    self.players.push(player);
                }
            }
        }
    }

    pub(super) fn crashes(&self) -> bool {
        self.scenario.adversary == Adversary::Crashes
    }

    pub(super) fn config(&self, player: usize) -> Config {
        let id = self.players[player].id;
        let mut config = Config::new(
            Arc::clone(&self.fixture.identities[usize::from(id.0)]),
            Timing::default(),
        );
        config.mutant = self.scenario.mutant;
        config
    }

    /// A player's clock; it stands still, but is read anew after a restart.
    pub(super) fn clock(&self, player: usize, life: u64) -> Millis {
        Millis(START_MS + self.players[player].clock_ahead_ms + life)
    }

    fn fresh_block(&self, author: ValidatorId, view: u64, ahead_ms: u64) -> Block {
        let identity = &self.fixture.identities[usize::from(author.0)];
        let input = self.ledger.standings().beacon_input();
        let header = Header {
            chain: self.chain,
            height: HEIGHT,
            parent_id: self.ledger.head_id(),
            parent_state_root: self.ledger.state_root(),
            author,
            view: View(view),
            time_ms: Millis(START_MS + ahead_ms),
            tx_root: Block::tx_root(&[]),
            parent_cert: None,
            late_votes: Vec::new(),
            evidence: Vec::new(),
            vrf_proof: identity.vrf_key.prove(&input).unwrap().1,
        };
        Block::new(header, Vec::new())
    }

    fn number_fact(&mut self, fact: Fact) -> usize {
        if let Some(&number) = self.fact_numbers.get(&fact) {
            return number;
        }
        let number = self.facts.len();
        self.facts.push(fact);
        self.fact_numbers.insert(fact, number);
        number
    }

    /// The number of a vote that was sent.
    pub(super) fn number_vote(&mut self, vote: &Vote) -> usize {
        let key = (vote.kind, vote.view.0, vote.id);
        let group = *self.group_numbers.entry(key).or_insert_with(|| {
            self.groups.push(Group {
                kind: vote.kind,
                view: vote.view.0,
                id: vote.id,
                votes: Bits::default(),
            });
            self.groups.len() - 1
        });
        let number = self.number_fact(Fact::Vote(vote.signer, group));
        self.groups[group].votes.insert(number);
        number
    }

    /// The number of a proposal that a player sent.
    pub(super) fn number_proposal(&mut self, proposal: &Proposal) -> usize {
        let base = proposal.justification.base.as_ref();
        let nulls = &proposal.justification.nullifications;
        let nulls = nulls.iter().map(|cert| cert.view.0).collect();
        let id = proposal.block.id();
        self.blocks
            .entry(id)
            .or_insert_with(|| Arc::clone(&proposal.block));
        let key = (
            proposal.leader,
            proposal.view.0,
            id,
            base.map(|cert| (cert.view.0, cert.id)),
            nulls,
        );
        let offer = self.number_offer(key, Message::Proposal(Box::new(proposal.clone())));
        self.number_fact(Fact::Proposed(offer))
    }

    fn number_offer(&mut self, key: OfferKey, message: Message) -> usize {
        if let Some(&number) = self.offer_numbers.get(&key) {
            return number;
        }
        self.offers.push(Offer {
            view: key.1,
            id: key.2,
            base: key.3.map(|(view, _)| view),
            leader: key.0,
            message,
        });
        self.offer_numbers.insert(key, self.offers.len() - 1);
        self.offers.len() - 1
    }

    /// Everything that the Byzantine master of `view` may propose, when these certificates can be put together.
    ///
    /// A justification with gaps waits at its receiver until the missing certificates are there, and is judged then: that is
    /// the same as a complete one that comes then. So it is only forged for nodes that are to accept it.
    pub(super) fn forge_offers(&mut self, view: u64, certs: &[usize], sent: &Bits) -> Vec<usize> {
        let key = (view, certs.to_vec());
        if let Some(forged) = self.forged.get(&key) {
            return forged.clone();
        }
        let of_kind = |kind| {
            let groups = &self.groups;
            let chosen = certs.iter().copied();
            chosen.filter(move |&number| groups[number].kind == kind && groups[number].view < view)
        };
        let mut nulls: Vec<_> = of_kind(VoteKind::Nullify)
            .map(|number| (self.groups[number].view, number))
            .collect();
        nulls.sort_unstable();
        let bases = of_kind(VoteKind::Notarize).map(Some);
        let bases: Vec<_> = std::iter::once(None).chain(bases).collect();
        let mut forged = Vec::new();
        for base in bases {
            let named = base.map(|number| (self.groups[number].view, self.groups[number].id));
            let lowest = named.map_or(1, |(base, _)| base + 1);
            let between: Vec<_> = nulls
                .iter()
                .filter(|(null, _)| *null >= lowest)
                .copied()
                .collect();
            let complete = between.len() as u64 == view - lowest;
            if !complete && self.scenario.mutant != Some(Mutant::AcceptsGaps) {
                continue;
            }
            let mut blocks = self.choices.clone();
            blocks.extend(named.map(|(_, id)| id).filter(|id| !blocks.contains(id)));
            for id in blocks {
                let views = between.iter().map(|(null, _)| *null).collect();
                let justification = Justification {
                    base: base.map(|number| self.certificate(number, Some(sent))),
                    nullifications: between
                        .iter()
                        .map(|&(_, number)| self.certificate(number, Some(sent)))
                        .collect(),
                };
                forged.push(self.forge(view, id, named, views, justification));
            }
        }
        self.forged.insert(key, forged.clone());
        forged
    }

    fn forge(
        &mut self,
        view: u64,
        id: BlockId,
        base: Option<(u64, BlockId)>,
        nulls: Vec<u64>,
        justification: Justification,
    ) -> usize {
        let leader = self.order[view as usize - 1];
        let vote_key = &self.fixture.identities[usize::from(leader.0)].vote_key;
        let signed = SignedProposalId::sign(self.chain, HEIGHT, View(view), id, leader, vote_key);
        let proposal = Proposal {
            height: HEIGHT,
            view: View(view),
            block: Arc::clone(&self.blocks[&id]),
            justification,
            leader,
            signature: signed.signature,
        };
        let message = Message::Proposal(Box::new(proposal));
        self.number_offer((leader, view, id, base, nulls), message)
    }

    /// How many voted in a group, of what was sent.
    pub(super) fn votes(&self, group: &Group, sent: &Bits) -> usize {
        sent.common(&group.votes) as usize + usize::from(self.signs_everything.is_some())
    }

    /// Who voted in a group as far as it is known to this check, the faulty one last.
    pub(super) fn signers(&self, group: usize, sent: Option<&Bits>) -> Vec<ValidatorId> {
        let mut signers: Vec<_> = self
            .facts
            .iter()
            .enumerate()
            .filter(|&(number, _)| sent.is_none_or(|sent| sent.contains(number)))
            .filter_map(|(_, fact)| match fact {
                Fact::Vote(signer, of) if *of == group => Some(*signer),
                Fact::Vote(..) | Fact::Proposed(_) => None,
            })
            .collect();
        signers.extend(self.signs_everything);
        signers
    }

    pub(super) fn vote(&self, group: usize, signer: ValidatorId) -> Vote {
        let Group { kind, view, id, .. } = self.groups[group];
        let key = &self.fixture.identities[usize::from(signer.0)].vote_key;
        Vote::sign(self.chain, kind, HEIGHT, View(view), id, signer, key)
    }

    pub(super) fn ballot(&self, group: usize, signer: ValidatorId) -> Message {
        Message::Ballots(vec![Ballot {
            vote: self.vote(group, signer),
            proposal: None,
        }])
    }

    /// A certificate of a group in which a quorum has voted.
    pub(super) fn certificate(&self, group: usize, sent: Option<&Bits>) -> Certificate {
        let mut votes: Vec<_> = self
            .signers(group, sent)
            .into_iter()
            .take(self.quorum)
            .map(|signer| (signer, self.vote(group, signer).signature))
            .collect();
        assert!(votes.len() >= self.quorum, "a certificate needs a quorum");
        votes.sort_unstable();
        let Group { kind, view, id, .. } = self.groups[group];
        Certificate {
            kind,
            height: HEIGHT,
            view: View(view),
            id,
            votes,
        }
    }

    /// A certificate as others pass it on.
    pub(super) fn page(&self, group: usize, sent: &Bits) -> Message {
        let cert = self.certificate(group, Some(sent));
        let view = View(self.groups[group].view + 1);
        let justification = match cert.kind {
            VoteKind::Notarize => Justification {
                base: Some(cert),
                nullifications: Vec::new(),
            },
            VoteKind::Nullify | VoteKind::Finalize => Justification {
                base: None,
                nullifications: vec![cert],
            },
        };
        Message::NewView(Box::new(NewView {
            height: HEIGHT,
            view,
            justification,
        }))
    }

    /// A proposal as it arrives after these votes: its certificates made of votes that were sent. Whoever first made
    /// the proposal in this check may have had others.
    pub(super) fn offer_message(&self, offer: usize, sent: &Bits) -> Message {
        let mut message = self.offers[offer].message.clone();
        if let Message::Proposal(proposal) = &mut message {
            let justification = &mut proposal.justification;
            let nulls = justification.nullifications.iter_mut();
            for cert in nulls.chain(&mut justification.base) {
                let key = (cert.kind, cert.view.0, cert.id);
                *cert = self.certificate(self.group_numbers[&key], Some(sent));
            }
        }
        message
    }

    /// A block's name in traces.
    pub(super) fn block_name(&self, id: BlockId) -> String {
        match self.blocks.get(&id) {
            _ if id == BlockId::NONE => "no block".to_owned(),
            None => "an unknown block".to_owned(),
            Some(block) => {
                let header = &block.header;
                let (view, later) = (header.view, header.time_ms.0 - START_MS);
                format!("the block of view {view}{}", "'".repeat(later as usize))
            }
        }
    }

    pub(super) fn group_name(&self, group: usize) -> String {
        let Group { kind, view, id, .. } = self.groups[group];
        match kind {
            VoteKind::Notarize => format!("notarization of {} in view {view}", self.block_name(id)),
            VoteKind::Nullify => format!("nullification of view {view}"),
            VoteKind::Finalize => format!("finalization of {} in view {view}", self.block_name(id)),
        }
    }
}
