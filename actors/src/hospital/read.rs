//! Waiting for a case to open: proof of its state, capsules, good partial openings (opening.md section 3).
//!
//! Arrivals and notices wake a reader; a tick does when one was lost. What
//! follows when enough is there is in `reveal`.

use crate::hospital::capsules::tier_scope;
use crate::hospital::case::CaseWork;
use crate::hospital::desk::{Alone, Desk, forbidden, ledger};
use crate::hospital::gather::gather;
use crate::hospital::judge::judge;
use crate::hospital::messages::{HospitalError, Opened, ReadCase};
use crate::hospital::reveal::{Ready, ReadyTier, reveal};
use futures_util::future::{join_all, try_join_all};
use kithkin_protocol::emergency::Phase;
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::units::{Millis, Tier};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Longest time that a reader waits.
const WAIT_MS_MAX: Millis = Millis(24 * 3_600_000);
/// How often a reader looks although nothing has woken it: a notice may be lost.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often while a partial opening waits for its announcement to show on chain.
const LOOK_SOON: Duration = Duration::from_millis(25);
/// How long one look at the case may take.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// How long fetching ahead may take.
const AHEAD_WITHIN: Duration = Duration::from_secs(60);

/// A reader that waits.
struct Reader<'a> {
    desk: &'a Arc<Desk>,
    work: Arc<CaseWork>,
    tiers: Vec<Tier>,
    deadline: Instant,
}

/// One look at the case.
enum Look {
    Ready(Box<Ready>),
    /// Not yet; look again after this time at the latest.
    Wait(Wait, Duration),
    /// There is nothing to wait for any more.
    Over(Wait),
}

/// How far it has come.
struct Wait {
    good: usize,
    needed: usize,
    phase: &'static str,
}

pub(super) async fn read(desk: &Arc<Desk>, asked: ReadCase) -> Result<Opened, HospitalError> {
    let wait = Duration::from_millis(asked.within_ms.min(WAIT_MS_MAX).0);
    let work = desk.case(asked.case).await?;
    let scopes = work.file.request.scopes.iter().map(|scope| scope.tier);
    let tiers: Vec<Tier> = scopes
        .filter(|tier| asked.tier.is_none_or(|only| only == *tier))
        .collect();
    if tiers.is_empty() {
        return Err(forbidden("the case does not cover this tier"));
    }
    let reader = Reader {
        desk,
        work,
        tiers,
        deadline: Instant::now() + wait,
    };
    let ready = reader.wait().await?;
    reveal(desk, &reader.work, *ready).await
}

/// Fetches capsules and shards of a case in the background, so that they are there when the last kin has released.
pub(super) fn fetch_ahead(desk: &Arc<Desk>, case: CaseId) {
    let desk = Arc::clone(desk);
    actix::spawn(async move {
        if let Err(error) = ahead(&desk, case).await {
            // Nobody has asked for it yet; whoever does hears the reason.
            tracing::debug!(%case, %error, "cannot fetch ahead");
        }
    });
}

async fn ahead(desk: &Arc<Desk>, id: CaseId) -> Result<(), HospitalError> {
    let work = desk.case(id).await?;
    let Some(_alone) = Alone::take(&work.fetching) else {
        return Ok(());
    };
    if work.fetched.load(Ordering::Relaxed) {
        return Ok(());
    }
    let deadline = Instant::now() + AHEAD_WITHIN;
    let case = desk.prove_case(id, deadline).await?;
    // Kin give nothing before the case is granted: the notice of that comes here again.
    if !case.opens_at(desk.client.now()) {
        return Ok(());
    }
    let (desk, work, case) = (&**desk, &*work, &case);
    let tiers = case.request.scopes.iter().map(|scope| async move {
        let scope = tier_scope(desk, work, case, scope.tier, deadline).await?;
        gather(desk, work, &scope, deadline).await
    });
    let tiers = join_all(tiers).await.into_iter();
    let tiers = tiers.collect::<Result<Vec<_>, HospitalError>>()?;
    let whole = tiers.iter().all(|tier| tier.missing.is_empty());
    work.fetched.store(whole, Ordering::Relaxed);
    // Readers are not woken: those who need what was fetched wait for it in its place.
    Ok(())
}

impl Reader<'_> {
    /// Waits until every tier in question has enough good partial openings.
    async fn wait(&self) -> Result<Box<Ready>, HospitalError> {
        let mut woken = self.work.wake.subscribe();
        loop {
            // Whatever comes from now on wakes this reader, even while it looks.
            woken.borrow_and_update();
            let (wait, pause) = match self.look().await? {
                Look::Ready(ready) => return Ok(ready),
                Look::Over(wait) => return Err(self.not_opened(&wait)),
                Look::Wait(wait, pause) => (wait, pause),
            };
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.not_opened(&wait));
            }
            // Either way it looks again; the sender lives as long as the work.
            let _ = tokio::time::timeout(pause.min(left), woken.changed()).await;
        }
    }

    fn not_opened(&self, wait: &Wait) -> HospitalError {
        HospitalError::NotOpened {
            good: wait.good,
            needed: wait.needed,
            phase: wait.phase.to_owned(),
            forged: self.work.forged(),
        }
    }

    /// How many kin the tiers in question need at most.
    fn needed(&self) -> usize {
        let file = &self.work.file;
        let commitments = self.tiers.iter().filter_map(|tier| file.commitments(*tier));
        let needed = commitments.map(|commitments| commitments.threshold());
        needed.max().unwrap_or_default()
    }

    async fn look(&self) -> Result<Look, HospitalError> {
        let (desk, work) = (self.desk, &*self.work);
        let until = Instant::now() + LOOK_WITHIN;
        let proved = desk.client.prove_case(work.file.case, until).await;
        let mut wait = Wait {
            good: 0,
            needed: self.needed(),
            phase: Phase::Requested.as_str(),
        };
        // The books have it, so it is final: enough validators just lag behind.
        let Some(case) = proved.map_err(ledger)? else {
            return Ok(Look::Wait(wait, LOOK_SOON));
        };
        wait.phase = case.phase.as_str();
        let opens = case.opens_at(desk.client.now());
        if !case.phase.is_live() || (case.phase.opens() && !opens) {
            return Ok(Look::Over(wait));
        }
        if !opens {
            return Ok(Look::Wait(wait, LOOK_EVERY));
        }
        let Some(keys) = desk.session_keys(&work.file.request).await? else {
            return Ok(Look::Over(wait));
        };
        // While this reader judges what has come, the shards are on their way.
        fetch_ahead(desk, work.file.case);
        let scopes = self
            .tiers
            .iter()
            .map(|tier| tier_scope(desk, work, &case, *tier, until));
        let scopes = match try_join_all(scopes).await {
            Ok(scopes) => scopes,
            Err(error) => {
                tracing::warn!(case = %case.id, %error, "capsules are missing; asking again");
                return Ok(Look::Wait(wait, LOOK_EVERY));
            }
        };
        let unannounced = judge(desk, work, &case, &keys, &scopes).await?;
        let tiers: Vec<ReadyTier> = scopes
            .into_iter()
            .map(|scope| ReadyTier {
                good: work.pile().good(scope.tier),
                scope,
            })
            .collect();
        let lacking = tiers
            .iter()
            .filter(|tier| tier.good.len() < tier.scope.needed())
            .min_by_key(|tier| tier.good.len());
        match lacking {
            None => Ok(Look::Ready(Box::new(Ready { case, keys, tiers }))),
            Some(tier) => {
                (wait.good, wait.needed) = (tier.good.len(), tier.scope.needed());
                let pause = if unannounced { LOOK_SOON } else { LOOK_EVERY };
                Ok(Look::Wait(wait, pause))
            }
        }
    }
}
