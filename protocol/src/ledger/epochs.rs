//! Which rosters and which rules counted when: the circles and the rules change each at their own times.

use crate::emergency::Case;
use crate::ledger::patient::Patient;
use crate::units::Epoch;
use serde::{Deserialize, Serialize};

/// Which sharings count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CircleEpochs {
    /// Of the first circle: goes up with each handover.
    pub first: Epoch,
    /// Of the second circle: goes up with each word about it, and when it ends with the key that it shares. It counts from
    /// [`Enrolment::EPOCH`](crate::ledger::Enrolment::EPOCH) whether a second circle is named or not.
    pub second: Epoch,
}

/// Which sharings and which rules count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epochs {
    /// As in [`CircleEpochs`].
    pub first: Epoch,
    /// As in [`CircleEpochs`].
    pub second: Epoch,
    /// Of the rules: goes up with each change of them.
    pub rules: Epoch,
}

impl core::fmt::Display for CircleEpochs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} (second circle {})", self.first, self.second)
    }
}

impl core::fmt::Display for Epochs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            first,
            second,
            rules,
        } = self;
        write!(f, "{first} (second circle {second}, rules {rules})")
    }
}

impl CircleEpochs {
    /// What the patient's next word about the second circle has to name.
    #[must_use]
    pub fn next_second(self) -> Self {
        let second = self.second.plus(1);
        Self { second, ..self }
    }
}

impl Patient {
    /// Which sharings count now.
    #[must_use]
    pub fn circles(&self) -> CircleEpochs {
        CircleEpochs {
            first: self.epoch,
            second: self.second_epoch,
        }
    }

    /// Which sharings and rules count now.
    #[must_use]
    pub fn epochs(&self) -> Epochs {
        Epochs {
            first: self.epoch,
            second: self.second_epoch,
            rules: self.rules_epoch,
        }
    }
}

impl Case {
    /// Which sharings counted when the case was opened.
    #[must_use]
    pub fn circles(&self) -> CircleEpochs {
        CircleEpochs {
            first: self.request.epoch,
            second: self.second_epoch,
        }
    }

    /// Which sharings and rules counted when the case was opened.
    #[must_use]
    pub fn epochs(&self) -> Epochs {
        Epochs {
            first: self.request.epoch,
            second: self.second_epoch,
            rules: self.rules_epoch,
        }
    }
}
