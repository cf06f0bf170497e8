//! The transport over real sockets: who gets in, what arrives, what is refused.

use super::*;
use crate::ports::random::SystemRng;
use crate::validator::Validator;
use crate::validator::messages::{Consensus, Gossip};
use kithkin_protocol::consensus::Message;
use kithkin_protocol::crypto::SigningKey;
use kithkin_protocol::crypto::vrf::VrfSecretKey;
use kithkin_protocol::ids::ChainId;
use kithkin_protocol::ledger::{SignedTransaction, ValidatorInfo};
use kithkin_protocol::units::{Height, Millis, Sequence};
use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{StreamProtocol, SwarmBuilder, noise, tcp, yamux};

const WITHIN: Duration = Duration::from_secs(30);

/// Three validators' keys.
struct Keys {
    seeds: Vec<Secret32>,
    infos: Vec<ValidatorInfo>,
}

fn keys(count: u16) -> Keys {
    let seeds: Vec<Secret32> = (0..count)
        .map(|_| Secret32::random(&mut SystemRng))
        .collect();
    let infos = (0..count).zip(&seeds).map(|(n, seed)| ValidatorInfo {
        id: ValidatorId(n),
        vote_key: SigningKey::random(&mut SystemRng).verifying_key(),
        vrf_key: VrfSecretKey::random(&mut SystemRng).public_key(),
        network_key: SigningKey::from_seed(seed.clone()).verifying_key(),
        hospital: None,
    });
    let infos = infos.collect();
    Keys { seeds, infos }
}

async fn start(
    keys: &Keys,
    me: u16,
    listen: &str,
    addresses: BTreeMap<ValidatorId, Vec<Multiaddr>>,
) -> (Network, Peers) {
    let started = start_with(keys, me, listen, addresses, Vec::new()).await;
    let port = started.0.port(ActorName::Validator(me));
    port.admit(company(&keys.infos, &[]));
    started
}

fn company(members: &[ValidatorInfo], former: &[ValidatorInfo]) -> Company {
    Company {
        members: members.to_vec(),
        former: former.to_vec(),
        until: None,
    }
}

/// Starts one that is told nothing of members.
async fn start_with(
    keys: &Keys,
    me: u16,
    listen: &str,
    addresses: BTreeMap<ValidatorId, Vec<Multiaddr>>,
    guests: Vec<Guest>,
) -> (Network, Peers) {
    let network = Network::new(0);
    let config = PeerConfig {
        me: ValidatorId(me),
        network_key: keys.seeds[usize::from(me)].clone(),
        listen: vec![listen.parse().expect("an address")],
        addresses,
        guests,
        gossip_above: 2,
        limits: Limits::default(),
    };
    let peers = Peers::start(config, &network).await.expect("it starts");
    (network, peers)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}

async fn until_connected(peers: &Peers, with: &[u16]) {
    let with: Vec<ValidatorId> = with.iter().map(|n| ValidatorId(*n)).collect();
    let mut connected = peers.connected();
    let there = connected.wait_for(|all| all.keys().copied().eq(with.iter().copied()));
    tokio::time::timeout(WITHIN, there)
        .await
        .expect("in time")
        .expect("it runs");
}

/// Waits until so many consensus messages have arrived (for nobody: no actor runs here).
async fn until_arrived(network: &Network, count: u64) {
    let arrived = async {
        let name = core::any::type_name::<Consensus>();
        while network
            .stats()
            .by_type
            .get(name)
            .is_none_or(|stats| stats.no_address < count)
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WITHIN, arrived)
        .await
        .expect("in time");
}

fn question(height: u64) -> Consensus {
    Consensus(Message::GetCommitted {
        from: Height(height),
        count: 1,
    })
}

#[test]
fn what_is_told_arrives_in_the_other_process_over_tcp_and_quic() {
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        run(async {
            let keys = keys(2);
            let (network_a, a) = start(&keys, 0, listen, BTreeMap::new()).await;
            let addresses = BTreeMap::from([(ValidatorId(0), a.listening())]);
            let (network_b, b) = start(&keys, 1, listen, addresses).await;
            until_connected(&a, &[1]).await;
            until_connected(&b, &[0]).await;
            for n in 1..=100 {
                let port = network_a.port(ActorName::Validator(0));
                port.tell::<Validator, _>(ActorName::Validator(1), question(n));
                let port = network_b.port(ActorName::Validator(1));
                port.tell_all::<Validator, _>([ActorName::Validator(0)], &question(n));
            }
            until_arrived(&network_a, 100).await;
            until_arrived(&network_b, 100).await;
            let stats = a.stats()[&(ValidatorId(1), Lane::Votes)];
            assert_eq!((stats.queued, stats.dropped), (100, 0));
        });
    }
}

#[test]
fn a_peer_that_comes_back_is_reached_again() {
    run(async {
        let keys = keys(2);
        let (network, a) = start(&keys, 0, "/ip4/127.0.0.1/tcp/0", BTreeMap::new()).await;
        let addresses = BTreeMap::from([(ValidatorId(0), a.listening())]);
        for _ in 0..3 {
            let (network_b, b) = start(&keys, 1, "/ip4/127.0.0.1/tcp/0", addresses.clone()).await;
            until_connected(&a, &[1]).await;
            let port = network.port(ActorName::Validator(0));
            port.tell::<Validator, _>(ActorName::Validator(1), question(1));
            until_arrived(&network_b, 1).await;
            drop(b);
            until_connected(&a, &[]).await;
        }
    });
}

#[test]
fn who_leaves_the_set_is_hung_up_on_and_let_in_again_when_it_returns() {
    run(async {
        let keys = keys(3);
        let (network, a) = start(&keys, 0, "/ip4/127.0.0.1/tcp/0", BTreeMap::new()).await;
        let addresses = BTreeMap::from([(ValidatorId(0), a.listening())]);
        let (_, _b) = start(&keys, 1, "/ip4/127.0.0.1/tcp/0", addresses.clone()).await;
        let (_, _c) = start(&keys, 2, "/ip4/127.0.0.1/tcp/0", addresses).await;
        until_connected(&a, &[1, 2]).await;
        let port = network.port(ActorName::Validator(0));
        port.admit(company(&keys.infos[..2], &[]));
        until_connected(&a, &[1]).await;
        assert!(!network.book().contains(ActorName::Validator(2)));
        port.admit(company(&keys.infos, &[]));
        until_connected(&a, &[1, 2]).await;
    });
}

/// Three others are more than two: what A publishes reaches D, which A has never talked with.
#[test]
fn in_a_large_set_transactions_go_round_by_gossip() {
    run(async {
        let keys = keys(4);
        let tcp = "/ip4/127.0.0.1/tcp/0";
        let (a, peers_a) = start(&keys, 0, tcp, BTreeMap::new()).await;
        let to_a = BTreeMap::from([(ValidatorId(0), peers_a.listening())]);
        let (b, peers_b) = start(&keys, 1, tcp, to_a).await;
        let to_b = BTreeMap::from([(ValidatorId(1), peers_b.listening())]);
        let (d, peers_d) = start(&keys, 3, tcp, to_b).await;
        until_connected(&peers_b, &[0, 3]).await;
        until_connected(&peers_d, &[1]).await;
        let name = core::any::type_name::<Gossip>();
        let arrived = |network: &Network| {
            network
                .stats()
                .by_type
                .get(name)
                .map_or(0, |stats| stats.no_address)
        };
        let others = [1, 2, 3].map(ActorName::Validator);
        let mut sequence = 0;
        let reached = async {
            // Until they have told each other that they take part.
            while arrived(&b) == 0 || arrived(&d) == 0 {
                sequence += 1;
                let transaction = SignedTransaction::unsigned(
                    ChainId([0; 32]),
                    Sequence(sequence),
                    Millis(1),
                    vec![0; 64],
                );
                let gossip = Gossip(Arc::new(vec![transaction]));
                a.port(ActorName::Validator(0))
                    .tell_all::<Validator, _>(others, &gossip);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(WITHIN, reached)
            .await
            .expect("in time");
        let straight = peers_a.stats();
        assert!(
            straight.values().all(|stats| stats.queued == 0),
            "{straight:?}"
        );
    });
}

#[derive(NetworkBehaviour)]
struct Protocols {
    streams: libp2p_stream::Behaviour,
    /// Whoever does not answer pings is hung up on.
    ping: libp2p::ping::Behaviour,
}

/// Somebody with a key of its own and the protocols of a validator.
struct Caller {
    control: libp2p_stream::Control,
    peer: PeerId,
}

impl Caller {
    fn call(seed: &Secret32, peers: &Peers) -> Self {
        let key = identity::Keypair::ed25519_from_bytes(*seed.expose()).expect("a key");
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
            .with_swarm_config(|config| config.with_idle_connection_timeout(WITHIN))
            .build();
        let address = peers.listening().pop().expect("it listens");
        let peer = peers.peer_id();
        swarm
            .dial(
                libp2p::swarm::dial_opts::DialOpts::peer_id(peer)
                    .addresses(vec![address])
                    .build(),
            )
            .expect("dialled");
        let control = swarm.behaviour().streams.new_control();
        tokio::spawn(async move {
            // For good, also when it was hung up on: whoever opens a stream then is to hear so.
            loop {
                swarm.select_next_some().await;
            }
        });
        Self { control, peer }
    }

    async fn open(&mut self, lane: Lane) -> Option<libp2p::Stream> {
        let opened = tokio::time::timeout(
            WITHIN,
            self.control
                .open_stream(self.peer, StreamProtocol::new(lane.protocol())),
        );
        let mut stream = opened.await.expect("in time").ok()?;
        let mut taken = [0];
        let read = tokio::time::timeout(WITHIN, stream.read_exact(&mut taken)).await;
        read.expect("in time").ok()?;
        Some(stream)
    }
}

#[test]
fn a_stranger_opens_no_stream_and_a_member_does() {
    run(async {
        let keys = keys(2);
        let (_, peers) = start(&keys, 0, "/ip4/127.0.0.1/tcp/0", BTreeMap::new()).await;
        let mut stranger = Caller::call(&Secret32::random(&mut SystemRng), &peers);
        for lane in Lane::ALL {
            assert!(stranger.open(lane).await.is_none(), "{lane}");
        }
        assert!(peers.connected().borrow().is_empty());
        let mut member = Caller::call(&keys.seeds[1], &peers);
        assert!(member.open(Lane::Votes).await.is_some());
    });
}

#[test]
fn frames_that_no_validator_sends_end_the_stream() {
    run(async {
        let keys = keys(2);
        let (network, peers) = start(&keys, 0, "/ip4/127.0.0.1/tcp/0", BTreeMap::new()).await;
        let vote = codec::write(&question(1)).expect("it travels");
        let mut member = Caller::call(&keys.seeds[1], &peers);
        let long = [&u32::MAX.to_be_bytes()[..], &[codec::VOTES]].concat();
        let unknown = [&[0, 0, 0, 1][..], &[99, 1]].concat();
        let garbage = [&[0, 0, 0, 3][..], &[codec::VOTES, 1, 0xc1, 0xc1]].concat();
        let foreign = frame(codec::BLOCKS, &vote.bytes);
        for (lane, bytes) in [
            (Lane::Votes, long),
            (Lane::Votes, unknown),
            (Lane::Votes, garbage),
            // The lane of blocks does not carry votes.
            (Lane::Blocks, foreign),
            (Lane::Sync, frame(codec::VOTES, &vote.bytes)),
        ] {
            let mut stream = member.open(lane).await.expect("a member");
            stream.write_all(&bytes).await.expect("written");
            stream.flush().await.expect("written");
            let mut word = [0];
            let end = tokio::time::timeout(WITHIN, stream.read(&mut word))
                .await
                .expect("in time");
            assert!(matches!(end, Ok(0) | Err(_)), "{lane}: {end:?}");
        }
        // The connection is still good.
        let mut stream = member.open(Lane::Votes).await.expect("a member");
        stream
            .write_all(&frame(codec::VOTES, &vote.bytes))
            .await
            .expect("written");
        stream.flush().await.expect("written");
        until_arrived(&network, 1).await;
    });
}

fn frame(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short");
    [&length.to_be_bytes()[..], &[kind], bytes].concat()
}

/// Sends a frame on a stream of its own.
async fn say(caller: &mut Caller, lane: Lane, message: &Consensus) {
    let frame_of = codec::write(message).expect("it travels");
    let mut stream = caller.open(lane).await.expect("let in");
    stream
        .write_all(&frame(frame_of.kind, &frame_of.bytes))
        .await
        .expect("written");
    stream.flush().await.expect("written");
}

fn ballots() -> Consensus {
    Consensus(Message::Ballots(Vec::new()))
}

fn arrived(network: &Network) -> u64 {
    let name = core::any::type_name::<Consensus>();
    let stats = network.stats().by_type.get(name).copied();
    stats.map_or(0, |stats| stats.no_address)
}

#[test]
fn a_guest_may_ask_for_blocks_and_say_nothing_else_until_it_is_a_member() {
    run(async {
        let keys = keys(2);
        let guest = Guest {
            network_key: keys.infos[1].network_key,
            addresses: Vec::new(),
        };
        let (listen, none) = ("/ip4/127.0.0.1/tcp/0", BTreeMap::new());
        let (network, peers) = start_with(&keys, 0, listen, none, vec![guest]).await;
        let mut caller = Caller::call(&keys.seeds[1], &peers);
        // Its votes go by unheard: what comes after them on the same stream is the first that arrives.
        let mut stream = caller.open(Lane::Votes).await.expect("a guest");
        let votes = codec::write(&ballots()).expect("it travels");
        let ask = codec::write(&question(1)).expect("it travels");
        for said in [&votes, &votes, &ask] {
            stream
                .write_all(&frame(said.kind, &said.bytes))
                .await
                .expect("written");
        }
        stream.flush().await.expect("written");
        until_arrived(&network, 1).await;
        assert_eq!(arrived(&network), 1);
        // It has a name of its own, no member's, and is not among those the node says it is connected with.
        let port = network.port(ActorName::Validator(0));
        let names = port.guests();
        assert_eq!(names, [ValidatorId(u16::MAX)]);
        assert!(peers.connected().borrow().is_empty());
        // From the moment it is a member its votes count, on the same connection.
        port.admit(company(&keys.infos, &[]));
        until_connected(&peers, &[1]).await;
        assert_eq!(port.guests(), []);
        say(&mut caller, Lane::Votes, &ballots()).await;
        until_arrived(&network, 2).await;
        // Afterwards it may follow for a while, and is hung up on in the end.
        port.admit(company(&keys.infos[..1], &keys.infos[1..]));
        until_connected(&peers, &[]).await;
        say(&mut caller, Lane::Votes, &ballots()).await;
        say(&mut caller, Lane::Votes, &question(2)).await;
        until_arrived(&network, 3).await;
        assert_eq!(arrived(&network), 3);
        port.admit(company(&keys.infos[..1], &[]));
        peers.set_known(BTreeMap::new(), Vec::new());
        let gone = async { while caller.open(Lane::Votes).await.is_some() {} };
        tokio::time::timeout(WITHIN, gone).await.expect("in time");
    });
}

/// Who is let in no more may never be there again: nothing waits for it.
#[test]
fn nothing_is_left_of_a_peer_that_never_came() {
    run(async {
        let keys = keys(2);
        let (network, peers) = start(&keys, 0, "/ip4/127.0.0.1/tcp/0", BTreeMap::new()).await;
        let outbox = {
            let table = peers.shared.read();
            Arc::downgrade(&table.outboxes(ValidatorId(1))[0])
        };
        assert!(outbox.strong_count() > 0);
        let port = network.port(ActorName::Validator(0));
        port.admit(company(&keys.infos[..1], &[]));
        let gone = async {
            while outbox.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WITHIN, gone).await.expect("in time");
    });
}

#[test]
fn while_keys_change_both_processes_of_a_validator_are_reached() {
    run(async {
        let mut keys = keys(3);
        // The third one's key is the second key of validator 1.
        let renewed = ValidatorInfo {
            id: ValidatorId(1),
            ..keys.infos[2].clone()
        };
        let (network, peers) = start(&keys, 0, "/ip4/127.0.0.1/tcp/0", BTreeMap::new()).await;
        let port = network.port(ActorName::Validator(0));
        let both = [&keys.infos[..2], std::slice::from_ref(&renewed)].concat();
        port.admit(company(&both, &[]));
        let addresses = BTreeMap::from([(ValidatorId(0), peers.listening())]);
        let tcp = "/ip4/127.0.0.1/tcp/0";
        let (old_network, _old) = start(&keys, 1, tcp, addresses.clone()).await;
        keys.seeds[1] = keys.seeds[2].clone();
        let (new_network, new) = start(&keys, 1, tcp, addresses).await;
        until_connected(&new, &[0]).await;
        port.tell::<Validator, _>(ActorName::Validator(1), question(1));
        until_arrived(&old_network, 1).await;
        until_arrived(&new_network, 1).await;
        // What both say comes from the same validator.
        for network in [&old_network, &new_network] {
            let port = network.port(ActorName::Validator(1));
            port.tell::<Validator, _>(ActorName::Validator(0), question(1));
        }
        until_arrived(&network, 2).await;
        // The change is in force: the old one follows, and then is nobody.
        let members = [&keys.infos[..1], std::slice::from_ref(&renewed)].concat();
        port.admit(company(&members, &keys.infos[1..2]));
        port.admit(company(&members, &[]));
        assert!(network.book().contains(ActorName::Validator(1)));
        let mut connected = peers.connected();
        let only = connected.wait_for(|all| all.get(&ValidatorId(1)) == Some(&new.peer_id()));
        let only = tokio::time::timeout(WITHIN, only).await.expect("in time");
        drop(only);
    });
}
