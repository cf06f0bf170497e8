//! Reading a summary back, ours or another's of the same shape.
//!
//! Not here: how it is shown (`render.rs`).

use std::collections::HashSet;

use serde_json::Value;

use super::document::{LEFT_OUT, WITHHELD};
use super::section::Section;
use super::{Counts, SummaryError, status};
use crate::bundle::{Bundle, Entry, Kind};
use crate::json;

/// A summary that was read.
pub(super) struct Summary<'a> {
    pub(super) bundle: Bundle<'a>,
    pub(super) composition: Value,
    pub(super) sections: Vec<ReadSection>,
}

/// One section of it.
pub(super) struct ReadSection {
    pub(super) section: Section,
    /// Places of the entries, in order.
    pub(super) entries: Vec<usize>,
    pub(super) withheld: usize,
    pub(super) left_out: usize,
    pub(super) empty_reason: Option<String>,
    /// What the section says about its emptiness beyond the code.
    pub(super) empty_words: Option<String>,
}

impl<'a> Summary<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, SummaryError> {
        let bundle = Bundle::parse(bytes)?;
        if bundle.kind() != Kind::Document {
            return Err(SummaryError::NotASummary {
                what: "it is no document",
            });
        }
        let composition: Value = bundle
            .entries()
            .first()
            .and_then(Entry::resource)
            .and_then(|resource| serde_json::from_str(resource.json()).ok())
            .unwrap_or_default();
        if !json::has_coding(&composition, "type", "http://loinc.org", "60591-5") {
            return Err(SummaryError::NotASummary {
                what: "its Composition is not of the type LOINC 60591-5",
            });
        }
        let sections: Vec<ReadSection> = json::items(&composition, "section")
            .filter_map(|section| read_section(&bundle, section))
            .collect();
        let mut seen = HashSet::new();
        if !sections.iter().all(|section| seen.insert(section.section)) {
            return Err(SummaryError::NotASummary {
                what: "a section occurs twice",
            });
        }
        Ok(Self {
            bundle,
            composition,
            sections,
        })
    }

    /// How many entries are withheld in all sections.
    pub(super) fn withheld(&self) -> usize {
        let withheld = self.sections.iter().map(|section| section.withheld);
        withheld.fold(0, usize::saturating_add)
    }

    /// The resource of an entry: type and value.
    pub(super) fn resource(&self, at: usize) -> Option<(&str, Value)> {
        let resource = self.bundle.entries().get(at)?.resource()?;
        let value = serde_json::from_str(resource.json()).ok()?;
        Some((resource.resource_type(), value))
    }
}

fn read_section(bundle: &Bundle<'_>, section: &Value) -> Option<ReadSection> {
    let known = json::codings(section, "code").find_map(|(_, code)| Section::from_loinc(code))?;
    let number = |url: &str| {
        json::items(section, "extension")
            .filter(|extension| json::text(extension, "url") == Some(url))
            .filter_map(|extension| extension.get("valueUnsignedInt")?.as_u64())
            .find_map(|number| usize::try_from(number).ok())
            .unwrap_or(0)
    };
    let mut seen = HashSet::new();
    let entries = json::items(section, "entry")
        .filter_map(|entry| bundle.resolve(json::text(entry, "reference")?))
        .filter(|entry| seen.insert(*entry))
        .collect();
    let empty_reason = json::codings(section, "emptyReason").next();
    Some(ReadSection {
        section: known,
        entries,
        withheld: number(WITHHELD),
        left_out: number(LEFT_OUT),
        empty_reason: empty_reason.map(|(_, code)| code.to_owned()),
        empty_words: section
            .get("emptyReason")
            .and_then(|reason| json::text(reason, "text"))
            .map(str::to_owned),
    })
}

/// Counts what a summary shows as active.
///
/// # Errors
/// [`SummaryError::Bundle`] and [`SummaryError::NotASummary`] when `summary_json` is no summary.
pub fn counts(summary_json: &[u8]) -> Result<Counts, SummaryError> {
    let summary = Summary::parse(summary_json)?;
    let mut counts = Counts::default();
    for section in &summary.sections {
        let count = match section.section {
            Section::Allergies => &mut counts.allergies,
            Section::Medications => &mut counts.medications,
            Section::Problems => &mut counts.problems,
            _ => continue,
        };
        let resources = section
            .entries
            .iter()
            .filter_map(|at| summary.resource(*at));
        *count = count.saturating_add(
            resources
                .filter(|(kind, value)| is_active(kind, value))
                .count(),
        );
        counts.withheld = counts.withheld.saturating_add(section.withheld);
    }
    Ok(counts)
}

fn is_active(kind: &str, value: &Value) -> bool {
    match kind {
        "AllergyIntolerance" => status::allergy_is_active(value),
        "Condition" => status::condition(value) == status::Condition::Active,
        "MedicationRequest" | "MedicationStatement" => {
            status::medication(kind, value) == status::Medication::Active
        }
        _ => false,
    }
}
