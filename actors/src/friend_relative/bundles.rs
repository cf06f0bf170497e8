//! What dealers have sealed for everybody, on its way from kin to kin (opening.md sections 4 and 5).

use super::desk::Desk;
use super::messages::{Bundle, FetchBundle, KinError};
use super::offers::SEALED_BYTES_MAX;
use super::roster::{Circle, bad};
use super::storage::Passage;
use crate::friend_relative::FriendRelative;
use crate::ports::names::ActorName;
use kithkin_protocol::crypto::Sealed;
use kithkin_protocol::ids::KinId;
use kithkin_protocol::ledger::Member;
use kithkin_protocol::roster::Handover;
use kithkin_protocol::units::{ShareIndex, Tier};
use std::sync::Arc;
use std::time::Duration;

/// How long a fellow kin may take to send a bundle.
const FETCH_WITHIN: Duration = Duration::from_secs(3);

/// Whether the bundle that a dealer has committed to is here.
pub(super) fn is_here(handover: &Handover, passage: &Passage, dealer: ShareIndex) -> bool {
    let kept = passage.bundles.get(&dealer);
    let dealt = handover.dealings.get(&dealer);
    kept.zip(dealt)
        .is_some_and(|(bundle, dealt)| bundle.digest() == dealt.sealed)
}

/// Gets every dealer's bundle that is not here yet, from the dealer or from whoever has it.
pub(super) async fn fetch(
    desk: &Arc<Desk>,
    circle: &Circle,
    handover: &Handover,
    passage: &mut Passage,
) {
    let roster = &circle.entry.enrolment.roster;
    let present = circle.entry.present(circle.patient);
    let recipients = handover.plan.roster(&present).len();
    for (dealer, dealt) in &handover.dealings {
        if is_here(handover, passage, *dealer) {
            continue;
        }
        let question = FetchBundle {
            patient: circle.patient,
            handover: handover.id,
            dealer: *dealer,
        };
        let first = roster.get(dealer.position()).map(Member::id);
        let others = passage.readers.iter().copied();
        let others = others.filter(|kin| Some(*kin) != first && *kin != desk.me);
        let mut found = None;
        for kin in first.into_iter().chain(others) {
            let sent = ask(desk, kin, question).await;
            let sent = sent.filter(|bundle| fits(bundle, recipients));
            if let Some(bundle) = sent.filter(|bundle| bundle.digest() == dealt.sealed) {
                found = Some(bundle);
                break;
            }
        }
        if let Some(bundle) = found {
            passage.bundles.insert(*dealer, bundle);
        }
    }
}

/// Whether a bundle has the shape that an honest dealer gives it: nobody keeps more than that for anybody.
fn fits(bundle: &Bundle, recipients: usize) -> bool {
    let short = |sealed: &Sealed| sealed.enc.len() + sealed.ciphertext.len() <= SEALED_BYTES_MAX;
    bundle.0.len() == Tier::ALL.len()
        && bundle
            .0
            .iter()
            .all(|of_tier| of_tier.len() == recipients && of_tier.iter().all(short))
}

async fn ask(desk: &Desk, kin: KinId, question: FetchBundle) -> Option<Bundle> {
    let name = desk.setting.directory.name(kin)?;
    let asked = desk
        .port
        .ask::<FriendRelative, _>(name, question, FETCH_WITHIN);
    asked.await.ok()?.ok()
}

/// Hands out what a dealer has sealed, to those whom the handover concerns.
pub(super) async fn fetch_bundle(
    desk: Arc<Desk>,
    from: ActorName,
    question: FetchBundle,
) -> Result<Bundle, KinError> {
    let FetchBundle {
        patient,
        handover,
        dealer,
    } = question;
    let none = || bad(patient, "nothing of this handover is kept here");
    let passage = desk.store.passage(patient)?.ok_or_else(none)?;
    let reader = desk.setting.directory.kin(from);
    if reader.is_none_or(|kin| !passage.readers.contains(&kin)) {
        return Err(KinError::Forbidden {
            reason: format!("{from} is on neither roster"),
        });
    }
    if passage.handover != handover {
        return Err(none());
    }
    passage.bundles.get(&dealer).cloned().ok_or_else(none)
}
