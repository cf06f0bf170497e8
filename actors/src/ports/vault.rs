//! Secret keys outside RocksDB. (API first; bodies follow.)

use kithkin_protocol::crypto::Secret32;
use std::path::{Path, PathBuf};

/// Why a key cannot be read, written or destroyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Not a name for a key or an owner.
    #[error(
        "'{name}' cannot name a key or an owner; use 1 to 128 of a-z, 0-9, '-' and '.', not starting with '.'"
    )]
    BadName {
        /// The text.
        name: String,
    },
    /// Others than the owner may read it.
    #[error("{} can be read by others (mode {mode:o}); run: chmod {wanted:o} {}", path.display(), path.display())]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it must have.
        wanted: u32,
    },
    /// Not what was written.
    #[error("the key file {} is damaged: {reason}; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is another key under that name.
    #[error("{} holds another key; a key is never overwritten: destroy it first or choose another name", path.display())]
    Exists {
        /// The file.
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

/// The folder of secret keys.
#[derive(Debug, Clone)]
pub struct Vault;

impl Vault {
    /// Opens or creates.
    pub fn open(_dir: &Path) -> Result<Self, VaultError> {
        todo!()
    }
    /// The keys of one owner.
    #[must_use]
    pub fn keys_of(&self, _owner: &str) -> KeySpace {
        todo!()
    }
}

/// The keys of one owner.
#[derive(Debug, Clone)]
pub struct KeySpace;

impl KeySpace {
    /// Reads a key.
    pub fn load(&self, _name: &str) -> Result<Option<Secret32>, VaultError> {
        todo!()
    }
    /// Writes a key.
    pub fn create(&self, _name: &str, _secret: &Secret32) -> Result<(), VaultError> {
        todo!()
    }
    /// Writes several keys, syncing the folder once.
    pub fn create_many(&self, _keys: &[(&str, &Secret32)]) -> Result<(), VaultError> {
        todo!()
    }
    /// Reads a key or makes it.
    pub fn load_or_create(
        &self,
        _name: &str,
        _make: impl FnOnce() -> Secret32,
    ) -> Result<Secret32, VaultError> {
        todo!()
    }
    /// Destroys a key.
    pub fn destroy(&self, _name: &str) -> Result<(), VaultError> {
        todo!()
    }
    /// Names of the keys, in order.
    pub fn names(&self) -> Result<Vec<String>, VaultError> {
        todo!()
    }
}
