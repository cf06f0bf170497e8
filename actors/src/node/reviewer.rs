//! The key of a reviewer, who judges closed cases: made once, its public part for an amendment or the genesis.
//!
//! It lies in a vault, as a validator's keys do ([`super::keys`]).

use super::keys::{KeysError, REVIEWER, existing, fresh, read};
use crate::ports::random::SystemRng;
use kithkin_protocol::crypto::{Secret32, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What the key is called in the vault.
const SIGNING: &str = "signing";

/// The public part, as `public.toml` holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicReviewer {
    /// The reviewer.
    pub reviewer: ReviewerKey,
}

/// What others know a reviewer by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewerKey {
    /// Checks its verdicts.
    pub key: VerifyingKey,
}

/// The key of a reviewer.
#[derive(Debug)]
pub struct ReviewerKeys(SigningKey);

impl ReviewerKeys {
    /// Makes the key in `dir`, which may not hold any.
    ///
    /// # Errors
    /// [`KeysError::Exist`], [`KeysError::Vault`].
    pub fn create(dir: &Path) -> Result<Self, KeysError> {
        let space = fresh(dir, REVIEWER)?;
        let seed = Secret32::random(&mut SystemRng);
        space.create(SIGNING, &seed)?;
        Ok(Self(SigningKey::from_seed(seed)))
    }

    /// Reads the key in `dir`.
    ///
    /// # Errors
    /// [`KeysError::Missing`], [`KeysError::Vault`] when others may read it or the file is damaged.
    pub fn load(dir: &Path) -> Result<Self, KeysError> {
        let space = existing(dir, REVIEWER, SIGNING)?;
        Ok(Self(SigningKey::from_seed(read(dir, &space, SIGNING)?)))
    }

    /// Whether `dir` holds a reviewer's key.
    #[must_use]
    pub fn are_in(dir: &Path) -> bool {
        dir.join(REVIEWER).exists()
    }

    /// What it signs verdicts with.
    #[must_use]
    pub fn signing(&self) -> &SigningKey {
        &self.0
    }

    /// The public part.
    #[must_use]
    pub fn public(&self) -> PublicReviewer {
        let key = self.0.verifying_key();
        PublicReviewer {
            reviewer: ReviewerKey { key },
        }
    }
}
