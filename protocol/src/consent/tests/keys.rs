//! Keys that go from the patient's device to the hospital, with real capsules.

use super::*;
use crate::crypto::group::{Point, PointBytes, Scalar, ScalarBytes, hash_to_group, random_scalar};
use crate::crypto::{HashWriter, Sealed, hash};
use crate::record::{
    Capsule, CapsuleChallenge, CheckedCapsule, RecordEntry, RecordError, SealContext, SealedRecord,
    WrappedKey, seal,
};
use crate::sharing::TierKey;
use crate::wire;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use std::collections::BTreeMap;

/// A patient with sealed records.
struct Scene {
    rng: ChaCha20Rng,
    key: TierKey,
    records: Vec<(SealedRecord, CheckedCapsule, Vec<u8>)>,
}

impl Scene {
    /// Records 1 to 4 of the chart.
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([8; 32]);
        let key = TierKey::random(&mut rng);
        let mut scene = Self {
            rng,
            key,
            records: Vec::new(),
        };
        for n in 1..=4 {
            scene.seal(CHAIN, patient(), record(n), OTHER);
        }
        scene
    }

    fn seal(&mut self, chain: ChainId, patient: PatientId, record: RecordId, author: HospitalId) {
        let context = SealContext {
            chain,
            patient,
            record,
            tier: Tier::Chart,
            author,
        };
        let public = self.key.public();
        let text = format!("record {record} of {author}").into_bytes();
        let sealed = seal(&text, &context, &public, &mut self.rng).expect("sealed");
        let entry = sealed.entry(Digest::ZERO);
        let capsule = sealed.capsule.check(&context, &entry, &public);
        self.records.push((sealed, capsule.expect("good"), text));
    }

    fn add(&mut self, rekeying: &mut Rekeying<'_>, position: usize) -> Result<(), RekeyError> {
        let (_, capsule, _) = &self.records[position];
        rekeying.add(&self.key, BATCH, capsule, &mut self.rng)
    }

    /// A grant of these terms with the keys of these records.
    fn grant(&mut self, terms: GrantTerms, positions: &[usize]) -> (Grant, Bundle) {
        let mut rekeying = Rekeying::new(CHAIN, &terms);
        for position in positions {
            self.add(&mut rekeying, *position).expect("covered");
        }
        let (bundle, digest) = rekeying.finish();
        (grant_of(terms, digest), bundle)
    }

    fn open(
        &self,
        keys: &GrantKeys,
        grant: &Grant,
        position: usize,
    ) -> Result<Vec<u8>, RekeyError> {
        let (sealed, capsule, _) = &self.records[position];
        keys.open(grant, NOW.plus(10), BATCH, capsule, &sealed.ciphertext)
    }
}

#[test]
fn keys_go_to_the_hospital_and_open_exactly_what_was_granted() {
    let mut scene = Scene::new();
    let terms = terms();
    let mut rekeying = Rekeying::new(CHAIN, &terms);
    assert_eq!(
        scene.add(&mut rekeying, 0),
        Err(RekeyError::Consent(ConsentError::Record {
            record: record(1)
        })),
        "record 1 is not named, and its key stays"
    );
    for position in [1, 2, 1] {
        assert_eq!(scene.add(&mut rekeying, position), Ok(()));
    }
    let (bundle, digest) = rekeying.finish();
    assert_eq!(bundle.places().len(), 2, "each key once");
    let frame = wire::encode(&bundle);
    let arrived: Bundle = wire::decode(&frame).expect("a bundle");
    let mut grant = grant_of(terms, digest);
    let keys = arrived.accept(CHAIN, &grant, opening_key());
    let keys = keys.expect("the bundle that the grant names");
    for position in [1, 2] {
        let (_, _, text) = &scene.records[position];
        assert_eq!(scene.open(&keys, &grant, position).as_ref(), Ok(text));
    }
    assert!(matches!(
        scene.open(&keys, &grant, 3),
        Err(RekeyError::Consent(ConsentError::Record { .. }))
    ));
    let (first, other) = (&scene.records[1], &scene.records[2]);
    assert!(matches!(
        keys.open(&grant, NOW.plus(10), BATCH, &first.1, &other.0.ciphertext),
        Err(RekeyError::Record {
            source: RecordError::Ciphertext,
            ..
        })
    ));
    let late = keys.open(&grant, NOW.plus(DAY), BATCH, &first.1, &first.0.ciphertext);
    assert!(matches!(
        late,
        Err(RekeyError::Consent(ConsentError::Over { .. }))
    ));
    let newer = keys.open(
        &grant,
        NOW.plus(10),
        Height(8),
        &first.1,
        &first.0.ciphertext,
    );
    assert!(matches!(
        newer,
        Err(RekeyError::Consent(ConsentError::Later { .. }))
    ));
    grant.on_revoke(patient().into(), NOW).expect("live");
    assert!(matches!(
        scene.open(&keys, &grant, 1),
        Err(RekeyError::Consent(ConsentError::Ended { .. }))
    ));
    assert!(format!("{keys:?}").contains("<redacted>"));
}

#[test]
fn a_bundle_belongs_to_one_grant_and_each_key_to_one_place() {
    let mut scene = Scene::new();
    let (grant, bundle) = scene.grant(terms(), &[1, 2]);
    let id = grant.id;
    let mut another = terms();
    another.purpose = GrantPurpose::Compliance;
    let (other, _) = scene.grant(another.clone(), &[1, 2]);
    assert_eq!(
        bundle
            .clone()
            .accept(CHAIN, &other, opening_key())
            .map(drop),
        Err(RekeyError::Digest { grant: other.id })
    );
    let stranger = OpeningKey::from_seed(Secret32::new([43; 32]));
    assert_eq!(
        bundle.clone().accept(CHAIN, &grant, stranger).map(drop),
        Err(RekeyError::OtherKey { grant: id })
    );
    let keys = bundle.clone().accept(CHAIN, &grant, opening_key());
    let keys = keys.expect("the bundle that the grant names");
    assert_eq!(
        scene.open(&keys, &other, 1),
        Err(RekeyError::OtherGrant { grant: other.id })
    );
    // A device that names keys of one grant in another: they do not open.
    let moved = grant_of(another.clone(), bundle.digest(another.id(CHAIN)));
    let keys = bundle.clone().accept(CHAIN, &moved, opening_key());
    let unsealed = scene.open(&keys.expect("as signed"), &moved, 1);
    assert_eq!(unsealed, Err(RekeyError::Unseal { record: record(2) }));
    // Nor do keys that change places, whole or in part.
    let text = wire::encode(&bundle);
    let mut map: BTreeMap<KeyPlace, Sealed> = wire::decode(&text).expect("a map");
    let places: Vec<KeyPlace> = map.keys().copied().collect();
    let second = map[&places[1]].clone();
    map.insert(places[0], second);
    let swapped: Bundle = wire::decode(&wire::encode(&map)).expect("a bundle");
    let signed = grant_of(terms(), swapped.digest(id));
    let keys = swapped.accept(CHAIN, &signed, opening_key());
    let keys = keys.expect("as signed");
    assert_eq!(
        scene.open(&keys, &signed, 1),
        Err(RekeyError::Unseal { record: record(2) })
    );
    let (_, _, text) = &scene.records[2];
    assert_eq!(scene.open(&keys, &signed, 2).as_ref(), Ok(text));
    let (few, bundle) = scene.grant(terms(), &[1]);
    let keys = bundle.accept(CHAIN, &few, opening_key()).expect("its own");
    assert_eq!(
        scene.open(&keys, &few, 2),
        Err(RekeyError::Missing { record: record(3) })
    );
}

/// A key that opens nothing is found when it is used; every bit of the bundle is under the digest.
#[test]
fn a_wrong_key_is_found() {
    let mut scene = Scene::new();
    let (grant, bundle) = scene.grant(terms(), &[1]);
    let wrong = Secret32::random(&mut scene.rng);
    let place = *bundle.places().next().expect("one");
    let mut info = HashWriter::new("kithkin/grant-key/1");
    info.field(CHAIN)
        .field(grant.id)
        .field(place.record)
        .field("chart")
        .field(place.capsule);
    let info = info.finish();
    let sealed = terms()
        .key
        .seal(info.as_ref(), wrong.expose(), &mut scene.rng);
    let map = BTreeMap::from([(place, sealed.expect("usable"))]);
    let lying: Bundle = wire::decode(&wire::encode(&map)).expect("a bundle");
    assert_eq!(
        lying.clone().accept(CHAIN, &grant, opening_key()).map(drop),
        Err(RekeyError::Digest { grant: grant.id })
    );
    let signed = grant_of(terms(), lying.digest(grant.id));
    let keys = lying.accept(CHAIN, &signed, opening_key());
    let opened = scene.open(&keys.expect("as signed"), &signed, 1);
    assert_eq!(
        opened,
        Err(RekeyError::Record {
            record: record(2),
            source: RecordError::Decrypt
        })
    );
    let frame = wire::encode(&bundle);
    for bit in 0..frame.len() * 8 {
        let mut changed = frame.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(changed) = wire::decode::<Bundle>(&changed) {
            let taken = changed.accept(CHAIN, &grant, opening_key()).map(drop);
            assert_eq!(taken, Err(RekeyError::Digest { grant: grant.id }), "{bit}");
        }
    }
}

#[test]
fn what_cannot_be_sealed_anew_is_named_and_the_rest_goes_on() {
    let mut scene = Scene::new();
    let elsewhere = PatientId([9; 32]);
    scene.seal(ChainId([2; 32]), patient(), record(2), OTHER);
    scene.seal(CHAIN, elsewhere, record(2), OTHER);
    // Somebody else wrote under the identifier of a record that is granted: both are.
    scene.seal(CHAIN, patient(), record(2), hospital());
    let terms = terms();
    let mut rekeying = Rekeying::new(CHAIN, &terms);
    for position in [4, 5] {
        assert_eq!(
            scene.add(&mut rekeying, position),
            Err(RekeyError::OtherOwner { record: record(2) })
        );
    }
    let stranger = TierKey::random(&mut scene.rng);
    let (_, capsule, _) = &scene.records[1];
    assert_eq!(
        rekeying.add(&stranger, BATCH, capsule, &mut scene.rng),
        Err(RekeyError::OtherTierKey { record: record(2) })
    );
    assert!(matches!(
        rekeying.add(&scene.key, Height(8), capsule, &mut scene.rng),
        Err(RekeyError::Consent(ConsentError::Later { .. }))
    ));
    for position in [1, 6, 2] {
        assert_eq!(scene.add(&mut rekeying, position), Ok(()));
    }
    let (bundle, digest) = rekeying.finish();
    let grant = grant_of(terms, digest);
    let keys = bundle
        .accept(CHAIN, &grant, opening_key())
        .expect("its own");
    for position in [1, 6, 2] {
        let (_, _, text) = &scene.records[position];
        assert_eq!(scene.open(&keys, &grant, position).as_ref(), Ok(text));
    }
    assert_eq!(
        scene.open(&keys, &grant, 5),
        Err(RekeyError::OtherOwner { record: record(2) })
    );
    let mut weak = self::terms();
    weak.key.0 = [0; 32];
    let mut rekeying = Rekeying::new(CHAIN, &weak);
    assert_eq!(scene.add(&mut rekeying, 1), Err(RekeyError::Recipient));
}

/// A capsule of an author who wrapped nothing: its proof holds, so every check but opening it passes.
fn empty_capsule(scene: &mut Scene, context: SealContext) -> CheckedCapsule {
    let public = scene.key.public();
    let (r, half) = (random_scalar(&mut scene.rng), random_scalar(&mut scene.rng));
    let (bar, w) = (hash_to_group("kithkin/gbar/1", &[]), half + half);
    let points = [Point::mul_base(&r), bar * r, Point::mul_base(&w), bar * w];
    let [u, u_bar, on_base, on_bar] = points.map(|point| PointBytes::from(&point));
    let ciphertext = Digest([1; 32]);
    let (label, wrapped) = (context.label(&ciphertext), WrappedKey([0; 48]));
    let fields = [
        label.as_ref(),
        wrapped.as_ref(),
        u.as_ref(),
        u_bar.as_ref(),
        on_base.as_ref(),
        on_bar.as_ref(),
        public.as_bytes().as_ref(),
    ];
    let [e, _] = *hash("kithkin/capsule-proof/2", &fields).0.as_chunks().0 else {
        unreachable!("twice sixteen bytes");
    };
    let capsule = Capsule {
        label,
        wrapped,
        u,
        u_bar,
        e: CapsuleChallenge(e),
        z: ScalarBytes::from(&(half + Scalar::from(u128::from_le_bytes(e)) * r)),
    };
    let entry = RecordEntry {
        record: context.record,
        commitment: Digest::ZERO,
        ciphertext,
        capsule: capsule.digest(),
        shard_root: Digest::ZERO,
        bytes: 50,
    };
    let checked = capsule.check(&context, &entry, &public);
    checked.expect("every check passes")
}

#[test]
fn the_author_of_a_capsule_without_a_key_is_named() {
    let mut scene = Scene::new();
    let author = HospitalId([66; 32]);
    let context = SealContext {
        author,
        ..*scene.records[1].1.context()
    };
    let capsule = empty_capsule(&mut scene, context);
    let terms = terms();
    let mut rekeying = Rekeying::new(CHAIN, &terms);
    let record = record(2);
    assert_eq!(
        rekeying.add(&scene.key, BATCH, &capsule, &mut scene.rng),
        Err(RekeyError::Capsule { record, author })
    );
    assert_eq!(scene.add(&mut rekeying, 1), Ok(()));
    assert_eq!(rekeying.finish().0.places().len(), 1);
}
