//! One resource in one line, for the narrative of the document and for a terminal.
//!
//! Not here: what is worth showing (`select.rs`), results of observations (`observe.rs`).

use std::collections::HashMap;

use serde_json::Value;

use super::narrative::clean;
use super::{dates, drugs, observe, status};
use crate::bundle::Bundle;
use crate::json::{self, Step, has_code, text};

/// The most dosages of one medication that are told; the rest is in the chart.
const DOSAGES_MAX: usize = 4;

/// A resource in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Whether it must not be overlooked.
    pub(super) urgent: bool,
    /// Cleaned of control characters.
    pub(super) text: String,
}

/// The words of a CodeableConcept: its text, or else what a coding displays, or else a code.
pub(super) fn concept(value: Option<&Value>) -> Option<String> {
    let value = value?;
    let display = || json::items(value, "coding").find_map(|coding| text(coding, "display"));
    let code = || json::items(value, "coding").find_map(|coding| text(coding, "code"));
    text(value, "text")
        .filter(|text| !text.trim().is_empty())
        .or_else(display)
        .map(str::to_owned)
        .or_else(|| code().map(readable))
}

/// A code of words, such as "no-known-medications", reads better without hyphens.
fn readable(code: &str) -> String {
    if code.contains(|c: char| c.is_ascii_digit()) {
        return code.to_owned();
    }
    code.replace('-', " ")
}

/// The words of the first concept at `value[name]`.
fn words(value: &Value, name: &str) -> Option<String> {
    json::one_or_many(value, name).find_map(|found| concept(Some(found)))
}

/// Describes the entries of one bundle.
///
/// Medications and devices are worded once: a bundle may refer to one of them from every entry,
/// and reading a large one again each time would take forever.
pub(super) struct Describer<'b, 'a> {
    bundle: &'b Bundle<'a>,
    medications: HashMap<usize, Medicine>,
    devices: HashMap<usize, String>,
}

/// A medication in words.
#[derive(Clone)]
struct Medicine {
    name: Option<String>,
    mark: Option<drugs::Mark>,
}

impl Medicine {
    fn of(concept_value: Option<&Value>) -> Self {
        Self {
            name: concept(concept_value).map(|name| clean(&name)),
            mark: concept_value.and_then(drugs::mark),
        }
    }
}

impl<'b, 'a> Describer<'b, 'a> {
    pub(super) fn new(bundle: &'b Bundle<'a>) -> Self {
        let mut describer = Self {
            bundle,
            medications: HashMap::new(),
            devices: HashMap::new(),
        };
        for (at, entry) in bundle.entries().iter().enumerate() {
            let Some(resource) = entry.resource() else {
                continue;
            };
            let read = || serde_json::from_str::<Value>(resource.json()).unwrap_or_default();
            match resource.resource_type() {
                "Medication" => {
                    let medicine = Medicine::of(read().get("code"));
                    describer.medications.insert(at, medicine);
                }
                "Device" => {
                    describer.devices.insert(at, clean(&device(&read())));
                }
                _ => {}
            }
        }
        describer
    }

    /// The entry at this place in words; none when it has no resource.
    pub(super) fn describe(&self, at: usize) -> Option<Line> {
        let resource = self.bundle.entries().get(at)?.resource()?;
        let raw = resource.json();
        let value: Value = serde_json::from_str(raw).ok()?;
        let (urgent, line) = match resource.resource_type() {
            "AllergyIntolerance" => allergy(&value),
            "Condition" => (false, condition(&value)),
            "MedicationRequest" | "MedicationStatement" => self.medication(raw, &value),
            "Observation" => (false, dated(observe::observation(raw, &value), &value)),
            "Device" => (false, device(&value)),
            "DeviceUseStatement" => (false, self.device_use(&value)),
            "Immunization" => {
                let vaccine = name_or(&value, "vaccineCode", "Immunization");
                (false, dated(vaccine, &value))
            }
            "Flag" => (true, name_or(&value, "code", "Alert")),
            "Consent" => (false, consent(&value)),
            "CarePlan" => (false, care_plan(&value)),
            other => (false, dated(name_or(&value, "code", other), &value)),
        };
        if status::is_do_not_resuscitate(&value) {
            return Some(Line {
                urgent: true,
                text: clean(&format!("DO NOT RESUSCITATE: {line}")),
            });
        }
        Some(Line {
            urgent,
            text: clean(&line),
        })
    }

    /// Why the medication of a request or statement must not be overlooked.
    pub(super) fn mark(&self, value: &Value) -> Option<drugs::Mark> {
        self.medicine(value).mark
    }

    /// The medication of a request or statement, wherever it is named.
    fn medicine(&self, value: &Value) -> Medicine {
        if let Some(found) = value.get("medicationCodeableConcept") {
            return Medicine::of(Some(found));
        }
        let reference = json::reference(value, "medicationReference").unwrap_or_default();
        if let Some(id) = reference.strip_prefix('#') {
            let contained =
                json::items(value, "contained").find(|contained| text(contained, "id") == Some(id));
            return Medicine::of(contained.and_then(|contained| contained.get("code")));
        }
        let entry = self.bundle.resolve(reference);
        let known = entry.and_then(|at| self.medications.get(&at));
        known.cloned().unwrap_or_else(|| Medicine::of(None))
    }

    fn medication(&self, raw: &str, value: &Value) -> (bool, String) {
        let Medicine { name, mark } = self.medicine(value);
        let display = || {
            let reference = value.get("medicationReference")?;
            text(reference, "display").map(str::to_owned)
        };
        let name = name
            .or_else(display)
            .unwrap_or_else(|| "Medication of unknown name".to_owned());
        let mut line = match mark {
            Some(mark) => format!("{}: {name}", mark.as_str()),
            None => name,
        };
        if status::must_not_be_given(value) {
            line = format!("DO NOT GIVE: {line}");
        }
        if text(value, "status") == Some("on-hold") {
            line.push_str(" (on hold)");
        }
        for list in ["dosageInstruction", "dosage"] {
            let dosages = json::items(value, list).enumerate().take(DOSAGES_MAX);
            for (at, dosage) in dosages {
                let path = [Step::Name(list), Step::Item(at)];
                if let Some(words) = dosage_words(raw, dosage, &path) {
                    line = format!("{line}; {words}");
                }
            }
        }
        (mark.is_some() || status::must_not_be_given(value), line)
    }

    fn device_use(&self, value: &Value) -> String {
        let target =
            json::reference(value, "device").and_then(|reference| self.bundle.resolve(reference));
        let known = target.and_then(|at| self.devices.get(&at).map(String::as_str));
        let display = || {
            value
                .get("device")
                .and_then(|device| text(device, "display"))
        };
        let device = known.or_else(display).unwrap_or("Device");
        match concept(value.get("bodySite")) {
            Some(site) => dated(format!("{device}, {site}"), value),
            None => dated(device.to_owned(), value),
        }
    }
}

fn name_or(value: &Value, name: &str, otherwise: &str) -> String {
    words(value, name).unwrap_or_else(|| otherwise.to_owned())
}

fn dated(line: String, value: &Value) -> String {
    match dates::when(value) {
        Some(when) => format!("{line} ({})", dates::day(when)),
        None => line,
    }
}

fn doubt(value: &Value) -> &'static str {
    ["unconfirmed", "provisional", "differential"]
        .into_iter()
        .find(|code| has_code(value, "verificationStatus", code))
        .map_or("", |_| " (unconfirmed)")
}

/// Whether an AllergyIntolerance may be deadly.
pub(super) fn is_high_risk(value: &Value) -> bool {
    text(value, "criticality") == Some("high")
}

fn allergy(value: &Value) -> (bool, String) {
    let mut line = name_or(value, "code", "Allergy");
    line.push_str(doubt(value));
    let reactions: Vec<String> = json::items(value, "reaction")
        .filter_map(|reaction| {
            let shown = words(reaction, "manifestation")
                .or_else(|| text(reaction, "description").map(str::to_owned))?;
            Some(match text(reaction, "severity") {
                Some(severity) => format!("{shown}, {severity}"),
                None => shown,
            })
        })
        .collect();
    if !reactions.is_empty() {
        line = format!("{line}: {}", reactions.join("; "));
    }
    if is_high_risk(value) {
        return (true, format!("HIGH RISK: {line}"));
    }
    (false, line)
}

fn condition(value: &Value) -> String {
    let mut line = name_or(value, "code", "Condition");
    if let Some(severity) = words(value, "severity") {
        line = format!("{line}, {severity}");
    }
    line.push_str(doubt(value));
    let since = text(value, "onsetDateTime").or_else(|| text(value, "recordedDate"));
    match (since, text(value, "abatementDateTime")) {
        (Some(from), Some(to)) => format!("{line} ({} to {})", dates::day(from), dates::day(to)),
        (Some(from), None) => format!("{line} (since {})", dates::day(from)),
        (None, Some(to)) => format!("{line} (until {})", dates::day(to)),
        (None, None) => line,
    }
}

/// A Dosage: its own text when it has one, or else what its parts say.
fn dosage_words(raw: &str, dosage: &Value, path: &[Step<'_>]) -> Option<String> {
    if let Some(text) = text(dosage, "text").filter(|text| !text.trim().is_empty()) {
        return Some(text.to_owned());
    }
    let mut words = Vec::new();
    for (at, rate) in json::items(dosage, "doseAndRate")
        .enumerate()
        .take(DOSAGES_MAX)
    {
        if let Some(dose) = rate.get("doseQuantity") {
            let dose_path = [
                path,
                &[
                    Step::Name("doseAndRate"),
                    Step::Item(at),
                    Step::Name("doseQuantity"),
                ],
            ]
            .concat();
            words.extend(observe::quantity(raw, dose, &dose_path));
        }
    }
    words.extend(concept(dosage.get("route")));
    if let Some(timing) = dosage.get("timing") {
        words.extend(concept(timing.get("code")).or_else(|| timing_words(timing)));
    }
    if dosage.get("asNeededBoolean").and_then(Value::as_bool) == Some(true) {
        words.push("as needed".to_owned());
    }
    words.extend(
        concept(dosage.get("asNeededCodeableConcept")).map(|why| format!("as needed for {why}")),
    );
    (!words.is_empty()).then(|| words.join(", "))
}

fn timing_words(timing: &Value) -> Option<String> {
    let repeat = timing.get("repeat")?;
    let unit = match text(repeat, "periodUnit")? {
        "s" => "second",
        "min" => "minute",
        "h" => "hour",
        "d" => "day",
        "wk" => "week",
        "mo" => "month",
        "a" => "year",
        _ => return None,
    };
    // Neither has a default in words: "every day" must not be read out of a missing number.
    let frequency = repeat.get("frequency").filter(|f| f.is_number())?;
    let period = repeat.get("period").filter(|p| p.is_number())?;
    let times = match frequency.as_u64() {
        Some(1) => "once".to_owned(),
        _ => format!("{frequency} times"),
    };
    Some(match period.as_u64() {
        Some(1) => format!("{times} every {unit}"),
        _ => format!("{times} every {period} {unit}s"),
    })
}

fn device(value: &Value) -> String {
    let name = words(value, "type").or_else(|| {
        json::items(value, "deviceName").find_map(|name| text(name, "name").map(str::to_owned))
    });
    let mut line = name.unwrap_or_else(|| "Device".to_owned());
    let details = [
        ("manufacturer", text(value, "manufacturer")),
        ("model", text(value, "modelNumber")),
        ("serial number", text(value, "serialNumber")),
    ];
    for (what, found) in details {
        if let Some(found) = found {
            line = format!("{line}, {what} {found}");
        }
    }
    line
}

fn consent(value: &Value) -> String {
    let mut line = name_or(value, "category", "Consent");
    if let Some(provision) = value.get("provision") {
        if let Some(kind) = text(provision, "type") {
            line = format!("{line}, {kind}");
        }
        if let Some(what) = words(provision, "code") {
            line = format!("{line}: {what}");
        }
    }
    dated(line, value)
}

fn care_plan(value: &Value) -> String {
    let title = text(value, "title").map(str::to_owned);
    // Systems that categorise put what the plan is about behind the generic "assess-plan".
    let category = || {
        json::items(value, "category")
            .filter(|category| {
                !json::items(category, "coding")
                    .any(|coding| text(coding, "code") == Some("assess-plan"))
            })
            .find_map(|category| concept(Some(category)))
    };
    let line = title
        .or_else(category)
        .or_else(|| text(value, "description").map(str::to_owned))
        .unwrap_or_else(|| "Care plan".to_owned());
    dated(line, value)
}
