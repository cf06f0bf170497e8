//! Repair among kin: what comes back is what was lost, and who sent something else is named.

use crate::sharing_support::*;
use crate::stock::*;
use kithkin_protocol::crypto::merkle::MerkleTree;
use kithkin_protocol::ids::KinId;
use kithkin_protocol::record::*;
use kithkin_protocol::sharing::Threshold;

fn kin(n: usize) -> KinId {
    KinId([n as u8; 32])
}

fn repair(stock: &Stock, slot: u8) -> Repair {
    let entry = stock.manifest.entries()[0].clone();
    Repair::new(entry, stock.shape, index(slot)).expect("a slot")
}

#[test]
fn any_threshold_of_the_others_makes_every_lost_shard_anew() {
    for n in 3..=7 {
        for length in [1, 500, 2_501] {
            let shape = Threshold::majority(n).expect("kin");
            let stock = Stock::new(n as u8, shape, &[length]);
            for lost in 0..n {
                for others in subsets(n, shape.needed()).filter(|set| !set.contains(&lost)) {
                    let mut repair = repair(&stock, lost as u8 + 1);
                    for (taken, other) in others.iter().enumerate() {
                        assert_eq!(repair.missing(), shape.needed() - taken);
                        let shard = stock.shards[0][*other].clone();
                        assert_eq!(repair.offer(kin(*other), shard), Ok(Offered::Taken));
                    }
                    assert!(repair.is_ready());
                    assert_eq!(repair.finish().as_ref(), Ok(&stock.shards[0][lost]));
                }
            }
        }
    }
}

#[test]
fn who_sends_a_wrong_shard_is_named_and_the_rest_succeeds() {
    let stock = Stock::new(1, threshold(3, 5), &[2_000]);
    let shards = &stock.shards[0];
    let mut repair = repair(&stock, 5);
    let record = stock.manifest.entries()[0].record;
    for (n, good) in shards[..4].iter().enumerate() {
        let mut bad = good.clone();
        bad.bytes[500] ^= 1;
        let fault = RepairFault {
            from: kin(n),
            index: good.index,
            record,
        };
        let before = repair.missing();
        assert_eq!(repair.offer(kin(n), bad), Err(fault));
        let other = Shard {
            index: good.index,
            ..shards[4].clone()
        };
        assert_eq!(repair.offer(kin(n), other), Err(fault));
        assert_eq!(repair.missing(), before);
        let taken = if n < 3 {
            Offered::Taken
        } else {
            Offered::Spare
        };
        assert_eq!(repair.offer(kin(n), good.clone()), Ok(taken));
        assert_eq!(repair.offer(kin(9), good.clone()), Ok(Offered::Spare));
    }
    assert_eq!(repair.finish().as_ref(), Ok(&shards[4]));
}

#[test]
fn too_few_make_nothing_and_the_shard_itself_is_enough() {
    let stock = Stock::new(1, threshold(3, 5), &[2_000]);
    let mut repair = repair(&stock, 5);
    for n in 0..2 {
        let shard = stock.shards[0][n].clone();
        assert_eq!(repair.offer(kin(n), shard), Ok(Offered::Taken));
    }
    let few = ShardError::TooFew {
        good: 2,
        needed: 3,
        refused: vec![],
    };
    assert_eq!(repair.finish(), Err(RepairError::Shards(few)));
    let itself = stock.shards[0][4].clone();
    assert_eq!(repair.offer(kin(7), itself.clone()), Ok(Offered::Taken));
    assert!(repair.is_ready());
    assert_eq!(repair.finish(), Ok(itself));
}

#[test]
fn slots_and_lengths_are_checked() {
    let stock = Stock::new(1, threshold(3, 5), &[2_000]);
    let entry = stock.manifest.entries()[0].clone();
    let slot = index(6);
    let refused = Repair::new(entry.clone(), stock.shape, slot);
    let expected = RepairError::Slot { slot, kin: 5 };
    assert_eq!(refused.expect_err("five slots"), expected);
    let entry = RecordEntry { bytes: 0, ..entry };
    assert!(matches!(
        Repair::new(entry, stock.shape, index(1)),
        Err(RepairError::Shards(ShardError::Length { bytes: 0 }))
    ));
}

/// The author bound shards to the manifest that are no code word: no kin is blamed for it.
#[test]
fn an_author_who_cut_wrongly_is_named_and_no_kin() {
    let shape = threshold(3, 5);
    let stock = Stock::new(1, shape, &[2_000]);
    let stranger = Stock::new(2, shape, &[2_000]);
    for foreign in [1, 4] {
        let mut shards = stock.shards[0].clone();
        shards[foreign] = stranger.shards[0][foreign].clone();
        let entry = stock.manifest.entries()[0].clone();
        let tree = MerkleTree::new(shards.iter().map(|shard| shard.leaf(&entry, shape)));
        let entry = RecordEntry {
            shard_root: tree.root(),
            ..entry
        };
        let record = entry.record;
        let mut repair = Repair::new(entry, shape, index(5)).expect("a slot");
        for (n, shard) in shards.into_iter().enumerate().take(3) {
            let path = tree.path(n).expect("five leaves");
            let shard = Shard { path, ..shard };
            assert_eq!(repair.offer(kin(n), shard), Ok(Offered::Taken));
        }
        assert_eq!(repair.finish(), Err(RepairError::Author { record }));
    }
}
