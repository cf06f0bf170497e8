//! The sections of the summary, in the order in which an emergency room reads them.
//!
//! Codes: LOINC, as the International Patient Summary names its sections.

/// One section.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Section {
    /// Warnings for whoever treats the patient.
    Alerts,
    /// What the patient has decided beforehand.
    AdvanceDirectives,
    /// Allergies and intolerances.
    Allergies,
    /// Current medication.
    Medications,
    /// Active problems.
    Problems,
    /// Blood group, then the latest laboratory results.
    Results,
    /// Implants and other devices.
    Devices,
    /// Pregnancy.
    Pregnancy,
    /// Procedures.
    Procedures,
    /// Immunizations.
    Immunizations,
    /// Resolved and inactive problems.
    PastProblems,
    /// Vital signs.
    VitalSigns,
    /// Functional status.
    FunctionalStatus,
    /// Social history.
    SocialHistory,
    /// Plan of care.
    PlanOfCare,
}

impl Section {
    /// Every section, in order.
    pub const ALL: [Self; 15] = [
        Self::Alerts,
        Self::AdvanceDirectives,
        Self::Allergies,
        Self::Medications,
        Self::Problems,
        Self::Results,
        Self::Devices,
        Self::Pregnancy,
        Self::Procedures,
        Self::Immunizations,
        Self::PastProblems,
        Self::VitalSigns,
        Self::FunctionalStatus,
        Self::SocialHistory,
        Self::PlanOfCare,
    ];

    /// The section's LOINC code.
    #[must_use]
    pub fn loinc(self) -> &'static str {
        match self {
            Self::Alerts => "104605-1",
            Self::AdvanceDirectives => "42348-3",
            Self::Allergies => "48765-2",
            Self::Medications => "10160-0",
            Self::Problems => "11450-4",
            Self::Results => "30954-2",
            Self::Devices => "46264-8",
            Self::Pregnancy => "10162-6",
            Self::Procedures => "47519-4",
            Self::Immunizations => "11369-6",
            Self::PastProblems => "11348-0",
            Self::VitalSigns => "8716-3",
            Self::FunctionalStatus => "47420-5",
            Self::SocialHistory => "29762-2",
            Self::PlanOfCare => "18776-5",
        }
    }

    /// The section with this LOINC code.
    #[must_use]
    pub fn from_loinc(code: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|section| section.loinc() == code)
    }

    /// The section's title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Alerts => "Alerts",
            Self::AdvanceDirectives => "Advance directives",
            Self::Allergies => "Allergies and intolerances",
            Self::Medications => "Medications",
            Self::Problems => "Problems",
            Self::Results => "Results",
            Self::Devices => "Devices",
            Self::Pregnancy => "Pregnancy",
            Self::Procedures => "Procedures",
            Self::Immunizations => "Immunizations",
            Self::PastProblems => "Past problems",
            Self::VitalSigns => "Vital signs",
            Self::FunctionalStatus => "Functional status",
            Self::SocialHistory => "Social history",
            Self::PlanOfCare => "Plan of care",
        }
    }

    /// Whether the section stands even when it is empty.
    #[must_use]
    pub fn is_required(self) -> bool {
        matches!(self, Self::Allergies | Self::Medications | Self::Problems)
    }

    /// The most entries shown; none for the sections that must be complete.
    #[must_use]
    pub fn entries_max(self) -> Option<usize> {
        match self {
            Self::Alerts
            | Self::AdvanceDirectives
            | Self::Allergies
            | Self::Medications
            | Self::Problems
            | Self::Devices => None,
            Self::Results => Some(40),
            Self::Pregnancy | Self::FunctionalStatus | Self::SocialHistory | Self::PlanOfCare => {
                Some(10)
            }
            Self::Procedures | Self::Immunizations | Self::PastProblems | Self::VitalSigns => {
                Some(20)
            }
        }
    }

    /// Whether of several resources with the same code only the latest is of interest.
    #[must_use]
    pub(super) fn latest_only(self) -> bool {
        match self {
            Self::Alerts
            | Self::AdvanceDirectives
            | Self::Allergies
            | Self::Medications
            | Self::Problems
            | Self::Devices
            | Self::PlanOfCare => false,
            Self::Results
            | Self::Pregnancy
            | Self::Procedures
            | Self::Immunizations
            | Self::PastProblems
            | Self::VitalSigns
            | Self::FunctionalStatus
            | Self::SocialHistory => true,
        }
    }
}
