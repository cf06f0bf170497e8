//! A patient's new device: this kin's share for it, the shares that it deals, the capsules that it makes (opening.md section 6).
//!
//! Who speaks for the patient the ledger says, proved anew for each share that is
//! released. Until every kin has said that it holds the new shares and the new
//! capsules of everything, the old ones stand.

use super::FriendRelative;
use super::access::{Wanted, reach};
use super::desk::{Desk, HINT_PATIENCE};
use super::mend::headers;
use super::messages::{Conduct, FetchRewrapped, KinError, ReleaseShares, ReleasedShares};
use super::offers::{SEALED_BYTES_MAX, keep_shares};
use super::passage::Taking;
use super::prepare::{share, upload};
use super::roster::{Circle, bad};
use super::second;
use super::storage::Ward;
use crate::patient::Patient;
use crate::patient::messages::{FetchCapsules, FetchRedealt};
use crate::ports::names::ActorName;
use crate::ports::network::Delivered;
use crate::ports::random::SystemRng;
use crate::rewrapped::{self, Asker, of_epoch};
use actix::{Handler, ResponseFuture};
use kithkin_protocol::crypto::group::{ScalarBytes, random_scalar};
use kithkin_protocol::crypto::{Digest, Sealed};
use kithkin_protocol::ids::{KinId, PatientId};
use kithkin_protocol::ledger::{Enrolment, Member};
use kithkin_protocol::record::{BatchHeader, Rewrapped, RewrappedBatch};
use kithkin_protocol::roster::Handover;
use kithkin_protocol::sharing::{Rho, Share, ShareContext, open_share, release_share};
use kithkin_protocol::units::{CircleKind, Height, ShareIndex, Tier};
use std::sync::Arc;
use std::time::Duration;

/// How long the device may take to send shares or the capsules of one upload.
const FETCH_WITHIN: Duration = Duration::from_secs(5);

/// Hands this kin's shares to the device that speaks for the patient and has no keys yet.
pub(super) async fn release(
    desk: Arc<Desk>,
    from: ActorName,
    message: ReleaseShares,
) -> Result<ReleasedShares, KinError> {
    let patient = message.patient;
    let ward = desk.ward(patient);
    let ward = ward.ok_or(KinError::NotMyPatient { patient })?;
    let entry = desk.enrolled(patient, HINT_PATIENCE).await?;
    let entry = entry.ok_or(KinError::NotMyPatient { patient })?;
    let account = desk.setting.directory.account(from);
    if account != Some(entry.device) || !entry.is_recovering {
        return Err(KinError::Forbidden {
            reason: format!(
                "{from} is no new device of this patient that has yet to rebuild the keys"
            ),
        });
    }
    if ward.epoch != entry.epoch || !ward.enrolment.has_shares_of(&entry.enrolment) {
        return Err(bad(
            patient,
            "the shares here are not those of the present epoch",
        ));
    }
    let rho = Rho::of_recovery(&desk.client.chain(), &patient, &entry.device, entry.epoch);
    let sealing = entry.enrolment.sealing;
    let released = desk.heavy(move |desk| {
        let tiers = Tier::ALL.into_iter();
        let shares = tiers.map(|tier| {
            let held = share(desk, &ward, tier)?;
            let forged;
            let mine = if desk.conduct() == Conduct::Forge {
                forged =
                    wrong(held.share().index()).ok_or_else(|| bad(patient, "no wrong share"))?;
                &forged
            } else {
                held.share()
            };
            let sealed = release_share(mine, &ward.context(tier), &rho, &sealing, &mut SystemRng);
            Ok((tier, sealed.map_err(|error| bad(patient, error))?))
        });
        Ok(ReleasedShares {
            epoch: ward.epoch,
            shares: shares.collect::<Result<_, KinError>>()?,
        })
    });
    let released = released.await?;
    tracing::warn!(kin = %desk.me, %patient, %from, "the shares are released to the patient's new device");
    Ok(released)
}

/// A share that opens nothing. For demonstrations ([`Conduct::Forge`]).
fn wrong(index: ShareIndex) -> Option<Share> {
    let scalar = ScalarBytes::from(&random_scalar(&mut SystemRng));
    Share::from_bytes(&[[index.get()].as_slice(), &scalar.0].concat()).ok()
}

/// The shares that the new device has dealt to this kin, checked and sealed for the disk, once all its capsules are here.
pub(super) async fn take(
    desk: &Arc<Desk>,
    circle: &Circle,
    handover: &Handover,
    taking: &Taking<'_>,
) -> Result<Ward, KinError> {
    let patient = circle.patient;
    let since = circle.entry.epoch.plus(1);
    let anew = taking.rewrap.map(|rewrap| Rewrapped { since, rewrap });
    if let Some(anew) = anew {
        gather(desk, circle, taking, anew).await?;
    }
    let name = desk.setting.directory.name(circle.entry.device);
    let name = name.ok_or_else(|| bad(patient, "the directory does not know the new device"))?;
    let question = FetchRedealt {
        handover: handover.id,
    };
    let dealt = desk
        .port
        .ask::<Patient, _>(name, question, FETCH_WITHIN)
        .await;
    let dealt = dealt
        .map_err(|error| bad(patient, error))?
        .map_err(|error| bad(patient, error))?;
    let place = taking.recipient.position();
    let mine: Vec<Option<Sealed>> = dealt
        .0
        .iter()
        .map(|tier| tier.get(place).cloned())
        .collect();
    let tiers = handover.tiers(&circle.entry.present(patient));
    let enrolment = Enrolment {
        roster: taking.roster.to_vec(),
        tiers: tiers.map_err(|error| bad(patient, error))?,
        acceptances: Vec::new(),
        second: circle
            .entry
            .enrolment
            .second
            .clone()
            .filter(|_| anew.is_none()),
        ..circle.entry.enrolment.clone()
    };
    let recipient = taking.recipient;
    let roster_since = circle.entry.roster_since;
    let second_epoch = circle.entry.second_epoch;
    desk.heavy(move |desk| {
        let mut shares = Vec::new();
        for (position, dealt) in enrolment.tiers.iter().enumerate() {
            let tier = dealt.tier;
            let context = ShareContext {
                patient,
                tier,
                epoch: since,
            };
            let sealed = mine.get(position).cloned().flatten();
            let sealed =
                sealed.filter(|one| one.enc.len() + one.ciphertext.len() <= SEALED_BYTES_MAX);
            let sealed = sealed.ok_or_else(|| bad(patient, "the device sends no share"))?;
            let key = &desk.identity.opening;
            let share = open_share(&sealed, key, recipient, &context, &dealt.commitments);
            let wrong = |error| {
                bad(
                    patient,
                    format!("the new device dealt wrongly in tier {tier}: {error}"),
                )
            };
            shares.push((tier, share.map_err(wrong)?));
        }
        let circle = CircleKind::First;
        Ok(Ward {
            patient,
            circle,
            index: recipient,
            epoch: since,
            second_epoch,
            since: roster_since,
            digest: enrolment.digest(desk.client.chain(), patient),
            active: false,
            offered_ms: desk.client.now(),
            shares: keep_shares(desk, patient, (&enrolment, circle), since, shares)?,
            rewrapped: anew,
            enrolment,
        })
    })
    .await
}

/// Gets the new capsules of every upload that stands, checks them and keeps them.
async fn gather(
    desk: &Arc<Desk>,
    circle: &Circle,
    taking: &Taking<'_>,
    anew: Rewrapped,
) -> Result<(), KinError> {
    let mut batches = 0u32;
    for (tier, commitments) in Tier::ALL.into_iter().zip(taking.commitments) {
        for header in headers(desk, circle, tier, taking.at).await? {
            batches = batches.saturating_add(1);
            let root = header.manifest_root;
            if desk.store.rewrapped(&anew.rewrap.root, &root)?.is_some() {
                continue;
            }
            let batch = from_anybody(desk, circle, &header, anew).await?;
            let upload = upload(desk, &circle.entry.enrolment.roster, &header).await?;
            let commitments = commitments.clone();
            let checked = batch.clone();
            let check = desk.heavy(move |_| {
                let good = rewrapped::check(&upload, Some(&checked), &commitments);
                good.map(drop).map_err(|error| bad(header.patient, error))
            });
            check.await?;
            keep(desk, circle.patient, (anew.rewrap.root, root), batch).await?;
        }
    }
    if batches == anew.rewrap.batches {
        Ok(())
    } else {
        Err(bad(
            circle.patient,
            "not all batches of this patient are listed yet",
        ))
    }
}

/// What a member of the second circle keeps of capsules that a new device has made: those of the summary, which nobody but kin and
/// device has. Its own circle is asked when the first cannot be reached (ADR 35).
pub(super) async fn gather_summary(
    desk: &Arc<Desk>,
    circle: &Circle,
    at: Height,
) -> Result<(), KinError> {
    let Some(anew) = circle.entry.rewrapped else {
        return Ok(());
    };
    for header in headers(desk, circle, Tier::Summary, at).await? {
        let root = header.manifest_root;
        let is_kept = desk.store.rewrapped(&anew.rewrap.root, &root)?.is_some();
        if is_kept || !anew.covers(header.epoch) {
            continue;
        }
        let batch = from_anybody(desk, circle, &header, anew).await?;
        keep(desk, circle.patient, (anew.rewrap.root, root), batch).await?;
    }
    Ok(())
}

async fn keep(
    desk: &Arc<Desk>,
    patient: PatientId,
    (under, root): (Digest, Digest),
    batch: Arc<RewrappedBatch>,
) -> Result<(), KinError> {
    desk.heavy(move |desk| {
        desk.store.keep_rewrapped(patient, &under, &root, &batch)?;
        // Its erasure may have been ordered at the same time.
        match desk.store.erased(&root)? {
            Some(_) => desk.store.forget(patient, &root, None),
            None => Ok(()),
        }
    })
    .await
}

/// The new capsules of one upload: from the device that made them, else from a fellow kin.
async fn from_anybody(
    desk: &Arc<Desk>,
    circle: &Circle,
    header: &BatchHeader,
    anew: Rewrapped,
) -> Result<Arc<RewrappedBatch>, KinError> {
    let root = header.manifest_root;
    if let Some(name) = desk.setting.directory.name(circle.entry.device) {
        let under = anew.rewrap.root;
        let question = FetchCapsules { under, root };
        match desk
            .port
            .ask::<Patient, _>(name, question, FETCH_WITHIN)
            .await
        {
            Ok(Ok(batch)) if batch.verify(&anew.rewrap, &root).is_ok() => return Ok(batch),
            Ok(Ok(_)) => tracing::warn!(kin = %desk.me, %root, "the device sent other capsules"),
            Ok(Err(error)) => tracing::debug!(kin = %desk.me, %error, "no capsules"),
            Err(error) => tracing::debug!(kin = %desk.me, %error, "no capsules"),
        }
    }
    from_kin(desk, &circle.entry.enrolment.roster, root, anew).await
}

async fn from_kin(
    desk: &Desk,
    roster: &[Member],
    root: Digest,
    anew: Rewrapped,
) -> Result<Arc<RewrappedBatch>, KinError> {
    let asker = Asker {
        port: &desk.port,
        directory: &desk.setting.directory,
        ground: None,
        within: FETCH_WITHIN,
    };
    let fellows: Vec<KinId> = roster.iter().map(Member::id).collect();
    let fellows = fellows.into_iter().filter(|kin| *kin != desk.me);
    let fetched = rewrapped::fetch(asker, fellows, anew, root).await;
    fetched.map_err(|error| KinError::Shards {
        reason: error.to_string(),
    })
}

/// The capsules that count for an upload instead of its own, when they were made anew: kept here, or from a fellow kin and then kept.
pub(super) async fn capsules(
    desk: &Arc<Desk>,
    ward: &Ward,
    header: &BatchHeader,
) -> Result<Option<Arc<RewrappedBatch>>, KinError> {
    let Some(anew) = of_epoch(ward.rewrapped, header.epoch) else {
        return Ok(None);
    };
    let root = header.manifest_root;
    if let Some(kept) = desk.store.rewrapped(&anew.rewrap.root, &root)? {
        return Ok(Some(Arc::new(kept)));
    }
    let batch = from_kin(desk, &ward.enrolment.roster, root, anew).await?;
    let under = anew.rewrap.root;
    keep(desk, ward.patient, (under, root), batch.clone()).await?;
    Ok(Some(batch))
}

/// Gets the capsules of an upload that were made anew, unless they are kept here already.
pub(super) async fn have_capsules(
    desk: &Arc<Desk>,
    ward: &Ward,
    header: &BatchHeader,
) -> Result<(), KinError> {
    let anew = of_epoch(ward.rewrapped, header.epoch);
    let is_here = |anew: Rewrapped| {
        let (under, root) = (anew.rewrap.root, header.manifest_root);
        desk.store.has_rewrapped(ward.patient, &under, &root)
    };
    if anew.map(is_here).transpose()? == Some(false) {
        capsules(desk, ward, header).await?;
    }
    Ok(())
}

/// Hands out capsules that were made anew.
pub(super) async fn fetch(
    desk: Arc<Desk>,
    from: ActorName,
    message: FetchRewrapped,
) -> Result<Arc<RewrappedBatch>, KinError> {
    let FetchRewrapped {
        under,
        root,
        ground,
    } = message;
    let unknown = KinError::Unknown { root };
    match desk.store.kept(&root)? {
        Some(kept) => {
            let may = reach(&desk, from, (root, &kept), ground, Wanted::Upload);
            super::shards::in_time(may).await?;
        }
        None => second::may_have_capsules(&desk, from, under, ground).await?,
    }
    let batch = desk.heavy(move |desk| desk.store.rewrapped(&under, &root));
    batch.await?.map(Arc::new).ok_or(unknown)
}

impl Handler<Delivered<FetchRewrapped>> for FriendRelative {
    type Result = ResponseFuture<Result<Arc<RewrappedBatch>, KinError>>;

    fn handle(&mut self, asked: Delivered<FetchRewrapped>, _: &mut Self::Context) -> Self::Result {
        Box::pin(fetch(self.desk.clone(), asked.from, asked.message))
    }
}

impl Handler<Delivered<ReleaseShares>> for FriendRelative {
    type Result = ResponseFuture<Result<ReleasedShares, KinError>>;

    fn handle(&mut self, asked: Delivered<ReleaseShares>, _: &mut Self::Context) -> Self::Result {
        Box::pin(release(self.desk.clone(), asked.from, asked.message))
    }
}
