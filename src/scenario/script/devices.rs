//! Steps about lost devices.

use super::super::words::{AnyName, KinName, PatientName, Span};
use super::one_minute;
use serde::Deserialize;

/// `do.vouch`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouch {
    /// Who: the first proposes, the others support.
    pub who: Vec<KinName>,
    /// Who has lost a device.
    pub patient: PatientName,
    /// The new one: the device of a patient of the cast who never enrols.
    pub device: PatientName,
}

/// `do.wait_device`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitDevice {
    /// Whose device.
    pub patient: PatientName,
    /// Speaks for that patient, as the ledger says.
    pub device: PatientName,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

/// `do.rebuild`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebuild {
    /// Whose keys.
    pub patient: PatientName,
    /// On which device.
    pub device: PatientName,
}

/// `do.wait_erased`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitErased {
    /// Who keeps no share any more.
    pub kin: KinName,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

/// `do.new_phone`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPhone {
    /// Who proposes it: the patient or one of the kin.
    pub who: AnyName,
    /// Whose roster.
    pub patient: PatientName,
    /// The kin's device that is lost.
    pub lost: KinName,
    /// The same person's new one.
    pub new: KinName,
}
