//! What came of a scenario: lines for people, and one JSON object (docs/cli.md).

use super::expect::Expect;
use super::load::Loaded;
use crate::disclosure::Page;
use crate::timeline::{Mood, Timeline, short};
use serde::Serialize;
use std::time::Duration;

/// One scenario, played.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The file.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// What drove losses and jitter of links.
    pub seed: u64,
    /// Whether every step went as it was to, and every expectation holds.
    pub ok: bool,
    /// How long it took, start and end of the cluster included.
    pub took_ms: u64,
    /// The steps that were played.
    pub steps: Vec<StepReport>,
    /// The expectations, all of them.
    pub expectations: Vec<ExpectationReport>,
    /// Reports to patients that steps had drawn.
    pub disclosures: Vec<Page>,
    /// The step that did not go as it was to; the story ended there.
    pub failure: Option<String>,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Its number, from 1.
    pub step: usize,
    /// The word in the script.
    pub act: &'static str,
    /// When it began, since the beginning of the story.
    pub at_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Height of the block that it stands in, or of the newest block.
    pub height: u64,
    /// Whether it went as it was to.
    pub ok: bool,
    /// Who did what.
    pub text: String,
}

/// One expectation.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectationReport {
    /// As a sentence.
    pub expect: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found.
    pub found: String,
}

impl Report {
    pub(super) fn new(
        loaded: &Loaded,
        seed: u64,
        took: Duration,
        steps: Vec<StepReport>,
        expectations: Vec<ExpectationReport>,
        failure: Option<String>,
    ) -> Self {
        Self {
            scenario: loaded.path.display().to_string(),
            title: loaded.script.title.clone(),
            seed,
            ok: failure.is_none() && expectations.iter().all(|one| one.ok),
            took_ms: millis(took),
            steps,
            expectations,
            disclosures: Vec::new(),
            failure,
        }
    }

    /// The last line that a person reads.
    pub(super) fn print_verdict(&self, timeline: &Timeline) {
        let took = short(Duration::from_millis(self.took_ms));
        let line = format!("{}  {} ({took})", mark(timeline, self.ok), self.title);
        timeline.print(&format!("\n{line}"));
    }
}

impl ExpectationReport {
    pub(super) fn new(expect: &Expect, verdict: Result<String, String>) -> Self {
        let ok = verdict.is_ok();
        Self {
            expect: expect.sentence(),
            ok,
            found: verdict.unwrap_or_else(|found| found),
        }
    }

    pub(super) fn print(&self, timeline: &Timeline) {
        let line = format!(
            "{}  {}\n        {}",
            mark(timeline, self.ok),
            self.expect,
            self.found
        );
        timeline.print(&format!("  {line}"));
    }
}

fn mark(timeline: &Timeline, ok: bool) -> String {
    if ok {
        timeline.painted(Mood::Good, "PASS")
    } else {
        timeline.painted(Mood::Bad, "FAIL")
    }
}

/// Whole milliseconds.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
