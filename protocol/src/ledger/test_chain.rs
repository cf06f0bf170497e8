//! A chain of several validators that all agree, for tests of what executing blocks does: every header is checked, and
//! every block is finalized by exactly the validators of its height.

use crate::consensus::{Certificate, Identity, Vote, VoteKind};
use crate::crypto::SigningKey;
use crate::ids::ValidatorId;
use crate::ledger::light::Step;
use crate::ledger::{
    Amendment, Block, Clause, Genesis, Header, Ledger, Profile, SignedTransaction, StateProof,
    Transaction, TxBody, ValidatorInfo, What,
};
use crate::testing::fixture;
use crate::units::{Sequence, View};
use std::sync::Arc;

/// The chain, and keys of more validators than it starts with.
pub(crate) struct Chain {
    pub(crate) genesis: Genesis,
    pub(crate) ledger: Ledger,
    /// Everybody who is or may become a validator; later ones may carry the same number.
    pub(crate) people: Vec<(ValidatorInfo, Arc<Identity>)>,
    pub(crate) blocks: Vec<(Block, Certificate)>,
    pub(crate) steps: Vec<Step>,
    electorate: Option<StateProof>,
    sequence: u64,
}

impl Chain {
    /// `n` validators, and keys for as many more as `people`.
    pub(crate) fn new(n: u16, people: u16) -> Self {
        let fixture = fixture(people, Profile::Balanced);
        let infos = fixture.genesis.validators.clone();
        let mut genesis = fixture.genesis;
        genesis.validators.truncate(usize::from(n));
        let ledger = Ledger::genesis(&genesis).unwrap().0;
        Self {
            genesis,
            ledger,
            people: infos.into_iter().zip(fixture.identities).collect(),
            blocks: Vec::new(),
            steps: Vec::new(),
            electorate: None,
            sequence: 0,
        }
    }

    /// The information about a validator that may become one.
    pub(crate) fn info(&self, place: usize) -> ValidatorInfo {
        self.people[place].0.clone()
    }

    /// Keys of nobody yet, for validator `id`.
    pub(crate) fn new_keys(&mut self, id: u16, from: usize) -> ValidatorInfo {
        let (info, identity) = self.people[from].clone();
        let info = ValidatorInfo {
            id: ValidatorId(id),
            ..info
        };
        let seed = crate::crypto::Secret32::new;
        let mut bytes = [1; 32];
        bytes[..2].copy_from_slice(&identity.id.0.to_be_bytes());
        let mut vrf = [2; 32];
        vrf[..2].copy_from_slice(&identity.id.0.to_be_bytes());
        let identity = Identity {
            id: ValidatorId(id),
            vote_key: SigningKey::from_seed(seed(bytes)),
            vrf_key: crate::crypto::vrf::VrfSecretKey::from_seed(seed(vrf)),
        };
        self.people.push((info.clone(), Arc::new(identity)));
        info
    }

    pub(crate) fn identity(&self, info: &ValidatorInfo) -> &Identity {
        let found = self.people.iter().find(|(other, _)| other == info);
        &found.unwrap().1
    }

    fn members(&self) -> Vec<ValidatorInfo> {
        self.ledger
            .standings()
            .validators()
            .iter()
            .cloned()
            .collect()
    }

    pub(crate) fn amendment(&self, changes: Vec<impl Into<Clause>>) -> Amendment {
        Amendment {
            number: self.ledger.state().amendments(),
            valid_until_ms: self.ledger.head_time().plus(60_000),
            changes: changes.into_iter().map(Into::into).collect(),
        }
    }

    /// The amendment signed by the first `signers` members, handed in by the first.
    pub(crate) fn govern(&mut self, amendment: &Amendment, signers: usize) -> SignedTransaction {
        let chain = self.ledger.chain();
        let members = self.members();
        let signatures = members.iter().take(signers).map(|info| {
            let key = &self.identity(info).vote_key;
            (info.id, amendment.sign(chain, key))
        });
        let governance = amendment.clone().combine(signatures);
        self.hand_in(TxBody::Governance(Box::new(governance)))
    }

    /// A transaction of the first member.
    pub(crate) fn hand_in(&mut self, body: TxBody) -> SignedTransaction {
        // Numbers rise over all signers: each of them just skips some.
        self.sequence += 1;
        let members = self.members();
        let key = &self.identity(&members[0]).vote_key;
        Transaction {
            chain: self.ledger.chain(),
            signer: key.verifying_key(),
            sequence: Sequence(self.sequence),
            valid_until_ms: self.ledger.head_time().plus(60_000),
            body,
        }
        .sign(key)
    }

    /// The next block, by the master of view 1.
    pub(crate) fn block(&self, transactions: Vec<SignedTransaction>) -> Block {
        let standings = self.ledger.standings();
        let author = standings.leader_order()[0];
        let info = standings.validators().get(author).unwrap();
        let (_, vrf_proof) = self
            .identity(info)
            .vrf_key
            .prove(&standings.beacon_input())
            .unwrap();
        let header = Header {
            chain: self.ledger.chain(),
            height: self.ledger.height().plus(1),
            parent_id: self.ledger.head_id(),
            parent_state_root: self.ledger.state_root(),
            author,
            view: View(1),
            time_ms: self.ledger.head_time().plus(1_000),
            tx_root: Block::tx_root(&transactions),
            parent_cert: self.blocks.last().map(|(_, cert)| cert.clone()),
            late_votes: Vec::new(),
            evidence: Vec::new(),
            vrf_proof,
        };
        Block::new(header, transactions)
    }

    /// The finalization of the next block by all members.
    pub(crate) fn finalize(&self, block: &Block) -> Certificate {
        let (height, view, id) = (block.header.height, View(1), block.id());
        let votes = self.members().into_iter().map(|info| {
            let key = &self.identity(&info).vote_key;
            let kind = VoteKind::Finalize;
            let vote = Vote::sign(self.ledger.chain(), kind, height, view, id, info.id, key);
            (info.id, vote.signature)
        });
        Certificate {
            kind: VoteKind::Finalize,
            height,
            view,
            id,
            votes: votes.collect(),
        }
    }

    /// Checks and executes a block with these transactions; what they did.
    pub(crate) fn push(&mut self, transactions: Vec<SignedTransaction>) -> Vec<What> {
        let block = self.block(transactions);
        assert_eq!(self.ledger.check_block(&block), Ok(()));
        let certificate = self.finalize(&block);
        let effects = self.ledger.execute(&block).unwrap();
        if let Some(electorate) = self.electorate.take() {
            self.steps.push(Step {
                header: block.header.clone(),
                certificate: certificate.clone(),
                electorate,
            });
        }
        self.electorate = effects.electorate;
        self.blocks.push((block, certificate));
        effects.events.into_iter().map(|event| event.what).collect()
    }

    /// As many empty blocks.
    pub(crate) fn pass(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.push(Vec::new());
        }
    }

    /// Numbers of the validators of the next height.
    pub(crate) fn numbers(&self) -> Vec<u16> {
        self.members().iter().map(|info| info.id.0).collect()
    }

    /// An amendment that all members sign, in a block of its own.
    pub(crate) fn amend(&mut self, changes: Vec<impl Into<Clause>>) -> Vec<What> {
        let amendment = self.amendment(changes);
        let all = self.members().len();
        let transaction = self.govern(&amendment, all);
        self.push(vec![transaction])
    }
}
