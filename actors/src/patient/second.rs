//! The second circle after the enrolment: named, replaced, dealt anew, withdrawn; and named again by a new device
//! (docs/adr/0035).
//!
//! What is dealt is durable before it is offered, and offered again after a restart.
//! Nothing changes for anybody until all members have accepted and the ledger has the word.

use super::device::{Device, FINAL_WITHIN, MAY_STAND_MS};
use super::draft::{SealedShares, deal_tier, threshold_of_second};
use super::enrol::{AGREE_WITHIN, PROVE_WITHIN, agreed};
use super::messages::{AboutSecond, Holder, PatientError, SecondNamed, SecondWish, Silent};
use super::roster::{bad, under_way_at};
use super::storage::{Owed, SecondDraft};
use crate::clients::ClientError;
use crate::friend_relative::messages::OfferSecond;
use futures_util::future::join_all;
use kithkin_protocol::crypto::{Digest, Sealed, Signature};
use kithkin_protocol::ledger::{self, Member, SecondCircle, SecondWord, TxBody};
use kithkin_protocol::roster::{Plan, RosterStep};
use kithkin_protocol::sharing::{ShareContext, Threshold};
use kithkin_protocol::units::{Height, ShareIndex, Tier};
use std::sync::Arc;
use std::time::Instant;

/// How often a word is accepted anew because the first circle has new shares meanwhile.
const ATTEMPTS: usize = 3;

/// Carries out what the person wants.
pub(super) async fn about(
    device: Arc<Device>,
    about: AboutSecond,
) -> Result<SecondNamed, PatientError> {
    let _turn = device.enrolling.lock().await;
    carry_out(&device, &about, Height(0)).await
}

/// Names the second circle again when that is due and can be: those whom a lost device had named, or the present members when
/// their shares are worn. `height`: where that may have come on chain.
pub(super) async fn tend(device: &Arc<Device>, height: Height) -> Result<(), PatientError> {
    let _turn = device.enrolling.lock().await;
    let Some((entry, _)) = device
        .enrolled_at(height, Instant::now() + PROVE_WITHIN)
        .await?
    else {
        return Ok(());
    };
    if entry.device != device.identity.account() || entry.is_recovering {
        return Ok(());
    }
    let is_named = entry.enrolment.second.is_some();
    let is_due = if is_named {
        entry.second_worn
    } else {
        device.owed()?.is_some()
    };
    // The end of the case brings another look.
    if !is_due || entry.live_cases > 0 {
        return Ok(());
    }
    let named = carry_out(device, &AboutSecond::Again, height).await?;
    tracing::info!(patient = %device.me, epoch = %named.epoch, kin = named.kin, "the second circle has new shares");
    Ok(())
}

/// `at`: a height that is known to be final; nothing older counts.
async fn carry_out(
    device: &Arc<Device>,
    about: &AboutSecond,
    at: Height,
) -> Result<SecondNamed, PatientError> {
    let mut last = bad("the roster keeps changing; try again later");
    for _ in 0..ATTEMPTS {
        let (entry, height) = own(device, at).await?;
        if let Some(stands) = stands(device, &entry, about)? {
            device.second_done().await?;
            return Ok(named(&stands, height));
        }
        if entry.live_cases > 0 {
            return Err(bad(
                "a case about you is under way; name the second circle when it is over, or veto it",
            ));
        }
        refuse_while_changing(device, at).await?;
        let word = match wish(device, &entry, about)? {
            Some((wish, threshold)) => offered(device, &entry, wish, threshold).await?,
            None => withdrawal(device, &entry)?,
        };
        match submit(device, word.clone()).await {
            Ok(height) => {
                device.second_done().await?;
                return Ok(named(&word, height));
            }
            // Perhaps an earlier try stands, or the first circle has new shares since: both show when it is proved anew.
            Err(error @ PatientError::Roster { .. }) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// The patient's entry, provided that this device speaks for the patient.
async fn own(device: &Device, at: Height) -> Result<(ledger::Patient, Height), PatientError> {
    let deadline = Instant::now() + PROVE_WITHIN;
    let enrolled = device.enrolled_at(at, deadline).await?;
    let (entry, height) = enrolled.ok_or_else(|| bad("enrol first"))?;
    if entry.device != device.identity.account() {
        return Err(bad("another device speaks for the patient"));
    }
    Ok((entry, height))
}

/// The word that says what is wanted, if it stands already.
fn stands(
    device: &Device,
    entry: &ledger::Patient,
    about: &AboutSecond,
) -> Result<Option<SecondWord>, PatientError> {
    let present = SecondWord {
        epochs: entry.circles(),
        circle: entry.enrolment.second.clone(),
    };
    let is_done = match (about, &present.circle) {
        (AboutSecond::Name(wish), Some(_)) => is_same(&present, wish)?,
        // A sharing of before is what it was made to replace.
        (AboutSecond::Again, Some(_)) => {
            let draft = device.second_draft()?;
            draft.is_some_and(|draft| draft.word.stands(entry))
        }
        (AboutSecond::Withdraw, None) => device.owed()?.is_some(),
        (AboutSecond::Withdraw, Some(_)) | (_, None) => false,
    };
    Ok(is_done.then_some(present))
}

fn is_same(word: &SecondWord, wish: &SecondWish) -> Result<bool, PatientError> {
    let threshold = threshold_of_second(wish)?;
    let circle = word.circle.as_ref();
    Ok(circle.is_some_and(|circle| {
        circle.roster == wish.roster && circle.commitments.threshold() == threshold.needed()
    }))
}

/// Whom to name; none to withdraw.
fn wish(
    device: &Device,
    entry: &ledger::Patient,
    about: &AboutSecond,
) -> Result<Option<(SecondWish, Threshold)>, PatientError> {
    let wish = match about {
        AboutSecond::Withdraw => return Ok(None),
        AboutSecond::Name(wish) => wish.clone(),
        AboutSecond::Again => {
            let second = &entry.enrolment.second;
            let present = second.as_ref().map(|second| Owed {
                roster: second.roster.clone(),
                threshold: second.commitments.threshold(),
            });
            let again = present.map_or_else(|| device.owed(), |present| Ok(Some(present)))?;
            let again = again.ok_or_else(|| bad("nobody is in a second circle, or was"))?;
            SecondWish {
                roster: again.roster,
                threshold: Some(again.threshold),
            }
        }
    };
    let threshold = threshold_of_second(&wish)?;
    Ok(Some((wish, threshold)))
}

fn withdrawal(device: &Device, entry: &ledger::Patient) -> Result<SecondWord, PatientError> {
    let word = SecondWord {
        epochs: entry.circles().next_second(),
        circle: None,
    };
    word.check(device.me, entry).map_err(bad)?;
    Ok(word)
}

/// Nobody is asked for what the ledger would not take.
async fn refuse_while_changing(device: &Device, at: Height) -> Result<(), PatientError> {
    match under_way_at(device, at).await? {
        Some(handover) if handover.plan != Plan::Refresh => Err(bad(
            "another change of the roster is under way; wait for it, or veto it",
        )),
        Some(_) | None => Ok(()),
    }
}

/// A word that all members have accepted; from here on it may become final, whatever happens to this device.
async fn offered(
    device: &Arc<Device>,
    entry: &ledger::Patient,
    wish: SecondWish,
    threshold: Threshold,
) -> Result<SecondWord, PatientError> {
    let mut draft = draft(device, entry, wish, threshold).await?;
    let digest = draft.word.digest(device.client.chain(), device.me);
    let acceptances = accepted(device, &draft, digest).await?;
    draft.submitted_until = Some(device.client.now().plus(MAY_STAND_MS));
    device.put_second_draft(&draft).await?;
    let mut word = draft.word;
    if let Some(circle) = &mut word.circle {
        circle.acceptances = acceptances;
    }
    Ok(word)
}

/// The draft that was begun, if it is what is asked for; else a fresh one in its place. Durable on return.
async fn draft(
    device: &Arc<Device>,
    entry: &ledger::Patient,
    wish: SecondWish,
    threshold: Threshold,
) -> Result<SecondDraft, PatientError> {
    let due = entry.circles().next_second();
    let summary = entry.enrolment.tier(Tier::Summary);
    let summary = summary.ok_or_else(|| bad("the ledger has no summary key"))?;
    let public = *summary.commitments.public_key();
    let old = device.second_draft()?;
    let old = old.filter(|old| old.word.epochs.second == due.second);
    if let Some(mut old) = old {
        let circle = old.word.circle.as_ref();
        let has_key = circle.is_some_and(|circle| *circle.commitments.public_key() == public);
        if has_key && is_same(&old.word, &wish)? {
            // The first circle may have gone on meanwhile; these shares are as good as before.
            old.word.epochs = due;
            device.put_second_draft(&old).await?;
            return Ok(old);
        }
        let now = device.client.now();
        let may_stand = old.submitted_until.is_some_and(|until| now < until);
        if may_stand && old.word.epochs == due {
            return Err(bad(
                "another second circle was submitted and may still become final; ask for the same one, or wait some minutes",
            ));
        }
    }
    let (shape, me) = (entry.clone(), device.me);
    let fresh = device.heavy(move |device| {
        let key = device.tier_key(Tier::Summary, &public)?;
        let context = ShareContext {
            patient: device.me,
            tier: Tier::Summary,
            epoch: due.second,
        };
        let mut sealed = vec![SealedShares::new(); wish.roster.len()];
        let commitments = deal_tier(&context, (&wish.roster[..], threshold), &key, &mut sealed)?;
        let circle = SecondCircle {
            roster: wish.roster,
            commitments,
            acceptances: Vec::new(),
        };
        Ok(SecondDraft {
            word: SecondWord {
                epochs: due,
                circle: Some(circle),
            },
            offers: sealed
                .into_iter()
                .flatten()
                .map(|(_, share)| share)
                .collect(),
            submitted_until: None,
        })
    });
    let fresh = fresh.await?;
    fresh.word.check(me, &shape).map_err(bad)?;
    device.put_second_draft(&fresh).await?;
    Ok(fresh)
}

/// Every member's acceptance, in order; or who has not accepted.
async fn accepted(
    device: &Device,
    draft: &SecondDraft,
    digest: Digest,
) -> Result<Vec<Signature>, PatientError> {
    let until = Instant::now() + AGREE_WITHIN;
    let word = Arc::new(draft.word.clone());
    let members = word.circle.iter().flat_map(|circle| &circle.roster);
    let asked = members.zip(&draft.offers).enumerate();
    let answers = join_all(asked.map(|(position, (member, share))| {
        let word = word.clone();
        async move {
            let signed = ask(device, word, digest, (position, member), share, until).await;
            signed.map_err(|reason| Silent {
                who: Holder::Kin(member.id()),
                reason,
            })
        }
    }));
    let (mut signatures, mut silent) = (Vec::new(), Vec::new());
    for answer in answers.await {
        match answer {
            Ok(signature) => signatures.push(signature),
            Err(one) => silent.push(one),
        }
    }
    if silent.is_empty() {
        Ok(signatures)
    } else {
        Err(PatientError::SecondSilent { silent })
    }
}

async fn ask(
    device: &Device,
    word: Arc<SecondWord>,
    digest: Digest,
    (position, member): (usize, &Member),
    share: &Sealed,
    until: Instant,
) -> Result<Signature, String> {
    let name = device.setting.directory.name(member.id());
    let name = name.ok_or("the directory does not know this kin")?;
    let index = ShareIndex::from_position(position).ok_or("the circle is too long")?;
    let offer = OfferSecond {
        patient: device.me,
        word,
        index,
        share: share.clone(),
    };
    let agreed = agreed(device, (member, name), offer, digest, until).await;
    agreed.map_err(|error| error.to_string())
}

async fn submit(device: &Device, word: SecondWord) -> Result<Height, PatientError> {
    let body = TxBody::Roster {
        patient: device.me,
        step: Box::new(RosterStep::NameSecond(Box::new(word))),
    };
    let deadline = Instant::now() + FINAL_WITHIN;
    match device.client.submit(body, deadline).await {
        Ok(finalized) => Ok(finalized.proof.header.height),
        Err(ClientError::Rejected { reason }) => Err(bad(reason)),
        Err(error) => Err(error.into()),
    }
}

fn named(word: &SecondWord, height: Height) -> SecondNamed {
    let circle = word.circle.as_ref();
    SecondNamed {
        height,
        epoch: word.epochs.second,
        kin: circle.map_or(0, |circle| circle.roster.len()),
        threshold: circle.map_or(0, |circle| circle.commitments.threshold()),
    }
}
