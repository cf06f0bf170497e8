//! How patient the supervisor is.

use super::backoff::Limits;
use std::time::Duration;

/// How the supervisor works. The defaults are for people's machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorConfig {
    /// Threads for actors. Default: one for each core.
    pub arbiters: usize,
    /// The pause before the first restart; it doubles with each further one. Default 50 ms.
    pub backoff_first: Duration,
    /// The longest pause. Default 5 s.
    pub backoff_max: Duration,
    /// After so long without a death the pause starts over. Default 60 s.
    pub healthy_after: Duration,
    /// So many deaths within [`Self::deaths_window`] and an actor is given up. Default 8.
    pub deaths_max: usize,
    /// See [`Self::deaths_max`]. Default 60 s.
    pub deaths_window: Duration,
    /// A thread that gives no sign of life for so long is blocked, and its actors are moved.
    /// Default 5 s. An actor that leaves its mailbox unserved for six times as long on a thread
    /// that is not blocked is started anew as well.
    pub stall_after: Duration,
    /// How long the actors of one phase of the shutdown have to finish. Default 5 s.
    pub finish_within: Duration,
}

impl Default for SupervisorConfig {
    fn default() -> Self {
        Self {
            arbiters: std::thread::available_parallelism().map_or(1, usize::from),
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            healthy_after: Duration::from_secs(60),
            deaths_max: 8,
            deaths_window: Duration::from_secs(60),
            stall_after: Duration::from_secs(5),
            finish_within: Duration::from_secs(5),
        }
    }
}

impl SupervisorConfig {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            first: self.backoff_first,
            max: self.backoff_max,
            healthy_after: self.healthy_after,
            deaths_max: self.deaths_max,
            window: self.deaths_window,
        }
    }

    /// How often the supervisor looks, and the threads' hearts beat.
    pub(super) fn tick(&self) -> Duration {
        (self.stall_after / 16).clamp(Duration::from_millis(5), Duration::from_millis(500))
    }
}
