//! What cannot be is refused with words that help and an exit code that tells what is wrong; nothing is damaged.

use crate::support::{check_passes, number, on, run, start};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs it; it must end with this code and say all of these words.
fn refuses(args: &[&str], code: i32, words: &[&str]) {
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    for word in words {
        assert!(
            stderr.contains(word),
            "{args:?} does not say {word}: {stderr}"
        );
    }
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
}

#[test]
fn what_is_typed_wrong_is_explained() {
    refuses(
        &["--validators", "0"],
        2,
        &["at least one validator", "4 tolerate one"],
    );
    refuses(&["--hospitals", "0"], 2, &["at least one hospital"]);
    refuses(
        &["--validators", "201"],
        2,
        &["201 validators", "at most 200"],
    );
    refuses(&["--relatives", "2"], 2, &["3 to 64 relatives, not 2"]);
    refuses(
        &["--validatos", "4"],
        2,
        &["unexpected argument", "--validators"],
    );
    refuses(&["--load", "often"], 2, &["often", "records a second"]);
    refuses(&["--load", "0"], 2, &["above 0"]);
    refuses(
        &["--load", "5", "--patients", "0"],
        2,
        &["--patients must be at least 1"],
    );
    refuses(&["--for", "soon"], 2, &["soon"]);
    refuses(
        &["--liar", "validator-3=sleep"],
        2,
        &["validator-3=double-vote", "no way to lie"],
    );
    refuses(
        &["--liar", "validator-4=equivocate"],
        2,
        &["the last one is validator-3"],
    );
    refuses(
        &[
            "--liar",
            "validator-2=equivocate",
            "--liar",
            "validator-3=double-vote",
        ],
        2,
        &["4 validators tolerate 1", "not 2"],
    );
    refuses(&["--check"], 2, &["--data DIR"]);
    refuses(&["--check", "--data", "x", "--load", "1"], 2, &["--load"]);
}

#[test]
fn a_bad_settings_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.toml");
    let config = path.to_str().unwrap();
    refuses(&["--config", config], 2, &["cannot be read", config]);
    fs::write(&path, "validators = \n").unwrap();
    refuses(&["--config", config], 2, &["config/cluster.toml", config]);
    fs::write(&path, "nurses = 3\n").unwrap();
    refuses(&["--config", config], 2, &["nurses", config]);
    fs::write(&path, "load_records_per_s = -1.0\n").unwrap();
    refuses(&["--config", config], 2, &["load_records_per_s", "above 0"]);
}

#[test]
fn the_environment_counts_and_its_mistakes_are_named() {
    let output = crate::support::command(&["--check"])
        .env("KITHKIN_CLUSTER_DATA", "/nowhere/at/all")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("no cluster in /nowhere/at/all"), "{stderr}");
    let output = crate::support::command(&[])
        .env("KITHKIN_CLUSTER_VALIDATORS", "few")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("KITHKIN_CLUSTER_VALIDATORS=few"),
        "{stderr}"
    );
}

#[test]
fn a_folder_that_is_not_ours_or_of_another_shape_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let shape = ["--patients", "0", "--validators", "4", "--for", "10ms"];
    let (status, _, stderr) = start(&on(&data, &shape)).end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    let before = fs::read(data.join("cluster.toml")).unwrap();
    refuses(
        &on(&data, &["--validators", "5"]),
        3,
        &[
            "was made for 4 validators",
            "cannot be continued as 5 validators",
        ],
    );
    assert_eq!(fs::read(data.join("cluster.toml")).unwrap(), before);
    let (status, _, stderr) = start(&on(&data, &["--for", "10ms"])).end();
    assert_eq!(status.code(), Some(0), "nothing is damaged: {stderr}");

    fs::write(data.join("cluster.toml"), "this is no cluster").unwrap();
    refuses(&on(&data, &[]), 3, &["cluster.toml", "cannot be read"]);
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    refuses(&on(&file, &["--for", "10ms"]), 3, &[file.to_str().unwrap()]);
}

/// Validators that have forgotten what they signed must not sign again under the same keys.
#[test]
fn keys_without_their_database_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["--patients", "0", "--for", "10ms"];
    let (status, _, stderr) = start(&on(&data, &args)).end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    fs::rename(data.join("db"), folder.path().join("db")).unwrap();
    refuses(&on(&data, &args), 3, &["its database (db) is gone"]);
    assert!(!data.join("db").exists(), "nothing was founded anew");
    fs::rename(folder.path().join("db"), data.join("db")).unwrap();
    let (status, _, stderr) = start(&on(&data, &args)).end();
    assert_eq!(status.code(), Some(0), "nothing is damaged: {stderr}");
}

#[test]
fn a_folder_in_use_is_refused_and_its_user_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let shape = ["--validators", "4", "--hospitals", "1", "--patients", "1"];
    let more = ["--relatives", "3", "--load", "5"];
    let args: Vec<&str> = shape.iter().chain(&more).copied().collect();
    let mut first = start(&on(folder.path(), &args));
    first.until("ready");
    for args in [vec![], vec!["--check"]] {
        refuses(&on(folder.path(), &args), 3, &["in use by another process"]);
    }
    let seen = number(&first.until("ack"), "seq");
    let ack = first.until("ack");
    assert_eq!(number(&ack, "seq"), seen + 1, "the first goes on");
    first.signal("TERM");
    let (status, _, stderr) = first.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    check_passes(folder.path(), seen + 1);
}

/// A small file system in memory; unmounted when dropped.
struct SmallDisk<'p>(&'p Path);

impl<'p> SmallDisk<'p> {
    /// None when this user may not mount.
    fn mount(path: &'p Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(path);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(path))
    }

    /// Writes until not a byte more fits.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("ballast")).unwrap();
        let full = std::io::copy(&mut std::io::repeat(7), &mut file).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    }

    /// Takes back what [`Self::fill`] wrote.
    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Nothing to be done when it fails; the folder's removal then fails as well.
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_stops_it_and_damages_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    };
    let data = disk.0.join("data");
    let shape = ["--validators", "4", "--hospitals", "1", "--patients", "1"];
    let more = ["--relatives", "3", "--load", "50"];
    let args: Vec<&str> = shape.iter().chain(&more).copied().collect();
    let mut running = start(&on(&data, &args));
    running.until("ready");
    let mut acknowledged = number(&running.until("ack"), "seq");
    disk.fill();
    let (status, rest, stderr) = running.end();
    assert_eq!(status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("nothing acknowledged is lost"), "{stderr}");
    assert!(
        stderr.contains("full") || stderr.contains("No space left"),
        "{stderr}"
    );
    for ack in rest.iter().filter(|line| line["type"] == "ack") {
        acknowledged = acknowledged.max(number(ack, "seq"));
    }
    assert_eq!(rest.last().unwrap()["type"], "stopped", "{rest:?}");
    assert_eq!(rest.last().unwrap()["reason"], "storage");

    // A start on the full disk fails the same way, and does no harm either.
    disk.fill();
    refuses(&on(&data, &["--load", "50"]), 3, &["free some space"]);
    disk.free();
    check_passes(&data, acknowledged);
    let mut running = start(&on(&data, &["--load", "10"]));
    assert!(
        number(&running.until("ack"), "seq") > acknowledged,
        "it goes on"
    );
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0));
    check_passes(&data, acknowledged + 1);
}
