//! The summary: its shape, its contents, what it withholds, and how it reads.

use kithkin_fhir::bundle::{Bundle, BundleError};
use kithkin_fhir::cut;
use kithkin_fhir::fixture;
use kithkin_fhir::summary::{self, Counts, Section, SummaryError};
use serde_json::{Value, json};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600_000;

fn summary_of(bytes: &[u8]) -> Vec<u8> {
    let bundle = Bundle::parse(bytes).unwrap();
    let made = cut::cut(&bundle, NOW).unwrap().summary;
    assert_eq!(
        summary::counts(&made).unwrap(),
        summary::active_counts(&bundle)
    );
    made
}

fn of_resources(resources: &[Value]) -> Vec<u8> {
    let mut entries = vec![json!({"resource": {"resourceType": "Patient", "id": "p"}})];
    entries.extend(
        resources
            .iter()
            .map(|resource| json!({ "resource": resource })),
    );
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": entries});
    summary_of(bundle.to_string().as_bytes())
}

fn sections(summary: &[u8]) -> Vec<Value> {
    let document: Value = serde_json::from_slice(summary).unwrap();
    let composition = &document["entry"][0]["resource"];
    composition["section"].as_array().unwrap().clone()
}

fn section(summary: &[u8], section: Section) -> Option<Value> {
    let code = section.loinc();
    let found = sections(summary);
    found
        .into_iter()
        .find(|s| s["code"]["coding"][0]["code"] == code)
}

fn empty_reason(summary: &[u8], wanted: Section) -> String {
    let section = section(summary, wanted).unwrap();
    assert!(section.get("entry").is_none());
    section["emptyReason"]["coding"][0]["code"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn the_fixtures_have_these_counts() {
    for (bytes, allergies, medications, problems, withheld) in [
        (fixture::demo_bundle(), 3, 3, 3, 2),
        (fixture::document_bundle(), 0, 1, 1, 0),
        (fixture::collection_bundle(), 1, 0, 0, 1),
    ] {
        let expected = Counts {
            allergies,
            medications,
            problems,
            withheld,
        };
        assert_eq!(summary::counts(&summary_of(bytes)).unwrap(), expected);
    }
}

#[test]
fn the_document_has_the_shape_of_a_patient_summary() {
    for bytes in [
        fixture::demo_bundle(),
        fixture::document_bundle(),
        fixture::collection_bundle(),
    ] {
        let made = summary_of(bytes);
        let document: Value = serde_json::from_slice(&made).unwrap();
        assert_eq!(document["type"], "document");
        assert_eq!(document["timestamp"], "2026-01-01T00:00:00.000Z");
        assert!(document["identifier"]["value"].is_string());
        let entries = document["entry"].as_array().unwrap();
        let composition = &entries[0]["resource"];
        assert_eq!(composition["resourceType"], "Composition");
        assert_eq!(composition["status"], "final");
        assert_eq!(composition["type"]["coding"][0]["code"], "60591-5");
        let resolves = |reference: &Value| {
            entries
                .iter()
                .filter(|entry| entry["fullUrl"] == *reference)
                .count()
                == 1
        };
        assert!(resolves(&composition["subject"]["reference"]));
        assert!(resolves(&composition["author"][0]["reference"]));
        let mut order = Vec::new();
        for section in composition["section"].as_array().unwrap() {
            let code = section["code"]["coding"][0]["code"].as_str().unwrap();
            order.push(Section::from_loinc(code).unwrap());
            assert!(section["title"].is_string());
            let div = section["text"]["div"].as_str().unwrap();
            assert!(div.starts_with("<div xmlns=\"http://www.w3.org/1999/xhtml\">"));
            // Invariant cmp-2 of R4: an emptyReason only when there are no entries.
            assert_ne!(
                section.get("entry").is_some(),
                section.get("emptyReason").is_some()
            );
            for entry in section["entry"].as_array().into_iter().flatten() {
                assert!(resolves(&entry["reference"]), "{entry}");
            }
        }
        assert!(order.is_sorted());
        for required in [Section::Allergies, Section::Medications, Section::Problems] {
            assert!(order.contains(&required));
        }
        assert_eq!(
            summary_of(bytes),
            made,
            "the same input gives the same bytes"
        );
    }
}

#[test]
fn resources_are_copied_unaltered() {
    let original = std::str::from_utf8(fixture::demo_bundle()).unwrap();
    let made = String::from_utf8(summary_of(fixture::demo_bundle())).unwrap();
    let bundle = Bundle::parse(original.as_bytes()).unwrap();
    let copied = |kind: &str| {
        let resources = bundle.entries().iter().filter_map(|entry| entry.resource());
        resources
            .filter(|r| r.resource_type() == kind && made.contains(r.json()))
            .count()
    };
    assert_eq!(copied("Patient"), 1);
    assert_eq!(copied("Medication"), 1);
    assert_eq!(copied("AllergyIntolerance"), 3);
    assert_eq!(copied("MedicationRequest"), 3);
    assert_eq!(copied("Claim"), 0);
}

#[test]
fn what_is_withheld_is_counted_and_not_explained() {
    let made = summary_of(fixture::demo_bundle());
    let problems = section(&made, Section::Problems).unwrap();
    assert_eq!(problems["entry"].as_array().unwrap().len(), 3);
    assert_eq!(problems["extension"][0]["url"], summary::WITHHELD);
    assert_eq!(problems["extension"][0]["valueUnsignedInt"], 1);
    let text = problems["text"]["div"].as_str().unwrap();
    assert!(text.contains("Withheld: 1 entry in the sensitive tier."));
    let whole = String::from_utf8(made).unwrap().to_lowercase();
    for word in ["psych", "depress", "sertraline", "hiv", "mental"] {
        assert!(!whole.contains(word), "{word}");
    }
    assert!(whole.contains("redacted"));

    let collection = summary_of(fixture::collection_bundle());
    assert_eq!(empty_reason(&collection, Section::Problems), "withheld");
    assert_eq!(
        empty_reason(&collection, Section::Medications),
        "unavailable"
    );
}

#[test]
fn no_data_is_not_the_same_as_nothing_known() {
    assert_eq!(
        empty_reason(&of_resources(&[]), Section::Allergies),
        "unavailable"
    );
    let document = summary_of(fixture::document_bundle());
    assert_eq!(empty_reason(&document, Section::Allergies), "nilknown");
    let no_allergy = json!({"coding": [{"system": "http://snomed.info/sct", "code": "716186003"}]});
    let statement = of_resources(&[
        json!({"resourceType": "Observation", "status": "final", "code": no_allergy}),
    ]);
    assert_eq!(empty_reason(&statement, Section::Allergies), "nilknown");
    let entry = of_resources(&[json!({"resourceType": "AllergyIntolerance", "code": no_allergy})]);
    let allergies = section(&entry, Section::Allergies).unwrap();
    assert_eq!(allergies["entry"].as_array().unwrap().len(), 1);
}

#[test]
fn statuses_decide_what_is_active() {
    let status = |kind: &str, code: &str| json!({"coding": [{"system": format!("http://terminology.hl7.org/CodeSystem/{kind}"), "code": code}]});
    let mut resources = Vec::new();
    for code in [
        "active",
        "recurrence",
        "relapse",
        "inactive",
        "remission",
        "resolved",
    ] {
        resources.push(json!({"resourceType": "Condition", "code": {"text": code},
            "clinicalStatus": status("condition-clinical", code)}));
    }
    for code in ["refuted", "entered-in-error"] {
        resources.push(json!({"resourceType": "Condition", "verificationStatus": status("condition-ver-status", code)}));
        resources.push(json!({"resourceType": "AllergyIntolerance",
            "verificationStatus": status("allergyintolerance-verification", code)}));
    }
    resources.push(json!({"resourceType": "Condition", "code": {"text": "no status"}}));
    resources.push(
        json!({"resourceType": "Condition", "abatementDateTime": "2020", "code": {"text": "over"}}),
    );
    for code in ["active", "inactive", "resolved"] {
        resources.push(json!({"resourceType": "AllergyIntolerance",
            "clinicalStatus": status("allergyintolerance-clinical", code)}));
    }
    resources.push(json!({"resourceType": "AllergyIntolerance", "code": {"text": "no status"}}));
    for code in ["active", "on-hold", "stopped", "completed", "draft"] {
        resources
            .push(json!({"resourceType": "MedicationRequest", "status": code, "intent": "order"}));
    }
    for code in ["active", "intended", "not-taken", "stopped"] {
        resources.push(json!({"resourceType": "MedicationStatement", "status": code}));
    }
    resources.push(
        json!({"resourceType": "MedicationRequest", "status": "active", "intent": "proposal"}),
    );
    resources.push(
        json!({"resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "doNotPerform": true, "medicationCodeableConcept": {"text": "Aspirin"}}),
    );
    let made = of_resources(&resources);
    let counts = summary::counts(&made).unwrap();
    assert_eq!(
        counts,
        Counts {
            allergies: 2,
            medications: 3,
            problems: 4,
            withheld: 0
        }
    );
    let past = section(&made, Section::PastProblems).unwrap();
    assert_eq!(past["entry"].as_array().unwrap().len(), 4);
    let text = summary::render_text(&made).unwrap();
    assert!(text.contains("!! DO NOT GIVE: Aspirin"));
    assert!(text.contains("(on hold)"));
}

#[test]
fn only_the_subjects_resources_are_shown() {
    let made = summary_of(fixture::document_bundle());
    let text = summary::render_text(&made).unwrap();
    assert!(text.contains("Mother Testperson-Synthetic"));
    assert!(text.contains("Asthma") && !text.contains("jaundice"));
    assert!(text.contains("The source document tells more in words"));
}

#[test]
fn the_text_reads_as_an_emergency_room_needs_it() {
    let text = summary::render_text(&summary_of(fixture::demo_bundle())).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    let place = |needle: &str| {
        text.find(needle)
            .unwrap_or_else(|| panic!("{needle}\n{text}"))
    };
    let in_order = [
        "HTEST",
        "Erika Example Testperson-Synthetic",
        "female",
        "1951-04-17 (74 years)",
        "A Rh(D) negative (2018-03-02)",
        "Demo Testperson-Synthetic (emergency contact, child) +00 555 0101",
        "!! Pacemaker",
        "!! HIGH RISK: Allergy to penicillin: Anaphylaxis, severe",
        " - Allergy to peanuts",
        "!! ANTICOAGULANT: Warfarin",
        "!! INSULIN: insulin glargine; 18 units, subcutaneous, once every day",
        " - Atorvastatin",
        " - Withheld: 1 entry in the sensitive tier.",
        " - Atrial fibrillation (since 2018-03-02)",
        "7.1 %",
        " - In the chart only: 1 more.",
        "Cardiac pacemaker",
        "Systolic 138 mmHg, Diastolic 82 mmHg",
        "Withheld: 3 entries in the sensitive tier.",
    ];
    let places: Vec<usize> = in_order.iter().map(|needle| place(needle)).collect();
    assert!(places.is_sorted(), "{places:?}\n{text}");
    assert!(!text.contains("Ibuprofen") && !text.contains("Myocardial") && !text.contains("fish"));
}

#[test]
fn contradictory_blood_groups_are_not_hidden() {
    let group = |code: &str, name: &str, when: &str| {
        json!({"resourceType": "Observation", "status": "final", "effectiveDateTime": when,
            "code": {"coding": [{"system": "http://loinc.org", "code": "882-1"}]},
            "valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": code, "display": name}]}})
    };
    let made = of_resources(&[
        group("278152006", "A neg", "2010"),
        group("278149003", "A pos", "2020"),
        group("278149003", "A pos", "2019"),
    ]);
    let text = summary::render_text(&made).unwrap();
    assert!(
        text.contains("CONTRADICTORY: A pos (2020) / A neg (2010)"),
        "{text}"
    );
}

#[test]
fn do_not_resuscitate_is_found_and_urgent() {
    let made = of_resources(&[json!({"resourceType": "Consent", "status": "active",
        "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "304253006",
            "display": "Not for resuscitation"}]}]})]);
    assert!(section(&made, Section::AdvanceDirectives).is_some());
    let text = summary::render_text(&made).unwrap();
    assert!(
        text.contains("!! DO NOT RESUSCITATE: Not for resuscitation"),
        "{text}"
    );
}

#[test]
fn hostile_words_steer_neither_terminal_nor_browser() {
    let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J<script>alert('x')</script>&\u{202e}gnp.exe\r\nline";
    let made = of_resources(&[
        json!({"resourceType": "AllergyIntolerance", "code": {"text": hostile}}),
        json!({"resourceType": "Condition", "code": {"coding": [{"display": hostile}]}, "onsetDateTime": hostile}),
        json!({"resourceType": "MedicationRequest", "status": "active", "medicationCodeableConcept": {"text": hostile},
            "dosageInstruction": [{"text": hostile}]}),
        json!({"resourceType": "Observation", "status": "final", "category": [{"coding": [{"code": "laboratory"}]}],
            "code": {"text": hostile}, "valueQuantity": {"value": 1, "unit": hostile}}),
    ]);
    let text = summary::render_text(&made).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!text.contains('\u{202e}'));
    for section in sections(&made) {
        let div = section["text"]["div"].as_str().unwrap();
        assert!(!div.contains("<script") && !div.contains('\u{1b}'), "{div}");
    }
    let patient = json!({"resourceType": "Bundle", "type": "collection", "entry": [{"resource":
        {"resourceType": "Patient", "name": [{"text": hostile}], "gender": hostile, "birthDate": hostile,
        "contact": [{"name": {"text": hostile}, "telecom": [{"system": "phone", "value": hostile}]}]}}]});
    let text = summary::render_text(&summary_of(patient.to_string().as_bytes())).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn a_labelled_patient_is_masked() {
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [{"resource":
        {"resourceType": "Patient", "id": "p", "name": [{"text": "Secret Testperson"}], "birthDate": "1970-01-01",
        "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}]}}}]});
    let made = summary_of(bundle.to_string().as_bytes());
    let text = String::from_utf8(made.clone()).unwrap();
    assert!(!text.contains("Secret") && !text.contains("1970"));
    assert!(text.contains("masked") && text.contains("REDACTED"));
    assert!(summary::render_text(&made).unwrap().contains("(withheld)"));
}

#[test]
fn long_sections_are_cut_and_say_so() {
    let results: Vec<Value> = (0..60)
        .map(|n| {
            json!({"resourceType": "Observation", "status": "final", "code": {"text": format!("Test {n}")},
                "category": [{"coding": [{"code": "laboratory"}]}], "effectiveDateTime": format!("20{n:02}"),
                "valueInteger": n})
        })
        .collect();
    let made = of_resources(&results);
    let shown = section(&made, Section::Results).unwrap();
    assert_eq!(shown["entry"].as_array().unwrap().len(), 40);
    assert_eq!(shown["extension"][0]["url"], summary::LEFT_OUT);
    assert_eq!(shown["extension"][0]["valueUnsignedInt"], 20);
    let text = summary::render_text(&made).unwrap();
    assert!(text.contains("Test 59") && !text.contains("Test 19:"));
}

#[test]
fn what_is_no_summary_is_refused_by_name() {
    assert!(matches!(
        summary::counts(b"{"),
        Err(SummaryError::Bundle {
            source: BundleError::Json { .. }
        })
    ));
    assert!(matches!(
        summary::counts(fixture::demo_bundle()),
        Err(SummaryError::NotASummary { .. })
    ));
    let made = String::from_utf8(summary_of(fixture::demo_bundle())).unwrap();
    let other = made.replace("60591-5", "34133-9");
    assert!(matches!(
        summary::render_text(other.as_bytes()),
        Err(SummaryError::NotASummary { .. })
    ));
    let twice = made.replace("11450-4", "10160-0");
    assert!(matches!(
        summary::counts(twice.as_bytes()),
        Err(SummaryError::NotASummary { .. })
    ));
    let bundle = Bundle::parse(fixture::demo_bundle()).unwrap();
    for time in [u64::MAX, i64::MAX as u64] {
        assert!(matches!(
            cut::cut(&bundle, time),
            Err(cut::CutError::Summary {
                source: SummaryError::Time { .. }
            })
        ));
    }
}

#[test]
fn a_summary_can_itself_be_sealed_and_summarised() {
    let first = summary_of(fixture::demo_bundle());
    let second = summary_of(&first);
    let (first, second) = (
        summary::counts(&first).unwrap(),
        summary::counts(&second).unwrap(),
    );
    assert_eq!(
        (first.allergies, first.medications, first.problems),
        (second.allergies, second.medications, second.problems)
    );
}

#[test]
fn a_summary_too_large_to_be_read_back_is_refused() {
    let patient = r#"{"resource":{"resourceType":"Patient","id":"p"}}"#.to_owned();
    let condition = r#"{"resource":{"resourceType":"Condition"}}"#.to_owned();
    let mut entries = vec![condition; kithkin_fhir::bundle::ENTRIES_MAX - 1];
    entries.push(patient);
    let text = format!(
        r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#,
        entries.join(",")
    );
    let bundle = Bundle::parse(text.as_bytes()).unwrap();
    assert!(matches!(
        cut::cut(&bundle, NOW),
        Err(cut::CutError::Summary {
            source: SummaryError::TooLarge { .. }
        })
    ));
}

#[test]
fn numbers_of_very_large_resources_are_still_shown() {
    let note = "x".repeat(300_000);
    let made = of_resources(&[
        json!({"resourceType": "Observation", "status": "final", "code": {"text": "Potassium"},
        "category": [{"coding": [{"code": "laboratory"}]}], "note": [{"text": note}],
        "valueQuantity": {"value": 4.1, "unit": "mmol/L"}}),
    ]);
    let text = summary::render_text(&made).unwrap();
    assert!(text.contains("Potassium: 4.1 mmol/L"), "{text}");
}
