//! What credit-BFT is measured against: a plain PBFT behind the same interface.
//!
//! The leader rules without credit are profiles of the same core (`Profile::RoundRobin`, `Profile::Random`). Nothing
//! here is part of a shipped program.

pub mod pbft;
