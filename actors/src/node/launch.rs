//! Starting and stopping one validator's process.

use super::door::{self, House, NEWS_KEPT};
use super::keys::{KeysError, NodeKeys};
use super::protocol::Final;
use crate::leader::Leader;
use crate::limits::Limits;
use crate::observe::{Observer, Sight};
use crate::peer::{GOSSIP_ABOVE, Guest, Multiaddr, PeerConfig, PeerError, Peers};
use crate::ports::clock::SharedClock;
use crate::ports::names::ActorName;
use crate::ports::network::Network;
use crate::ports::store::{Store, StoreError, StoreOptions};
use crate::supervisor::{
    Shutdown, ShutdownReport, Spec, StartError, StartMany, Supervisor, SupervisorConfig,
    SupervisorError, WhenRunning,
};
use crate::validator::messages::{Answer, Look};
use crate::validator::{ExportRoom, Memory, SnapshotPolicy, Validator, ValidatorConfig};
use actix::Addr;
use kithkin_protocol::consensus::{self, Algorithm, Timing};
use kithkin_protocol::credit::Part;
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::ledger::{Genesis, SignedTransaction};
use kithkin_protocol::units::Height;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

/// How long validator and leader may take to start: a long chain has many entries to read.
const START_WITHIN: Duration = Duration::from_secs(300);
/// How long the validator may take to say where it stands.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// How a node is launched.
pub struct NodeConfig {
    /// The data folder; made when it is not there.
    pub data: PathBuf,
    /// What the ledger starts from.
    pub genesis: Arc<Genesis>,
    /// The validator's keys.
    pub keys: NodeKeys,
    /// Its number, when the genesis does not know its keys: an amendment has given it to them, or will.
    pub validator: Option<ValidatorId>,
    /// The keys that it goes on with when an amendment gives them to it; with the same network key.
    pub next_keys: Option<NodeKeys>,
    /// Where to listen for other validators.
    pub listen: Vec<Multiaddr>,
    /// Where the other validators are.
    pub peers: BTreeMap<ValidatorId, Vec<Multiaddr>>,
    /// Who else may follow the chain.
    pub guests: Vec<Guest>,
    /// Where to listen for clients; none for no door.
    pub client_listen: Option<SocketAddr>,
    /// Local timing policy.
    pub timing: Timing,
    /// What strangers, clients and peers are granted.
    pub limits: Limits,
    /// When snapshots are made.
    pub snapshots: SnapshotPolicy,
    /// Whether the records of what this validator signed are lost.
    pub quarantine: bool,
    /// How supervision works.
    pub supervisor: SupervisorConfig,
    /// The clock.
    pub clock: SharedClock,
    /// Who is told what the validator sees.
    pub observer: Observer,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The keys have voted, but what they voted for is gone.
    #[error(
        "these keys have voted on this ledger, but {} holds no database: a validator that has forgotten what it signed must not sign as if nothing had been. Restore the folder from a backup, or start with --quarantine: the node then follows, and votes again when it is safe",
        dir.display()
    )]
    LostDatabase {
        /// The data folder.
        dir: PathBuf,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The transport.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The client door.
    #[error("cannot listen for clients on {address}: {reason}")]
    Door {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: std::io::Error,
    },
    /// The supervisor has no thread.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
    /// An actor was given up while starting.
    #[error("an actor does not start; the log says why")]
    Start(#[from] SupervisorError),
    /// The actors take too long, or do not answer.
    #[error("the validator does not start in time")]
    TooSlow,
}

/// A running node.
pub struct Node {
    me: ValidatorId,
    network: Network,
    supervisor: Addr<Supervisor>,
    store: Store,
    peers: Peers,
    door: Option<(SocketAddr, JoinHandle<()>)>,
    failure: watch::Receiver<Option<StoreError>>,
    part: watch::Receiver<Option<Part>>,
    height: Height,
}

impl Node {
    /// Starts everything and returns when the validator runs. Needs an actix system on this thread.
    ///
    /// # Errors
    /// Every [`NodeError`]; nothing is left running.
    pub async fn launch(config: NodeConfig) -> Result<Self, NodeError> {
        let identity = config.keys.identity_in(&config.genesis, config.validator)?;
        let me = identity.id;
        if let Some(next) = &config.next_keys {
            config.keys.check_next(next)?;
        }
        let chain = config.genesis.chain_id();
        let dir = &config.data;
        if config.keys.used_for(chain) && !dir.join("db").exists() && !config.quarantine {
            return Err(NodeError::LostDatabase { dir: dir.clone() });
        }
        let store = Store::open(dir, StoreOptions::default())?;
        // The database is there; from now on it must not be missing.
        for keys in std::iter::once(&config.keys).chain(&config.next_keys) {
            keys.note_use(chain)?;
        }
        let door = match listen(config.client_listen).await {
            Ok(door) => door,
            Err(error) => {
                // The error that counts is the other one.
                let _ = store.close();
                return Err(error);
            }
        };
        let (failed, failure) = watch::channel(None);
        store.on_failure(move |error| {
            failed.send_replace(Some(error.clone()));
        });
        let network = Network::new(0);
        let supervisor = Supervisor::launch(config.supervisor.clone(), network.clone())?;
        let peers = Peers::start(
            PeerConfig {
                me,
                network_key: config.keys.network().clone(),
                listen: config.listen.clone(),
                addresses: config.peers.clone(),
                guests: config.guests.clone(),
                gossip_above: GOSSIP_ABOVE,
                limits: config.limits,
            },
            &network,
        );
        let peers = match peers.await {
            Ok(peers) => peers,
            Err(error) => {
                let _ = supervisor.send(Shutdown).await;
                // What was founded may stay; the error that counts is the other one.
                let _ = store.close();
                return Err(error.into());
            }
        };
        let (news, _) = broadcast::channel(NEWS_KEPT);
        let (masters, master) = watch::channel(None);
        let (parts, part) = watch::channel(None);
        let mut node = Self {
            me,
            network,
            supervisor,
            store,
            peers,
            door: None,
            failure,
            part,
            height: Height(0),
        };
        let specs = node.specs(
            identity,
            &config,
            observer(config.observer.clone(), news.clone(), masters, parts),
        );
        if let Err(error) = node.start(specs).await {
            node.shutdown().await;
            return Err(error);
        }
        if let Some(listener) = door {
            let house = House {
                chain,
                me,
                port: node.network.port(ActorName::Driver),
                news,
                master,
                connected: node.peers.connected(),
                limits: config.limits,
                large: door::room(),
                proofs: door::proof_room(),
                exports: ExportRoom::default(),
            };
            let address = listener.local_addr()?;
            let task = tokio::spawn(door::open(listener, house));
            node.door = Some((address, task));
        }
        Ok(node)
    }

    fn specs(
        &self,
        identity: Arc<consensus::Identity>,
        config: &NodeConfig,
        observer: Observer,
    ) -> Vec<Spec> {
        let (leader, validator) = (
            ActorName::Leader(self.me.0),
            ActorName::Validator(self.me.0),
        );
        let leading = Spec::new(leader, move |birth| {
            let port = birth.port();
            Ok(birth.start(|_| Leader::new(validator, port)))
        });
        let (store, genesis, clock) = (
            self.store.clone(),
            config.genesis.clone(),
            config.clock.clone(),
        );
        let (timing, snapshots) = (config.timing, config.snapshots);
        let next = config.next_keys.as_ref();
        let successor = next.map(|next| Arc::new(next.identity_as(self.me)));
        let memory = if config.quarantine {
            Memory::Lost
        } else {
            Memory::Asked
        };
        let validating = Spec::new(validator, move |birth| {
            let space = store
                .space(&validator.to_string())
                .map_err(StartError::new)?;
            let config = ValidatorConfig {
                identity: identity.clone(),
                successor: successor.clone(),
                genesis: genesis.clone(),
                timing,
                algorithm: Algorithm::default(),
                memory,
                snapshots,
                clock: clock.clone(),
                observer: observer.clone(),
            };
            let validator =
                Validator::open(config, birth.port(), space).map_err(StartError::new)?;
            Ok(birth.start(|_| validator))
        });
        vec![leading, validating]
    }

    async fn start(&mut self, specs: Vec<Spec>) -> Result<(), NodeError> {
        let mut failure = self.failure.clone();
        let started = async {
            let sent = self.supervisor.send(StartMany { specs }).await;
            sent.map_err(|_| NodeError::TooSlow)??;
            let running = self
                .supervisor
                .send(WhenRunning { names: Vec::new() })
                .await;
            running.map_err(|_| NodeError::TooSlow)??;
            let port = self.network.port(ActorName::Driver);
            let me = ActorName::Validator(self.me.0);
            match port.ask::<Validator, _>(me, Look::Head, LOOK_WITHIN).await {
                Ok(Ok(Answer::Head(height, _))) => Ok(height),
                _ => Err(NodeError::TooSlow),
            }
        };
        self.height = tokio::select! {
            // Whatever actors say then, it is the disk.
            Ok(error) = failure.wait_for(Option::is_some) => {
                return error.clone().map_or(Ok(()), |error| Err(error.into()));
            }
            started = tokio::time::timeout(START_WITHIN, started) => {
                started.map_err(|_| NodeError::TooSlow)??
            }
        };
        Ok(())
    }

    /// The validator that runs here.
    #[must_use]
    pub fn validator(&self) -> ValidatorId {
        self.me
    }

    /// The height of the last final block when the node was started.
    #[must_use]
    pub fn height_at_start(&self) -> Height {
        self.height
    }

    /// The transport between validators.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The network between the actors of this process.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where clients are served, with the real port.
    #[must_use]
    pub fn client_address(&self) -> Option<SocketAddr> {
        self.door.as_ref().map(|(address, _)| *address)
    }

    /// Changes once, when the database can no longer be written.
    #[must_use]
    pub fn failure(&self) -> watch::Receiver<Option<StoreError>> {
        self.failure.clone()
    }

    /// What part its keys have in the ledger; none before the validator has run.
    #[must_use]
    pub fn part(&self) -> watch::Receiver<Option<Part>> {
        self.part.clone()
    }

    /// The supervisor.
    #[must_use]
    pub fn supervisor(&self) -> &Addr<Supervisor> {
        &self.supervisor
    }

    /// Closes the door, stops the actors in order, hangs up and closes the database.
    pub async fn shutdown(self) -> ShutdownReport {
        if let Some((_, door)) = &self.door {
            door.abort();
        }
        let report = self.supervisor.send(Shutdown).await.unwrap_or_default();
        drop(self.peers);
        if let Err(error) = self.store.close() {
            tracing::error!(%error, "the database did not close cleanly");
        }
        report
    }
}

async fn listen(address: Option<SocketAddr>) -> Result<Option<TcpListener>, NodeError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let bound = TcpListener::bind(address).await;
    bound
        .map(Some)
        .map_err(|reason| NodeError::Door { address, reason })
}

/// Tells clients of final blocks, and whoever else wants to know of everything.
fn observer(
    other: Observer,
    news: broadcast::Sender<Arc<Final>>,
    master: watch::Sender<Option<ValidatorId>>,
    parts: watch::Sender<Option<Part>>,
) -> Observer {
    Observer::new(move |sight| {
        if let Sight::Part { part, .. } = &sight {
            parts.send_replace(Some(*part));
        }
        if let Sight::Block(seen, _) = &sight {
            master.send_replace(seen.next_master);
            if news.receiver_count() > 0 {
                let transactions = seen.block.transactions.iter();
                // Nobody listens at this very moment, in the worst case.
                let _ = news.send(Arc::new(Final {
                    height: seen.height,
                    block: seen.id,
                    transactions: transactions.map(SignedTransaction::id).collect(),
                }));
            }
        }
        other.pass_on(sight);
    })
}
