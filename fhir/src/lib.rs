//! FHIR R4 (4.0.1) for sealed records: read a bundle, cut it, summarise it. Pure: no I/O, no clock,
//! no randomness; the time comes in as a number.
//!
//! | module | what it does |
//! |---|---|
//! | [`bundle`] | bytes in, a checked [`Bundle`] out, or a typed error |
//! | [`sensitivity`] | the versioned value set, and which resources are sensitive by it |
//! | [`mod@cut`] | the original bytes as records of the tiers chart and sensitive, and together again |
//! | [`summary`] | the emergency summary: an International Patient Summary document |
//! | [`fixture`] | small synthetic bundles for demos and tests |
//!
//! ```
//! use kithkin_fhir::{bundle::Bundle, cut, fixture};
//!
//! let original = fixture::demo_bundle();
//! let bundle = Bundle::parse(original)?;
//! let cut = cut::cut(&bundle, 1_767_225_600_000)?;
//! let opened: Vec<Vec<u8>> = cut.parts.into_iter().rev().map(|part| part.bytes).collect();
//! assert_eq!(cut::join(&opened)?, original);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Not here: sealing, sharing and the ledger (`kithkin-protocol`), and serving FHIR over HTTP.
//! Read next: [`bundle`], then [`sensitivity`], [`mod@cut`] and [`summary`].

pub mod bundle;
pub mod cut;
pub mod fixture;
mod json;
mod reference;
pub mod sensitivity;
mod strict;
pub mod summary;

pub use bundle::{Bundle, BundleError};
pub use cut::{Cut, CutError, JoinError, Part};
pub use summary::{Counts, SummaryError};

/// The largest bundle that is read, and the largest file that is put together again, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;
