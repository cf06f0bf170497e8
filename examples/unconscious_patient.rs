//! A patient is found unconscious, and three of five relatives open the records.
//!
//! This plays config/scenarios/unconscious-patient.toml through the library: a script is read and checked, played on a
//! cluster of its own, and judged. Write a script of your own, and play it with the same four lines.
//!
//! Run it: `cargo run --example unconscious_patient`

use anyhow::ensure;
use kithkin::scenario;
use kithkin::timeline::Timeline;
use std::path::Path;

fn main() -> anyhow::Result<()> {
    actix::System::new().block_on(story())
}

async fn story() -> anyhow::Result<()> {
    // A wrong name or reference in a script is refused here, before anything is started.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = scenario::load(&folder.join("config/scenarios/unconscious-patient.toml"))?;

    // The timeline prints as it goes. The seed drives losses and delays of links, never keys.
    let mut timeline = Timeline::new(true);
    let report = scenario::play(&script, 1, &mut timeline, std::future::pending(), None).await?;

    // The same report is what `kithkin scenario run --json` prints.
    ensure!(report.ok, "{:?}", report.failure);
    ensure!(report.expectations.iter().all(|expectation| expectation.ok));
    Ok(())
}
