//! Packs and the archive over a real database: what is kept, what is read, what is said of damage.

use super::*;
use crate::ports::objects::double::{Double, Writes};
use crate::ports::objects::{Deed, Objects, ObjectsError, Place};
use crate::ports::store::{Space, Store, StoreOptions};
use crate::ports::vault::Vault;
use kithkin_protocol::ids::{ChainId, HospitalId, PatientId};
use kithkin_protocol::record::{Manifest, RecordEntry, ciphertext_digest};
use kithkin_protocol::units::{Epoch, Tier};
use object_store::ObjectStoreExt as _;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// An upload of records with these contents; archives look at nothing else of it.
fn upload(contents: &[Vec<u8>]) -> (Arc<Upload>, Arc<Ciphertexts>) {
    let record = |at: usize| {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&(at as u64).to_be_bytes());
        RecordId(id)
    };
    let entry = |(at, content): (usize, &Vec<u8>)| RecordEntry {
        record: record(at),
        commitment: Digest([1; 32]),
        ciphertext: ciphertext_digest(content),
        capsule: Digest([2; 32]),
        shard_root: Digest([3; 32]),
        bytes: u32::try_from(content.len()).expect("short"),
    };
    let entries = contents.iter().enumerate().map(entry).collect();
    let upload = Upload {
        chain: ChainId([4; 32]),
        patient: PatientId([5; 32]),
        tier: Tier::Chart,
        author: HospitalId([6; 32]),
        epoch: Epoch(0),
        manifest: Manifest::new(entries).expect("a manifest"),
        capsules: Vec::new(),
    };
    let bodies = contents.iter().cloned().enumerate();
    let ciphertexts = bodies.map(|(at, content)| (record(at), content)).collect();
    (Arc::new(upload), Arc::new(ciphertexts))
}

fn three() -> (Arc<Upload>, Arc<Ciphertexts>) {
    upload(&[vec![0xaa; 5], vec![0xbb; 70], vec![0xcc; 9]])
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// An archive of `objects` in a fresh database.
struct Bench {
    dir: TempDir,
    store: Store,
    archive: Archive,
    disk: Disk,
}

/// The keys of its uploads.
fn book(space: Space, dir: &TempDir) -> KeyBook {
    let vault = Vault::open(&dir.path().join("keys")).expect("a vault");
    KeyBook::open(space, vault.keys_of("hospital-0"), b'y').expect("a book")
}

fn over(objects: &Objects) -> Bench {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("opens");
    let space = store.space("hospital-0").expect("a space");
    let disk = Disk::new(space.clone());
    let shelf = objects.shelf("hospital-0").expect("opens");
    let archive = Archive::new(disk.clone(), book(space, &dir), shelf);
    Bench {
        dir,
        store,
        archive,
        disk,
    }
}

/// One in a folder, with three records in it; and the file of their pack.
async fn kept() -> (Bench, TempDir, PathBuf, Arc<Upload>, Arc<Ciphertexts>) {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::Folder(folder.path().to_owned());
    let bench = over(&Objects::open(&place).expect("opens"));
    let (upload, ciphertexts) = three();
    let put = bench.archive.put(upload.clone(), ciphertexts.clone());
    put.await.expect("kept");
    let name = pack::name(upload.root());
    let file = folder.path().join("hospital-0").join(name);
    (bench, folder, file, upload, ciphertexts)
}

#[actix::test]
async fn the_bytes_of_a_pack_are_those_of_the_specification() {
    let (_bench, _folder, file, upload, _) = kept().await;
    let mut expected = b"KITHPACK\x01".to_vec();
    expected.extend_from_slice(upload.root().as_ref());
    for (byte, times) in [(0xaa, 5), (0xbb, 70), (0xcc, 9)] {
        expected.extend(std::iter::repeat_n(byte, times));
    }
    assert_eq!(fs::read(&file).expect("there"), expected);
    let name = file.file_name().and_then(|name| name.to_str());
    let root = kithkin_protocol::hex(upload.root().as_ref());
    assert_eq!(name, Some(format!("{root}.pack").as_str()));
    assert_eq!(root.len(), 64);
}

#[actix::test]
async fn an_upload_comes_back_whole_and_in_part_until_it_is_forgotten() {
    let (bench, _folder, file, upload, ciphertexts) = kept().await;
    let root = upload.root();
    // Again is the same: a flow that was interrupted may do it.
    let put = bench.archive.put(upload.clone(), ciphertexts.clone());
    put.await.expect("kept");

    // What counts is on disk, not in memory.
    let Bench {
        dir,
        store,
        archive,
        ..
    } = bench;
    drop(archive);
    store.close().expect("closes");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("opens again");
    let space = store.space("hospital-0").expect("a space");
    let disk = Disk::new(space.clone());
    let folder = file
        .parent()
        .and_then(|folder| folder.parent())
        .expect("a folder");
    let objects = Objects::open(&Place::Folder(folder.to_owned())).expect("opens");
    let shelf = objects.shelf("hospital-0").expect("opens");
    let archive = Archive::new(disk, book(space, &dir), shelf);

    let found = archive
        .upload(root)
        .await
        .expect("readable")
        .expect("there");
    assert_eq!(*found, *upload);
    assert_eq!(
        archive.ciphertexts(&found).await.expect("whole"),
        *ciphertexts
    );
    for chosen in [vec![], vec![0], vec![1], vec![0, 2], vec![0, 1, 2]] {
        let chosen: Ciphertexts = chosen
            .into_iter()
            .map(|at: usize| ciphertexts[at].clone())
            .collect();
        let wanted = chosen.iter().map(|(record, _)| *record).collect();
        let some = archive.some(&found, &wanted, soon()).await;
        assert_eq!(some.expect("some"), chosen);
    }
    let stranger = BTreeSet::from([RecordId([9; 32])]);
    let none = archive.some(&found, &stranger, soon()).await;
    assert_eq!(none, Ok(Vec::new()));

    archive.remove(root).await.expect("removed");
    assert_eq!(archive.upload(root).await, Ok(None));
    assert!(!file.exists());
    archive.remove(root).await.expect("nothing to remove");
}

/// Every kind of damage: who is concerned and which object, never a wrong byte, never a panic.
#[actix::test]
async fn damage_names_the_record_and_the_object() {
    let (bench, _folder, file, upload, ciphertexts) = kept().await;
    let archive = &bench.archive;
    let good = fs::read(&file).expect("there");
    let [first, second, third] = [0, 1, 2].map(|at| ciphertexts[at].0);
    let object = archive.shelf.describe(&pack::name(upload.root()));
    let whole = || archive.ciphertexts(&upload);
    let one = async |record| {
        let wanted = BTreeSet::from([record]);
        archive.some(&upload, &wanted, soon()).await
    };
    let damaged = |record| {
        let object = object.clone();
        Err(HospitalError::Archive(ArchiveError::Damaged {
            record,
            object,
        }))
    };
    let flip = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&file, bad).expect("written");
    };

    // In the second ciphertext: the others are as good as before.
    flip(41 + 5 + 30);
    assert_eq!(whole().await, damaged(second));
    assert_eq!(one(second).await, damaged(second));
    assert_eq!(one(first).await, Ok(vec![ciphertexts[0].clone()]));
    assert_eq!(one(third).await, Ok(vec![ciphertexts[2].clone()]));
    // In the header: another object under this name.
    for at in [0, 8, 9, 40] {
        flip(at);
        let no_pack = ArchiveError::NoPack {
            record: first,
            object: object.clone(),
        };
        assert_eq!(whole().await, Err(HospitalError::Archive(no_pack)), "{at}");
    }
    // The bodies of two records changed places: same length, other digests.
    let (swapped, bodies) = upload_swapped(&ciphertexts);
    assert_eq!(swapped.len(), good.len());
    fs::write(&file, [&good[..41], &bodies].concat()).expect("written");
    assert_eq!(whole().await, damaged(first));
    // Cut off at every place, and longer.
    for found in (0..good.len()).chain([good.len() + 1]) {
        let mut bad = good.clone();
        bad.resize(found, 0);
        fs::write(&file, bad).expect("written");
        let source = ObjectsError::Length {
            object: object.clone(),
            found: found as u64,
            expected: good.len() as u64,
        };
        let cut = ArchiveError::Read {
            record: first,
            source,
        };
        assert_eq!(whole().await, Err(HospitalError::Archive(cut)), "{found}");
        let some = one(third).await;
        assert!(
            matches!(
                &some,
                Err(HospitalError::Archive(ArchiveError::Read { record, .. })) if *record == third
            ),
            "{found}: {some:?}"
        );
    }
    fs::remove_file(&file).expect("removed");
    let source = ObjectsError::Missing { object };
    let missing = ArchiveError::Read {
        record: second,
        source,
    };
    let text = missing.to_string();
    assert!(
        text.contains(&second.to_string()) && text.contains("is missing"),
        "{text}"
    );
    assert_eq!(one(second).await, Err(HospitalError::Archive(missing)));
    assert!(!bench.disk.failed(), "the database is as it was");
}

/// A pack with the same ciphertexts in another order, and its bodies alone.
fn upload_swapped(ciphertexts: &Ciphertexts) -> (Vec<u8>, Vec<u8>) {
    let bodies: Vec<u8> = [2, 1, 0]
        .into_iter()
        .flat_map(|at| ciphertexts[at].1.clone())
        .collect();
    ([vec![0; 41], bodies.clone()].concat(), bodies)
}

#[actix::test]
async fn what_the_store_does_not_take_is_not_kept() {
    let double = Double::new();
    let bench = over(&double.objects());
    let (upload, ciphertexts) = three();
    double.set(Writes::Full);
    let refused = bench.archive.put(upload.clone(), ciphertexts.clone()).await;
    assert!(
        matches!(&refused, Err(HospitalError::Archive(ArchiveError::Keep(_)))),
        "{refused:?}"
    );
    assert_eq!(bench.archive.upload(upload.root()).await, Ok(None));
    assert!(!bench.disk.failed(), "the hospital goes on");
    double.set(Writes::Work);
    let put = bench.archive.put(upload.clone(), ciphertexts.clone());
    put.await.expect("kept");
    assert_eq!(
        bench.archive.ciphertexts(&upload).await,
        Ok((*ciphertexts).clone())
    );
}

/// The pack is there before the entry, and goes after it.
#[actix::test]
async fn there_is_no_entry_without_its_pack() {
    let double = Double::new();
    let bench = over(&double.objects());
    let (upload, ciphertexts) = three();
    let root = upload.root();
    double.set(Writes::Unanswered);
    let archive = bench.archive.clone();
    let writing = tokio::spawn(async move { archive.put(upload, ciphertexts).await });
    double.until_done(|done| done.len() == 1).await;
    assert_eq!(
        bench.archive.upload(root).await,
        Ok(None),
        "no word from the store yet"
    );
    // A crash here: the pack is there, the entry never comes. It is removed by its name.
    writing.abort();
    double.set(Writes::Work);
    bench.archive.remove(root).await.expect("removed");
    let path = object_store::path::Path::from(format!("hospital-0/{}", pack::name(root)));
    let gone = double.below().head(&path).await;
    assert!(
        matches!(gone, Err(object_store::Error::NotFound { .. })),
        "{gone:?}"
    );
    assert_eq!(bench.archive.upload(root).await, Ok(None));
}

/// What a store asks money for: one request to write a thousand records, few to read some of them.
#[actix::test]
async fn a_thousand_records_are_one_object() {
    let double = Double::new();
    let bench = over(&double.objects());
    let contents: Vec<Vec<u8>> = (0..1_000u32)
        .map(|n| n.to_be_bytes().repeat(1_000))
        .collect();
    let (upload, ciphertexts) = upload(&contents);
    let put = bench.archive.put(upload.clone(), ciphertexts.clone());
    put.await.expect("kept");
    let written = double.done();
    assert_eq!((written.len(), written[0].deed), (1, Deed::Write));
    assert_eq!(written[0].bytes, 41 + 4_000_000);

    let read = async |chosen: &[usize]| {
        let before = double.done().len();
        let chosen: Ciphertexts = chosen.iter().map(|at| ciphertexts[*at].clone()).collect();
        let wanted = chosen.iter().map(|(record, _)| *record).collect();
        let some = bench.archive.some(&upload, &wanted, soon()).await;
        assert_eq!(some.expect("read"), chosen);
        let reads = &double.done()[before..];
        (
            reads.len(),
            reads.iter().map(|read| read.bytes).sum::<u64>(),
        )
    };
    assert_eq!(read(&[500]).await, (1, 4_000));
    // Close together: once, with what lies between.
    assert_eq!(read(&[500, 510]).await, (1, 44_000));
    assert_eq!(read(&[0, 300, 310, 999]).await, (3, 4_000 + 44_000 + 4_000));
    let all: Vec<usize> = (0..1_000).collect();
    assert_eq!(read(&all).await, (1, 4_000_000));
    println!(
        "1,000 records: 1 write, 1 read for all, {} + 41 bytes",
        upload.manifest.bytes()
    );
}
