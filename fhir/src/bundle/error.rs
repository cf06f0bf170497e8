//! Why a bundle is refused.
//!
//! Not here: the checks ([`super`]).

use crate::strict::{self, Refusal};

/// The longest piece of input that is repeated in an error.
const QUOTE_CHARS_MAX: usize = 80;

/// Why bytes are not a bundle that can be sealed. Entries count from 0, lines and columns from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// More than [`crate::BUNDLE_BYTES_MAX`].
    #[error("the bundle has {bytes} bytes; at most {max} are read: split it")]
    TooLarge {
        /// Size of the input.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// More than [`super::ENTRIES_MAX`] entries.
    #[error("the bundle has {entries} entries; at most {max} are read: split it")]
    TooManyEntries {
        /// Entries of the input.
        entries: usize,
        /// The limit.
        max: usize,
    },
    /// FHIR's JSON is UTF-8.
    #[error("the bundle is not UTF-8: the byte at offset {offset} is wrong")]
    NotUtf8 {
        /// The first offset that is not UTF-8.
        offset: usize,
    },
    /// Not JSON.
    #[error("the bundle is not JSON: {reason} at line {line}, column {column}")]
    Json {
        /// What the reader met.
        reason: String,
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// One object has a name twice, so that two readers could read two different things.
    #[error("the name \"{name}\" occurs twice in one object, at line {line}, column {column}")]
    DuplicateName {
        /// The name.
        name: String,
        /// Line of the second occurrence.
        line: usize,
        /// Column of the second occurrence.
        column: usize,
    },
    /// Objects and arrays nested deeper than any real record.
    #[error("nested deeper than {max} levels at line {line}, column {column}")]
    TooDeep {
        /// The limit.
        max: usize,
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// JSON, but another resource or none.
    #[error("expected resourceType \"Bundle\", found {found}")]
    NotABundle {
        /// The resource type, or what stands in its place.
        found: String,
    },
    /// A bundle of a type that holds no patient's record, such as `batch` or `searchset`.
    #[error("a bundle of type {found} is not a record: transaction, collection or document is")]
    KindUnsupported {
        /// The type, or what stands in its place.
        found: String,
    },
    /// `entry` is missing, empty, or no list.
    #[error("the bundle has no entries")]
    NoEntries,
    /// An entry, or its resource, is no object.
    #[error("entry {entry} is malformed: {what}")]
    Entry {
        /// Which entry.
        entry: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An entry's resource has no usable `resourceType`.
    #[error("the resource of entry {entry} has no valid resourceType, found {found}")]
    ResourceType {
        /// Which entry.
        entry: usize,
        /// What stands there.
        found: String,
    },
    /// Two entries claim one full URL.
    #[error("entries {first} and {second} have the same fullUrl")]
    DuplicateFullUrl {
        /// The earlier entry.
        first: usize,
        /// The later entry.
        second: usize,
    },
    /// A document without its Composition in the first place.
    #[error("a document's first entry must be a Composition, found {found}")]
    NoComposition {
        /// The type of the first resource.
        found: String,
    },
    /// Nobody's record.
    #[error("the bundle has no Patient resource")]
    NoPatient,
    /// Several persons' records, and no document's subject that picks one.
    #[error("the bundle has {patients} Patient resources and nothing says whose record it is")]
    SeveralPatients {
        /// How many.
        patients: usize,
    },
}

impl From<Refusal> for BundleError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Syntax {
                line,
                column,
                reason,
            } => Self::Json {
                reason: quote(&reason),
                line,
                column,
            },
            Refusal::Duplicate { name, line, column } => Self::DuplicateName {
                name: quote(&name),
                line,
                column,
            },
            Refusal::Depth { line, column } => Self::TooDeep {
                max: strict::DEPTH_MAX,
                line,
                column,
            },
        }
    }
}

/// Input as it may be repeated in an error: short, and without control characters.
pub(super) fn quote(input: &str) -> String {
    let mut short: String = input
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(QUOTE_CHARS_MAX)
        .collect();
    if short.len() < input.len() && input.chars().nth(QUOTE_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
