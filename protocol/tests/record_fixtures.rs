//! Bytes on wire and disk, pinned. `KITHKIN_BLESS=1 cargo test -p kithkin-protocol --test record_fixtures` writes them anew:
//! a deliberate act, because files and ledgers written before are then no longer read.

mod sharing_support;

use kithkin_protocol::consent::{Bundle, GrantDeed, GrantPurpose, GrantTerms, Rekeying, Renewal};
use kithkin_protocol::crypto::{Digest, OpeningKey, Secret32, SigningKey};
use kithkin_protocol::emergency::Scope;
use kithkin_protocol::ids::{HospitalId, KinId};
use kithkin_protocol::record::{
    BatchHeader, BatchStatus, Capsule, Manifest, Receipt, ReceiptBody, Shard, held_digest,
    receipts_root, shards,
};
use kithkin_protocol::sharing::{Commitments, PartialOpening, SessionPublic, partial_open};
use kithkin_protocol::units::{Epoch, Height, Millis};
use kithkin_protocol::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sharing_support::*;
use std::fmt::Debug;
use std::path::Path;

/// The frame of `value` is the one in the file of that name, and reads back.
fn pinned<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/record_fixtures")
        .join(format!("{name}.hex"));
    let frame = wire::encode(value);
    let mut text = String::new();
    for line in frame.chunks(40) {
        text.push_str(&kithkin_protocol::hex(line));
        text.push('\n');
    }
    if std::env::var_os("KITHKIN_BLESS").is_some() {
        std::fs::write(&file, &text).expect("written");
    }
    let expected = std::fs::read_to_string(&file).expect("a fixture; KITHKIN_BLESS=1 writes it");
    assert_eq!(text, expected, "the frame of {name} has changed");
    assert_eq!(wire::decode::<T>(&frame).as_ref(), Ok(value));
}

#[test]
fn frames_have_the_pinned_bytes() {
    let mut scene = Scene::majority(200, 5, 2);
    let opening = scene.opening();
    let held = held(&scene.shares[2], &scene.commitments);
    let partial = partial_open(&held, &opening, &mut scene.rng).expect("a good share");
    pinned::<PartialOpening>("partial_opening", &partial);
    pinned::<Commitments>("commitments", &scene.commitments);
    pinned::<SessionPublic>("session", &scene.context.session);

    let sealed = &scene.records[0].sealed;
    pinned::<Capsule>("capsule", &sealed.capsule);
    let set = shards(b"a ciphertext of 26 bytes..", scene.threshold).expect("cut");
    pinned::<Shard>("shard", &set.shards[4]);
    let entries = scene
        .records
        .iter()
        .map(|r| r.sealed.entry(set.root))
        .collect();
    let manifest = Manifest::new(entries).expect("two records");
    pinned::<Manifest>("manifest", &manifest);

    let key = SigningKey::random(&mut scene.rng);
    let receipt = ReceiptBody {
        chain: scene.context.chain,
        kin: KinId::of(&key.verifying_key()),
        index: index(3),
        patient: scene.context.patient,
        tier: scene.context.tier,
        epoch: Epoch(1),
        manifest_root: manifest.root(),
        held: held_digest([Digest([5; 32]), Digest([6; 32])]),
    }
    .sign(&key);
    pinned::<Receipt>("receipt", &receipt);
    let header = BatchHeader {
        chain: scene.context.chain,
        patient: scene.context.patient,
        tier: scene.context.tier,
        author: HospitalId([3; 32]),
        epoch: Epoch(1),
        manifest_root: manifest.root(),
        records: 2,
        bytes: manifest.bytes(),
        receipts_root: receipts_root(&[receipt]).expect("one"),
        receipts: 3,
        status: BatchStatus::Degraded,
    };
    pinned::<BatchHeader>("batch_header", &header);
}

#[test]
fn grants_have_the_pinned_bytes() {
    let mut scene = Scene::majority(201, 5, 2);
    let (chain, tier) = (scene.context.chain, scene.context.tier);
    let hospital = SigningKey::from_seed(Secret32::new([3; 32]));
    let terms = GrantTerms {
        patient: scene.context.patient,
        hospital: HospitalId::of(&hospital.verifying_key()),
        scopes: vec![Scope {
            tier,
            up_to: Height(7),
            only: Vec::new(),
        }],
        purpose: GrantPurpose::Treatment,
        from_ms: Millis(1_000),
        until_ms: Millis(2_000),
        key: OpeningKey::from_seed(Secret32::new([4; 32])).sealing_key(),
    };
    let mut rekeying = Rekeying::new(chain, &terms);
    for record in &scene.records {
        let capsule = record.check(&scene.key);
        rekeying
            .add(&scene.key, Height(7), &capsule, &mut scene.rng)
            .expect("covered");
    }
    let (bundle, encapsulation) = rekeying.finish();
    pinned::<Bundle>("grant_bundle", &bundle);
    let hospital_signature = terms.sign(chain, &hospital);
    let renewal = Renewal::signed(
        chain,
        terms.id(chain),
        Millis(2_000),
        Millis(3_000),
        &hospital,
    );
    pinned::<Renewal>("grant_renewal", &renewal);
    let deed = GrantDeed {
        terms,
        encapsulation,
        hospital_signature,
    };
    pinned::<GrantDeed>("grant_deed", &deed);
}
