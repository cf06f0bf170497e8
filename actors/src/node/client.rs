//! A client of a node's door: questions from any task, answers in any order.
//!
//! It believes what the node says. Who must not, verifies the proofs that come with the answers ([`super::light`], [`crate::clients`]).

use super::door::millis;
use super::protocol::{
    self, ANSWER_BYTES_MAX, Ask, DoorError, DoorRefusal, Final, GREETING, NodeStatus, Question,
    Refusal, Reply, Said, Welcome,
};
use crate::validator::messages::{Answer, Finalized, Look, Proved, ProvedFinal, QueryError};
use kithkin_protocol::audit::Subject;
use kithkin_protocol::credit::Standings;
use kithkin_protocol::ids::{BlockId, TxId};
use kithkin_protocol::ledger::light::Step;
use kithkin_protocol::ledger::{SignedTransaction, State};
use kithkin_protocol::units::Height;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Questions that may wait to be written.
const QUEUE: usize = 64;
/// How long a node may take to take a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Why a node gave no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientFailure {
    /// The connection.
    #[error("no connection to the node at {address}: {reason}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: DoorError,
    },
    /// The connection has ended, so no answer will come; what was asked may have been done.
    #[error("the connection to the node has ended")]
    Closed,
    /// No answer in time.
    #[error("the node did not answer in time")]
    Late,
    /// The validator refuses.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The node refuses.
    #[error(transparent)]
    Refused(#[from] DoorRefusal),
    /// An answer to another question.
    #[error("the node answers something else")]
    Other,
    /// An entry of the state whose proof does not lead to the root that the node states, or that cannot be read.
    #[error("the node does not prove the entry of its state that was asked for")]
    Unproved,
}

/// News of a followed node.
#[derive(Clone, Debug)]
pub enum News {
    /// A block is final and durable there.
    Final(Arc<Final>),
    /// So many blocks were not told of.
    Missed(u64),
}

type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Reply>>>>>;

/// A connection to one node. Dropping it closes the connection.
pub struct NodeClient {
    welcome: Welcome,
    numbers: AtomicU64,
    waiting: Waiting,
    ask: mpsc::Sender<Vec<u8>>,
    news: Mutex<Option<mpsc::UnboundedReceiver<News>>>,
    tasks: [JoinHandle<()>; 2],
}

impl NodeClient {
    /// Connects. The tasks of the connection run on this tokio runtime.
    ///
    /// # Errors
    /// [`ClientFailure::Connect`].
    pub async fn connect(address: SocketAddr) -> Result<Self, ClientFailure> {
        let fail = |reason: DoorError| ClientFailure::Connect { address, reason };
        let greet = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            stream.write_all(&GREETING).await?;
            let (reading, writing) = stream.into_split();
            let mut reading = BufReader::with_capacity(64 * 1024, reading);
            let welcome = protocol::read(&mut reading, 4_096).await?;
            let welcome: Welcome = welcome
                .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionRefused))?;
            Ok((welcome, reading, writing))
        };
        let greeted = timeout(CONNECT_WITHIN, greet).await;
        let late = || std::io::Error::from(std::io::ErrorKind::TimedOut).into();
        let (welcome, mut reading, mut writing) =
            greeted.unwrap_or_else(|_| Err(late())).map_err(fail)?;
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let (ask, mut asked) = mpsc::channel::<Vec<u8>>(QUEUE);
        let (tell, news) = mpsc::unbounded_channel();
        let writer = tokio::spawn(async move {
            while let Some(mut bytes) = asked.recv().await {
                while bytes.len() < 64 * 1024 {
                    match asked.try_recv() {
                        Ok(more) => bytes.extend_from_slice(&more),
                        Err(_) => break,
                    }
                }
                if writing.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        let answered = waiting.clone();
        let reader = tokio::spawn(async move {
            while let Ok(Some(said)) = protocol::read::<Said>(&mut reading, ANSWER_BYTES_MAX).await
            {
                match said {
                    Said::Reply { number, reply } => {
                        let asker = lock(&answered).as_mut().and_then(|all| all.remove(&number));
                        if let Some(asker) = asker {
                            // It has given up waiting, in the worst case.
                            let _ = asker.send(*reply);
                        }
                    }
                    // Nobody follows, or nobody listens any more.
                    Said::Final(block) => drop(tell.send(News::Final(block))),
                    Said::Missed(count) => drop(tell.send(News::Missed(count))),
                }
            }
            // Whoever waits learns that no answer will come.
            lock(&answered).take();
        });
        Ok(Self {
            welcome,
            numbers: AtomicU64::new(0),
            waiting,
            ask,
            news: Mutex::new(Some(news)),
            tasks: [writer, reader],
        })
    }

    /// Ledger and validator of the node.
    #[must_use]
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Asks anything.
    ///
    /// # Errors
    /// [`ClientFailure::Closed`], [`ClientFailure::Late`], [`ClientFailure::Query`], [`ClientFailure::Refused`].
    pub async fn ask(&self, ask: Ask, within: Duration) -> Result<Reply, ClientFailure> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut bytes = Vec::new();
        protocol::put(&mut bytes, &Question { number, ask });
        let (answer, answered) = oneshot::channel();
        match lock(&self.waiting).as_mut() {
            Some(waiting) => drop(waiting.insert(number, answer)),
            None => return Err(ClientFailure::Closed),
        }
        let asked = async {
            if self.ask.send(bytes).await.is_err() {
                return Err(ClientFailure::Closed);
            }
            answered.await.map_err(|_| ClientFailure::Closed)
        };
        let done = timeout(within, asked).await;
        if let Some(waiting) = lock(&self.waiting).as_mut() {
            waiting.remove(&number);
        }
        match done.unwrap_or(Err(ClientFailure::Late))? {
            Reply::Query(error) => Err(error.into()),
            Reply::Refused(refusal) => Err(refusal.into()),
            reply => Ok(reply),
        }
    }

    /// Hands transactions in; answers those that were refused, by their place. At most
    /// [`protocol::SUBMIT_MAX`] at a time.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn submit_many(
        &self,
        transactions: Vec<SignedTransaction>,
        within: Duration,
    ) -> Result<Vec<(u32, Refusal)>, ClientFailure> {
        match self.ask(Ask::Submit(transactions), within).await? {
            Reply::Submitted(refused) => Ok(refused),
            _ => Err(ClientFailure::Other),
        }
    }

    /// Waits until a transaction is final.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn await_tx(&self, id: TxId, within: Duration) -> Result<Finalized, ClientFailure> {
        let ask = Ask::AwaitTx {
            id,
            within: millis(within),
        };
        match self.ask(ask, within).await? {
            Reply::Final(finalized) => Ok(*finalized),
            _ => Err(ClientFailure::Other),
        }
    }

    /// An entry of the state with proof.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn prove(&self, key: Vec<u8>, within: Duration) -> Result<Proved, ClientFailure> {
        match self.ask(Ask::Prove(key), within).await? {
            Reply::Proved(proved) => Ok(proved),
            _ => Err(ClientFailure::Other),
        }
    }

    /// An entry of the state at the node's head; none when there is none. The proof fits the root that the node states; the
    /// root is its word.
    ///
    /// # Errors
    /// As [`Self::ask`], and [`ClientFailure::Unproved`].
    pub async fn entry<T: DeserializeOwned>(
        &self,
        key: Vec<u8>,
        within: Duration,
    ) -> Result<Option<T>, ClientFailure> {
        let Proved { statement, proof } = self.prove(key.clone(), within).await?;
        if proof.key != key || proof.verify(&statement.state_root).is_err() {
            return Err(ClientFailure::Unproved);
        }
        let value = proof.value.map(|value| State::decode_value(&value));
        let value = value.transpose();
        value.map_err(|_| ClientFailure::Unproved)
    }

    /// Who the validators are, what is decided of them, and their credit, at the node's head.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub async fn standings(&self, within: Duration) -> Result<Standings, ClientFailure> {
        let entry = self.entry(State::standings_key(), within).await?;
        entry.ok_or(ClientFailure::Unproved)
    }

    /// An entry of the state with the block that commits to it. It waits for the next block.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn prove_final(
        &self,
        key: Vec<u8>,
        within: Duration,
    ) -> Result<ProvedFinal, ClientFailure> {
        match self.ask(Ask::ProveFinal(key), within).await? {
            Reply::ProvedFinal(proved) => Ok(*proved),
            _ => Err(ClientFailure::Other),
        }
    }

    /// The next steps of a light client after a height; none when the node knows of no later change of the validators.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn steps(&self, after: Height, within: Duration) -> Result<Vec<Step>, ClientFailure> {
        match self.ask(Ask::Steps(after), within).await? {
            Reply::Steps(steps) => Ok(steps),
            _ => Err(ClientFailure::Other),
        }
    }

    /// An audit bundle without attachments. It waits for the next block. Nothing of it has been verified.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn audit(
        &self,
        subject: Subject,
        within: Duration,
    ) -> Result<Vec<u8>, ClientFailure> {
        match self.ask(Ask::Audit(subject), within).await? {
            Reply::Audit(bytes) => Ok(bytes),
            _ => Err(ClientFailure::Other),
        }
    }

    /// A look at the state.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn look(&self, look: Look, within: Duration) -> Result<Answer, ClientFailure> {
        match self.ask(Ask::Look(look), within).await? {
            Reply::Answer(answer) => Ok(answer),
            _ => Err(ClientFailure::Other),
        }
    }

    /// Identifiers of final blocks from a height on.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn chain(
        &self,
        from: Height,
        count: u16,
        within: Duration,
    ) -> Result<Vec<(Height, BlockId)>, ClientFailure> {
        match self.ask(Ask::Chain { from, count }, within).await? {
            Reply::Chain(ids) => Ok(ids),
            _ => Err(ClientFailure::Other),
        }
    }

    /// How the node is.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn status(&self, within: Duration) -> Result<NodeStatus, ClientFailure> {
        match self.ask(Ask::Status, within).await? {
            Reply::Status(status) => Ok(status),
            _ => Err(ClientFailure::Other),
        }
    }

    /// Every block that becomes final there from now on. Once per client; later calls get a channel that says nothing.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn follow(
        &self,
        within: Duration,
    ) -> Result<mpsc::UnboundedReceiver<News>, ClientFailure> {
        match self.ask(Ask::Follow, within).await? {
            Reply::Following => {
                let news = lock(&self.news).take();
                Ok(news.unwrap_or_else(|| mpsc::unbounded_channel().1))
            }
            _ => Err(ClientFailure::Other),
        }
    }
}

impl Drop for NodeClient {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// None of these locks guards a state that a panic could leave half changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
