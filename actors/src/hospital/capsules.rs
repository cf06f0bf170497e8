//! The capsules that a case covers: batches, uploads, checked capsules, the opening's context.

use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::{FetchUpload, Ground};
use crate::hospital::Hospital;
use crate::hospital::case::CaseWork;
use crate::hospital::desk::{Desk, ledger, off_thread};
use crate::hospital::messages::{Fetched, HospitalError, LendRecords};
use crate::rewrapped::{self, Asker, of_epoch};
use crate::scope;
use crate::upload::Upload;
use futures_util::stream::{FuturesUnordered, StreamExt as _, TryStreamExt as _, iter};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::{Case, Scope};
use kithkin_protocol::ids::{HospitalId, KinId, RecordId};
use kithkin_protocol::ledger::Member;
use kithkin_protocol::record::{BatchHeader, Capsule, CheckedCapsule, Rewrapped, RewrappedBatch};
use kithkin_protocol::sharing::{Commitments, Opening, OpeningContext};
use kithkin_protocol::units::{CircleKind, Tier};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most batches whose proofs and uploads are fetched at a time.
const BATCHES_AT_ONCE: usize = 16;
/// How long one kin may take to send an upload.
const TRY: Duration = Duration::from_secs(5);

/// What one tier of a case covers, in the order in which kin list it: batches by height and place in the block,
/// records in the order of their manifest.
pub(super) struct TierScope {
    pub(super) tier: Tier,
    /// None when the patient has no records of this tier: then there is nothing to release.
    pub(super) opening: Option<Arc<Opening>>,
    /// Every capsule with the root of its upload.
    pub(super) capsules: Arc<Vec<(Digest, CheckedCapsule)>>,
    /// Every upload.
    pub(super) uploads: Vec<Arc<Upload>>,
}

impl TierScope {
    /// How many partial openings this tier needs.
    pub(super) fn needed(&self) -> usize {
        let opening = self.opening.as_ref();
        opening.map_or(0, |opening| opening.commitments().threshold())
    }

    pub(super) fn records(&self) -> impl Iterator<Item = RecordId> {
        self.capsules
            .iter()
            .map(|(_, capsule)| capsule.entry().record)
    }
}

/// The scope of one tier, from memory or fetched. Who comes second waits for the first.
pub(super) async fn tier_scope(
    desk: &Desk,
    work: &CaseWork,
    case: &Case,
    tier: Tier,
    deadline: Instant,
) -> Result<Arc<TierScope>, HospitalError> {
    let place = work.scopes.of(tier, deadline).await;
    let mut place = place.ok_or_else(|| HospitalError::Ledger {
        reason: "the time was over before the capsules were found".to_owned(),
    })?;
    if let Some(scope) = &*place {
        return Ok(Arc::clone(scope));
    }
    let fetched = Arc::new(fetch(desk, work, case, tier, deadline).await?);
    *place = Some(Arc::clone(&fetched));
    Ok(fetched)
}

async fn fetch(
    desk: &Desk,
    work: &CaseWork,
    case: &Case,
    tier: Tier,
    deadline: Instant,
) -> Result<TierScope, HospitalError> {
    let asked = case.request.scope(tier);
    let commitments = work.file.commitments(tier);
    let (Some(asked), Some(commitments)) = (asked, commitments) else {
        return Err(HospitalError::Forbidden {
            reason: format!("the case does not cover the tier {tier}"),
        });
    };
    let headers = headers(desk, case, asked, deadline).await?;
    let uploads: Vec<Arc<Upload>> = iter(headers)
        .map(|header| {
            let lender = lender(work, &header);
            let kin = &work.file.enrolment.roster;
            upload(desk, Ground::Case(case.id), (kin, lender), header, deadline)
        })
        .buffered(BATCHES_AT_ONCE)
        .try_collect()
        .await?;
    let only: BTreeSet<RecordId> = asked.only.iter().copied().collect();
    let context = case.opening_context(desk.client.chain(), tier);
    let commitments = commitments.clone();
    let kin: Vec<KinId> = work.kin().map(|(_, member)| member.id()).collect();
    let ground = Ground::Case(work.file.case);
    let anew: Vec<Option<Arc<RewrappedBatch>>> = iter(&uploads)
        .map(|upload| {
            let anew = of_epoch(work.file.rewrapped, upload.epoch);
            rewrapped_of(desk, ground, &kin, anew, upload, deadline)
        })
        .buffered(BATCHES_AT_ONCE)
        .try_collect()
        .await?;
    let uploads = uploads.into_iter().zip(anew).collect();
    off_thread(move || check(context, &commitments, uploads, &only)).await?
}

/// Headers of all batches in scope, each proved. The kin list the same (opening.md section 3).
async fn headers(
    desk: &Desk,
    case: &Case,
    asked: &Scope,
    deadline: Instant,
) -> Result<Vec<BatchHeader>, HospitalError> {
    let client = &desk.client;
    let of = (case.patient(), asked.tier, asked.up_to);
    let places = scope::batch_places(client, &desk.port, of, case.height, deadline).await;
    let entries: Vec<_> = iter(places.map_err(ledger)?)
        .map(|place| scope::prove_batch(client, place, deadline))
        .buffered(BATCHES_AT_ONCE)
        .try_collect()
        .await
        .map_err(ledger)?;
    let headers = entries.into_iter().flatten().map(|entry| entry.header);
    Ok(headers.collect())
}

/// The upload of a header: the own copy, or whichever kin sends the right one first.
pub(super) async fn upload(
    desk: &Desk,
    ground: Ground,
    (kin, lender): (&[Member], Option<HospitalId>),
    header: BatchHeader,
    deadline: Instant,
) -> Result<Arc<Upload>, HospitalError> {
    let root = header.manifest_root;
    if header.author == desk.me
        && let Some(own) = desk.archive.upload(root).await?
        && scope::belongs(&header, &own)
    {
        return Ok(own);
    }
    let kin = kin.iter().map(|member| Source::Kin(member.id()));
    let mut asked: FuturesUnordered<_> = kin
        .chain(lender.map(Source::Author))
        .map(|from| fetch_from(desk, from, root, ground, deadline))
        .collect();
    let mut last = String::from("no kin was asked");
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(upload) if scope::belongs(&header, &upload) && is_whole(&upload) => {
                return Ok(upload);
            }
            Ok(_) => last = "a kin sent another upload".to_owned(),
            Err(reason) => last = reason,
        }
    }
    tracing::debug!(?ground, upload = %root, last, "nobody has sent the upload");
    Err(HospitalError::UnknownUpload { root })
}

/// The capsules that count for an upload instead of its own, when a new device of the patient has made others.
pub(super) async fn rewrapped_of(
    desk: &Desk,
    ground: Ground,
    kin: &[KinId],
    anew: Option<Rewrapped>,
    upload: &Upload,
    deadline: Instant,
) -> Result<Option<Arc<RewrappedBatch>>, HospitalError> {
    let Some(anew) = anew else {
        return Ok(None);
    };
    let asker = Asker {
        port: &desk.port,
        directory: &desk.setting.directory,
        ground: Some(ground),
        within: TRY.min(deadline.saturating_duration_since(Instant::now())),
    };
    let kin = kin.iter().copied();
    let fetched = rewrapped::fetch(asker, kin, anew, upload.root()).await;
    let fetched = fetched.map_err(|error| HospitalError::Store {
        reason: error.to_string(),
    });
    fetched.map(Some)
}

/// Whether the capsules are those that the manifest names: a kin could have sent others.
fn is_whole(upload: &Upload) -> bool {
    let named = upload.manifest.entries().iter().map(|entry| entry.capsule);
    named.eq(upload.capsules.iter().map(Capsule::digest))
}

/// Who may have an upload.
#[derive(Clone, Copy)]
enum Source {
    Kin(KinId),
    Author(HospitalId),
}

/// The hospital that lends an upload to this case: its author, when the case is of a second circle (ADR 35).
fn lender(work: &CaseWork, header: &BatchHeader) -> Option<HospitalId> {
    (work.file.circle() == CircleKind::Second).then_some(header.author)
}

/// Asks another hospital for its own copies.
pub(super) async fn borrow(
    desk: &Desk,
    author: HospitalId,
    asked: LendRecords,
    within: Duration,
) -> Result<Fetched, String> {
    let name = desk.setting.directory.name(author);
    let name = name.ok_or("the directory does not know this hospital")?;
    let asked = desk.port.ask::<Hospital, _>(name, asked, within).await;
    let answer = asked.map_err(|error| error.to_string())?;
    answer.map_err(|error| error.to_string())
}

async fn fetch_from(
    desk: &Desk,
    from: Source,
    root: Digest,
    ground: Ground,
    deadline: Instant,
) -> Result<Arc<Upload>, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    let kin = match (from, ground) {
        (Source::Author(author), Ground::Case(case)) => {
            let lent = borrow(desk, author, LendRecords { root, case }, TRY.min(left)).await?;
            return Ok(lent.upload);
        }
        (Source::Author(_), Ground::Grant(..)) => {
            return Err("hospitals lend to cases only".to_owned());
        }
        (Source::Kin(kin), _) => kin,
    };
    let name = desk.setting.directory.name(kin);
    let name = name.ok_or("the directory does not know this kin")?;
    let question = FetchUpload {
        root,
        ground: Some(ground),
    };
    let asked = desk
        .port
        .ask::<FriendRelative, _>(name, question, TRY.min(left));
    match asked.await {
        Ok(Ok(upload)) => Ok(upload),
        Ok(Err(refused)) => Err(refused.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Checks every capsule (opening.md section 2) and the context as a whole (section 3).
fn check(
    context: OpeningContext,
    commitments: &Commitments,
    uploads: Vec<(Arc<Upload>, Option<Arc<RewrappedBatch>>)>,
    only: &BTreeSet<RecordId>,
) -> Result<TierScope, HospitalError> {
    let mut capsules: Vec<(Digest, CheckedCapsule)> = Vec::new();
    for (upload, anew) in &uploads {
        let root = upload.root();
        let checked = rewrapped::check(upload, anew.as_deref(), commitments).map_err(|error| {
            HospitalError::Store {
                reason: error.to_string(),
            }
        })?;
        let covered = scope::in_scope(checked, only).into_iter();
        capsules.extend(covered.map(|capsule| (root, capsule)));
    }
    let plain: Vec<CheckedCapsule> = capsules.iter().map(|(_, c)| c.clone()).collect();
    let opening = if plain.is_empty() {
        None
    } else {
        let opening = Opening::new(&context, commitments, &plain);
        Some(Arc::new(opening.map_err(|error| {
            HospitalError::Ledger {
                reason: error.to_string(),
            }
        })?))
    };
    Ok(TierScope {
        tier: context.tier,
        opening,
        capsules: Arc::new(capsules),
        uploads: uploads.into_iter().map(|(upload, _)| upload).collect(),
    })
}
