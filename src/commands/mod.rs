//! One module per command: settings checked once, then a story on a [`crate::stage::Stage`].
//!
//! A command returns a [`Failure`] with what to tell the person and the exit code.

pub mod audit;
pub mod bench;
pub mod cluster;
pub mod credential;
pub mod demo;
pub mod genesis;
pub mod governance;
pub mod keys;
pub mod node;
pub mod review;
pub mod scenario;
pub mod simulate;
mod stop;
mod submitting;

use crate::cli::{Cli, Command, ScenarioCommand};
use crate::logging;
use crate::stage::StageError;
use kithkin_actors::cluster::LaunchError;
use std::process::ExitCode;

/// Why a command did not succeed: the error and the exit code that it means.
#[derive(Debug)]
pub enum Failure {
    /// Something that was to hold did not. Exit code 1.
    NotHeld(anyhow::Error),
    /// The command line or a file is wrong. Exit code 2.
    Usage(anyhow::Error),
    /// The data folder or the disk cannot be used. Exit code 3.
    Storage(anyhow::Error),
    /// The cluster did not start or broke down. Exit code 4.
    Cluster(anyhow::Error),
    /// The validator has no part in the ledger any more. Exit code 5.
    Left(anyhow::Error),
}

impl Failure {
    pub(crate) fn parts(&self) -> (u8, &anyhow::Error) {
        match self {
            Self::NotHeld(error) => (1, error),
            Self::Usage(error) => (2, error),
            Self::Storage(error) => (3, error),
            Self::Cluster(error) => (4, error),
            Self::Left(error) => (5, error),
        }
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Launch(LaunchError::Shape(_)) => Self::Usage(error.into()),
            StageError::Launch(
                LaunchError::Store(_)
                | LaunchError::Archive(_)
                | LaunchError::Founding(_)
                | LaunchError::LostDatabase { .. },
            ) => Self::Storage(error.into()),
            other => Self::Cluster(other.into()),
        }
    }
}

/// Runs the command and turns a failure into words and an exit code.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    logging::init(cli.log_format);
    let system = actix::System::new();
    let done = system.block_on(async {
        match cli.command {
            Command::Demo(args) => demo::run(args).await,
            Command::Cluster(args) => cluster::run(args).await,
            Command::Keys { command } => keys::run(&command),
            Command::Genesis { command } => genesis::run(&command),
            Command::Node(args) => node::run(args).await,
            Command::Governance { command } => governance::run(command).await,
            Command::Credential { command } => credential::run(command).await,
            Command::Audit { command } => audit::run(command).await,
            Command::Review { command } => review::run(command).await,
            Command::Bench { command } => bench::run(command).await,
            Command::Simulate(args) => simulate::run(&args),
            Command::Scenario { command } => match command {
                ScenarioCommand::Run(args) => scenario::run(&args).await,
                ScenarioCommand::List { dir, json } => scenario::list(&dir, json),
            },
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let (code, error) = failure.parts();
            eprintln!("kithkin: {error:#}");
            ExitCode::from(code)
        }
    }
}
