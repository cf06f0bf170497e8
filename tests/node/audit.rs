//! A case on four processes, its transactions made by hand, exported at a node's door and checked without any node.

use crate::founding::{Town, done, ended, on_runtime};
use crate::running::LONG;
use kithkin_protocol::crypto::{Digest, OpeningKey, SealingKey, Secret32, Signature, SigningKey};
use kithkin_protocol::emergency::{
    Circle, ClinicalRole, Credential, Escalation, Purpose, Reason, Request, Scope, TierPolicy,
};
use kithkin_protocol::ids::{AccountId, CaseId, HospitalId, KinId, PatientId};
use kithkin_protocol::ledger::{
    Approval, Enrolment, Member, SignedTransaction, TierShares, TxBody, release_digest,
};
use kithkin_protocol::roster::{Relation, RosterRules};
use kithkin_protocol::sharing::{SessionSecret, Threshold, TierKey, deal};
use kithkin_protocol::units::{Epoch, Height, Millis, Tier};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde_json::Value;

const PATIENT: u8 = 1;
const KIN: [u8; 3] = [11, 12, 13];
const CLINICIAN: u8 = 20;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret32::new([n; 32]))
}

fn sealing(n: u8) -> SealingKey {
    OpeningKey::from_seed(Secret32::new([n; 32])).sealing_key()
}

fn patient() -> PatientId {
    PatientId::of(&key(PATIENT).verifying_key())
}

fn enrolment(town: &Town, rng: &mut ChaCha20Rng) -> Enrolment {
    let threshold = Threshold::majority(KIN.len()).expect("three kin");
    let mut tiers = Vec::new();
    for tier in Tier::ALL {
        let (commitments, _) = deal(&TierKey::random(rng), threshold, rng).expect("dealt");
        tiers.push(TierShares {
            tier,
            commitments,
            policy: TierPolicy::default_for(tier),
        });
    }
    let hospital = town.hospital(0);
    let mut enrolment = Enrolment {
        sealing: sealing(PATIENT),
        roster: KIN
            .iter()
            .map(|n| Member {
                key: key(*n).verifying_key(),
                sealing: sealing(*n),
                relation: Relation::Sibling,
            })
            .collect(),
        tiers,
        rules: RosterRules::default(),
        escalation: Escalation::default(),
        second: None,
        sponsor: HospitalId::of(&hospital.verifying_key()),
        sponsor_signature: Signature([0; 64]),
        acceptances: Vec::new(),
    };
    let digest = enrolment.digest(town.chain, patient());
    enrolment.sponsor_signature = Enrolment::sponsor(&digest, &hospital);
    let accept = |n: &u8| {
        let kin = KinId::of(&key(*n).verifying_key());
        key(*n).sign(&Enrolment::acceptance(&digest, kin))
    };
    enrolment.acceptances = KIN.iter().map(accept).collect();
    enrolment
}

fn request(town: &Town, now: Millis, rng: &mut ChaCha20Rng) -> Request {
    let employer = town.hospital(1);
    let hospital = HospitalId::of(&employer.verifying_key());
    let credential = Credential {
        clinician: key(CLINICIAN).verifying_key(),
        issuer: AccountId([0; 32]),
        role: ClinicalRole::Paramedic,
        hospital,
        valid_until_ms: now.plus(86_400_000),
        signature: Signature([0; 64]),
    };
    let credential = credential.signed(town.chain, &employer);
    let secret = SessionSecret::random(rng);
    let draft = Request {
        patient: patient(),
        epoch: Epoch(1),
        circle: Circle::First,
        scopes: vec![Scope {
            tier: Tier::Summary,
            up_to: Height(0),
            only: Vec::new(),
        }],
        purpose: Purpose::BreakGlass,
        reason: Reason::Trauma,
        encounter: Digest([1; 32]),
        clinician: key(CLINICIAN).verifying_key(),
        credential: Some(credential),
        session: secret.prove(&Digest::ZERO, rng),
        session_key: OpeningKey::random(rng).sealing_key(),
        expires_ms: now.plus(600_000),
        session_ms: Millis(600_000),
        clinician_signature: Signature([0; 64]),
    };
    let session = secret.prove(&draft.binding(town.chain, hospital), rng);
    Request { session, ..draft }.signed(town.chain, hospital, &key(CLINICIAN))
}

/// Hands a transaction in at the first node and waits until it is final and has had an effect; when that was.
pub(crate) async fn act(town: &Town, transaction: SignedTransaction) -> Millis {
    let client = town.client(0).await;
    let id = transaction.id();
    let refused = client.submit_many(vec![transaction], LONG).await;
    assert_eq!(refused.expect("an answer"), []);
    let done = client.await_tx(id, LONG).await.expect("final");
    assert_eq!(done.rejected, None);
    done.proof.header.time_ms
}

/// Two of three approve, and one of them announces a release.
pub(crate) async fn play(town: &Town) -> CaseId {
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let body = TxBody::Enrol(Box::new(enrolment(town, &mut rng)));
    let now = act(town, town.sign(&key(PATIENT), 0, body)).await;
    let request = request(town, now, &mut rng);
    let hospital = town.hospital(1);
    let body = TxBody::Request(Box::new(request.clone()));
    let transaction = town.sign(&hospital, 0, body);
    let case = CaseId(transaction.id().0);
    act(town, transaction).await;
    for n in &KIN[..2] {
        let approval = Approval {
            case,
            circle: request.circle,
            epoch: request.epoch,
            hospital: HospitalId::of(&hospital.verifying_key()),
            purpose: request.purpose,
            reason: request.reason,
            expires_ms: request.expires_ms,
        };
        act(town, town.sign(&key(*n), 0, TxBody::Approve(approval))).await;
    }
    let digest = release_digest(&[Digest([9; 32])]);
    let body = TxBody::Release { case, digest };
    act(town, town.sign(&key(KIN[1]), 1, body)).await;
    case
}

#[test]
fn a_running_node_shows_a_case_to_whoever_asks_at_its_door() {
    let town = Town::found_for("tcp", "records");
    let nodes = town.start_all();
    let case = on_runtime(play(&town)).to_hex();
    let at = |name: &str| town.path(name).display().to_string();
    let (genesis, file) = (at("genesis.toml"), at("case.audit"));
    let door = town.doors[2].to_string();
    let export = ["audit", "export", "--from", &door, "--genesis", &genesis];
    done(&[&export[..], &[&case, "--out", &file]].concat());
    let whose = patient().to_hex();
    let all = at("all.audit");
    done(&[&export[..], &[&whose, "--out", &all]].concat());
    let nobody = "77".repeat(32);
    let none = ended(&[&export[..], &[&nobody, "--out", &at("none.audit")]].concat());
    let words = String::from_utf8_lossy(&none.stderr);
    assert_eq!(none.status.code(), Some(1), "{words}");
    assert!(words.contains("knows no patient"), "{words}");
    // From the folder of a node that runs: not while it has it.
    let folder = at("data-0");
    let busy = [
        "audit",
        "export",
        &case,
        "--from",
        &folder,
        "--genesis",
        &genesis,
        "--out",
    ];
    let in_use = ended(&[&busy[..], &[&at("busy.audit")]].concat());
    assert_eq!(in_use.status.code(), Some(3));
    drop(nodes);
    let silent = ended(&[&export[..], &[&case, "--out", &at("late.audit")]].concat());
    assert_eq!(silent.status.code(), Some(4));
    for file in [file, all] {
        let json = done(&["audit", "verify", &file, "--genesis", &genesis, "--json"]);
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["holds"], true);
        let found = &json["findings"]["cases"][0];
        assert_eq!(
            (&found["phase"], &found["transactions"]),
            (&"open".into(), &4.into())
        );
        assert_eq!(found["releases"][0]["approvals_before"], 2);
    }
    // And once it has stopped, from its folder.
    let file = at("stopped.audit");
    done(&[&busy[..], &[&file]].concat());
    done(&["audit", "verify", &file, "--genesis", &genesis]);
}
