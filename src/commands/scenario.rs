//! `kithkin scenario`: plays scripted emergencies, or lists them.

use super::Failure;
use crate::scenario::{self, Loaded, PlayError, Report};
use crate::timeline::Timeline;
use crate::waiting::Interrupt;
use anyhow::{Context as _, anyhow};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Plays scenarios one after the other; all files are read and checked before the first one is played.
///
/// # Errors
/// [`Failure::Usage`] for a file that is wrong, [`Failure::NotHeld`] when an expectation fails,
/// [`Failure::Cluster`] and [`Failure::Storage`] when a cluster does not start.
pub async fn run(files: &[PathBuf], json: bool, seed: u64) -> Result<(), Failure> {
    let mut scripts = Vec::new();
    for file in files {
        scripts.push(scenario::load(file).map_err(usage)?);
    }
    let mut interrupt = Interrupt::listen()
        .context("cannot listen for Ctrl-C")
        .map_err(Failure::Cluster)?;
    let mut reports = Vec::new();
    for script in &scripts {
        let mut timeline = Timeline::new(!json);
        let played = scenario::play(script, seed, &mut timeline, interrupt.wait()).await;
        let report = played.map_err(|error| failure(script, error))?;
        if json {
            println!("{}", to_json(&report)?);
        }
        reports.push(report);
    }
    if !json && reports.len() > 1 {
        print_all(&reports);
    }
    let failed: Vec<&str> = reports
        .iter()
        .filter(|report| !report.ok)
        .map(|report| report.scenario.as_str())
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::NotHeld(anyhow!("failed: {}", failed.join(", "))))
    }
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

fn print_all(reports: &[Report]) {
    println!();
    for report in reports {
        let mark = if report.ok { "PASS" } else { "FAIL" };
        let seconds = report.took_ms as f64 / 1_000.0;
        println!("{mark}  {seconds:>6.1} s  {}", report.scenario);
    }
}

fn failure(script: &Loaded, error: PlayError) -> Failure {
    let about = format!("the scenario {}", script.path.display());
    match error {
        PlayError::Launch(error) => Failure::from(error),
        PlayError::Folder(_) => Failure::Storage(anyhow!(error).context(about)),
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
