//! The transport between validators in processes of their own: libp2p behind the network port.
//!
//! ```text
//! actor --Port::tell--> Far::send --> Outbox (one queue per peer and lane) --> stream --> peer
//! peer --> stream --> codec --> the local validator's mailbox, with the authenticated sender
//! ```
//!
//! TCP and QUIC, Noise or TLS, yamux. A peer is who its network key says it is, and only the validators of the ledger
//! are talked to, as the state of this node knows them: the validator says so when it starts and whenever the set changes.
//! Beside them the operator may name guests, who follow the chain and say nothing else (`table`). Votes, blocks, transactions and answers to those who catch up have streams of their own ([`lane::Lane`]), so that a vote
//! never waits behind a block. What does not fit into a queue is dropped, the oldest first: consensus says everything
//! again that may have been lost. In a large set transactions go round by gossip instead (gossipsub).
//!
//! * `table`: who may connect, and what each may say. `swarm`: connections: who is dialled when. `outbox`: what waits to be sent. `streams`: frames on streams.
//! * `doorman`: strangers, by address. `blame`: peers that say what no validator says are read more slowly.
//! * `gossip`: transactions in a large set. `codec`: which messages travel, and how. `lane`: the streams' limits.
//!
//! Not here: clients ([`crate::node::door`]), and anything that kin, patients and hospitals would say over a network.

mod blame;
mod codec;
mod doorman;
mod frames;
mod gossip;
mod lane;
mod outbox;
mod streams;
mod swarm;
mod table;
#[cfg(test)]
mod tests;

pub use lane::Lane;
pub use libp2p::{Multiaddr, PeerId};
pub use outbox::LaneStats;
pub use table::{GUESTS_MAX, Guest};

use crate::limits::Limits;
use crate::ports::names::ActorName;
use crate::ports::network::{Far, Frame, Network};
use blame::Blames;
use core::any::Any;
use kithkin_protocol::credit::Company;
use kithkin_protocol::crypto::{Secret32, VerifyingKey};
use kithkin_protocol::ids::ValidatorId;
use libp2p::identity;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use swarm::Order;
use table::{Changes, Known, Role, Table};
use tokio::sync::{mpsc, watch};

/// Where a node can be reached and whom it knows.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// The number of the validator that runs here.
    pub me: ValidatorId,
    /// The seed of its network key.
    pub network_key: Secret32,
    /// Where to listen: `/ip4/A/tcp/P` or `/ip4/A/udp/P/quic-v1`; port 0 lets the operating system choose.
    pub listen: Vec<Multiaddr>,
    /// Where the others are.
    pub addresses: BTreeMap<ValidatorId, Vec<Multiaddr>>,
    /// Whom the operator lets in beside the validators. Those follow from the state, as [`Far::admit`] says it; until then
    /// none is talked to.
    pub guests: Vec<Guest>,
    /// With more other validators than this, transactions go round by gossip; with as many or fewer, straight to each.
    pub gossip_above: usize,
    /// What strangers and peers are granted.
    pub limits: Limits,
}

/// The usual [`PeerConfig::gossip_above`]: up to here gossip would send each transaction more often than once to each
/// validator, and nothing would be saved.
pub const GOSSIP_ABOVE: usize = 16;

/// Why the transport does not start.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// No thread, or no runtime.
    #[error("cannot start the network's threads")]
    Thread(#[from] std::io::Error),
    /// A key that libp2p does not take.
    #[error("the network key of {id} is not an Ed25519 key")]
    Key {
        /// Whose.
        id: ValidatorId,
    },
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Which one.
        address: Multiaddr,
        /// Why.
        reason: String,
    },
    /// The transport cannot be put together.
    #[error("the network cannot be set up: {reason}")]
    Setup {
        /// Why.
        reason: String,
    },
}

/// What the threads of the transport share.
struct Shared {
    me: ValidatorId,
    network: Network,
    table: RwLock<Table>,
    orders: mpsc::UnboundedSender<Order>,
    /// Transactions for everybody.
    publish: mpsc::Sender<Arc<[u8]>>,
    gossip_above: usize,
    limits: Limits,
    blames: Blames,
    /// Who there is a connection with.
    links: watch::Sender<BTreeSet<PeerId>>,
    /// The members among them.
    connected: watch::Sender<BTreeMap<ValidatorId, PeerId>>,
    /// Where this node listens, with real ports.
    listening: watch::Sender<Vec<Multiaddr>>,
}

impl Shared {
    /// Who has this peer identity here; none for a stranger.
    fn known(&self, peer: &PeerId) -> Option<Known> {
        self.read().known(peer)
    }

    /// The member with this peer identity.
    fn member(&self, peer: &PeerId) -> Option<ValidatorId> {
        let known = self.known(peer)?;
        (known.role == Role::Member).then_some(known.id)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Table) -> Option<Changes>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let Some(changes) = change(&mut table) else {
            return;
        };
        for id in changes.names_gone {
            self.network.book().remove(ActorName::Validator(id.0));
        }
        for id in changes.names_new {
            self.network.book().point_far(ActorName::Validator(id.0));
        }
        let order = Order::Admit {
            gone: changes.gone,
            new: changes.new,
        };
        // Under the lock, so that orders follow each other as the table did. The loop ends with the process only.
        let _ = self.orders.send(order);
    }
}

/// The running transport. Dropping it closes all connections.
pub struct Peers {
    shared: Arc<Shared>,
    peer_id: PeerId,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Peers {
    /// Starts it and returns when it listens; from then on names of other validators in `network` reach their
    /// processes.
    ///
    /// # Errors
    /// Every [`PeerError`].
    pub async fn start(config: PeerConfig, network: &Network) -> Result<Self, PeerError> {
        let me = config.me;
        let keypair = identity::Keypair::ed25519_from_bytes(config.network_key.expose().to_owned())
            .map_err(|_| PeerError::Key { id: me })?;
        let peer_id = keypair.public().to_peer_id();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("kithkin-peer")
            .enable_all()
            .build()?;
        let (orders, taken) = mpsc::unbounded_channel();
        let (publish, published) = mpsc::channel(PUBLISH_QUEUE);
        let shared = Arc::new(Shared {
            me,
            network: network.clone(),
            table: RwLock::new(Table::new(me, peer_id, config.addresses)),
            orders,
            publish,
            gossip_above: config.gossip_above,
            limits: config.limits,
            blames: Blames::default(),
            links: watch::Sender::default(),
            connected: watch::Sender::default(),
            listening: watch::Sender::new(Vec::new()),
        });
        shared.change(|table| table.set_guests(config.guests));
        let far: Arc<dyn Far> = shared.clone();
        network.set_far(far);
        let task = swarm::start(
            shared.clone(),
            keypair,
            config.listen,
            config.limits,
            (taken, published),
        );
        let started = runtime.spawn(task).await;
        let peers = Self {
            shared,
            peer_id,
            runtime: Some(runtime),
        };
        match started {
            Ok(Ok(())) => Ok(peers),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(PeerError::Setup {
                reason: error.to_string(),
            }),
        }
    }

    /// Who this node is to its peers.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Where it listens, with real ports.
    #[must_use]
    pub fn listening(&self) -> Vec<Multiaddr> {
        self.shared.listening.borrow().clone()
    }

    /// The validators that it is connected with; changes are told.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<BTreeMap<ValidatorId, PeerId>> {
        self.shared.connected.subscribe()
    }

    /// Says where the others are from now on, and who is let in beside them.
    pub fn set_known(&self, addresses: BTreeMap<ValidatorId, Vec<Multiaddr>>, guests: Vec<Guest>) {
        self.shared.change(|table| {
            table.addresses = addresses;
            table.set_guests(guests)
        });
        // The loop ends with the process only.
        let _ = self.shared.orders.send(Order::Redial);
    }

    /// What became of the frames to each validator.
    #[must_use]
    pub fn stats(&self) -> BTreeMap<(ValidatorId, Lane), LaneStats> {
        let mut all: BTreeMap<(ValidatorId, Lane), LaneStats> = BTreeMap::new();
        for (known, outbox) in self.shared.read().all() {
            for lane in Lane::ALL {
                all.entry((known.id, lane))
                    .or_default()
                    .add(outbox.stats(lane));
            }
        }
        all
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for (_, outbox) in self.shared.read().all() {
            outbox.close();
        }
        // Dropping a runtime inside of another one would wait, which tokio forbids.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Far for Shared {
    fn write(&self, message: &dyn Any) -> Option<Frame> {
        codec::write(message)
    }

    fn send(&self, to: ActorName, frame: Frame) -> bool {
        let ActorName::Validator(n) = to else {
            return false;
        };
        let table = self.read();
        let sent = table.outboxes(ValidatorId(n)).iter();
        // Of a validator that changes its keys, whichever process is there.
        sent.filter(|outbox| outbox.push(frame.clone())).count() > 0
    }

    fn send_all(&self, to: &[ActorName], frame: &Frame) -> usize {
        if frame.kind == codec::TRANSACTIONS && to.len() > self.gossip_above {
            let published = self.publish.try_send(frame.bytes.clone());
            return if published.is_ok() { to.len() } else { 0 };
        }
        let sent = |to: &&ActorName| self.send(**to, frame.clone());
        to.iter().filter(sent).count()
    }

    fn admit(&self, company: Company) {
        self.change(|table| table.set_company(company));
    }

    fn guests(&self) -> Vec<ValidatorId> {
        self.read().guests()
    }

    fn blame(&self, author: ActorName) -> bool {
        match author {
            ActorName::Validator(n) => self.blames.add(ValidatorId(n), Instant::now()),
            _ => true,
        }
    }
}

/// The peer identity of a network key; none for a key that is not a point of the curve.
#[must_use]
pub fn peer_id(key: &VerifyingKey) -> Option<PeerId> {
    let key = identity::ed25519::PublicKey::try_from_bytes(&key.0).ok()?;
    Some(identity::PublicKey::from(key).to_peer_id())
}

/// Batches of transactions that may wait to be published.
const PUBLISH_QUEUE: usize = 256;

/// Longest time until an inbound connection has proved who it is.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
