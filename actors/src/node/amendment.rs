//! Amendments as files: what operators hand around until a quorum of the validators has signed.
//!
//! There is one kind of file. Whoever proposes writes it without signatures; each member adds its own to a copy, with keys
//! that never leave its machine; copies are merged. Beside the amendment the file names the members of its time, so that
//! people see whom it concerns and how many signatures are missing without asking a node. What it says of them binds nobody:
//! the ledger counts the signatures itself, and [`Draft::check_on`] compares the file with a state of the ledger. What stands in
//! it: `file`.

mod file;
#[cfg(test)]
mod tests;

use super::handed::Trouble;
use super::keys::NodeKeys;
use kithkin_protocol::credit::{Standings, ValidatorSet};
use kithkin_protocol::crypto::{Digest, Signature, VerifyingKey};
use kithkin_protocol::ids::{ChainId, ValidatorId};
use kithkin_protocol::ledger::{Amendment, Clause, Governance, GovernanceError, Register};
use kithkin_protocol::units::{Height, Millis};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why an amendment's file cannot be read, written, signed, merged or handed in.
#[derive(Debug, thiserror::Error)]
pub enum AmendmentError {
    /// The operating system.
    #[error("the amendment {} cannot be {action}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        action: &'static str,
        /// The operating system's words.
        reason: String,
    },
    /// There is something already.
    #[error("{} is there already and is not overwritten: choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not what it should be.
    #[error("{} is no amendment: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A signature in it does not hold.
    #[error(
        "the signature of {signer} in {} does not hold: ask {signer} to sign again",
        path.display()
    )]
    Signature {
        /// The file.
        path: PathBuf,
        /// Whose.
        signer: ValidatorId,
    },
    /// Keys of somebody who is no member.
    #[error(
        "no member has the vote key {vote_key:#}: only the validators that the amendment lists can sign it"
    )]
    NotMember {
        /// The public vote key.
        vote_key: VerifyingKey,
    },
    /// Two files about different things.
    #[error(
        "the files hold different amendments ({first:#} and {second:#}): they cannot be combined"
    )]
    Different {
        /// The first one's digest.
        first: Digest,
        /// The other's.
        second: Digest,
    },
    /// Too few signatures.
    #[error(
        "{found} of {quorum} signatures are there: collect the others, then kithkin governance combine"
    )]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        quorum: usize,
    },
    /// For another ledger.
    #[error("the amendment is for the ledger {found:#}; this is {expected:#}")]
    Chain {
        /// The amendment's.
        found: ChainId,
        /// Whose state it was compared with.
        expected: ChainId,
    },
    /// Other members than those that it lists.
    #[error(
        "the validators have changed since the amendment was written at height {height}: propose it anew"
    )]
    Members {
        /// When it was written.
        height: Height,
    },
    /// The ledger would refuse it.
    #[error("the ledger would not adopt this")]
    Refused(#[from] GovernanceError),
}

impl AmendmentError {
    fn of(path: &Path, trouble: Trouble) -> Self {
        let path = path.to_owned();
        match trouble {
            Trouble::Io { action, reason } => Self::Io {
                path,
                action,
                reason,
            },
            Trouble::Exists => Self::Exists { path },
            Trouble::Content(reason) => Self::Content { path, reason },
        }
    }
}

/// An amendment on its way to a quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The ledger.
    pub chain: ChainId,
    /// The height of the state that it was written on.
    pub height: Height,
    /// Who can sign: the validators that vote once every change that was adopted before is in force.
    pub members: ValidatorSet,
    /// What is decided.
    pub amendment: Amendment,
    /// Signatures of members; all of them hold.
    pub signatures: BTreeMap<ValidatorId, Signature>,
}

/// What an amendment is written on: a state, as far as amendments need it.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The ledger.
    pub chain: ChainId,
    /// Its validators.
    pub standings: &'a Standings,
    /// What is kept about accreditation as a whole.
    pub register: Register,
    /// Block time.
    pub time_ms: Millis,
}

impl Ground<'_> {
    /// The number of the next amendment.
    #[must_use]
    pub fn next_amendment(&self) -> u64 {
        self.register.amendments_after(self.standings)
    }
}

impl Draft {
    /// Writes an amendment on this state, as its next one.
    ///
    /// # Errors
    /// [`AmendmentError::Refused`] when the ledger would not adopt it; who is accredited is not looked up.
    pub fn propose(
        ground: &Ground<'_>,
        changes: Vec<Clause>,
        valid_until_ms: Millis,
    ) -> Result<Self, AmendmentError> {
        let amendment = Amendment {
            number: ground.next_amendment(),
            valid_until_ms,
            changes,
        };
        amendment.check_changes(ground.standings)?;
        Ok(Self {
            chain: ground.chain,
            height: ground.standings.height(),
            members: ground.standings.newest_validators().clone(),
            amendment,
            signatures: BTreeMap::new(),
        })
    }

    /// Names the amendment: two people who see the same digest sign the same.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.amendment.digest(self.chain)
    }

    /// How many more members must sign.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.members.quorum().saturating_sub(self.signatures.len())
    }

    /// The members that have not signed.
    pub fn unsigned(&self) -> impl Iterator<Item = ValidatorId> + '_ {
        let signed = |id: &ValidatorId| self.signatures.contains_key(id);
        self.members.ids().filter(move |id| !signed(id))
    }

    /// Adds the signature of the member whose keys these are; returns its number.
    ///
    /// # Errors
    /// [`AmendmentError::NotMember`].
    pub fn sign(&mut self, keys: &NodeKeys) -> Result<ValidatorId, AmendmentError> {
        let vote_key = keys.public().vote_key;
        let mut members = self.members.iter();
        let info = members
            .find(|info| info.vote_key == vote_key)
            .ok_or(AmendmentError::NotMember { vote_key })?;
        let id = info.id;
        let key = keys.identity_as(id).vote_key;
        let signature = self.amendment.sign(self.chain, &key);
        self.signatures.insert(id, signature);
        Ok(id)
    }

    /// Takes over the signatures of another copy.
    ///
    /// # Errors
    /// [`AmendmentError::Different`] for a copy of something else.
    pub fn merge(&mut self, other: Self) -> Result<(), AmendmentError> {
        let (first, second) = (self.digest(), other.digest());
        if first != second || self.chain != other.chain {
            return Err(AmendmentError::Different { first, second });
        }
        if self.members != other.members {
            let height = self.height.max(other.height);
            return Err(AmendmentError::Members { height });
        }
        self.signatures.extend(other.signatures);
        Ok(())
    }

    /// What a validator hands in.
    ///
    /// # Errors
    /// [`AmendmentError::TooFew`].
    pub fn governance(&self) -> Result<Governance, AmendmentError> {
        let (found, quorum) = (self.signatures.len(), self.members.quorum());
        if found < quorum {
            return Err(AmendmentError::TooFew { found, quorum });
        }
        let signatures = self
            .signatures
            .iter()
            .map(|(id, signature)| (*id, *signature));
        Ok(self.amendment.clone().combine(signatures))
    }

    /// Whether the ledger could adopt it after this state, once enough have signed; who is accredited is not looked up.
    ///
    /// # Errors
    /// [`AmendmentError::Chain`], [`AmendmentError::Refused`] with [`GovernanceError::Number`] when another amendment (or this
    /// one) was adopted meanwhile, [`AmendmentError::Members`], and every other reason to refuse it.
    pub fn check_on(&self, ground: &Ground<'_>) -> Result<(), AmendmentError> {
        let (found, until) = (self.chain, self.amendment.valid_until_ms);
        let expected = ground.chain;
        if found != expected {
            return Err(AmendmentError::Chain { found, expected });
        }
        let (found, expected) = (self.amendment.number, ground.next_amendment());
        if found != expected {
            return Err(GovernanceError::Number { found, expected }.into());
        }
        let now = ground.time_ms;
        if until < now {
            return Err(GovernanceError::Expired { until, now }.into());
        }
        if self.members != *ground.standings.newest_validators() {
            let height = self.height;
            return Err(AmendmentError::Members { height });
        }
        Ok(self.amendment.check_changes(ground.standings)?)
    }
}
