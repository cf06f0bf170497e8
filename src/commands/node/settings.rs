//! Settings of `kithkin node`: defaults, then the file, then the environment, then flags; checked once.
//!
//! The keys and what they mean stand in `config/node.toml`. A key `client_listen` is the variable
//! `KITHKIN_NODE_CLIENT_LISTEN` in the environment; `peers` can only stand in the file. Paths in the file are relative to it.

use crate::cli::NodeArgs;
use crate::commands::Failure;
use anyhow::{Context as _, anyhow};
use kithkin_actors::peer::Multiaddr;
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
struct Layer {
    genesis: Option<PathBuf>,
    keys: Option<PathBuf>,
    data: Option<PathBuf>,
    listen: Option<Vec<String>>,
    client_listen: Option<String>,
    peers: Option<BTreeMap<String, Vec<String>>>,
    consensus_base_ms: Option<u64>,
    consensus_max_ms: Option<u64>,
    heartbeat_ms: Option<u64>,
    snapshot_every: Option<u64>,
    status_every_ms: Option<u64>,
    json: Option<bool>,
}

impl Layer {
    /// This layer, and the lower one where this one says nothing.
    fn over(self, lower: Self) -> Self {
        Self {
            genesis: self.genesis.or(lower.genesis),
            keys: self.keys.or(lower.keys),
            data: self.data.or(lower.data),
            listen: self.listen.or(lower.listen),
            client_listen: self.client_listen.or(lower.client_listen),
            peers: self.peers.or(lower.peers),
            consensus_base_ms: self.consensus_base_ms.or(lower.consensus_base_ms),
            consensus_max_ms: self.consensus_max_ms.or(lower.consensus_max_ms),
            heartbeat_ms: self.heartbeat_ms.or(lower.heartbeat_ms),
            snapshot_every: self.snapshot_every.or(lower.snapshot_every),
            status_every_ms: self.status_every_ms.or(lower.status_every_ms),
            json: self.json.or(lower.json),
        }
    }

    /// Paths as they are meant in a file in `folder`.
    fn in_folder(mut self, folder: &Path) -> Self {
        for path in [&mut self.genesis, &mut self.keys, &mut self.data]
            .into_iter()
            .flatten()
        {
            *path = folder.join(&*path);
        }
        self
    }
}

/// Settings that have been checked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) genesis: PathBuf,
    pub(super) keys: PathBuf,
    pub(super) data: PathBuf,
    pub(super) listen: Vec<Multiaddr>,
    pub(super) client_listen: Option<SocketAddr>,
    pub(super) peers: BTreeMap<ValidatorId, Vec<Multiaddr>>,
    pub(super) timing: Timing,
    pub(super) snapshots: SnapshotPolicy,
    pub(super) quarantine: bool,
    pub(super) status_every: Duration,
    pub(super) json: bool,
}

impl Settings {
    /// Puts the layers together and checks the result.
    ///
    /// # Errors
    /// [`Failure::Usage`].
    pub(super) fn resolve(
        args: &NodeArgs,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Failure> {
        let layers = || {
            let file = match &args.config {
                Some(path) => read_file(path)?,
                None => Layer::default(),
            };
            checked(
                from_args(args).over(read_env(env)?).over(file),
                args.quarantine,
            )
        };
        layers().map_err(Failure::Usage)
    }
}

fn checked(layer: Layer, quarantine: bool) -> anyhow::Result<Settings> {
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
        peers,
        timing,
        snapshots,
        quarantine,
        status_every: Duration::from_millis(layer.status_every_ms.unwrap_or(1_000).max(50)),
        json: layer.json.unwrap_or(false),
    })
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

fn from_args(args: &NodeArgs) -> Layer {
    Layer {
        genesis: args.genesis.clone(),
        keys: args.keys.clone(),
        data: args.data.clone(),
        listen: (!args.listen.is_empty()).then(|| args.listen.clone()),
        client_listen: args.client_listen.clone(),
        json: args.json.then_some(true),
        ..Layer::default()
    }
}

fn read_file(path: &Path) -> anyhow::Result<Layer> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the settings file {shown} cannot be read"))?;
    let layer: Layer = toml::from_str(&text).with_context(|| {
        format!(
            "the settings file {shown} is not as it should be; config/node.toml shows every key"
        )
    })?;
    Ok(layer.in_folder(path.parent().unwrap_or(Path::new("."))))
}

fn read_env(env: impl Iterator<Item = (String, String)>) -> anyhow::Result<Layer> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> anyhow::Result<Settings> {
        let layer: Layer = toml::from_str(text)?;
        checked(layer.in_folder(Path::new("/etc/kithkin")), false)
    }

    #[test]
    fn the_example_in_the_repository_is_a_valid_file() {
        let settings = file(include_str!("../../../config/node.toml")).unwrap();
        assert_eq!(settings.genesis, Path::new("/etc/kithkin/genesis.toml"));
        assert_eq!(settings.peers.len(), 3);
        assert_eq!(settings.listen.len(), 2);
        assert_eq!(settings.client_listen, "127.0.0.1:4800".parse().ok());
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let below: Layer =
            toml::from_str("data = 'a'\nkeys = 'b'\ngenesis = 'c'\nlisten = []").unwrap();
        let env = [
            ("KITHKIN_NODE_DATA".to_owned(), "from-env".to_owned()),
            ("KITHKIN_NODE_KEYS".to_owned(), "from-env".to_owned()),
        ];
        let flags = Layer {
            keys: Some("from-flag".into()),
            ..Layer::default()
        };
        let layer = flags.over(read_env(env.into_iter()).unwrap()).over(below);
        let settings = checked(layer, false).unwrap();
        let paths = [settings.genesis, settings.data, settings.keys];
        assert_eq!(paths, ["c", "from-env", "from-flag"].map(PathBuf::from));
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        let whole = "data = 'a'\nkeys = 'b'\ngenesis = 'c'\n";
        for (text, words) in [
            ("", "no address to listen on"),
            ("listen = ['127.0.0.1:80']", "is no address of a node"),
            ("listen = []\nclient_listen = 'x'", "client_listen"),
            ("listen = []\nheartbeat_ms = 0", "above 0"),
            ("listen = []\nsnapshot_every = 0", "snapshot_every"),
            ("listen = []\n[peers]\nfirst = []", "no validator's number"),
        ] {
            let error = file(&format!("{whole}{text}")).unwrap_err();
            assert!(format!("{error:#}").contains(words), "{error:#}");
        }
        assert!(file("unknown = 1").is_err());
        let env = [("KITHKIN_NODE_UNKNOWN".to_owned(), "1".to_owned())];
        assert!(read_env(env.into_iter()).is_err());
    }
}
