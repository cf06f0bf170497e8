//! Frames of records: capsules, shards, receipts, openings.

use super::decoded;
use crate::emergency::Request;
use crate::ids::{ChainId, PatientId};
use crate::ledger::{Enrolment, Profile};
use crate::record::{BatchHeader, Capsule, Manifest, Receipt, ReceiptLine, Shard};
use crate::sharing::{Commitments, PartialOpening, SessionPublic, Threshold};
use crate::testing::fixture::fixture;
use crate::wire;
use serde::de::DeserializeOwned;

/// Everything that hospitals, kin and patients send each other about records.
pub(super) fn record(frame: &[u8]) {
    let threshold = Threshold::majority(5).unwrap();
    if let Some(capsule) = decoded::<Capsule>(frame) {
        let _ = capsule.digest();
        if let Some(commitments) = fixture_record::<Commitments>("commitments") {
            let _ = capsule.verify(commitments.public_key());
        }
    }
    if let Some(shard) = decoded::<Shard>(frame)
        && let Some(manifest) = fixture_record::<Manifest>("manifest")
    {
        let entry = &manifest.entries()[0];
        let _ = shard.verify(entry, threshold);
        let _ = shard.leaf(entry, threshold);
        let _ = crate::record::rebuild(&[shard.clone(), shard], threshold, entry);
    }
    if let Some(manifest) = decoded::<Manifest>(frame) {
        let _ = (manifest.root(), manifest.bytes(), manifest.path(0));
    }
    if let Some(receipt) = decoded::<Receipt>(frame) {
        let key = fixture(1, Profile::Balanced).genesis.hospitals[0].key;
        let _ = receipt.verify(&key);
        let _ = crate::record::receipts_root(&[receipt, receipt]);
    }
    let _ = decoded::<Vec<ReceiptLine>>(frame);
    if let Some(header) = decoded::<BatchHeader>(frame) {
        let _ = (header.id(), header.check(threshold));
    }
    if let Some(commitments) = decoded::<Commitments>(frame) {
        let _ = (commitments.threshold(), commitments.check(threshold));
        for index in 1..=5 {
            let index = crate::units::ShareIndex::new(index).unwrap();
            let _ = commitments.share_key(index);
        }
    }
    let _ = decoded::<PartialOpening>(frame);
    if let Some(session) = decoded::<SessionPublic>(frame) {
        let _ = session.verify(&crate::crypto::Digest([1; 32]));
    }
    if let Some(enrolment) = decoded::<Enrolment>(frame) {
        let (chain, patient) = (ChainId([1; 32]), PatientId([2; 32]));
        let digest = enrolment.digest(chain, patient);
        let _ = enrolment.check_shape(patient);
        let _ = enrolment.check_acceptances(&digest);
    }
    let _ = decoded::<Request>(frame);
}

/// The pinned frames of the records.
const RECORDS: &[(&str, &str)] = &[
    (
        "batch_header",
        include_str!("../../../tests/record_fixtures/batch_header.hex"),
    ),
    (
        "capsule",
        include_str!("../../../tests/record_fixtures/capsule.hex"),
    ),
    (
        "commitments",
        include_str!("../../../tests/record_fixtures/commitments.hex"),
    ),
    (
        "manifest",
        include_str!("../../../tests/record_fixtures/manifest.hex"),
    ),
    (
        "partial_opening",
        include_str!("../../../tests/record_fixtures/partial_opening.hex"),
    ),
    (
        "receipt",
        include_str!("../../../tests/record_fixtures/receipt.hex"),
    ),
    (
        "session",
        include_str!("../../../tests/record_fixtures/session.hex"),
    ),
    (
        "shard",
        include_str!("../../../tests/record_fixtures/shard.hex"),
    ),
];

pub(super) fn record_frame(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub(super) fn fixture_record<T: DeserializeOwned>(name: &str) -> Option<T> {
    let (_, text) = RECORDS.iter().find(|(of, _)| *of == name)?;
    wire::decode(&record_frame(text)).ok()
}

pub(super) fn record_seeds() -> Vec<Vec<u8>> {
    RECORDS.iter().map(|(_, text)| record_frame(text)).collect()
}
