//! FHIR R4 (4.0.1) for sealed records: read a bundle, cut it, summarise it; and write down what was
//! done with it. Pure: no I/O, no clock, no randomness; times and identifiers come in from outside.
//!
//! | module | what it does |
//! |---|---|
//! | [`bundle`] | bytes in, a checked [`Bundle`] out, or a typed error |
//! | [`sensitivity`] | the versioned value set, and which resources are sensitive by it |
//! | [`mod@cut`] | the original bytes as records of the tiers chart and sensitive, and together again |
//! | [`summary`] | the emergency summary: an International Patient Summary document |
//! | [`audit`] | AuditEvents after IHE's Basic Audit Log Patterns |
//! | [`provenance`] | Provenance with the ledger's transaction as source |
//! | [`consent`] | the standing break-glass Consent, and grants |
//! | [`kin`] | RelatedPerson and emergency contacts |
//! | [`outcome`] | OperationOutcomes |
//! | [`fact`], [`code`] | what these five are written from: facts, and closed lists of codes |
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
//! What is written derives from its input alone: the same facts give the same bytes.
//!
//! ```
//! use kithkin_fhir::{code::IssueType, outcome};
//!
//! let told = outcome::error(IssueType::NotFound, "No such case.")?;
//! assert_eq!(told["issue"][0]["code"], "not-found");
//! # Ok::<(), kithkin_fhir::FactError>(())
//! ```
//!
//! Not here: sealing, sharing and the ledger (`kithkin-protocol`), and serving FHIR over HTTP.
//! Read next: [`bundle`], then [`sensitivity`], [`mod@cut`] and [`summary`]; for what is written,
//! [`fact`] and [`audit`].

pub mod audit;
pub mod bundle;
pub mod code;
pub mod consent;
pub mod cut;
pub mod fact;
pub mod fixture;
mod json;
pub mod kin;
pub mod outcome;
pub mod provenance;
mod reference;
pub mod sensitivity;
mod strict;
pub mod summary;

pub use bundle::{Bundle, BundleError};
pub use cut::{Cut, CutError, JoinError, Part};
pub use fact::FactError;
pub use summary::{Counts, SummaryError};

/// The largest bundle that is read, and the largest file that is put together again, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;
