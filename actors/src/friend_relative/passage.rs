//! A kin's part in one handover: dealing, answering complaints, taking the new shares (opening.md sections 4 and 5).
//!
//! What is dealt is durable before its commitments go on chain, and the new share is
//! durable before its acceptance does. Sealed sub-shares travel from kin to kin; who
//! cannot reach a dealer asks the others, for everybody keeps what everybody got.

use super::anew;
use super::bundles::{fetch, is_here};
use super::combine::combine;
use super::desk::Desk;
use super::messages::{Bundle, Conduct, KinError};
use super::prepare::share;
use super::roster::{Circle, bad, erase, submit};
use super::storage::{OwnDealing, Passage, Put as _, Ward};
use crate::ports::random::SystemRng;
use crate::ports::store::Batch;
use kithkin_protocol::crypto::{Digest, Sealed, SealingKey};
use kithkin_protocol::ids::PatientId;
use kithkin_protocol::ledger::{Enrolment, Member};
use kithkin_protocol::record::Rewrap;
use kithkin_protocol::roster::{Complaint, Handover, Plan, RosterStep, TierDealing};
use kithkin_protocol::sharing::{
    Commitments, Dealing, PublishedShare, ResharingDealing, ShareContext, SubShare, Threshold,
    Verdict, ZeroDealing,
};
use kithkin_protocol::units::{Height, ShareIndex, Tier};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the patient's own device deals to this kin.
pub(super) struct Taking<'a> {
    /// This kin's place in the new roster.
    pub(super) recipient: ShareIndex,
    pub(super) roster: &'a [Member],
    pub(super) commitments: &'a [Commitments],
    pub(super) rewrap: Option<Rewrap>,
    /// Where the handover was proved: no batch has come since it was proposed.
    pub(super) at: Height,
}

/// This kin's part so far; a fresh one for another handover than the stored one, which has come to nothing.
fn passage(desk: &Desk, circle: &Circle, handover: &Handover) -> Result<Passage, KinError> {
    match desk.store.passage(circle.patient)? {
        Some(passage) if passage.handover == handover.id => return Ok(passage),
        Some(Passage {
            next: Some((_, next)),
            ..
        }) => {
            for share in &next.shares {
                desk.keys.destroy(&share.key)?;
            }
        }
        Some(_) | None => {}
    }
    let present = circle.entry.present(circle.patient);
    let new = handover.plan.roster(&present).iter();
    let all = circle.entry.enrolment.roster.iter().chain(new);
    Ok(Passage {
        handover: handover.id,
        readers: all.map(Member::id).collect(),
        own: None,
        bundles: BTreeMap::new(),
        next: None,
        rewrap: None,
    })
}

async fn put(desk: &Desk, patient: PatientId, passage: &Passage) -> Result<(), KinError> {
    let mut batch = Batch::default();
    batch.passage(patient, passage);
    desk.store.write(batch).await
}

/// New capsules of another handover, which has come to nothing.
async fn forget_other(
    desk: &Desk,
    patient: PatientId,
    handover: &Handover,
) -> Result<(), KinError> {
    let before = desk.store.passage(patient)?;
    let before = before.filter(|before| before.handover != handover.id);
    if let Some(under) = before.and_then(|before| before.rewrap) {
        let mut batch = Batch::default();
        batch.no_rewrapped(&under);
        desk.store.write(batch).await?;
    }
    Ok(())
}

/// Deals, unless this kin has dealt or is out.
pub(super) async fn deal(
    desk: &Arc<Desk>,
    circle: &Circle,
    index: ShareIndex,
    handover: &Handover,
) -> Result<(), KinError> {
    let Some(ward) = circle.ward.clone() else {
        return Ok(());
    };
    if handover.dealings.contains_key(&index) || handover.barred.contains_key(&index) {
        return Ok(());
    }
    let mut passage = passage(desk, circle, handover)?;
    let own = match passage.own.clone() {
        Some(own) => own,
        None => {
            let (plan, present) = (handover.plan.clone(), circle.entry.enrolment.clone());
            let own = desk.heavy(move |desk| make(desk, &ward, &plan, &present));
            let own = own.await?;
            passage.own = Some(own.clone());
            passage.bundles.insert(index, own.bundle.clone());
            put(desk, circle.patient, &passage).await?;
            own
        }
    };
    let step = RosterStep::Deal {
        handover: handover.id,
        dealings: own.dealings,
        sealed: own.bundle.digest(),
    };
    submit(desk, circle.patient, step).await
}

/// Makes the dealings of all tiers and seals their sub-shares.
fn make(
    desk: &Desk,
    ward: &Ward,
    plan: &Plan,
    present: &Enrolment,
) -> Result<OwnDealing, KinError> {
    let patient = ward.patient;
    let mut own = OwnDealing {
        dealings: Vec::new(),
        bundle: Bundle(Vec::new()),
        copies: Bundle(Vec::new()),
    };
    let mut rng = SystemRng;
    for (place, shares) in present.tiers.iter().enumerate() {
        let tier = shares.tier;
        let context = ward.context(tier);
        let wrong = |error: &dyn core::fmt::Display| bad(patient, error);
        let (dealing, (sealed, copies)) = match plan {
            Plan::Reshare { roster, thresholds } => {
                let needed = thresholds.get(place).copied().map_or(0, usize::from);
                let threshold = Threshold::new(needed, roster.len()).map_err(|e| wrong(&e))?;
                let mine = share(desk, ward, tier)?;
                let (dealing, subs) = ResharingDealing::deal(mine.share(), threshold, &mut rng)
                    .map_err(|e| wrong(&e))?;
                let sealed = seal(desk, patient, &dealing, &subs, roster, &context)?;
                (TierDealing::Share(dealing), sealed)
            }
            Plan::Refresh => {
                let needed = shares.commitments.threshold();
                let threshold =
                    Threshold::new(needed, present.roster.len()).map_err(|e| wrong(&e))?;
                let (dealing, subs) =
                    ZeroDealing::deal(ward.index, threshold, &mut rng).map_err(|e| wrong(&e))?;
                let sealed = seal(desk, patient, &dealing, &subs, &present.roster, &context)?;
                (TierDealing::Zero(dealing), sealed)
            }
            Plan::Redeal { .. } | Plan::Recover { .. } | Plan::Rules(_) => {
                return Err(bad(patient, "kin deal nothing in this"));
            }
        };
        own.dealings.push(dealing);
        own.bundle.0.push(sealed);
        own.copies.0.push(copies);
    }
    Ok(own)
}

/// Every sub-share, sealed to its recipient and once more to this kin itself.
fn seal<D: Dealing>(
    desk: &Desk,
    patient: PatientId,
    dealing: &D,
    subs: &[SubShare],
    roster: &[Member],
    context: &ShareContext,
) -> Result<(Vec<Sealed>, Vec<Sealed>), KinError> {
    let own = desk.identity.opening.sealing_key();
    let to = |sub: &SubShare, key: &SealingKey| {
        dealing
            .seal(sub, context, key, &mut SystemRng)
            .map_err(|error| bad(patient, error))
    };
    // For demonstrations: everybody gets what is meant for the first, and who opens it sees that it does not fit.
    let wrong = desk.conduct() == Conduct::DealWrong;
    let mut sealed = Vec::with_capacity(subs.len());
    let mut copies = Vec::with_capacity(subs.len());
    for (sub, member) in subs.iter().zip(roster) {
        let sent = subs.first().filter(|_| wrong).unwrap_or(sub);
        sealed.push(to(sent, &member.sealing)?);
        copies.push(to(sub, &own)?);
    }
    Ok((sealed, copies))
}

/// Shows what a recipient complains of.
pub(super) async fn answer(
    desk: &Arc<Desk>,
    circle: &Circle,
    handover: &Handover,
) -> Result<(), KinError> {
    let Some(index) = circle.index else {
        return Ok(());
    };
    let waiting = handover.complaints.keys().filter(|c| c.dealer == index);
    let waiting: Vec<Complaint> = waiting.copied().collect();
    if waiting.is_empty() || desk.conduct() == Conduct::DealWrong {
        return Ok(());
    }
    let own = passage(desk, circle, handover)?.own;
    let own = own.ok_or_else(|| bad(circle.patient, "what was dealt is not kept any more"))?;
    for complaint in waiting {
        let Complaint {
            recipient, tier, ..
        } = complaint;
        let context = ShareContext {
            patient: circle.patient,
            tier,
            epoch: circle.entry.epoch,
        };
        let shown = own
            .dealings
            .iter()
            .zip(&own.copies.0)
            .zip(Tier::ALL)
            .find(|(_, of)| *of == tier)
            .and_then(|((dealing, copies), _)| {
                let copy = copies.get(recipient.position())?;
                open(desk, dealing, copy, recipient, &context)
            });
        let shown = shown.ok_or_else(|| bad(circle.patient, "the own copy cannot be opened"))?;
        let step = RosterStep::Reveal {
            handover: handover.id,
            recipient,
            tier,
            share: shown.publish().value,
        };
        submit(desk, circle.patient, step).await?;
    }
    Ok(())
}

fn open(
    desk: &Desk,
    dealing: &TierDealing,
    sealed: &Sealed,
    recipient: ShareIndex,
    context: &ShareContext,
) -> Option<SubShare> {
    let key = &desk.identity.opening;
    match dealing {
        TierDealing::Zero(dealing) => dealing.open(sealed, key, recipient, context).ok(),
        TierDealing::Share(dealing) => dealing.open(sealed, key, recipient, context).ok(),
    }
}

/// Gets the sub-shares for this kin, computes and keeps the new shares, and accepts. Complains of a dealer whose sub-share does
/// not fit, and late of one from whom nothing has come.
pub(super) async fn take(
    desk: &Arc<Desk>,
    circle: &Circle,
    handover: &Handover,
    at: Height,
) -> Result<(), KinError> {
    let patient = circle.patient;
    let present = circle.entry.present(patient);
    let roster = handover.plan.roster(&present);
    let position = roster.iter().position(|member| member.id() == desk.me);
    let Some(recipient) = position.and_then(ShareIndex::from_position) else {
        return Ok(());
    };
    let is_mine = circle.index.is_some() || super::desk::lock(&desk.joining).contains(&patient);
    if !is_mine {
        return Ok(());
    }
    let dealt = handover.dealt_digest();
    forget_other(desk, patient, handover).await?;
    let mut passage = passage(desk, circle, handover)?;
    let is_new = passage.next.as_ref().is_none_or(|(of, _)| *of != dealt);
    if let Plan::Redeal { .. } = &handover.plan
        && is_new
    {
        let next = take_redealt(desk, circle, handover, &mut passage, (recipient, at)).await?;
        replace(desk, patient, &mut passage, dealt, next).await?;
    } else if is_new {
        fetch(desk, circle, handover, &mut passage).await;
        put(desk, patient, &passage).await?;
        let subs = match open_all(desk, circle, handover, &passage, recipient) {
            Ok(subs) => subs,
            Err(complaints) => {
                let is_here = |dealer| is_here(handover, &passage, dealer);
                let is_late = desk.client.now() >= handover.complain_of_silence_ms(&present);
                let (due, waits) = due(complaints, is_here, is_late);
                complain(desk, patient, handover, due).await?;
                if waits {
                    let reason = "nobody has what a dealer has sealed; will ask again";
                    return Err(bad(patient, reason));
                }
                return Ok(());
            }
        };
        let (entry, handover_now) = (circle.entry.clone(), handover.clone());
        let ward = circle.ward.clone();
        let next = desk
            .heavy(move |desk| {
                let old = ward.as_deref();
                combine(desk, patient, &entry, &handover_now, recipient, old, &subs)
            })
            .await?;
        replace(desk, patient, &mut passage, dealt, next).await?;
    }
    // The shares come first: a kin that accepted and lost them can have them again from what was dealt.
    if handover.acceptances.contains(&desk.me) {
        return Ok(());
    }
    let step = RosterStep::Accept {
        handover: handover.id,
        dealt,
    };
    submit(desk, patient, step).await
}

/// What the patient's own device has dealt to this kin.
async fn take_redealt(
    desk: &Arc<Desk>,
    circle: &Circle,
    handover: &Handover,
    passage: &mut Passage,
    (recipient, at): (ShareIndex, Height),
) -> Result<Ward, KinError> {
    let Plan::Redeal {
        roster,
        commitments,
        rewrap,
    } = &handover.plan
    else {
        return Err(bad(
            circle.patient,
            "the patient's device deals nothing in this",
        ));
    };
    // What is kept under it goes when the handover comes to nothing.
    passage.rewrap = rewrap.map(|rewrap| rewrap.root);
    put(desk, circle.patient, passage).await?;
    let taking = Taking {
        recipient,
        roster,
        commitments,
        rewrap: *rewrap,
        at,
    };
    anew::take(desk, circle, handover, &taking).await
}

/// Keeps what this kin will hold, and erases what it was to hold before.
async fn replace(
    desk: &Arc<Desk>,
    patient: PatientId,
    passage: &mut Passage,
    dealt: Digest,
    next: Ward,
) -> Result<(), KinError> {
    let before = passage.next.replace((dealt, next));
    put(desk, patient, passage).await?;
    if let Some((_, before)) = before {
        erase(desk, Arc::new(before)).await;
    }
    Ok(())
}

/// What to complain of now: of what has come and does not fit; of what has not come only when it is late. And whether something is
/// still waited for.
fn due(
    complaints: Vec<Complaint>,
    is_here: impl Fn(ShareIndex) -> bool,
    is_late: bool,
) -> (Vec<Complaint>, bool) {
    let all = complaints.len();
    let mut due = complaints;
    due.retain(|complaint| is_late || is_here(complaint.dealer));
    let waits = due.len() < all;
    (due, waits)
}

async fn complain(
    desk: &Arc<Desk>,
    patient: PatientId,
    handover: &Handover,
    complaints: Vec<Complaint>,
) -> Result<(), KinError> {
    // All at once: an answer may take a while, and the handover does not wait for ever.
    let new = complaints.into_iter();
    for complaint in new.filter(|complaint| !handover.complaints.contains_key(complaint)) {
        let Complaint { dealer, tier, .. } = complaint;
        tracing::warn!(kin = %desk.me, %patient, %dealer, %tier, "what this dealer sent does not fit; complaining");
        let step = RosterStep::Complain {
            handover: handover.id,
            dealer,
            tier,
        };
        submit(desk, patient, step).await?;
    }
    Ok(())
}

/// The sub-shares of all dealers for this kin, tier by tier; or all that there is to complain of.
fn open_all(
    desk: &Desk,
    circle: &Circle,
    handover: &Handover,
    passage: &Passage,
    recipient: ShareIndex,
) -> Result<Vec<Vec<SubShare>>, Vec<Complaint>> {
    let (mut all, mut complaints) = (Vec::new(), Vec::new());
    for tier in Tier::ALL {
        let mut subs = Vec::new();
        for dealer in handover.dealings.keys() {
            let complaint = Complaint {
                dealer: *dealer,
                recipient,
                tier,
            };
            match sub_share(desk, circle, handover, passage, complaint) {
                Some(sub) => subs.push(sub),
                None => complaints.push(complaint),
            }
        }
        all.push(subs);
    }
    if complaints.is_empty() {
        Ok(all)
    } else {
        Err(complaints)
    }
}

/// One sub-share for this kin: from what was shown on chain, else from what the dealer has sent. None when neither fits.
fn sub_share(
    desk: &Desk,
    circle: &Circle,
    handover: &Handover,
    passage: &Passage,
    of: Complaint,
) -> Option<SubShare> {
    let Complaint {
        dealer,
        recipient,
        tier,
    } = of;
    let place = Tier::ALL.iter().position(|other| *other == tier)?;
    let dealing = handover.dealings.get(&dealer)?.dealings.get(place)?;
    if let Some(value) = handover.revealed.get(&of) {
        let shown = PublishedShare {
            dealer,
            recipient,
            value: *value,
        };
        return shown_share(dealing, recipient, &shown);
    }
    let sent = passage.bundles.get(&dealer)?.0.get(place)?;
    let context = ShareContext {
        patient: circle.patient,
        tier,
        epoch: circle.entry.epoch,
    };
    open(
        desk,
        dealing,
        sent.get(recipient.position())?,
        recipient,
        &context,
    )
}

fn shown_share(
    dealing: &TierDealing,
    recipient: ShareIndex,
    shown: &PublishedShare,
) -> Option<SubShare> {
    let verdict = match dealing {
        TierDealing::Zero(dealing) => dealing.judge(recipient, Some(shown)),
        TierDealing::Share(dealing) => dealing.judge(recipient, Some(shown)),
    };
    match verdict {
        Verdict::Cleared(sub) => Some(sub),
        Verdict::Named(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_dealer_from_whom_nothing_has_come_a_kin_complains_late() {
        let index = |n| ShareIndex::new(n).expect("not zero");
        let of = |dealer| Complaint {
            dealer: index(dealer),
            recipient: index(3),
            tier: Tier::Summary,
        };
        let is_here = |dealer| dealer == index(2);
        let both = vec![of(1), of(2)];
        assert_eq!(due(both.clone(), is_here, false), (vec![of(2)], true));
        assert_eq!(due(both.clone(), is_here, true), (both, false));
        assert_eq!(due(vec![of(2)], is_here, false), (vec![of(2)], false));
        assert_eq!(due(vec![of(1)], is_here, false), (vec![], true));
    }
}
