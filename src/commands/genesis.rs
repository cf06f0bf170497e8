//! `kithkin genesis`: what a ledger starts from, put together from public keys; its hash is the chain id.

use super::Failure;
use super::governance::reviewer_info;
use super::keys::{read_hospital, read_validator};
use crate::cli::{GenesisArgs, GenesisCommand};
use kithkin_actors::node::file::{self, GenesisFileError};
use kithkin_actors::ports::clock::{Clock as _, SystemClock};
use kithkin_protocol::credit::ValidatorSet;
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::ledger::Genesis;
use kithkin_protocol::units::Millis;
use serde_json::json;
use std::path::Path;

/// Makes a genesis, or shows one.
///
/// # Errors
/// [`Failure::Usage`] for what cannot be a genesis or is there already; [`Failure::Storage`] when it cannot be written.
pub fn run(command: &GenesisCommand) -> Result<(), Failure> {
    match command {
        GenesisCommand::New(args) => new(args),
        GenesisCommand::Show { file, json } => show(file, *json),
    }
}

fn new(args: &GenesisArgs) -> Result<(), Failure> {
    let mut validators = Vec::new();
    for (id, path) in (0_u16..).zip(&args.validator) {
        validators.push(read_validator(path)?.validator(ValidatorId(id)));
    }
    let mut hospitals = Vec::new();
    for path in &args.hospital {
        hospitals.push(read_hospital(path)?.info());
    }
    let reviewers = args.reviewer.iter().map(reviewer_info);
    let genesis = Genesis {
        time_ms: SystemClock.now(),
        profile: args.profile.into(),
        workload: args.workload.into(),
        validators,
        hospitals,
        reviewers: reviewers.collect::<Result<_, _>>()?,
        review_within_ms: Millis(u64::try_from(args.review_within.as_millis()).unwrap_or(u64::MAX)),
    };
    file::write(&args.out, &genesis).map_err(failure)?;
    println!("{}", genesis.chain_id().to_hex());
    Ok(())
}

fn show(path: &Path, json: bool) -> Result<(), Failure> {
    let genesis = file::read(path).map_err(failure)?;
    let set = ValidatorSet::new(genesis.validators.iter().cloned());
    if json {
        let hospitals: Vec<_> = genesis
            .hospitals
            .iter()
            .map(|hospital| json!({ "id": hospital.id(), "name": hospital.name }))
            .collect();
        let line = json!({
            "chain": genesis.chain_id(),
            "time_ms": genesis.time_ms,
            "profile": genesis.profile.as_str(),
            "workload": genesis.workload.to_string(),
            "review_within_ms": genesis.review_within_ms,
            "reviewers": genesis.reviewers,
            "validators": genesis.validators,
            "tolerated": set.f(),
            "quorum": set.quorum(),
            "hospitals": hospitals,
        });
        println!("{line}");
        return Ok(());
    }
    println!("chain       {}", genesis.chain_id().to_hex());
    println!("profile     {}", genesis.profile.as_str());
    println!("workload    {}", genesis.workload);
    println!(
        "review      within {} ms of a case's end",
        genesis.review_within_ms
    );
    println!("reviewers   {}", genesis.reviewers.len());
    println!(
        "validators  {}, of which {} may fail or lie; {} decide",
        set.n(),
        set.f(),
        set.quorum()
    );
    for validator in &genesis.validators {
        println!("  {}  vote key {}", validator.id, validator.vote_key);
    }
    println!("hospitals   {}", genesis.hospitals.len());
    for hospital in &genesis.hospitals {
        println!("  {}  {}", hospital.name, hospital.id());
    }
    Ok(())
}

pub(super) fn failure(error: GenesisFileError) -> Failure {
    match &error {
        GenesisFileError::Io {
            action: "written", ..
        } => Failure::Storage(error.into()),
        _ => Failure::Usage(error.into()),
    }
}
