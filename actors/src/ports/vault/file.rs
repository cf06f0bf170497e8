//! One key file: its bytes, its mode, how it comes into being and how it goes.
//!
//! ```text
//! byte 0        format, 1
//! bytes 1..33   the secret
//! bytes 33..37  SHA-256("kithkin/key-file/1", bytes 0..33), the first four bytes
//! ```

use super::{FORMAT, VaultError};
use crate::ports::folder;
use kithkin_protocol::crypto::{Secret32, hash};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

const BODY_BYTES: usize = 33;
const FILE_BYTES: usize = BODY_BYTES + 4;
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Names of files on their way in or out; no key's name starts with a dot.
const PASSING: &str = ".passing-";
/// Tells this process's passing files from those that a crash left.
static RUN: LazyLock<u64> =
    LazyLock::new(|| rand_core::Rng::next_u64(&mut crate::ports::random::SystemRng));
/// The user whom this process runs as.
static USER: LazyLock<Option<u32>> =
    LazyLock::new(|| fs::metadata("/proc/self").ok().map(|about| about.uid()));
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Reads a key; none when there is no such file.
pub(super) fn load(path: &Path) -> Result<Option<Secret32>, VaultError> {
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(VaultError::io("read", path)(error)),
    };
    let damaged = |reason| VaultError::Damaged {
        path: path.to_owned(),
        reason,
    };
    if !about.is_file() {
        return Err(damaged("it is not a plain file"));
    }
    check_access(path, &about, FILE_MODE)?;
    let length = usize::try_from(about.len()).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new([0; FILE_BYTES]);
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes[..length.min(FILE_BYTES)]))
        .map_err(VaultError::io("read", path))?;
    // The format before everything else: another one may have another length.
    match bytes[0] {
        _ if length == 0 => Err(damaged("it is empty")),
        0 => Err(damaged("it was overwritten")),
        FORMAT if length != FILE_BYTES => Err(damaged("its length is wrong")),
        FORMAT => match parse(&bytes) {
            Some(secret) => Ok(Some(secret)),
            None => Err(damaged("its checksum does not fit")),
        },
        found => Err(VaultError::UnknownFormat {
            path: path.to_owned(),
            found,
        }),
    }
}

fn parse(bytes: &[u8; FILE_BYTES]) -> Option<Secret32> {
    let (body, sum) = bytes.split_at(BODY_BYTES);
    if sum != checksum(body) {
        return None;
    }
    let mut secret = Zeroizing::new([0; 32]);
    secret.copy_from_slice(&body[1..]);
    Some(Secret32::new(*secret))
}

fn render(secret: &Secret32) -> Zeroizing<[u8; FILE_BYTES]> {
    let mut bytes = Zeroizing::new([FORMAT; FILE_BYTES]);
    let (body, sum) = bytes.split_at_mut(BODY_BYTES);
    body[1..].copy_from_slice(secret.expose());
    sum.copy_from_slice(&checksum(body));
    bytes
}

fn checksum(body: &[u8]) -> [u8; 4] {
    let digest = hash("kithkin/key-file/1", &[body]);
    let mut sum = [0; 4];
    sum.copy_from_slice(&digest.as_bytes()[..4]);
    sum
}

/// A key written beside its place, for [`Self::settle`] to put there. Wiped when dropped before.
pub(super) struct Passing {
    path: PathBuf,
    file: File,
}

impl Passing {
    /// Writes the bytes; [`Self::sync`] brings them to disk.
    pub(super) fn write(folder: &Path, secret: &Secret32) -> Result<Self, VaultError> {
        let path = passing_path(folder);
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(VaultError::io("create", &path))?;
        let mut passing = Self { path, file };
        let written = passing.file.write_all(render(secret).as_ref());
        written.map_err(VaultError::io("write", &passing.path))?;
        Ok(passing)
    }

    pub(super) fn sync(&self) -> Result<(), VaultError> {
        self.file
            .sync_all()
            .map_err(VaultError::io("write", &self.path))
    }

    /// Gives it its name. The caller has made sure that the name is free, and syncs the folder.
    pub(super) fn settle(mut self, path: &Path) -> Result<(), VaultError> {
        fs::rename(&self.path, path).map_err(VaultError::io("create", path))?;
        self.path.clear();
        Ok(())
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty()
            && let Err(error) = wipe(&self.path)
        {
            tracing::warn!(%error, "an unfinished key file stays until the next start");
        }
    }
}

/// Takes a key's name away, then overwrites and removes its file. In this order a crash leaves either the key or a
/// passing file that the next start wipes, never a damaged file under the key's name.
pub(super) fn destroy(folder: &Path, path: &Path) -> Result<(), VaultError> {
    let passing = passing_path(folder);
    match fs::rename(path, &passing) {
        Ok(()) => {}
        // Perhaps destroyed a moment before a crash: make sure that it stays so.
        Err(error) if error.kind() == ErrorKind::NotFound => return sync(folder),
        Err(error) => return Err(VaultError::io("destroy", path)(error)),
    }
    sync(folder)?;
    wipe(&passing)?;
    sync(folder)
}

/// Overwrites a file with zeros, on disk, and removes it.
fn wipe(path: &Path) -> Result<(), VaultError> {
    let overwrite = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(FILE_BYTES);
        // What is longer is no key of ours.
        file.write_all(&[0; FILE_BYTES][..length.min(FILE_BYTES)])?;
        file.sync_all()?;
        fs::remove_file(path)
    };
    overwrite().map_err(VaultError::io("destroy", path))
}

/// Wipes what a crash left on its way in or out of `folder`.
pub(super) fn sweep(folder: &Path) -> Result<(), VaultError> {
    let ours = format!("{PASSING}{:016x}-", *RUN);
    let mut swept = false;
    for name in list(folder)? {
        if name.starts_with(PASSING) && !name.starts_with(&ours) {
            wipe(&folder.join(name))?;
            swept = true;
        }
    }
    if swept { sync(folder) } else { Ok(()) }
}

/// The names in a folder, sorted; none when it does not exist. Names that are no text are not ours.
pub(super) fn list(folder: &Path) -> Result<Vec<String>, VaultError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(VaultError::io("read", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(VaultError::io("read", folder))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Refuses a folder that others can look into; one that does not exist is fine.
pub(super) fn check_folder(folder: &Path) -> Result<(), VaultError> {
    match fs::metadata(folder) {
        Ok(about) => check_access(folder, &about, FOLDER_MODE),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(VaultError::io("read", folder)(error)),
    }
}

/// Only this process's user may read or change it, and root, who can do everything anyway.
fn check_access(path: &Path, about: &Metadata, wanted: u32) -> Result<(), VaultError> {
    let mode = about.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(VaultError::Exposed {
            path: path.to_owned(),
            mode: mode & 0o777,
            wanted,
        });
    }
    let owner = about.uid();
    if owner != 0 && *USER != Some(owner) {
        return Err(VaultError::Owner {
            path: path.to_owned(),
            owner,
        });
    }
    Ok(())
}

/// Brings the names in a folder to disk; one that does not exist has none.
pub(super) fn sync(folder: &Path) -> Result<(), VaultError> {
    match folder::sync(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        synced => synced.map_err(VaultError::io("write", folder)),
    }
}

fn passing_path(folder: &Path) -> PathBuf {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("{PASSING}{:016x}-{number}", *RUN))
}
