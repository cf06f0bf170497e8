//! What a shelf promises, over a folder and over a store that holds writes. Settings are in `places`, S3 in `s3`.

mod places;
mod s3;

use super::double::{Double, Writes};
use super::*;
use futures_util::FutureExt as _;
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

const NAME: &str = "one.pack";

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn parts(texts: &[&'static str]) -> Vec<Bytes> {
    texts
        .iter()
        .map(|text| Bytes::from_static(text.as_bytes()))
        .collect()
}

/// A shelf in a fresh folder, and the file of [`NAME`].
fn in_folder() -> (TempDir, Shelf, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place::Folder(dir.path().join("a/archive"));
    let objects = Objects::open(&place).expect("opens");
    let shelf = objects.shelf("hospital-0").expect("opens");
    let file = dir.path().join("a/archive/hospital-0").join(NAME);
    (dir, shelf, file)
}

#[actix::test]
async fn what_was_put_is_there_until_it_is_removed() {
    let (_dir, shelf, file) = in_folder();
    for _ in 0..2 {
        shelf
            .put(NAME, parts(&["head", "", "body"]))
            .await
            .expect("put");
        assert_eq!(fs::read(&file).expect("there"), b"headbody");
    }
    let get = |part| shelf.get(NAME, part, 8, soon());
    assert_eq!(get(0..8).await.expect("whole"), "headbody");
    assert_eq!(get(2..6).await.expect("a part"), "adbo");
    assert_eq!(
        get(8..8).await.map_err(|_| ()),
        Err(()),
        "an empty part is none"
    );
    shelf.remove(NAME).await.expect("removed");
    assert!(!file.exists());
    shelf.remove(NAME).await.expect("nothing to remove");
    let object = shelf.describe(NAME);
    assert!(object.contains("hospital-0/one.pack"), "{object}");
    assert_eq!(get(0..8).await, Err(ObjectsError::Missing { object }));
}

#[actix::test]
async fn only_the_owner_can_look_into_the_folders() {
    let (dir, shelf, _) = in_folder();
    shelf.put(NAME, parts(&["body"])).await.expect("put");
    for folder in ["a/archive", "a/archive/hospital-0"] {
        let mode = fs::metadata(dir.path().join(folder)).expect("there");
        assert_eq!(mode.permissions().mode() & 0o777, 0o700, "{folder}");
    }
}

#[actix::test]
async fn an_object_of_another_length_is_not_read() {
    let (_dir, shelf, file) = in_folder();
    shelf.put(NAME, parts(&["0123456789"])).await.expect("put");
    for (content, found) in [("01234", 5), ("", 0), ("0123456789ab", 12)] {
        fs::write(&file, content).expect("written");
        let wrong = ObjectsError::Length {
            object: shelf.describe(NAME),
            found,
            expected: 10,
        };
        assert_eq!(shelf.get(NAME, 0..10, 10, soon()).await, Err(wrong.clone()));
        if found > 4 {
            assert_eq!(shelf.get(NAME, 2..4, 10, soon()).await, Err(wrong));
        }
    }
    // Behind the end of what is left: another error, no panic.
    fs::write(&file, "0").expect("written");
    let behind = shelf.get(NAME, 5..9, 10, soon()).await;
    assert!(
        matches!(
            behind,
            Err(ObjectsError::Failed {
                deed: Deed::Read,
                ..
            })
        ),
        "{behind:?}"
    );
}

/// A crash in the middle of a write leaves a file beside the object; neither is taken for the object, and both go.
#[actix::test]
async fn what_half_a_write_has_left_goes_with_the_object() {
    let (_dir, shelf, file) = in_folder();
    let staged = |n: u8| PathBuf::from(format!("{}#{n}", file.display()));
    for with_object in [false, true] {
        fs::write(staged(1), "half").expect("written");
        fs::write(staged(2), "half of the second try").expect("written");
        if with_object {
            shelf.put(NAME, parts(&["body"])).await.expect("put");
        }
        assert_eq!(file.exists(), with_object);
        shelf.remove(NAME).await.expect("removed");
        assert!(!file.exists() && !staged(1).exists() && !staged(2).exists());
    }
}

#[actix::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file");
    fs::write(&path, "in the way").expect("written");
    for path in [path.clone(), path.join("below")] {
        let refused = Objects::open(&Place::Folder(path.clone())).expect_err("no folder");
        assert!(
            matches!(&refused, ObjectsError::Folder { path: named, .. } if *named == path),
            "{refused}"
        );
        let text = refused.to_string();
        assert!(text.contains("writable"), "{text}");
    }
    let (_dir, shelf, file) = in_folder();
    let folder = file.parent().expect("it has one");
    fs::remove_dir_all(folder).expect("removed");
    fs::write(folder, "in the way").expect("written");
    let refused = shelf.put(NAME, parts(&["body"])).await;
    assert!(
        matches!(
            refused,
            Err(ObjectsError::Failed {
                deed: Deed::Write,
                ..
            })
        ),
        "{refused:?}"
    );
}

#[actix::test]
async fn a_full_disk_is_said_and_the_next_write_works() {
    let double = Double::new();
    let shelf = double.objects().shelf("hospital-0").expect("opens");
    double.set(Writes::Full);
    let refused = shelf.put(NAME, parts(&["body"])).await;
    let Err(ObjectsError::Failed {
        object,
        deed: Deed::Write,
        reason,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(object, "the object hospital-0/one.pack in memory");
    assert!(reason.contains("no storage space"), "{reason}");
    double.set(Writes::Work);
    shelf.put(NAME, parts(&["body"])).await.expect("put");
}

/// Whoever wrote is gone, its successor removes: the write must not come last.
#[actix::test]
async fn a_removal_waits_for_a_write_that_nobody_waits_for_any_more() {
    let double = Double::new();
    let shelf = double.objects().shelf("hospital-0").expect("opens");
    double.set(Writes::Held);
    let mut put = Box::pin(shelf.put(NAME, parts(&["body"])));
    assert_eq!(put.as_mut().now_or_never(), None);
    double.until_begun(1).await;
    drop(put);
    let mut remove = Box::pin(shelf.remove(NAME));
    assert_eq!(remove.as_mut().now_or_never(), None);
    double.set(Writes::Work);
    remove.await.expect("removed");
    let done = double.done();
    let deeds: Vec<Deed> = done.iter().map(|done| done.deed).collect();
    assert_eq!(deeds, [Deed::Write, Deed::Remove]);
    let gone = shelf.get(NAME, 0..4, 4, soon()).await;
    assert!(
        matches!(gone, Err(ObjectsError::Missing { .. })),
        "{gone:?}"
    );
}

#[actix::test]
async fn a_read_ends_when_its_time_is_over() {
    let double = Double::new();
    let shelf = double.objects().shelf("hospital-0").expect("opens");
    shelf.put(NAME, parts(&["body"])).await.expect("put");
    double.silence();
    let until = Instant::now() + Duration::from_millis(20);
    let read = shelf.get(NAME, 0..4, 4, until).await;
    assert!(
        matches!(
            read,
            Err(ObjectsError::TooSlow {
                deed: Deed::Read,
                ..
            })
        ),
        "{read:?}"
    );
}
