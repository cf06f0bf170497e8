//! The readiness drill (docs/spec/opening.md, "Readiness drill"): what an answer shows, and what it does not serve for.

mod sharing_support;

use kithkin_protocol::crypto::Digest;
use kithkin_protocol::crypto::group::{PointBytes, hash_to_group};
use kithkin_protocol::ids::{ChainId, PatientId};
use kithkin_protocol::sharing::*;
use kithkin_protocol::units::{Epoch, Tier};
use kithkin_protocol::wire;
use proptest::prelude::*;
use sharing_support::*;
use std::collections::BTreeSet;

fn drill() -> DrillContext {
    DrillContext {
        chain: ChainId([1; 32]),
        patient: PatientId([2; 32]),
        tier: Tier::Chart,
        epoch: Epoch(1),
        seed: Digest([3; 32]),
    }
}

fn answers(scene: &mut Scene, drill: &DrillContext) -> Vec<DrillAnswer> {
    let answer = |share| drill.answer(share, &scene.commitments, &mut scene.rng);
    let all: Result<Vec<_>, _> = scene.shares.iter().map(answer).collect();
    all.expect("good shares")
}

fn refused(i: u8, fault: AnswerFault) -> Result<(), BadAnswer> {
    let index = index(i);
    Err(BadAnswer { index, fault })
}

#[test]
fn every_kin_proves_its_share_alive() {
    for kin in 3..=9 {
        let mut scene = Scene::majority(kin as u8, kin, 0);
        for (answer, share) in answers(&mut scene, &drill()).iter().zip(&scene.shares) {
            assert_eq!(drill().verify(answer, &scene.commitments), Ok(()));
            assert_eq!(answer.index, share.index());
            let frame = wire::encode(answer);
            assert_eq!(wire::decode::<DrillAnswer>(&frame).as_ref(), Ok(answer));
        }
    }
}

/// The point is what the specification says: seed, patient, tier and epoch, hashed to the group.
#[test]
fn the_point_is_hashed_from_the_drill() {
    let mut scene = Scene::majority(20, 3, 0);
    let point = hash_to_group(
        "kithkin/drill/1",
        &[&[3; 32], &[2; 32], b"chart", &1u64.to_be_bytes()],
    );
    for (answer, share) in answers(&mut scene, &drill()).iter().zip(&scene.shares) {
        let expected = PointBytes::from(&(point * scalar_of(share)));
        assert_eq!(answer.point, expected);
    }
}

/// Of a drill of another block, patient, tier, epoch or chain not even the point serves; the chain stands in the proof.
#[test]
fn an_answer_serves_one_drill_only() {
    let mut scene = Scene::majority(21, 5, 0);
    let good = answers(&mut scene, &drill());
    for (name, other) in [
        (
            "seed",
            DrillContext {
                seed: Digest([4; 32]),
                ..drill()
            },
        ),
        (
            "patient",
            DrillContext {
                patient: PatientId([9; 32]),
                ..drill()
            },
        ),
        (
            "tier",
            DrillContext {
                tier: Tier::Summary,
                ..drill()
            },
        ),
        (
            "epoch",
            DrillContext {
                epoch: Epoch(2),
                ..drill()
            },
        ),
        (
            "chain",
            DrillContext {
                chain: ChainId([9; 32]),
                ..drill()
            },
        ),
    ] {
        let elsewhere = answers(&mut scene, &other);
        for (answer, there) in good.iter().zip(&elsewhere) {
            let i = answer.index.get();
            let verdict = other.verify(answer, &scene.commitments);
            assert_eq!(verdict, refused(i, AnswerFault::Proof), "{name}");
            assert_eq!(other.verify(there, &scene.commitments), Ok(()), "{name}");
            assert_eq!(answer.point == there.point, name == "chain");
            // Nor do point and proof of two drills go together.
            let mixed = DrillAnswer {
                point: there.point,
                ..*answer
            };
            assert_eq!(
                other.verify(&mixed, &scene.commitments),
                refused(i, AnswerFault::Proof),
                "{name}"
            );
        }
    }
}

#[test]
fn a_bad_answer_at_any_position_is_named_and_the_rest_count() {
    for kin in 3..=9 {
        let mut scene = Scene::majority(30 + kin as u8, kin, 0);
        let good = answers(&mut scene, &drill());
        for culprit in 0..kin {
            let other = good[(culprit + 1) % kin];
            let mut bad = Vec::new();
            let mut add = |change: &dyn Fn(&mut DrillAnswer)| {
                let mut answer = good[culprit];
                change(&mut answer);
                bad.push(answer);
            };
            add(&|a| a.point = other.point);
            add(&|a| a.proof = other.proof);
            add(&|a| a.index = index(kin as u8 + 1));
            // Another kin's answer under one's own index.
            add(&|a| (a.point, a.proof) = (other.point, other.proof));
            add(&|a| a.proof.on_base = other.proof.on_base);
            add(&|a| a.proof.on_m = other.proof.on_m);
            add(&|a| a.proof.response = other.proof.response);
            for answer in bad {
                let mut given = good.clone();
                given[culprit] = answer;
                for (position, given) in given.iter().enumerate() {
                    let verdict = drill().verify(given, &scene.commitments);
                    if position == culprit {
                        let named = refused(given.index.get(), AnswerFault::Proof);
                        assert_eq!(verdict, named);
                    } else {
                        assert_eq!(verdict, Ok(()));
                    }
                }
            }
        }
    }
}

#[test]
fn a_wrong_or_outdated_share_cannot_answer() {
    let mut scene = Scene::majority(41, 5, 0);
    for share in &scene.shares {
        let index = share.index();
        let wrong = SharingError::WrongShare { index };
        assert_eq!(
            drill().answer(&tampered(share), &scene.commitments, &mut scene.rng),
            Err(wrong)
        );
    }
    let before = answers(&mut scene, &drill());
    let old_shares = chosen(&scene.shares, &[0, 1, 2, 3, 4]);
    let mut after = scene.refreshed(&[1, 3, 5]);
    for (share, answer) in old_shares.iter().zip(&before) {
        let index = share.index();
        let wrong = SharingError::WrongShare { index };
        let again = drill().answer(share, &after.commitments, &mut after.rng);
        assert_eq!(again, Err(wrong));
        // Even for the drill of the same seed and epoch.
        assert_eq!(
            drill().verify(answer, &after.commitments),
            refused(index.get(), AnswerFault::Proof)
        );
    }
    for answer in answers(&mut after, &drill()) {
        assert_eq!(drill().verify(&answer, &after.commitments), Ok(()));
    }
}

/// Should randomness repeat, the nonce does so with the same drill only: two proofs with one nonce would give the share away.
#[test]
fn repeated_randomness_repeats_no_nonce() {
    let scene = Scene::majority(25, 5, 0);
    let changes: [fn(&mut DrillContext); 6] = [
        |_| {},
        |drill| drill.seed = Digest([4; 32]),
        |drill| drill.epoch = Epoch(2),
        |drill| drill.tier = Tier::Summary,
        |drill| drill.patient = PatientId([4; 32]),
        |drill| drill.chain = ChainId([4; 32]),
    ];
    let mut nonces = BTreeSet::new();
    for change in changes {
        let mut drill = drill();
        change(&mut drill);
        for share in &scene.shares {
            let answer = || drill.answer(share, &scene.commitments, &mut scene.rng.clone());
            assert_eq!(answer(), answer());
            nonces.insert(answer().expect("a good share").proof.on_base);
        }
    }
    assert_eq!(nonces.len(), changes.len() * scene.shares.len());
}

#[test]
fn answers_are_decoded_strictly() {
    let mut scene = Scene::majority(42, 3, 0);
    let good = answers(&mut scene, &drill()).remove(0);
    for point in bad_points() {
        let fault = point.decode().expect_err("a bad encoding").into();
        let answer = DrillAnswer { point, ..good };
        let verdict = drill().verify(&answer, &scene.commitments);
        assert_eq!(verdict, refused(1, fault));
    }
    let mut scalars: Vec<_> = bad_scalars().collect();
    scalars.push(same_but_not_canonical(&good.proof.response));
    for scalar in scalars {
        let fault = AnswerFault::Encoding(scalar.decode().expect_err("a bad encoding"));
        let mut answer = good;
        answer.proof.response = scalar;
        let verdict = drill().verify(&answer, &scene.commitments);
        assert_eq!(verdict, refused(1, fault));
    }
    let frame = wire::encode(&good);
    for (byte, changed) in bit_flips(&frame) {
        if let Ok(answer) = wire::decode::<DrillAnswer>(&changed) {
            let verdict = drill().verify(&answer, &scene.commitments);
            assert!(verdict.is_err(), "byte {byte}");
        }
    }
    let zero = wire::encode(&(0u8, good.point, good.proof));
    assert!(wire::decode::<DrillAnswer>(&zero).is_err());
}

/// An answer is no partial opening, and a partial opening no answer, though both are a share times a point with a proof.
#[test]
fn drills_and_openings_do_not_mix() {
    let mut scene = Scene::majority(43, 3, 1);
    let (opening, partials) = (scene.opening(), scene.partials());
    for (answer, partial) in answers(&mut scene, &drill()).iter().zip(&partials) {
        let index = answer.index;
        let as_partial = PartialOpening {
            index,
            points: vec![answer.point],
            proof: answer.proof,
        };
        let fault = PartialFault::Proof;
        assert_eq!(
            verify_partial(&opening, &as_partial),
            Err(BadPartial { index, fault })
        );
        let as_answer = DrillAnswer {
            index,
            point: partial.points[0],
            proof: partial.proof,
        };
        assert_eq!(
            drill().verify(&as_answer, &scene.commitments),
            refused(index.get(), AnswerFault::Proof)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_drill_good_answers_hold_and_others_do_not(
        seed: [u8; 32], other: [u8; 32], epoch: u32, kin in 3usize..=12, tier in 0usize..3,
    ) {
        let mut scene = Scene::majority(seed[0], kin, 0);
        let drill = DrillContext { seed: Digest(seed), epoch: Epoch(epoch), tier: Tier::ALL[tier], ..drill() };
        let elsewhere = DrillContext { seed: Digest(other), ..drill };
        for answer in answers(&mut scene, &drill) {
            prop_assert_eq!(drill.verify(&answer, &scene.commitments), Ok(()));
            let verdict = elsewhere.verify(&answer, &scene.commitments);
            prop_assert_eq!(verdict.is_ok(), seed == other);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = wire::decode::<DrillAnswer>(&bytes);
    }
}
