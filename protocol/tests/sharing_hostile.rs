//! What somebody hostile sends to those who open (docs/spec/opening.md, "Opening in an emergency"): other encodings,
//! other people's capsules, points without proof, the same thing twice. Each is refused, whatever its place.

mod sharing_support;

use kithkin_protocol::crypto::group::{BASE, GroupError, Point, PointBytes, Scalar, ScalarBytes};
use kithkin_protocol::crypto::hash;
use kithkin_protocol::ids::{ChainId, PatientId};
use kithkin_protocol::record::{Capsule, CapsuleError, SealContext};
use kithkin_protocol::sharing::*;
use kithkin_protocol::units::{Epoch, ShareIndex, Tier};
use kithkin_protocol::wire;
use proptest::prelude::*;
use sharing_support::*;

/// The list has to be one of bad encodings, or the tests below show nothing.
#[test]
fn the_bad_encodings_are_bad() {
    for point in bad_points() {
        assert!(point.decode().is_err(), "{point:#}");
    }
    for scalar in bad_scalars() {
        assert_eq!(scalar.decode(), Err(GroupError::Scalar));
    }
}

#[test]
fn no_public_key_or_session_point_has_a_second_encoding() {
    let scene = Scene::majority(1, 9, 1);
    let capsules = scene.capsules();
    for bytes in bad_points() {
        let fault = bytes.decode().expect_err("a bad encoding");
        assert_eq!(TierPublicKey::try_from(bytes), Err(fault));
        assert!(wire::decode::<TierPublicKey>(&wire::encode(&bytes)).is_err());
        let session = SessionPublic {
            point: bytes,
            ..scene.context.session
        };
        assert_eq!(
            session.verify(&scene.context.request),
            Err(SessionError::Encoding)
        );
        let context = OpeningContext {
            session,
            ..scene.context
        };
        assert_eq!(
            Opening::new(&context, &scene.commitments, &capsules).err(),
            Some(OpeningError::Session(SessionError::Encoding))
        );
    }
}

/// Adding the group order to a response gives the same number, so only strictness keeps a proof from having two forms.
#[test]
fn no_proof_has_a_second_form() {
    let mut scene = Scene::majority(2, 3, 1);
    let (opening, partials) = (scene.opening(), scene.partials());
    let session = scene.context.session;
    let capsule = scene.records[0].sealed.capsule;
    let twins = |scalar: &ScalarBytes| {
        let twin = same_but_not_canonical(scalar);
        assert_eq!(twin.decode(), Err(GroupError::Scalar));
        bad_scalars().chain([twin]).collect::<Vec<_>>()
    };
    for partial in &partials {
        for response in twins(&partial.proof.response) {
            let mut bad = partial.clone();
            bad.proof.response = response;
            let index = partial.index;
            let fault = PartialFault::Encoding(GroupError::Scalar);
            assert_eq!(
                verify_partial(&opening, &bad),
                Err(BadPartial { index, fault })
            );
        }
        // The points are compared as they are encoded.
        for point in bad_points() {
            for on_base in [true, false] {
                let mut bad = partial.clone();
                *(if on_base {
                    &mut bad.proof.on_base
                } else {
                    &mut bad.proof.on_m
                }) = point;
                let (index, fault) = (partial.index, PartialFault::Proof);
                assert_eq!(
                    verify_partial(&opening, &bad),
                    Err(BadPartial { index, fault })
                );
            }
        }
    }
    for (c, r) in both(
        twins(&session.proof.challenge),
        twins(&session.proof.response),
    ) {
        let mut bad = session;
        bad.proof.challenge = c.unwrap_or(session.proof.challenge);
        bad.proof.response = r.unwrap_or(session.proof.response);
        assert_eq!(
            bad.verify(&scene.context.request),
            Err(SessionError::Encoding)
        );
    }
    for z in twins(&capsule.z) {
        let bad = Capsule { z, ..capsule };
        let fault = CapsuleError::Encoding(GroupError::Scalar);
        assert_eq!(bad.verify(&scene.key.public()), Err(fault));
    }
}

type OneOfTwo = (Option<ScalarBytes>, Option<ScalarBytes>);

/// One of the two replaced, by each of its candidates.
fn both(first: Vec<ScalarBytes>, second: Vec<ScalarBytes>) -> Vec<OneOfTwo> {
    let first = first.into_iter().map(|scalar| (Some(scalar), None));
    first
        .chain(second.into_iter().map(|scalar| (None, Some(scalar))))
        .collect()
}

#[test]
fn a_bad_point_at_any_place_of_a_partial_is_named() {
    let mut scene = Scene::majority(3, 5, 4);
    let (opening, partials) = (scene.opening(), scene.partials());
    for (position, partial) in partials.iter().enumerate() {
        for place in 0..4 {
            for bytes in bad_points() {
                let mut given = partials.clone();
                given[position].points[place] = bytes;
                let index = partial.index;
                let fault = PartialFault::Encoding(bytes.decode().expect_err("a bad encoding"));
                let refused = vec![BadPartial { index, fault }];
                let combined = combine(&opening, &scene.secret, &given).expect("four are good");
                assert_eq!(combined.refused, refused);
                assert_eq!(combined.keys.len(), 4);
            }
        }
    }
}

/// The proof is one for all points, and the first one has no coefficient of its own: a good encoding of another point is
/// seen at every place, and so are two that cancel each other in a plain sum.
#[test]
fn another_point_at_any_place_of_a_partial_is_named() {
    for capsules in [1, 2, 5] {
        let mut scene = Scene::majority(4, 3, capsules);
        let (opening, partials) = (scene.opening(), scene.partials());
        let places = partials[0].points.len();
        let moved = |point: &PointBytes, by: Point| {
            PointBytes::from(&(point.decode().expect("a good partial") + by))
        };
        let refused = |bad: &PartialOpening| {
            let (index, fault) = (bad.index, PartialFault::Proof);
            assert_eq!(
                verify_partial(&opening, bad),
                Err(BadPartial { index, fault })
            );
        };
        for place in 0..places {
            let mut bad = partials[0].clone();
            bad.points[place] = moved(&bad.points[place], BASE);
            refused(&bad);
            for other in (0..places).filter(|other| *other != place) {
                let mut pair = bad.clone();
                pair.points[other] = moved(&pair.points[other], -BASE);
                refused(&pair);
            }
        }
    }
}

#[test]
fn checked_partials_give_the_same_keys() {
    let mut scene = Scene::majority(83, 5, 2);
    let (opening, partials) = (scene.opening(), scene.partials());
    let checked = all_checked(&opening, &partials);
    let all: Vec<&CheckedPartial> = checked.iter().collect();
    let combined = combine(&opening, &scene.secret, &partials).expect("enough");
    for subset in subsets(5, 3) {
        let few: Vec<&CheckedPartial> = pick(&all, &subset);
        let keys = combine_checked(&opening, &scene.secret, &few).expect("enough");
        assert_eq!(keys, combined.keys);
    }
    // A bad one never becomes a checked one.
    let mut bad = partials[0].clone();
    bad.points.swap(0, 1);
    let (index, fault) = (bad.index, PartialFault::Proof);
    assert_eq!(
        check_partial(&opening, &bad).map(|checked| checked.index()),
        Err(BadPartial { index, fault })
    );
}

#[test]
fn checked_partials_serve_no_other_opening() {
    let mut scene = Scene::majority(84, 5, 2);
    let (opening, partials) = (scene.opening(), scene.partials());
    let checked = all_checked(&opening, &partials);
    let all: Vec<&CheckedPartial> = checked.iter().collect();
    let index = partials[0].index;
    let refused = |opening: &Opening, secret: &SessionSecret, given: &[&CheckedPartial]| {
        combine_checked(opening, secret, given).expect_err("refused")
    };
    assert_eq!(
        refused(&opening, &scene.secret, &all[..2]),
        CombineError::TooFew {
            good: 2,
            needed: 3,
            refused: vec![]
        }
    );
    assert_eq!(
        refused(&opening, &scene.secret, &[all[0], all[1], all[0]]),
        CombineError::Sharing(SharingError::DuplicateIndex { index })
    );
    assert_eq!(
        refused(&opening, &scene.secret, &vec![all[0]; KIN_MAX + 1]),
        CombineError::TooMany { found: KIN_MAX + 1 }
    );
    let stranger = SessionSecret::random(&mut scene.rng);
    assert_eq!(refused(&opening, &stranger, &all), CombineError::Session);
    let capsules = scene.capsules();
    let turned = [capsules[1].clone(), capsules[0].clone()];
    let later = OpeningContext {
        epoch: Epoch(2),
        ..scene.context
    };
    for (context, capsules) in [
        (&scene.context, &capsules[..1]),
        (&scene.context, &turned[..]),
        (&later, &capsules[..]),
    ] {
        let other = Opening::new(context, &scene.commitments, capsules).expect("an opening");
        assert_eq!(
            refused(&other, &scene.secret, &all),
            CombineError::OtherOpening { index }
        );
    }
}

fn all_checked(opening: &Opening, partials: &[PartialOpening]) -> Vec<CheckedPartial> {
    let checked = partials
        .iter()
        .map(|partial| check_partial(opening, partial).expect("good"));
    checked.collect()
}

fn challenge(capsule: &Capsule) -> Scalar {
    Scalar::from(u128::from_le_bytes(capsule.e.0))
}

/// Two capsules, and every mixture of their fields: none passes for either record.
#[test]
fn no_mixture_of_two_capsules_is_a_capsule() {
    let scene = Scene::majority(4, 3, 2);
    let public = scene.key.public();
    let [mine, theirs] = [0, 1].map(|i: usize| &scene.records[i]);
    for mixture in 1u8..63 {
        let take = |bit: u8| mixture & (1 << bit) != 0;
        let (a, b) = (mine.sealed.capsule, theirs.sealed.capsule);
        let capsule = Capsule {
            label: if take(0) { b.label } else { a.label },
            wrapped: if take(1) { b.wrapped } else { a.wrapped },
            u: if take(2) { b.u } else { a.u },
            u_bar: if take(3) { b.u_bar } else { a.u_bar },
            e: if take(4) { b.e } else { a.e },
            z: if take(5) { b.z } else { a.z },
        };
        assert_eq!(capsule.verify(&public), Err(CapsuleError::Proof));
        for record in [mine, theirs] {
            let mut entry = record.entry.clone();
            let checked = capsule.check(&record.context, &entry, &public);
            assert_eq!(checked.err(), Some(CapsuleError::Entry));
            // And if the manifest names the mixture:
            entry.capsule = capsule.digest();
            let own_label = record.sealed.capsule.label == capsule.label;
            let error = if own_label {
                CapsuleError::Proof
            } else {
                CapsuleError::Label
            };
            let checked = capsule.check(&record.context, &entry, &public);
            assert_eq!(checked.err(), Some(error));
        }
    }
}

/// `E = U2 - U` for every pair of capsules, also negated, and `E = -U`: without the logarithm there is no proof, and
/// proofs of other points or requests do not fit.
#[test]
fn a_point_made_of_capsules_is_refused_for_every_pair() {
    let mut scene = Scene::majority(5, 3, 4);
    let capsules = scene.capsules();
    let good = scene.context.session;
    let mut tricks: Vec<Point> = capsules.iter().map(|c| -*c.point()).collect();
    for (i, first) in capsules.iter().enumerate() {
        let others = capsules.iter().enumerate().filter(|(j, _)| *j != i);
        tricks.extend(others.map(|(_, second)| second.point() - first.point()));
        tricks.push(*first.point());
    }
    assert_eq!(tricks.len(), 4 + 4 * 3 + 4);
    for trick in tricks {
        let point = PointBytes::from(&trick);
        // Proofs at hand: that of one's own point, for this request and for one that names the trick; the capsules'.
        let renamed = hash("test/request", &[point.as_ref()]);
        let mut proofs = vec![
            good.proof,
            scene.secret.prove(&renamed, &mut scene.rng).proof,
        ];
        proofs.extend(scene.records.iter().map(|record| SchnorrProof {
            challenge: ScalarBytes::from(&challenge(&record.sealed.capsule)),
            response: record.sealed.capsule.z,
        }));
        for proof in proofs {
            for request in [scene.context.request, renamed] {
                let context = OpeningContext {
                    request,
                    session: SessionPublic { point, proof },
                    ..scene.context
                };
                let opening = Opening::new(&context, &scene.commitments, &capsules);
                let refused = OpeningError::Session(SessionError::Proof);
                assert_eq!(opening.err(), Some(refused));
            }
        }
    }
}

/// The worst case: the same key, shares and session serve another tier, patient and chain. What was made for one of them
/// is refused in the others.
#[test]
fn a_partial_made_for_one_tier_patient_or_chain_is_refused_in_another() {
    let mut scene = Scene::majority(6, 5, 1);
    let partials = scene.partials();
    let home = (ChainId([1; 32]), PatientId([2; 32]), Tier::Chart);
    for (chain, patient, tier) in [
        (home.0, home.1, Tier::Summary),
        (home.0, home.1, Tier::Sensitive),
        (home.0, PatientId([9; 32]), home.2),
        (ChainId([9; 32]), home.1, home.2),
    ] {
        let record = &scene.records[0];
        let context = SealContext {
            chain,
            patient,
            tier,
            ..record.context
        };
        let public = scene.key.public();
        let sealed =
            kithkin_protocol::record::seal(&record.plaintext, &context, &public, &mut scene.rng)
                .expect("sealed");
        let entry = sealed.entry(kithkin_protocol::crypto::Digest::ZERO);
        let capsule = sealed.capsule.check(&context, &entry, &public);
        let context = OpeningContext {
            chain,
            patient,
            tier,
            ..scene.context
        };
        let opening = Opening::new(&context, &scene.commitments, &[capsule.expect("good")]);
        let opening = opening.expect("an opening");
        for (share, partial) in scene.shares.iter().zip(&partials) {
            let index = partial.index;
            let fault = PartialFault::Proof;
            assert_eq!(
                verify_partial(&opening, partial),
                Err(BadPartial { index, fault })
            );
            let held = held(share, &scene.commitments);
            let native = partial_open(&held, &opening, &mut scene.rng).expect("a good share");
            assert_eq!(verify_partial(&opening, &native), Ok(()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whichever partial openings are bad: exactly those are named, and records open while enough are left.
    #[test]
    fn bad_partials_name_the_culprits(seed: u8, kin in 3usize..=9, mask: u16, way in 0usize..4) {
        let mut scene = Scene::majority(seed, kin, 2);
        let (opening, good) = (scene.opening(), scene.partials());
        let is_bad = |i: usize| mask & (1 << i) != 0;
        let given: Vec<PartialOpening> = good.iter().enumerate().map(|(i, partial)| {
            let mut partial = partial.clone();
            let other = &good[(i + 1) % kin];
            match way {
                _ if !is_bad(i) => {}
                0 => partial.points.clone_from(&other.points),
                1 => partial.points.swap(0, 1),
                2 => partial.proof = other.proof,
                _ => partial.proof.response = ScalarBytes([0; 32]),
            }
            partial
        }).collect();
        let fault = PartialFault::Proof;
        let refused: Vec<BadPartial> = (0..kin).filter(|&i| is_bad(i))
            .map(|i| BadPartial { index: good[i].index, fault })
            .collect();
        let (left, needed) = (kin - refused.len(), majority(kin));
        match combine(&opening, &scene.secret, &given) {
            Ok(combined) => {
                prop_assert!(left >= needed);
                prop_assert_eq!(combined.refused, refused);
                for (key, capsule) in combined.keys.iter().zip(&scene.capsules()) {
                    let direct = capsule_key_direct(&scene.key, capsule);
                    prop_assert_eq!(Ok(key), direct.as_ref());
                }
            }
            Err(error) => {
                prop_assert!(left < needed);
                prop_assert_eq!(error, CombineError::TooFew { good: left, needed, refused });
            }
        }
    }

    /// However often and in whatever order things are sent: each share counts once, each repetition is told.
    #[test]
    fn repetitions_never_count(
        seed: u8,
        (kin, sent) in (3usize..=9).prop_flat_map(|kin| (Just(kin), proptest::collection::vec(0..kin, 0..20))),
    ) {
        let mut scene = Scene::majority(seed, kin, 1);
        let (opening, partials) = (scene.opening(), scene.partials());
        let mut seen: Vec<usize> = Vec::new();
        let mut repeated: Vec<ShareIndex> = Vec::new();
        for &i in &sent {
            if seen.contains(&i) {
                repeated.push(partials[i].index);
            } else {
                seen.push(i);
            }
        }
        let (good, needed) = (seen.len(), majority(kin));
        let duplicates: Vec<BadPartial> = repeated.iter()
            .map(|&index| BadPartial { index, fault: PartialFault::Duplicate })
            .collect();
        let twice: Vec<SharingError> = repeated.iter()
            .map(|&index| SharingError::DuplicateIndex { index })
            .collect();
        let opened = combine(&opening, &scene.secret, &pick(&partials, &sent));
        let rebuilt = reconstruct(&chosen(&scene.shares, &sent), &scene.commitments);
        if good >= needed {
            prop_assert_eq!(opened.expect("enough").refused, duplicates);
            let rebuilt = rebuilt.expect("enough");
            prop_assert_eq!(rebuilt.refused, twice);
            prop_assert_eq!(rebuilt.key.to_secret(), scene.key.to_secret());
        } else {
            let refused = duplicates;
            prop_assert_eq!(opened.expect_err("too few"), CombineError::TooFew { good, needed, refused });
            let refused = twice;
            prop_assert_eq!(rebuilt.expect_err("too few"), ReconstructError::TooFew { good, needed, refused });
        }
    }

    /// A partial opening serves the case, epoch and scope it was made for, and no other that differs in anything.
    #[test]
    fn a_partial_serves_nothing_else(seed: u8, case: [u8; 32], epoch in 2u32.., kept in 1u8..7) {
        let mut scene = Scene::majority(seed, 3, 3);
        let partials = scene.partials();
        let rho = Rho(case);
        let other_case = OpeningContext { rho, ..scene.context };
        let other_epoch = OpeningContext { epoch: Epoch(epoch), ..scene.context };
        let capsules = scene.capsules();
        // Scopes are the proper subsets of the three capsules.
        let positions: Vec<usize> = (0..3).filter(|i| kept & (1 << i) != 0).collect();
        let some = pick(&capsules, &positions);
        for partial in &partials {
            for context in [&other_case, &other_epoch] {
                let opening = Opening::new(context, &scene.commitments, &capsules).expect("good");
                let index = partial.index;
                let fault = PartialFault::Proof;
                prop_assert_eq!(verify_partial(&opening, partial), Err(BadPartial { index, fault }));
            }
            let opening = Opening::new(&scene.context, &scene.commitments, &some).expect("good");
            let (found, expected) = (3, some.len());
            let index = partial.index;
            let fault = PartialFault::PointCount { found, expected };
            prop_assert_eq!(verify_partial(&opening, partial), Err(BadPartial { index, fault }));
            // Nor do the fitting points with the proof for all three.
            let cut = PartialOpening { points: pick(&partial.points, &positions), ..partial.clone() };
            let fault = PartialFault::Proof;
            prop_assert_eq!(verify_partial(&opening, &cut), Err(BadPartial { index, fault }));
        }
    }
}
