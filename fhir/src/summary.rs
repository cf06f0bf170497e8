//! The emergency summary: an International Patient Summary document (HL7 IPS, R4).
//!
//! It is derived from what is not sensitive. Resources are copied as they stand, never rewritten;
//! ours are only the Composition with its narratives and the Device that names the author. What is
//! left out because it is sensitive is counted where it would have stood, and nothing says of what
//! kind it is: a section that ends up empty for that reason has the emptyReason `withheld`, every
//! section with something withheld says so in its text and in the extension [`WITHHELD`], and the
//! Composition then carries the security label `REDACTED`.
//!
//! | file | what it does |
//! |---|---|
//! | `section.rs` | the sections, their order and codes |
//! | `status.rs` | what counts as active |
//! | `select.rs`, `source.rs` | which resource goes where, what is latest, what is too much |
//! | `drugs.rs` | anticoagulants and insulin |
//! | `describe.rs`, `observe.rs`, `dates.rs` | one resource in one line |
//! | `document.rs`, `narrative.rs`, `identity.rs` | the document |
//! | `read.rs`, `render.rs` | reading a summary back: counts, text for a terminal |
//!
//! Not here: what is sensitive ([`crate::sensitivity`]). Left out of the summary on purpose:
//! narratives of a source document (free text of others is not passed on; the section then says
//! that the chart has one) and diagnostic reports (their results are listed).

mod dates;
mod describe;
mod document;
mod drugs;
mod identity;
pub(crate) mod narrative;
mod observe;
mod read;
mod render;
mod section;
mod select;
mod source;
mod status;

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, BundleError};
use crate::sensitivity::Assessment;

pub use document::{LEFT_OUT, WITHHELD, build};
pub use read::counts;
pub use render::render_text;
pub use section::Section;

/// How many active allergies, medications and problems a summary shows.
///
/// Counted are resources: an AllergyIntolerance that states the absence of an allergy is one too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// AllergyIntolerances that are neither inactive nor resolved, refuted or entered in error.
    pub allergies: usize,
    /// MedicationRequests that are active and MedicationStatements that are active or intended.
    pub medications: usize,
    /// Conditions that are active, recurrent or relapsed, or of no status and not abated.
    pub problems: usize,
    /// Entries of these three sections that are withheld because they are sensitive.
    pub withheld: usize,
}

/// Why a summary could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// The time cannot be written as a date of four-digit years.
    #[error("{made_at_ms} ms since 1970 is no time that can be written in a document")]
    Time {
        /// The time given.
        made_at_ms: u64,
    },
    /// What was built could not be written as JSON.
    #[error("the summary could not be written: {reason}")]
    Write {
        /// What the writer said.
        reason: String,
    },
    /// Too large to be read back: better refused now than sealed and useless in an emergency.
    #[error("the summary would have {bytes} bytes and {entries} entries: too much to be read back")]
    TooLarge {
        /// Size of the summary.
        bytes: usize,
        /// Its entries.
        entries: usize,
    },
    /// What should be a summary is no readable bundle.
    #[error("the summary is unreadable: {source}")]
    Bundle {
        /// Why.
        #[from]
        source: BundleError,
    },
    /// A bundle, but not a patient summary.
    #[error("the document is not a patient summary: {what}")]
    NotASummary {
        /// What it lacks.
        what: &'static str,
    },
}

/// Counts the active resources of a bundle directly, without making a summary.
///
/// [`counts`] of the summary made from the same bundle gives the same.
#[must_use]
pub fn active_counts(bundle: &Bundle<'_>) -> Counts {
    let assessment = Assessment::of(bundle);
    let mut counts = Counts::default();
    for (at, entry) in bundle.entries().iter().enumerate() {
        let Some(resource) = entry.resource() else {
            continue;
        };
        let Ok(value) = serde_json::from_str(resource.json()) else {
            continue;
        };
        if !select::is_of_patient(bundle, &value) {
            continue;
        }
        let (listed, active, count) = match resource.resource_type() {
            "AllergyIntolerance" => {
                let active = status::allergy_is_active(&value);
                (active, active, &mut counts.allergies)
            }
            "Condition" => {
                let active = status::condition(&value) == status::Condition::Active;
                (active, active, &mut counts.problems)
            }
            kind @ ("MedicationRequest" | "MedicationStatement") => {
                let found = status::medication(kind, &value);
                let active = found == status::Medication::Active;
                let listed = found != status::Medication::Past;
                (listed, active, &mut counts.medications)
            }
            _ => continue,
        };
        if listed && assessment.is_sensitive(at) {
            counts.withheld += 1;
        } else if active {
            *count += 1;
        }
    }
    counts
}
