//! A running `kithkin cluster --json` as a child process, and its lines.

pub(crate) use crate::running::{LONG, Running, number, seed};

use crate::running::program;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, ExitStatus, Output};

/// `kithkin cluster` with these arguments, not run yet.
pub(crate) fn command(args: &[&str]) -> Command {
    program(&[&["cluster"], args].concat())
}

/// Starts it.
pub(crate) fn start(args: &[&str]) -> Running {
    Running::spawn(command(args))
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    command(args).output().expect("the program starts")
}

/// The arguments for a folder.
pub(crate) fn on<'a>(data: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let data = data.to_str().expect("a plain path");
    let mut args = vec!["--json", "--data", data];
    args.extend_from_slice(more);
    args
}

/// Checks the folder; returns the line `check`.
pub(crate) fn check(data: &Path) -> (ExitStatus, Value) {
    let output = run(&on(data, &["--check"]));
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["type"] == "check");
    match line {
        Some(line) => (output.status, line),
        None => panic!(
            "no line of type check: {:?}\n{text}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Checks the folder, and that everything came back.
pub(crate) fn check_passes(data: &Path, acknowledged: u64) {
    let (status, line) = check(data);
    assert!(status.success(), "{status:?}: {line}");
    assert_eq!(line["ok"], true, "{line}");
    assert!(number(&line, "acknowledged") >= acknowledged, "{line}");
    assert_eq!(line["opened"], line["acknowledged"], "{line}");
    assert_eq!(line["opened_from_kin"], line["asked_of_kin"], "{line}");
    assert_eq!(line["failed"].as_array().map(Vec::len), Some(0), "{line}");
}
