//! A validator that votes twice is convicted before everybody's eyes, and the cluster goes on.

use crate::support::{check_passes, number, on, start};
use std::time::Instant;

#[test]
fn a_double_voter_is_convicted_in_the_lines_and_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let shape = ["--hospitals", "1", "--patients", "1", "--relatives", "3"];
    let more = ["--load", "5", "--liar", "validator-3=double-vote"];
    let args: Vec<&str> = shape.iter().chain(&more).copied().collect();
    let mut running = start(&on(folder.path(), &args));
    let ready = running.until("ready");
    assert_eq!(number(&ready, "tolerates"), 1);
    let deadline = Instant::now() + running.patience;
    let status = loop {
        let status = running.until("status");
        if status["convicted"]["validator-3"].is_object() {
            break status;
        }
        assert!(Instant::now() < deadline, "nobody is convicted: {status}");
    };
    let convicted = status["convicted"].as_object().unwrap();
    assert_eq!(convicted.len(), 1, "{status}");
    let row = &convicted["validator-3"];
    assert!(number(row, "offences") >= 1, "{status}");
    let until = number(row, "jailed_until");
    assert!(until > 10_000, "{status}");
    assert_eq!(status["credit"]["validator-3"], 0, "{status}");
    for honest in ["validator-0", "validator-1", "validator-2"] {
        assert!(number(&status["credit"], honest) > 0, "{status}");
    }
    let ack = running.until("ack");
    running.signal("TERM");
    let (status, _, stderr) = running.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("validator-3 lies"), "{stderr}");
    let line = stderr
        .lines()
        .find(|line| line.contains("a validator is convicted"));
    let line = line.unwrap_or_else(|| panic!("no line tells of it: {stderr}"));
    for words in ["offender=v3", "offence=", "jailed_until=", "height="] {
        assert!(line.contains(words), "{words} in {line}");
    }
    for honest in ["offender=v0", "offender=v1", "offender=v2"] {
        assert!(!stderr.contains(honest), "{honest} in {stderr}");
    }
    check_passes(folder.path(), number(&ack, "seq"));
}
