//! What a ledger starts from: validators, parameters, accredited institutions. Its digest is the chain id.

use crate::crypto::vrf::VrfPublicKey;
use crate::crypto::{SealingKey, VerifyingKey, hash};
use crate::ids::{AccountId, ChainId, HospitalId, ValidatorId};
use crate::ledger::accreditation::{NAME_BYTES_MAX, ReviewerInfo, is_name};
use crate::units::Millis;
use crate::wire;
use serde::{Deserialize, Serialize};

/// Most validators of a ledger.
pub const VALIDATORS_MAX: usize = 1_000;

/// How credit becomes a leader order (design, consensus section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The published scheme to the letter: the top tenth by raw credit, at least one.
    Literal,
    /// At least three candidates, grades instead of raw credit, cool-down, regular open heights.
    #[default]
    Balanced,
    /// More candidates than there can be faulty validators.
    Hardened,
    /// For measurements: validators take turns, credit or not.
    #[cfg(any(test, feature = "testing"))]
    #[serde(rename = "round-robin")]
    RoundRobin,
    /// For measurements: view by view the next number, the same at every height.
    #[cfg(any(test, feature = "testing"))]
    Fixed,
    /// For measurements: every validator alike in the lottery, credit or not.
    #[cfg(any(test, feature = "testing"))]
    Random,
}

impl Profile {
    /// The profile's name in text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Literal => "literal",
            Self::Balanced => "balanced",
            Self::Hardened => "hardened",
            #[cfg(any(test, feature = "testing"))]
            Self::RoundRobin => "round-robin",
            #[cfg(any(test, feature = "testing"))]
            Self::Fixed => "fixed",
            #[cfg(any(test, feature = "testing"))]
            Self::Random => "random",
        }
    }
}

/// What a ledger is for. Anything but records is for measuring; the genesis, and so the chain id, says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Health records. Opaque transactions cannot stand on chain.
    #[default]
    Records,
    /// Opaque transactions as well, of which nothing but the envelope is executed: signature and sequence count.
    Opaque,
    /// Opaque transactions of nobody, and nothing else: there is no signature, no sender and no sequence to check. A
    /// block holds each once; that no later block repeats one is left to the masters' mempools.
    OpaqueUnsigned,
}

impl Workload {
    /// The workload's name in text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Opaque => "opaque",
            Self::OpaqueUnsigned => "opaque-unsigned",
        }
    }
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One validator as the genesis, or later a governance transaction, names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorInfo {
    /// Its number.
    pub id: ValidatorId,
    /// Signs votes and proposals.
    pub vote_key: VerifyingKey,
    /// Makes the beacon; never equal to the vote key.
    pub vrf_key: VrfPublicKey,
    /// Authenticates its node to the other nodes on the network (an Ed25519 key; the node's peer identity). Neither the
    /// vote key nor the VRF key: it lies on the machine that faces the network.
    pub network_key: VerifyingKey,
    /// The hospital that runs it and whose misconduct costs it credit.
    pub hospital: Option<HospitalId>,
}

/// A hospital, as the genesis or an amendment accredits it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HospitalInfo {
    /// Signs its transactions.
    pub key: VerifyingKey,
    /// Others seal messages to it.
    pub sealing: SealingKey,
    /// A name for people, 1 to [`NAME_BYTES_MAX`] bytes.
    pub name: String,
}

impl HospitalInfo {
    /// The hospital's identifier.
    #[must_use]
    pub fn id(&self) -> HospitalId {
        HospitalId::of(&self.key)
    }
}

/// The state before the first block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Block time of height 0.
    pub time_ms: Millis,
    /// How leaders are ordered.
    pub profile: Profile,
    /// What the ledger is for.
    #[serde(default)]
    pub workload: Workload,
    /// The first validators, ordered by number.
    pub validators: Vec<ValidatorInfo>,
    /// Accredited hospitals. Until an amendment accredits the first issuer, each vouches for its own clinicians.
    pub hospitals: Vec<HospitalInfo>,
    /// Accredited reviewers; none judges the hospital where it works.
    pub reviewers: Vec<ReviewerInfo>,
    /// How long after the closing of a case its review may take.
    pub review_within_ms: Millis,
}

/// A genesis that no ledger can start from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// No validator at all.
    #[error("a ledger needs at least one validator")]
    NoValidators,
    /// Too many validators.
    #[error("a ledger has at most {VALIDATORS_MAX} validators, not {count}")]
    TooManyValidators {
        /// How many were given.
        count: usize,
    },
    /// Two validators with one number or out of order.
    #[error("validator {id} is listed twice or out of order")]
    Order {
        /// The number in question.
        id: ValidatorId,
    },
    /// A key that stands twice: as a vote, VRF or network key of any validator.
    #[error("a key of validator {id} is used twice")]
    KeyTwice {
        /// The validator with the second use.
        id: ValidatorId,
    },
    /// A hospital listed twice, or with a name that is none or too long.
    #[error("hospital {id} is listed twice, or its name has not 1 to {NAME_BYTES_MAX} bytes")]
    Hospital {
        /// The hospital in question.
        id: HospitalId,
    },
    /// A reviewer listed twice, with a hospital's key, or from a hospital that is not listed.
    #[error(
        "reviewer {id} is listed twice, has the key of a hospital, or works at one that is not listed"
    )]
    Reviewer {
        /// The reviewer in question.
        id: AccountId,
    },
}

impl Genesis {
    /// The chain id: a digest of everything in the genesis.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        hash("kithkin/genesis/1", &[&wire::encode(self)]).into()
    }

    /// Checks what a ledger relies on.
    ///
    /// # Errors
    /// The first [`GenesisError`] found.
    pub fn validate(&self) -> Result<(), GenesisError> {
        match self.validators.len() {
            0 => return Err(GenesisError::NoValidators),
            count if count > VALIDATORS_MAX => {
                return Err(GenesisError::TooManyValidators { count });
            }
            _ => {}
        }
        let mut keys = std::collections::BTreeSet::new();
        let mut last = None;
        for validator in &self.validators {
            let id = validator.id;
            if last.is_some_and(|last| last >= id) {
                return Err(GenesisError::Order { id });
            }
            last = Some(id);
            let own = [
                validator.vote_key.0,
                validator.vrf_key.0,
                validator.network_key.0,
            ];
            if !own.into_iter().all(|key| keys.insert(key)) {
                return Err(GenesisError::KeyTwice { id });
            }
        }
        let mut hospitals = std::collections::BTreeSet::new();
        for hospital in &self.hospitals {
            let id = hospital.id();
            if !hospitals.insert(id) || !is_name(&hospital.name) {
                return Err(GenesisError::Hospital { id });
            }
        }
        let mut reviewers = std::collections::BTreeSet::new();
        for reviewer in &self.reviewers {
            let id = reviewer.id();
            let works = reviewer.hospital.is_none_or(|at| hospitals.contains(&at));
            if !reviewers.insert(id) || hospitals.contains(&id.into()) || !works {
                return Err(GenesisError::Reviewer { id });
            }
        }
        Ok(())
    }
}
