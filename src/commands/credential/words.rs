//! Credentials and what is known about them: in words for people, in JSON for scripts.

use super::judge::{Judgement, Outcome};
use crate::commands::governance::time;
use kithkin_actors::node::IssuedCredential;
use serde_json::{Value, json};

/// Everything that stands in a credential, on several lines.
pub(super) fn explain(issued: &IssuedCredential, hospital: Option<&str>) -> String {
    let credential = issued.credential();
    let hospital = hospital.map(|name| format!(", {name}")).unwrap_or_default();
    [
        format!("clinician   {:#}", credential.clinician),
        format!("role        {}", credential.role),
        format!("hospital    {:#}{hospital}", credential.hospital),
        format!("valid       until {}", time(credential.valid_until_ms)),
        format!("issuer      {:#}", credential.issuer),
        format!(
            "            with the key {:#}, which has signed it",
            issued.issuer_key()
        ),
        format!("ledger      {:#}", issued.chain()),
    ]
    .join("\n")
}

/// Everything that stands in a credential, for scripts.
pub(super) fn json(issued: &IssuedCredential) -> Value {
    let credential = issued.credential();
    json!({
        "chain": issued.chain(),
        "clinician": credential.clinician,
        "role": credential.role,
        "hospital": credential.hospital,
        "valid_until_ms": credential.valid_until_ms,
        "issuer": credential.issuer,
        "issuer_key": issued.issuer_key(),
        "signature": credential.signature,
    })
}

/// A file whose signature does not hold, for scripts.
pub(super) fn broken(reason: &str) -> Value {
    json!({ "holds": false, "broken": reason })
}

/// What holds, what does not, and what was not checked.
pub(super) fn judgement(judgement: &Judgement) -> String {
    let findings = judgement.findings.iter();
    let mut lines: Vec<String> = findings
        .map(|finding| {
            let result = match finding.result {
                Outcome::Holds => "holds",
                Outcome::Fails => "FAILS",
                Outcome::NotChecked => "not checked",
            };
            format!("{:<11} {result:<12} {}", finding.check, finding.words)
        })
        .collect();
    lines.push(judgement.verdict());
    lines.join("\n")
}

/// The same for scripts.
pub(super) fn judgement_json(issued: &IssuedCredential, judgement: &Judgement) -> Value {
    let as_of = judgement
        .as_of
        .map(|proved| json!({ "height": proved.height, "time_ms": proved.time_ms }));
    json!({
        "holds": judgement.holds(),
        "not_checked": judgement.unchecked(),
        "checks": judgement.findings,
        "as_of": as_of,
        "credential": json(issued),
    })
}
