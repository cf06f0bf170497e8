//! What people do about rosters, and what the ledger proves of them.

use super::{STEP_WITHIN, Stage, StageError};
use kithkin_actors::clients::ClientError;
use kithkin_actors::friend_relative::FriendRelative;
use kithkin_actors::friend_relative::messages::{AboutRoster, OnInvitation, RosterWish, Wipe};
use kithkin_actors::patient::messages::{Enrol, Enrolled};
use kithkin_actors::patient::{Patient, messages as patient};
use kithkin_actors::ports::names::ActorName;
use kithkin_protocol::ledger::{self, State};
use kithkin_protocol::roster::{Handover, Readiness};
use kithkin_protocol::units::Height;
use std::time::{Duration, Instant};

impl Stage {
    /// The patient's device proposes a change of the roster, or stops one.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn patient_about_roster(
        &self,
        patient: u16,
        about: patient::AboutRoster,
    ) -> Result<Height, StageError> {
        let to = ActorName::Patient(patient);
        Ok(self.ask_once::<Patient, _>(to, about).await??)
    }

    /// A device says something about its patient's second circle.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn about_second(
        &self,
        device: u16,
        about: patient::AboutSecond,
    ) -> Result<patient::SecondNamed, StageError> {
        let to = ActorName::Patient(device);
        Ok(self.ask_once::<Patient, _>(to, about).await??)
    }

    /// A kin says what it wants of a patient's roster.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn kin_about_roster(
        &self,
        kin: (u16, u8),
        patient: u16,
        wish: RosterWish,
    ) -> Result<(), StageError> {
        let to = ActorName::Kin(kin.0, kin.1);
        let about = AboutRoster {
            patient: self.patient_id(patient)?,
            wish,
        };
        Ok(self.ask_once::<FriendRelative, _>(to, about).await??)
    }

    /// A patient as the ledger has it, proved.
    ///
    /// # Errors
    /// [`StageError::Ledger`] when it cannot be proved in time.
    pub async fn patient(&self, patient: u16) -> Result<Option<ledger::Patient>, StageError> {
        let key = State::patient_key(self.patient_id(patient)?);
        self.proved(key).await
    }

    /// The change of a patient's roster that is under way, proved.
    ///
    /// # Errors
    /// [`StageError::Ledger`] when it cannot be proved in time.
    pub async fn handover(&self, patient: u16) -> Result<Option<Handover>, StageError> {
        let key = State::handover_key(self.patient_id(patient)?);
        self.proved(key).await
    }

    pub(super) async fn proved<T: serde::de::DeserializeOwned>(
        &self,
        key: Vec<u8>,
    ) -> Result<Option<T>, StageError> {
        let deadline = Instant::now() + STEP_WITHIN;
        let (value, _) = self.client.prove(key, deadline).await?;
        let value = value.map(|value| State::decode_value(&value)).transpose();
        value.map_err(|error| {
            StageError::Ledger(ClientError::NotProved {
                needed: 1,
                last: error.to_string(),
            })
        })
    }

    /// Waits until a patient's entry, as proved, is as asked for.
    ///
    /// # Errors
    /// [`StageError::TooSlow`] when it is not in time.
    pub async fn patient_when(
        &self,
        patient: u16,
        within: Duration,
        what: &str,
        is: impl Fn(&ledger::Patient) -> bool,
    ) -> Result<ledger::Patient, StageError> {
        self.when(within, what, async || {
            Ok(self.patient(patient).await?.filter(|entry| is(entry)))
        })
        .await
    }

    /// Looks with every change that an onlooker sees until there is what is looked for.
    pub(super) async fn when<T>(
        &self,
        within: Duration,
        what: &str,
        look: impl AsyncFn() -> Result<Option<T>, StageError>,
    ) -> Result<T, StageError> {
        let deadline = Instant::now() + within;
        loop {
            let mut changed = self.board.changes();
            if let Some(found) = look().await? {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, changed.changed()).await.is_err() {
                return Err(StageError::TooSlow {
                    what: what.to_owned(),
                    seconds: within.as_secs(),
                });
            }
        }
    }

    /// What a kin's device does with invitations from now on.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn on_invitation(
        &self,
        kin: (u16, u8),
        conduct: OnInvitation,
    ) -> Result<(), StageError> {
        let to = ActorName::Kin(kin.0, kin.1);
        Ok(self.ask::<FriendRelative, _>(to, conduct).await??)
    }

    /// The patient's device lays down other rules.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn lay_down(
        &self,
        patient: u16,
        wish: patient::LayDown,
    ) -> Result<patient::LaidDown, StageError> {
        let to = ActorName::Patient(patient);
        Ok(self.ask_once::<Patient, _>(to, wish).await??)
    }

    /// How ready a patient's kin are, as the patient's own device tells it.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn readiness(&self, patient: u16) -> Result<Readiness, StageError> {
        let to = ActorName::Patient(patient);
        Ok(self.ask::<Patient, _>(to, patient::ShowReadiness).await??)
    }

    /// Waits until a patient's own device tells of the kin what is asked for.
    ///
    /// # Errors
    /// [`StageError::TooSlow`] when it does not in time.
    pub async fn readiness_when(
        &self,
        patient: u16,
        within: Duration,
        what: &str,
        is: impl Fn(&Readiness) -> bool,
    ) -> Result<Readiness, StageError> {
        self.when(within, what, async || {
            Ok(Some(self.readiness(patient).await?).filter(|readiness| is(readiness)))
        })
        .await
    }

    /// A patient enrols as it is said.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn enrol_so(&self, patient: u16, message: Enrol) -> Result<Enrolled, StageError> {
        let to = ActorName::Patient(patient);
        Ok(self.ask::<Patient, _>(to, message).await??)
    }

    /// Waits until no change of a patient's roster is under way.
    ///
    /// # Errors
    /// [`StageError::TooSlow`] when there still is one after `within`.
    pub async fn roster_at_rest(
        &self,
        patient: u16,
        within: Duration,
        what: &str,
    ) -> Result<(), StageError> {
        self.when(within, what, async || {
            Ok(self.handover(patient).await?.is_none().then_some(()))
        })
        .await
    }

    /// A kin loses everything but its identity.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn wipe(&self, patient: u16, kin: u8) -> Result<(), StageError> {
        let to = ActorName::Kin(patient, kin);
        Ok(self.ask_once::<FriendRelative, _>(to, Wipe).await??)
    }
}
