//! How RocksDB is set up, and why.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};

/// How to open a [`super::Store`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// The cluster whose data this is, for example the genesis' hash. Written into a new database, compared with
    /// the one in an existing database. None: neither.
    pub cluster: Option<[u8; 32]>,
    /// Size of one memtable in bytes; there are up to three, and three of the index. Larger: fewer files, slower start after a crash.
    pub write_buffer_bytes: usize,
    /// Size in bytes of the cache for blocks, indexes and filters.
    pub block_cache_bytes: usize,
    /// Most files of the database open at once.
    pub open_files_max: i32,
}

impl Default for StoreOptions {
    /// Under 300 MiB for one process with some 600 actors.
    fn default() -> Self {
        Self {
            cluster: None,
            write_buffer_bytes: 32 * 1024 * 1024,
            block_cache_bytes: 64 * 1024 * 1024,
            open_files_max: 512,
        }
    }
}

/// Most bytes of logs that wait for a memtable to be written out; replayed at a start after a crash.
const LOGS_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// From how many bytes on a value lies in a blob file.
const BLOB_BYTES_MIN: u64 = 32 * 1024;

/// While space is reclaimed: the part of the blob files, the oldest ones, whose values a merge writes anew.
const RECLAIM_AGE: f64 = 0.5;

/// While space is reclaimed: from what part of garbage in the oldest files on that is not left to chance; the part at which
/// `reclaim` ends. Garbage in younger files waits until they are old.
const RECLAIM_FORCE: f64 = 0.125;

/// RocksDB's options. Every one on which durability rests is set here, whatever RocksDB's default is. `direct`: the disk
/// takes writes that pass the page cache by.
pub(super) fn rocksdb_options(options: &StoreOptions, direct: bool) -> Options {
    let mut db = Options::default();
    durability(&mut db);

    db.set_write_buffer_size(options.write_buffer_bytes);
    db.set_max_write_buffer_number(3);
    db.set_max_open_files(options.open_files_max);
    db.set_max_background_jobs(2);
    // What a memtable holds is written once more, and hardly ever read soon: past the page cache, which would take a page
    // of memory and a copy for all of it. Measured: a quarter more transactions a second.
    db.set_use_direct_io_for_flush_and_compaction(direct);
    // Else: spreads the writing of large files, so that it doesn't pile up in front of the log's fsync.
    db.set_bytes_per_sync(1024 * 1024);

    // Most bytes are ciphertext, which LZ4 recognises at once and leaves alone.
    db.set_compression_type(DBCompressionType::Lz4);
    let mut table = table(options.block_cache_bytes);
    table.set_block_size(16 * 1024);
    db.set_block_based_table_factory(&table);

    // Large values, block bodies and shards, go into files of their own when a memtable is written out: merging them
    // with others again and again would be most of what the disk does. How space of removed ones comes back: `reclaim`.
    db.set_enable_blob_files(true);
    db.set_min_blob_size(BLOB_BYTES_MIN);
    db.set_blob_file_size(64 * 1024 * 1024);
    db.set_blob_compression_type(DBCompressionType::None);
    db.set_enable_blob_gc(false);
    db.set_blob_gc_age_cutoff(RECLAIM_AGE);
    db.set_blob_gc_force_threshold(RECLAIM_FORCE);

    // The index fills its memtables slowly, and a log stays as long as something in it is in a memtable only.
    db.set_max_total_wal_size(LOGS_BYTES_MAX);

    // RocksDB's own log: what an operator needs after an accident, no more.
    db.set_log_level(LogLevel::Warn);
    db.set_keep_log_file_num(2);
    db.set_max_log_file_size(4 * 1024 * 1024);
    db
}

/// Options of the index: small entries under keys without an order, each asked for by its whole key.
pub(super) fn index_options(options: &StoreOptions) -> Options {
    let mut db = Options::default();
    db.set_write_buffer_size(options.write_buffer_bytes);
    db.set_max_write_buffer_number(3);
    // Digests.
    db.set_compression_type(DBCompressionType::None);
    db.set_paranoid_checks(true);
    let table = table(options.block_cache_bytes / 2);
    db.set_block_based_table_factory(&table);
    db
}

fn table(cache_bytes: usize) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(cache_bytes));
    table.set_bloom_filter(10.0, false);
    // Inside the cache's bound; those of the youngest files, asked most often, stay there.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table
}

/// After `kill -9`, a power cut or a full disk the log may end in the middle of a record that was never
/// acknowledged: each write is synced before anyone hears of it, and after a failed one there is no other. Which
/// recovery mode fits follows from that:
///
/// * *absolute consistency* refuses such a log, so an ordinary `kill -9` could keep a node from starting;
/// * *point in time* (RocksDB's default) starts from any log and silently drops everything behind the first
///   unreadable record, also when that record, and those behind it, had been acknowledged;
/// * *tolerate corrupted tail records* drops an unfinished record at the end and reports any other damage as an
///   error, which we hand on as [`super::StoreError::Corrupt`].
///
/// So the third. Its limit: when the disk loses the very end of the log after having confirmed it, that looks
/// like an unfinished record. It also needs logs not to be recycled: in a recycled one old records follow the end.
fn durability(db: &mut Options) {
    db.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    db.set_recycle_log_file_num(0);
    // A log that was closed and synced must be there, in its full length, at the next start.
    db.set_track_and_verify_wals_in_manifest(true);
    db.set_manual_wal_flush(false);
    db.set_paranoid_checks(true);
    db.set_unordered_write(false);
    db.set_enable_pipelined_write(false);
    // A database that lost its CURRENT file must not be taken for a new one, and what is left of it deleted.
    db.create_if_missing(false);
}
