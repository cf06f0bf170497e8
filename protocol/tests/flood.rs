//! One node's core under a flood from the other members' connections: memory stays bounded, nothing panics, and what
//! honest members say still counts (specification, I22). What strangers and broken frames can do is kept from the core by
//! the transport; bytes that do not decode are for `testing::decoders`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use kithkin_protocol::consensus::{
    Ballot, Certificate, Config, Consensus, Evidence, Finalized, Input, Justification, Message,
    NewView, Output, Proposal, SignedProposalId, Timing, Vote, VoteKind, Wal,
};
use kithkin_protocol::crypto::Signature;
use kithkin_protocol::ids::{BlockId, ChainId, ValidatorId};
use kithkin_protocol::ledger::{Block, Header, Ledger, Profile};
use kithkin_protocol::testing::{Fixture, fixture};
use kithkin_protocol::units::{Height, Millis, View};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::sync::Arc;

/// How many messages the flood has.
const MESSAGES: usize = 20_000;
/// How much more memory than before it the process may hold, in bytes.
const GROWTH_MAX: u64 = 4 * 1024 * 1024;

struct Flood {
    fixture: Fixture,
    chain: ChainId,
    order: Vec<ValidatorId>,
    block: Arc<Block>,
    rng: ChaCha20Rng,
}

impl Flood {
    fn draw(&mut self, below: u64) -> u64 {
        self.rng.next_u64() % below
    }

    fn id(&mut self) -> BlockId {
        let mut id = BlockId([0; 32]);
        self.rng.fill_bytes(&mut id.0);
        id
    }

    /// A vote by `signer`; with a signature that holds, or with rubbish.
    fn vote(&mut self, signer: ValidatorId, holds: bool) -> Vote {
        let kind = [VoteKind::Notarize, VoteKind::Nullify, VoteKind::Finalize]
            [usize::try_from(self.draw(3)).unwrap()];
        let id = match kind {
            VoteKind::Nullify => BlockId::NONE,
            VoteKind::Notarize | VoteKind::Finalize => self.id(),
        };
        let height = Height(1 + self.draw(3));
        // Never the view that the node is in: whoever gives that up with others is no flood.
        let view = View(2 + self.draw(200));
        let key = &self.fixture.identities[usize::from(signer.0)].vote_key;
        let mut vote = Vote::sign(self.chain, kind, height, view, id, signer, key);
        if !holds {
            self.rng.fill_bytes(&mut vote.signature.0);
        }
        vote
    }

    fn certificate(&mut self, kind: VoteKind) -> Certificate {
        let votes = (0..3).map(|signer| {
            let mut signature = Signature([0; 64]);
            self.rng.fill_bytes(&mut signature.0);
            (ValidatorId(signer), signature)
        });
        let votes = votes.collect();
        Certificate {
            kind,
            height: Height(1),
            view: View(1 + self.draw(90)),
            id: if kind == VoteKind::Nullify {
                BlockId::NONE
            } else {
                self.id()
            },
            votes,
        }
    }

    /// Something that a hostile member may say.
    fn message(&mut self, liar: ValidatorId) -> Message {
        match self.draw(9) {
            0 => Message::Ballots(self.ballots(liar, true, 64)),
            1 => Message::Ballots(self.ballots(liar, false, 64)),
            2 => Message::Ballots(self.ballots(liar, true, 65)),
            3 => {
                let nullifications = (0..16)
                    .map(|_| self.certificate(VoteKind::Nullify))
                    .collect();
                Message::NewView(Box::new(NewView {
                    height: Height(1 + self.draw(3)),
                    view: View(self.draw(1_000)),
                    justification: Justification {
                        base: Some(self.certificate(VoteKind::Notarize)),
                        nullifications,
                    },
                }))
            }
            4 => Message::Proposal(Box::new(self.proposal(liar))),
            5 => Message::Committed(vec![Finalized {
                block: Arc::clone(&self.block),
                certificate: self.certificate(VoteKind::Finalize),
            }]),
            6 => Message::GetBody {
                height: Height(1),
                id: self.id(),
            },
            7 => Message::Body(Arc::clone(&self.block)),
            _ => {
                let (one, two) = (self.vote(liar, false), self.vote(liar, false));
                Message::Evidence(Box::new(Evidence::Votes(one, two)))
            }
        }
    }

    fn ballots(&mut self, liar: ValidatorId, holds: bool, count: usize) -> Vec<Ballot> {
        (0..count)
            .map(|_| Ballot {
                vote: self.vote(liar, holds),
                proposal: Some(Signature([7; 64])),
            })
            .collect()
    }

    /// A block of its own, properly signed, for some view; the next height's too.
    fn proposal(&mut self, liar: ValidatorId) -> Proposal {
        let mut header: Header = self.block.header.clone();
        header.height = Height(1 + self.draw(2));
        header.time_ms = Millis(header.time_ms.0 + self.draw(1_000));
        let block = Arc::new(Block::new(header, Vec::new()));
        let (height, view) = (block.header.height, View(2 + self.draw(70)));
        let key = &self.fixture.identities[usize::from(liar.0)].vote_key;
        let signed = SignedProposalId::sign(self.chain, height, view, block.id(), liar, key);
        Proposal {
            height,
            view,
            block,
            justification: Justification::default(),
            leader: liar,
            signature: signed.signature,
        }
    }
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

#[test]
fn a_flood_from_members_costs_bounded_memory_and_stops_nobody() {
    let _scope = kithkin_protocol::crypto::Simulated::enter();
    let fixture = fixture(4, Profile::Hardened);
    let ledger = Ledger::genesis(&fixture.genesis).unwrap().0;
    let order = ledger.standings().leader_order();
    let (chain, now) = (ledger.chain(), ledger.head_time().plus(5_000));
    let master = &fixture.identities[usize::from(order[0].0)];
    let header = Header {
        chain,
        height: Height(1),
        parent_id: ledger.head_id(),
        parent_state_root: ledger.state_root(),
        author: master.id,
        view: View(1),
        time_ms: now,
        tx_root: Block::tx_root(&[]),
        parent_cert: None,
        late_votes: Vec::new(),
        evidence: Vec::new(),
        vrf_proof: master
            .vrf_key
            .prove(&ledger.standings().beacon_input())
            .unwrap()
            .1,
    };
    let block = Arc::new(Block::new(header, Vec::new()));
    let me = Arc::clone(&fixture.identities[usize::from(order[3].0)]);
    let wal = Wal::load(Height(0), None, []).unwrap();
    let (mut core, _) = Consensus::start(Config::new(me, Timing::default()), ledger, wal, now);
    let _ = core.step(now, Input::Work(true));
    let mut flood = Flood {
        fixture,
        chain,
        order,
        block: Arc::clone(&block),
        rng: ChaCha20Rng::seed_from_u64(1),
    };

    // The collections fill up first; only then growth is what the bound is about.
    let mut send = |core: &mut Consensus, count: usize| {
        for round in 0..count {
            // Two of the three others lie: more than may, so that the bound does not rest on their number.
            let liar = flood.order[1 + round % 2];
            let message = flood.message(liar);
            let outputs = core.step(
                now,
                Input::Message {
                    from: liar,
                    message,
                },
            );
            assert!(
                !outputs
                    .iter()
                    .any(|output| matches!(output, Output::Commit { .. })),
                "rubbish commits nothing"
            );
        }
    };
    send(&mut core, MESSAGES / 10);
    let before = resident();
    send(&mut core, MESSAGES);
    let after = resident();
    println!("{MESSAGES} hostile messages: {before} bytes resident before, {after} after");
    assert!(
        after.saturating_sub(before) < GROWTH_MAX,
        "{before} bytes resident before, {after} after"
    );

    // The height is where it was, and honest words still finalize it.
    assert_eq!((core.height(), core.view()), (Height(1), View(1)));
    let (id, view) = (block.id(), View(1));
    let master = flood.order[0];
    let key = |of: ValidatorId| &flood.fixture.identities[usize::from(of.0)].vote_key;
    let signed = SignedProposalId::sign(chain, Height(1), view, id, master, key(master));
    let proposal = Message::Proposal(Box::new(Proposal {
        height: Height(1),
        view,
        block,
        justification: Justification::default(),
        leader: master,
        signature: signed.signature,
    }));
    let mut said = vec![(master, proposal)];
    for kind in [VoteKind::Notarize, VoteKind::Finalize] {
        for &signer in &flood.order[..3] {
            let vote = Vote::sign(chain, kind, Height(1), view, id, signer, key(signer));
            let ballot = Ballot {
                vote,
                proposal: None,
            };
            said.push((signer, Message::Ballots(vec![ballot])));
        }
    }
    let committed = said.into_iter().any(|(from, message)| {
        let outputs = core.step(now, Input::Message { from, message });
        outputs
            .iter()
            .any(|output| matches!(output, Output::Commit { id: of, .. } if *of == id))
    });
    assert!(committed, "the honest block is final");
}
