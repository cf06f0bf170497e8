//! Transactions: who says what, once, until when.
//!
//! The envelope binds chain, signer, the signer's sequence number and a last
//! valid time. What the envelope allows and the body then does is decided in
//! [`super::execute`]: a well-formed transaction whose request is refused still
//! stands on chain, so attempts leave a trace.

use crate::crypto::Digest;
use crate::crypto::{Signature, SignatureError, SigningKey, VerifyingKey, hash};
use crate::emergency::{Purpose, Reason, RefusalReason, Request, Verdict};
use crate::ids::{AccountId, BatchId, CaseId, ChainId, HospitalId, RecordId, TxId};
use crate::ledger::enrolment::Enrolment;
use crate::record::{BatchHeader, ReceiptLine};
use crate::units::{Millis, Sequence, Tier};
use crate::wire;
use serde::{Deserialize, Serialize};

/// Largest transaction in bytes, as a frame.
pub const TRANSACTION_BYTES_MAX: usize = 64 * 1024;

/// Longest time that a transaction may ask to stay valid.
pub const VALIDITY_MS_MAX: Millis = Millis(24 * 3_600_000);

/// What a transaction asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TxBody {
    /// Patient: this is my roster and these are my tier keys; all kin have accepted.
    Enrol(Box<Enrolment>),
    /// Hospital: these records of one tier are sealed and stored, and here is what the kin have signed for.
    Batch {
        /// The header.
        header: Box<BatchHeader>,
        /// One line for each receipt that the header counts, by share index.
        receipts: Vec<ReceiptLine>,
    },
    /// Hospital: all kin of the roster have now signed for a batch that stood as degraded.
    Restock {
        /// The batch.
        batch: BatchId,
        /// All of the roster, by share index.
        receipts: Vec<ReceiptLine>,
    },
    /// Hospital: a clinician asks to open records in an emergency.
    Request(Box<Request>),
    /// Kin: I have seen this request and agree.
    Approve(Approval),
    /// Kin: I have seen this request and do not agree.
    Refuse {
        /// The case.
        case: CaseId,
        /// Why.
        reason: RefusalReason,
    },
    /// Patient: stop this case.
    Veto {
        /// The case.
        case: CaseId,
    },
    /// Kin: I am about to release the partial openings with this digest.
    Release {
        /// The case.
        case: CaseId,
        /// Digest over the digests of this kin's partial openings, in the order of the scopes ([`release_digest`]).
        digest: Digest,
    },
    /// Hospital: its clinician has read these records.
    Read {
        /// The case.
        case: CaseId,
        /// Tier of the records.
        tier: Tier,
        /// How many records.
        records: u32,
        /// Digest over the identifiers of the records, in ascending order ([`read_digest`]).
        digest: Digest,
    },
    /// Hospital: the emergency is over.
    Close {
        /// The case.
        case: CaseId,
    },
    /// Reviewer: the verdict on a closed case.
    Review {
        /// The case.
        case: CaseId,
        /// The verdict.
        verdict: Verdict,
    },
}

/// A kin's agreement. Every field that the kin was shown is signed, so the approval fits this request only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The case: the digest of the whole request transaction.
    pub case: CaseId,
    /// Roster epoch that the kin belongs to.
    pub epoch: crate::units::Epoch,
    /// Who asks.
    pub hospital: HospitalId,
    /// What for.
    pub purpose: Purpose,
    /// Why.
    pub reason: Reason,
    /// When the request expires.
    pub expires_ms: Millis,
}

/// The digest that a [`TxBody::Read`] carries.
#[must_use]
pub fn read_digest(records: &std::collections::BTreeSet<RecordId>) -> Digest {
    let mut writer = crate::crypto::HashWriter::new("kithkin/read/1");
    for record in records {
        writer.field(record);
    }
    writer.finish()
}

/// The digest that a [`TxBody::Release`] carries.
#[must_use]
pub fn release_digest(partials: &[Digest]) -> Digest {
    let mut writer = crate::crypto::HashWriter::new("kithkin/release/1");
    for partial in partials {
        writer.field(partial);
    }
    writer.finish()
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The ledger that it is meant for.
    pub chain: ChainId,
    /// Whoever signs.
    pub signer: VerifyingKey,
    /// The signer's counter: each number counts once.
    pub sequence: Sequence,
    /// Last block time at which it may be executed.
    pub valid_until_ms: Millis,
    /// What it asks for.
    pub body: TxBody,
}

/// A transaction with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTransaction {
    /// What is signed.
    pub content: Transaction,
    /// Ed25519 over [`Transaction::message`].
    pub signature: Signature,
}

impl Transaction {
    /// The identifier: a digest of the content without the signature.
    #[must_use]
    pub fn id(&self) -> TxId {
        hash("kithkin/tx/1", &[&wire::encode(self)]).into()
    }

    /// The bytes that a transaction with this identifier signs.
    #[must_use]
    pub fn message(id: TxId) -> Vec<u8> {
        [b"kithkin/tx-signature/1".as_slice(), id.as_ref()].concat()
    }

    /// Signs the content. The caller guarantees that `key` belongs to `signer`.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> SignedTransaction {
        let signature = key.sign(&Self::message(self.id()));
        SignedTransaction {
            content: self,
            signature,
        }
    }
}

impl SignedTransaction {
    /// The identifier of the content.
    #[must_use]
    pub fn id(&self) -> TxId {
        self.content.id()
    }

    /// The account that signed.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId::of(&self.content.signer)
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`SignatureError`] when it does not hold.
    pub fn verify(&self) -> Result<(), SignatureError> {
        self.content
            .signer
            .verify(&Transaction::message(self.id()), &self.signature)
    }
}
