//! Writing files: stored, degraded and repaired, refused; and what the patient gets back.

use super::house_with;
use super::{House, house, join};
use crate::hospital::messages::{FetchRecords, HospitalError, Written};
use crate::ports::names::ActorName;
use crate::upload::OpenedRecord;
use crate::validator::messages::{Answer, Look};
use kithkin_fhir::fixture::{collection_bundle, demo_bundle, document_bundle};
use kithkin_protocol::ids::BatchId;
use kithkin_protocol::ledger::{BatchEntry, What};
use kithkin_protocol::record::{BatchStatus, open};
use kithkin_protocol::sharing::{Commitments, capsule_key_direct};
use kithkin_protocol::units::{Height, Tier};
use std::collections::{BTreeMap, BTreeSet};

async fn on_chain(house: &House) -> BTreeMap<BatchId, BatchEntry> {
    let client = house.cluster.client();
    let mut found = BTreeMap::new();
    for tier in Tier::ALL {
        let look = Look::Batches(house.patient(), tier, Height(u64::MAX));
        let answer = client.look(look, House::deadline()).await.expect("seen");
        let Answer::Batches(batches) = answer else {
            panic!("{answer:?}");
        };
        found.extend(batches.into_iter().map(|(_, entry)| (entry.id, entry)));
    }
    found
}

/// Fetches everything as the patient's device and opens it with the patient's own keys.
async fn opened_by_patient(house: &House, written: &Written) -> Vec<OpenedRecord> {
    let port = house.cluster.network().port(ActorName::Patient(0));
    let client = house.cluster.client();
    let look = Look::Patient(house.patient());
    let answer = client.look(look, House::deadline()).await.expect("seen");
    let Answer::Patient(Some(patient)) = answer else {
        panic!("{answer:?}");
    };
    let mut opened = Vec::new();
    for batch in &written.batches {
        let question = FetchRecords { root: batch.root };
        let fetched = house.ask_as(port.clone(), 0, question).await;
        let fetched = fetched.expect("it is the patient");
        let shares = patient.enrolment.tier(batch.tier).expect("every tier");
        let commitments: &Commitments = &shares.commitments;
        let capsules = fetched.upload.check(commitments).expect("good capsules");
        let key = &house.tier_keys[&batch.tier];
        for (capsule, (record, ciphertext)) in capsules.iter().zip(&fetched.ciphertexts) {
            assert_eq!(capsule.entry().record, *record);
            let key = capsule_key_direct(key, capsule).expect("the patient's");
            opened.push(OpenedRecord {
                tier: batch.tier,
                record: *record,
                root: batch.root,
                bytes: open(&key, capsule, ciphertext).expect("opens"),
            });
        }
    }
    opened
}

#[actix::test]
async fn a_file_is_stored_with_all_kin_and_comes_back_byte_for_byte() {
    let house = house().await;
    for bundle in [demo_bundle(), document_bundle(), collection_bundle()] {
        let written = house.write(bundle, 10_000).await.expect("written");
        assert_eq!(written.bytes, bundle.len());
        let on_chain = on_chain(&house).await;
        for batch in &written.batches {
            assert_eq!(batch.status, BatchStatus::Stored);
            let entry = &on_chain[&batch.batch];
            assert_eq!(entry.header.status, BatchStatus::Stored);
            assert_eq!(entry.header.receipts, 5);
            assert_eq!(entry.header.manifest_root, batch.root);
            assert!(batch.on_chain_bytes < 1_024, "{}", batch.on_chain_bytes);
        }
        let tiers: BTreeSet<Tier> = written.batches.iter().map(|batch| batch.tier).collect();
        assert!(tiers.contains(&Tier::Summary) && tiers.contains(&Tier::Chart));
        let opened = opened_by_patient(&house, &written).await;
        assert_eq!(join(&opened), bundle);
    }
    house.close().await;
}

#[actix::test]
async fn a_degraded_file_is_repaired_when_the_missing_kin_comes_back() {
    let mut house = house().await;
    house.send_away(3).await;
    let written = house.write(demo_bundle(), 300).await.expect("written");
    let degraded: BTreeSet<BatchId> = written.batches.iter().map(|batch| batch.batch).collect();
    for batch in &written.batches {
        assert_eq!(batch.status, BatchStatus::Degraded);
    }
    // What is to be repaired is on disk: a restart does not forget it.
    house.panic(ActorName::Hospital(0)).await;
    house.bring_back(3).await;
    let mut repaired = BTreeSet::new();
    while repaired != degraded {
        let event = house
            .until(|event| matches!(event.what, What::Batch { stored: true, .. }))
            .await;
        if let What::Batch { batch, .. } = event.what {
            repaired.insert(batch);
        }
    }
    for (id, entry) in on_chain(&house).await {
        assert_eq!(entry.header.status, BatchStatus::Stored, "{id}");
        assert_eq!(entry.header.receipts, 5);
    }
    house.close().await;
}

#[actix::test]
async fn with_too_few_kin_nothing_goes_on_chain() {
    let house = house().await;
    for n in 0..3 {
        house.send_away(n).await;
    }
    let answer = house.write(demo_bundle(), 300).await;
    let Err(HospitalError::TooFewReceipts {
        receipts: 2,
        needed: 3,
        kin: 5,
        unsigned,
    }) = answer
    else {
        panic!("{answer:?}");
    };
    let named: BTreeSet<_> = unsigned.iter().map(|one| one.kin).collect();
    let away = (0..3).filter_map(|n| house.cluster.kin(0, n)).collect();
    assert_eq!(named, away);
    assert_eq!(on_chain(&house).await, BTreeMap::new());
    for n in 0..3 {
        house.bring_back(n).await;
    }
    let written = house.write(demo_bundle(), 30_000).await.expect("written");
    let stored = |batch: &crate::hospital::messages::WrittenBatch| batch.status;
    assert!(
        written
            .batches
            .iter()
            .all(|batch| stored(batch) == BatchStatus::Stored)
    );
    house.close().await;
}

/// Kin that have no room say so, and the hospital says it to whoever wanted to write.
#[actix::test]
async fn kin_that_are_full_are_named_with_the_reason() {
    let house = house_with(1, 3_000, None).await;
    let answer = house.write(demo_bundle(), 30_000).await;
    let Err(error @ HospitalError::TooFewReceipts { .. }) = answer else {
        panic!("{answer:?}");
    };
    let text = error.to_string();
    assert!(text.contains("bytes more do not fit"), "{text}");
    assert_eq!(on_chain(&house).await, BTreeMap::new());
    house.close().await;
}

/// A crash before anything was signed leaves nothing on chain; asked again, the hospital writes the file once.
#[actix::test]
async fn a_write_that_a_crash_interrupts_leaves_nothing_behind() {
    let house = house().await;
    house.send_away(3).await;
    let spreading = house.spreading();
    let crash = async {
        spreading.notified().await;
        house.panic(ActorName::Hospital(0)).await;
    };
    let (written, ()) = tokio::join!(house.write(demo_bundle(), 1_000), crash);
    let written = written.expect("written at the second try");
    let expected: BTreeSet<BatchId> = written.batches.iter().map(|batch| batch.batch).collect();
    let found: BTreeSet<BatchId> = on_chain(&house).await.into_keys().collect();
    assert_eq!(found, expected);
    house.close().await;
}
