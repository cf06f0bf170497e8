//! What comes after a case: the report to the patient, and the reviewer at a desk of her own.

use super::{STEP_WITHIN, Stage, StageError};
use kithkin_actors::clients::ClientError;
use kithkin_actors::patient::Patient;
use kithkin_actors::patient::messages::Disclose;
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::validator::messages::{Answer, Look};
use kithkin_protocol::emergency::{Disclosure, ReviewTask, Verdict};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::TxBody;
use kithkin_protocol::units::Height;
use std::time::Instant;

impl Stage {
    /// The report about a case, from the patient's own device.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn disclose(&self, patient: u16, case: CaseId) -> Result<Disclosure, StageError> {
        let to = ActorName::Patient(patient);
        Ok(self.ask::<Patient, _>(to, Disclose(case)).await??)
    }

    /// What the reviewer has to judge, the most urgent first. A look, nothing is proved.
    ///
    /// # Errors
    /// [`StageError::Ledger`] when no validator answers.
    pub async fn review_tasks(&self) -> Result<Vec<ReviewTask>, StageError> {
        let look = Look::Reviews(self.reviewer.account());
        let deadline = Instant::now() + STEP_WITHIN;
        match self.reviewer.look(look, deadline).await? {
            Answer::Reviews(tasks) => Ok(tasks),
            _ => Err(StageError::Ledger(ClientError::Silent {
                last: "a validator answered something else".to_owned(),
            })),
        }
    }

    /// The reviewer signs a verdict.
    ///
    /// # Errors
    /// [`StageError::Ledger`] when the ledger refuses it or it is not final in time.
    pub async fn review(&self, case: CaseId, verdict: Verdict) -> Result<Height, StageError> {
        let deadline = Instant::now() + STEP_WITHIN;
        let body = TxBody::Review { case, verdict };
        let finalized = self.reviewer.submit(body, deadline).await?;
        Ok(finalized.proof.header.height)
    }
}
