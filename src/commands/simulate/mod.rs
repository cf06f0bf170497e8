//! `kithkin simulate`: whole clusters of the consensus core under virtual time, thousands of seeds, every rule checked.
//!
//! The simulator is not part of the shipped program: it is compiled in with the feature `simulator`. Seeds are spread
//! over threads in `workers`, what is shown is in `report`.

#[cfg(feature = "simulator")]
mod report;
#[cfg(feature = "simulator")]
mod workers;

use crate::cli::SimulateArgs;
use crate::commands::Failure;

/// Runs the seeds.
///
/// # Errors
/// [`Failure::NotHeld`] on a violation, or when a planted bug is not caught; [`Failure::Usage`] for names that don't
/// exist.
#[cfg(feature = "simulator")]
pub fn run(args: &SimulateArgs) -> Result<(), Failure> {
    report::run(args)
}

/// Says how to get a program that can.
///
/// # Errors
/// Always [`Failure::Usage`].
#[cfg(not(feature = "simulator"))]
pub fn run(_: &SimulateArgs) -> Result<(), Failure> {
    Err(Failure::Usage(anyhow::anyhow!(
        "this program was built without the simulator, which is no part of the shipped one. Build one that has it with \
         cargo build --release --features simulator, or run make simulate"
    )))
}
