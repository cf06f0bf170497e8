//! What can go wrong with a key file.

use std::path::{Path, PathBuf};

/// Why a key cannot be read, written or destroyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Not a name for a key or an owner.
    #[error(
        "'{name}' cannot name a key or its owner; use 1 to {} of a-z, 0-9, '-' and '.', not starting with '.'",
        super::KEY_NAME_BYTES_MAX
    )]
    BadName {
        /// The text.
        name: String,
    },
    /// Others than the owner may read or change it.
    #[error(
        "{} is open to others (mode {mode:03o}) and holds secret keys; run: chmod {wanted:o} {}",
        path.display(),
        path.display()
    )]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it must have.
        wanted: u32,
    },
    /// Somebody else's, who may read and change it.
    #[error(
        "{} belongs to another user (number {owner}) and holds secret keys; run this as that user, or: chown \"$(id -u)\" {}",
        path.display(),
        path.display()
    )]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// The number of its user.
        owner: u32,
    },
    /// Torn, changed or emptied.
    #[error(
        "the key file {} is damaged: {reason}; restore it from a backup, or remove it and have the key made anew",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Written by another version of this program.
    #[error(
        "the key file {} has format {found}, but this program reads format {}; \
         use the version that wrote it, or restore the file from a backup",
        path.display(),
        super::FORMAT
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Its first byte.
        found: u8,
    },
    /// There is another key under that name.
    #[error(
        "{} holds another key, and a key is never overwritten; destroy that one first or choose another name",
        path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full. Keys that were there still are.
    #[error("the disk is full: cannot {action} {}; free some space and try again", path.display())]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
    },
    /// The operating system failed.
    #[error("cannot {action} {}: {reason}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
}

impl VaultError {
    /// Names what failed, for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |error| {
            let path = path.to_owned();
            match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Self::DiskFull { action, path }
                }
                _ => Self::Io {
                    action,
                    path,
                    reason: error.to_string(),
                },
            }
        }
    }
}
