//! The command line, as it is typed. What the words mean is checked in [`crate::commands`].

mod audit;
mod credential;
mod governance;
mod review;

pub use audit::{AuditCommand, ExportArgs, ListArgs, Origin, VerifyArgs};
pub use credential::{CredentialCommand, CredentialVerifyArgs, IssueArgs};
pub use governance::{
    CombineArgs, GovernanceCommand, IssuerArg, ProposeArgs, ShowArgs, SignArgs, StateArgs,
    SubmitArgs,
};
pub use review::{ReviewCommand, ReviewListArgs, ReviewSubmitArgs, VerdictArg};

use crate::bench::security::{Adversary, Rule};
use clap::{Args, Parser, Subcommand, ValueEnum};
use kithkin_protocol::crypto::VerifyingKey;
use kithkin_protocol::ledger::{Profile, Workload};
use std::num::{NonZeroU64, NonZeroUsize};
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
or broke down; 5 an amendment has removed the validator of this node, or given it other keys.";

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
    /// Makes the keys of a validator, a hospital, an issuer of clinicians' credentials or a reviewer
    Keys {
        /// What to do.
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Makes what a ledger of several processes starts from
    Genesis {
        /// What to do.
        #[command(subcommand)]
        command: GenesisCommand,
    },
    /// Runs one validator in this process
    Node(NodeArgs),
    /// Changes the validators of a ledger, who is accredited on it, or its rules
    #[command(after_help = governance::GOVERNANCE_HELP)]
    Governance {
        /// What to do.
        #[command(subcommand)]
        command: GovernanceCommand,
    },
    /// Makes and checks credentials: an issuer's word that a key is a clinician's
    #[command(after_help = credential::CREDENTIAL_HELP)]
    Credential {
        /// What to do.
        #[command(subcommand)]
        command: CredentialCommand,
    },
    /// Shows afterwards, to somebody who trusts nobody, what happened in an emergency
    #[command(after_help = audit::AUDIT_HELP)]
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Judges emergencies that are over: lists what waits for a verdict, and gives one
    #[command(after_help = review::REVIEW_HELP)]
    Review {
        /// What to do.
        #[command(subcommand)]
        command: ReviewCommand,
    },
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
    /// Write genesis and audit bundle into this folder at the end; see kithkin audit
    #[arg(long, value_name = "DIR")]
    pub audit: Option<PathBuf>,
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
    /// To be watched: this validator lies from the start, for example validator-3=double-vote, or =equivocate; several times
    #[arg(long = "liar", value_name = "VALIDATOR=LIE", conflicts_with = "check")]
    pub liars: Vec<String>,
    /// Print JSON lines instead of a table
    #[arg(long)]
    pub json: bool,
    /// A TOML file with any of these settings (see config/cluster.toml); KITHKIN_CLUSTER_... variables win over it, flags over both
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `kithkin keys`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Makes fresh keys in a folder of their own; prints the public parts, which also lie there as public.toml
    #[command(after_help = KEYS_HELP)]
    New {
        /// The folder; keys that are there are never overwritten
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Whose keys
        #[arg(long, value_enum, default_value_t = KeyRole::Validator)]
        role: KeyRole,
        /// The hospital's or the issuer's name for people
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Keep the network key of the validator's keys in this folder: a running node can go over to such keys (next_keys)
        #[arg(long, value_name = "DIR")]
        network_of: Option<PathBuf>,
    },
    /// Reads the keys in a folder and prints their public parts
    Show {
        /// The folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

const KEYS_HELP: &str = "A validator has three keys: it votes with one, draws masters with the second, and is known on \
the network by the third. Their files can be read by their owner only (mode 0600); a node refuses keys that others can read. \
Nobody but the validator's machine needs them: hand public.toml to whoever makes the genesis.

Four validators on one machine:
  for n in 0 1 2 3; do kithkin keys new --out keys/$n; done
  kithkin genesis new --out genesis.toml --validator keys/0 --validator keys/1 --validator keys/2 --validator keys/3";

/// Whose keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyRole {
    /// A validator's: vote, VRF and network key
    Validator,
    /// The key of a reviewer, who judges emergencies
    Reviewer,
    /// A hospital's: signing and opening key
    Hospital,
    /// The key of an issuer of clinicians' credentials
    Issuer,
}

/// `kithkin genesis`
#[derive(Debug, Subcommand)]
pub enum GenesisCommand {
    /// Puts a genesis together from public keys; prints its hash, the chain id
    New(GenesisArgs),
    /// Checks a genesis and shows what stands in it
    Show {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `kithkin genesis new`
#[derive(Debug, Args)]
#[command(after_help = GENESIS_HELP)]
pub struct GenesisArgs {
    /// The file to write; one that is there is never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// A validator's public keys: the file public.toml or its folder. Once for each; the order gives them their numbers, from 0
    #[arg(long, required = true, value_name = "FILE")]
    pub validator: Vec<PathBuf>,
    /// An accredited hospital's public keys, once for each
    #[arg(long, value_name = "FILE")]
    pub hospital: Vec<PathBuf>,
    /// The public key of an accredited reviewer, once for each. The hospital where the reviewer works, and so judges nothing,
    /// follows after =: its public.toml or its identifier
    #[arg(long, value_name = "HEX[=HOSPITAL]", value_parser = governance::reviewer)]
    pub reviewer: Vec<(VerifyingKey, Option<String>)>,
    /// How credit becomes a leader order
    #[arg(long, value_enum, default_value_t = ProfileArg::Balanced)]
    pub profile: ProfileArg,
    /// What the ledger is for; anything but records is for measuring
    #[arg(long, value_enum, default_value_t = WorkloadArg::Records)]
    pub workload: WorkloadArg,
    /// How long after a case its review may take
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    pub review_within: Duration,
}

const GENESIS_HELP: &str = "All validators start from the same file: its hash is the chain id, and every vote and every \
transaction names it. The credit that validators start with, its rewards and penalties, block size and timeouts' growth are \
constants of the program (docs/spec/consensus.md, section 1), so that two ledgers differ only in what the file says.";

/// What a ledger is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WorkloadArg {
    /// Health records
    Records,
    /// Opaque transactions as well, each signed
    Opaque,
    /// Opaque transactions of nobody: nothing is verified
    OpaqueUnsigned,
}

impl From<WorkloadArg> for Workload {
    fn from(arg: WorkloadArg) -> Self {
        match arg {
            WorkloadArg::Records => Self::Records,
            WorkloadArg::Opaque => Self::Opaque,
            WorkloadArg::OpaqueUnsigned => Self::OpaqueUnsigned,
        }
    }
}

/// `kithkin node`
#[derive(Debug, Args)]
#[command(after_help = NODE_HELP)]
pub struct NodeArgs {
    /// A TOML file with any of these settings and the addresses of the others (see config/node.toml); KITHKIN_NODE_... variables win over it, flags over both
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The genesis file (kithkin genesis new)
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// The folder of this validator's keys (kithkin keys new)
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// The data folder; continued when it is there
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where to listen for the other validators, once for each address
    #[arg(long, value_name = "MULTIADDR")]
    pub listen: Vec<String>,
    /// Where to listen for clients, or none [default: a free port of this machine]
    #[arg(long, value_name = "ADDRESS")]
    pub client_listen: Option<String>,
    /// The records of what this validator signed are lost or old: follow, and vote again when it is safe
    #[arg(long)]
    pub quarantine: bool,
    /// Print JSON lines
    #[arg(long)]
    pub json: bool,
}

const NODE_HELP: &str = "The first line tells that the validator runs: its peer id, where it listens and its height. SIGTERM \
or Ctrl-C stop it in order; SIGHUP reads the addresses of the others and the observers anew. A node that was killed starts again on the same data \
folder: it asks the others what it has missed and which of its own votes they saw.

Exit codes: 0 stopped in order; 2 settings, keys or genesis are wrong; 3 the data folder or the disk cannot be used; 4 the \
validator did not start; 5 an amendment has removed the validator or given it other keys.";

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
    /// Plays scenarios, each on a cluster of its own
    Run(ScenarioRunArgs),
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

/// `kithkin scenario run`
#[derive(Debug, Args)]
pub struct ScenarioRunArgs {
    /// Scenario files (TOML); see config/scenarios/
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print one JSON object per play, and one about all of them when there is more than one
    #[arg(long)]
    pub json: bool,
    /// Drives link faults and jitter, never keys; the first one with --seeds
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Plays each scenario with so many seeds
    #[arg(long, value_name = "N", default_value_t = NonZeroU64::MIN)]
    pub seeds: NonZeroU64,
    /// Plays at the same time, told in one line each; with --json three for each core when left out, else 1
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Write genesis and audit bundles of each play into a folder of its own in this one; see kithkin audit
    #[arg(long, value_name = "DIR")]
    pub audit: Option<PathBuf>,
}

/// `kithkin bench`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// How fast validators agree, in this process, each commit synced to the disk
    Consensus(ConsensusArgs),
    /// How often the first master misbehaves, against the share of malicious validators
    Security(SecurityArgs),
    /// What a record takes on chain, beside the whole ciphertext and an entry for each record
    Size(SizeArgs),
}

/// `kithkin bench consensus`
#[derive(Debug, Args)]
pub struct ConsensusArgs {
    /// Numbers of validators
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [4])]
    pub validators: Vec<u16>,
    /// Run each validator in a process of its own, as `kithkin node` does, with clients at its door; at most 32
    #[arg(long)]
    pub processes: bool,
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

/// `kithkin bench size`
#[derive(Debug, Args)]
pub struct SizeArgs {
    /// FHIR R4 bundles, one patient each; a built-in one when left out
    #[arg(value_name = "BUNDLE")]
    pub bundles: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
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

impl From<ProfileArg> for Profile {
    fn from(arg: ProfileArg) -> Self {
        match arg {
            ProfileArg::Literal => Self::Literal,
            ProfileArg::Balanced => Self::Balanced,
            ProfileArg::Hardened => Self::Hardened,
        }
    }
}

fn verifying_key(text: &str) -> Result<VerifyingKey, String> {
    VerifyingKey::from_hex(text).map_err(|error| error.to_string())
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
