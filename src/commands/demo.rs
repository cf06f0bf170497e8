//! `kithkin demo`. (Being written.)

use super::Failure;
use crate::cli::DemoArgs;

/// Plays the main job once.
///
/// # Errors
/// [`Failure`].
pub async fn run(_args: DemoArgs) -> Result<(), Failure> {
    Err(Failure::Usage(anyhow::anyhow!("not written yet")))
}
