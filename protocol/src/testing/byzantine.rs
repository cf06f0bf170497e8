//! Byzantine validators: an honest core whose outputs are twisted on their way out.

use crate::consensus::{
    Ballot, Consensus, Identity, Justification, Message, NewView, Note, Output, Proposal,
    SignedProposalId, Vote, VoteKind,
};
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::{Block, Header};
use crate::testing::dice::Dice;
use crate::units::{Height, View};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How a validator behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behaviour {
    /// By the rules.
    Honest,
    /// Says nothing.
    Silent,
    /// Proposes two blocks per view to two halves of the others, and votes for both.
    Equivocate,
    /// Two instances of the honest program with one key, each linked to other peers.
    Twin,
    /// Signs every vote that there is, for every block that it hears of.
    SignEverything,
    /// Proposes fresh blocks and claims views without the certificates that they take.
    ForgeJustification,
    /// Sends each message to some of the others only.
    Withhold,
    /// Sends messages of old heights again and again.
    Replay,
    /// Sends messages that are too large or of a far future.
    Oversize,
    /// A master that leaves out of its blocks all votes that it can.
    VoteOmit,
    /// Signs a contradicting vote to each of its votes: one half gets one, the other half the other.
    DoubleVote,
    /// Nullifies view 1 of every height as soon as it can, whether there is work or not.
    NullifyAtOnce,
}

/// What is sent to whom.
pub(super) type Sending = (ValidatorId, Message);

/// Most messages that a replayer remembers.
const MEMORY_MAX: usize = 64;

/// What a Byzantine validator keeps in mind.
#[derive(Debug, Default)]
pub(super) struct Adversary {
    memory: VecDeque<Message>,
    signed: BTreeSet<(Height, View, u8, BlockId)>,
    /// Own blocks that were sent in another form.
    replaced: BTreeMap<BlockId, BlockId>,
}

/// One Byzantine validator at one moment.
pub(super) struct Scene<'a> {
    pub(super) me: &'a Identity,
    pub(super) chain: ChainId,
    pub(super) peers: &'a [ValidatorId],
    pub(super) core: Option<&'a Consensus>,
    pub(super) mind: &'a mut Adversary,
    pub(super) dice: &'a mut Dice,
}

impl Behaviour {
    /// All that break rules, in the order of their names' first mention.
    pub const ALL: [Self; 11] = [
        Self::Silent,
        Self::Equivocate,
        Self::Twin,
        Self::SignEverything,
        Self::ForgeJustification,
        Self::Withhold,
        Self::Replay,
        Self::Oversize,
        Self::VoteOmit,
        Self::DoubleVote,
        Self::NullifyAtOnce,
    ];

    /// Its name on command lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Silent => "silent",
            Self::Equivocate => "equivocate",
            Self::Twin => "twin",
            Self::SignEverything => "sign-everything",
            Self::ForgeJustification => "forge-justification",
            Self::Withhold => "withhold",
            Self::Replay => "replay",
            Self::Oversize => "oversize",
            Self::VoteOmit => "vote-omit",
            Self::DoubleVote => "double-vote",
            Self::NullifyAtOnce => "nullify-at-once",
        }
    }

    /// The behaviour with this name; not the honest one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What this validator makes of one output of its core; none when the output is executed as it stands.
    pub(super) fn twist(self, scene: &mut Scene<'_>, output: &Output) -> Option<Vec<Sending>> {
        if self == Self::ForgeJustification
            && let Output::Note(Note::ViewChanged { view, leader, .. }) = output
            && *leader == Some(scene.me.id)
        {
            return Some(forge(scene, *view));
        }
        if self == Self::Withhold
            && let Output::Send { to, message } = output
        {
            let kept = scene.dice.percent(50);
            return kept
                .then(|| vec![(*to, message.clone())])
                .or(Some(Vec::new()));
        }
        let Output::Broadcast(message) = output else {
            let sends = matches!(output, Output::Send { .. } | Output::SendCommitted { .. });
            return (self == Self::Silent && sends).then(Vec::new);
        };
        let (me, chain, peers) = (scene.me, scene.chain, scene.peers);
        match (self, message) {
            (Self::Honest | Self::Twin, _) => None,
            (Self::Silent, _) => Some(Vec::new()),
            (Self::Equivocate, Message::Proposal(proposal)) => {
                let twin = twin(me, chain, proposal);
                Some(halves(peers, message, &Message::Proposal(Box::new(twin))))
            }
            (Self::Equivocate, Message::Ballots(ballots)) => {
                let mut all = ballots.clone();
                all.extend(
                    ballots
                        .iter()
                        .filter_map(|ballot| contradict(me, chain, ballot)),
                );
                Some(everybody(peers, &Message::Ballots(all)))
            }
            (Self::DoubleVote, Message::Ballots(ballots)) => {
                let other = ballots
                    .iter()
                    .map(|ballot| contradict(me, chain, ballot).unwrap_or_else(|| ballot.clone()));
                Some(halves(peers, message, &Message::Ballots(other.collect())))
            }
            (Self::NullifyAtOnce, Message::Ballots(ballots)) => {
                let mut all = ballots.clone();
                for ballot in ballots {
                    for (height, view) in [
                        (ballot.vote.height, ballot.vote.view),
                        (ballot.vote.height.plus(1), View(1)),
                    ] {
                        let kind = VoteKind::Nullify;
                        all.push(ballot_of(me, chain, kind, height, view, BlockId::NONE));
                    }
                }
                Some(everybody(peers, &Message::Ballots(all)))
            }
            (Self::ForgeJustification, Message::NewView(new_view)) => {
                Some(halves(peers, message, &Message::NewView(claim(new_view))))
            }
            (Self::Withhold, _) => {
                let some = peers.iter().filter(|_| scene.dice.percent(50));
                Some(some.map(|&peer| (peer, message.clone())).collect())
            }
            (Self::Replay, _) => Some(scene.replay(message)),
            (Self::Oversize, _) => Some(scene.exaggerate(message)),
            (Self::VoteOmit, Message::Proposal(proposal)) => Some(scene.omit(proposal)),
            (Self::VoteOmit, Message::Ballots(ballots)) => Some(scene.follow_omission(ballots)),
            (
                Self::Equivocate
                | Self::DoubleVote
                | Self::NullifyAtOnce
                | Self::SignEverything
                | Self::ForgeJustification
                | Self::VoteOmit,
                _,
            ) => None,
        }
    }

    /// What this validator sends because of a message that it got, beside what its core does.
    pub(super) fn hear(self, scene: &mut Scene<'_>, message: &Message) -> Vec<Sending> {
        match self {
            Self::SignEverything => scene.sign_everything(message),
            Self::Replay => {
                if scene.mind.memory.len() >= MEMORY_MAX {
                    scene.mind.memory.pop_front();
                }
                scene.mind.memory.push_back(message.clone());
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}

impl Scene<'_> {
    fn sign_everything(&mut self, message: &Message) -> Vec<Sending> {
        let (height, view, id) = match message {
            Message::Proposal(proposal) => (proposal.height, proposal.view, proposal.block.id()),
            Message::Ballots(ballots) => match ballots.first() {
                Some(Ballot { vote, .. }) => (vote.height, vote.view, vote.id),
                None => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        let mut ballots = Vec::new();
        for (number, kind) in [VoteKind::Notarize, VoteKind::Nullify, VoteKind::Finalize]
            .into_iter()
            .enumerate()
        {
            let id = if kind == VoteKind::Nullify {
                BlockId::NONE
            } else {
                id
            };
            let sensible = kind == VoteKind::Nullify || id != BlockId::NONE;
            if sensible && self.mind.signed.insert((height, view, number as u8, id)) {
                ballots.push(ballot_of(self.me, self.chain, kind, height, view, id));
            }
        }
        if ballots.is_empty() {
            return Vec::new();
        }
        // Whoever hears of one of them may never hear of the other.
        let mut sendings = Vec::new();
        for &peer in self.peers {
            let some: Vec<_> = ballots
                .iter()
                .filter(|_| self.dice.percent(70))
                .cloned()
                .collect();
            if !some.is_empty() {
                sendings.push((peer, Message::Ballots(some)));
            }
        }
        sendings
    }

    fn replay(&mut self, message: &Message) -> Vec<Sending> {
        let mut sendings = everybody(self.peers, message);
        for &peer in self.peers {
            let place = self.dice.below(self.mind.memory.len() as u64) as usize;
            if let Some(old) = self
                .mind
                .memory
                .get(place)
                .filter(|_| self.dice.percent(30))
            {
                sendings.push((peer, old.clone()));
            }
        }
        if self.mind.memory.len() >= MEMORY_MAX {
            self.mind.memory.pop_front();
        }
        self.mind.memory.push_back(message.clone());
        sendings
    }

    fn exaggerate(&mut self, message: &Message) -> Vec<Sending> {
        let mut sendings = everybody(self.peers, message);
        let (me, chain) = (self.me, self.chain);
        let (height, view) = self
            .core
            .map_or((Height(1), View(1)), |core| (core.height(), core.view()));
        for &peer in self.peers {
            let null =
                |height, view| ballot_of(me, chain, VoteKind::Nullify, height, view, BlockId::NONE);
            let huge = match self.dice.below(12) {
                0 => Message::Ballots(vec![null(height, view); 65]),
                1 => Message::Ballots(vec![null(height, view.plus(1_000_000))]),
                2 => Message::Ballots(vec![null(height.plus(1_000_000), View(1))]),
                3 => {
                    let views = (1..=64).map(|more| null(height, view.plus(more)));
                    Message::Ballots(views.collect())
                }
                4 => {
                    let blocks = (0..64).map(|id| {
                        let id = BlockId([id + 1; 32]);
                        ballot_of(me, chain, VoteKind::Notarize, height, view, id)
                    });
                    Message::Ballots(blocks.collect())
                }
                5 => Message::GetCommitted {
                    from: Height(1),
                    count: u16::MAX,
                },
                6 => Message::NewView(Box::new(NewView {
                    height: height.plus(1),
                    view: View(u64::MAX),
                    justification: Justification::default(),
                })),
                _ => continue,
            };
            sendings.push((peer, huge));
        }
        sendings
    }

    /// The same block without late votes, and with no more votes for its parent than it takes.
    fn omit(&mut self, proposal: &Proposal) -> Vec<Sending> {
        let standings = self.core.map(|core| core.ledger().standings());
        let quorum = standings.map_or(usize::MAX, |standings| {
            standings.previous_validators().quorum()
        });
        let mut proposal = proposal.clone();
        if proposal.justification.base.is_none() {
            let id = proposal.block.id();
            let block = proposal.block.altered(|parts| {
                parts.header.late_votes.clear();
                if let Some(cert) = &mut parts.header.parent_cert {
                    cert.votes.truncate(quorum);
                }
            });
            let (height, view) = (proposal.height, proposal.view);
            let (me, other) = (self.me, block.id());
            let signed =
                SignedProposalId::sign(self.chain, height, view, other, me.id, &me.vote_key);
            proposal.signature = signed.signature;
            proposal.block = Arc::new(block);
            self.mind.replaced.insert(id, other);
        }
        everybody(self.peers, &Message::Proposal(Box::new(proposal)))
    }

    fn follow_omission(&mut self, ballots: &[Ballot]) -> Vec<Sending> {
        let ballots = ballots.iter().map(|ballot| {
            let vote = &ballot.vote;
            match self.mind.replaced.get(&vote.id) {
                Some(&id) => ballot_of(self.me, self.chain, vote.kind, vote.height, vote.view, id),
                None => ballot.clone(),
            }
        });
        everybody(self.peers, &Message::Ballots(ballots.collect()))
    }
}

/// As the master of `view`: a fresh block, as if nothing had been notarized and no view needed a reason.
fn forge(scene: &mut Scene<'_>, view: View) -> Vec<Sending> {
    let Some(core) = scene.core.filter(|core| !core.is_halted()) else {
        return Vec::new();
    };
    let (ledger, me) = (core.ledger(), scene.me);
    let Ok((_, vrf_proof)) = me.vrf_key.prove(&ledger.standings().beacon_input()) else {
        return Vec::new();
    };
    let height = core.height();
    let header = Header {
        chain: scene.chain,
        height,
        parent_id: ledger.head_id(),
        parent_state_root: ledger.state_root(),
        author: me.id,
        view,
        time_ms: ledger.head_time().plus(1 + view.0),
        tx_root: Block::tx_root(&[]),
        parent_cert: core.head_certificate(),
        late_votes: Vec::new(),
        evidence: Vec::new(),
        vrf_proof,
    };
    let block = Arc::new(Block::new(header, Vec::new()));
    let id = block.id();
    let signed = SignedProposalId::sign(scene.chain, height, view, id, me.id, &me.vote_key);
    let proposal = Message::Proposal(Box::new(Proposal {
        height,
        view,
        block,
        justification: Justification::default(),
        leader: me.id,
        signature: signed.signature,
    }));
    let vote = ballot_of(me, scene.chain, VoteKind::Notarize, height, view, id);
    let vote = Message::Ballots(vec![vote]);
    let mut sendings = everybody(scene.peers, &proposal);
    sendings.extend(everybody(scene.peers, &vote));
    sendings
}

/// A view with certificates that say something else than they did.
fn claim(new_view: &NewView) -> Box<NewView> {
    let mut claim = new_view.clone();
    claim.view = claim.view.plus(1);
    let certs = claim.justification.nullifications.iter_mut();
    for cert in certs.chain(&mut claim.justification.base) {
        cert.view = cert.view.plus(1);
    }
    Box::new(claim)
}

fn everybody(peers: &[ValidatorId], message: &Message) -> Vec<Sending> {
    peers.iter().map(|&peer| (peer, message.clone())).collect()
}

/// The first half of the peers gets one message, the second the other.
fn halves(peers: &[ValidatorId], one: &Message, other: &Message) -> Vec<Sending> {
    let middle = peers.len().div_ceil(2);
    peers
        .iter()
        .enumerate()
        .map(|(place, &peer)| {
            (
                peer,
                if place < middle {
                    one.clone()
                } else {
                    other.clone()
                },
            )
        })
        .collect()
}

/// A second, equally valid block for the same view: a millisecond later.
fn twin(me: &Identity, chain: ChainId, proposal: &Proposal) -> Proposal {
    let later = u64::from(proposal.justification.base.is_none());
    let block = proposal
        .block
        .altered(|parts| parts.header.time_ms.0 += later);
    let (height, view, id) = (proposal.height, proposal.view, block.id());
    let signed = SignedProposalId::sign(chain, height, view, id, me.id, &me.vote_key);
    Proposal {
        block: Arc::new(block),
        signature: signed.signature,
        ..proposal.clone()
    }
}

fn ballot_of(
    me: &Identity,
    chain: ChainId,
    kind: VoteKind,
    height: crate::units::Height,
    view: crate::units::View,
    id: BlockId,
) -> Ballot {
    Ballot {
        vote: Vote::sign(chain, kind, height, view, id, me.id, &me.vote_key),
        proposal: None,
    }
}

/// A vote that no honest validator signs beside `ballot`.
fn contradict(me: &Identity, chain: ChainId, ballot: &Ballot) -> Option<Ballot> {
    let vote = &ballot.vote;
    let (height, view) = (vote.height, vote.view);
    let other = BlockId(vote.id.0.map(|byte| byte ^ 0xff));
    Some(match vote.kind {
        VoteKind::Notarize => ballot_of(me, chain, VoteKind::Notarize, height, view, other),
        VoteKind::Finalize => ballot_of(me, chain, VoteKind::Nullify, height, view, BlockId::NONE),
        VoteKind::Nullify => return None,
    })
}
