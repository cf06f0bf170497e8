//! `kithkin-bench`: credit-BFT, PBFT, rotation and chance on the same mempool, disk and transport, side by side.

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use kithkin::bench::consensus::{Outcome, Setting, TABLE_HEAD, measure, row, timing};
use kithkin::bench::house::Fault;
use kithkin::bench::load::Load;
use kithkin::bench::plot::{Line, Panel, draw};
use kithkin_bench::pbft;
use kithkin_protocol::consensus::Algorithm;
use kithkin_protocol::ledger::Profile;
use std::path::{Path, PathBuf};

/// Measures every combination at saturation, or at one rate; the median of the runs counts.
#[derive(Debug, Parser)]
#[command(name = "kithkin-bench")]
struct Arguments {
    /// Numbers of validators
    #[arg(long, value_delimiter = ',', default_values_t = [4, 7, 10, 16, 31, 61, 100])]
    validators: Vec<u16>,
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Contender::ALL)]
    contender: Vec<Contender>,
    /// What goes wrong with validator 0, the first primary of PBFT, when the warm-up is over
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Trouble::None, Trouble::Slow, Trouble::Silent])]
    fault: Vec<Trouble>,
    /// Bytes of a transaction
    #[arg(long, default_value_t = 512)]
    tx_bytes: usize,
    /// Sign transactions
    #[arg(long)]
    signed: bool,
    /// Transactions a second; as many as the validators take when left out
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds that count, per run
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Seconds before, that do not count
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    /// Runs per setting
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Print a JSON array instead of the table
    #[arg(long)]
    json: bool,
    /// Write plots (SVG) into this folder
    #[arg(long)]
    plot: Option<PathBuf>,
}

/// What stands in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Contender {
    /// Credit-BFT as it ships
    CreditBft,
    /// A plain PBFT
    Pbft,
    /// The core of credit-BFT, masters in turn
    RoundRobin,
    /// The core of credit-BFT, masters by lot
    Random,
}

impl Contender {
    const ALL: [Self; 4] = [Self::CreditBft, Self::Pbft, Self::RoundRobin, Self::Random];

    fn parts(self) -> (&'static str, Algorithm, Profile) {
        match self {
            Self::CreditBft => ("credit-bft", Algorithm::default(), Profile::Balanced),
            Self::Pbft => ("pbft", pbft::algorithm(), Profile::Fixed),
            Self::RoundRobin => ("round-robin", Algorithm::default(), Profile::RoundRobin),
            Self::Random => ("random", Algorithm::default(), Profile::Random),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Trouble {
    /// Nothing
    None,
    /// It proposes late, by half of the first timeout
    Slow,
    /// It stops
    Silent,
}

impl Trouble {
    fn fault(self, validators: u16) -> Fault {
        match self {
            Self::None => Fault::None,
            Self::Slow => Fault::Slow(timing(validators).base_ms / 2),
            Self::Silent => Fault::Silent,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::None => "healthy",
            Self::Slow => "primary becomes slow",
            Self::Silent => "primary stops",
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    actix::System::new().block_on(compare(&arguments))
}

async fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let mut all: Vec<(Trouble, Contender, Outcome)> = Vec::new();
    if !arguments.json {
        println!("{TABLE_HEAD}");
    }
    for &trouble in &arguments.fault {
        for &validators in &arguments.validators {
            let ring = arguments.contender.iter();
            let settings =
                ring.map(|contender| setting(arguments, trouble, validators, *contender));
            let outcomes = measure(settings.collect()).await?;
            for (&contender, outcome) in arguments.contender.iter().zip(outcomes) {
                if !arguments.json {
                    println!("{}", row(&outcome));
                }
                all.push((trouble, contender, outcome));
            }
        }
    }
    if arguments.json {
        let outcomes: Vec<&Outcome> = all.iter().map(|(_, _, outcome)| outcome).collect();
        println!("{}", serde_json::to_string(&outcomes)?);
    } else {
        print_ratios(&all);
    }
    match &arguments.plot {
        Some(folder) => plot(folder, arguments, &all).context("cannot plot"),
        None => Ok(()),
    }
}

fn setting(
    arguments: &Arguments,
    trouble: Trouble,
    validators: u16,
    contender: Contender,
) -> Setting {
    let (_, algorithm, profile) = contender.parts();
    Setting {
        algorithm,
        profile,
        validators,
        signed: arguments.signed,
        fault: trouble.fault(validators),
        processes: false,
        load: Load {
            tx_bytes: arguments.tx_bytes,
            rate: arguments.rate,
            seconds: arguments.seconds,
            warm_up: arguments.warm_up,
        },
        runs: arguments.runs,
    }
}

/// Throughput as a multiple of PBFT's: of the medians, of the means, which a fault that only some runs meet weighs on too, and
/// of the runs of one turn: with two contenders they followed each other. A side that had nothing left to send is marked: it
/// could have been faster.
fn print_ratios(all: &[(Trouble, Contender, Outcome)]) {
    println!(
        "\n| n | primary | final/s by PBFT's | medians | means | pairs: median | least | most |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (trouble, contender, outcome) in all {
        let beside = all.iter().find(|(t, c, other)| {
            (*t, *c, other.validators) == (*trouble, Contender::Pbft, outcome.validators)
        });
        let Some((_, _, pbft)) = beside.filter(|_| *contender != Contender::Pbft) else {
            continue;
        };
        let runs = outcome.runs_per_s.iter().zip(&pbft.runs_per_s);
        let mut pairs: Vec<f64> = runs.map(|(mine, its)| mine / its).collect();
        pairs.sort_by(f64::total_cmp);
        let middle = pairs.get(pairs.len() / 2);
        let (Some(least), Some(middle), Some(most)) = (pairs.first(), middle, pairs.last()) else {
            continue;
        };
        let exhausted = match (outcome.exhausted, pbft.exhausted) {
            (false, false) => "",
            (true, false) => "≥ ",
            (false, true) => "≤ ",
            (true, true) => "? ",
        };
        let mean = |runs: &[f64]| runs.iter().sum::<f64>() / runs.len() as f64;
        println!(
            "| {} | {} | {} | {exhausted}{:.2} | {exhausted}{:.2} | {exhausted}{middle:.2} | {least:.2} | {most:.2} |",
            outcome.validators,
            trouble.title(),
            contender.parts().0,
            outcome.throughput_per_s / pbft.throughput_per_s,
            mean(&outcome.runs_per_s) / mean(&pbft.runs_per_s),
        );
    }
}

/// One panel per fault: throughput, and for healthy validators also latency and messages per block.
fn plot(
    folder: &Path,
    arguments: &Arguments,
    all: &[(Trouble, Contender, Outcome)],
) -> anyhow::Result<()> {
    let panel = |trouble: Trouble, title: String, y: &str, value: &dyn Fn(&Outcome) -> f64| {
        let line = |&contender: &Contender| Line {
            name: contender.parts().0.to_owned(),
            points: all
                .iter()
                .filter(|(t, c, _)| (*t, *c) == (trouble, contender))
                .map(|(_, _, outcome)| (f64::from(outcome.validators), value(outcome)))
                .collect(),
        };
        Panel {
            title,
            x: "validators".to_owned(),
            y: y.to_owned(),
            log: true,
            lines: arguments.contender.iter().map(line).collect(),
        }
    };
    let throughput: Vec<Panel> = arguments
        .fault
        .iter()
        .map(|&trouble| {
            let title = format!("Throughput, {}", trouble.title());
            panel(trouble, title, "transactions/s", &|o| o.throughput_per_s)
        })
        .collect();
    draw(&folder.join("compare-throughput.svg"), &throughput)?;
    if arguments.fault.contains(&Trouble::None) {
        let healthy = Trouble::None;
        let latency = |name: &str, value: &dyn Fn(&Outcome) -> f64| {
            panel(healthy, format!("Latency {name}"), "ms", value)
        };
        let panels = [
            latency("p50", &|o| o.latency_ms.p50),
            latency("p95", &|o| o.latency_ms.p95),
            latency("p99", &|o| o.latency_ms.p99),
        ];
        draw(&folder.join("compare-latency.svg"), &panels)?;
        let messages = panel(healthy, "Messages per block".to_owned(), "messages", &|o| {
            o.messages_per_block.unwrap_or_default()
        });
        draw(&folder.join("compare-messages.svg"), &[messages])?;
    }
    Ok(())
}
