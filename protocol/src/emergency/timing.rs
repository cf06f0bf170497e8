//! A case's deadlines, drawn once from the patient's rules when the request is made.

use super::{Circle, Escalation, Purpose, Request, TierPolicy};
use crate::units::{Millis, Tier};
use serde::{Deserialize, Serialize};

/// Rules of the patient's tiers, drawn together for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Not granted before this time.
    pub not_before_ms: Millis,
    /// How long the session lasts once granted.
    pub session_ms: Millis,
    /// How long after closing a verdict may take.
    pub review_within_ms: Millis,
    /// When kin who have not decided are asked again.
    pub remind_at_ms: Millis,
    /// From when on the hospital may turn to the second circle; none when it never may.
    pub second_circle_at_ms: Option<Millis>,
}

/// How far the search for kin who answer has gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Kin were asked once.
    Asked,
    /// They were asked again.
    Reminded,
    /// The hospital may turn to the second circle.
    SecondCircle,
}

impl Timing {
    /// Draws the rules together: a threat to life waits for nothing but the quorum. `escalation` and whether there is a
    /// second circle come from the same enrolment as the `policies` of the tiers in scope.
    #[must_use]
    pub fn draw(
        policies: &[&TierPolicy],
        escalation: &Escalation,
        has_second: bool,
        request: &Request,
        now: Millis,
        review_within_ms: Millis,
    ) -> Self {
        let waiting = match request.purpose {
            Purpose::BreakGlass => Millis(0),
            Purpose::EmergencyTreatment => policies
                .iter()
                .map(|policy| policy.waiting_ms)
                .max()
                .unwrap_or_default(),
        };
        let session_ms = policies
            .iter()
            .map(|policy| policy.session_ms_max)
            .min()
            .unwrap_or_default()
            .min(request.session_ms);
        // The second circle knows nothing but the summary, and nobody comes after it.
        let turns =
            has_second && request.circle == Circle::First && request.scope(Tier::Summary).is_some();
        Self {
            not_before_ms: now.plus(waiting.0),
            session_ms,
            review_within_ms,
            remind_at_ms: now.plus(escalation.remind_after_ms.0),
            second_circle_at_ms: turns.then(|| now.plus(escalation.second_circle_after_ms.0)),
        }
    }
}
