//! What the patient lays down in advance: a rule for each tier, and when to turn to whom.

use super::REQUEST_MS_MAX;
use crate::ids::HospitalId;
use crate::units::{Millis, Tier};
use serde::{Deserialize, Serialize};

/// Longest waiting time that a patient may ask for.
pub const WAITING_MS_MAX: Millis = Millis(7 * 24 * 3_600_000);
/// Most hospitals that one rule may list.
pub const LISTED_MAX: usize = 64;
/// Shortest time after which kin are asked again.
pub const REMIND_MS_MIN: Millis = Millis(1_000);

/// Which hospitals may ask for a tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhoMayAsk {
    /// Every accredited hospital: nobody knows beforehand where an accident happens.
    AnyAccredited,
    /// These and no others, as far as they are accredited: ascending, none twice, 1 to [`LISTED_MAX`].
    Only(Vec<HospitalId>),
}

impl WhoMayAsk {
    /// Whether `hospital` may ask.
    #[must_use]
    pub fn allows(&self, hospital: HospitalId) -> bool {
        match self {
            Self::AnyAccredited => true,
            Self::Only(listed) => listed.binary_search(&hospital).is_ok(),
        }
    }

    /// Whether everybody whom this allows is allowed by `other` too.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::AnyAccredited) => true,
            (Self::AnyAccredited, Self::Only(_)) => false,
            (Self::Only(listed), Self::Only(_)) => listed.iter().all(|one| other.allows(*one)),
        }
    }

    fn is_within_bounds(&self) -> bool {
        match self {
            Self::AnyAccredited => true,
            Self::Only(listed) => {
                (1..=LISTED_MAX).contains(&listed.len()) && listed.is_sorted_by(|a, b| a < b)
            }
        }
    }
}

/// The patient's rule for one tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierPolicy {
    /// Whether kin may open this tier at all. `summary` and `chart` always may.
    pub openable: bool,
    /// Which hospitals may ask for it.
    pub who: WhoMayAsk,
    /// How long a request without threat to life waits, at least, before it is granted.
    pub waiting_ms: Millis,
    /// Longest session.
    pub session_ms_max: Millis,
}

impl TierPolicy {
    /// What holds when the patient says nothing: the sensitive tier stays shut.
    #[must_use]
    pub fn default_for(tier: Tier) -> Self {
        Self {
            openable: tier != Tier::Sensitive,
            who: WhoMayAsk::AnyAccredited,
            waiting_ms: Millis(0),
            session_ms_max: Millis(4 * 3_600_000),
        }
    }

    /// Whether the rule is one that a patient may lay down for `tier`.
    #[must_use]
    pub fn is_within_bounds(&self, tier: Tier) -> bool {
        (self.openable || tier == Tier::Sensitive)
            && self.who.is_within_bounds()
            && self.waiting_ms <= WAITING_MS_MAX
            && self.session_ms_max.0 > 0
    }
}

/// What happens while kin don't answer. Spans count from the block time of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Kin who have not decided are asked again after this time, at least [`REMIND_MS_MIN`].
    pub remind_after_ms: Millis,
    /// From then on the hospital may turn to the second circle: later than the reminder, at most [`REQUEST_MS_MAX`].
    pub second_circle_after_ms: Millis,
}

impl Default for Escalation {
    /// Ten minutes, half an hour.
    fn default() -> Self {
        Self {
            remind_after_ms: Millis(10 * 60_000),
            second_circle_after_ms: Millis(30 * 60_000),
        }
    }
}

impl Escalation {
    /// Whether the times are ones that a patient may lay down.
    #[must_use]
    pub fn is_within_bounds(&self) -> bool {
        self.remind_after_ms >= REMIND_MS_MIN
            && self.remind_after_ms < self.second_circle_after_ms
            && self.second_circle_after_ms <= REQUEST_MS_MAX
    }
}
