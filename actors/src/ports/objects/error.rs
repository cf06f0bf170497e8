//! What can go wrong with stored objects. No error holds a credential.

use std::path::PathBuf;

/// What was being done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Writing it.
    Write,
    /// Reading it, or a part of it.
    Read,
    /// Removing it.
    Remove,
}

impl core::fmt::Display for Deed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Write => "written",
            Self::Read => "read",
            Self::Remove => "removed",
        })
    }
}

/// Why an object was not written, read or removed, or a place cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectsError {
    /// There is no such object.
    #[error("{object} is missing")]
    Missing {
        /// Place and name of the object.
        object: String,
    },
    /// The object is shorter or longer than it was when it was written.
    #[error("{object} has {found} bytes, not {expected}: it was cut off or is another one")]
    Length {
        /// Place and name of the object.
        object: String,
        /// How many bytes it has.
        found: u64,
        /// How many it must have.
        expected: u64,
    },
    /// The store refused, failed, or could not be reached after several tries.
    #[error("{object} cannot be {deed}: {reason}")]
    Failed {
        /// Place and name of the object.
        object: String,
        /// What was being done.
        deed: Deed,
        /// What the store said.
        reason: String,
    },
    /// The store did not answer in time.
    #[error("{object} could not be {deed} within {ms} ms")]
    TooSlow {
        /// Place and name of the object.
        object: String,
        /// What was being done.
        deed: Deed,
        /// How long it had, in milliseconds.
        ms: u64,
    },
    /// The folder of the objects cannot be made or used.
    #[error("the archive's folder {} cannot be used: {reason}; make it writable for this program, or name another one", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The store cannot be set up as it was described.
    #[error("the archive {place} cannot be set up: {reason}")]
    Setup {
        /// The place.
        place: String,
        /// Why.
        reason: String,
    },
}
