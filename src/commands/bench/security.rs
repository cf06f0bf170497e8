//! `kithkin bench security`: the table, the JSON and the plot of the security figure.

use crate::bench::plot::{Line, Panel, draw};
use crate::bench::security::{Adversary, Rule, Trial};
use crate::cli::SecurityArgs;
use crate::commands::Failure;
use anyhow::anyhow;
use serde::Serialize;
use std::path::Path;
use std::sync::Mutex;

/// One cell of the table.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cell {
    validators: u16,
    malicious_percent: u16,
    malicious: u16,
    adversary: Adversary,
    rule: Rule,
    /// How often the first master of a height misbehaved, over all seeds.
    probability: f64,
}

#[derive(Serialize)]
struct Report<'a> {
    warm_up_heights: u64,
    heights: u64,
    seeds: u64,
    cells: &'a [Cell],
}

/// Measures every combination.
///
/// # Errors
/// [`Failure::Usage`] for values that make no sense, [`Failure::Storage`] when a plot cannot be written.
pub(super) fn run(args: &SecurityArgs) -> Result<(), Failure> {
    check(args)?;
    let cells = measure(args);
    if args.json {
        let report = Report {
            warm_up_heights: args.warm_up,
            heights: args.heights,
            seeds: args.seeds,
            cells: &cells,
        };
        let text = serde_json::to_string(&report).map_err(|e| Failure::NotHeld(e.into()))?;
        println!("{text}");
    } else {
        print_table(args, &cells);
    }
    if let Some(folder) = &args.plot {
        plot(folder, args, &cells).map_err(Failure::Storage)?;
    }
    Ok(())
}

fn check(args: &SecurityArgs) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::Usage(anyhow!("{text}")));
    if args.validators.iter().any(|n| !(1..=1_000).contains(n)) {
        return usage("--validators takes numbers from 1 to 1000");
    }
    if args.malicious.iter().any(|percent| *percent > 33) {
        return usage(
            "--malicious takes percentages from 0 to 33: more than a third breaks any such protocol",
        );
    }
    if args.heights == 0 || args.seeds == 0 {
        return usage("--heights and --seeds must be at least 1");
    }
    Ok(())
}

/// All combinations, shared out among the cores.
fn measure(args: &SecurityArgs) -> Vec<Cell> {
    let mut todo = Vec::new();
    for &validators in &args.validators {
        for &adversary in &args.adversary {
            for &malicious_percent in &args.malicious {
                for &rule in &args.rule {
                    todo.push((validators, adversary, malicious_percent, rule));
                }
            }
        }
    }
    let queue = Mutex::new(todo.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no worker panics").next();
                    let Some((place, (validators, adversary, malicious_percent, rule))) = next
                    else {
                        return;
                    };
                    let trial = |seed| Trial {
                        validators,
                        malicious_percent,
                        adversary,
                        rule,
                        warm_up: args.warm_up,
                        heights: args.heights,
                        seed,
                    };
                    let strikes: u64 = (1..=args.seeds).map(|seed| trial(seed).strikes()).sum();
                    let counted = args.heights.saturating_mul(args.seeds);
                    let cell = Cell {
                        validators,
                        malicious_percent,
                        malicious: trial(1).malicious(),
                        adversary,
                        rule,
                        probability: strikes as f64 / counted as f64,
                    };
                    done.lock().expect("no worker panics").push((place, cell));
                }
            });
        }
    });
    let mut cells = done.into_inner().expect("no worker panics");
    cells.sort_by_key(|(place, _)| *place);
    cells.into_iter().map(|(_, cell)| cell).collect()
}

fn find(
    cells: &[Cell],
    validators: u16,
    adversary: Adversary,
    percent: u16,
    rule: Rule,
) -> Option<&Cell> {
    cells.iter().find(|cell| {
        cell.validators == validators
            && cell.adversary == adversary
            && cell.malicious_percent == percent
            && cell.rule == rule
    })
}

/// A table that Markdown shows as one.
fn print_table(args: &SecurityArgs, cells: &[Cell]) {
    println!(
        "How often the first master misbehaves, in per cent of {} heights x {} seeds, after a warm-up of {} heights.\n",
        args.heights, args.seeds, args.warm_up
    );
    let names: Vec<&str> = args.rule.iter().map(|rule| rule.as_str()).collect();
    println!("| n | adversary | malicious | {} |", names.join(" | "));
    println!("|---|---|---|{}", "---|".repeat(names.len()));
    for &n in &args.validators {
        for &adversary in &args.adversary {
            for &percent in &args.malicious {
                let row: Vec<String> = args
                    .rule
                    .iter()
                    .filter_map(|&rule| find(cells, n, adversary, percent, rule))
                    .map(|cell| format!("{:.2}", cell.probability * 100.0))
                    .collect();
                let name = adversary.as_str();
                println!("| {n} | {name} | {percent} % | {} |", row.join(" | "));
            }
        }
    }
}

/// One file per number of validators, one panel per adversary.
fn plot(folder: &Path, args: &SecurityArgs, cells: &[Cell]) -> anyhow::Result<()> {
    for &n in &args.validators {
        let panel = |&adversary: &Adversary| {
            let line = |&rule: &Rule| {
                let point = |&percent: &u16| {
                    find(cells, n, adversary, percent, rule)
                        .map(|cell| (f64::from(percent), cell.probability * 100.0))
                };
                Line {
                    name: rule.as_str().to_owned(),
                    points: args.malicious.iter().filter_map(point).collect(),
                }
            };
            Panel {
                title: format!("{n} validators, adversary: {}", adversary.as_str()),
                x: "malicious validators (%)".to_owned(),
                y: "first master misbehaves (%)".to_owned(),
                log: false,
                lines: args.rule.iter().map(line).collect(),
            }
        };
        let panels: Vec<Panel> = args.adversary.iter().map(panel).collect();
        draw(&folder.join(format!("security-{n}.svg")), &panels)?;
    }
    Ok(())
}
