//! Laying down other rules than at the enrolment (ADR 43).

use super::device::Device;
use super::messages::{LaidDown, LayDown, PatientError};
use super::roster::{bad, stand};
use kithkin_protocol::ledger::{Rules, RulesChange};
use kithkin_protocol::roster::{Plan, RosterStep};
use kithkin_protocol::units::Tier;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the proof of what is in force may take.
const PROVE_WITHIN: Duration = Duration::from_secs(10);

/// Has other rules stand on chain; says whether they count already.
pub(super) async fn lay_down(device: Arc<Device>, wish: LayDown) -> Result<LaidDown, PatientError> {
    let enrolled = device.enrolled(Instant::now() + PROVE_WITHIN).await?;
    let (entry, _) = enrolled.ok_or_else(|| bad("nobody is enrolled with this device"))?;
    let before = Rules::of(&entry.enrolment);
    let rules = wish.rules(&before);
    let change = RulesChange {
        from: entry.rules_epoch,
        rules: rules.clone(),
    };
    change.check(&entry).map_err(bad)?;
    let step = RosterStep::Propose(Box::new(Plan::Rules(Box::new(change))));
    let height = stand(&device, step).await?;
    let in_force = rules.only_tighten(&before);
    let waits = (!in_force).then_some(before.roster.objection_ms);
    Ok(LaidDown {
        height,
        waits_ms: waits,
        changes: rules.changes_since(&before),
    })
}

impl LayDown {
    /// What is in force, with what is to be other.
    fn rules(self, before: &Rules) -> Rules {
        let mut rules = before.clone();
        for (tier, policy) in self.policies {
            let places = Tier::ALL.iter().zip(&mut rules.policies);
            for (_, place) in places.filter(|(of, _)| **of == tier) {
                *place = policy.clone();
            }
        }
        rules.escalation = self.escalation.unwrap_or(rules.escalation);
        rules.roster = self.roster.unwrap_or(rules.roster);
        rules
    }
}
