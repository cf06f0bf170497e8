//! Cut and joined, a file is the same to the byte; what is missing or foreign is named.

use kithkin_fhir::bundle::Bundle;
use kithkin_fhir::cut::{self, Cut, JoinError};
use kithkin_fhir::fixture;
use kithkin_protocol::units::Tier;
use proptest::prelude::*;

const NOW: u64 = 1_767_225_600_000;

fn cut_of(bytes: &[u8]) -> Cut {
    cut::cut(&Bundle::parse(bytes).unwrap(), NOW).unwrap()
}

fn plaintexts(cut: &Cut) -> Vec<Vec<u8>> {
    cut.parts.iter().map(|part| part.bytes.clone()).collect()
}

fn demo_parts() -> Vec<Vec<u8>> {
    plaintexts(&cut_of(fixture::demo_bundle()))
}

#[test]
fn fixtures_come_back_byte_for_byte_in_any_order() {
    for bytes in [
        fixture::demo_bundle(),
        fixture::document_bundle(),
        fixture::collection_bundle(),
    ] {
        let mut parts = plaintexts(&cut_of(bytes));
        assert_eq!(cut::join(&parts).unwrap(), bytes);
        parts.reverse();
        assert_eq!(cut::join(&parts).unwrap(), bytes);
        for shift in 0..parts.len() {
            parts.rotate_left(shift);
            assert_eq!(cut::join(&parts).unwrap(), bytes);
        }
    }
}

#[test]
fn one_record_for_each_resource_and_one_for_the_frame() {
    let cut = cut_of(fixture::demo_bundle());
    assert_eq!(cut.parts.len(), 42);
    assert_eq!(cut.parts[0].name, cut::FRAME);
    assert_eq!(cut.parts[0].tier, Tier::Chart);
    let sensitive: Vec<&str> = cut
        .parts
        .iter()
        .filter(|part| part.tier == Tier::Sensitive)
        .map(|part| part.name.as_str())
        .collect();
    assert_eq!(
        sensitive,
        [
            "Encounter",
            "Condition",
            "MedicationRequest",
            "Observation",
            "Claim"
        ]
    );
}

#[test]
fn nothing_of_a_sensitive_entry_stays_in_the_chart_or_the_summary() {
    let cut = cut_of(fixture::demo_bundle());
    let all: serde_json::Value = serde_json::from_slice(fixture::demo_bundle()).unwrap();
    let sensitive: Vec<&serde_json::Value> = all["entry"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| {
            let text = entry.to_string();
            ["370143000", "Sertraline", "56888-1"]
                .iter()
                .any(|code| text.contains(code))
        })
        .collect();
    assert_eq!(sensitive.len(), 3);
    let open = cut.parts.iter().filter(|part| part.tier == Tier::Chart);
    for bytes in open.map(|part| &part.bytes).chain([&cut.summary]) {
        let text = String::from_utf8_lossy(bytes);
        for word in ["370143000", "epress", "ertraline", "56888-1", "HIV"] {
            assert!(!text.contains(word), "{word}");
        }
        for entry in &sensitive {
            assert!(!text.contains(entry["fullUrl"].as_str().unwrap()));
        }
    }
}

#[test]
fn parts_that_are_missing_doubled_or_foreign_are_named() {
    let parts = demo_parts();
    assert_eq!(cut::join(&[]), Err(JoinError::Empty));

    let mut missing = parts.clone();
    missing.remove(7);
    missing.remove(20);
    assert_eq!(
        cut::join(&missing),
        Err(JoinError::Missing {
            missing: 2,
            first: 7,
            total: 42
        })
    );
    let without_frame = &parts[1..];
    assert_eq!(
        cut::join(without_frame),
        Err(JoinError::Missing {
            missing: 1,
            first: 0,
            total: 42
        })
    );

    let mut doubled = parts.clone();
    doubled.push(parts[5].clone());
    assert_eq!(
        cut::join(&doubled),
        Err(JoinError::Duplicate {
            index: 5,
            total: 42
        })
    );

    let later = cut::cut(&Bundle::parse(fixture::demo_bundle()).unwrap(), NOW + 1).unwrap();
    let mut foreign = parts.clone();
    foreign[9] = later.parts[9].bytes.clone();
    assert_eq!(cut::join(&foreign), Err(JoinError::Foreign { position: 9 }));
    foreign[9] = plaintexts(&cut_of(fixture::document_bundle()))[2].clone();
    assert_eq!(cut::join(&foreign), Err(JoinError::Foreign { position: 9 }));
}

#[test]
fn parts_that_are_damaged_are_named() {
    let parts = demo_parts();
    let damaged = |at: usize, change: &dyn Fn(&mut Vec<u8>)| {
        let mut parts = parts.clone();
        change(&mut parts[at]);
        cut::join(&parts).unwrap_err()
    };
    assert_eq!(
        damaged(3, &|part| part.truncate(25)),
        JoinError::TooShort {
            position: 3,
            bytes: 25
        }
    );
    assert_eq!(
        damaged(3, &Vec::clear),
        JoinError::TooShort {
            position: 3,
            bytes: 0
        }
    );
    assert_eq!(
        damaged(3, &|part| part[0] = b'{'),
        JoinError::Format {
            position: 3,
            found: b'{'
        }
    );
    for kind in [0, 2] {
        assert_eq!(
            damaged(3, &|part| part[1] = kind),
            JoinError::Header { position: 3 }
        );
    }
    // An index beyond the total; a total, or a size, beyond what is ever written.
    assert_eq!(
        damaged(3, &|part| part[2] = 1),
        JoinError::Header { position: 3 }
    );
    assert!(matches!(
        damaged(0, &|part| part[6] = 0x7f),
        JoinError::TooLarge { .. }
    ));
    assert!(matches!(
        damaged(0, &|part| part[18] = 0x7f),
        JoinError::TooLarge { .. }
    ));
    assert_eq!(damaged(0, &|part| part.truncate(60)), JoinError::Frame);
    assert_eq!(damaged(0, &|part| part.push(b' ')), JoinError::Frame);
    assert!(matches!(
        damaged(3, &|part| part.push(b' ')),
        JoinError::Size { .. }
    ));
}

#[test]
fn a_labelled_bundle_has_a_sensitive_frame() {
    let text = r#"{"resourceType":"Bundle","type":"collection","meta":{"security":[{"system":
        "http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]},"entry":[
        {"resource":{"resourceType":"Patient","id":"p"}}]}"#;
    let cut = cut_of(text.as_bytes());
    assert!(cut.parts.iter().all(|part| part.tier == Tier::Sensitive));
    assert_eq!(cut::join(&plaintexts(&cut)).unwrap(), text.as_bytes());
}

#[test]
fn entries_without_a_resource_stay_in_the_frame_unless_their_address_tells() {
    let entries = |url: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"transaction","entry":[
            {{"resource":{{"resourceType":"Patient","id":"p"}}}},
            {{"request":{{"method":"DELETE","url":"{url}"}}}}]}}"#
        )
    };
    let harmless = entries("Condition/1");
    assert_eq!(cut_of(harmless.as_bytes()).parts.len(), 2);
    let telling = entries("Condition?code=http://snomed.info/sct%7C86406008");
    let cut = cut_of(telling.as_bytes());
    assert_eq!(cut.parts.len(), 3);
    assert_eq!(cut.parts[2].name, cut::BARE_ENTRY);
    assert_eq!(cut.parts[2].tier, Tier::Sensitive);
    assert_eq!(cut::join(&plaintexts(&cut)).unwrap(), telling.as_bytes());
}

fn space() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![Just(' '), Just('\n'), Just('\t'), Just('\r')],
        0..4,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

fn resource() -> impl Strategy<Value = String> {
    let kinds = prop_oneof![
        Just("Condition"),
        Just("Observation"),
        Just("AllergyIntolerance"),
        Just("MedicationRequest"),
        Just("Encounter"),
        Just("Device"),
        Just("Unheard0f"),
    ];
    let codes = prop_oneof![
        Just("370143000"),
        Just("38341003"),
        Just("86406008"),
        Just("882-1"),
    ];
    let systems = prop_oneof![Just("http://snomed.info/sct"), Just("http://loinc.org")];
    let parts = (
        kinds,
        codes,
        systems,
        any::<String>(),
        0..8_usize,
        space(),
        any::<f64>(),
    );
    parts.prop_map(|(kind, code, system, text, target, gap, number)| {
        let text = serde_json::to_string(&text).unwrap();
        let number = serde_json::to_string(&number).unwrap();
        format!(
            "{{{gap}\"resourceType\" : \"{kind}\",{gap}\"status\":\"active\",\"code\":{{\"coding\":\
             [{{\"system\":\"{system}\",\"code\":\"{code}\"}}],\"text\":{text}}},{gap}\
             \"valueQuantity\":{{\"value\":{number}}},\"note\":[{{\"text\":{text}}}],\
             \"reasonReference\":[{{\"reference\":\"urn:x:{target}\"}}]{gap}}}"
        )
    })
}

fn generated_bundle() -> impl Strategy<Value = String> {
    let entries = proptest::collection::vec((resource(), space(), any::<bool>()), 0..8);
    let kind = prop_oneof![Just("transaction"), Just("collection")];
    (entries, space(), kind).prop_map(|(entries, gap, kind)| {
        let mut list = vec![format!("{{\"resource\":{gap}{{\"resourceType\":\"Patient\"}}}}")];
        for (at, (resource, gap, with_request)) in entries.into_iter().enumerate() {
            let request = if with_request {
                format!(",{gap}\"request\":{{\"method\":\"POST\",\"url\":\"X\"}}")
            } else {
                gap.clone()
            };
            list.push(format!(
                "{gap}{{\"fullUrl\":\"urn:x:{at}\",\"resource\"{gap}:{resource}{request}}}{gap}"
            ));
        }
        format!(
            "{gap}{{\"entry\":[{gap}{}],\"type\":{gap}\"{kind}\",\"resourceType\":\"Bundle\"}}{gap}",
            list.join(",")
        )
    })
}

proptest! {
    #[test]
    fn any_bundle_comes_back_and_its_counts_agree(text in generated_bundle(), turn in any::<usize>()) {
        let bundle = Bundle::parse(text.as_bytes()).unwrap();
        let cut = cut::cut(&bundle, NOW).unwrap();
        let mut parts = plaintexts(&cut);
        let turn = turn % parts.len();
        parts.rotate_left(turn);
        prop_assert_eq!(cut::join(&parts).unwrap(), text.as_bytes());
        prop_assert_eq!(
            kithkin_fhir::summary::counts(&cut.summary).unwrap(),
            kithkin_fhir::summary::active_counts(&bundle)
        );
        let shown = kithkin_fhir::summary::render_text(&cut.summary).unwrap();
        prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control()));
        prop_assert!(shown.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Bundle::parse(&bytes);
        let _ = cut::join(std::slice::from_ref(&bytes));
        let _ = kithkin_fhir::summary::counts(&bytes);
        let _ = kithkin_fhir::summary::render_text(&bytes);
    }

    #[test]
    fn damaged_fixtures_never_panic(at in 0..9_000_usize, byte in any::<u8>()) {
        for fixture in [fixture::document_bundle(), fixture::collection_bundle()] {
            let mut bytes = fixture.to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(bundle) = Bundle::parse(&bytes) {
                let cut = cut::cut(&bundle, NOW).unwrap();
                prop_assert_eq!(&cut::join(&plaintexts(&cut)).unwrap(), &bytes);
                prop_assert_eq!(
                    kithkin_fhir::summary::counts(&cut.summary).unwrap(),
                    kithkin_fhir::summary::active_counts(&bundle)
                );
            }
        }
    }

    #[test]
    fn damaged_parts_never_panic(part in 0..5_usize, at in 0..60_usize, byte in any::<u8>()) {
        let mut parts = plaintexts(&cut_of(fixture::collection_bundle()));
        let length = parts[part].len();
        parts[part][at % length] = byte;
        let _ = cut::join(&parts);
    }
}
