//! Waiting for something to show on the board, and for the person who wants to stop.

use crate::stage::{Board, StageError};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits until `look` finds what it looks for on the board.
///
/// # Errors
/// [`StageError::TooSlow`] with `what` when it does not in time.
pub async fn until<T>(
    board: &Board,
    what: &str,
    within: Duration,
    mut look: impl FnMut(&Board) -> Option<T>,
) -> Result<T, StageError> {
    let deadline = Instant::now() + within;
    loop {
        let mut changes = board.changes();
        if let Some(found) = look(board) {
            return Ok(found);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if tokio::time::timeout(left, changes.changed()).await.is_err() {
            return Err(StageError::TooSlow {
                what: what.to_owned(),
                seconds: within.as_secs(),
            });
        }
    }
}

/// Ctrl-C and the polite kill. Noted from the moment on at which this is made.
pub struct Interrupt {
    ctrl_c: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Starts listening.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            ctrl_c: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns when somebody wants this process to stop.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.ctrl_c.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
