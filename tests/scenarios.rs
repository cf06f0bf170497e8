//! `kithkin scenario` from the outside: every script of ours, a false expectation, a script that is none.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn scenario(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kithkin"))
        .arg("scenario")
        .args(arguments)
        .env("RUST_LOG", "off")
        .output()
        .expect("the binary starts")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios")
}

fn play(name: &str) -> Value {
    let path = folder().join(name);
    let output = scenario(&["run", "--json", path.to_str().expect("a plain name")]);
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(text.trim()).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("{error}: {text}\n{said}")
    });
    assert_eq!(report["ok"], true, "{report:#}");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    report
}

/// What was found for the expectation that contains these words.
fn found(report: &Value, words: &str) -> String {
    let expectations = report["expectations"].as_array().expect("a list");
    let expectation = expectations.iter().find(|one| {
        let sentence = one["expect"].as_str().unwrap_or_default();
        sentence.contains(words)
    });
    let found = &expectation.unwrap_or_else(|| panic!("{words} in {report:#}"))["found"];
    found.as_str().expect("a text").to_owned()
}

macro_rules! scenarios {
    ($($test:ident: $file:literal),* $(,)?) => {
        const TESTED: &[&str] = &[$($file),*];
        $(#[test]
        fn $test() {
            play($file);
        })*
    };
}

scenarios! {
    quiet_day: "quiet-day.toml",
    unconscious_patient: "unconscious-patient.toml",
    two_of_five_unreachable: "two-of-five-unreachable.toml",
    one_kin_forges: "one-kin-forges.toml",
    master_crashes_mid_case: "master-crashes-mid-case.toml",
    replayed_approval: "replayed-approval.toml",
    shares_are_refreshed: "shares-are-refreshed-after-a-case.toml",
    a_dealer_cheats: "a-dealer-cheats.toml",
    three_kin_replaced: "three-kin-replaced-one-after-another.toml",
    a_relative_declines: "a-relative-declines.toml",
    rules_are_changed: "rules-are-changed.toml",
    stolen_phone: "stolen-phone-changes-the-roster.toml",
    patients_phone_is_lost: "patients-phone-is-lost.toml",
    thief_is_vetoed: "thief-vouched-for-is-vetoed.toml",
    kins_phone_is_lost: "kins-phone-is-lost.toml",
    drill_finds_a_dead_share: "drill-finds-a-dead-share.toml",
    lost_pieces: "lost-pieces-are-made-anew.toml",
    consent_expires: "consent-expires-mid-read.toml",
    consent_is_revoked: "consent-is-renewed-and-revoked.toml",
    second_circle_is_asked: "second-circle-is-asked.toml",
    second_circle_named_later: "a-second-circle-named-later.toml",
    second_circle_lost_phone: "a-second-circle-after-a-lost-phone.toml",
    sensitive_stays_shut: "sensitive-tier-stays-shut.toml",
    not_urgent_waits: "what-is-not-urgent-waits.toml",
    asks_too_often: "a-hospital-asks-too-often.toml",
    two_cases_at_once: "two-cases-at-once.toml",
    partition_during_approval: "partition-during-approval.toml",
    accreditation_revoked: "accreditation-revoked-mid-case.toml",
    veto_during_the_case: "veto-during-the-case.toml",
    kin_crashes_and_comes_back: "kin-crashes-and-comes-back.toml",
    silent_validator: "silent-validator.toml",
    a_validator_lies: "a-validator-lies.toml",
    record_is_erased: "a-record-is-erased.toml",
    overdue_review: "overdue-review-costs-credit.toml",
    unjustified_case: "unjustified-case-costs-credit.toml",
}

/// These two must stay shut; that is shown twice over.
const SHUT: [&str; 2] = ["three-of-five-unreachable.toml", "too-few-approve.toml"];

#[test]
fn what_must_stay_shut_stays_shut_and_nothing_leaves_a_kin() {
    for name in SHUT {
        let found = found(&play(name), "stayed shut");
        for words in [
            "5 kin say that they released none",
            "the network saw none",
            "expired",
        ] {
            assert!(found.contains(words), "{name}: {words} in {found}");
        }
    }
}

#[test]
fn every_script_of_ours_is_tested_and_listed() {
    let dir = folder();
    let output = scenario(&["list", "--json", dir.to_str().expect("a plain name")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let listed = listed.as_array().expect("a list");
    for one in listed {
        let file = Path::new(one["file"].as_str().expect("a text"));
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        assert!(
            TESTED.contains(&name) || SHUT.contains(&name),
            "{name} is not tested"
        );
        assert!(!one["title"].as_str().expect("a text").is_empty());
        assert!(!one["story"].as_str().expect("a text").is_empty());
    }
    assert_eq!(listed.len(), TESTED.len() + SHUT.len());
}

/// Scripts beside each other, each with every seed: one line each in this order, and a last one about all of them.
#[test]
fn several_scripts_and_seeds_are_played_beside_each_other() {
    let files = ["quiet-day.toml", "unconscious-patient.toml"].map(|name| folder().join(name));
    let files = files.each_ref().map(|path| path.to_str().expect("plain"));
    let seeds = ["--seed", "7", "--seeds", "2", "--jobs", "4"];
    let output = scenario(&[&["run", "--json"], &seeds[..], &files[..]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (sum, plays) = lines.split_last().expect("lines");
    let expected = files.iter().flat_map(|file| [(*file, 7), (*file, 8)]);
    let told = plays
        .iter()
        .map(|play| (play["scenario"].as_str(), play["seed"].as_u64()));
    assert!(
        told.eq(expected.map(|(file, seed)| (Some(file), Some(seed)))),
        "{text}"
    );
    assert_eq!((&sum["plays"], &sum["failed"]), (&4.into(), &0.into()));
    let longest = plays.iter().map(|play| play["took_ms"].as_u64()).max();
    let sum_of_all: u64 = plays
        .iter()
        .filter_map(|play| play["took_ms"].as_u64())
        .sum();
    let took = sum["took_ms"].as_u64();
    assert!(took >= longest.flatten(), "{text}");
    assert!(took < Some(sum_of_all), "one after the other: {text}");
}

fn script(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("written");
    path.to_str().expect("a plain name").to_owned()
}

#[test]
fn a_false_expectation_and_a_step_that_was_to_fail_exit_with_1() {
    let scratch = tempfile::tempdir().expect("a folder");
    let head = "title = \"t\"\nstory = \"s\"\n[cast]\nvalidators = 1\nhospitals = 1\nrelatives = 3\n\
                [[step]]\ndo.enrol = { patient = \"patient-0\" }\n";
    let cases = [
        (
            "false.toml",
            "[[expect]]\nview_changes = { at_least = 1000 }\n",
            "1000 view changes",
        ),
        (
            "not-refused.toml",
            "[[step]]\nfails = \"no\"\ndo.heal = {}\n[[expect]]\nheight = { at_least = 1 }\n",
            "was to be refused",
        ),
    ];
    for (name, rest, words) in cases {
        let path = script(scratch.path(), name, &format!("{head}{rest}"));
        let output = scenario(&["run", "--json", &path]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(words), "{words} in {text}");
        let report: Value = serde_json::from_str(text.trim()).expect("JSON");
        assert_eq!(report["ok"], false);
        assert!(String::from_utf8_lossy(&output.stderr).contains(&path));
    }
}

#[test]
fn a_wrong_script_exits_with_2_before_anything_is_played() {
    let scratch = tempfile::tempdir().expect("a folder");
    let head = "title = \"t\"\nstory = \"s\"\n[[expect]]\nheight = { at_least = 1 }\n";
    let torn = script(scratch.path(), "torn.toml", "title = ");
    let unknown = script(
        scratch.path(),
        "unknown.toml",
        &format!("{head}[cast]\nnurses = 1\n"),
    );
    let stranger = script(
        scratch.path(),
        "stranger.toml",
        &format!("{head}[[step]]\ndo.crash = {{ actor = \"kin-3-0\", how = \"panic\" }}\n"),
    );
    let missing = scratch.path().join("missing.toml");
    let missing = missing.to_str().expect("a plain name").to_owned();
    let good = folder().join("quiet-day.toml");
    let good = good.to_str().expect("a plain name");
    for (path, words) in [
        (torn, "no script"),
        (unknown, "nurses"),
        (stranger, "there is no kin-3-0 in this cast"),
        (missing, "cannot be read"),
    ] {
        let output = scenario(&["run", "--json", good, &path]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(&path) && said.contains(words),
            "{words} in {said}"
        );
        assert!(output.stdout.is_empty(), "something was played");
    }
}
