//! Lost devices: what kin and the patient do about them.

use super::{STEP_WITHIN, Stage, StageError};
use kithkin_actors::friend_relative::messages::RosterWish;
use kithkin_actors::patient::Patient;
use kithkin_actors::patient::messages::{Keys, Rebuild, Rebuilt, ShowKeys};
use kithkin_actors::ports::names::ActorName;
use kithkin_protocol::ledger;
use kithkin_protocol::roster::Plan;
use std::time::{Duration, Instant};

impl Stage {
    /// The public keys of a patient's new device, as it shows them to the kin.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn device_keys(&self, device: u16) -> Result<Keys, StageError> {
        let to = ActorName::Patient(device);
        Ok(self.ask::<Patient, _>(to, ShowKeys).await??)
    }

    /// Kin vouch for a patient's new device: the first proposes it, the others support that.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn vouch(
        &self,
        kin: &[(u16, u8)],
        patient: u16,
        device: u16,
    ) -> Result<(), StageError> {
        let keys = self.device_keys(device).await?;
        let plan = Plan::Recover {
            device: keys.signing,
            sealing: keys.sealing,
        };
        let mut wish = RosterWish::Propose(Box::new(plan));
        for kin in kin {
            self.kin_about_roster(*kin, patient, wish).await?;
            wish = RosterWish::Support;
        }
        Ok(())
    }

    /// A patient's new device rebuilds the keys and has others dealt.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn rebuild(&self, patient: u16, device: u16) -> Result<Rebuilt, StageError> {
        let to = ActorName::Patient(device);
        let message = Rebuild {
            patient: self.patient_id(patient)?,
        };
        let asked = self.ask_for::<Patient, _>(to, message, STEP_WITHIN);
        Ok(asked.await??)
    }

    /// Who the device is that speaks for a patient, as proved.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn device_of(&self, patient: u16) -> Result<Option<ActorName>, StageError> {
        let entry = self.patient(patient).await?;
        let directory = &self.cluster.setting().directory;
        Ok(entry.and_then(|entry| directory.name(entry.device)))
    }

    /// Waits until the ledger says that `device` speaks for the patient.
    ///
    /// # Errors
    /// [`StageError::TooSlow`] when it does not after `within`.
    pub async fn device_speaks(
        &self,
        patient: u16,
        device: u16,
        within: Duration,
    ) -> Result<(), StageError> {
        let name = ActorName::Patient(device);
        let account = self.cluster.setting().directory.account(name);
        let account = account.ok_or(StageError::NoSuchActor { name })?;
        let what = format!("{name} speaking for {}", ActorName::Patient(patient));
        let is = |entry: &ledger::Patient| entry.device == account;
        self.patient_when(patient, within, &what, is)
            .await
            .map(drop)
    }

    /// Waits until a kin keeps no shares any more.
    ///
    /// # Errors
    /// [`StageError::TooSlow`] when it still does after `within`.
    pub async fn shares_erased(
        &self,
        patient: u16,
        kin: u8,
        within: Duration,
        what: &str,
    ) -> Result<(), StageError> {
        let deadline = Instant::now() + within;
        loop {
            let mut changed = self.board.changes();
            if self.inventory(patient, kin).await?.shares == 0 {
                return Ok(());
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
}
