//! The orderly end: role by role, each actor with the chance to write down what it holds.

use super::actor::Supervisor;
use super::messages::{ActorState, Finish, ShutdownReport};
use crate::ports::names::ActorName;
use actix::{AsyncContext, Context};
use std::collections::BTreeSet;
use tokio::sync::oneshot;

/// Those who still talk to others go before those whom they talk to.
fn phase(name: ActorName) -> usize {
    match name {
        ActorName::Patient(_) | ActorName::Kin(..) | ActorName::Hospital(_) | ActorName::Driver => {
            0
        }
        ActorName::Leader(_) => 1,
        ActorName::Validator(_) => 2,
    }
}
const PHASES: usize = 3;

/// A shutdown that is going on, or over.
#[derive(Default)]
pub(super) struct Leaving {
    phase: usize,
    waiting: BTreeSet<ActorName>,
    report: ShutdownReport,
    replies: Vec<oneshot::Sender<ShutdownReport>>,
}

impl Supervisor {
    /// Starts the shutdown, or joins the one that is going on.
    pub(super) fn leave(&mut self, ctx: &mut Context<Self>) -> oneshot::Receiver<ShutdownReport> {
        let (reply, answer) = oneshot::channel();
        if let Some(leaving) = &mut self.leaving {
            leaving.replies.push(reply);
            if leaving.phase >= PHASES {
                self.answer_shutdown();
            }
            return answer;
        }
        self.waiters.clear();
        for ward in self.wards.values_mut() {
            if ward.control.is_none() {
                // Whatever its factory still brings forth is fenced off.
                ward.ended();
                ward.state = ActorState::Stopped;
            }
        }
        self.leaving = Some(Leaving {
            replies: vec![reply],
            ..Leaving::default()
        });
        self.begin_phase(0, ctx);
        answer
    }

    fn begin_phase(&mut self, phase_now: usize, ctx: &mut Context<Self>) {
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        leaving.phase = phase_now;
        for ward in self.wards.values() {
            if let Some(control) = &ward.control
                && phase(ward.name) == phase_now
            {
                leaving.waiting.insert(ward.name);
                let _ = control.finish.try_send(Finish);
            }
        }
        if phase_now >= PHASES {
            if let Some(tick) = self.tick.take() {
                ctx.cancel_future(tick);
            }
            self.workers.stop();
            self.answer_shutdown();
        } else if leaving.waiting.is_empty() {
            self.begin_phase(phase_now + 1, ctx);
        } else {
            ctx.run_later(self.config.finish_within, move |this, ctx| {
                this.end_phase(phase_now, ctx);
            });
        }
    }

    /// An actor ended during the shutdown, of its own or not.
    pub(super) fn left(&mut self, name: ActorName, ctx: &mut Context<Self>) {
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        leaving.waiting.remove(&name);
        leaving.report.finished.push(name);
        if leaving.waiting.is_empty() && leaving.phase < PHASES {
            let next = leaving.phase + 1;
            self.begin_phase(next, ctx);
        }
    }

    /// The time of a phase is over: those who did not end are left behind.
    fn end_phase(&mut self, phase_now: usize, ctx: &mut Context<Self>) {
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        if leaving.phase != phase_now {
            return;
        }
        for name in core::mem::take(&mut leaving.waiting) {
            tracing::warn!(actor = %name, "did not finish in time: left behind");
            leaving.report.abandoned.push(name);
            if let Some(ward) = self.wards.get_mut(&name) {
                ward.ended();
                ward.state = ActorState::Stopped;
            }
            self.network.book().remove(name);
        }
        self.begin_phase(phase_now + 1, ctx);
    }

    fn answer_shutdown(&mut self) {
        if let Some(leaving) = &mut self.leaving {
            for reply in leaving.replies.drain(..) {
                // Who asked may have gone.
                let _ = reply.send(leaving.report.clone());
            }
        }
    }
}
