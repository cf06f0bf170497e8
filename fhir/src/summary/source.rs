//! What a source document, and statements outside of the sections, say about whole sections.
//!
//! Not here: single resources (`select.rs`).

use std::collections::HashSet;

use serde_json::Value;

use super::document::EMPTY_REASON;
use super::section::Section;
use super::status;
use crate::bundle::{Bundle, Entry, Kind};
use crate::json;
use crate::sensitivity::Assessment;

/// What is known of sections as a whole.
#[derive(Default)]
pub(super) struct SourceNotes {
    /// Sections of which the record says that there is nothing to tell.
    pub(super) nil_known: HashSet<Section>,
    /// Sections of the source document with text and no entries.
    pub(super) narrative_only: HashSet<Section>,
}

impl SourceNotes {
    pub(super) fn of(bundle: &Bundle<'_>, assessment: &Assessment) -> Self {
        let mut notes = Self::default();
        let visible = |at: &usize| !assessment.is_sensitive(*at);
        for at in (0..bundle.entries().len()).filter(visible) {
            let resource = bundle.entries().get(at).and_then(Entry::resource);
            let Some(resource) = resource else { continue };
            let kind = resource.resource_type();
            let is_source = at == 0 && bundle.kind() == Kind::Document;
            if !is_source && !matches!(kind, "Condition" | "Observation") {
                continue;
            }
            let Ok(value) = serde_json::from_str::<Value>(resource.json()) else {
                continue;
            };
            if is_source {
                notes.read_composition(&value);
            } else if status::says_no_known_allergy(&value) && holds(kind, &value) {
                notes.nil_known.insert(Section::Allergies);
            }
        }
        notes
    }

    fn read_composition(&mut self, composition: &Value) {
        for section in json::items(composition, "section") {
            let known =
                json::codings(section, "code").find_map(|(_, code)| Section::from_loinc(code));
            let Some(known) = known else { continue };
            let is_empty = json::items(section, "entry").next().is_none();
            if json::has_coding(section, "emptyReason", EMPTY_REASON, "nilknown") {
                self.nil_known.insert(known);
            } else if is_empty
                && section.get("emptyReason").is_none()
                && section.get("text").is_some()
            {
                self.narrative_only.insert(known);
            }
        }
    }
}

fn holds(kind: &str, value: &Value) -> bool {
    match kind {
        "Condition" => status::condition(value) == status::Condition::Active,
        _ => status::observation_holds(value),
    }
}
