//! What can go wrong on disk, and how RocksDB's words are sorted into it.

use std::path::{Path, PathBuf};

/// Why the database cannot be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another [`super::Store`] of this one, holds the folder.
    #[error(
        "the data folder {} is in use by another process; stop that process or choose another folder",
        dir.display()
    )]
    InUse {
        /// The data folder.
        dir: PathBuf,
    },
    /// The folder cannot be created, locked or written.
    #[error(
        "cannot use the data folder {}: {reason}; check that it is a folder and that you may write in it",
        dir.display()
    )]
    Folder {
        /// The data folder.
        dir: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// Written by another version of this program, or not by this program.
    #[error(
        "the database in {} has {}, but this program reads format {known}; \
         use the version of the program that wrote it, or another folder",
        dir.display(),
        found.map_or_else(|| "no format number of ours".to_owned(), |n| format!("format {n}"))
    )]
    UnknownFormat {
        /// The data folder.
        dir: PathBuf,
        /// The number found; none when the database is not of this program.
        found: Option<u32>,
        /// The number this program reads.
        known: u32,
    },
    /// The folder holds the data of another cluster.
    #[error(
        "the data folder {} belongs to another cluster ({found}, not {expected}); \
         choose another folder, or start with the configuration it was made with",
        dir.display()
    )]
    OtherCluster {
        /// The data folder.
        dir: PathBuf,
        /// The cluster's name on disk, in hex.
        found: String,
        /// The cluster's name asked for, in hex.
        expected: String,
    },
    /// A file of the database is damaged or missing.
    #[error(
        "the database in {} is damaged: {detail}; check the disk, keep a copy of the folder, \
         then restore it from a backup or start with an empty folder and catch up from the others",
        dir.display()
    )]
    Corrupt {
        /// The data folder.
        dir: PathBuf,
        /// RocksDB's words; they name the file.
        detail: String,
    },
    /// No space left. Nothing is damaged; what was acknowledged is still there.
    #[error(
        "the disk under {} is full ({detail}); nothing acknowledged is lost: free some space and start again",
        dir.display()
    )]
    DiskFull {
        /// The data folder.
        dir: PathBuf,
        /// RocksDB's words; they name the file.
        detail: String,
    },
    /// The operating system failed to read or write.
    #[error(
        "the disk under {} failed: {detail}; check the disk and the folder's permissions, then start again",
        dir.display()
    )]
    Io {
        /// The data folder.
        dir: PathBuf,
        /// RocksDB's words; they name the file.
        detail: String,
    },
    /// A newer incarnation of the actor took the key space over.
    #[error(
        "the key space '{space}' was taken over: this is incarnation {incarnation}, the current one is {current}; \
         nothing was written"
    )]
    Fenced {
        /// The key space.
        space: String,
        /// The incarnation that tried to write.
        incarnation: u64,
        /// The incarnation that may.
        current: u64,
    },
    /// An earlier batch of this incarnation was refused, so a later one would leave a gap.
    #[error(
        "the key space '{space}' refused an earlier batch, so it takes no more from this incarnation; \
         open the space anew and continue from what is on disk"
    )]
    Gap {
        /// The key space.
        space: String,
    },
    /// The disk does not keep up.
    #[error(
        "the disk under {} does not keep up: {bytes} bytes in {batches} batches wait to be written; \
         use a faster disk or fewer actors on it",
        dir.display()
    )]
    Overloaded {
        /// The data folder.
        dir: PathBuf,
        /// Batches waiting.
        batches: usize,
        /// Bytes waiting.
        bytes: usize,
    },
    /// One batch above [`super::BATCH_BYTES_MAX`].
    #[error("a batch for '{space}' has {bytes} bytes; at most {limit} are written at once")]
    BatchTooLarge {
        /// The key space.
        space: String,
        /// Size of the batch.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Not a name for a key space.
    #[error(
        "'{name}' cannot name a key space; use 1 to {} of a-z, 0-9, '-' and '.'",
        super::SPACE_NAME_BYTES_MAX
    )]
    BadSpaceName {
        /// The text.
        name: String,
    },
    /// The database was closed.
    #[error("the database in {} is closed", dir.display())]
    Closed {
        /// The data folder.
        dir: PathBuf,
    },
    /// A call that waits for the committer, made on the committer's own thread.
    #[error(
        "{call} waits for the committer and was called from one of its callbacks; call it from another thread"
    )]
    WouldDeadlock {
        /// The function.
        call: &'static str,
    },
}

impl StoreError {
    /// Sorts an error of RocksDB. Its messages start with the status code; a full disk is named by the status' subcode.
    pub(super) fn from_rocksdb(dir: &Path, error: &rocksdb::Error) -> Self {
        let dir = dir.to_owned();
        let detail = error.to_string();
        let full = [
            "No space left on device",
            "Disk quota exceeded",
            "Space limit reached",
        ];
        if full.iter().any(|words| detail.contains(words)) {
            return Self::DiskFull { dir, detail };
        }
        match error.kind() {
            rocksdb::ErrorKind::Corruption
            // A missing CURRENT or MANIFEST file: `create_if_missing` is off.
            | rocksdb::ErrorKind::InvalidArgument => Self::Corrupt { dir, detail },
            _ if detail.contains("No such file or directory") => Self::Corrupt { dir, detail },
            _ => Self::Io { dir, detail },
        }
    }

    /// Sorts an error of the operating system in the data folder itself.
    pub(super) fn from_os(dir: &Path, error: &std::io::Error) -> Self {
        let dir = dir.to_owned();
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull {
                dir,
                detail: error.to_string(),
            },
            _ => Self::Folder {
                dir,
                reason: error.to_string(),
            },
        }
    }
}
