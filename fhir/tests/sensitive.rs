//! What makes a resource sensitive, and how far that reaches.

use kithkin_fhir::bundle::Bundle;
use kithkin_fhir::sensitivity::Assessment;
use serde_json::{Value, json};

const SNOMED: &str = "http://snomed.info/sct";
const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

/// Assesses a patient (entry 0) with these resources (entries from 1, ids r1, r2, ...).
fn assess(resources: &[Value]) -> Vec<bool> {
    assess_as("collection", json!({}), resources)
}

fn assess_as(kind: &str, meta: Value, resources: &[Value]) -> Vec<bool> {
    let patient = json!({"resourceType": "Patient", "id": "p"});
    let mut list = vec![patient];
    list.extend(resources.iter().cloned());
    if kind == "document" {
        list.swap(0, 1);
    }
    assess_list(kind, meta, list)
}

fn assess_list(kind: &str, meta: Value, list: Vec<Value>) -> Vec<bool> {
    let entries: Vec<Value> = list
        .into_iter()
        .enumerate()
        .map(|(at, mut resource)| {
            if resource.get("id").is_none() {
                resource["id"] = json!(format!("r{at}"));
            }
            json!({"resource": resource})
        })
        .collect();
    let text = json!({"resourceType": "Bundle", "type": kind, "meta": meta, "entry": entries});
    let text = text.to_string();
    let bundle = Bundle::parse(text.as_bytes()).unwrap();
    let assessment = Assessment::of(&bundle);
    (0..bundle.entries().len())
        .map(|at| assessment.is_sensitive(at))
        .collect()
}

fn is_sensitive(resource: Value) -> bool {
    assess(&[resource])[1]
}

fn depression() -> Value {
    json!({"resourceType": "Condition", "code": {"coding": [{"system": SNOMED, "code": "370143000"}]}})
}

fn to(id: &str, kind: &str) -> Value {
    json!({"reference": format!("{kind}/{id}")})
}

#[test]
fn labels_count_wherever_they_stand() {
    let labelled = |system: &str, code: &str| {
        json!({"resourceType": "Observation",
            "meta": {"security": [{"system": system, "code": code}]}})
    };
    for code in ["R", "V"] {
        assert!(is_sensitive(labelled(CONFIDENTIALITY, code)), "{code}");
    }
    for code in ["U", "L", "M", "N"] {
        assert!(!is_sensitive(labelled(CONFIDENTIALITY, code)), "{code}");
    }
    for code in [
        "PSY", "HIV", "SDV", "ETH", "ETHUD", "OPIOIDUD", "SEX", "GDIS", "STD", "SUD",
    ] {
        assert!(is_sensitive(labelled(ACT_CODE, code)), "{code}");
    }
    assert!(!is_sensitive(labelled(ACT_CODE, "AMB")));
    assert!(!is_sensitive(labelled("urn:other", "R")));
    let without_system = json!({"resourceType": "Basic", "meta": {"security": [{"code": "V"}]}});
    assert!(is_sensitive(without_system));
    let contained = json!({"resourceType": "Basic", "contained": [labelled(CONFIDENTIALITY, "R")]});
    assert!(is_sensitive(contained));
    let inline = json!({"resourceType": "Basic", "extension": [{"url": "x", "valueCoding":
        {"system": CONFIDENTIALITY, "code": "R"}}]});
    assert!(is_sensitive(inline));
}

#[test]
fn codes_count_wherever_they_stand() {
    let icd = "http://hl7.org/fhir/sid/icd-10-cm";
    for (system, code, expected) in [
        (SNOMED, "370143000", true),
        (SNOMED, "38341003", false),
        (icd, "F32.1", true),
        (icd, "F17.210", false),
        (icd, "B20", true),
        (icd, "I10", false),
        ("http://loinc.org", "44261-6", true),
        ("http://loinc.org", "8480-6", false),
        ("http://www.nlm.nih.gov/research/umls/rxnorm", "6813", true),
        ("http://www.whocc.no/atc", "J05AR10", true),
        ("http://unitsofmeasure.org", "370143000", false),
    ] {
        let coding = json!({"system": system, "code": code});
        for resource in [
            json!({"resourceType": "Observation", "code": {"coding": [coding]}}),
            json!({"resourceType": "Encounter", "reasonCode": [{"coding": [coding]}]}),
            json!({"resourceType": "Claim", "item": [{"productOrService": {"coding": [coding]}}]}),
            json!({"resourceType": "Basic", "extension": [{"url": "x", "valueCoding": coding}]}),
        ] {
            assert_eq!(is_sensitive(resource.clone()), expected, "{resource}");
        }
    }
    let bare = json!({"resourceType": "Condition", "code": {"coding": [{"code": "86406008"}]}});
    assert!(is_sensitive(bare), "a code without a system");
}

#[test]
fn words_count_when_they_are_those_of_the_value_set() {
    let text = |text: &str| json!({"resourceType": "Condition", "code": {"text": text}});
    assert!(is_sensitive(text("major depressive disorder")));
    assert!(is_sensitive(text("Opioid abuse (disorder)")));
    assert!(!is_sensitive(text("ST depression")));
    let drug = |name: &str| json!({"resourceType": "MedicationRequest", "medicationCodeableConcept": {"text": name}});
    assert!(is_sensitive(drug("Dolutegravir 50 MG Oral Tablet")));
    assert!(is_sensitive(drug("Methadone Hydrochloride 10 MG")));
    assert!(!is_sensitive(drug("Metformin 500 MG")));
}

#[test]
fn what_refers_to_a_sensitive_resource_is_sensitive_to_any_depth() {
    let found = assess(&[
        depression(),
        json!({"resourceType": "MedicationRequest", "reasonReference": [to("r1", "Condition")]}),
        json!({"resourceType": "MedicationDispense",
            "authorizingPrescription": [to("r2", "MedicationRequest")]}),
        json!({"resourceType": "Encounter",
            "diagnosis": [{"condition": {"reference": "https://x.example/Condition/r1/_history/3"}}]}),
        json!({"resourceType": "Claim", "item": [{"encounter": [to("r4", "Encounter")]}]}),
        json!({"resourceType": "ExplanationOfBenefit", "claim": to("r5", "Claim")}),
        json!({"resourceType": "DocumentReference", "context": {"encounter": [to("r4", "Encounter")]}}),
        json!({"resourceType": "Condition", "encounter": to("r9", "Encounter"), "subject": to("p", "Patient")}),
        json!({"resourceType": "Encounter", "subject": to("p", "Patient")}),
    ]);
    assert_eq!(
        found,
        [
            false, true, true, true, true, true, true, true, false, false
        ]
    );
}

#[test]
fn where_something_was_noted_does_not_make_it_sensitive() {
    let found = assess(&[
        depression(),
        json!({"resourceType": "Encounter", "reasonReference": [to("r1", "Condition")]}),
        json!({"resourceType": "AllergyIntolerance", "encounter": to("r2", "Encounter")}),
        json!({"resourceType": "Observation", "encounter": to("r2", "Encounter")}),
        json!({"resourceType": "MedicationStatement", "context": to("r2", "Encounter")}),
        json!({"resourceType": "DiagnosticReport", "encounter": to("r2", "Encounter")}),
    ]);
    assert_eq!(found, [false, true, true, false, false, false, true]);
}

#[test]
fn an_encounter_that_a_sensitive_condition_refers_to_is_not_sensitive() {
    let mut condition = depression();
    condition["encounter"] = to("r2", "Encounter");
    let found = assess(&[condition, json!({"resourceType": "Encounter"})]);
    assert_eq!(found, [false, true, false]);
}

#[test]
fn what_only_sensitive_resources_use_goes_with_them() {
    let found = assess(&[
        depression(),
        json!({"resourceType": "MedicationRequest", "reasonReference": [to("r1", "Condition")],
            "medicationReference": to("r3", "Medication")}),
        json!({"resourceType": "Medication"}),
        json!({"resourceType": "MedicationRequest", "medicationReference": to("r5", "Medication")}),
        json!({"resourceType": "Medication"}),
        json!({"resourceType": "Medication"}),
        json!({"resourceType": "DocumentReference", "content": [{"attachment": {"url": "Binary/r8"}}],
            "related": [to("r1", "Condition")]}),
        json!({"resourceType": "Binary"}),
    ]);
    assert_eq!(
        found,
        [false, true, true, true, false, false, false, true, true]
    );
}

#[test]
fn members_of_a_sensitive_panel_are_sensitive_and_neighbours_of_a_member_are_not() {
    let hiv = json!({"coding": [{"system": "http://loinc.org", "code": "75622-1"}]});
    let found = assess(&[
        json!({"resourceType": "DiagnosticReport", "code": hiv, "result": [to("r2", "Observation")]}),
        json!({"resourceType": "Observation", "hasMember": [to("r3", "Observation")]}),
        json!({"resourceType": "Observation"}),
        json!({"resourceType": "DiagnosticReport",
            "result": [to("r3", "Observation"), to("r5", "Observation")]}),
        json!({"resourceType": "Observation"}),
    ]);
    assert_eq!(found, [false, true, true, true, true, false]);
}

#[test]
fn circles_of_references_come_to_an_end() {
    let found = assess(&[
        json!({"resourceType": "List", "entry": [{"item": to("r2", "List")}]}),
        json!({"resourceType": "List", "entry": [{"item": to("r1", "List")}, {"item": to("r3", "Condition")}]}),
        depression(),
    ]);
    assert_eq!(found, [false, true, true, true]);
}

#[test]
fn the_patient_is_sensitive_only_by_a_label_and_does_not_pass_it_on() {
    let patient = |meta: Value, code: &str| {
        json!({"resourceType": "Patient", "id": "p", "meta": meta,
            "extension": [{"url": "x", "valueCoding": {"system": SNOMED, "code": code}}],
            "link": [{"other": {"reference": "Condition/r1"}}]})
    };
    let flu = json!({"resourceType": "Condition", "subject": to("p", "Patient")});
    let coded = vec![patient(json!({}), "370143000"), depression(), flu.clone()];
    assert_eq!(
        assess_list("collection", json!({}), coded),
        [false, true, false]
    );
    let label = json!({"security": [{"system": CONFIDENTIALITY, "code": "V"}]});
    let labelled = vec![patient(label, "1"), flu];
    assert_eq!(
        assess_list("collection", json!({}), labelled),
        [true, false]
    );
}

#[test]
fn a_label_on_the_whole_record_covers_what_is_not_itself_released() {
    let label = |code: &str| json!({"security": [{"system": CONFIDENTIALITY, "code": code}]});
    let found = assess_as(
        "collection",
        label("R"),
        &[
            json!({"resourceType": "Condition"}),
            json!({"resourceType": "AllergyIntolerance", "meta": label("N")}),
        ],
    );
    assert_eq!(found, [true, true, false]);
}

#[test]
fn a_document_with_a_sensitive_entry_has_a_sensitive_composition() {
    let composition = |confidentiality: &str| {
        json!({"resourceType": "Composition", "id": "c", "confidentiality": confidentiality,
            "section": [{"entry": [to("r2", "Condition")]}]})
    };
    let with = assess_as("document", json!({}), &[composition("N"), depression()]);
    assert_eq!(with, [true, false, true]);
    let other = json!({"resourceType": "Condition"});
    let without = assess_as("document", json!({}), &[composition("N"), other.clone()]);
    assert_eq!(without, [false, false, false]);
    let restricted = assess_as("document", json!({}), &[composition("R"), other]);
    assert_eq!(restricted, [true, true, true]);
}
