//! Slots after changes of the roster: what holds after each, whatever they were.

use crate::stock::threshold;
use kithkin_protocol::ids::KinId;
use kithkin_protocol::record::*;
use kithkin_protocol::sharing::Threshold;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn kin(n: u8) -> KinId {
    KinId([n; 32])
}

fn roster(members: impl IntoIterator<Item = u8>) -> Vec<KinId> {
    members.into_iter().map(kin).collect()
}

fn counts(holders: &[KinId]) -> BTreeMap<KinId, usize> {
    let mut counts = BTreeMap::new();
    for holder in holders {
        *counts.entry(*holder).or_default() += 1;
    }
    counts
}

/// Checks every promise of `assign_slots` for one change.
fn check(before: &[KinId], roster: &[KinId], after: &Slots) {
    let shape = after.shape();
    let held = counts(before);
    let holds = counts(after.holders());
    assert_eq!(after.holders().len(), shape.kin());
    assert!(holds.keys().all(|holder| roster.contains(holder)));
    let of = |kin: &KinId| holds.get(kin).copied().unwrap_or(0);
    let most = roster.iter().map(of).max().expect("some");
    let least = roster.iter().map(of).min().expect("some");
    assert!(most - least <= 1, "{least} to {most}");
    assert!(most < shape.needed(), "{most} of {shape:?}");
    // As many stay as the balance allows.
    let (part, odd) = (shape.kin() / roster.len(), shape.kin() % roster.len());
    let kept = before.iter().zip(after.holders()).filter(|(a, b)| a == b);
    let had = |kin: &KinId| held.get(kin).copied().unwrap_or(0);
    let may: usize = roster.iter().map(|kin| had(kin).min(part)).sum();
    let above = roster.iter().filter(|kin| had(kin) > part).count();
    assert_eq!(kept.count(), may + above.min(odd));
    for (position, holder) in after.holders().iter().enumerate() {
        assert!(after.of(*holder).any(|slot| slot.position() == position));
    }
}

/// What is left after any `losses` holders are gone, at the worst.
fn left(slots: &Slots, losses: usize) -> usize {
    let mut counts: Vec<usize> = counts(slots.holders()).into_values().collect();
    counts.sort_unstable();
    counts.iter().rev().skip(losses).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_change_keeps_every_promise(
        n in 3usize..=64,
        more in 0usize..64,
        rosters in prop::collection::vec(prop::collection::btree_set(0u8..80, 3..=64), 1..8),
    ) {
        let needed = (n / 2 + 1 + more).min(n);
        let shape = threshold(needed, n);
        let mut slots = Slots::sealed(&roster(0..n as u8), shape).expect("a roster");
        prop_assert_eq!(slots.holders(), &roster(0..n as u8)[..]);
        prop_assert_eq!(slots.endurance(), Endurance::AsSealed);
        for members in rosters {
            let next = roster(members);
            let after = slots.handed_on(&next).expect("a roster");
            check(slots.holders(), &next, &after);
            let survives = after.survives();
            prop_assert!(left(&after, survives) >= needed);
            let distinct = counts(after.holders()).len();
            prop_assert!(survives == distinct || left(&after, survives + 1) < needed);
            let promised = next.len() - (next.len() / 2 + 1);
            let expected = if survives >= n - needed {
                Endurance::AsSealed
            } else if survives >= promised {
                Endurance::AsRoster
            } else {
                Endurance::Weakened
            };
            prop_assert_eq!(after.endurance(), expected);
            // The same roster again moves nothing.
            prop_assert_eq!(&after.handed_on(&next).expect("a roster"), &after);
            slots = after;
        }
    }

    /// Whoever takes somebody's place in the roster takes the slot of the same index, however many change at once.
    #[test]
    fn a_replacement_takes_the_slot_of_whom_it_replaces(
        n in 3usize..=64,
        replaced in prop::collection::btree_set(0usize..64, 0..64),
    ) {
        let before = roster(0..n as u8);
        let mut next = before.clone();
        for position in replaced.into_iter().filter(|position| *position < n) {
            next[position] = kin(100 + position as u8);
        }
        let shape = Threshold::majority(n).expect("kin");
        let slots = assign_slots(&before, &next, shape).expect("a roster");
        prop_assert_eq!(slots.holders(), &next[..]);
        prop_assert_eq!(slots.endurance(), Endurance::AsSealed);
    }
}

#[test]
fn growing_and_shrinking_say_what_they_survive() {
    let five = Slots::sealed(&roster(0..5), threshold(3, 5)).expect("five");
    let seven = five.handed_on(&roster(0..7)).expect("seven");
    assert_eq!(seven, five.handed_on(&roster(0..7)).expect("seven"));
    assert_eq!(seven.holders(), five.holders());
    assert_eq!(
        (seven.survives(), seven.endurance()),
        (2, Endurance::AsSealed)
    );

    let three = five.handed_on(&roster(0..3)).expect("three");
    assert_eq!(three.holders(), &roster([0, 1, 2, 0, 1])[..]);
    assert_eq!(
        (three.survives(), three.endurance()),
        (1, Endurance::AsRoster)
    );
    let again = three.handed_on(&roster([0, 1, 2, 8, 9])).expect("five");
    assert_eq!(again.holders(), &roster([0, 1, 2, 8, 9])[..]);
    assert_eq!(
        (again.survives(), again.endurance()),
        (2, Endurance::AsSealed)
    );

    // Four slots of which three are needed: whoever holds two of them may not be lost.
    let four = Slots::sealed(&roster(0..4), threshold(3, 4)).expect("four");
    let three = four.handed_on(&roster(0..3)).expect("three");
    assert_eq!(
        (three.survives(), three.endurance()),
        (0, Endurance::Weakened)
    );
    assert_eq!(three.holder(crate::sharing_support::index(4)), Some(kin(0)));
    assert_eq!(three.holder(crate::sharing_support::index(5)), None);
}

#[test]
fn bad_rosters_are_refused() {
    let (before, shape) = (roster(0..5), threshold(3, 5));
    let refused = |before: &[KinId], next: &[KinId]| {
        assign_slots(before, next, shape).expect_err("a bad roster")
    };
    for found in [0, 2, 65] {
        let expected = SlotError::Roster { found };
        assert_eq!(refused(&before, &roster(0..found as u8)), expected);
    }
    let twice = SlotError::Duplicate { kin: kin(1) };
    assert_eq!(refused(&before, &roster([0, 1, 2, 1])), twice);
    for found in [4, 6] {
        let expected = SlotError::Holders { found, slots: 5 };
        assert_eq!(refused(&roster(0..found as u8), &before), expected);
    }
}
