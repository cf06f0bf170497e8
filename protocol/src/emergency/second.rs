//! When a hospital may turn to the second circle.
//!
//! The patient names it for the case that the first circle cannot be reached; it holds a sharing of the summary key of its
//! own. So it is asked after the first, for nothing but the summary, and not by a hospital that has been told no.

use super::{Case, ClosedBy, Phase, Request};
use crate::ids::{CaseId, HospitalId};
use crate::units::{CircleKind, Millis, Tier};

/// How long after asking the first circle a hospital may turn to the second; and how long a no of either circle or of
/// the patient stands in the way.
pub const SECOND_CIRCLE_WITHIN_MS: Millis = Millis(48 * 3_600_000);

/// Why the second circle cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecondCircleError {
    /// The patient has named none.
    #[error("the patient has named no second circle")]
    NoCircle,
    /// Something else than the summary, or more.
    #[error("the second circle opens the summary and nothing else")]
    Scope,
    /// There is no such case.
    #[error("case {after}, in which the first circle was asked, does not exist")]
    UnknownCase {
        /// The case that was named.
        after: CaseId,
    },
    /// It is not the case of the first circle that the request goes on from.
    #[error("case {after} is not the one to go on from: {field} differs")]
    OtherCase {
        /// The case that was named.
        after: CaseId,
        /// The first field that differs.
        field: &'static str,
    },
    /// The first circle was reached.
    #[error("case {after} is {}: the first circle was reached", phase.as_str())]
    Reached {
        /// The case that was named.
        after: CaseId,
        /// Where it stands.
        phase: Phase,
    },
    /// The first circle has more time.
    #[error("the second circle can be asked from {at} on")]
    TooEarly {
        /// When it may be asked.
        at: Millis,
    },
    /// The first circle was asked too long ago.
    #[error("the first circle was asked too long ago; ask it anew")]
    TooLate,
    /// A circle or the patient has said no to this hospital lately.
    #[error("case {case} was {}: the second circle is no way around that", phase.as_str())]
    SaidNo {
        /// The case that was refused or vetoed.
        case: CaseId,
        /// Which of the two.
        phase: Phase,
    },
}

impl Case {
    /// Whether `hospital` may turn to the second circle with `request`, having asked the first in this case.
    pub(crate) fn check_second(
        &self,
        hospital: HospitalId,
        request: &Request,
        now: Millis,
    ) -> Result<(), SecondCircleError> {
        let after = self.id;
        let differs = [
            ("hospital", self.hospital != hospital),
            ("patient", self.patient() != request.patient),
            ("circle", self.circle() != CircleKind::First),
            // Another roster has been asked; the present one has not.
            ("epoch", self.request.epoch != request.epoch),
            ("tier", self.request.scope(Tier::Summary).is_none()),
        ];
        if let Some((field, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            return Err(SecondCircleError::OtherCase { after, field });
        }
        if !self.phase.is_undecided() {
            let phase = self.phase;
            return Err(SecondCircleError::Reached { after, phase });
        }
        let at = self
            .timing
            .second_circle_at_ms
            .ok_or(SecondCircleError::NoCircle)?;
        if now < at {
            return Err(SecondCircleError::TooEarly { at });
        }
        if now > self.requested_ms.plus(SECOND_CIRCLE_WITHIN_MS.0) {
            return Err(SecondCircleError::TooLate);
        }
        Ok(())
    }

    /// Which no kin or the patient have said to `hospital` in this case, not long before `now`. A veto counts as one also
    /// when the kin had granted the case before.
    pub(crate) fn no_to(&self, hospital: HospitalId, now: Millis) -> Option<Phase> {
        let (at, no) = match (self.phase, self.ended_ms, self.closed) {
            (no @ (Phase::Refused | Phase::Vetoed), Some(at), _) => (at, no),
            (_, _, Some((at, ClosedBy::Veto))) => (at, Phase::Vetoed),
            _ => return None,
        };
        let counts = self.hospital == hospital && now <= at.plus(SECOND_CIRCLE_WITHIN_MS.0);
        counts.then_some(no)
    }
}
