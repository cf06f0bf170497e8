//! The idle rule (module documentation of [`super`]): whether a height is roused, and when it will be.

use crate::consensus::SKEW_MS_MAX;
use crate::consensus::config::Timing;
use crate::ids::ValidatorId;
use crate::units::Millis;
use std::collections::BTreeSet;

/// How awake a height is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Nothing to do: no timer runs, nobody proposes.
    Idle,
    /// The own mempool has something. A master proposes if its block is not empty.
    Work,
    /// Heartbeat or others. A master proposes even an empty block.
    Called,
}

/// The state of the idle rule in one height.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    level: Level,
    /// When the height is called at the latest.
    call_at: Millis,
    head_time: Millis,
    /// Others that a valid vote of this height came from; at most all validators.
    heard: BTreeSet<ValidatorId>,
}

impl Activity {
    /// At rest, until the heartbeat at the latest.
    pub(super) fn new(timing: &Timing, head_time: Millis, leads: bool) -> Self {
        let grace = if leads { 0 } else { timing.heartbeat_grace_ms };
        let call_at = head_time.plus(timing.heartbeat_ms).plus(grace);
        Self {
            level: Level::Idle,
            call_at,
            head_time,
            heard: BTreeSet::new(),
        }
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// Own work raises an idle height; its absence lowers one that only own work raised.
    pub(super) fn work(&mut self, work: bool) {
        match (self.level, work) {
            (Level::Idle, true) => self.level = Level::Work,
            (Level::Work, false) => self.level = Level::Idle,
            (Level::Idle, false) | (Level::Work, true) | (Level::Called, _) => {}
        }
    }

    pub(super) fn call(&mut self) {
        self.level = Level::Called;
    }

    /// A valid vote came in. More than `f` voters include an honest one: that calls at once. Fewer call once the
    /// head is old enough, so that one Byzantine validator cannot make blocks follow each other without pause.
    /// Whether that changed anything.
    pub(super) fn hear(&mut self, signer: ValidatorId, f: usize, timing: &Timing) -> bool {
        if self.level == Level::Called || !self.heard.insert(signer) {
            return false;
        }
        if self.heard.len() > f {
            self.call();
        } else {
            self.call_at = self.call_at.min(self.head_time.plus(timing.rouse_ms));
        }
        true
    }

    /// How long until the height is called; none when it is already. A clock that was set back does not make it
    /// longer than a heartbeat.
    pub(super) fn wait(&self, now: Millis, timing: &Timing) -> Option<Millis> {
        if self.level == Level::Called {
            return None;
        }
        let longest = timing
            .heartbeat_ms
            .saturating_add(timing.heartbeat_grace_ms)
            .saturating_add(SKEW_MS_MAX);
        Some(self.call_at.minus(now.0).min(Millis(longest)))
    }
}
