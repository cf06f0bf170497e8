//! Snapshots: the state after one height, for nodes that would otherwise have to execute every block since.
//!
//! A snapshot is cut into *parts* by the first bits of the entries' places in the authenticated state, so each part is a
//! subtree. The [`Manifest`] names the subtrees' hashes. They join to the root of the state, which the header of the next
//! height states; that header is final, and light clients' steps lead from the genesis to it ([`super::light`]). So a manifest
//! is checked before any part is asked for, and each part by itself, whoever sends it: nobody needs to be believed, and
//! whoever sends a wrong one is known.
//!
//! * `manifest`: parts, their hashes, checking. `sparse`: hashes of subtrees. `message`: what nodes say.
//! * `fetch`: whom a node that is behind asks for what, as a state machine; `target`: the one snapshot it is after.
//!
//! Not here: disk, and when a snapshot is made; see the validator in `kithkin-actors`.

mod fetch;
mod manifest;
mod message;
mod sparse;
mod target;
#[cfg(test)]
mod tests;

pub use fetch::{ASKED_MAX, Fetch, FetchConfig, Kept, Order, WINDOW};
pub use manifest::{
    CHUNK_BYTES_MAX, DEPTH_MAX, Entry, Manifest, ManifestBuilder, SnapshotError, SnapshotId,
    Survey, place,
};
pub use message::{STEPS_BYTES_MAX, StateSync};
pub use sparse::value_digest;

use crate::crypto::Digest;
use crate::ledger::State;

/// The usual distance of snapshots, in heights.
pub const SNAPSHOT_EVERY: u64 = 1_000;
/// How many snapshots a node keeps: whoever is fetching one finds it until the next but one is complete.
pub const SNAPSHOTS_KEPT: usize = 2;
/// The usual size of a part, in bytes.
pub const CHUNK_BYTES: u64 = 256 * 1024;

/// The state that a snapshot is to be made of. Cloning a state is cheap, so it can be written in peace.
#[derive(Clone, Debug)]
pub struct Due {
    /// The state.
    pub state: State,
    /// Its root.
    pub root: Digest,
}
