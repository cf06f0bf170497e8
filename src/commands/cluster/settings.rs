//! Settings of `kithkin cluster`: defaults, then the file, then the environment, then flags; checked once.
//!
//! The keys and what they mean stand in `config/cluster.toml`. A key `load_records_per_s` is the
//! variable `KITHKIN_CLUSTER_LOAD_RECORDS_PER_S` in the environment. Counts that nobody
//! gives are those that the data folder was founded with.

use crate::cli::{ClusterArgs, ProfileArg};
use crate::commands::Failure;
use anyhow::{Context as _, anyhow};
use kithkin_actors::cluster::{ClusterConfig, LaunchError, Lie, QUOTA_BYTES, Shape};
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::ports::objects::{Place, PlaceSettings};
use kithkin_protocol::consensus::Timing;
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::ledger::Profile;
use kithkin_protocol::record::Quota;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What every variable of the environment starts with.
pub(super) const ENV_PREFIX: &str = "KITHKIN_CLUSTER_";

/// Most records a second.
const RATE_MAX: f64 = 10_000.0;

/// One layer: a file, or one variable. Everything may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    validators: Option<u16>,
    hospitals: Option<u16>,
    patients: Option<u16>,
    relatives: Option<u8>,
    profile: Option<Profile>,
    data: Option<PathBuf>,
    seed: Option<u64>,
    run_for_ms: Option<u64>,
    load_records_per_s: Option<f64>,
    load_in_flight_max: Option<usize>,
    load_patience_ms: Option<u64>,
    check_in_flight_max: Option<usize>,
    json: Option<bool>,
    status_every_ms: Option<u64>,
    consensus_base_ms: Option<u64>,
    consensus_max_ms: Option<u64>,
    heartbeat_ms: Option<u64>,
    liars: Option<Vec<String>>,
    kin_quota_mib: Option<u64>,
    archive_url: Option<String>,
    archive_endpoint: Option<String>,
    archive_region: Option<String>,
    archive_allow_http: Option<bool>,
}

/// The load that is to be written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// Records (files) a second.
    pub(super) records_per_s: f64,
    /// Most writes under way; more are skipped and counted.
    pub(super) in_flight_max: usize,
    /// How long a hospital waits for kin that do not answer.
    pub(super) patience: Duration,
}

/// Settings that have been checked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// How many of each.
    pub(super) shape: Shape,
    /// The data folder; none means a temporary one.
    pub(super) data: Option<PathBuf>,
    /// Drives schedule, load and link faults.
    pub(super) seed: u64,
    /// Stop so long after the cluster is ready.
    pub(super) run_for: Option<Duration>,
    /// Write records.
    pub(super) load: Option<Load>,
    /// Open everything that was acknowledged, then exit.
    pub(super) check: bool,
    /// Files opened at a time by a check.
    pub(super) check_in_flight_max: usize,
    /// JSON lines instead of a table.
    pub(super) json: bool,
    /// How often the status is shown; none means the default of the form in which it is shown.
    pub(super) status_every: Option<Duration>,
    /// Timing of consensus.
    pub(super) timing: Timing,
    /// Validators that lie.
    pub(super) liars: Vec<(ValidatorId, Lie)>,
    /// How much each of the kin keeps for a patient.
    pub(super) quota: Quota,
    /// Where hospitals keep ciphertexts; none means a folder in the data folder.
    pub(super) archive: Option<Place>,
}

impl Settings {
    /// Puts the layers together and checks the result.
    ///
    /// # Errors
    /// [`Failure::Usage`] when something is wrong with what was given; [`Failure::Storage`] when the
    /// data folder's `cluster.toml` cannot be read, or there is nothing to check in it.
    pub(super) fn resolve(
        args: &ClusterArgs,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Failure> {
        let file = match &args.config {
            Some(path) => read_file(path).map_err(Failure::Usage)?,
            None => Layer::default(),
        };
        let (ours, others): (Vec<_>, Vec<_>) =
            env.partition(|(name, _)| name.starts_with(ENV_PREFIX));
        let env = read_env(ours.into_iter()).map_err(Failure::Usage)?;
        Self::checked(from_args(args).over(env).over(file), args.check, others)
    }

    /// `env` is what is in the environment beside settings.
    fn checked(layer: Layer, check: bool, env: Vec<(String, String)>) -> Result<Self, Failure> {
        if check && layer.data.is_none() {
            let hint = "--check needs the data folder whose records it is to open: add --data DIR";
            return Err(Failure::Usage(anyhow!(hint)));
        }
        let founded = founded_shape(layer.data.as_deref())?;
        if let (true, None, Some(dir)) = (check, founded, &layer.data) {
            return Err(Failure::Storage(anyhow!(
                "there is no cluster in {}: run kithkin cluster --data {} first, or name another folder",
                dir.display(),
                dir.display()
            )));
        }
        let base = founded.unwrap_or_default();
        let shape = Shape {
            validators: layer.validators.unwrap_or(base.validators),
            hospitals: layer.hospitals.unwrap_or(base.hospitals),
            patients: layer.patients.unwrap_or(base.patients),
            relatives: layer.relatives.unwrap_or(base.relatives),
            profile: layer.profile.unwrap_or(base.profile),
        };
        shape
            .validate()
            .map_err(|error| Failure::Usage(error.into()))?;
        let load = layer.load().map_err(Failure::Usage)?.filter(|_| !check);
        if load.is_some() && shape.patients == 0 {
            return Err(Failure::Usage(anyhow!(
                "--load needs somebody to write records for: --patients must be at least 1"
            )));
        }
        Ok(Self {
            shape,
            seed: layer.seed.unwrap_or(0),
            run_for: layer.run_for_ms.map(Duration::from_millis),
            load,
            check,
            check_in_flight_max: at_least_one("check_in_flight_max", layer.check_in_flight_max, 8)
                .map_err(Failure::Usage)?,
            json: layer.json.unwrap_or(false),
            status_every: layer
                .status_every_ms
                .map(|ms| Duration::from_millis(ms.max(50))),
            timing: layer.timing(shape).map_err(Failure::Usage)?,
            liars: layer.liars(shape).map_err(Failure::Usage)?,
            quota: layer.quota().map_err(Failure::Usage)?,
            archive: layer.archive(env).map_err(Failure::Usage)?,
            data: layer.data,
        })
    }

    /// What to warn of before the cluster starts; none when it tolerates a fault.
    pub(super) fn warning(&self) -> Option<String> {
        match self.shape.validators {
            1 => Some(
                "warning: 1 validator tolerates no fault: nobody checks what it does, and when it stands, \
                 everything stands. 4 validators tolerate one that fails or lies."
                    .to_owned(),
            ),
            n @ (2 | 3) => Some(format!(
                "warning: {n} validators tolerate no fault: all {n} must be up and honest for anything to \
                 become final. 4 validators tolerate one that fails or lies."
            )),
            _ => None,
        }
    }
}

impl Layer {
    /// What this layer says, and where it says nothing, what `lower` says.
    fn over(self, lower: Self) -> Self {
        Self {
            validators: self.validators.or(lower.validators),
            hospitals: self.hospitals.or(lower.hospitals),
            patients: self.patients.or(lower.patients),
            relatives: self.relatives.or(lower.relatives),
            profile: self.profile.or(lower.profile),
            data: self.data.or(lower.data),
            seed: self.seed.or(lower.seed),
            run_for_ms: self.run_for_ms.or(lower.run_for_ms),
            load_records_per_s: self.load_records_per_s.or(lower.load_records_per_s),
            load_in_flight_max: self.load_in_flight_max.or(lower.load_in_flight_max),
            load_patience_ms: self.load_patience_ms.or(lower.load_patience_ms),
            check_in_flight_max: self.check_in_flight_max.or(lower.check_in_flight_max),
            json: self.json.or(lower.json),
            status_every_ms: self.status_every_ms.or(lower.status_every_ms),
            consensus_base_ms: self.consensus_base_ms.or(lower.consensus_base_ms),
            consensus_max_ms: self.consensus_max_ms.or(lower.consensus_max_ms),
            heartbeat_ms: self.heartbeat_ms.or(lower.heartbeat_ms),
            liars: self.liars.or(lower.liars),
            kin_quota_mib: self.kin_quota_mib.or(lower.kin_quota_mib),
            archive_url: self.archive_url.or(lower.archive_url),
            archive_endpoint: self.archive_endpoint.or(lower.archive_endpoint),
            archive_region: self.archive_region.or(lower.archive_region),
            archive_allow_http: self.archive_allow_http.or(lower.archive_allow_http),
        }
    }

    fn load(&self) -> anyhow::Result<Option<Load>> {
        let in_flight_max = at_least_one("load_in_flight_max", self.load_in_flight_max, 32)?;
        let Some(records_per_s) = self.load_records_per_s else {
            return Ok(None);
        };
        if !(records_per_s.is_finite() && records_per_s > 0.0 && records_per_s <= RATE_MAX) {
            return Err(anyhow!(
                "load_records_per_s is {records_per_s}; it must be above 0 and at most {RATE_MAX}"
            ));
        }
        Ok(Some(Load {
            records_per_s,
            in_flight_max,
            patience: Duration::from_millis(self.load_patience_ms.unwrap_or(20_000)),
        }))
    }

    fn quota(&self) -> anyhow::Result<Quota> {
        let bytes_max = match self.kin_quota_mib {
            None => QUOTA_BYTES,
            Some(0) => return Err(anyhow!("kin_quota_mib is 0; it must be at least 1")),
            Some(mib) => mib.saturating_mul(1 << 20),
        };
        Ok(Quota { bytes_max })
    }

    /// The place of ciphertexts; credentials are in `env`.
    fn archive(&self, env: Vec<(String, String)>) -> anyhow::Result<Option<Place>> {
        let settings = PlaceSettings {
            url: self.archive_url.clone(),
            endpoint: self.archive_endpoint.clone(),
            region: self.archive_region.clone(),
            allow_http: self.archive_allow_http,
        };
        Ok(settings.check(env)?)
    }

    /// Who lies: at most as many as the shape tolerates.
    fn liars(&self, shape: Shape) -> anyhow::Result<Vec<(ValidatorId, Lie)>> {
        let texts = self.liars.iter().flatten();
        let liars = texts
            .map(|text| liar(text, shape))
            .collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        let (count, tolerated) = (liars.len(), usize::from(shape.tolerated()));
        if count > tolerated {
            return Err(anyhow!(
                "{} validators tolerate {tolerated} that fail or lie, not {count}: name fewer liars, or add validators",
                shape.validators
            ));
        }
        Ok(liars.into_iter().collect())
    }

    /// What suits the shape, but for what was given.
    fn timing(&self, shape: Shape) -> anyhow::Result<Timing> {
        let base = ClusterConfig::new(PathBuf::new(), shape).timing;
        let timing = Timing {
            base_ms: self.consensus_base_ms.unwrap_or(base.base_ms),
            max_ms: self.consensus_max_ms.unwrap_or(base.max_ms),
            heartbeat_ms: self.heartbeat_ms.unwrap_or(base.heartbeat_ms),
            ..base
        };
        if timing.base_ms == 0 || timing.max_ms < timing.base_ms || timing.heartbeat_ms == 0 {
            return Err(anyhow!(
                "consensus_base_ms ({}) and heartbeat_ms ({}) must be at least 1, and consensus_max_ms ({}) at \
                 least consensus_base_ms",
                timing.base_ms,
                timing.heartbeat_ms,
                timing.max_ms
            ));
        }
        Ok(timing)
    }
}

/// `validator-3=double-vote`
fn liar(text: &str, shape: Shape) -> anyhow::Result<(ValidatorId, Lie)> {
    let wrong = || anyhow!("the liar '{text}' is none; write for example validator-3=double-vote");
    let (name, lie) = text.split_once('=').ok_or_else(wrong)?;
    let lie = lie.parse().with_context(wrong)?;
    match name.parse::<ActorName>() {
        Ok(ActorName::Validator(n)) if n < shape.validators => Ok((ValidatorId(n), lie)),
        Ok(ActorName::Validator(n)) => Err(anyhow!(
            "there is no validator-{n}: the last one is validator-{}",
            shape.validators.saturating_sub(1)
        )),
        _ => Err(wrong()),
    }
}

fn at_least_one(key: &str, given: Option<usize>, default: usize) -> anyhow::Result<usize> {
    match given {
        Some(0) => Err(anyhow!("{key} is 0; it must be at least 1")),
        Some(n) => Ok(n),
        None => Ok(default),
    }
}

fn founded_shape(data: Option<&Path>) -> Result<Option<Shape>, Failure> {
    let Some(dir) = data else {
        return Ok(None);
    };
    Shape::of_folder(dir).map_err(|error| Failure::Storage(LaunchError::from(error).into()))
}

fn from_args(args: &ClusterArgs) -> Layer {
    Layer {
        validators: args.validators,
        hospitals: args.hospitals,
        patients: args.patients,
        relatives: args.relatives,
        profile: args.profile.map(|profile| match profile {
            ProfileArg::Literal => Profile::Literal,
            ProfileArg::Balanced => Profile::Balanced,
            ProfileArg::Hardened => Profile::Hardened,
        }),
        data: args.data.clone(),
        seed: args.seed,
        run_for_ms: args
            .run_for
            .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        load_records_per_s: args.load,
        json: args.json.then_some(true),
        liars: (!args.liars.is_empty()).then(|| args.liars.clone()),
        ..Layer::default()
    }
}

fn read_file(path: &Path) -> anyhow::Result<Layer> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the settings file {shown} cannot be read"))?;
    toml::from_str(&text).with_context(|| {
        format!(
            "the settings file {shown} is not as it should be; config/cluster.toml shows every key"
        )
    })
}

fn read_env(env: impl Iterator<Item = (String, String)>) -> anyhow::Result<Layer> {
    let mut layer = Layer::default();
    for (name, text) in env {
        if let Some(key) = name.strip_prefix(ENV_PREFIX) {
            let one = variable(&key.to_ascii_lowercase(), &text).with_context(|| {
                format!("the environment variable {name}={text} is not as it should be")
            })?;
            layer = one.over(layer);
        }
    }
    Ok(layer)
}

/// A number or a truth value when it reads as one, else a text: `5` is a number for `seed` and a folder for `data`.
fn variable(key: &str, text: &str) -> Result<Layer, toml::de::Error> {
    let layer = |value: toml::Value| {
        let mut table = toml::Table::new();
        table.insert(key.to_owned(), value);
        table.try_into::<Layer>()
    };
    let as_text = || layer(toml::Value::String(text.to_owned()));
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}"));
    match parsed.ok().and_then(|mut table| table.remove("value")) {
        Some(value) => layer(value).or_else(|error| as_text().map_err(|_| error)),
        None => as_text(),
    }
}

#[cfg(test)]
mod tests;
