//! One layer of the settings, and what all of them together must be. No I/O.

use super::{Limits, Multiaddr};
use anyhow::{Context as _, anyhow};
use kithkin_actors::peer::GUESTS_MAX;
use kithkin_actors::validator::SnapshotPolicy;
use kithkin_protocol::consensus::Timing;
use kithkin_protocol::ids::ValidatorId;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What every variable of the environment starts with.
const ENV_PREFIX: &str = "KITHKIN_NODE_";

/// One layer: a file, or the environment, or the flags. Everything may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layer {
    pub(super) genesis: Option<PathBuf>,
    pub(super) keys: Option<PathBuf>,
    pub(super) data: Option<PathBuf>,
    pub(super) listen: Option<Vec<String>>,
    pub(super) client_listen: Option<String>,
    pub(super) validator: Option<u16>,
    pub(super) next_keys: Option<PathBuf>,
    pub(super) follow: Option<bool>,
    pub(super) peers: Option<BTreeMap<String, Vec<String>>>,
    pub(super) observers: Option<BTreeMap<String, ObserverLayer>>,
    pub(super) consensus_base_ms: Option<u64>,
    pub(super) consensus_max_ms: Option<u64>,
    pub(super) heartbeat_ms: Option<u64>,
    pub(super) snapshot_every: Option<u64>,
    pub(super) status_every_ms: Option<u64>,
    pub(super) json: Option<bool>,
    pub(super) limits: Option<Limits>,
}

/// One of the observers, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObserverLayer {
    keys: PathBuf,
    #[serde(default)]
    addresses: Vec<String>,
}

/// Somebody who may follow the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observer {
    /// Its file of public keys, or the folder.
    pub(crate) keys: PathBuf,
    /// Where it can be reached; none for one that calls.
    pub(crate) addresses: Vec<Multiaddr>,
}

impl Layer {
    /// Reads a settings file.
    pub(super) fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// This layer, and the lower one where this one says nothing.
    pub(super) fn over(self, lower: Self) -> Self {
        Self {
            genesis: self.genesis.or(lower.genesis),
            keys: self.keys.or(lower.keys),
            data: self.data.or(lower.data),
            listen: self.listen.or(lower.listen),
            client_listen: self.client_listen.or(lower.client_listen),
            validator: self.validator.or(lower.validator),
            next_keys: self.next_keys.or(lower.next_keys),
            follow: self.follow.or(lower.follow),
            peers: self.peers.or(lower.peers),
            observers: self.observers.or(lower.observers),
            consensus_base_ms: self.consensus_base_ms.or(lower.consensus_base_ms),
            consensus_max_ms: self.consensus_max_ms.or(lower.consensus_max_ms),
            heartbeat_ms: self.heartbeat_ms.or(lower.heartbeat_ms),
            snapshot_every: self.snapshot_every.or(lower.snapshot_every),
            status_every_ms: self.status_every_ms.or(lower.status_every_ms),
            json: self.json.or(lower.json),
            limits: self.limits.or(lower.limits),
        }
    }

    /// Paths as they are meant in a file in `folder`.
    pub(super) fn in_folder(mut self, folder: &Path) -> Self {
        let own = [
            &mut self.genesis,
            &mut self.keys,
            &mut self.next_keys,
            &mut self.data,
        ];
        let observers = self.observers.iter_mut().flat_map(BTreeMap::values_mut);
        let theirs = observers.map(|observer| &mut observer.keys);
        for path in own.into_iter().flatten().chain(theirs) {
            *path = folder.join(&*path);
        }
        self
    }
}

/// Settings that have been checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) genesis: PathBuf,
    pub(crate) keys: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) listen: Vec<Multiaddr>,
    pub(crate) client_listen: Option<SocketAddr>,
    pub(crate) validator: Option<ValidatorId>,
    pub(crate) next_keys: Option<PathBuf>,
    pub(crate) follow: bool,
    pub(crate) peers: BTreeMap<ValidatorId, Vec<Multiaddr>>,
    pub(crate) observers: BTreeMap<String, Observer>,
    pub(crate) timing: Timing,
    pub(crate) limits: Limits,
    pub(crate) snapshots: SnapshotPolicy,
    pub(crate) quarantine: bool,
    pub(crate) status_every: Duration,
    pub(crate) json: bool,
}

/// What the layers say together, if a node can run so.
pub(super) fn checked(layer: Layer, quarantine: bool) -> anyhow::Result<Settings> {
    let missing = |what: &str, flag: &str| {
        anyhow!(
            "{what}: give {flag}, or name it in the settings file; config/node.toml shows every key"
        )
    };
    let usual = Timing::default();
    let timing = Timing {
        base_ms: layer.consensus_base_ms.unwrap_or(usual.base_ms),
        max_ms: layer.consensus_max_ms.unwrap_or(usual.max_ms),
        heartbeat_ms: layer.heartbeat_ms.unwrap_or(usual.heartbeat_ms),
        ..usual
    };
    if timing.base_ms == 0 || timing.max_ms < timing.base_ms || timing.heartbeat_ms == 0 {
        return Err(anyhow!(
            "consensus_base_ms and heartbeat_ms must be above 0, and consensus_max_ms at least consensus_base_ms"
        ));
    }
    let limits = layer.limits.unwrap_or_default();
    limits.check().context("[limits]")?;
    let mut snapshots = SnapshotPolicy::default();
    if let Some(every) = layer.snapshot_every {
        snapshots.every = NonZeroU64::new(every)
            .ok_or_else(|| anyhow!("snapshot_every is a number of heights above 0"))?;
    }
    let listen = layer
        .listen
        .ok_or_else(|| missing("no address to listen on", "--listen"))?;
    let mut peers = BTreeMap::new();
    for (number, addresses) in layer.peers.unwrap_or_default() {
        let id: u16 = number
            .parse()
            .with_context(|| format!("'{number}' among the peers is no validator's number"))?;
        peers.insert(ValidatorId(id), multiaddrs(&addresses)?);
    }
    let observers = observers(layer.observers.unwrap_or_default())?;
    let client_listen = layer
        .client_listen
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let client_listen = match client_listen.as_str() {
        "none" => None,
        text => Some(text.parse().with_context(|| {
            format!("client_listen is an address such as 127.0.0.1:4800, or \"none\", not '{text}'")
        })?),
    };
    Ok(Settings {
        genesis: layer
            .genesis
            .ok_or_else(|| missing("no genesis file", "--genesis"))?,
        keys: layer
            .keys
            .ok_or_else(|| missing("no folder of keys", "--keys"))?,
        data: layer
            .data
            .ok_or_else(|| missing("no data folder", "--data"))?,
        listen: multiaddrs(&listen)?,
        client_listen,
        validator: layer.validator.map(ValidatorId),
        next_keys: layer.next_keys,
        follow: layer.follow.unwrap_or(false),
        peers,
        observers,
        timing,
        limits,
        snapshots,
        quarantine,
        status_every: Duration::from_millis(layer.status_every_ms.unwrap_or(1_000).max(50)),
        json: layer.json.unwrap_or(false),
    })
}

fn observers(layer: BTreeMap<String, ObserverLayer>) -> anyhow::Result<BTreeMap<String, Observer>> {
    let count = layer.len();
    if count > GUESTS_MAX {
        return Err(anyhow!(
            "there are {count} observers; at most {GUESTS_MAX} are let in"
        ));
    }
    let one = |(name, observer): (String, ObserverLayer)| {
        let (keys, addresses) = (observer.keys, multiaddrs(&observer.addresses)?);
        Ok((name, Observer { keys, addresses }))
    };
    layer.into_iter().map(one).collect()
}

fn multiaddrs(texts: &[String]) -> anyhow::Result<Vec<Multiaddr>> {
    let parse = |text: &String| {
        text.parse().with_context(|| {
            format!(
                "'{text}' is no address of a node; write for example /ip4/192.0.2.7/tcp/4700 or /ip4/192.0.2.7/udp/4700/quic-v1"
            )
        })
    };
    texts.iter().map(parse).collect()
}

/// The layer of the environment.
pub(super) fn read_env(env: impl Iterator<Item = (String, String)>) -> anyhow::Result<Layer> {
    let mut layer = Layer::default();
    for (name, text) in env {
        let Some(key) = name.strip_prefix(ENV_PREFIX) else {
            continue;
        };
        let number = || {
            let parsed = text.parse::<u64>();
            parsed.with_context(|| format!("the environment variable {name}={text} is no number"))
        };
        match key {
            "GENESIS" => layer.genesis = Some(text.clone().into()),
            "KEYS" => layer.keys = Some(text.clone().into()),
            "DATA" => layer.data = Some(text.clone().into()),
            "NEXT_KEYS" => layer.next_keys = Some(text.clone().into()),
            "VALIDATOR" => {
                let parsed = text.parse::<u16>();
                layer.validator =
                    Some(parsed.with_context(|| format!("{name} is a validator's number"))?);
            }
            "FOLLOW" => {
                let parsed = text.parse::<bool>();
                layer.follow = Some(parsed.with_context(|| format!("{name} is true or false"))?);
            }
            "LISTEN" => layer.listen = Some(text.split(',').map(str::to_owned).collect()),
            "CLIENT_LISTEN" => layer.client_listen = Some(text.clone()),
            "CONSENSUS_BASE_MS" => layer.consensus_base_ms = Some(number()?),
            "CONSENSUS_MAX_MS" => layer.consensus_max_ms = Some(number()?),
            "HEARTBEAT_MS" => layer.heartbeat_ms = Some(number()?),
            "SNAPSHOT_EVERY" => layer.snapshot_every = Some(number()?),
            "STATUS_EVERY_MS" => layer.status_every_ms = Some(number()?),
            "JSON" => {
                let parsed = text.parse::<bool>();
                layer.json = Some(parsed.with_context(|| format!("{name} is true or false"))?);
            }
            _ => {
                return Err(anyhow!(
                    "the environment variable {name} is no setting of kithkin node"
                ));
            }
        }
    }
    Ok(layer)
}
