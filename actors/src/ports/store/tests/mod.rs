//! What the store promises: spaces, order, fencing, the full queue, the sticky failure. Accidents are in `accidents`.

mod accidents;

use super::committer::Limits;
use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn fresh() -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("opens");
    (dir, store)
}

fn reopen(dir: &TempDir) -> Store {
    Store::open(dir.path(), StoreOptions::default()).expect("opens again")
}

fn put(key: &str, value: impl Into<Vec<u8>>) -> Batch {
    let mut batch = Batch::default();
    batch.put(key, value);
    batch
}

fn keys(pairs: &Pairs) -> Vec<&str> {
    pairs
        .iter()
        .map(|(key, _)| core::str::from_utf8(key).expect("a text"))
        .collect()
}

/// Holds the committer in a callback; dropping the sender lets it go.
fn hold(space: &Space) -> mpsc::Sender<()> {
    let (go, held) = mpsc::channel::<()>();
    let (reached, wait) = mpsc::channel();
    space.commit(Batch::default(), move |_| {
        reached.send(()).expect("the test waits");
        let _ = held.recv();
    });
    wait.recv().expect("the committer got there");
    go
}

#[test]
fn keys_stay_in_their_space_and_in_order() {
    let (dir, store) = fresh();
    let kin = store.space("kin-0").expect("opens");
    let other = store.space("kin-0-1").expect("opens");
    let mut batch = Batch::default();
    batch
        .put("a/2", "two")
        .put("a/1", "one")
        .put("b", "")
        .put(vec![0xff, 0xff], "last");
    kin.write_blocking(batch).expect("written");
    other.write_blocking(put("a/1", "theirs")).expect("written");

    assert_eq!(kin.get(b"a/1").expect("read"), Some(b"one".to_vec()));
    assert_eq!(kin.get(b"b").expect("read"), Some(Vec::new()));
    assert_eq!(kin.get(b"missing").expect("read"), None);
    assert_eq!(keys(&kin.scan(b"a/").expect("read")), ["a/1", "a/2"]);
    assert_eq!(kin.scan(b"").expect("read").len(), 4);
    assert_eq!(kin.scan(&[0xff]).expect("read").len(), 1);
    assert_eq!(
        keys(&kin.scan_from(b"a/", b"a/1\0", 9).expect("read")),
        ["a/2"]
    );
    assert_eq!(keys(&kin.scan_from(b"a/", b"", 1).expect("read")), ["a/1"]);
    assert_eq!(keys(&other.scan(b"").expect("read")), ["a/1"]);

    // Changes of one batch follow each other.
    let mut batch = Batch::default();
    batch.delete("b").delete_prefix("a/").put("a/3", "three");
    kin.write_blocking(batch).expect("written");
    assert_eq!(keys(&kin.scan_from(b"", b"", 1).expect("read")), ["a/3"]);

    store.close().expect("closes");
    let store = reopen(&dir);
    let kin = store.space("kin-0").expect("opens");
    assert_eq!(kin.scan(b"").expect("read").len(), 2);
    let mut all = Batch::default();
    all.delete_prefix("");
    kin.write_blocking(all).expect("written");
    assert_eq!(kin.scan(b"").expect("read"), Pairs::new());
    let other = store.space("kin-0-1").expect("opens");
    assert_eq!(other.get(b"a/1").expect("read"), Some(b"theirs".to_vec()));
}

/// The index is a place of its own: its entries come back by their whole keys, and nowhere else.
#[test]
fn the_index_stands_apart_and_is_as_durable() {
    let (dir, store) = fresh();
    let space = store.space("validator-0").expect("opens");
    let mut batch = Batch::default();
    batch.put("a", "ordered").put_index("a", "indexed");
    for n in 0_u32..1_000 {
        batch.put_index(n.wrapping_mul(0x9e37_79b9).to_be_bytes(), n.to_be_bytes());
    }
    space.write_blocking(batch).expect("written");
    let check = |store: &Store| {
        let space = store.space("validator-0").expect("opens");
        assert_eq!(space.get(b"a").expect("read"), Some(b"ordered".to_vec()));
        assert_eq!(
            space.get_index(b"a").expect("read"),
            Some(b"indexed".to_vec())
        );
        assert_eq!(keys(&space.scan(b"").expect("read")), ["a"]);
        for n in 0_u32..1_000 {
            let key = n.wrapping_mul(0x9e37_79b9).to_be_bytes();
            let found = space.get_index(&key).expect("read");
            assert_eq!(found, Some(n.to_be_bytes().to_vec()));
            assert_eq!(space.get(&key).expect("read"), None);
        }
        let other = store.space("validator-1").expect("opens");
        assert_eq!(other.get_index(b"a").expect("read"), None);
    };
    check(&store);
    // Once out of the files, once out of the log.
    store.close().expect("closes");
    let store = reopen(&dir);
    check(&store);
    let space = store.space("validator-0").expect("opens");
    let mut batch = Batch::default();
    batch.put_index("late", "one");
    space.write_blocking(batch).expect("written");
    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(dir.path(), copy.path());
    let store = reopen(&copy);
    check(&store);
    let space = store.space("validator-0").expect("opens");
    assert_eq!(
        space.get_index(b"late").expect("read"),
        Some(b"one".to_vec())
    );
}

/// What a crash leaves behind: the files as they are, with nothing closed.
fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            std::fs::create_dir(&target).expect("a new folder");
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[test]
fn a_folder_belongs_to_one_store() {
    let (dir, store) = fresh();
    let space = store.space("validator-0").expect("opens");
    let error = Store::open(dir.path(), StoreOptions::default()).expect_err("in use");
    assert_eq!(
        error,
        StoreError::InUse {
            dir: dir.path().to_owned()
        }
    );
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );

    store.close().expect("closes");
    // Closed for those who still hold a space, free for others.
    let closed = StoreError::Closed {
        dir: dir.path().to_owned(),
    };
    assert_eq!(space.get(b"x"), Err(closed.clone()));
    assert_eq!(space.write_blocking(put("x", "y")), Err(closed));
    let store = reopen(&dir);
    let space = store.space("validator-0").expect("opens");
    // Dropping the last handle closes too, after writing what is queued.
    space.commit(put("x", "y"), |_| ());
    drop((store, space));
    let space = reopen(&dir).space("validator-0").expect("opens");
    assert_eq!(space.get(b"x").expect("read"), Some(b"y".to_vec()));
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "not a folder").expect("written");
    let error = Store::open(&file, StoreOptions::default()).expect_err("a file");
    assert!(
        matches!(&error, StoreError::Folder { dir, .. } if *dir == file),
        "{error}"
    );
    // Folders that are missing are made, for the owner only.
    let deep = dir.path().join("a/b/c");
    Store::open(&deep, StoreOptions::default()).expect("opens");
    use std::os::unix::fs::PermissionsExt;
    let mode = deep.metadata().expect("exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn bad_names_are_refused() {
    let (_dir, store) = fresh();
    let long = "a".repeat(SPACE_NAME_BYTES_MAX + 1);
    for name in ["", "Kin", "a/b", "a b", "ü", long.as_str()] {
        let error = store.space(name).expect_err("refused");
        assert!(matches!(error, StoreError::BadSpaceName { .. }), "{error}");
    }
    store.space(&long[1..]).expect("as long as allowed");
}

#[test]
fn a_group_shares_one_sync_and_answers_in_order() {
    let (_dir, store) = fresh();
    let spaces: Vec<Space> = (0..64)
        .map(|n| store.space(&format!("kin-{n}")).expect("opens"))
        .collect();
    let before = store.stats();
    let go = hold(&spaces[0]);
    let (answered, answers) = mpsc::channel();
    for round in 0..10_u32 {
        for (n, space) in spaces.iter().enumerate() {
            let answered = answered.clone();
            space.commit(put(&format!("{round}"), "x"), move |result| {
                answered.send((round, n, result)).expect("the test waits");
            });
        }
    }
    drop((go, answered));
    let order: Vec<_> = answers.iter().collect();
    let expected: Vec<_> = (0..10)
        .flat_map(|round| (0..64).map(move |n| (round, n, Ok(()))))
        .collect();
    assert_eq!(order, expected);
    let after = store.stats();
    assert_eq!(after.commits - before.commits, 1);
    assert_eq!(after.batches - before.batches, 640);
    assert!(after.bytes > before.bytes);
}

#[test]
fn a_future_is_queued_when_called_and_written_when_dropped() {
    let (_dir, store) = fresh();
    let space = store.space("hospital-0").expect("opens");
    let first = space.write(put("x", "first"));
    drop(space.write(put("x", "second")));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    assert_eq!(runtime.block_on(first), Ok(()));
    assert_eq!(runtime.block_on(space.write(Batch::default())), Ok(()));
    assert_eq!(space.get(b"x").expect("read"), Some(b"second".to_vec()));
    store.close().expect("closes");
    let error = runtime.block_on(space.write(put("x", "third")));
    assert!(matches!(error, Err(StoreError::Closed { .. })));
}

#[test]
fn a_new_incarnation_fences_the_old_one_off() {
    let (_dir, store) = fresh();
    let old = store.space("kin-0-1").expect("opens");
    let bystander = store.space("kin-0-2").expect("opens");
    assert_eq!((old.name(), old.incarnation()), ("kin-0-1", 1));

    // Queued before the fence: written before the new incarnation reads.
    let go = hold(&bystander);
    let written = old.write(put("x", "before"));
    let opening = {
        let store = store.clone();
        std::thread::spawn(move || store.space("kin-0-1"))
    };
    drop(go);
    let new = opening.join().expect("no panic").expect("opens");
    assert_eq!(new.incarnation(), 2);
    assert_eq!(new.get(b"x").expect("read"), Some(b"before".to_vec()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    assert_eq!(runtime.block_on(written), Ok(()));

    // Queued after it: refused, through every clone, and for good.
    let fenced = Err(StoreError::Fenced {
        space: "kin-0-1".to_owned(),
        incarnation: 1,
        current: 2,
    });
    assert_eq!(old.write_blocking(put("x", "after")), fenced);
    assert_eq!(old.clone().write_blocking(Batch::default()), fenced);
    new.write_blocking(put("x", "new")).expect("written");
    bystander
        .write_blocking(put("x", "theirs"))
        .expect("written");
    assert_eq!(old.get(b"x").expect("read"), Some(b"new".to_vec()));
    assert_eq!(store.stats().refused, 2);
}

#[test]
fn racing_writers_never_write_behind_a_fence() {
    let (_dir, store) = fresh();
    for _ in 0..20 {
        let old = store.space("validator-0").expect("opens");
        let incarnation = old.incarnation();
        let writer = std::thread::spawn(move || {
            let mark = incarnation.to_be_bytes();
            // Bounded, so that a fence that does not hold fails the test.
            (0..2_000).find_map(|_| old.write_blocking(put("owner", mark)).err())
        });
        let new = store.space("validator-0").expect("opens");
        let seen = new.get(b"owner").expect("read");
        new.write_blocking(put("new", "x")).expect("written");
        let ended = writer.join().expect("no panic");
        assert!(
            matches!(ended, Some(StoreError::Fenced { .. })),
            "{ended:?}"
        );
        // Whatever it wrote, it wrote before the new incarnation came back from opening.
        assert_eq!(new.get(b"owner").expect("read"), seen);
    }
}

fn small(wait: Duration) -> Limits {
    Limits {
        batches: 4,
        bytes: 1_000_000,
        wait,
        merge_bytes: 1_000,
        merge_entries: 2,
    }
}

#[test]
fn a_full_queue_refuses_after_a_while_and_leaves_no_gap() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let wait = Duration::from_millis(50);
    let store =
        Store::open_limited(dir.path(), &StoreOptions::default(), small(wait)).expect("opens");
    let space = store.space("kin-0-0").expect("opens");
    let other = store.space("kin-0-1").expect("opens");
    let go = hold(&other);
    let (answered, answers) = mpsc::channel();
    let commit = |space: &Space, key: &str| {
        let answered = answered.clone();
        let key = key.to_owned();
        space.commit(put(&key, "x"), move |result| {
            answered.send((key, result)).expect("the test waits");
        });
    };
    for n in 0..4 {
        commit(&space, &format!("{n}"));
    }
    let started = Instant::now();
    commit(&space, "4");
    assert!(started.elapsed() >= wait);
    let (key, result) = answers.recv().expect("an answer");
    assert!(matches!(result, Err(StoreError::Overloaded { batches: 4, .. })) && key == "4");
    // The next ones are refused at once, also of others; the refused actor's stay refused when there is room again.
    commit(&other, "1");
    let (_, result) = answers.recv().expect("an answer");
    assert!(matches!(result, Err(StoreError::Overloaded { .. })));
    drop(go);
    for n in 0..4 {
        assert_eq!(answers.recv().expect("an answer"), (format!("{n}"), Ok(())));
    }
    let gap = Err(StoreError::Gap {
        space: "kin-0-0".to_owned(),
    });
    assert_eq!(space.write_blocking(put("5", "x")), gap);
    let again = store.space("kin-0-0").expect("opens");
    assert_eq!(keys(&again.scan(b"").expect("read")), ["0", "1", "2", "3"]);
    again.write_blocking(put("4", "x")).expect("written");
    assert_eq!(store.stats().refused, 3);
}

#[test]
fn a_full_queue_holds_the_caller_until_there_is_room() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let wait = Duration::from_secs(60);
    let store =
        Store::open_limited(dir.path(), &StoreOptions::default(), small(wait)).expect("opens");
    let space = store.space("kin-0-0").expect("opens");
    let go = hold(&space);
    let (told, progress) = mpsc::channel();
    let writer = {
        let space = space.clone();
        std::thread::spawn(move || {
            for n in 0..40 {
                space.commit(put(&format!("{n:02}"), "x"), |result| {
                    assert_eq!(result, Ok(()))
                });
                let _ = told.send(n);
            }
        })
    };
    // Four are in the queue; the fifth call stands until the committer moves.
    assert_eq!(progress.iter().take(4).last(), Some(3));
    drop(go);
    writer.join().expect("no panic");
    space.write_blocking(Batch::default()).expect("written");
    assert_eq!(space.scan(b"").expect("read").len(), 40);
}

#[test]
fn a_batch_has_a_largest_size() {
    let (_dir, store) = fresh();
    let space = store.space("hospital-0").expect("opens");
    let mut batch = Batch::default();
    assert!(batch.is_empty() && batch.len_bytes() == 0);
    batch.put("x", vec![7; BATCH_BYTES_MAX - 64]);
    assert!(batch.len() == 1 && batch.len_bytes() <= BATCH_BYTES_MAX);
    space.write_blocking(batch.clone()).expect("written");
    batch.put("y", vec![7; 64]);
    let error = space.write_blocking(batch).expect_err("too large");
    assert!(matches!(error, StoreError::BatchTooLarge { .. }), "{error}");
    assert!(matches!(
        space.write_blocking(put("x", "")),
        Err(StoreError::Gap { .. })
    ));
}

#[test]
fn the_first_failure_is_the_last_write() {
    let (dir, store) = fresh();
    let space = store.space("validator-0").expect("opens");
    let other = store.space("validator-1").expect("opens");
    space.write_blocking(put("x", "kept")).expect("written");
    let heard = Arc::new(AtomicUsize::new(0));
    let listen = |store: &Store| {
        let heard = Arc::clone(&heard);
        store.on_failure(move |error| {
            assert!(matches!(error, StoreError::DiskFull { .. }));
            heard.fetch_add(1, Ordering::SeqCst);
        });
    };
    listen(&store);
    store.on_failure(|_| panic!("a listener's panic is its own"));
    assert_eq!(store.failure(), None);
    let full = StoreError::DiskFull {
        dir: dir.path().to_owned(),
        detail: "injected".to_owned(),
    };
    *store.handle.shared.injected.lock().expect("not poisoned") = Some(full.clone());

    assert_eq!(space.write_blocking(put("x", "lost")), Err(full.clone()));
    assert_eq!(heard.load(Ordering::SeqCst), 1);
    assert_eq!(other.write_blocking(put("x", "lost")), Err(full.clone()));
    assert_eq!(other.write_blocking(Batch::default()), Err(full.clone()));
    assert_eq!(store.space("validator-0").expect_err("failed"), full);
    assert_eq!(store.failure(), Some(full.clone()));
    listen(&store);
    assert_eq!(heard.load(Ordering::SeqCst), 2);
    assert_eq!(
        space.get(b"x").expect("reading goes on"),
        Some(b"kept".to_vec())
    );
    assert_eq!(store.stats().refused, 3);
    assert_eq!(store.close(), Err(full));

    let space = reopen(&dir).space("validator-0").expect("opens");
    assert_eq!(space.get(b"x").expect("read"), Some(b"kept".to_vec()));
    space.write_blocking(put("x", "again")).expect("written");
}

#[test]
fn callbacks_can_neither_stop_nor_deadlock_the_committer() {
    let (_dir, store) = fresh();
    let space = store.space("kin-0-0").expect("opens");
    space.commit(put("a", "x"), |_| panic!("a callback's panic is its own"));
    let (told, answers) = mpsc::channel();
    let (theirs, mine) = (store.clone(), space.clone());
    space.commit(put("b", "x"), move |_| {
        told.send(theirs.space("kin-0-1").map(|_| ()))
            .expect("the test waits");
        told.send(mine.write_blocking(put("c", "x")))
            .expect("the test waits");
        told.send(theirs.close()).expect("the test waits");
        // Queueing is no waiting.
        mine.commit(put("d", "x"), move |result| {
            told.send(result).expect("the test waits")
        });
    });
    let answers: Vec<_> = answers.iter().collect();
    let stuck = |call| Err(StoreError::WouldDeadlock { call });
    let expected = [
        stuck("Store::space"),
        stuck("Space::write_blocking"),
        stuck("Store::close"),
        Ok(()),
    ];
    assert_eq!(answers, expected);
    assert_eq!(keys(&space.scan(b"").expect("read")), ["a", "b", "d"]);
}

#[test]
fn the_last_handle_may_die_in_a_callback() {
    let (dir, store) = fresh();
    let space = store.space("kin-0-0").expect("opens");
    let go = hold(&space);
    let last = (store.clone(), space.clone());
    let (told, done) = mpsc::channel();
    space.commit(put("a", "x"), move |result| {
        drop(last);
        // Sent when the captures are gone.
        told.send(result).expect("the test waits");
    });
    // Not the last ones: these don't wait for the committer.
    drop((store, space));
    drop(go);
    assert_eq!(done.recv().expect("an answer"), Ok(()));
    drop(dir);
}

#[test]
fn other_formats_and_other_clusters_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let of = |cluster| StoreOptions {
        cluster,
        ..StoreOptions::default()
    };
    let first = Store::open(dir.path(), of(Some([1; 32]))).expect("opens");
    first.close().expect("closes");
    let error = Store::open(dir.path(), of(Some([2; 32]))).expect_err("another cluster");
    assert!(matches!(error, StoreError::OtherCluster { .. }), "{error}");
    assert!(error.to_string().contains(&"01".repeat(32)), "{error}");
    Store::open(dir.path(), of(Some([1; 32]))).expect("opens");
    Store::open(dir.path(), of(None)).expect("opens");

    let raw = || {
        let parts = ["default", open::INDEX];
        rocksdb::DB::open_cf(&rocksdb::Options::default(), dir.path().join("db"), parts)
    };
    let db = raw().expect("opens");
    db.put(open::KEY_FORMAT, 9_u32.to_be_bytes())
        .expect("written");
    // RocksDB's own lock, held by a tool.
    let error = Store::open(dir.path(), of(None)).expect_err("in use");
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(db);
    let error = Store::open(dir.path(), of(None)).expect_err("another format");
    assert!(
        matches!(
            error,
            StoreError::UnknownFormat {
                found: Some(9),
                known: open::FORMAT,
                ..
            }
        ),
        "{error}"
    );
    // The first format had no index.
    let mut db = raw().expect("opens");
    db.put(open::KEY_FORMAT, 1_u32.to_be_bytes())
        .expect("written");
    db.drop_cf(open::INDEX).expect("dropped");
    drop(db);
    let error = Store::open(dir.path(), of(None)).expect_err("an older format");
    assert!(
        matches!(error, StoreError::UnknownFormat { found: Some(1), .. }),
        "{error}"
    );
    let db = rocksdb::DB::open_default(dir.path().join("db")).expect("opens");
    db.put(open::KEY_FORMAT, open::FORMAT.to_be_bytes())
        .expect("written");
    drop(db);
    let error = Store::open(dir.path(), of(None)).expect_err("without the index");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let db = rocksdb::DB::open_default(dir.path().join("db")).expect("opens");
    db.delete(open::KEY_FORMAT).expect("written");
    drop(db);
    let error = Store::open(dir.path(), of(None)).expect_err("not ours");
    assert!(
        matches!(error, StoreError::UnknownFormat { found: None, .. }),
        "{error}"
    );
}

#[test]
fn a_cluster_is_bound_later_to_a_database_without_one() {
    let (dir, store) = fresh();
    store.close().expect("closes");
    let of = |byte| StoreOptions {
        cluster: Some([byte; 32]),
        ..StoreOptions::default()
    };
    Store::open(dir.path(), of(3)).expect("bound");
    let error = Store::open(dir.path(), of(4)).expect_err("another cluster");
    assert!(matches!(error, StoreError::OtherCluster { .. }), "{error}");
}
