//! The file: what a bundle holds, and how it is written and read back to the byte.
//!
//! Reading is strict: a bundle has one encoding, and bytes that decode to it without being it are refused. Whether what it
//! holds is true is for [`super::verify()`] to say.

use crate::consensus::Certificate;
use crate::crypto::merkle::MerklePath;
use crate::crypto::{Digest, hash};
use crate::ids::{CaseId, PatientId};
use crate::ledger::light::{STEPS_MAX, Step};
use crate::ledger::{Header, SignedTransaction, StateProof};
use crate::wire::{self, WireError};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// First bytes of every bundle; the format's version follows.
const MAGIC: &[u8] = b"kithkin-audit";

/// The version of the format that this program writes and reads.
pub const FORMAT: u8 = 1;

/// Largest bundle in bytes: 64 MiB.
pub const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most cases of one bundle.
pub const CASES_MAX: usize = 4_096;

/// Most transactions of one case.
pub const TRANSACTIONS_MAX: usize = 65_536;

/// Most batches that one case shows as its scope.
pub const BATCHES_MAX: usize = 16_384;

/// Most attachments.
pub const ATTACHMENTS_MAX: usize = 1_024;

/// Longest name and longest media type of an attachment, in bytes.
pub const ATTACHMENT_NAME_BYTES_MAX: usize = 200;

/// What a bundle is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// One case.
    Case(CaseId),
    /// All cases of a patient.
    Patient(PatientId),
}

/// Everything that shows what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// What it is about.
    pub subject: Subject,
    /// A light client's steps from the genesis; the last one is the head, and all proofs of entries are under the state root in its header.
    pub steps: Vec<Step>,
    /// Where the chain stands ([`Meta`](crate::ledger::Meta)).
    pub meta: StateProof,
    /// The patient: who holds shares now, and how many cases there are.
    pub patient: StateProof,
    /// Roster, rules and commitments of each epoch in which one of the cases was opened, by epoch.
    pub rosters: Vec<StateProof>,
    /// What is kept about accreditation as a whole ([`Register`](crate::ledger::Register)); its absence before the first
    /// amendment of that kind.
    pub register: StateProof,
    /// Every hospital that asked, by identifier: as it is accredited, or as it was revoked.
    pub hospitals: Vec<StateProof>,
    /// Every issuer that vouched for a clinician, by identifier; hospitals that vouched for their own are none.
    pub issuers: Vec<StateProof>,
    /// Every reviewer that judged, by identifier.
    pub reviewers: Vec<StateProof>,
    /// The cases, in the order in which they were opened. Before a case of the second circle comes the one that it goes
    /// on from.
    pub cases: Vec<CaseFile>,
    /// Documents that belong to it, by name.
    pub attachments: Vec<Attachment>,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseFile {
    /// The case as it stands.
    pub entry: StateProof,
    /// The batches within the request's scopes, by place.
    pub batches: Vec<StateProof>,
    /// The blocks that hold the case's transactions, ascending.
    pub blocks: Vec<SealedBlock>,
}

/// A final block, as far as the case is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBlock {
    /// The header.
    pub header: Header,
    /// Its finalization.
    pub certificate: Certificate,
    /// The case's transactions in it, ascending by place; at least one.
    pub transactions: Vec<Placed>,
}

/// A transaction and its place in the block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The path to the header's transaction root.
    pub path: MerklePath,
    /// The transaction.
    pub transaction: SignedTransaction,
}

/// A document that was put in beside the proofs, a FHIR `AuditEvent` say. The proofs say nothing about its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name, 1 to [`ATTACHMENT_NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// What it is, `application/fhir+json` say; 1 to [`ATTACHMENT_NAME_BYTES_MAX`] bytes.
    pub media_type: String,
    /// Digest over all of it.
    pub digest: Digest,
    /// The document.
    pub content: ByteBuf,
}

/// A file that is no bundle, or a bundle that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Does not start as bundles do.
    #[error("this is not an audit bundle")]
    Magic,
    /// A version that this program does not know.
    #[error("the bundle has format {found}; this program reads format {FORMAT}")]
    Format {
        /// The version found.
        found: u8,
    },
    /// Larger than allowed.
    #[error("the bundle has {bytes} bytes; at most {BUNDLE_BYTES_MAX} are allowed")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// The content cannot be read.
    #[error("the bundle cannot be read")]
    Frame(#[from] WireError),
    /// Other bytes than a writer would have written.
    #[error("the bundle is not written as it must be: byte {at} differs")]
    NotCanonical {
        /// The first byte that differs, from 0.
        at: usize,
    },
    /// Too many of something.
    #[error("the bundle has {count} {what}; at most {most} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are allowed.
        most: usize,
    },
}

impl Attachment {
    /// An attachment with its digest.
    #[must_use]
    pub fn new(name: String, media_type: String, content: Vec<u8>) -> Self {
        let mut attachment = Self {
            name,
            media_type,
            digest: Digest::ZERO,
            content: ByteBuf::from(content),
        };
        attachment.digest = attachment.actual_digest();
        attachment
    }

    /// Whether name and media type are neither empty nor too long.
    pub(super) fn names_fit(&self) -> bool {
        let fits = |text: &str| (1..=ATTACHMENT_NAME_BYTES_MAX).contains(&text.len());
        fits(&self.name) && fits(&self.media_type)
    }

    /// The digest that it should carry.
    #[must_use]
    pub fn actual_digest(&self) -> Digest {
        hash(
            "kithkin/audit-attachment/1",
            &[
                self.name.as_bytes(),
                self.media_type.as_bytes(),
                &self.content,
            ],
        )
    }
}

impl CaseFile {
    /// The case's transactions in order, each with its block.
    pub fn transactions(&self) -> impl Iterator<Item = (&SealedBlock, &Placed)> {
        self.blocks
            .iter()
            .flat_map(|block| block.transactions.iter().map(move |placed| (block, placed)))
    }
}

impl Bundle {
    /// Writes the bundle.
    ///
    /// # Errors
    /// [`BundleError::TooLong`] or [`BundleError::TooMany`].
    pub fn encode(&self) -> Result<Vec<u8>, BundleError> {
        self.check_counts()?;
        let bytes = self.to_bytes();
        match bytes.len() {
            bytes if bytes > BUNDLE_BYTES_MAX => Err(BundleError::TooLong { bytes }),
            _ => Ok(bytes),
        }
    }

    /// Reads a bundle. Nothing in it has been verified then but that it has this one encoding.
    ///
    /// # Errors
    /// Every [`BundleError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            let bytes = bytes.len();
            return Err(BundleError::TooLong { bytes });
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(BundleError::Magic)?;
        let (&found, frame) = rest.split_first().ok_or(BundleError::Magic)?;
        if found != FORMAT {
            return Err(BundleError::Format { found });
        }
        let bundle: Self = wire::decode_bounded(frame, BUNDLE_BYTES_MAX)?;
        bundle.check_counts()?;
        let again = bundle.to_bytes();
        if again != bytes {
            let same = again.iter().zip(bytes).take_while(|(a, b)| a == b);
            return Err(BundleError::NotCanonical { at: same.count() });
        }
        Ok(bundle)
    }

    fn to_bytes(&self) -> Vec<u8> {
        [MAGIC, &[FORMAT], &wire::encode(self)].concat()
    }

    /// Checks that nothing is there too often.
    pub(super) fn check_counts(&self) -> Result<(), BundleError> {
        let within = |what, count, most| {
            if count > most {
                return Err(BundleError::TooMany { what, count, most });
            }
            Ok(())
        };
        within("steps", self.steps.len(), STEPS_MAX)?;
        within("cases", self.cases.len(), CASES_MAX)?;
        within("rosters", self.rosters.len(), CASES_MAX)?;
        within("hospitals", self.hospitals.len(), CASES_MAX)?;
        within("issuers", self.issuers.len(), CASES_MAX)?;
        within("reviewers", self.reviewers.len(), CASES_MAX)?;
        within("attachments", self.attachments.len(), ATTACHMENTS_MAX)?;
        for case in &self.cases {
            let transactions = case.transactions().count();
            within("transactions in one case", transactions, TRANSACTIONS_MAX)?;
            within("batches in one case", case.batches.len(), BATCHES_MAX)?;
        }
        Ok(())
    }
}
