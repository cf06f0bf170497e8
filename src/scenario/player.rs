//! Plays a script on a cluster of its own, step by step, and has the end judged.

use super::consent::PlayedConsent;
use super::load::Loaded;
use super::report::{ExpectationReport, Report, StepReport, millis};
use super::script::Step;
use crate::audit::{self, ExportError};
use crate::compare::NotBack;
use crate::disclosure::Page;
use crate::stage::{Stage, StageError};
use crate::timeline::{Mood, Timeline};
use kithkin_actors::cluster::{ClusterConfig, Lies};
use kithkin_actors::friend_relative::messages::Replayed;
use kithkin_actors::hospital::messages::{DeliverPartials, Written};
use kithkin_actors::patient::messages::ErasureReport;
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::ports::network::Network;
use kithkin_actors::upload::OpenedRecord;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::units::{Height, Millis, Tier};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Why a scenario could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// No folder for the cluster.
    #[error("the temporary data folder cannot be made; TMPDIR names where it is made")]
    Folder(#[from] std::io::Error),
    /// The cluster does not start.
    #[error(transparent)]
    Launch(#[from] StageError),
    /// No audit bundle at the end.
    #[error(transparent)]
    Audit(#[from] ExportError),
    /// Somebody wanted it to stop.
    #[error("stopped before the end; nothing is kept")]
    Stopped,
}

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// An actor said no, or nothing.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The file is not back.
    #[error(transparent)]
    NotBack(#[from] NotBack),
    /// A bundle that is a file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Bundle {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What a step has done, for the timeline.
pub(super) struct Done {
    pub(super) who: String,
    pub(super) what: String,
    pub(super) height: Option<Height>,
    pub(super) mood: Mood,
}

/// A case by the script's name for it.
pub(super) struct PlayedCase {
    pub(super) id: CaseId,
    pub(super) hospital: u16,
    pub(super) patient: u16,
    /// Uploads that were on chain when the case was requested, and how many records each tier had in them.
    pub(super) roots: Vec<(Tier, Digest)>,
    pub(super) sealed: BTreeMap<Tier, usize>,
    /// What the clinician read, the newest read of each tier.
    pub(super) opened: BTreeMap<Tier, Vec<OpenedRecord>>,
    /// Whom the hospital named as forgers.
    pub(super) forged: BTreeSet<ActorName>,
}

/// A record by the script's name for it.
pub(super) struct PlayedRecord {
    pub(super) patient: u16,
    pub(super) bytes: Vec<u8>,
    pub(super) written: Written,
    pub(super) restored: bool,
    /// What came of having its batches erased, one by one.
    pub(super) erased: Vec<ErasureReport>,
}

/// Partial openings that were seen leaving a kin, by kin and case; whatever became of them on the way.
type Left = Arc<Mutex<BTreeMap<(ActorName, CaseId), usize>>>;

/// A scenario while it is played.
pub(super) struct Player<'a> {
    pub(super) stage: &'a Stage,
    pub(super) loaded: &'a Loaded,
    pub(super) cases: BTreeMap<String, PlayedCase>,
    pub(super) records: BTreeMap<String, PlayedRecord>,
    pub(super) consents: BTreeMap<String, PlayedConsent>,
    pub(super) held: BTreeSet<ActorName>,
    pub(super) replays: BTreeMap<ActorName, Replayed>,
    /// Which device speaks for a patient who has lost the own one.
    pub(super) devices: BTreeMap<u16, u16>,
    /// Kin whose released shares did not fit.
    pub(super) wrong_shares: BTreeSet<ActorName>,
    /// Reports to patients, in the order in which they were drawn.
    pub(super) pages: Vec<Page>,
    /// Which validators lie.
    pub(super) lies: Lies,
    left: Left,
}

/// Plays a script on a cluster of its own, which is gone afterwards, or until `stop` is ready. What is proved of its cases
/// is written into the folder `evidence`.
///
/// # Errors
/// [`PlayError`]. A step or an expectation that fails is no error: it stands in the [`Report`].
pub async fn play(
    loaded: &Loaded,
    seed: u64,
    timeline: &mut Timeline,
    stop: impl Future<Output = ()>,
    evidence: Option<&Path>,
) -> Result<Report, PlayError> {
    let begun = Instant::now();
    let folder = tempfile::Builder::new()
        .prefix("kithkin-scenario-")
        .tempdir()?;
    let cast = loaded.script.cast;
    let mut config = ClusterConfig::new(folder.path().to_owned(), cast.shape());
    config.seed = seed.wrapping_add(cast.seed);
    config.timing.heartbeat_ms = millis(cast.heartbeat.0);
    config.review_within_ms = Millis(millis(cast.review_within.0));
    let lies = Lies::default();
    config.lies = Some(lies.clone());
    timeline.heading(&loaded.script.title);
    timeline.print(&format!("{}\n", loaded.script.story.trim_end()));

    let launched = timeline.while_waiting("starting the cluster", Stage::launch(config));
    let stage = launched.await.0?;
    let mut player = Player::new(&stage, loaded, lies);
    let told = tokio::select! {
        told = player.tell(timeline) => Ok(told),
        () = stop => Err(PlayError::Stopped),
    };
    let pages = std::mem::take(&mut player.pages);
    drop(player);
    timeline.finish();
    stage.shutdown().await;
    if let (Ok(_), Some(out)) = (&told, evidence) {
        let exported = audit::export_all(folder.path(), out)?;
        timeline.print(&exported.hint());
    }
    folder.close()?;
    let (steps, expectations, failure) = told?;
    let mut report = Report::new(loaded, seed, begun.elapsed(), steps, expectations, failure);
    report.disclosures = pages;
    report.print_verdict(timeline);
    Ok(report)
}

type Told = (Vec<StepReport>, Vec<ExpectationReport>, Option<String>);

impl<'a> Player<'a> {
    fn new(stage: &'a Stage, loaded: &'a Loaded, lies: Lies) -> Self {
        Self {
            stage,
            loaded,
            cases: BTreeMap::new(),
            records: BTreeMap::new(),
            consents: BTreeMap::new(),
            held: BTreeSet::new(),
            replays: BTreeMap::new(),
            devices: BTreeMap::new(),
            wrong_shares: BTreeSet::new(),
            pages: Vec::new(),
            lies,
            left: watch_partials(stage.cluster().network()),
        }
    }

    /// Plays every step, then looks whether what was expected holds. A step that fails ends the story.
    async fn tell(&mut self, timeline: &mut Timeline) -> Told {
        let loaded = self.loaded;
        let mut steps = Vec::new();
        let mut failure = None;
        for (number, step) in (1..).zip(&loaded.script.steps) {
            let (report, failed) = self.step(number, step, timeline).await;
            steps.push(report);
            if failed {
                failure = steps
                    .last()
                    .map(|last| format!("step {number}: {}", last.text));
                break;
            }
        }
        timeline.heading("Expected");
        let mut expectations = Vec::new();
        for expect in &loaded.script.expectations {
            let verdict = match &failure {
                Some(failure) => Err(format!("not looked at: {failure}")),
                None => {
                    let judging = self.judge(expect);
                    timeline
                        .while_waiting("looking whether it holds", judging)
                        .await
                        .0
                }
            };
            let report = ExpectationReport::new(expect, verdict);
            report.print(timeline);
            expectations.push(report);
        }
        (steps, expectations, failure)
    }

    /// Plays one step; returns whether it failed.
    async fn step(
        &mut self,
        number: usize,
        step: &Step,
        timeline: &mut Timeline,
    ) -> (StepReport, bool) {
        let pause = match (step.at, step.after) {
            (Some(at), _) => at.0.saturating_sub(timeline.begun().elapsed()),
            (None, Some(after)) => after.0,
            (None, None) => Duration::ZERO,
        };
        timeline
            .while_waiting("the script pauses", tokio::time::sleep(pause))
            .await;
        if let Some(say) = &step.say {
            timeline.print(&format!("  {say}"));
        }
        let at = timeline.begun().elapsed();
        let (word, pages) = (step.act.word(), self.pages.len());
        let (result, took) = timeline.while_waiting(word, self.act(&step.act)).await;
        timeline.news(self.stage.board());
        let (done, failed) = outcome(result, step.fails.as_deref(), word);
        let height = done.height.unwrap_or_else(|| self.stage.board().height());
        let report = StepReport {
            step: number,
            act: word,
            at_ms: millis(at),
            took_ms: millis(took),
            height: height.0,
            ok: !failed,
            text: format!("{} {}", done.who, done.what),
        };
        timeline.tell(done.mood, height, done.who, done.what, Some(took));
        for page in self.pages.iter().skip(pages) {
            timeline.print(&format!("\n{}", indented(&page.text())));
        }
        (report, failed)
    }

    /// How often a partial opening for `case` was seen leaving a kin; for any case when none is given.
    pub(super) fn seen_leaving(&self, case: Option<CaseId>) -> usize {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for ((_, of), times) in left.iter() {
            if case.is_none_or(|case| case == *of) {
                count += times;
            }
        }
        count
    }
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| format!("    {line}\n"));
    lines.collect()
}

/// What a step came to, compared with whether it was to fail.
fn outcome(result: Result<Done, StepError>, fails: Option<&str>, word: &str) -> (Done, bool) {
    let told = |mood, what| Done {
        who: word.to_owned(),
        what,
        height: None,
        mood,
    };
    match (result, fails) {
        (Ok(done), None) => (done, false),
        (Ok(done), Some(fails)) => {
            let what = format!(
                "was to be refused with '{fails}', but: {} {}",
                done.who, done.what
            );
            (told(Mood::Bad, what), true)
        }
        (Err(error), Some(fails)) if error.to_string().contains(fails) => (
            told(Mood::Good, format!("is refused as expected: {error}")),
            false,
        ),
        (Err(error), _) => (told(Mood::Bad, format!("failed: {error}")), true),
    }
}

/// Counts every partial opening that leaves a kin, as the network sees it.
fn watch_partials(network: &Network) -> Left {
    let left = Left::default();
    let counts = left.clone();
    network.tap(move |event| {
        if let Some(deliver) = event.content.downcast_ref::<DeliverPartials>() {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry((event.from, deliver.case)).or_default() += 1;
        }
    });
    left
}
