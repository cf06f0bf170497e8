//! Opening a record beside attribute-based encryption:
//! `cargo run --release --manifest-path bench/abe/Cargo.toml -- [--json] [--runs N]`.
//!
//! What is compared: on our side everything that kin and hospital compute to open one record of 4 KiB with 3 of 5 shares,
//! one step after the other (as `cargo bench -p kithkin-protocol --bench opening -- one`); on the other side the one call
//! of `decrypt`, hybrid as crate `rabe` does it, of 4 KiB. One thread, and in each run everything twice, of which the second
//! is timed, in an order that turns from run to run: a machine that becomes faster or slower does so for all.

// Of the protocol's own benchmark, so that both measure the same work.
#[path = "../../../protocol/benches/opening_support/mod.rs"]
mod opening_support;
mod schemes;

use anyhow::Result;
use clap::Parser;
use kithkin_protocol::record::seal;
use kithkin_protocol::sharing::{Threshold, TierKey, deal};
use opening_support::figures::{Both, Figures, Spent, load, machine, processor, timed};
use opening_support::scene::{RECORD_BYTES, Scene, rng, text};
use opening_support::work::in_series;
use schemes::{Authority, SCHEMES, decrypt};
use serde_json::{Value, json};

/// Attributes in each policy; all are needed.
const ATTRIBUTES: [usize; 3] = [3, 5, 10];
const NEEDED: usize = 3;
const KIN: usize = 5;
/// How many times as fast the scheme's claim says that access to data is.
const CLAIM: f64 = 15.0;
const WARM_UP: u64 = 2;

/// Measures opening one record with shares beside decrypting it under an attribute policy, on one thread.
#[derive(Parser)]
#[command(name = "kithkin-bench-abe", version)]
struct Args {
    /// How often everything is done; medians are over these.
    #[arg(long, default_value_t = 51, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// Times of one contender, one for each run.
#[derive(Default)]
struct Times {
    access: Vec<Spent>,
    seal: Vec<Spent>,
    keys: Vec<Spent>,
}

/// What is in the tables of one contender.
struct Row {
    name: String,
    attributes: Option<usize>,
    access: Both,
    seal: Both,
    keys: Both,
}

#[expect(clippy::large_enum_variant, reason = "there are seven of them")]
enum Contender {
    Ours(Box<Scene>),
    Theirs(Authority),
}

fn main() -> Result<()> {
    let args = Args::parse();
    let load_before = load();
    let payload = text(&mut rng(0));
    let contenders = contenders(&payload)?;
    let mut times: Vec<Times> = contenders.iter().map(|_| Times::default()).collect();
    for run in 0..WARM_UP + args.runs {
        for turn in 0..contenders.len() {
            let position = (turn + run as usize) % contenders.len();
            // The first time brings its code and tables back into the caches, from which the others have driven them.
            contenders[position].once(&payload, run)?;
            let once = contenders[position].once(&payload, run)?;
            if run >= WARM_UP {
                let times = &mut times[position];
                times.access.push(once.0);
                times.seal.push(once.1);
                times.keys.push(once.2);
            }
        }
    }
    let rows: Vec<Row> = contenders
        .iter()
        .zip(times)
        .map(|(contender, times)| contender.row(times))
        .collect();
    if args.json {
        let report = report(&rows, args.runs, load_before);
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&rows, args.runs, load_before);
    }
    Ok(())
}

/// Ours first; each of the others has shown that it opens, and that its policy holds.
fn contenders(payload: &[u8]) -> Result<Vec<Contender>> {
    let mut contenders = vec![Contender::Ours(Box::new(Scene::new(NEEDED, KIN, 1)))];
    for scheme in SCHEMES {
        for count in ATTRIBUTES {
            let authority = Authority::new(scheme, count);
            authority.check(payload)?;
            contenders.push(Contender::Theirs(authority));
        }
    }
    Ok(contenders)
}

impl Contender {
    /// Access, sealing and keys, each once.
    fn once(&self, payload: &[u8], run: u64) -> Result<(Spent, Spent, Spent)> {
        match self {
            Self::Ours(scene) => {
                let mut rng = rng(run);
                let (_, access) = timed(|| in_series(scene, &mut rng));
                let context = &scene.records[0].context;
                let (sealed, seal) = timed(|| seal(payload, context, &scene.tier_key, &mut rng));
                sealed?;
                let threshold = Threshold::new(NEEDED, KIN)?;
                let (dealt, keys) = timed(|| {
                    let key = TierKey::random(&mut rng);
                    deal(&key, threshold, &mut rng)
                });
                dealt?;
                Ok((access, seal, keys))
            }
            Self::Theirs(authority) => {
                let (key, keys) = timed(|| authority.user_key(authority.attributes.len()));
                let (ciphertext, seal) = timed(|| authority.encrypt(payload));
                let (key, ciphertext) = (key?, ciphertext?);
                let (opened, access) = timed(|| decrypt(&key, &ciphertext));
                anyhow::ensure!(opened? == payload, "another plaintext");
                Ok((access, seal, keys))
            }
        }
    }

    fn row(&self, times: Times) -> Row {
        let (name, attributes) = match self {
            Self::Ours(_) => (format!("Kithkin, {NEEDED} of {KIN} kin"), None),
            Self::Theirs(authority) => {
                let count = authority.attributes.len();
                let name = format!("{}, {count} attributes", authority.scheme.name());
                (name, Some(count))
            }
        };
        Row {
            name,
            attributes,
            access: Both::of(&times.access),
            seal: Both::of(&times.seal),
            keys: Both::of(&times.keys),
        }
    }
}

/// How many times as fast as this row ours is on the processor: by medians, and by least values.
fn ratios(row: &Row, ours: &Row) -> (f64, f64) {
    let (theirs, ours) = (row.access.cpu, ours.access.cpu);
    (theirs.median / ours.median, theirs.least / ours.least)
}

fn print(rows: &[Row], runs: u64, load_before: Option<f64>) {
    let Some((ours, theirs)) = rows.split_first() else {
        return;
    };
    let shown = |both: &Both| {
        let [cpu, least, clock] =
            [both.cpu.median, both.cpu.least, both.clock.median].map(|seconds| seconds * 1e3);
        format!("{cpu:.2} | {least:.2} | {clock:.2}")
    };
    println!("Access to one record of {RECORD_BYTES} bytes, one thread, {runs} runs in turn; ms\n");
    println!(
        "| | on the processor, median | least | by the clock, median | times ours, medians | times ours, least | at least {CLAIM}? |"
    );
    println!("|---|---|---|---|---|---|---|");
    println!("| {} | {} | 1 | 1 | |", ours.name, shown(&ours.access));
    for row in theirs {
        let (medians, least) = ratios(row, ours);
        let verdict = if medians >= CLAIM { "yes" } else { "no" };
        let (name, access) = (&row.name, shown(&row.access));
        println!("| {name} | {access} | {medians:.1} | {least:.1} | {verdict} |");
    }
    println!(
        "\nFor context: sealing, and keys (ours: a tier key dealt to all kin; theirs: one user's key); ms\n"
    );
    println!(
        "| | seal: on the processor, median | least | by the clock, median | keys: on the processor, median | least | by the clock, median |"
    );
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        let (name, seal, keys) = (&row.name, shown(&row.seal), shown(&row.keys));
        println!("| {name} | {seal} | {keys} |");
    }
    println!("\n{}", machine(load_before));
}

fn report(rows: &[Row], runs: u64, load_before: Option<f64>) -> Value {
    let figures = |f: Figures| json!({ "median": f.median * 1e3, "least": f.least * 1e3 });
    let both = |b: Both| json!({ "cpu": figures(b.cpu), "clock": figures(b.clock) });
    let ours = rows.first();
    let contenders: Vec<Value> = rows
        .iter()
        .map(|row| {
            // Ours has no attributes, and is not compared with itself.
            let compared = ours.filter(|_| row.attributes.is_some());
            let compared = compared.map(|ours| ratios(row, ours));
            json!({
                "name": row.name, "attributes": row.attributes,
                "access": both(row.access), "seal": both(row.seal), "keys": both(row.keys),
                "times_ours_medians": compared.map(|(medians, _)| medians),
                "times_ours_least": compared.map(|(_, least)| least),
                "holds": compared.map(|(medians, _)| medians >= CLAIM),
            })
        })
        .collect();
    json!({
        "processor": processor(), "load_before": load_before, "load_after": load(), "runs": runs,
        "record_bytes": RECORD_BYTES, "unit": "ms", "claim": CLAIM, "contenders": contenders,
    })
}
