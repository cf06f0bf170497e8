//! Reading scripts from files.

use super::check::{self, Problem};
use super::script::Script;
use std::path::{Path, PathBuf};

/// Largest script that is read.
const SCRIPT_BYTES_MAX: u64 = 1 << 20;

/// Why a script is not played.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("the scenario {} cannot be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Not TOML, a key that does not exist, a value of the wrong kind.
    #[error("the scenario {} is no script:\n{reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What and where.
        reason: String,
    },
    /// Names or references that do not fit together.
    #[error("the scenario {} cannot be played:{}", path.display(), listed(problems))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Each with its key and what to do.
        problems: Vec<Problem>,
    },
}

/// A script that can be played, and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub script: Script,
}

/// Reads and checks one script.
///
/// # Errors
/// [`ScriptError`].
pub fn load(path: &Path) -> Result<Loaded, ScriptError> {
    let read = |reason: String| ScriptError::Read {
        path: path.to_owned(),
        reason,
    };
    let meta = std::fs::metadata(path).map_err(|error| read(error.to_string()))?;
    if meta.len() > SCRIPT_BYTES_MAX {
        return Err(read(format!("it has more than {SCRIPT_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| read(error.to_string()))?;
    parse(path, &text)
}

/// Reads and checks the text of a script; `path` is where it came from.
///
/// # Errors
/// [`ScriptError::Parse`] and [`ScriptError::Wrong`].
pub fn parse(path: &Path, text: &str) -> Result<Loaded, ScriptError> {
    let script: Script = toml::from_str(text).map_err(|error| ScriptError::Parse {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let problems = check::problems(&script, path);
    if problems.is_empty() {
        Ok(Loaded {
            path: path.to_owned(),
            script,
        })
    } else {
        Err(ScriptError::Wrong {
            path: path.to_owned(),
            problems,
        })
    }
}

/// All scripts of a folder, by file name.
///
/// # Errors
/// [`ScriptError::Read`] for the folder.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, ScriptError> {
    let fail = |error: std::io::Error| ScriptError::Read {
        path: folder.to_owned(),
        reason: error.to_string(),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn listed(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}
