//! A relative is asked, looks at the request, and decides.
//!
//! What a kin's screen shows is proved first: the request stands on the ledger, signed by an accredited hospital. Here three
//! of five say no, because the patient is awake and can be asked. The case ends at once and nothing was ever opened.
//!
//! Run it: `cargo run --example kin_is_asked`

use anyhow::{Context as _, ensure};
use kithkin::stage::{Ask, Stage};
use kithkin_actors::cluster::{ClusterConfig, Shape};
use kithkin_actors::friend_relative::messages::Decision;
use kithkin_fhir::fixture;
use kithkin_protocol::emergency::{Phase, RefusalReason};
use kithkin_protocol::roster::RosterRules;
use std::sync::Arc;
use std::time::Duration;

fn main() -> anyhow::Result<()> {
    actix::System::new().block_on(story())
}

async fn story() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let shape = Shape {
        patients: 1,
        ..Shape::default()
    };
    let stage = Stage::launch(ClusterConfig::new(folder.path().to_owned(), shape)).await?;
    stage
        .enrol(0, 0, None, Vec::new(), RosterRules::default())
        .await?;
    let bundle = Arc::new(fixture::demo_bundle().to_vec());
    stage.write(0, 0, bundle, Duration::from_secs(10)).await?;

    // A clinician of hospital 1 asks for summary and chart.
    let requested = stage.request(1, 0, Ask::default()).await?;

    // The screen of kin 0 of patient 0.
    let waiting = stage.pending(0, 0).await?;
    let shown = waiting.first().context("the request waits for an answer")?;
    println!(
        "asked for {:?}: {} ({:?})",
        shown.tiers,
        shown.purpose.code(),
        shown.reason
    );
    ensure!(shown.case == requested.case);

    // Three of five refuse: more than half can no longer be reached.
    let no = Decision::Refuse(RefusalReason::PatientCanDecide);
    for kin in 0..3 {
        let decided = stage.decide(0, kin, requested.case, no).await?;
        println!(
            "kin-0-{kin} refuses; the case is {}",
            decided.phase.as_str()
        );
    }
    let within = Duration::from_secs(10);
    stage
        .case_in(requested.case, &[Phase::Refused], within)
        .await?;

    // Reading is refused, and no kin has let anything go.
    let read = stage
        .read(1, requested.case, None, Duration::from_millis(200))
        .await;
    ensure!(read.is_err(), "a refused case must stay shut");
    for kin in 0..5 {
        let held = stage.inventory(0, kin).await?;
        ensure!(held.released.is_empty(), "nothing may leave a kin");
    }
    stage.shutdown().await;
    Ok(())
}
