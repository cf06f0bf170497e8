//! The validators of one height.

use crate::ids::ValidatorId;
use crate::ledger::ValidatorInfo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The validators that vote on one height, ordered by number. Bounded by
/// [`crate::ledger::VALIDATORS_MAX`] where a set is made: in the genesis, and by governance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatorSet(BTreeMap<ValidatorId, ValidatorInfo>);

impl ValidatorSet {
    /// The set of these validators; of two with one number the later counts.
    #[must_use]
    pub fn new(validators: impl IntoIterator<Item = ValidatorInfo>) -> Self {
        Self(validators.into_iter().map(|info| (info.id, info)).collect())
    }

    /// How many there are.
    #[must_use]
    pub fn n(&self) -> usize {
        self.0.len()
    }

    /// How many may be faulty: `(n - 1) / 3`.
    #[must_use]
    pub fn f(&self) -> usize {
        self.n().saturating_sub(1) / 3
    }

    /// How many make a certificate: `n - f`. Not `2f + 1`, which is too few when `n` is not `3f + 1` (spec section 7).
    #[must_use]
    pub fn quorum(&self) -> usize {
        #[cfg(any(test, feature = "testing"))]
        if crate::consensus::short_quorum() {
            return self.f().saturating_mul(2).saturating_add(1);
        }
        self.n().saturating_sub(self.f())
    }

    /// The validator with this number.
    #[must_use]
    pub fn get(&self, id: ValidatorId) -> Option<&ValidatorInfo> {
        self.0.get(&id)
    }

    /// These validators and one more, in the place of the one with its number if there is one.
    #[must_use]
    pub fn with(&self, info: ValidatorInfo) -> Self {
        let mut set = self.clone();
        set.0.insert(info.id, info);
        set
    }

    /// These validators without one.
    #[must_use]
    pub fn without(&self, id: ValidatorId) -> Self {
        let mut set = self.clone();
        set.0.remove(&id);
        set
    }

    /// Whether there is a validator with this number.
    #[must_use]
    pub fn contains(&self, id: ValidatorId) -> bool {
        self.0.contains_key(&id)
    }

    /// All numbers, ascending.
    pub fn ids(&self) -> impl Iterator<Item = ValidatorId> + '_ {
        self.0.keys().copied()
    }

    /// All validators, by number.
    pub fn iter(&self) -> impl Iterator<Item = &ValidatorInfo> + '_ {
        self.0.values()
    }
}
