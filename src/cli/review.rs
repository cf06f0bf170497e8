//! `kithkin review`, as it is typed.

use clap::{Args, Subcommand, ValueEnum};
use kithkin_protocol::emergency::Verdict;
use kithkin_protocol::ids::CaseId;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `kithkin review`
#[derive(Debug, Subcommand)]
pub enum ReviewCommand {
    /// Lists the cases that wait for a verdict and that this reviewer may judge, the most urgent first
    List(ReviewListArgs),
    /// Signs a verdict on a case, hands it to a node, and waits until it is final
    Submit(ReviewSubmitArgs),
}

/// Text under `kithkin review --help`.
pub(super) const REVIEW_HELP: &str = "Every emergency that was granted is judged when it is over. A reviewer is accredited in \
the genesis or by an amendment, and has no part in the hospital or the case. As long as there is no verdict after the \
deadline, the hospital's validators lose credit daily; when there was no emergency, the hospital loses \
credit or its right to ask for a time. A verdict is the last word.

A reviewer begins, is told of a case, looks at it and judges:
  kithkin keys new --role reviewer --out keys       sends keys/public.toml to the validators, who accredit the key
  kithkin review list --keys keys --node 127.0.0.1:4800
  kithkin audit export CASE --from 127.0.0.1:4800 --genesis genesis.toml --out case.audit
  kithkin audit verify case.audit --genesis genesis.toml
  kithkin review submit CASE --verdict justified --keys keys --node 127.0.0.1:4800 --genesis genesis.toml

The list is a node's word: what it leaves out another node tells. A verdict is given on what the genesis proves.

Exit codes: 0 done; 1 the case waits for no verdict, the node or the ledger does not take it, or what the node says does \
not follow from the genesis; 2 a file or the command line is wrong; 4 the node cannot be reached or does not answer.";

/// `kithkin review list`
#[derive(Debug, Args)]
pub struct ReviewListArgs {
    /// The folder of the reviewer's key
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
    /// The client door of a running node
    #[arg(long, value_name = "ADDRESS")]
    pub node: SocketAddr,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `kithkin review submit`
#[derive(Debug, Args)]
pub struct ReviewSubmitArgs {
    /// The case
    #[arg(value_name = "CASE", value_parser = super::audit::case)]
    pub case: CaseId,
    /// What the reviewer has found
    #[arg(long, value_enum)]
    pub verdict: VerdictArg,
    /// The folder of the reviewer's key
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
    /// The client door of a running node
    #[arg(long, value_name = "ADDRESS")]
    pub node: SocketAddr,
    /// The genesis file: the case, and that the verdict is final, is proved from it
    #[arg(long, value_name = "FILE")]
    pub genesis: PathBuf,
    /// How long to wait until it is final
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub within: Duration,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What a reviewer has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VerdictArg {
    /// There was an emergency
    Justified,
    /// There was none
    Unjustified,
    /// It cannot be told
    Inconclusive,
}

impl From<VerdictArg> for Verdict {
    fn from(arg: VerdictArg) -> Self {
        match arg {
            VerdictArg::Justified => Self::Justified,
            VerdictArg::Unjustified => Self::Unjustified,
            VerdictArg::Inconclusive => Self::Inconclusive,
        }
    }
}
