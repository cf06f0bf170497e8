//! Having records erased.

use super::{Stage, StageError};
use kithkin_actors::patient::Patient;
use kithkin_actors::patient::messages::{Erase, ErasureReport};
use kithkin_actors::ports::names::ActorName;
use kithkin_protocol::crypto::Digest;

impl Stage {
    /// The patient has an upload erased, or asks those again who have not answered.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn erase(&self, patient: u16, root: Digest) -> Result<ErasureReport, StageError> {
        let to = ActorName::Patient(patient);
        Ok(self.ask_once::<Patient, _>(to, Erase { root }).await??)
    }
}
