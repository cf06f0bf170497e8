//! What the bodies stand on: a small ledger, its blocks, and the core of one validator.

use crate::consensus::{
    Certificate, Config, Consensus, Evidence, Finalized, Identity, Input, Justification, Message,
    Recall, SignedProposalId, Timing, Vote, VoteKind, Wal,
};
use crate::crypto::Simulated;
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::{
    Block, Header, Ledger, Profile, SignedTransaction, Transaction, TxBody, Write,
};
use crate::testing::fixture::{Fixture, fixture};
use crate::units::{Height, Millis, View};
use std::cell::OnceCell;
use std::sync::Arc;

/// A ledger of four validators with a few blocks, and the core of one of them.
pub(super) struct Scene {
    pub(super) fixture: Fixture,
    pub(super) chain: ChainId,
    pub(super) blocks: Vec<Finalized>,
    pub(super) ledger: Ledger,
    pub(super) writes: Vec<Write>,
    pub(super) core: Consensus,
    pub(super) order: Vec<ValidatorId>,
}

thread_local! {
    static SCENE: OnceCell<Scene> = const { OnceCell::new() };
}

/// Signatures are simulated throughout: what is looked for hides in decoding and in the checks around them.
pub(super) fn with_scene<T>(look: impl FnOnce(&Scene) -> T) -> T {
    let _scope = Simulated::enter();
    SCENE.with(|scene| look(scene.get_or_init(Scene::new)))
}

impl Scene {
    pub(super) fn new() -> Self {
        let fixture = fixture(4, Profile::Balanced);
        let (mut ledger, writes) = Ledger::genesis(&fixture.genesis).unwrap();
        let chain = ledger.chain();
        let mut blocks: Vec<Finalized> = Vec::new();
        for height in 1..=3 {
            let transactions = vec![fixture.transaction(chain, height)];
            let parent = blocks.last().map(|last| last.certificate.clone());
            let block = block(&fixture, &ledger, parent, transactions);
            let certificate = certify(
                &fixture,
                chain,
                VoteKind::Finalize,
                Height(height),
                block.id(),
            );
            ledger.execute(&block).unwrap();
            blocks.push(Finalized {
                block: Arc::new(block),
                certificate,
            });
        }
        let order = ledger.standings().leader_order();
        let certificate = blocks.last().map(|last| last.certificate.clone());
        let wal = Wal::load(ledger.height(), certificate, []).unwrap();
        // Who leads neither of the first two views listens.
        let me = &fixture.identities[usize::from(order[2].0)];
        let config = Config::new(Arc::clone(me), Timing::default());
        let (mut core, _) = Consensus::start(config, ledger.clone(), wal, now(&ledger));
        let _ = core.step(now(&ledger), Input::Work(true));
        Self {
            fixture,
            chain,
            blocks,
            ledger,
            writes,
            core,
            order,
        }
    }

    pub(super) fn identity(&self, id: ValidatorId) -> Option<&Arc<Identity>> {
        self.fixture.identities.get(usize::from(id.0))
    }

    pub(super) fn next_block(&self) -> Block {
        let parent = self.blocks.last().map(|last| last.certificate.clone());
        let transactions = vec![self.fixture.transaction(self.chain, 9)];
        block(&self.fixture, &self.ledger, parent, transactions)
    }

    /// The same statement with signatures that hold, where the signer exists: mutations of content get past the first
    /// check.
    pub(super) fn sign_vote(&self, vote: &mut Vote) {
        if let Some(me) = self.identity(vote.signer) {
            *vote = Vote::sign(
                self.chain,
                vote.kind,
                vote.height,
                vote.view,
                vote.id,
                vote.signer,
                &me.vote_key,
            );
        }
    }

    pub(super) fn sign_certificate(&self, cert: &mut Certificate) {
        let (kind, height, view, id) = (cert.kind, cert.height, cert.view, cert.id);
        for (signer, signature) in &mut cert.votes {
            if let Some(me) = self.identity(*signer) {
                let vote = Vote::sign(self.chain, kind, height, view, id, *signer, &me.vote_key);
                *signature = vote.signature;
            }
        }
    }

    pub(super) fn sign_proposal_id(&self, signed: &mut SignedProposalId) {
        if let Some(me) = self.identity(signed.leader) {
            let (height, view, id) = (signed.height, signed.view, signed.id);
            *signed =
                SignedProposalId::sign(self.chain, height, view, id, signed.leader, &me.vote_key);
        }
    }

    pub(super) fn sign_evidence(&self, evidence: &mut Evidence) {
        match evidence {
            Evidence::Votes(a, b) => {
                self.sign_vote(a);
                self.sign_vote(b);
            }
            Evidence::Proposals(a, b) => {
                self.sign_proposal_id(a);
                self.sign_proposal_id(b);
            }
        }
    }

    pub(super) fn sign_block(&self, block: &mut Arc<Block>) {
        let mut header = block.header.clone();
        header.tx_root = Block::tx_root(&block.transactions);
        if let Some(cert) = &mut header.parent_cert {
            self.sign_certificate(cert);
        }
        for vote in &mut header.late_votes {
            self.sign_vote(vote);
        }
        for evidence in &mut header.evidence {
            self.sign_evidence(evidence);
        }
        if let Some(author) = self.identity(header.author) {
            let input = self.ledger.standings().beacon_input();
            header.vrf_proof = author.vrf_key.prove(&input).unwrap().1;
        }
        *block = Arc::new(Block::new(header, block.transactions.clone()));
    }

    pub(super) fn sign_justification(&self, justification: &mut Justification) {
        let nulls = justification.nullifications.iter_mut();
        for cert in nulls.chain(&mut justification.base) {
            self.sign_certificate(cert);
        }
    }

    pub(super) fn sign_message(&self, message: &mut Message) {
        match message {
            Message::Proposal(proposal) => {
                self.sign_block(&mut proposal.block);
                self.sign_justification(&mut proposal.justification);
                let mut signed = proposal.signed(proposal.block.id());
                self.sign_proposal_id(&mut signed);
                proposal.signature = signed.signature;
            }
            Message::Ballots(ballots) => {
                for ballot in ballots {
                    self.sign_vote(&mut ballot.vote);
                }
            }
            Message::NewView(new_view) => self.sign_justification(&mut new_view.justification),
            Message::Committed(all) => {
                for finalized in all {
                    self.sign_block(&mut finalized.block);
                    self.sign_certificate(&mut finalized.certificate);
                }
            }
            Message::Evidence(evidence) => self.sign_evidence(evidence),
            Message::Body(block) => self.sign_block(block),
            Message::GetCommitted { .. } | Message::NoBlocks { .. } | Message::GetBody { .. } => {}
            Message::Recall(Recall::Ask { .. }) => {}
            Message::Recall(Recall::Answer { votes, .. }) => {
                for vote in votes {
                    self.sign_vote(vote);
                }
            }
            Message::Hearsay(hearsay) => {
                for vote in &mut hearsay.votes {
                    self.sign_vote(vote);
                }
                for signed in &mut hearsay.proposals {
                    self.sign_proposal_id(signed);
                }
            }
        }
    }

    /// The request as its own signers would have made it.
    pub(super) fn resign(&self, transaction: &SignedTransaction) -> SignedTransaction {
        let plain = self.fixture.transaction(self.chain, 9);
        let mut body = transaction.content.body.clone();
        if let TxBody::Governance(governance) = &mut body {
            for (signer, signature) in &mut governance.signatures {
                if let Some(me) = self.identity(*signer) {
                    *signature = governance.amendment.sign(self.chain, &me.vote_key);
                }
            }
        }
        self.fixture.signed(Transaction {
            body,
            ..plain.content.clone()
        })
    }

    /// Gives a message to the core, as if its own signer had sent it, and as if somebody else had.
    pub(super) fn deliver(&self, message: &Message) {
        let mut senders = vec![self.order[0], self.order[3]];
        match message {
            Message::Ballots(ballots) => {
                senders.extend(ballots.first().map(|ballot| ballot.vote.signer));
            }
            Message::Proposal(proposal) => senders.push(proposal.leader),
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
        let mut core = self.core.clone();
        for from in senders {
            let message = message.clone();
            let outputs = core.step(now(&self.ledger), Input::Message { from, message });
            for output in outputs {
                if let crate::consensus::Output::SetTimer { timer, after } = output {
                    let later = now(&self.ledger).plus(after.0);
                    let _ = core.step(later, Input::TimerFired(timer));
                }
            }
        }
    }
}

pub(super) fn now(ledger: &Ledger) -> Millis {
    ledger.head_time().plus(1_500)
}

/// A valid block on `ledger`, by the master of view 1.
pub(super) fn block(
    fixture: &Fixture,
    ledger: &Ledger,
    parent_cert: Option<Certificate>,
    transactions: Vec<SignedTransaction>,
) -> Block {
    let author = ledger.standings().leader_order()[0];
    let key = &fixture.identities[usize::from(author.0)].vrf_key;
    let header = Header {
        chain: ledger.chain(),
        height: ledger.height().plus(1),
        parent_id: ledger.head_id(),
        parent_state_root: ledger.state_root(),
        author,
        view: View(1),
        time_ms: ledger.head_time().plus(1_000),
        tx_root: Block::tx_root(&transactions),
        parent_cert,
        late_votes: Vec::new(),
        evidence: Vec::new(),
        vrf_proof: key.prove(&ledger.standings().beacon_input()).unwrap().1,
    };
    Block::new(header, transactions)
}

pub(super) fn certify(
    fixture: &Fixture,
    chain: ChainId,
    kind: VoteKind,
    height: Height,
    id: BlockId,
) -> Certificate {
    let view = View(1);
    let votes = fixture.identities[..3].iter().map(|me| {
        let vote = Vote::sign(chain, kind, height, view, id, me.id, &me.vote_key);
        (me.id, vote.signature)
    });
    Certificate {
        kind,
        height,
        view,
        id,
        votes: votes.collect(),
    }
}
