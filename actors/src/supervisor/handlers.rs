//! What the driver of a cluster can ask the supervisor, message by message.

use super::actor::{Supervisor, Waiter};
use super::backoff::Record;
use super::messages::{
    ActorState, EventKind, Hold, Inject, Release, Shutdown, ShutdownReport, Start, StartMany,
    Status, Suffer, SupervisorError, Watch, WhenRunning,
};
use super::ward::Ward;
use actix::{Handler, MessageResult, ResponseFuture};
use std::collections::BTreeSet;
use tokio::sync::oneshot;

impl Handler<Start> for Supervisor {
    type Result = Result<(), SupervisorError>;

    fn handle(&mut self, start: Start, ctx: &mut Self::Context) -> Self::Result {
        self.admit(vec![start.spec], ctx)
    }
}

impl Handler<StartMany> for Supervisor {
    type Result = Result<(), SupervisorError>;

    fn handle(&mut self, start: StartMany, ctx: &mut Self::Context) -> Self::Result {
        self.admit(start.specs, ctx)
    }
}

impl Handler<WhenRunning> for Supervisor {
    type Result = ResponseFuture<Result<(), SupervisorError>>;

    fn handle(&mut self, when: WhenRunning, _: &mut Self::Context) -> Self::Result {
        let mut names: BTreeSet<_> = when.names.into_iter().collect();
        if names.is_empty() {
            names.extend(self.wards.keys());
        }
        let mut refused = None;
        names.retain(
            |&name| match self.wards.get(&name).map(|ward| &ward.state) {
                Some(ActorState::Running) => false,
                Some(ActorState::GivenUp { .. }) => {
                    refused = Some(SupervisorError::GivenUp { name });
                    true
                }
                Some(_) => true,
                None => {
                    refused = Some(SupervisorError::Unknown { name });
                    true
                }
            },
        );
        let (reply, answer) = oneshot::channel();
        match refused {
            Some(error) => {
                let _ = reply.send(Err(error));
            }
            None if names.is_empty() => {
                let _ = reply.send(Ok(()));
            }
            None => self.waiters.push(Waiter { names, reply }),
        }
        Box::pin(async move { answer.await.unwrap_or(Err(SupervisorError::ShuttingDown)) })
    }
}

impl Handler<Inject> for Supervisor {
    type Result = Result<(), SupervisorError>;

    fn handle(&mut self, inject: Inject, _: &mut Self::Context) -> Self::Result {
        let name = inject.name;
        let control = &self.ward(name)?.control;
        let control = control
            .as_ref()
            .ok_or(SupervisorError::NotRunning { name })?;
        let sent = control.suffer.try_send(Suffer(inject.fault));
        sent.map_err(|_| SupervisorError::NotRunning { name })
    }
}

impl Handler<Hold> for Supervisor {
    type Result = Result<(), SupervisorError>;

    fn handle(&mut self, hold: Hold, _: &mut Self::Context) -> Self::Result {
        if self.leaving.is_some() {
            return Err(SupervisorError::ShuttingDown);
        }
        let ward = self.ward(hold.name)?;
        ward.state = ActorState::Held;
        ward.ended();
        self.network.book().remove(hold.name);
        self.tell(hold.name, EventKind::Held);
        Ok(())
    }
}

impl Handler<Release> for Supervisor {
    type Result = Result<(), SupervisorError>;

    fn handle(&mut self, release: Release, ctx: &mut Self::Context) -> Self::Result {
        if self.leaving.is_some() {
            return Err(SupervisorError::ShuttingDown);
        }
        let name = release.name;
        let ward = self.ward(name)?;
        if !matches!(ward.state, ActorState::Held | ActorState::GivenUp { .. }) {
            return Err(SupervisorError::NotHeld { name });
        }
        ward.record = Record::default();
        self.bring_up(name, ctx);
        Ok(())
    }
}

impl Handler<Status> for Supervisor {
    type Result = MessageResult<Status>;

    fn handle(&mut self, _: Status, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.wards.values().map(Ward::status).collect())
    }
}

impl Handler<Watch> for Supervisor {
    type Result = MessageResult<Watch>;

    fn handle(&mut self, _: Watch, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.events.subscribe())
    }
}

impl Handler<Shutdown> for Supervisor {
    type Result = ResponseFuture<ShutdownReport>;

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) -> Self::Result {
        let answer = self.leave(ctx);
        Box::pin(async move { answer.await.unwrap_or_default() })
    }
}
