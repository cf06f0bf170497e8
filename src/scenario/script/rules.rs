//! Steps about the patient's rules.

use super::super::words::{HospitalName, PatientName, Span};
use super::one_minute;
use kithkin_protocol::units::Tier;
use serde::Deserialize;

/// `do.change_rules`: what is left out stays.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRules {
    /// Whose rules; the patient's device says it, whoever holds it.
    pub patient: PatientName,
    /// The tiers that the next five are about; all when left out.
    #[serde(default = "all")]
    pub tiers: Vec<Tier>,
    /// Whether kin may open them.
    pub openable: Option<bool>,
    /// These hospitals may ask for them, and no others.
    pub only: Option<Vec<HospitalName>>,
    /// Every accredited hospital may ask for them.
    #[serde(default)]
    pub any_hospital: bool,
    /// How long a request without threat to life waits.
    pub waiting: Option<Span>,
    /// The longest session.
    pub session: Option<Span>,
    /// After this time kin who have not decided are asked again.
    pub remind_after: Option<Span>,
    /// After this time the second circle may be asked.
    pub second_after: Option<Span>,
    /// How long kin may object to what the patient's device proposes.
    pub objection: Option<Span>,
    /// How long the patient may veto what the kin have decided about the roster.
    pub veto: Option<Span>,
    /// How often kin have to prove that their shares are alive.
    pub drill: Option<Span>,
}

/// `do.wait_rules`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitRules {
    /// Whose rules.
    pub patient: PatientName,
    /// At least: one more with every change, from 1.
    pub epoch: u32,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

fn all() -> Vec<Tier> {
    Tier::ALL.to_vec()
}
