//! Cutting a bundle into records and putting it together again, byte for byte.
//!
//! The original is cut at borders of the JSON: a `chart` resource at the borders of the entry's
//! `resource` value; a `sensitive` one at the borders of the whole *entry*, so that not even its
//! `fullUrl` and its `request` stay behind. Each piece is one record. What is left, the bundle's
//! own members and the text between the pieces, is the *frame*, one more record: chart, or
//! sensitive when the bundle itself is labelled or carries a code. Nothing is parsed, sorted or
//! written anew on the way, so white space, escapes and the digits of numbers survive.
//!
//! ```text
//! {"resourceType":"Bundle",...,"entry":[ {"fullUrl":...,"resource": {Patient} }, {sensitive entry} ]}
//! |--------------- frame ---------------------------------------->|-- 1 --|<-->|------- 2 -------|<->|
//! ```
//!
//! Who opens the chart alone sees where in the file sensitive pieces are missing, and how many;
//! not what they are. The number and size of sealed records is visible to their keepers anyway.
//!
//! Every part says for itself where it belongs (`wire.rs`); no hash of the file is kept in it,
//! because the chart must not hold something against which a guess at the sensitive part could be
//! checked. That a part is genuine is shown by the seal around it, in `kithkin-protocol`.
//!
//! Not here: which resources are sensitive ([`crate::sensitivity`]); the summary's contents
//! ([`crate::summary`]). Read next: [`join`].

mod joining;
mod wire;

use std::fmt;
use std::ops::Range;

use kithkin_protocol::units::Tier;

use crate::bundle::{Bundle, Resource};
use crate::sensitivity::Assessment;
use crate::summary::{self, SummaryError};
pub use joining::{JoinError, join};

/// The [`Part::name`] of the frame.
pub const FRAME: &str = "frame";

/// The [`Part::name`] of a sensitive entry without a resource, such as a deletion.
pub const BARE_ENTRY: &str = "entry";

/// The plaintext of one record.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// Chart or sensitive.
    pub tier: Tier,
    /// The resource type, [`FRAME`] or [`BARE_ENTRY`]; never an id. For the people who handle the
    /// record; it tells too much about a sensitive one to be put on the ledger.
    pub name: String,
    /// The header and the original bytes, as [`join`] takes them.
    pub bytes: Vec<u8>,
}

/// Every plaintext made of one bundle.
#[derive(Clone, PartialEq, Eq)]
pub struct Cut {
    /// The emergency summary: an International Patient Summary document, JSON.
    pub summary: Vec<u8>,
    /// The frame, then every piece in the order of the original.
    pub parts: Vec<Part>,
}

/// Why a bundle could not be cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// The summary could not be derived.
    #[error("the summary could not be made: {source}")]
    Summary {
        /// Why.
        #[from]
        source: SummaryError,
    },
    /// More than the format of the parts can count.
    #[error("the bundle has {bytes} bytes and {parts} parts: more than a record's format holds")]
    TooLarge {
        /// Size of the bundle.
        bytes: usize,
        /// Number of parts.
        parts: usize,
    },
}

// Plaintexts stay out of logs.
impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("tier", &self.tier)
            .field("name", &self.name)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut")
            .field("summary", &self.summary.len())
            .field("parts", &self.parts)
            .finish()
    }
}

/// Derives the summary and cuts the original into the records of the tiers chart and sensitive.
///
/// `made_at_ms` is the time of writing in milliseconds since 1970-01-01T00:00Z; it dates the
/// summary and marks the parts of one cut as belonging together.
///
/// # Errors
/// [`CutError`].
pub fn cut(bundle: &Bundle<'_>, made_at_ms: u64) -> Result<Cut, CutError> {
    let assessment = Assessment::of(bundle);
    let summary = summary::build(bundle, &assessment, made_at_ms)?;
    let pieces = pieces(bundle, &assessment);
    let bytes = bundle.bytes();
    let too_large = || CutError::TooLarge {
        bytes: bytes.len(),
        parts: pieces.len().saturating_add(1),
    };
    let total = u32::try_from(pieces.len() + 1).map_err(|_| too_large())?;
    let header = |index| wire::Header {
        index,
        total,
        made_at_ms,
        file_bytes: bytes.len() as u64,
    };

    let mut parts = Vec::with_capacity(pieces.len() + 1);
    let frame_tier = if assessment.frame_is_sensitive() {
        Tier::Sensitive
    } else {
        Tier::Chart
    };
    let borders: Vec<Range<usize>> = pieces.iter().map(|piece| piece.range.clone()).collect();
    parts.push(Part {
        tier: frame_tier,
        name: FRAME.to_owned(),
        bytes: wire::frame(header(0), bytes, &borders).ok_or_else(too_large)?,
    });
    for (index, piece) in (1..).zip(&pieces) {
        let body = bytes.get(piece.range.clone()).unwrap_or_default();
        parts.push(Part {
            tier: piece.tier,
            name: piece.name.to_owned(),
            bytes: wire::piece(header(index), body),
        });
    }
    Ok(Cut { summary, parts })
}

struct Piece<'b> {
    tier: Tier,
    name: &'b str,
    range: Range<usize>,
}

/// What is cut out of the original, in its order.
fn pieces<'b>(bundle: &'b Bundle<'_>, assessment: &Assessment) -> Vec<Piece<'b>> {
    let entries = bundle.entries().iter().enumerate();
    entries
        .filter_map(|(at, entry)| {
            let resource = entry.resource();
            if assessment.is_sensitive(at) {
                return Some(Piece {
                    tier: Tier::Sensitive,
                    name: resource.map_or(BARE_ENTRY, Resource::resource_type),
                    range: entry.range(),
                });
            }
            resource.map(|resource| Piece {
                tier: Tier::Chart,
                name: resource.resource_type(),
                range: resource.range(),
            })
        })
        .collect()
}
