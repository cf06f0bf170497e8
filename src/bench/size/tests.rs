use super::*;
use kithkin_fhir::fixture::demo_bundle;

fn report() -> Report {
    measure(&[("demo".to_owned(), demo_bundle().to_vec())]).expect("measured")
}

fn of(sizes: &[SchemeSize], scheme: Scheme) -> &SchemeSize {
    let found = sizes.iter().find(|size| size.scheme == scheme);
    found.expect("every scheme is measured")
}

/// A seventh of (b), also for a small file: the fewer records an upload has, the more a header for each of them costs.
#[test]
fn a_batched_record_takes_a_seventh_of_an_entry_at_most() {
    let report = report();
    let sizes = &report.patients[0].schemes;
    let batched = of(sizes, Scheme::Batched).bytes.total;
    assert!(
        batched * 7 <= of(sizes, Scheme::Metadata).bytes.total,
        "{sizes:?}"
    );
    assert!(
        batched * 7 <= of(sizes, Scheme::Ciphertext).bytes.total,
        "{sizes:?}"
    );
}

#[test]
fn every_sum_adds_up_and_every_scheme_bears_what_it_must() {
    let report = report();
    let patient = &report.patients[0];
    let uploads = of(&patient.schemes, Scheme::Batched).transactions;
    for size in &patient.schemes {
        let Bytes {
            headers,
            certificates,
            receipts,
            transactions,
            total,
        } = size.bytes;
        assert_eq!(headers + certificates + receipts + transactions, total);
        let fields: usize = size.fields.0.iter().map(|field| field.bytes).sum();
        assert_eq!(fields, total, "{size:?}");
        let framing = size.fields.0.last().expect("fields");
        assert_eq!(framing.name, "framing");
        assert!(framing.bytes * 20 < total, "{size:?}");
        // Signatures of four validators, in the certificate and in the header of each block; of each kin for each upload.
        let votes = 64 * usize::from(VALIDATORS) * size.blocks;
        assert!(certificates > votes && headers > votes, "{size:?}");
        let signed = 64 * KIN * uploads;
        match size.scheme {
            Scheme::Ciphertext => assert_eq!(receipts, 0, "{size:?}"),
            _ => assert!((signed..2 * signed).contains(&receipts), "{size:?}"),
        }
    }
    let whole = of(&patient.schemes, Scheme::Ciphertext).bytes.transactions;
    assert!(whole as u64 > patient.ciphertext_bytes);
    assert_eq!(of(&patient.schemes, Scheme::BatchedApart).blocks, uploads);
    let entries = of(&patient.schemes, Scheme::Metadata);
    assert_eq!(entries.transactions, patient.records + uploads);
    assert_eq!(report.all, patient.schemes, "there is one patient");
}

/// Keys and identifiers differ from run to run, and no figure does.
#[test]
fn nothing_depends_on_chance() {
    assert_eq!(report(), report());
}
