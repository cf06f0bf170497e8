//! A whole cluster of the pure core in memory, under virtual time, from one seed. For tests only.
//!
//! [`Cluster`] delivers messages with drawn delays, losses and duplicates, cuts
//! links, crashes nodes between any two outputs and between write and sync, and
//! restarts them from what was durable. After every event [`Invariants`] checks
//! the rules of the consensus specification (section 6). [`simulate`] runs one
//! seed: a storm of faults, then calm.
//!
//! Read `fixture` (keys and genesis), `setup`, `node`, `disk`, `cluster` (with what is below it), `invariants`, `referee`, `byzantine`, `fault`, `scenario`,
//! `trace`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a simulator stops at the first surprise"
)]

mod byzantine;
mod cluster;
pub mod decoders;
mod dice;
mod disk;
mod fault;
mod fixture;
mod invariants;
pub mod model;
mod node;
mod referee;
mod scenario;
mod setup;
mod snapshot_decoder;
mod trace;

pub use byzantine::Behaviour;
pub use cluster::Cluster;
pub use disk::Disk;
pub use fault::{Fault, Faults};
pub use fixture::{Fixture, fixture};
pub use invariants::{Invariants, Violation};
pub use scenario::{HEIGHTS, Outcome, Scenario, simulate};
pub use setup::{Network, Setup};

#[cfg(test)]
mod tests;
