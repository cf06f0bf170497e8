//! The simulator without the program around it: `simulate N SEEDS [FIRST [BUG|KIND]]` runs seeds on one thread and prints
//! how many a second, and a digest over their event logs; with a planted bug, how many seeds catch it and by which rules;
//! with a kind of Byzantine validator, f of the N are of that kind.

use kithkin_protocol::consensus::Mutant;
use kithkin_protocol::crypto::hash;
use kithkin_protocol::testing::{Behaviour, Scenario, simulate};
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
        number.expect("simulate N SEEDS [FIRST [BUG|KIND]]")
    };
    let (n, seeds, first) = (number(0, None), number(1, None), number(2, Some(0)));
    let validators = u16::try_from(n).expect("at most 100");
    let name = words.get(3).map(String::as_str);
    let byzantine: Vec<Behaviour> = name.and_then(Behaviour::named).into_iter().collect();
    let mutant = name.filter(|_| byzantine.is_empty()).map(|name| {
        Mutant::named(name).expect("the name of a bug, or of a kind of Byzantine validator")
    });
    let begin = Instant::now();
    let mut logs = Vec::new();
    let mut caught = Vec::new();
    let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in first..first + seeds {
        let outcome = simulate(&Scenario {
            mutant,
            byzantine: byzantine.clone(),
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
    let name = name.unwrap_or("everything drawn");
    println!("n {n}, {name}: {seeds} seeds, {rate:.1} seeds/s, digest {digest}");
    if let (Some(mutant), Some(found)) = (mutant, caught.first()) {
        let (name, count) = (mutant.as_str(), caught.len());
        println!("{name}: caught by {count}, first by seed {found}, {rules:?}");
    }
}
