//! What nodes say to each other about snapshots.

use super::manifest::{Entry, Manifest, SnapshotId};
use crate::ledger::light::Step;
use crate::units::Height;
use serde::{Deserialize, Serialize};

/// About how many bytes of steps one message holds at most; a single step may have more.
pub const STEPS_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Questions and answers. Each fits into a frame ([`crate::wire::FRAME_BYTES_MAX`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateSync {
    /// "My chain ends at this height. Which is your newest snapshot above it?"
    Ask {
        /// The height.
        height: Height,
    },
    /// The answer; none when there is no such snapshot.
    Offer {
        /// The snapshot.
        snapshot: Option<SnapshotId>,
    },
    /// "Lead me to this snapshot."
    GetSteps {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Up to this height the asker has been led already.
        after: Height,
    },
    /// The next steps of a light client, the last one of all at the height after the snapshot's.
    Steps {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The steps.
        steps: Vec<Step>,
    },
    /// "Send me the manifest."
    GetManifest {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// The manifest.
    Manifest(Box<Manifest>),
    /// "Send me a part."
    GetChunk {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Number of the part.
        part: u32,
    },
    /// A part.
    Chunk {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Number of the part.
        part: u32,
        /// Its entries, ascending by place.
        entries: Vec<Entry>,
    },
    /// "I have it no more."
    Gone {
        /// The snapshot.
        snapshot: SnapshotId,
    },
}
