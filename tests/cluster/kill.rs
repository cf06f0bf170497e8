//! kill -9, twenty times in a row: nothing acknowledged is lost, and height never goes back.

use crate::support::{LONG, Running, check_passes, number, on, seed, start};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde_json::Value;
use std::time::{Duration, Instant};

const KILLS: u32 = 20;

/// What was promised so far.
#[derive(Default)]
struct Promised {
    /// The highest height that was told, by any line.
    height: u64,
    /// The highest number of an acknowledgement.
    acknowledged: u64,
}

impl Promised {
    fn note(&mut self, line: &Value) {
        if let Some(height) = line["height"].as_u64() {
            self.height = self.height.max(height);
        }
        if line["type"] == "ack" {
            self.acknowledged = self.acknowledged.max(number(line, "seq"));
            assert_eq!(line["status"], "stored", "{line}");
        }
    }

    /// The first word after a start must not fall short of what was told before.
    fn compare(&self, ready: &Value) {
        let (height, acknowledged) = (number(ready, "height"), number(ready, "acknowledged"));
        assert!(
            height >= self.height,
            "height went back: {} then {height}",
            self.height
        );
        assert!(
            acknowledged >= self.acknowledged,
            "{} then {ready}",
            self.acknowledged
        );
    }
}

#[test]
fn twenty_kills_in_a_row_lose_nothing() {
    let seed = seed();
    eprintln!("seed {seed}; the same moments again: KITHKIN_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut promised = Promised::default();
    let mut start_up = Vec::new();
    for round in 0..KILLS {
        let began = Instant::now();
        let load_seed = round.to_string();
        let shape = "--validators 7 --hospitals 2 --patients 3 --relatives 5 --load 20 --seed";
        let mut args: Vec<&str> = shape.split(' ').collect();
        args.push(&load_seed);
        let running = start(&on(folder.path(), &args));
        if rng.next_u32().is_multiple_of(5) {
            kill_during_start(running, &mut rng, &start_up, &mut promised);
        } else {
            start_up.push(kill_at_work(running, &mut rng, began, &mut promised));
        }
    }
    assert!(promised.acknowledged > 0, "something was acknowledged");
    start_up.sort_unstable();
    let median = start_up.get(start_up.len() / 2);
    eprintln!(
        "{} acknowledged at height {}; start-up: median {median:?}, longest {:?}",
        promised.acknowledged,
        promised.height,
        start_up.last()
    );
    let began = Instant::now();
    check_passes(folder.path(), promised.acknowledged);
    eprintln!("checked in {:?}", began.elapsed());
}

/// Kills it at a random moment between its birth and its being ready.
fn kill_during_start(
    running: Running,
    rng: &mut ChaCha8Rng,
    start_up: &[Duration],
    promised: &mut Promised,
) {
    let usual = start_up
        .last()
        .copied()
        .unwrap_or(Duration::from_millis(300));
    let moment = usual.mul_f64(f64::from(rng.next_u32() % 1_000) / 1_000.0);
    // No line is awaited here: this is how long the child is let live.
    if let Some(line) = running.line_within(moment) {
        promised.compare(&line);
    }
    for line in running.kill() {
        promised.note(&line);
    }
}

/// Kills it as soon as a random number of lines has come, and a random while later, below a millisecond or so.
fn kill_at_work(
    mut running: Running,
    rng: &mut ChaCha8Rng,
    began: Instant,
    promised: &mut Promised,
) -> Duration {
    let ready = running.until("ready");
    let start_up = began.elapsed();
    promised.compare(&ready);
    promised.note(&ready);
    let lines = 1 + rng.next_u32() % 12;
    // Half of the time acknowledgements are counted, so that new ones must come after every crash.
    let kinds: &[&str] = if rng.next_u32().is_multiple_of(2) {
        &["ack"]
    } else {
        &["ack", "status"]
    };
    for _ in 0..lines {
        let line = running.until_any(kinds);
        promised.note(&line);
    }
    for _ in 0..rng.next_u32() % 200_000 {
        std::hint::spin_loop();
    }
    for line in running.kill() {
        promised.note(&line);
    }
    assert!(began.elapsed() < 4 * LONG);
    start_up
}
