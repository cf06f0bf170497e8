//! Nothing secret leaves: a patient's whole story on a real cluster, and then a search through everything that was written and said.
//!
//! Searched are the database (every key and value, and its files as they lie on the disk), the hospitals' archive, the log at its finest, and every message
//! between actors. Searched for are the plaintexts, the records' keys, the shares of two epochs, and every key that lay in
//! the vault at any time. A secret that is planted in each of these places shows that the search would find one.
//!
//! Not searched, because secrets belong there: the vault, and what a person's own screen is told (`transport` says whose).

mod search;
mod story;
mod transport;

use self::search::Needles;
use self::story::{Story, Told};
use crate::cluster::ARCHIVE;
use crate::ports::random::SystemRng;
use crate::ports::store::{Batch, Store, StoreOptions};
use kithkin_protocol::crypto::{Digest, Secret32};
use rocksdb::{DB, IteratorMode, Options};
use std::collections::BTreeSet;
use std::path::Path;

/// Name of the secret that is planted.
const PLANTED: &str = "planted";

#[actix::test]
async fn nothing_secret_is_stored_logged_or_sent() {
    let planted = Secret32::random(&mut SystemRng);
    let told = Story::told(Digest(*planted.expose())).await;
    let mut needles = Needles::default();
    needles.secret(PLANTED, planted.expose());
    told.needles(&mut needles);
    let search = needles.build();
    println!(
        "searching for {} secrets and {} pieces of text",
        search.secrets, search.texts
    );
    assert!(
        search.secrets > 60 && search.texts > 200,
        "too little to look for"
    );

    let Told {
        folder, log, tape, ..
    } = &told;
    assert_eq!(
        tape.unread,
        BTreeSet::new(),
        "messages that this test cannot read"
    );
    let planted_only = BTreeSet::from([PLANTED]);
    println!(
        "transport: {} bytes of {} messages",
        tape.bytes.len(),
        tape.messages
    );
    assert_eq!(search.find(&tape.bytes), planted_only, "on the transport");
    println!("log: {} bytes", log.len());
    assert_eq!(search.find(log), planted_only, "in the log");
    // What the screens were told is every plaintext: it's found where it is.
    let on_screens = search.find(&tape.screens);
    assert_eq!(
        on_screens.len(),
        search.texts,
        "the search misses plaintexts"
    );

    let store = Store::open(folder.path(), StoreOptions::default()).expect("it opens again");
    let space = store.space("planted").expect("a space");
    let mut batch = Batch::default();
    batch.put(b"key", planted.expose().repeat(3));
    space.write_blocking(batch).expect("written");
    store.close().expect("closed");
    let (files, bytes) = search.find_in_files(folder.path(), "keys");
    println!("files: {bytes} bytes");
    assert_eq!(files, planted_only, "in the files of the database");
    let archive = folder.path().join(ARCHIVE);
    let (packs, bytes) = search.find_in_files(&archive, "keys");
    println!("archive: {bytes} bytes");
    assert!(bytes > 1_000, "too little was archived");
    assert_eq!(packs, BTreeSet::new(), "in the archive");
    std::fs::write(archive.join("hospital-0/planted"), planted.expose()).expect("written");
    let (packs, _) = search.find_in_files(&archive, "keys");
    assert_eq!(packs, planted_only, "in the archive");
    let (values, count) = entries(&folder.path().join("db"), &search);
    println!("database: {count} entries");
    assert!(count > 500, "too little was stored");
    assert_eq!(values, planted_only, "in the database");
    // What was deleted or overwritten, and lay compressed until now, is gone, and the rest lies elsewhere.
    let (files, bytes) = search.find_in_files(folder.path(), "keys");
    println!("files after compaction: {bytes} bytes");
    assert!(files.is_subset(&planted_only), "{files:?}");
}

/// What is found in the keys and values of a closed database, and how many there are; it is compacted then.
fn entries<'a>(path: &Path, search: &'a search::Search) -> (BTreeSet<&'a str>, usize) {
    let options = Options::default();
    let parts = DB::list_cf(&options, path).expect("its parts");
    let db = DB::open_cf(&options, path, &parts).expect("it opens");
    let (mut found, mut count) = (BTreeSet::new(), 0);
    for part in &parts {
        let part = db.cf_handle(part).expect("it is open");
        for entry in db.iterator_cf(part, IteratorMode::Start) {
            let (key, value) = entry.expect("readable");
            found.extend(search.find(&key));
            found.extend(search.find(&value));
            count += 1;
        }
        db.flush_cf(part).expect("flushed");
        db.compact_range_cf(part, None::<&[u8]>, None::<&[u8]>);
    }
    (found, count)
}
