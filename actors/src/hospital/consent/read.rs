//! Reading under a grant (docs/spec/consent.md): capsules and ciphertexts from kin, the statement on chain, then plaintext.
//!
//! One tier after the other, so that a grant that ends meanwhile leaves shut what
//! was not read yet. No step is taken after the grant's end by the own clock.

use super::messages::{GrantOpened, ReadGranted};
use super::offer::refused;
use crate::friend_relative::messages::Ground;
use crate::hospital::capsules::{rewrapped_of, upload};
use crate::hospital::desk::{Desk, FINAL_WITHIN, PROVED_WITHIN, ledger, off_thread};
use crate::hospital::gather::of_upload;
use crate::hospital::messages::HospitalError;
use crate::hospital::puzzle::Gathered;
use crate::ports::clock::SharedClock;
use crate::rewrapped::{self, of_epoch};
use crate::scope::{batch_places, in_scope, prove_batch};
use crate::upload::OpenedRecord;
use futures_util::stream::{StreamExt as _, iter};
use kithkin_protocol::consent::{ConsentError, Grant, GrantKeys};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::Scope;
use kithkin_protocol::ids::{GrantId, HospitalId, KinId, RecordId};
use kithkin_protocol::ledger::{BatchPlace, Member, Patient as Enrolled, TxBody, read_digest};
use kithkin_protocol::record::{BatchHeader, CheckedCapsule};
use kithkin_protocol::units::{Height, Millis, Tier};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time that a reader waits.
const WAIT_MS_MAX: Millis = Millis(24 * 3_600_000);
/// Most batches that are fetched at a time.
const BATCHES_AT_ONCE: usize = 4;

/// One read under one grant.
struct Reading<'a> {
    desk: &'a Desk,
    grant: Grant,
    keys: Arc<GrantKeys>,
    enrolled: Enrolled,
    deadline: Instant,
}

/// One batch in scope, fetched.
struct Part {
    root: Digest,
    height: Height,
    capsules: Vec<CheckedCapsule>,
    gathered: Gathered,
    forged: BTreeSet<KinId>,
}

/// Opens what is asked for; every read is final on chain before this returns.
pub(super) async fn read(desk: &Desk, asked: ReadGranted) -> Result<GrantOpened, HospitalError> {
    let wait = Duration::from_millis(asked.within_ms.min(WAIT_MS_MAX).0);
    let deadline = Instant::now() + wait;
    let reading = begin(desk, asked.grant, deadline).await?;
    let named = reading.grant.terms.scopes.iter().map(|scope| scope.tier);
    let tiers: BTreeSet<Tier> = if asked.tiers.is_empty() {
        named.collect()
    } else {
        asked.tiers
    };
    let (mut opened, mut first) = (GrantOpened::default(), None);
    for tier in tiers {
        if let Err(error) = reading.tier(tier, &mut opened).await {
            opened.shut.push((tier, error.to_string()));
            first.get_or_insert(error);
        }
    }
    match (first, opened.unopened.first()) {
        (Some(error), _) if opened.records.is_empty() => Err(error),
        (None, Some((record, reason))) if opened.records.is_empty() => Err(HospitalError::Record {
            record: *record,
            reason: reason.clone(),
        }),
        _ => Ok(opened),
    }
}

/// Has the grant proved, and takes out its keys. The end of the grant is the end of the read.
async fn begin(desk: &Desk, id: GrantId, deadline: Instant) -> Result<Reading<'_>, HospitalError> {
    let unknown = || HospitalError::UnknownGrant { grant: id };
    let proved_by = Instant::now() + PROVED_WITHIN;
    let grant = desk.grant(id, proved_by).await?.ok_or_else(unknown)?;
    let now = desk.client.now();
    let ends = Instant::now() + Duration::from_millis(grant.until_ms.0.saturating_sub(now.0));
    for scope in &grant.terms.scopes {
        usable(&grant, now, desk.me, scope)?;
    }
    let (opening, bundle) = (
        desk.consents.opening(id).await?,
        desk.consents.bundle(id).await?,
    );
    let opening = opening.ok_or_else(unknown)?;
    let bundle = bundle.ok_or_else(|| refused(id, "its keys have not come yet"))?;
    let (chain, copy) = (desk.client.chain(), grant.clone());
    let keys = off_thread(move || bundle.accept(chain, &copy, opening)).await?;
    let keys = keys.map_err(|error| refused(id, error))?;
    let (enrolled, _) = desk.prove_patient(grant.patient(), proved_by).await?;
    Ok(Reading {
        desk,
        grant,
        keys: Arc::new(keys),
        enrolled,
        deadline: deadline.min(ends),
    })
}

fn usable(
    grant: &Grant,
    now: Millis,
    hospital: HospitalId,
    scope: &Scope,
) -> Result<(), HospitalError> {
    let reach = grant.reach(now, hospital, scope.tier, scope.up_to);
    reach.map(drop).map_err(|error| refused(grant.id, error))
}

impl Reading<'_> {
    /// Reads one tier. What was opened is in `opened`; an error is why the tier, or the rest of it, stayed shut.
    async fn tier(&self, tier: Tier, opened: &mut GrantOpened) -> Result<(), HospitalError> {
        let (desk, id) = (self.desk, self.grant.id);
        let scope = self.grant.terms.scope(tier);
        let scope = scope.ok_or_else(|| refused(id, ConsentError::Tier { tier }))?;
        usable(&self.grant, desk.client.now(), desk.me, scope)?;
        let batches = self.batches(scope).await?;
        let parts: Vec<Result<Part, HospitalError>> = iter(batches)
            .map(|(place, header)| self.part(scope, place, header))
            .buffered(BATCHES_AT_ONCE)
            .collect()
            .await;
        // As it stands now: it may have ended while kin were asked.
        let fresh = desk.grant(id, Instant::now() + PROVED_WITHIN).await?;
        let fresh = fresh.ok_or(HospitalError::UnknownGrant { grant: id })?;
        usable(&fresh, desk.client.now(), desk.me, scope)?;
        let (mut found, mut failed) = (Vec::new(), None);
        for part in parts {
            match part {
                Ok(part) => found.push(part),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let ids = found
            .iter()
            .flat_map(|part| part.gathered.ciphertexts.keys());
        let ids: BTreeSet<RecordId> = ids.copied().collect();
        if !ids.is_empty() {
            opened.height = Some(self.state(tier, &ids).await?);
        }
        let (keys, clock) = (Arc::clone(&self.keys), self.desk.setting.clock.clone());
        let open = move || open_parts(&keys, &fresh, tier, found, &clock);
        let (records, unopened, forged) = off_thread(open).await?;
        opened.records.extend(records);
        opened.unopened.extend(unopened);
        opened.forged.extend(forged);
        failed.map_or(Ok(()), Err)
    }

    /// Batches in scope with their headers, each proved, in canonical order.
    async fn batches(
        &self,
        scope: &Scope,
    ) -> Result<Vec<(BatchPlace, BatchHeader)>, HospitalError> {
        let (client, port) = (&self.desk.client, &self.desk.port);
        let (patient, deadline) = (self.grant.patient(), self.deadline);
        let places = batch_places(
            client,
            port,
            (patient, scope.tier, scope.up_to),
            scope.up_to,
            deadline,
        );
        let mut proved = iter(places.await.map_err(ledger)?)
            .map(|place| async move { (place, prove_batch(client, place, deadline).await) })
            .buffered(BATCHES_AT_ONCE);
        let mut batches = Vec::new();
        while let Some((place, entry)) = proved.next().await {
            if let Some(entry) = entry.map_err(ledger)? {
                batches.push((place, entry.header));
            }
        }
        Ok(batches)
    }

    /// Capsules and ciphertexts of one batch.
    async fn part(
        &self,
        scope: &Scope,
        place: BatchPlace,
        header: BatchHeader,
    ) -> Result<Part, HospitalError> {
        let (desk, deadline) = (self.desk, self.deadline);
        let ground = Ground::Grant(self.grant.id, place);
        let enrolment = &self.enrolled.enrolment;
        let upload = upload(desk, ground, (&enrolment.roster, None), header, deadline).await?;
        let tier = enrolment.tier(scope.tier);
        let key = tier.map(|shares| shares.commitments.clone());
        let key = key.ok_or_else(|| refused(self.grant.id, "the patient has no such tier"))?;
        let (root, only) = (upload.root(), scope.only.iter().copied().collect());
        let kin: Vec<KinId> = enrolment.roster.iter().map(Member::id).collect();
        let anew = of_epoch(self.enrolled.rewrapped, upload.epoch);
        let anew = rewrapped_of(desk, ground, &kin, anew, &upload, deadline).await?;
        let came = Arc::clone(&upload);
        let capsules = off_thread(move || {
            let checked = rewrapped::check(&came, anew.as_deref(), &key);
            checked.map(|all| in_scope(all, &only))
        });
        let capsules = capsules.await?.map_err(|error| HospitalError::Store {
            reason: error.to_string(),
        })?;
        let wanted = capsules.iter().map(|capsule| capsule.entry().record);
        let wanted: BTreeSet<RecordId> = wanted.collect();
        let (gathered, forged) = if wanted.is_empty() {
            (Gathered::default(), BTreeSet::new())
        } else {
            of_upload(desk, ground, &self.enrolled.eras, wanted, &upload, deadline).await?
        };
        Ok(Part {
            root,
            height: place.2,
            capsules,
            gathered,
            forged,
        })
    }

    /// Tells the ledger which records are about to be shown.
    async fn state(&self, tier: Tier, ids: &BTreeSet<RecordId>) -> Result<Height, HospitalError> {
        let body = TxBody::GrantRead {
            grant: self.grant.id,
            tier,
            records: u32::try_from(ids.len()).unwrap_or(u32::MAX),
            digest: read_digest(ids),
        };
        let stated = self.desk.client.submit(body, Instant::now() + FINAL_WITHIN);
        Ok(stated.await.map_err(ledger)?.proof.header.height)
    }
}

type Opened = (Vec<OpenedRecord>, Vec<(RecordId, String)>, BTreeSet<KinId>);

/// Opens one record after the other; before each the grant is asked anew. One that stays shut keeps nobody from the others.
fn open_parts(
    keys: &GrantKeys,
    grant: &Grant,
    tier: Tier,
    parts: Vec<Part>,
    clock: &SharedClock,
) -> Opened {
    let (mut records, mut unopened, mut forged) = (Vec::new(), Vec::new(), BTreeSet::new());
    for mut part in parts {
        forged.append(&mut part.forged);
        for capsule in &part.capsules {
            let record = capsule.entry().record;
            let opened = match part.gathered.ciphertexts.get(&record) {
                Some(ciphertext) => keys
                    .open(grant, clock.now(), part.height, capsule, ciphertext)
                    .map_err(|error| error.to_string()),
                None => Err(part
                    .gathered
                    .missing
                    .remove(&record)
                    .unwrap_or_else(|| "its ciphertext is missing".to_owned())),
            };
            match opened {
                Ok(bytes) => records.push(OpenedRecord {
                    tier,
                    record,
                    root: part.root,
                    bytes,
                }),
                Err(reason) => unopened.push((record, reason)),
            }
        }
    }
    (records, unopened, forged)
}
