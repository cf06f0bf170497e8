//! Opening: the folder, its lock, the database and what it says about itself.
//!
//! ```text
//! DIR/LOCK      held by the process that has the folder
//! DIR/db/       the database: complete from the moment it has this name
//! DIR/db.new/   a database being created; left over only by a crash, then removed
//! ```

use super::options::{index_options, rocksdb_options};
use super::{StoreError, StoreOptions};
use crate::ports::folder;
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, WriteBatch, WriteOptions};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Format of the database: the layout of its keys. Values carry their own version.
pub(super) const FORMAT: u32 = 3;

/// Under 0 lies what the database says about itself, under 1 the actors' key spaces.
pub(super) const KEY_FORMAT: &[u8] = b"\0format";
const KEY_CLUSTER: &[u8] = b"\0cluster";
/// The part of the database for entries that are asked for by their whole key.
pub(super) const INDEX: &str = "index";

/// A database that is ours, of our format and of our cluster.
pub(super) struct Opened {
    pub(super) dir: PathBuf,
    pub(super) db: DB,
    pub(super) lock: FolderLock,
}

pub(super) fn open(dir: &Path, options: &StoreOptions) -> Result<Opened, StoreError> {
    let os = |error: std::io::Error| StoreError::from_os(dir, &error);
    folder::create_private(dir).map_err(os)?;
    let lock = take_lock(dir)?;
    let path = dir.join("db");
    if !path.try_exists().map_err(os)? {
        create(dir, &path, options)?;
    }
    let db = open_db(&path, options, false).map_err(|error| broken(dir, &error))?;
    check_format(dir, &db)?;
    index(dir, &db)?;
    if let Some(cluster) = options.cluster {
        check_cluster(dir, &db, cluster)?;
    }
    Ok(Opened {
        dir: dir.to_owned(),
        db,
        lock,
    })
}

/// `DIR/LOCK`, locked. The operating system lets go of it when the process ends, however it ends; the file stays.
pub(super) struct FolderLock(File);

impl Drop for FolderLock {
    /// Closing the file isn't enough: a child process that is being started at this moment has it open too.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the data folder stays locked until this process ends");
        }
    }
}

fn take_lock(dir: &Path) -> Result<FolderLock, StoreError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(dir.join("LOCK"))
        .map_err(|error| StoreError::from_os(dir, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(FolderLock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(StoreError::from_os(dir, &error)),
    }
}

/// Creates the database under another name and renames it when it is complete and synced: a database under its
/// final name is never a half-made one, so whatever it lacks was lost.
fn create(dir: &Path, path: &Path, options: &StoreOptions) -> Result<(), StoreError> {
    let os = |error: std::io::Error| StoreError::from_os(dir, &error);
    let new = dir.join("db.new");
    if new.try_exists().map_err(os)? {
        fs::remove_dir_all(&new).map_err(os)?;
    }
    let mut about = WriteBatch::default();
    about.put(KEY_FORMAT, FORMAT.to_be_bytes());
    if let Some(cluster) = options.cluster {
        about.put(KEY_CLUSTER, cluster);
    }
    open_db(&new, options, true)
        .and_then(|db| write_synced(&db, about))
        .map_err(|error| StoreError::from_rocksdb(dir, &error))?;
    fs::rename(&new, path).map_err(os)?;
    folder::sync(dir).map_err(os)
}

/// Opens both parts: the ordered one, and the index ([`super::Batch::put_index`]). An older format has no index: what
/// the database is, the format says.
fn open_db(path: &Path, options: &StoreOptions, create: bool) -> Result<DB, rocksdb::Error> {
    let direct = takes_direct_writes(path.parent().unwrap_or(path));
    let mut whole = rocksdb_options(options, direct);
    whole.create_if_missing(create);
    whole.create_missing_column_families(create);
    if !create && !DB::list_cf(&whole, path)?.iter().any(|name| name == INDEX) {
        return DB::open(&whole, path);
    }
    let parts = [
        ColumnFamilyDescriptor::new("default", rocksdb_options(options, direct)),
        ColumnFamilyDescriptor::new(INDEX, index_options(options)),
    ];
    DB::open_cf_descriptors(&whole, path, parts)
}

/// Whether files in `dir` can be written past the page cache: some file systems, those in memory above all, refuse it.
fn takes_direct_writes(dir: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        let probe = dir.join("direct.probe");
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_DIRECT)
            .open(&probe);
        // It may be there without having been opened. Left over it would harm nobody.
        let _ = fs::remove_file(&probe);
        opened.is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        false
    }
}

/// The index of an open database.
pub(super) fn index<'a>(dir: &Path, db: &'a DB) -> Result<&'a ColumnFamily, StoreError> {
    db.cf_handle(INDEX).ok_or_else(|| StoreError::Corrupt {
        dir: dir.to_owned(),
        detail: "the index is missing".to_owned(),
    })
}

fn check_format(dir: &Path, db: &DB) -> Result<(), StoreError> {
    let found = db.get(KEY_FORMAT).map_err(|error| broken(dir, &error))?;
    let found = found
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_be_bytes);
    if found == Some(FORMAT) {
        return Ok(());
    }
    Err(StoreError::UnknownFormat {
        dir: dir.to_owned(),
        found,
        known: FORMAT,
    })
}

fn check_cluster(dir: &Path, db: &DB, expected: [u8; 32]) -> Result<(), StoreError> {
    match db.get(KEY_CLUSTER).map_err(|error| broken(dir, &error))? {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(StoreError::OtherCluster {
            dir: dir.to_owned(),
            found: kithkin_protocol::hex(&found),
            expected: kithkin_protocol::hex(&expected),
        }),
        None => {
            let mut about = WriteBatch::default();
            about.put(KEY_CLUSTER, expected);
            write_synced(db, about).map_err(|error| broken(dir, &error))
        }
    }
}

fn write_synced(db: &DB, batch: WriteBatch) -> Result<(), rocksdb::Error> {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    db.write_opt(batch, &options)
}

/// RocksDB has a lock of its own, which tools that open the database without us hold.
fn broken(dir: &Path, error: &rocksdb::Error) -> StoreError {
    if error.as_ref().contains("lock file") || error.as_ref().contains("lock hold by") {
        return StoreError::InUse {
            dir: dir.to_owned(),
        };
    }
    StoreError::from_rocksdb(dir, error)
}
