//! `kithkin bench`: measurements. What is measured is in [`crate::bench`], how to read it in `docs/benchmarks.md`.

mod consensus;
mod security;
mod size;

use crate::cli::BenchCommand;
use crate::commands::Failure;

/// Measures and prints.
///
/// # Errors
/// As the measurement says.
pub async fn run(command: BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Consensus(args) => consensus::run(&args).await,
        BenchCommand::Security(args) => security::run(&args),
        BenchCommand::Size(args) => size::run(&args),
    }
}
