//! Amendments, one per block, with signatures that hold; and the heights after them, when they take effect.

use super::decoded;
use super::scene::{block, with_scene};
use crate::consensus::{Certificate, VoteKind};
use crate::crypto::{SealingKey, Signature, VerifyingKey};
use crate::ids::{AccountId, ValidatorId};
use crate::ledger::{
    Accredited, Amendment, Change, Clause, Governance, HospitalInfo, IssuerInfo, Ledger,
    ProtocolVersion, ReviewerInfo, Role, SignedTransaction, Transaction, TxBody, ValidatorInfo,
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
    let entries: Vec<_> = ledger.state().entries().collect();
    let again = Ledger::restore(&entries).expect("what was stored");
    assert_eq!(again.state_root(), ledger.state_root());
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

/// One of each role, with the keys of nobody else.
fn accreditations(key: VerifyingKey) -> Vec<Clause> {
    let name = "chamber".to_owned();
    let stranger = |n: u8| VerifyingKey([n; 32]);
    let hospital = HospitalInfo {
        key,
        sealing: SealingKey([9; 32]),
        name: name.clone(),
    };
    let works_at = Some(hospital.id());
    let issuer = IssuerInfo {
        key: stranger(1),
        name,
    };
    let reviewer = ReviewerInfo {
        key: stranger(2),
        hospital: works_at,
    };
    let all = [
        Accredited::Hospital(hospital),
        Accredited::Issuer(issuer),
        Accredited::Reviewer(reviewer),
    ];
    all.map(Clause::Accredit).to_vec()
}

/// The scene's hospital, and two of the newcomers.
fn revocations(scene: &super::scene::Scene) -> Vec<Clause> {
    let hospital = &scene.fixture.genesis.hospitals[0];
    let revoke = |role, key| Clause::Revoke {
        role,
        account: AccountId::of(&key),
    };
    vec![
        revoke(Role::Hospital, hospital.key),
        revoke(Role::Issuer, VerifyingKey([1; 32])),
        revoke(Role::Reviewer, VerifyingKey([2; 32])),
    ]
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    with_scene(|scene| {
        let valid_until_ms = scene
            .fixture
            .transaction(scene.chain, 1)
            .content
            .valid_until_ms;
        let sign_all = |number: u64, changes: Vec<Clause>| {
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
        let sign = |number: u64, changes: Vec<Change>| {
            sign_all(number, changes.into_iter().map(Clause::from).collect())
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
            vec![
                sign_all(0, accreditations(newcomer(6, 0).vote_key)),
                sign_all(1, revocations(scene)),
            ],
        ];
        all.iter().map(wire::encode).collect()
    })
}
