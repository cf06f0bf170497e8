//! Fewer than four validators tolerate nothing; the program says so and works all the same.

use crate::support::{check_passes, number, on, start};

fn works_with(validators: &str, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let shape = [
        "--validators",
        validators,
        "--hospitals",
        "1",
        "--patients",
        "1",
    ];
    let more = ["--relatives", "3", "--load", "5"];
    let args: Vec<&str> = shape.iter().chain(&more).copied().collect();
    let mut running = start(&on(folder.path(), &args));
    let ready = running.until("ready");
    assert_eq!(number(&ready, "tolerates"), 0);
    let ack = running.until("ack");
    assert_eq!(ack["patient"], "patient-0");
    running.signal("TERM");
    let (status, _, stderr) = running.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("tolerate") && stderr.contains(words),
        "{stderr}"
    );
    check_passes(folder.path(), number(&ack, "seq"));
}

#[test]
fn one_validator_works_with_a_warning() {
    works_with("1", "1 validator tolerates no fault");
}

#[test]
fn two_validators_work_with_a_warning() {
    works_with("2", "all 2 must be up");
}

#[test]
fn three_validators_work_with_a_warning() {
    works_with("3", "all 3 must be up");
}
