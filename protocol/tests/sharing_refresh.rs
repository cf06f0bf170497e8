//! Refreshing shares (docs/spec/opening.md, "Refreshing the shares"): who can open before and after, who is named, what
//! a complaint shows.

mod sharing_support;

use kithkin_protocol::crypto::OpeningKey;
use kithkin_protocol::crypto::group::{GroupError, Point, PointBytes, Scalar, ScalarBytes};
use kithkin_protocol::sharing::*;
use kithkin_protocol::units::ShareIndex;
use kithkin_protocol::wire;
use num_bigint::BigUint;
use proptest::prelude::*;
use sharing_support::dealings::*;
use sharing_support::oracle::{self, dealt_number, number, points, secret_number};
use sharing_support::*;

fn all(kin: usize) -> Vec<u8> {
    (1..=kin as u8).collect()
}

#[test]
fn after_a_refresh_threshold_many_open_and_rebuild_and_no_fewer() {
    for kin in 3..=9 {
        let before = Scene::majority(kin as u8, kin, 1);
        let (key, old) = (before.key.public(), before.commitments.clone());
        let shares: Vec<Scalar> = before.shares.iter().map(scalar_of).collect();
        // The last ones deal, as few as may be; the capsules are those sealed before.
        let dealers = all(kin).split_off(kin - majority(kin));
        let mut after = before.refreshed(&dealers);
        assert_eq!(*after.commitments.public_key(), key);
        assert_eq!(after.commitments.as_points()[0], old.as_points()[0]);
        for (new, old) in after.shares.iter().zip(&shares) {
            assert_ne!(scalar_of(new), *old);
        }
        after.assert_exactly_threshold_many_rebuild();
        after.assert_exactly_threshold_many_open();
        // And once more, by everybody.
        after = after.refreshed(&all(kin));
        after.assert_exactly_threshold_many_open();
    }
}

#[test]
fn a_wrong_or_missing_zero_share_at_any_position_is_named_and_the_rest_succeeds() {
    for kin in 3..=9u8 {
        let mut scene = Scene::majority(20 + kin, kin.into(), 0);
        let (threshold, old) = (scene.threshold, scene.commitments.clone());
        let (dealings, good) = zero_dealings(threshold, &all(kin.into()), &mut scene.rng);
        let refresh = Refresh::new(&old, threshold, dealings.clone()).expect("good dealings");
        for dealer in 1..=kin {
            // Another dealing of the same kin gives values that do not belong to this one.
            let (other, strange) = zero_dealings(threshold, &[dealer], &mut scene.rng);
            let others = || good.iter().filter(|s| s.dealer() != index(dealer));
            let missing = copies(&dealings, others());
            let mut wrong = copies(&other, &strange);
            wrong.extend(copies(&dealings, others()));
            let mut rest = dealings.clone();
            rest.remove(usize::from(dealer) - 1);
            let rest = Refresh::new(&old, threshold, rest).expect("enough are left");
            for share in &scene.shares {
                let recipient = share.index().get();
                for (given, fault) in [
                    (&wrong, SubShareFault::Value),
                    (&missing, SubShareFault::Missing),
                ] {
                    let faults = vec![bad(dealer, recipient, fault)];
                    let refused = refresh.renew(share, given).expect_err("one is bad");
                    assert_eq!(refused, RenewalError::SubShares { faults });
                    let renewed = rest.renew(share, given).expect("the rest is good");
                    assert_eq!(renewed.verify(rest.commitments()), Ok(()));
                }
                // Beside the good one a bad one does no harm.
                let mut both = copies(&other, &strange);
                both.extend(copies(&dealings, &good));
                let renewed = refresh.renew(share, &both).expect("good ones are there");
                assert_eq!(renewed.verify(refresh.commitments()), Ok(()));
            }
        }
    }
}

#[test]
fn a_bad_dealing_at_any_position_is_named_and_the_rest_succeeds() {
    for kin in 3..=9u8 {
        let mut scene = Scene::majority(40 + kin, kin.into(), 0);
        let (threshold, old) = (scene.threshold, scene.commitments.clone());
        let (dealings, given) = zero_dealings(threshold, &all(kin.into()), &mut scene.rng);
        let (found, expected) = (threshold.needed() + 1, threshold.needed());
        let higher = Threshold::new(found, kin.into()).expect("at most all");
        for dealer in 1..=kin {
            let (mut other, _) = zero_dealings(higher, &[dealer], &mut scene.rng);
            let mut set = dealings.clone();
            set[usize::from(dealer) - 1] = other.remove(0);
            let fault = DealingFault::Threshold { found, expected };
            let dealer = index(dealer);
            let faults = vec![BadDealing { dealer, fault }];
            assert_eq!(
                Refresh::new(&old, threshold, set.clone()).expect_err("one is bad"),
                RenewalError::Dealings { faults }
            );
            set.remove(dealer.position());
            let refresh = Refresh::new(&old, threshold, set).expect("the rest is good");
            for share in &scene.shares {
                assert!(refresh.renew(share, &given).is_ok());
            }
        }
    }
}

#[test]
fn a_set_of_dealings_is_complete_and_of_different_kin() {
    let mut scene = Scene::majority(60, 5, 0);
    let (threshold, old) = (scene.threshold, scene.commitments.clone());
    let (dealings, given) = zero_dealings(threshold, &[1, 2, 3, 4, 5, 6], &mut scene.rng);
    let set = |positions: &[usize]| Refresh::new(&old, threshold, pick(&dealings, positions)).err();
    assert_eq!(set(&[0, 2, 4]), None);
    let (found, needed) = (2, 3);
    assert_eq!(
        set(&[0, 4]),
        Some(RenewalError::DealingCount { found, needed })
    );
    let dealer = index(3);
    assert_eq!(
        set(&[0, 2, 1, 2]),
        Some(RenewalError::DuplicateDealer { dealer })
    );
    let stranger = RenewalError::NoSuchKin { index: index(6) };
    assert_eq!(set(&[0, 1, 2, 5]), Some(stranger));
    let other = Threshold::new(4, 5).expect("4 of 5");
    assert_eq!(
        Refresh::new(&old, other, dealings.clone()).err(),
        Some(SharingError::CommitmentCount { found: 3 }.into())
    );
    let refresh = Refresh::new(&old, threshold, pick(&dealings, &[4, 0, 2])).expect("good");
    let order: Vec<u8> = refresh.dealings().map(|d| d.dealer().get()).collect();
    assert_eq!(order, [1, 3, 5]);
    // Whoever starts from a wrong share is told so.
    let index = scene.shares[1].index();
    assert_eq!(
        refresh
            .renew(&tampered(&scene.shares[1]), &given)
            .expect_err("a wrong share"),
        SharingError::WrongShare { index }.into()
    );
}

/// A last dealer who knows all other dealings can make a sum vanish. It gains nothing, and nobody else is harmed.
#[test]
fn a_sum_that_vanishes_is_refused() {
    let mut scene = Scene::majority(61, 3, 0);
    let (threshold, old) = (scene.threshold, scene.commitments.clone());
    let (mut dealings, mut given) = zero_dealings(threshold, &[1], &mut scene.rng);
    let point = |bytes: &PointBytes| bytes.decode().expect("a point");
    let sum = point(&old.as_points()[1]) + point(&dealings[0].as_points()[0]);
    let minus = vec![PointBytes::from(&-sum)];
    let (position, fault) = (1, GroupError::Identity);
    let mut set = dealings.clone();
    set.push(ZeroDealing::from_points(index(2), minus).expect("a point"));
    assert_eq!(
        Refresh::new(&old, threshold, set).err(),
        Some(SharingError::Commitment { position, fault }.into())
    );
    // Kin 3 tells dealer 2 its share and zero-share: then dealer 2 can make the new one zero.
    let value = given[2].publish().value.decode().expect("canonical");
    let slope = -(scalar_of(&scene.shares[2]) + value) * Scalar::from(3u8).invert();
    let line = vec![PointBytes::from(&Point::mul_base(&slope))];
    dealings.push(ZeroDealing::from_points(index(2), line).expect("a point"));
    for recipient in 1..=3u8 {
        let value = PublishedShare {
            dealer: index(2),
            recipient: index(recipient),
            value: ScalarBytes::from(&(slope * Scalar::from(recipient))),
        };
        given.push(cleared(&dealings[1], &value));
    }
    let refresh = Refresh::new(&old, threshold, dealings).expect("good dealings");
    assert!(refresh.renew(&scene.shares[0], &given).is_ok());
    assert_eq!(
        refresh.renew(&scene.shares[2], &given).expect_err("zero"),
        RenewalError::ZeroShare { index: index(3) }
    );
}

#[test]
fn a_complaint_clears_the_dealer_or_names_it() {
    for kin in [3, 5, 9] {
        let mut scene = Scene::majority(70 + kin as u8, kin, 0);
        let (dealings, good) = zero_dealings(scene.threshold, &all(kin), &mut scene.rng);
        let (_, wrong) = zero_dealings(scene.threshold, &all(kin), &mut scene.rng);
        assert_complaints_are_judged(&dealings, &good, &wrong);
    }
}

/// The whole way: a dealer seals badly to one kin, which complains; what is published serves it.
#[test]
fn a_kin_that_got_a_bad_envelope_goes_on_with_the_published_value() {
    let mut scene = Scene::majority(75, 5, 0);
    let (threshold, old) = (scene.threshold, scene.commitments.clone());
    let (dealings, mut given) = zero_dealings(threshold, &[1, 2, 4], &mut scene.rng);
    let key = OpeningKey::random(&mut scene.rng);
    let (_, wrong) = zero_dealings(threshold, &[2], &mut scene.rng);
    let sealed = dealings[1]
        .seal(&wrong[2], &context(), &key.sealing_key(), &mut scene.rng)
        .expect("a good key");
    assert_eq!(
        dealings[1]
            .open(&sealed, &key, index(3), &context())
            .expect_err("a wrong value"),
        bad(2, 3, SubShareFault::Value)
    );
    let answer = given.remove(5 + 2).publish();
    assert_eq!((answer.dealer, answer.recipient), (index(2), index(3)));
    let refresh = Refresh::new(&old, threshold, dealings.clone()).expect("good");
    assert!(refresh.renew(&scene.shares[2], &given).is_err());
    given.push(cleared(&dealings[1], &answer));
    assert!(refresh.renew(&scene.shares[2], &given).is_ok());
}

/// `publishable` values give nothing away: every value at a further place remains possible. With one more there is
/// no choice left.
#[test]
fn as_many_zero_shares_as_are_publishable_leave_the_rest_open() {
    let mut scene = Scene::new(76, 5, 8, 0);
    let (dealings, given) = zero_dealings(scene.threshold, &[3], &mut scene.rng);
    let publishable = dealings[0].publishable();
    assert_eq!(publishable, 3);
    let place = |s: &SubShare| u64::from(s.recipient().get());
    let mut known = vec![(0, BigUint::ZERO)];
    known.extend(
        given[..publishable]
            .iter()
            .map(|s| (place(s), dealt_number(s))),
    );
    for secret in &given[publishable..] {
        assert_ne!(
            oracle::interpolate(&known, place(secret)),
            dealt_number(secret)
        );
    }
    known.push((place(&given[4]), dealt_number(&given[4])));
    for secret in &given[publishable..] {
        assert_eq!(
            oracle::interpolate(&known, place(secret)),
            dealt_number(secret)
        );
    }
}

#[test]
fn a_sealed_zero_share_opens_for_one_recipient_and_purpose_only() {
    let mut scene = Scene::majority(77, 5, 0);
    let (dealings, given) = zero_dealings(scene.threshold, &[2, 3], &mut scene.rng);
    let (_, wrong) = zero_dealings(scene.threshold, &[2], &mut scene.rng);
    let both = [&dealings[0], &dealings[1]];
    assert_envelopes_serve_one_purpose(both, &given[3], &wrong[3], &mut scene.rng);
    // The same envelope is no share, and a share's envelope no zero-share.
    let key = OpeningKey::random(&mut scene.rng);
    let recipient = key.sealing_key();
    let sealed = dealings[0].seal(&given[3], &context(), &recipient, &mut scene.rng);
    let (index, sealed) = (index(4), sealed.expect("a good key"));
    let opened = open_share(&sealed, &key, index, &context(), &scene.commitments);
    assert_eq!(opened.err(), Some(SharingError::Unsealable { index }));
    let sealed = seal_share(&scene.shares[3], &context(), &recipient, &mut scene.rng);
    let opened = dealings[0].open(&sealed.expect("a good key"), &key, index, &context());
    let refused = bad(2, 4, SubShareFault::Unsealable);
    assert_eq!(opened.err(), Some(refused));
}

#[test]
fn zero_dealings_are_decoded_strictly() {
    let mut scene = Scene::new(80, 4, 5, 0);
    let (dealings, _) = zero_dealings(scene.threshold, &[2], &mut scene.rng);
    let good = dealings[0].as_points().to_vec();
    assert_eq!(good.len(), 3);
    assert_dealings_are_decoded_strictly(&dealings[0], &good, 1..=KIN_MAX - 1);
    for position in 0..good.len() {
        for bytes in bad_points() {
            let mut bad = good.clone();
            bad[position] = bytes;
            let fault = bytes.decode().expect_err("a bad encoding");
            let position = position + 1;
            assert_eq!(
                ZeroDealing::from_points(index(2), bad).err(),
                Some(SharingError::Commitment { position, fault })
            );
        }
    }
    for found in [0, KIN_MAX] {
        let count = ZeroDealing::from_points(index(2), vec![good[0]; found]);
        assert_eq!(count.err(), Some(SharingError::CommitmentCount { found }));
    }
}

#[test]
fn zero_shares_print_as_redacted() {
    let mut scene = Scene::majority(81, 3, 0);
    let (_, given) = zero_dealings(scene.threshold, &[1], &mut scene.rng);
    let text = format!("{:?}", given[1]);
    assert_eq!(text, "SubShare(1 for 2, <redacted>)");
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<SubShare>();
}

/// Whatever mixture of old and new shares: neither set of commitments takes it, and without the checks the sum is
/// neither the key nor a capsule's key.
#[test]
fn shares_from_before_and_after_a_refresh_do_not_mix() {
    for kin in 3..=9 {
        let mut before = Scene::majority(90 + kin as u8, kin, 1);
        let old_shares = chosen(&before.shares, &(0..kin).collect::<Vec<_>>());
        let (old, old_opening, old_partials) = (
            before.commitments.clone(),
            before.opening(),
            before.partials(),
        );
        let mut after = before.refreshed(&all(kin));
        let (opening, partials) = (after.opening(), after.partials());
        for (share, new_share) in old_shares.iter().zip(&after.shares) {
            let index = share.index();
            let wrong = Some(OpeningError::WrongShare { index });
            let opened = partial_open(&held(share, &old), &opening, &mut after.rng);
            assert_eq!(opened.err(), wrong);
            let renewed = held(new_share, &after.commitments);
            let opened = partial_open(&renewed, &old_opening, &mut after.rng);
            assert_eq!(opened.err(), wrong);
        }
        let needed = majority(kin);
        let masked_key = after.masked_key();
        for subset in subsets(kin, needed) {
            // Bit i: the i-th of the subset is a new one. All old and all new are no mixtures.
            for mixture in 1..(1u32 << needed) - 1 {
                let is_new = |at: usize| mixture & (1 << at) != 0;
                let mixed: Vec<Share> = subset
                    .iter()
                    .enumerate()
                    .map(|(at, &i)| {
                        copy(if is_new(at) {
                            &after.shares[i]
                        } else {
                            &old_shares[i]
                        })
                    })
                    .collect();
                let by_oracle = oracle::interpolate(&points(&mixed), 0);
                assert_ne!(by_oracle, secret_number(&after.key));
                let some: Vec<PartialOpening> = subset
                    .iter()
                    .enumerate()
                    .map(|(at, &i)| {
                        if is_new(at) {
                            &partials[i]
                        } else {
                            &old_partials[i]
                        }
                    })
                    .cloned()
                    .collect();
                assert_ne!(interpolated(&some), masked_key);
                // A refusal costs a check of everything: not for each of the 3,780 mixtures of nine kin.
                if kin > 7 {
                    continue;
                }
                for (commitments, opening, new) in [
                    (&old, &old_opening, false),
                    (&after.commitments, &opening, true),
                ] {
                    let strangers = (0..needed).filter(|&at| is_new(at) != new);
                    let wrong: Vec<ShareIndex> = strangers.map(|at| mixed[at].index()).collect();
                    let refused = |index| SharingError::WrongShare { index };
                    assert_eq!(
                        reconstruct(&mixed, commitments).expect_err("a mixture"),
                        ReconstructError::TooFew {
                            good: needed - wrong.len(),
                            needed,
                            refused: wrong.iter().copied().map(refused).collect(),
                        }
                    );
                    let fault = PartialFault::Proof;
                    let refused = |index| BadPartial { index, fault };
                    assert_eq!(
                        combine(opening, &after.secret, &some).expect_err("a mixture"),
                        CombineError::TooFew {
                            good: needed - wrong.len(),
                            needed,
                            refused: wrong.iter().copied().map(refused).collect(),
                        }
                    );
                }
            }
        }
    }
}

/// A thief reads `k - 1` shares before the refresh and any `k - 1` after it. What it sees are linear functions of what
/// was drawn at random; the key is none of their combinations. One more share on either side gives it.
#[test]
fn thefts_before_and_after_a_refresh_do_not_add_up() {
    let (kin, needed) = (5, 3);
    let mut scene = Scene::new(99, needed, kin, 0);
    let (dealings, given) = zero_dealings(scene.threshold, &[1, 2, 4], &mut scene.rng);
    let refresh = Refresh::new(&scene.commitments, scene.threshold, dealings).expect("good");
    // Random are the values of f at 1, 2, 3 and of each dealer's polynomial at 1, 2 (at 0 it is 0).
    let mut drawn: Vec<BigUint> = points(&scene.shares[..needed])
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    for dealt in given.chunks(kin) {
        drawn.extend(dealt[..needed - 1].iter().map(dealt_number));
    }
    let row = |at: u64, new: bool| {
        let mut row = oracle::coefficients(&[1, 2, 3], at);
        for _ in 0..refresh.dealings().count() {
            let zero = oracle::coefficients(&[0, 1, 2], at).split_off(1);
            row.extend(
                zero.into_iter()
                    .map(|x| if new { x } else { BigUint::ZERO }),
            );
        }
        row
    };
    for share in &scene.shares {
        let new = refresh.renew(share, &given).expect("good zero-shares");
        for (share, new) in [(share, false), (&new, true)] {
            let (at, value) = points(core::slice::from_ref(&copy(share))).remove(0);
            assert_eq!(oracle::product(&row(at, new), &drawn), value);
        }
    }
    let key = row(0, false);
    assert_eq!(oracle::product(&key, &drawn), secret_number(&scene.key));
    for before in subsets(kin, needed - 1) {
        for after in subsets(kin, needed - 1) {
            let mut seen: Vec<_> = before.iter().map(|&i| row(i as u64 + 1, false)).collect();
            seen.extend(after.iter().map(|&i| row(i as u64 + 1, true)));
            assert!(!oracle::spans(&seen, &key));
            for (stolen, new) in [(&before, false), (&after, true)] {
                let further = (0..kin).find(|i| !stolen.contains(i)).expect("five kin");
                seen.push(row(further as u64 + 1, new));
                assert!(oracle::spans(&seen, &key));
                seen.pop();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Shares, zero-shares and their sums by another library's integers; whatever the dealers, their number and order.
    #[test]
    fn a_refresh_agrees_with_the_oracle(
        seed: u8,
        (kin, needed, dealers) in (3usize..=16).prop_flat_map(|kin| {
            let needed = majority(kin)..=kin;
            (Just(kin), needed).prop_flat_map(move |(kin, needed)| {
                let dealers = proptest::sample::subsequence(all(kin), needed..=kin).prop_shuffle();
                (Just(kin), Just(needed), dealers)
            })
        }),
    ) {
        let mut scene = Scene::new(seed, needed, kin, 0);
        let (dealings, given) = zero_dealings(scene.threshold, &dealers, &mut scene.rng);
        let refresh = Refresh::new(&scene.commitments, scene.threshold, dealings).expect("good");
        let values = |to: ShareIndex| given.iter()
            .filter(move |s| s.recipient() == to)
            .map(dealt_number);
        // Each dealing deals zero, and nothing else.
        for &dealer in &dealers {
            let dealt: Vec<(u64, BigUint)> = given.iter()
                .filter(|s| s.dealer() == index(dealer))
                .map(|s| (u64::from(s.recipient().get()), dealt_number(s)))
                .take(needed)
                .collect();
            prop_assert_eq!(oracle::interpolate(&dealt, 0), BigUint::ZERO);
        }
        let mut renewed = Vec::new();
        for share in &scene.shares {
            let new = refresh.renew(share, &given).expect("good zero-shares");
            let sum = values(share.index()).fold(number(&scalar_of(share)), |sum, z| sum + z);
            prop_assert_eq!(number(&scalar_of(&new)), sum % oracle::order());
            prop_assert_eq!(Point::mul_base(&scalar_of(&new)), refresh.commitments().share_key(share.index()));
            renewed.push(new);
        }
        let known = points(&renewed);
        prop_assert_eq!(oracle::interpolate(&known[kin - needed..], 0), secret_number(&scene.key));
        // All new shares lie on one polynomial of the old degree.
        for (at, value) in &known {
            prop_assert_eq!(&oracle::interpolate(&known[..needed], *at), value);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = wire::decode::<ZeroDealing>(&bytes);
        let _ = wire::decode::<PublishedShare>(&bytes);
    }
}
