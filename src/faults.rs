//! Harm that needs more than one message: stopping whoever is to be master next.

use crate::stage::{Stage, StageError};
use crate::waiting::until;
use kithkin_actors::ports::names::ActorName;
use kithkin_protocol::ids::ValidatorId;
use std::time::Duration;

/// How long the first block may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How often the next master is looked up again when a block came in between.
const TRIES: usize = 5;

/// Stops the validator that is to build the next block, before it does.
///
/// # Errors
/// [`StageError`].
pub async fn stop_the_master(stage: &Stage) -> Result<ValidatorId, StageError> {
    let mut tries = 0;
    loop {
        let master = until(stage.board(), "the first block", WITHIN, |board| {
            let newest = board.glance().newest?;
            Some((newest.height, newest.next_master?))
        });
        let (height, master) = master.await?;
        let name = ActorName::Validator(master.0);
        stage.hold(name).await?;
        tries += 1;
        // A block in between, and somebody else is master now.
        if stage.board().height() == height || tries == TRIES {
            return Ok(master);
        }
        stage.release(name).await?;
    }
}
