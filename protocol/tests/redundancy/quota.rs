//! Room: what a batch adds, and what goes first.

use crate::sharing_support::*;
use crate::stock::*;
use kithkin_protocol::ids::BatchId;
use kithkin_protocol::record::*;
use kithkin_protocol::sharing::{Threshold, TierKey};
use kithkin_protocol::units::Millis;
use kithkin_protocol::wire;
use proptest::prelude::*;

fn batch(n: u8, bytes: u64, standing: Standing) -> HeldBatch {
    HeldBatch {
        batch: BatchId([n; 32]),
        bytes,
        standing,
        in_case: false,
    }
}

fn superseded(since: u64) -> Standing {
    Standing::Superseded {
        since: Millis(since),
        successor: BatchStatus::Stored,
    }
}

fn ordered(since: u64) -> Standing {
    Standing::Ordered {
        since: Millis(since),
    }
}

fn ids(numbers: &[u8]) -> Vec<BatchId> {
    numbers.iter().map(|n| BatchId([*n; 32])).collect()
}

fn kept() -> Vec<HeldBatch> {
    let degraded = Standing::Superseded {
        since: Millis(1),
        successor: BatchStatus::Degraded,
    };
    vec![
        batch(1, 100, Standing::Current),
        batch(2, 100, superseded(30)),
        batch(3, 300, superseded(20)),
        batch(4, 400, superseded(20)),
        batch(5, 50, ordered(90)),
        batch(6, 10, ordered(80)),
        batch(7, 1_000, degraded),
        HeldBatch {
            in_case: true,
            ..batch(8, 1_000, ordered(1))
        },
        batch(9, 300, superseded(20)),
    ]
}

#[test]
fn what_was_ordered_goes_first_then_the_longest_superseded_and_nothing_that_is_needed() {
    let order: Vec<BatchId> = prunable(&kept())
        .expect("few")
        .iter()
        .map(|b| b.batch)
        .collect();
    assert_eq!(order, ids(&[6, 5, 4, 3, 9, 2]));
    let mut turned = kept();
    turned.reverse();
    assert_eq!(prunable(&turned), prunable(&kept()));
}

#[test]
fn as_little_goes_as_makes_room() {
    // 3,260 bytes are kept, 1,160 may go.
    let admit = |bytes_max, adds| Quota { bytes_max }.admit(&kept(), adds);
    assert_eq!(admit(3_260, 0), Ok(Pruned::default()));
    assert_eq!(admit(10_000, 6_740), Ok(Pruned::default()));
    for (adds, goes, bytes) in [
        (1, &[6][..], 10),
        (10, &[6], 10),
        (11, &[6, 5], 60),
        (61, &[6, 5, 4], 460),
        (1_160, &[6, 5, 4, 3, 9, 2], 1_160),
    ] {
        let expected = Pruned {
            batches: ids(goes),
            bytes,
        };
        assert_eq!(admit(3_260, adds), Ok(expected), "{adds}");
    }
    let full = QuotaError::Full {
        adds: 1_161,
        used: 3_260,
        prunable: 1_160,
        bytes_max: 3_260,
    };
    assert_eq!(admit(3_260, 1_161), Err(full));
    assert_eq!(admit(u64::MAX, u64::MAX), Err(QuotaError::Overflow));
    let two = [batch(1, u64::MAX, ordered(1)), batch(2, 1, ordered(1))];
    let refused = Quota { bytes_max: 5 }.admit(&two, 0);
    assert_eq!(refused, Err(QuotaError::Overflow));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// What the header says is never less than what the manifest says, and little more.
    #[test]
    fn the_header_bounds_what_the_manifest_says(
        n in 3usize..=64,
        slots in 0usize..4,
        lengths in prop::collection::vec(1usize..100_000, 1..50),
    ) {
        let shape = Threshold::majority(n).expect("kin");
        let records = lengths.len() as u64;
        let lines = lengths.iter().enumerate().map(|(n, bytes)| line(1, n, *bytes));
        let manifest = Manifest::new(lines.collect()).expect("a manifest");
        let exact = held_bytes(&manifest, shape, slots).expect("small");
        let most = held_bytes_max(&header(&manifest), shape, slots).expect("small");
        prop_assert!(exact <= most && most <= exact + slots as u64 * (2 * records + 1));
    }
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let shape = threshold(3, 5);
    let manifest = Manifest::new(vec![line(1, 0, CIPHERTEXT_BYTES_MAX + 1)]).expect("one line");
    let overflow = Err(QuotaError::Overflow);
    assert_eq!(held_bytes(&manifest, shape, 1), overflow);
    let good = header(&Manifest::new(vec![line(1, 0, 9)]).expect("one line"));
    let many = BatchHeader {
        records: u32::MAX,
        ..good
    };
    assert_eq!(held_bytes_max(&many, shape, 1), overflow);
    let huge = BatchHeader {
        bytes: u64::MAX,
        ..good
    };
    assert_eq!(held_bytes_max(&huge, shape, 4), overflow);
}

/// Line, capsule and everything of the shard but its bytes, of the largest roster; the rest is for the store's keys.
#[test]
fn the_overhead_of_a_record_is_enough() {
    let shape = Threshold::majority(64).expect("the most");
    let stock = Stock::new(1, shape, &[5_000]);
    let entry = &stock.manifest.entries()[0];
    let context = stock.header.context(entry.record);
    let mut rng = rng(3);
    let public = TierKey::random(&mut rng).public();
    let sealed = seal(b"a record", &context, &public, &mut rng).expect("sealed");
    let shard = &stock.shards[0][63];
    let beside = wire::encode(shard).len() - shard.bytes.len();
    let kept = wire::encode(entry).len() + wire::encode(&sealed.capsule).len() + beside;
    assert!(kept + 256 < RECORD_OVERHEAD_BYTES as usize, "{kept}");
}
