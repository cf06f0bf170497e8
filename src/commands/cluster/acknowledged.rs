//! What was acknowledged: a file in the data folder, one JSON line per file, synced before anybody is told.
//!
//! The cluster itself keeps every record; this list is what `--check` compares it with. A line
//! that a crash has torn was never told to anybody and is cut off when the list is opened again.
//! [`Recorder`] is the thread that writes, and prints once it is written.

use super::report::{Line, Reporter};
use anyhow::{Context as _, anyhow};
use kithkin_actors::ports::names::ActorName;
use kithkin_protocol::crypto::{Digest, hash};
use kithkin_protocol::ids::BatchId;
use kithkin_protocol::units::{Height, Tier};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

/// Name of the file in the data folder.
const FILE: &str = "acknowledged.jsonl";
/// Version of its lines.
const FORMAT: u32 = 1;
/// Most lines under one sync.
const MERGE_MAX: usize = 1_024;

/// One acknowledged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Acknowledged {
    /// Version of this line.
    pub(super) format: u32,
    /// Counts from 1, without gaps, over all runs on this folder.
    pub(super) seq: u64,
    /// Whose record.
    #[serde(with = "name")]
    pub(super) patient: ActorName,
    /// Who wrote it.
    #[serde(with = "name")]
    pub(super) hospital: ActorName,
    /// Size of the original.
    pub(super) file_bytes: u64,
    /// [`file_digest`] of the original.
    pub(super) file_digest: Digest,
    /// Where it lies.
    pub(super) batches: Vec<AckBatch>,
    /// The highest height of a batch.
    pub(super) height: Height,
    /// Always `stored`: every kin has signed for its shards.
    pub(super) status: String,
}

/// One batch of an acknowledged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AckBatch {
    /// The tier.
    pub(super) tier: Tier,
    /// The batch on chain.
    pub(super) batch: BatchId,
    /// Manifest root of the upload.
    pub(super) root: Digest,
    /// How many records.
    pub(super) records: u32,
    /// Height of its block.
    pub(super) height: Height,
    /// Bytes that it takes on chain.
    pub(super) on_chain_bytes: u64,
}

impl Acknowledged {
    /// An acknowledgement that has no number yet.
    pub(super) fn new(patient: u16, hospital: u16, file: &[u8], batches: Vec<AckBatch>) -> Self {
        let heights = batches.iter().map(|batch| batch.height);
        Self {
            format: FORMAT,
            seq: 0,
            patient: ActorName::Patient(patient),
            hospital: ActorName::Hospital(hospital),
            file_bytes: file.len() as u64,
            file_digest: file_digest(file),
            height: heights.max().unwrap_or_default(),
            batches,
            status: "stored".to_owned(),
        }
    }
}

/// Names a file by its bytes: SHA-256 in the protocol's form, with a domain and a length.
pub(super) fn file_digest(bytes: &[u8]) -> Digest {
    hash("kithkin/file/1", &[bytes])
}

/// Everything acknowledged in this folder, oldest first. A torn last line is left out.
///
/// # Errors
/// When the file cannot be read or was changed.
pub(super) fn read(dir: &Path) -> anyhow::Result<Vec<Acknowledged>> {
    let path = dir.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => parse(&path, &bytes).map(|(list, _)| list),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// The lines, and how many bytes the whole ones take.
fn parse(path: &Path, bytes: &[u8]) -> anyhow::Result<(Vec<Acknowledged>, usize)> {
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let lines = bytes.get(..whole).unwrap_or_default();
    let mut list = Vec::new();
    for (expected, line) in (1u64..).zip(lines.split_inclusive(|byte| *byte == b'\n')) {
        let shown = path.display();
        let entry: Acknowledged = serde_json::from_slice(line).with_context(|| {
            format!("line {expected} of {shown} is damaged; restore the file from a backup")
        })?;
        if entry.seq != expected || entry.format != FORMAT {
            return Err(anyhow!(
                "line {expected} of {shown} has number {} and format {}, not {expected} and {FORMAT}: \
                 the file was changed; restore it from a backup",
                entry.seq,
                entry.format
            ));
        }
        list.push(entry);
    }
    Ok((list, whole))
}

/// The file, open for more.
pub(super) struct AckLog {
    file: File,
    path: PathBuf,
    /// How many it holds.
    pub(super) count: u64,
    /// The highest height among them.
    pub(super) height: Height,
}

impl AckLog {
    /// Opens the list of this folder, or makes it, and cuts off a torn last line. Whoever calls holds the folder's lock.
    ///
    /// # Errors
    /// When the file cannot be used or was changed.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(FILE);
        let context = || format!("{} cannot be used", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(context)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(context)?;
        let (list, whole) = parse(&path, &bytes)?;
        if whole < bytes.len() {
            tracing::warn!(path = %path.display(), "a torn last line is cut off: it was never acknowledged");
            file.set_len(whole as u64).with_context(context)?;
        }
        file.seek(SeekFrom::Start(whole as u64))
            .and_then(|_| file.sync_all())
            .and_then(|()| File::open(dir)?.sync_all())
            .with_context(context)?;
        Ok(Self {
            file,
            count: list.len() as u64,
            height: list
                .iter()
                .map(|entry| entry.height)
                .max()
                .unwrap_or_default(),
            path,
        })
    }

    /// Numbers the entries, writes them and syncs.
    fn append<'e>(
        &mut self,
        entries: impl Iterator<Item = &'e mut Acknowledged>,
    ) -> io::Result<()> {
        let mut text = Vec::new();
        let mut seq = self.count;
        for entry in entries {
            seq += 1;
            entry.seq = seq;
            serde_json::to_writer(&mut text, entry)?;
            text.push(b'\n');
            self.height = self.height.max(entry.height);
        }
        self.file.write_all(&text)?;
        self.file.sync_data()?;
        self.count = seq;
        Ok(())
    }
}

/// One entry on its way, and who waits for it.
type Waiting = (Acknowledged, oneshot::Sender<()>);

/// The thread that writes acknowledgements down and then prints them.
pub(super) struct Recorder {
    queue: mpsc::Sender<Waiting>,
    failure: watch::Receiver<Option<String>>,
    thread: JoinHandle<AckLog>,
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system has no thread.
    pub(super) fn start(log: AckLog, reporter: Reporter) -> io::Result<Self> {
        let (queue, entries) = mpsc::channel();
        let (failed, failure) = watch::channel(None);
        let thread = std::thread::Builder::new()
            .name("acknowledged".to_owned())
            .spawn(move || record(log, &entries, &failed, &reporter))?;
        Ok(Self {
            queue,
            failure,
            thread,
        })
    }

    /// What entries are handed to.
    pub(super) fn handle(&self) -> RecorderHandle {
        RecorderHandle(self.queue.clone())
    }

    /// Set when the list can no longer be written.
    pub(super) fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.clone()
    }

    /// Ends the thread after what is queued. Every handle must be gone.
    pub(super) fn finish(self) -> Option<AckLog> {
        drop(self.queue);
        self.thread.join().ok()
    }
}

/// Hands acknowledgements to the [`Recorder`].
#[derive(Clone)]
pub(super) struct RecorderHandle(mpsc::Sender<Waiting>);

impl RecorderHandle {
    /// Returns true when the entry is durable and printed; false when it cannot be written.
    pub(super) async fn record(&self, entry: Acknowledged) -> bool {
        let (done, wait) = oneshot::channel();
        self.0.send((entry, done)).is_ok() && wait.await.is_ok()
    }
}

fn record(
    mut log: AckLog,
    entries: &mpsc::Receiver<Waiting>,
    failed: &watch::Sender<Option<String>>,
    reporter: &Reporter,
) -> AckLog {
    while let Ok(first) = entries.recv() {
        let mut together = vec![first];
        together.extend(entries.try_iter().take(MERGE_MAX - 1));
        if let Err(error) = log.append(together.iter_mut().map(|(entry, _)| entry)) {
            let message = format!(
                "{} cannot be written: {error}; nothing acknowledged is lost: free some space or mend the disk, \
                 then start again",
                log.path.display()
            );
            failed.send_replace(Some(message));
            return log;
        }
        for (entry, done) in together {
            reporter.line(&Line::Ack(&entry));
            // Whoever waited may have gone.
            let _ = done.send(());
        }
    }
    log
}

/// Names of actors as text.
mod name {
    use super::ActorName;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(name: &ActorName, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(name)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ActorName, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
