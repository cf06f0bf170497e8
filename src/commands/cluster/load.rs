//! Writing synthetic records at a rate: open loop, with a bound on what is under way.
//!
//! A write counts as acknowledged when every batch of it is final and `stored`, and the
//! [`super::acknowledged::Recorder`] has written it down.

use super::acknowledged::{AckBatch, Acknowledged, RecorderHandle, file_digest};
use super::bundles;
use super::onlooker::Onlooker;
use super::report::{Line, NotAcknowledged, Reporter};
use super::settings::Load;
use super::status::ms;
use crate::stage::Stage;
use kithkin_actors::hospital::messages::{Written, WrittenBatch};
use kithkin_actors::ports::names::ActorName;
use kithkin_protocol::record::BatchStatus;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How long writes that are under way may take at the end.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// So many of the newest latencies make the percentiles.
const LATENCIES_KEPT: usize = 1_024;

/// How the load goes, since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Figures {
    /// Writes that were due.
    pub(super) offered: u64,
    /// Stored with every kin, final, and written down.
    pub(super) acknowledged: u64,
    /// Final, but not with every kin.
    pub(super) degraded: u64,
    /// Neither.
    pub(super) failed: u64,
    /// Not begun, because too many were under way.
    pub(super) skipped: u64,
    /// Under way.
    pub(super) in_flight: u64,
    /// Acknowledged a second, over the whole time.
    pub(super) acknowledged_per_s: f64,
    /// From asking to acknowledging, of the newest ones: half took at most this long.
    pub(super) latency_ms_p50: Option<u64>,
    /// And ninety-nine in a hundred at most this long.
    pub(super) latency_ms_p99: Option<u64>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} stored ({:.1}/s), {} under way, {} failed, {} degraded, {} skipped",
            self.acknowledged,
            self.acknowledged_per_s,
            self.in_flight,
            self.failed,
            self.degraded,
            self.skipped
        )?;
        match (self.latency_ms_p50, self.latency_ms_p99) {
            (Some(p50), Some(p99)) => write!(f, ", {p50} ms (99 %: {p99} ms)"),
            _ => Ok(()),
        }
    }
}

/// Everything that a write needs; shared by all of them.
pub(super) struct Writing {
    /// The cluster.
    pub(super) stage: Rc<Stage>,
    /// Who is told of heights.
    pub(super) onlooker: Rc<Onlooker>,
    /// How much.
    pub(super) load: Load,
    /// What the bundles are made from.
    pub(super) seed: u64,
    /// Number of the first bundle.
    pub(super) first: u64,
    /// Who writes acknowledgements down.
    pub(super) recorder: RecorderHandle,
    /// Who is told of failures.
    pub(super) reporter: Reporter,
}

/// A load that is being written.
pub(super) struct Loader {
    figures: Rc<RefCell<Collected>>,
    enough: watch::Sender<Option<Duration>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Collected {
    figures: Figures,
    latencies: VecDeque<u64>,
}

impl Loader {
    /// Begins.
    pub(super) fn start(writing: Writing) -> Self {
        let figures = Rc::new(RefCell::new(Collected::default()));
        let (enough, stop) = watch::channel(None);
        let task = tokio::task::spawn_local(run(Rc::new(writing), Rc::clone(&figures), stop));
        Self {
            figures,
            enough,
            task,
        }
    }

    /// How it goes.
    pub(super) fn figures(&self, uptime_ms: u64) -> Figures {
        let collected = self.figures.borrow();
        let mut figures = collected.figures.clone();
        let seconds = Duration::from_millis(uptime_ms.max(1)).as_secs_f64();
        figures.acknowledged_per_s =
            ((figures.acknowledged as f64 / seconds) * 100.0).round() / 100.0;
        let mut sorted: Vec<u64> = collected.latencies.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| {
            sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        };
        figures.latency_ms_p50 = at(50).copied();
        figures.latency_ms_p99 = at(99).copied();
        figures
    }

    /// Begins no more writes, and waits for those under way unless the disk has `failed`: then none can end well.
    pub(super) async fn finish(&mut self, failed: bool) {
        let within = if failed { Duration::ZERO } else { DRAIN_WITHIN };
        self.enough.send_replace(Some(within));
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the load ended badly");
        }
    }
}

async fn run(
    writing: Rc<Writing>,
    figures: Rc<RefCell<Collected>>,
    mut stop: watch::Receiver<Option<Duration>>,
) {
    let mut ticks =
        tokio::time::interval(Duration::from_secs_f64(1.0 / writing.load.records_per_s));
    let mut writes = JoinSet::new();
    let mut number = writing.first;
    let drain_within = loop {
        tokio::select! {
            // An error means that nobody is left who could want more.
            within = stop.wait_for(Option::is_some) => {
                break within.ok().and_then(|within| *within).unwrap_or_default();
            }
            _ = ticks.tick() => {
                let mut now = figures.borrow_mut();
                now.figures.offered += 1;
                if writes.len() >= writing.load.in_flight_max {
                    now.figures.skipped += 1;
                    continue;
                }
                now.figures.in_flight += 1;
                writes.spawn_local(write(Rc::clone(&writing), Rc::clone(&figures), number));
                number += 1;
            }
            Some(_) = writes.join_next(), if !writes.is_empty() => {}
        }
    };
    let drained = async { while writes.join_next().await.is_some() {} };
    if tokio::time::timeout(drain_within, drained).await.is_err() {
        tracing::info!("some writes did not end; they were not acknowledged");
        writes.shutdown().await;
    }
}

async fn write(writing: Rc<Writing>, collected: Rc<RefCell<Collected>>, number: u64) {
    let shape = writing.stage.cluster().shape();
    let (patients, hospitals) = (u64::from(shape.patients), u64::from(shape.hospitals));
    // In turn over both, and in time every hospital writes for every patient.
    let patient = (number % patients) as u16;
    let hospital = ((number + number / patients) % hospitals) as u16;
    let bundle = Arc::new(bundles::bundle(writing.seed, number, patient));
    let asked = Instant::now();
    let answer = writing
        .stage
        .write(
            hospital,
            patient,
            Arc::clone(&bundle),
            writing.load.patience,
        )
        .await;
    let outcome = match answer {
        Ok(written)
            if written
                .batches
                .iter()
                .all(|batch| batch.status == BatchStatus::Stored) =>
        {
            acknowledge(&writing, patient, hospital, &bundle, &written).await
        }
        Ok(_) => Err((true, "not every kin has signed for it yet".to_owned())),
        Err(error) => Err((false, error.to_string())),
    };
    let mut now = collected.borrow_mut();
    now.figures.in_flight -= 1;
    match outcome {
        Ok(()) => {
            now.figures.acknowledged += 1;
            if now.latencies.len() == LATENCIES_KEPT {
                now.latencies.pop_front();
            }
            now.latencies.push_back(ms(asked.elapsed()));
        }
        Err((degraded, reason)) => {
            if degraded {
                now.figures.degraded += 1;
            } else {
                now.figures.failed += 1;
            }
            tracing::info!(patient, hospital, %reason, "not acknowledged");
            writing
                .reporter
                .line(&Line::NotAcknowledged(&NotAcknowledged {
                    patient: ActorName::Patient(patient).to_string(),
                    hospital: ActorName::Hospital(hospital).to_string(),
                    file_digest: file_digest(&bundle),
                    reason,
                }));
        }
    }
}

/// Has it written down. The error says whether the file is degraded, and why it is not acknowledged.
async fn acknowledge(
    writing: &Writing,
    patient: u16,
    hospital: u16,
    bundle: &[u8],
    written: &Written,
) -> Result<(), (bool, String)> {
    let batches = written.batches.iter().map(ack_batch).collect();
    let entry = Acknowledged::new(patient, hospital, bundle, batches);
    writing.onlooker.at_least(entry.height);
    if writing.recorder.record(entry).await {
        Ok(())
    } else {
        Err((
            false,
            "the list of acknowledgements cannot be written".to_owned(),
        ))
    }
}

fn ack_batch(batch: &WrittenBatch) -> AckBatch {
    AckBatch {
        tier: batch.tier,
        batch: batch.batch,
        root: batch.root,
        records: batch.records,
        height: batch.height,
        on_chain_bytes: batch.on_chain_bytes as u64,
    }
}
