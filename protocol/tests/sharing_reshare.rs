//! Handing the key on to another roster (docs/spec/opening.md, "Changing the roster"): who can open before and after,
//! what removed kin can still do, who is named.

mod sharing_support;

use kithkin_protocol::crypto::OpeningKey;
use kithkin_protocol::crypto::group::Point;
use kithkin_protocol::sharing::*;
use kithkin_protocol::units::Epoch;
use kithkin_protocol::wire;
use num_bigint::BigUint;
use proptest::prelude::*;
use sharing_support::dealings::*;
use sharing_support::oracle::{self, dealt_number, number, points, secret_number};
use sharing_support::*;
use std::collections::BTreeSet;

fn majority_of(kin: usize) -> Threshold {
    Threshold::majority(kin).expect("a roster")
}

/// From every size of roster to every other, whoever deals; the capsules are those sealed before.
#[test]
fn after_a_change_threshold_many_open_and_rebuild_and_no_fewer() {
    for old in 3..=9 {
        for new in 3..=9 {
            let before = Scene::majority((16 * old + new) as u8, old, 1);
            let key = before.key.public();
            // The last ones deal: as few as they have to be, and not from 1 on.
            let dealers: Vec<usize> = (old - majority(old)..old).collect();
            let mut after = before.reshared(&dealers, majority_of(new));
            assert_eq!(*after.commitments.public_key(), key);
            assert_eq!(after.commitments.threshold(), majority(new));
            assert_eq!(after.shares.len(), new);
            after.assert_exactly_threshold_many_rebuild();
            if old == 5 || new == 5 {
                after.assert_exactly_threshold_many_open();
            }
        }
    }
}

#[test]
fn every_quorum_of_old_holders_hands_on_the_same_key() {
    for old in 3..=7 {
        let mut scene = Scene::majority(30 + old as u8, old, 0);
        let threshold = Threshold::new(4, 5).expect("4 of 5");
        for dealers in subsets(old, majority(old)) {
            let holders = dealers.iter().map(|&i| &scene.shares[i]);
            let (mut dealings, given) = resharing_dealings(holders, threshold, &mut scene.rng);
            // The order in which they come makes no difference.
            let again = Resharing::new(&scene.commitments, threshold, dealings.clone());
            dealings.reverse();
            let resharing = Resharing::new(&scene.commitments, threshold, dealings).expect("good");
            assert_eq!(again.expect("good").commitments(), resharing.commitments());
            let shares: Vec<Share> = threshold
                .indices()
                .skip(1)
                .map(|index| resharing.share(index, &given).expect("good sub-shares"))
                .collect();
            let rebuilt = reconstruct(&shares, resharing.commitments()).expect("four");
            assert_eq!(rebuilt.key.to_secret(), scene.key.to_secret());
        }
    }
}

#[test]
fn a_wrong_or_missing_sub_share_at_any_position_is_named_and_another_holder_fills_in() {
    for old in 3..=7usize {
        let mut scene = Scene::majority(40 + old as u8, old, 0);
        let threshold = majority_of(5);
        let (dealings, good) = resharing_dealings(&scene.shares, threshold, &mut scene.rng);
        // One holder stands by.
        let needed = majority(old);
        let set = dealings[..needed].to_vec();
        let resharing = Resharing::new(&scene.commitments, threshold, set.clone()).expect("good");
        for culprit in 0..needed {
            let dealer = culprit as u8 + 1;
            let holder = [&scene.shares[culprit]];
            let (other, strange) = resharing_dealings(holder, threshold, &mut scene.rng);
            let others = || good.iter().filter(|s| s.dealer() != index(dealer));
            let missing = copies(&dealings, others());
            let mut wrong = copies(&other, &strange);
            wrong.extend(copies(&dealings, others()));
            let mut rest = set.clone();
            rest[culprit] = dealings[needed].clone();
            let rest = Resharing::new(&scene.commitments, threshold, rest).expect("good");
            for recipient in threshold.indices() {
                for (given, fault) in [
                    (&wrong, SubShareFault::Value),
                    (&missing, SubShareFault::Missing),
                ] {
                    let faults = vec![bad(dealer, recipient.get(), fault)];
                    assert_eq!(
                        resharing.share(recipient, given).expect_err("one is bad"),
                        RenewalError::SubShares { faults }
                    );
                    let share = rest.share(recipient, given).expect("the rest is good");
                    assert_eq!(share.verify(rest.commitments()), Ok(()));
                }
            }
        }
    }
}

#[test]
fn a_bad_dealing_at_any_position_is_named_and_another_holder_fills_in() {
    for old in 3..=7usize {
        let mut scene = Scene::majority(50 + old as u8, old, 0);
        let commitments = scene.commitments.clone();
        let threshold = majority_of(6);
        let (dealings, given) = resharing_dealings(&scene.shares, threshold, &mut scene.rng);
        let needed = majority(old);
        let (found, expected) = (5, 4);
        let higher = Threshold::new(found, 6).expect("5 of 6");
        for culprit in 0..needed {
            let dealer = scene.shares[culprit].index();
            let wrong = tampered(&scene.shares[culprit]);
            let (mut bad, _) = resharing_dealings([&wrong], threshold, &mut scene.rng);
            let share = [&scene.shares[culprit]];
            let (high, _) = resharing_dealings(share, higher, &mut scene.rng);
            bad.extend(high);
            // What the next holder dealt, in this one's name.
            let next = dealings[culprit + 1].commitments().clone();
            bad.push(ResharingDealing::new(dealer, next));
            let faults = [
                DealingFault::OtherShare,
                DealingFault::Threshold { found, expected },
                DealingFault::OtherShare,
            ];
            for (bad, fault) in bad.into_iter().zip(faults) {
                let mut set = dealings[..needed].to_vec();
                set[culprit] = bad;
                let faults = vec![BadDealing { dealer, fault }];
                assert_eq!(
                    Resharing::new(&commitments, threshold, set.clone()).expect_err("one is bad"),
                    RenewalError::Dealings { faults }
                );
                set[culprit] = dealings[needed].clone();
                let resharing = Resharing::new(&commitments, threshold, set).expect("good");
                for recipient in threshold.indices() {
                    assert!(resharing.share(recipient, &given).is_ok());
                }
            }
        }
    }
}

#[test]
fn a_set_is_of_exactly_threshold_many_different_holders() {
    let mut scene = Scene::majority(60, 5, 0);
    let threshold = majority_of(4);
    let (dealings, given) = resharing_dealings(&scene.shares, threshold, &mut scene.rng);
    let set = |positions: &[usize]| {
        Resharing::new(&scene.commitments, threshold, pick(&dealings, positions))
    };
    let resharing = set(&[4, 0, 2]).expect("three of five");
    let order: Vec<u8> = resharing.dealings().map(|d| d.dealer().get()).collect();
    assert_eq!(order, [1, 3, 5]);
    let needed = 3;
    for wrong in [&[0, 4][..], &[0, 1, 2, 3]] {
        let found = wrong.len();
        let count = RenewalError::DealingCount { found, needed };
        assert_eq!(set(wrong).err(), Some(count));
    }
    let dealer = index(1);
    assert_eq!(
        set(&[0, 3, 0]).err(),
        Some(RenewalError::DuplicateDealer { dealer })
    );
    for outside in [5, 255] {
        let index = index(outside);
        assert_eq!(
            resharing.share(index, &given).expect_err("four members"),
            RenewalError::NoSuchKin { index }
        );
    }
}

#[test]
fn a_complaint_clears_the_dealer_or_names_it() {
    for (old, new) in [(3, 3), (5, 7), (7, 4)] {
        let mut scene = Scene::majority(61 + old as u8, old, 0);
        let threshold = majority_of(new);
        let (dealings, good) = resharing_dealings(&scene.shares, threshold, &mut scene.rng);
        let (_, wrong) = resharing_dealings(&scene.shares, threshold, &mut scene.rng);
        assert_complaints_are_judged(&dealings, &good, &wrong);
    }
}

/// As many published sub-shares as are allowed leave every value of the dealer's share possible; one more gives it away.
#[test]
fn as_many_sub_shares_as_are_publishable_do_not_give_the_share_away() {
    let mut scene = Scene::majority(62, 5, 0);
    let (dealings, given) = resharing_dealings(&scene.shares[..1], majority_of(9), &mut scene.rng);
    let publishable = dealings[0].publishable();
    assert_eq!(publishable, 4);
    let known: Vec<(u64, BigUint)> = given[..=publishable]
        .iter()
        .map(|s| (u64::from(s.recipient().get()), dealt_number(s)))
        .collect();
    let share = number(&scalar_of(&scene.shares[0]));
    assert_ne!(oracle::interpolate(&known[1..], 0), share);
    assert_ne!(oracle::interpolate(&known[..publishable], 0), share);
    assert_eq!(oracle::interpolate(&known, 0), share);
}

#[test]
fn a_sealed_sub_share_opens_for_one_recipient_and_purpose_only() {
    let mut scene = Scene::majority(69, 5, 0);
    let holders = &scene.shares[1..3];
    let (dealings, given) = resharing_dealings(holders, scene.threshold, &mut scene.rng);
    let (_, wrong) = resharing_dealings(holders, scene.threshold, &mut scene.rng);
    let both = [&dealings[0], &dealings[1]];
    assert_envelopes_serve_one_purpose(both, &given[3], &wrong[3], &mut scene.rng);
    // A zero-share of the same two kin at the same time is another thing.
    let key = OpeningKey::random(&mut scene.rng);
    let recipient = key.sealing_key();
    let sealed = dealings[0].seal(&given[3], &context(), &recipient, &mut scene.rng);
    let (zero, _) = zero_dealings(scene.threshold, &[2], &mut scene.rng);
    let opened = zero[0].open(&sealed.expect("a good key"), &key, index(4), &context());
    let refused = bad(2, 4, SubShareFault::Unsealable);
    assert_eq!(opened.err(), Some(refused));
}

#[test]
fn resharing_dealings_are_decoded_strictly() {
    let mut scene = Scene::majority(64, 5, 0);
    let holder = &scene.shares[1..2];
    let (dealings, _) = resharing_dealings(holder, majority_of(4), &mut scene.rng);
    let good = dealings[0].commitments().as_points();
    assert_dealings_are_decoded_strictly(&dealings[0], good, 2..=KIN_MAX);
}

/// What the coalition of a roster's change looks like: removed kin with their old shares, fewer than the old threshold
/// (as many could open by themselves), and present kin with their new ones, fewer than the new threshold.
///
/// Nothing opens with what they hold. But the old shares stay good for the old commitments: once as many as the old
/// threshold come together, because somebody did not erase, they open everything that was sealed to this key. No
/// protocol can take that back; the remedy is a new key.
#[test]
fn removed_kin_with_present_ones_open_nothing_unless_enough_old_shares_were_kept() {
    for (old, new) in [(3, 3), (5, 4), (5, 5), (6, 9), (9, 5)] {
        let mut before = Scene::majority((10 * old + new) as u8, old, 1);
        let everybody: Vec<usize> = (0..old).collect();
        let old_shares = chosen(&before.shares, &everybody);
        let (commitments, opening) = (before.commitments.clone(), before.opening());
        let old_partials = before.partials();
        let (k_old, k_new) = (majority(old), majority(new));
        // The removed are the last ones, and they dealt too.
        let mut after = before.reshared(&everybody[old - k_old..], majority_of(new));
        let (new_opening, partials) = (after.opening(), after.partials());
        let masked_key = after.masked_key();
        for present in subsets(new, k_new - 1) {
            let removed = &everybody[old - (k_old - 1)..];
            let mut shares = chosen(&old_shares, removed);
            shares.extend(chosen(&after.shares, &present));
            let mut held = pick(&old_partials, removed);
            held.extend(pick(&partials, &present));
            for (commitments, opening, good) in [
                (&commitments, &opening, k_old - 1),
                (&after.commitments, &new_opening, k_new - 1),
            ] {
                let error = reconstruct(&shares, commitments).expect_err("a coalition");
                assert!(matches!(error, ReconstructError::TooFew { good: g, .. } if g == good));
                let error = combine(opening, &after.secret, &held).expect_err("a coalition");
                assert!(matches!(error, CombineError::TooFew { good: g, .. } if g == good));
            }
            // Without the checks: no threshold-many of what they hold, at whatever places, interpolate to the key.
            for size in BTreeSet::from([k_old, k_new]) {
                for some in subsets(shares.len(), size) {
                    let places: Vec<_> = some.iter().map(|&i| shares[i].index()).collect();
                    if lagrange_at_zero(&places).is_err() {
                        continue; // an old and a new share of one index
                    }
                    let by_oracle = oracle::interpolate(&points(&chosen(&shares, &some)), 0);
                    assert_ne!(by_oracle, secret_number(&after.key));
                    assert_ne!(interpolated(&pick(&held, &some)), masked_key);
                }
            }
        }
        // Somebody among the present kept an old share.
        let kept = &everybody[old - k_old..];
        let rebuilt = reconstruct(&chosen(&old_shares, kept), &commitments).expect("old shares");
        assert_eq!(rebuilt.key.to_secret(), after.key.to_secret());
        let combined = combine(&opening, &after.secret, &pick(&old_partials, kept));
        let direct = capsule_key_direct(&after.key, &after.capsules()[0]).expect("own key");
        assert_eq!(combined.expect("old partial openings").keys[0], direct);
    }
}

/// The same by linear algebra, and with all that such a coalition saw: the old shares of the removed, the polynomials
/// they dealt themselves, and each sub-share that present members got. The key is no combination of that.
#[test]
fn what_removed_and_present_kin_saw_does_not_determine_the_key() {
    let (old, k_old, new, k_new) = (5usize, 3usize, 4usize, 3usize);
    let mut scene = Scene::new(98, k_old, old, 0);
    let threshold = Threshold::new(k_new, new).expect("3 of 4");
    let dealers = [1usize, 3, 4];
    let holders = dealers.map(|i| &scene.shares[i]);
    let (dealings, given) = resharing_dealings(holders, threshold, &mut scene.rng);
    let resharing = Resharing::new(&scene.commitments, threshold, dealings).expect("good");
    // Random are the values of f at 1, 2, 3 and of each dealer's polynomial at 1, 2 (at 0 it is the dealer's share).
    let mut drawn: Vec<BigUint> = points(&scene.shares[..k_old])
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    for dealt in given.chunks(new) {
        drawn.extend(dealt[..k_new - 1].iter().map(dealt_number));
    }
    let length = drawn.len();
    let old_share = |at: u64| {
        let mut row = oracle::coefficients(&[1, 2, 3], at);
        row.resize(length, BigUint::ZERO);
        row
    };
    let sub_share = |dealer: usize, at: u64| {
        let of = oracle::coefficients(&[0, 1, 2], at);
        let mut row: Vec<BigUint> = old_share(dealers[dealer] as u64 + 1)
            .iter()
            .map(|x| x * &of[0] % oracle::order())
            .collect();
        for (place, x) in row[k_old + dealer * (k_new - 1)..].iter_mut().zip(&of[1..]) {
            *place = x.clone();
        }
        row
    };
    // The rows say what the code computed.
    for (position, dealt) in given.iter().enumerate() {
        let row = sub_share(position / new, u64::from(dealt.recipient().get()));
        assert_eq!(oracle::product(&row, &drawn), dealt_number(dealt));
    }
    for (at, value) in points(&scene.shares) {
        assert_eq!(oracle::product(&old_share(at), &drawn), value);
    }
    let key = old_share(0);
    assert_eq!(oracle::product(&key, &drawn), secret_number(&scene.key));
    let share = resharing.share(index(4), &given).expect("good");
    assert_eq!(share.verify(resharing.commitments()), Ok(()));
    for removed in subsets(old, k_old - 1) {
        for present in subsets(new, k_new - 1) {
            let mut seen: Vec<_> = removed.iter().map(|&i| old_share(i as u64 + 1)).collect();
            for (dealer, holder) in dealers.iter().enumerate() {
                let all: Vec<usize> = (0..new).collect();
                let known = if removed.contains(holder) {
                    &all
                } else {
                    &present
                };
                seen.extend(known.iter().map(|&j| sub_share(dealer, j as u64 + 1)));
            }
            assert!(!oracle::spans(&seen, &key));
            // One old share more, or one present member more, and it does.
            let kept = (0..old).find(|i| !removed.contains(i)).expect("five kin");
            seen.push(old_share(kept as u64 + 1));
            assert!(oracle::spans(&seen, &key));
            seen.pop();
            let further = (0..new)
                .find(|j| !present.contains(j))
                .expect("four members");
            seen.extend((0..dealers.len()).map(|d| sub_share(d, further as u64 + 1)));
            assert!(oracle::spans(&seen, &key));
        }
    }
}

/// Years of refreshes and changes: what was sealed on the first day opens on the last, and no share of any day before
/// fits the commitments of today.
#[test]
fn a_capsule_outlives_every_roster() {
    let mut scene = Scene::majority(70, 5, 2);
    let mut outdated: Vec<Share> = Vec::new();
    for (dealers, kin) in [
        (&[0, 2, 4][..], 7),
        (&[1, 3, 4, 6], 3),
        (&[0, 2], 9),
        (&[8, 0, 6, 3, 5], 4),
    ] {
        outdated.extend(scene.shares.iter().map(copy));
        scene = scene.reshared(dealers, majority_of(kin));
        outdated.extend(scene.shares.iter().map(copy));
        let all: Vec<u8> = (1..=kin as u8).collect();
        scene = scene.refreshed(&all);
        for share in &outdated {
            let index = share.index();
            let wrong = Err(SharingError::WrongShare { index });
            assert_eq!(share.verify(&scene.commitments), wrong);
        }
    }
    assert_eq!(scene.context.epoch, Epoch(9));
    scene.assert_exactly_threshold_many_open();
    scene.assert_exactly_threshold_many_rebuild();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// New shares by another library's integers; whoever deals, whatever the thresholds.
    #[test]
    fn a_resharing_agrees_with_the_oracle(
        seed: u8,
        (kin, dealers) in (3usize..=16).prop_flat_map(|kin| {
            let needed = majority(kin)..=kin;
            needed.prop_flat_map(move |needed| {
                let places: Vec<usize> = (0..kin).collect();
                (Just(kin), proptest::sample::subsequence(places, needed).prop_shuffle())
            })
        }),
        (new, k_new) in (3usize..=16).prop_flat_map(|new| (Just(new), majority(new)..=new)),
    ) {
        let mut scene = Scene::new(seed, dealers.len(), kin, 0);
        let threshold = Threshold::new(k_new, new).expect("a threshold");
        let holders = dealers.iter().map(|&i| &scene.shares[i]);
        let (dealings, given) = resharing_dealings(holders, threshold, &mut scene.rng);
        let resharing = Resharing::new(&scene.commitments, threshold, dealings).expect("good");
        let places: Vec<u64> = dealers.iter().map(|&i| i as u64 + 1).collect();
        let mut shares = Vec::new();
        for index in threshold.indices() {
            let share = resharing.share(index, &given).expect("good sub-shares");
            let sum: BigUint = given.iter()
                .filter(|s| s.recipient() == index)
                .map(|s| oracle::coefficient(&places, u64::from(s.dealer().get()), 0) * dealt_number(s))
                .sum();
            prop_assert_eq!(number(&scalar_of(&share)), sum % oracle::order());
            prop_assert_eq!(Point::mul_base(&scalar_of(&share)), resharing.commitments().share_key(index));
            shares.push(share);
        }
        let known = points(&shares);
        prop_assert_eq!(oracle::interpolate(&known[new - k_new..], 0), secret_number(&scene.key));
        for (at, value) in &known {
            prop_assert_eq!(&oracle::interpolate(&known[..k_new], *at), value);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = wire::decode::<ResharingDealing>(&bytes);
    }
}
