//! Measurements: the scheme's security figure, how fast a set of validators agrees, and what a record takes on chain.
//!
//! The commands `kithkin bench ...` print what is measured here; plots are drawn by [`plot`]. How to read the figures
//! is in `docs/benchmarks.md`. No speed is asserted in a test: it is measured, never promised.

pub mod consensus;
pub mod house;
pub mod latency;
pub mod load;
pub mod plot;
pub mod ports;
pub mod security;
pub mod size;
pub mod street;

/// The most memory that this process ever held, in bytes, as Linux tells; 0 elsewhere.
fn memory_peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map_or(0, |kib| kib.saturating_mul(1024))
}
