//! Folders that only their owner can read, and entries in them that survive a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Creates `dir`, and the parents it lacks, readable by the owner only; an existing folder stays as it is.
/// On return its entry is on disk.
pub(super) fn create_private(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    for path in missing {
        sync(parent(path))?;
    }
    Ok(())
}

/// Brings the entries of `dir` to disk: names created, renamed and removed.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The folder that `path` has its entry in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes a file that must not be there yet; on return it and its name are on disk. Half a file never stays: it would stand
/// in the way of the next try.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).open(path)?;
    let kept = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync(parent(path)));
    if kept.is_err() {
        // The error that counts is the other one.
        fs::remove_file(path).ok();
    }
    kept
}
