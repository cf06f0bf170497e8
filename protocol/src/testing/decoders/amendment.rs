//! Amendments, one per block, with signatures that hold; and the heights after them, when they take effect.

use super::decoded;
use super::scene::{block, with_scene};
use crate::consensus::{Certificate, VoteKind};
use crate::crypto::Signature;
use crate::ids::ValidatorId;
use crate::ledger::{
    Amendment, Change, Governance, Ledger, ProtocolVersion, SignedTransaction, Transaction, TxBody,
    ValidatorInfo,
};
use crate::testing::fixture::fixture;
use crate::units::{Height, Sequence};
use crate::wire;

/// Most amendments of one input: each costs a block.
const AMENDMENTS_MAX: usize = 4;
/// Empty blocks after the last amendment: a change of members shows two heights later.
const AFTER: usize = 3;

pub(super) fn body(frame: &[u8]) {
    let Some(all) = decoded::<Vec<Governance>>(frame) else {
        return;
    };
    with_scene(|scene| {
        let set = scene.ledger.standings().validators();
        for governance in all.iter().take(AMENDMENTS_MAX) {
            let _ = governance.check_signatures(scene.chain, set);
        }
        let mut ledger = scene.ledger.clone();
        let mut parent = scene.blocks.last().map(|last| last.certificate.clone());
        let handed_in = (1..).zip(all).take(AMENDMENTS_MAX);
        let transactions = handed_in.map(|(sequence, mut governance)| {
            for (signer, signature) in &mut governance.signatures {
                if let Some(me) = scene.identity(*signer) {
                    *signature = governance.amendment.sign(scene.chain, &me.vote_key);
                }
            }
            vec![hand_in(scene, Sequence(sequence), governance)]
        });
        for transactions in transactions.chain((0..AFTER).map(|_| Vec::new())) {
            // A member of the new set whose keys are unknown here leads: nobody can go on.
            let master = ledger.standings().leader_order()[0];
            if scene.identity(master).is_none() {
                return;
            }
            let next = block(&scene.fixture, &ledger, parent, transactions);
            if ledger.check_block(&next).is_err() {
                return;
            }
            ledger.execute(&next).expect("was checked");
            restored(&ledger);
            parent = Some(certificate(scene, &next));
        }
    });
}

/// What stands in the state is read back as it was.
fn restored(ledger: &Ledger) {
    let standings = ledger.standings();
    let again = wire::decode(&wire::encode(standings));
    assert_eq!(again.as_ref(), Ok(standings));
}

fn certificate(scene: &super::scene::Scene, block: &crate::ledger::Block) -> Certificate {
    let height = block.header.height;
    super::scene::certify(
        &scene.fixture,
        scene.chain,
        VoteKind::Finalize,
        height,
        block.id(),
    )
}

fn hand_in(
    scene: &super::scene::Scene,
    sequence: Sequence,
    governance: Governance,
) -> SignedTransaction {
    let me = &scene.fixture.identities[0];
    let plain = scene.fixture.transaction(scene.chain, 1);
    Transaction {
        signer: me.vote_key.verifying_key(),
        sequence,
        body: TxBody::Governance(Box::new(governance)),
        ..plain.content.clone()
    }
    .sign(&me.vote_key)
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    with_scene(|scene| {
        let valid_until_ms = scene
            .fixture
            .transaction(scene.chain, 1)
            .content
            .valid_until_ms;
        let sign = |number: u64, changes: Vec<Change>| {
            let amendment = Amendment {
                number,
                valid_until_ms,
                changes,
            };
            let signers = &scene.fixture.identities[..3];
            let signatures: Vec<(ValidatorId, Signature)> = signers
                .iter()
                .map(|me| (me.id, amendment.sign(scene.chain, &me.vote_key)))
                .collect();
            amendment.combine(signatures)
        };
        let upgrade = Change::Upgrade {
            version: ProtocolVersion(2),
            height: Height(9),
        };
        // Keys that nobody has used, of a larger fixture.
        let newcomer = |place: usize, id: u16| {
            let strangers = fixture(7, crate::ledger::Profile::Balanced)
                .genesis
                .validators;
            ValidatorInfo {
                id: ValidatorId(id),
                ..strangers[place].clone()
            }
        };
        let all = [
            vec![sign(0, vec![Change::Remove(ValidatorId(3))])],
            vec![sign(0, vec![Change::Admit(newcomer(4, 4))])],
            vec![sign(0, vec![Change::Rekey(newcomer(5, 3))])],
            vec![sign(
                0,
                vec![Change::Pardon(ValidatorId(2)), upgrade.clone()],
            )],
            vec![
                sign(0, vec![upgrade]),
                sign(1, vec![Change::Rekey(newcomer(5, 2))]),
            ],
        ];
        all.iter().map(wire::encode).collect()
    })
}
