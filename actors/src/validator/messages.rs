//! What a validator is asked and told.

use crate::ports::names::ActorName;
use actix::Message;
use kithkin_protocol::consensus::{self, Outline};
use kithkin_protocol::emergency::{Case, ReviewTask};
use kithkin_protocol::ids::{AccountId, BlockId, CaseId, HospitalId, PatientId, TxId};
use kithkin_protocol::ledger::light::Step;
use kithkin_protocol::ledger::snapshot::StateSync;
use kithkin_protocol::ledger::{
    AdmissionError, BatchEntry, Event, HeadStatement, Patient, SequenceWindow, SignedTransaction,
    StateProof, TxProof,
};
use kithkin_protocol::units::{Height, Millis, Tier, View};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Validator -> Validator. A message of the consensus core.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Consensus(pub consensus::Message);

/// Validator -> Validator. Transactions that clients have handed in.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Gossip(pub Arc<Vec<SignedTransaction>>);

/// Validator -> Validator in another process. A proposal whose transactions the receiver has, as a rule.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Outlined(pub Outline);

/// Validator -> Validator in another process. "I lack these transactions of the block that you have outlined."
#[derive(Clone, Debug, PartialEq, Eq, Message, Serialize, Deserialize)]
#[rtype(result = "()")]
pub struct Lacking {
    /// The block.
    pub block: BlockId,
    /// Places in it, ascending.
    pub places: Vec<u32>,
}

/// Validator -> Validator in another process. The answer to [`Lacking`].
#[derive(Clone, Debug, PartialEq, Eq, Message, Serialize, Deserialize)]
#[rtype(result = "()")]
pub struct Supplied {
    /// The block.
    pub block: BlockId,
    /// In the order of the question.
    pub transactions: Vec<SignedTransaction>,
}

/// Validator -> Validator. About a snapshot of the state.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Snapshot(pub StateSync);

/// Leader -> its Validator. The transactions of the block that was ordered.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Assembled {
    /// The order's height.
    pub height: Height,
    /// The order's view.
    pub view: View,
    /// The order's: the block before, when the order came before that was final.
    pub ahead_of: Option<BlockId>,
    /// In the order of execution.
    pub transactions: Vec<SignedTransaction>,
}

/// Anyone -> Validator. Takes a transaction in and passes it on to the other validators.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<TxId, AdmissionError>")]
pub struct Submit(pub SignedTransaction);

/// Anyone -> Validator. Takes many transactions in and passes them on together. The answer has one entry for each, in
/// their order.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Vec<Result<TxId, AdmissionError>>")]
pub struct SubmitMany(pub Vec<SignedTransaction>);

/// Anyone -> Validator. The identifiers of final blocks from a height on, at most [`CHAIN_MAX`].
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Vec<(Height, BlockId)>, QueryError>")]
pub struct Chain {
    /// The first height.
    pub from: Height,
    /// How many.
    pub count: u16,
}

/// Most blocks in the answer to one [`Chain`].
pub const CHAIN_MAX: u16 = 256;

/// Anyone -> Validator. Waits until a transaction is final; the asker's time limit ends the wait.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Finalized, QueryError>")]
pub struct AwaitTx(pub TxId);

/// A final transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finalized {
    /// Where it stands, with proof.
    pub proof: TxProof,
    /// Why it had no effect, as this validator says; none when it had.
    pub rejected: Option<String>,
}

/// Anyone -> Validator. Where the chain stands, and the value of one entry of the state with proof.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Proved, QueryError>")]
pub struct Prove(pub Vec<u8>);

/// An entry of the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proved {
    /// The validator's word on its head.
    pub statement: HeadStatement,
    /// The entry, or its absence, under that head's root.
    pub proof: StateProof,
}

/// Anyone -> Validator. An entry of the present state, proved to whoever knows the genesis. Answered when the next block is
/// final: its header commits to that state.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<ProvedFinal, QueryError>")]
pub struct ProveFinal(pub Vec<u8>);

/// An entry of the state before a final block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProvedFinal {
    /// The block: a light client's last step.
    pub step: Step,
    /// The entry, or its absence, under the state root in the step's header.
    pub entry: StateProof,
}

/// Anyone -> Validator. The steps that a light client cannot leave out, ascending, as many as fit into
/// [`STEPS_BYTES_MAX`](kithkin_protocol::ledger::snapshot::STEPS_BYTES_MAX): those at which the validators change. None when the
/// validator knows of no later one.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Vec<Step>, QueryError>")]
pub struct LightSteps {
    /// Only steps above this height.
    pub after: Height,
}

/// Anyone -> Validator. A look at the state that proves nothing: good for finding what to have proved.
#[derive(Clone, Debug, Message, Serialize, Deserialize)]
#[rtype(result = "Result<Answer, QueryError>")]
pub enum Look {
    /// Used sequence numbers of an account.
    Sequences(AccountId),
    /// Cases that concern somebody and are live, or were closed lately; of a hospital's no judged ones.
    Cases(Concern),
    /// Batches of one patient and tier up to a height, oldest first.
    Batches(PatientId, Tier, Height),
    /// An enrolled patient.
    Patient(PatientId),
    /// One case.
    Case(CaseId),
    /// Where the chain stands.
    Head,
    /// Cases that wait for a verdict and that this reviewer may judge, the most urgent first.
    Reviews(AccountId),
}

/// The answer to a [`Look`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Look::Sequences`].
    Sequences(SequenceWindow),
    /// To [`Look::Cases`].
    Cases(Vec<Case>),
    /// To [`Look::Batches`]: each with its height and place in the block.
    Batches(Vec<((Height, u32), BatchEntry)>),
    /// To [`Look::Patient`].
    Patient(Option<Box<Patient>>),
    /// To [`Look::Case`].
    Case(Option<Box<Case>>),
    /// To [`Look::Head`]: height and block time.
    Head(Height, Millis),
    /// To [`Look::Reviews`].
    Reviews(Vec<ReviewTask>),
}

/// Whose events somebody follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Concern {
    /// Everything about one patient.
    Patient(PatientId),
    /// Every case of one hospital.
    Hospital(HospitalId),
}

/// Patient, FriendRelative, Hospital -> Validator. "Tell me what happens to these." Repeated from time to time,
/// because a restarted validator has forgotten.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Follow(pub Vec<Concern>);

/// Validator -> Patient, FriendRelative, Hospital. What a final block did, as far as the receiver follows it. A hint:
/// whoever acts on it asks for proof.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Notice(pub Arc<Vec<Event>>);

/// Why a validator does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum QueryError {
    /// Too many wait for transactions already.
    #[error("{name} has too many callers waiting; ask another validator or try again")]
    Busy {
        /// The validator.
        name: ActorName,
    },
    /// The validator began with a snapshot and does not have this block.
    #[error(
        "{name} does not have the block at height {height}: it began with a snapshot and has blocks from height {first} \
         on; ask another validator"
    )]
    Pruned {
        /// The validator.
        name: ActorName,
        /// What was asked for.
        height: Height,
        /// From here on it has all blocks.
        first: Height,
    },
    /// No audit bundle can be made.
    #[error("{name} can show nothing of it: {reason}")]
    Audit {
        /// The validator.
        name: ActorName,
        /// Why.
        reason: String,
    },
    /// The validator cannot read its own store.
    #[error("{name} cannot read its store: {reason}")]
    Store {
        /// The validator.
        name: ActorName,
        /// What the store says.
        reason: String,
    },
}
