//! What the patient lays down for each tier, in advance.

use crate::units::{Millis, Tier};
use serde::{Deserialize, Serialize};

/// Longest waiting time that a patient may ask for.
pub const WAITING_MS_MAX: Millis = Millis(7 * 24 * 3_600_000);

/// The patient's rule for one tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierPolicy {
    /// Whether kin may open this tier at all. `summary` and `chart` always may.
    pub openable: bool,
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
            waiting_ms: Millis(0),
            session_ms_max: Millis(4 * 3_600_000),
        }
    }
}
