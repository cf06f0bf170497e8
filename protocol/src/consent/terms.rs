//! What patient and hospital agree on, and what each of them signs.
//!
//! The identifier of a grant is the digest of its terms. It leaves the bundle of keys out, because the keys are sealed
//! under that identifier: the hospital signs the terms, then the patient's device seals, then the patient signs all of it.

use super::ConsentError;
use crate::crypto::{Digest, HashWriter, SealingKey, Signature, SigningKey, VerifyingKey, hash};
use crate::emergency::{SCOPE_RECORDS_MAX, Scope};
use crate::ids::{ChainId, GrantId, HospitalId, PatientId, RecordId};
use crate::units::{Height, Millis, Tier};
use crate::wire;
use serde::{Deserialize, Serialize};

/// The latest end of a grant, counted from when it is given or renewed: a year, leap day included.
pub const GRANT_MS_MAX: Millis = Millis(366 * 24 * 3_600_000);

/// What a grant is for (HL7 v3-ActReason). Breaking the glass is not among them: that is an emergency, and has its own way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum GrantPurpose {
    /// `TREAT`: treatment.
    #[serde(rename = "TREAT")]
    Treatment,
    /// `ETREAT`: treatment in an emergency, of a patient who can decide.
    #[serde(rename = "ETREAT")]
    EmergencyTreatment,
    /// `PATRQT`: the patient asked for it, for a second opinion say.
    #[serde(rename = "PATRQT")]
    PatientRequest,
    /// `FAMRQT`: the family asked for it.
    #[serde(rename = "FAMRQT")]
    FamilyRequest,
    /// `HCOMPL`: a review of whether rules were kept.
    #[serde(rename = "HCOMPL")]
    Compliance,
}

impl GrantPurpose {
    /// Every purpose.
    pub const ALL: [Self; 5] = [
        Self::Treatment,
        Self::EmergencyTreatment,
        Self::PatientRequest,
        Self::FamilyRequest,
        Self::Compliance,
    ];

    /// The code in `http://terminology.hl7.org/CodeSystem/v3-ActReason`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Treatment => "TREAT",
            Self::EmergencyTreatment => "ETREAT",
            Self::PatientRequest => "PATRQT",
            Self::FamilyRequest => "FAMRQT",
            Self::Compliance => "HCOMPL",
        }
    }
}

/// Who may read what of whom, what for, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTerms {
    /// Whose records.
    pub patient: PatientId,
    /// Who may read them.
    pub hospital: HospitalId,
    /// Which records; tiers ascending, none twice; at most [`SCOPE_RECORDS_MAX`] single ones in all.
    pub scopes: Vec<Scope>,
    /// What for.
    pub purpose: GrantPurpose,
    /// Not before this time.
    pub from_ms: Millis,
    /// Not at this time or later; at most [`GRANT_MS_MAX`] after the grant is given.
    pub until_ms: Millis,
    /// The hospital's key that the records' keys are sealed to. A fresh one for each grant, so that destroying it ends the
    /// access for good.
    pub key: SealingKey,
}

impl GrantTerms {
    /// The grant's identifier: covers the ledger and every field.
    #[must_use]
    pub fn id(&self, chain: ChainId) -> GrantId {
        let mut writer = HashWriter::new("kithkin/grant/1");
        writer
            .field(chain)
            .field(self.patient)
            .field(self.hospital)
            .field(wire::encode(&self.scopes))
            .field(self.purpose.code())
            .number(self.from_ms.0)
            .number(self.until_ms.0)
            .field(self.key);
        writer.finish().into()
    }

    /// Signs as the hospital.
    #[must_use]
    pub fn sign(&self, chain: ChainId, key: &SigningKey) -> Signature {
        key.sign(offer(self.id(chain)).as_ref())
    }

    /// Checks the hospital's signature; `key` is the hospital's, from the ledger.
    ///
    /// # Errors
    /// [`ConsentError::HospitalSignature`].
    pub fn verify(
        &self,
        chain: ChainId,
        key: &VerifyingKey,
        signature: &Signature,
    ) -> Result<(), ConsentError> {
        let hospital = self.hospital;
        key.verify(offer(self.id(chain)).as_ref(), signature)
            .map_err(|_| ConsentError::HospitalSignature { hospital })
    }

    /// Checks every bound, for a grant that is given at block time `now` and `height`.
    ///
    /// # Errors
    /// [`ConsentError::Terms`] with the first field that is wrong.
    pub fn check(&self, now: Millis, height: Height) -> Result<(), ConsentError> {
        let scopes = &self.scopes;
        let singles: usize = scopes.iter().map(|scope| scope.only.len()).sum();
        let ordered = scopes.is_sorted_by(|a, b| a.tier < b.tier)
            && scopes
                .iter()
                .all(|scope| scope.only.is_sorted_by(|a, b| a < b));
        let wrong = [
            ("scope", scopes.is_empty() || !ordered),
            ("number of records", singles > SCOPE_RECORDS_MAX),
            ("height", scopes.iter().any(|scope| scope.up_to > height)),
            ("begin", self.from_ms >= self.until_ms),
            ("end", !is_end(self.until_ms, now)),
        ];
        match wrong.into_iter().find(|(_, wrong)| *wrong) {
            Some((field, _)) => Err(ConsentError::Terms { field }),
            None => Ok(()),
        }
    }

    /// The scope of `tier`, when it is part of the grant.
    #[must_use]
    pub fn scope(&self, tier: Tier) -> Option<&Scope> {
        self.scopes.iter().find(|scope| scope.tier == tier)
    }

    /// The scope that a batch of `tier` falls into, which came on chain at `height`.
    pub(super) fn scope_at(&self, tier: Tier, height: Height) -> Result<&Scope, ConsentError> {
        let scope = self.scope(tier).ok_or(ConsentError::Tier { tier })?;
        let up_to = scope.up_to;
        if height > up_to {
            return Err(ConsentError::Later { height, up_to });
        }
        Ok(scope)
    }

    /// Whether a record of `tier`, in a batch that came on chain at `height`, is part of the grant.
    ///
    /// # Errors
    /// [`ConsentError::Tier`], [`ConsentError::Later`], [`ConsentError::Record`].
    pub fn covers(&self, tier: Tier, height: Height, record: RecordId) -> Result<(), ConsentError> {
        let scope = self.scope_at(tier, height)?;
        if !scope.only.is_empty() && scope.only.binary_search(&record).is_err() {
            return Err(ConsentError::Record { record });
        }
        Ok(())
    }
}

/// What the patient signs and sends: the terms, the hospital's signature, and which keys go with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantDeed {
    /// The terms.
    pub terms: GrantTerms,
    /// [`Bundle::digest`](super::Bundle::digest) of the keys that the patient's device has sealed to the hospital.
    pub encapsulation: Digest,
    /// The hospital's [`GrantTerms::sign`].
    pub hospital_signature: Signature,
}

/// A later end for a live grant. The hospital signs it, and the patient by sending it. It names the end that it replaces,
/// so the hospital's signature serves once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The grant.
    pub grant: GrantId,
    /// When the grant ends without the renewal.
    pub ends_ms: Millis,
    /// When it ends with it; at most [`GRANT_MS_MAX`] after the renewal.
    pub until_ms: Millis,
    /// The hospital's signature over all of it.
    pub hospital_signature: Signature,
}

impl Renewal {
    /// A renewal of `grant`, signed by the hospital.
    #[must_use]
    pub fn signed(
        chain: ChainId,
        grant: GrantId,
        ends_ms: Millis,
        until_ms: Millis,
        key: &SigningKey,
    ) -> Self {
        let message = renewal(chain, grant, ends_ms, until_ms);
        Self {
            grant,
            ends_ms,
            until_ms,
            hospital_signature: key.sign(message.as_ref()),
        }
    }

    /// Whether the hospital with this key has signed it.
    #[must_use]
    pub fn is_signed_by(&self, chain: ChainId, key: &VerifyingKey) -> bool {
        let message = renewal(chain, self.grant, self.ends_ms, self.until_ms);
        key.verify(message.as_ref(), &self.hospital_signature)
            .is_ok()
    }
}

/// Whether a grant that is given or renewed at `now` may end at `until`.
pub(super) fn is_end(until: Millis, now: Millis) -> bool {
    until > now && until <= now.plus(GRANT_MS_MAX.0)
}

fn offer(grant: GrantId) -> Digest {
    hash("kithkin/grant-offer/1", &[grant.as_ref()])
}

fn renewal(chain: ChainId, grant: GrantId, ends_ms: Millis, until_ms: Millis) -> Digest {
    let mut writer = HashWriter::new("kithkin/grant-renewal/1");
    writer
        .field(chain)
        .field(grant)
        .number(ends_ms.0)
        .number(until_ms.0);
    writer.finish()
}
