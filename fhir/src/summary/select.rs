//! Which resources go into which section, in which order, and how many.
//!
//! Not here: what is sensitive ([`crate::sensitivity`]), how a resource is worded (`describe.rs`).

use std::collections::HashSet;

use serde_json::Value;

use super::describe::{Describer, is_high_risk};
use super::section::Section;
use super::{dates, status};
use crate::bundle::Bundle;
use crate::json::{self, has_code, has_coding, text};
use crate::sensitivity::Assessment;

const LOINC: &str = "http://loinc.org";
/// ABO and Rh group in blood; ABO group; Rh type.
const BLOOD_GROUP: [&str; 3] = ["882-1", "883-9", "10331-7"];
/// Pregnancy status; estimated date of delivery, by any method and by two of them.
const PREGNANCY: [&str; 4] = ["82810-3", "11778-8", "11779-6", "11780-4"];
/// Tobacco smoking status; alcoholic drinks per day; tobacco use.
const SOCIAL: [&str; 3] = ["72166-2", "74013-4", "11367-0"];
/// Advance directive; advance directives.
const DIRECTIVE: [&str; 2] = ["75320-2", "42348-3"];

/// What one section shows and what it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) section: Section,
    /// Places of the entries shown, in order.
    pub(super) shown: Vec<usize>,
    /// Entries that would be shown if they were not sensitive.
    pub(super) withheld: usize,
    /// Older or further entries that are in the chart only.
    pub(super) left_out: usize,
}

/// One resource that has a place in a section.
struct Candidate {
    entry: usize,
    section: Section,
    sensitive: bool,
    /// Lower comes first.
    rank: u8,
    when: i64,
    /// The same for resources about the same thing.
    about: String,
}

/// Whether the resource is about the patient of the bundle, not about another one in it.
///
/// Without a subject, or with one that the bundle does not hold, it counts as the patient's: there
/// is nobody else in the bundle it could be about.
pub(super) fn is_of_patient(bundle: &Bundle<'_>, value: &Value) -> bool {
    ["subject", "patient"]
        .into_iter()
        .filter_map(|name| json::reference(value, name))
        .filter_map(|reference| bundle.resolve(reference))
        .all(|target| target == bundle.patient_entry())
}

/// Fills every section; sections without anything are there too.
pub(super) fn select(
    bundle: &Bundle<'_>,
    assessment: &Assessment,
    describer: &Describer<'_, '_>,
) -> Vec<Selected> {
    let mut candidates = Vec::new();
    let mut used_devices = HashSet::new();
    for (entry, found) in bundle.entries().iter().enumerate() {
        let Some(resource) = found.resource() else {
            continue;
        };
        let kind = resource.resource_type();
        // Most of a large record is neither; reading it again would double the time.
        if !is_summarised(kind) {
            continue;
        }
        let Ok(value) = serde_json::from_str::<Value>(resource.json()) else {
            continue;
        };
        if !is_of_patient(bundle, &value) {
            continue;
        }
        for section in sections_of(kind, &value).into_iter().flatten() {
            if kind == "DeviceUseStatement" {
                used_devices.extend(
                    json::reference(&value, "device").and_then(|device| bundle.resolve(device)),
                );
            }
            candidates.push(Candidate {
                entry,
                section,
                sensitive: assessment.is_sensitive(entry),
                rank: rank(describer, section, &value),
                when: dates::order(dates::when(&value)),
                about: about(section, &value, entry),
            });
        }
    }
    // A device in use is told by the statement of its use.
    candidates.retain(|c| c.section != Section::Devices || !used_devices.contains(&c.entry));
    candidates.sort_by_key(|c| (c.section, c.rank, std::cmp::Reverse(c.when), c.entry));
    Section::ALL
        .into_iter()
        .map(|section| fill(section, &candidates))
        .collect()
}

fn fill(section: Section, sorted: &[Candidate]) -> Selected {
    let mut selected = Selected {
        section,
        shown: Vec::new(),
        withheld: 0,
        left_out: 0,
    };
    let mut seen = HashSet::new();
    let max = section.entries_max().unwrap_or(usize::MAX);
    for candidate in sorted.iter().filter(|c| c.section == section) {
        let key = (candidate.sensitive, candidate.about.as_str());
        let is_new = !section.latest_only() || seen.insert(key);
        if candidate.sensitive {
            selected.withheld += usize::from(is_new);
        } else if is_new && selected.shown.len() < max {
            selected.shown.push(candidate.entry);
        } else {
            selected.left_out += 1;
        }
    }
    selected
}

fn is_summarised(kind: &str) -> bool {
    matches!(
        kind,
        "AllergyIntolerance"
            | "CarePlan"
            | "ClinicalImpression"
            | "Condition"
            | "Consent"
            | "Device"
            | "DeviceUseStatement"
            | "Flag"
            | "Immunization"
            | "MedicationRequest"
            | "MedicationStatement"
            | "Observation"
            | "Procedure"
            | "ServiceRequest"
    )
}

/// The sections a resource belongs to: at most one by its type, and the advance directives.
fn sections_of(kind: &str, value: &Value) -> [Option<Section>; 2] {
    let by_type = match kind {
        "AllergyIntolerance" => status::allergy_is_active(value).then_some(Section::Allergies),
        "Condition" => match status::condition(value) {
            status::Condition::Active => Some(Section::Problems),
            status::Condition::Past => Some(Section::PastProblems),
            status::Condition::Void => None,
        },
        "MedicationRequest" | "MedicationStatement" => {
            let past = status::medication(kind, value) == status::Medication::Past;
            (!past).then_some(Section::Medications)
        }
        "Observation" if status::observation_holds(value) => observation_section(value),
        "Flag" => status::status_is(value, &["active"]).then_some(Section::Alerts),
        "Device" => {
            let absent = status::status_is(value, &["inactive", "entered-in-error"]);
            // A device of nobody is an instrument, or the author of something.
            let is_patients = json::reference(value, "patient").is_some();
            (is_patients && !absent).then_some(Section::Devices)
        }
        "DeviceUseStatement" => {
            let used = status::status_is(value, &["active", "intended", "on-hold"]);
            used.then_some(Section::Devices)
        }
        "Procedure" => {
            let none = status::status_is(value, &["not-done", "entered-in-error", "preparation"]);
            (!none).then_some(Section::Procedures)
        }
        "Immunization" => {
            status::status_is(value, &["completed"]).then_some(Section::Immunizations)
        }
        "CarePlan" => status::status_is(value, &["active"]).then_some(Section::PlanOfCare),
        "ClinicalImpression" => {
            status::status_is(value, &["completed"]).then_some(Section::FunctionalStatus)
        }
        _ => None,
    };
    let directive = is_directive(kind, value).then_some(Section::AdvanceDirectives);
    // The same observation need not be told twice; a condition counts among the problems as well.
    match (by_type, directive) {
        (Some(_), Some(directive)) if kind == "Observation" || kind == "Procedure" => {
            [None, Some(directive)]
        }
        (by_type, directive) => [by_type, directive],
    }
}

fn has_loinc(value: &Value, codes: &[&str]) -> bool {
    codes
        .iter()
        .any(|code| has_coding(value, "code", LOINC, code))
}

fn observation_section(value: &Value) -> Option<Section> {
    let category = |code| has_code(value, "category", code);
    if has_loinc(value, &PREGNANCY) {
        Some(Section::Pregnancy)
    } else if has_loinc(value, &BLOOD_GROUP) {
        Some(Section::Results)
    } else if has_loinc(value, &SOCIAL) || category("social-history") {
        Some(Section::SocialHistory)
    } else if category("vital-signs") {
        Some(Section::VitalSigns)
    } else if category("functional-status") || category("disability-status") {
        Some(Section::FunctionalStatus)
    } else if category("laboratory") {
        Some(Section::Results)
    } else {
        None
    }
}

fn is_directive(kind: &str, value: &Value) -> bool {
    let holds = match kind {
        "Consent" => status::status_is(value, &["active"]),
        "ServiceRequest" => status::status_is(value, &["active", "completed"]),
        "Condition" => status::condition(value) == status::Condition::Active,
        "Observation" => status::observation_holds(value),
        "Procedure" => !status::status_is(value, &["not-done", "entered-in-error"]),
        _ => false,
    };
    let directive_consent = || {
        has_code(value, "scope", "adr")
            || ["acd", "dnr", "hcd", "polst", "42348-3"]
                .iter()
                .any(|code| has_code(value, "category", code))
    };
    holds
        && (status::is_do_not_resuscitate(value)
            || kind == "Observation" && has_loinc(value, &DIRECTIVE)
            || kind == "Consent" && directive_consent())
}

fn rank(describer: &Describer<'_, '_>, section: Section, value: &Value) -> u8 {
    match section {
        Section::Allergies if status::states_absence(value) => 3,
        Section::Allergies if is_high_risk(value) => 0,
        Section::Allergies if text(value, "criticality") == Some("low") => 2,
        Section::Medications if status::must_not_be_given(value) => 0,
        Section::Medications if describer.mark(value).is_some() => 1,
        Section::Results if has_loinc(value, &BLOOD_GROUP) => 0,
        Section::AdvanceDirectives if status::is_do_not_resuscitate(value) => 0,
        Section::Medications | Section::Problems if status::states_absence(value) => 3,
        _ => 2 - u8::from(section == Section::Allergies),
    }
}

/// What the resource is about: its first coding, or its words.
fn about(section: Section, value: &Value, entry: usize) -> String {
    let concept = ["code", "vaccineCode"]
        .into_iter()
        .find_map(|name| value.get(name));
    let Some(concept) = concept else {
        return entry.to_string();
    };
    let coded = json::items(concept, "coding").find_map(|coding| {
        let code = text(coding, "code")?;
        Some(format!("{}|{code}", text(coding, "system").unwrap_or("")))
    });
    let Some(about) = coded.or_else(|| text(concept, "text").map(str::to_lowercase)) else {
        return entry.to_string();
    };
    // Two blood groups that differ are an error that must be seen, not an older value.
    if section == Section::Results && has_loinc(value, &BLOOD_GROUP) {
        let group = json::codings(value, "valueCodeableConcept").next();
        return format!("{about} {group:?} {:?}", text(value, "valueString"));
    }
    about
}
