//! Dealing, checking, sealing and rebuilding (docs/spec/opening.md, sections 1 and 6), against an independent oracle.

mod sharing_support;

use kithkin_protocol::crypto::group::{BASE, Point, PointBytes};
use kithkin_protocol::crypto::{OpeningKey, Secret32};
use kithkin_protocol::ids::{ChainId, PatientId, TxId};
use kithkin_protocol::sharing::*;
use kithkin_protocol::units::{Epoch, Height, ShareIndex, Tier};
use kithkin_protocol::wire;
use proptest::prelude::*;
use sharing_support::oracle::{self, number, points, secret_number};
use sharing_support::*;
use std::sync::LazyLock;

fn context() -> ShareContext {
    ShareContext {
        patient: PatientId([2; 32]),
        tier: Tier::Summary,
        epoch: Epoch(3),
    }
}

/// With each threshold that is allowed, not only the smallest.
#[test]
fn every_subset_of_threshold_size_rebuilds_the_key_and_no_smaller_one() {
    for kin in 3..=9 {
        for needed in majority(kin)..=kin {
            Scene::new(kin as u8, needed, kin, 0).assert_exactly_threshold_many_rebuild();
        }
    }
}

#[test]
fn a_wrong_share_at_any_position_is_named_and_the_rest_succeeds() {
    for kin in 3..=9 {
        let scene = Scene::majority(kin as u8, kin, 0);
        for bad in 0..kin {
            let shares: Vec<Share> = (0..kin)
                .map(|i| {
                    if i == bad {
                        tampered(&scene.shares[i])
                    } else {
                        copy(&scene.shares[i])
                    }
                })
                .collect();
            let wrong = SharingError::WrongShare {
                index: shares[bad].index(),
            };
            assert_eq!(shares[bad].verify(&scene.commitments), Err(wrong));
            let rebuilt = reconstruct(&shares, &scene.commitments).expect("enough are good");
            assert_eq!(rebuilt.refused, vec![wrong]);
            assert_eq!(rebuilt.key.to_secret(), scene.key.to_secret());
        }
    }
}

#[test]
fn a_share_given_twice_counts_once() {
    let scene = Scene::majority(1, 5, 0);
    let twice = [0, 1, 1].map(|i: usize| copy(&scene.shares[i]));
    let duplicate = SharingError::DuplicateIndex { index: index(2) };
    assert_eq!(
        reconstruct(&twice, &scene.commitments).expect_err("two shares"),
        ReconstructError::TooFew {
            good: 2,
            needed: 3,
            refused: vec![duplicate]
        }
    );
    assert_eq!(
        lagrange_at_zero(&[index(2), index(1), index(2)]),
        Err(duplicate)
    );
    let many: Vec<Share> = (0..=KIN_MAX).map(|_| copy(&scene.shares[0])).collect();
    assert_eq!(
        reconstruct(&many, &scene.commitments).expect_err("too many"),
        ReconstructError::TooMany { found: KIN_MAX + 1 }
    );
}

/// A dealing that is wrong for one kin: that kin finds out, whoever it is, and the others are served.
#[test]
fn a_wrong_dealing_is_refused_by_the_kin_concerned() {
    let mut scene = Scene::majority(7, 5, 0);
    let key = OpeningKey::random(&mut scene.rng);
    for bad in 0..5 {
        for (i, share) in scene.shares.iter().enumerate() {
            let dealt = if i == bad {
                tampered(share)
            } else {
                copy(share)
            };
            let index = share.index();
            let sealed = seal_share(&dealt, &context(), &key.sealing_key(), &mut scene.rng)
                .expect("a good key");
            let opened = open_share(&sealed, &key, index, &context(), &scene.commitments);
            match opened {
                Ok(opened) => {
                    assert_ne!(i, bad);
                    assert_eq!(opened.to_bytes(), share.to_bytes());
                }
                Err(error) => {
                    assert_eq!(i, bad);
                    assert_eq!(error, SharingError::WrongShare { index });
                }
            }
        }
    }
}

#[test]
fn a_sealed_share_opens_for_its_recipient_and_purpose_only() {
    let mut scene = Scene::majority(8, 5, 0);
    let (mine, other) = (
        OpeningKey::random(&mut scene.rng),
        OpeningKey::random(&mut scene.rng),
    );
    let share = &scene.shares[1];
    let recipient = mine.sealing_key();
    let sealed = seal_share(share, &context(), &recipient, &mut scene.rng).expect("sealed");
    let open = |key: &OpeningKey, i: u8, context: ShareContext| {
        open_share(&sealed, key, index(i), &context, &scene.commitments)
            .map(|share| share.index().get())
    };
    let refused = |i: u8| Err(SharingError::Unsealable { index: index(i) });
    assert_eq!(open(&mine, 2, context()), Ok(2));
    assert_eq!(open(&other, 2, context()), refused(2));
    assert_eq!(open(&mine, 3, context()), refused(3));
    assert_eq!(
        open(
            &mine,
            2,
            ShareContext {
                epoch: Epoch(4),
                ..context()
            }
        ),
        refused(2)
    );
    assert_eq!(
        open(
            &mine,
            2,
            ShareContext {
                tier: Tier::Chart,
                ..context()
            }
        ),
        refused(2)
    );
    let stranger = PatientId([9; 32]);
    assert_eq!(
        open(
            &mine,
            2,
            ShareContext {
                patient: stranger,
                ..context()
            }
        ),
        refused(2)
    );
    for (byte, ciphertext) in bit_flips(&sealed.ciphertext) {
        let changed = kithkin_protocol::crypto::Sealed {
            ciphertext,
            ..sealed.clone()
        };
        let opened = open_share(&changed, &mine, index(2), &context(), &scene.commitments);
        assert!(opened.is_err(), "byte {byte}");
    }
    // A dealt share is no released one, and a released one serves one case.
    let rho = |n: u32| Rho::of(&ChainId([1; 32]), Height(1), n, &TxId([1; 32]));
    let release = |sealed, rho| {
        open_released_share(
            sealed,
            &mine,
            index(2),
            &context(),
            &rho,
            &scene.commitments,
        )
        .map(|share| share.index().get())
    };
    assert_eq!(release(&sealed, rho(0)), refused(2));
    let released = release_share(share, &context(), &rho(0), &recipient, &mut scene.rng);
    let released = released.expect("sealed");
    assert_eq!(release(&released, rho(0)), Ok(2));
    assert_eq!(release(&released, rho(1)), refused(2));
}

#[test]
fn a_stored_share_opens_under_its_own_key_only() {
    let mut scene = Scene::majority(9, 5, 0);
    let key = Secret32::random(&mut scene.rng);
    let commitments = &scene.commitments;
    let held = copy(&scene.shares[0]).held(commitments).expect("it fits");
    let stored = store_share(&held, &key, &context(), &mut scene.rng).expect("stored");
    let load = |stored: &[u8], key: &Secret32, i, context| {
        let loaded = load_share(stored, key, index(i), &context, commitments);
        loaded.map(|held| held.share().to_bytes())
    };
    let refused = |i| Err(SharingError::Unsealable { index: index(i) });
    assert_eq!(
        load(&stored, &key, 1, context()),
        Ok(scene.shares[0].to_bytes())
    );
    assert_eq!(
        load(&stored, &Secret32::new([0; 32]), 1, context()),
        refused(1)
    );
    assert_eq!(load(&stored, &key, 2, context()), refused(2));
    let later = ShareContext {
        epoch: Epoch(4),
        ..context()
    };
    assert_eq!(load(&stored, &key, 1, later), refused(1));
    for (_, changed) in bit_flips(&stored) {
        assert_eq!(load(&changed, &key, 1, context()), refused(1));
    }
    for short in 0..stored.len() {
        assert_eq!(load(&stored[..short], &key, 1, context()), refused(1));
    }
    // Those of the next dealing, of which the share is none.
    let (others, _) = deal(&scene.key, scene.threshold, &mut scene.rng).expect("dealt again");
    let loaded = load_share(&stored, &key, index(1), &context(), &others);
    assert_eq!(
        loaded.err(),
        Some(SharingError::Unsealable { index: index(1) })
    );
    let scalar = scene.shares[0].to_bytes();
    assert!(!stored.windows(8).any(|window| window == &scalar[1..9]));
}

#[test]
fn decoding_is_strict() {
    let scene = Scene::majority(10, 5, 0);
    let good = scene.shares[0].to_bytes();
    let order = oracle::order().to_bytes_le();
    let cases: [(&str, Vec<u8>); 6] = [
        ("index 0", [&[0], &good[1..]].concat()),
        ("zero", [[1].as_slice(), &[0; 32]].concat()),
        ("the order", [[1].as_slice(), &order].concat()),
        ("all ones", vec![0xff; 33]),
        ("short", good[..32].to_vec()),
        ("long", [good.as_slice(), &[0]].concat()),
    ];
    for (name, bytes) in cases {
        assert_eq!(
            Share::from_bytes(&bytes).err(),
            Some(SharingError::ShareEncoding),
            "{name}"
        );
    }
    for secret in [[0; 32], [0xff; 32], order.try_into().expect("32 bytes")] {
        let secret = Secret32::new(secret);
        assert_eq!(TierKey::from_secret(&secret).err(), Some(SharingError::Key));
        assert_eq!(
            SessionSecret::from_secret(&secret).err(),
            Some(SessionError::Secret)
        );
    }
    let key = TierKey::from_secret(&scene.key.to_secret()).expect("stored");
    assert_eq!(key.public(), scene.key.public());
    for bad in [[0; 32], [0xff; 32]] {
        assert!(wire::decode::<TierPublicKey>(&wire::encode(&PointBytes(bad))).is_err());
    }
}

#[test]
fn commitments_are_decoded_strictly_and_checked_against_the_threshold() {
    let scene = Scene::majority(11, 5, 0);
    let good = scene.commitments.as_points().to_vec();
    let frame = wire::encode(&scene.commitments);
    assert_eq!(
        wire::decode::<Commitments>(&frame).as_ref(),
        Ok(&scene.commitments)
    );
    assert_eq!(frame.len(), 1 + 2 + 3 * 32);
    for position in 0..good.len() {
        for bytes in bad_points() {
            let fault = bytes.decode().expect_err("a bad encoding");
            let mut bad = good.clone();
            bad[position] = bytes;
            let raw: Vec<u8> = bad.iter().flat_map(|p| p.0).collect();
            let frame = wire::encode(&serde_bytes::ByteBuf::from(raw));
            assert!(wire::decode::<Commitments>(&frame).is_err());
            assert_eq!(
                Commitments::from_points(bad).err(),
                Some(SharingError::Commitment { position, fault })
            );
        }
    }
    for found in [0, 1, KIN_MAX + 1] {
        let count = vec![PointBytes::from(&BASE); found];
        assert_eq!(
            Commitments::from_points(count).err(),
            Some(SharingError::CommitmentCount { found })
        );
        let frame = wire::encode(&serde_bytes::ByteBuf::from(vec![1; 32 * found]));
        assert!(wire::decode::<Commitments>(&frame).is_err());
    }
    let ragged = wire::encode(&serde_bytes::ByteBuf::from(vec![1; 65]));
    assert!(wire::decode::<Commitments>(&ragged).is_err());
    assert_eq!(scene.commitments.check(scene.threshold), Ok(()));
    let higher = Threshold::new(4, 5).expect("4 of 5");
    let found = 3;
    assert_eq!(
        scene.commitments.check(higher),
        Err(SharingError::CommitmentCount { found })
    );
    assert_eq!(*scene.commitments.public_key(), scene.key.public());
    for share in &scene.shares {
        let expected = Point::mul_base(&scalar_of(share));
        assert_eq!(scene.commitments.share_key(share.index()), expected);
    }
}

#[test]
fn secrets_print_as_redacted() {
    let scene = Scene::majority(12, 3, 1);
    let capsule = scene.capsules().remove(0);
    let capsule_key = capsule_key_direct(&scene.key, &capsule).expect("own key");
    let texts = [
        format!("{:?}", scene.key),
        format!("{:?}", scene.shares),
        format!("{:?}", scene.secret),
        format!("{capsule_key:?}"),
    ];
    let secrets = [
        scene.key.to_secret(),
        scene.secret.to_secret(),
        Secret32::new(scalar_of(&scene.shares[0]).to_bytes()),
    ];
    for text in texts {
        assert!(text.contains("<redacted>"), "{text}");
        for secret in &secrets {
            let hex = kithkin_protocol::hex(&secret.expose()[..4]);
            let list = format!("{:?}", &secret.expose()[..4]);
            let list = list.trim_matches(['[', ']']).to_owned();
            assert!(!text.contains(&hex) && !text.contains(&list), "{text}");
        }
    }
}

/// That these types wipe themselves is part of their interface; forgetting it would not compile.
#[test]
fn secrets_are_wiped_on_drop() {
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<TierKey>();
    wiped::<Share>();
    wiped::<SessionSecret>();
    wiped::<kithkin_protocol::record::CapsuleKey>();
    wiped::<Secret32>();
}

/// Indices `1..=64`, all different, in any order, as many as said.
fn indices(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::subsequence((1..=64u8).collect::<Vec<_>>(), count).prop_shuffle()
}

static COMMITMENTS: LazyLock<Commitments> = LazyLock::new(|| Scene::majority(12, 3, 0).commitments);

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn coefficients_agree_with_the_oracle(places in indices(1..=33)) {
        let shares: Vec<ShareIndex> = places.iter().map(|&i| index(i)).collect();
        let wide: Vec<u64> = places.iter().map(|&i| u64::from(i)).collect();
        let lambdas = lagrange_at_zero(&shares).expect("all different");
        for (lambda, &i) in lambdas.iter().zip(&wide) {
            prop_assert_eq!(number(lambda), oracle::coefficient(&wide, i, 0));
        }
    }

    /// Any threshold-many shares determine, by the oracle's arithmetic, the key and every other share.
    #[test]
    fn dealing_agrees_with_the_oracle(seed: u8, kin in 3usize..=20, more in 0usize..=20, skip: u64) {
        let needed = (majority(kin) + more).min(kin);
        let scene = Scene::new(seed, needed, kin, 0);
        let start = (skip % kin as u64) as usize;
        let chosen: Vec<Share> =
            (0..needed).map(|i| copy(&scene.shares[(start + i) % kin])).collect();
        let known = points(&chosen);
        prop_assert_eq!(oracle::interpolate(&known, 0), secret_number(&scene.key));
        for share in &scene.shares {
            let at = u64::from(share.index().get());
            prop_assert_eq!(oracle::interpolate(&known, at), number(&scalar_of(share)));
            prop_assert_eq!(share.verify(&scene.commitments), Ok(()));
        }
        let rebuilt = reconstruct(&chosen, &scene.commitments).expect("enough");
        prop_assert_eq!(rebuilt.key.to_secret(), scene.key.to_secret());
    }

    /// Whichever shares are tampered with: exactly those are named, and the key comes out while enough are left.
    #[test]
    fn tampered_shares_name_the_culprits(seed: u8, kin in 3usize..=12, mask: u16) {
        let scene = Scene::majority(seed, kin, 0);
        let is_bad = |i: usize| mask & (1 << i) != 0;
        let shares: Vec<Share> = scene.shares.iter().enumerate()
            .map(|(i, share)| if is_bad(i) { tampered(share) } else { copy(share) })
            .collect();
        let expected: Vec<SharingError> = (0..kin).filter(|&i| is_bad(i))
            .map(|i| SharingError::WrongShare { index: scene.shares[i].index() })
            .collect();
        match reconstruct(&shares, &scene.commitments) {
            Ok(rebuilt) => {
                prop_assert!(kin - expected.len() >= majority(kin));
                prop_assert_eq!(rebuilt.refused, expected);
                prop_assert_eq!(rebuilt.key.to_secret(), scene.key.to_secret());
            }
            Err(error) => {
                let good = kin - expected.len();
                prop_assert!(good < majority(kin));
                let needed = majority(kin);
                prop_assert_eq!(error, ReconstructError::TooFew { good, needed, refused: expected });
            }
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Share::from_bytes(&bytes);
        let _ = wire::decode::<Commitments>(&bytes);
        let _ = wire::decode::<PartialOpening>(&bytes);
        let key = Secret32::new([1; 32]);
        let _ = load_share(&bytes, &key, index(1), &context(), &COMMITMENTS);
    }
}
