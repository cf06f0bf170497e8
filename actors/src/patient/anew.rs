//! A new device for a patient who has lost the old one: rebuilding the keys, dealing others, wrapping every record's key anew
//! (opening.md section 6).
//!
//! The rebuilt keys are never on disk. What is dealt is durable before it is proposed
//! (in `propose`), and kin fetch it from here until all of them hold it; until then the
//! old shares and capsules stand.

use super::collect::upload_from_kin;
use super::device::{Device, lost, tier_key_name};
use super::messages::{Keys, PatientError, Rebuilt};
use super::propose::{propose, resume};
use super::read::{capsules, headers};
use super::roster::{bad, under_way};
use super::storage::{Owed, Redealt, Wrapping};
use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::{Bundle, ReleaseShares, ReleasedShares};
use crate::ports::random::SystemRng;
use futures_util::future::join_all;
use kithkin_protocol::crypto::{Digest, Sealed, Secret32};
use kithkin_protocol::ids::{HandoverId, KinId, PatientId};
use kithkin_protocol::ledger;
use kithkin_protocol::record::{BatchHeader, RewrapTree, rewrap, rewrap_leaf};
use kithkin_protocol::roster::Plan;
use kithkin_protocol::sharing::{
    Commitments, Rho, Share, ShareContext, Threshold, TierKey, deal, open_released_share,
    reconstruct, seal_share,
};
use kithkin_protocol::units::{Height, ShareIndex, Tier};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a kin may take to release its shares.
const RELEASE_WITHIN: Duration = Duration::from_secs(10);
/// How long a proof may take.
const PROVE_WITHIN: Duration = Duration::from_secs(20);
/// How often capsules are made anew for records that came meanwhile.
const ATTEMPTS: usize = 3;

/// The rebuilt keys, in the order of the tiers; whose shares were wrong, and who sent none.
struct Gathered {
    keys: Vec<TierKey>,
    wrong: Vec<KinId>,
    silent: Vec<KinId>,
}

/// The keys by which kin vouch for this device.
pub(super) fn show(device: &Device) -> Keys {
    Keys {
        signing: device.identity.signing.verifying_key(),
        sealing: device.identity.opening.sealing_key(),
    }
}

/// Begins to speak for `patient`, durably, when the ledger says so. A device that speaks for another enrolled patient does not.
pub(super) async fn take_over(device: &Device, patient: PatientId) -> Result<(), PatientError> {
    if device.me == patient {
        return Ok(());
    }
    if device
        .enrolled(Instant::now() + PROVE_WITHIN)
        .await?
        .is_some()
    {
        return Err(bad("this device speaks for another enrolled patient"));
    }
    recovering(&device.speaking_for(patient)).await?;
    device.stand_in_for(patient).await
}

/// Rebuilds the keys and has others dealt. Answers when the proposal is final; it takes effect when all kin hold what was dealt.
pub(super) async fn rebuild(device: Arc<Device>) -> Result<Rebuilt, PatientError> {
    let _turn = device.enrolling.lock().await;
    let mut last = bad("records keep coming; try again later");
    for _ in 0..ATTEMPTS {
        let (entry, height) = recovering(&device).await?;
        if let Some(rebuilt) = resume(&device, &entry).await? {
            return Ok(rebuilt);
        }
        let gathered = gather(&device, &entry).await?;
        let mut redealt = prepare(&device, &entry, height, gathered).await?;
        match propose(&device, &mut redealt).await {
            Ok(height) => {
                let rebuilt = Rebuilt {
                    height,
                    ..redealt.rebuilt
                };
                return Ok(rebuilt);
            }
            // Perhaps a record came on chain since its capsules were made anew.
            Err(error @ PatientError::Roster { .. }) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// The patient's entry, provided that this device speaks for the patient and has yet to deal.
async fn recovering(device: &Device) -> Result<(ledger::Patient, Height), PatientError> {
    let enrolled = device.enrolled(Instant::now() + PROVE_WITHIN).await?;
    let (entry, height) = enrolled.ok_or_else(|| bad("there is no such patient"))?;
    if entry.device != device.identity.account() {
        return Err(bad(
            "this is not the patient's device: the kin have not vouched for it, or the delay is not over",
        ));
    }
    if !entry.is_recovering {
        return Err(bad("the keys are this device's already"));
    }
    Ok((entry, height))
}

/// Asks every kin for its shares, and rebuilds the keys. A wrong share names its author.
async fn gather(device: &Arc<Device>, entry: &ledger::Patient) -> Result<Gathered, PatientError> {
    let patient = device.me;
    let roster = entry.enrolment.roster.iter().map(|member| member.id());
    let roster: Vec<KinId> = roster.collect();
    let answers = join_all(roster.iter().map(|kin| async move {
        let name = device.setting.directory.name(*kin)?;
        let question = ReleaseShares { patient };
        let asked = device
            .port
            .ask::<FriendRelative, _>(name, question, RELEASE_WITHIN);
        match asked.await {
            Ok(Ok(released)) => Some(released),
            Ok(Err(error)) => {
                tracing::info!(%patient, %name, %error, "releases no share");
                None
            }
            Err(error) => {
                tracing::info!(%patient, %name, %error, "releases no share");
                None
            }
        }
    }));
    let answers = answers.await;
    let entry = entry.clone();
    device
        .heavy(move |device| rebuilt(device, &entry, &roster, &answers))
        .await
}

fn rebuilt(
    device: &Device,
    entry: &ledger::Patient,
    roster: &[KinId],
    answers: &[Option<ReleasedShares>],
) -> Result<Gathered, PatientError> {
    let mut shares: Vec<Vec<Share>> = Tier::ALL.iter().map(|_| Vec::new()).collect();
    let (mut wrong, mut silent) = (Vec::new(), Vec::new());
    for (position, (kin, answer)) in roster.iter().zip(answers).enumerate() {
        let index = ShareIndex::from_position(position);
        let index = index.ok_or_else(|| bad("the roster is too long"))?;
        let Some(released) = answer.as_ref().filter(|answer| answer.epoch == entry.epoch) else {
            silent.push(*kin);
            continue;
        };
        match open(device, entry, index, released) {
            Ok(opened) => {
                for (tier, share) in shares.iter_mut().zip(opened) {
                    tier.push(share);
                }
            }
            Err(error) => {
                tracing::warn!(patient = %device.me, %kin, %error, "released a wrong share");
                wrong.push(*kin);
            }
        }
    }
    let mut keys = Vec::new();
    for (shares, public) in shares.iter().zip(&entry.enrolment.tiers) {
        let rebuilt = reconstruct(shares, &public.commitments);
        let rebuilt = rebuilt.map_err(|error| PatientError::Shares {
            reason: error.to_string(),
            wrong: wrong.clone(),
        })?;
        keys.push(rebuilt.key);
    }
    Ok(Gathered {
        keys,
        wrong,
        silent,
    })
}

/// One kin's shares of all tiers, checked against the commitments on chain.
fn open(
    device: &Device,
    entry: &ledger::Patient,
    index: ShareIndex,
    released: &ReleasedShares,
) -> Result<Vec<Share>, PatientError> {
    let chain = device.client.chain();
    let rho = Rho::of_recovery(&chain, &device.me, &entry.device, entry.epoch);
    if !released.shares.iter().map(|(tier, _)| *tier).eq(Tier::ALL) {
        return Err(bad("one share for each tier is needed, in order"));
    }
    let pairs = released.shares.iter().zip(&entry.enrolment.tiers);
    pairs
        .map(|((tier, sealed), public)| {
            let context = ShareContext {
                patient: device.me,
                tier: *tier,
                epoch: entry.epoch,
            };
            let key = &device.identity.opening;
            let commitments = &public.commitments;
            Ok(open_released_share(
                sealed,
                key,
                index,
                &context,
                &rho,
                commitments,
            )?)
        })
        .collect()
}

/// Fresh tier keys, in the order of the tiers; in the vault on return, where those of an earlier attempt are destroyed.
async fn draw_keys(
    device: &Arc<Device>,
    entry: &ledger::Patient,
) -> Result<Vec<TierKey>, PatientError> {
    let entry = entry.clone();
    let drawn = device.heavy(move |device| {
        device.forget_keys_unlike(&entry)?;
        let draw = |_| TierKey::random(&mut SystemRng);
        let fresh: Vec<TierKey> = Tier::ALL.iter().map(draw).collect();
        let round = entry.epoch.plus(1).0;
        let secrets: Vec<(String, Secret32)> = (Tier::ALL.iter().zip(&fresh))
            .map(|(tier, key)| (tier_key_name(*tier, round), key.to_secret()))
            .collect();
        let named: Vec<(&str, &Secret32)> = secrets.iter().map(|(n, s)| (n.as_str(), s)).collect();
        device.keys.create_many(&named)?;
        Ok(fresh)
    });
    drawn.await
}

/// Other keys, their shares, and every capsule made anew: durable on return.
async fn prepare(
    device: &Arc<Device>,
    entry: &ledger::Patient,
    height: Height,
    gathered: Gathered,
) -> Result<Redealt, PatientError> {
    let fresh = Arc::new(draw_keys(device, entry).await?);
    let old = Arc::new(gathered.keys);
    device.forget_redealt().await?;
    let (mut leaves, mut records, mut empty) = (Vec::new(), 0usize, 0usize);
    for (place, tier) in Tier::ALL.into_iter().enumerate() {
        for header in headers(device, tier, height, &[]).await? {
            let keys = (old.clone(), fresh.clone());
            let wrapping = wrap(device, entry, &header, keys, place, leaves.len()).await?;
            records = records.saturating_add(wrapping.0);
            empty = empty.saturating_add(wrapping.1);
            leaves.push(wrapping.2);
        }
    }
    let tree = RewrapTree::new(&leaves).ok_or_else(|| bad("too many batches"))?;
    let batches = leaves.len();
    let (entry, from) = (entry.clone(), entry.epoch);
    let second = owed(&entry);
    let dealing = device.heavy(move |device| {
        let (commitments, sealed) = deal_all(device, &entry, &fresh)?;
        let plan = Plan::Redeal {
            roster: entry.enrolment.roster.clone(),
            commitments,
            rewrap: Some(tree.rewrap()),
        };
        Ok((plan, sealed))
    });
    let (plan, sealed) = dealing.await?;
    let redealt = Redealt {
        from,
        plan,
        sealed,
        leaves,
        may_stand_until: None,
        second,
        rebuilt: Rebuilt {
            height,
            wrong: gathered.wrong,
            silent: gathered.silent,
            batches,
            records,
            empty,
        },
    };
    device.put_redealt(&redealt).await?;
    Ok(redealt)
}

/// The second circle, which goes with the key that it shares.
fn owed(entry: &ledger::Patient) -> Option<Owed> {
    Some(Owed {
        roster: entry.enrolment.second.as_ref()?.roster.clone(),
        threshold: entry.enrolment.second_threshold()?,
    })
}

/// Makes the capsules of one upload anew and keeps them. Returns how many there are, how many held no key, and their leaf.
async fn wrap(
    device: &Arc<Device>,
    entry: &ledger::Patient,
    header: &BatchHeader,
    (old, fresh): (Arc<Vec<TierKey>>, Arc<Vec<TierKey>>),
    place: usize,
    position: usize,
) -> Result<(usize, usize, Digest), PatientError> {
    let root = header.manifest_root;
    let upload = upload_from_kin(device, &entry.enrolment, header).await?;
    let checked = capsules(device, entry, header, &upload).await?;
    let wrapped = device.heavy(move |_| {
        let none = || lost(root, "no such tier");
        let from = old.get(place).ok_or_else(none)?;
        let to = fresh.get(place).ok_or_else(none)?.public();
        let wrapped = rewrap(from, &to, &checked, &mut SystemRng);
        wrapped.map_err(|error| lost(root, error))
    });
    let wrapped = wrapped.await?;
    let leaf = rewrap_leaf(&root, &wrapped.capsules);
    let counts = (wrapped.capsules.len(), wrapped.empty);
    let wrapping = Wrapping {
        position,
        capsules: wrapped.capsules,
    };
    device.put_wrapping(&root, &wrapping).await?;
    Ok((counts.0, counts.1, leaf))
}

/// Deals the fresh keys to the present roster, with the present thresholds.
fn deal_all(
    device: &Device,
    entry: &ledger::Patient,
    fresh: &[TierKey],
) -> Result<(Vec<Commitments>, Bundle), PatientError> {
    let roster = &entry.enrolment.roster;
    let (mut all, mut bundle) = (Vec::new(), Vec::new());
    for (key, public) in fresh.iter().zip(&entry.enrolment.tiers) {
        let threshold = Threshold::new(public.commitments.threshold(), roster.len())?;
        let (commitments, shares) = deal(key, threshold, &mut SystemRng)?;
        let context = ShareContext {
            patient: device.me,
            tier: public.tier,
            epoch: entry.epoch.plus(1),
        };
        let sealed = roster.iter().zip(&shares).map(|(member, share)| {
            Ok(seal_share(
                share,
                &context,
                &member.sealing,
                &mut SystemRng,
            )?)
        });
        bundle.push(sealed.collect::<Result<Vec<Sealed>, PatientError>>()?);
        all.push(commitments);
    }
    Ok((all, Bundle(bundle)))
}

/// The kin hold everything, at this height perhaps: what was kept for them goes, and so do keys that are none of the present ones.
pub(super) async fn finish(device: Arc<Device>, height: Height) -> Result<(), PatientError> {
    if device.redealt()?.is_none() {
        return Ok(());
    }
    let _turn = device.enrolling.lock().await;
    let deadline = Instant::now() + PROVE_WITHIN;
    let enrolled = device.enrolled_at(height, deadline).await?;
    let done =
        |entry: &ledger::Patient| !entry.is_recovering && entry.device == device.identity.account();
    let Some((entry, _)) = enrolled.filter(|(entry, _)| done(entry)) else {
        return Ok(());
    };
    if let Some(redealt) = device.redealt()? {
        device.redealt_done(redealt).await?;
    }
    device
        .heavy(move |device| device.forget_keys_unlike(&entry))
        .await
}

/// The shares that were dealt in the handover that is under way, each sealed to its kin.
pub(super) async fn fetch_redealt(
    device: Arc<Device>,
    handover: HandoverId,
) -> Result<Bundle, PatientError> {
    let none = || bad("nothing was dealt in this handover");
    let redealt = device.redealt()?.ok_or_else(none)?;
    let now = under_way(&device).await?.ok_or_else(none)?;
    if now.id == handover && now.plan == redealt.plan {
        Ok(redealt.sealed)
    } else {
        Err(none())
    }
}
