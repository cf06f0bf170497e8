//! The command line, as it is typed. What the words mean is checked in [`crate::commands`].

use crate::bench::security::{Adversary, Rule};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Sealed health records, kept by friends and relatives, opened in an emergency by more than half of them.
#[derive(Debug, Parser)]
#[command(name = "kithkin", version, about, long_about = LONG_ABOUT, propagate_version = true)]
pub struct Cli {
    /// How log lines are written. What is logged is set by RUST_LOG, for example RUST_LOG=info,kithkin_actors=debug
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "KITHKIN_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

const LONG_ABOUT: &str = "Sealed health records, kept by friends and relatives, opened in an emergency by more than half of them.

Try it:  kithkin demo

Exit codes: 0 all went well; 1 something that was to hold did not (an expectation of a scenario, a record that did not \
open); 2 the command line or a file is wrong; 3 the data folder or the disk cannot be used; 4 the cluster did not start \
or broke down.";

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plays the main job once: enrol, write, an emergency with faults, read, close, restore
    Demo(DemoArgs),
    /// Runs a whole cluster in this process
    Cluster(ClusterArgs),
    /// Searches thousands of simulated clusters for a broken rule of the consensus
    Simulate(SimulateArgs),
    /// Plays scripted emergencies and checks what they must come to
    Scenario {
        /// What to do.
        #[command(subcommand)]
        command: ScenarioCommand,
    },
    /// Measures; docs/benchmarks.md says how to read the figures
    Bench {
        /// What to measure.
        #[command(subcommand)]
        command: BenchCommand,
    },
}

/// `kithkin demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// A FHIR R4 bundle (transaction, collection or document) to seal and open; a built-in one when left out
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Print one JSON object instead of the timeline
    #[arg(long)]
    pub json: bool,
    /// Drives the schedule of faults, never keys
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// `kithkin cluster`
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// Validators, 1 to 200; 4 tolerate one that fails or lies [default: 4, or what the data folder was made with]
    #[arg(long, value_name = "N")]
    pub validators: Option<u16>,
    /// Hospitals, at least 1 [default: 2, or what the data folder was made with]
    #[arg(long, value_name = "N")]
    pub hospitals: Option<u16>,
    /// Patients [default: 3, or what the data folder was made with]
    #[arg(long, value_name = "N")]
    pub patients: Option<u16>,
    /// Friends and relatives of each patient, 3 to 64 [default: 5, or what the data folder was made with]
    #[arg(long, value_name = "N")]
    pub relatives: Option<u8>,
    /// How credit becomes a leader order [default: balanced, or what the data folder was made with]
    #[arg(long, value_enum)]
    pub profile: Option<ProfileArg>,
    /// The data folder; continued when it is there. A temporary one, removed at the end, when left out
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Drives schedule, load and link faults, never keys [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Stop this long after the cluster is ready, for example 30s or 5m; runs until Ctrl-C when left out
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub run_for: Option<Duration>,
    /// Write records at this rate, in records a second; with --json one line per durable acknowledgement
    #[arg(long, value_name = "RATE", value_parser = positive_rate)]
    pub load: Option<f64>,
    /// Open every record ever acknowledged in this data folder, then exit
    #[arg(long, conflicts_with_all = ["load", "run_for"])]
    pub check: bool,
    /// Print JSON lines instead of a table
    #[arg(long)]
    pub json: bool,
    /// A TOML file with any of these settings (see config/cluster.toml); KITHKIN_CLUSTER_... variables win over it, flags over both
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `kithkin simulate`
#[derive(Debug, Args)]
#[command(after_help = SIMULATE_HELP)]
pub struct SimulateArgs {
    /// Sizes of cluster, one after the other
    #[arg(long, value_name = "N[,N...]", value_delimiter = ',', default_values_t = [4, 5, 7, 10])]
    pub validators: Vec<u16>,
    /// How many seeds for each size
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Heights that each seed runs at least, the healing included
    #[arg(long, value_name = "H", default_value_t = 20)]
    pub heights: u64,
    /// What may go wrong
    #[arg(long, value_enum, default_value_t = FaultsArg::All)]
    pub faults: FaultsArg,
    /// What the f faulty validators do: silent, equivocate, twin, sign-everything, forge-justification, withhold, replay,
    /// oversize, vote-omit, double-vote, nullify-at-once. When left out up to f do anything of this
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    pub byzantine: Vec<String>,
    /// A bug to plant in every validator: votes-not-durable, waits-after-finalize, nullifies-and-finalizes,
    /// no-rebroadcast, body-not-durable, short-quorum, view-not-durable, accepts-gaps, ignores-notarization, no-new-view,
    /// notarization-not-durable. Runs until it is caught
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
    /// How credit becomes a leader order; drawn when left out
    #[arg(long, value_enum)]
    pub profile: Option<ProfileArg>,
    /// Threads; the result is the same with any number [default: one per core]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Where sequence diagrams of failing seeds go
    #[arg(long, value_name = "DIR", default_value = "simulation-traces")]
    pub traces: PathBuf,
    /// Print one JSON object per size instead of the table
    #[arg(long)]
    pub json: bool,
}

const SIMULATE_HELP: &str = "Each seed runs a whole cluster of the consensus core in virtual time: a storm of faults, \
then calm, in which every height must come in time. After each event the rules of docs/spec/consensus.md are checked. \
One seed in a hundred uses real signatures.

Examples:
  kithkin simulate --validators 4,5,7,10 --seeds 20000
  kithkin simulate --validators 4 --byzantine twin --seeds 5000
  kithkin simulate --validators 4 --mutant votes-not-durable

A failing seed prints the line that repeats it and leaves a sequence diagram. Exit codes: 0 nothing was found (with \
--mutant: the bug was caught); 1 a rule was broken (with --mutant: the bug was not caught); 2 the command line is wrong, \
or this program was built without --features simulator.";

/// What may go wrong in a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FaultsArg {
    /// Three to six kinds of all, and faulty validators
    All,
    /// Losses, duplicates, reordering, late messages, partitions
    Network,
    /// Crashes between write and sync, slow disks, losses
    Crashes,
    /// Nothing but what --byzantine asks for
    None,
}

impl FaultsArg {
    /// As it is typed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Network => "network",
            Self::Crashes => "crashes",
            Self::None => "none",
        }
    }
}

/// The leader profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileArg {
    /// The published scheme to the letter: the top tenth by raw credit
    Literal,
    /// At least three candidates, grades, cool-down, regular open heights
    Balanced,
    /// More candidates than there can be faulty validators
    Hardened,
}

/// `kithkin scenario`
#[derive(Debug, Subcommand)]
pub enum ScenarioCommand {
    /// Plays scenarios one after the other
    Run {
        /// Scenario files (TOML); see config/scenarios/
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print one JSON object per scenario
        #[arg(long)]
        json: bool,
        /// Drives link faults and jitter, never keys
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Lists the scenarios in a folder with their stories
    List {
        /// The folder
        #[arg(default_value = "config/scenarios", value_name = "DIR")]
        dir: PathBuf,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// `kithkin bench`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// How fast validators agree, in this process, each commit synced to the disk
    Consensus(ConsensusArgs),
    /// How often the first master misbehaves, against the share of malicious validators
    Security(SecurityArgs),
}

/// `kithkin bench consensus`
#[derive(Debug, Args)]
pub struct ConsensusArgs {
    /// Numbers of validators
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [4])]
    pub validators: Vec<u16>,
    /// Bytes of a transaction, envelope and signature included
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    pub tx_bytes: usize,
    /// Transactions a second, sent whether or not the validators keep up; as many as they take when left out
    #[arg(long, value_name = "RATE,..", value_delimiter = ',', value_parser = input_rate)]
    pub rate: Vec<f64>,
    /// Every transaction signed by one of 16 hospitals and verified by every validator (the default)
    #[arg(long, conflicts_with = "opaque")]
    pub signed: bool,
    /// Transactions without signatures
    #[arg(long)]
    pub opaque: bool,
    /// Seconds that count, per run
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub seconds: u64,
    /// Seconds before, that do not count
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub warm_up: u64,
    /// How credit becomes a leader order
    #[arg(long, value_enum, default_value_t = ProfileArg::Balanced)]
    pub profile: ProfileArg,
    /// Runs per setting; the median counts
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub runs: usize,
    /// Print JSON instead of the table: one object, or an array for several settings
    #[arg(long)]
    pub json: bool,
    /// Write plots (SVG) into this folder
    #[arg(long, value_name = "DIR")]
    pub plot: Option<PathBuf>,
}

/// `kithkin bench security`
#[derive(Debug, Args)]
pub struct SecurityArgs {
    /// Numbers of validators
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [10, 40, 100])]
    pub validators: Vec<u16>,
    /// Malicious validators in per cent, at most 33
    #[arg(long, value_name = "PERCENT,..", value_delimiter = ',', default_values_t = [10, 20, 30])]
    pub malicious: Vec<u16>,
    /// When the malicious misbehave
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Adversary::ALL)]
    pub adversary: Vec<Adversary>,
    /// How the first master is chosen
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Rule::ALL)]
    pub rule: Vec<Rule>,
    /// Heights that are counted, per seed
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub heights: u64,
    /// Heights before counting begins, so that credit has settled
    #[arg(long, value_name = "N", default_value_t = 4_000)]
    pub warm_up: u64,
    /// How many seeds, each with a genesis and so a beacon of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seeds: u64,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// Write plots (SVG) into this folder
    #[arg(long, value_name = "DIR")]
    pub plot: Option<PathBuf>,
}

fn input_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 && rate <= 1_000_000.0 => Ok(rate),
        _ => Err(
            "a rate is a number of transactions a second, above 0 and at most 1000000".to_owned(),
        ),
    }
}

fn positive_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 && rate <= 10_000.0 => Ok(rate),
        _ => Err("a rate is a number of records a second, above 0 and at most 10000".to_owned()),
    }
}
