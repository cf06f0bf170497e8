//! What the vault promises.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn fresh() -> (TempDir, Vault) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let vault = Vault::open(&dir.path().join("keys")).expect("opens");
    (dir, vault)
}

fn key(n: u8) -> Secret32 {
    Secret32::new([n; 32])
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("exists").permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
}

#[test]
fn keys_are_kept_for_their_owner_only() {
    let (dir, vault) = fresh();
    let keys = vault.keys_of("kin-0-3");
    assert_eq!(keys.names().expect("read"), Vec::<String>::new());
    assert_eq!(keys.load("signing").expect("read"), None);
    keys.create("signing", &key(1)).expect("written");
    keys.create("share.summary", &key(2)).expect("written");
    assert_eq!(
        vault.keys_of("kin-0-4").load("signing").expect("read"),
        None
    );

    let folder = dir.path().join("keys/kin-0-3");
    assert_eq!(
        (mode(&dir.path().join("keys")), mode(&folder)),
        (0o700, 0o700)
    );
    assert_eq!(mode(&folder.join("signing")), 0o600);
    let vault = Vault::open(&dir.path().join("keys")).expect("opens again");
    let keys = vault.keys_of("kin-0-3");
    assert_eq!(keys.load("signing").expect("read"), Some(key(1)));
    assert_eq!(keys.names().expect("read"), ["share.summary", "signing"]);
}

#[test]
fn the_bytes_of_a_key_file_are_pinned() {
    let (dir, vault) = fresh();
    vault
        .keys_of("kin-0-3")
        .create("signing", &key(7))
        .expect("written");
    let bytes = fs::read(dir.path().join("keys/kin-0-3/signing")).expect("read");
    let expected = format!("01{}b88a68ad", "07".repeat(32));
    assert_eq!(kithkin_protocol::hex(&bytes), expected);
}

#[test]
fn a_key_is_never_overwritten() {
    let (_dir, vault) = fresh();
    let keys = vault.keys_of("patient-0");
    keys.create("chart", &key(1)).expect("written");
    keys.create("chart", &key(1)).expect("the same key");
    let error = keys.create("chart", &key(2)).expect_err("another key");
    assert!(matches!(error, VaultError::Exists { .. }), "{error}");
    // Of several, none is written when one cannot be.
    let error = keys
        .create_many(&[("summary", &key(3)), ("chart", &key(2))])
        .expect_err("another key");
    assert!(matches!(error, VaultError::Exists { .. }), "{error}");
    let error = keys
        .create_many(&[("summary", &key(3)), ("summary", &key(4))])
        .expect_err("two keys");
    assert!(matches!(error, VaultError::Exists { .. }), "{error}");
    assert_eq!(keys.names().expect("read"), ["chart"]);
    assert_eq!(keys.load("chart").expect("read"), Some(key(1)));

    keys.create_many(&[("summary", &key(3)), ("chart", &key(1))])
        .expect("written");
    let made = keys.load_or_create("sensitive", || key(5)).expect("made");
    let read = keys.load_or_create("sensitive", || key(6)).expect("read");
    assert_eq!((made, read), (key(5), key(5)));
}

#[test]
fn racing_makers_agree_on_one_key() {
    let (_dir, vault) = fresh();
    let keys: Vec<Secret32> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..8)
            .map(|n| {
                let keys = vault.keys_of("validator-0");
                scope.spawn(move || keys.load_or_create("signing", || key(n)).expect("a key"))
            })
            .collect();
        makers
            .into_iter()
            .map(|maker| maker.join().expect("no panic"))
            .collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn bad_names_reach_no_file() {
    let (_dir, vault) = fresh();
    let keys = vault.keys_of("kin-0-0");
    let long = "a".repeat(KEY_NAME_BYTES_MAX + 1);
    for name in [
        "",
        ".",
        "..",
        ".hidden",
        "../x",
        "a/b",
        "A",
        "a_b",
        "a b",
        "ü",
        "a\0",
        long.as_str(),
    ] {
        let bad = VaultError::BadName {
            name: name.to_owned(),
        };
        assert_eq!(keys.load(name), Err(bad.clone()));
        assert_eq!(keys.create(name, &key(1)), Err(bad.clone()));
        assert_eq!(
            keys.create_many(&[("good", &key(1)), (name, &key(1))]),
            Err(bad.clone())
        );
        assert_eq!(keys.destroy(name), Err(bad.clone()));
        assert_eq!(
            vault.keys_of(name).create("good", &key(1)),
            Err(bad.clone())
        );
        assert_eq!(vault.keys_of(name).names(), Err(bad));
    }
    assert_eq!(keys.names().expect("read"), Vec::<String>::new());
    keys.create(&long[1..], &key(1))
        .expect("as long as allowed");
}

#[test]
fn what_others_can_read_is_refused() {
    let (dir, vault) = fresh();
    let keys = vault.keys_of("kin-0-0");
    keys.create("signing", &key(1)).expect("written");
    let top = dir.path().join("keys");
    let folder = top.join("kin-0-0");
    let file = folder.join("signing");

    set_mode(&file, 0o640);
    let error = keys.load("signing").expect_err("exposed");
    assert!(matches!(&error, VaultError::Exposed { path, mode: 0o640, .. } if *path == file));
    assert!(
        error
            .to_string()
            .contains(&format!("chmod 600 {}", file.display())),
        "{error}"
    );
    set_mode(&file, 0o600);
    set_mode(&folder, 0o750);
    let error = keys.load("signing").expect_err("exposed");
    assert!(
        error
            .to_string()
            .contains(&format!("chmod 700 {}", folder.display())),
        "{error}"
    );
    assert!(matches!(Vault::open(&top), Err(VaultError::Exposed { .. })));
    set_mode(&folder, 0o700);
    set_mode(&top, 0o701);
    assert!(matches!(Vault::open(&top), Err(VaultError::Exposed { .. })));
    set_mode(&top, 0o700);
    Vault::open(&top).expect("opens");
    assert_eq!(keys.load("signing").expect("read"), Some(key(1)));
}

/// Giving files away takes root; anybody else runs this without the refusal.
#[test]
fn what_belongs_to_others_is_refused() {
    let (dir, vault) = fresh();
    let keys = vault.keys_of("kin-0-0");
    keys.create("signing", &key(1)).expect("written");
    let folder = dir.path().join("keys/kin-0-0");
    let file = folder.join("signing");
    for path in [&file, &folder] {
        if std::os::unix::fs::chown(path, Some(12_345), None).is_err() {
            return;
        }
        let error = keys.load("signing").expect_err("somebody else's");
        assert!(
            matches!(&error, VaultError::Owner { path: found, owner: 12_345 } if found == path),
            "{error}"
        );
        std::os::unix::fs::chown(path, Some(0), None).expect("root");
    }
    assert_eq!(keys.load("signing").expect("read"), Some(key(1)));
}

#[test]
fn damage_is_reported_and_names_the_file() {
    let (dir, vault) = fresh();
    let keys = vault.keys_of("kin-0-0");
    keys.create("signing", &key(1)).expect("written");
    let file = dir.path().join("keys/kin-0-0/signing");
    let whole = fs::read(&file).expect("read");
    let damaged = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("written");
        let error = keys.load("signing").expect_err("damaged");
        assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("kin-0-0/signing"), "{error}");
        assert_eq!(keys.create("signing", &key(1)), Err(error.clone()));
        assert_eq!(keys.load_or_create("signing", || key(2)), Err(error));
    };
    for at in 1..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        damaged(&bytes);
        damaged(&whole[..at]);
    }
    damaged(&[]);
    damaged(&[whole.as_slice(), &[0]].concat());
    damaged(&[0; 37]);
    // A file of a later version may look different behind its first byte.
    fs::write(&file, [2; 50]).expect("written");
    let error = keys.load("signing").expect_err("unknown");
    assert!(
        matches!(error, VaultError::UnknownFormat { found: 2, .. }),
        "{error}"
    );

    keys.destroy("signing")
        .expect("damaged keys can be destroyed");
    fs::create_dir(&file).expect("made");
    assert!(matches!(
        keys.load("signing"),
        Err(VaultError::Damaged { .. })
    ));
}

#[test]
fn a_destroyed_key_is_overwritten_and_gone() {
    let (dir, vault) = fresh();
    let keys = vault.keys_of("kin-0-0");
    keys.create("share", &key(9)).expect("written");
    let folder = dir.path().join("keys/kin-0-0");
    // A second name for the same file shows what became of its bytes.
    let witness = dir.path().join("witness");
    fs::hard_link(folder.join("share"), &witness).expect("linked");

    keys.destroy("share").expect("destroyed");
    assert_eq!(fs::read(&witness).expect("read"), [0; 37]);
    assert_eq!(keys.load("share").expect("read"), None);
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0);
    keys.destroy("share").expect("again");
    vault
        .keys_of("kin-0-1")
        .destroy("share")
        .expect("an owner without keys");
    keys.create("share", &key(8)).expect("free for another");
}

#[test]
fn what_a_crash_left_is_wiped_at_the_next_start() {
    let (dir, vault) = fresh();
    let keys = vault.keys_of("kin-0-0");
    keys.create("share", &key(9)).expect("written");
    let folder = dir.path().join("keys/kin-0-0");
    let left = folder.join(".passing-0123456789abcdef-0");
    let witness = dir.path().join("witness");
    fs::copy(folder.join("share"), &left).expect("copied");
    fs::hard_link(&left, &witness).expect("linked");
    // One of this process, in use elsewhere at this moment.
    let passing = Passing::write(&folder, &key(3)).expect("written");

    Vault::open(&dir.path().join("keys")).expect("opens");
    assert_eq!(fs::read(&witness).expect("read"), [0; 37]);
    assert!(!left.exists());
    passing.settle(&folder.join("other")).expect("settled");
    // Dropped on the way, it goes at once.
    drop(Passing::write(&folder, &key(4)).expect("written"));
    assert_eq!(keys.names().expect("read"), ["other", "share"]);
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 2);
}

#[test]
fn secrets_are_not_printed() {
    let (_dir, vault) = fresh();
    let keys = vault.keys_of("kin-0-0");
    keys.create("share", &key(9)).expect("written");
    let error = keys.create("share", &key(8)).expect_err("another key");
    for text in [
        format!("{vault:?}"),
        format!("{keys:?}"),
        format!("{error:?} {error}"),
    ] {
        assert!(
            !text.contains("9, 9") && !text.contains("8, 8") && !text.contains("0909"),
            "{text}"
        );
    }
}
