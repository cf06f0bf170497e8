//! What makes a key a clinician's: the word of an issuer, for one hospital and a time. Who is an issuer is for the ledger to
//! say.

use crate::crypto::{Digest, HashWriter, Signature, SigningKey, VerifyingKey};
use crate::ids::{AccountId, ChainId, HospitalId};
use crate::units::Millis;
use crate::wire;
use serde::{Deserialize, Serialize};

/// How far ahead a credential may end. Single credentials are not revoked on chain, so none lasts long: a year and a day.
pub const CREDENTIAL_MS_MAX: Millis = Millis(366 * 24 * 3_600_000);

/// What a clinician is. Closed, so that kin are shown words they know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClinicalRole {
    /// A doctor.
    Physician,
    /// A nurse.
    Nurse,
    /// Ambulance staff.
    Paramedic,
    /// A midwife.
    Midwife,
    /// A pharmacist.
    Pharmacist,
}

impl ClinicalRole {
    /// Every role.
    pub const ALL: [Self; 5] = [
        Self::Physician,
        Self::Nurse,
        Self::Paramedic,
        Self::Midwife,
        Self::Pharmacist,
    ];

    /// The role's name in text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Physician => "physician",
            Self::Nurse => "nurse",
            Self::Paramedic => "paramedic",
            Self::Midwife => "midwife",
            Self::Pharmacist => "pharmacist",
        }
    }
}

impl std::fmt::Display for ClinicalRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An issuer's word that a key belongs to a clinician of a hospital.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The clinician's key.
    pub clinician: VerifyingKey,
    /// Who vouches: an accredited issuer or, as long as the ledger has had none, the hospital itself.
    pub issuer: AccountId,
    /// What the clinician is.
    pub role: ClinicalRole,
    /// Where. It counts in that hospital's requests only.
    pub hospital: HospitalId,
    /// Last block time at which it counts.
    pub valid_until_ms: Millis,
    /// The issuer's signature over [`Credential::digest`].
    pub signature: Signature,
}

/// Why a credential does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// There is none.
    #[error("nobody vouches for the clinician: the request has no credential")]
    Missing,
    /// Of another clinician than the one who asks.
    #[error("the credential is for the key {found:#}, not for the clinician who asks")]
    Clinician {
        /// Whose it is.
        found: VerifyingKey,
    },
    /// For work at another hospital.
    #[error("the credential is for work at {found}")]
    Hospital {
        /// Which.
        found: HospitalId,
    },
    /// Its time is over.
    #[error("the credential was valid until {until}; block time is {now}")]
    Expired {
        /// Its last valid time.
        until: Millis,
        /// Block time.
        now: Millis,
    },
    /// It asks to count for too long.
    #[error("the credential asks to count until {until}; at most a year from {now} is allowed")]
    TooLong {
        /// Its last valid time.
        until: Millis,
        /// Block time.
        now: Millis,
    },
    /// Nobody who can vouch for clinicians of that hospital.
    #[error("{issuer} cannot vouch for clinicians of this hospital")]
    Issuer {
        /// Who has vouched.
        issuer: AccountId,
    },
    /// The issuer has signed something else.
    #[error("the issuer's signature under the credential does not hold")]
    Signature,
}

impl Credential {
    /// What the issuer signs.
    #[must_use]
    pub fn digest(&self, chain: ChainId) -> Digest {
        let mut writer = HashWriter::new("kithkin/credential/1");
        writer
            .field(chain)
            .field(self.clinician)
            .field(self.issuer)
            .field(wire::encode(&self.role))
            .field(self.hospital)
            .number(self.valid_until_ms.0);
        writer.finish()
    }

    /// Puts the issuer and its signature in.
    #[must_use]
    pub fn signed(mut self, chain: ChainId, issuer: &SigningKey) -> Self {
        self.issuer = AccountId::of(&issuer.verifying_key());
        self.signature = issuer.sign(self.digest(chain).as_ref());
        self
    }

    /// Whether it counts for `clinician` in a request of `hospital` at block time `now`; `issuer` is the key of whoever it names,
    /// if that one can vouch there.
    ///
    /// # Errors
    /// The first [`CredentialError`] found.
    pub fn check(
        &self,
        chain: ChainId,
        clinician: &VerifyingKey,
        hospital: HospitalId,
        issuer: Option<&VerifyingKey>,
        now: Millis,
    ) -> Result<(), CredentialError> {
        if self.clinician != *clinician {
            let found = self.clinician;
            return Err(CredentialError::Clinician { found });
        }
        if self.hospital != hospital {
            let found = self.hospital;
            return Err(CredentialError::Hospital { found });
        }
        self.check_time(now)?;
        let nobody = CredentialError::Issuer {
            issuer: self.issuer,
        };
        self.check_signature(chain, issuer.ok_or(nobody)?)
    }

    /// Whether it counts at block time `now`, as far as its time goes.
    ///
    /// # Errors
    /// [`CredentialError::Expired`], [`CredentialError::TooLong`].
    pub fn check_time(&self, now: Millis) -> Result<(), CredentialError> {
        let until = self.valid_until_ms;
        if until < now {
            return Err(CredentialError::Expired { until, now });
        }
        if until > now.plus(CREDENTIAL_MS_MAX.0) {
            return Err(CredentialError::TooLong { until, now });
        }
        Ok(())
    }

    /// Whether whoever has the key `issuer` has signed it, for this ledger, and is the one it names.
    ///
    /// # Errors
    /// [`CredentialError::Issuer`], [`CredentialError::Signature`].
    pub fn check_signature(
        &self,
        chain: ChainId,
        issuer: &VerifyingKey,
    ) -> Result<(), CredentialError> {
        if AccountId::of(issuer) != self.issuer {
            let issuer = self.issuer;
            return Err(CredentialError::Issuer { issuer });
        }
        issuer
            .verify(self.digest(chain).as_ref(), &self.signature)
            .map_err(|_| CredentialError::Signature)
    }
}
