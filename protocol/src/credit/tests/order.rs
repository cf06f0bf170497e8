//! The leader order: I11 to I14, golden orders of an independent program, cool-down, open heights, lag.

use super::Chain;
use crate::credit::{LAG, Ranking, ValidatorSet, leader_order};
use crate::crypto::Digest;
use crate::ids::ValidatorId;
use crate::ledger::Profile;
use crate::testing::fixture;
use crate::units::{Credit, Height, View};

const PROFILES: [Profile; 3] = [Profile::Literal, Profile::Balanced, Profile::Hardened];

fn set(n: u16) -> ValidatorSet {
    ValidatorSet::new(fixture(n, Profile::Balanced).genesis.validators)
}

/// Credit 500,000 and up in steps of 37,000; validator 4 is not eligible.
fn ranking(n: u16) -> Ranking {
    Ranking::new((0..n).map(|id| {
        (
            ValidatorId(id),
            Credit(500_000 + 37_000 * u32::from(id)),
            id != 4,
        )
    }))
}

fn ids(ids: &[ValidatorId]) -> Vec<u16> {
    ids.iter().map(|id| id.0).collect()
}

/// Computed by a second implementation, in Python with its own big integers, from the specification's section 3.
#[test]
fn golden_orders() {
    let (set, ranking, seed) = (set(10), ranking(10), Digest([9; 32]));
    let authors = [ValidatorId(9), ValidatorId(8), ValidatorId(1)];
    let order = |profile, height| {
        let found = leader_order(profile, &set, &ranking, &seed, Height(height), &authors);
        (ids(&found.order), ids(&found.leader_set))
    };
    let golden: [(Profile, u64, [u16; 10], &[u16]); 6] = [
        (Profile::Literal, 7, [9, 8, 7, 1, 3, 5, 2, 6, 0, 4], &[9]),
        (Profile::Literal, 8, [9, 8, 7, 6, 3, 1, 2, 0, 5, 4], &[9]),
        (
            Profile::Balanced,
            7,
            [7, 6, 3, 5, 0, 2, 8, 9, 1, 4],
            &[7, 6, 9],
        ),
        (
            Profile::Balanced,
            8,
            [9, 6, 7, 5, 2, 8, 0, 1, 3, 4],
            &[6, 7, 9, 5, 3, 2, 0, 8, 1],
        ),
        (
            Profile::Hardened,
            7,
            [6, 8, 3, 5, 0, 2, 9, 7, 1, 4],
            &[7, 6, 5, 3],
        ),
        (
            Profile::Hardened,
            8,
            [5, 6, 7, 3, 0, 8, 9, 1, 2, 4],
            &[6, 7, 5, 3, 2, 0, 9, 8, 1],
        ),
    ];
    for (profile, height, masters, candidates) in golden {
        assert_eq!(
            order(profile, height),
            (masters.to_vec(), candidates.to_vec()),
            "{profile:?} {height}"
        );
    }
}

/// I11: the set has the size that the profile says, at heights that are not open.
#[test]
fn leader_sets_have_the_profiles_size() {
    let table: [(u16, [usize; 3]); 8] = [
        (1, [1, 1, 1]),
        (2, [1, 2, 1]),
        (3, [1, 3, 1]),
        (4, [1, 3, 2]),
        (7, [1, 3, 3]),
        (10, [1, 3, 4]),
        (31, [4, 4, 11]),
        (100, [10, 10, 34]),
    ];
    for (n, sizes) in table {
        let everybody = Ranking::new((0..n).map(|id| (ValidatorId(id), Credit(500_000), true)));
        for (profile, size) in PROFILES.into_iter().zip(sizes) {
            let at = |height| {
                leader_order(
                    profile,
                    &set(n),
                    &everybody,
                    &Digest([3; 32]),
                    Height(height),
                    &[],
                )
            };
            assert_eq!(at(9).leader_set.len(), size, "n {n}, {profile:?}");
            let open = if profile == Profile::Literal {
                size
            } else {
                usize::from(n)
            };
            assert_eq!(
                at(16).leader_set.len(),
                open,
                "n {n}, {profile:?}, open height"
            );
        }
    }
}

/// I12, I13, I14, over sizes, seeds, heights, patterns of eligibility.
#[test]
fn orders_are_permutations_drawn_from_growing_windows() {
    for n in [1u16, 2, 3, 4, 5, 7, 10, 16, 31] {
        let set = set(n);
        for seed in 0..40u8 {
            let height = Height(u64::from(seed) * 3 + 1);
            let eligible = |id: u16| !(id + u16::from(seed)).is_multiple_of(5);
            let ranking = Ranking::new((0..n).map(|id| {
                (
                    ValidatorId(id),
                    Credit(u32::from(id) * 30_000),
                    eligible(id),
                )
            }));
            // Raw credit, all different: the literal profile's ranks are known without looking into it.
            let mut ranks: Vec<u16> = (0..n).filter(|&id| eligible(id)).collect();
            ranks.reverse();
            let found = leader_order(
                Profile::Literal,
                &set,
                &ranking,
                &Digest([seed; 32]),
                height,
                &[],
            );
            let order = ids(&found.order);
            let k = usize::from(n).div_ceil(10);
            for (place, master) in order.iter().enumerate().take(ranks.len()) {
                let window = ranks.len().min(k << place.min(20));
                assert!(
                    ranks[..window].contains(master),
                    "I13: n {n}, view {}",
                    place + 1
                );
            }
            for profile in PROFILES {
                let found = leader_order(profile, &set, &ranking, &Digest([seed; 32]), height, &[]);
                let mut sorted = ids(&found.order);
                let split = sorted
                    .iter()
                    .position(|&id| !eligible(id))
                    .unwrap_or(sorted.len());
                assert!(
                    sorted[split..].iter().all(|&id| !eligible(id)),
                    "I14: {profile:?}"
                );
                sorted.sort_unstable();
                assert_eq!(sorted, (0..n).collect::<Vec<_>>(), "I12: {profile:?}");
                for view in 1..=3 * u64::from(n) {
                    let place = usize::try_from(view - 1).unwrap() % usize::from(n);
                    assert_eq!(found.leader(View(view)), Some(found.order[place]));
                }
                assert_eq!(found.leader(View(0)), None);
            }
        }
    }
}

#[test]
fn nobody_eligible_is_still_an_order() {
    let nobody = Ranking::default();
    for profile in PROFILES {
        let found = leader_order(profile, &set(4), &nobody, &Digest::ZERO, Height(1), &[]);
        assert_eq!(found.order.len(), 4);
        assert!(found.leader_set.is_empty());
    }
    let empty = ValidatorSet::default();
    let found = leader_order(
        Profile::Balanced,
        &empty,
        &nobody,
        &Digest::ZERO,
        Height(1),
        &[],
    );
    assert_eq!(found.leader(View(1)), None);
}

/// The last author cools down: with four validators it does not lead the next first view, but at open heights it may.
#[test]
fn the_last_author_rests() {
    let everybody = Ranking::new((0..4).map(|id| (ValidatorId(id), Credit(500_000), true)));
    let (mut cooled, mut open) = (0, 0);
    for height in 1..400 {
        let author = ValidatorId((height % 4) as u16);
        let find = |profile| {
            leader_order(
                profile,
                &set(4),
                &everybody,
                &Digest([1; 32]),
                Height(height),
                &[author],
            )
        };
        let first = find(Profile::Balanced).order[0];
        if height % 8 == 0 {
            open += u32::from(first == author);
        } else {
            cooled += u32::from(first == author);
        }
        if height % 8 != 0 {
            assert!(!find(Profile::Hardened).leader_set.contains(&author));
        }
    }
    assert_eq!(cooled, 0);
    assert!(open > 0);
}

/// R is the state LAG heights before the one that reveals the seed: a change of credit moves masters only then.
#[test]
fn credit_moves_the_order_after_the_lag() {
    let mut chain = Chain::new(7, Profile::Literal);
    for _ in 0..10 {
        let header = chain.sketch(0..7);
        chain.force(&header);
    }
    let top = chain.standings.leader_set()[0];
    // Whoever is first loses everything.
    let offence = chain.head.height;
    let mut header = chain.sketch(0..7);
    let a = chain.vote(
        crate::consensus::VoteKind::Notarize,
        offence,
        View(1),
        crate::ids::BlockId([1; 32]),
        top.0,
    );
    let b = chain.vote(
        crate::consensus::VoteKind::Notarize,
        offence,
        View(1),
        crate::ids::BlockId([2; 32]),
        top.0,
    );
    header.evidence = crate::consensus::Evidence::from_votes(a, b)
        .into_iter()
        .collect();
    chain.force(&header);
    assert_eq!(chain.credit(top.0), 0);
    let mut seen = Vec::new();
    for _ in 0..=LAG {
        seen.push(chain.standings.leader_set().contains(&top));
        let header = chain.sketch(0..7);
        chain.force(&header);
    }
    // The conviction is in S_h; R of height h+1+LAG is the first that shows it.
    assert!(!seen[usize::try_from(LAG).unwrap()], "{seen:?}");
    assert_eq!(chain.standings.leader_order().last(), Some(&top));
    assert!(seen[..4].iter().any(|&in_set| in_set), "{seen:?}");
}

/// The rules to measure against: every validator alike, whatever its credit; rotation in turn, chance by the seed.
#[test]
fn rotation_and_chance_know_no_credit() {
    let (set, none) = (set(4), Ranking::new([]));
    let first = |profile, height: u64, ranking: &Ranking| {
        let seed = Digest([5; 32]);
        leader_order(profile, &set, ranking, &seed, Height(height), &[]).order
    };
    assert_eq!(ids(&first(Profile::RoundRobin, 9, &none)), [1, 2, 3, 0]);
    let mut hits = [0u32; 4];
    for height in 1..=4_000 {
        let mut order = first(Profile::Random, height, &none);
        assert_eq!(order, first(Profile::Random, height, &ranking(4)));
        hits[usize::from(order[0].0)] += 1;
        order.sort_unstable();
        assert_eq!(ids(&order), [0, 1, 2, 3]);
    }
    assert!(
        hits.iter().all(|hits| (900..1_100).contains(hits)),
        "{hits:?}"
    );
}
