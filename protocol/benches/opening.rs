//! What an opening costs: `cargo bench -p kithkin-protocol --bench opening [-- one|chart --runs N --chart-runs N --json FILE]`.
//!
//! A plain program, no harness. One record of 4 KiB by 3 of 5 kin, everything that kin and hospital compute in series;
//! and a chart of 1,000 such records by 5 (k = 3) and 21 (k = 11) kin, on all cores. Without network, disk and ledger.
//! No feature is on: what is measured is what ships.

mod opening_support;

use opening_support::chart::{PHASES, Run, open_chart};
use opening_support::figures::{Both, Figures, Spent, cores, load, machine, processor};
use opening_support::scene::{RECORD_BYTES, Scene, rng};
use opening_support::work::{Part, Step, Steps, in_series, parts_of_record};
use serde_json::{Value, json};

const ONE_GOAL_MS: f64 = 1.5;
const CHART_GOAL_MS: f64 = 1_000.0;
const CHART_RECORDS: usize = 1_000;
/// Not counted: the first runs build tables and warm the caches.
const WARM_UP: u64 = 10;

const ALL: &str = "all";
const HEAD: &str =
    "| step | times | on the processor, median | least | share % | by the clock, median |
|---|---|---|---|---|---|";

struct Args {
    part: Option<String>,
    runs: u64,
    chart_runs: u64,
    json: Option<String>,
}

fn main() {
    let args = args();
    let wants = |part: &str| args.part.as_deref().is_none_or(|wanted| wanted == part);
    let load_before = load();
    let mut report = json!({ "processor": processor(), "cores": cores() });
    if wants("one") {
        report["one_record"] = one_record(args.runs);
    }
    if wants("chart") {
        let charts = [(3, 5), (11, 21)].map(|(needed, kin)| chart(needed, kin, args.chart_runs));
        report["charts"] = Value::from(charts.to_vec());
    }
    report["load_before"] = json!(load_before);
    report["load_after"] = json!(load());
    println!("\n{}", machine(load_before));
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report).expect("numbers and names");
        std::fs::write(file, text + "\n").expect("the report can be written");
    }
}

fn args() -> Args {
    let mut parsed = Args {
        part: None,
        runs: 300,
        chart_runs: 5,
        json: None,
    };
    let mut args = std::env::args().skip(1);
    let count = |value: Option<String>| {
        let number: Option<u64> = value.and_then(|value| value.parse().ok());
        number.filter(|&n| n > 0).expect("a number above zero")
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--runs" => parsed.runs = count(args.next()),
            "--chart-runs" => parsed.chart_runs = count(args.next()),
            "--json" => parsed.json = Some(args.next().expect("a file after --json")),
            "one" | "chart" => parsed.part = Some(arg),
            // What cargo adds of its own.
            "--bench" => {}
            other => panic!("unknown argument {other}: one, chart, --runs, --chart-runs, --json"),
        }
    }
    parsed
}

/// Steps that the goal for one record names: the others are what the program does besides.
fn in_goal(step: Step) -> bool {
    match step {
        Step::KinCapsules
        | Step::Partial
        | Step::HpkeSeal
        | Step::HpkeOpen
        | Step::Judge
        | Step::Combine
        | Step::Record => true,
        Step::KinContext
        | Step::Sign
        | Step::HospitalCapsules
        | Step::HospitalContext
        | Step::Signature => false,
    }
}

fn one_record(runs: u64) -> Value {
    let (needed, kin) = (3, 5);
    let scene = Scene::new(needed, kin, 1);
    let (mut all, mut parts) = (Vec::new(), Vec::new());
    for run in 0..WARM_UP + runs {
        let steps = in_series(&scene, &mut rng(run));
        let redone = parts_of_record(&scene);
        if run >= WARM_UP {
            all.push(steps);
            parts.push(redone);
        }
    }
    let whole = both(&all, Steps::total);
    let named = both(&all, |steps| {
        let named = Step::ALL.into_iter().filter(|step| in_goal(*step));
        named.map(|step| steps.spent[step as usize]).sum()
    });
    println!(
        "\nOne record of {RECORD_BYTES} bytes, {needed} of {kin} kin, in series, {runs} runs; µs\n"
    );
    println!("{HEAD}");
    let table = Table {
        unit: 1e6,
        whole: whole.cpu.median,
    };
    let mut rows = table.steps(&all);
    for part in Part::ALL {
        let redone: Vec<Spent> = parts.iter().map(|redone| redone[part as usize]).collect();
        rows.push(table.row(part.name(), 1, Both::of(&redone)));
    }
    rows.push(table.row(ALL, 1, whole));
    rows.push(table.row("all that the goal names", 1, named));
    println!(
        "\nGoal {ONE_GOAL_MS} ms; on the processor {:.2} ms (least {:.2}), of the steps that the goal names {:.2} ms ({:.2}).",
        whole.cpu.median * 1e3,
        whole.cpu.least * 1e3,
        named.cpu.median * 1e3,
        named.cpu.least * 1e3
    );
    json!({
        "record_bytes": RECORD_BYTES, "kin": kin, "needed": needed, "runs": runs, "unit": "us",
        "steps": rows, "goal": ONE_GOAL_MS * 1e3,
    })
}

fn chart(needed: usize, kin: usize, runs: u64) -> Value {
    let scene = Scene::new(needed, kin, CHART_RECORDS);
    let all: Vec<Run> = (0..runs).map(|run| open_chart(&scene, run)).collect();
    let steps: Vec<Steps> = all.iter().map(|run| run.steps.clone()).collect();
    let work = both(&steps, Steps::total);
    println!(
        "\nA chart of {CHART_RECORDS} records, {needed} of {kin} kin, all of whom release, {} cores, {runs} runs; ms\n",
        cores()
    );
    println!("{HEAD}");
    let table = Table {
        unit: 1e3,
        whole: work.cpu.median,
    };
    let mut rows = table.steps(&steps);
    rows.push(table.row(ALL, 1, work));
    println!("\n| phase | by the clock, median | least | on free cores, median | least |");
    println!("|---|---|---|---|---|");
    let mut phases: Vec<Value> = PHASES
        .iter()
        .enumerate()
        .map(|(phase, name)| {
            let clock = Figures::of(all.iter().map(|run| run.clock[phase]));
            let free = Figures::of(all.iter().map(|run| run.free[phase]));
            phase_row(name, clock, free)
        })
        .collect();
    let clock = Figures::of(all.iter().map(|run| run.clock.iter().sum()));
    let free = Figures::of(all.iter().map(|run| run.free.iter().sum()));
    phases.push(phase_row(ALL, clock, free));
    if kin == 5 {
        println!(
            "\nGoal {CHART_GOAL_MS} ms; by the clock {:.0} ms, on free cores {:.0} ms.",
            clock.median * 1e3,
            free.median * 1e3
        );
    }
    json!({
        "records": CHART_RECORDS, "kin": kin, "needed": needed, "runs": runs, "unit": "ms",
        "steps": rows, "phases": phases, "goal": (kin == 5).then_some(CHART_GOAL_MS),
    })
}

fn both(all: &[Steps], part: impl Fn(&Steps) -> Spent) -> Both {
    let spent: Vec<Spent> = all.iter().map(part).collect();
    Both::of(&spent)
}

fn phase_row(name: &str, clock: Figures, free: Figures) -> Value {
    let [clock, clock_least, free, free_least] =
        [clock.median, clock.least, free.median, free.least].map(|seconds| seconds * 1e3);
    println!("| {name} | {clock:.0} | {clock_least:.0} | {free:.0} | {free_least:.0} |");
    json!({
        "phase": name, "clock_median": clock, "clock_least": clock_least,
        "free_median": free, "free_least": free_least,
    })
}

/// How rows are shown: so many units a second, shares of `whole` seconds.
struct Table {
    unit: f64,
    whole: f64,
}

impl Table {
    fn steps(&self, all: &[Steps]) -> Vec<Value> {
        let rows = Step::ALL.map(|step| {
            let spent = both(all, |steps| steps.spent[step as usize]);
            self.row(step.name(), all[0].times[step as usize], spent)
        });
        rows.to_vec()
    }

    fn row(&self, name: &str, times: u32, spent: Both) -> Value {
        let (cpu, clock) = (spent.cpu, spent.clock);
        let [cpu, least, clock, clock_least] =
            [cpu.median, cpu.least, clock.median, clock.least].map(|seconds| seconds * self.unit);
        let share = spent.cpu.median / self.whole * 100.0;
        println!("| {name} | {times} | {cpu:.1} | {least:.1} | {share:.1} | {clock:.1} |");
        json!({
            "step": name, "times": times, "cpu_median": cpu, "cpu_least": least,
            "share_percent": share, "clock_median": clock, "clock_least": clock_least,
        })
    }
}
