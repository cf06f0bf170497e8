//! The model check of the consensus core with larger bounds than in the tests. Arguments: validators, views, adversary
//! (`byzantine`, `twin` or `crashes`), the view that the faulty one leads (all of them without it), and at most how many states.
//!
//! `cargo run --release --features testing -p kithkin-protocol --example model_check -- 4 3 byzantine`
//! Without arguments it runs the bounds that `docs/spec/consensus.md` states.

use kithkin_protocol::consensus::Mutant;
use kithkin_protocol::testing::model::{Adversary, Report, Rule, Scenario, check};
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        return stated();
    }
    let number = |place: usize, default: u64| {
        let text = arguments.get(place);
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let n = u16::try_from(number(0, 4)).expect("a few validators");
    let views = number(1, 2);
    let adversary = arguments.get(2).map_or("byzantine", String::as_str);
    let states_max = usize::try_from(number(4, u64::MAX)).expect("a number of states");
    let places = match number(3, 0) {
        0 if adversary == "crashes" => 1..=1,
        0 => 1..=u64::from(n),
        place => place..=place,
    };
    for leads in places {
        let adversary = match adversary {
            "byzantine" => Adversary::Byzantine { leads },
            "twin" => Adversary::Twin { leads },
            "crashes" => Adversary::Crashes,
            other => panic!("unknown adversary {other}"),
        };
        run(Scenario {
            states_max,
            ..Scenario::new(n, views, adversary)
        });
    }
}

/// What the specification states.
fn stated() {
    for leads in 1..=4 {
        run(Scenario::new(4, 3, Adversary::Byzantine { leads }));
    }
    for leads in 1..=4 {
        run(Scenario::new(4, 2, Adversary::Twin { leads }));
    }
    run(Scenario::new(4, 2, Adversary::Crashes));
    for (mutant, n, leads) in [(Mutant::ShortQuorum, 5, 1), (Mutant::AcceptsGaps, 4, 2)] {
        let scenario = Scenario::new(n, 2, Adversary::Byzantine { leads }).until_fork(mutant);
        let report = run(scenario);
        let fork = report.violations.get(&Rule::I1);
        println!("{fork:#?}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this program tells how long the check took"
)]
fn run(scenario: Scenario) -> Report {
    let begun = Instant::now();
    let report = check(scenario);
    println!(
        "{:?}, n = {}, {} views, mutant {:?}: {report}; {:.1} s",
        scenario.adversary,
        scenario.n,
        scenario.views,
        scenario.mutant,
        begun.elapsed().as_secs_f64()
    );
    for violation in report.violations.values() {
        println!("{violation:#?}");
    }
    report
}
