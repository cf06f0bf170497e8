//! Every way in which bytes are refused, by its name.

use kithkin_fhir::bundle::{Bundle, BundleError, ENTRIES_MAX, Kind};
use kithkin_fhir::{BUNDLE_BYTES_MAX, fixture};

const PATIENT: &str = r#"{"fullUrl":"urn:uuid:p","resource":{"resourceType":"Patient","id":"p"}}"#;

fn bundle_of(kind: &str, entries: &[&str]) -> String {
    format!(
        r#"{{"resourceType":"Bundle","type":"{kind}","entry":[{}]}}"#,
        entries.join(",")
    )
}

fn refused(text: &str) -> BundleError {
    Bundle::parse(text.as_bytes()).expect_err("must be refused")
}

#[test]
fn fixtures_are_read_and_their_ranges_are_exact() {
    for (bytes, kind, entries) in [
        (fixture::demo_bundle(), Kind::Transaction, 41),
        (fixture::document_bundle(), Kind::Document, 9),
        (fixture::collection_bundle(), Kind::Collection, 4),
    ] {
        let bundle = Bundle::parse(bytes).unwrap();
        assert_eq!(bundle.kind(), kind);
        assert_eq!(bundle.entries().len(), entries);
        assert_eq!(bundle.patient().resource_type(), "Patient");
        for entry in bundle.entries() {
            assert_eq!(&bytes[entry.range()], entry.json().as_bytes());
            let resource = entry.resource().unwrap();
            assert_eq!(&bytes[resource.range()], resource.json().as_bytes());
            assert!(entry.range().start < resource.range().start);
            assert!(resource.range().end < entry.range().end);
        }
    }
}

#[test]
fn json_errors_have_a_place() {
    let error = refused("{\n  \"resourceType\": \"Bundle\",\n  oops\n}");
    let BundleError::Json { line, column, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((line, column), (3, 3));
    assert!(matches!(refused(""), BundleError::Json { .. }));
    let trailing = format!("{} x", bundle_of("collection", &[PATIENT]));
    assert!(matches!(refused(&trailing), BundleError::Json { .. }));
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_their_offset() {
    let error = Bundle::parse(b"{\"a\":\"\xff\"}").unwrap_err();
    assert_eq!(error, BundleError::NotUtf8 { offset: 6 });
}

#[test]
fn names_that_occur_twice_are_refused_even_when_escaped() {
    let twice = r#"{"resource":{"resourceType":"Condition","code":{"text":"x"},"c\u006fde":{}}}"#;
    let error = refused(&bundle_of("collection", &[PATIENT, twice]));
    let BundleError::DuplicateName { name, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(name, "code");
}

#[test]
fn deep_nesting_is_refused_by_name() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(matches!(
        refused(&deep),
        BundleError::TooDeep { max: 100, .. }
    ));
    let entry = format!(
        r#"{{"resource":{{"resourceType":"Basic","x":{}1{}}}}}"#,
        r#"{"y":"#.repeat(200),
        "}".repeat(200)
    );
    let error = refused(&bundle_of("collection", &[PATIENT, &entry]));
    assert!(matches!(error, BundleError::TooDeep { .. }), "{error}");
}

#[test]
fn size_and_number_are_limited() {
    let large = vec![b' '; BUNDLE_BYTES_MAX + 1];
    assert_eq!(
        Bundle::parse(&large).unwrap_err(),
        BundleError::TooLarge {
            bytes: BUNDLE_BYTES_MAX + 1,
            max: BUNDLE_BYTES_MAX
        }
    );
    let many = vec!["{}"; ENTRIES_MAX + 1];
    assert_eq!(
        refused(&bundle_of("collection", &many)),
        BundleError::TooManyEntries {
            entries: ENTRIES_MAX + 1,
            max: ENTRIES_MAX
        }
    );
}

#[test]
fn other_resources_and_other_types_of_bundle_are_named() {
    let error = refused(r#"{"resourceType":"Patient"}"#);
    assert_eq!(
        error.to_string(),
        r#"expected resourceType "Bundle", found "Patient""#
    );
    assert!(matches!(refused("[1]"), BundleError::NotABundle { .. }));
    assert!(matches!(refused("{}"), BundleError::NotABundle { .. }));
    for kind in ["batch", "searchset", "history", "message", "\\u001b[2J"] {
        let error = refused(&bundle_of(kind, &[PATIENT]));
        assert!(
            matches!(&error, BundleError::KindUnsupported { found } if found.contains(kind)),
            "{error}"
        );
        assert!(!error.to_string().contains('\u{1b}'));
    }
    let error = refused(r#"{"resourceType":"Bundle","entry":[]}"#);
    assert!(matches!(error, BundleError::KindUnsupported { .. }));
}

#[test]
fn entries_must_be_entries() {
    for (entries, expected) in [
        (r#""entry":[]"#, BundleError::NoEntries),
        (r#""entry":{}"#, BundleError::NoEntries),
        (r#""id":"x""#, BundleError::NoEntries),
        (
            r#""entry":[7]"#,
            BundleError::Entry {
                entry: 0,
                what: "it is no object",
            },
        ),
        (
            r#""entry":[{"resource":[]}]"#,
            BundleError::Entry {
                entry: 0,
                what: "its resource is no object",
            },
        ),
        (
            r#""entry":[{"fullUrl":1}]"#,
            BundleError::Entry {
                entry: 0,
                what: "its fullUrl is no string",
            },
        ),
        (
            r#""entry":[{"resource":{"resourceType":"../etc"}}]"#,
            BundleError::ResourceType {
                entry: 0,
                found: "\"../etc\"".to_owned(),
            },
        ),
        (
            r#""entry":[{"resource":{}}]"#,
            BundleError::ResourceType {
                entry: 0,
                found: "no resourceType".to_owned(),
            },
        ),
    ] {
        let text = format!(r#"{{"resourceType":"Bundle","type":"collection",{entries}}}"#);
        assert_eq!(refused(&text), expected);
    }
    let same = bundle_of("collection", &[PATIENT, PATIENT]);
    assert_eq!(
        refused(&same),
        BundleError::DuplicateFullUrl {
            first: 0,
            second: 1
        }
    );
}

#[test]
fn the_patient_is_one_or_the_documents_subject() {
    let other = r#"{"resource":{"resourceType":"Patient","id":"q"}}"#;
    let flag = r#"{"resource":{"resourceType":"Flag"}}"#;
    assert_eq!(
        refused(&bundle_of("transaction", &[flag])),
        BundleError::NoPatient
    );
    assert_eq!(
        refused(&bundle_of("collection", &[PATIENT, other])),
        BundleError::SeveralPatients { patients: 2 }
    );
    assert_eq!(
        refused(&bundle_of("document", &[PATIENT])),
        BundleError::NoComposition {
            found: "Patient".to_owned()
        }
    );
    let composition = |subject: &str| {
        format!(
            r#"{{"resource":{{"resourceType":"Composition","subject":{{"reference":"{subject}"}}}}}}"#
        )
    };
    let document = bundle_of("document", &[&composition("Patient/q"), PATIENT, other]);
    let bundle = Bundle::parse(document.as_bytes()).unwrap();
    assert_eq!(bundle.patient().id(), Some("q"));
    assert_eq!(bundle.patient_entry(), 2);
    let nobody = bundle_of("document", &[&composition("Patient/z"), PATIENT, other]);
    assert_eq!(
        refused(&nobody),
        BundleError::SeveralPatients { patients: 2 }
    );
}

#[test]
fn contents_stay_out_of_debug_output() {
    let bundle = Bundle::parse(fixture::demo_bundle()).unwrap();
    let shown = format!("{bundle:?} {:?}", bundle.entries());
    assert!(
        !shown.contains("Testperson") && !shown.contains("Major"),
        "{shown}"
    );
}
