//! Transactions: who says what, once, until when.
//!
//! The envelope binds chain, signer, the signer's sequence number and a last
//! valid time. What the envelope allows and the body then does is decided in
//! [`super::execute`]: a well-formed transaction whose request is refused still
//! stands on chain, so attempts leave a trace.

use crate::consent::{GrantDeed, Renewal};
use crate::crypto::Digest;
use crate::crypto::{Signature, SignatureError, SigningKey, VerifyingKey, hash, verify_until};
use crate::emergency::{Case, Circle, Purpose, Reason, RefusalReason, Request, Verdict};
use crate::ids::{
    AccountId, BatchId, CaseId, ChainId, GrantId, HospitalId, PatientId, RecordId, TxId,
};
use crate::ledger::enrolment::Enrolment;
use crate::ledger::governance::Governance;
use crate::record::{BatchHeader, ReceiptLine};
use crate::roster::RosterStep;
use crate::units::{Millis, Sequence, Tier};
use crate::wire;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::{Arc, OnceLock};

/// Largest transaction in bytes, as a frame.
pub const TRANSACTION_BYTES_MAX: usize = 64 * 1024;

/// Largest payload of an opaque transaction in bytes.
pub const OPAQUE_BYTES_MAX: usize = 32 * 1024;

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
    /// Validator, with its vote key: a quorum has decided this about the ledger itself.
    Governance(Box<Governance>),
    /// Patient or kin: a step about a patient's roster or shares.
    Roster {
        /// Whose roster.
        patient: PatientId,
        /// The step.
        step: Box<RosterStep>,
    },
    /// A payload that means nothing to the ledger. Only a ledger that was founded for it takes it
    /// ([`Workload`](crate::ledger::Workload)), and executes its envelope alone. At most [`OPAQUE_BYTES_MAX`] bytes.
    Opaque(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Patient: this hospital, which has signed the same terms, may read these records of mine.
    Grant(Box<GrantDeed>),
    /// Patient: the grant ends later; the hospital has signed that too.
    Renew(Box<Renewal>),
    /// Patient or hospital: the grant ends now.
    Revoke {
        /// The grant.
        grant: GrantId,
    },
    /// Hospital: its clinician is about to read these records under a grant.
    GrantRead {
        /// The grant.
        grant: GrantId,
        /// Tier of the records.
        tier: Tier,
        /// How many records.
        records: u32,
        /// Digest over the identifiers of the records, in ascending order ([`read_digest`]).
        digest: Digest,
    },
    /// Patient: everybody who holds anything of this batch is to erase it.
    Erase {
        /// The batch.
        batch: BatchId,
    },
}

/// A kin's agreement. Every field that the kin was shown is signed, so the approval fits this request only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The case: the digest of the whole request transaction.
    pub case: CaseId,
    /// The circle that the kin belongs to, as the request names it.
    pub circle: Circle,
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

impl Approval {
    /// The one that fits this case.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        let request = &case.request;
        Self {
            case: case.id,
            circle: request.circle,
            epoch: request.epoch,
            hospital: case.hospital,
            purpose: request.purpose,
            reason: request.reason,
            expires_ms: request.expires_ms,
        }
    }
}

/// The digest that a [`TxBody::Read`] or a [`TxBody::GrantRead`] carries.
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

/// A transaction and a signature that may or may not hold: the content of a [`SignedTransaction`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// What is signed.
    pub content: Transaction,
    /// Ed25519 over [`Transaction::message`].
    pub signature: Signature,
}

/// A transaction with its signature: shared, never changed.
///
/// Cloning copies a pointer. Identifier, length, account and the verdict on the signature are worked out when they are
/// first asked for and kept with the transaction, whoever holds it; since nothing in it can change, neither can they.
#[derive(Clone)]
pub struct SignedTransaction(Arc<Shared>);

struct Shared {
    envelope: Envelope,
    /// Identifier, and length of the whole as a frame.
    identity: OnceLock<(TxId, usize)>,
    account: OnceLock<AccountId>,
    verdict: OnceLock<Result<(), SignatureError>>,
}

impl Transaction {
    /// The identifier: a digest of the content without the signature.
    #[must_use]
    pub fn id(&self) -> TxId {
        id_of(&wire::encode(self))
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
        SignedTransaction::new(self, signature)
    }
}

fn id_of(encoded: &[u8]) -> TxId {
    hash("kithkin/tx/1", &[encoded]).into()
}

/// Bytes around the encoded content in a frame: the head of the pair, and the signature with its length. The version
/// byte is the content's own.
const ENVELOPE_BYTES: usize = 1 + 2 + Signature::LEN;

impl SignedTransaction {
    /// Puts content and signature together; whether the signature holds is for [`Self::verify`] to say.
    #[must_use]
    pub fn new(content: Transaction, signature: Signature) -> Self {
        Envelope { content, signature }.into()
    }

    /// An opaque payload without a sender, as a ledger of
    /// [`Workload::OpaqueUnsigned`](crate::ledger::Workload::OpaqueUnsigned) takes it. `sequence` only tells equal payloads apart.
    #[must_use]
    pub fn unsigned(
        chain: ChainId,
        sequence: Sequence,
        valid_until_ms: Millis,
        payload: Vec<u8>,
    ) -> Self {
        let content = Transaction {
            chain,
            signer: VerifyingKey([0; VerifyingKey::LEN]),
            sequence,
            valid_until_ms,
            body: TxBody::Opaque(payload),
        };
        Self::new(content, Signature([0; Signature::LEN]))
    }

    /// Another transaction: a copy with a change.
    #[must_use]
    pub fn altered(&self, change: impl FnOnce(&mut Envelope)) -> Self {
        let mut envelope = self.0.envelope.clone();
        change(&mut envelope);
        envelope.into()
    }

    /// Content and signature.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.0.envelope
    }

    /// The identifier of the content.
    #[must_use]
    pub fn id(&self) -> TxId {
        self.identity().0
    }

    /// Length in bytes, as a frame.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.identity().1
    }

    fn identity(&self) -> (TxId, usize) {
        *self.0.identity.get_or_init(|| {
            let payload = match &self.content.body {
                TxBody::Opaque(payload) => payload.len(),
                _ => 512,
            };
            // Chain, signer, numbers and the names of fields: some 120 bytes.
            let content = wire::encode_sized(&self.content, payload.saturating_add(160));
            (id_of(&content), content.len() + ENVELOPE_BYTES)
        })
    }

    /// The account that signed.
    #[must_use]
    pub fn account(&self) -> AccountId {
        let key = &self.content.signer;
        *self.0.account.get_or_init(|| AccountId::of(key))
    }

    /// Whether there is neither signer nor signature.
    #[must_use]
    pub fn is_unsigned(&self) -> bool {
        self.content.signer.0 == [0; VerifyingKey::LEN] && self.signature.0 == [0; Signature::LEN]
    }

    /// What was found when the signature was checked; none when nobody has checked it.
    #[must_use]
    pub fn verdict(&self) -> Option<Result<(), SignatureError>> {
        self.0.verdict.get().copied()
    }

    /// Notes that the signature holds, without checking it. The caller has found that of another copy: same identifier, same
    /// signature, and so the same verdict.
    pub fn vouch(&self) {
        // Somebody may have checked it meanwhile.
        let _ = self.0.verdict.set(Ok(()));
    }

    /// Checks the signature, once: the verdict stays with the transaction.
    ///
    /// # Errors
    /// [`SignatureError`] when it does not hold.
    pub fn verify(&self) -> Result<(), SignatureError> {
        *self.0.verdict.get_or_init(|| {
            let message = Transaction::message(self.id());
            self.content.signer.verify(&message, &self.signature)
        })
    }
}

/// Most signatures in one batch: beyond it a batch gains little, and one bad signature spoils more.
const BATCH_MAX: usize = 512;

/// Checks the signatures of many transactions, in batches, and keeps the verdicts with the transactions: whoever asks one
/// of them, or a clone, to [`verify`](SignedTransaction::verify) again pays nothing. So a shell may do this anywhere, on
/// a thread of its own say, before it hands the transactions on. Verdicts in the order of `transactions`.
#[must_use]
pub fn verify_many(transactions: &[SignedTransaction]) -> Vec<bool> {
    for batch in transactions.chunks(BATCH_MAX) {
        judge(batch, usize::MAX);
    }
    transactions
        .iter()
        .map(|transaction| transaction.verify().is_ok())
        .collect()
}

/// How far [`verify_some`] has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// So many from the front have been looked at.
    pub count: usize,
    /// The signatures of so many of these do not hold.
    pub bad: usize,
}

/// [`verify_many`] from the front, until the signatures of `bad_max` do not hold. Those without signer and signature are
/// passed over.
#[must_use]
pub fn verify_some(transactions: &[SignedTransaction], bad_max: usize) -> Judged {
    let mut judged = Judged::default();
    for batch in transactions.chunks(BATCH_MAX) {
        judge(batch, bad_max.saturating_sub(judged.bad));
        for transaction in batch {
            match transaction.verdict() {
                _ if judged.bad >= bad_max => return judged,
                None if !transaction.is_unsigned() => return judged,
                Some(Err(_)) => judged.bad = judged.bad.saturating_add(1),
                Some(Ok(())) | None => {}
            }
            judged.count = judged.count.saturating_add(1);
        }
    }
    judged
}

/// Finds verdicts for those that have none, until `bad_max` signatures do not hold.
fn judge(batch: &[SignedTransaction], bad_max: usize) {
    let unknown: Vec<&SignedTransaction> = batch
        .iter()
        .filter(|transaction| transaction.verdict().is_none() && !transaction.is_unsigned())
        .collect();
    let messages: Vec<_> = unknown
        .iter()
        .map(|transaction| Transaction::message(transaction.id()))
        .collect();
    let items: Vec<_> = unknown
        .iter()
        .zip(&messages)
        .map(|(transaction, message)| {
            let Envelope { content, signature } = transaction.envelope();
            (content.signer, message.as_slice(), *signature)
        })
        .collect();
    for (transaction, holds) in unknown.iter().zip(verify_until(&items, bad_max)) {
        let verdict = holds.then_some(()).ok_or(SignatureError);
        // Somebody else may have been quicker, with the same result.
        let _ = transaction.0.verdict.set(verdict);
    }
}

impl From<Envelope> for SignedTransaction {
    fn from(envelope: Envelope) -> Self {
        Self(Arc::new(Shared {
            envelope,
            identity: OnceLock::new(),
            account: OnceLock::new(),
            verdict: OnceLock::new(),
        }))
    }
}

impl std::ops::Deref for SignedTransaction {
    type Target = Envelope;

    fn deref(&self) -> &Envelope {
        &self.0.envelope
    }
}

impl PartialEq for SignedTransaction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.envelope == other.0.envelope
    }
}

impl Eq for SignedTransaction {}

impl std::fmt::Debug for SignedTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.envelope.fmt(f)
    }
}

impl Serialize for SignedTransaction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.envelope.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SignedTransaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Envelope::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret32;

    fn transaction(payload: usize, sequence: u64) -> SignedTransaction {
        let key = SigningKey::from_seed(Secret32::new([3; 32]));
        let content = Transaction {
            chain: ChainId([1; 32]),
            signer: key.verifying_key(),
            sequence: Sequence(sequence),
            valid_until_ms: Millis(sequence << 8),
            body: TxBody::Opaque(vec![7; payload]),
        };
        content.sign(&key)
    }

    /// What is kept beside the transaction is what would be worked out anew, and it travels as content and signature.
    #[test]
    fn what_is_kept_is_true() {
        for payload in [0, 1, 255, 256, 512, 65_535, 65_536] {
            for sequence in [0, 127, 128, 65_536, u64::MAX >> 8] {
                let sent = transaction(payload, sequence);
                let frame = wire::encode(&sent);
                assert_eq!(sent.encoded_len(), frame.len());
                assert_eq!(sent.id(), sent.content.id());
                assert_eq!(sent.account(), AccountId::of(&sent.content.signer));
                assert_eq!(wire::encode(sent.envelope()), frame);
                let came: SignedTransaction = wire::decode(&frame).expect("decodes");
                assert_eq!(
                    (came.id(), came.encoded_len(), came.verify()),
                    (sent.id(), frame.len(), Ok(()))
                );
                assert_eq!(came, sent);
            }
        }
    }

    /// In a batch, alone, before or after: the verdict is the same, whichever signatures, contents and order.
    #[test]
    fn batches_change_no_verdict() {
        use proptest::prelude::*;
        let good: Vec<_> = (0..40).map(|n| transaction(30, n)).collect();
        proptest!(|(spoils in prop::collection::vec(0u8..5, 0..40), ask in any::<u64>())| {
            let mixed: Vec<_> = spoils.iter().zip(&good).map(|(spoil, tx)| match spoil {
                0 => tx.altered(|envelope| envelope.signature.0[63] ^= 1),
                1 => tx.altered(|envelope| envelope.content.valid_until_ms.0 += 1),
                2 => tx.altered(|envelope| envelope.signature = good[0].signature),
                _ => tx.altered(|_| ()),
            }).collect();
            let alone: Vec<bool> = mixed.iter().map(|tx| tx.altered(|_| ()).verify().is_ok()).collect();
            // Some are known before, singly.
            for (place, tx) in mixed.iter().enumerate() {
                if ask >> place & 1 == 1 {
                    prop_assert_eq!(tx.verify().is_ok(), alone[place]);
                }
            }
            let twice: Vec<_> = mixed.iter().chain(&mixed).cloned().collect();
            prop_assert_eq!(verify_many(&twice), [alone.clone(), alone.clone()].concat());
            let after: Vec<bool> = mixed.iter().map(|tx| tx.verify().is_ok()).collect();
            prop_assert_eq!(after, alone);
        });
    }

    /// The verdict belongs to one content with one signature; the same identifier with another signature is judged by itself.
    #[test]
    fn a_verdict_is_not_lent_to_another_signature() {
        let good = transaction(5, 1);
        assert_eq!(good.verify(), Ok(()));
        for bit in [0, 300, 511] {
            let forged = good.altered(|envelope| envelope.signature.0[bit / 8] ^= 1 << (bit % 8));
            assert_eq!(forged.id(), good.id());
            assert_ne!(forged, good);
            assert_eq!(
                (forged.verify(), forged.verify()),
                (Err(SignatureError), Err(SignatureError))
            );
            assert_eq!(good.clone().verify(), Ok(()));
        }
        let other = good.altered(|envelope| envelope.content.sequence = Sequence(2));
        assert_eq!(other.verify(), Err(SignatureError));
    }
}
