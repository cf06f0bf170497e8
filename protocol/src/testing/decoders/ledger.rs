//! Frames of the ledger: transactions, the genesis, proofs, the steps of light clients, stored states.

use super::decoded;
use super::scene::{block, now, with_scene};
use crate::consensus::Finalized;
use crate::crypto::Simulated;
use crate::crypto::merkle::MerklePath;
use crate::ids::ValidatorId;
use crate::ledger::light::{Claim, Follower, Step};
use crate::ledger::{
    Confirmed, Genesis, HeadStatement, Ledger, Mempool, Profile, SignedTransaction, StateProof,
    Transaction, TxBody, TxProof, confirm_head, confirm_state,
};
use crate::testing::fixture::{GENESIS_MS, fixture};
use crate::units::{Height, Millis};
use crate::wire;

pub(super) fn transaction(frame: &[u8]) {
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

pub(super) fn transaction_seeds() -> Vec<Vec<u8>> {
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

pub(super) fn genesis(frame: &[u8]) {
    if let Some(genesis) = decoded::<Genesis>(frame) {
        let _ = genesis.chain_id();
        if genesis.validate().is_ok() {
            let _scope = Simulated::enter();
            let (ledger, _) = Ledger::genesis(&genesis).expect("was checked");
            let _ = ledger.standings().leader_order();
        }
    }
}

pub(super) fn genesis_seeds() -> Vec<Vec<u8>> {
    [1, 4, 7]
        .map(|n| wire::encode(&fixture(n, Profile::Balanced).genesis))
        .to_vec()
}

pub(super) fn proof(frame: &[u8]) {
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

pub(super) fn proof_seeds() -> Vec<Vec<u8>> {
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
pub(super) fn light_client(frame: &[u8]) {
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

pub(super) fn light_client_seeds() -> Vec<Vec<u8>> {
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
pub(super) fn stored_state(frame: &[u8]) {
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

pub(super) fn stored_state_seeds() -> Vec<Vec<u8>> {
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
