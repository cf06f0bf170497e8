//! Findings in plain sentences, for somebody who knows nothing of ledgers; and with them for programs.
//!
//! Each sentence says what it rests on: what the bundle proves, what is only the hospital's own report, what was merely attached, and what
//! nobody can tell from the bundle.

mod story;

pub use story::{reason_words, refusal_words};

use super::bundle::Subject;
use super::findings::{AsOf, CaseFinding, Findings, TierFinding};
use crate::emergency::{Circle, WhoMayAsk};
use crate::units::Millis;
use serde::Serialize;

/// What a sentence rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// It follows from the genesis and the bundle alone.
    Proved,
    /// The hospital said so, and that it did is proved; whether it is true and complete is not.
    Reported,
    /// It was put into the bundle beside the proofs.
    Attached,
    /// What the bundle cannot tell.
    Limit,
}

/// One sentence or two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it rests on.
    pub basis: Basis,
    /// The words.
    pub text: String,
}

/// Findings and their sentences, as `--json` writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report<'a> {
    /// What was found.
    pub findings: &'a Findings,
    /// The same in words.
    pub words: Vec<Line>,
}

impl<'a> Report<'a> {
    /// Puts findings into words.
    #[must_use]
    pub fn new(findings: &'a Findings) -> Self {
        let words = lines(findings);
        Self { findings, words }
    }

    /// The sentences alone, one a line; what is no proof is marked as such.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        self.words
            .iter()
            .map(|line| match line.basis {
                Basis::Proved => line.text.clone(),
                Basis::Reported => format!("Not proved, only reported: {}", line.text),
                Basis::Attached => format!("Attached: {}", line.text),
                Basis::Limit => format!("Please note: {}", line.text),
            })
            .collect()
    }
}

/// Sentences about everything that was found.
#[must_use]
pub fn lines(findings: &Findings) -> Vec<Line> {
    let mut lines = Vec::new();
    head(findings, &mut lines);
    for case in &findings.cases {
        story::tell(case, findings.as_of, &mut lines);
    }
    for attachment in &findings.attachments {
        say(
            &mut lines,
            Basis::Attached,
            format!(
                "{} ({}, {} bytes, digest {:#}). Its bytes are those that were attached; what it says is the word of whoever wrote it.",
                attachment.name, attachment.media_type, attachment.bytes, attachment.digest
            ),
        );
    }
    limits(findings, &mut lines);
    lines
}

fn head(findings: &Findings, lines: &mut Vec<Line>) {
    let AsOf {
        height, time_ms, ..
    } = findings.as_of;
    proved(
        lines,
        format!(
            "Everything here is as of height {height}, {}, on ledger {:#}. Each step from the ledger's genesis to there was signed by more than \
             two thirds of the validators of the time.",
            time_ms.moment(),
            findings.chain
        ),
    );
    let patient = &findings.patient;
    proved(
        lines,
        format!(
            "The records are those of patient {:#}, who has named {} kin.",
            patient.id,
            patient.roster.len()
        ),
    );
    for tier in &patient.tiers {
        let rule = rule_of(tier);
        proved(
            lines,
            format!("By the patient's present rule, tier {} {rule}.", tier.tier),
        );
    }
    proved(
        lines,
        match (findings.subject, patient.cases) {
            (Subject::Patient(_), 0) => {
                "Nobody has ever asked to open these records in an emergency.".to_owned()
            }
            (Subject::Patient(_), 1) => {
                "There has been one emergency case about this patient; it is shown here.".to_owned()
            }
            (Subject::Patient(_), count) => {
                format!(
                    "There have been {count} emergency cases about this patient; all of them are shown here."
                )
            }
            (Subject::Case(_), 1) => {
                "There has been one emergency case about this patient; it is shown here.".to_owned()
            }
            (Subject::Case(_), count) => format!(
                "There have been {count} emergency cases about this patient; this bundle is about one of them."
            ),
        },
    );
}

/// What a rule allows, after the name of its tier.
fn rule_of(tier: &TierFinding) -> String {
    let policy = &tier.policy;
    if !policy.openable {
        return "must not be opened in an emergency at all".to_owned();
    }
    let waiting = match policy.waiting_ms.0 {
        0 => "without a waiting time".to_owned(),
        ms => format!("after waiting {} unless life is at risk", span(Millis(ms))),
    };
    let who = match &policy.who {
        WhoMayAsk::AnyAccredited => "any accredited hospital".to_owned(),
        WhoMayAsk::Only(listed) => {
            let count = u64::try_from(listed.len()).unwrap_or(u64::MAX);
            format!("one of {}", counted(count, "listed hospital"))
        }
    };
    format!(
        "can be opened for {who} by {} kin together, {waiting}, for at most {}",
        tier.threshold,
        span(policy.session_ms_max)
    )
}

fn limits(findings: &Findings, lines: &mut Vec<Line>) {
    let limit = |lines: &mut Vec<Line>, text: String| say(lines, Basis::Limit, text);
    let AsOf {
        height, time_ms, ..
    } = findings.as_of;
    limit(
        lines,
        format!(
            "what happened after height {height} ({}) is not in this bundle, and nobody can tell from it whether anything did.",
            time_ms.moment()
        ),
    );
    if findings.cases.iter().any(|case| !case.releases.is_empty()) {
        limit(
            lines,
            "once enough kin had released, the hospital could read everything that it had asked for. What it then really read, or copied, no ledger sees."
                .to_owned(),
        );
    }
    if findings
        .cases
        .iter()
        .any(|case| case.scopes.iter().any(|scope| !scope.batches.is_empty()))
    {
        limit(
            lines,
            "each batch of records named here is proved; that there was no further batch within the request is not.".to_owned(),
        );
    }
    let asks_second = |case: &CaseFinding| matches!(case.circle, Circle::Second { .. });
    if matches!(findings.subject, Subject::Case(_)) && findings.cases.iter().any(asks_second) {
        limit(
            lines,
            "whether the hospital had been told no in another case, and so must not have turned to the second circle, is checked in a bundle about \
             the patient only."
                .to_owned(),
        );
    }
    if !findings.cases.is_empty() {
        limit(
            lines,
            "attempts that the ledger refused, a second vote of the same kin say, had no effect and are not listed.".to_owned(),
        );
    }
    limit(
        lines,
        "people and hospitals stand here as the digests of their keys. Who holds a key the ledger does not know; a hospital's name is the one it was accredited under."
            .to_owned(),
    );
}

fn say(lines: &mut Vec<Line>, basis: Basis, text: String) {
    lines.push(Line { basis, text });
}

fn proved(lines: &mut Vec<Line>, text: String) {
    say(lines, Basis::Proved, text);
}

/// A span of time for people.
fn span(time: Millis) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400_000, "day"),
        (3_600_000, "hour"),
        (60_000, "minute"),
        (1_000, "second"),
    ];
    let whole = UNITS
        .into_iter()
        .find(|(unit, _)| time.0 >= *unit && time.0.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => counted(time.0 / unit, name),
        None => counted(time.0, "millisecond"),
    }
}

/// A number and its noun.
fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}
