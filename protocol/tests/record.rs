//! Sealing and opening records, manifests, receipts, headers (docs/spec/opening.md, section 2).

mod sharing_support;

use kithkin_protocol::crypto::group::{PointBytes, ScalarBytes};
use kithkin_protocol::crypto::{Digest, SigningKey};
use kithkin_protocol::ids::{ChainId, HospitalId, KinId, PatientId, RecordId};
use kithkin_protocol::record::*;
use kithkin_protocol::sharing::{Threshold, TierKey, capsule_key_direct};
use kithkin_protocol::units::{Epoch, Tier};
use kithkin_protocol::wire;
use proptest::prelude::*;
use sharing_support::*;

fn write(plaintext: &[u8]) -> (TierKey, Written) {
    let mut rng = rng(1);
    let key = TierKey::random(&mut rng);
    let written = Written::new(&key, Tier::Chart, 1, plaintext, &mut rng);
    (key, written)
}

fn reopen(key: &TierKey, written: &Written) -> Result<Vec<u8>, RecordError> {
    let checked = written.check(key);
    let capsule_key = capsule_key_direct(key, &checked).expect("own key");
    open(&capsule_key, &checked, &written.sealed.ciphertext)
}

#[test]
fn records_of_every_length_open_again() {
    let mut noise = vec![0; 300_000];
    rng(9).fill_bytes(&mut noise);
    for length in [0, 1, 2, 31, 32, 33, 4_096, 100_000, 300_000] {
        for plaintext in [&noise[..length], &vec![b' '; length]] {
            let (key, written) = write(plaintext);
            assert_eq!(reopen(&key, &written).as_deref(), Ok(plaintext));
        }
    }
}

#[test]
fn the_longest_record_fits_and_a_longer_one_is_refused() {
    let mut noise = vec![0; RECORD_BYTES_MAX];
    rng(9).fill_bytes(&mut noise);
    let (key, written) = write(&noise);
    assert!(written.sealed.ciphertext.len() <= CIPHERTEXT_BYTES_MAX);
    assert_eq!(reopen(&key, &written).as_ref(), Ok(&noise));
    let three = Threshold::majority(3).expect("three kin");
    let shard = shards(&written.sealed.ciphertext, three)
        .expect("cut")
        .shards
        .remove(0);
    assert!(wire::encode(&shard).len() < wire::FRAME_BYTES_MAX);
    noise.push(0);
    let bytes = noise.len();
    assert_eq!(
        seal(&noise, &written.context, &key.public(), &mut rng(1)),
        Err(RecordError::TooLong { bytes })
    );
}

#[test]
fn nothing_of_the_plaintext_shows_and_no_two_seals_are_alike() {
    let plaintext = b"penicillin allergy, severe; penicillin allergy, severe";
    let (key, written) = write(plaintext);
    let ciphertext = &written.sealed.ciphertext;
    assert!(
        !ciphertext
            .windows(8)
            .any(|w| plaintext.windows(8).any(|p| p == w))
    );
    let again = seal(plaintext, &written.context, &key.public(), &mut rng(2)).expect("sealed");
    assert_ne!(again.ciphertext, *ciphertext);
    assert_ne!(again.commitment, written.sealed.commitment);
    assert_ne!(again.capsule.u, written.sealed.capsule.u);
}

#[test]
fn one_changed_bit_of_a_capsule_is_refused() {
    let (key, written) = write(b"text");
    let public = key.public();
    let frame = wire::encode(&written.sealed.capsule);
    assert_eq!(frame.len(), 1 + 205);
    for (byte, changed) in bit_flips(&frame) {
        let Ok(capsule) = wire::decode::<Capsule>(&changed) else {
            continue;
        };
        assert_eq!(
            capsule
                .check(&written.context, &written.entry, &public)
                .err(),
            Some(CapsuleError::Entry),
            "byte {byte}"
        );
        // Even when the manifest names the changed one: label or proof gives it away.
        let entry = RecordEntry {
            capsule: capsule.digest(),
            ..written.entry.clone()
        };
        let error = capsule
            .check(&written.context, &entry, &public)
            .expect_err("changed");
        assert!(!matches!(error, CapsuleError::Entry), "byte {byte}");
    }
}

#[test]
fn capsules_are_decoded_strictly() {
    let (key, written) = write(b"text");
    let good = written.sealed.capsule;
    let (identity, no_point) = (PointBytes([0; 32]), PointBytes([0xff; 32]));
    let no_scalar = ScalarBytes([0xff; 32]);
    let bad = [
        Capsule {
            u: identity,
            ..good
        },
        Capsule {
            u_bar: identity,
            ..good
        },
        Capsule {
            u: no_point,
            ..good
        },
        Capsule {
            u_bar: no_point,
            ..good
        },
        Capsule {
            z: no_scalar,
            ..good
        },
    ];
    for capsule in bad {
        let error = capsule.verify(&key.public()).err();
        assert!(
            matches!(error, Some(CapsuleError::Encoding(_))),
            "{error:?}"
        );
    }
    // Any sixteen bytes are a challenge; those at the edges are no more of a proof.
    for e in [
        [0; 16],
        [0xff; 16],
        1u128.to_le_bytes(),
        (1u128 << 127).to_le_bytes(),
    ] {
        let e = CapsuleChallenge(e);
        let verdict = Capsule { e, ..good }.verify(&key.public());
        assert_eq!(verdict, Err(CapsuleError::Proof));
    }
    let stranger = TierKey::random(&mut rng(3));
    assert_eq!(good.verify(&stranger.public()), Err(CapsuleError::Proof));
}

#[test]
fn a_capsule_belongs_to_one_record_patient_tier_author_and_chain() {
    let (key, written) = write(b"text");
    let good = written.context;
    let others = [
        SealContext {
            chain: ChainId([9; 32]),
            ..good
        },
        SealContext {
            patient: PatientId([9; 32]),
            ..good
        },
        SealContext {
            tier: Tier::Summary,
            ..good
        },
        SealContext {
            author: HospitalId([9; 32]),
            ..good
        },
    ];
    let check = |context: &SealContext, entry: &RecordEntry| {
        written
            .sealed
            .capsule
            .check(context, entry, &key.public())
            .err()
    };
    for context in others {
        assert_eq!(check(&context, &written.entry), Some(CapsuleError::Label));
    }
    let record = RecordId([9; 32]);
    let context = SealContext { record, ..good };
    assert_eq!(check(&context, &written.entry), Some(CapsuleError::Entry));
    let entry = RecordEntry {
        record,
        ..written.entry.clone()
    };
    assert_eq!(check(&context, &entry), Some(CapsuleError::Label));
    let ciphertext = Digest::ZERO;
    let entry = RecordEntry {
        ciphertext,
        ..written.entry.clone()
    };
    assert_eq!(check(&good, &entry), Some(CapsuleError::Label));
}

#[test]
fn one_changed_bit_of_a_ciphertext_is_refused() {
    let (key, written) = write(b"text");
    let checked = written.check(&key);
    let capsule_key = capsule_key_direct(&key, &checked).expect("own key");
    for (byte, changed) in bit_flips(&written.sealed.ciphertext) {
        let opened = open(&capsule_key, &checked, &changed);
        assert_eq!(opened, Err(RecordError::Ciphertext), "byte {byte}");
    }
    let entry = RecordEntry {
        commitment: Digest::ZERO,
        ..written.entry.clone()
    };
    let lying = written
        .sealed
        .capsule
        .check(&written.context, &entry, &key.public());
    assert_eq!(
        open(
            &capsule_key,
            &lying.expect("not looked at yet"),
            &written.sealed.ciphertext
        ),
        Err(RecordError::Commitment)
    );
}

fn entry(number: u16) -> RecordEntry {
    let mut record = [0; 32];
    record[..2].copy_from_slice(&number.to_be_bytes());
    RecordEntry {
        record: RecordId(record),
        commitment: Digest([1; 32]),
        ciphertext: Digest([2; 32]),
        capsule: Digest([3; 32]),
        shard_root: Digest([4; 32]),
        bytes: 100,
    }
}

#[test]
fn a_manifest_proves_its_lines_and_nothing_else() {
    let entries: Vec<RecordEntry> = (0..9).map(entry).collect();
    let manifest = Manifest::new(entries.clone()).expect("nine records");
    let root = manifest.root();
    for (position, line) in entries.iter().enumerate() {
        let good = manifest.line(position).expect("a line");
        assert_eq!((&good.entry, good.start), (line, 100 * position as u64));
        assert_eq!(good.verify(&root), Ok(()));
        assert_eq!(
            (good.end(), good.is_last()),
            (good.start + 100, position == 8)
        );
        assert_eq!(manifest.path(position).as_ref(), Some(&good.path));
        assert_eq!(manifest.position_at(good.start), Some(position));
        assert_eq!(manifest.position_at(good.end() - 1), Some(position));
        assert_eq!(manifest.entry(&line.record), Some(line));
        let changed = [
            RecordEntry {
                record: RecordId([8; 32]),
                ..line.clone()
            },
            RecordEntry {
                commitment: Digest::ZERO,
                ..line.clone()
            },
            RecordEntry {
                ciphertext: Digest::ZERO,
                ..line.clone()
            },
            RecordEntry {
                capsule: Digest::ZERO,
                ..line.clone()
            },
            RecordEntry {
                shard_root: Digest::ZERO,
                ..line.clone()
            },
            RecordEntry {
                bytes: 101,
                ..line.clone()
            },
        ];
        for entry in changed {
            let line = ManifestLine {
                entry,
                ..good.clone()
            };
            assert!(line.verify(&root).is_err());
        }
        assert!(good.verify(&Digest::ZERO).is_err());
        let start = good.start + 1;
        assert!(ManifestLine { start, ..good }.verify(&root).is_err());
    }
    assert!(manifest.path(9).is_none() && manifest.line(9).is_none());
    assert_eq!(manifest.position_at(900), None);
    let mut swapped = entries.clone();
    swapped.swap(0, 1);
    assert_ne!(Manifest::new(swapped).expect("nine").root(), root);
    assert_eq!(manifest.bytes(), 900);
}

#[test]
fn manifests_are_bounded_and_name_no_record_twice() {
    let (found, frame) = (0, wire::encode(&Vec::<RecordEntry>::new()));
    assert_eq!(Manifest::new(vec![]), Err(ManifestError::Count { found }));
    assert!(wire::decode::<Manifest>(&frame).is_err());
    let twice = vec![entry(1), entry(2), entry(1)];
    let record = entry(1).record;
    assert!(wire::decode::<Manifest>(&wire::encode(&twice)).is_err());
    assert_eq!(
        Manifest::new(twice),
        Err(ManifestError::Duplicate { record })
    );
    let most: Vec<RecordEntry> = (0..RECORDS_MAX as u16).map(entry).collect();
    let manifest = Manifest::new(most.clone()).expect("the most");
    assert_eq!(
        wire::decode::<Manifest>(&wire::encode(&manifest)),
        Ok(manifest)
    );
    let more: Vec<RecordEntry> = (0..=RECORDS_MAX as u16).map(entry).collect();
    let found = RECORDS_MAX + 1;
    assert!(wire::decode::<Manifest>(&wire::encode(&more)).is_err());
    assert_eq!(Manifest::new(more), Err(ManifestError::Count { found }));
}

fn receipt(number: u8) -> (SigningKey, Receipt) {
    let key = SigningKey::random(&mut rng(number));
    let body = ReceiptBody {
        chain: ChainId([1; 32]),
        kin: KinId::of(&key.verifying_key()),
        index: index(number),
        patient: PatientId([2; 32]),
        tier: Tier::Chart,
        epoch: Epoch(1),
        manifest_root: Digest([3; 32]),
        held: held_digest([Digest([4; 32])]),
    };
    let receipt = body.sign(&key);
    (key, receipt)
}

#[test]
fn a_receipt_is_its_kins_and_covers_every_field() {
    let (key, good) = receipt(1);
    let public = key.verifying_key();
    assert_eq!(good.verify(&public), Ok(()));
    let body = good.body;
    let stranger = receipt(2).0.verifying_key();
    let kin = body.kin;
    assert_eq!(good.verify(&stranger), Err(ReceiptError::Signature { kin }));
    let bodies = [
        ReceiptBody {
            chain: ChainId([9; 32]),
            ..body
        },
        ReceiptBody {
            kin: KinId::of(&stranger),
            ..body
        },
        ReceiptBody {
            index: index(2),
            ..body
        },
        ReceiptBody {
            patient: PatientId([9; 32]),
            ..body
        },
        ReceiptBody {
            tier: Tier::Summary,
            ..body
        },
        ReceiptBody {
            epoch: Epoch(2),
            ..body
        },
        ReceiptBody {
            manifest_root: Digest::ZERO,
            ..body
        },
        ReceiptBody {
            held: Digest::ZERO,
            ..body
        },
    ];
    for body in bodies {
        assert!(Receipt { body, ..good }.verify(&public).is_err());
    }
    assert_ne!(held_digest([]), held_digest([Digest::ZERO]));
}

#[test]
fn receipts_have_one_root_in_any_order() {
    let receipts: Vec<Receipt> = (1..=5).map(|n| receipt(n).1).collect();
    let root = receipts_root(&receipts).expect("five");
    let mut turned = receipts.clone();
    turned.reverse();
    assert_eq!(receipts_root(&turned), Ok(root));
    turned.pop();
    assert_ne!(receipts_root(&turned), Ok(root));
    let duplicate = ReceiptError::Duplicate { index: index(3) };
    turned.push(receipts[2]);
    assert_eq!(receipts_root(&turned), Err(duplicate));
    let found = 65;
    assert_eq!(
        receipts_root(&vec![receipts[0]; found]),
        Err(ReceiptError::TooMany { found })
    );
}

fn header(receipts: u8, status: BatchStatus) -> BatchHeader {
    let manifest = Manifest::new((0..9).map(entry).collect()).expect("nine records");
    BatchHeader {
        chain: ChainId([1; 32]),
        patient: PatientId([2; 32]),
        tier: Tier::Chart,
        author: HospitalId([3; 32]),
        epoch: Epoch(1),
        manifest_root: manifest.root(),
        records: 9,
        bytes: manifest.bytes(),
        receipts_root: Digest([4; 32]),
        receipts,
        status,
    }
}

#[test]
fn a_header_claims_no_more_than_its_receipts_show() {
    use BatchStatus::{Degraded, Stored};
    let roster = Threshold::majority(5).expect("five");
    for receipts in 0..=6u8 {
        let allowed = BatchStatus::of(usize::from(receipts), 5);
        let expected = [
            None,
            None,
            None,
            Some(Degraded),
            Some(Degraded),
            Some(Stored),
            None,
        ];
        assert_eq!(allowed, expected[usize::from(receipts)]);
        for claimed in [Degraded, Stored] {
            let verdict = header(receipts, claimed).check(roster);
            assert_eq!(
                verdict.is_ok(),
                allowed == Some(claimed),
                "{receipts} {claimed:?}"
            );
        }
    }
    let good = header(5, Stored);
    for records in [0, RECORDS_MAX as u32 + 1, u32::MAX] {
        let bad = BatchHeader { records, ..good };
        assert_eq!(bad.check(roster), Err(BatchError::Records { records }));
    }
    for bytes in [0, 8, u64::MAX] {
        let bad = BatchHeader { bytes, ..good };
        assert_eq!(
            bad.check(roster),
            Err(BatchError::Bytes { bytes, records: 9 })
        );
    }
}

#[test]
fn a_header_stands_for_one_manifest_and_its_id_for_every_field() {
    let good = header(5, BatchStatus::Stored);
    let manifest = Manifest::new((0..9).map(entry).collect()).expect("nine records");
    assert!(good.covers(&manifest));
    let others = [
        BatchHeader {
            chain: ChainId([9; 32]),
            ..good
        },
        BatchHeader {
            patient: PatientId([9; 32]),
            ..good
        },
        BatchHeader {
            tier: Tier::Summary,
            ..good
        },
        BatchHeader {
            author: HospitalId([9; 32]),
            ..good
        },
        BatchHeader {
            epoch: Epoch(2),
            ..good
        },
        BatchHeader {
            manifest_root: Digest::ZERO,
            ..good
        },
        BatchHeader { records: 8, ..good },
        BatchHeader { bytes: 899, ..good },
        BatchHeader {
            receipts_root: Digest::ZERO,
            ..good
        },
        BatchHeader {
            receipts: 4,
            ..good
        },
        BatchHeader {
            status: BatchStatus::Degraded,
            ..good
        },
    ];
    for (i, other) in others.iter().enumerate() {
        assert_ne!(other.id(), good.id(), "field {i}");
        let touched = (5..=7).contains(&i);
        assert_eq!(other.covers(&manifest), !touched, "field {i}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sealed_opens_and_a_flipped_bit_does_not(
        plaintext in proptest::collection::vec(any::<u8>(), 0..2_000),
        place: proptest::sample::Index,
        bit in 0u8..8,
    ) {
        let (key, written) = write(&plaintext);
        let opened = reopen(&key, &written);
        prop_assert_eq!(opened.as_ref(), Ok(&plaintext));
        let checked = written.check(&key);
        let capsule_key = capsule_key_direct(&key, &checked).expect("own key");
        let mut changed = written.sealed.ciphertext.clone();
        let at = place.index(changed.len());
        changed[at] ^= 1 << bit;
        prop_assert_eq!(open(&capsule_key, &checked, &changed), Err(RecordError::Ciphertext));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = wire::decode::<Capsule>(&bytes);
        let _ = wire::decode::<Manifest>(&bytes);
        let _ = wire::decode::<BatchHeader>(&bytes);
        let _ = wire::decode::<Receipt>(&bytes);
        let _ = wire::decode::<Shard>(&bytes);
    }
}
