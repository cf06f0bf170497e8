//! The rules of Kithkin, and nothing but the rules.
//!
//! No I/O, no clock, no threads, no randomness of its own: time, randomness
//! and messages come in as arguments, orders go out as return values. Actix
//! shells around these rules live in `kithkin-actors`, the program in `kithkin`.
//!
//! Read in this order: [`ids`] and [`units`]; [`crypto`]; [`sharing`] and
//! [`record`] (how a record is sealed, and opened without ever holding the
//! key); [`ledger`], [`emergency`] and [`consent`] (what stands on chain);
//! [`credit`] and [`consensus`] (how validators agree on it); [`audit`] (how a case
//! is shown to somebody who was not there); [`wire`].

#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

pub mod audit;
mod bytes;
pub mod consensus;
pub mod consent;
pub mod credit;
pub mod crypto;
pub mod emergency;
pub mod ids;
pub mod ledger;
mod memo;
pub mod record;
pub mod roster;
#[cfg(test)]
mod secret_tests;
pub mod sharing;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod units;
pub mod wire;

pub use bytes::{BadHex, hex, unhex};
