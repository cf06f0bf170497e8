//! What a script expects of the end of its story.
//!
//! Not here: looking whether it holds ([`super::judge`]).

use super::script::StandingWord;
use super::words::{AnyName, HospitalName, KinName, PatientName, ValidatorName};
use kithkin_protocol::credit::CreditReason;
use kithkin_protocol::emergency::{ClosedBy, Phase, Verdict};
use kithkin_protocol::record::BatchStatus;
use kithkin_protocol::units::Tier;
use serde::Deserialize;

/// One expectation.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expect {
    /// A case stands in one of these phases, as proved by the ledger.
    Phase {
        /// The case.
        case: String,
        /// One of these.
        is: Vec<Phase>,
    },
    /// A case was closed by this.
    ClosedBy {
        /// The case.
        case: String,
        /// `hospital`, `time`, `veto` or `revoked`.
        by: ClosedBy,
    },
    /// A reviewer found this about a case.
    Verdict {
        /// The case.
        case: String,
        /// `justified`, `unjustified` or `inconclusive`.
        is: Verdict,
    },
    /// The validators of a hospital lost credit for its cases, those of other hospitals did not.
    Penalised {
        /// The hospital.
        hospital: HospitalName,
        /// What for: `overdue` or `unjustified`; nothing at all when empty.
        reasons: Vec<PenaltyWord>,
    },
    /// So many kin approved on chain.
    Approvals {
        /// The case.
        case: String,
        /// Exactly so many.
        exactly: usize,
    },
    /// The clinician read these tiers, and every record equals what the patient's own keys open.
    Readable {
        /// The case.
        case: String,
        /// All of these.
        tiers: Vec<Tier>,
    },
    /// A case was never granted, reading is refused, and no partial opening for it ever left a kin.
    Shut {
        /// The case.
        case: String,
    },
    /// No partial opening for any case ever left any kin.
    NothingLeft {},
    /// The hospital named exactly these kin as forgers.
    Forged {
        /// The case.
        case: String,
        /// All of them.
        kin: Vec<KinName>,
    },
    /// An actor died and was started again.
    Restarts {
        /// Who.
        actor: AnyName,
        /// How often.
        #[serde(default = "once")]
        at_least: usize,
        /// The reason contains this.
        #[serde(default)]
        because: String,
    },
    /// Masters were replaced.
    ViewChanges {
        /// How often.
        at_least: usize,
    },
    /// Exactly these validators were convicted on chain, are jailed and have lost all credit.
    Convicted {
        /// All of them.
        validators: Vec<ValidatorName>,
    },
    /// Both misuses of an approval were refused.
    ReplayRefused {
        /// Who tried.
        kin: KinName,
        /// The reason for the same transaction again contains this.
        #[serde(default)]
        again: String,
        /// The reason for the approval pointed at the other case contains this.
        #[serde(default)]
        moved: String,
    },
    /// A patient's shares are of this epoch: one more with every refresh and every change of the roster.
    Epoch {
        /// Whose shares.
        patient: PatientName,
        /// Exactly this one.
        is: u32,
    },
    /// Rules of this epoch are in force, one more with every change, and by them exactly these tiers may be opened.
    Rules {
        /// Whose rules.
        patient: PatientName,
        /// Exactly this one.
        epoch: u32,
        /// All of them.
        openable: Vec<Tier>,
    },
    /// So many kin proved their shares alive in the newest drill.
    Proved {
        /// Whose shares.
        patient: PatientName,
        /// Exactly so many.
        exactly: usize,
    },
    /// Exactly these kin are on a patient's roster.
    Roster {
        /// Whose roster.
        patient: PatientName,
        /// All of them.
        kin: Vec<KinName>,
    },
    /// A consent stands like this on chain.
    Consent {
        /// The consent.
        consent: String,
        /// `live`, `revoked`, `given_back`, `disaccredited` or `expired`.
        is: StandingWord,
    },
    /// Exactly these tiers were read with a consent, and every record equals what the patient's own keys open.
    ConsentRead {
        /// The consent.
        consent: String,
        /// All of them.
        tiers: Vec<Tier>,
    },
    /// The hospital has stated reads with a consent on chain.
    ConsentReadsOnChain {
        /// The consent.
        consent: String,
        /// Exactly so many records.
        exactly: u32,
    },
    /// Every kin refused when the hospital misused a consent.
    ConsentMisuseRefused {
        /// The consent.
        consent: String,
        /// The reasons contain this.
        #[serde(default)]
        because: String,
    },
    /// This device speaks for a patient.
    Device {
        /// Whose device.
        patient: PatientName,
        /// Exactly this one.
        is: PatientName,
    },
    /// A new device named exactly these kin for wrong shares.
    WrongShares {
        /// All of them.
        kin: Vec<KinName>,
    },
    /// The file came back byte for byte.
    Restored {
        /// The record.
        record: String,
    },
    /// All batches of a record stand on chain like this.
    Status {
        /// The record.
        record: String,
        /// `stored` or `degraded`.
        is: BatchStatus,
    },
    /// Exactly these kin, and the hospital, have signed that they erased a record.
    Erased {
        /// The record.
        record: String,
        /// All of them.
        kin: Vec<KinName>,
    },
    /// The chain has come so far.
    Height {
        /// At least.
        at_least: u64,
    },
    /// The hospital's reads stand on chain.
    ReadsOnChain {
        /// The case.
        case: String,
        /// So many records.
        at_least: u32,
    },
}

/// What a hospital's validator loses credit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PenaltyWord {
    /// A review of its case is overdue.
    Overdue,
    /// Its case was judged unjustified.
    Unjustified,
}

impl PenaltyWord {
    /// In text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overdue => "an overdue review",
            Self::Unjustified => "an unjustified case",
        }
    }

    /// The word for a change of credit; none for one that has nothing to do with cases.
    pub(super) fn of(reason: CreditReason) -> Option<Self> {
        match reason {
            CreditReason::ReviewOverdue => Some(Self::Overdue),
            CreditReason::CaseUnjustified => Some(Self::Unjustified),
            CreditReason::Voted { .. }
            | CreditReason::Authored { .. }
            | CreditReason::Skipped
            | CreditReason::Convicted { .. }
            | CreditReason::Inactive
            | CreditReason::Drift => None,
        }
    }
}

impl Expect {
    /// The expectation as a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Phase { case, is } => {
                let phases: Vec<_> = is.iter().map(|phase| phase.as_str()).collect();
                format!("case {case} is {}", phases.join(" or "))
            }
            Self::ClosedBy { case, by } => format!("case {case} was closed by {}", closer(*by)),
            Self::Verdict { case, is } => format!("case {case} was found {}", is.as_str()),
            Self::Penalised { hospital, reasons } if reasons.is_empty() => {
                format!("no validator of {hospital} lost credit for a case")
            }
            Self::Penalised { hospital, reasons } => format!(
                "the validators of {hospital} lost credit for {}, nobody else's",
                list(reasons.iter().map(|reason| reason.as_str()))
            ),
            Self::Approvals { case, exactly } => format!("{exactly} kin approved case {case}"),
            Self::Readable { case, tiers } => {
                let tiers: Vec<_> = tiers.iter().map(|tier| tier.as_str()).collect();
                format!(
                    "{} of case {case} read, equal to what was sealed",
                    tiers.join(" and ")
                )
            }
            Self::Shut { case } => {
                format!("case {case} stayed shut, no partial opening left a kin")
            }
            Self::NothingLeft {} => "no partial opening ever left any kin".to_owned(),
            Self::Forged { case, kin } if kin.is_empty() => {
                format!("nobody is named as forger in case {case}")
            }
            Self::Forged { case, kin } => {
                format!("{} named as forger in case {case}", list(kin))
            }
            Self::Restarts {
                actor,
                at_least,
                because,
            } if because.is_empty() => {
                format!("{} started again at least {at_least} times", actor.0)
            }
            Self::Restarts {
                actor,
                at_least,
                because,
            } => {
                format!(
                    "{} started again at least {at_least} times after it {because}",
                    actor.0
                )
            }
            Self::ViewChanges { at_least } => format!("at least {at_least} view changes"),
            Self::Convicted { validators } if validators.is_empty() => {
                "no validator is convicted".to_owned()
            }
            Self::Convicted { validators } => format!(
                "{} convicted, jailed and without credit, nobody else",
                list(validators)
            ),
            Self::ReplayRefused { kin, .. } => format!("both replays of {kin} were refused"),
            Self::Epoch { patient, is } => format!("the shares of {patient} are of epoch {is}"),
            Self::Rules {
                patient,
                epoch,
                openable,
            } => format!(
                "rules {epoch} of {patient} are in force, by which {} may be opened",
                list(openable)
            ),
            Self::Proved { patient, exactly } => {
                format!("{exactly} kin of {patient} proved their shares alive")
            }
            Self::Roster { patient, kin } => {
                format!("the roster of {patient} is {}", list(kin))
            }
            Self::Consent { consent, is } => format!("consent {consent} is {}", is.as_str()),
            Self::ConsentRead { consent, tiers } => {
                let tiers: Vec<_> = tiers.iter().map(|tier| tier.as_str()).collect();
                format!(
                    "{} read with consent {consent}, nothing else, equal to what was sealed",
                    tiers.join(" and ")
                )
            }
            Self::ConsentReadsOnChain { consent, exactly } => {
                format!("{exactly} records read with consent {consent} stand on chain")
            }
            Self::ConsentMisuseRefused { consent, .. } => {
                format!("every kin refused to serve consent {consent} after its end")
            }
            Self::Device { patient, is } => format!("{is} is the device that speaks for {patient}"),
            Self::WrongShares { kin } => {
                format!("{} named for wrong shares", list(kin))
            }
            Self::Restored { record } => format!("record {record} came back byte for byte"),
            Self::Status { record, is } => format!("record {record} is {}", is.as_str()),
            Self::Erased { record, kin } => {
                format!(
                    "record {record} was erased by its hospital and {}, who signed for it",
                    list(kin)
                )
            }
            Self::Height { at_least } => format!("the chain has come to height {at_least}"),
            Self::ReadsOnChain { case, at_least } => {
                format!("at least {at_least} reads of case {case} stand on chain")
            }
        }
    }
}

/// What closed a case, in a word.
pub(super) fn closer(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Time => "time",
        ClosedBy::Hospital => "hospital",
        ClosedBy::Veto => "veto",
        ClosedBy::Revoked => "revoked",
    }
}

/// Names in a row.
pub(super) fn list<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    }
}

fn once() -> usize {
    1
}
