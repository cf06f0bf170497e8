//! When to start a dead actor again, and when to give it up. Pure: time comes in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The limits, for all actors alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// The pause after the first death; each further one doubles it.
    pub(super) first: Duration,
    /// The longest pause.
    pub(super) max: Duration,
    /// An actor that ran for so long starts over with the shortest pause.
    pub(super) healthy_after: Duration,
    /// So many deaths ...
    pub(super) deaths_max: usize,
    /// ... within this time are too many.
    pub(super) window: Duration,
}

/// What to do about a death.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start again after this pause.
    RestartAfter(Duration),
    /// Leave it dead.
    GiveUp {
        /// How many deaths there were.
        deaths: usize,
    },
}

/// One actor's record of deaths.
#[derive(Debug, Default)]
pub(super) struct Record {
    deaths: VecDeque<Instant>,
    doublings: u32,
}

impl Record {
    /// The actor, running since `born` (if it ran at all), died.
    pub(super) fn death(
        &mut self,
        limits: &Limits,
        born: Option<Instant>,
        now: Instant,
    ) -> Verdict {
        if born.is_some_and(|born| now.duration_since(born) >= limits.healthy_after) {
            self.doublings = 0;
        }
        self.deaths.push_back(now);
        while self
            .deaths
            .front()
            .is_some_and(|first| now.duration_since(*first) > limits.window)
        {
            self.deaths.pop_front();
        }
        if self.deaths.len() >= limits.deaths_max {
            return Verdict::GiveUp {
                deaths: self.deaths.len(),
            };
        }
        let factor = 2_u32.saturating_pow(self.doublings);
        self.doublings = self.doublings.saturating_add(1);
        Verdict::RestartAfter(limits.first.saturating_mul(factor).min(limits.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        first: Duration::from_millis(50),
        max: Duration::from_secs(5),
        healthy_after: Duration::from_secs(60),
        deaths_max: 8,
        window: Duration::from_secs(60),
    };

    #[test]
    fn the_pause_doubles_up_to_the_longest_and_starts_over_after_health() {
        let (mut record, mut now) = (Record::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            // Ten seconds apart: never eight within a minute.
            now += Duration::from_secs(10);
            match record.death(&LIMITS, Some(now - Duration::from_secs(9)), now) {
                Verdict::RestartAfter(pause) => pauses.push(pause.as_millis()),
                Verdict::GiveUp { .. } => panic!("gave up after {pauses:?}"),
            }
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);

        now += Duration::from_secs(60);
        let verdict = record.death(&LIMITS, Some(now - Duration::from_secs(60)), now);
        assert_eq!(verdict, Verdict::RestartAfter(LIMITS.first));
    }

    #[test]
    fn the_eighth_death_within_a_minute_is_the_last() {
        let (mut record, start) = (Record::default(), Instant::now());
        for n in 0..7 {
            let verdict = record.death(&LIMITS, None, start + Duration::from_secs(n));
            assert!(matches!(verdict, Verdict::RestartAfter(_)), "death {n}");
        }
        let verdict = record.death(&LIMITS, None, start + Duration::from_secs(60));
        assert_eq!(verdict, Verdict::GiveUp { deaths: 8 });
    }

    #[test]
    fn old_deaths_are_forgotten() {
        let (mut record, start) = (Record::default(), Instant::now());
        for n in 0..7 {
            record.death(&LIMITS, None, start + Duration::from_secs(n));
        }
        let verdict = record.death(&LIMITS, None, start + Duration::from_millis(60_001));
        assert_eq!(verdict, Verdict::RestartAfter(LIMITS.max));
    }
}
