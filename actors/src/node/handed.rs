//! Text files that operators hand around: small, and never overwritten.

use crate::ports::folder;
use std::fs;
use std::path::Path;

/// Largest file in bytes: a thousand validators with all that is said of them fit well.
const BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Why a file cannot be read or written; whose file it is, the caller says.
pub(super) enum Trouble {
    /// The operating system.
    Io {
        /// `read` or `written`.
        action: &'static str,
        /// The operating system's words.
        reason: String,
    },
    /// There is something already.
    Exists,
    /// Not what it should be, in words.
    Content(String),
}

/// The whole text.
pub(super) fn read(path: &Path) -> Result<String, Trouble> {
    let io = |error| failed("read", &error);
    let bytes = fs::metadata(path).map_err(io)?.len();
    if bytes > BYTES_MAX {
        return Err(Trouble::Content(format!(
            "it has {bytes} bytes; at most {BYTES_MAX} are read"
        )));
    }
    fs::read_to_string(path).map_err(io)
}

/// Writes a new file; on return it is on disk.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Trouble> {
    folder::write_new(path, text.as_bytes()).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Trouble::Exists,
        _ => failed("written", &error),
    })
}

fn failed(action: &'static str, error: &std::io::Error) -> Trouble {
    Trouble::Io {
        action,
        reason: error.to_string(),
    }
}
