//! `kithkin bench consensus`: runs every combination that was asked for; table, JSON or plots.

use crate::bench::consensus::{Outcome, Setting, TABLE_HEAD, measure, row};
use crate::bench::house::Fault;
use crate::bench::load::Load;
use crate::bench::plot::{Line, Panel, draw};
use crate::bench::street::PROCESSES_MAX;
use crate::cli::{ConsensusArgs, ProfileArg};
use crate::commands::Failure;
use anyhow::anyhow;
use kithkin_protocol::consensus::Algorithm;
use kithkin_protocol::ledger::Profile;
use std::path::Path;

/// Measures every combination of `--validators` and `--rate`.
///
/// # Errors
/// [`Failure::Usage`] for values that make no sense, [`Failure::Cluster`] when validators do not start,
/// [`Failure::Storage`] when a plot cannot be written.
pub(super) async fn run(args: &ConsensusArgs) -> Result<(), Failure> {
    if args.validators.iter().any(|n| !(1..=200).contains(n)) {
        return Err(Failure::Usage(anyhow!(
            "--validators takes numbers from 1 to 200"
        )));
    }
    if !(200..=32_000).contains(&args.tx_bytes) {
        return Err(Failure::Usage(anyhow!(
            "--tx-bytes takes a size from 200 to 32000"
        )));
    }
    if args.seconds == 0 || args.seconds > 3_600 || args.runs == 0 {
        return Err(Failure::Usage(anyhow!(
            "--seconds takes 1 to 3600, --runs at least 1"
        )));
    }
    if args.processes && args.validators.iter().any(|n| *n > PROCESSES_MAX) {
        return Err(Failure::Usage(anyhow!(
            "--processes takes at most {PROCESSES_MAX} validators"
        )));
    }
    let rates: Vec<Option<f64>> = if args.rate.is_empty() {
        vec![None]
    } else {
        args.rate.iter().copied().map(Some).collect()
    };
    let mut outcomes = Vec::new();
    if !args.json {
        println!("{TABLE_HEAD}");
    }
    for &validators in &args.validators {
        for &rate in &rates {
            let settings = vec![setting(args, validators, rate)];
            let measured = measure(settings).await.map_err(Failure::Cluster)?;
            for outcome in measured.iter().filter(|_| !args.json) {
                println!("{}", row(outcome));
            }
            outcomes.extend(measured);
        }
    }
    if args.json {
        // One setting: one object. Several: an array.
        let text = match outcomes.as_slice() {
            [one] => serde_json::to_string(one),
            all => serde_json::to_string(all),
        };
        println!("{}", text.map_err(|error| Failure::NotHeld(error.into()))?);
    }
    if let Some(folder) = &args.plot {
        plot(folder, &outcomes, rates.len() > 1).map_err(Failure::Storage)?;
    }
    Ok(())
}

fn setting(args: &ConsensusArgs, validators: u16, rate: Option<f64>) -> Setting {
    Setting {
        algorithm: Algorithm::default(),
        profile: match args.profile {
            ProfileArg::Literal => Profile::Literal,
            ProfileArg::Balanced => Profile::Balanced,
            ProfileArg::Hardened => Profile::Hardened,
        },
        validators,
        signed: !args.opaque,
        fault: Fault::None,
        processes: args.processes,
        load: Load {
            tx_bytes: args.tx_bytes,
            rate,
            seconds: args.seconds,
            warm_up: args.warm_up,
        },
        runs: args.runs,
    }
}

/// Against the input rate when there are several, else against the number of validators.
fn plot(folder: &Path, outcomes: &[Outcome], by_rate: bool) -> anyhow::Result<()> {
    let x = |outcome: &Outcome| match outcome.rate_per_s {
        Some(rate) if by_rate => rate,
        _ => f64::from(outcome.validators),
    };
    let line = |name: &str, y: &dyn Fn(&Outcome) -> f64| Line {
        name: name.to_owned(),
        points: outcomes.iter().map(|o| (x(o), y(o))).collect(),
    };
    let (x_name, file) = if by_rate {
        ("input (transactions/s)", "rate.svg")
    } else {
        ("validators", "validators.svg")
    };
    let panel = |title: &str, y: &str, log: bool, lines: Vec<Line>| Panel {
        title: title.to_owned(),
        x: x_name.to_owned(),
        y: y.to_owned(),
        log,
        lines,
    };
    let throughput = vec![line("final", &|o| o.throughput_per_s)];
    let latency = vec![
        line("p50", &|o| o.latency_ms.p50),
        line("p95", &|o| o.latency_ms.p95),
        line("p99", &|o| o.latency_ms.p99),
    ];
    let panels = [
        panel("Throughput", "transactions/s", false, throughput),
        panel("Latency", "ms", true, latency),
    ];
    draw(&folder.join(file), &panels)
}
