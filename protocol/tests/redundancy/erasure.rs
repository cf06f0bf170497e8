//! Receipts of deletion cover every field and are their kin's.

use crate::sharing_support::*;
use crate::stock::*;
use kithkin_protocol::crypto::{Digest, Signature, SigningKey};
use kithkin_protocol::ids::{BatchId, ChainId, KinId, PatientId, RecordId};
use kithkin_protocol::ledger::TRANSACTION_BYTES_MAX;
use kithkin_protocol::record::*;
use kithkin_protocol::units::{Epoch, Millis, Tier};
use kithkin_protocol::wire;

fn records(count: usize) -> Vec<RecordId> {
    (0..count).map(|n| line(1, n, 1).record).collect()
}

fn body(key: &SigningKey) -> ErasureBody {
    ErasureBody {
        chain: CHAIN,
        kin: KinId::of(&key.verifying_key()),
        slot: index(2),
        patient: PATIENT,
        tier: Tier::Chart,
        epoch: Epoch(3),
        batch: BatchId([7; 32]),
        erased: Erased::Records(records(3)),
        held: held_digest([Digest([1; 32])]),
        at: Millis(1_000),
    }
}

#[test]
fn a_receipt_of_deletion_is_its_kins_and_covers_every_field() {
    let key = SigningKey::random(&mut rng(1));
    let (public, stranger) = (key.verifying_key(), SigningKey::random(&mut rng(2)));
    let good = body(&key).sign(&key);
    assert_eq!(good.verify(&public), Ok(()));
    assert_eq!(wire::decode(&wire::encode(&good)), Ok(good.clone()));
    let kin = good.body.kin;
    let bad = Err(ErasureError::Signature { kin });
    assert_eq!(good.verify(&stranger.verifying_key()), bad);
    assert_eq!(body(&key).sign(&stranger).verify(&public), bad);
    let change: [&dyn Fn(&mut ErasureBody); 11] = [
        &|b| b.chain = ChainId([0; 32]),
        &|b| b.slot = index(3),
        &|b| b.patient = PatientId([0; 32]),
        &|b| b.tier = Tier::Summary,
        &|b| b.epoch = Epoch(4),
        &|b| b.batch = BatchId([0; 32]),
        &|b| b.erased = Erased::Batch,
        &|b| b.erased = Erased::Records(records(2)),
        &|b| b.erased = Erased::Records(records(4)),
        &|b| b.held = Digest::ZERO,
        &|b| b.at = Millis(1_001),
    ];
    for (n, change) in change.into_iter().enumerate() {
        let mut changed = good.clone();
        change(&mut changed.body);
        assert_eq!(changed.verify(&public), bad, "field {n}");
    }
    let mut other = good.clone();
    other.body.kin = KinId::of(&stranger.verifying_key());
    assert!(other.verify(&public).is_err());
    let mut other = good;
    other.signature = Signature([0; 64]);
    assert_eq!(other.verify(&public), bad);
}

#[test]
fn its_records_are_bounded_and_in_order() {
    let key = SigningKey::random(&mut rng(1));
    let verify = |records: Vec<RecordId>| {
        let erased = Erased::Records(records);
        let body = ErasureBody {
            erased,
            ..body(&key)
        };
        body.sign(&key).verify(&key.verifying_key())
    };
    for found in [0, ERASED_MAX + 1] {
        assert_eq!(verify(records(found)), Err(ErasureError::Count { found }));
    }
    let mut swapped = records(3);
    swapped.swap(1, 2);
    let record = swapped[2];
    assert_eq!(verify(swapped), Err(ErasureError::Order { record }));
    let (one, record) = (records(1), records(1)[0]);
    let twice = [one.clone(), one.clone()].concat();
    assert_eq!(verify(twice), Err(ErasureError::Order { record }));
    assert_eq!(verify(one), Ok(()));
    assert_eq!(verify(records(ERASED_MAX)), Ok(()));

    let erased = Erased::Records(records(ERASED_MAX));
    let frame = wire::encode(
        &ErasureBody {
            erased,
            ..body(&key)
        }
        .sign(&key),
    );
    assert!(
        frame.len() < TRANSACTION_BYTES_MAX / 8 * 5,
        "{}",
        frame.len()
    );
}

#[test]
fn a_whole_batch_ends_the_storage_receipt_and_a_part_does_not() {
    let key = SigningKey::random(&mut rng(1));
    let stock = Stock::new(1, threshold(3, 5), &[600, 700]);
    let leaves = stock.manifest.entries().iter().zip(&stock.shards);
    let held = held_digest(leaves.map(|(line, shards)| shards[1].leaf(line, stock.shape)));
    let receipt = ReceiptBody {
        chain: CHAIN,
        kin: KinId::of(&key.verifying_key()),
        index: index(2),
        patient: PATIENT,
        tier: Tier::Chart,
        epoch: Epoch(1),
        manifest_root: stock.header.manifest_root,
        held,
    };
    let whole = ErasureBody {
        batch: stock.header.id(),
        erased: Erased::Batch,
        held,
        ..body(&key)
    };
    assert!(whole.ends(&receipt));
    assert!(
        !ErasureBody {
            erased: Erased::Records(records(2)),
            ..whole.clone()
        }
        .ends(&receipt)
    );
    assert!(
        !ErasureBody {
            slot: index(3),
            ..whole.clone()
        }
        .ends(&receipt)
    );
    assert!(
        !ErasureBody {
            held: Digest::ZERO,
            ..whole.clone()
        }
        .ends(&receipt)
    );
    assert!(
        !ErasureBody {
            tier: Tier::Summary,
            ..whole
        }
        .ends(&receipt)
    );
    let some = Erased::Records(records(2));
    assert!(some.covers(&records(2)[1]) && !some.covers(&records(3)[2]));
    assert!(Erased::Batch.covers(&records(3)[2]));
}
