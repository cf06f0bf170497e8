//! A plain PBFT (Castro and Liskov, OSDI 1999), the sibling that credit-BFT is measured against.
//!
//! Same messages, ledger, headers, records and shell as credit-BFT; one block per height, one height at a time, votes
//! verified in batches and once, own votes and blocks durable before they leave. What differs is the agreement itself:
//!
//! | PBFT | carried as |
//! |---|---|
//! | pre-prepare | `Message::Proposal` |
//! | prepare, commit | notarize and finalize votes; the primary prepares as well |
//! | view-change | `Message::NewView` to all: the highest prepared certificate and one signed [`ViewChange`] |
//! | new-view | the justification of the new primary's proposal: view-changes of a quorum, the highest certificate |
//!
//! Primaries rotate on view change only: primary of view `v` is validator `(v - 1) mod n`, and the next height begins
//! in the view in which the last block was built, which every node reads in the block. A ledger for it has
//! `Profile::Fixed`.
//!
//! A measurement starts fresh nodes; one that finds a chain on its disk stays mute (`is_halted`), because the records
//! of an unfinished height are not read back. Checkpoints are not needed: a finalized height has its certificate.

mod change;
mod core;
mod receive;
#[cfg(test)]
mod tests;

pub use change::ViewChange;
pub use core::Pbft;

use kithkin_protocol::consensus::Algorithm;

/// The algorithm to start validators with.
#[must_use]
pub fn algorithm() -> Algorithm {
    Algorithm::new("pbft", |config, ledger, _, now| {
        let (core, outputs) = Pbft::start(&config, ledger, now);
        (Box::new(core), outputs)
    })
}
