//! What is said at a node's client door: frames of `wire`, each after its length (u32, big-endian).
//!
//! ```text
//! client -> node: GREETING, once
//! node -> client: Welcome, once
//! client -> node: Question, at any time, several under way
//! node -> client: Said: an answer carries its question's number; news comes without a question
//! ```
//!
//! Nothing here is secret, and nothing that a node says has to be believed: what counts is signed or proved
//! ([`crate::clients`]). Whoever reaches the door may submit transactions and read the ledger, so it listens on this
//! machine only unless the operator says otherwise.

use crate::validator::messages::{Answer, Finalized, Look, Proved, ProvedFinal, QueryError};
use kithkin_protocol::audit::Subject;
use kithkin_protocol::ids::{BlockId, ChainId, TxId, ValidatorId};
use kithkin_protocol::ledger::light::Step;
use kithkin_protocol::ledger::{AdmissionError, SignedTransaction};
use kithkin_protocol::units::{Height, Millis};
use kithkin_protocol::wire::{self, WireError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What a client says first: a connection that begins otherwise is closed at once.
pub const GREETING: [u8; 8] = *b"kithkin1";

/// Largest question in bytes.
pub const QUESTION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest answer in bytes.
pub const ANSWER_BYTES_MAX: usize = wire::FRAME_BYTES_MAX;
/// Longest key of an entry that may be asked for.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Most transactions in one question.
pub const SUBMIT_MAX: usize = 4_096;

/// The node's first words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The ledger.
    pub chain: ChainId,
    /// The validator that this node runs.
    pub validator: ValidatorId,
}

/// A numbered question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    /// Chosen by the client; the answer repeats it.
    pub number: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What a client may ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Take these transactions in, at most [`SUBMIT_MAX`].
    Submit(Vec<SignedTransaction>),
    /// Answer when a transaction is final, or the time is over.
    AwaitTx {
        /// Which one.
        id: TxId,
        /// How long to wait, in milliseconds; a minute at most.
        within: Millis,
    },
    /// An entry of the state with proof.
    Prove(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A look at the state.
    Look(Look),
    /// Identifiers of final blocks.
    Chain {
        /// The first height.
        from: Height,
        /// How many at most.
        count: u16,
    },
    /// Tell of every block that becomes final from now on.
    Follow,
    /// How the node is.
    Status,
    /// Steps of a light client after a height; see [`LightSteps`](crate::validator::messages::LightSteps).
    Steps(Height),
    /// An entry of the state, proved by the next block.
    ProveFinal(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Everything about a case or a patient; see [`ExportAudit`](crate::validator::ExportAudit).
    Audit(Subject),
}

/// What a node says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Said {
    /// The answer to a question.
    Reply {
        /// The question's number.
        number: u64,
        /// The answer.
        reply: Box<Reply>,
    },
    /// A block is final and durable.
    Final(#[serde(with = "shared")] Arc<Final>),
    /// So many blocks were not told of, because they were not read fast enough. Ask for the chain.
    Missed(u64),
}

/// A block that is final and durable at the node that says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Final {
    /// Its height.
    pub height: Height,
    /// Its identifier.
    pub block: BlockId,
    /// What stands in it, in order.
    pub transactions: Vec<TxId>,
}

/// Answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Ask::Submit`]: those that were refused, by their place in the question.
    Submitted(Vec<(u32, Refusal)>),
    /// To [`Ask::AwaitTx`].
    Final(Box<Finalized>),
    /// To [`Ask::Prove`].
    Proved(Proved),
    /// To [`Ask::Look`].
    Answer(Answer),
    /// To [`Ask::Chain`], ascending.
    Chain(Vec<(Height, BlockId)>),
    /// To [`Ask::Follow`].
    Following,
    /// To [`Ask::Status`].
    Status(NodeStatus),
    /// The validator refuses.
    Query(QueryError),
    /// The node refuses.
    Refused(DoorRefusal),
    /// To [`Ask::Steps`], ascending.
    Steps(Vec<Step>),
    /// To [`Ask::ProveFinal`].
    ProvedFinal(Box<ProvedFinal>),
    /// To [`Ask::Audit`]: a bundle.
    Audit(#[serde(with = "serde_bytes")] Vec<u8>),
}

/// Why a transaction is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// It waits already.
    #[error("it waits already")]
    Waiting,
    /// It is final already.
    #[error("it is final already")]
    Settled,
    /// Too many of its sender wait; send again when some are final.
    #[error("too many of its sender wait")]
    SenderFull,
    /// Too much waits; send again later.
    #[error("too many transactions wait")]
    PoolFull,
    /// No block may contain it.
    #[error("{reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
}

impl From<AdmissionError> for Refusal {
    fn from(error: AdmissionError) -> Self {
        match error {
            AdmissionError::Waiting => Self::Waiting,
            AdmissionError::Settled => Self::Settled,
            AdmissionError::SenderFull => Self::SenderFull,
            AdmissionError::PoolFull => Self::PoolFull,
            AdmissionError::Envelope(_)
            | AdmissionError::SequenceWaiting { .. }
            | AdmissionError::Unchecked => Self::Invalid {
                reason: error.to_string(),
            },
        }
    }
}

/// Why a node does not answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum DoorRefusal {
    /// More than [`SUBMIT_MAX`] transactions.
    #[error("more than {SUBMIT_MAX} transactions in one question")]
    TooMany,
    /// A key of more than [`KEY_BYTES_MAX`] bytes.
    #[error("no entry has a key of more than {KEY_BYTES_MAX} bytes")]
    KeyTooLong,
    /// The validator does not answer in time; what was asked may have been done.
    #[error("the validator did not answer in time")]
    Late,
    /// The validator is being started, or too many ask it.
    #[error("the validator cannot be asked at the moment")]
    Busy,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its validator.
    pub validator: ValidatorId,
    /// The height of its last final block.
    pub height: Height,
    /// The time of that block.
    pub time_ms: Millis,
    /// Who is master of the first view after it; none before the first block since the node was started.
    pub master: Option<ValidatorId>,
    /// The validators that it is connected with.
    pub connected: Vec<ValidatorId>,
}

/// A block's news are shared by all who are told.
mod shared {
    use super::{Arc, Deserialize, Final, Serialize};

    pub(super) fn serialize<S: serde::Serializer>(
        news: &Arc<Final>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        news.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<Final>, D::Error> {
        Final::deserialize(deserializer).map(Arc::new)
    }
}

/// Why the other side of the door is not understood.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The connection.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A frame longer than allowed.
    #[error("a frame of {bytes} bytes is announced; at most {limit} are allowed")]
    TooLong {
        /// What was announced.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A frame that cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Reads how long the next frame is, at most `limit` bytes; none at the end of the stream.
pub(super) async fn read_length(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<usize>, DoorError> {
    let mut head = [0; 4];
    match stream.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let bytes = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if bytes > limit {
        return Err(DoorError::TooLong { bytes, limit });
    }
    Ok(Some(bytes))
}

/// Reads a frame of this length.
pub(super) async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: usize,
) -> Result<Vec<u8>, DoorError> {
    let mut frame = Vec::new();
    // Grows with what arrives, not with what was announced.
    stream.take(bytes as u64).read_to_end(&mut frame).await?;
    if frame.len() != bytes {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(frame)
}

/// Reads one value; none at the end of the stream.
pub(super) async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<T>, DoorError> {
    let Some(bytes) = read_length(stream, limit).await? else {
        return Ok(None);
    };
    let frame = read_frame(stream, bytes).await?;
    Ok(Some(wire::decode_bounded(&frame, limit)?))
}

/// Adds one value to what is to be written.
pub(super) fn put<T: Serialize>(buffer: &mut Vec<u8>, value: &T) {
    let frame = wire::encode(value);
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(&frame);
}

/// Writes one value.
pub(super) async fn write<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    value: &T,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    put(&mut buffer, value);
    stream.write_all(&buffer).await
}
