//! `kithkin audit`, as it is typed.

use clap::{Args, Subcommand};
use kithkin_protocol::ids::{CaseId, PatientId};
use std::net::SocketAddr;
use std::path::PathBuf;

/// `kithkin audit`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Writes everything that shows what happened in a case, or in all cases of a patient, into one file
    Export(ExportArgs),
    /// Checks such a file from the genesis alone, without any node, and says in words what it proves
    Verify(VerifyArgs),
    /// Lists the cases in a data folder
    List(ListArgs),
}

/// Text under `kithkin audit --help`.
pub(super) const AUDIT_HELP: &str = "A bundle proves from the genesis: that every release had a final request and a quorum before it; that no \
transaction of the case was left out; who acted and when; under which policy. Any changed byte makes it fail, and what broke is \
named. Nothing clinical is in it. The genesis must come from somewhere else than the bundle.

Try it:
  kithkin demo --audit evidence
  kithkin audit verify evidence/patient-*.audit --genesis evidence/genesis.toml

Exit codes: 0 the bundle proves what is printed, or was written; 1 it does not hold, or nothing can be shown; 2 a file or the \
command line is wrong; 3 the data folder cannot be used; 4 the node cannot be reached or does not answer.";

/// `kithkin audit export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A case or a patient: 64 hexadecimal digits
    #[arg(value_name = "CASE|PATIENT", required_unless_present_any = ["case", "patient"], value_parser = case)]
    pub subject: Option<CaseId>,
    /// A case
    #[arg(long, value_name = "ID", value_parser = case, conflicts_with_all = ["subject", "patient"])]
    pub case: Option<CaseId>,
    /// A patient: all cases there have ever been
    #[arg(long, value_name = "ID", value_parser = patient, conflicts_with = "subject")]
    pub patient: Option<PatientId>,
    /// Where from: the client door of a running node (127.0.0.1:4800), or the data folder of a cluster or node that has stopped
    #[arg(long, value_name = "DOOR|DIR", value_parser = origin)]
    pub from: Origin,
    /// The genesis file. Without it, that of the folder of a cluster
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// The file to write; one that is there is never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Also write the genesis of the cluster's folder into this file
    #[arg(long, value_name = "FILE", conflicts_with = "genesis")]
    pub write_genesis: Option<PathBuf>,
}

/// `kithkin audit verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The bundle
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The ledger's genesis file
    #[arg(long, value_name = "FILE")]
    pub genesis: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Also write the FHIR events, a Bundle of AuditEvents and Provenance, into this file
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
}

/// `kithkin audit list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The data folder of a cluster or node that has stopped
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// The genesis file. Without it, that of the folder of a cluster
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
}

/// Where a bundle is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A running node's client door.
    Door(SocketAddr),
    /// A data folder.
    Folder(PathBuf),
}

/// A case's identifier.
pub(super) fn case(text: &str) -> Result<CaseId, String> {
    CaseId::from_hex(text).map_err(|error| error.to_string())
}

fn patient(text: &str) -> Result<PatientId, String> {
    PatientId::from_hex(text).map_err(|error| error.to_string())
}

fn origin(text: &str) -> Result<Origin, String> {
    match text.parse() {
        Ok(door) => Ok(Origin::Door(door)),
        Err(_) if std::path::Path::new(text).is_dir() => Ok(Origin::Folder(text.into())),
        Err(_) => Err("neither the address of a door nor a folder".to_owned()),
    }
}
