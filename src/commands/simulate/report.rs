//! What is to be run, and what is said about it.

use crate::cli::{FaultsArg, ProfileArg, SimulateArgs};
use crate::commands::Failure;
use crate::commands::simulate::workers::{self, Total};
use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use kithkin_protocol::consensus::Mutant;
use kithkin_protocol::ledger::Profile;
use kithkin_protocol::testing::{Behaviour, Faults, Scenario, simulate};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Most failing seeds of one size that are reported one by one.
const REPORTED_MAX: usize = 5;
/// The commit that the program was built from, where the build says so.
const COMMIT: Option<&str> = option_env!("KITHKIN_COMMIT");

pub(super) fn run(args: &SimulateArgs) -> Result<(), Failure> {
    let base = scenario(args).map_err(Failure::Usage)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(cores);
    // Panics of the code under test are violations and are reported as such.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut sizes = Vec::new();
    for &validators in &args.validators {
        let scenario = Scenario {
            validators,
            ..base.clone()
        };
        let begin = Instant::now();
        let bar = bar(validators, args.seeds);
        let total = workers::run(&scenario, args.seeds, jobs, args.mutant.is_some(), &|| {
            bar.inc(1)
        });
        bar.finish_and_clear();
        sizes.push((scenario, total, begin.elapsed()));
    }
    std::panic::set_hook(hook);
    let mut traces = Vec::new();
    for (scenario, total, _) in &sizes {
        for &seed in total.violations.keys().take(REPORTED_MAX) {
            traces.push(trace(scenario, seed, &args.traces).map_err(Failure::Storage)?);
        }
    }
    if args.json {
        for (scenario, total, took) in &sizes {
            println!("{}", line(scenario, total, *took));
        }
    } else {
        print!("{}", table(&sizes, jobs));
        for (scenario, total, _) in &sizes {
            print!("{}", violations(args, scenario, total));
        }
        for path in &traces {
            println!("sequence diagram: {}", path.display());
        }
    }
    judge(args, &sizes)
}

/// With a planted bug it must be caught; without one nothing may be found.
fn judge(args: &SimulateArgs, sizes: &[(Scenario, Total, Duration)]) -> Result<(), Failure> {
    let found: usize = sizes
        .iter()
        .map(|(_, total, _)| total.violations.len())
        .sum();
    match (&args.mutant, found) {
        (None, 0) => Ok(()),
        (None, found) => Err(Failure::NotHeld(anyhow!("{found} seeds broke a rule"))),
        (Some(name), 0) => Err(Failure::NotHeld(anyhow!(
            "the planted bug {name} was not caught by {} seeds; a directed schedule may be needed",
            args.seeds
        ))),
        (Some(name), _) => {
            for (scenario, total, _) in sizes {
                if let Some((seed, violation)) = total.violations.first_key_value() {
                    let seeds = seed.wrapping_sub(scenario.seed) + 1;
                    let n = scenario.validators;
                    if !args.json {
                        println!(
                            "{name} caught with {n} validators after {seeds} seeds by {}",
                            violation.rule
                        );
                    }
                }
            }
            Ok(())
        }
    }
}

fn scenario(args: &SimulateArgs) -> anyhow::Result<Scenario> {
    if let Some(n) = args.validators.iter().find(|n| !(1..=100).contains(*n)) {
        return Err(anyhow!("--validators {n}: 1 to 100 can be simulated"));
    }
    let byzantine = args.byzantine.iter().map(|name| {
        Behaviour::named(name).with_context(|| {
            let names: Vec<_> = Behaviour::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("--byzantine {name}: there are {}", names.join(", "))
        })
    });
    let mutant = args.mutant.as_ref().map(|name| {
        Mutant::named(name).with_context(|| {
            let names: Vec<_> = Mutant::ALL.iter().map(|mutant| mutant.as_str()).collect();
            format!("--mutant {name}: there are {}", names.join(", "))
        })
    });
    Ok(Scenario {
        heights: args.heights,
        faults: match args.faults {
            FaultsArg::All => Faults::All,
            FaultsArg::Network => Faults::Network,
            FaultsArg::Crashes => Faults::Crashes,
            FaultsArg::None => Faults::None,
        },
        byzantine: byzantine.collect::<anyhow::Result<_>>()?,
        mutant: mutant.transpose()?,
        profile: args.profile.map(|profile| match profile {
            ProfileArg::Literal => Profile::Literal,
            ProfileArg::Balanced => Profile::Balanced,
            ProfileArg::Hardened => Profile::Hardened,
        }),
        ..Scenario::new(0, args.seed)
    })
}

fn bar(validators: u16, seeds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} seeds, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_prefix(format!("{validators} validators"));
    bar
}

/// Runs a failing seed once more and writes its sequence diagram.
fn trace(scenario: &Scenario, seed: u64, folder: &Path) -> anyhow::Result<PathBuf> {
    let outcome = simulate(&Scenario {
        seed,
        trace: true,
        ..scenario.clone()
    });
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let n = scenario.validators;
    let path = folder.join(format!("validators-{n}-seed-{seed}.txt"));
    let mut text = String::new();
    if let Some(violation) = outcome.violation {
        let _ = writeln!(
            text,
            "{n} validators, seed {seed}, after {} ms: {violation}\n",
            outcome.at_ms
        );
    }
    text.push_str(
        outcome
            .diagram
            .as_deref()
            .unwrap_or("the program panicked before anything could be drawn\n"),
    );
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

fn table(sizes: &[(Scenario, Total, Duration)], jobs: usize) -> String {
    let mut text = String::from(
        "validators    seeds   heights  view changes  real  violations  stuck  seeds/s  digest\n",
    );
    for (scenario, total, took) in sizes {
        let _ = writeln!(
            text,
            "{:>10} {:>8} {:>9} {:>13} {:>5} {:>11} {:>6} {:>8.0}  {}",
            scenario.validators,
            total.seeds,
            total.heights,
            total.view_changes,
            total.real,
            total.violations.len(),
            total.stuck(),
            total.seeds as f64 / took.as_secs_f64().max(1e-9),
            total.digest(),
        );
    }
    text.push_str("\nseeds with this fault:\n");
    for (scenario, total, _) in sizes {
        let kinds = total
            .faults
            .iter()
            .map(|(kind, count)| format!("{} {count}", kind.as_str()));
        let kinds: Vec<_> = kinds.collect();
        let least = total.kinds_min.unwrap_or(0);
        let _ = writeln!(
            text,
            "{:>10}  at least {least} kinds: {}",
            scenario.validators,
            kinds.join(", ")
        );
    }
    let took: Duration = sizes.iter().map(|(_, _, took)| *took).sum();
    let _ = writeln!(text, "\n{:.1} s on {jobs} threads", took.as_secs_f64());
    text
}

/// What was broken, and the line that breaks it again.
fn violations(args: &SimulateArgs, scenario: &Scenario, total: &Total) -> String {
    let mut text = String::new();
    for (seed, violation) in total.violations.iter().take(REPORTED_MAX) {
        let n = scenario.validators;
        let _ = writeln!(text, "\n{n} validators, seed {seed}: {violation}");
        let _ = writeln!(text, "  again: {}", again(args, scenario, *seed));
    }
    let more = total.violations.len().saturating_sub(REPORTED_MAX);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more seeds");
    }
    text
}

fn again(args: &SimulateArgs, scenario: &Scenario, seed: u64) -> String {
    let mut line = format!(
        "kithkin simulate --validators {} --seeds 1 --seed {seed} --heights {} --faults {}",
        scenario.validators,
        scenario.heights,
        args.faults.as_str(),
    );
    if !args.byzantine.is_empty() {
        let _ = write!(line, " --byzantine {}", args.byzantine.join(","));
    }
    if let Some(mutant) = &args.mutant {
        let _ = write!(line, " --mutant {mutant}");
    }
    if let Some(profile) = scenario.profile {
        let _ = write!(line, " --profile {}", profile.as_str());
    }
    let version = env!("CARGO_PKG_VERSION");
    let commit = COMMIT.unwrap_or("unknown");
    let _ = write!(
        line,
        "   # version {version}, commit {commit}, configuration {}",
        scenario.configuration()
    );
    line
}

fn line(scenario: &Scenario, total: &Total, took: Duration) -> serde_json::Value {
    let faults: serde_json::Map<_, _> = total
        .faults
        .iter()
        .map(|(kind, count)| (kind.as_str().to_owned(), (*count).into()))
        .collect();
    let violations: Vec<_> = total
        .violations
        .iter()
        .map(|(seed, violation)| {
            serde_json::json!({ "seed": seed, "rule": violation.rule, "what": violation.what })
        })
        .collect();
    serde_json::json!({
        "validators": scenario.validators,
        "configuration": scenario.configuration(),
        "seeds": total.seeds,
        "first_seed": scenario.seed,
        "heights": total.heights,
        "events": total.events,
        "view_changes": total.view_changes,
        "real_signatures": total.real,
        "fault_kinds_min": total.kinds_min,
        "faults": faults,
        "stuck": total.stuck(),
        "violations": violations,
        "seconds": took.as_secs_f64(),
        "digest": total.digest(),
    })
}
