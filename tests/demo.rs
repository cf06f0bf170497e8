//! `kithkin demo` from the outside: the real binary, its JSON, its exit codes.

use kithkin_fhir::{Bundle, summary};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn demo(arguments: &[&str], scratch: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kithkin"))
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", scratch)
        .env("RUST_LOG", "off")
        .output()
        .expect("the binary starts")
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("{error}: {text}\n{said}")
    })
}

/// What must hold in every run, whatever record it is about.
fn assert_held(report: &Value, record: &[u8]) {
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["opened_equals_written"], true, "{report}");
    assert_eq!(report["record_bytes"], record.len(), "{report}");
    assert_eq!(report["kin"]["total"], 5, "{report}");
    assert_eq!(report["kin"]["threshold"], 3, "{report}");
    assert_eq!(report["kin"]["approved"], 4, "{report}");
    let forged = report["kin"]["forged_detected"].as_array().expect("a list");
    assert_eq!(forged.len(), 1, "{report}");
    let restarts = report["restarts"].as_array().expect("a list");
    let panicked = restarts.iter().any(|restart| {
        let reason = restart["reason"].as_str().unwrap_or_default();
        let actor = restart["actor"].as_str().unwrap_or_default();
        reason.starts_with("panicked") && actor.starts_with("kin-0-")
    });
    assert!(panicked, "{report}");
    let consensus = &report["consensus"];
    assert_eq!(consensus["validators"], 4, "{report}");
    assert!(consensus["view_changes"].as_u64() >= Some(1), "{report}");
    assert!(consensus["height"].as_u64() >= Some(5), "{report}");
    assert!(
        !consensus["leader_set"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
    assert_eq!(
        consensus["credit"].as_object().map(|credit| credit.len()),
        Some(4)
    );
    assert!(
        report["on_chain_bytes_per_record"].as_f64() > Some(0.0),
        "{report}"
    );
    for span in ["request_to_granted", "last_approval_to_readable"] {
        assert!(report["latency_ms"][span].is_u64(), "{report}");
    }
    let bundle = Bundle::parse(record).expect("a good record");
    let counts = summary::active_counts(&bundle);
    let found = &report["summary"];
    assert_eq!(found["allergies"], counts.allergies, "{report}");
    assert_eq!(found["medications"], counts.medications, "{report}");
    assert_eq!(found["problems"], counts.problems, "{report}");
}

fn is_empty(folder: &Path) -> bool {
    let mut entries = std::fs::read_dir(folder).expect("the folder is there");
    entries.next().is_none()
}

#[test]
fn the_main_job_holds_with_all_three_faults_and_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().expect("a folder");
    let output = demo(&["--json"], scratch.path());
    assert!(output.status.success(), "{output:?}");
    assert_held(&json(&output), kithkin_fhir::fixture::demo_bundle());
    assert!(is_empty(scratch.path()), "a temporary folder is left");
}

#[test]
fn people_are_told_a_timeline_and_the_summary() {
    let scratch = tempfile::tempdir().expect("a folder");
    let output = demo(&["--seed", "7"], scratch.path());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    for words in [
        "height",
        "deals key shares to 5 kin",
        "fault: panics",
        "the supervisor starts it again",
        "its partial opening is forged",
        "EMERGENCY SUMMARY",
        "Warfarin",
        "byte for byte",
    ] {
        assert!(text.contains(words), "{words} in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colour, but this is no terminal");
    assert!(!text.contains("NO "), "{text}");
}

/// The folder of real records beside the checkout.
fn shared_data() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    files
}

#[test]
fn real_records_come_back_byte_for_byte() {
    let files = shared_data();
    if files.is_empty() {
        println!("shared data absent: nothing was checked");
    }
    for file in files {
        let scratch = tempfile::tempdir().expect("a folder");
        let record = std::fs::read(&file).expect("the record is there");
        let path = file.to_str().expect("a plain name");
        let output = demo(&["--json", "--record", path], scratch.path());
        assert!(output.status.success(), "{path}: {output:?}");
        assert_held(&json(&output), &record);
        assert!(
            is_empty(scratch.path()),
            "{path}: a temporary folder is left"
        );
    }
}

#[test]
fn a_record_that_cannot_be_sealed_is_refused_by_name_before_anything_starts() {
    let scratch = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &str| {
        let path = scratch.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("a plain name").to_owned()
    };
    let missing = scratch.path().join("missing.json");
    let missing = missing.to_str().expect("a plain name").to_owned();
    let cases = [
        (missing, "cannot be read"),
        (file("torn.json", "{\"resourceType\": \"Bun"), "not JSON"),
        (
            file("other.json", "{\"resourceType\": \"Patient\"}"),
            "Bundle",
        ),
        (
            file(
                "nobody.json",
                "{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[{\"resource\":{\"resourceType\":\"Device\"}}]}",
            ),
            "no Patient",
        ),
    ];
    let temporary = tempfile::tempdir().expect("a folder");
    for (path, words) in cases {
        let output = demo(&["--json", "--record", &path], temporary.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{path}: {said}");
        assert!(
            said.contains(&path) && said.contains(words),
            "{words} in: {said}"
        );
        assert!(output.stdout.is_empty(), "{path}");
        assert!(is_empty(temporary.path()), "{path}");
    }
}

/// The second time, too: nothing is played whose bundles could not be written.
#[test]
fn a_folder_that_holds_bundles_is_refused_before_anything_starts() {
    let scratch = tempfile::tempdir().expect("a folder");
    let temporary = tempfile::tempdir().expect("a folder");
    let evidence = scratch.path().join("evidence");
    std::fs::create_dir(&evidence).expect("made");
    let genesis = evidence.join("genesis.toml");
    std::fs::write(&genesis, "of another play").expect("written");
    for taken in [&evidence, &genesis] {
        let taken = taken.to_str().expect("a plain name");
        let output = demo(&["--audit", taken], temporary.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("genesis.toml is there already"), "{said}");
        assert!(said.contains("give a new folder"), "{said}");
        assert!(output.stdout.is_empty() && is_empty(temporary.path()));
    }
    let kept = std::fs::read_to_string(&genesis).expect("still there");
    assert_eq!(kept, "of another play");
}
