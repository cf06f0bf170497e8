//! Redundant data on kin: possession, repair, slots, receipts of deletion, quota ("Redundant data" in docs/spec/opening.md).

#[path = "../sharing_support/mod.rs"]
mod sharing_support;

mod detection;
mod erasure;
mod possession;
mod quota;
mod repair;
mod slots;
mod stock;
