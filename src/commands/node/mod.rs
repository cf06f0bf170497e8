//! `kithkin node`: one validator in this process, with its own database, until it is told to stop.
//!
//! `settings`: what is asked for, from four layers. The rest of the work is in `kithkin_actors::node`.

mod settings;

use super::{Failure, genesis, keys, stop::Stop};
use crate::cli::NodeArgs;
use anyhow::anyhow;
use kithkin_actors::node::keys::Public;
use kithkin_actors::node::{Node, NodeConfig, NodeError, NodeKeys};
use kithkin_actors::observe::{Observer, Sight};
use kithkin_actors::peer::{Guest, peer_id};
use kithkin_actors::ports::clock::SystemClock;
use kithkin_actors::supervisor::SupervisorConfig;
use kithkin_protocol::credit::Part;
use kithkin_protocol::units::Height;
use serde::Serialize;
use settings::Settings;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What is printed, one JSON object per line with `--json`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    /// The node runs.
    Ready {
        validator: u16,
        chain: String,
        peer_id: String,
        /// With real ports.
        listen: Vec<String>,
        client: Option<String>,
        height: u64,
    },
    /// How it is, now and then.
    Status {
        height: u64,
        connected: Vec<u16>,
        /// What part the keys have in the ledger.
        part: &'static str,
    },
    /// The node has stopped.
    Stopped { reason: &'static str, height: u64 },
}

impl Line {
    /// False when nobody reads any more.
    fn print(&self, json: bool) -> bool {
        use std::io::Write as _;
        let text = match self {
            _ if json => serde_json::to_string(self).unwrap_or_default(),
            Self::Ready {
                validator,
                chain,
                peer_id,
                listen,
                client,
                height,
            } => {
                let client = client.as_deref().unwrap_or("nobody");
                let listen = listen.join(", ");
                format!(
                    "validator {validator} of ledger {chain} runs at height {height}\n  peer id   {peer_id}\n  listens   {listen}\n  clients   {client}"
                )
            }
            Self::Status {
                height,
                connected,
                part,
            } => {
                format!(
                    "height {height}, {part}, connected with {} validators",
                    connected.len()
                )
            }
            Self::Stopped { reason, height } => format!("stopped ({reason}) at height {height}"),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
    }
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// [`Failure::Usage`] for settings, keys or a genesis that cannot be; [`Failure::Storage`] when the data folder cannot be
/// used or the disk fails; [`Failure::Cluster`] when an address is taken or the validator does not start;
/// [`Failure::Left`] when the keys have no part in the ledger any more.
pub async fn run(args: NodeArgs) -> Result<(), Failure> {
    let settings = Settings::resolve(&args, std::env::vars())?;
    let genesis = kithkin_actors::node::file::read(&settings.genesis).map_err(genesis::failure)?;
    let node_keys = NodeKeys::load(&settings.keys).map_err(keys::failure)?;
    let next_keys = settings.next_keys.as_deref().map(NodeKeys::load);
    let next_keys = next_keys.transpose().map_err(keys::failure)?;
    let guests = guests(&settings)?;
    let stop = Stop::listen().map_err(Failure::Cluster)?;
    let mut hangup =
        signal(SignalKind::hangup()).map_err(|error| Failure::Cluster(error.into()))?;
    let (seen, height) = watch::channel(Height(0));
    let chain = genesis.chain_id();
    let node = Node::launch(NodeConfig {
        data: settings.data.clone(),
        genesis: Arc::new(genesis),
        keys: node_keys,
        validator: settings.validator,
        next_keys,
        listen: settings.listen.clone(),
        peers: settings.peers.clone(),
        guests,
        client_listen: settings.client_listen,
        timing: settings.timing,
        limits: settings.limits,
        snapshots: settings.snapshots,
        quarantine: settings.quarantine,
        supervisor: SupervisorConfig::default(),
        clock: Arc::new(SystemClock),
        observer: Observer::new(move |sight| {
            if let Sight::Block(block, _) = sight {
                seen.send_replace(block.height);
            }
        }),
    })
    .await
    .map_err(failure)?;
    let mut reads = Line::Ready {
        validator: node.validator().0,
        chain: chain.to_hex(),
        peer_id: node.peers().peer_id().to_string(),
        listen: node
            .peers()
            .listening()
            .iter()
            .map(ToString::to_string)
            .collect(),
        client: node.client_address().map(|address| address.to_string()),
        height: node.height_at_start().0,
    }
    .print(settings.json);
    let start = node.height_at_start();
    let now = || start.max(*height.borrow()).0;
    let connected = node.peers().connected();
    let (mut broken, mut part) = (node.failure(), node.part());
    let follows = settings.follow;
    let mut ticks = tokio::time::interval(settings.status_every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The ready line has just said it.
    ticks.tick().await;
    let reason = loop {
        if !reads {
            break "output";
        }
        tokio::select! {
            biased;
            Ok(_) = broken.wait_for(Option::is_some) => break "storage",
            () = stop.wait() => break "signal",
            Ok(_) = part.wait_for(|part| *part == Some(Part::Left)), if !follows => break "left",
            Some(()) = hangup.recv() => match again(&args) {
                Ok((settings, guests)) => node.peers().set_known(settings.peers, guests),
                Err(failure) => {
                    let (_, error) = failure.parts();
                    tracing::error!(%error, "the settings are not read anew; everything stays as it is");
                }
            },
            _ = ticks.tick() => {
                let connected = connected.borrow().keys().map(|id| id.0).collect();
                let part = words(*node.part().borrow());
                reads = Line::Status { height: now(), connected, part }.print(settings.json);
            }
        }
    };
    let failed = broken.borrow().clone();
    let validator = node.validator();
    node.shutdown().await;
    let height = now();
    Line::Stopped { reason, height }.print(settings.json);
    match failed {
        Some(error) => Err(Failure::Storage(error.into())),
        None if reason == "left" => Err(Failure::Left(anyhow!(
            "an amendment has removed validator {validator} or given it other keys: these keys vote no more (height {height}). \
             Start the node with its new keys, or with follow = true as one that follows; the validators that are to let it must name it under [observers]"
        ))),
        None => Ok(()),
    }
}

/// The settings as they are now.
fn again(args: &NodeArgs) -> Result<(Settings, Vec<Guest>), Failure> {
    let settings = Settings::resolve(args, std::env::vars())?;
    let guests = guests(&settings)?;
    Ok((settings, guests))
}

/// Who else may follow the chain. The files of their public keys are read here.
fn guests(settings: &Settings) -> Result<Vec<Guest>, Failure> {
    let guest = |(name, observer): (&String, &settings::Observer)| {
        let network_key = match keys::read_public(&observer.keys)? {
            Public::Validator(keys) => keys.network_key,
            other @ (Public::Hospital(_) | Public::Issuer(_)) => {
                let whose = other.whose();
                return Err(Failure::Usage(anyhow!(
                    "the observer '{name}' has {whose} keys: only nodes have a network key"
                )));
            }
        };
        if peer_id(&network_key).is_none() {
            return Err(Failure::Usage(anyhow!(
                "the network key of the observer '{name}' is none"
            )));
        }
        let addresses = observer.addresses.clone();
        Ok(Guest {
            network_key,
            addresses,
        })
    };
    settings.observers.iter().map(guest).collect()
}

fn words(part: Option<Part>) -> &'static str {
    match part {
        Some(Part::Votes) => "votes",
        Some(Part::Waits) | None => "waits",
        Some(Part::Leaves) => "leaves",
        Some(Part::Left) => "left",
    }
}

fn failure(error: NodeError) -> Failure {
    match error {
        NodeError::Keys(error) => keys::failure(error),
        NodeError::LostDatabase { .. } | NodeError::Store(_) => Failure::Storage(error.into()),
        NodeError::Peer(_)
        | NodeError::Door { .. }
        | NodeError::Thread(_)
        | NodeError::Start(_)
        | NodeError::TooSlow => Failure::Cluster(anyhow!(error)),
    }
}
