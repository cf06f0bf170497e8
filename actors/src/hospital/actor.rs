//! Hospital shell: mailbox and ticks. The flows are in the files beside it.

use crate::hospital::desk::{Desk, PROVED_WITHIN};
use crate::hospital::messages::{
    CloseCase, DeliverPartials, EraseCopies, FetchRecords, Fetched, HospitalError, LendRecords,
    OnDuty, Opened, ReadCase, RequestOpening, Requested, Sponsor, WriteRecord, Written,
};
use crate::hospital::{consent, erase, lend, partials, read, repair, request, write};
use crate::identity::{Identity, Setting};
use crate::ports::names::ActorName;
use crate::ports::network::{Delivered, Port};
use crate::ports::objects::Shelf;
use crate::ports::store::Space;
use crate::ports::vault::KeySpace;
use crate::validator::messages::{Concern, Notice};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, ResponseFuture};
use kithkin_protocol::crypto::{Signature, VerifyingKey};
use kithkin_protocol::ledger::Enrolment;
use kithkin_protocol::record::CopiesErased;
use kithkin_protocol::units::Height;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often unfinished uploads are looked at and the validators reminded of this follower.
const TICK: Duration = Duration::from_secs(2);
/// How often cases are looked at that may be over without a notice having arrived.
const TEND_EVERY: Duration = Duration::from_secs(30);

/// How long the supervisor may take to notice that an instance has ended, and how often that is looked at.
const FENCED_WITHIN: Duration = Duration::from_secs(1);
const FENCED_AGAIN: Duration = Duration::from_millis(5);

/// A hospital: seals records, spreads shards, opens cases, reads.
pub struct Hospital {
    desk: Arc<Desk>,
    /// Dropped with this instance: its flows end with it, and who waits for them hears so at once.
    life: watch::Sender<()>,
}

impl Hospital {
    /// Comes back from vault and store as it was, or starts anew. Ciphertexts are on the `shelf`.
    ///
    /// # Errors
    /// [`HospitalError::Store`] when vault or store cannot be read or written.
    pub fn open(
        setting: Setting,
        identity: Identity,
        keys: KeySpace,
        port: Port,
        space: Space,
        shelf: Shelf,
    ) -> Result<Self, HospitalError> {
        let desk = Desk::open(setting, identity, keys, port, space, shelf)?;
        Ok(Self {
            desk: Arc::new(desk),
            life: watch::channel(()).0,
        })
    }

    /// A flow that answers a message. It ends with this instance: its successor could not be told of the answer.
    pub(super) fn begin<F, T>(
        &self,
        flow: impl FnOnce(Arc<Desk>) -> F,
    ) -> ResponseFuture<Result<T, HospitalError>>
    where
        F: Future<Output = Result<T, HospitalError>> + 'static,
        T: 'static,
    {
        let (flow, mut life) = (flow(Arc::clone(&self.desk)), self.life.subscribe());
        let port = self.desk.port.clone();
        Box::pin(async move {
            tokio::select! {
                done = flow => return done,
                // Nothing is ever sent: this is the end.
                _ = life.changed() => {}
            }
            // Once this incarnation is over, the transport takes the answer for what it is: none.
            let known_by = Instant::now() + FENCED_WITHIN;
            while port.is_current() && Instant::now() < known_by {
                tokio::time::sleep(FENCED_AGAIN).await;
            }
            Err(HospitalError::Store {
                reason: "the hospital ended meanwhile; ask again".to_owned(),
            })
        })
    }

    /// A flow in the background, until it is done or this instance ends.
    fn spawn<F>(&self, flow: impl FnOnce(Arc<Desk>) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let (flow, mut life) = (flow(Arc::clone(&self.desk)), self.life.subscribe());
        actix::spawn(async move {
            tokio::select! {
                () = flow => {}
                _ = life.changed() => {}
            }
        });
    }

    fn tick(&self, ctx: &mut Context<Self>) {
        if self.desk.disk.failed() {
            // Whatever this incarnation writes from now on is refused; the next one starts from what is on disk.
            tracing::error!(hospital = %self.desk.port.me(), "the store refused a write; stopping");
            ctx.stop();
            return;
        }
        self.desk.client.follow(&[Concern::Hospital(self.desk.me)]);
        self.spawn(|desk| async move { repair::round(&desk).await });
    }

    fn tend(&self) {
        self.spawn(|desk| async move { request::tend(&desk).await });
        self.spawn(|desk| async move { consent::tend(&desk).await });
    }
}

impl Actor for Hospital {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.tick(ctx);
        self.tend();
        ctx.run_interval(TICK, |this, ctx| this.tick(ctx));
        ctx.run_interval(TEND_EVERY, |this, _| this.tend());
    }
}

pub(super) fn only_driver(from: ActorName) -> Result<(), HospitalError> {
    match from {
        ActorName::Driver => Ok(()),
        _ => Err(HospitalError::Forbidden {
            reason: format!("{from} is none of the hospital's own screens"),
        }),
    }
}

impl Handler<Delivered<Sponsor>> for Hospital {
    type Result = Result<Signature, HospitalError>;

    fn handle(&mut self, delivered: Delivered<Sponsor>, _: &mut Self::Context) -> Self::Result {
        let Sponsor { patient, enrolment } = delivered.message;
        let forbidden = |reason: String| HospitalError::Forbidden { reason };
        if self.desk.setting.directory.patient(delivered.from) != Some(patient) {
            let reason = format!("{} is not patient {patient}", delivered.from);
            return Err(forbidden(reason));
        }
        if enrolment.sponsor != self.desk.me {
            return Err(forbidden(format!(
                "the enrolment names the sponsor {}",
                enrolment.sponsor
            )));
        }
        enrolment
            .check_shape(patient)
            .map_err(|error| forbidden(error.to_string()))?;
        let digest = enrolment.digest(self.desk.client.chain(), patient);
        Ok(Enrolment::sponsor(&digest, &self.desk.identity.signing))
    }
}

impl Handler<Delivered<WriteRecord>> for Hospital {
    type Result = ResponseFuture<Result<Written, HospitalError>>;

    fn handle(&mut self, delivered: Delivered<WriteRecord>, _: &mut Self::Context) -> Self::Result {
        self.begin(|desk| async move {
            only_driver(delivered.from)?;
            write::write(&desk, delivered.message).await
        })
    }
}

impl Handler<Delivered<RequestOpening>> for Hospital {
    type Result = ResponseFuture<Result<Requested, HospitalError>>;

    fn handle(
        &mut self,
        delivered: Delivered<RequestOpening>,
        _: &mut Self::Context,
    ) -> Self::Result {
        self.begin(|desk| async move {
            only_driver(delivered.from)?;
            request::request(&desk, delivered.message).await
        })
    }
}

impl Handler<Delivered<DeliverPartials>> for Hospital {
    type Result = ResponseFuture<Result<(), HospitalError>>;

    fn handle(
        &mut self,
        delivered: Delivered<DeliverPartials>,
        _: &mut Self::Context,
    ) -> Self::Result {
        self.begin(|desk| async move { partials::take_in(&desk, delivered).await })
    }
}

impl Handler<Delivered<ReadCase>> for Hospital {
    type Result = ResponseFuture<Result<Opened, HospitalError>>;

    fn handle(&mut self, delivered: Delivered<ReadCase>, _: &mut Self::Context) -> Self::Result {
        self.begin(|desk| async move {
            only_driver(delivered.from)?;
            read::read(&desk, delivered.message).await
        })
    }
}

impl Handler<Delivered<OnDuty>> for Hospital {
    type Result = ResponseFuture<Result<VerifyingKey, HospitalError>>;

    fn handle(&mut self, delivered: Delivered<OnDuty>, _: &mut Self::Context) -> Self::Result {
        self.begin(|desk| async move {
            only_driver(delivered.from)?;
            Ok(desk.clinician.verifying_key())
        })
    }
}

impl Handler<Delivered<CloseCase>> for Hospital {
    type Result = ResponseFuture<Result<Height, HospitalError>>;

    fn handle(&mut self, delivered: Delivered<CloseCase>, _: &mut Self::Context) -> Self::Result {
        self.begin(|desk| async move {
            only_driver(delivered.from)?;
            request::close(&desk, delivered.message.0).await
        })
    }
}

impl Handler<Delivered<FetchRecords>> for Hospital {
    type Result = ResponseFuture<Result<Fetched, HospitalError>>;

    fn handle(
        &mut self,
        delivered: Delivered<FetchRecords>,
        _: &mut Self::Context,
    ) -> Self::Result {
        self.begin(|desk| async move {
            let FetchRecords { root } = delivered.message;
            let upload = desk.archive.upload(root).await?;
            let upload = upload.ok_or(HospitalError::UnknownUpload { root })?;
            // Not a device that was lost: whoever found it may have its keys.
            let deadline = Instant::now() + PROVED_WITHIN;
            let (patient, _) = desk.prove_patient(upload.patient, deadline).await?;
            let device = desk.setting.directory.account(delivered.from);
            if device != Some(patient.device) {
                return Err(HospitalError::Forbidden {
                    reason: format!("the upload is not of {}", delivered.from),
                });
            }
            let ciphertexts = desk.archive.ciphertexts(&upload).await?;
            Ok(Fetched {
                upload,
                ciphertexts,
            })
        })
    }
}

impl Handler<Delivered<LendRecords>> for Hospital {
    type Result = ResponseFuture<Result<Fetched, HospitalError>>;

    fn handle(&mut self, delivered: Delivered<LendRecords>, _: &mut Self::Context) -> Self::Result {
        self.begin(|desk| async move { lend::lend(&desk, delivered.from, delivered.message).await })
    }
}

impl Handler<Delivered<EraseCopies>> for Hospital {
    type Result = ResponseFuture<Result<CopiesErased, HospitalError>>;

    fn handle(&mut self, delivered: Delivered<EraseCopies>, _: &mut Self::Context) -> Self::Result {
        self.begin(|desk| async move {
            erase::on_message(&desk, delivered.from, delivered.message).await
        })
    }
}

impl Handler<Delivered<Notice>> for Hospital {
    type Result = ();

    fn handle(&mut self, delivered: Delivered<Notice>, _: &mut Self::Context) {
        if matches!(delivered.from, ActorName::Validator(_)) {
            request::on_notice(&self.desk, &delivered.message.0);
            consent::on_notice(&self.desk, &delivered.message.0);
            // Should this notice get lost, the patient asks.
            for (place, height) in erase::orders(&self.desk, &delivered.message.0) {
                self.spawn(move |desk| async move {
                    if let Err(error) = erase::erase(&desk, place, height).await {
                        tracing::warn!(hospital = %desk.me, %error, "an order to erase is not carried out yet");
                    }
                });
            }
        }
    }
}

crate::supervised!(Hospital);
