//! What a data folder is founded with, and kept: the shape of the cluster, its genesis, everybody's keys.
//!
//! `cluster.toml` is written once, after all keys exist, so a crash in between
//! leaves nothing that the next start would not make whole.

use crate::identity::Identity;
use crate::ports::clock::SharedClock;
use crate::ports::directory::Directory;
use crate::ports::names::ActorName;
use crate::ports::random::SystemRng;
use crate::ports::vault::{KeySpace, Vault, VaultError};
use kithkin_protocol::consensus;
use kithkin_protocol::crypto::vrf::VrfSecretKey;
use kithkin_protocol::crypto::{Secret32, SigningKey, VerifyingKey};
use kithkin_protocol::ids::{AccountId, ValidatorId};
use kithkin_protocol::ledger::{
    Genesis, GenesisError, HospitalInfo, Profile, ReviewerInfo, ValidatorInfo, Workload,
};
use kithkin_protocol::sharing::{KIN_MAX, KIN_MIN};
use kithkin_protocol::units::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of `cluster.toml`.
const FORMAT: u32 = 1;
/// Name of the file.
const FILE: &str = "cluster.toml";

/// How many actors of each kind a cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Validators, at least 1.
    pub validators: u16,
    /// Hospitals, at least 1.
    pub hospitals: u16,
    /// Patients.
    pub patients: u16,
    /// Friends and relatives of each patient, 3 to 64.
    pub relatives: u8,
    /// How leaders are ordered.
    pub profile: Profile,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            validators: 4,
            hospitals: 2,
            patients: 3,
            relatives: 5,
            profile: Profile::Balanced,
        }
    }
}

/// A shape that no cluster can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// No validator.
    #[error("a cluster needs at least one validator; 4 tolerate one that fails or lies")]
    NoValidators,
    /// More than one process can run.
    #[error("{count} validators are too many for one process; at most {most} are possible")]
    TooManyValidators {
        /// How many were asked for.
        count: u16,
        /// The limit.
        most: u16,
    },
    /// No hospital.
    #[error(
        "a cluster needs at least one hospital: it vouches for patients and writes their records"
    )]
    NoHospitals,
    /// Too few kin, or too many.
    #[error(
        "a patient needs {KIN_MIN} to {KIN_MAX} relatives, not {count}: with fewer, more than half would be too few to trust"
    )]
    Relatives {
        /// How many were asked for.
        count: u8,
    },
}

impl Shape {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first [`ShapeError`] found.
    pub fn validate(&self) -> Result<(), ShapeError> {
        let most = super::launch::VALIDATORS_IN_PROCESS_MAX;
        if self.validators == 0 {
            return Err(ShapeError::NoValidators);
        }
        if self.validators > most {
            let count = self.validators;
            return Err(ShapeError::TooManyValidators { count, most });
        }
        if self.hospitals == 0 {
            return Err(ShapeError::NoHospitals);
        }
        if !(KIN_MIN..=KIN_MAX).contains(&usize::from(self.relatives)) {
            let count = self.relatives;
            return Err(ShapeError::Relatives { count });
        }
        Ok(())
    }

    /// How many validators may fail or lie at a time.
    #[must_use]
    pub fn tolerated(&self) -> u16 {
        self.validators.saturating_sub(1) / 3
    }

    /// Names of all actors that hold keys, in the order in which they are started.
    pub(super) fn keyed(&self) -> impl Iterator<Item = ActorName> + use<> {
        let shape = *self;
        let hospitals = (0..shape.hospitals).map(ActorName::Hospital);
        let patients = (0..shape.patients).map(ActorName::Patient);
        let kin = (0..shape.patients)
            .flat_map(move |patient| (0..shape.relatives).map(move |n| ActorName::Kin(patient, n)));
        hospitals.chain(kin).chain(patients)
    }
}

/// Why a data folder cannot be founded or continued.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// The folder was founded with another shape.
    #[error(
        "the data folder {} was made for {found_text}; it cannot be continued as {wanted_text}: leave the counts out, give the same ones, or choose another folder",
        dir.display()
    )]
    OtherShape {
        /// The folder.
        dir: PathBuf,
        /// What it was made for.
        found_text: String,
        /// What was asked for.
        wanted_text: String,
    },
    /// `cluster.toml` cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The keys in the vault are not those of the genesis.
    #[error(
        "the keys in {} are not the ones that the cluster was founded with ({name} differs); restore the folder from a backup",
        dir.display()
    )]
    OtherKeys {
        /// The folder.
        dir: PathBuf,
        /// Whose key differs.
        name: ActorName,
    },
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The genesis.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
}

/// What `cluster.toml` holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    chain: String,
    shape: Shape,
    genesis: Genesis,
}

/// A founded cluster: everything that its actors are started with.
pub(super) struct Founded {
    pub(super) genesis: Arc<Genesis>,
    pub(super) directory: Directory,
    pub(super) validators: Vec<Arc<consensus::Identity>>,
    pub(super) identities: BTreeMap<ActorName, Identity>,
    pub(super) reviewer: Identity,
    pub(super) vault: Vault,
}

impl Shape {
    /// The genesis that a data folder was founded with; none when it was not founded yet.
    ///
    /// # Errors
    /// [`FoundingError::Manifest`] when `cluster.toml` cannot be read.
    pub fn genesis_of_folder(dir: &Path) -> Result<Option<Genesis>, FoundingError> {
        Ok(read_manifest(dir)?.map(|manifest| manifest.genesis))
    }

    /// The shape that a data folder was founded with; none when it was not founded yet.
    ///
    /// # Errors
    /// [`FoundingError::Manifest`] when `cluster.toml` cannot be read.
    pub fn of_folder(dir: &Path) -> Result<Option<Self>, FoundingError> {
        Ok(read_manifest(dir)?.map(|manifest| manifest.shape))
    }

    fn text(&self) -> String {
        format!(
            "{} validators, {} hospitals, {} patients with {} relatives each, profile {}",
            self.validators,
            self.hospitals,
            self.patients,
            self.relatives,
            self.profile.as_str()
        )
    }
}

/// Founds the cluster in `dir`, or reads what was founded there. The folder's lock is held by the caller.
pub(super) fn found(
    dir: &Path,
    shape: Shape,
    review_within_ms: Millis,
    clock: &SharedClock,
) -> Result<Founded, FoundingError> {
    let manifest = read_manifest(dir)?;
    if let Some(manifest) = &manifest
        && manifest.shape != shape
    {
        return Err(FoundingError::OtherShape {
            dir: dir.to_owned(),
            found_text: manifest.shape.text(),
            wanted_text: shape.text(),
        });
    }
    let vault = Vault::open(&dir.join("keys"))?;
    let mut validators = Vec::new();
    let mut network_keys = Vec::new();
    for n in 0..shape.validators {
        let keys = vault.keys_of(&ActorName::Validator(n).to_string());
        let network = SigningKey::from_seed(
            keys.load_or_create("network", || Secret32::random(&mut SystemRng))?,
        );
        network_keys.push(network.verifying_key());
        validators.push(Arc::new(validator_identity(ValidatorId(n), &keys)?));
    }
    let mut identities = BTreeMap::new();
    for name in shape.keyed() {
        let keys = vault.keys_of(&name.to_string());
        identities.insert(name, Identity::load_or_create(&keys)?);
    }
    let reviewer = Identity::load_or_create(&vault.keys_of("reviewer"))?;
    let genesis = match manifest {
        Some(manifest) => manifest.genesis,
        None => {
            let now = clock.now();
            let genesis = genesis(
                shape,
                &validators,
                &network_keys,
                &identities,
                &reviewer,
                now,
                review_within_ms,
            );
            genesis.validate()?;
            write_manifest(dir, shape, &genesis)?;
            genesis
        }
    };
    check_keys(dir, &genesis, &validators)?;
    let directory = Directory::new(
        identities
            .iter()
            .map(|(name, identity)| (*name, identity.account()))
            .chain(validators.iter().map(|validator| {
                let account = AccountId::of(&validator.vote_key.verifying_key());
                (ActorName::Validator(validator.id.0), account)
            })),
    );
    Ok(Founded {
        genesis: Arc::new(genesis),
        directory,
        validators,
        identities,
        reviewer,
        vault,
    })
}

fn validator_identity(id: ValidatorId, keys: &KeySpace) -> Result<consensus::Identity, VaultError> {
    let fresh = || Secret32::random(&mut SystemRng);
    Ok(consensus::Identity {
        id,
        vote_key: SigningKey::from_seed(keys.load_or_create("vote", fresh)?),
        vrf_key: VrfSecretKey::from_seed(keys.load_or_create("vrf", fresh)?),
    })
}

fn genesis(
    shape: Shape,
    validators: &[Arc<consensus::Identity>],
    network_keys: &[VerifyingKey],
    identities: &BTreeMap<ActorName, Identity>,
    reviewer: &Identity,
    now: Millis,
    review_within_ms: Millis,
) -> Genesis {
    let hospitals: Vec<HospitalInfo> = (0..shape.hospitals)
        .filter_map(|n| identities.get(&ActorName::Hospital(n)).map(|id| (n, id)))
        .map(|(n, identity)| HospitalInfo {
            key: identity.signing.verifying_key(),
            sealing: identity.opening.sealing_key(),
            name: ActorName::Hospital(n).to_string(),
        })
        .collect();
    Genesis {
        time_ms: now,
        profile: shape.profile,
        workload: Workload::Records,
        validators: validators
            .iter()
            .zip(network_keys)
            .enumerate()
            .map(|(n, (identity, network_key))| ValidatorInfo {
                id: identity.id,
                vote_key: identity.vote_key.verifying_key(),
                vrf_key: identity.vrf_key.public_key(),
                network_key: *network_key,
                hospital: hospitals.get(n % hospitals.len()).map(HospitalInfo::id),
            })
            .collect(),
        hospitals,
        reviewers: vec![ReviewerInfo {
            key: reviewer.signing.verifying_key(),
            hospital: None,
        }],
        review_within_ms,
    }
}

fn check_keys(
    dir: &Path,
    genesis: &Genesis,
    validators: &[Arc<consensus::Identity>],
) -> Result<(), FoundingError> {
    for (info, identity) in genesis.validators.iter().zip(validators) {
        if info.vote_key != identity.vote_key.verifying_key()
            || info.vrf_key != identity.vrf_key.public_key()
        {
            return Err(FoundingError::OtherKeys {
                dir: dir.to_owned(),
                name: ActorName::Validator(info.id.0),
            });
        }
    }
    Ok(())
}

fn read_manifest(dir: &Path) -> Result<Option<Manifest>, FoundingError> {
    let path = dir.join(FILE);
    let fail = |reason: String| FoundingError::Manifest {
        path: path.clone(),
        reason,
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error.to_string())),
    };
    let manifest: Manifest = toml::from_str(&text).map_err(|error| fail(error.to_string()))?;
    if manifest.format != FORMAT {
        let format = manifest.format;
        return Err(fail(format!(
            "it has format {format}, this program reads format {FORMAT}"
        )));
    }
    let chain = manifest.genesis.chain_id().to_hex();
    if manifest.chain != chain {
        return Err(fail(format!(
            "its genesis hashes to {chain}, but it says {}: the file was changed",
            manifest.chain
        )));
    }
    Ok(Some(manifest))
}

fn write_manifest(dir: &Path, shape: Shape, genesis: &Genesis) -> Result<(), FoundingError> {
    let path = dir.join(FILE);
    let fail = |reason: String| FoundingError::Manifest {
        path: path.clone(),
        reason,
    };
    let manifest = Manifest {
        format: FORMAT,
        chain: genesis.chain_id().to_hex(),
        shape,
        genesis: genesis.clone(),
    };
    let text = toml::to_string(&manifest).map_err(|error| fail(error.to_string()))?;
    let fresh = dir.join("cluster.toml.new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|error| fail(error.to_string()))
}
