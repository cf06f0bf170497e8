//! Writing the summary: a document Bundle with its Composition.
//!
//! Not here: the choice of resources (`select.rs`), their wording (`describe.rs`).

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::SummaryError;
use super::describe::Describer;
use super::identity;
use super::narrative;
use super::select::{Selected, select};
use super::source::SourceNotes;
use crate::BUNDLE_BYTES_MAX;
use crate::bundle::{Bundle, ENTRIES_MAX, Entry};
use crate::json;
use crate::sensitivity::Assessment;

/// The extension on a section that says how many of its entries are withheld: `valueUnsignedInt`.
///
/// The address is reserved never to lead anywhere (RFC 2606), so nobody else can give it a meaning.
pub const WITHHELD: &str = "https://kithkin.invalid/fhir/StructureDefinition/withheld-entries";

/// The extension on a section that says how many further entries are in the chart only.
pub const LEFT_OUT: &str = "https://kithkin.invalid/fhir/StructureDefinition/left-out-entries";

/// Said of a section whose source has a narrative but no entries.
const MORE_IN_WORDS: &str = "The source document tells more in words: see the chart.";

pub(super) const EMPTY_REASON: &str = "http://terminology.hl7.org/CodeSystem/list-empty-reason";
const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    resource_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Value>,
    identifier: Value,
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: &'a str,
    entry: Vec<DocumentEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentEntry<'a> {
    full_url: &'a str,
    resource: &'a RawValue,
}

/// Makes the summary of `bundle` as the JSON of an International Patient Summary document.
///
/// `made_at_ms` is the document's date, in milliseconds since 1970-01-01T00:00Z. The same inputs
/// give the same bytes.
///
/// # Errors
/// [`SummaryError::Time`] for a date beyond the year 9999, [`SummaryError::TooLarge`] for a summary
/// that could not be read back, [`SummaryError::Write`] when the JSON cannot be written.
pub fn build(
    bundle: &Bundle<'_>,
    assessment: &Assessment,
    made_at_ms: u64,
) -> Result<Vec<u8>, SummaryError> {
    let draft = Draft::new(bundle, assessment, made_at_ms)?;
    let composition = raw(&draft.composition())?;
    let device = raw(&draft.device())?;
    let masked = draft.masked_patient().map(|p| raw(&p)).transpose()?;
    let mut entry = vec![DocumentEntry {
        full_url: &draft.composition_url,
        resource: &composition,
    }];
    let copies: Vec<(usize, &RawValue)> = draft
        .copied()
        .into_iter()
        .map(|at| Ok((at, serde_json::from_str(draft.json(at))?)))
        .collect::<Result<_, _>>()
        .map_err(|error: serde_json::Error| write_error(&error))?;
    for (at, copy) in &copies {
        entry.push(DocumentEntry {
            full_url: draft.url(*at),
            resource: match (&masked, *at == bundle.patient_entry()) {
                (Some(masked), true) => masked,
                _ => copy,
            },
        });
    }
    entry.push(DocumentEntry {
        full_url: &draft.device_url,
        resource: &device,
    });
    let document = Document {
        resource_type: "Bundle",
        meta: draft.meta(false),
        identifier: json!({
            "system": "urn:ietf:rfc:3986",
            "value": draft.name("document"),
        }),
        kind: "document",
        timestamp: &draft.time,
        entry,
    };
    let bytes = serde_json::to_vec(&document).map_err(|error| write_error(&error))?;
    let entries = document.entry.len();
    if bytes.len() > BUNDLE_BYTES_MAX || entries > ENTRIES_MAX {
        return Err(SummaryError::TooLarge {
            bytes: bytes.len(),
            entries,
        });
    }
    Ok(bytes)
}

fn raw(value: &Value) -> Result<Box<RawValue>, SummaryError> {
    serde_json::value::to_raw_value(value).map_err(|error| write_error(&error))
}

fn write_error(error: &serde_json::Error) -> SummaryError {
    SummaryError::Write {
        reason: crate::strict::reason(error),
    }
}

/// Everything decided, nothing written yet.
struct Draft<'b, 'a> {
    bundle: &'b Bundle<'a>,
    describer: Describer<'b, 'a>,
    sections: Vec<Selected>,
    notes: SourceNotes,
    time: String,
    patient_is_sensitive: bool,
    is_test_data: bool,
    composition_url: String,
    device_url: String,
    /// Names for entries that came without one.
    urls: HashMap<usize, String>,
}

impl<'b, 'a> Draft<'b, 'a> {
    fn new(
        bundle: &'b Bundle<'a>,
        assessment: &Assessment,
        made_at_ms: u64,
    ) -> Result<Self, SummaryError> {
        let time = i64::try_from(made_at_ms)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .ok_or(SummaryError::Time { made_at_ms })?;
        let patient: Value = serde_json::from_str(bundle.patient().json()).unwrap_or_default();
        let describer = Describer::new(bundle);
        let mut draft = Self {
            bundle,
            sections: select(bundle, assessment, &describer),
            describer,
            notes: SourceNotes::of(bundle, assessment),
            time: format!("{time:.3}"),
            patient_is_sensitive: assessment.is_sensitive(bundle.patient_entry()),
            is_test_data: is_test_data(&patient),
            composition_url: String::new(),
            device_url: String::new(),
            urls: HashMap::new(),
        };
        draft.composition_url = draft.name("composition");
        draft.device_url = draft.name("device");
        draft.urls = bundle
            .entries()
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.full_url().is_none_or(str::is_empty))
            .map(|(at, _)| (at, draft.name(&format!("entry {at}"))))
            .collect();
        Ok(draft)
    }

    fn name(&self, what: &str) -> String {
        let entry = self.bundle.entries().get(self.bundle.patient_entry());
        let patient = entry.and_then(Entry::full_url);
        let id = self.bundle.patient().id();
        identity::urn(&[
            what,
            &self.time,
            patient.unwrap_or_default(),
            id.unwrap_or_default(),
        ])
    }

    fn json(&self, at: usize) -> &'a str {
        let resource = self.bundle.entries().get(at).and_then(Entry::resource);
        resource.map_or("null", |resource| resource.json())
    }

    fn url(&self, at: usize) -> &str {
        if let Some(url) = self.urls.get(&at) {
            return url;
        }
        let entry = self.bundle.entries().get(at);
        entry.and_then(Entry::full_url).unwrap_or_default()
    }

    /// The patient, what the sections show, and what that needs to be understood; each once.
    fn copied(&self) -> Vec<usize> {
        let shown = self.sections.iter().flat_map(|section| &section.shown);
        let mut order = vec![self.bundle.patient_entry()];
        order.extend(shown.clone());
        order.extend(shown.filter_map(|at| self.needed_by(*at)));
        let mut seen = HashSet::new();
        order.retain(|at| seen.insert(*at));
        order
    }

    /// The Medication or Device that a resource is about. It is not sensitive: who refers to a
    /// sensitive resource is sensitive too.
    fn needed_by(&self, at: usize) -> Option<usize> {
        let value: Value = serde_json::from_str(self.json(at)).ok()?;
        let reference = ["medicationReference", "device"]
            .into_iter()
            .find_map(|name| json::reference(&value, name))?;
        self.bundle.resolve(reference)
    }

    fn withheld(&self) -> usize {
        self.sections.iter().map(|section| section.withheld).sum()
    }

    /// Labels: test data stays recognisable, a redacted document says so.
    fn meta(&self, of_composition: bool) -> Option<Value> {
        let mut security = Vec::new();
        if self.is_test_data {
            security.push(json!({"system": ACT_REASON, "code": "HTEST"}));
        }
        if of_composition && (self.withheld() > 0 || self.patient_is_sensitive) {
            security.push(json!({
                "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
                "code": "REDACTED",
            }));
        }
        (!security.is_empty()).then(|| json!({ "security": security }))
    }

    fn composition(&self) -> Value {
        let sections: Vec<Value> = self
            .sections
            .iter()
            .filter_map(|section| self.section(section))
            .collect();
        let mut composition = json!({
            "resourceType": "Composition",
            "status": "final",
            "type": {"coding": [{"system": "http://loinc.org", "code": "60591-5"}]},
            "subject": {"reference": self.url(self.bundle.patient_entry())},
            "date": self.time,
            "author": [{"reference": self.device_url}],
            "title": "Emergency summary",
            "section": sections,
        });
        if let (Some(meta), Some(members)) = (self.meta(true), composition.as_object_mut()) {
            members.insert("meta".to_owned(), meta);
        }
        composition
    }

    fn section(&self, selected: &Selected) -> Option<Value> {
        let section = selected.section;
        let has_narrative = self.notes.narrative_only.contains(&section);
        if selected.shown.is_empty()
            && selected.withheld == 0
            && !has_narrative
            && !section.is_required()
        {
            return None;
        }
        let describe = |at: &usize| self.describer.describe(*at).map(|line| line.text);
        let lines: Vec<String> = selected.shown.iter().filter_map(describe).collect();
        let mut remarks = Vec::new();
        let empty_reason = self.empty_reason(selected);
        remarks.extend(empty_reason.map(|(_, words)| words.to_owned()));
        remarks.extend(withheld_remark(selected.withheld));
        if selected.left_out > 0 {
            remarks.push(format!("In the chart only: {} more.", selected.left_out));
        }
        if has_narrative {
            remarks.push(MORE_IN_WORDS.to_owned());
        }
        let mut value = json!({
            "title": section.title(),
            "code": {"coding": [{"system": "http://loinc.org", "code": section.loinc()}]},
            "text": {"status": "generated", "div": narrative::div(&lines, &remarks)},
        });
        let members = value.as_object_mut()?;
        let numbers = [(WITHHELD, selected.withheld), (LEFT_OUT, selected.left_out)];
        let extensions: Vec<Value> = numbers
            .into_iter()
            .filter(|(_, number)| *number > 0)
            .map(|(url, number)| json!({"url": url, "valueUnsignedInt": number}))
            .collect();
        if !extensions.is_empty() {
            members.insert("extension".to_owned(), extensions.into());
        }
        if let Some((code, _)) = empty_reason {
            let mut reason = json!({"coding": [{"system": EMPTY_REASON, "code": code}]});
            if let (true, Some(reason)) = (has_narrative, reason.as_object_mut()) {
                reason.insert("text".to_owned(), MORE_IN_WORDS.into());
            }
            members.insert("emptyReason".to_owned(), reason);
        } else {
            let references = selected
                .shown
                .iter()
                .map(|at| json!({"reference": self.url(*at)}));
            members.insert("entry".to_owned(), references.collect());
        }
        Some(value)
    }

    /// Why a section is empty: code and words.
    fn empty_reason(&self, selected: &Selected) -> Option<(&'static str, &'static str)> {
        if !selected.shown.is_empty() {
            None
        } else if selected.withheld > 0 {
            Some(("withheld", "Nothing that may be shown here."))
        } else if self.notes.nil_known.contains(&selected.section) {
            Some(("nilknown", "None known."))
        } else {
            Some(("unavailable", "No information available."))
        }
    }

    /// Who wrote the summary: a program, and no person has checked it.
    fn device(&self) -> Value {
        json!({
            "resourceType": "Device",
            "deviceName": [{"name": "Kithkin emergency summary", "type": "other"}],
            "version": [{"value": env!("CARGO_PKG_VERSION")}],
        })
    }

    /// Stands for a patient whose very data are labelled: the document needs a subject.
    fn masked_patient(&self) -> Option<Value> {
        let masked = json!([{
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
            "valueCode": "masked",
        }]);
        self.patient_is_sensitive.then(|| {
            json!({
                "resourceType": "Patient",
                "name": [{"text": "(withheld)"}],
                "_birthDate": {"extension": masked},
            })
        })
    }
}

/// The sentence that says how much is withheld.
pub(super) fn withheld_remark(withheld: usize) -> Option<String> {
    match withheld {
        0 => None,
        1 => Some("Withheld: 1 entry in the sensitive tier.".to_owned()),
        many => Some(format!("Withheld: {many} entries in the sensitive tier.")),
    }
}

fn is_test_data(patient: &Value) -> bool {
    let meta = patient.get("meta");
    meta.into_iter()
        .flat_map(|meta| json::items(meta, "security"))
        .any(|label| {
            json::text(label, "system") == Some(ACT_REASON)
                && json::text(label, "code") == Some("HTEST")
        })
}
