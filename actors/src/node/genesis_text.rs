//! What stands in a genesis file: TOML, with the chain id for a check. No I/O.

use kithkin_protocol::ledger::{Genesis, GenesisError};
use serde::{Deserialize, Serialize};

/// Version of the file.
const FORMAT: u32 = 1;

/// Why a text is no genesis.
#[derive(Debug, thiserror::Error)]
pub(super) enum TextError {
    /// Not TOML, or not this file's.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// Of another program.
    #[error("it has format {found}, this program reads format {FORMAT}")]
    Format {
        /// What it says.
        found: u32,
    },
    /// A letter was changed.
    #[error("it hashes to {found}, but says {said}: it was changed")]
    Changed {
        /// Its hash.
        found: String,
        /// What it says.
        said: String,
    },
    /// A genesis that no ledger can start from.
    #[error(transparent)]
    Invalid(#[from] GenesisError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    /// The digest of the rest: whoever changes a letter founds another ledger, and is told so.
    chain: String,
    genesis: Genesis,
}

/// The text of a genesis.
pub(super) fn write(genesis: &Genesis) -> Result<String, toml::ser::Error> {
    toml::to_string(&Content {
        format: FORMAT,
        chain: genesis.chain_id().to_hex(),
        genesis: genesis.clone(),
    })
}

/// Reads a genesis and checks it.
pub(super) fn read(text: &str) -> Result<Genesis, TextError> {
    let content: Content = toml::from_str(text)?;
    if content.format != FORMAT {
        let found = content.format;
        return Err(TextError::Format { found });
    }
    let found = content.genesis.chain_id().to_hex();
    if found != content.chain {
        let said = content.chain;
        return Err(TextError::Changed { found, said });
    }
    content.genesis.validate()?;
    Ok(content.genesis)
}
