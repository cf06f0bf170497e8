//! Validators in processes of their own on this machine: what `kithkin node` does, over TCP on loopback, each with its own
//! database in a temporary folder; clients come through the doors.

use crate::bench::house::{SENDERS, Shape, founded};
use crate::bench::load::{Final, Target, cpu_ticks};
use crate::bench::ports::free_port;
use anyhow::{Context as _, bail};
use kithkin_actors::node::client::News;
use kithkin_actors::node::{NodeClient, NodeKeys, file};
use kithkin_actors::ports::random::SystemRng;
use kithkin_protocol::crypto::SigningKey;
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::ledger::{Genesis, SignedTransaction, ValidatorInfo};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Most validators that are started as processes.
pub const PROCESSES_MAX: u16 = 32;
/// How long all processes may take to start.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long a node may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Batches of one client that are not answered yet.
const UNDER_WAY: usize = 32;

/// Running validator processes. They are killed when this is dropped.
pub struct Street {
    /// What the ledger started from.
    pub genesis: Arc<Genesis>,
    /// Keys that may sign transactions.
    pub senders: Vec<SigningKey>,
    /// The measurement is over: the nodes go, and with them what is under way.
    closing: Arc<AtomicBool>,
    nodes: Vec<Running>,
    doors: Vec<mpsc::Sender<Vec<SignedTransaction>>>,
    news: mpsc::UnboundedReceiver<News>,
    /// The client that the news come through.
    _watching: Arc<NodeClient>,
    _folder: tempfile::TempDir,
}

/// A child that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already, in the worst case.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Street {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl Street {
    /// Founds a ledger, starts a process for each validator and waits until all can be reached and agree.
    ///
    /// # Errors
    /// When a file cannot be written or a process does not start; the end of its log is in the error.
    pub async fn open(shape: &Shape) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| SigningKey::random(&mut SystemRng))
            .collect();
        let genesis = Arc::new(found(shape, folder.path(), &senders)?);
        let ports: Vec<u16> = (0..usize::from(shape.validators) * 2)
            .map(|_| free_port())
            .collect::<Result<_, _>>()?;
        let (peers, doors) = ports.split_at(usize::from(shape.validators));
        let mut nodes = Vec::new();
        for n in 0..peers.len() {
            let settings = settings(shape, n, peers, doors);
            std::fs::write(folder.path().join(format!("{n}.toml")), settings)?;
            nodes.push(start(folder.path(), n)?);
        }
        let deadline = Instant::now() + START_WITHIN;
        let mut clients = Vec::new();
        for (n, (node, door)) in nodes.iter_mut().zip(doors).enumerate() {
            let address = SocketAddr::from(([127, 0, 0, 1], *door));
            let reached = reach(node, address, peers.len() - 1, deadline).await;
            let client = reached.with_context(|| {
                let log = std::fs::read_to_string(folder.path().join(format!("{n}.log")));
                let log = log.unwrap_or_default();
                let end: Vec<&str> = log.lines().rev().take(5).collect();
                let end: Vec<&str> = end.into_iter().rev().collect();
                format!(
                    "validator {n} does not start; its log ends: {}",
                    end.join("\n")
                )
            })?;
            clients.push(Arc::new(client));
        }
        // The last one is never at fault.
        let Some(watching) = clients.last().cloned() else {
            bail!("no validators");
        };
        let news = watching.follow(ANSWER_WITHIN).await?;
        let closing = Arc::new(AtomicBool::new(false));
        let doors = clients.into_iter();
        let doors = doors.map(|client| door(client, &closing)).collect();
        Ok(Self {
            genesis,
            senders,
            closing,
            nodes,
            doors,
            news,
            _watching: watching,
            _folder: folder,
        })
    }
}

impl Target for Street {
    /// Each batch goes to one validator, in turn.
    fn sender(&self) -> Box<dyn FnMut(Vec<SignedTransaction>) + Send> {
        let doors = self.doors.clone();
        let mut turn = 0;
        Box::new(move |batch| {
            turn = (turn + 1) % doors.len().max(1);
            if let Some(door) = doors.get(turn) {
                // A client that has gone takes nothing any more; what it was given counts as unfinished.
                let _ = door.blocking_send(batch);
            }
        })
    }

    async fn next(&mut self) -> Option<Final> {
        loop {
            match self.news.recv().await? {
                News::Final(block) => {
                    return Some(Final {
                        ids: block.transactions.clone(),
                        at: Instant::now(),
                    });
                }
                News::Missed(count) => {
                    tracing::warn!(count, "blocks went by unseen: the figures are too low");
                }
            }
        }
    }

    fn messages(&self) -> Option<u64> {
        None
    }

    fn cpu_ticks(&self) -> Option<u64> {
        let ticks = |node: &Running| cpu_ticks(&format!("/proc/{}/stat", node.0.id()));
        Some(self.nodes.iter().map(ticks).sum())
    }
}

/// Writes keys and genesis.
fn found(shape: &Shape, folder: &Path, senders: &[SigningKey]) -> anyhow::Result<Genesis> {
    let mut validators: Vec<ValidatorInfo> = Vec::new();
    for n in 0..shape.validators {
        let keys = NodeKeys::create(&folder.join(format!("keys-{n}")))?;
        validators.push(keys.public().validator(ValidatorId(n)));
    }
    let genesis = founded(shape, validators, senders);
    file::write(&folder.join("genesis.toml"), &genesis)?;
    Ok(genesis)
}

fn settings(shape: &Shape, n: usize, peers: &[u16], doors: &[u16]) -> String {
    use std::fmt::Write as _;
    let address = |port: u16| format!("['/ip4/127.0.0.1/tcp/{port}']");
    let port = |ports: &[u16]| ports.get(n).copied().unwrap_or_default();
    let timing = shape.timing;
    let mut text = format!(
        "genesis = 'genesis.toml'\nkeys = 'keys-{n}'\ndata = 'data-{n}'\nlisten = {}\nclient_listen = '127.0.0.1:{}'\n\
         consensus_base_ms = {}\nconsensus_max_ms = {}\nstatus_every_ms = 60000\njson = true\n[peers]\n",
        address(port(peers)),
        port(doors),
        timing.base_ms,
        timing.max_ms,
    );
    for (peer, port) in peers.iter().enumerate().filter(|(peer, _)| *peer != n) {
        // Writing into memory cannot fail.
        let _ = writeln!(text, "{peer} = {}", address(*port));
    }
    text
}

/// Starts this very program as a node.
fn start(folder: &Path, n: usize) -> anyhow::Result<Running> {
    let log = std::fs::File::create(folder.join(format!("{n}.log")))?;
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let mut command = Command::new(program);
    command
        .args(["node", "--config"])
        .arg(folder.join(format!("{n}.toml")))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KITHKIN_NODE_") {
            command.env_remove(name);
        }
    }
    let child = command.spawn().context("cannot start a validator")?;
    Ok(Running(child))
}

/// Waits until a node serves clients and is connected with all others.
async fn reach(
    node: &mut Running,
    address: SocketAddr,
    others: usize,
    deadline: Instant,
) -> anyhow::Result<NodeClient> {
    loop {
        if let Some(status) = node.0.try_wait()? {
            bail!("it has ended: {status}");
        }
        if Instant::now() > deadline {
            bail!("it is not ready after {} s", START_WITHIN.as_secs());
        }
        if let Ok(client) = NodeClient::connect(address).await
            && let Ok(status) = client.status(ANSWER_WITHIN).await
            && status.connected.len() >= others
        {
            return Ok(client);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A queue of batches for one node. Answers are taken as they come; what is refused is not final, and so counts.
fn door(
    client: Arc<NodeClient>,
    closing: &Arc<AtomicBool>,
) -> mpsc::Sender<Vec<SignedTransaction>> {
    let (send, mut batches) = mpsc::channel::<Vec<SignedTransaction>>(UNDER_WAY);
    let closing = Arc::clone(closing);
    tokio::spawn(async move {
        let places = Arc::new(tokio::sync::Semaphore::new(UNDER_WAY));
        while let Some(batch) = batches.recv().await {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let (client, closing) = (client.clone(), Arc::clone(&closing));
            tokio::spawn(async move {
                match client.submit_many(batch, ANSWER_WITHIN).await {
                    Ok(refused) => {
                        if let Some((_, first)) = refused.first() {
                            let count = refused.len();
                            tracing::warn!(count, %first, "transactions are refused");
                        }
                    }
                    Err(_) if closing.load(Ordering::Relaxed) => {}
                    Err(error) => tracing::warn!(%error, "a batch is lost"),
                }
                drop(place);
            });
        }
    });
    send
}
