//! Consent, outside emergencies: a patient grants a hospital access to tiers or single records, for a purpose and a time.
//!
//! Hospital and patient both sign. The grant stands on the ledger; the keys of the records go, sealed to a key of the
//! hospital, from the patient's device to the hospital. Whoever holds data or keys asks [`Grant::allows`] each time before
//! using them.
//!
//! ```text
//! hospital's signature, patient's signature --> Live --the patient revokes, or the hospital gives back--> Revoked
//!                                               |  ^
//!                                               |  '-- renewal: both sign again
//!                                               |--its hospital is accredited no more--> Revoked
//!                                               '--its time is over--> Expired
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `terms` | what both sign, for the grant and for its renewal |
//! | `grant` | the grant as it stands on the ledger, and every step of it |
//! | `rekey` | the keys: sealed anew by the patient's device, used by the hospital |
//!
//! Not here: the transactions ([`crate::ledger`]); what kin open when the patient cannot speak ([`crate::emergency`]). The
//! protocol in prose: `docs/spec/consent.md`.

mod grant;
mod rekey;
mod terms;
#[cfg(test)]
mod tests;

pub use grant::{Grant, GrantEvent, RevokedBy, Standing};
pub use rekey::{BUNDLE_KEYS_MAX, Bundle, GrantKeys, KeyPlace, RekeyError, Rekeying};
pub use terms::{GRANT_MS_MAX, GrantDeed, GrantPurpose, GrantTerms, Renewal};

use crate::ids::{GrantId, HospitalId, PatientId, RecordId};
use crate::units::{Height, Millis, Tier};

/// Most grants of one patient that are live at once.
pub const LIVE_GRANTS_MAX: usize = 64;

/// Why a grant does not stand, does not take a step, or does not allow an access. Nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// A term outside its bounds.
    #[error("the grant cannot stand: {field} is wrong")]
    Terms {
        /// What is wrong.
        field: &'static str,
    },
    /// These very terms have been granted before. What was revoked stays revoked.
    #[error("grant {grant} was given before; its terms cannot be granted again")]
    Known {
        /// The grant.
        grant: GrantId,
    },
    /// The hospital has not signed exactly this.
    #[error("{hospital} has not signed this")]
    HospitalSignature {
        /// The hospital.
        hospital: HospitalId,
    },
    /// Too many grants of one patient at once.
    #[error("{patient} has {LIVE_GRANTS_MAX} live grants already; revoke one first")]
    TooMany {
        /// The patient.
        patient: PatientId,
    },
    /// No such grant.
    #[error("grant {grant} does not exist")]
    Unknown {
        /// The grant.
        grant: GrantId,
    },
    /// The signer may not do this.
    #[error("only the {role} may do this")]
    NotAllowed {
        /// Who may.
        role: &'static str,
    },
    /// The grant has ended.
    #[error("the grant is {standing}")]
    Ended {
        /// How.
        standing: Standing,
    },
    /// The grant's time has not come.
    #[error("the grant begins at {from_ms}")]
    NotYet {
        /// When it begins.
        from_ms: Millis,
    },
    /// The grant's time is over, whether or not the ledger has noted it yet.
    #[error("the grant was good until {until_ms}")]
    Over {
        /// When it ended.
        until_ms: Millis,
    },
    /// The grant was given to another hospital.
    #[error("the grant was not given to {hospital}")]
    OtherHospital {
        /// Who asks.
        hospital: HospitalId,
    },
    /// The grant does not name the tier.
    #[error("the grant does not name the tier {tier}")]
    Tier {
        /// The tier.
        tier: Tier,
    },
    /// The batch came on chain after those that the grant names.
    #[error("the batch of height {height} is not covered: the grant names those up to {up_to}")]
    Later {
        /// Height of the batch.
        height: Height,
        /// The last height that the grant names.
        up_to: Height,
    },
    /// The grant names single records, and not this one.
    #[error("the grant does not name record {record}")]
    Record {
        /// The record.
        record: RecordId,
    },
    /// A report of no record, or of more than the grant names.
    #[error("a read of {records} records does not fit the grant")]
    ReadCount {
        /// The number reported.
        records: u32,
    },
    /// The renewal was signed for another end of the grant.
    #[error("the renewal starts from an end at {ends_ms}; the grant ends at {until_ms}")]
    Stale {
        /// What the renewal says.
        ends_ms: Millis,
        /// When the grant ends.
        until_ms: Millis,
    },
}
