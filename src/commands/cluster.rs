//! `kithkin cluster`. (Being written.)

use super::Failure;
use crate::cli::ClusterArgs;

/// Runs a cluster.
///
/// # Errors
/// [`Failure`].
pub async fn run(_args: ClusterArgs) -> Result<(), Failure> {
    Err(Failure::Usage(anyhow::anyhow!("not written yet")))
}
