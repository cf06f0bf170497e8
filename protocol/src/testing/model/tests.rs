//! The model check within bounds that every test run can afford. Larger ones:
//! `cargo run --release --features testing -p kithkin-protocol --example model_check`.

use super::*;

fn clean(scenario: Scenario) -> Report {
    let report = check(scenario);
    println!("{scenario:?}: {report}");
    if let Some(violation) = report.violations.values().next() {
        panic!("{violation:#?}");
    }
    assert!(report.exhaustive);
    assert!(report.states > 100 && report.last_states > 0 && report.healed > 0);
    report
}

/// Three honest validators and one that signs everything, in the place of each master, three views.
#[test]
fn a_byzantine_validator_forks_nothing_and_stops_nobody() {
    for leads in 1..=4 {
        let report = clean(Scenario::new(4, 3, Adversary::Byzantine { leads }));
        assert_eq!(report.finalized_views, BTreeSet::from([1, 2, 3]));
        assert_eq!(report.re_proposed_views, BTreeSet::from([2, 3]));
        assert_eq!(report.re_proposed_finalized_views, BTreeSet::from([2, 3]));
    }
}

/// One key, two honest instances with it.
#[test]
fn a_twin_forks_nothing_and_stops_nobody() {
    for leads in [3, 4] {
        let report = clean(Scenario::new(4, 2, Adversary::Twin { leads }));
        assert_eq!(report.finalized_views, BTreeSet::from([1, 2]));
        assert_eq!(report.re_proposed_finalized_views, BTreeSet::from([2]));
    }
    let report = clean(Scenario::new(4, 1, Adversary::Twin { leads: 1 }));
    assert_eq!(report.finalized_views, BTreeSet::from([1]));
}

/// Everybody crashes wherever it wants to, as often as it wants to.
#[test]
fn crashes_anywhere_fork_nothing_and_stop_nobody() {
    let report = clean(Scenario::new(4, 2, Adversary::Crashes));
    assert_eq!(report.finalized_views, BTreeSet::from([1, 2]));
    assert_eq!(report.re_proposed_finalized_views, BTreeSet::from([2]));
}

fn forks(scenario: Scenario) {
    let report = check(scenario);
    println!("{scenario:?}: {report}");
    let fork = report.violations.get(&Rule::I1).expect("the fork is found");
    println!("{fork:#?}");
    assert!(!fork.trace.is_empty());
}

/// `2f + 1` is less than `n - f` where `n` is not `3f + 1`: five validators are the fewest that show it.
#[test]
fn a_short_quorum_is_found() {
    let five = Scenario::new(5, 1, Adversary::Byzantine { leads: 1 });
    forks(five.until_fork(Mutant::ShortQuorum));
    let four = check(Scenario {
        mutant: Some(Mutant::ShortQuorum),
        ..Scenario::new(4, 2, Adversary::Byzantine { leads: 1 })
    });
    assert!(four.exhaustive && four.violations.is_empty());
    clean(Scenario::new(5, 1, Adversary::Byzantine { leads: 1 }));
}

#[test]
fn skipped_nullifications_are_found() {
    let scenario = Scenario::new(4, 2, Adversary::Byzantine { leads: 2 });
    forks(scenario.until_fork(Mutant::AcceptsGaps));
}

#[test]
fn nullify_and_finalize_in_one_view_are_found() {
    let scenario = Scenario {
        mutant: Some(Mutant::NullifiesAndFinalizes),
        ..Scenario::new(4, 2, Adversary::Byzantine { leads: 1 })
    };
    // Whichever of them comes first: the votes themselves, or the accusation that they lead to.
    let report = check(scenario);
    let found = |rule| report.violations.contains_key(&rule);
    assert!(found(Rule::I3) || found(Rule::I9), "{report}");
}

#[test]
fn votes_that_are_not_durable_are_found() {
    let scenario = Scenario {
        mutant: Some(Mutant::VotesNotDurable),
        ..Scenario::new(4, 1, Adversary::Crashes)
    };
    let report = check(scenario);
    assert!(report.violations.contains_key(&Rule::I3));
}

#[test]
fn waiting_for_the_finalization_is_a_dead_end() {
    let scenario = Scenario {
        mutant: Some(Mutant::WaitsAfterFinalize),
        ..Scenario::new(4, 1, Adversary::Byzantine { leads: 4 })
    };
    let report = check(scenario);
    assert!(report.violations.contains_key(&Rule::I20));
}
