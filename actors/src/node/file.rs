//! The genesis as a file that operators hand around. What stands in it: `genesis_text`.

use super::genesis_text::{self, TextError};
use crate::ports::folder;
use kithkin_protocol::ledger::{Genesis, GenesisError};
use std::fs;
use std::path::{Path, PathBuf};

/// Largest file in bytes: a thousand validators and as many hospitals fit well.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Why a genesis file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum GenesisFileError {
    /// The operating system.
    #[error("the genesis file {} cannot be {action}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        action: &'static str,
        /// The operating system's words.
        reason: String,
    },
    /// There is something already.
    #[error("{} is there already, and a genesis is never overwritten: choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not what it should be.
    #[error("{} is no genesis file: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A genesis that no ledger can start from.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: GenesisError,
    },
}

/// Writes a genesis into a new file; on return it is on disk.
///
/// # Errors
/// [`GenesisFileError::Invalid`], [`GenesisFileError::Exists`], [`GenesisFileError::Io`].
pub fn write(path: &Path, genesis: &Genesis) -> Result<(), GenesisFileError> {
    let file = || path.to_owned();
    genesis
        .validate()
        .map_err(|reason| GenesisFileError::Invalid {
            path: file(),
            reason,
        })?;
    let text = genesis_text::write(genesis).map_err(|error| GenesisFileError::Content {
        path: file(),
        reason: error.to_string(),
    })?;
    let written = folder::write_new(path, text.as_bytes());
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => GenesisFileError::Exists { path: file() },
        _ => GenesisFileError::Io {
            path: file(),
            action: "written",
            reason: error.to_string(),
        },
    })
}

/// Reads a genesis and checks it.
///
/// # Errors
/// [`GenesisFileError::Io`], [`GenesisFileError::Content`], [`GenesisFileError::Invalid`].
pub fn read(path: &Path) -> Result<Genesis, GenesisFileError> {
    let bad = |reason: String| GenesisFileError::Content {
        path: path.to_owned(),
        reason,
    };
    let io = |error: std::io::Error| GenesisFileError::Io {
        path: path.to_owned(),
        action: "read",
        reason: error.to_string(),
    };
    let bytes = fs::metadata(path).map_err(io)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(bad(format!(
            "it has {bytes} bytes; at most {FILE_BYTES_MAX} are read"
        )));
    }
    let text = fs::read_to_string(path).map_err(io)?;
    genesis_text::read(&text).map_err(|error| match error {
        TextError::Invalid(reason) => GenesisFileError::Invalid {
            path: path.to_owned(),
            reason,
        },
        other => bad(other.to_string()),
    })
}
