//! Tests of credit: the arithmetic, the order of masters, the rules of a block, the checks of a header.

mod header;
mod order;
mod rules;

use crate::consensus::{Certificate, Identity, Vote, VoteKind};
use crate::credit::{Head, Standings};
use crate::crypto::Digest;
use crate::crypto::vrf::VrfProof;
use crate::ids::{BlockId, ValidatorId};
use crate::ledger::{Block, Header, Profile};
use crate::testing::{Fixture, fixture};
use crate::units::{Height, Millis, View};

/// Standings that grow by headers alone, without a ledger.
struct Chain {
    fixture: Fixture,
    standings: Standings,
    head: Head,
}

impl Chain {
    fn new(n: u16, profile: Profile) -> Self {
        let fixture = fixture(n, profile);
        let head = Head {
            height: Height(0),
            id: BlockId::NONE,
            state_root: Digest::ZERO,
            time_ms: fixture.genesis.time_ms,
        };
        Self {
            standings: Standings::genesis(&fixture.genesis),
            fixture,
            head,
        }
    }

    fn identity(&self, id: ValidatorId) -> &Identity {
        &self.fixture.identities[usize::from(id.0)]
    }

    fn vote(&self, kind: VoteKind, height: Height, view: View, id: BlockId, signer: u16) -> Vote {
        let signer = ValidatorId(signer);
        let key = &self.identity(signer).vote_key;
        Vote::sign(
            self.fixture.genesis.chain_id(),
            kind,
            height,
            view,
            id,
            signer,
            key,
        )
    }

    /// A finalization of the head in `view` by these validators.
    fn finalization(&self, view: View, signers: impl IntoIterator<Item = u16>) -> Certificate {
        let (height, id) = (self.head.height, self.head.id);
        let votes = signers.into_iter().map(|signer| {
            let vote = self.vote(VoteKind::Finalize, height, view, id, signer);
            (vote.signer, vote.signature)
        });
        Certificate {
            kind: VoteKind::Finalize,
            height,
            view,
            id,
            votes: votes.collect(),
        }
    }

    fn all(&self) -> std::ops::Range<u16> {
        0..u16::try_from(self.fixture.identities.len()).unwrap()
    }

    /// A valid header for `view`, with the parent finalized in view 1 by everybody.
    fn header(&self, view: View) -> Header {
        let order = self.standings.leader_order();
        let author = order[usize::try_from(view.0 - 1).unwrap() % order.len()];
        let input = self.standings.beacon_input();
        let (_, vrf_proof) = self.identity(author).vrf_key.prove(&input).unwrap();
        let parent_cert = (self.head.height.0 > 0).then(|| self.finalization(View(1), self.all()));
        Header {
            chain: self.fixture.genesis.chain_id(),
            height: self.head.height.plus(1),
            parent_id: self.head.id,
            parent_state_root: self.head.state_root,
            author,
            view,
            time_ms: Millis(self.head.time_ms.0 + 1),
            tx_root: Block::tx_root(&[]),
            parent_cert,
            late_votes: Vec::new(),
            evidence: Vec::new(),
            vrf_proof,
        }
    }

    /// Applies a header after checking it.
    fn push(&mut self, header: &Header) -> Vec<crate::credit::CreditChange> {
        assert_eq!(self.standings.check_header(header, &self.head), Ok(()));
        self.force(header)
    }

    /// Applies a header without checking it: for long runs.
    fn force(&mut self, header: &Header) -> Vec<crate::credit::CreditChange> {
        let id = header.id();
        let changes = self.standings.apply(header, id);
        self.head = Head {
            height: header.height,
            id,
            state_root: Digest(id.0),
            time_ms: header.time_ms,
        };
        changes
    }

    /// A header for [`Self::force`]: no signatures, no proof; these validators signed the parent in view 1.
    fn sketch(&self, signers: impl IntoIterator<Item = u16>) -> Header {
        let votes = signers
            .into_iter()
            .map(|signer| (ValidatorId(signer), crate::crypto::Signature([0; 64])))
            .collect();
        let parent_cert = (self.head.height.0 > 0).then_some(Certificate {
            kind: VoteKind::Finalize,
            height: self.head.height,
            view: View(1),
            id: self.head.id,
            votes,
        });
        Header {
            chain: self.fixture.genesis.chain_id(),
            height: self.head.height.plus(1),
            parent_id: self.head.id,
            parent_state_root: self.head.state_root,
            author: self.standings.leader_order()[0],
            view: View(1),
            time_ms: self.head.time_ms.plus(1),
            tx_root: Digest::ZERO,
            parent_cert,
            late_votes: Vec::new(),
            evidence: Vec::new(),
            vrf_proof: VrfProof([0; 80]),
        }
    }

    fn credit(&self, id: u16) -> u32 {
        self.standings.record(ValidatorId(id)).unwrap().credit.0
    }
}
