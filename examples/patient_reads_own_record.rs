//! A patient reads the own record, without asking anybody.
//!
//! The tier keys exist on the patient's own device and nowhere else. This example asks for the kin's shards only, as if the
//! hospital that wrote the record had closed down: any three of five kin can give the ciphertext back.
//!
//! Run it: `cargo run --example patient_reads_own_record`

use anyhow::ensure;
use kithkin::stage::Stage;
use kithkin_actors::cluster::{ClusterConfig, Shape};
use kithkin_actors::patient::messages::Source;
use kithkin_actors::ports::names::ActorName;
use kithkin_fhir::{cut, fixture, summary};
use kithkin_protocol::roster::RosterRules;
use kithkin_protocol::units::Tier;
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
    let original = fixture::demo_bundle();
    let bundle = Arc::new(original.to_vec());
    stage.write(0, 0, bundle, Duration::from_secs(10)).await?;

    // Two kin are away, and so is the hospital.
    stage.hold(ActorName::Kin(0, 1)).await?;
    stage.hold(ActorName::Kin(0, 4)).await?;
    stage.hold(ActorName::Hospital(0)).await?;

    // No tier is left out, no upload either (an empty list means all).
    let records = stage
        .read_all(0, Tier::ALL.to_vec(), Vec::new(), Source::Kin)
        .await?;
    println!(
        "{} records opened with the patient's own keys",
        records.len()
    );

    // The summary is derived; the other records are the original, cut at the borders of its resources.
    let (summaries, parts): (Vec<_>, Vec<_>) = records
        .into_iter()
        .partition(|record| record.tier == Tier::Summary);
    if let Some(document) = summaries.first() {
        let counts = summary::counts(&document.bytes)?;
        println!("the emergency summary has {} allergies", counts.allergies);
    }
    let parts: Vec<Vec<u8>> = parts.iter().map(|record| record.bytes.clone()).collect();
    let file = cut::join(&parts)?;
    ensure!(file == original, "the file must come back byte for byte");
    println!("{} bytes, equal to the original", file.len());
    stage.shutdown().await;
    Ok(())
}
