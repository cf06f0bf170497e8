//! How much of something may come in a second: a bucket that fills with time and is emptied by what comes.

use std::time::{Duration, Instant};

/// What is left for one sender.
#[derive(Debug)]
pub(crate) struct Pace {
    per_s: f64,
    /// What may come at once after a pause.
    at_once: f64,
    left: f64,
    since: Instant,
}

impl Pace {
    /// `per_s` units a second, `at_once` after a pause. A larger piece than that may come and is paid off afterwards.
    pub(crate) fn new(per_s: u32, at_once: u32) -> Self {
        Self {
            per_s: f64::from(per_s.max(1)),
            at_once: f64::from(at_once),
            left: f64::from(at_once),
            since: Instant::now(),
        }
    }

    /// Takes `units` away at `now`; answers how long the sender has to wait before the next piece.
    pub(crate) fn take(&mut self, units: u32, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + passed * self.per_s).min(self.at_once) - f64::from(units);
        self.since = now;
        Duration::from_secs_f64((-self.left / self.per_s).max(0.0))
    }

    /// Takes `units` away and waits as long as it has to be.
    pub(crate) async fn wait(&mut self, units: u32) {
        let wait = self.take(units, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_fast_waits_and_a_pause_gives_no_more_than_the_bucket_holds() {
        let mut pace = Pace::new(100, 50);
        let start = pace.since;
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(pace.take(50, start), Duration::ZERO);
        assert_eq!(pace.take(10, start), Duration::from_millis(100));
        // Paid off, and nothing over.
        assert_eq!(pace.take(0, at(100)), Duration::ZERO);
        assert_eq!(pace.take(1, at(100)), Duration::from_millis(10));
        // An hour later: fifty, not more.
        assert_eq!(pace.take(50, at(3_600_000)), Duration::ZERO);
        assert_eq!(pace.take(1, at(3_600_000)), Duration::from_millis(10));
        // A clock that goes back gives nothing.
        assert_eq!(pace.take(1, at(100)), Duration::from_millis(20));
    }
}
