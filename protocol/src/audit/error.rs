//! What can be wrong with a bundle: each error names the part that does not hold.

use super::bundle::BundleError;
use crate::ids::{AccountId, CaseId, HospitalId, KinId, PatientId};
use crate::ledger::light::LightError;
use crate::ledger::{Epochs, GenesisError, Rejection};
use crate::units::{Height, Millis};
use crate::wire::WireError;

/// One entry of the state that a bundle proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Where the chain stands.
    Ledger,
    /// The patient.
    Patient(PatientId),
    /// Rosters and rules of epochs in which a case was opened.
    Roster(Epochs),
    /// A case.
    Case(CaseId),
    /// A hospital.
    Hospital(HospitalId),
    /// A reviewer.
    Reviewer(AccountId),
    /// Who vouched for a clinician.
    Issuer(AccountId),
    /// What is kept about accreditation as a whole.
    Register,
    /// A batch that a case shows.
    Batch {
        /// The case.
        case: CaseId,
        /// Its number in the case's list, from 1.
        number: usize,
    },
}

impl core::fmt::Display for Part {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ledger => f.write_str("where the chain stands"),
            Self::Patient(id) => write!(f, "patient {id}"),
            Self::Roster(epoch) => write!(f, "the roster of epoch {epoch}"),
            Self::Case(id) => write!(f, "case {id}"),
            Self::Hospital(id) => write!(f, "hospital {id}"),
            Self::Reviewer(id) => write!(f, "reviewer {id}"),
            Self::Issuer(id) => write!(f, "issuer {id}"),
            Self::Register => f.write_str("the register of accreditation"),
            Self::Batch { case, number } => write!(f, "batch {number} of case {case}"),
        }
    }
}

/// A bundle that proves nothing, and why. Transactions of a case are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The file is no bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The genesis is no basis for a ledger.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// No step leads from the genesis to a head.
    #[error("the bundle has no step from the genesis to a head")]
    NoSteps,
    /// A step from the genesis to the head does not hold.
    #[error("step {number} from the genesis, at height {height}, does not hold")]
    Step {
        /// Its number, from 1.
        number: usize,
        /// Its height.
        height: Height,
        /// Why.
        #[source]
        source: LightError,
    },
    /// The entry that says where the chain stands does not go with the head's header.
    #[error("the state under the header at height {height} is not that of the block before it")]
    Head {
        /// The header's height.
        height: Height,
    },
    /// A time after the year 9999.
    #[error("the block time {time} at height {height} is no time that a ledger reaches")]
    Time {
        /// The height.
        height: Height,
        /// The time.
        time: Millis,
    },
    /// The proof of another entry than the one that belongs here.
    #[error("the state proof of {part} is that of another entry")]
    Misplaced {
        /// Which entry.
        part: Part,
    },
    /// A state proof that does not hold.
    #[error(
        "the state proof of {part} does not lead to the state root in the header at height {height}"
    )]
    StateProof {
        /// Which entry.
        part: Part,
        /// The head's header.
        height: Height,
    },
    /// The state has no such entry.
    #[error("the state has no entry for {part}")]
    Absent {
        /// Which entry.
        part: Part,
    },
    /// An entry that cannot be read.
    #[error("the entry of {part} cannot be read")]
    Unreadable {
        /// Which entry.
        part: Part,
        /// Why.
        #[source]
        source: WireError,
    },
    /// Proofs that are missing, not needed, twice or out of order.
    #[error("the bundle's {what} are not those that its cases need, in their order")]
    List {
        /// Proofs of what.
        what: &'static str,
    },
    /// The bundle is about one case and holds another, or not one. With a case of the second circle comes the one that it
    /// goes on from, and no other.
    #[error("the bundle holds other cases than case {case}, which it is about")]
    Subject {
        /// The case that it is about.
        case: CaseId,
    },
    /// A case of somebody else.
    #[error("case {case} is about patient {found}, not {expected}")]
    OtherPatient {
        /// The case.
        case: CaseId,
        /// Whose it is.
        found: PatientId,
        /// Whose it should be.
        expected: PatientId,
    },
    /// More or fewer cases than the patient has.
    #[error("the bundle holds {found} cases; the patient has {proved}")]
    CaseCount {
        /// How many there are.
        found: usize,
        /// How many the state proves.
        proved: u32,
    },
    /// As many cases as the patient has, but others or in another order.
    #[error("the bundle's cases are not the patient's, or stand in another order")]
    CaseLog,
    /// A header or certificate of a case's block does not hold.
    #[error("case {case}: the block at height {height} is not final")]
    Block {
        /// The case.
        case: CaseId,
        /// The height.
        height: Height,
        /// Why.
        #[source]
        source: LightError,
    },
    /// A block that does not come after the one before, or after the head.
    #[error("case {case}: the block at height {height} is out of order")]
    BlockOrder {
        /// The case.
        case: CaseId,
        /// The height.
        height: Height,
    },
    /// A block without a transaction of the case.
    #[error("case {case}: the block at height {height} shows no transaction")]
    BlockEmpty {
        /// The case.
        case: CaseId,
        /// The height.
        height: Height,
    },
    /// A transaction that does not come after the one before in its block.
    #[error(
        "case {case}: transaction {number}, at place {index} of block {height}, is out of order"
    )]
    Order {
        /// The case.
        case: CaseId,
        /// Which transaction.
        number: usize,
        /// The block.
        height: Height,
        /// Its place.
        index: u32,
    },
    /// A transaction that is not in its block, or not at that place.
    #[error("case {case}: transaction {number} does not stand at place {index} of block {height}")]
    Place {
        /// The case.
        case: CaseId,
        /// Which transaction.
        number: usize,
        /// The block.
        height: Height,
        /// The place.
        index: u32,
    },
    /// A transaction whose signature does not hold.
    #[error("case {case}: the signature of transaction {number} does not hold")]
    Signature {
        /// The case.
        case: CaseId,
        /// Which transaction.
        number: usize,
    },
    /// A transaction for another ledger, or after its time.
    #[error("case {case}: transaction {number} was not valid in the block at height {height}")]
    Validity {
        /// The case.
        case: CaseId,
        /// Which transaction.
        number: usize,
        /// The block.
        height: Height,
    },
    /// A transaction that is no part of the case.
    #[error("case {case}: transaction {number} belongs to something else")]
    Foreign {
        /// The case.
        case: CaseId,
        /// Which transaction.
        number: usize,
    },
    /// More or fewer transactions than the case has.
    #[error("case {case}: the bundle shows {found} transactions; the case has {proved}")]
    Count {
        /// The case.
        case: CaseId,
        /// How many there are.
        found: usize,
        /// How many the state proves.
        proved: u32,
    },
    /// As many transactions as the case has, but others or in another order.
    #[error("case {case}: the transactions are not those that the case's running digest proves")]
    Log {
        /// The case.
        case: CaseId,
    },
    /// The ledger's rules refuse a transaction that the case counts.
    #[error("case {case}: the rules refuse transaction {number}")]
    Refused {
        /// The case.
        case: CaseId,
        /// Which transaction.
        number: usize,
        /// Why.
        #[source]
        reason: Box<Rejection>,
    },
    /// An amendment that ended a case without a quorum of the validators, or after its time.
    #[error(
        "case {case}: the amendment that is transaction {number} was not signed by a quorum of the validators in time"
    )]
    Amendment {
        /// The case.
        case: CaseId,
        /// Which transaction.
        number: usize,
    },
    /// A release before enough kin had approved in time.
    #[error(
        "case {case}: {kin} released (transaction {number}) when {approvals} kin had approved in time; {needed} are needed"
    )]
    Quorum {
        /// The case.
        case: CaseId,
        /// Which transaction.
        number: usize,
        /// Who released.
        kin: KinId,
        /// Approvals that were final before.
        approvals: usize,
        /// The threshold.
        needed: u16,
    },
    /// The transactions lead to another case than the state proves.
    #[error("case {case}: its transactions lead to another {field} than the state proves")]
    Differs {
        /// The case.
        case: CaseId,
        /// The first thing that differs.
        field: &'static str,
    },
    /// An attachment that is not what its digest says, or has no fitting name.
    #[error("attachment {number} is not what its digest, its name or its place says")]
    Attachment {
        /// Its number, from 1.
        number: usize,
    },
}
