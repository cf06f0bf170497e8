//! The genesis as a file that operators hand around. What stands in it: `genesis_text`.

use super::genesis_text::{self, TextError};
use super::handed::{self, Trouble};
use kithkin_protocol::ledger::{Genesis, GenesisError};
use std::path::{Path, PathBuf};

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

impl GenesisFileError {
    fn of(path: &Path, trouble: Trouble) -> Self {
        let path = path.to_owned();
        match trouble {
            Trouble::Io { action, reason } => Self::Io {
                path,
                action,
                reason,
            },
            Trouble::Exists => Self::Exists { path },
            Trouble::Content(reason) => Self::Content { path, reason },
        }
    }
}

/// Writes a genesis into a new file; on return it is on disk.
///
/// # Errors
/// [`GenesisFileError::Invalid`], [`GenesisFileError::Exists`], [`GenesisFileError::Io`].
pub fn write(path: &Path, genesis: &Genesis) -> Result<(), GenesisFileError> {
    genesis
        .validate()
        .map_err(|reason| GenesisFileError::Invalid {
            path: path.to_owned(),
            reason,
        })?;
    genesis_text::write(genesis)
        .map_err(|error| Trouble::Content(error.to_string()))
        .and_then(|text| handed::write(path, &text))
        .map_err(|trouble| GenesisFileError::of(path, trouble))
}

/// Reads a genesis and checks it.
///
/// # Errors
/// [`GenesisFileError::Io`], [`GenesisFileError::Content`], [`GenesisFileError::Invalid`].
pub fn read(path: &Path) -> Result<Genesis, GenesisFileError> {
    let bad = |trouble| GenesisFileError::of(path, trouble);
    let text = handed::read(path).map_err(bad)?;
    genesis_text::read(&text).map_err(|error| match error {
        TextError::Invalid(reason) => GenesisFileError::Invalid {
            path: path.to_owned(),
            reason,
        },
        other => bad(Trouble::Content(other.to_string())),
    })
}
