//! `kithkin scenario`: plays scripted emergencies, or lists them.

use super::Failure;
use crate::audit;
use crate::cli::ScenarioRunArgs;
use crate::scenario::{self, Loaded, PlayError, Report};
use crate::timeline::Timeline;
use crate::waiting::Interrupt;
use anyhow::{Context as _, anyhow};
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::sync::watch;

/// Scenarios at the same time for each core: for most of its time a scenario waits.
const JOBS_PER_CORE: usize = 3;

/// What was played, when it was more than one play.
#[derive(Serialize)]
struct Summary {
    plays: usize,
    failed: usize,
    took_ms: u64,
}

/// Plays scenarios, each with every seed; all files are read and checked before the first one is played.
///
/// # Errors
/// [`Failure::Usage`] for a file that is wrong or a folder that holds bundles, [`Failure::NotHeld`] when an expectation fails,
/// [`Failure::Cluster`] and [`Failure::Storage`] when a cluster does not start.
pub async fn run(args: &ScenarioRunArgs) -> Result<(), Failure> {
    let mut scripts = Vec::new();
    for file in &args.files {
        scripts.push(scenario::load(file).map_err(usage)?);
    }
    let seeds = args.seed..=args.seed.saturating_add(args.seeds.get() - 1);
    let plays: Vec<(&Loaded, u64)> = scripts
        .iter()
        .flat_map(|script| seeds.clone().map(move |seed| (script, seed)))
        .collect();
    for (script, seed) in &plays {
        if let Some(out) = evidence(args, script, *seed) {
            audit::check_free(&out).map_err(|error| Failure::Usage(error.into()))?;
        }
    }
    let jobs = jobs(args).min(plays.len()).max(1);
    let shown = !args.json && jobs == 1;
    let stopped = stopped()?;
    let begun = Instant::now();
    // Who is done lets the next one begin, even while an earlier one still plays; they are told in order.
    let mut playing = stream::iter(plays.iter().enumerate())
        .map(|(turn, &(script, seed))| {
            let evidence = evidence(args, script, seed);
            let played = play(script, seed, shown, stopped.clone(), evidence);
            async move { (turn, played.await) }
        })
        .buffer_unordered(jobs);
    let mut reports = Vec::new();
    let (mut done, mut told) = (BTreeMap::new(), 0);
    // Whoever is playing when somebody else breaks down plays to the end: no cluster is left in the middle.
    let mut broken = None;
    while let Some((turn, played)) = playing.next().await {
        done.insert(turn, played);
        while let Some(played) = done.remove(&told) {
            told += 1;
            match played {
                Ok(report) => {
                    if args.json {
                        println!("{}", to_json(&report)?);
                    } else if !shown {
                        print_one(&report);
                    }
                    reports.push(report);
                }
                Err(failure) => broken = broken.or(Some(failure)),
            }
        }
    }
    if let Some(failure) = broken {
        return Err(failure);
    }
    if plays.len() > 1 {
        sum_up(args.json, shown, &reports, begun)?;
    }
    let failed: Vec<String> = failures(&reports).map(name).collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::NotHeld(anyhow!("failed: {}", failed.join(", "))))
    }
}

fn jobs(args: &ScenarioRunArgs) -> usize {
    // Told at length it is one after the other, unless somebody asks for more.
    let unasked = if args.json {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        cores * JOBS_PER_CORE
    } else {
        1
    };
    args.jobs.map_or(unasked, usize::from)
}

/// Becomes true when somebody wants this process to stop.
fn stopped() -> Result<watch::Receiver<bool>, Failure> {
    let mut interrupt = Interrupt::listen()
        .context("cannot listen for Ctrl-C")
        .map_err(Failure::Cluster)?;
    let (stop, stopped) = watch::channel(false);
    actix::spawn(async move {
        interrupt.wait().await;
        stop.send_replace(true);
    });
    Ok(stopped)
}

/// Where genesis and audit bundles of one play go, if anywhere.
fn evidence(args: &ScenarioRunArgs, script: &Loaded, seed: u64) -> Option<PathBuf> {
    let mut name = script.path.file_stem().unwrap_or_default().to_owned();
    if args.seeds > NonZeroU64::MIN {
        name.push(format!("-{seed}"));
    }
    args.audit.as_ref().map(|dir| dir.join(name))
}

async fn play(
    script: &Loaded,
    seed: u64,
    shown: bool,
    mut stopped: watch::Receiver<bool>,
    evidence: Option<PathBuf>,
) -> Result<Report, Failure> {
    if *stopped.borrow() {
        return Err(failure(script, PlayError::Stopped));
    }
    let stop = async move {
        if stopped.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending().await
        }
    };
    let mut timeline = Timeline::new(shown);
    let played = scenario::play(script, seed, &mut timeline, stop, evidence.as_deref()).await;
    played.map_err(|error| failure(script, error))
}

/// One line of `kithkin scenario list`.
#[derive(Serialize)]
struct Listed {
    file: String,
    title: String,
    story: String,
}

/// Lists the scenarios of a folder.
///
/// # Errors
/// [`Failure::Usage`] when the folder or a script in it is wrong.
pub fn list(dir: &Path, json: bool) -> Result<(), Failure> {
    let mut listed = Vec::new();
    for file in scenario::files(dir).map_err(usage)? {
        let Loaded { path, script } = scenario::load(&file).map_err(usage)?;
        let story = script.story.trim().lines().next().unwrap_or_default();
        listed.push(Listed {
            file: path.display().to_string(),
            title: script.title,
            story: story.to_owned(),
        });
    }
    if json {
        println!("{}", to_json(&listed)?);
        return Ok(());
    }
    if listed.is_empty() {
        println!("There is no scenario in {}.", dir.display());
    }
    for one in listed {
        println!("{}\n    {}\n    {}", one.file, one.title, one.story);
    }
    Ok(())
}

fn failures(reports: &[Report]) -> impl Iterator<Item = &Report> {
    reports.iter().filter(|report| !report.ok)
}

fn name(report: &Report) -> String {
    format!("{} (seed {})", report.scenario, report.seed)
}

fn print_one(report: &Report) {
    let mark = if report.ok { "PASS" } else { "FAIL" };
    let seconds = report.took_ms as f64 / 1_000.0;
    println!("{mark}  {seconds:>6.1} s  {}", name(report));
    if report.ok {
        return;
    }
    if let Some(failure) = &report.failure {
        println!("        {failure}");
    }
    for wrong in report.expectations.iter().filter(|one| !one.ok) {
        println!("        {}: {}", wrong.expect, wrong.found);
    }
}

/// `told`: whether the reports have been told at length and not yet in one line each.
fn sum_up(json: bool, told: bool, reports: &[Report], begun: Instant) -> Result<(), Failure> {
    let took = begun.elapsed();
    let summary = Summary {
        plays: reports.len(),
        failed: failures(reports).count(),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    };
    if json {
        println!("{}", to_json(&summary)?);
        return Ok(());
    }
    println!();
    if told {
        reports.iter().for_each(print_one);
    }
    println!(
        "{} played, {} failed, {:.1} s in all",
        summary.plays,
        summary.failed,
        took.as_secs_f64()
    );
    Ok(())
}

fn failure(script: &Loaded, error: PlayError) -> Failure {
    let about = format!("the scenario {}", script.path.display());
    match error {
        PlayError::Launch(error) => Failure::from(error),
        PlayError::Folder(_) | PlayError::Audit(_) => {
            Failure::Storage(anyhow!(error).context(about))
        }
        PlayError::Stopped => Failure::NotHeld(anyhow!(error).context(about)),
    }
}

fn usage(error: scenario::ScriptError) -> Failure {
    Failure::Usage(error.into())
}

fn to_json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .context("the report cannot be written as JSON")
        .map_err(Failure::Cluster)
}
