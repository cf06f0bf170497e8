//! The client door of a node: who may come in, how much they may ask, and who answers.
//!
//! Bounds: [`GREETING_MAX`] connections that have not greeted, each for two seconds, the oldest going first;
//! [`Limits::clients_max`] clients; of each client one question being read, [`UNDER_WAY_MAX`] being answered and as many
//! answers to be written; of large questions [`LARGE_BYTES_MAX`] in all. A client that asks faster than it is answered, or
//! than [`QUESTIONS_PER_S`], is read more slowly: TCP passes that on. One that does not read its answers, does not end a
//! question that it has begun, or has long had nothing to do here, is closed.

use super::protocol::{
    self, Ask, DoorError, DoorRefusal, Final, GREETING, KEY_BYTES_MAX, NodeStatus,
    QUESTION_BYTES_MAX, Question, Refusal, Reply, SUBMIT_MAX, Said, Welcome,
};
use super::seats::Seats;
use crate::limits::Limits;
use crate::pace::Pace;
use crate::ports::names::ActorName;
use crate::ports::network::{AskErrorKind, Delivered, Port};
use crate::validator::messages::{
    Answer, AwaitTx, Chain, LightSteps, Look, Prove, ProveFinal, SubmitMany,
};
use crate::validator::{ExportAudit, ExportRoom, OFFENCES_MAX, Party, Validator, judge};
use actix::{Handler, Message};
use kithkin_protocol::ids::{ChainId, ValidatorId};
use kithkin_protocol::ledger::{AdmissionError, SignedTransaction};
use kithkin_protocol::units::Millis;
use kithkin_protocol::wire;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Most connections that have not greeted yet.
pub const GREETING_MAX: usize = 256;
/// Most questions of one client that are being answered.
pub const UNDER_WAY_MAX: usize = 64;
/// Questions a second that one client may ask; as many at once after a pause.
pub const QUESTIONS_PER_S: u32 = 20_000;
/// Questions of more bytes than this are large.
const LARGE: usize = 64 * 1024;
/// Most bytes of large questions, of all clients together, that are being read or answered; more wait for their turn.
pub const LARGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of one permit of [`LARGE_BYTES_MAX`].
const PERMIT_BYTES: usize = 1_024;
/// How long a client may take to end a question that it has begun.
const QUESTION_WITHIN: Duration = Duration::from_secs(10);
/// How much later a client is listened to again for each transaction that nobody honest hands in, up to a limit.
const PER_OFFENCE: Duration = Duration::from_millis(10);
const OFFENCES_PAID_MAX: u32 = 100;
/// How long a connection may take to greet.
const GREETING_WITHIN: Duration = Duration::from_secs(2);
/// How long the validator may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long the validator may take to put an audit bundle together.
const AUDIT_WITHIN: Duration = Duration::from_secs(120);
/// Most proofs of light clients, of some 256 KiB each, that are being made or written for all clients together; more
/// wait for their turn.
const PROOFS_MAX: usize = 64;
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
    pub(super) limits: Limits,
    /// Room for large questions.
    pub(super) large: Arc<Semaphore>,
    /// Room for the proofs of light clients.
    pub(super) proofs: Arc<Semaphore>,
    /// Room for audit bundles that are being made.
    pub(super) exports: ExportRoom,
}

/// Room for large questions, all of it free.
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(LARGE_BYTES_MAX / PERMIT_BYTES))
}

/// Room for the proofs of light clients, all of it free.
pub(super) fn proof_room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PROOFS_MAX))
}

/// How much of [`PROOFS_MAX`] the answer to a question takes up until it is written.
fn proofs(ask: &Ask) -> u32 {
    match ask {
        // Up to `STEPS_BYTES_MAX`.
        Ask::Steps(_) => 8,
        // Up to `AUDIT_BYTES_MAX`, and blocks are read for it.
        Ask::Audit(_) => 32,
        Ask::ProveFinal(_) => 1,
        Ask::Submit(_)
        | Ask::AwaitTx { .. }
        | Ask::Prove(_)
        | Ask::Look(_)
        | Ask::Chain { .. }
        | Ask::Follow
        | Ask::Status => 0,
    }
}

/// What is to be written, and the room that it takes up until then.
type Saying = (Said, Option<OwnedSemaphorePermit>);

/// Lets clients in until it is dropped.
pub(super) async fn open(listener: TcpListener, house: House) {
    let seats = Seats::new(
        house.limits.clients_max,
        house.limits.clients_per_address_max,
    );
    let mut greeting: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others must go first.
                tracing::warn!(%error, "the client door cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if greeting.len() >= GREETING_MAX {
            greeting.retain(|waiting| !waiting.is_finished());
        }
        // Who greets does it at once: the one that has said nothing for longest makes room.
        while greeting.len() >= GREETING_MAX {
            if let Some(oldest) = greeting.pop_front() {
                oldest.abort();
            }
        }
        let (house, seats) = (house.clone(), seats.clone());
        let greets = tokio::spawn(async move {
            let Some(stream) = greeted(stream).await else {
                return;
            };
            let Some(seat) = seats.take(from.ip()) else {
                return;
            };
            // A task of its own: this one may be ended at any time.
            tokio::spawn(async move {
                if let Err(error) = serve(stream, house).await {
                    tracing::debug!(%error, "a client has left");
                }
                drop(seat);
            });
        });
        greeting.push_back(greets.abort_handle());
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

async fn write_answers(mut stream: OwnedWriteHalf, mut said: mpsc::Receiver<Saying>) {
    let mut buffer = Vec::new();
    while let Some((next, room)) = said.recv().await {
        let mut rooms = vec![room];
        protocol::put(&mut buffer, &next);
        while buffer.len() < 64 * 1024 {
            let Ok((next, room)) = said.try_recv() else {
                break;
            };
            rooms.push(room);
            protocol::put(&mut buffer, &next);
        }
        let written = timeout(WRITE_WITHIN, stream.write_all(&buffer)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
        drop(rooms);
        buffer.clear();
        // A large answer is no reason to keep a large buffer.
        buffer.shrink_to(128 * 1024);
    }
}

/// Waits until the client asks something; false when it has left, or has had nothing to do here for too long.
async fn asks(
    stream: &mut (impl AsyncBufRead + Unpin),
    idle: Duration,
    is_busy: impl Fn() -> bool,
) -> Result<bool, DoorError> {
    loop {
        match timeout(idle, stream.fill_buf()).await {
            Ok(begun) => return Ok(!begun?.is_empty()),
            Err(_) if is_busy() => {}
            Err(_) => return Ok(false),
        }
    }
}

/// Reads a question that has begun, and the room that it takes up until it is answered.
async fn read_question(
    stream: &mut (impl AsyncBufRead + Unpin),
    house: &House,
) -> Result<Option<(Question, Option<OwnedSemaphorePermit>)>, DoorError> {
    let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    let length = protocol::read_length(stream, QUESTION_BYTES_MAX);
    let Some(bytes) = timeout(QUESTION_WITHIN, length).await.map_err(late)?? else {
        return Ok(None);
    };
    let room = if bytes > LARGE {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        // Never closed.
        house.large.clone().acquire_many_owned(permits).await.ok()
    } else {
        None
    };
    let frame = protocol::read_frame(stream, bytes);
    let frame = timeout(QUESTION_WITHIN, frame).await.map_err(late)??;
    Ok(Some((
        wire::decode_bounded(&frame, QUESTION_BYTES_MAX)?,
        room,
    )))
}

async fn read_questions(
    mut stream: impl AsyncBufRead + Unpin,
    house: House,
    say: mpsc::Sender<Saying>,
) -> Result<(), DoorError> {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut pace = Pace::new(QUESTIONS_PER_S, QUESTIONS_PER_S);
    let idle = Duration::from_secs(house.limits.client_idle_s_max);
    let mut following = false;
    loop {
        let is_busy = || following || under_way.available_permits() < UNDER_WAY_MAX;
        if !asks(&mut stream, idle, is_busy).await? {
            return Ok(());
        }
        let Some((Question { number, ask }, _room)) = read_question(&mut stream, &house).await?
        else {
            return Ok(());
        };
        pace.wait(1).await;
        let reply = match ask {
            // In order, one after the other: a client that submits faster than the validator admits waits.
            Ask::Submit(transactions) => {
                let (reply, offences) = house.submit(transactions).await;
                if offences > 0 {
                    // Checking rubbish costs the node: it costs the client as well.
                    tokio::time::sleep(PER_OFFENCE * offences.min(OFFENCES_PAID_MAX)).await;
                }
                reply
            }
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
                    let answer = async {
                        let room = match proofs(&ask) {
                            0 => None,
                            // Never closed.
                            count => house.proofs.clone().acquire_many_owned(count).await.ok(),
                        };
                        (Box::new(house.answer(ask).await), room)
                    };
                    let (reply, room) = tokio::select! {
                        answer = answer => answer,
                        () = say.closed() => return,
                    };
                    // Gone meanwhile, in the worst case.
                    let _ = say.send((Said::Reply { number, reply }, room)).await;
                    drop(place);
                });
                continue;
            }
        };
        let reply = Box::new(reply);
        let said = Said::Reply { number, reply };
        if say.send((said, None)).await.is_err() {
            return Ok(());
        }
    }
}

async fn tell_news(mut news: broadcast::Receiver<Arc<Final>>, say: mpsc::Sender<Saying>) {
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
        if say.send((said, None)).await.is_err() {
            return;
        }
    }
}

impl House {
    /// The answer, and how many of the transactions nobody honest hands in.
    async fn submit(&self, mut transactions: Vec<SignedTransaction>) -> (Reply, u32) {
        if transactions.len() > SUBMIT_MAX {
            return (Reply::Refused(DoorRefusal::TooMany), 1);
        }
        let all = transactions.len();
        let judged = judge(&transactions, OFFENCES_MAX, Party::Client).await;
        transactions.truncate(judged.count);
        let answers = match self.ask(SubmitMany(transactions), ANSWER_WITHIN).await {
            Ok(answers) => answers,
            Err(refusal) => return (Reply::Refused(refusal), offences(judged.bad)),
        };
        let (mut refused, mut found) = (Vec::new(), 0);
        for (place, answer) in (0..).zip(answers) {
            if let Err(error) = answer {
                found += usize::from(error.is_offence());
                refused.push((place, Refusal::from(error)));
            }
        }
        for place in judged.count..all {
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            refused.push((place, Refusal::from(AdmissionError::Unchecked)));
        }
        (Reply::Submitted(refused), offences(found.max(judged.bad)))
    }

    async fn answer(&self, ask: Ask) -> Reply {
        match ask {
            Ask::AwaitTx { id, within } => {
                let within = Duration::from_millis(within.0.min(AWAIT_MS_MAX));
                self.query(AwaitTx(id), within, |last| Reply::Final(Box::new(last)))
                    .await
            }
            Ask::Prove(key) | Ask::ProveFinal(key) if key.len() > KEY_BYTES_MAX => {
                Reply::Refused(DoorRefusal::KeyTooLong)
            }
            Ask::Prove(key) => self.query(Prove(key), ANSWER_WITHIN, Reply::Proved).await,
            Ask::ProveFinal(key) => {
                self.query(ProveFinal(key), ANSWER_WITHIN, |proved| {
                    Reply::ProvedFinal(Box::new(proved))
                })
                .await
            }
            Ask::Audit(subject) => {
                // Held until the answer is here, or nobody waits for it any more.
                let Some((place, _asker)) = self.exports.enter().await else {
                    return Reply::Refused(DoorRefusal::Busy);
                };
                let export = ExportAudit { subject, place };
                self.query(export, AUDIT_WITHIN, Reply::Audit).await
            }
            Ask::Steps(after) => {
                self.query(LightSteps { after }, ANSWER_WITHIN, Reply::Steps)
                    .await
            }
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

fn offences(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Used by clients to name how long they wait.
pub(super) fn millis(time: Duration) -> Millis {
    Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
