//! The model check within bounds that every test run can afford. Larger ones: `cargo run --release --example model_check`.

use super::*;

fn clean(scenario: Scenario) -> Report {
    let report = check(scenario);
    for violation in report.violations.values() {
        panic!("{violation:#?}");
    }
    println!("{scenario:?}: {report:#?}");
    report
}

#[test]
fn byzantine_small() {
    for leads in 1..=4 {
        let t = std::time::Instant::now();
        clean(Scenario::new(4, 2, Adversary::Byzantine { leads }));
        println!("{:?}", t.elapsed());
    }
}

#[test]
fn twin_small() {
    for leads in 1..=4 {
        let t = std::time::Instant::now();
        clean(Scenario::new(4, 2, Adversary::Twin { leads }));
        println!("{:?}", t.elapsed());
    }
}

#[test]
fn crash_small() {
    let t = std::time::Instant::now();
    clean(Scenario::new(4, 1, Adversary::Crashes));
    println!("{:?}", t.elapsed());
}
