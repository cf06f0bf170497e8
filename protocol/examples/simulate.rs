//! The simulator without the program around it: `simulate N SEEDS [FIRST [BUG]]` runs seeds on one thread and prints how
//! many a second, and a digest over their event logs; with a planted bug, how many seeds catch it and by which rules.

use kithkin_protocol::consensus::Mutant;
use kithkin_protocol::crypto::hash;
use kithkin_protocol::testing::{Scenario, simulate};
use std::collections::BTreeMap;
use std::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured here is time, and nothing depends on it"
)]
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: Option<u64>| {
        let text = words.get(place);
        let number = text.map_or(default, |text| text.parse().ok());
        number.expect("simulate N SEEDS [FIRST [BUG]]")
    };
    let (n, seeds, first) = (number(0, None), number(1, None), number(2, Some(0)));
    let validators = u16::try_from(n).expect("at most 100");
    let mutant = words
        .get(3)
        .map(|name| Mutant::named(name).expect("the name of a bug"));
    let begin = Instant::now();
    let mut logs = Vec::new();
    let mut caught = Vec::new();
    let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in first..first + seeds {
        let outcome = simulate(&Scenario {
            mutant,
            ..Scenario::new(validators, seed)
        });
        if let Some(violation) = outcome.violation {
            if mutant.is_none() {
                println!("seed {seed}: {violation}");
            }
            caught.push(seed);
            *rules.entry(violation.rule).or_default() += 1;
        }
        logs.push(outcome.log);
    }
    let parts: Vec<&[u8]> = logs.iter().map(<[u8; 16]>::as_slice).collect();
    let digest = hash("kithkin/simulations/1", &parts).to_hex();
    let rate = seeds as f64 / begin.elapsed().as_secs_f64();
    println!("n {n}: {seeds} seeds, {rate:.1} seeds/s, digest {digest}");
    if let (Some(mutant), Some(found)) = (mutant, caught.first()) {
        let (name, count) = (mutant.as_str(), caught.len());
        println!("{name}: caught by {count}, first by seed {found}, {rules:?}");
    }
}
