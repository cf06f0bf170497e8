//! `kithkin demo`: the main job once, with three faults in it, on a cluster that is gone afterwards.
//!
//! [`play`] is the story, [`outcome`] what must have come out of it, [`report`]
//! how it is told at the end.

pub mod outcome;
pub mod play;
pub mod report;

use super::Failure;
use crate::audit;
use crate::cli::DemoArgs;
use crate::stage::Stage;
use crate::timeline::Timeline;
use crate::waiting::Interrupt;
use anyhow::{Context as _, anyhow};
use kithkin_actors::cluster::{ClusterConfig, Shape};
use kithkin_fhir::{Bundle, Counts, fixture, summary};
use outcome::Outcome;
use play::Roles;
use std::path::Path;
use std::sync::Arc;

/// Plays the main job once.
///
/// # Errors
/// [`Failure::Usage`] for a record that cannot be read or a folder that holds bundles, [`Failure::Storage`] for a disk that cannot be used,
/// [`Failure::Cluster`] when a step fails, [`Failure::NotHeld`] when something did not come out as it must.
pub async fn run(args: DemoArgs) -> Result<(), Failure> {
    let record = Record::read(args.record.as_deref()).map_err(Failure::Usage)?;
    if let Some(out) = &args.audit {
        audit::check_free(out).map_err(|error| Failure::Usage(error.into()))?;
    }
    let mut interrupt = Interrupt::listen()
        .context("cannot listen for Ctrl-C")
        .map_err(Failure::Cluster)?;
    let folder = tempfile::Builder::new()
        .prefix("kithkin-demo-")
        .tempdir()
        .context("cannot make a temporary data folder; TMPDIR names where it is made")
        .map_err(Failure::Storage)?;
    let mut timeline = Timeline::new(!args.json);
    let mut config = ClusterConfig::new(folder.path().to_owned(), shape());
    config.seed = args.seed;

    // Not to be stopped half-way: what is launched is shut down in order.
    let (stage, _) = timeline
        .while_waiting("starting the cluster", Stage::launch(config))
        .await;
    let stage = stage?;
    let told = tokio::select! {
        told = tell(&stage, &mut timeline, &record, args.seed) => told,
        () = interrupt.wait() => Err(Failure::NotHeld(anyhow!("stopped before the end; nothing is kept"))),
    };
    timeline.finish();
    stage.shutdown().await;
    let exported = match (&told, &args.audit) {
        (Ok(_), Some(out)) => Some(audit::export_all(folder.path(), out)),
        (Ok(_), None) | (Err(_), _) => None,
    };
    folder
        .close()
        .context("the temporary data folder cannot be removed")
        .map_err(Failure::Storage)?;

    let outcome = told?;
    if args.json {
        report::print_json(&outcome).map_err(Failure::Cluster)?;
    } else {
        report::print_text(&timeline, &outcome);
    }
    // What has happened is told first, whatever became of the bundles.
    let exported = exported.transpose();
    let exported = exported.map_err(|error| Failure::Storage(error.into()))?;
    if let (false, Some(exported)) = (args.json, &exported) {
        println!("\nTo see what is proved of it:\n{}", exported.hint());
    }
    match outcome.wrong().as_slice() {
        [] => Ok(()),
        wrong => Err(Failure::NotHeld(anyhow!(wrong.join("; ")))),
    }
}

/// 4 validators tolerate one that is stopped; 5 kin open with 3.
fn shape() -> Shape {
    Shape {
        validators: 4,
        hospitals: 2,
        patients: 1,
        relatives: play::KIN,
        ..Shape::default()
    }
}

async fn tell(
    stage: &Stage,
    timeline: &mut Timeline,
    record: &Record,
    seed: u64,
) -> Result<Outcome, Failure> {
    let roles = Roles::draw(seed);
    let facts = play::play(stage, timeline, record.bytes.clone(), &roles).await?;
    let expected = record.counts;
    Outcome::of(stage, facts, &record.bytes, expected, &roles).map_err(Failure::Cluster)
}

/// The record that the demo is about.
struct Record {
    bytes: Arc<Vec<u8>>,
    /// Active resources, counted in the bundle itself.
    counts: Counts,
}

impl Record {
    /// Reads and checks the file before anything is started.
    fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let (bytes, name) = match path {
            Some(path) => {
                let bytes = std::fs::read(path)
                    .with_context(|| format!("the record {} cannot be read", path.display()))?;
                (bytes, path.display().to_string())
            }
            None => (
                fixture::demo_bundle().to_vec(),
                "the built-in record".to_owned(),
            ),
        };
        let counts = Bundle::parse(&bytes)
            .map(|bundle| summary::active_counts(&bundle))
            .with_context(|| format!("{name} is no record that can be sealed"))?;
        Ok(Self {
            bytes: Arc::new(bytes),
            counts,
        })
    }
}
