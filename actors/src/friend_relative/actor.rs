//! FriendRelative shell: mailbox, timers, and which cases have unfinished business.
//!
//! Handlers start flows over the shared [`Desk`]; a flow's end comes back to the
//! actor. Rules: `kithkin_protocol::{sharing, record, emergency, ledger}`.

use super::desk::Desk;
use super::messages::{AboutRoster, Bundle, FetchBundle, Invitation, Invited, OnInvitation, Wipe};
use super::messages::{
    Conduct, Decide, Decided, EraseBatch, FetchShards, FetchUpload, Held, Inventory, KinError,
    OfferSecond, OfferShares, Pending, PendingRequest, ReplayApproval, Replayed, StoreShards,
};
use super::release::{Outcome, pursue};
use super::{
    bundles, decide, erase, invitations, offers, prepare, requests, roster, second_offers, shards,
};
use crate::identity::{Identity, Setting};
use crate::ports::names::ActorName;
use crate::ports::network::{Delivered, Port};
use crate::ports::store::Space;
use crate::ports::vault::KeySpace;
use crate::upload::Upload;
use crate::validator::messages::Notice;
use actix::fut::ActorFutureExt as _;
use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, ResponseActFuture, ResponseFuture,
    WrapFuture as _,
};
use kithkin_protocol::crypto::Signature;
use kithkin_protocol::emergency::{Case, CaseEvent, Phase, Stage};
use kithkin_protocol::ids::{CaseId, PatientId, RecordId};
use kithkin_protocol::ledger::{BatchPlace, What};
use kithkin_protocol::record::{Erasure, Receipt, Shard};
use kithkin_protocol::units::Height;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often a kin looks whether it missed something: notices may be lost.
const TICK: Duration = Duration::from_millis(1_500);
/// Ticks between two orders to be told what happens: a restarted validator has forgotten them.
const FOLLOW_TICKS: u32 = 4;
/// Most requests that are proved early at a time: a lying validator may list any number.
const PROVING_MAX: usize = 16;
/// Most requests that are remembered as shown again.
const REMINDED_MAX: usize = 1_024;
/// After failures a case is left alone for so many ticks at most.
const PAUSE_TICKS_MAX: u32 = 16;
/// For so many ticks after something happened to a roster it is looked at in each.
const KEEP_TICKS: u32 = 6;
/// A start's first looks are spread over so many ticks.
const START_TICKS: u32 = 12;
/// So many ticks after something happened a kin looks whether it holds every piece that it should.
const MEND_TICKS: u32 = 2;
/// Every so many ticks a quiet roster is looked at.
const KEEP_EVERY_TICKS: u32 = 40;

/// A friend or relative: keeps shares and shards, proves requests, decides, releases partial openings.
pub struct FriendRelative {
    pub(super) desk: Arc<Desk>,
    /// Cases that this kin has decided and that are not settled.
    tasks: BTreeMap<CaseId, Task>,
    /// Whether a look at the ledger is under way.
    looking: bool,
    /// Requests that are being proved before anybody asks.
    proving: BTreeSet<CaseId>,
    /// Requests that were shown again, or are being so.
    reminded: BTreeSet<CaseId>,
    /// Rosters that are seen to, or have to be.
    rosters: BTreeMap<PatientId, Keeping>,
    ticks: u32,
}

/// One patient's roster.
#[derive(Default)]
struct Keeping {
    busy: bool,
    /// Something happened meanwhile: look again.
    again: bool,
    /// Ticks since something last happened to it.
    quiet: u32,
}

/// One case with unfinished business.
#[derive(Default)]
struct Task {
    /// Whether a flow is at work.
    busy: bool,
    /// Something happened meanwhile: look again, at this height.
    again: Option<Height>,
    failures: u32,
    /// Ticks to let pass.
    pause: u32,
}

impl FriendRelative {
    /// Comes back from the store as it was; releases that were not finished go on.
    ///
    /// # Errors
    /// [`KinError::Store`] when store or vault cannot be used.
    pub fn open(
        setting: Setting,
        identity: Identity,
        keys: KeySpace,
        port: Port,
        space: Space,
    ) -> Result<Self, KinError> {
        let desk = Desk::open(setting, identity, keys, port, space)?;
        let unfinished = desk.store.dockets()?.into_iter();
        let tasks = unfinished
            .filter(|(_, docket)| !docket.settled)
            .map(|(case, _)| (case, Task::default()))
            .collect();
        Ok(Self {
            desk: Arc::new(desk),
            tasks,
            looking: false,
            proving: BTreeSet::new(),
            reminded: BTreeSet::new(),
            rosters: BTreeMap::new(),
            ticks: 0,
        })
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.desk.store.has_gap() {
            tracing::error!(kin = %self.desk.me, "the store refused a write; stopping");
            ctx.stop();
            return;
        }
        if self.ticks.is_multiple_of(FOLLOW_TICKS) {
            self.desk.follow();
        }
        self.ticks = self.ticks.wrapping_add(1);
        for task in self.tasks.values_mut() {
            task.pause = task.pause.saturating_sub(1);
        }
        self.look(ctx);
        self.keep_rosters(ctx);
    }

    /// Sees to every roster in the first ticks after something happened to it, and now and then: notices may be lost.
    fn keep_rosters(&mut self, ctx: &mut Context<Self>) {
        let circles = self.desk.circles();
        self.rosters.retain(|patient, _| circles.contains(patient));
        let mut due = Vec::new();
        // After a start every roster is looked at soon, but not by all kin of a house in the same moment.
        let [turn, ..] = self.desk.me.0;
        let first = KEEP_EVERY_TICKS - 2 - u32::from(turn) % START_TICKS;
        for patient in circles {
            let keeping = self.rosters.entry(patient).or_insert(Keeping {
                quiet: first,
                ..Keeping::default()
            });
            keeping.quiet = keeping.quiet.saturating_add(1);
            if keeping.quiet <= KEEP_TICKS || keeping.quiet.is_multiple_of(KEEP_EVERY_TICKS) {
                due.push(patient);
            }
        }
        for patient in due {
            self.keep_roster(patient, ctx);
        }
    }

    fn keep_roster(&mut self, patient: PatientId, ctx: &mut Context<Self>) {
        let keeping = self.rosters.entry(patient).or_default();
        if keeping.busy {
            keeping.again = true;
            return;
        }
        keeping.busy = true;
        let waited = keeping.quiet;
        let desk = self.desk.clone();
        // Some time after something happened, and now and then: whatever should be here is here.
        let mend = waited == MEND_TICKS || (waited > 0 && waited.is_multiple_of(KEEP_EVERY_TICKS));
        let flow = async move { roster::pursue(&desk, patient, waited, mend).await };
        ctx.spawn(flow.into_actor(self).map(move |done, this, ctx| {
            if let Err(error) = done {
                tracing::warn!(kin = %this.desk.me, %patient, %error, "the roster is looked at again");
            }
            let Some(keeping) = this.rosters.get_mut(&patient) else {
                return;
            };
            keeping.busy = false;
            if std::mem::take(&mut keeping.again) {
                this.keep_roster(patient, ctx);
            }
        }));
    }

    /// Asks a validator which cases there are, as a hint what to have proved.
    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.looking {
            return;
        }
        self.looking = true;
        let desk = self.desk.clone();
        let look = async move { requests::hints(&desk).await };
        ctx.spawn(look.into_actor(self).map(|hints, this, ctx| {
            this.looking = false;
            match hints {
                Ok(hints) => this.on_hints(&hints, ctx),
                Err(error) => tracing::debug!(kin = %this.desk.me, %error, "cannot look"),
            }
        }));
    }

    fn on_hints(&mut self, hints: &[Case], ctx: &mut Context<Self>) {
        let phases: BTreeMap<CaseId, Phase> =
            hints.iter().map(|case| (case.id, case.phase)).collect();
        let me = self.desk.me;
        let said =
            |case: &Case| case.approvals.contains_key(&me) || case.refusals.contains_key(&me);
        let waiting: Vec<CaseId> = hints
            .iter()
            .filter(|case| said(case))
            .map(|c| c.id)
            .collect();
        let ready: Vec<CaseId> = self
            .tasks
            .iter()
            .filter(|(id, task)| {
                let undecided = matches!(phases.get(id), Some(Phase::Requested | Phase::Waiting));
                // A decision that stands on chain waits for the others'; everything else can be moved on.
                task.pause == 0 && !(undecided && waiting.contains(id))
            })
            .map(|(id, _)| *id)
            .collect();
        for id in ready {
            self.pursue(id, Height(0), ctx);
        }
        for case in hints
            .iter()
            .filter(|case| case.phase.is_live() && !said(case))
        {
            self.prove_early(case.id, ctx);
            if case.stage > Stage::Asked {
                self.remind(case.id, ctx);
            }
        }
        if self.reminded.len() >= REMINDED_MAX {
            // What is over needs no reminder any more.
            let listed: BTreeSet<CaseId> = hints.iter().map(|case| case.id).collect();
            self.reminded.retain(|case| listed.contains(case));
        }
    }

    /// Shows a request that was proved again, once: the ledger has reminded the kin who have not answered (ADR 35). The look that follows
    /// a notice, or any later one, finds it.
    fn remind(&mut self, case: CaseId, ctx: &mut Context<Self>) {
        if self.desk.request(case).is_none()
            || self.reminded.len() >= REMINDED_MAX
            || !self.reminded.insert(case)
        {
            return;
        }
        let desk = self.desk.clone();
        let remind = async move { requests::remind(&desk, case).await };
        ctx.spawn(remind.into_actor(self).map(move |shown, this, _| {
            if let Err(error) = shown {
                tracing::debug!(kin = %this.desk.me, %case, %error, "not shown again yet");
                this.reminded.remove(&case);
            }
        }));
    }

    /// Has a request proved before anybody asks, so that showing and signing it is quick.
    fn prove_early(&mut self, case: CaseId, ctx: &mut Context<Self>) {
        if self.desk.request(case).is_some()
            || self.proving.len() >= PROVING_MAX
            || !self.proving.insert(case)
        {
            return;
        }
        let desk = self.desk.clone();
        let prove = async move {
            match requests::proved(&desk, case).await {
                Ok(request) => {
                    tracing::info!(kin = %desk.me, %case, hospital = %request.hospital, "a request waits for an answer");
                    // People take their time; what opening needs is proved meanwhile.
                    if let Err(error) = prepare::prove_batches(&desk, &request.request).await {
                        tracing::debug!(kin = %desk.me, %case, %error, "its batches are not proved yet");
                    }
                }
                Err(error) => tracing::debug!(kin = %desk.me, %case, %error, "not proved"),
            }
        };
        ctx.spawn(prove.into_actor(self).map(move |(), this, _| {
            this.proving.remove(&case);
        }));
    }

    /// Goes on with a case, unless a flow does so already; then that one is followed by another.
    fn pursue(&mut self, case: CaseId, height: Height, ctx: &mut Context<Self>) {
        let task = self.tasks.entry(case).or_default();
        if task.busy {
            task.again = task.again.max(Some(height));
            return;
        }
        task.busy = true;
        let desk = self.desk.clone();
        let flow = async move { pursue(&desk, case, height).await };
        ctx.spawn(flow.into_actor(self).map(move |outcome, this, ctx| {
            this.on_pursued(case, outcome, ctx);
        }));
    }

    fn on_pursued(
        &mut self,
        case: CaseId,
        outcome: Result<Outcome, KinError>,
        ctx: &mut Context<Self>,
    ) {
        let Some(task) = self.tasks.get_mut(&case) else {
            return;
        };
        task.busy = false;
        match outcome {
            Ok(Outcome::Settled) => {
                self.tasks.remove(&case);
                return;
            }
            Ok(Outcome::Later) => task.failures = 0,
            Err(error) => {
                task.failures = task.failures.saturating_add(1);
                let doubled = 1u32.checked_shl(task.failures.saturating_sub(1));
                task.pause = doubled.map_or(PAUSE_TICKS_MAX, |pause| pause.min(PAUSE_TICKS_MAX));
                tracing::warn!(kin = %self.desk.me, %case, %error, "will try again");
            }
        }
        if let Some(height) = task.again.take() {
            self.pursue(case, height, ctx);
        }
    }

    /// Does what the patient has ordered without being asked for a receipt. Should this notice get lost, the patient asks.
    fn erase(&self, place: BatchPlace, height: Height, ctx: &mut Context<Self>) {
        let desk = self.desk.clone();
        let flow = async move {
            if let Err(error) = erase::erase(&desk, place, height).await {
                tracing::warn!(kin = %desk.me, %error, "an order to erase is not carried out yet");
            }
        };
        ctx.spawn(flow.into_actor(self));
    }

    fn refuse_unless_driver(from: ActorName) -> Result<(), KinError> {
        if from == ActorName::Driver {
            return Ok(());
        }
        Err(KinError::Forbidden {
            reason: format!("{from} does not sit in front of this kin's screen"),
        })
    }
}

impl Actor for FriendRelative {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.tick(ctx);
        ctx.run_interval(TICK, Self::tick);
    }
}

impl Handler<Delivered<Notice>> for FriendRelative {
    type Result = ();

    fn handle(&mut self, delivered: Delivered<Notice>, ctx: &mut Self::Context) {
        if !matches!(delivered.from, ActorName::Validator(_)) {
            return;
        }
        let mut newest: BTreeMap<CaseId, Height> = BTreeMap::new();
        let mut requested = false;
        let mut rosters = BTreeSet::new();
        for event in delivered.message.0.iter() {
            if let What::Case { case, step, .. } = &event.what {
                requested |= matches!(step, CaseEvent::Requested | CaseEvent::Remind);
                if self.tasks.contains_key(case) {
                    let height = newest.entry(*case).or_default();
                    *height = event.height.max(*height);
                }
            }
            if let What::Roster { patient, .. } = &event.what {
                rosters.insert(*patient);
            }
            if let What::Erase { place, .. } = &event.what {
                self.erase(*place, event.height, ctx);
            }
        }
        let circles = self.desk.circles();
        for patient in rosters.intersection(&circles) {
            self.rosters.entry(*patient).or_default().quiet = 0;
            self.keep_roster(*patient, ctx);
        }
        for (case, height) in newest {
            self.pursue(case, height, ctx);
        }
        if requested {
            self.look(ctx);
        }
    }
}

impl Handler<Delivered<OfferShares>> for FriendRelative {
    type Result = ResponseFuture<Result<Signature, KinError>>;

    fn handle(&mut self, offer: Delivered<OfferShares>, _: &mut Self::Context) -> Self::Result {
        Box::pin(offers::accept(self.desk.clone(), offer.from, offer.message))
    }
}

impl Handler<Delivered<OfferSecond>> for FriendRelative {
    type Result = ResponseFuture<Result<Signature, KinError>>;

    fn handle(&mut self, offer: Delivered<OfferSecond>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(second_offers::accept(desk, offer.from, offer.message))
    }
}

impl Handler<Delivered<Invited>> for FriendRelative {
    type Result = Result<Vec<Invitation>, KinError>;

    fn handle(&mut self, asked: Delivered<Invited>, _: &mut Self::Context) -> Self::Result {
        Self::refuse_unless_driver(asked.from)?;
        Ok(invitations::shown(&self.desk))
    }
}

impl Handler<Delivered<OnInvitation>> for FriendRelative {
    type Result = ResponseFuture<Result<(), KinError>>;

    fn handle(&mut self, conduct: Delivered<OnInvitation>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(async move {
            Self::refuse_unless_driver(conduct.from)?;
            invitations::behave(&desk, conduct.message).await
        })
    }
}

impl Handler<Delivered<StoreShards>> for FriendRelative {
    type Result = ResponseFuture<Result<Receipt, KinError>>;

    fn handle(&mut self, store: Delivered<StoreShards>, _: &mut Self::Context) -> Self::Result {
        Box::pin(shards::store(self.desk.clone(), store.from, store.message))
    }
}

impl Handler<Delivered<EraseBatch>> for FriendRelative {
    type Result = ResponseFuture<Result<Vec<Erasure>, KinError>>;

    fn handle(&mut self, order: Delivered<EraseBatch>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(erase::on_message(desk, order.from, order.message))
    }
}

impl Handler<Delivered<FetchUpload>> for FriendRelative {
    type Result = ResponseFuture<Result<Arc<Upload>, KinError>>;

    fn handle(&mut self, fetch: Delivered<FetchUpload>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(shards::fetch_upload(desk, fetch.from, fetch.message))
    }
}

impl Handler<Delivered<FetchShards>> for FriendRelative {
    type Result = ResponseFuture<Result<Vec<(RecordId, Shard)>, KinError>>;

    fn handle(&mut self, fetch: Delivered<FetchShards>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(shards::fetch_shards(desk, fetch.from, fetch.message))
    }
}

impl Handler<Delivered<Pending>> for FriendRelative {
    type Result = ResponseFuture<Result<Vec<PendingRequest>, KinError>>;

    fn handle(&mut self, pending: Delivered<Pending>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(async move {
            Self::refuse_unless_driver(pending.from)?;
            requests::pending(desk).await
        })
    }
}

impl Handler<Delivered<Decide>> for FriendRelative {
    type Result = ResponseActFuture<Self, Result<Decided, KinError>>;

    fn handle(&mut self, decide: Delivered<Decide>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        let flow = async move {
            Self::refuse_unless_driver(decide.from)?;
            decide::decide(desk, decide.message).await
        };
        let case = decide.message.case;
        Box::pin(flow.into_actor(self).map(move |decided, this, ctx| {
            // Also after a failure: the decision may be durable and waiting to be submitted again.
            let height = decided.as_ref().map_or(Height(0), |decided| decided.height);
            this.pursue(case, height, ctx);
            decided
        }))
    }
}

impl Handler<Delivered<Conduct>> for FriendRelative {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, conduct: Delivered<Conduct>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(async move {
            if conduct.from != ActorName::Driver {
                return;
            }
            if let Err(error) = desk.set_conduct(conduct.message).await {
                tracing::error!(kin = %desk.me, %error, "the conduct is not changed");
            }
        })
    }
}

impl Handler<Delivered<ReplayApproval>> for FriendRelative {
    type Result = ResponseFuture<Result<Replayed, KinError>>;

    fn handle(&mut self, replay: Delivered<ReplayApproval>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(async move {
            Self::refuse_unless_driver(replay.from)?;
            decide::replay(desk, replay.message).await
        })
    }
}

impl Handler<Delivered<Inventory>> for FriendRelative {
    type Result = ResponseFuture<Result<Held, KinError>>;

    fn handle(&mut self, inventory: Delivered<Inventory>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(async move {
            Self::refuse_unless_driver(inventory.from)?;
            desk.heavy(Desk::held).await
        })
    }
}

impl Handler<Delivered<FetchBundle>> for FriendRelative {
    type Result = ResponseFuture<Result<Bundle, KinError>>;

    fn handle(&mut self, fetch: Delivered<FetchBundle>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(bundles::fetch_bundle(desk, fetch.from, fetch.message))
    }
}

impl Handler<Delivered<Wipe>> for FriendRelative {
    type Result = ResponseFuture<Result<(), KinError>>;

    fn handle(&mut self, wipe: Delivered<Wipe>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(async move {
            Self::refuse_unless_driver(wipe.from)?;
            desk.wipe().await
        })
    }
}

impl Handler<Delivered<AboutRoster>> for FriendRelative {
    type Result = ResponseFuture<Result<(), KinError>>;

    fn handle(&mut self, about: Delivered<AboutRoster>, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        Box::pin(async move {
            Self::refuse_unless_driver(about.from)?;
            roster::wish(desk, about.message).await
        })
    }
}

crate::supervised!(FriendRelative {
    // Hospitals hand in uploads one at a time, and a notice that is dropped is made up for by the next tick.
    const MAILBOX: usize = 512;
});
