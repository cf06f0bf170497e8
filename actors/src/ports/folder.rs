//! Folders that only their owner can read, and entries in them that survive a power cut.

use std::fs::{DirBuilder, File};
use std::io;
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
