//! Opening a case's records: wait for enough partial openings, combine, rebuild, open, log, hand out.
//!
//! The read is final on chain before any plaintext leaves; without that nothing
//! leaves. The patient's key is formed nowhere (opening.md section 3).

use crate::hospital::capsules::{TierScope, tier_scope};
use crate::hospital::case::{CaseWork, SessionKeys};
use crate::hospital::desk::{Alone, Desk, FINAL_WITHIN, forbidden, ledger, off_thread};
use crate::hospital::gather::{Gathered, gather};
use crate::hospital::messages::{HospitalError, Opened, ReadCase};
use crate::hospital::partials::judge;
use crate::upload::OpenedRecord;
use futures_util::future::{join_all, try_join_all};
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::{CaseId, KinId, RecordId};
use kithkin_protocol::ledger::{TxBody, read_digest};
use kithkin_protocol::record::open;
use kithkin_protocol::sharing::{CombineError, PartialOpening, SessionSecret, combine};
use kithkin_protocol::units::{Height, Millis, ShareIndex, Tier};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
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

/// Everything is there but the ciphertexts.
struct Ready {
    case: Case,
    keys: SessionKeys,
    tiers: Vec<ReadyTier>,
}

struct ReadyTier {
    scope: Arc<TierScope>,
    good: BTreeMap<ShareIndex, Arc<PartialOpening>>,
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
    reader.open(*ready).await
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
    let deadline = Instant::now() + AHEAD_WITHIN;
    let case = desk.prove_case(id, deadline).await?;
    let (desk, work, case) = (&**desk, &*work, &case);
    let tiers = case.request.scopes.iter().map(|scope| async move {
        let scope = tier_scope(desk, work, case, scope.tier, deadline).await?;
        // Kin give shards only in a granted case.
        if case.opens_at(desk.client.now()) {
            gather(desk, work, &scope, deadline).await?;
        }
        Ok::<_, HospitalError>(())
    });
    let fetched = join_all(tiers).await;
    work.wake();
    fetched.into_iter().collect()
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

    async fn look(&self) -> Result<Look, HospitalError> {
        let (desk, work) = (self.desk, &*self.work);
        let until = self.deadline.max(Instant::now()) + LOOK_WITHIN;
        let until = until.min(Instant::now() + LOOK_WITHIN);
        let case = desk.prove_case(work.file.case, until).await?;
        let mut wait = Wait {
            good: 0,
            needed: usize::from(case.threshold),
            phase: case.phase.as_str(),
        };
        if !case.phase.is_live() {
            return Ok(Look::Over(wait));
        }
        if !case.opens_at(desk.client.now()) {
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
            Err(error) if Instant::now() < self.deadline => {
                tracing::info!(case = %case.id, %error, "capsules are missing; asking again");
                return Ok(Look::Wait(wait, LOOK_EVERY));
            }
            Err(error) => return Err(error),
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

    /// Opens what is ready; the read is final before this returns.
    async fn open(&self, ready: Ready) -> Result<Opened, HospitalError> {
        let Ready { case, keys, tiers } = ready;
        let (desk, work) = (self.desk, &*self.work);
        // The partial openings came in time: what is left has a limit of its own.
        let deadline = self.deadline.max(Instant::now() + FINAL_WITHIN);
        let gathered = tiers
            .iter()
            .map(|tier| gather(desk, work, &tier.scope, deadline));
        let gathered = try_join_all(gathered).await?;
        let eps = Arc::new(keys.eps);
        let jobs = tiers.iter().zip(gathered).map(|(tier, gathered)| {
            let (eps, scope) = (Arc::clone(&eps), Arc::clone(&tier.scope));
            let partials: Vec<PartialOpening> = tier.good.values().map(|p| (**p).clone()).collect();
            let ids: BTreeSet<RecordId> = gathered.ciphertexts.keys().copied().collect();
            async move {
                let plaintexts = off_thread(move || open_tier(&scope, &eps, &partials, &gathered));
                // At the same time: the keys exist from here on, so the ledger is told from here on.
                let (plaintexts, height) = tokio::join!(
                    async { plaintexts.await? },
                    log_read(desk, case.id, tier.scope.tier, &ids, deadline),
                );
                Ok::<_, HospitalError>((plaintexts?, height?))
            }
        });
        let (mut opened, mut height) = (Vec::new(), case.height);
        let (mut unopened, mut authors) = (Vec::new(), BTreeSet::new());
        for (tier, (plaintexts, logged)) in tiers.iter().zip(try_join_all(jobs).await?) {
            height = height.max(logged.unwrap_or(height));
            opened.extend(plaintexts.records);
            unopened.extend(plaintexts.unopened);
            authors.extend(tier.good.keys().copied());
        }
        if let (true, Some((record, reason))) = (opened.is_empty(), unopened.first()) {
            return Err(HospitalError::Record {
                record: *record,
                reason: reason.clone(),
            });
        }
        Ok(Opened {
            records: opened,
            unopened,
            forged: work.forged(),
            good: kin_of(work, &authors),
            height,
        })
    }
}

fn kin_of(work: &CaseWork, indices: &BTreeSet<ShareIndex>) -> Vec<KinId> {
    work.kin()
        .filter(|(index, _)| indices.contains(index))
        .map(|(_, member)| member.id())
        .collect()
}

/// Tells the ledger which records are read. None when there are none.
async fn log_read(
    desk: &Desk,
    case: CaseId,
    tier: Tier,
    ids: &BTreeSet<RecordId>,
    deadline: Instant,
) -> Result<Option<Height>, HospitalError> {
    if ids.is_empty() {
        return Ok(None);
    }
    let body = TxBody::Read {
        case,
        tier,
        records: u32::try_from(ids.len()).unwrap_or(u32::MAX),
        digest: read_digest(ids),
    };
    let finalized = desk.client.submit(body, deadline).await.map_err(ledger)?;
    Ok(Some(finalized.proof.header.height))
}

/// Plaintexts of one tier, in order, and what stayed shut.
struct Plaintexts {
    records: Vec<OpenedRecord>,
    unopened: Vec<(RecordId, String)>,
}

/// Combines the partial openings and opens every record with the key of its capsule (opening.md sections 2 and 3).
/// One record that cannot be opened keeps nobody from the others.
fn open_tier(
    scope: &TierScope,
    eps: &SessionSecret,
    partials: &[PartialOpening],
    gathered: &Gathered,
) -> Result<Plaintexts, HospitalError> {
    let mut plaintexts = Plaintexts {
        records: Vec::new(),
        unopened: Vec::new(),
    };
    let Some(opening) = &scope.opening else {
        return Ok(plaintexts);
    };
    // All have been judged good; as many as are needed do.
    let enough = partials.get(..scope.needed()).unwrap_or(partials);
    let combined = combine(opening, eps, enough).map_err(|error| match error {
        CombineError::TooFew { .. }
        | CombineError::TooMany { .. }
        | CombineError::Session
        | CombineError::Sharing(_) => HospitalError::Store {
            reason: format!("the partial openings cannot be combined: {error}"),
        },
    })?;
    for ((root, capsule), key) in scope.capsules.iter().zip(&combined.keys) {
        let record = capsule.entry().record;
        let opened = match gathered.ciphertexts.get(&record) {
            Some(ciphertext) => open(key, capsule, ciphertext).map_err(|error| error.to_string()),
            None => Err(gathered
                .missing
                .get(&record)
                .cloned()
                .unwrap_or_else(|| "its ciphertext is missing".to_owned())),
        };
        match opened {
            Ok(bytes) => plaintexts.records.push(OpenedRecord {
                tier: scope.tier,
                record,
                root: *root,
                bytes,
            }),
            Err(reason) => plaintexts.unopened.push((record, reason)),
        }
    }
    Ok(plaintexts)
}
