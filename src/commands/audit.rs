//! `kithkin audit`: bundles made, checked and told of.

use super::{Failure, genesis};
use crate::audit::{self, VerifyError};
use crate::cli::{AuditCommand, ExportArgs, ListArgs, Origin, VerifyArgs};
use anyhow::{Context as _, anyhow};
use kithkin_actors::cluster::Shape;
use kithkin_actors::node::{ClientFailure, NodeClient, file};
use kithkin_actors::validator::messages::QueryError;
use kithkin_actors::validator::{Archive, ArchiveError};
use kithkin_protocol::audit::words::Report;
use kithkin_protocol::audit::{BuildError, Bundle, Subject};
use kithkin_protocol::ids::PatientId;
use kithkin_protocol::ledger::Genesis;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// How long a node may take: it waits for a block and reads the chain.
const EXPORT_WITHIN: Duration = Duration::from_secs(150);

/// Makes, checks or lists.
///
/// # Errors
/// [`Failure::NotHeld`] when a bundle does not hold or nothing can be shown, [`Failure::Usage`] for files and flags that are
/// wrong, [`Failure::Storage`] for a data folder that cannot be used, [`Failure::Cluster`] for a node that does not answer.
pub async fn run(command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Export(args) => export(&args).await,
        AuditCommand::Verify(args) => verify(&args),
        AuditCommand::List(args) => list(&args),
    }
}

async fn export(args: &ExportArgs) -> Result<(), Failure> {
    if args.out.exists() {
        return Err(Failure::Usage(anyhow!(
            "{} is there already, and nothing is overwritten: choose another name",
            args.out.display()
        )));
    }
    let folder = match &args.from {
        Origin::Folder(dir) => Some(dir.as_path()),
        Origin::Door(_) => None,
    };
    let founded = founded(args.genesis.as_deref(), folder)?;
    let bundle = match &args.from {
        Origin::Folder(dir) => from_folder(dir, &founded, &subjects(args))?,
        Origin::Door(door) => from_door(*door, &subjects(args)).await?,
    };
    let bytes = audit::complete(&founded, bundle).map_err(not_held)?;
    let written = audit::write(&args.out, &bytes)
        .with_context(|| format!("{} cannot be written", args.out.display()));
    written.map_err(Failure::Storage)?;
    if let Some(path) = &args.write_genesis {
        file::write(path, &founded).map_err(genesis::failure)?;
    }
    println!(
        "{}: {} bytes, checked from the genesis",
        args.out.display(),
        bytes.len()
    );
    Ok(())
}

/// What is asked for; two readings when it may be either.
fn subjects(args: &ExportArgs) -> Vec<Subject> {
    let named = [
        args.case.map(Subject::Case),
        args.patient.map(Subject::Patient),
        args.subject.map(Subject::Case),
        args.subject.map(|id| Subject::Patient(PatientId(id.0))),
    ];
    named.into_iter().flatten().collect()
}

/// The genesis of the file, or else of the folder.
fn founded(path: Option<&Path>, folder: Option<&Path>) -> Result<Genesis, Failure> {
    if let Some(path) = path {
        return file::read(path).map_err(genesis::failure);
    }
    let of_folder = match folder {
        Some(dir) => {
            Shape::genesis_of_folder(dir).map_err(|error| Failure::Storage(error.into()))?
        }
        None => None,
    };
    of_folder.ok_or_else(|| {
        Failure::Usage(anyhow!(
            "give the ledger's genesis file with --genesis: only the folder of a cluster has one in it"
        ))
    })
}

fn from_folder(dir: &Path, founded: &Genesis, subjects: &[Subject]) -> Result<Bundle, Failure> {
    let mut archive = Archive::open(dir, founded).map_err(archive_failure)?;
    let mut failed = None;
    for subject in subjects {
        match archive.export(*subject) {
            Ok(bundle) => return Ok(bundle),
            Err(BuildError::Source(error)) => return Err(archive_failure(error)),
            Err(error) => failed = keep(failed, error.into(), subject),
        }
    }
    Err(Failure::NotHeld(nothing(failed)))
}

async fn from_door(door: SocketAddr, subjects: &[Subject]) -> Result<Bundle, Failure> {
    let cluster = |error: ClientFailure| Failure::Cluster(error.into());
    let client = NodeClient::connect(door).await.map_err(cluster)?;
    let mut failed = None;
    for subject in subjects {
        match client.audit(*subject, EXPORT_WITHIN).await {
            Ok(bytes) => {
                let bundle = Bundle::decode(&bytes).context("the node sends no bundle");
                return bundle.map_err(Failure::NotHeld);
            }
            Err(ClientFailure::Query(error @ QueryError::Audit { .. })) => {
                failed = keep(failed, error.into(), subject);
            }
            Err(error) => return Err(cluster(error)),
        }
    }
    Err(Failure::NotHeld(nothing(failed)))
}

/// Both failures, when an identifier was tried as a case and as a patient.
fn keep(
    before: Option<anyhow::Error>,
    error: anyhow::Error,
    subject: &Subject,
) -> Option<anyhow::Error> {
    let error = error.context(match subject {
        Subject::Case(_) => "as a case",
        Subject::Patient(_) => "as a patient",
    });
    Some(match before {
        None => error,
        Some(before) => anyhow!("{before:#}; {error:#}"),
    })
}

fn nothing(failed: Option<anyhow::Error>) -> anyhow::Error {
    failed.unwrap_or_else(|| anyhow!("nothing was asked for"))
}

/// What `--json` prints.
#[derive(Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Holds {
        holds: bool,
        #[serde(flatten)]
        report: Report<'a>,
    },
    Broken {
        holds: bool,
        broken: String,
    },
}

fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let founded = file::read(&args.genesis).map_err(genesis::failure)?;
    let bytes = audit::read(&args.file)
        .with_context(|| format!("the bundle {} cannot be read", args.file.display()))
        .map_err(Failure::Usage)?;
    let verified = match audit::check(&founded, &bytes) {
        Ok(verified) => verified,
        Err(error) => {
            let failure = not_held(error);
            if args.json {
                let (_, error) = failure.parts();
                let broken = format!("{error:#}");
                print(&Told::Broken {
                    holds: false,
                    broken,
                })?;
            }
            return Err(failure);
        }
    };
    if let Some(path) = &args.events {
        audit::write(path, &verified.events)
            .with_context(|| format!("{} cannot be written", path.display()))
            .map_err(Failure::Storage)?;
    }
    let report = verified.report();
    if args.json {
        return print(&Told::Holds {
            holds: true,
            report,
        });
    }
    println!("The bundle holds. It proves:\n");
    for sentence in report.sentences() {
        println!("{sentence}");
    }
    Ok(())
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let founded = founded(args.genesis.as_deref(), Some(&args.from))?;
    let archive = Archive::open(&args.from, &founded).map_err(archive_failure)?;
    for case in archive.cases() {
        println!(
            "case {:#}  patient {:#}  {}",
            case.id,
            case.patient(),
            case.phase.as_str()
        );
    }
    Ok(())
}

fn print(told: &Told<'_>) -> Result<(), Failure> {
    let text = serde_json::to_string(told)
        .context("the report cannot be written as JSON")
        .map_err(Failure::Cluster)?;
    println!("{text}");
    Ok(())
}

fn not_held(error: VerifyError) -> Failure {
    Failure::NotHeld(anyhow::Error::from(error).context("the bundle does not hold"))
}

/// A folder without a ledger is a wrong word on the command line; one that shows nothing is another matter than a broken one.
fn archive_failure(error: ArchiveError) -> Failure {
    match &error {
        ArchiveError::NoLedger { .. } => Failure::Usage(error.into()),
        ArchiveError::NoBlock | ArchiveError::Begins { .. } => Failure::NotHeld(error.into()),
        ArchiveError::Unwanted => Failure::Cluster(error.into()),
        ArchiveError::Store(_)
        | ArchiveError::Storage(_)
        | ArchiveError::Block { .. }
        | ArchiveError::Ledger(_)
        | ArchiveError::Tree(_) => Failure::Storage(error.into()),
    }
}
