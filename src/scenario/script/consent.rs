//! Steps about consents, outside emergencies.

use super::super::words::{HospitalName, PatientName, Span};
use super::{no_time, one_hour, one_minute, summary_and_chart, ten_seconds};
use kithkin_protocol::consent::{GrantPurpose, RevokedBy, Standing};
use kithkin_protocol::units::Tier;
use serde::Deserialize;
use std::collections::BTreeSet;

/// `do.grant_consent`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantConsent {
    /// Who lets read.
    pub patient: PatientName,
    /// Who may read.
    pub hospital: HospitalName,
    /// A name for the consent, to be used by later steps and expectations.
    pub consent: String,
    /// Which tiers.
    #[serde(default = "summary_and_chart")]
    pub tiers: Vec<Tier>,
    /// `TREAT`, `ETREAT`, `PATRQT`, `FAMRQT` or `HCOMPL`.
    #[serde(default = "treatment")]
    pub purpose: GrantPurpose,
    /// How long from now it begins.
    #[serde(default = "no_time")]
    pub begins: Span,
    /// How long from now it ends.
    #[serde(default = "one_hour")]
    pub lasts: Span,
}

/// `do.revoke_consent`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeConsent {
    /// The consent.
    pub consent: String,
    /// Who ends it: the patient takes it back, or the hospital gives it back.
    #[serde(default)]
    pub by: Ender,
}

/// Who ends a consent before its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ender {
    /// The patient.
    #[default]
    Patient,
    /// The hospital.
    Hospital,
}

/// `do.renew_consent`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewConsent {
    /// The consent.
    pub consent: String,
    /// How long from now it ends.
    #[serde(default = "one_hour")]
    pub lasts: Span,
}

/// `do.take_consents`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakeConsents {
    /// Who.
    pub hospital: HospitalName,
    /// It signs terms for these purposes only.
    pub purposes: BTreeSet<GrantPurpose>,
}

/// `do.read_with_consent`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadWithConsent {
    /// The consent.
    pub consent: String,
    /// Only these tiers; all of the consent when left out.
    #[serde(default)]
    pub tiers: BTreeSet<Tier>,
    /// How long to wait for kin. The end of the consent comes first.
    #[serde(default = "ten_seconds")]
    pub within: Span,
}

/// `do.misuse_consent`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfConsent {
    /// The consent.
    pub consent: String,
}

/// `do.wait_consent`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitConsent {
    /// The consent.
    pub consent: String,
    /// How it is to stand.
    pub is: StandingWord,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

/// How a consent stands on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingWord {
    /// It has not ended.
    Live,
    /// The patient took it back.
    Revoked,
    /// The hospital gave it back.
    GivenBack,
    /// The hospital is accredited no more.
    Disaccredited,
    /// Its time is over.
    Expired,
}

impl StandingWord {
    /// The word for how a grant stands.
    #[must_use]
    pub fn of(standing: Standing) -> Self {
        match standing {
            Standing::Live => Self::Live,
            Standing::Revoked(_, RevokedBy::Patient) => Self::Revoked,
            Standing::Revoked(_, RevokedBy::Hospital) => Self::GivenBack,
            Standing::Revoked(_, RevokedBy::Governance) => Self::Disaccredited,
            Standing::Expired => Self::Expired,
        }
    }

    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Revoked => "revoked",
            Self::GivenBack => "given back",
            Self::Disaccredited => "ended with the hospital's accreditation",
            Self::Expired => "expired",
        }
    }
}

fn treatment() -> GrantPurpose {
    GrantPurpose::Treatment
}
