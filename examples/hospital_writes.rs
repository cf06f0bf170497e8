//! A hospital writes a patient's record.
//!
//! The patient has chosen five friends and relatives ("kin") and is asleep at home: nobody has to be online for a record
//! to be sealed to the patient. What the hospital hands to each kin is one shard, useless alone; what stands on the
//! ledger is one small header for each tier.
//!
//! Run it: `cargo run --example hospital_writes`

use anyhow::ensure;
use kithkin::stage::Stage;
use kithkin_actors::cluster::{ClusterConfig, Shape};
use kithkin_fhir::fixture;
use kithkin_protocol::record::BatchStatus;
use kithkin_protocol::roster::RosterRules;
use std::sync::Arc;
use std::time::Duration;

fn main() -> anyhow::Result<()> {
    // Actors live on an actix system; everything else is plain async code.
    actix::System::new().block_on(story())
}

async fn story() -> anyhow::Result<()> {
    // A whole cluster in this process, in a folder that is removed at the end.
    let folder = tempfile::tempdir()?;
    let shape = Shape {
        patients: 1,
        ..Shape::default()
    };
    let stage = Stage::launch(ClusterConfig::new(folder.path().to_owned(), shape)).await?;

    // Patient 0 enrols; hospital 0 vouches. More than half of five kin are needed to open anything.
    let enrolled = stage
        .enrol(0, 0, None, Vec::new(), RosterRules::default())
        .await?;
    println!("{} of {} kin can open", enrolled.threshold, enrolled.kin);

    // Hospital 0 seals a FHIR R4 bundle. It waits up to 10 s for kin that do not take their shards.
    let bundle = Arc::new(fixture::demo_bundle().to_vec());
    let written = stage.write(0, 0, bundle, Duration::from_secs(10)).await?;
    for batch in &written.batches {
        println!(
            "{}: {} records, {}, {} bytes on chain, at height {}",
            batch.tier,
            batch.records,
            batch.status.as_str(),
            batch.on_chain_bytes,
            batch.height
        );
        ensure!(
            batch.status == BatchStatus::Stored,
            "with every kin online, every kin holds its shards"
        );
    }

    // Each kin keeps its shards, and has let go of nothing.
    for kin in 0..5 {
        let held = stage.inventory(0, kin).await?;
        println!(
            "kin-0-{kin} keeps {} shards of {} uploads",
            held.shards, held.uploads
        );
        ensure!(held.released.is_empty(), "nobody has asked for anything");
    }
    stage.shutdown().await;
    Ok(())
}
