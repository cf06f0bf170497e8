//! The client door of a node: who may come in, how much they may ask, and who answers.
//!
//! Bounds: [`GREETING_MAX`] connections that have not greeted, each for two seconds; [`CLIENTS_MAX`] clients; of each
//! client one question being read, [`UNDER_WAY_MAX`] being answered and as many answers to be written. A client that
//! asks faster than it is answered, or than [`QUESTIONS_PER_S`], is read more slowly: TCP passes that on. One that does
//! not read its answers is closed.

use super::protocol::{
    self, Ask, DoorError, DoorRefusal, Final, GREETING, NodeStatus, QUESTION_BYTES_MAX, Question,
    Refusal, Reply, SUBMIT_MAX, Said, Welcome,
};
use crate::ports::names::ActorName;
use crate::ports::network::{AskErrorKind, Delivered, Port};
use crate::validator::messages::{Answer, AwaitTx, Chain, Look, Prove, SubmitMany};
use crate::validator::{Validator, judge};
use actix::{Handler, Message};
use kithkin_protocol::ids::{ChainId, ValidatorId};
use kithkin_protocol::units::Millis;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::time::timeout;

/// Most connections that have not greeted yet.
pub const GREETING_MAX: usize = 256;
/// Most clients at a time.
pub const CLIENTS_MAX: usize = 64;
/// Most questions of one client that are being answered.
pub const UNDER_WAY_MAX: usize = 64;
/// Questions a second that one client may ask; as many at once after a pause.
pub const QUESTIONS_PER_S: u32 = 20_000;
/// How long a connection may take to greet.
const GREETING_WITHIN: Duration = Duration::from_secs(2);
/// How long the validator may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Longest wait for a transaction.
const AWAIT_MS_MAX: u64 = 60_000;
/// How long a client may take to read an answer.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// Blocks that a client may lag behind before it misses some.
pub(super) const NEWS_KEPT: usize = 256;

/// What the door knows of its node.
#[derive(Clone)]
pub(super) struct House {
    pub(super) chain: ChainId,
    pub(super) me: ValidatorId,
    pub(super) port: Port,
    pub(super) news: broadcast::Sender<Arc<Final>>,
    pub(super) master: watch::Receiver<Option<ValidatorId>>,
    pub(super) connected: watch::Receiver<std::collections::BTreeMap<ValidatorId, libp2p::PeerId>>,
}

/// Lets clients in until it is dropped.
pub(super) async fn open(listener: TcpListener, house: House) {
    let (greeting, clients) = (
        Arc::new(Semaphore::new(GREETING_MAX)),
        Arc::new(Semaphore::new(CLIENTS_MAX)),
    );
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: others must go first.
                tracing::warn!(%error, "the client door cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(greets) = greeting.clone().try_acquire_owned() else {
            continue;
        };
        let (house, clients) = (house.clone(), clients.clone());
        tokio::spawn(async move {
            let Some(stream) = greeted(stream).await else {
                return;
            };
            let Ok(_client) = clients.try_acquire_owned() else {
                return;
            };
            drop(greets);
            if let Err(error) = serve(stream, house).await {
                tracing::debug!(%error, "a client has left");
            }
        });
    }
}

async fn greeted(mut stream: TcpStream) -> Option<TcpStream> {
    let mut word = [0; GREETING.len()];
    let read = timeout(GREETING_WITHIN, stream.read_exact(&mut word)).await;
    let right = matches!(read, Ok(Ok(_))) && word == GREETING;
    right.then_some(stream)
}

async fn serve(stream: TcpStream, house: House) -> Result<(), DoorError> {
    stream.set_nodelay(true)?;
    let (reading, mut writing) = stream.into_split();
    let welcome = Welcome {
        chain: house.chain,
        validator: house.me,
    };
    protocol::write(&mut writing, &welcome).await?;
    let (say, said) = mpsc::channel(UNDER_WAY_MAX);
    let mut writer = tokio::spawn(write_answers(writing, said));
    let read = read_questions(BufReader::with_capacity(64 * 1024, reading), house, say);
    let done = tokio::select! {
        done = read => done,
        // It does not read its answers, or is gone.
        _ = &mut writer => Ok(()),
    };
    writer.abort();
    done
}

async fn write_answers(mut stream: OwnedWriteHalf, mut said: mpsc::Receiver<Said>) {
    let mut buffer = Vec::new();
    while let Some(next) = said.recv().await {
        protocol::put(&mut buffer, &next);
        while buffer.len() < 64 * 1024 {
            match said.try_recv() {
                Ok(next) => protocol::put(&mut buffer, &next),
                Err(_) => break,
            }
        }
        let written = timeout(WRITE_WITHIN, stream.write_all(&buffer)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
        buffer.clear();
        // A large answer is no reason to keep a large buffer.
        buffer.shrink_to(128 * 1024);
    }
}

async fn read_questions(
    mut stream: impl tokio::io::AsyncRead + Unpin,
    house: House,
    say: mpsc::Sender<Said>,
) -> Result<(), DoorError> {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut pace = Pace::new();
    let mut following = false;
    loop {
        let Some(Question { number, ask }) =
            protocol::read(&mut stream, QUESTION_BYTES_MAX).await?
        else {
            return Ok(());
        };
        pace.wait().await;
        let reply = match ask {
            // In order, one after the other: a client that submits faster than the validator admits waits.
            Ask::Submit(transactions) => house.submit(transactions).await,
            Ask::Follow => {
                if !std::mem::replace(&mut following, true) {
                    tokio::spawn(tell_news(house.news.subscribe(), say.clone()));
                }
                Reply::Following
            }
            ask => {
                let Ok(place) = under_way.clone().acquire_owned().await else {
                    return Ok(());
                };
                let (house, say) = (house.clone(), say.clone());
                tokio::spawn(async move {
                    let reply = tokio::select! {
                        reply = house.answer(ask) => Box::new(reply),
                        () = say.closed() => return,
                    };
                    // Gone meanwhile, in the worst case.
                    let _ = say.send(Said::Reply { number, reply }).await;
                    drop(place);
                });
                continue;
            }
        };
        let reply = Box::new(reply);
        if say.send(Said::Reply { number, reply }).await.is_err() {
            return Ok(());
        }
    }
}

async fn tell_news(mut news: broadcast::Receiver<Arc<Final>>, say: mpsc::Sender<Said>) {
    loop {
        let next = tokio::select! {
            next = news.recv() => next,
            () = say.closed() => return,
        };
        let said = match next {
            Ok(block) => Said::Final(block),
            Err(broadcast::error::RecvError::Lagged(missed)) => Said::Missed(missed),
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if say.send(said).await.is_err() {
            return;
        }
    }
}

impl House {
    async fn submit(
        &self,
        transactions: Vec<kithkin_protocol::ledger::SignedTransaction>,
    ) -> Reply {
        if transactions.len() > SUBMIT_MAX {
            return Reply::Refused(DoorRefusal::TooMany);
        }
        judge(transactions.clone()).await;
        match self.ask(SubmitMany(transactions), ANSWER_WITHIN).await {
            Ok(answers) => Reply::Submitted(
                (0..)
                    .zip(answers)
                    .filter_map(|(place, answer)| Some((place, Refusal::from(answer.err()?))))
                    .collect(),
            ),
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    async fn answer(&self, ask: Ask) -> Reply {
        match ask {
            Ask::AwaitTx { id, within } => {
                let within = Duration::from_millis(within.0.min(AWAIT_MS_MAX));
                self.query(AwaitTx(id), within, |last| Reply::Final(Box::new(last)))
                    .await
            }
            Ask::Prove(key) => self.query(Prove(key), ANSWER_WITHIN, Reply::Proved).await,
            Ask::Look(look) => self.query(look, ANSWER_WITHIN, Reply::Answer).await,
            Ask::Chain { from, count } => {
                self.query(Chain { from, count }, ANSWER_WITHIN, Reply::Chain)
                    .await
            }
            Ask::Status => {
                self.query(Look::Head, ANSWER_WITHIN, |head| self.status(&head))
                    .await
            }
            // Answered where they are read.
            Ask::Submit(_) | Ask::Follow => Reply::Refused(DoorRefusal::Busy),
        }
    }

    fn status(&self, head: &Answer) -> Reply {
        let (height, time_ms) = match head {
            Answer::Head(height, time_ms) => (*height, *time_ms),
            _ => return Reply::Refused(DoorRefusal::Busy),
        };
        let connected = self.connected.borrow().keys().copied().collect();
        Reply::Status(NodeStatus {
            validator: self.me,
            height,
            time_ms,
            master: *self.master.borrow(),
            connected,
        })
    }

    async fn query<M, T>(
        &self,
        message: M,
        within: Duration,
        reply: impl FnOnce(T) -> Reply,
    ) -> Reply
    where
        M: Message<Result = Result<T, crate::validator::messages::QueryError>> + Send + 'static,
        T: Send + 'static,
        Validator: Handler<Delivered<M>>,
    {
        match self.ask(message, within).await {
            Ok(Ok(answer)) => reply(answer),
            Ok(Err(error)) => Reply::Query(error),
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    async fn ask<M>(&self, message: M, within: Duration) -> Result<M::Result, DoorRefusal>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Validator: Handler<Delivered<M>>,
    {
        let to = ActorName::Validator(self.me.0);
        let asked = self.port.ask::<Validator, M>(to, message, within).await;
        asked.map_err(|error| match error.kind {
            AskErrorKind::Timeout | AskErrorKind::Closed => DoorRefusal::Late,
            AskErrorKind::NoAddress | AskErrorKind::Full | AskErrorKind::Fenced => {
                DoorRefusal::Busy
            }
        })
    }
}

/// Holds a client to [`QUESTIONS_PER_S`].
struct Pace {
    /// Questions that may be asked at once.
    left: f64,
    since: Instant,
}

impl Pace {
    fn new() -> Self {
        Self {
            left: f64::from(QUESTIONS_PER_S),
            since: Instant::now(),
        }
    }

    async fn wait(&mut self) {
        let most = f64::from(QUESTIONS_PER_S);
        let now = Instant::now();
        self.left = (self.left + (now - self.since).as_secs_f64() * most).min(most) - 1.0;
        self.since = now;
        if self.left < 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(-self.left / most)).await;
        }
    }
}

/// Used by clients to name how long they wait.
pub(super) fn millis(time: Duration) -> Millis {
    Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
