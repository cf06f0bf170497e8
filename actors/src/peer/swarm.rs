//! Connections: who is dialled and when, what a dead connection is. Who is let in: `table`.

use super::doorman::Doorman;
use super::lane::Lane;
use super::outbox::Outbox;
use super::table::{GUESTS_MAX, Role};
use super::{HANDSHAKE_WITHIN, Multiaddr, PeerError, PeerId, Shared, gossip, streams};
use crate::limits::Limits;
use kithkin_protocol::ledger::VALIDATORS_MAX;
use libp2p::allow_block_list::{self, AllowedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::futures::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{StreamProtocol, SwarmBuilder, noise, ping, tcp, yamux};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};

/// Most connections with one peer: each side may have dialled, and an old one may not be noticed as dead yet.
const PER_PEER_MAX: u32 = 3;
/// Most streams of one connection that have not said what they are for.
const NEGOTIATING_MAX: usize = 16;
/// First and longest pause between two tries to reach a peer.
const DIAL_FIRST: Duration = Duration::from_millis(100);
const DIAL_MAX: Duration = Duration::from_secs(2);
/// How often each connection is tried, and how long an answer may take.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_WITHIN: Duration = Duration::from_secs(5);
/// QUIC: how long a connection may be silent, in milliseconds, and how often a sign of life is sent.
const QUIC_SILENT_MS: u32 = 5_000;
const QUIC_ALIVE_EVERY: Duration = Duration::from_secs(1);
/// Connections of two peers that dial each other at the same moment are this much apart at most. A newer one than that
/// replaces an older one: the peer would not have dialled if it still had that.
const SIMULTANEOUS: Duration = Duration::from_secs(1);
/// How long it may take until the operating system has given all addresses.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);

/// What the loop is told.
pub(super) enum Order {
    /// Who may connect has changed.
    Admit {
        /// No more.
        gone: Vec<PeerId>,
        /// From now on.
        new: Vec<(PeerId, Arc<Outbox>)>,
    },
    /// The others may be elsewhere now.
    Redial,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    // In this order: a connection that is refused costs the others nothing.
    limits: connection_limits::Behaviour,
    doorman: Doorman,
    allowed: allow_block_list::Behaviour<AllowedPeers>,
    ping: ping::Behaviour,
    gossip: libp2p::gossipsub::Behaviour,
    streams: libp2p_stream::Behaviour,
}

/// A peer that may connect.
struct Peer {
    connections: Vec<(ConnectionId, Instant)>,
    /// When to dial next, and the pause after that try.
    dial_at: Instant,
    pause: Duration,
}

struct Loop {
    shared: Arc<Shared>,
    swarm: Swarm<Behaviour>,
    arrived: mpsc::Sender<gossip::Batch>,
    peers: BTreeMap<PeerId, Peer>,
}

/// Sets everything up, listens, and goes on in the background. Called on the transport's runtime.
pub(super) async fn start(
    shared: Arc<Shared>,
    keypair: Keypair,
    listen: Vec<Multiaddr>,
    limits: Limits,
    (mut orders, mut published): (mpsc::UnboundedReceiver<Order>, mpsc::Receiver<Arc<[u8]>>),
) -> Result<(), PeerError> {
    let mut swarm = build(keypair, limits)?;
    for lane in Lane::ALL {
        let mut control = swarm.behaviour().streams.new_control();
        let incoming = control
            .accept(StreamProtocol::new(lane.protocol()))
            .map_err(|error| setup(&error))?;
        tokio::spawn(streams::accept_lane(shared.clone(), incoming, lane));
    }
    let mut waiting = Vec::new();
    for address in listen {
        match swarm.listen_on(address.clone()) {
            Ok(listener) => waiting.push((listener, address)),
            Err(error) => {
                let reason = error.to_string();
                return Err(PeerError::Listen { address, reason });
            }
        }
    }
    let (arrived, taken) = mpsc::channel(gossip::ARRIVED_MAX);
    tokio::spawn(gossip::deliver(shared.clone(), taken));
    let mut this = Loop {
        shared,
        swarm,
        arrived,
        peers: BTreeMap::new(),
    };
    let deadline = Instant::now() + LISTEN_WITHIN;
    while let Some((_, address)) = waiting.first() {
        let late = || PeerError::Listen {
            address: address.clone(),
            reason: "the operating system gives no address".to_owned(),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let event = timeout(left, this.swarm.select_next_some())
            .await
            .map_err(|_| late())?;
        match &event {
            SwarmEvent::NewListenAddr { listener_id, .. } => {
                let listener_id = *listener_id;
                waiting.retain(|(listener, _)| *listener != listener_id);
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } => {
                if let Some((_, address)) =
                    waiting.iter().find(|(listener, _)| listener == listener_id)
                {
                    return Err(PeerError::Listen {
                        address: address.clone(),
                        reason: format!("{reason:?}"),
                    });
                }
            }
            _ => {}
        }
        this.on_event(event);
    }
    tokio::spawn(async move {
        loop {
            let next = this
                .peers
                .values()
                .filter(|peer| peer.connections.is_empty());
            let next = next.map(|peer| peer.dial_at).min();
            let next = next.unwrap_or_else(|| Instant::now() + DIAL_MAX);
            tokio::select! {
                event = this.swarm.select_next_some() => this.on_event(event),
                order = orders.recv() => match order {
                    Some(order) => this.on_order(order),
                    None => return,
                },
                Some(batch) = published.recv() => {
                    gossip::publish(&mut this.swarm.behaviour_mut().gossip, &batch);
                }
                () = sleep_until(next.into()) => this.dial_due(),
            }
        }
    });
    Ok(())
}

fn setup(error: &dyn std::error::Error) -> PeerError {
    PeerError::Setup {
        reason: error.to_string(),
    }
}

fn build(keypair: Keypair, limits: Limits) -> Result<Swarm<Behaviour>, PeerError> {
    let most = u32::try_from(VALIDATORS_MAX + GUESTS_MAX).unwrap_or(u32::MAX);
    let doorman = Doorman::new(limits.handshakes_per_address_max);
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits.handshakes_max))
        .with_max_established_incoming(Some(most * PER_PEER_MAX))
        .with_max_established_per_peer(Some(PER_PEER_MAX));
    let gossip = gossip::behaviour(&keypair).map_err(|reason| PeerError::Setup { reason })?;
    let behaviour = Behaviour {
        gossip,
        limits: connection_limits::Behaviour::new(limits),
        doorman,
        allowed: allow_block_list::Behaviour::default(),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(PING_EVERY)
                .with_timeout(PING_WITHIN),
        ),
        streams: libp2p_stream::Behaviour::new(),
    };
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .map_err(|error| setup(&error))?
        .with_quic_config(|mut quic| {
            quic.max_idle_timeout = QUIC_SILENT_MS;
            quic.keep_alive_interval = QUIC_ALIVE_EVERY;
            quic.handshake_timeout = HANDSHAKE_WITHIN;
            quic
        })
        .with_behaviour(|_| behaviour)
        .map_err(|error| setup(&error))?
        // A connection between validators is for ever; the pings see when it is dead.
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(Duration::from_secs(u32::MAX.into()))
                .with_max_negotiating_inbound_streams(NEGOTIATING_MAX)
        })
        .with_connection_timeout(HANDSHAKE_WITHIN)
        .build();
    Ok(swarm)
}

impl Loop {
    fn on_order(&mut self, order: Order) {
        match order {
            Order::Redial => {
                for peer in self.peers.values_mut() {
                    peer.dial_at = Instant::now();
                    peer.pause = DIAL_FIRST;
                }
            }
            Order::Admit { gone, new } => {
                for peer in gone {
                    self.swarm.behaviour_mut().allowed.disallow_peer(peer);
                    self.peers.remove(&peer);
                }
                for (peer, outbox) in new {
                    self.swarm.behaviour_mut().allowed.allow_peer(peer);
                    let now = Instant::now();
                    self.peers.insert(
                        peer,
                        Peer {
                            connections: Vec::new(),
                            dial_at: now,
                            pause: DIAL_FIRST,
                        },
                    );
                    for lane in Lane::ALL {
                        let control = self.swarm.behaviour().streams.new_control();
                        tokio::spawn(streams::write_lane(
                            self.shared.clone(),
                            control,
                            peer,
                            lane,
                            outbox.clone(),
                        ));
                    }
                }
                self.tell_connected();
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => {
                let listening = self.swarm.listeners().cloned().collect();
                self.shared.listening.send_replace(listening);
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.on_connected(peer_id, connection_id, endpoint.is_listener()),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => {
                tracing::debug!(%peer_id, ?cause, "a connection has ended");
                if let Some(peer) = self.peers.get_mut(&peer_id) {
                    peer.connections.retain(|(id, _)| *id != connection_id);
                    if peer.connections.is_empty() {
                        let known = self.shared.known(&peer_id);
                        let validator = known.map(|known| tracing::field::display(known.id));
                        tracing::info!(validator, %peer_id, "a connection is lost");
                        peer.pause = DIAL_FIRST;
                        peer.dial_at = Instant::now() + peer.pause;
                    }
                }
                self.tell_connected();
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                connection,
                result: Err(error),
                ..
            })) => {
                tracing::debug!(%error, "a connection gives no sign of life");
                self.swarm.close_connection(connection);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => {
                let behaviour = &mut self.swarm.behaviour_mut().gossip;
                gossip::on_event(&self.shared, behaviour, &self.arrived, event);
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                tracing::debug!(?peer_id, %error, "a validator cannot be reached");
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "a connection is refused");
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener has trouble");
            }
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                tracing::error!(?addresses, ?reason, "no longer listening");
            }
            _ => {}
        }
    }

    fn on_connected(&mut self, peer_id: PeerId, connection: ConnectionId, inbound: bool) {
        let Some(peer) = self.peers.get_mut(&peer_id) else {
            // No longer a validator, in this very moment.
            self.swarm.close_connection(connection);
            return;
        };
        let now = Instant::now();
        if peer.connections.is_empty() {
            let known = self.shared.known(&peer_id);
            let validator = known.map(|known| tracing::field::display(known.id));
            let role = known.map(|known| tracing::field::debug(known.role));
            tracing::info!(validator, role, inbound, %peer_id, "connected");
        }
        let old = peer
            .connections
            .iter()
            .filter(|(_, since)| now - *since > SIMULTANEOUS);
        let old: Vec<ConnectionId> = old.map(|(id, _)| *id).collect();
        peer.connections.push((connection, now));
        peer.pause = DIAL_FIRST;
        for connection in old {
            self.swarm.close_connection(connection);
        }
        self.tell_connected();
    }

    fn tell_connected(&self) {
        let there = self
            .peers
            .iter()
            .filter(|(_, peer)| !peer.connections.is_empty());
        let links: BTreeSet<PeerId> = there.map(|(peer_id, _)| *peer_id).collect();
        let connected = links.iter().filter_map(|peer_id| {
            let known = self.shared.known(peer_id)?;
            (known.role == Role::Member).then_some((known.id, *peer_id))
        });
        tell(&self.shared.connected, connected.collect());
        tell(&self.shared.links, links);
    }

    /// Dials whoever is not connected and whose time has come.
    fn dial_due(&mut self) {
        let now = Instant::now();
        for (peer_id, peer) in &mut self.peers {
            if !peer.connections.is_empty() || peer.dial_at > now {
                continue;
            }
            peer.dial_at = now + peer.pause;
            peer.pause = (peer.pause * 2).min(DIAL_MAX);
            let addresses = self.shared.read().addresses_of(peer_id);
            if addresses.is_empty() {
                continue;
            }
            let options = DialOpts::peer_id(*peer_id)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addresses)
                // The port that we listen on may still be bound to an old connection with the same peer.
                .allocate_new_port()
                .build();
            if let Err(error) = self.swarm.dial(options) {
                tracing::trace!(%peer_id, %error, "not dialled");
            }
        }
    }
}

fn tell<T: PartialEq>(to: &watch::Sender<T>, now: T) {
    to.send_if_modified(|before| {
        let changed = *before != now;
        *before = now;
        changed
    });
}
