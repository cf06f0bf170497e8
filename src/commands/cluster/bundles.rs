//! Small synthetic bundles for the load: made from a seed and a number alone, so the same ones come again.
//!
//! Every resource is labelled HTEST. Every fifth bundle has a sensitive resource.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

/// One bundle in so many has a sensitive resource.
const SENSITIVE_EVERY: u64 = 5;

/// The `number`-th bundle of a load, about the patient with this number.
pub(super) fn bundle(seed: u64, number: u64, patient: u16) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let subject = format!("htest-patient-{patient}");
    let mut entries = vec![json!({"resource": {
        "resourceType": "Patient",
        "id": subject,
        "meta": labels(&[]),
        "name": [{"family": "Testperson-Synthetic", "given": [format!("Load {patient}")]}],
        "gender": if patient.is_multiple_of(2) { "female" } else { "male" },
        "birthDate": format!("{}-03-{:02}", 1940 + patient % 60, 1 + patient % 28),
    }})];
    let reference = json!({"reference": format!("Patient/{subject}")});
    entries.push(observation(&mut rng, number, &reference));
    if number.is_multiple_of(2) {
        entries.push(prescription(&mut rng, number, &reference));
    }
    if number.is_multiple_of(SENSITIVE_EVERY) {
        entries.push(sensitive(number, &reference));
    }
    let bundle = json!({
        "resourceType": "Bundle",
        "id": format!("load-{seed}-{number}"),
        "meta": labels(&[]),
        "type": "collection",
        "entry": entries,
    });
    bundle.to_string().into_bytes()
}

fn labels(more: &[(&str, &str)]) -> Value {
    let mut security = vec![json!({
        "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
        "code": "HTEST",
    })];
    security.extend(more.iter().map(|(system, code)| {
        json!({"system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code})
    }));
    json!({ "security": security })
}

fn observation(rng: &mut ChaCha8Rng, number: u64, subject: &Value) -> Value {
    let (code, text, low, unit) = pick(
        rng,
        &[
            ("2823-3", "Potassium", 30, "mmol/L"),
            ("8867-4", "Heart rate", 500, "/min"),
            ("8310-5", "Body temperature", 355, "Cel"),
            ("2339-0", "Glucose", 600, "mg/dL"),
        ],
    );
    let tenths = low + rng.next_u32() % 60;
    json!({"resource": {
        "resourceType": "Observation",
        "id": format!("observation-{number}"),
        "meta": labels(&[]),
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}], "text": text},
        "subject": subject,
        "valueQuantity": {"value": f64::from(tenths) / 10.0, "unit": unit},
        "note": [{"text": format!("Measured by machine {:08x}", rng.next_u32())}],
    }})
}

fn prescription(rng: &mut ChaCha8Rng, number: u64, subject: &Value) -> Value {
    let text = pick(
        rng,
        &[
            "Warfarin 5 mg",
            "Metoprolol 50 mg",
            "Insulin glargine 100 U/mL",
        ],
    );
    json!({"resource": {
        "resourceType": "MedicationStatement",
        "id": format!("medication-{number}"),
        "meta": labels(&[]),
        "status": "active",
        "medicationCodeableConcept": {"text": text},
        "subject": subject,
    }})
}

fn sensitive(number: u64, subject: &Value) -> Value {
    json!({"resource": {
        "resourceType": "Condition",
        "id": format!("condition-{number}"),
        "meta": labels(&[("v3-Confidentiality", "R")]),
        "code": {"text": "Synthetic condition that is nobody's business"},
        "subject": subject,
    }})
}

fn pick<T: Copy>(rng: &mut ChaCha8Rng, from: &[T]) -> T {
    from[rng.next_u32() as usize % from.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use kithkin_fhir::{Bundle, cut};
    use kithkin_protocol::units::Tier;

    #[test]
    fn every_bundle_is_read_cut_and_joined() {
        for number in 0..20 {
            let bytes = bundle(7, number, 3);
            assert_eq!(bytes, bundle(7, number, 3));
            let parsed = Bundle::parse(&bytes).unwrap();
            assert!(parsed.entries().len() >= 2);
            let cut = cut::cut(&parsed, 1_767_225_600_000).unwrap();
            let sensitive = cut
                .parts
                .iter()
                .filter(|part| part.tier == Tier::Sensitive)
                .count();
            assert_eq!(
                sensitive,
                usize::from(number.is_multiple_of(SENSITIVE_EVERY))
            );
            let parts: Vec<_> = cut.parts.into_iter().map(|part| part.bytes).collect();
            assert_eq!(cut::join(&parts).unwrap(), bytes);
        }
        assert_ne!(bundle(7, 1, 3), bundle(8, 1, 3));
        assert_ne!(bundle(7, 1, 3), bundle(7, 3, 3));
    }
}
