//! What a block did to the standing of validators, for the logs.

use crate::validator::actor::Commit;
use kithkin_protocol::ids::ValidatorId;

/// A line for each conviction, and for each loss of credit.
pub(super) fn log(me: ValidatorId, commit: &Commit) {
    let height = commit.block.header.height;
    for evidence in &commit.block.header.evidence {
        let offender = evidence.accused();
        let row = commit.seen.rows.iter().find(|row| row.id == offender);
        tracing::warn!(
            validator = %me,
            %height,
            %offender,
            offence = %evidence.offence(),
            offence_height = %evidence.height(),
            offence_view = %evidence.view(),
            jailed_until = row.and_then(|row| row.jailed_until).map(|height| height.0),
            offences = row.map(|row| row.offences),
            "a validator is convicted"
        );
    }
    for change in &commit.effects.credit {
        let (who, before, after) = (change.validator, change.before, change.after);
        if after < before {
            tracing::debug!(
                validator = %me, %height, %who, %before, %after, reason = ?change.reason, "credit lost"
            );
        } else {
            tracing::trace!(validator = %me, %height, ?change, "credit");
        }
    }
}
