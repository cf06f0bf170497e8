//! A whole cluster of the pure core in memory, under virtual time, from one seed. For tests only.
//!
//! [`Cluster`] delivers messages with drawn delays, losses and duplicates, cuts
//! links, crashes nodes between any two outputs and restarts them from what was
//! durable. After every event [`Invariants`] checks the safety rules of the
//! consensus specification (section 6); a violation panics with the seed.
//!
//! Read `fixture` (keys and genesis), `cluster`, `invariants`, `byzantine`, `chaos`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a simulator stops at the first surprise"
)]

mod byzantine;
mod chaos;
mod cluster;
pub mod decoders;
mod fixture;
mod invariants;
pub mod model;
mod node;
mod setup;

pub use byzantine::Behaviour;
pub use chaos::chaos;
pub use cluster::Cluster;
pub use fixture::{Fixture, fixture};
pub use invariants::Invariants;
pub use node::Disk;
pub use setup::{Network, Setup};

#[cfg(test)]
mod tests;
