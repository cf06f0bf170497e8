//! What happens to bytes from outside: one body per kind of frame, for the fuzzer and for a plain test.
//!
//! Each body decodes; what decodes must survive encoding, and goes through every check that a peer could reach with it.
//! Nothing here may panic. The fuzz targets in `fuzz/` call these bodies, `make fuzz` runs them; the test at the end runs
//! them over the seeds, random mutations of the seeds and every input that ever crashed (`fuzz/regressions/`).

mod amendment;

use crate::consensus::{
    Ballot, Certificate, Config, Consensus, Evidence, Finalized, Hearsay, Identity, Input,
    Justification, Message, NewView, Proposal, Recall, SignedProposalId, Timing, Vote, VoteKind,
    Wal, WalEntry,
};
use crate::crypto::Simulated;
use crate::crypto::merkle::MerklePath;
use crate::emergency::Request;
use crate::ids::{BlockId, ChainId, PatientId, ValidatorId};
use crate::ledger::light::{Claim, Follower, Step};
use crate::ledger::{
    Block, Confirmed, Enrolment, Genesis, HeadStatement, Header, Ledger, Mempool, Profile,
    SignedTransaction, StateProof, Transaction, TxBody, TxProof, Write, confirm_head,
    confirm_state,
};
use crate::record::{BatchHeader, Capsule, Manifest, Receipt, ReceiptLine, Shard};
use crate::sharing::{Commitments, PartialOpening, SessionPublic, Threshold};
use crate::testing::fixture::{Fixture, GENESIS_MS, fixture};
use crate::testing::snapshot_decoder::{snapshot, snapshot_seeds};
use crate::units::{Height, Millis, View};
use crate::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::OnceCell;
use std::fmt::Debug;
use std::sync::Arc;

/// One kind of frame.
#[derive(Clone, Copy)]
pub struct Decoder {
    /// Its name, as the fuzz target's.
    pub name: &'static str,
    /// What is done with bytes from outside.
    pub body: fn(&[u8]),
    /// Frames that decode.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const DECODERS: &[Decoder] = &[
    Decoder {
        name: "consensus_message",
        body: consensus_message,
        seeds: message_seeds,
    },
    Decoder {
        name: "consensus_signed",
        body: consensus_signed,
        seeds: message_seeds,
    },
    Decoder {
        name: "wal",
        body: wal,
        seeds: wal_seeds,
    },
    Decoder {
        name: "finalized",
        body: finalized,
        seeds: finalized_seeds,
    },
    Decoder {
        name: "transaction",
        body: transaction,
        seeds: transaction_seeds,
    },
    Decoder {
        name: "amendment",
        body: amendment::body,
        seeds: amendment::seeds,
    },
    Decoder {
        name: "genesis",
        body: genesis,
        seeds: genesis_seeds,
    },
    Decoder {
        name: "proof",
        body: proof,
        seeds: proof_seeds,
    },
    Decoder {
        name: "light_client",
        body: light_client,
        seeds: light_client_seeds,
    },
    Decoder {
        name: "stored_state",
        body: stored_state,
        seeds: stored_state_seeds,
    },
    Decoder {
        name: "snapshot",
        body: snapshot,
        seeds: snapshot_seeds,
    },
    Decoder {
        name: "record",
        body: record,
        seeds: record_seeds,
    },
];

/// Runs the body of this name.
///
/// # Panics
/// When there is none, and when the body has found something.
pub fn run(name: &str, frame: &[u8]) {
    let decoder = DECODERS.iter().find(|decoder| decoder.name == name);
    (decoder.expect("a decoder of this name").body)(frame);
}

/// A ledger of four validators with a few blocks, and the core of one of them.
struct Scene {
    fixture: Fixture,
    chain: ChainId,
    blocks: Vec<Finalized>,
    ledger: Ledger,
    writes: Vec<Write>,
    core: Consensus,
    order: Vec<ValidatorId>,
}

thread_local! {
    static SCENE: OnceCell<Scene> = const { OnceCell::new() };
}

/// Signatures are simulated throughout: what is looked for hides in decoding and in the checks around them.
fn with_scene<T>(look: impl FnOnce(&Scene) -> T) -> T {
    let _scope = Simulated::enter();
    SCENE.with(|scene| look(scene.get_or_init(Scene::new)))
}

impl Scene {
    fn new() -> Self {
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

    fn identity(&self, id: ValidatorId) -> Option<&Arc<Identity>> {
        self.fixture.identities.get(usize::from(id.0))
    }

    fn next_block(&self) -> Block {
        let parent = self.blocks.last().map(|last| last.certificate.clone());
        let transactions = vec![self.fixture.transaction(self.chain, 9)];
        block(&self.fixture, &self.ledger, parent, transactions)
    }

    /// The same statement with signatures that hold, where the signer exists: mutations of content get past the first
    /// check.
    fn sign_vote(&self, vote: &mut Vote) {
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

    fn sign_certificate(&self, cert: &mut Certificate) {
        let (kind, height, view, id) = (cert.kind, cert.height, cert.view, cert.id);
        for (signer, signature) in &mut cert.votes {
            if let Some(me) = self.identity(*signer) {
                let vote = Vote::sign(self.chain, kind, height, view, id, *signer, &me.vote_key);
                *signature = vote.signature;
            }
        }
    }

    fn sign_proposal_id(&self, signed: &mut SignedProposalId) {
        if let Some(me) = self.identity(signed.leader) {
            let (height, view, id) = (signed.height, signed.view, signed.id);
            *signed =
                SignedProposalId::sign(self.chain, height, view, id, signed.leader, &me.vote_key);
        }
    }

    fn sign_evidence(&self, evidence: &mut Evidence) {
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

    fn sign_block(&self, block: &mut Arc<Block>) {
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

    fn sign_justification(&self, justification: &mut Justification) {
        let nulls = justification.nullifications.iter_mut();
        for cert in nulls.chain(&mut justification.base) {
            self.sign_certificate(cert);
        }
    }

    fn sign_message(&self, message: &mut Message) {
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
    fn resign(&self, transaction: &SignedTransaction) -> SignedTransaction {
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
    fn deliver(&self, message: &Message) {
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

fn now(ledger: &Ledger) -> Millis {
    ledger.head_time().plus(1_500)
}

/// A valid block on `ledger`, by the master of view 1.
fn block(
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

fn certify(
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

/// What decodes must be the same after encoding and decoding once more.
pub(super) fn decoded<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    frame: &[u8],
) -> Option<T> {
    let value: T = wire::decode(frame).ok()?;
    let again = wire::encode(&value);
    assert_eq!(wire::decode::<T>(&again).as_ref(), Ok(&value));
    Some(value)
}

fn consensus_message(frame: &[u8]) {
    if let Some(message) = decoded::<Message>(frame) {
        with_scene(|scene| scene.deliver(&message));
    }
}

fn consensus_signed(frame: &[u8]) {
    if let Ok(mut message) = wire::decode::<Message>(frame) {
        with_scene(|scene| {
            scene.sign_message(&mut message);
            scene.deliver(&message);
        });
    }
}

fn message_seeds() -> Vec<Vec<u8>> {
    with_scene(|scene| {
        let (chain, height) = (scene.chain, scene.ledger.height().plus(1));
        let block = Arc::new(scene.next_block());
        let id = block.id();
        let leader = scene.order[0];
        let key = &scene.identity(leader).unwrap().vote_key;
        let signed = SignedProposalId::sign(chain, height, View(1), id, leader, key);
        let notarization = certify(&scene.fixture, chain, VoteKind::Notarize, height, id);
        let null = BlockId::NONE;
        let nullification = certify(&scene.fixture, chain, VoteKind::Nullify, height, null);
        let proposal = Proposal {
            height,
            view: View(1),
            block: Arc::clone(&block),
            justification: Justification::default(),
            leader,
            signature: signed.signature,
        };
        let mut other = signed.clone();
        other.id = BlockId([5; 32]);
        scene.sign_proposal_id(&mut other);
        let ballots: Vec<_> = [VoteKind::Notarize, VoteKind::Finalize, VoteKind::Nullify]
            .into_iter()
            .map(|kind| {
                let id = if kind == VoteKind::Nullify { null } else { id };
                Ballot {
                    vote: Vote::sign(chain, kind, height, View(1), id, leader, key),
                    proposal: (kind == VoteKind::Notarize).then_some(signed.signature),
                }
            })
            .collect();
        let votes = (ballots[1].vote.clone(), ballots[2].vote.clone());
        let recalled = vec![votes.0.clone(), votes.1.clone()];
        let page = |base: Option<Certificate>, nullifications: Vec<Certificate>, view| NewView {
            height,
            view: View(view),
            justification: Justification {
                base,
                nullifications,
            },
        };
        let hearsay = Hearsay {
            height: scene.ledger.height(),
            votes: ballots.iter().map(|ballot| ballot.vote.clone()).collect(),
            proposals: vec![signed.clone(), other.clone()],
        };
        let messages = [
            Message::Hearsay(Box::new(hearsay)),
            Message::Proposal(Box::new(proposal)),
            Message::Ballots(ballots),
            Message::NewView(Box::new(page(Some(notarization), Vec::new(), 2))),
            Message::NewView(Box::new(page(None, vec![nullification], 2))),
            Message::GetCommitted {
                from: Height(1),
                count: 4,
            },
            Message::Committed(vec![Finalized {
                certificate: certify(&scene.fixture, chain, VoteKind::Finalize, height, id),
                block: Arc::clone(&block),
            }]),
            Message::Committed(scene.blocks.clone()),
            Message::NoBlocks {
                from: height,
                first: height.plus(20),
            },
            Message::GetBody { height, id },
            Message::Body(block),
            Message::Evidence(Box::new(Evidence::from_votes(votes.0, votes.1).unwrap())),
            Message::Evidence(Box::new(Evidence::from_proposals(signed, other).unwrap())),
            Message::Recall(Recall::Ask { nonce: 7 }),
            Message::Recall(Recall::Answer {
                nonce: 7,
                head: Height(1),
                votes: recalled,
            }),
        ];
        messages.iter().map(wire::encode).collect()
    })
}

/// A node starts from what its disk says: records that do not fit are refused, never a panic.
fn wal(frame: &[u8]) {
    let Some(entries) = decoded::<Vec<WalEntry>>(frame) else {
        return;
    };
    with_scene(|scene| {
        let certificate = scene.blocks.last().map(|last| last.certificate.clone());
        if let Ok(wal) = Wal::load(scene.ledger.height(), certificate, entries) {
            let me = Arc::clone(&scene.fixture.identities[0]);
            let config = Config::new(me, Timing::default());
            let _ = Consensus::start(config, scene.ledger.clone(), wal, now(&scene.ledger));
        }
    });
}

fn wal_seeds() -> Vec<Vec<u8>> {
    with_scene(|scene| {
        let (chain, height) = (scene.chain, scene.ledger.height().plus(1));
        let block = Arc::new(scene.next_block());
        let (id, null) = (block.id(), BlockId::NONE);
        let leader = scene.order[0];
        let key = &scene.identity(leader).unwrap().vote_key;
        let vote = Vote::sign(chain, VoteKind::Notarize, height, View(1), id, leader, key);
        let notarization = certify(&scene.fixture, chain, VoteKind::Notarize, height, id);
        let nullification = certify(&scene.fixture, chain, VoteKind::Nullify, height, null);
        let entries = vec![
            WalEntry::Body(block),
            WalEntry::Proposal {
                signed: SignedProposalId::sign(chain, height, View(1), id, leader, key),
                base: None,
            },
            WalEntry::Vote(vote),
            WalEntry::Notarization(notarization),
            WalEntry::Nullification(nullification),
            WalEntry::View {
                height,
                view: View(2),
                base: Some(View(1)),
            },
        ];
        let short = entries[..3].to_vec();
        vec![wire::encode(&entries), wire::encode(&short)]
    })
}

fn finalized(frame: &[u8]) {
    let Some(finalized) = decoded::<Finalized>(frame) else {
        return;
    };
    with_scene(|scene| {
        let set = scene.ledger.standings().validators();
        let Finalized {
            mut block,
            mut certificate,
        } = finalized;
        let _ = certificate.verify(scene.chain, set);
        let mut ledger = scene.ledger.clone();
        let _ = ledger.check_block(&block);
        scene.sign_block(&mut block);
        scene.sign_certificate(&mut certificate);
        let _ = certificate.verify(scene.chain, set);
        if ledger.check_block(&block).is_ok() {
            ledger.execute(&block).expect("was checked");
        }
    });
}

fn finalized_seeds() -> Vec<Vec<u8>> {
    with_scene(|scene| {
        let block = Arc::new(scene.next_block());
        let (height, id) = (block.header.height, block.id());
        let next = Finalized {
            certificate: certify(&scene.fixture, scene.chain, VoteKind::Finalize, height, id),
            block,
        };
        let all = scene.blocks.iter().chain([&next]);
        all.map(wire::encode).collect()
    })
}

fn transaction(frame: &[u8]) {
    let Some(transaction) = decoded::<SignedTransaction>(frame) else {
        return;
    };
    let again: SignedTransaction = wire::decode(&wire::encode(&transaction)).unwrap();
    assert_eq!(transaction.id(), again.id());
    with_scene(|scene| {
        let now = now(&scene.ledger);
        let _ = transaction.verify();
        let mut pool = Mempool::default();
        let _ = pool.admit(transaction.clone(), &scene.ledger, now);
        // As its own signer would have sent it: a body of any shape gets as far as being executed.
        let signed = [scene.resign(&transaction), transaction];
        for transaction in signed {
            let parent = scene.blocks.last().map(|last| last.certificate.clone());
            let block = block(&scene.fixture, &scene.ledger, parent, vec![transaction]);
            let _ = scene.ledger.clone().check_block(&block);
        }
    });
}

fn transaction_seeds() -> Vec<Vec<u8>> {
    use crate::emergency::RefusalReason;
    use crate::ids::{BatchId, CaseId};
    use crate::ledger::{Amendment, Change, ProtocolVersion};
    with_scene(|scene| {
        let plain = scene.fixture.transaction(scene.chain, 9);
        let case = CaseId([7; 32]);
        let amendment = Amendment {
            number: 0,
            valid_until_ms: plain.content.valid_until_ms,
            changes: vec![
                Change::Remove(ValidatorId(3)),
                Change::Upgrade {
                    version: ProtocolVersion(2),
                    height: Height(9),
                },
            ],
        };
        let signers = &scene.fixture.identities[..3];
        let signatures: Vec<_> = signers
            .iter()
            .map(|me| (me.id, amendment.sign(scene.chain, &me.vote_key)))
            .collect();
        let bodies = [
            TxBody::Close { case },
            TxBody::Veto { case },
            TxBody::Refuse {
                case,
                reason: RefusalReason::NotThere,
            },
            TxBody::Governance(Box::new(amendment.combine(signatures))),
            TxBody::Restock {
                batch: BatchId([3; 32]),
                receipts: Vec::new(),
            },
        ];
        bodies
            .into_iter()
            .map(|body| {
                let content = Transaction {
                    body,
                    ..plain.content.clone()
                };
                wire::encode(&scene.fixture.signed(content))
            })
            .collect()
    })
}

fn genesis(frame: &[u8]) {
    if let Some(genesis) = decoded::<Genesis>(frame) {
        let _ = genesis.chain_id();
        if genesis.validate().is_ok() {
            let _scope = Simulated::enter();
            let (ledger, _) = Ledger::genesis(&genesis).expect("was checked");
            let _ = ledger.standings().leader_order();
        }
    }
}

fn genesis_seeds() -> Vec<Vec<u8>> {
    [1, 4, 7]
        .map(|n| wire::encode(&fixture(n, Profile::Balanced).genesis))
        .to_vec()
}

fn proof(frame: &[u8]) {
    with_scene(|scene| {
        let (chain, set) = (scene.chain, scene.ledger.standings().validators());
        if let Some(proof) = decoded::<TxProof>(frame) {
            let _ = proof.verify(chain, set);
            let mut signed = proof;
            scene.sign_certificate(&mut signed.certificate);
            let _ = signed.verify(chain, set);
        }
        if let Some(statements) = decoded::<Vec<HeadStatement>>(frame) {
            let _ = confirm_head(chain, set, &statements, Millis(GENESIS_MS));
        }
        if let Some((statements, proof)) = decoded::<(Vec<HeadStatement>, StateProof)>(frame) {
            let _ = proof.verify(&scene.ledger.state_root());
            let _ = confirm_state(chain, set, &statements, &proof, Millis(GENESIS_MS));
        }
        if let Some(path) = decoded::<MerklePath>(frame) {
            let _ = path.verify(b"leaf", &scene.ledger.state_root());
        }
    });
}

fn proof_seeds() -> Vec<Vec<u8>> {
    with_scene(|scene| {
        let Finalized { block, certificate } = &scene.blocks[0];
        let transaction = block.transactions[0].clone();
        let leaves = [transaction.id()];
        let proof = TxProof {
            header: block.header.clone(),
            certificate: certificate.clone(),
            path: crate::crypto::merkle::MerkleTree::new(leaves)
                .path(0)
                .unwrap(),
            transaction,
        };
        let head = Confirmed {
            height: scene.ledger.height(),
            head: scene.ledger.head_id(),
            state_root: scene.ledger.state_root(),
            time_ms: scene.ledger.head_time(),
        };
        let statements: Vec<_> = scene.fixture.identities[..2]
            .iter()
            .map(|me| HeadStatement::sign(scene.chain, head, me.id, &me.vote_key))
            .collect();
        let there = scene.ledger.prove(scene.writes[0].0.clone()).unwrap();
        let absent = scene.ledger.prove(vec![9, 9]).unwrap();
        vec![
            wire::encode(&proof),
            wire::encode(&statements),
            wire::encode(&(&statements, there)),
            wire::encode(&(&statements, absent)),
            wire::encode(&proof.path),
        ]
    })
}

/// A light client goes a step and checks a claim; the signatures under the step hold.
fn light_client(frame: &[u8]) {
    with_scene(|scene| {
        if let Some((mut step, mut claim)) = decoded::<(Step, Claim)>(frame) {
            scene.sign_certificate(&mut step.certificate);
            if let Claim::Transaction { certificate, .. } = &mut claim {
                scene.sign_certificate(certificate);
            }
            let mut follower = Follower::new(&scene.fixture.genesis).unwrap();
            let _ = follower.follow(&step);
            let _ = (follower.last(), follower.check(&claim));
        }
    });
}

fn light_client_seeds() -> Vec<Vec<u8>> {
    with_scene(|scene| {
        let Finalized { block, certificate } = &scene.blocks[0];
        let (genesis, _) = Ledger::genesis(&scene.fixture.genesis).unwrap();
        let key = crate::ledger::State::electorate_key();
        let step = Step {
            header: block.header.clone(),
            certificate: certificate.clone(),
            electorate: genesis.prove(key).unwrap(),
        };
        let transaction = block.transactions[0].clone();
        let claim = Claim::Transaction {
            header: Box::new(block.header.clone()),
            certificate: certificate.clone(),
            path: crate::crypto::merkle::MerkleTree::new([transaction.id()])
                .path(0)
                .unwrap(),
            transaction,
        };
        let entry = Claim::Entry(step.electorate.clone());
        vec![wire::encode(&(&step, claim)), wire::encode(&(step, entry))]
    })
}

/// The state as it stands on disk or comes in a snapshot.
fn stored_state(frame: &[u8]) {
    type Entries = Vec<(serde_bytes::ByteBuf, serde_bytes::ByteBuf)>;
    if let Some(entries) = decoded::<Entries>(frame) {
        let _scope = Simulated::enter();
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(key, value)| (key.into_vec(), value.into_vec()))
            .collect();
        if let Ok(ledger) = Ledger::restore(&entries) {
            let _ = ledger.state_root();
            let _ = ledger.standings().leader_order();
        }
    }
}

fn stored_state_seeds() -> Vec<Vec<u8>> {
    with_scene(|scene| {
        let (_, writes) = Ledger::genesis(&fixture(1, Profile::Literal).genesis).unwrap();
        let [small, large] = [&writes, &scene.writes].map(|writes| {
            let entries: Vec<_> = writes
                .iter()
                .filter_map(|(key, value)| {
                    let value = serde_bytes::ByteBuf::from(value.clone()?);
                    Some((serde_bytes::ByteBuf::from(key.clone()), value))
                })
                .collect();
            wire::encode(&entries)
        });
        vec![small, large]
    })
}

/// Everything that hospitals, kin and patients send each other about records.
fn record(frame: &[u8]) {
    let threshold = Threshold::majority(5).unwrap();
    if let Some(capsule) = decoded::<Capsule>(frame) {
        let _ = capsule.digest();
        if let Some(commitments) = fixture_record::<Commitments>("commitments") {
            let _ = capsule.verify(commitments.public_key());
        }
    }
    if let Some(shard) = decoded::<Shard>(frame)
        && let Some(manifest) = fixture_record::<Manifest>("manifest")
    {
        let entry = &manifest.entries()[0];
        let _ = shard.verify(entry, threshold);
        let _ = shard.leaf(entry, threshold);
        let _ = crate::record::rebuild(&[shard.clone(), shard], threshold, entry);
    }
    if let Some(manifest) = decoded::<Manifest>(frame) {
        let _ = (manifest.root(), manifest.bytes(), manifest.path(0));
    }
    if let Some(receipt) = decoded::<Receipt>(frame) {
        let key = fixture(1, Profile::Balanced).genesis.hospitals[0].key;
        let _ = receipt.verify(&key);
        let _ = crate::record::receipts_root(&[receipt, receipt]);
    }
    let _ = decoded::<Vec<ReceiptLine>>(frame);
    if let Some(header) = decoded::<BatchHeader>(frame) {
        let _ = (header.id(), header.check(threshold));
    }
    if let Some(commitments) = decoded::<Commitments>(frame) {
        let _ = (commitments.threshold(), commitments.check(threshold));
        for index in 1..=5 {
            let index = crate::units::ShareIndex::new(index).unwrap();
            let _ = commitments.share_key(index);
        }
    }
    let _ = decoded::<PartialOpening>(frame);
    if let Some(session) = decoded::<SessionPublic>(frame) {
        let _ = session.verify(&crate::crypto::Digest([1; 32]));
    }
    if let Some(enrolment) = decoded::<Enrolment>(frame) {
        let (chain, patient) = (ChainId([1; 32]), PatientId([2; 32]));
        let digest = enrolment.digest(chain, patient);
        let _ = enrolment.check_shape(patient);
        let _ = enrolment.check_acceptances(&digest);
    }
    let _ = decoded::<Request>(frame);
}

/// The pinned frames of the records.
const RECORDS: &[(&str, &str)] = &[
    (
        "batch_header",
        include_str!("../../tests/record_fixtures/batch_header.hex"),
    ),
    (
        "capsule",
        include_str!("../../tests/record_fixtures/capsule.hex"),
    ),
    (
        "commitments",
        include_str!("../../tests/record_fixtures/commitments.hex"),
    ),
    (
        "manifest",
        include_str!("../../tests/record_fixtures/manifest.hex"),
    ),
    (
        "partial_opening",
        include_str!("../../tests/record_fixtures/partial_opening.hex"),
    ),
    (
        "receipt",
        include_str!("../../tests/record_fixtures/receipt.hex"),
    ),
    (
        "session",
        include_str!("../../tests/record_fixtures/session.hex"),
    ),
    (
        "shard",
        include_str!("../../tests/record_fixtures/shard.hex"),
    ),
];

fn record_frame(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn fixture_record<T: DeserializeOwned>(name: &str) -> Option<T> {
    let (_, text) = RECORDS.iter().find(|(of, _)| *of == name)?;
    wire::decode(&record_frame(text)).ok()
}

fn record_seeds() -> Vec<Vec<u8>> {
    RECORDS.iter().map(|(_, text)| record_frame(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _};
    use std::path::Path;

    /// How many mutations of the seeds each decoder gets here; the fuzzer makes millions.
    const MUTATIONS: usize = 2_000;

    #[test]
    fn every_decoder_takes_its_seeds() {
        for decoder in DECODERS {
            let seeds = (decoder.seeds)();
            assert!(!seeds.is_empty(), "{}", decoder.name);
            for seed in &seeds {
                (decoder.body)(seed);
            }
        }
        // A seed that no longer decodes would test nothing.
        with_scene(|scene| {
            let (step, claim): (Step, Claim) = wire::decode(&light_client_seeds()[0]).unwrap();
            let mut follower = Follower::new(&scene.fixture.genesis).unwrap();
            assert_eq!(follower.follow(&step), Ok(()));
            assert!(follower.check(&claim).is_ok());
        });
        for frame in message_seeds() {
            assert!(wire::decode::<Message>(&frame).is_ok());
        }
        for frame in transaction_seeds() {
            assert!(wire::decode::<SignedTransaction>(&frame).is_ok());
        }
        with_scene(|scene| {
            let frame = &finalized_seeds()[3];
            let next: Finalized = wire::decode(frame).unwrap();
            assert_eq!(scene.ledger.clone().check_block(&next.block), Ok(()));
            let proof: TxProof = wire::decode(&proof_seeds()[0]).unwrap();
            let set = scene.ledger.standings().validators();
            assert_eq!(proof.verify(scene.chain, set), Ok((Height(1), 0)));
        });
    }

    #[test]
    fn no_decoder_panics_on_mutated_frames() {
        let seed = std::env::var("KITHKIN_SEED").ok();
        let seed: u64 = seed.map_or(1, |seed| seed.parse().expect("a number"));
        println!("KITHKIN_SEED={seed}");
        for decoder in DECODERS {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let seeds = (decoder.seeds)();
            for _ in 0..MUTATIONS {
                let mut frame = seeds[draw(&mut rng, seeds.len())].clone();
                for _ in 0..=draw(&mut rng, 3) {
                    mutate(&mut rng, &mut frame, &seeds);
                }
                (decoder.body)(&frame);
            }
        }
    }

    /// Inputs that once crashed, by the name of their decoder.
    #[test]
    fn no_decoder_panics_on_what_once_crashed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/regressions");
        for decoder in DECODERS {
            let Ok(files) = std::fs::read_dir(folder.join(decoder.name)) else {
                continue;
            };
            for file in files {
                let frame = std::fs::read(file.unwrap().path()).unwrap();
                (decoder.body)(&frame);
            }
        }
    }

    fn draw(rng: &mut ChaCha20Rng, below: usize) -> usize {
        usize::try_from(rng.next_u64() % below as u64).unwrap()
    }

    fn mutate(rng: &mut ChaCha20Rng, frame: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        if frame.is_empty() {
            return frame.push(1);
        }
        let place = draw(rng, frame.len());
        match draw(rng, 7) {
            0 => frame[place] ^= 1 << draw(rng, 8),
            1 => frame[place] = [0, 1, 0x7f, 0x80, 0xc0, 0xdc, 0xff][draw(rng, 7)],
            2 => frame[place] = frame[place].wrapping_add(1),
            3 => frame.truncate(place),
            4 => frame.insert(place, rng.next_u64() as u8),
            5 => {
                frame.remove(place);
            }
            _ => {
                let other = &seeds[draw(rng, seeds.len())];
                let from = draw(rng, other.len());
                let length = draw(rng, 64)
                    .min(other.len() - from)
                    .min(frame.len() - place);
                frame[place..place + length].copy_from_slice(&other[from..from + length]);
            }
        }
    }
}
