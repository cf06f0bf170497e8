//! From good partial openings to plaintext: combine, rebuild, open, log, hand out.
//!
//! The read is final on chain before any plaintext leaves; without that nothing
//! leaves. The patient's key is formed nowhere (opening.md section 3).

use crate::hospital::capsules::TierScope;
use crate::hospital::case::{CaseWork, SessionKeys};
use crate::hospital::desk::{Desk, FINAL_WITHIN, ledger, off_thread};
use crate::hospital::gather::gather;
use crate::hospital::messages::{HospitalError, Opened};
use crate::hospital::puzzle::Gathered;
use crate::upload::OpenedRecord;
use futures_util::future::try_join_all;
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::{CaseId, KinId, RecordId};
use kithkin_protocol::ledger::{TxBody, read_digest};
use kithkin_protocol::record::open;
use kithkin_protocol::sharing::{CheckedPartial, SessionSecret, combine_checked};
use kithkin_protocol::units::{Height, ShareIndex, Tier};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// Everything that a read needs but the ciphertexts.
pub(super) struct Ready {
    pub(super) case: Case,
    pub(super) keys: SessionKeys,
    pub(super) tiers: Vec<ReadyTier>,
}

/// One tier with enough good partial openings.
pub(super) struct ReadyTier {
    pub(super) scope: Arc<TierScope>,
    pub(super) good: BTreeMap<ShareIndex, Arc<CheckedPartial>>,
}

/// Opens what is ready; the read is final before this returns.
pub(super) async fn reveal(
    desk: &Desk,
    work: &CaseWork,
    ready: Ready,
) -> Result<Opened, HospitalError> {
    let Ready { case, keys, tiers } = ready;
    // The partial openings came in time: what is left has a limit of its own.
    let deadline = Instant::now() + FINAL_WITHIN;
    let gathered = tiers
        .iter()
        .map(|tier| gather(desk, work, &tier.scope, deadline));
    let gathered = try_join_all(gathered).await?;
    let eps = Arc::new(keys.eps);
    let jobs = tiers.iter().zip(gathered).map(|(tier, gathered)| {
        let (eps, scope) = (Arc::clone(&eps), Arc::clone(&tier.scope));
        let partials: Vec<Arc<CheckedPartial>> = tier.good.values().map(Arc::clone).collect();
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
    partials: &[Arc<CheckedPartial>],
    gathered: &Gathered,
) -> Result<Plaintexts, HospitalError> {
    let mut plaintexts = Plaintexts {
        records: Vec::new(),
        unopened: Vec::new(),
    };
    let Some(opening) = &scope.opening else {
        return Ok(plaintexts);
    };
    // As many as are needed do.
    let partials: Vec<&CheckedPartial> = partials.iter().map(Arc::as_ref).collect();
    let keys = combine_checked(opening, eps, &partials).map_err(|error| HospitalError::Store {
        reason: format!("the partial openings cannot be combined: {error}"),
    })?;
    for ((root, capsule), key) in scope.capsules.iter().zip(&keys) {
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
