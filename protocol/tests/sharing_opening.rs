//! Opening with shares (docs/spec/opening.md, section 3): who can, who cannot, and who is named.

mod sharing_support;

use kithkin_protocol::crypto::group::{BASE, Point, PointBytes, Scalar, ScalarBytes};
use kithkin_protocol::crypto::{Digest, OpeningKey, SigningKey, hash};
use kithkin_protocol::ids::{ChainId, HospitalId, PatientId, TxId};
use kithkin_protocol::record::{self, CapsuleError, RecordError};
use kithkin_protocol::sharing::*;
use kithkin_protocol::units::{CircleKind, Epoch, Height, ShareIndex, Tier};
use kithkin_protocol::wire;
use sharing_support::*;
use std::collections::BTreeSet;

#[test]
fn every_subset_of_threshold_size_opens_and_no_smaller_one() {
    for kin in 3..=9 {
        Scene::majority(kin as u8, kin, 2).assert_exactly_threshold_many_open();
    }
}

#[test]
fn shares_and_the_patients_own_key_give_the_same() {
    let mut scene = Scene::new(50, 4, 5, 3);
    let (opening, partials) = (scene.opening(), scene.partials());
    let combined = combine(&opening, &scene.secret, &partials).expect("five of four");
    for (key, capsule) in combined.keys.iter().zip(&scene.capsules()) {
        assert_eq!(Ok(key), capsule_key_direct(&scene.key, capsule).as_ref());
    }
    let stranger = TierKey::random(&mut scene.rng);
    assert_eq!(
        capsule_key_direct(&stranger, &scene.capsules()[0]).err(),
        Some(OpeningError::OtherKey { position: 0 })
    );
}

/// Ways to spoil a partial opening, by name.
fn spoiled(good: &PartialOpening, other: &PartialOpening) -> Vec<(&'static str, PartialOpening)> {
    let one = ScalarBytes::from(&Scalar::ONE);
    let mut list = Vec::new();
    let mut add = |name, change: &dyn Fn(&mut PartialOpening)| {
        let mut bad = good.clone();
        change(&mut bad);
        list.push((name, bad));
    };
    add("point doubled", &|p| {
        let doubled =
            p.points[0].decode().expect("a point") + p.points[0].decode().expect("a point");
        p.points[0] = PointBytes::from(&doubled);
    });
    add("points swapped", &|p| p.points.swap(0, 1));
    add("point missing", &|p| _ = p.points.pop());
    add("point too many", &|p| p.points.push(p.points[0]));
    add("identity", &|p| p.points[1] = PointBytes([0; 32]));
    add("non-canonical point", &|p| {
        p.points[1] = PointBytes([0xff; 32])
    });
    add("point on G", &|p| p.proof.on_base = PointBytes::from(&BASE));
    add("point on M", &|p| p.proof.on_m = PointBytes::from(&BASE));
    add("the proof's points swapped", &|p| {
        core::mem::swap(&mut p.proof.on_base, &mut p.proof.on_m);
    });
    add("another kin's points in the proof", &|p| {
        (p.proof.on_base, p.proof.on_m) = (other.proof.on_base, other.proof.on_m);
    });
    add("no point in the proof", &|p| {
        p.proof.on_m = PointBytes([0xff; 32])
    });
    add("response", &|p| p.proof.response = one);
    add("non-canonical scalar", &|p| {
        p.proof.response = ScalarBytes([0xff; 32])
    });
    add("another kin's points", &|p| {
        p.points.clone_from(&other.points)
    });
    add("another kin's proof", &|p| p.proof = other.proof);
    add("another kin's partial under this index", &|p| {
        *p = PartialOpening {
            index: p.index,
            ..other.clone()
        };
    });
    list
}

#[test]
fn a_bad_partial_at_any_position_is_named_and_the_rest_succeeds() {
    for kin in [3, 5, 6] {
        let mut scene = Scene::majority(60 + kin as u8, kin, 2);
        let (opening, partials) = (scene.opening(), scene.partials());
        let direct = capsule_key_direct(&scene.key, &scene.capsules()[0]).expect("own key");
        for bad in 0..kin {
            let index = partials[bad].index;
            for (name, partial) in spoiled(&partials[bad], &partials[(bad + 1) % kin]) {
                let fault = verify_partial(&opening, &partial).expect_err(name);
                assert_eq!(fault.index, index, "{name}");
                let mut given = partials.clone();
                given[bad] = partial;
                let all: Vec<&PartialOpening> = given.iter().collect();
                for (position, verdict) in check_partials(&opening, &all).iter().enumerate() {
                    let named = verdict.as_ref().err();
                    assert_eq!(named, (position == bad).then_some(&fault), "{name}");
                }
                let combined = combine(&opening, &scene.secret, &given).expect("enough are good");
                assert_eq!(combined.refused, vec![fault], "{name}");
                assert_eq!(combined.keys[0], direct);
            }
        }
    }
}

#[test]
fn with_too_many_bad_ones_nothing_opens_and_all_are_named() {
    let mut scene = Scene::majority(70, 5, 2);
    let (opening, mut partials) = (scene.opening(), scene.partials());
    for i in [0, 2, 4] {
        partials[i].proof.response = ScalarBytes([0; 32]);
    }
    let refused = [1, 3, 5]
        .map(|i| BadPartial {
            index: index(i),
            fault: PartialFault::Proof,
        })
        .to_vec();
    assert_eq!(
        combine(&opening, &scene.secret, &partials).expect_err("two are left"),
        CombineError::TooFew {
            good: 2,
            needed: 3,
            refused
        }
    );
}

#[test]
fn one_share_counts_once_however_often_it_is_sent() {
    let mut scene = Scene::majority(71, 5, 1);
    let (opening, partials) = (scene.opening(), scene.partials());
    let twice = pick(&partials, &[0, 1, 1, 0]);
    let duplicate = |i| BadPartial {
        index: index(i),
        fault: PartialFault::Duplicate,
    };
    let refused = vec![duplicate(2), duplicate(1)];
    assert_eq!(
        combine(&opening, &scene.secret, &twice).expect_err("two kin"),
        CombineError::TooFew {
            good: 2,
            needed: 3,
            refused
        }
    );
    // A bad one does not keep a later good one of the same kin out.
    let mut given = pick(&partials, &[0, 0, 1, 2]);
    given[0].proof.response = ScalarBytes([0; 32]);
    let combined = combine(&opening, &scene.secret, &given).expect("three kin");
    assert_eq!(
        combined.refused,
        vec![BadPartial {
            index: index(1),
            fault: PartialFault::Proof
        }]
    );
    let many = vec![partials[0].clone(); KIN_MAX + 1];
    let found = KIN_MAX + 1;
    assert_eq!(
        combine(&opening, &scene.secret, &many).err(),
        Some(CombineError::TooMany { found })
    );
    let stranger = SessionSecret::random(&mut scene.rng);
    assert_eq!(
        combine(&opening, &stranger, &partials).err(),
        Some(CombineError::Session)
    );
}

#[test]
fn a_partial_serves_one_case_epoch_and_scope_only() {
    let mut scene = Scene::majority(72, 5, 3);
    let partials = scene.partials();
    let capsules = scene.capsules();
    let good = scene.context;
    let rho = Rho::of(&good.chain, Height(9), 5, &TxId([7; 32]));
    let session = SessionSecret::random(&mut scene.rng).prove(&good.request, &mut scene.rng);
    let contexts = [
        ("case", OpeningContext { rho, ..good }),
        (
            "epoch",
            OpeningContext {
                epoch: Epoch(2),
                ..good
            },
        ),
        ("session", OpeningContext { session, ..good }),
    ];
    let fault = |partial: &PartialOpening| {
        Err(BadPartial {
            index: partial.index,
            fault: PartialFault::Proof,
        })
    };
    for (name, context) in contexts {
        let opening = Opening::new(&context, &scene.commitments, &capsules).expect(name);
        for partial in &partials {
            assert_eq!(verify_partial(&opening, partial), fault(partial), "{name}");
        }
    }
    for (name, scope) in [("order", [1, 0, 2]), ("repeated", [0, 1, 1])] {
        let opening = Opening::new(&good, &scene.commitments, &pick(&capsules, &scope));
        let opening = opening.expect(name);
        for partial in &partials {
            assert_eq!(verify_partial(&opening, partial), fault(partial), "{name}");
        }
    }
    let other = Written::new(&scene.key, Tier::Chart, 77, b"another", &mut scene.rng);
    let mut scope = capsules.clone();
    scope[2] = other.check(&scene.key);
    let opening = Opening::new(&good, &scene.commitments, &scope).expect("good capsules");
    for partial in &partials {
        assert_eq!(verify_partial(&opening, partial), fault(partial));
    }
}

/// The commitments of another generation: neither old shares nor old partial openings fit.
#[test]
fn generations_do_not_mix() {
    let mut scene = Scene::majority(73, 5, 1);
    let partials = scene.partials();
    let (commitments, shares) =
        deal(&scene.key, scene.threshold, &mut scene.rng).expect("dealt again");
    let context = OpeningContext {
        epoch: Epoch(2),
        ..scene.context
    };
    let opening = Opening::new(&context, &commitments, &scene.capsules()).expect("same key");
    for (share, partial) in scene.shares.iter().zip(&partials) {
        let index = share.index();
        let held = held(share, &scene.commitments);
        assert_eq!(
            partial_open(&held, &opening, &mut scene.rng),
            Err(OpeningError::WrongShare { index })
        );
        assert!(verify_partial(&opening, partial).is_err());
    }
    let mixed = vec![
        copy(&scene.shares[0]),
        copy(&scene.shares[1]),
        copy(&shares[2]),
    ];
    assert!(reconstruct(&mixed, &commitments).is_err());
}

/// Two circles hold independent sharings of one key: each opens by itself, and what is too little in each stays too little.
#[test]
fn circles_open_apart_and_do_not_add_up() {
    let mut scene = Scene::majority(85, 5, 2);
    let (first, ours) = (scene.opening(), scene.partials());
    let three = Threshold::majority(3).expect("three kin");
    let (commitments, shares) = deal(&scene.key, three, &mut scene.rng).expect("dealt");
    let context = OpeningContext {
        circle: CircleKind::Second,
        ..scene.context
    };
    let capsules = scene.capsules();
    let second = Opening::new(&context, &commitments, &capsules).expect("the same key");
    let rng = &mut scene.rng;
    let theirs: Vec<PartialOpening> = shares
        .iter()
        .map(|share| partial_open(&held(share, &commitments), &second, rng))
        .map(|opened| opened.expect("a good share"))
        .collect();
    for two in subsets(3, 2) {
        let combined = combine(&second, &scene.secret, &pick(&theirs, &two)).expect("enough");
        for ((key, capsule), written) in combined.keys.iter().zip(&capsules).zip(&scene.records) {
            let opened = record::open(key, capsule, &written.sealed.ciphertext);
            assert_eq!(opened.as_deref(), Ok(written.plaintext.as_slice()));
        }
    }
    // The transcript names the circle: with the same shares and commitments, nothing else differs.
    let renamed = Opening::new(&context, &scene.commitments, &capsules).expect("the same key");
    for partial in &ours {
        let (index, fault) = (partial.index, PartialFault::Proof);
        let bad = Err(BadPartial { index, fault });
        assert_eq!(verify_partial(&renamed, partial), bad);
        assert_eq!(verify_partial(&second, partial), bad);
    }
    let mixed = [&ours[..2], &theirs[2..]].concat();
    for (opening, good, needed) in [(&first, 2, 3), (&second, 1, 2)] {
        match combine(opening, &scene.secret, &mixed) {
            Err(CombineError::TooFew {
                good: g, needed: n, ..
            }) => assert_eq!((g, n), (good, needed)),
            other => panic!("one too few in each circle, got {other:?}"),
        }
    }
    // Not only refused: the mathematics does not give the key either.
    let scalar = |secret: &[u8; 32]| ScalarBytes(*secret).decode().expect("canonical");
    let eps = scalar(scene.secret.to_secret().expose());
    let x = scalar(scene.key.to_secret().expose());
    let indices: Vec<ShareIndex> = mixed.iter().map(|partial| partial.index).collect();
    let lambdas = lagrange_at_zero(&indices).expect("all different");
    let sum: Point = lambdas
        .iter()
        .zip(&mixed)
        .map(|(lambda, partial)| partial.points[0].decode().expect("a point") * lambda)
        .sum();
    assert_ne!(sum, (capsules[0].point() + Point::mul_base(&eps)) * x);
}

#[test]
fn capsules_of_another_owner_or_key_are_refused() {
    let mut scene = Scene::majority(74, 5, 2);
    let capsules = scene.capsules();
    let good = scene.context;
    let elsewhere = [
        OpeningContext {
            chain: ChainId([9; 32]),
            ..good
        },
        OpeningContext {
            patient: PatientId([9; 32]),
            ..good
        },
        OpeningContext {
            tier: Tier::Summary,
            ..good
        },
    ];
    for context in elsewhere {
        assert_eq!(
            Opening::new(&context, &scene.commitments, &capsules).err(),
            Some(OpeningError::OtherOwner { position: 0 })
        );
    }
    let summary = Written::new(&scene.key, Tier::Summary, 9, b"summary", &mut scene.rng);
    let mixed = [capsules[0].clone(), summary.check(&scene.key)];
    assert_eq!(
        Opening::new(&good, &scene.commitments, &mixed).err(),
        Some(OpeningError::OtherOwner { position: 1 })
    );
    let stranger = TierKey::random(&mut scene.rng);
    let foreign = Written::new(&stranger, Tier::Chart, 9, b"foreign", &mut scene.rng);
    let mixed = [capsules[0].clone(), foreign.check(&stranger)];
    assert_eq!(
        Opening::new(&good, &scene.commitments, &mixed).err(),
        Some(OpeningError::OtherKey { position: 1 })
    );
    assert_eq!(
        Opening::new(&good, &scene.commitments, &[]).err(),
        Some(OpeningError::CapsuleCount { found: 0 })
    );
    let found = OPENING_CAPSULES_MAX + 1;
    let many = vec![capsules[0].clone(); found];
    assert_eq!(
        Opening::new(&good, &scene.commitments, &many).err(),
        Some(OpeningError::CapsuleCount { found })
    );
}

#[test]
fn a_capsule_copied_or_altered_from_another_record_is_refused() {
    let scene = Scene::majority(75, 5, 2);
    let public = scene.key.public();
    let (mine, theirs) = (&scene.records[0], &scene.records[1]);
    let copied = theirs.sealed.capsule;
    assert_eq!(
        copied.check(&mine.context, &mine.entry, &public).err(),
        Some(CapsuleError::Entry)
    );
    // A manifest that names the copied capsule: the label gives it away.
    let mut entry = mine.entry.clone();
    entry.capsule = copied.digest();
    assert_eq!(
        copied.check(&mine.context, &entry, &public).err(),
        Some(CapsuleError::Label)
    );
    // With a label to match, the proof does.
    let mut altered = copied;
    altered.label = mine.sealed.capsule.label;
    entry.capsule = altered.digest();
    assert_eq!(
        altered.check(&mine.context, &entry, &public).err(),
        Some(CapsuleError::Proof)
    );
    // Somebody else's record passed off under one's own name, ciphertext and all.
    let mut context = theirs.context;
    context.author = HospitalId([66; 32]);
    let mut altered = copied;
    altered.label = context.label(&theirs.entry.ciphertext);
    let mut entry = theirs.entry.clone();
    entry.capsule = altered.digest();
    assert_eq!(
        altered.check(&context, &entry, &public).err(),
        Some(CapsuleError::Proof)
    );
    // U alone, in a capsule whose other parts are one's own.
    let mut altered = mine.sealed.capsule;
    altered.u = copied.u;
    assert_eq!(altered.verify(&public).err(), Some(CapsuleError::Proof));
    altered.u_bar = copied.u_bar;
    assert_eq!(altered.verify(&public).err(), Some(CapsuleError::Proof));
}

#[test]
fn a_request_that_does_not_prove_its_point_is_refused() {
    let mut scene = Scene::majority(76, 5, 2);
    let capsules = scene.capsules();
    let good = scene.context;
    let refused = |session: SessionPublic, error| {
        let context = OpeningContext { session, ..good };
        let opening = Opening::new(&context, &scene.commitments, &capsules);
        assert_eq!(opening.err(), Some(OpeningError::Session(error)));
    };
    // E = U2 - U would have the kin open the second capsule in the name of the first.
    let trick = PointBytes::from(&(capsules[1].point() - capsules[0].point()));
    refused(
        SessionPublic {
            point: trick,
            ..good.session
        },
        SessionError::Proof,
    );
    let zero = SchnorrProof {
        challenge: ScalarBytes([0; 32]),
        response: ScalarBytes([0; 32]),
    };
    refused(
        SessionPublic {
            proof: zero,
            ..good.session
        },
        SessionError::Proof,
    );
    for bytes in [[0; 32], [0xff; 32]] {
        let point = PointBytes(bytes);
        refused(
            SessionPublic {
                point,
                ..good.session
            },
            SessionError::Encoding,
        );
    }
    for position in 0..2 {
        let mut session = good.session;
        let part = if position == 0 {
            &mut session.proof.challenge
        } else {
            &mut session.proof.response
        };
        *part = ScalarBytes([0xff; 32]);
        refused(session, SessionError::Encoding);
    }
    // The proof of another request.
    let elsewhere = scene
        .secret
        .prove(&hash("test/request", &[b"other"]), &mut scene.rng);
    refused(elsewhere, SessionError::Proof);
    let context = OpeningContext {
        request: Digest::ZERO,
        ..good
    };
    assert!(Opening::new(&context, &scene.commitments, &capsules).is_err());
    let stored = SessionSecret::from_secret(&scene.secret.to_secret()).expect("stored");
    assert_eq!(stored.point(), good.session.point);
}

/// The author of a capsule knows its `r` and could ask with `E = -U`: then `B` would be the identity.
#[test]
fn a_request_made_to_cancel_a_capsule_is_refused() {
    let mut scene = Scene::majority(77, 5, 1);
    let mut twin = scene.rng.clone();
    let written = Written::new(&scene.key, Tier::Chart, 5, b"mine", &mut scene.rng);
    // What sealing draws, in its order: the record's key, the nonce, r.
    let mut drawn = [0; 32 + 12 + 64];
    rand_core::Rng::fill_bytes(&mut twin, &mut drawn);
    let wide: [u8; 64] = drawn[44..].try_into().expect("64 bytes");
    let r = Scalar::from_bytes_mod_order_wide(&wide);
    assert_eq!(
        PointBytes::from(&Point::mul_base(&r)),
        written.sealed.capsule.u
    );
    let minus = kithkin_protocol::crypto::Secret32::new((-r).to_bytes());
    let secret = SessionSecret::from_secret(&minus).expect("a scalar");
    let session = secret.prove(&scene.context.request, &mut scene.rng);
    let context = OpeningContext {
        session,
        ..scene.context
    };
    let scope = [scene.capsules().remove(0), written.check(&scene.key)];
    assert_eq!(
        Opening::new(&context, &scene.commitments, &scope).err(),
        Some(OpeningError::Cancelled { position: 1 })
    );
}

#[test]
fn a_wrong_share_is_not_held() {
    let scene = Scene::majority(78, 5, 1);
    for share in &scene.shares {
        let index = share.index();
        let held = tampered(share).held(&scene.commitments);
        assert_eq!(held.err(), Some(SharingError::WrongShare { index }));
    }
}

/// Should randomness repeat, the nonce does so with the same statement only: two proofs with one nonce would give the share away.
#[test]
fn repeated_randomness_repeats_no_nonce() {
    let mut scene = Scene::majority(81, 5, 2);
    let again = deal(&scene.key, scene.threshold, &mut scene.rng);
    let (later, new_shares) = again.expect("dealt again");
    let changed = |change: fn(&mut OpeningContext)| {
        let mut context = scene.context;
        change(&mut context);
        context
    };
    let other_rho = |context: &mut OpeningContext| {
        context.rho = Rho::of(&context.chain, Height(99), 0, &TxId([7; 32]));
    };
    let (old, new) = ((&scene.commitments, &scene.shares), (&later, &new_shares));
    let openings = [
        (scene.context, old, 0),
        (scene.context, old, 1),
        (changed(|context| context.epoch = Epoch(9)), old, 0),
        (
            changed(|context| context.circle = CircleKind::Second),
            old,
            0,
        ),
        (changed(other_rho), old, 0),
        (scene.context, new, 0),
    ];
    let capsules = scene.capsules();
    let mut nonces = Vec::new();
    for (context, (commitments, shares), number) in openings {
        let opening = Opening::new(&context, commitments, &capsules[number..=number]);
        let opening = opening.expect("an opening");
        for share in shares {
            let held = held(share, commitments);
            let open = || partial_open(&held, &opening, &mut scene.rng.clone()).expect("it fits");
            assert_eq!(open(), open());
            nonces.push(open().proof.on_base);
        }
    }
    assert_eq!(nonces.len(), 6 * 5);
    let different: BTreeSet<_> = nonces.iter().collect();
    assert_eq!(different.len(), nonces.len());
}

#[test]
fn one_changed_bit_of_a_partial_is_refused() {
    let mut scene = Scene::majority(79, 3, 2);
    let (opening, partials) = (scene.opening(), scene.partials());
    let frame = wire::encode(&partials[0]);
    assert_eq!(
        wire::decode::<PartialOpening>(&frame).as_ref(),
        Ok(&partials[0])
    );
    for (byte, changed) in bit_flips(&frame) {
        if let Ok(partial) = wire::decode::<PartialOpening>(&changed) {
            assert!(verify_partial(&opening, &partial).is_err(), "byte {byte}");
        }
    }
}

#[test]
fn a_frame_cannot_smuggle_index_zero_or_too_many_points() {
    let mut scene = Scene::majority(80, 3, 1);
    let good = scene.partials().remove(0);
    let raw = |index: u8, points: usize| {
        let points = serde_bytes::ByteBuf::from(vec![1; points]);
        wire::encode(&(index, points, good.proof))
    };
    assert!(wire::decode::<PartialOpening>(&raw(1, 32)).is_ok());
    assert!(wire::decode::<PartialOpening>(&raw(0, 32)).is_err());
    assert!(wire::decode::<PartialOpening>(&raw(1, 33)).is_err());
    let most = 32 * OPENING_CAPSULES_MAX;
    assert!(wire::decode::<PartialOpening>(&raw(1, most)).is_ok());
    assert!(wire::decode::<PartialOpening>(&raw(1, most + 32)).is_err());
}

#[test]
fn a_signed_partial_travels_sealed_and_names_its_author() {
    let mut scene = Scene::majority(81, 5, 2);
    let (opening, partials) = (scene.opening(), scene.partials());
    let session = OpeningKey::random(&mut scene.rng);
    let kin = SigningKey::random(&mut scene.rng);
    let good = scene.context;
    let signed = partials[0].clone().sign(&good.rho, &kin);
    assert_eq!(signed.verify(&opening, &kin.verifying_key()), Ok(()));
    let stranger = SigningKey::random(&mut scene.rng).verifying_key();
    assert_eq!(
        signed.verify(&opening, &stranger),
        Err(ReleaseError::Signature)
    );
    let sealed = signed
        .seal(&good, &session.sealing_key(), &mut scene.rng)
        .expect("sealed");
    assert_eq!(
        SignedPartial::unseal(&sealed, &good, &session),
        Ok(signed.clone())
    );
    let later = OpeningContext {
        epoch: Epoch(2),
        ..good
    };
    assert_eq!(
        SignedPartial::unseal(&sealed, &later, &session),
        Err(ReleaseError::Unsealable)
    );
    // Signed, but bad: the author is named. Altered after signing: nobody is.
    let mut bad = partials[0].clone();
    bad.points.swap(0, 1);
    let fault = BadPartial {
        index: index(1),
        fault: PartialFault::Proof,
    };
    let blamed = bad
        .clone()
        .sign(&good.rho, &kin)
        .verify(&opening, &kin.verifying_key());
    assert_eq!(blamed, Err(ReleaseError::Partial(fault)));
    let framed = SignedPartial {
        partial: bad,
        ..signed
    };
    assert_eq!(
        framed.verify(&opening, &kin.verifying_key()),
        Err(ReleaseError::Signature)
    );
}

#[test]
fn the_key_of_one_capsule_opens_no_other() {
    let mut scene = Scene::majority(82, 3, 2);
    let (opening, partials) = (scene.opening(), scene.partials());
    let combined = combine(&opening, &scene.secret, &partials).expect("three of two");
    let capsules = scene.capsules();
    let swapped = record::open(
        &combined.keys[1],
        &capsules[0],
        &scene.records[0].sealed.ciphertext,
    );
    assert_eq!(swapped, Err(RecordError::Capsule(CapsuleError::Unwrap)));
}

/// One record: everybody's proof is over the same point. All signed answers at once, with one bad at each place.
#[test]
fn answers_to_one_record_are_judged_at_once_and_the_bad_one_is_named() {
    let mut scene = Scene::majority(88, 5, 1);
    let (opening, partials) = (scene.opening(), scene.partials());
    let rho = scene.context.rho;
    let keys: Vec<SigningKey> = (0..5).map(|_| SigningKey::random(&mut scene.rng)).collect();
    let sign = |partials: &[PartialOpening]| -> Vec<SignedPartial> {
        let signed = partials.iter().zip(&keys);
        signed
            .map(|(partial, key)| partial.clone().sign(&rho, key))
            .collect()
    };
    let judge = |signed: &[SignedPartial]| {
        let answers: Vec<_> = signed
            .iter()
            .zip(keys.iter().map(SigningKey::verifying_key))
            .collect();
        let verdicts = SignedPartial::check_all(&opening, &answers);
        for ((signed, key), verdict) in answers.iter().zip(&verdicts) {
            let alone = signed.check(&opening, key);
            assert_eq!(alone.as_ref().err(), verdict.as_ref().err());
        }
        verdicts
    };
    let good = sign(&partials);
    let checked: Vec<CheckedPartial> = judge(&good).into_iter().flatten().collect();
    let three: Vec<&CheckedPartial> = checked.iter().take(3).collect();
    let keys_of_records = combine_checked(&opening, &scene.secret, &three).expect("enough");
    let direct = capsule_key_direct(&scene.key, &scene.capsules()[0]).expect("own key");
    assert_eq!(keys_of_records, [direct]);
    assert!(SignedPartial::check_all(&opening, &[]).is_empty());
    for bad in 0..5 {
        let mut given = partials.clone();
        given[bad].proof.response = ScalarBytes::from(&Scalar::ONE);
        let mut signed = sign(&given);
        let unsigned = (bad + 2) % 5;
        signed[unsigned].signature = good[bad].signature;
        for (position, verdict) in judge(&signed).into_iter().enumerate() {
            let expected = if position == bad {
                let (index, fault) = (partials[bad].index, PartialFault::Proof);
                Some(ReleaseError::Partial(BadPartial { index, fault }))
            } else {
                (position == unsigned).then_some(ReleaseError::Signature)
            };
            assert_eq!(verdict.err(), expected, "{position}");
        }
    }
}
