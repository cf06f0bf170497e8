//! The simulator without the program around it: `simulate N SEEDS [FIRST]` runs seeds on one thread and prints how many a
//! second, and a digest over their event logs.

use kithkin_protocol::crypto::hash;
use kithkin_protocol::testing::{Scenario, simulate};
use std::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured here is time, and nothing depends on it"
)]
fn main() {
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .map(|text| text.parse().expect("a number"))
        .collect();
    let [n, seeds, rest @ ..] = numbers.as_slice() else {
        panic!("simulate N SEEDS [FIRST]");
    };
    let first = rest.first().copied().unwrap_or(0);
    let validators = u16::try_from(*n).expect("at most 100");
    let begin = Instant::now();
    let mut logs = Vec::new();
    for seed in first..first + seeds {
        let outcome = simulate(&Scenario::new(validators, seed));
        if let Some(violation) = outcome.violation {
            println!("seed {seed}: {violation}");
        }
        logs.push(outcome.log);
    }
    let parts: Vec<&[u8]> = logs.iter().map(<[u8; 16]>::as_slice).collect();
    let digest = hash("kithkin/simulations/1", &parts).to_hex();
    let rate = *seeds as f64 / begin.elapsed().as_secs_f64();
    println!("n {n}: {seeds} seeds, {rate:.1} seeds/s, digest {digest}");
}
