//! What patients and hospitals do about consents, and what the ledger proves of them.

use super::{Stage, StageError, millis};
use kithkin_actors::hospital::Hospital;
use kithkin_actors::hospital::consent::messages::{
    GiveBack, GrantOpened, MisuseGrant, Misused, ReadGranted, TakeGrants,
};
use kithkin_actors::patient::Patient;
use kithkin_actors::patient::consent::messages::{
    GrantAccess, Granted, RenewGrant, Renewed, RevokeGrant,
};
use kithkin_actors::ports::names::ActorName;
use kithkin_protocol::consent::{Grant, GrantPurpose};
use kithkin_protocol::ids::GrantId;
use kithkin_protocol::ledger::State;
use kithkin_protocol::units::{Height, Tier};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a patient lets a hospital do.
#[derive(Clone, Debug)]
pub struct Consent {
    /// Which tiers, with all of their records.
    pub tiers: Vec<Tier>,
    /// What for.
    pub purpose: GrantPurpose,
    /// How long from now it begins.
    pub begins_in: Duration,
    /// How long from now it ends.
    pub ends_in: Duration,
}

impl Stage {
    /// A patient lets a hospital read.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn grant(
        &self,
        patient: u16,
        hospital: u16,
        consent: Consent,
    ) -> Result<Granted, StageError> {
        let tiers = consent.tiers.into_iter();
        let message = GrantAccess {
            hospital: self.hospital_id(hospital)?,
            scopes: BTreeMap::from_iter(tiers.map(|tier| (tier, BTreeSet::new()))),
            purpose: consent.purpose,
            begins_in_ms: millis(consent.begins_in),
            ends_in_ms: millis(consent.ends_in),
        };
        let to = ActorName::Patient(patient);
        // Asked for twice, it would be given twice.
        Ok(self.ask_once::<Patient, _>(to, message).await??)
    }

    /// A patient takes a grant back.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn revoke_grant(&self, patient: u16, grant: GrantId) -> Result<Height, StageError> {
        let to = ActorName::Patient(patient);
        Ok(self
            .ask_once::<Patient, _>(to, RevokeGrant(grant))
            .await??)
    }

    /// A patient lets a grant end later, and the hospital agrees.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn renew_grant(
        &self,
        patient: u16,
        grant: GrantId,
        ends_in: Duration,
    ) -> Result<Renewed, StageError> {
        let ends_in_ms = millis(ends_in);
        let message = RenewGrant { grant, ends_in_ms };
        let to = ActorName::Patient(patient);
        Ok(self.ask_once::<Patient, _>(to, message).await??)
    }

    /// A hospital signs grants for these purposes only.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn take_grants(
        &self,
        hospital: u16,
        purposes: BTreeSet<GrantPurpose>,
    ) -> Result<(), StageError> {
        let to = ActorName::Hospital(hospital);
        Ok(self.ask::<Hospital, _>(to, TakeGrants(purposes)).await??)
    }

    /// A hospital gives a grant back.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn give_back(&self, hospital: u16, grant: GrantId) -> Result<Height, StageError> {
        let to = ActorName::Hospital(hospital);
        Ok(self.ask_once::<Hospital, _>(to, GiveBack(grant)).await??)
    }

    /// A clinician reads under a grant.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn read_granted(
        &self,
        hospital: u16,
        grant: GrantId,
        tiers: BTreeSet<Tier>,
        within: Duration,
    ) -> Result<GrantOpened, StageError> {
        let message = ReadGranted {
            grant,
            tiers,
            within_ms: millis(within),
        };
        let to = ActorName::Hospital(hospital);
        Ok(self.ask_for::<Hospital, _>(to, message, within).await??)
    }

    /// A hospital asks all kin for what a grant once covered, whether or not it has ended.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn misuse_grant(
        &self,
        hospital: u16,
        grant: GrantId,
    ) -> Result<Vec<Misused>, StageError> {
        let to = ActorName::Hospital(hospital);
        Ok(self
            .ask_once::<Hospital, _>(to, MisuseGrant(grant))
            .await??)
    }

    /// A grant as the ledger has it, proved.
    ///
    /// # Errors
    /// [`StageError::Ledger`] when it cannot be proved in time.
    pub async fn grant_on_chain(&self, grant: GrantId) -> Result<Option<Grant>, StageError> {
        self.proved(State::grant_key(grant)).await
    }

    /// Waits until a grant, as proved, is as asked for.
    ///
    /// # Errors
    /// [`StageError::TooSlow`] when it is not in time.
    pub async fn grant_when(
        &self,
        grant: GrantId,
        within: Duration,
        what: &str,
        is: impl Fn(&Grant) -> bool,
    ) -> Result<Grant, StageError> {
        self.when(within, what, async || {
            Ok(self.grant_on_chain(grant).await?.filter(|grant| is(grant)))
        })
        .await
    }
}
