//! `kithkin keys`: the secrets of a validator, a hospital, an issuer or a reviewer, in a folder of their own.

use super::Failure;
use crate::cli::{KeyRole, KeysCommand};
use anyhow::{Context as _, anyhow};
use kithkin_actors::node::keys::{KeysError, Public, PublicHospital, PublicKeys};
use kithkin_actors::node::{HospitalKeys, IssuerKeys, NodeKeys, ReviewerKeys};
use kithkin_actors::ports::vault::VaultError;
use kithkin_protocol::ids::HospitalId;
use kithkin_protocol::ledger::IssuerInfo;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

/// The file with the public parts, beside the secret ones.
const PUBLIC: &str = "public.toml";

/// Makes keys or shows their public parts.
///
/// # Errors
/// [`Failure::Usage`] for keys that exist already, are missing, damaged or open to others; [`Failure::Storage`] when the
/// disk cannot be used.
pub fn run(command: &KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::New {
            out,
            role,
            name,
            network_of,
        } => new(out, *role, name.as_deref(), network_of.as_deref()),
        KeysCommand::Show { dir } => show(dir),
    }
}

fn new(
    out: &Path,
    role: KeyRole,
    name: Option<&str>,
    network_of: Option<&Path>,
) -> Result<(), Failure> {
    let public = match (role, name) {
        (KeyRole::Reviewer, None) if network_of.is_none() => {
            let keys = ReviewerKeys::create(out).map_err(failure)?;
            return publish(out, &text(&keys.public())?);
        }
        (KeyRole::Reviewer, _) => {
            return Err(Failure::Usage(anyhow!(
                "a reviewer has one key and nothing else: leave out --name and --network-of"
            )));
        }
        (KeyRole::Validator, None) => {
            let made = match network_of {
                Some(dir) => NodeKeys::load(dir).and_then(|keys| keys.create_next(out)),
                None => NodeKeys::create(out),
            };
            Public::Validator(made.map_err(failure)?.public())
        }
        (KeyRole::Hospital | KeyRole::Issuer, _) if network_of.is_some() => {
            return Err(Failure::Usage(anyhow!(
                "only a validator has a network key to keep: leave out --network-of"
            )));
        }
        (KeyRole::Hospital, Some(name)) => {
            Public::Hospital(HospitalKeys::create(out).map_err(failure)?.public(name))
        }
        (KeyRole::Issuer, Some(name)) => {
            Public::Issuer(IssuerKeys::create(out).map_err(failure)?.public(name))
        }
        (KeyRole::Validator, Some(_)) => {
            return Err(Failure::Usage(anyhow!(
                "only a hospital or an issuer has a --name; a validator has a number"
            )));
        }
        (KeyRole::Hospital | KeyRole::Issuer, None) => {
            return Err(Failure::Usage(anyhow!(
                "a hospital or an issuer needs a name for people: add --name NAME"
            )));
        }
    };
    publish(out, &text(&public)?)
}

/// Writes the public parts beside the secret ones, and prints them.
fn publish(out: &Path, text: &str) -> Result<(), Failure> {
    let path = out.join(PUBLIC);
    let write = || {
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write()
        .with_context(|| {
            format!(
                "the keys are made, but {} cannot be written",
                path.display()
            )
        })
        .map_err(Failure::Storage)?;
    print!("{text}");
    Ok(())
}

fn show(dir: &Path) -> Result<(), Failure> {
    if ReviewerKeys::are_in(dir) {
        let keys = ReviewerKeys::load(dir).map_err(failure)?;
        print!("{}", text(&keys.public())?);
        return Ok(());
    }
    let public = match NodeKeys::load(dir) {
        Ok(keys) => Public::Validator(keys.public()),
        Err(KeysError::Missing { .. }) => {
            let named = read_public(&dir.join(PUBLIC))?;
            match named {
                Public::Hospital(hospital) => {
                    let keys = HospitalKeys::load(dir).map_err(failure)?;
                    Public::Hospital(keys.public(&hospital.name))
                }
                Public::Issuer(issuer) => {
                    let keys = IssuerKeys::load(dir).map_err(failure)?;
                    Public::Issuer(keys.public(&issuer.name))
                }
                Public::Validator(_) => NodeKeys::load(dir)
                    .map(|keys| Public::Validator(keys.public()))
                    .map_err(failure)?,
            }
        }
        Err(error) => return Err(failure(error)),
    };
    print!("{}", text(&public)?);
    Ok(())
}

/// Reads public parts: a file, or the folder that `keys new` has made.
pub(super) fn read_public(path: &Path) -> Result<Public, Failure> {
    let path = if path.is_dir() {
        path.join(PUBLIC)
    } else {
        path.to_owned()
    };
    let shown = path.display().to_string();
    std::fs::read_to_string(&path)
        .with_context(|| format!("the public keys {shown} cannot be read"))
        .and_then(|text| {
            toml::from_str(&text).with_context(|| {
                format!("{shown} holds no public keys; kithkin keys new writes them into {PUBLIC}")
            })
        })
        .map_err(Failure::Usage)
}

/// A hospital as people name it: its public parts as [`read_public`] takes them, or its identifier.
pub(super) fn hospital_id(text: &str) -> Result<HospitalId, Failure> {
    let path = Path::new(text);
    if !path.exists()
        && let Ok(id) = HospitalId::from_hex(text)
    {
        return Ok(id);
    }
    Ok(read_hospital(path)?.info().id())
}

/// The public parts of a hospital, as [`read_public`] takes them.
pub(super) fn read_hospital(path: &Path) -> Result<PublicHospital, Failure> {
    match read_public(path)? {
        Public::Hospital(keys) => Ok(keys),
        other => Err(wrong_role(path, &other, "a hospital's")),
    }
}

/// The public parts of a validator, as [`read_public`] takes them.
pub(super) fn read_validator(path: &Path) -> Result<PublicKeys, Failure> {
    match read_public(path)? {
        Public::Validator(keys) => Ok(keys),
        other => Err(wrong_role(path, &other, "a validator's")),
    }
}

/// The public parts of an issuer, as [`read_public`] takes them.
pub(super) fn read_issuer(path: &Path) -> Result<IssuerInfo, Failure> {
    match read_public(path)? {
        Public::Issuer(info) => Ok(info),
        other => Err(wrong_role(path, &other, "an issuer's")),
    }
}

fn wrong_role(path: &Path, found: &Public, needed: &str) -> Failure {
    let (path, found) = (path.display(), found.whose());
    Failure::Usage(anyhow!(
        "{path} holds {found} keys; {needed} are needed here"
    ))
}

fn text<T: serde::Serialize>(public: &T) -> Result<String, Failure> {
    toml::to_string(public)
        .context("the public keys cannot be written")
        .map_err(Failure::Usage)
}

/// What is wrong with keys is for a person to put right; a disk that fails is something else.
pub(super) fn failure(error: KeysError) -> Failure {
    match &error {
        KeysError::Vault(VaultError::DiskFull { .. } | VaultError::Io { .. })
        | KeysError::Mark { .. } => Failure::Storage(error.into()),
        _ => Failure::Usage(error.into()),
    }
}
