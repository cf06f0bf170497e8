//! Accidents: `kill -9`, torn and damaged files, a full disk.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Names the folder to a test that plays the child process.
const CHILD_DIR: &str = "KITHKIN_TEST_STORE_DIR";

/// This test binary, running one test of this file.
fn child(program: &mut Command, test: &str, dir: &Path) {
    let path = format!("{}::{test}", module_path!());
    let (_, path) = path.split_once("::").expect("a path in a crate");
    program
        .args([path, "--exact", "--nocapture"])
        .env(CHILD_DIR, dir);
}

fn this_binary() -> PathBuf {
    std::env::current_exe().expect("a test binary")
}

/// A draw for the moment of the kill; `KITHKIN_SEED` repeats a run's draws.
fn seed() -> u64 {
    let given = std::env::var("KITHKIN_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok());
    seed.unwrap_or_else(|| u64::from(std::process::id()))
}

#[test]
fn what_was_acknowledged_survives_kill_nine() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let seed = seed();
    println!("KITHKIN_SEED={seed}");
    let mut acknowledged: Vec<(String, String)> = Vec::new();
    for round in 0..8_u64 {
        let lines = (seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .rotate_left(7 * round as u32))
            % 300;
        let mut program = Command::new(this_binary());
        child(&mut program, "child_that_is_killed", dir.path());
        let mut process = program.stdout(Stdio::piped()).spawn().expect("starts");
        let mut output = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut read = 0;
        // To the last line that came out before the kill, which comes after a few hundred at most.
        while let Some(Ok(line)) = output.next() {
            if let Some((_, ack)) = line.split_once("ACK ") {
                let (space, key) = ack.split_once(' ').expect("two words");
                acknowledged.push((space.to_owned(), key.to_owned()));
                read += 1;
            }
            if read == lines + 1 {
                process.kill().expect("killed");
            }
        }
        let status = process.wait().expect("ended");
        assert_eq!(
            status.signal(),
            Some(9),
            "the child ended by itself: {status}"
        );
        let store = reopen(&dir);
        for (name, key) in &acknowledged {
            let space = store.space(name).expect("opens");
            let value = space.get(key.as_bytes()).expect("read");
            assert_eq!(
                value,
                Some(vec![b'v'; 700]),
                "round {round}: {name} {key} was acknowledged"
            );
        }
    }
    println!(
        "{} acknowledged writes, all there after 8 kills",
        acknowledged.len()
    );
}

#[test]
fn child_that_is_killed() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return; // Not a test by itself.
    };
    let store = Store::open(Path::new(&dir), StoreOptions::default()).expect("opens");
    std::thread::scope(|scope| {
        for n in 0..4 {
            let name = format!("kin-0-{n}");
            let space = store.space(&name).expect("opens");
            scope.spawn(move || {
                for number in 0_u64.. {
                    let key = format!("{}-{number}", std::process::id());
                    space
                        .write_blocking(put(&key, vec![b'v'; 700]))
                        .expect("written");
                    // One write each, so that a kill cuts between lines.
                    let line = format!("\nACK {name} {key}\n");
                    std::io::stdout()
                        .write_all(line.as_bytes())
                        .expect("the test reads");
                }
            });
        }
    });
}

/// A database with 100 acknowledged values and nothing flushed: all are in the log.
fn with_log() -> (TempDir, PathBuf) {
    let (dir, store) = fresh();
    let space = store.space("kin-0-0").expect("opens");
    for n in 0..100 {
        space
            .write_blocking(put(
                &format!("{n:03}"),
                format!("value {n:03} of a hundred"),
            ))
            .expect("written");
    }
    drop((store, space)); // Without the flush of `close`.
    let log = newest(dir.path(), "log");
    (dir, log)
}

/// A database with the same values in a table file.
fn with_table() -> TempDir {
    let (dir, _log) = with_log();
    reopen(&dir).close().expect("closes");
    dir
}

/// The largest of the database's files of that kind.
fn newest(dir: &Path, kind: &str) -> PathBuf {
    let files = std::fs::read_dir(dir.join("db")).expect("a folder");
    let mut found: Vec<(u64, PathBuf)> = files
        .map(|file| file.expect("an entry"))
        .filter(|file| {
            let name = file.file_name().into_string().expect("a text");
            name.starts_with(kind) || name.ends_with(&format!(".{kind}"))
        })
        .map(|file| (file.metadata().expect("exists").len(), file.path()))
        .collect();
    found.sort();
    found.pop().expect("such a file").1
}

fn read_all(dir: &Path) -> Result<Vec<String>, StoreError> {
    let space = Store::open(dir, StoreOptions::default())?.space("kin-0-0")?;
    let pairs = space.scan(b"")?;
    Ok(keys(&pairs).into_iter().map(str::to_owned).collect())
}

#[test]
fn a_torn_end_of_the_log_costs_only_what_was_not_acknowledged() {
    let (dir, log) = with_log();
    let bytes = std::fs::read(&log).expect("read");
    // As if the process had died in the middle of the last write.
    for cut in [1, 20, 40] {
        std::fs::write(&log, &bytes[..bytes.len() - cut]).expect("written");
        let copy = tempfile::tempdir().expect("a temporary folder");
        let status = Command::new("cp")
            .arg("-r")
            .arg(dir.path().join("db"))
            .arg(copy.path())
            .status();
        assert!(status.expect("cp runs").success());
        let found = read_all(copy.path()).expect("opens");
        assert_eq!(found.len(), 99, "cut {cut}");
        assert_eq!(found.last().map(String::as_str), Some("098"));
    }
}

#[test]
fn a_damaged_log_is_reported_and_not_cut_short() {
    let (dir, log) = with_log();
    let mut bytes = std::fs::read(&log).expect("read");
    let needle = b"value 050";
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .expect("in the log");
    bytes[at] ^= 1;
    std::fs::write(&log, &bytes).expect("written");
    let error = read_all(dir.path()).expect_err("damaged");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("backup"), "{error}");
    // Nothing was thrown away: with the byte repaired everything is there.
    bytes[at] ^= 1;
    std::fs::write(&log, &bytes).expect("written");
    assert_eq!(read_all(dir.path()).expect("opens").len(), 100);
}

/// Flips a byte at many places of a file, one after the other: damage is reported, or does not matter.
fn flip_everywhere(dir: &Path, file: &Path) -> (usize, usize) {
    let whole = std::fs::read(file).expect("read");
    let backup = tempfile::tempdir().expect("a temporary folder");
    let copy = |from: &Path, to: &Path| {
        let status = Command::new("cp").arg("-r").arg(from).arg(to).status();
        assert!(status.expect("cp runs").success());
    };
    copy(&dir.join("db"), backup.path());
    let (mut reported, mut harmless) = (0, 0);
    for at in (0..whole.len()).step_by(whole.len().div_ceil(40)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(file, bytes).expect("written");
        match read_all(dir) {
            Ok(found) => {
                assert_eq!(found.len(), 100, "byte {at} of {}", file.display());
                harmless += 1;
            }
            Err(StoreError::Corrupt { .. }) => reported += 1,
            Err(error) => panic!("byte {at} of {}: {error}", file.display()),
        }
        // RocksDB may have written: back to the state before.
        std::fs::remove_dir_all(dir.join("db")).expect("removed");
        copy(&backup.path().join("db"), dir);
    }
    (reported, harmless)
}

#[test]
fn damage_anywhere_in_a_table_or_the_manifest_is_typed() {
    for kind in ["sst", "MANIFEST"] {
        let dir = with_table();
        let (reported, harmless) = flip_everywhere(dir.path(), &newest(dir.path(), kind));
        println!("{kind}: {reported} reported, {harmless} harmless");
        assert!(
            reported > 10,
            "{kind}: {reported} reported, {harmless} harmless"
        );
    }
}

#[test]
fn a_missing_file_is_reported_and_no_new_database_made() {
    for kind in ["sst", "MANIFEST", "CURRENT"] {
        let dir = with_table();
        let file = newest(dir.path(), kind);
        let aside = dir.path().join("aside");
        std::fs::rename(&file, &aside).expect("renamed");
        let error = read_all(dir.path()).expect_err("a file is missing");
        assert!(
            matches!(error, StoreError::Corrupt { .. }),
            "{kind}: {error:?}"
        );
        std::fs::rename(&aside, &file).expect("renamed");
        assert_eq!(read_all(dir.path()).expect("opens").len(), 100, "{kind}");
    }
}

#[test]
fn what_is_left_of_a_database_is_not_taken_for_a_new_one() {
    let dir = with_table();
    let table = newest(dir.path(), "sst");
    for file in std::fs::read_dir(dir.path().join("db")).expect("a folder") {
        let path = file.expect("an entry").path();
        if path != table {
            std::fs::remove_file(path).expect("removed");
        }
    }
    let error = read_all(dir.path()).expect_err("nearly everything is missing");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(table.exists());
}

#[test]
fn a_half_made_database_is_made_anew() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(dir.path().join("db.new")).expect("made");
    std::fs::write(dir.path().join("db.new/CURRENT"), "rubbish").expect("written");
    reopen(&dir).close().expect("closes");
    assert!(!dir.path().join("db.new").exists());
}

/// A small disk in a mount namespace of its own, which ends with the process.
fn small_disk(dir: &Path) -> Command {
    let mut program = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=24m tmpfs \"$1\" && shift && exec \"$@\"";
    program
        .args(["--map-root-user", "--mount", "sh", "-c", mount, "sh"])
        .arg(dir);
    program
}

#[test]
fn a_full_disk_loses_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let probe = small_disk(dir.path()).arg("true").output();
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: this system does not let the test mount a small disk: {probe:?}");
        return;
    }
    let mut program = small_disk(dir.path());
    program.arg(this_binary());
    child(&mut program, "child_on_a_small_disk", dir.path());
    let output = program.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.matches("FULL").count() == 2,
        "{text}{errors}"
    );
    println!("{text}");
}

#[test]
fn child_on_a_small_disk() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return; // Not a test by itself.
    };
    // With small memtables the tables fill the disk, with large ones the log does.
    for write_buffer_bytes in [1 << 20, 64 << 20] {
        let dir = Path::new(&dir).join(write_buffer_bytes.to_string());
        let options = StoreOptions {
            write_buffer_bytes,
            ..StoreOptions::default()
        };
        fill_up_and_recover(&dir, &options);
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}

fn fill_up_and_recover(dir: &Path, options: &StoreOptions) {
    let store = Store::open(dir, options.clone()).expect("opens");
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![1; 8 << 20]).expect("written");
    let space = store.space("kin-0-0").expect("opens");
    let heard = Arc::new(AtomicUsize::new(0));
    let listener = Arc::clone(&heard);
    store.on_failure(move |_| {
        listener.fetch_add(1, Ordering::SeqCst);
    });
    let mut written = 0;
    let error = loop {
        match space.write_blocking(put(&format!("{written:06}"), noise(written))) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert_eq!(store.failure(), Some(error.clone()));
    assert_eq!(heard.load(Ordering::SeqCst), 1);
    assert_eq!(space.write_blocking(put("more", "")), Err(error.clone()));
    let check = |space: &Space| {
        for n in 0..written {
            let found = space.get(format!("{n:06}").as_bytes()).expect("read");
            assert!(found == Some(noise(n)), "{n} of {written} was acknowledged");
        }
    };
    check(&space);
    assert_eq!(store.close(), Err(error.clone()));

    // Still full: it opens, or says why not, and damages nothing.
    match Store::open(dir, options.clone()) {
        Ok(store) => drop(store),
        Err(again) => assert!(matches!(again, StoreError::DiskFull { .. }), "{again:?}"),
    }
    std::fs::remove_file(&ballast).expect("removed");
    let store = Store::open(dir, options.clone()).expect("opens");
    let space = store.space("kin-0-0").expect("opens");
    check(&space);
    space.write_blocking(put("more", "x")).expect("written");
    store.close().expect("closes");
    println!("FULL after {written} values of 32 KiB: {error}");
}

/// Bytes that don't compress, different for each `n`.
fn noise(n: u32) -> Vec<u8> {
    let mut state = u64::from(n) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..4_096).flat_map(|_| next()).collect()
}
