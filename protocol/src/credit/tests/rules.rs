//! The rules of a block: golden numbers by hand, I15 to I18.

use super::Chain;
use crate::consensus::{Evidence, VoteKind};
use crate::credit::score::Record;
use crate::credit::{CREDIT_MAX, CreditReason, LATE};
use crate::ids::{BlockId, ValidatorId};
use crate::ledger::Profile;
use crate::units::{Credit, Height, View};

fn record(credit: u32) -> Record {
    Record {
        credit: Credit(credit),
        ..Record::founder()
    }
}

#[test]
fn gains_by_hand() {
    // C += r * (1,000,000 - C) / 1,000,000
    for (credit, reward, after) in [
        (500_000, 200, 500_100),
        (500_000, 2_000, 501_000),
        (500_000, 500, 500_250),
        (0, 200, 200),
        (999_000, 200, 999_000),
        (995_000, 200, 995_001),
        (999_000, 2_000, 999_002),
        (1_000_000, 2_000, 1_000_000),
    ] {
        let mut record = record(credit);
        record.gain(reward, Height(1));
        assert_eq!(record.credit.0, after, "{credit} + {reward}");
    }
}

#[test]
fn losses_by_hand() {
    let mut skipped = record(500_000);
    let mut seen = Vec::new();
    for _ in 0..6 {
        skipped.skip();
        seen.push(skipped.credit.0);
    }
    // 8,000, 16,000, 32,000, 64,000, 64,000, 64,000
    assert_eq!(seen, [492_000, 476_000, 444_000, 380_000, 316_000, 252_000]);
    assert_eq!(skipped.miss, 6);
    let mut poor = record(5_000);
    poor.skip();
    assert_eq!(poor.credit.0, 0);
}

#[test]
fn drift_by_hand() {
    let drift = |credit, active: u64| {
        let mut record = record(credit);
        record.last_active = Height(active);
        record.drift(Height(128));
        record.credit.0
    };
    assert_eq!(drift(756_000, 128), 752_000); // 256,000 / 64
    assert_eq!(drift(500_000, 128), 500_000);
    assert_eq!(drift(499_500, 128), 500_000);
    assert_eq!(drift(400_000, 128), 401_000);
    assert_eq!(drift(400_000, 65), 401_000);
    assert_eq!(drift(400_000, 64), 400_000, "inactive");
    assert_eq!(
        drift(500_063, 128),
        500_063,
        "less than a 64th of it is nothing"
    );
}

/// I15 and the sentence about the scale: a reward is not zero where most validators stand.
#[test]
fn credit_stays_in_bounds_and_moves_everywhere_below_the_top() {
    for credit in (0..=1_000_000).step_by(997) {
        let mut gained = record(credit);
        gained.gain(200, Height(1));
        assert!(gained.credit <= CREDIT_MAX);
        assert_eq!(gained.credit.0 > credit, credit <= 995_000, "{credit}");
        let mut lost = record(credit);
        lost.lose(50_000);
        assert_eq!(lost.credit.0, credit.saturating_sub(50_000));
    }
}

/// I18, and the terms of jail: 10,000 heights, 20,000, then for good.
#[test]
fn convictions_double_and_the_third_is_for_good() {
    let mut record = record(900_000);
    record.convict(Height(5), Height(10));
    assert_eq!(
        (record.credit.0, record.jailed_until.0, record.offences),
        (0, 10_010, 1)
    );
    record.gain(2_000, Height(10_009));
    assert_eq!(record.credit.0, 0, "I18");
    record.gain(2_000, Height(10_010));
    assert_eq!(record.credit.0, 2_000);
    record.convict(Height(20_000), Height(20_001));
    assert_eq!(
        (record.credit.0, record.jailed_until.0, record.offences),
        (0, 40_001, 2)
    );
    record.last_active = Height(50_000);
    assert!(record.is_eligible(Height(50_000)));
    record.convict(Height(50_000), Height(50_001));
    assert_eq!(record.jailed_until.0, 90_001);
    record.last_active = Height(200_000);
    assert!(!record.is_jailed(Height(200_000)) && !record.is_eligible(Height(200_000)));
}

#[test]
fn candidates_are_old_enough_active_and_free() {
    let mut newcomer = Record::newcomer(Height(100));
    assert_eq!(newcomer.credit.0, 300_000);
    newcomer.last_active = Height(1_123);
    assert!(!newcomer.is_eligible(Height(1_123)));
    newcomer.last_active = Height(1_124);
    assert!(newcomer.is_eligible(Height(1_124)));
    assert!(newcomer.is_eligible(Height(1_139)));
    assert!(
        !newcomer.is_eligible(Height(1_140)),
        "no credited vote within 16 heights"
    );
}

/// Rule 1 by hand: everybody signs height 1, three of four height 2, the fourth's vote comes late.
#[test]
fn votes_earn_once_and_late_ones_too() {
    let mut chain = Chain::new(4, Profile::Balanced);
    let first = chain.header(View(1));
    assert!(
        chain.push(&first).is_empty(),
        "nothing to credit in the first block"
    );
    let author = first.author;
    let second = chain.header(View(1));
    let changes = chain.push(&second);
    assert_eq!(changes.len(), 5, "four voters and an author");
    for id in 0..4 {
        // 500,000 + 100, and for the author + 2,000 * 499,900 / 1,000,000 = 999
        assert_eq!(
            chain.credit(id),
            if ValidatorId(id) == author {
                501_099
            } else {
                500_100
            }
        );
    }
    let late = chain.vote(
        VoteKind::Finalize,
        chain.head.height,
        View(1),
        chain.head.id,
        3,
    );
    let mut third = chain.header(View(1));
    third.parent_cert = Some(chain.finalization(View(1), 0..3));
    chain.push(&third);
    let before = chain.credit(3);
    let mut fourth = chain.header(View(1));
    fourth.late_votes = vec![late.clone()];
    let changes = chain.push(&fourth);
    let voted: Vec<_> = changes
        .iter()
        .filter(|change| change.validator == ValidatorId(3))
        .filter_map(|change| match change.reason {
            CreditReason::Voted { height } => Some(height.0),
            _ => None,
        })
        .collect();
    assert_eq!(voted, [3, 2]);
    assert!(chain.credit(3) > before);
    // The same vote again is refused by the check and earns nothing when forced.
    let mut fifth = chain.header(View(1));
    fifth.late_votes = vec![late];
    assert!(chain.standings.check_header(&fifth, &chain.head).is_err());
    let changes = chain.force(&fifth);
    assert!(
        changes
            .iter()
            .all(|change| change.reason != CreditReason::Voted { height: Height(2) })
    );
}

/// Rule 2 by hand: views 1 and 2 fail, view 3's master writes the block.
#[test]
fn masters_that_are_skipped_lose() {
    let mut chain = Chain::new(4, Profile::Hardened);
    let order = chain.standings.leader_order();
    let block = chain.header(View(3));
    chain.push(&block);
    let mut next = chain.header(View(1));
    next.parent_cert = Some(chain.finalization(View(4), 0..4));
    let changes = chain.push(&next);
    let skipped: Vec<_> = changes
        .iter()
        .filter(|change| change.reason == CreditReason::Skipped)
        .map(|change| (change.validator, change.before.0 - change.after.0))
        .collect();
    let mut expected = vec![(order[0], 8_000), (order[1], 8_000)];
    expected.sort();
    assert_eq!(skipped, expected);
    let late = CreditReason::Authored { own_view: false };
    // 500,100 + 500 * 499,900 / 1,000,000 = 249
    let author = changes.iter().find(|change| change.reason == late).unwrap();
    assert_eq!((author.validator, author.after.0), (order[2], 500_349));
    assert_eq!(chain.standings.record(order[0]).unwrap().miss, 1);
}

/// Rule 2: with more views than validators each master loses once, and the author is spared.
#[test]
fn a_long_height_costs_each_master_once() {
    let mut chain = Chain::new(4, Profile::Balanced);
    let order = chain.standings.leader_order();
    let block = chain.header(View(10));
    chain.push(&block);
    let mut next = chain.header(View(1));
    next.parent_cert = Some(chain.finalization(View(10), 0..4));
    let changes = chain.push(&next);
    let skipped = changes
        .iter()
        .filter(|change| change.reason == CreditReason::Skipped)
        .count();
    assert_eq!(skipped, 3);
    assert_eq!(
        chain.standings.record(order[1]).unwrap().miss,
        0,
        "wrote view 10"
    );
}

/// Rules 4 and 5 by hand: validator 3 of four never votes.
#[test]
fn absence_costs_every_64_heights() {
    let mut chain = Chain::new(4, Profile::Balanced);
    for height in 1..=128 {
        let header = chain.sketch(0..3);
        chain.force(&header);
        let expected = match height {
            1..=63 => 500_000,
            64..=127 => 498_000,
            _ => 496_000,
        };
        // It may have written blocks in its first 16 heights, so only losses are compared.
        let authored = chain.credit(3) - expected;
        assert!(authored < 20_000, "height {height}: {}", chain.credit(3));
    }
    assert!(chain.credit(0) > 500_000);
    assert!(!chain.standings.rows().nth(3).unwrap().eligible);
}

/// I16 and I17: one block moves credit only as far as its votes and its parent's author allow, and nothing else does.
#[test]
fn gains_per_block_are_bounded() {
    let mut chain = Chain::new(7, Profile::Hardened);
    for _ in 0..300 {
        let before: Vec<_> = chain.standings.rows().collect();
        let header = chain.sketch(0..7);
        let changes = chain.force(&header);
        let gained: u64 = changes
            .iter()
            .map(|change| u64::from(change.after.0.saturating_sub(change.before.0)))
            .sum();
        assert!(gained <= 7 * 200 * LATE + 2_000 + 7 * 1_000, "I16");
        for (old, new) in before.iter().zip(chain.standings.rows()) {
            let last = changes.iter().rfind(|change| change.validator == old.id);
            assert_eq!(
                last.map_or(old.credit, |change| change.after),
                new.credit,
                "I17"
            );
        }
    }
}

#[test]
fn one_conviction_per_validator_and_height() {
    let mut chain = Chain::new(4, Profile::Balanced);
    for _ in 0..5 {
        let header = chain.header(View(1));
        chain.push(&header);
    }
    let offence = |chain: &Chain, height: u64, view: u64| {
        let vote = |byte| {
            chain.vote(
                VoteKind::Notarize,
                Height(height),
                View(view),
                BlockId([byte; 32]),
                2,
            )
        };
        Evidence::from_votes(vote(1), vote(2)).unwrap()
    };
    let mut header = chain.header(View(1));
    header.evidence = vec![offence(&chain, 3, 1)];
    let changes = chain.push(&header);
    assert!(
        changes
            .iter()
            .any(|change| change.validator == ValidatorId(2) && change.after.0 == 0)
    );
    let mut again = chain.header(View(1));
    again.evidence = vec![offence(&chain, 3, 2)];
    assert!(chain.standings.check_header(&again, &chain.head).is_err());
    // Another height is another offence, until the third.
    for (height, allowed) in [(4, true), (5, true), (6, false)] {
        let mut header = chain.header(View(1));
        header.evidence = vec![offence(&chain, height, 1)];
        assert_eq!(
            chain.standings.check_header(&header, &chain.head).is_ok(),
            allowed,
            "{height}"
        );
        if allowed {
            chain.push(&header);
        }
    }
    let row = chain.standings.rows().nth(2).unwrap();
    assert_eq!((row.offences, row.eligible, row.credit.0), (3, false, 0));
}

/// Rule 6: the validators of the hospital lose, nobody else.
#[test]
fn a_hospitals_misconduct_costs_its_validators() {
    let mut fixture = crate::testing::fixture(4, Profile::Balanced);
    let hospital = fixture.genesis.hospitals[0].id();
    fixture.genesis.validators[1].hospital = Some(hospital);
    let mut standings = crate::credit::Standings::genesis(&fixture.genesis);
    let changes = standings.case_unjustified(hospital);
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].before.0, changes[0].after.0),
        (500_000, 450_000)
    );
    let changes = standings.review_overdue(hospital);
    assert_eq!(changes[0].after.0, 430_000);
    assert!(
        standings
            .rows()
            .filter(|row| row.id != ValidatorId(1))
            .all(|row| row.credit.0 == 500_000)
    );
}

/// The beacon: bound to the author's one output, the height and the seed before.
#[test]
fn seeds_differ_from_block_to_block_and_between_authors() {
    let mut chain = Chain::new(4, Profile::Hardened);
    let mut seen = std::collections::BTreeSet::from([chain.standings.seed()]);
    for view in [1, 2, 3, 1, 1] {
        let header = chain.header(View(view));
        let mut other = chain.standings.clone();
        let rival = chain.header(View(view + 1));
        other.apply(&rival, rival.id());
        chain.push(&header);
        assert_ne!(chain.standings.seed(), other.seed());
        assert!(seen.insert(chain.standings.seed()));
    }
}

/// What is stored is read back, and later validator sets hold from their height on.
#[test]
fn standings_survive_storage_and_sets_change_on_time() {
    let mut chain = Chain::new(4, Profile::Balanced);
    for _ in 0..6 {
        let header = chain.header(View(1));
        chain.push(&header);
    }
    let bytes = crate::wire::encode(&chain.standings);
    assert_eq!(crate::wire::decode(&bytes), Ok(chain.standings.clone()));
    let larger = crate::testing::fixture(5, Profile::Balanced);
    let newcomer = larger.genesis.validators[4].clone();
    let change = crate::ledger::Change::Admit(newcomer);
    assert_eq!(chain.standings.amend(&[change]), Ok(()));
    assert_eq!(
        (
            chain.standings.validators().n(),
            chain.standings.previous_validators().n()
        ),
        (4, 4)
    );
    let header = chain.sketch(0..4);
    chain.force(&header);
    assert_eq!(
        (
            chain.standings.validators().n(),
            chain.standings.previous_validators().n()
        ),
        (5, 4)
    );
    assert_eq!(
        chain.standings.leader_order().last(),
        Some(&ValidatorId(4)),
        "a newcomer stands behind"
    );
    assert_eq!(chain.standings.validators_at(Height(7)).n(), 4);
    assert_eq!(chain.standings.validators_at(Height(8)).n(), 5);
    // A set is forgotten when evidence of its last height has expired.
    let age = crate::credit::EVIDENCE_AGE;
    for (height, n) in [(7 + age, 4), (8 + age, 5)] {
        chain.standings.height = Height(height - 1);
        chain.head.height = Height(height - 1);
        let header = chain.sketch(0..4);
        chain.force(&header);
        assert_eq!(chain.standings.validators_at(Height(7)).n(), n);
    }
}
