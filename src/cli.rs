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
