//! Patient shell: mailbox and timers. The flows are in the files beside it.

use super::device::Device;
use super::messages::{AboutRoster, Enrol, Enrolled, PatientError, ReadAll, Veto};
use super::{consent, enrol, read, roster};
use crate::identity::{Identity, Setting};
use crate::ports::names::ActorName;
use crate::ports::network::{Delivered, Port};
use crate::ports::store::Space;
use crate::ports::vault::KeySpace;
use crate::upload::OpenedRecord;
use crate::validator::messages::{Concern, Notice};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, ResponseFuture};
use kithkin_protocol::emergency::CaseEvent;
use kithkin_protocol::ledger::{TxBody, What};
use kithkin_protocol::units::Height;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often validators are asked anew to tell what happens: a restarted one has forgotten.
const FOLLOW_EVERY: Duration = Duration::from_secs(6);
/// How long a veto may take to become final.
const FINAL_WITHIN: Duration = Duration::from_secs(30);

/// A patient's own device: the only place where tier keys exist.
pub struct Patient {
    device: Arc<Device>,
}

impl Patient {
    /// Comes back from the store as it was.
    ///
    /// # Errors
    /// [`PatientError::Store`] when store or vault cannot be used.
    pub fn open(
        setting: Setting,
        identity: Identity,
        keys: KeySpace,
        port: Port,
        space: Space,
    ) -> Result<Self, PatientError> {
        Ok(Self {
            device: Arc::new(Device::open(setting, identity, keys, port, space)?),
        })
    }

    fn follow(&self) {
        self.device
            .client
            .follow(&[Concern::Patient(self.device.me)]);
    }

    /// Keys of grants that a hospital has not taken yet are sent again.
    fn deliver(&self) {
        let device = self.device.clone();
        actix::spawn(async move {
            if let Err(error) = consent::deliver_all(&device).await {
                tracing::warn!(patient = %device.me, %error, "keys of grants are not delivered yet");
            }
        });
    }

    /// Runs what the screen of this device asks for; anybody else is refused.
    pub(super) fn at_the_screen<T: 'static>(
        &self,
        from: ActorName,
        work: impl AsyncFnOnce(Arc<Device>) -> Result<T, PatientError> + 'static,
    ) -> ResponseFuture<Result<T, PatientError>> {
        let device = self.device.clone();
        Box::pin(async move {
            if from != ActorName::Driver {
                return Err(PatientError::Forbidden {
                    reason: format!("{from} does not sit in front of this device's screen"),
                });
            }
            work(device).await
        })
    }
}

impl Actor for Patient {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.follow();
        self.deliver();
        ctx.run_interval(FOLLOW_EVERY, |this, ctx| {
            if this.device.has_gap() {
                tracing::error!(patient = %this.device.me, "the store refused a write; stopping");
                ctx.stop();
            } else {
                this.follow();
                this.deliver();
            }
        });
    }
}

impl Handler<Delivered<Notice>> for Patient {
    type Result = ();

    fn handle(&mut self, delivered: Delivered<Notice>, _: &mut Self::Context) {
        if !matches!(delivered.from, ActorName::Validator(_)) {
            return;
        }
        for event in delivered.message.0.iter() {
            if let What::Attempt {
                hospital, reason, ..
            } = &event.what
            {
                tracing::warn!(patient = %self.device.me, %hospital, %reason, "a hospital asked for your records and was refused");
            }
            if let What::Grant { grant, step, .. } = &event.what {
                tracing::info!(patient = %self.device.me, %grant, ?step, "about a consent of yours");
            }
            if let What::Roster { step, .. } = &event.what {
                tracing::info!(patient = %self.device.me, ?step, "about your roster");
            }
            if let What::Case {
                case,
                hospital,
                step: CaseEvent::Requested,
                ..
            } = &event.what
            {
                tracing::info!(patient = %self.device.me, %case, %hospital, "a case was opened about you");
            }
        }
    }
}

impl Handler<Delivered<Enrol>> for Patient {
    type Result = ResponseFuture<Result<Enrolled, PatientError>>;

    fn handle(&mut self, message: Delivered<Enrol>, _: &mut Self::Context) -> Self::Result {
        let Delivered { from, message } = message;
        self.at_the_screen(from, async move |device| {
            enrol::enrol(device, message).await
        })
    }
}

impl Handler<Delivered<ReadAll>> for Patient {
    type Result = ResponseFuture<Result<Vec<OpenedRecord>, PatientError>>;

    fn handle(&mut self, message: Delivered<ReadAll>, _: &mut Self::Context) -> Self::Result {
        let Delivered { from, message } = message;
        self.at_the_screen(from, async move |device| {
            read::read_all(device, message).await
        })
    }
}

impl Handler<Delivered<Veto>> for Patient {
    type Result = ResponseFuture<Result<Height, PatientError>>;

    fn handle(&mut self, message: Delivered<Veto>, _: &mut Self::Context) -> Self::Result {
        let Delivered {
            from,
            message: Veto(case),
        } = message;
        self.at_the_screen(from, async move |device| {
            let deadline = Instant::now() + FINAL_WITHIN;
            let body = TxBody::Veto { case };
            let finalized = device.client.submit(body, deadline).await?;
            Ok(finalized.proof.header.height)
        })
    }
}

impl Handler<Delivered<AboutRoster>> for Patient {
    type Result = ResponseFuture<Result<Height, PatientError>>;

    fn handle(&mut self, message: Delivered<AboutRoster>, _: &mut Self::Context) -> Self::Result {
        let Delivered { from, message } = message;
        self.at_the_screen(from, async move |device| {
            roster::about(device, message).await
        })
    }
}

crate::supervised!(Patient {
    // One person's screen; notices are only logged.
    const MAILBOX: usize = 128;
});
