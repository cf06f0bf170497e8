//! Secret keys, one file each, outside RocksDB.
//!
//! An LSM tree keeps old values until it compacts, and copies them when it does; a key file that is overwritten and
//! removed is gone. So destroying the file *is* the erasure: of a share after a refresh, of a patient's key, and with it
//! of everything that only this key opens.
//!
//! ```text
//! DIR/                  mode 0700
//! DIR/kin-0-3/          one folder per owner, mode 0700
//! DIR/kin-0-3/signing   one file per key, mode 0600
//! ```
//!
//! **Where this ends.** Overwriting reaches the block that held the key on a disk with a file system that writes in
//! place. It does not reach copies: of an SSD's wear levelling, of a file system that copies on write (btrfs, ZFS) or
//! journals data, of snapshots and backups. Where that matters, put the folder on an encrypted disk, keep it out
//! of snapshots and backups, or both.
//!
//! There is no lock here: the process opens the [`super::store`] of its data folder first, and that keeps others out.
//! `file` holds the bytes of a key file and what happens to them on disk.

mod error;
mod file;
#[cfg(test)]
mod tests;

pub use error::VaultError;

use super::folder;
use file::Passing;
use kithkin_protocol::crypto::Secret32;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Longest name of an owner or a key in bytes.
pub const KEY_NAME_BYTES_MAX: usize = 128;

/// Format of a key file; its first byte.
const FORMAT: u8 = 1;

/// Most files synced at the same time: a file system with a journal commits them together.
const SYNCS_AT_ONCE: usize = 16;

/// The folder of secret keys. A clone is the same folder.
#[derive(Debug, Clone)]
pub struct Vault {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    /// For each owner that was asked for, the lock of those who write its keys.
    writing: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl Vault {
    /// Opens the folder, or creates it, and wipes what a crash left on its way in or out.
    ///
    /// # Errors
    /// [`VaultError::Exposed`] when others may look into it or into an owner's folder, [`VaultError::Io`],
    /// [`VaultError::DiskFull`].
    pub fn open(dir: &Path) -> Result<Self, VaultError> {
        folder::create_private(dir).map_err(VaultError::io("create", dir))?;
        file::check_folder(dir)?;
        for owner in file::list(dir)? {
            let folder = dir.join(&owner);
            if check_name(&owner).is_ok() && folder.is_dir() {
                file::check_folder(&folder)?;
                file::sweep(&folder)?;
            }
        }
        let shared = Shared {
            dir: dir.to_owned(),
            writing: Mutex::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The keys of one owner, for example `kin-0-3`. A bad name ([`VaultError::BadName`]) shows when it is used.
    #[must_use]
    pub fn keys_of(&self, owner: &str) -> KeySpace {
        let checked = check_name(owner);
        let writing = match checked {
            Ok(()) => {
                let mut all = lock(&self.shared.writing);
                Arc::clone(all.entry(owner.to_owned()).or_default())
            }
            Err(_) => Arc::default(),
        };
        KeySpace {
            folder: checked.map(|()| self.shared.dir.join(owner)),
            writing,
        }
    }
}

/// The keys of one owner; given by [`Vault::keys_of`].
///
/// Everything here works on the disk, on the calling thread; what writes waits for it, for some milliseconds.
///
/// A name of a key has 1 to [`KEY_NAME_BYTES_MAX`] of a-z, 0-9, `-` and `.`, and does not start with `.`. Besides the
/// errors named, each function has [`VaultError::BadName`], [`VaultError::Exposed`], [`VaultError::Io`], and those that
/// write [`VaultError::DiskFull`].
#[derive(Debug, Clone)]
pub struct KeySpace {
    folder: Result<PathBuf, VaultError>,
    writing: Arc<Mutex<()>>,
}

impl KeySpace {
    /// Reads a key; none when there is none of that name.
    ///
    /// # Errors
    /// [`VaultError::Damaged`], [`VaultError::UnknownFormat`].
    pub fn load(&self, name: &str) -> Result<Option<Secret32>, VaultError> {
        file::load(&self.place(name)?.1)
    }

    /// Writes a key; on return it is on disk. Fine when this very key is there already.
    ///
    /// # Errors
    /// [`VaultError::Exists`] when there is another key of that name, [`VaultError::Damaged`] when nobody can tell.
    pub fn create(&self, name: &str, secret: &Secret32) -> Result<(), VaultError> {
        self.create_many(&[(name, secret)])
    }

    /// Writes several keys, syncing the folder once. Each of them is there whole or not at all, but not all of them
    /// together: after a crash or an error some may be there and may be created again.
    ///
    /// # Errors
    /// As [`Self::create`], before anything is written; also when the same name comes with two keys.
    pub fn create_many(&self, keys: &[(&str, &Secret32)]) -> Result<(), VaultError> {
        let folder = self.folder()?;
        let _writing = lock(&self.writing);
        self.create_locked(folder, keys)
    }

    /// Reads a key, or makes it with `make` and writes it: on return it is on disk.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_or_create(
        &self,
        name: &str,
        make: impl FnOnce() -> Secret32,
    ) -> Result<Secret32, VaultError> {
        let (folder, path) = self.place(name)?;
        let _writing = lock(&self.writing);
        if let Some(secret) = file::load(&path)? {
            return Ok(secret);
        }
        let secret = make();
        self.create_locked(folder, &[(name, &secret)])?;
        Ok(secret)
    }

    /// Destroys a key: on return it has no name, and its file is overwritten and removed, on disk. See the module's
    /// text for where this ends. Fine when there is none; a damaged file is destroyed too.
    ///
    /// # Errors
    /// None but the common ones. After one of them the key may still be there: destroy it again.
    pub fn destroy(&self, name: &str) -> Result<(), VaultError> {
        let (folder, path) = self.place(name)?;
        let _writing = lock(&self.writing);
        file::destroy(folder, &path)
    }

    /// The names of this owner's keys, sorted. Files that cannot be keys are left out.
    ///
    /// # Errors
    /// None but the common ones.
    pub fn names(&self) -> Result<Vec<String>, VaultError> {
        let mut names = file::list(self.folder()?)?;
        names.retain(|name| check_name(name).is_ok());
        Ok(names)
    }

    fn create_locked(&self, folder: &Path, keys: &[(&str, &Secret32)]) -> Result<(), VaultError> {
        folder::create_private(folder).map_err(VaultError::io("create", folder))?;
        let mut missing = BTreeMap::new();
        for &(name, secret) in keys {
            let (_, path) = self.place(name)?;
            let present = file::load(&path)?;
            let known = present.as_ref().or(missing.get(&path).copied());
            match known {
                Some(known) if known == secret => {}
                Some(_) => return Err(VaultError::Exists { path }),
                None => {
                    missing.insert(path, secret);
                }
            }
        }
        // All are written before the first is synced: its sync then carries most of the others along.
        let mut passing = Vec::with_capacity(missing.len());
        for (path, secret) in missing {
            passing.push((path, Passing::write(folder, secret)?));
        }
        sync_all(&passing)?;
        for (path, passing) in passing {
            passing.settle(&path)?;
        }
        // Also for a key that was there: its name may not have been on disk before a crash.
        file::sync(folder)
    }

    fn place(&self, name: &str) -> Result<(&Path, PathBuf), VaultError> {
        check_name(name)?;
        let folder = self.folder()?;
        Ok((folder, folder.join(name)))
    }

    fn folder(&self) -> Result<&Path, VaultError> {
        let folder = self.folder.as_deref().map_err(VaultError::clone)?;
        file::check_folder(folder)?;
        Ok(folder)
    }
}

fn sync_all(passing: &[(PathBuf, Passing)]) -> Result<(), VaultError> {
    if let [(_, one)] = passing {
        return one.sync();
    }
    let share = passing.len().div_ceil(SYNCS_AT_ONCE).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = passing
            .chunks(share)
            .map(|chunk| scope.spawn(|| chunk.iter().try_for_each(|(_, passing)| passing.sync())))
            .collect();
        // Joined one by one, so that a panic of a thread goes on here.
        threads
            .into_iter()
            .try_for_each(|thread| match thread.join() {
                Ok(synced) => synced,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })
}

fn check_name(name: &str) -> Result<(), VaultError> {
    let known = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let sized = (1..=KEY_NAME_BYTES_MAX).contains(&name.len());
    if sized && !name.starts_with('.') && name.as_bytes().iter().all(known) {
        return Ok(());
    }
    Err(VaultError::BadName {
        name: name.to_owned(),
    })
}

/// None of these locks guards a state that a panic could leave half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
