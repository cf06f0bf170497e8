//! The demo's end: for people the summary and what was shown, for programs one JSON object (docs/cli.md).

use super::outcome::Outcome;
use crate::disclosure::Page;
use crate::timeline::{Mood, Timeline, short};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// `kithkin demo --json`.
#[derive(Debug, Serialize)]
pub struct Report {
    ok: bool,
    record_bytes: usize,
    opened_equals_written: bool,
    kin: Kin,
    restarts: Vec<Restart>,
    consensus: Consensus,
    on_chain_bytes_per_record: f64,
    latency_ms: Latency,
    summary: Summary,
    disclosure: Page,
}

#[derive(Debug, Serialize)]
struct Kin {
    total: usize,
    threshold: usize,
    approved: usize,
    forged_detected: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Restart {
    actor: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Consensus {
    validators: u16,
    height: u64,
    view_changes: usize,
    leader_set: Vec<String>,
    credit: BTreeMap<String, u32>,
}

#[derive(Debug, Serialize)]
struct Latency {
    request_to_granted: u64,
    last_approval_to_readable: u64,
}

#[derive(Debug, Serialize)]
struct Summary {
    allergies: usize,
    medications: usize,
    problems: usize,
}

impl From<&Outcome> for Report {
    fn from(outcome: &Outcome) -> Self {
        let facts = &outcome.facts;
        let restarts = outcome.restarts.iter().map(|restart| Restart {
            actor: restart.name.to_string(),
            reason: restart.reason.clone(),
        });
        let credit = outcome.credit.iter();
        Self {
            ok: outcome.wrong().is_empty(),
            record_bytes: facts.written.bytes,
            opened_equals_written: outcome.opened_equals_written(),
            kin: Kin {
                total: facts.enrolled.kin,
                threshold: facts.enrolled.threshold,
                approved: facts.approved,
                forged_detected: outcome.forged.iter().cloned().collect(),
            },
            restarts: restarts.collect(),
            consensus: Consensus {
                validators: outcome.validators,
                height: facts.height.0,
                view_changes: outcome.view_changes,
                leader_set: outcome.leader_set.iter().map(ToString::to_string).collect(),
                credit: credit
                    .map(|(id, credit)| (id.to_string(), credit.0))
                    .collect(),
            },
            on_chain_bytes_per_record: (outcome.on_chain_bytes_per_record() * 10.0).round() / 10.0,
            latency_ms: Latency {
                request_to_granted: millis(facts.request_to_granted),
                last_approval_to_readable: millis(facts.last_approval_to_readable),
            },
            summary: Summary {
                allergies: outcome.counts.allergies,
                medications: outcome.counts.medications,
                problems: outcome.counts.problems,
            },
            disclosure: facts.page.clone(),
        }
    }
}

/// Prints the JSON object on one line.
///
/// # Errors
/// It cannot be written as JSON.
pub fn print_json(outcome: &Outcome) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(&Report::from(outcome))?);
    Ok(())
}

/// Prints the summary as a clinician reads it, and what the demo has shown.
pub fn print_text(timeline: &Timeline, outcome: &Outcome) {
    timeline.heading("What the clinician reads");
    timeline.print(&format!("\n{}", outcome.summary));
    timeline.heading("What the patient reads afterwards");
    timeline.print(&format!("\n{}", outcome.facts.page.text()));
    timeline.heading("What was shown");
    for (holds, text) in lines(outcome) {
        let mark = if holds {
            timeline.painted(Mood::Good, "yes")
        } else {
            timeline.painted(Mood::Bad, "NO ")
        };
        timeline.print(&format!("  {mark}  {text}"));
    }
}

fn lines(outcome: &Outcome) -> Vec<(bool, String)> {
    let report = Report::from(outcome);
    let facts = &outcome.facts;
    let panicked = report
        .restarts
        .iter()
        .find(|one| one.reason.starts_with("panicked"));
    vec![
        (
            report.opened_equals_written,
            format!(
                "every opened record equals the sealed one; {} bytes came back byte for byte",
                report.record_bytes
            ),
        ),
        (
            report.kin.approved >= report.kin.threshold,
            format!(
                "{} of {} kin approved, {} were needed; the patient's key was put together nowhere",
                report.kin.approved, report.kin.total, report.kin.threshold
            ),
        ),
        (
            !report.kin.forged_detected.is_empty(),
            format!(
                "the forged partial opening was noticed and its author named: {}",
                report.kin.forged_detected.join(", ")
            ),
        ),
        (
            panicked.is_some(),
            format!(
                "the kin that panicked was started again and approved: {}",
                panicked.map_or("nobody", |one| one.actor.as_str())
            ),
        ),
        (
            report.consensus.view_changes > 0,
            format!(
                "the master {} was stopped: {} views changed, and {} blocks were final",
                facts.stopped, report.consensus.view_changes, report.consensus.height
            ),
        ),
        (
            true,
            format!(
                "request to grant {}, last approval to readable summary {}",
                short(facts.request_to_granted),
                short(facts.last_approval_to_readable)
            ),
        ),
        (
            true,
            format!(
                "{:.1} bytes on chain for each record",
                report.on_chain_bytes_per_record
            ),
        ),
    ]
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
