//! Credit: what validators have earned, and who may therefore write the next block.
//!
//! [`Standings`] is the part of the ledger state that credit needs; it moves
//! only by executed blocks. It checks headers ([`HeaderError`]), applies the
//! rules of spec section 4 ([`CreditChange`]), and orders the masters of a
//! height (spec section 3). Votes, views and certificates are in
//! [`crate::consensus`]; transactions are in [`crate::ledger`].
//!
//! Read `score` (the arithmetic), `order` and `draw` (the leader order), then
//! `standings` (the rules of a block), `header` (the checks) and `membership`
//! (who votes).

mod draw;
mod header;
mod membership;
mod order;
#[cfg(any(test, feature = "testing"))]
mod plain;
mod score;
mod standings;
mod validators;

pub use draw::draw_below;
pub use header::{Head, HeaderError, LateVoteError, OffenceError};
pub use membership::{CHANGE_DELAY, Company, Electorate, FAREWELL_HEIGHTS, Part};
pub(crate) use order::leader;
pub use order::{LeaderOrder, Ranking, leader_order};
pub use score::{CreditChange, CreditReason, OFFENCES_MAX, Record, StandingRow};
pub use standings::Standings;
pub use validators::ValidatorSet;

use crate::units::Credit;

/// Largest credit.
pub const CREDIT_MAX: Credit = Credit(1_000_000);
/// Credit of a genesis validator.
pub const CREDIT_INIT: Credit = Credit(500_000);
/// Credit of a validator that is admitted later.
pub const CREDIT_NEWCOMER: Credit = Credit(300_000);

/// How many heights lie between the ranking snapshot and the block that reveals the randomness (spec section 1).
pub const LAG: u64 = 4;
/// Every how many heights all eligible validators are candidates (spec section 1).
pub const OPEN_EVERY: u64 = 8;
/// How many heights back a finalize vote can still earn credit (spec section 1).
pub const LATE: u64 = 4;
/// Most proofs of offences in one header (spec section 1).
pub const EVIDENCE_MAX: usize = 16;
/// For how many heights an offence can be punished (spec section 1).
pub const EVIDENCE_AGE: u64 = 20_000;

#[cfg(test)]
mod tests;
