//! `kithkin scenario`. (Being written.)

use super::Failure;
use std::path::{Path, PathBuf};

/// Plays scenarios.
///
/// # Errors
/// [`Failure`].
pub async fn run(_files: &[PathBuf], _json: bool, _seed: u64) -> Result<(), Failure> {
    Err(Failure::Usage(anyhow::anyhow!("not written yet")))
}

/// Lists scenarios.
///
/// # Errors
/// [`Failure`].
pub fn list(_dir: &Path, _json: bool) -> Result<(), Failure> {
    Err(Failure::Usage(anyhow::anyhow!("not written yet")))
}
