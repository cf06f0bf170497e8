//! How much time people have: laid down by the patient at enrolment, accepted by every kin.

use crate::units::Millis;
use serde::{Deserialize, Serialize};

/// Longest of the delays below: 30 days.
pub const DELAY_MS_MAX: Millis = Millis(30 * 24 * 3_600_000);
/// Longest and shortest time between two refreshes or drills: a year, and one second.
pub const PERIOD_MS: (Millis, Millis) = (Millis(1_000), Millis(366 * 24 * 3_600_000));

/// Delays and periods around a roster, in milliseconds of block time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterRules {
    /// How long kin may object to a change that the patient's device proposes, at most [`DELAY_MS_MAX`].
    pub objection_ms: Millis,
    /// How long the patient's device may veto what the kin's quorum has decided, at most [`DELAY_MS_MAX`].
    pub veto_ms: Millis,
    /// How long dealing, and then accepting, may take; 1 to [`DELAY_MS_MAX`].
    pub step_ms: Millis,
    /// How long a dealer has to answer a complaint; at least 1, and shorter than `step_ms`.
    pub answer_ms: Millis,
    /// A refresh is due so long after the last one, within [`PERIOD_MS`].
    pub refresh_every_ms: Millis,
    /// A readiness drill begins so long after the last one, within [`PERIOD_MS`].
    pub drill_every_ms: Millis,
}

impl Default for RosterRules {
    fn default() -> Self {
        const HOUR: u64 = 3_600_000;
        Self {
            objection_ms: Millis(48 * HOUR),
            veto_ms: Millis(24 * HOUR),
            step_ms: Millis(7 * 24 * HOUR),
            answer_ms: Millis(24 * HOUR),
            refresh_every_ms: Millis(90 * 24 * HOUR),
            drill_every_ms: Millis(7 * 24 * HOUR),
        }
    }
}

impl RosterRules {
    /// Whether every value is within its bounds.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let Self {
            objection_ms,
            veto_ms,
            step_ms,
            answer_ms,
            refresh_every_ms,
            drill_every_ms,
        } = *self;
        let (least, most) = PERIOD_MS;
        objection_ms <= DELAY_MS_MAX
            && veto_ms <= DELAY_MS_MAX
            && (Millis(1)..=DELAY_MS_MAX).contains(&step_ms)
            && answer_ms.0 > 0
            && answer_ms < step_ms
            && (least..=most).contains(&refresh_every_ms)
            && (least..=most).contains(&drill_every_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let good = RosterRules::default();
        assert!(good.is_bounded());
        let long = DELAY_MS_MAX.plus(1);
        let bad: [fn(&mut RosterRules, Millis); 7] = [
            |rules, long| rules.objection_ms = long,
            |rules, long| rules.veto_ms = long,
            |rules, _| rules.step_ms = Millis(0),
            |rules, _| rules.answer_ms = Millis(0),
            |rules, _| rules.answer_ms = rules.step_ms,
            |rules, _| rules.refresh_every_ms = Millis(999),
            |rules, _| rules.drill_every_ms = PERIOD_MS.1.plus(1),
        ];
        for change in bad {
            let mut rules = good;
            change(&mut rules, long);
            assert!(!rules.is_bounded(), "{rules:?}");
        }
    }
}
