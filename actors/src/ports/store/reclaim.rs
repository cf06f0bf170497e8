//! The space of large values that were removed or replaced.
//!
//! RocksDB can write the values that are left in old blob files anew, to be rid of the files. While that is switched
//! on, every merge does it with those of its values that lie in the oldest files, whether anything in these was removed or
//! not: a validator, whose blocks stay, would read and write most of them once more. So it is switched on when there
//! is enough to be had, a quarter, and off again when only an eighth is left.

use rocksdb::DB;

/// Of so many bytes of blob files one byte is garbage when reclaiming begins.
const BEGIN_AT_ONE_IN: u64 = 4;
/// And when it ends.
const END_AT_ONE_IN: u64 = 8;

/// Whether space is being reclaimed; belongs to the thread that writes.
pub(super) struct Reclaim {
    /// None after a failure: the option may have been changed before.
    on: Option<bool>,
    /// Bytes written since the last look.
    written: u64,
    /// Bytes written from one look to the next.
    every: u64,
}

impl Reclaim {
    /// Garbage is found when memtables are written out and merged, so there is no use in looking more often than that.
    pub(super) fn new(write_buffer_bytes: usize) -> Self {
        Self {
            on: Some(false),
            written: 0,
            every: write_buffer_bytes as u64,
        }
    }

    /// Notes what was written, and looks when it is time. A failure costs space, and only that.
    pub(super) fn note(&mut self, db: &DB, bytes: u64) {
        self.written = self.written.saturating_add(bytes);
        if self.written < self.every {
            return;
        }
        self.written = 0;
        let switched = look(db).and_then(|(total, garbage)| {
            let on = wanted(self.on == Some(true), total, garbage);
            if self.on != Some(on) {
                self.on = None;
                let value = if on { "true" } else { "false" };
                db.set_options(&[("enable_blob_garbage_collection", value)])?;
                tracing::debug!(total, garbage, on, "reclaiming the space of removed values");
                self.on = Some(on);
            }
            Ok(())
        });
        if let Err(error) = switched {
            tracing::warn!(%error, "cannot reclaim the space of removed values");
        }
    }
}

/// Bytes of blob files that are in use, and how many of them are garbage.
fn look(db: &DB) -> Result<(u64, u64), rocksdb::Error> {
    let read = |name: &str| Ok(db.property_int_value(name)?.unwrap_or(0));
    Ok((
        read("rocksdb.live-blob-file-size")?,
        read("rocksdb.live-blob-file-garbage-size")?,
    ))
}

fn wanted(on: bool, total: u64, garbage: u64) -> bool {
    let one_in = if on { END_AT_ONE_IN } else { BEGIN_AT_ONE_IN };
    garbage > total / one_in
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::store::{Batch, Store, StoreOptions};
    use std::time::{Duration, Instant};

    #[test]
    fn it_begins_late_and_ends_later() {
        assert!(!wanted(false, 0, 0) && !wanted(true, 0, 0));
        assert!(!wanted(false, 400, 100) && wanted(false, 400, 101));
        assert!(wanted(true, 400, 51) && !wanted(true, 400, 50));
    }

    /// Bytes of the blob files in a database's folder.
    fn blobs(dir: &std::path::Path) -> u64 {
        let files = std::fs::read_dir(dir.join("db")).expect("the folder");
        files
            .map(|file| file.expect("an entry"))
            .filter(|file| file.path().extension().is_some_and(|it| it == "blob"))
            .filter_map(|file| Some(file.metadata().ok()?.len()))
            .sum()
    }

    /// Large values that are replaced again and again, and a few in between that stay and would hold every file.
    #[test]
    fn space_comes_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = StoreOptions {
            write_buffer_bytes: 1 << 20,
            ..StoreOptions::default()
        };
        let store = Store::open(dir.path(), options).expect("a store");
        let space = store.space("kin-0-0").expect("a space");
        let value = |round: u32, n: u32| vec![(round * 31 + n).to_le_bytes()[0]; 64 << 10];
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut round = 0;
        let (mut largest, mut kept) = (0, 0);
        // Merging is done by other threads, in their own time: go on until it has come to this.
        while largest < (8 << 20) || blobs(dir.path()) > kept * (64 << 10) * 3 {
            assert!(Instant::now() < deadline, "{} bytes", blobs(dir.path()));
            let mut batch = Batch::default();
            for n in 0..15 {
                batch.put(format!("changes/{n}"), value(round, n));
            }
            if round < 64 {
                batch.put(format!("stays/{round:06}"), value(round, 99));
                kept += 1;
            }
            space.write_blocking(batch).expect("written");
            largest = largest.max(blobs(dir.path()));
            round += 1;
        }
        for n in 0..kept {
            let n = u32::try_from(n).expect("few");
            let found = space.get(format!("stays/{n:06}").as_bytes()).expect("read");
            assert_eq!(found, Some(value(n, 99)), "{n}");
        }
        for n in 0..15 {
            let found = space.get(format!("changes/{n}").as_bytes()).expect("read");
            assert_eq!(found, Some(value(round - 1, n)), "{n}");
        }
    }
}
