//! `--check`: every acknowledged file is opened by its patient's own device, put together and compared.
//!
//! First from the hospitals, all of them; then, as if the hospitals had lost them, from the kin's
//! shards: all when they are few, else a sample spread evenly over the list.

use super::acknowledged::{Acknowledged, file_digest};
use super::progress;
use crate::commands::stop::Stop;
use crate::stage::Stage;
use indicatif::ProgressBar;
use kithkin_actors::patient::messages::Source;
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::upload::OpenedRecord;
use kithkin_fhir::cut;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::units::{Height, Tier};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Files asked for in one message.
const FILES_AT_ONCE: usize = 16;
/// At most so many files are opened from the kin's shards as well.
const FROM_KIN_MAX: usize = 256;

/// What a check found.
#[derive(Debug, Default, Serialize)]
pub(super) struct CheckReport {
    /// Whether everything that was to hold did.
    pub(super) ok: bool,
    /// Files acknowledged.
    pub(super) acknowledged: usize,
    /// Files that came back byte for byte.
    pub(super) opened: usize,
    /// Files that were asked of the kin alone.
    pub(super) asked_of_kin: usize,
    /// Those of them that came back byte for byte.
    pub(super) opened_from_kin: usize,
    /// Those that did not.
    pub(super) failed: Vec<Failed>,
    /// Height of the newest durable block.
    pub(super) height: Height,
    /// The highest height that was ever acknowledged.
    pub(super) height_acknowledged: Height,
    /// Whether somebody asked to stop before the end.
    pub(super) interrupted: bool,
    /// How long it took.
    pub(super) took_ms: u64,
}

/// A file that did not come back.
#[derive(Debug, Serialize)]
pub(super) struct Failed {
    /// Its number.
    pub(super) seq: u64,
    /// Whose record.
    pub(super) patient: String,
    /// `hospital` or `kin`.
    pub(super) source: &'static str,
    /// Why.
    pub(super) reason: String,
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} acknowledged files came back byte for byte; {} of {} from the kin's shards alone; height {} \
             (acknowledged: {})",
            self.opened,
            self.acknowledged,
            self.opened_from_kin,
            self.asked_of_kin,
            self.height,
            self.height_acknowledged
        )?;
        for failed in &self.failed {
            let Failed {
                seq,
                patient,
                source,
                reason,
            } = failed;
            write!(
                f,
                "\n  file {seq} of {patient}, from the {source}: {reason}"
            )?;
        }
        Ok(())
    }
}

/// Opens everything. The heights and the time are the caller's to fill in, and so is `ok`.
pub(super) async fn all(
    stage: &Rc<Stage>,
    list: Vec<Acknowledged>,
    at_a_time: usize,
    stop: &Stop,
) -> CheckReport {
    let list: Vec<Arc<Acknowledged>> = list.into_iter().map(Arc::new).collect();
    let step = list.len().div_ceil(FROM_KIN_MAX).max(1);
    let sample: Vec<_> = list.iter().step_by(step).cloned().collect();
    let bar = progress::bar("opening files", (list.len() + sample.len()) as u64);
    let mut report = CheckReport {
        acknowledged: list.len(),
        asked_of_kin: sample.len(),
        ..CheckReport::default()
    };
    let whole = chunks(&list, Source::Hospital);
    let asked = whole.into_iter().chain(chunks(&sample, Source::Kin));
    let mut asked = asked.collect::<Vec<_>>().into_iter();
    let mut reads = JoinSet::new();
    loop {
        while reads.len() < at_a_time && !stop.asked() {
            let Some(chunk) = asked.next() else { break };
            reads.spawn_local(open_chunk(Rc::clone(stage), chunk, bar.clone()));
        }
        match reads.join_next().await {
            None => break,
            Some(Ok((source, opened, mut failed))) => {
                match source {
                    Source::Hospital => report.opened += opened,
                    Source::Kin => report.opened_from_kin += opened,
                }
                report.failed.append(&mut failed);
            }
            Some(Err(error)) => tracing::error!(%error, "a read ended badly"),
        }
    }
    report.interrupted = stop.asked();
    report.failed.sort_by_key(|failed| failed.seq);
    bar.finish_and_clear();
    report
}

/// Files of one patient that are asked for in one message.
struct Chunk {
    patient: ActorName,
    files: Vec<Arc<Acknowledged>>,
    source: Source,
}

/// In turns over the patients, so that all their devices work.
fn chunks(list: &[Arc<Acknowledged>], source: Source) -> Vec<Chunk> {
    let mut of: BTreeMap<ActorName, Vec<Arc<Acknowledged>>> = BTreeMap::new();
    for entry in list {
        of.entry(entry.patient).or_default().push(Arc::clone(entry));
    }
    let mut numbered: Vec<(usize, Chunk)> = of
        .into_iter()
        .flat_map(|(patient, files)| {
            let parts: Vec<_> = files.chunks(FILES_AT_ONCE).map(<[_]>::to_vec).collect();
            parts.into_iter().enumerate().map(move |(turn, files)| {
                let chunk = Chunk {
                    patient,
                    files,
                    source,
                };
                (turn, chunk)
            })
        })
        .collect();
    numbered.sort_by_key(|(turn, _)| *turn);
    numbered.into_iter().map(|(_, chunk)| chunk).collect()
}

async fn open_chunk(
    stage: Rc<Stage>,
    chunk: Chunk,
    bar: ProgressBar,
) -> (Source, usize, Vec<Failed>) {
    let mut opened = 0;
    let mut failed = Vec::new();
    // One bad file makes the whole message fail; then they are asked for one by one.
    let together = read(&stage, &chunk.files, &chunk).await;
    for file in &chunk.files {
        let outcome = match &together {
            Ok(records) => compare(file, records),
            Err(_) => read(&stage, std::slice::from_ref(file), &chunk)
                .await
                .and_then(|records| compare(file, &records)),
        };
        match outcome {
            Ok(()) => opened += 1,
            Err(reason) => failed.push(Failed {
                seq: file.seq,
                patient: file.patient.to_string(),
                source: match chunk.source {
                    Source::Hospital => "hospital",
                    Source::Kin => "kin",
                },
                reason,
            }),
        }
        bar.inc(1);
    }
    (chunk.source, opened, failed)
}

async fn read(
    stage: &Stage,
    files: &[Arc<Acknowledged>],
    chunk: &Chunk,
) -> Result<Vec<OpenedRecord>, String> {
    let ActorName::Patient(patient) = chunk.patient else {
        return Err(format!("{} is no patient", chunk.patient));
    };
    let batches = files.iter().flat_map(|file| &file.batches);
    let roots: Vec<Digest> = batches.map(|batch| batch.root).collect();
    stage
        .read_all(patient, Tier::ALL.to_vec(), roots, chunk.source)
        .await
        .map_err(|error| error.to_string())
}

/// Whether the records are all there and make the file again.
fn compare(file: &Acknowledged, records: &[OpenedRecord]) -> Result<(), String> {
    let mut parts = Vec::new();
    for batch in &file.batches {
        let of_batch = records.iter().filter(|record| record.root == batch.root);
        let plaintexts: Vec<_> = of_batch.map(|record| record.bytes.clone()).collect();
        if plaintexts.len() != batch.records as usize {
            return Err(format!(
                "{} of {} records of upload {} ({}) were opened",
                plaintexts.len(),
                batch.records,
                batch.root,
                batch.tier
            ));
        }
        if batch.tier != Tier::Summary {
            parts.extend(plaintexts);
        }
    }
    let joined = cut::join(&parts).map_err(|error| error.to_string())?;
    if file_digest(&joined) == file.file_digest && joined.len() as u64 == file.file_bytes {
        Ok(())
    } else {
        Err(format!(
            "the file that came back has {} bytes and digest {}, not {} and {}",
            joined.len(),
            file_digest(&joined),
            file.file_bytes,
            file.file_digest
        ))
    }
}
