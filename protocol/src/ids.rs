//! Who and what: newtypes for every identifier.
//!
//! People and organisations are named by the digest of their signing key, so an
//! identifier cannot be claimed without the key. Numbers with a meaning other
//! than identity (heights, milliseconds, credit) live in [`crate::units`].

use crate::bytes::byte_newtype;
use crate::crypto::{Digest, VerifyingKey, hash};
use serde::{Deserialize, Serialize};

byte_newtype!(
    /// One ledger: the digest of its genesis. Every signature binds it.
    ChainId, 32
);
byte_newtype!(
    /// Whoever signs transactions: the digest of the Ed25519 verifying key.
    AccountId, 32
);
byte_newtype!(
    /// A patient: the account of the patient's own device.
    PatientId, 32
);
byte_newtype!(
    /// A hospital: its account.
    HospitalId, 32
);
byte_newtype!(
    /// A friend or relative: the account of that person's device.
    KinId, 32
);
byte_newtype!(
    /// One sealed record: drawn at random by the author.
    RecordId, 32
);
byte_newtype!(
    /// One upload of records of one tier, as it stands on chain: the digest of its header.
    BatchId, 32
);
byte_newtype!(
    /// One emergency case: the digest of the request transaction.
    CaseId, 32
);
byte_newtype!(
    /// One change of a patient's roster or shares: the digest of the transaction that proposed it.
    HandoverId, 32
);
byte_newtype!(
    /// One grant of a patient to a hospital: the digest of its terms.
    GrantId, 32
);
byte_newtype!(
    /// A transaction: the digest of its signed content.
    TxId, 32
);
byte_newtype!(
    /// A block: the digest of its header.
    BlockId, 32
);

impl AccountId {
    /// The account that `key` signs for.
    #[must_use]
    pub fn of(key: &VerifyingKey) -> Self {
        Self(hash("kithkin/account/1", &[key.as_ref()]).0)
    }
}

impl BlockId {
    /// The identifier of "no block": what a nullify vote names, and the parent of height 1.
    pub const NONE: Self = Self([0; 32]);
}

macro_rules! account_ids {
    ($($name:ident),*) => {$(
        impl From<AccountId> for $name {
            fn from(account: AccountId) -> Self {
                Self(account.0)
            }
        }
        impl From<$name> for AccountId {
            fn from(id: $name) -> Self {
                Self(id.0)
            }
        }
        impl $name {
            /// The person or organisation that `key` signs for.
            #[must_use]
            pub fn of(key: &VerifyingKey) -> Self {
                AccountId::of(key).into()
            }
        }
    )*};
}
account_ids!(PatientId, HospitalId, KinId);

macro_rules! digest_ids {
    ($($name:ident),*) => {$(
        impl From<Digest> for $name {
            fn from(digest: Digest) -> Self {
                Self(digest.0)
            }
        }
    )*};
}
digest_ids!(ChainId, BatchId, CaseId, GrantId, TxId, BlockId);

/// A validator: its place in the genesis, or the next free number when admitted later. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValidatorId(pub u16);

impl core::fmt::Display for ValidatorId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl core::fmt::Debug for ValidatorId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{self}")
    }
}
