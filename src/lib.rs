//! The library behind the `kithkin` program: whole clusters in one process, and stories played on them.
//!
//! [`stage`] is a running cluster with everything a person in front of it can
//! do. The commands, the scenarios and the examples are built on it.

pub mod audit;
pub mod bench;
pub mod cli;
pub mod commands;
pub mod compare;
pub mod disclosure;
pub mod faults;
#[cfg(test)]
mod golden;
pub mod logging;
pub mod scenario;
pub mod stage;
pub mod timeline;
pub mod waiting;
