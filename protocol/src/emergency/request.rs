//! What a clinician asks for, and the closed lists of why.

use crate::crypto::{Digest, HashWriter, SealingKey, Signature, SigningKey, VerifyingKey};
use crate::emergency::Credential;
use crate::ids::{CaseId, ChainId, HospitalId, PatientId, RecordId};
use crate::sharing::SessionPublic;
use crate::units::{CircleKind, Epoch, Height, Millis, Tier};
use crate::wire;
use serde::{Deserialize, Serialize};

/// Most single records that one scope may name.
pub const SCOPE_RECORDS_MAX: usize = 1_024;
/// Longest time that a request may wait for approvals.
pub const REQUEST_MS_MAX: Millis = Millis(24 * 3_600_000);
/// Longest time that a granted case may stay open.
pub const SESSION_MS_MAX: Millis = Millis(24 * 3_600_000);

/// Why somebody opens records (HL7 v3-ActReason).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Purpose {
    /// `BTG`: a threat to life; no waiting time, reviewed afterwards.
    #[serde(rename = "BTG")]
    BreakGlass,
    /// `ETREAT`: emergency treatment that can bear the patient's waiting time.
    #[serde(rename = "ETREAT")]
    EmergencyTreatment,
}

impl Purpose {
    /// The code in `http://terminology.hl7.org/CodeSystem/v3-ActReason`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BreakGlass => "BTG",
            Self::EmergencyTreatment => "ETREAT",
        }
    }
}

/// What happened to the patient. Closed, so that kin are shown words they know and reviewers can count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Found unconscious, cause unknown.
    Unconscious,
    /// Cardiac arrest or suspected heart attack.
    Cardiac,
    /// Suspected stroke.
    Stroke,
    /// Accident or injury.
    Trauma,
    /// Severe allergic reaction.
    Anaphylaxis,
    /// Poisoning or overdose.
    Poisoning,
    /// Severe infection.
    Sepsis,
    /// Emergency in pregnancy or at birth.
    Obstetric,
    /// Acute illness that needs the history, without immediate threat to life.
    Acute,
}

impl Reason {
    /// Whether a life is at stake: only then may a request say [`Purpose::BreakGlass`], which no waiting time holds up.
    #[must_use]
    pub fn is_life_threat(self) -> bool {
        self != Self::Acute
    }
}

/// Why a kin says no.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalReason {
    /// The patient can be asked.
    PatientCanDecide,
    /// The patient is not where the request says.
    NotThere,
    /// The kin does not believe the request.
    Doubtful,
    /// No reason given.
    Unstated,
}

/// Whom a request asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Circle {
    /// The patient's roster.
    First,
    /// The second circle, for the summary only, because the first could not be reached.
    Second {
        /// The case in which the first circle was asked.
        after: CaseId,
    },
}

impl Circle {
    /// Which circle it is.
    #[must_use]
    pub fn kind(self) -> CircleKind {
        match self {
            Self::First => CircleKind::First,
            Self::Second { .. } => CircleKind::Second,
        }
    }
}

/// One tier of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The tier.
    pub tier: Tier,
    /// All batches of the patient and tier up to this height.
    pub up_to: Height,
    /// Only these records of them; empty means all.
    pub only: Vec<RecordId>,
}

/// A request to open records, signed by the clinician inside and by the hospital outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Whose records.
    pub patient: PatientId,
    /// The roster epoch that the request counts on.
    pub epoch: Epoch,
    /// Whose approval is asked.
    pub circle: Circle,
    /// Which records; tiers ascending, none twice.
    pub scopes: Vec<Scope>,
    /// What for.
    pub purpose: Purpose,
    /// What happened.
    pub reason: Reason,
    /// Digest of the hospital's own encounter number.
    pub encounter: Digest,
    /// The clinician's key.
    pub clinician: VerifyingKey,
    /// Who vouches for the clinician, and as what. A request without it can stand on chain, as an attempt, and opens nothing.
    pub credential: Option<Credential>,
    /// One-time point `E` that masks the opening (design, opening section 3), with the proof that the requester
    /// knows its logarithm; without the proof `E` could steer to another record.
    pub session: SessionPublic,
    /// One-time key that partial openings are sealed to.
    pub session_key: SealingKey,
    /// What has not been granted by then is void.
    pub expires_ms: Millis,
    /// How long the case stays open once granted.
    pub session_ms: Millis,
    /// The clinician's signature over [`Request::digest`].
    pub clinician_signature: Signature,
}

impl Request {
    /// What the proof of `E` is bound to: every field but the proof and the clinician's signature.
    #[must_use]
    pub fn binding(&self, chain: ChainId, hospital: HospitalId) -> Digest {
        let mut writer = HashWriter::new("kithkin/request-binding/2");
        writer
            .field(chain)
            .field(hospital)
            .field(self.patient)
            .field(wire::encode(&(self.epoch, self.circle, &self.scopes)))
            .field(wire::encode(&(self.purpose, self.reason)))
            .field(self.encounter)
            .field(self.clinician)
            .field(wire::encode(&self.credential))
            .field(self.session.point)
            .field(self.session_key)
            .number(self.expires_ms.0)
            .number(self.session_ms.0);
        writer.finish()
    }

    /// What the clinician signs: the binding and the proof.
    #[must_use]
    pub fn digest(&self, chain: ChainId, hospital: HospitalId) -> Digest {
        let mut writer = HashWriter::new("kithkin/request/1");
        writer
            .field(self.binding(chain, hospital))
            .field(wire::encode(&self.session.proof));
        writer.finish()
    }

    /// Puts the clinician's signature in.
    #[must_use]
    pub fn signed(mut self, chain: ChainId, hospital: HospitalId, key: &SigningKey) -> Self {
        self.clinician_signature = key.sign(self.digest(chain, hospital).as_ref());
        self
    }

    /// The scope of `tier`, when it is part of the request.
    #[must_use]
    pub fn scope(&self, tier: Tier) -> Option<&Scope> {
        self.scopes.iter().find(|scope| scope.tier == tier)
    }
}
