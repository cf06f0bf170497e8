//! OperationOutcomes: what a client is told when there is more, less or nothing.
//!
//! Not here: HTTP's status codes (the server maps them).

use serde_json::{Value, json};

use crate::code::{ActReason, Coded, IssueType, Severity};
use crate::fact::write::{self, Object};
use crate::fact::{FactError, ITEMS_MAX};

/// One thing to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issue {
    /// How grave.
    pub severity: Severity,
    /// What kind.
    pub kind: IssueType,
    /// A code that says more.
    pub reason: Option<ActReason>,
    /// What was wrong, where, and what to do, in words.
    pub text: String,
    /// For those who run the system.
    pub diagnostics: Option<String>,
    /// The elements it is about, as FHIRPath; may be empty.
    pub expressions: Vec<String>,
}

impl Issue {
    /// An issue of which only the words are known.
    #[must_use]
    pub fn new(severity: Severity, kind: IssueType, text: impl Into<String>) -> Self {
        Self {
            severity,
            kind,
            reason: None,
            text: text.into(),
            diagnostics: None,
            expressions: Vec::new(),
        }
    }
}

/// Writes issues, at least one.
///
/// # Errors
/// [`FactError`] names the first field that cannot be written.
pub fn outcome(issues: &[Issue]) -> Result<Value, FactError> {
    if issues.is_empty() {
        return Err(FactError::Empty { field: "issues" });
    }
    if issues.len() > ITEMS_MAX {
        return Err(FactError::TooMany {
            field: "issues",
            count: issues.len(),
            max: ITEMS_MAX,
        });
    }
    let issues = issues.iter().map(issue).collect::<Result<Vec<_>, _>>()?;
    Ok(wrap(issues))
}

/// There is more: whoever breaks the glass may read it.
#[must_use]
pub fn suppressed() -> Value {
    let text =
        "There is more. In an emergency, breaking the glass asks the patient's kin to open it.";
    let mut details = ActReason::EmergencyTreatment.concept();
    if let Some(members) = details.as_object_mut() {
        members.insert("text".to_owned(), text.into());
    }
    wrap(vec![json!({
        "severity": Severity::Information.code(),
        "code": IssueType::Suppressed.code(),
        "details": details,
    })])
}

/// Too many requests.
#[must_use]
pub fn throttled(retry_after_s: u32) -> Value {
    wrap(vec![json!({
        "severity": Severity::Error.code(),
        "code": IssueType::Throttled.code(),
        "details": {"text": format!("Too many requests. Try again in {retry_after_s} s.")},
    })])
}

/// The client may not do this.
///
/// # Errors
/// See [`error`].
pub fn forbidden(text: &str) -> Result<Value, FactError> {
    error(IssueType::Forbidden, text)
}

/// The session is over.
///
/// # Errors
/// See [`error`].
pub fn expired(text: &str) -> Result<Value, FactError> {
    error(IssueType::Expired, text)
}

/// It was not done.
///
/// # Errors
/// [`FactError`] for a `text` that cannot be written.
pub fn error(kind: IssueType, text: &str) -> Result<Value, FactError> {
    outcome(&[Issue::new(Severity::Error, kind, text)])
}

fn wrap(issues: Vec<Value>) -> Value {
    Object::resource("OperationOutcome")
        .with("issue", issues)
        .done()
}

fn issue(issue: &Issue) -> Result<Value, FactError> {
    let expressions = write::few("expressions", &issue.expressions)?
        .iter()
        .map(|expression| Ok(write::text("expressions", expression)?.into()))
        .collect::<Result<Vec<Value>, _>>()?;
    let diagnostics = issue.diagnostics.as_ref();
    let diagnostics = diagnostics.map(|text| write::text("diagnostics", text));
    let details = Object::new()
        .list(
            "coding",
            issue.reason.map(Coded::coding).into_iter().collect(),
        )
        .with("text", write::text("text", &issue.text)?);
    Ok(Object::new()
        .with("severity", issue.severity.code())
        .with("code", issue.kind.code())
        .with("details", details.done())
        .maybe("diagnostics", diagnostics.transpose()?)
        .list("expression", expressions)
        .done())
}
