//! Finds threads that are blocked and mailboxes that nobody serves.
//!
//! A thread that is blocked cannot be killed, so its actors leave it: a fresh
//! thread takes its place, and each actor starts there as a new incarnation while
//! the old instances are fenced off. Two signs must come together: the thread is
//! silent (see [`super::workers`]) and so are pings to an actor that lives on it.
//! Only the actor whose turn it was is blamed; the move of its neighbours counts
//! neither for their pauses nor towards their limit.
//!
//! An actor may also hang without blocking its thread, in a future that it waits
//! for. Nothing is urgent then: it has six times as long.

use super::actor::Supervisor;
use super::messages::{ActorState, RestartReason};
use actix::Context;
use std::time::Instant;

impl Supervisor {
    /// Looks for threads that are blocked and mailboxes that nobody serves.
    pub(super) fn on_tick(&mut self, ctx: &mut Context<Self>) {
        if self.leaving.is_some() {
            // Who does not finish in time is left behind anyway.
            return;
        }
        let (now, tick) = (Instant::now(), self.config.tick());
        // What we slept through ourselves is nobody's fault: a late tick counts for two at most.
        let passed = now.duration_since(self.last_tick).min(tick * 2);
        self.last_tick = now;
        let stall_after = self.config.stall_after;
        for ward in self.wards.values_mut() {
            ward.tick(passed, stall_after / 4);
        }
        for slot in self.workers.look(passed, stall_after) {
            self.move_away(slot, ctx);
        }
        let hung: Vec<_> = self
            .wards
            .values()
            .filter(|ward| ward.silent >= stall_after * 6)
            .map(|ward| ward.name)
            .collect();
        for name in hung {
            self.bury(name, RestartReason::Stalled, true, ctx);
        }
    }

    /// A thread is blocked. Its actors go to a fresh one, provided that one of them was silent for
    /// so long that several pings would have been due.
    fn move_away(&mut self, slot: usize, ctx: &mut Context<Self>) {
        let wards = || self.wards.values().filter(|ward| ward.slot == slot);
        if !wards().any(|ward| ward.silent >= self.config.stall_after / 2) {
            return;
        }
        // Whose code runs on that thread now is to blame; the others only happen to live there.
        let pulse = self.workers.at(slot).map(|worker| worker.pulse.clone());
        let blamed = |name| pulse.as_ref().is_some_and(|pulse| pulse.runs(name));
        let moved: Vec<_> = wards()
            .filter(|ward| matches!(ward.state, ActorState::Running | ActorState::Starting))
            .map(|ward| (ward.name, blamed(ward.name)))
            .collect();
        tracing::error!(
            thread = slot,
            ?moved,
            "a thread is blocked: its actors move to a fresh one"
        );
        if let Err(error) = self.workers.replace(slot) {
            // Without a thread there is nothing to move to; the next look tries again.
            tracing::error!(%error, "no fresh thread");
            return;
        }
        for (name, blamed) in moved {
            self.bury(name, RestartReason::Stalled, blamed, ctx);
        }
    }
}
