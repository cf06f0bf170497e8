//! Peers that have said what no validator says: for a moment nothing more is read from them.
//!
//! Checking rubbish costs the one who checks. So each offence costs its author time: [`PER_OFFENCE`], during which TCP holds
//! back whatever else it sends. A validator that is wrong once is late by that much, and one that floods gets a hundred
//! checks a second at most.

use kithkin_protocol::ids::ValidatorId;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing is read from a peer after one offence.
const PER_OFFENCE: Duration = Duration::from_millis(10);
/// Longest time that offences add up to.
const TOGETHER: Duration = Duration::from_secs(2);
/// How often the log tells of one peer.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What is held against each peer.
#[derive(Debug, Default)]
pub(super) struct Blames(Mutex<BTreeMap<ValidatorId, Blame>>);

#[derive(Debug)]
struct Blame {
    /// Nothing is read before.
    until: Instant,
    told: Instant,
}

impl Blames {
    /// Notes an offence. True when the log has not told of this peer lately and may do so now.
    pub(super) fn add(&self, peer: ValidatorId, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tell = false;
        let blame = all.entry(peer).or_insert_with(|| {
            tell = true;
            Blame {
                until: now,
                told: now,
            }
        });
        blame.until = (blame.until.max(now) + PER_OFFENCE).min(now + TOGETHER);
        if now.saturating_duration_since(blame.told) >= TOLD_EVERY {
            blame.told = now;
            tell = true;
        }
        tell
    }

    /// How long nothing is to be read from this peer.
    pub(super) fn wait(&self, peer: ValidatorId, now: Instant) -> Duration {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = all.get(&peer).map_or(now, |blame| blame.until);
        until.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offences_add_up_to_a_limit_and_are_told_of_now_and_then() {
        let (blames, now) = (Blames::default(), Instant::now());
        let (liar, other) = (ValidatorId(1), ValidatorId(2));
        assert!(blames.add(liar, now));
        assert!(!blames.add(liar, now));
        assert_eq!(blames.wait(liar, now), 2 * PER_OFFENCE);
        assert_eq!(blames.wait(other, now), Duration::ZERO);
        for _ in 0..10_000 {
            blames.add(liar, now);
        }
        assert_eq!(blames.wait(liar, now), TOGETHER);
        let later = now + TOLD_EVERY;
        assert_eq!(blames.wait(liar, later), Duration::ZERO);
        assert!(blames.add(liar, later));
        assert_eq!(blames.wait(liar, later), PER_OFFENCE);
    }
}
