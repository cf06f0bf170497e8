//! Credit-BFT: how validators agree on one block per height. One Simplex instance per height, masters by credit.
//!
//! [`Consensus`] is a pure state machine: [`Input`] in, [`Output`]s out, time as
//! an argument. The shell executes outputs in order and makes every
//! [`Output::Persist`] and [`Output::Commit`] durable before anything after it
//! leaves; then a crash at any point loses nothing that another node has seen.
//! The specification, the safety argument and all parameters are in
//! `docs/spec/consensus.md`; comments cite it as "spec". Credit and the order
//! of masters are in [`crate::credit`], transactions in [`crate::ledger`].
//!
//! # Files
//!
//! | file | holds |
//! |---|---|
//! | `vote`, `certificate`, `evidence`, `message` | what is signed, verified and sent |
//! | `io`, `config`, `wal` | what goes in and out, local policy, the durable records |
//! | `inbox`, `tally`, `book`, `views`, `proposals` | vote counting, the signing rule, the view rules, proposals: pure structs |
//! | `activity`, `late`, `pool`, `catchup` | the idle rule, late votes, waiting evidence, catching up: pure structs |
//! | `agreement` | the seam to the shell, where another core can stand in for measurements |
//! | `core`, `round` | [`Consensus`]: one step; what belongs to one height |
//! | `receive`, `transition`, `propose`, `commit` | [`Consensus`] continued: messages, views, proposals, commits |
//! | `past`, `hearsay` | what is kept of heights that are over, and told of them when something does not fit |
//! | `recall` | [`Consensus`] continued: own votes that a node has forgotten, and the quarantine |
//! | `mutant` | bugs planted on purpose, for tests only |
//!
//! # The idle rule
//!
//! An empty block is written only as a heartbeat, 10 s after the last block. So
//! the timer of view 1 must not run while there is nothing to do. It starts, and
//! the master proposes, when the height is *roused*:
//!
//! 1. by own work: the mempool has something ([`Input::Work`]); a master that
//!    then finds nothing to put into a block goes back to rest;
//! 2. by the heartbeat: head time + 10 s for the master, 2 s later for the
//!    others, so that clocks apart do not nullify an honest master;
//! 3. by others: a valid proposal, or valid votes of f+1 validators, at once;
//!    a vote of fewer, not before head time + 1 s.
//!
//! Roused by 2 or 3, the master proposes even an empty block. So a node whose
//! work the master does not know signs nullify when its timer runs out; that
//! vote rouses the others *and* the master, and the height goes on. A Byzantine
//! validator gains one empty block a second from this, as it would by sending
//! transactions, and no view change: a nullification takes n-f votes, and those
//! who are roused late still wait a whole timeout for the master.
//! Views above 1 always run.

mod activity;
mod agreement;
mod book;
mod catchup;
#[cfg(any(test, feature = "testing"))]
mod census;
mod certificate;
mod commit;
mod config;
mod core;
#[cfg(any(test, feature = "testing"))]
mod essence;
mod evidence;
mod hearsay;
mod inbox;
mod io;
mod late;
mod message;
mod mutant;
mod outline;
mod past;
mod pool;
mod proposals;
mod propose;
mod recall;
mod receive;
mod round;
mod silence;
mod tally;
mod transition;
mod views;
mod vote;
mod wal;

pub use agreement::{Agreement, Algorithm, Started};
pub(crate) use certificate::Known;
pub use certificate::{CertError, verify_votes};
pub use config::{Config, Identity, Timing};
pub use core::Consensus;
#[cfg(any(test, feature = "testing"))]
pub(crate) use essence::Essence;
pub use evidence::{EvidenceError, Offence};
pub use io::{Fault, Input, Note, NullifyReason, Output, Timer, TimerKind, ViewReason};
pub use message::{
    BALLOTS_PER_MESSAGE, Ballot, COMMITTED_PER_MESSAGE, Finalized, Hearsay, Justification, Message,
    NULLIFICATIONS_PER_MESSAGE, NewView, Proposal, SIGNATURES_PER_MESSAGE,
};
#[cfg(any(test, feature = "testing"))]
pub use mutant::Mutant;
#[cfg(any(test, feature = "testing"))]
pub(crate) use mutant::short_quorum;
pub use outline::{Filling, OUTLINED_MAX, Outline, OutlineError};
pub use recall::{QUARANTINE_HEIGHTS, Recall};
pub use vote::{Certificate, Evidence, SignedProposalId, Vote, VoteKind};
pub use wal::{Wal, WalEntry, WalError};

/// How many views beyond its own a node takes votes and proposals for (spec section 1).
pub const VIEWS_AHEAD_MAX: u64 = 64;

/// How far ahead of the local clock a block time may lie, in milliseconds (spec section 2, `validFresh`).
pub const SKEW_MS_MAX: u64 = 2_000;

#[cfg(test)]
mod tests;
