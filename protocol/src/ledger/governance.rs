//! Governance: what a quorum of the validators decides about the ledger itself, and what makes such a decision valid.
//!
//! An [`Amendment`] is what the members sign, each on a machine of its own; [`Governance`] is the amendment with the
//! signatures of a quorum, which any validator hands in as a transaction signed with its vote key. It has two kinds of
//! clauses: what a [`Change`] does to the validators is decided in `credit::membership`, which sees nothing else; who is
//! accredited is written down in `accreditation`, and takes effect in `execute`.

use crate::credit::{Standings, ValidatorSet};
use crate::crypto::{Digest, Signature, SigningKey, VerifyingKey, hash, verify_batch};
use crate::ids::{AccountId, ChainId, HospitalId, ValidatorId};
use crate::ledger::accreditation::{Accredited, NAME_BYTES_MAX, Role, is_name};
use crate::ledger::genesis::ValidatorInfo;
use crate::units::{Height, Millis};
use crate::wire;
use serde::{Deserialize, Serialize};

/// Most changes of one amendment.
pub const CHANGES_MAX: usize = 16;

/// Most sets of validators that are remembered at once. A set stays for as long as offences of its time can be punished, and
/// all of them are part of every state; so this bounds what membership costs.
pub const SETS_MAX: usize = 64;

/// The rules that this program knows: the version that a ledger starts with, and the newest one it can follow.
pub const PROTOCOL_VERSION: ProtocolVersion = ProtocolVersion(1);

/// A version of the rules that all validators follow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProtocolVersion(pub u32);

impl std::fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One thing that an amendment changes about the validators or the rules they follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new validator, under the next number that was never used. It starts with a newcomer's credit.
    Admit(ValidatorInfo),
    /// A validator stops voting. Its record stays for as long as its offences can be punished.
    Remove(ValidatorId),
    /// A validator goes on with other keys or for another hospital. Credit and record stay.
    Rekey(ValidatorInfo),
    /// A validator that was excluded for good may be a master again. What it did until now counts no more, its credit
    /// stays, and one more conviction excludes it again.
    Pardon(ValidatorId),
    /// From `height` on blocks follow the rules of `version`. A node that does not know them stops there. Replaces an
    /// upgrade that was decided before and has not come.
    Upgrade {
        /// The version.
        version: ProtocolVersion,
        /// The first height under it; at least two after the block that decides it.
        height: Height,
    },
}

/// One thing that an amendment decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clause {
    /// About the validators; in force two heights later.
    Validators(Change),
    /// A hospital, an issuer or a reviewer is accredited; in force at once.
    Accredit(Accredited),
    /// Somebody is accredited no more; in force at once. Nothing that it signs counts from here on.
    Revoke {
        /// As what.
        role: Role,
        /// Who.
        account: AccountId,
    },
}

impl From<Change> for Clause {
    fn from(change: Change) -> Self {
        Self::Validators(change)
    }
}

/// What the members sign.
///
/// Written with changes of the validators alone it is the same decision, and has the same digest, as with their clauses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendment<C = Clause> {
    /// How many amendments were adopted before: each counts once, and on the state that its signers had before them.
    pub number: u64,
    /// Last block time at which it may be adopted.
    pub valid_until_ms: Millis,
    /// In this order; all or nothing. At most [`CHANGES_MAX`].
    pub changes: Vec<C>,
}

/// An amendment with the signatures that adopt it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governance {
    /// What is decided.
    pub amendment: Amendment,
    /// Signatures of at least a quorum of the members, ordered by number.
    pub signatures: Vec<(ValidatorId, Signature)>,
}

/// Why an amendment is not adopted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GovernanceError {
    /// Adopted already, or meant for another state.
    #[error("the amendment has number {found}; {expected} is next")]
    Number {
        /// Its number.
        found: u64,
        /// The next one.
        expected: u64,
    },
    /// Its time is over.
    #[error("the amendment was valid until {until}; block time is {now}")]
    Expired {
        /// Its last valid time.
        until: Millis,
        /// Block time.
        now: Millis,
    },
    /// Too few signatures, or more than there are members.
    #[error("the amendment has {found} signatures; {quorum} to {n} members must sign")]
    Quorum {
        /// How many it has.
        found: usize,
        /// How many are needed.
        quorum: usize,
        /// How many members there are.
        n: usize,
    },
    /// A signer twice, out of order, or no member.
    #[error("signer {signer} of the amendment is no member, or stands twice or out of order")]
    Signer {
        /// The signer.
        signer: ValidatorId,
    },
    /// At least one signature does not hold.
    #[error("a signature of the amendment does not hold")]
    Signature,
    /// No change, or too many.
    #[error("the amendment has {count} changes; 1 to {CHANGES_MAX} are allowed")]
    Changes {
        /// How many.
        count: usize,
    },
    /// Too many members changed at once.
    #[error("the amendment changes {found} members; at most {allowed} may change in one block")]
    TooManyMembers {
        /// How many it changes.
        found: usize,
        /// How many may change.
        allowed: usize,
    },
    /// One member changed twice.
    #[error("the amendment changes {id} twice")]
    Twice {
        /// The member.
        id: ValidatorId,
    },
    /// Another amendment of this block has changed the members.
    #[error("another amendment of this block changes the members already; hand in again")]
    SecondInBlock,
    /// Too many sets are remembered.
    #[error(
        "{SETS_MAX} sets of validators are remembered; wait until offences under the oldest are void"
    )]
    TooManySets,
    /// A newcomer under a number that is not the next.
    #[error("the newcomer has number {found}; {expected} is next")]
    NewNumber {
        /// Its number.
        found: ValidatorId,
        /// The next free number.
        expected: ValidatorId,
    },
    /// No such member.
    #[error("{id} is no member")]
    NoMember {
        /// The number.
        id: ValidatorId,
    },
    /// Nobody would be left, or more than a ledger can have.
    #[error(
        "{n} validators would be left; a ledger has 1 to {}",
        crate::ledger::VALIDATORS_MAX
    )]
    Size {
        /// How many.
        n: usize,
    },
    /// A key that is or was somebody's, or has another use.
    #[error("a key of {id} is used already, by another validator or for another purpose")]
    KeyUsed {
        /// Whose.
        id: ValidatorId,
    },
    /// A validator for a hospital, or a reviewer from one, that is not accredited.
    #[error("{hospital} is not accredited")]
    Hospital {
        /// The hospital.
        hospital: HospitalId,
    },
    /// A pardon for somebody who is not excluded.
    #[error("{id} is not excluded for good")]
    NotExcluded {
        /// The number.
        id: ValidatorId,
    },
    /// An upgrade backwards, or too soon.
    #[error(
        "an upgrade must lead to a later version than {version}, and begin at height {earliest} or later"
    )]
    Upgrade {
        /// The present version.
        version: ProtocolVersion,
        /// The first height that is possible.
        earliest: Height,
    },
    /// A name that is none, or too long.
    #[error("a name of {bytes} bytes; 1 to {NAME_BYTES_MAX} are allowed")]
    Name {
        /// How long it is.
        bytes: usize,
    },
    /// Accredited already.
    #[error("{account} is accredited as {role} already")]
    Accredited {
        /// Who.
        account: AccountId,
        /// As what.
        role: Role,
    },
    /// Nobody to revoke.
    #[error("{account} is not accredited as {role}")]
    NotAccredited {
        /// Who.
        account: AccountId,
        /// As what.
        role: Role,
    },
    /// A key that somebody uses for something else.
    #[error("the key of {account} is in use already, in another role")]
    RoleTaken {
        /// Whose.
        account: AccountId,
    },
    /// A key that was revoked once.
    #[error("{account} was revoked: whoever comes back comes with another key")]
    WasRevoked {
        /// Whose.
        account: AccountId,
    },
    /// A hospital that would be revoked while it runs a validator.
    #[error(
        "{hospital} runs {id}: the same amendment must remove {id} or give it to another hospital"
    )]
    HospitalRuns {
        /// The hospital.
        hospital: HospitalId,
        /// Its validator.
        id: ValidatorId,
    },
}

impl Amendment {
    /// What it changes about the validators, in order.
    #[must_use]
    pub fn validator_changes(&self) -> Vec<Change> {
        let clauses = self.changes.iter();
        clauses
            .filter_map(|clause| match clause {
                Clause::Validators(change) => Some(change.clone()),
                Clause::Accredit(_) | Clause::Revoke { .. } => None,
            })
            .collect()
    }

    /// Who the validators are once it is in force, if they were `members` before.
    #[must_use]
    pub fn members_after(&self, members: &ValidatorSet) -> ValidatorSet {
        let mut set = members.clone();
        for change in self.validator_changes() {
            match change {
                Change::Admit(info) | Change::Rekey(info) => set = set.with(info),
                Change::Remove(id) => set = set.without(id),
                Change::Pardon(_) | Change::Upgrade { .. } => {}
            }
        }
        set
    }

    /// Whether it could stand in the next block, as far as it says itself and the standings tell: for those who write one,
    /// before they ask others to sign it. Who is accredited stands elsewhere in the state.
    ///
    /// # Errors
    /// The first [`GovernanceError`] found.
    pub fn check_changes(&self, standings: &Standings) -> Result<(), GovernanceError> {
        self.check_shape()?;
        let changes = self.validator_changes();
        if !changes.is_empty() {
            standings.check_changes(&changes)?;
        }
        self.check_left_behind(&self.members_after(standings.newest_validators()))
    }

    /// Number of changes, and names.
    pub(crate) fn check_shape(&self) -> Result<(), GovernanceError> {
        let count = self.changes.len();
        if count == 0 || count > CHANGES_MAX {
            return Err(GovernanceError::Changes { count });
        }
        for clause in &self.changes {
            if let Clause::Accredit(party) = clause
                && let Some(name) = party.name()
                && !is_name(name)
            {
                let bytes = name.len();
                return Err(GovernanceError::Name { bytes });
            }
        }
        Ok(())
    }

    /// No hospital that is revoked runs one of `members`, the validators once it is in force.
    pub(crate) fn check_left_behind(&self, members: &ValidatorSet) -> Result<(), GovernanceError> {
        for clause in &self.changes {
            let Clause::Revoke { role, account } = clause else {
                continue;
            };
            let hospital = HospitalId::from(*account);
            let mut runs = members.iter();
            if *role == Role::Hospital
                && let Some(info) = runs.find(|info| info.hospital == Some(hospital))
            {
                let id = info.id;
                return Err(GovernanceError::HospitalRuns { hospital, id });
            }
        }
        Ok(())
    }
}

impl<C: Clone + Into<Clause>> Amendment<C> {
    /// Chain and content in one digest: two people who see the same one sign the same.
    #[must_use]
    pub fn digest(&self, chain: ChainId) -> Digest {
        let whole = wire::encode(&self.clone().whole());
        hash("kithkin/amendment/2", &[chain.as_ref(), &whole])
    }

    /// The bytes that a member signs: the digest, under a domain of its own.
    #[must_use]
    pub fn message(&self, chain: ChainId) -> Vec<u8> {
        let digest = self.digest(chain);
        [b"kithkin/governance/1".as_slice(), digest.as_ref()].concat()
    }

    /// Signs the amendment for a member. The caller guarantees that `key` is its vote key.
    #[must_use]
    pub fn sign(&self, chain: ChainId, key: &SigningKey) -> Signature {
        key.sign(&self.message(chain))
    }

    /// The amendment with these signatures, ordered as they must be; of one signer the first counts.
    #[must_use]
    pub fn combine(
        self,
        signatures: impl IntoIterator<Item = (ValidatorId, Signature)>,
    ) -> Governance {
        let mut ordered = std::collections::BTreeMap::new();
        for (signer, signature) in signatures {
            ordered.entry(signer).or_insert(signature);
        }
        Governance {
            amendment: self.whole(),
            signatures: ordered.into_iter().collect(),
        }
    }

    fn whole(self) -> Amendment {
        Amendment {
            number: self.number,
            valid_until_ms: self.valid_until_ms,
            changes: self.changes.into_iter().map(Into::into).collect(),
        }
    }
}

impl Governance {
    /// Checks that a quorum of `set`, the validators of the block that is to hold it, has signed. The cheap comes first.
    ///
    /// # Errors
    /// The first [`GovernanceError`] found, of those about numbers of signatures and signers.
    pub fn check_signatures(
        &self,
        chain: ChainId,
        set: &ValidatorSet,
    ) -> Result<(), GovernanceError> {
        let (found, quorum, n) = (self.signatures.len(), set.quorum(), set.n());
        if found == 0 || found < quorum || found > n {
            return Err(GovernanceError::Quorum { found, quorum, n });
        }
        let message = self.amendment.message(chain);
        let mut items: Vec<(VerifyingKey, &[u8], Signature)> = Vec::with_capacity(found);
        let mut last = None;
        for &(signer, signature) in &self.signatures {
            let info = set
                .get(signer)
                .filter(|_| last.is_none_or(|last| last < signer))
                .ok_or(GovernanceError::Signer { signer })?;
            last = Some(signer);
            items.push((info.vote_key, &message, signature));
        }
        verify_batch(&items).map_err(|_| GovernanceError::Signature)
    }
}

#[cfg(test)]
mod tests;
