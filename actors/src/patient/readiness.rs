//! What drills say of the patient's kin: asked for at the screen, and told unasked when a drill is over.

use super::device::Device;
use super::messages::PatientError;
use kithkin_protocol::ids::KinId;
use kithkin_protocol::roster::Readiness;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the proof may take.
const PROVE_WITHIN: Duration = Duration::from_secs(10);

/// How ready the kin are, as the ledger proves.
pub(super) async fn readiness(device: &Device) -> Result<Readiness, PatientError> {
    let enrolled = device.enrolled(Instant::now() + PROVE_WITHIN).await?;
    let (entry, _) = enrolled.ok_or_else(|| PatientError::Roster {
        reason: "nobody is enrolled with this device".to_owned(),
    })?;
    Ok(Readiness::of(&entry))
}

/// A drill is over: the person learns what came of it, and who does not answer any more.
pub(super) async fn tell(device: Arc<Device>) {
    let patient = device.me;
    match readiness(&device).await {
        Ok(readiness) => {
            let words = readiness.sentence(|kin: KinId| format!("kin {kin}"));
            if readiness.is_wanting() {
                tracing::warn!(%patient, "{words}");
            } else {
                tracing::info!(%patient, "{words}");
            }
        }
        Err(error) => {
            tracing::warn!(%patient, %error, "what the drill has shown is not known yet");
        }
    }
}
