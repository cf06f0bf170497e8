//! Shards: which subsets give the ciphertext back, and who is named when one is bad.

mod sharing_support;

use kithkin_protocol::crypto::{Digest, merkle};
use kithkin_protocol::ids::RecordId;
use kithkin_protocol::record::*;
use kithkin_protocol::sharing::Threshold;
use kithkin_protocol::wire;
use proptest::prelude::*;
use sharing_support::*;

fn bytes(length: usize) -> Vec<u8> {
    let mut noise = vec![0; length];
    rng(4).fill_bytes(&mut noise);
    noise
}

fn entry(ciphertext: &[u8], shard_root: Digest) -> RecordEntry {
    RecordEntry {
        record: RecordId([1; 32]),
        commitment: Digest::ZERO,
        ciphertext: ciphertext_digest(ciphertext),
        capsule: Digest::ZERO,
        shard_root,
        bytes: ciphertext.len() as u32,
    }
}

fn cut(ciphertext: &[u8], threshold: Threshold) -> (Vec<Shard>, RecordEntry) {
    let set = shards(ciphertext, threshold).expect("cut");
    assert_eq!(set.shards.len(), threshold.kin());
    let entry = entry(ciphertext, set.root);
    (set.shards, entry)
}

#[test]
fn every_subset_of_threshold_size_rebuilds_and_no_smaller_one() {
    for kin in 3..=9 {
        let threshold = Threshold::majority(kin).expect("kin");
        let needed = threshold.needed();
        for length in [1, 2, 3, 61, 1_000] {
            let ciphertext = bytes(length);
            let (shards, entry) = cut(&ciphertext, threshold);
            for subset in subsets(kin, needed) {
                let rebuilt = rebuild(&pick(&shards, &subset), threshold, &entry);
                let expected = Rebuilt {
                    ciphertext: ciphertext.clone(),
                    refused: vec![],
                };
                assert_eq!(rebuilt, Ok(expected));
            }
            for subset in subsets(kin, needed - 1) {
                let (good, refused) = (needed - 1, vec![]);
                assert_eq!(
                    rebuild(&pick(&shards, &subset), threshold, &entry),
                    Err(ShardError::TooFew {
                        good,
                        needed,
                        refused
                    })
                );
            }
        }
    }
}

#[test]
fn a_bad_shard_at_any_position_is_named_and_the_rest_succeeds() {
    for kin in 3..=9 {
        let threshold = Threshold::majority(kin).expect("kin");
        let ciphertext = bytes(500);
        let (shards, entry) = cut(&ciphertext, threshold);
        for bad in 0..kin {
            let neighbour = &shards[(bad + 1) % kin];
            let index = shards[bad].index;
            let spoil: [&dyn Fn(&mut Shard); 6] = [
                &|shard| shard.bytes[0] ^= 1,
                &|shard| _ = shard.bytes.pop(),
                &|shard| shard.bytes.clear(),
                &|shard| shard.bytes.clone_from(&neighbour.bytes),
                &|shard| shard.path = neighbour.path.clone(),
                &|shard| {
                    *shard = Shard {
                        index: shard.index,
                        ..neighbour.clone()
                    }
                },
            ];
            for spoil in spoil {
                let mut given = shards.clone();
                spoil(&mut given[bad]);
                let wrong = ShardFault::Wrong { index };
                assert_eq!(given[bad].verify(&entry, threshold), Err(wrong));
                let rebuilt = rebuild(&given, threshold, &entry).expect("enough are good");
                assert_eq!(rebuilt.ciphertext, ciphertext);
                assert_eq!(rebuilt.refused, vec![wrong]);
            }
        }
    }
}

#[test]
fn one_changed_bit_of_a_shard_is_refused() {
    let threshold = Threshold::majority(5).expect("five");
    let (shards, entry) = cut(&bytes(20), threshold);
    let frame = wire::encode(&shards[4]);
    assert_eq!(wire::decode::<Shard>(&frame).as_ref(), Ok(&shards[4]));
    for (byte, changed) in bit_flips(&frame) {
        if let Ok(shard) = wire::decode::<Shard>(&changed) {
            assert!(shard.verify(&entry, threshold).is_err(), "byte {byte}");
        }
    }
}

#[test]
fn one_shard_counts_once() {
    let threshold = Threshold::majority(5).expect("five");
    let (shards, entry) = cut(&bytes(100), threshold);
    let given = pick(&shards, &[3, 3, 4, 3]);
    let duplicate = ShardFault::Duplicate { index: index(4) };
    assert_eq!(
        rebuild(&given, threshold, &entry),
        Err(ShardError::TooFew {
            good: 2,
            needed: 3,
            refused: vec![duplicate; 2]
        })
    );
    let found = 65;
    assert_eq!(
        rebuild(&vec![shards[0].clone(); found], threshold, &entry),
        Err(ShardError::TooMany { found })
    );
}

#[test]
fn without_spare_shards_all_are_needed() {
    let threshold = Threshold::new(4, 4).expect("all of four");
    let ciphertext = bytes(1_001);
    let (shards, entry) = cut(&ciphertext, threshold);
    let rebuilt = rebuild(&shards, threshold, &entry).expect("all four");
    assert_eq!(rebuilt.ciphertext, ciphertext);
    assert!(rebuild(&shards[1..], threshold, &entry).is_err());
}

#[test]
fn the_code_is_systematic_and_costs_less_than_twice_the_space() {
    for kin in [3, 5, 9, 21, 64] {
        let threshold = Threshold::majority(kin).expect("kin");
        let ciphertext = bytes(100_000);
        let (shards, _) = cut(&ciphertext, threshold);
        let data: Vec<u8> = shards[..threshold.needed()]
            .iter()
            .flat_map(|s| s.bytes.clone())
            .collect();
        assert_eq!(data[..ciphertext.len()], ciphertext);
        let total: usize = shards.iter().map(|shard| shard.bytes.len()).sum();
        assert!(total < 2 * ciphertext.len(), "{kin} kin: {total}");
    }
}

#[test]
fn lengths_are_bounded() {
    let threshold = Threshold::majority(3).expect("three");
    for length in [0, CIPHERTEXT_BYTES_MAX + 1] {
        let bad = ShardError::Length { bytes: length };
        assert_eq!(shards(&vec![0; length], threshold), Err(bad));
    }
    let (shards, good) = cut(&bytes(50), threshold);
    for bytes in [0, u32::MAX] {
        let entry = RecordEntry {
            bytes,
            ..good.clone()
        };
        assert!(matches!(
            rebuild(&shards, threshold, &entry),
            Err(ShardError::Length { .. })
        ));
        assert!(shards[0].verify(&entry, threshold).is_err());
    }
    let entry = RecordEntry { bytes: 49, ..good };
    assert!(rebuild(&shards, threshold, &entry).is_err());
}

/// A root stands for one threshold and one number of kin.
#[test]
fn another_way_of_cutting_is_refused() {
    let threshold = Threshold::new(3, 5).expect("3 of 5");
    let (shards, entry) = cut(&bytes(6), threshold);
    for (needed, kin) in [(4, 5), (4, 6)] {
        let other = Threshold::new(needed, kin).expect("a threshold");
        assert!(rebuild(&shards, other, &entry).is_err());
    }
}

/// Shards that carry good proofs but belong to no code word: the author did that, no kin.
#[test]
fn an_author_who_cuts_wrongly_is_found_out() {
    let threshold = Threshold::majority(3).expect("three");
    let (first, _) = cut(&bytes(64), threshold);
    let other = vec![7; 64];
    let (second, _) = cut(&other, threshold);
    let entry = entry(&bytes(64), Digest::ZERO);
    let mut mixed = vec![first[0].clone(), second[1].clone(), first[2].clone()];
    let leaves: Vec<Digest> = mixed.iter().map(|s| s.leaf(&entry, threshold)).collect();
    let tree = merkle::MerkleTree::new(&leaves);
    for (position, shard) in mixed.iter_mut().enumerate() {
        shard.path = tree.path(position).expect("three leaves");
    }
    let entry = RecordEntry {
        shard_root: tree.root(),
        ..entry
    };
    for shard in &mixed {
        assert_eq!(shard.verify(&entry, threshold), Ok(()));
    }
    assert_eq!(
        rebuild(&mixed[..2], threshold, &entry),
        Err(ShardError::Inconsistent)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_majority_rebuilds_whatever_else_is_bad(
        kin in 3usize..=64,
        length in 1usize..5_000,
        order in any::<u64>(),
        bad in 0usize..64,
    ) {
        let threshold = Threshold::majority(kin).expect("kin");
        let ciphertext = bytes(length);
        let (mut shards, entry) = cut(&ciphertext, threshold);
        let bad = bad % (kin - threshold.needed() + 1);
        let start = (order % kin as u64) as usize;
        shards.rotate_left(start);
        for shard in &mut shards[..bad] {
            shard.bytes[0] ^= 0x80;
        }
        let expected: Vec<ShardFault> =
            shards[..bad].iter().map(|s| ShardFault::Wrong { index: s.index }).collect();
        let rebuilt = rebuild(&shards, threshold, &entry).expect("enough are good");
        prop_assert_eq!(rebuilt.ciphertext, ciphertext);
        prop_assert_eq!(rebuilt.refused, expected);
    }
}
