//! How fast validators of one process agree: runs of one setting, and their median.

use crate::bench::house::{Fault, House, Shape};
use crate::bench::latency::Percentiles;
use crate::bench::load::{AHEAD, Load, Measured, machine_limit, prepare, run};
use crate::bench::memory_peak_bytes;
use crate::bench::street::Street;
use kithkin_protocol::consensus::{Algorithm, Timing};
use kithkin_protocol::crypto::SigningKey;
use kithkin_protocol::ledger::{Genesis, Profile, SignedTransaction, Workload};
use serde::Serialize;
use std::sync::Arc;

/// Most unsigned transactions made beforehand for one second at saturation, for four validators of one process; for more of
/// them less in proportion, because they finalize less.
const UNSIGNED_PER_S: usize = 150_000;
/// The same where each validator has a process of its own.
const UNSIGNED_APART_PER_S: usize = 90_000;
/// Most signed transactions made beforehand for one second at saturation.
const SIGNED_PER_S: usize = 25_000;

/// One setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What decides on blocks.
    pub algorithm: Algorithm,
    /// How masters are ordered.
    pub profile: Profile,
    /// Validators.
    pub validators: u16,
    /// Whether every transaction has a signature that every validator verifies.
    pub signed: bool,
    /// What is wrong with validator 0.
    pub fault: Fault,
    /// Whether each validator has a process of its own, as in production, and clients come through its door.
    pub processes: bool,
    /// What is sent.
    pub load: Load,
    /// How many runs; the median counts.
    pub runs: usize,
}

/// The median of a setting's runs.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What decides on blocks.
    pub algorithm: String,
    /// How masters are ordered.
    pub profile: &'static str,
    /// Validators.
    pub validators: u16,
    /// Whether transactions were signed.
    pub signed: bool,
    /// What was wrong with validator 0.
    pub fault: String,
    /// Whether each validator had a process of its own.
    pub processes: bool,
    /// Intended transactions a second; none at saturation.
    pub rate_per_s: Option<f64>,
    /// Bytes of a transaction.
    pub tx_bytes: usize,
    /// Final transactions a second.
    pub throughput_per_s: f64,
    /// Throughput of every run, in the order of the runs.
    pub runs_per_s: Vec<f64>,
    /// From the intended moment of sending until durable at a validator, in milliseconds.
    pub latency_ms: Percentiles,
    /// Messages of the consensus core per block; none where they are not counted.
    pub messages_per_block: Option<f64>,
    /// Blocks in the time that counts.
    pub blocks: u64,
    /// Bytes of final transactions in the time that counts.
    pub bytes: u64,
    /// Transactions sent and not final at the end.
    pub unfinished: u64,
    /// CPU seconds of the load generator.
    pub generator_cpu_s: f64,
    /// CPU seconds of the validators.
    pub nodes_cpu_s: f64,
    /// Most memory that the process ever held, in bytes, over all runs so far.
    pub memory_peak_bytes: u64,
    /// Whether the generator had nothing left to send at saturation, in any run: the throughput is a lower bound then.
    pub exhausted: bool,
    /// Signed runs: what the cores can verify at most, each validator every signature; measured beside the run.
    pub machine_limit_per_s: Option<f64>,
}

/// Timing for `validators` in one process on few cores: certificates of many votes take their time.
#[must_use]
pub fn timing(validators: u16) -> Timing {
    let base = Timing::default();
    Timing {
        base_ms: base.base_ms.max(u64::from(validators) * 40),
        ..base
    }
}

/// Runs of one setting.
struct Series {
    setting: Setting,
    done: Vec<Measured>,
    limits: Vec<f64>,
}

impl Series {
    fn new(setting: Setting) -> Self {
        let (done, limits) = (Vec::new(), Vec::new());
        Self {
            setting,
            done,
            limits,
        }
    }

    fn rounds(&self) -> usize {
        self.setting.runs.max(1)
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        if self.setting.signed {
            self.limits.push(machine_limit(self.setting.validators));
        }
        self.done.push(once(&self.setting).await?);
        Ok(())
    }

    /// The run with the median throughput; none before the first run.
    fn outcome(self) -> Option<Outcome> {
        let Self {
            setting,
            mut done,
            mut limits,
        } = self;
        let exhausted = done.iter().any(|run| run.exhausted);
        let runs_per_s = done.iter().map(|run| run.throughput_per_s).collect();
        done.sort_by(|a, b| a.throughput_per_s.total_cmp(&b.throughput_per_s));
        limits.sort_by(f64::total_cmp);
        let middle = done.len() / 2;
        let median = done.into_iter().nth(middle)?;
        Some(Outcome {
            algorithm: setting.algorithm.name().to_owned(),
            profile: setting.profile.as_str(),
            validators: setting.validators,
            signed: setting.signed,
            fault: match setting.fault {
                Fault::None => "none".to_owned(),
                Fault::Slow(ms) => format!("slow by {ms} ms"),
                Fault::Silent => "silent".to_owned(),
            },
            processes: setting.processes,
            rate_per_s: setting.load.rate,
            tx_bytes: setting.load.tx_bytes,
            throughput_per_s: median.throughput_per_s,
            runs_per_s,
            latency_ms: median.latency_ms,
            messages_per_block: median.messages_per_block,
            blocks: median.blocks,
            bytes: median.bytes,
            unfinished: median.unfinished,
            generator_cpu_s: median.generator_cpu_s,
            nodes_cpu_s: median.nodes_cpu_s,
            exhausted,
            memory_peak_bytes: memory_peak_bytes(),
            machine_limit_per_s: limits.get(limits.len() / 2).copied(),
        })
    }
}

/// Runs these settings, each as often as it says, and takes of each the run with the median throughput; in the same order.
/// They take turns, so that what disturbs the machine meanwhile meets all of them.
///
/// # Errors
/// When validators do not start.
pub async fn measure(settings: Vec<Setting>) -> anyhow::Result<Vec<Outcome>> {
    let mut all: Vec<_> = settings.into_iter().map(Series::new).collect();
    let rounds = all.iter().map(Series::rounds).max().unwrap_or(0);
    for round in 0..rounds {
        let mut turn: Vec<_> = all.iter_mut().filter(|one| round < one.rounds()).collect();
        // Whoever was first is last the next time.
        if round % 2 == 1 {
            turn.reverse();
        }
        for series in turn {
            series.run().await?;
        }
    }
    Ok(all.into_iter().filter_map(Series::outcome).collect())
}

async fn once(setting: &Setting) -> anyhow::Result<Measured> {
    let load = &setting.load;
    let shape = Shape {
        validators: setting.validators,
        profile: setting.profile,
        workload: if setting.signed {
            Workload::Opaque
        } else {
            Workload::OpaqueUnsigned
        },
        algorithm: setting.algorithm.clone(),
        fault: setting.fault,
        timing: timing(setting.validators),
    };
    if setting.processes {
        let mut street = Street::open(&shape).await?;
        let transactions = made(
            street.genesis.clone(),
            std::mem::take(&mut street.senders),
            setting,
        );
        let transactions = transactions.await?;
        return Ok(run(&mut street, load, transactions).await);
    }
    let mut house = House::open(&shape).await?;
    let transactions = made(
        house.genesis.clone(),
        std::mem::take(&mut house.senders),
        setting,
    );
    let measured = run(&mut house, load, transactions.await?).await;
    house.close().await?;
    Ok(measured)
}

/// The transactions of a run, made and signed beforehand.
async fn made(
    genesis: Arc<Genesis>,
    senders: Vec<SigningKey>,
    setting: &Setting,
) -> anyhow::Result<Vec<SignedTransaction>> {
    let load = &setting.load;
    let most = match (setting.signed, setting.processes) {
        (true, _) => SIGNED_PER_S,
        (false, true) => UNSIGNED_APART_PER_S,
        (false, false) => UNSIGNED_PER_S * 4 / usize::from(setting.validators).max(4),
    };
    let (per_s, ahead) = match load.rate {
        Some(rate) => (rate.ceil() as usize, 0),
        // Those that are still under way when the last run ends.
        None => (most, usize::try_from(AHEAD)?),
    };
    let seconds = usize::try_from(load.warm_up + load.seconds)?;
    let bytes = load.tx_bytes;
    let transactions = tokio::task::spawn_blocking(move || {
        let count = per_s.saturating_mul(seconds).saturating_add(ahead);
        prepare(&genesis, &senders, count, bytes)
    });
    Ok(transactions.await?)
}

/// The head of [`row`].
pub const TABLE_HEAD: &str = "\
| algorithm | leaders | n | fault | input/s | final/s | p50 ms | p95 ms | p99 ms | messages/block | blocks | unfinished | CPU nodes s | CPU generator s | limit/s |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// One row of a Markdown table.
#[must_use]
pub fn row(outcome: &Outcome) -> String {
    let number =
        |value: Option<f64>, none: &str| value.map_or(none.to_owned(), |v| format!("{v:.0}"));
    let messages = outcome
        .messages_per_block
        .map_or("-".to_owned(), |messages| format!("{messages:.1}"));
    format!(
        "| {} | {} | {} | {} | {} | {}{:.0} | {:.1} | {:.1} | {:.1} | {} | {} | {} | {:.1} | {:.1} | {} |",
        outcome.algorithm,
        outcome.profile,
        outcome.validators,
        outcome.fault,
        number(outcome.rate_per_s, "saturated"),
        if outcome.exhausted { "≥ " } else { "" },
        outcome.throughput_per_s,
        outcome.latency_ms.p50,
        outcome.latency_ms.p95,
        outcome.latency_ms.p99,
        messages,
        outcome.blocks,
        outcome.unfinished,
        outcome.nodes_cpu_s,
        outcome.generator_cpu_s,
        number(outcome.machine_limit_per_s, "-"),
    )
}
