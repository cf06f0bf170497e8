//! What stands in the file of an amendment, and what is checked when it is read.

use super::{AmendmentError, Draft};
use crate::node::handed::{self, Trouble};
use kithkin_protocol::credit::ValidatorSet;
use kithkin_protocol::crypto::{Digest, Signature};
use kithkin_protocol::ids::{ChainId, ValidatorId};
use kithkin_protocol::ledger::{Amendment, CHANGES_MAX, VALIDATORS_MAX, ValidatorInfo};
use kithkin_protocol::units::Height;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Version of the file.
const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    /// The digest of chain and amendment: whoever changes a letter is told so.
    digest: Digest,
    chain: ChainId,
    height: Height,
    amendment: Amendment,
    members: Vec<ValidatorInfo>,
    #[serde(default)]
    signatures: Vec<Signed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    signer: ValidatorId,
    signature: Signature,
}

impl Draft {
    /// Writes it into a new file; on return it is on disk.
    ///
    /// # Errors
    /// [`AmendmentError::Exists`], [`AmendmentError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), AmendmentError> {
        let signatures = self.signatures.iter();
        let content = Content {
            format: FORMAT,
            digest: self.digest(),
            chain: self.chain,
            height: self.height,
            amendment: self.amendment.clone(),
            members: self.members.iter().cloned().collect(),
            signatures: signatures
                .map(|(&signer, &signature)| Signed { signer, signature })
                .collect(),
        };
        toml::to_string(&content)
            .map_err(|error| Trouble::Content(error.to_string()))
            .and_then(|text| handed::write(path, &text))
            .map_err(|trouble| AmendmentError::of(path, trouble))
    }

    /// Reads one and checks its digest, its shape and every signature in it.
    ///
    /// # Errors
    /// [`AmendmentError::Io`], [`AmendmentError::Content`], [`AmendmentError::Signature`].
    pub fn read(path: &Path) -> Result<Self, AmendmentError> {
        let text = handed::read(path).map_err(|trouble| AmendmentError::of(path, trouble))?;
        let bad = |reason| AmendmentError::of(path, Trouble::Content(reason));
        let content: Content = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let (draft, signatures) = content.check().map_err(bad)?;
        draft
            .with(signatures)
            .map_err(|signer| AmendmentError::Signature {
                path: path.to_owned(),
                signer,
            })
    }

    /// Takes signatures over if they hold; otherwise says whose does not.
    fn with(mut self, signatures: Vec<Signed>) -> Result<Self, ValidatorId> {
        let message = self.amendment.message(self.chain);
        for Signed { signer, signature } in signatures {
            let info = self.members.get(signer).ok_or(signer)?;
            let holds = info.vote_key.verify(&message, &signature);
            holds.map_err(|_| signer)?;
            self.signatures.insert(signer, signature);
        }
        Ok(self)
    }
}

impl Content {
    /// All but the signatures, which are handed back; or what is wrong, in words.
    fn check(self) -> Result<(Draft, Vec<Signed>), String> {
        if self.format != FORMAT {
            let found = self.format;
            return Err(format!(
                "it has format {found}, this program reads format {FORMAT}"
            ));
        }
        let digest = self.amendment.digest(self.chain);
        if digest != self.digest {
            let said = self.digest;
            return Err(format!(
                "it hashes to {digest:#}, but says {said:#}: it was changed"
            ));
        }
        let changes = self.amendment.changes.len();
        if changes == 0 || changes > CHANGES_MAX {
            return Err(format!(
                "it has {changes} changes; 1 to {CHANGES_MAX} are allowed"
            ));
        }
        let count = self.members.len();
        let members = ValidatorSet::new(self.members);
        if count == 0 || count > VALIDATORS_MAX || members.n() != count {
            return Err(format!(
                "it lists {count} members, or one of them twice; a ledger has 1 to {VALIDATORS_MAX}"
            ));
        }
        let draft = Draft {
            chain: self.chain,
            height: self.height,
            members,
            amendment: self.amendment,
            signatures: BTreeMap::new(),
        };
        Ok((draft, self.signatures))
    }
}
