//! The keys of a validator, of a hospital and of an issuer: made once, read at every start, public parts for the genesis.
//!
//! They lie in a vault ([`crate::ports::vault`]): files that only their owner can read, refused otherwise.

use crate::identity::Identity;
use crate::ports::random::SystemRng;
use crate::ports::vault::{KeySpace, Vault, VaultError};
use kithkin_protocol::consensus;
use kithkin_protocol::crypto::vrf::{VrfPublicKey, VrfSecretKey};
use kithkin_protocol::crypto::{SealingKey, Secret32, SigningKey, VerifyingKey};
use kithkin_protocol::ids::{ChainId, HospitalId, ValidatorId};
use kithkin_protocol::ledger::{Genesis, HospitalInfo, IssuerInfo, ValidatorInfo};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The owner of a validator's keys in the vault.
const VALIDATOR: &str = "validator";
/// The owner of a hospital's keys in the vault.
const HOSPITAL: &str = "hospital";
/// The owner of an issuer's key in the vault.
const ISSUER: &str = "issuer";
/// The owner of a reviewer's key in the vault.
pub(super) const REVIEWER: &str = "reviewer";

/// Why keys cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There are keys already.
    #[error(
        "{} holds keys already, and keys are never overwritten: choose another folder",
        dir.display()
    )]
    Exist {
        /// The folder.
        dir: PathBuf,
    },
    /// There are none, or not all.
    #[error(
        "there is no key '{name}' in {}: make keys with kithkin keys new --out DIR, or restore the folder from a backup",
        dir.display()
    )]
    Missing {
        /// The folder.
        dir: PathBuf,
        /// Which key.
        name: &'static str,
    },
    /// Somebody else's keys, where an issuer's are needed.
    #[error(
        "{} holds a {found}'s keys, and an issuer's are needed here: make them with kithkin keys new --role issuer --name NAME --out DIR",
        dir.display()
    )]
    NotIssuer {
        /// The folder.
        dir: PathBuf,
        /// Whose keys there are.
        found: &'static str,
    },
    /// No validator of the genesis has these keys.
    #[error(
        "no validator of the genesis has the vote key {vote_key}: this is another ledger's genesis, or other keys; keys that an amendment admits, or gives to a validator, need its number in the settings (validator = NUMBER)"
    )]
    Unknown {
        /// The public vote key.
        vote_key: VerifyingKey,
    },
    /// The genesis has this vote key under another number.
    #[error("the setting validator says {given}, but these keys are those of {id} in the genesis")]
    Number {
        /// What the settings say.
        given: ValidatorId,
        /// What the genesis says.
        id: ValidatorId,
    },
    /// The next keys are another node's on the network.
    #[error(
        "the keys in {} have a network key of their own, so a running node cannot go over to them: make them with kithkin keys new --network-of {}, or start the node with them once the amendment is adopted",
        next.display(), dir.display()
    )]
    NextNetwork {
        /// The present folder.
        dir: PathBuf,
        /// The next one.
        next: PathBuf,
    },
    /// A validator of the genesis has this vote key, but other keys otherwise.
    #[error(
        "{id} has this vote key in the genesis, but another {name} key: restore the folder of keys from a backup"
    )]
    Differ {
        /// The validator.
        id: ValidatorId,
        /// Which key differs.
        name: &'static str,
    },
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The folder of keys cannot be written to.
    #[error("cannot note in {} that these keys are in use: {reason}", path.display())]
    Mark {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The public parts of a validator's keys: what the genesis is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKeys {
    /// Checks its votes and proposals.
    pub vote_key: VerifyingKey,
    /// Checks its part of the beacon.
    pub vrf_key: VrfPublicKey,
    /// Who its node is on the network.
    pub network_key: VerifyingKey,
    /// The hospital that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hospital: Option<HospitalId>,
}

impl PublicKeys {
    /// This validator under a number.
    #[must_use]
    pub fn validator(&self, id: ValidatorId) -> ValidatorInfo {
        ValidatorInfo {
            id,
            vote_key: self.vote_key,
            vrf_key: self.vrf_key,
            network_key: self.network_key,
            hospital: self.hospital,
        }
    }
}

/// The public parts of a hospital's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicHospital {
    /// Checks what it signs.
    pub key: VerifyingKey,
    /// Others seal to it.
    pub sealing: SealingKey,
    /// A name for people.
    pub name: String,
}

impl PublicHospital {
    /// As the genesis lists it.
    #[must_use]
    pub fn info(&self) -> HospitalInfo {
        HospitalInfo {
            key: self.key,
            sealing: self.sealing,
            name: self.name.clone(),
        }
    }
}

/// The public parts of one folder of keys, as `public.toml` holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Public {
    /// Of a validator.
    Validator(PublicKeys),
    /// Of a hospital.
    Hospital(PublicHospital),
    /// Of an issuer of clinicians' credentials.
    Issuer(IssuerInfo),
}

impl Public {
    /// Whose they are, for a sentence: `a validator's`.
    #[must_use]
    pub fn whose(&self) -> &'static str {
        match self {
            Self::Validator(_) => "a validator's",
            Self::Hospital(_) => "a hospital's",
            Self::Issuer(_) => "an issuer's",
        }
    }
}

/// A validator's keys.
#[derive(Debug)]
pub struct NodeKeys {
    dir: PathBuf,
    vote: Secret32,
    vrf: Secret32,
    network: Secret32,
}

impl NodeKeys {
    /// Makes three keys in `dir`, which may not hold any. On return they are on disk.
    ///
    /// # Errors
    /// [`KeysError::Exist`], [`KeysError::Vault`].
    pub fn create(dir: &Path) -> Result<Self, KeysError> {
        Self::create_with(dir, Secret32::random(&mut SystemRng))
    }

    /// As [`Self::create`], with this validator's network key: a running node can go over to such keys
    /// without a pause.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_next(&self, dir: &Path) -> Result<Self, KeysError> {
        Self::create_with(dir, self.network.clone())
    }

    fn create_with(dir: &Path, network: Secret32) -> Result<Self, KeysError> {
        let space = fresh(dir, VALIDATOR)?;
        let keys = Self {
            dir: dir.to_owned(),
            vote: Secret32::random(&mut SystemRng),
            vrf: Secret32::random(&mut SystemRng),
            network,
        };
        space.create_many(&[
            ("vote", &keys.vote),
            ("vrf", &keys.vrf),
            ("network", &keys.network),
        ])?;
        Ok(keys)
    }

    /// Reads the keys in `dir`.
    ///
    /// # Errors
    /// [`KeysError::Missing`], [`KeysError::Vault`] when others may read them or a file is damaged.
    pub fn load(dir: &Path) -> Result<Self, KeysError> {
        let space = existing(dir, VALIDATOR, "vote")?;
        Ok(Self {
            dir: dir.to_owned(),
            vote: read(dir, &space, "vote")?,
            vrf: read(dir, &space, "vrf")?,
            network: read(dir, &space, "network")?,
        })
    }

    /// The public parts.
    #[must_use]
    pub fn public(&self) -> PublicKeys {
        PublicKeys {
            vote_key: SigningKey::from_seed(self.vote.clone()).verifying_key(),
            vrf_key: VrfSecretKey::from_seed(self.vrf.clone()).public_key(),
            network_key: SigningKey::from_seed(self.network.clone()).verifying_key(),
            hospital: None,
        }
    }

    /// Who these keys are in a ledger.
    ///
    /// # Errors
    /// [`KeysError::Unknown`] or [`KeysError::Differ`].
    pub fn identity(&self, genesis: &Genesis) -> Result<Arc<consensus::Identity>, KeysError> {
        let public = self.public();
        let vote_key = public.vote_key;
        let info = genesis
            .validators
            .iter()
            .find(|info| info.vote_key == vote_key);
        let info = info.ok_or(KeysError::Unknown { vote_key })?;
        for (name, same) in [
            ("vrf", info.vrf_key == public.vrf_key),
            ("network", info.network_key == public.network_key),
        ] {
            if !same {
                return Err(KeysError::Differ { id: info.id, name });
            }
        }
        Ok(Arc::new(self.identity_as(info.id)))
    }

    /// Who these keys are in a ledger whose amendments may have given them `number`.
    ///
    /// # Errors
    /// As [`Self::identity`] without a number; with one [`KeysError::Number`] or [`KeysError::Differ`].
    pub fn identity_in(
        &self,
        genesis: &Genesis,
        number: Option<ValidatorId>,
    ) -> Result<Arc<consensus::Identity>, KeysError> {
        match (self.identity(genesis), number) {
            (Err(KeysError::Unknown { .. }), Some(id)) => Ok(Arc::new(self.identity_as(id))),
            (Ok(known), Some(given)) if known.id != given => {
                let id = known.id;
                Err(KeysError::Number { given, id })
            }
            (known, _) => known,
        }
    }

    /// Checks that a running node can go over from these keys to `next`.
    ///
    /// # Errors
    /// [`KeysError::NextNetwork`].
    pub fn check_next(&self, next: &Self) -> Result<(), KeysError> {
        if self.network.expose() == next.network.expose() {
            return Ok(());
        }
        Err(KeysError::NextNetwork {
            dir: self.dir.clone(),
            next: next.dir.clone(),
        })
    }

    /// These keys under a number that a governance vote has given them.
    #[must_use]
    pub fn identity_as(&self, id: ValidatorId) -> consensus::Identity {
        consensus::Identity {
            id,
            vote_key: SigningKey::from_seed(self.vote.clone()),
            vrf_key: VrfSecretKey::from_seed(self.vrf.clone()),
        }
    }

    /// The seed of the network key.
    #[must_use]
    pub fn network(&self) -> &Secret32 {
        &self.network
    }

    /// Whether these keys have ever signed for a ledger, as far as their folder tells.
    #[must_use]
    pub fn used_for(&self, chain: ChainId) -> bool {
        self.mark(chain).exists()
    }

    /// Notes that they do from now on; on return it is on disk.
    ///
    /// # Errors
    /// [`KeysError::Mark`].
    pub fn note_use(&self, chain: ChainId) -> Result<(), KeysError> {
        if self.used_for(chain) {
            return Ok(());
        }
        let path = self.mark(chain);
        let write = || {
            File::create(&path)?.sync_all()?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error: std::io::Error| KeysError::Mark {
            path: path.clone(),
            reason: error.to_string(),
        })
    }

    fn mark(&self, chain: ChainId) -> PathBuf {
        self.dir.join(format!("used-for-{}", chain.to_hex()))
    }
}

/// A hospital's keys.
#[derive(Debug)]
pub struct HospitalKeys(Identity);

impl HospitalKeys {
    /// Makes the keys in `dir`, which may not hold any.
    ///
    /// # Errors
    /// [`KeysError::Exist`], [`KeysError::Vault`].
    pub fn create(dir: &Path) -> Result<Self, KeysError> {
        let space = fresh(dir, HOSPITAL)?;
        Ok(Self(Identity::load_or_create(&space)?))
    }

    /// Reads the keys in `dir`.
    ///
    /// # Errors
    /// [`KeysError::Missing`], [`KeysError::Vault`].
    pub fn load(dir: &Path) -> Result<Self, KeysError> {
        let space = existing(dir, HOSPITAL, "signing")?;
        read(dir, &space, "signing")?;
        read(dir, &space, "opening")?;
        Ok(Self(Identity::load_or_create(&space)?))
    }

    /// Signing and opening key.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0
    }

    /// The public parts, with a name for people.
    #[must_use]
    pub fn public(&self, name: &str) -> PublicHospital {
        PublicHospital {
            key: self.0.signing.verifying_key(),
            sealing: self.0.opening.sealing_key(),
            name: name.to_owned(),
        }
    }
}

/// The key of an issuer of clinicians' credentials.
#[derive(Debug)]
pub struct IssuerKeys(SigningKey);

impl IssuerKeys {
    /// Makes the key in `dir`, which may not hold any.
    ///
    /// # Errors
    /// [`KeysError::Exist`], [`KeysError::Vault`].
    pub fn create(dir: &Path) -> Result<Self, KeysError> {
        let space = fresh(dir, ISSUER)?;
        let seed = Secret32::random(&mut SystemRng);
        space.create("signing", &seed)?;
        Ok(Self(SigningKey::from_seed(seed)))
    }

    /// Reads the key in `dir`.
    ///
    /// # Errors
    /// [`KeysError::NotIssuer`], [`KeysError::Missing`], [`KeysError::Vault`] when others may read it or the file is damaged.
    pub fn load(dir: &Path) -> Result<Self, KeysError> {
        let mut others = [VALIDATOR, HOSPITAL, REVIEWER].into_iter();
        let other = others.find(|owner| dir.join(owner).exists());
        if let Some(found) = other {
            let dir = dir.to_owned();
            return Err(KeysError::NotIssuer { dir, found });
        }
        let space = existing(dir, ISSUER, "signing")?;
        Ok(Self(SigningKey::from_seed(read(dir, &space, "signing")?)))
    }

    /// What it signs credentials with.
    #[must_use]
    pub fn signing(&self) -> &SigningKey {
        &self.0
    }

    /// The public part, with a name for people.
    #[must_use]
    pub fn public(&self, name: &str) -> IssuerInfo {
        IssuerInfo {
            key: self.0.verifying_key(),
            name: name.to_owned(),
        }
    }
}

pub(super) fn fresh(dir: &Path, owner: &str) -> Result<KeySpace, KeysError> {
    let vault = Vault::open(dir)?;
    for owner in [VALIDATOR, HOSPITAL, ISSUER, REVIEWER] {
        if dir.join(owner).exists() {
            return Err(KeysError::Exist {
                dir: dir.to_owned(),
            });
        }
    }
    Ok(vault.keys_of(owner))
}

pub(super) fn existing(dir: &Path, owner: &str, name: &'static str) -> Result<KeySpace, KeysError> {
    if !dir.join(owner).exists() {
        let dir = dir.to_owned();
        return Err(KeysError::Missing { dir, name });
    }
    Ok(Vault::open(dir)?.keys_of(owner))
}

pub(super) fn read(
    dir: &Path,
    space: &KeySpace,
    name: &'static str,
) -> Result<Secret32, KeysError> {
    space.load(name)?.ok_or_else(|| KeysError::Missing {
        dir: dir.to_owned(),
        name,
    })
}
