//! Steps after a case: the report, the review.

use super::{one_minute, ten_seconds};
use crate::scenario::words::Span;
use kithkin_protocol::emergency::Verdict;
use serde::Deserialize;

/// `do.review`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The case.
    pub case: String,
    /// `justified`, `unjustified` or `inconclusive`.
    pub verdict: Verdict,
}

/// `do.wait_overdue`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitOverdue {
    /// The case.
    pub case: String,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

/// `do.disclose`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclose {
    /// The case.
    pub case: String,
    /// Waits until the report says all of this.
    #[serde(default)]
    pub says: Vec<String>,
    /// How long at most.
    #[serde(default = "ten_seconds")]
    pub within: Span,
}
