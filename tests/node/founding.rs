//! A ledger of four processes: keys, genesis, settings; and what the tests do with it.

use crate::running::{LONG, Running, program};
use kithkin::bench::ports;
use kithkin_actors::node::reviewer::PublicReviewer;
use kithkin_actors::node::{HospitalKeys, NodeClient};
use kithkin_protocol::crypto::SigningKey;
use kithkin_protocol::ids::{BlockId, ChainId};
use kithkin_protocol::ledger::{SignedTransaction, Transaction, TxBody};
use kithkin_protocol::units::{Height, Millis, Sequence};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::time::Instant;

/// How many hospitals there are.
pub(crate) const HOSPITALS: usize = 4;

/// A port that nobody listens on.
fn free() -> u16 {
    ports::free_port().expect("a free port")
}

/// A founded ledger. Nothing runs yet.
pub(crate) struct Town {
    folder: tempfile::TempDir,
    pub(crate) doors: Vec<SocketAddr>,
    pub(crate) chain: ChainId,
}

/// Runs the program to its end, successfully; returns what it printed.
pub(crate) fn done(args: &[&str]) -> String {
    let output = ended(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs the program to its end.
pub(crate) fn ended(args: &[&str]) -> Output {
    program(args).output().expect("the program starts")
}

impl Town {
    /// Four validators over this transport, `tcp` or `quic`, whose ledger holds transactions that mean nothing.
    pub(crate) fn found(transport: &str) -> Self {
        Self::found_for(transport, "opaque")
    }

    /// Four validators over this transport and for this workload.
    pub(crate) fn found_for(transport: &str, workload: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let genesis = at("genesis.toml");
        let mut args: Vec<String> = ["genesis", "new", "--workload", workload, "--out", &genesis]
            .map(str::to_owned)
            .to_vec();
        for n in 0..4 {
            let keys = at(&format!("validator-{n}"));
            done(&["keys", "new", "--out", &keys]);
            args.extend(["--validator".to_owned(), keys]);
        }
        for n in 0..HOSPITALS {
            let (keys, name) = (at(&format!("hospital-{n}")), format!("Hospital {n}"));
            done(&[
                "keys", "new", "--role", "hospital", "--name", &name, "--out", &keys,
            ]);
            args.extend(["--hospital".to_owned(), keys]);
        }
        let keys = at("reviewer");
        let made = done(&["keys", "new", "--role", "reviewer", "--out", &keys]);
        let made: PublicReviewer = toml::from_str(&made).expect("public parts");
        args.extend(["--reviewer".to_owned(), made.reviewer.key.to_hex()]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let chain = ChainId::from_hex(done(&args).trim()).expect("a chain id");
        let addresses: Vec<String> = (0..4)
            .map(|_| match (transport, free()) {
                ("quic", port) => format!("/ip4/127.0.0.1/udp/{port}/quic-v1"),
                (_, port) => format!("/ip4/127.0.0.1/tcp/{port}"),
            })
            .collect();
        let doors: Vec<SocketAddr> = (0..4)
            .map(|_| SocketAddr::from(([127, 0, 0, 1], free())))
            .collect();
        for (n, door) in doors.iter().enumerate() {
            let peers: String = (0..4)
                .filter(|peer| *peer != n)
                .map(|peer| format!("{peer} = ['{}']\n", addresses[peer]))
                .collect();
            let text = format!(
                "genesis = 'genesis.toml'\nkeys = 'validator-{n}'\ndata = 'data-{n}'\nlisten = ['{}']\n\
                 client_listen = '{door}'\nheartbeat_ms = 200\nstatus_every_ms = 50\njson = true\n[peers]\n{peers}",
                addresses[n]
            );
            std::fs::write(folder.path().join(format!("{n}.toml")), text).expect("writable");
        }
        Self {
            folder,
            doors,
            chain,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn settings(&self, n: usize) -> String {
        self.path(&format!("{n}.toml")).display().to_string()
    }

    /// Writes the settings of a fifth node, which the genesis does not know: its keys lie in `validator-4`. `more` are
    /// lines before the table of its peers.
    pub(crate) fn newcomer(&mut self, more: &str) {
        let keys = self.path("validator-4").display().to_string();
        done(&["keys", "new", "--out", &keys]);
        let door = SocketAddr::from(([127, 0, 0, 1], free()));
        let address = format!("/ip4/127.0.0.1/tcp/{}", free());
        let mut peers = String::new();
        for n in 0..4 {
            let path = self.settings(n);
            let text = std::fs::read_to_string(&path).expect("readable");
            let line = text.lines().find(|line| line.starts_with("listen = "));
            let listen = line.expect("it listens").trim_start_matches("listen = ");
            peers.push_str(&format!("{n} = {listen}\n"));
            let text =
                format!("{text}4 = ['{address}']\n[observers.newcomer]\nkeys = 'validator-4'\n");
            std::fs::write(&path, text).expect("writable");
        }
        let text = format!(
            "genesis = 'genesis.toml'\nkeys = 'validator-4'\ndata = 'data-4'\nlisten = ['{address}']\n\
             client_listen = '{door}'\nheartbeat_ms = 200\nstatus_every_ms = 50\njson = true\n{more}[peers]\n{peers}"
        );
        std::fs::write(self.settings(4), text).expect("writable");
        self.doors.push(door);
    }

    /// Starts a validator; it is not ready yet.
    pub(crate) fn start(&self, n: usize) -> Running {
        Running::spawn(program(&["node", "--config", &self.settings(n)]))
    }

    /// Starts all four and waits until each is ready.
    pub(crate) fn start_all(&self) -> Vec<Running> {
        let mut nodes: Vec<Running> = (0..4).map(|n| self.start(n)).collect();
        for node in &mut nodes {
            node.until("ready");
        }
        nodes
    }

    /// The key of a hospital.
    pub(crate) fn hospital(&self, n: usize) -> Arc<SigningKey> {
        let keys = HospitalKeys::load(&self.path(&format!("hospital-{n}"))).expect("keys");
        keys.identity().signing.clone()
    }

    /// A transaction that means nothing.
    pub(crate) fn transaction(&self, key: &SigningKey, sequence: u64) -> SignedTransaction {
        self.sign(key, sequence, TxBody::Opaque(vec![7; 300]))
    }

    /// A transaction.
    pub(crate) fn sign(&self, key: &SigningKey, sequence: u64, body: TxBody) -> SignedTransaction {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.expect("after 1970").as_millis();
        Transaction {
            chain: self.chain,
            signer: key.verifying_key(),
            sequence: Sequence(sequence),
            valid_until_ms: Millis(u64::try_from(now).expect("fits") + 3_600_000),
            body,
        }
        .sign(key)
    }

    /// A client of a node, as soon as it lets one in.
    pub(crate) async fn client(&self, n: usize) -> NodeClient {
        let deadline = Instant::now() + LONG;
        loop {
            match NodeClient::connect(self.doors[n]).await {
                Ok(client) => return client,
                Err(error) => assert!(Instant::now() < deadline, "validator {n}: {error}"),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Identifiers of all blocks of a node from the first to `to`.
    pub(crate) async fn blocks(&self, n: usize, to: Height) -> Vec<(Height, BlockId)> {
        let client = self.client(n).await;
        let mut blocks = Vec::new();
        while (blocks.len() as u64) < to.0 {
            let from = Height(blocks.len() as u64 + 1);
            let count = (to.0 - blocks.len() as u64).min(256) as u16;
            let more = client.chain(from, count, LONG).await.expect("an answer");
            assert!(!more.is_empty(), "validator {n} has no block {from}");
            blocks.extend(more);
        }
        blocks
    }
}

/// Waits for a status line with at least this height.
pub(crate) fn until_height(node: &mut Running, height: u64) {
    while crate::running::number(&node.until("status"), "height") < height {}
}

/// Runs a future on a runtime of its own.
pub(crate) fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(work)
}
