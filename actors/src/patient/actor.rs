//! Patient shell: mailbox and timers. The flows are in the files beside it.

use super::device::{Device, FINAL_WITHIN};
use super::messages::{
    AboutRoster, AboutSecond, Disclose, Enrol, Enrolled, Erase, ErasureReport, FetchCapsules,
    FetchRedealt, Keys, LaidDown, LayDown, PatientError, ReadAll, Rebuild, Rebuilt, SecondNamed,
    ShowKeys, ShowReadiness, Veto,
};
use super::{anew, consent, disclose, enrol, erase, read, readiness, roster, rules, second};
use crate::friend_relative::messages::Bundle;
use crate::identity::{Identity, Setting};
use crate::ports::names::ActorName;
use crate::ports::network::{Delivered, Port};
use crate::ports::store::Space;
use crate::ports::vault::KeySpace;
use crate::upload::OpenedRecord;
use crate::validator::messages::{Concern, Notice};
use actix::fut::ActorFutureExt as _;
use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, ResponseActFuture, ResponseFuture,
    WrapFuture as _,
};
use kithkin_protocol::emergency::{CaseEvent, Disclosure};
use kithkin_protocol::ids::{CaseId, HospitalId};
use kithkin_protocol::ledger::{TxBody, What};
use kithkin_protocol::record::RewrappedBatch;
use kithkin_protocol::roster::{Readiness, RosterEvent};
use kithkin_protocol::units::Height;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often validators are asked anew to tell what happens: a restarted one has forgotten.
const FOLLOW_EVERY: Duration = Duration::from_secs(6);

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

    /// Erases what is kept of keys that were dealt anew, when all kin hold them, and names the second circle again if that is due. A
    /// notice may be lost; the next start looks again.
    fn finish(&self, height: Height, ctx: &mut Context<Self>) {
        let device = self.device.clone();
        let finish = async move {
            let patient = device.me;
            if let Err(error) = anew::finish(device.clone(), height).await {
                tracing::warn!(%patient, %error, "what was dealt is not erased yet");
            }
            if let Err(error) = second::tend(&device, height).await {
                tracing::warn!(%patient, %error, "the second circle is not named again yet");
            }
        };
        ctx.spawn(finish.into_actor(self));
    }

    /// What the person learns of a case without asking.
    fn tell(&self, case: CaseId, hospital: HospitalId, step: CaseEvent) {
        let patient = self.device.me;
        match step {
            CaseEvent::Requested => {
                tracing::info!(%patient, %case, %hospital, "a case was opened about you");
            }
            CaseEvent::Refused
            | CaseEvent::Vetoed
            | CaseEvent::Expired
            | CaseEvent::Revoked
            | CaseEvent::Closed(..)
            | CaseEvent::Overdue
            | CaseEvent::Reviewed(_) => {
                tracing::info!(%patient, %case, %hospital, ?step, "a case about you has come to an end; a report can be had");
            }
            CaseEvent::Approved(_)
            | CaseEvent::KinRefused(..)
            | CaseEvent::Remind
            | CaseEvent::SecondCircle
            | CaseEvent::Waiting
            | CaseEvent::Granted
            | CaseEvent::Released(..)
            | CaseEvent::Opened
            | CaseEvent::Read(_) => {}
        }
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
        self.finish(Height(0), ctx);
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

    fn handle(&mut self, delivered: Delivered<Notice>, ctx: &mut Self::Context) {
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
                if matches!(step, RosterEvent::Done(_) | RosterEvent::RefreshDue) {
                    self.finish(event.height, ctx);
                }
                // One begins when the one before is over.
                if matches!(step, RosterEvent::DrillDue(_)) {
                    ctx.spawn(readiness::tell(self.device.clone()).into_actor(self));
                }
            }
            if let What::Case {
                case,
                hospital,
                step,
                ..
            } = &event.what
            {
                self.tell(*case, *hospital, *step);
                // The second circle is not named anew while a case is live.
                if is_over(*step) {
                    self.finish(event.height, ctx);
                }
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

impl Handler<Delivered<Disclose>> for Patient {
    type Result = ResponseFuture<Result<Disclosure, PatientError>>;

    fn handle(&mut self, message: Delivered<Disclose>, _: &mut Self::Context) -> Self::Result {
        let Delivered {
            from,
            message: Disclose(case),
        } = message;
        self.at_the_screen(from, async move |device| {
            disclose::disclose(&device, case).await
        })
    }
}

impl Handler<Delivered<ShowReadiness>> for Patient {
    type Result = ResponseFuture<Result<Readiness, PatientError>>;

    fn handle(&mut self, message: Delivered<ShowReadiness>, _: &mut Self::Context) -> Self::Result {
        self.at_the_screen(message.from, async move |device| {
            readiness::readiness(&device).await
        })
    }
}

impl Handler<Delivered<Erase>> for Patient {
    type Result = ResponseFuture<Result<ErasureReport, PatientError>>;

    fn handle(&mut self, message: Delivered<Erase>, _: &mut Self::Context) -> Self::Result {
        let Delivered { from, message } = message;
        self.at_the_screen(from, async move |device| {
            erase::erase(device, message).await
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

impl Handler<Delivered<AboutSecond>> for Patient {
    type Result = ResponseFuture<Result<SecondNamed, PatientError>>;

    fn handle(&mut self, message: Delivered<AboutSecond>, _: &mut Self::Context) -> Self::Result {
        let Delivered { from, message } = message;
        self.at_the_screen(from, async move |device| {
            second::about(device, message).await
        })
    }
}

impl Handler<Delivered<LayDown>> for Patient {
    type Result = ResponseFuture<Result<LaidDown, PatientError>>;

    fn handle(&mut self, message: Delivered<LayDown>, _: &mut Self::Context) -> Self::Result {
        let Delivered { from, message } = message;
        self.at_the_screen(from, async move |device| {
            rules::lay_down(device, message).await
        })
    }
}

impl Handler<Delivered<ShowKeys>> for Patient {
    type Result = ResponseFuture<Result<Keys, PatientError>>;

    fn handle(&mut self, message: Delivered<ShowKeys>, _: &mut Self::Context) -> Self::Result {
        self.at_the_screen(message.from, async move |device| Ok(anew::show(&device)))
    }
}

impl Handler<Delivered<Rebuild>> for Patient {
    type Result = ResponseActFuture<Self, Result<Rebuilt, PatientError>>;

    fn handle(&mut self, message: Delivered<Rebuild>, _: &mut Self::Context) -> Self::Result {
        let Delivered { from, message } = message;
        let patient = message.patient;
        let become_it = self.at_the_screen(from, async move |device| {
            anew::take_over(&device, patient).await
        });
        let rebuild = become_it.into_actor(self).then(move |done, this, _| {
            if done.is_ok() && this.device.me != patient {
                this.device = Arc::new(this.device.speaking_for(patient));
                this.follow();
            }
            let device = this.device.clone();
            let rebuild = async move {
                done?;
                anew::rebuild(device).await
            };
            rebuild.into_actor(this)
        });
        Box::pin(rebuild)
    }
}

impl Handler<Delivered<FetchRedealt>> for Patient {
    type Result = ResponseFuture<Result<Bundle, PatientError>>;

    fn handle(&mut self, message: Delivered<FetchRedealt>, _: &mut Self::Context) -> Self::Result {
        let device = self.device.clone();
        Box::pin(async move {
            refuse_unless_kin(message.from)?;
            anew::fetch_redealt(device, message.message.handover).await
        })
    }
}

impl Handler<Delivered<FetchCapsules>> for Patient {
    type Result = ResponseFuture<Result<Arc<RewrappedBatch>, PatientError>>;

    fn handle(&mut self, message: Delivered<FetchCapsules>, _: &mut Self::Context) -> Self::Result {
        let device = self.device.clone();
        Box::pin(async move {
            refuse_unless_kin(message.from)?;
            let FetchCapsules { under, root } = message.message;
            let batch = device.heavy(move |device| device.wrapped(&under, &root));
            match batch.await? {
                Some(batch) => Ok(Arc::new(batch)),
                None => read::new_capsules(&device, under, root).await,
            }
        })
    }
}

/// Whether a case does not stand in the way of a change any more.
fn is_over(step: CaseEvent) -> bool {
    matches!(
        step,
        CaseEvent::Refused
            | CaseEvent::Vetoed
            | CaseEvent::Expired
            | CaseEvent::Revoked
            | CaseEvent::Closed(..)
    )
}

/// What is handed out is sealed, or as public as the capsules that it replaces.
fn refuse_unless_kin(from: ActorName) -> Result<(), PatientError> {
    if matches!(from, ActorName::Kin(..)) {
        return Ok(());
    }
    Err(PatientError::Forbidden {
        reason: format!("{from} is no kin"),
    })
}

crate::supervised!(Patient {
    // One person's screen; notices are only logged.
    const MAILBOX: usize = 128;
});
