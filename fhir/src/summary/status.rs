//! What is active, what is past, what never was (R4 value sets of the status elements).
//!
//! Where a status is missing or unknown, the resource counts as active: an allergy too many is
//! looked into, an allergy too few is not.

use serde_json::Value;

use crate::json::{self, has_code, text};

/// Entered by mistake or shown to be wrong.
fn is_void(value: &Value) -> bool {
    has_code(value, "verificationStatus", "entered-in-error")
        || has_code(value, "verificationStatus", "refuted")
}

/// Whether an AllergyIntolerance still holds.
pub(super) fn allergy_is_active(value: &Value) -> bool {
    !is_void(value)
        && !has_code(value, "clinicalStatus", "inactive")
        && !has_code(value, "clinicalStatus", "resolved")
}

/// The state of a Condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Condition {
    Active,
    Past,
    Void,
}

/// The state of a Condition; without a status, whether it has abated decides.
pub(super) fn condition(value: &Value) -> Condition {
    let has = |codes: &[&str]| {
        codes
            .iter()
            .any(|code| has_code(value, "clinicalStatus", code))
    };
    if is_void(value) {
        Condition::Void
    } else if has(&["active", "recurrence", "relapse"]) {
        Condition::Active
    } else if has(&["inactive", "remission", "resolved"]) || has_abated(value) {
        Condition::Past
    } else {
        Condition::Active
    }
}

fn has_abated(value: &Value) -> bool {
    value
        .as_object()
        .into_iter()
        .flat_map(|members| members.keys())
        .any(|name| name.starts_with("abatement"))
}

/// The state of a MedicationRequest or MedicationStatement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Medication {
    /// Taken now.
    Active,
    /// Not taken now, yet to be known: on hold, or an order not to give it.
    Listed,
    Past,
}

/// The state of a MedicationRequest or MedicationStatement.
pub(super) fn medication(kind: &str, value: &Value) -> Medication {
    // A proposal or a plan is not yet a medication.
    if matches!(text(value, "intent"), Some("proposal" | "plan")) {
        return Medication::Past;
    }
    match (kind, text(value, "status")) {
        (_, Some("active")) | ("MedicationStatement", Some("intended")) => {
            if must_not_be_given(value) {
                Medication::Listed
            } else {
                Medication::Active
            }
        }
        (_, Some("on-hold")) => Medication::Listed,
        _ => Medication::Past,
    }
}

/// Whether a MedicationRequest forbids the medication instead of ordering it.
pub(super) fn must_not_be_given(value: &Value) -> bool {
    value.get("doNotPerform").and_then(Value::as_bool) == Some(true)
}

/// Whether an Observation has a result that holds.
pub(super) fn observation_holds(value: &Value) -> bool {
    !matches!(
        text(value, "status"),
        Some("entered-in-error" | "cancelled" | "registered")
    )
}

/// Whether the resource has one of these codes as its plain `status`.
pub(super) fn status_is(value: &Value, codes: &[&str]) -> bool {
    text(value, "status").is_some_and(|status| codes.contains(&status))
}

const SNOMED: &str = "http://snomed.info/sct";

/// SNOMED CT: not for resuscitation.
pub(super) fn is_do_not_resuscitate(value: &Value) -> bool {
    ["code", "valueCodeableConcept", "category"]
        .into_iter()
        .any(|name| json::has_coding(value, name, SNOMED, "304253006"))
}

/// SNOMED CT: no known allergy.
pub(super) fn says_no_known_allergy(value: &Value) -> bool {
    ["code", "valueCodeableConcept"]
        .into_iter()
        .any(|name| json::has_coding(value, name, SNOMED, "716186003"))
}

/// Whether the resource states that there is nothing: no known allergies, medications, problems.
pub(super) fn states_absence(value: &Value) -> bool {
    says_no_known_allergy(value)
        || ["code", "medicationCodeableConcept"]
            .into_iter()
            .any(|name| {
                json::codings(value, name).any(|(system, _)| {
                    system == "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
                })
            })
}
