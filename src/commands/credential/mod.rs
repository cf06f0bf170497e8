//! `kithkin credential`: an issuer's word for a clinician, made, shown and checked.
//!
//! The file is in `kithkin_actors::node::credential`. `ledger`: what is proved of issuer and hospital. `judge`: what that, the
//! genesis and the clock say about a credential. `words`: for people and for scripts.

mod judge;
mod ledger;
#[cfg(test)]
mod tests;
mod words;

use super::governance::{now, time};
use super::keys::{self, hospital_id};
use super::{Failure, genesis};
use crate::cli::{CredentialCommand, CredentialVerifyArgs, IssueArgs};
use anyhow::anyhow;
use judge::{Founded, Judgement, Outcome};
use kithkin_actors::node::credential::{CredentialFileError, IssuedCredential, Statement};
use kithkin_actors::node::{IssuerKeys, file};
use kithkin_protocol::emergency::{CREDENTIAL_MS_MAX, CredentialError};
use kithkin_protocol::ids::HospitalId;
use kithkin_protocol::ledger::Genesis;
use kithkin_protocol::units::Millis;
use std::path::Path;

/// One day in milliseconds.
const DAY_MS: u64 = 24 * 3_600_000;

/// Issues, shows or checks.
///
/// # Errors
/// [`Failure::NotHeld`] for a credential that does not count, and a node's word that does not follow from the genesis;
/// [`Failure::Usage`] for files and flags that are wrong; [`Failure::Storage`] when a file cannot be written;
/// [`Failure::Cluster`] when no node answers.
pub async fn run(command: CredentialCommand) -> Result<(), Failure> {
    match command {
        CredentialCommand::Issue(args) => issue(&args),
        CredentialCommand::Show { file, json } => show(&file, json),
        CredentialCommand::Verify(args) => verify(&args).await,
    }
}

fn issue(args: &IssueArgs) -> Result<(), Failure> {
    let founded = args.genesis.as_deref().map(read_genesis).transpose()?;
    let chain = founded.as_ref().map(Genesis::chain_id).or(args.chain);
    let chain = chain.ok_or_else(|| Failure::Usage(anyhow!("give --genesis or --chain")))?;
    let issuer = IssuerKeys::load(&args.keys).map_err(keys::failure)?;
    let now = now();
    let days = args.days.map(|days| now.plus(u64::from(days) * DAY_MS));
    let until = args.until.or(days);
    let statement = Statement {
        clinician: args.clinician,
        role: args.role,
        hospital: hospital_id(&args.hospital)?,
        valid_until_ms: until.ok_or_else(|| Failure::Usage(anyhow!("give --until or --days")))?,
    };
    let issued = IssuedCredential::issue(chain, issuer.signing(), statement, now);
    let issued = issued.map_err(failure)?;
    issued.write(&args.out).map_err(failure)?;
    if args.json {
        println!("{}", words::json(&issued));
    } else {
        let name = founded.and_then(|genesis| hospital_name(&genesis, statement.hospital));
        println!("{}", words::explain(&issued, name.as_deref()));
        println!("written     to {}", args.out.display());
    }
    eprintln!(
        "kithkin: whether the ledger accredits issuer and hospital was not checked (kithkin credential verify with --node does)"
    );
    Ok(())
}

fn show(path: &Path, json: bool) -> Result<(), Failure> {
    let issued = IssuedCredential::read(path).map_err(failure)?;
    match json {
        true => println!("{}", words::json(&issued)),
        false => println!("{}", words::explain(&issued, None)),
    }
    Ok(())
}

async fn verify(args: &CredentialVerifyArgs) -> Result<(), Failure> {
    let founded = read_genesis(&args.genesis)?;
    let issued = match IssuedCredential::read(&args.file) {
        Ok(issued) => issued,
        Err(error @ CredentialFileError::Signature { .. }) => {
            if args.json {
                println!("{}", words::broken(&error.to_string()));
            }
            return Err(Failure::NotHeld(error.into()));
        }
        Err(error) => return Err(failure(error)),
    };
    let credential = issued.credential();
    let ground = Founded {
        chain: founded.chain_id(),
        hospital: hospital_name(&founded, credential.hospital),
    };
    // What is signed for another ledger says nothing on this one.
    let asked = match issued.chain() == ground.chain {
        true => ledger::ask(&args.node, &founded, credential).await?,
        false => None,
    };
    let judgement = Judgement::of(&issued, &ground, now(), asked.as_ref());
    match args.json {
        true => println!("{}", words::judgement_json(&issued, &judgement)),
        false => println!("{}", words::judgement(&judgement)),
    }
    if judgement.holds() {
        return Ok(());
    }
    let reasons = judgement.with(Outcome::Fails);
    let reasons: Vec<&str> = reasons.map(|finding| finding.words.as_str()).collect();
    Err(Failure::NotHeld(anyhow!(
        "the credential: {}: {}",
        judgement.verdict(),
        reasons.join("; ")
    )))
}

fn read_genesis(path: &Path) -> Result<Genesis, Failure> {
    file::read(path).map_err(genesis::failure)
}

fn hospital_name(genesis: &Genesis, id: HospitalId) -> Option<String> {
    let mut hospitals = genesis.hospitals.iter();
    let found = hospitals.find(|hospital| hospital.id() == id);
    found.map(|hospital| hospital.name.clone())
}

/// What is wrong with a credential is for a person to put right; a disk that fails is something else.
fn failure(error: CredentialFileError) -> Failure {
    match error {
        CredentialFileError::Io {
            action: "written", ..
        } => Failure::Storage(error.into()),
        CredentialFileError::Refused(reason) => Failure::Usage(anyhow!(
            "{}: nothing was signed",
            match in_time(reason) {
                Some(words) => words,
                None => reason.to_string(),
            }
        )),
        error => Failure::Usage(error.into()),
    }
}

/// What is wrong with a credential's time, in words with a calendar; none when it is something else.
fn in_time(error: CredentialError) -> Option<String> {
    match error {
        CredentialError::Expired { until, now } => Some(format!(
            "it was valid until {}, and it is {} now",
            time(until),
            time(now)
        )),
        CredentialError::TooLong { until, now } => Some(format!(
            "it would be valid until {}, and {} days at most are allowed: until {}",
            time(until),
            CREDENTIAL_MS_MAX.0 / DAY_MS,
            time(last_moment(now))
        )),
        CredentialError::Missing
        | CredentialError::Clinician { .. }
        | CredentialError::Hospital { .. }
        | CredentialError::Issuer { .. }
        | CredentialError::Signature => None,
    }
}

fn last_moment(now: Millis) -> Millis {
    now.plus(CREDENTIAL_MS_MAX.0)
}
