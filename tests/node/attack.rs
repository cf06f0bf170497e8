//! What somebody may do to a node who can reach its ports: strangers, a member that lies, and clients with nothing but rubbish.

use crate::founding::Town;
use crate::running::LONG;
use kithkin_actors::node::protocol::GREETING;
use kithkin_actors::node::{NodeClient, NodeKeys};
use kithkin_protocol::consensus::{
    Ballot, Certificate, Evidence, Justification, Message, NewView, Vote, VoteKind,
};
use kithkin_protocol::crypto::Signature;
use kithkin_protocol::ids::{BlockId, ValidatorId};
use kithkin_protocol::ledger::SignedTransaction;
use kithkin_protocol::units::{Height, View};
use kithkin_protocol::wire;
use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// Connections that one attacker holds open at a time.
const HELD: usize = 200;
/// How long an attacker waits for anything before it goes on.
const PATIENCE: Duration = Duration::from_millis(500);
/// The validator whose keys the attacker has.
pub(crate) const LIAR: ValidatorId = ValidatorId(3);

/// How much was done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) connections: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) strangers: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) streams: AtomicU64,
    pub(crate) questions: AtomicU64,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Connects from another address of this machine than those who are honest.
async fn connect(to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).ok()?;
    timeout(PATIENCE, socket.connect(to)).await.ok()?.ok()
}

/// So many connections, one after the other: rubbish, silence, half a greeting, lengths that are never filled.
pub(crate) async fn garbage(to: SocketAddr, count: u64, seed: u64, tally: Arc<Tally>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut held: VecDeque<TcpStream> = VecDeque::new();
    for n in 0..count {
        let Some(mut stream) = connect(to).await else {
            add(&tally.refused);
            continue;
        };
        add(&tally.connections);
        let mut bytes = vec![0; 1 + (rng.next_u32() % 2_000) as usize];
        rng.fill_bytes(&mut bytes);
        // Whether the node still listens to it does not matter.
        let _ = match n % 5 {
            0 => stream.write_all(&bytes).await,
            // Silent until it is thrown out.
            1 => Ok(()),
            // Half a greeting, and half of what libp2p begins with.
            2 => stream.write_all(&GREETING[..5]).await,
            3 => {
                stream
                    .write_all(b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff")
                    .await
            }
            // A question of the largest size, of which nothing comes.
            _ => {
                stream
                    .write_all(&[&GREETING[..], &[0, 0x3f, 0xff, 0xff]].concat())
                    .await
            }
        };
        if n % 5 != 0 {
            held.push_back(stream);
        }
        if held.len() > HELD {
            held.pop_front();
        }
    }
}

#[derive(NetworkBehaviour)]
struct Protocols {
    streams: libp2p_stream::Behaviour,
    ping: libp2p::ping::Behaviour,
}

/// A connection over libp2p with any key; `control` opens streams while the task runs.
struct Caller {
    control: libp2p_stream::Control,
    ended: watch::Receiver<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Caller {
    fn call(key: Keypair, to: &(PeerId, Multiaddr)) -> Self {
        let mut swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(
                tcp::Config::default(),
                noise::Config::new,
                yamux::Config::default,
            )
            .expect("a transport")
            .with_behaviour(|_| Protocols {
                streams: libp2p_stream::Behaviour::new(),
                ping: libp2p::ping::Behaviour::default(),
            })
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(LONG))
            .build();
        let dialled = swarm.dial(
            DialOpts::peer_id(to.0)
                .addresses(vec![to.1.clone()])
                .allocate_new_port()
                .build(),
        );
        dialled.expect("it can be dialled");
        let control = swarm.behaviour().streams.new_control();
        let (end, ended) = watch::channel(false);
        let task = tokio::spawn(async move {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::ConnectionClosed { .. }
                    | SwarmEvent::OutgoingConnectionError { .. } => {
                        end.send_replace(true);
                        return;
                    }
                    _ => {}
                }
            }
        });
        Self {
            control,
            ended,
            task,
        }
    }

    /// Waits until the node has hung up.
    async fn until_ended(&mut self) -> bool {
        timeout(LONG, self.ended.wait_for(|ended| *ended))
            .await
            .is_ok()
    }
}

/// Peers that no validator knows, so many one after the other. Each must be hung up on.
pub(crate) async fn strangers(to: (PeerId, Multiaddr), count: u64, tally: Arc<Tally>) {
    for _ in 0..count {
        let mut caller = Caller::call(Keypair::generate_ed25519(), &to);
        assert!(caller.until_ended().await, "a stranger was let in");
        add(&tally.strangers);
    }
}

/// The keys of a validator whose process does not run, in the wrong hands.
pub(crate) struct Liar {
    network: Keypair,
    /// A vote whose signature holds, on a height that is long final.
    old: Vote,
    /// Transactions of a hospital whose signatures do not hold.
    rubbish: Vec<SignedTransaction>,
    /// Where the ledger stands.
    height: watch::Receiver<Height>,
    tally: Arc<Tally>,
}

impl Liar {
    pub(crate) fn new(
        town: &Arc<Town>,
        height: watch::Receiver<Height>,
        tally: &Arc<Tally>,
    ) -> Self {
        let folder = town.path(&format!("validator-{}", LIAR.0));
        let keys = NodeKeys::load(&folder).expect("keys");
        let network = Keypair::ed25519_from_bytes(*keys.network().expose()).expect("a key");
        let key = &keys.identity_as(LIAR).vote_key;
        let (kind, id) = (VoteKind::Notarize, BlockId([1; 32]));
        let hospital = town.hospital(0);
        let spoilt = |sequence| {
            let transaction = town.transaction(&hospital, sequence);
            transaction.altered(|tx| tx.signature.0[0] ^= 1)
        };
        Self {
            network,
            old: Vote::sign(town.chain, kind, Height(1), View(1), id, LIAR, key),
            rubbish: (1..=512).map(spoilt).collect(),
            height,
            tally: tally.clone(),
        }
    }

    /// A vote whose signature does not hold.
    fn vote(&self, height: Height, view: u64, id: BlockId) -> Vote {
        let signature = Signature([9; 64]);
        Vote {
            signature,
            height,
            view: View(view),
            id,
            ..self.old.clone()
        }
    }

    fn certificate(&self, kind: VoteKind, height: Height, id: BlockId) -> Certificate {
        Certificate {
            kind,
            height,
            view: View(1),
            id,
            votes: (0..3)
                .map(|n| (ValidatorId(n), Signature([n as u8; 64])))
                .collect(),
        }
    }

    /// Something to say in the lane of votes; kind and frame.
    fn small(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let height = self.height.borrow().plus(1);
        let mut id = BlockId([0; 32]);
        rng.fill_bytes(&mut id.0);
        let view = 1 + u64::from(rng.next_u32() % 8);
        let message = match rng.next_u32() % 8 {
            0 | 1 => {
                let bad = |n: u64| ballot(self.vote(height, view + n % 8, id));
                Message::Ballots((0..64).map(bad).collect())
            }
            // The same old vote, again and again.
            2 | 3 => Message::Ballots(vec![ballot(self.old.clone())]),
            4 => Message::NewView(Box::new(NewView {
                height,
                view: View(view + 1),
                justification: Justification {
                    base: Some(self.certificate(VoteKind::Notarize, height, id)),
                    nullifications: (0..16)
                        .map(|_| self.certificate(VoteKind::Nullify, height, BlockId::NONE))
                        .collect(),
                },
            })),
            5 => Message::GetCommitted {
                from: Height(1),
                count: 64,
            },
            6 => Message::GetBody { height, id },
            _ => {
                let one = self.vote(height, view, id);
                let two = self.vote(height, view, BlockId([2; 32]));
                Message::Evidence(Box::new(
                    Evidence::from_votes(one, two).expect("a conflict"),
                ))
            }
        };
        frame(1, &wire::encode(&message))
    }

    /// Talks to one node until it is told to stop.
    pub(crate) async fn talk(
        self: Arc<Self>,
        to: (PeerId, Multiaddr),
        seed: u64,
        stop: watch::Receiver<bool>,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        while !*stop.borrow() {
            let mut caller = Caller::call(self.network.clone(), &to);
            while !*stop.borrow() && !*caller.ended.borrow() {
                let lane = ["votes", "votes", "votes", "transactions", "blocks", "sync"]
                    [(rng.next_u32() % 6) as usize];
                let said = self.say(&mut caller, to.0, lane, &mut rng);
                // A node that reads slowly is left alone for this time; one that does not answer, for a moment.
                if let Ok(None) = timeout(4 * PATIENCE, said).await {
                    tokio::time::sleep(PATIENCE / 100).await;
                }
            }
        }
    }

    /// One stream: frames until the node ends it, or enough is said.
    async fn say(
        &self,
        caller: &mut Caller,
        to: PeerId,
        lane: &str,
        rng: &mut ChaCha8Rng,
    ) -> Option<()> {
        let name = StreamProtocol::try_from_owned(format!("/kithkin/{lane}/1")).expect("a name");
        let mut stream = caller.control.open_stream(to, name).await.ok()?;
        let mut taken = [0];
        stream.read_exact(&mut taken).await.ok()?;
        add(&self.tally.streams);
        let rubbish = frame(3, &wire::encode(&self.rubbish[..256].to_vec()));
        for n in 0..2_000 {
            let bytes = match (lane, rng.next_u32() % 500) {
                // Longer than any frame, and never sent.
                (_, 0) => [&u32::MAX.to_be_bytes()[..], &[1]].concat(),
                (_, 1) => frame(99, &[1, 2, 3]),
                (_, 2) => frame(1, &[1, 0xc1, 0xc1]),
                ("votes", _) => self.small(rng),
                ("transactions", _) => rubbish.clone(),
                // A frame of a megabyte that cannot be read.
                ("blocks", _) => frame(2, &vec![0xdd; 1_000_000]),
                (_, _) => frame(4, &vec![0x93; 1_000_000]),
            };
            stream.write_all(&bytes).await.ok()?;
            if n % 16 == 0 {
                stream.flush().await.ok()?;
            }
            add(&self.tally.frames);
        }
        stream.close().await.ok()
    }

    /// A client of the door that hands in nothing but rubbish, until it is told to stop.
    pub(crate) async fn submit(self: Arc<Self>, to: SocketAddr, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let Ok(client) = NodeClient::connect(to).await else {
                tokio::task::yield_now().await;
                continue;
            };
            for _ in 0..50 {
                let asked = client.submit_many(self.rubbish.clone(), PATIENCE).await;
                add(&self.tally.questions);
                if *stop.borrow() {
                    return;
                }
                // An entry with a key of a megabyte.
                let proved = client.prove(vec![7; 1_000_000], PATIENCE).await;
                add(&self.tally.questions);
                if asked.is_err() && proved.is_err() {
                    break;
                }
            }
        }
    }
}

fn ballot(vote: Vote) -> Ballot {
    let proposal = Some(Signature([7; 64]));
    Ballot { vote, proposal }
}

fn frame(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short");
    [&length.to_be_bytes()[..], &[kind], bytes].concat()
}
