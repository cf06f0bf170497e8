//! One grant as it stands on the ledger, and every step of it.

use super::terms::is_end;
use super::{ConsentError, GrantDeed, GrantTerms, Renewal};
use crate::crypto::{Digest, HashWriter, VerifyingKey};
use crate::emergency::Scope;
use crate::ids::{AccountId, ChainId, GrantId, HospitalId, PatientId, RecordId, TxId};
use crate::units::{Height, Millis, Tier};
use serde::{Deserialize, Serialize};

/// Where a grant stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Good from its beginning to its end.
    Live,
    /// Ended before its time, at this block time.
    Revoked(Millis, RevokedBy),
    /// Its time is over.
    Expired,
}

impl core::fmt::Display for Standing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Revoked(_, RevokedBy::Patient) => "revoked",
            Self::Revoked(_, RevokedBy::Hospital) => "given back",
            Self::Revoked(_, RevokedBy::Governance) => "ended with the hospital's accreditation",
            Self::Expired => "expired",
        })
    }
}

/// Who ended a grant before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RevokedBy {
    /// The patient took it back.
    Patient,
    /// The hospital gave it back.
    Hospital,
    /// The hospital is accredited no more.
    Governance,
}

/// What a step did, for those who follow the grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum GrantEvent {
    /// The grant stands on chain.
    Granted,
    /// It now ends at this time.
    Renewed(Millis),
    /// It has ended before its time.
    Revoked(RevokedBy),
    /// Its time is over.
    Expired,
    /// The hospital reported a read of so many records.
    Read(u32),
}

/// One grant as it stands on the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The grant: the digest of its terms.
    pub id: GrantId,
    /// What was agreed at first.
    pub terms: GrantTerms,
    /// Digest of the bundle of keys.
    pub encapsulation: Digest,
    /// Height at which it was given.
    pub height: Height,
    /// Place of its transaction in that block.
    pub index: u32,
    /// Its transaction.
    pub transaction: TxId,
    /// Block time at which it was given.
    pub granted_ms: Millis,
    /// When it ends, as last renewed.
    pub until_ms: Millis,
    /// How often it was renewed.
    pub renewals: u32,
    /// Records read so far, as the hospital reports.
    pub records_read: u32,
    /// Where it stands.
    pub standing: Standing,
    /// Running digest over every transaction of the grant, and their number: nothing can be left out later.
    pub log: (Digest, u32),
}

impl Grant {
    /// The grant that a deed gives. The ledger has checked terms and signatures.
    pub(crate) fn new(
        deed: &GrantDeed,
        chain: ChainId,
        (height, index, transaction): (Height, u32, TxId),
        now: Millis,
    ) -> Self {
        let mut given = Self {
            id: deed.terms.id(chain),
            terms: deed.terms.clone(),
            encapsulation: deed.encapsulation,
            height,
            index,
            transaction,
            granted_ms: now,
            until_ms: deed.terms.until_ms,
            renewals: 0,
            records_read: 0,
            standing: Standing::Live,
            log: (Digest::ZERO, 0),
        };
        given.note(transaction);
        given
    }

    /// Whether `hospital` may, at local time `now`, have or use a record of `tier` in a batch that came on chain at `height`.
    /// Whoever holds data or keys asks this each time, of a grant that was proved lately. Block time may lag behind, so the
    /// caller's own clock counts.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(
        &self,
        now: Millis,
        hospital: HospitalId,
        tier: Tier,
        height: Height,
        record: RecordId,
    ) -> Result<(), ConsentError> {
        self.reach(now, hospital, tier, height)?;
        self.terms.covers(tier, height, record)
    }

    /// As [`Self::allows`], for a whole batch: the scope says which of its records may be had, all when it names none.
    ///
    /// # Errors
    /// Why none of them may.
    pub fn reach(
        &self,
        now: Millis,
        hospital: HospitalId,
        tier: Tier,
        height: Height,
    ) -> Result<&Scope, ConsentError> {
        if hospital != self.terms.hospital {
            return Err(ConsentError::OtherHospital { hospital });
        }
        self.require_time(now)?;
        self.terms.scope_at(tier, height)
    }

    /// Whose records.
    #[must_use]
    pub fn patient(&self) -> PatientId {
        self.terms.patient
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.standing == Standing::Live
    }

    /// The next time at which the grant changes by itself, if any.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.is_live().then_some(self.until_ms)
    }

    /// Notes a transaction of this grant in the running digest.
    pub(crate) fn note(&mut self, transaction: TxId) {
        let mut writer = HashWriter::new("kithkin/grant-log/1");
        writer.field(self.log.0).field(transaction);
        self.log = (writer.finish(), self.log.1.saturating_add(1));
    }

    /// Lets block time pass.
    pub(crate) fn on_time(&mut self, now: Millis) -> Option<GrantEvent> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        self.standing = Standing::Expired;
        Some(GrantEvent::Expired)
    }

    /// Patient and hospital agree on a later end. `key` is the hospital's, from the ledger.
    pub(crate) fn on_renew(
        &mut self,
        signer: PatientId,
        renewal: &Renewal,
        (chain, key): (ChainId, &VerifyingKey),
        now: Millis,
    ) -> Result<GrantEvent, ConsentError> {
        if signer != self.patient() {
            return Err(ConsentError::NotAllowed { role: "patient" });
        }
        self.require_live()?;
        let (ends_ms, until_ms) = (renewal.ends_ms, self.until_ms);
        if renewal.grant != self.id {
            let grant = renewal.grant;
            return Err(ConsentError::Unknown { grant });
        }
        if ends_ms != until_ms {
            return Err(ConsentError::Stale { ends_ms, until_ms });
        }
        if renewal.until_ms <= until_ms || !is_end(renewal.until_ms, now) {
            return Err(ConsentError::Terms { field: "end" });
        }
        if !renewal.is_signed_by(chain, key) {
            let hospital = self.terms.hospital;
            return Err(ConsentError::HospitalSignature { hospital });
        }
        self.until_ms = renewal.until_ms;
        self.renewals = self.renewals.saturating_add(1);
        Ok(GrantEvent::Renewed(self.until_ms))
    }

    /// The patient takes the grant back, or the hospital gives it back: at once, also before its beginning.
    pub(crate) fn on_revoke(
        &mut self,
        signer: AccountId,
        now: Millis,
    ) -> Result<GrantEvent, ConsentError> {
        let by = if signer == AccountId::from(self.patient()) {
            RevokedBy::Patient
        } else if signer == AccountId::from(self.terms.hospital) {
            RevokedBy::Hospital
        } else {
            let role = "patient or the hospital";
            return Err(ConsentError::NotAllowed { role });
        };
        self.require_live()?;
        self.standing = Standing::Revoked(now, by);
        Ok(GrantEvent::Revoked(by))
    }

    /// The hospital is accredited no more: a live grant ends.
    pub(crate) fn on_hospital_revoked(&mut self, now: Millis) -> Option<GrantEvent> {
        if !self.is_live() {
            return None;
        }
        let by = RevokedBy::Governance;
        self.standing = Standing::Revoked(now, by);
        Some(GrantEvent::Revoked(by))
    }

    /// The hospital reports that it is about to show so many records of one tier.
    pub(crate) fn on_read(
        &mut self,
        signer: HospitalId,
        tier: Tier,
        records: u32,
        now: Millis,
    ) -> Result<GrantEvent, ConsentError> {
        if signer != self.terms.hospital {
            return Err(ConsentError::NotAllowed { role: "hospital" });
        }
        self.require_time(now)?;
        let scope = self.terms.scope(tier).ok_or(ConsentError::Tier { tier })?;
        let named = scope.only.len();
        let too_many = named > 0 && usize::try_from(records).is_ok_and(|read| read > named);
        if records == 0 || too_many {
            return Err(ConsentError::ReadCount { records });
        }
        self.records_read = self.records_read.saturating_add(records);
        Ok(GrantEvent::Read(records))
    }

    fn require_live(&self) -> Result<(), ConsentError> {
        let standing = self.standing;
        if self.is_live() {
            Ok(())
        } else {
            Err(ConsentError::Ended { standing })
        }
    }

    fn require_time(&self, now: Millis) -> Result<(), ConsentError> {
        self.require_live()?;
        let (from_ms, until_ms) = (self.terms.from_ms, self.until_ms);
        if now < from_ms {
            return Err(ConsentError::NotYet { from_ms });
        }
        if now >= until_ms {
            return Err(ConsentError::Over { until_ms });
        }
        Ok(())
    }
}
