//! `kithkin cluster`: a whole cluster in this process, with load or a check on request.
//!
//! * `settings`: what is asked for, from four layers.
//! * `enrol`, `load`, `check`: what is done. `acknowledged`: the list that a check compares with.
//! * `report`, `onlooker`, `status`, `table`, `progress`, `memory`: what is shown.

mod acknowledged;
mod bundles;
mod check;
mod enrol;
mod load;
mod memory;
mod onlooker;
mod progress;
mod report;
mod settings;
mod status;
mod table;

use super::Failure;
use super::stop::Stop;
use crate::cli::ClusterArgs;
use crate::stage::Stage;
use acknowledged::{AckLog, Recorder};
use anyhow::{Context as _, anyhow};
use kithkin_actors::cluster::{ClusterConfig, Lie, Lies};
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::ports::objects::Objects;
use kithkin_actors::ports::store::StoreError;
use kithkin_protocol::ids::ValidatorId;
use load::{Figures, Loader, Writing};
use memory::Memory;
use onlooker::Onlooker;
use report::{Line, Reporter};
use settings::Settings;
use status::{Ready, Stopped, ms};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::watch;

/// Runs a cluster until it is told to stop, or checks one.
///
/// # Errors
/// [`Failure::Usage`] for settings that cannot be; [`Failure::Storage`] when the data folder cannot be used
/// or the disk fails; [`Failure::Cluster`] when the cluster does not start or patients cannot be enrolled;
/// [`Failure::NotHeld`] when a check finds a file that does not open.
pub async fn run(args: ClusterArgs) -> Result<(), Failure> {
    let settings = Settings::resolve(&args, std::env::vars())?;
    if let Some(warning) = settings.warning() {
        eprintln!("kithkin: {warning}");
    }
    let stop = Stop::listen().map_err(Failure::Cluster)?;
    let folder = Folder::new(settings.data.clone())?;
    let reporter = Reporter::new(settings.json);

    let began = Instant::now();
    let mut config = ClusterConfig::new(folder.path.clone(), settings.shape);
    config.seed = settings.seed;
    config.timing = settings.timing;
    config.quota = settings.quota;
    config.lies = lies(&settings.liars);
    let archive = settings.archive.as_ref().map(Objects::open).transpose();
    config.archive = archive.map_err(|error| Failure::Storage(error.into()))?;
    let stage = Rc::new(Stage::launch(config).await?);
    let session = Session {
        failure: stage.cluster().failure(),
        stage,
        settings,
        folder,
        reporter,
        stop,
        launch_ms: ms(began.elapsed()),
    };
    let done = if session.settings.check {
        session.check().await
    } else {
        session.serve().await
    };
    // A broken disk shows as all sorts of failures; say what it is.
    let failure = session.failure.borrow().clone();
    session.shutdown().await;
    match failure {
        Some(error) => Err(Failure::Storage(error.into())),
        None => done,
    }
}

/// Those who lie from the start; none, and no way to lie, when nobody does.
fn lies(liars: &[(ValidatorId, Lie)]) -> Option<Lies> {
    if liars.is_empty() {
        return None;
    }
    let lies = Lies::default();
    for (id, lie) in liars {
        let name = ActorName::Validator(id.0);
        eprintln!("kithkin: warning: {name} lies, because it was told to");
        lies.set(*id, Some(*lie));
    }
    Some(lies)
}

/// The data folder of this run.
struct Folder {
    path: PathBuf,
    /// Removes the folder when dropped.
    temporary: Option<tempfile::TempDir>,
}

impl Folder {
    fn new(data: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(path) = data {
            let temporary = None;
            return Ok(Self { path, temporary });
        }
        let dir = tempfile::Builder::new()
            .prefix("kithkin-")
            .tempdir()
            .context("cannot make a temporary data folder; name one with --data DIR")
            .map_err(Failure::Storage)?;
        Ok(Self {
            path: dir.path().to_owned(),
            temporary: Some(dir),
        })
    }
}

/// A cluster that runs for this command.
struct Session {
    stage: Rc<Stage>,
    settings: Settings,
    folder: Folder,
    reporter: Reporter,
    stop: Stop,
    failure: watch::Receiver<Option<StoreError>>,
    launch_ms: u64,
}

/// Why a cluster stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Signal,
    Time,
    Storage,
    Output,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Time => "time",
            Self::Storage => "storage",
            Self::Output => "output",
        }
    }
}

impl Session {
    /// Enrols, writes, shows, until there is a reason to stop.
    async fn serve(&self) -> Result<(), Failure> {
        let began = Instant::now();
        let enrolled = enrol::all(&self.stage, &self.stop)
            .await
            .map_err(Failure::Cluster)?;
        let onlooker = Rc::new(Onlooker::new(&self.stage).await.map_err(Failure::Cluster)?);
        let log = AckLog::open(&self.folder.path).map_err(Failure::Storage)?;
        onlooker.at_least(log.height);
        let acknowledged = log.count;
        self.reporter.line(&Line::Ready(&Ready {
            data: self.folder.path.display().to_string(),
            temporary: self.folder.temporary.is_some(),
            height: onlooker.height(self.stage.board()),
            acknowledged,
            enrolled,
            launch_ms: self.launch_ms,
            enrol_ms: ms(began.elapsed()),
            ..Ready::of(self.settings.shape)
        }));
        let recorder = Recorder::start(log, self.reporter.clone())
            .context("cannot start a thread")
            .map_err(Failure::Cluster)?;
        let mut loader = self.loader(&onlooker, &recorder, acknowledged);
        let mut unwritten = recorder.failure();
        let why = self.watch(&onlooker, loader.as_ref(), &mut unwritten).await;

        if let Some(loader) = &mut loader {
            loader.finish(why == Why::Storage).await;
        }
        let figures = figures(loader.as_ref(), &onlooker);
        drop(loader);
        let failed = recorder.failure().borrow().clone();
        let log = recorder.finish();
        self.reporter.line(&Line::Stopped(&Stopped {
            reason: why.as_str(),
            height: onlooker.height(self.stage.board()),
            uptime_ms: onlooker.uptime_ms(),
            acknowledged: log.map_or(acknowledged, |log| log.count),
            view_changes: self.stage.board().glance().view_changes.len(),
            restarts: self.stage.board().restarts().len(),
            load: figures,
            memory: Memory::now(),
        }));
        match failed {
            Some(message) => Err(Failure::Storage(anyhow!(message))),
            None => Ok(()),
        }
    }

    fn loader(
        &self,
        onlooker: &Rc<Onlooker>,
        recorder: &Recorder,
        acknowledged: u64,
    ) -> Option<Loader> {
        let load = self.settings.load?;
        Some(Loader::start(Writing {
            stage: Rc::clone(&self.stage),
            onlooker: Rc::clone(onlooker),
            load,
            seed: self.settings.seed,
            first: acknowledged,
            recorder: recorder.handle(),
            reporter: self.reporter.clone(),
        }))
    }

    /// Shows the status again and again until there is a reason to stop.
    async fn watch(
        &self,
        onlooker: &Onlooker,
        loader: Option<&Loader>,
        unwritten: &mut watch::Receiver<Option<String>>,
    ) -> Why {
        let every = self.settings.status_every;
        let mut ticks =
            tokio::time::interval(every.unwrap_or_else(|| self.reporter.status_every()));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let end = async {
            match self.settings.run_for {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let mut failure = self.failure.clone();
        tokio::pin!(end);
        loop {
            tokio::select! {
                biased;
                Ok(_) = failure.wait_for(Option::is_some) => return Why::Storage,
                Ok(_) = unwritten.wait_for(Option::is_some) => return Why::Storage,
                () = self.stop.wait() => return Why::Signal,
                () = self.reporter.gone() => return Why::Output,
                () = &mut end => return Why::Time,
                _ = ticks.tick() => {
                    let figures = figures(loader, onlooker);
                    let status = onlooker.status(self.stage.board(), figures);
                    self.reporter.line(&Line::Status(&status));
                }
            }
        }
    }

    /// Opens every file that was ever acknowledged.
    async fn check(&self) -> Result<(), Failure> {
        let began = Instant::now();
        let list = acknowledged::read(&self.folder.path).map_err(Failure::Storage)?;
        let onlooker = Onlooker::new(&self.stage).await.map_err(Failure::Cluster)?;
        let heights = list.iter().map(|entry| entry.height);
        let height_acknowledged = heights.max().unwrap_or_default();
        let height = onlooker.height(self.stage.board());
        let at_a_time = self.settings.check_in_flight_max;
        let mut report = check::all(&self.stage, list, at_a_time, &self.stop).await;
        report.height = height;
        report.height_acknowledged = height_acknowledged;
        report.took_ms = ms(began.elapsed());
        report.ok = report.failed.is_empty()
            && report.opened == report.acknowledged
            && report.opened_from_kin == report.asked_of_kin
            && height >= height_acknowledged;
        self.reporter.line(&Line::Check(&report));
        if report.ok {
            return Ok(());
        }
        Err(Failure::NotHeld(if report.interrupted {
            anyhow!("stopped before every acknowledged file was opened")
        } else if height < height_acknowledged {
            anyhow!(
                "the ledger is at height {height}, but height {height_acknowledged} was acknowledged"
            )
        } else {
            let missing = report.acknowledged - report.opened;
            let from_kin = report.asked_of_kin - report.opened_from_kin;
            anyhow!(
                "{missing} of {} acknowledged files did not come back from the hospitals, {from_kin} of {} not from the kin",
                report.acknowledged,
                report.asked_of_kin
            )
        }))
    }

    async fn shutdown(self) {
        match Rc::try_unwrap(self.stage) {
            Ok(stage) => stage.shutdown().await,
            Err(_) => {
                tracing::error!("something still uses the cluster; leaving without stopping it")
            }
        }
    }
}

fn figures(loader: Option<&Loader>, onlooker: &Onlooker) -> Option<Figures> {
    loader.map(|loader| loader.figures(onlooker.uptime_ms()))
}
