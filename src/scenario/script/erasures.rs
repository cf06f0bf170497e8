//! Steps that erase.

use serde::Deserialize;

/// `do.erase`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// The record.
    pub record: String,
}
