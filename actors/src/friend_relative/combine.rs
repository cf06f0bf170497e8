//! The new shares of a handover that kin have dealt: put together from the sub-shares, and sealed (opening.md sections 4 and 5).

use super::desk::Desk;
use super::messages::KinError;
use super::offers::keep_shares;
use super::prepare::share;
use super::roster::bad;
use super::storage::Ward;
use kithkin_protocol::ids::PatientId;
use kithkin_protocol::ledger::{self, Enrolment};
use kithkin_protocol::roster::{Handover, Plan, refresh, reshare};
use kithkin_protocol::sharing::{Share, SubShare};
use kithkin_protocol::units::{CircleKind, ShareIndex, Tier};

/// The new shares, sealed under fresh keys, and the ward as it will be.
pub(super) fn combine(
    desk: &Desk,
    patient: PatientId,
    entry: &ledger::Patient,
    handover: &Handover,
    recipient: ShareIndex,
    old: Option<&Ward>,
    subs: &[Vec<SubShare>],
) -> Result<Ward, KinError> {
    let present = entry.present(patient);
    let mut shares: Vec<(Tier, Share)> = Vec::new();
    for (tier, subs) in entry.enrolment.tiers.iter().zip(subs) {
        let renewed = match &handover.plan {
            Plan::Refresh => {
                let old = old.ok_or_else(|| bad(patient, "there is no share to refresh"))?;
                let mine = share(desk, old, tier.tier)?;
                let refresh = refresh(&entry.enrolment, tier, &handover.dealings);
                let refresh = refresh.map_err(|error| bad(patient, error))?;
                refresh.renew(mine.share(), subs)
            }
            plan => {
                let reshare = reshare(plan, tier, &handover.dealings);
                let reshare = reshare.map_err(|error| bad(patient, error))?;
                reshare.share(recipient, subs)
            }
        };
        shares.push((tier.tier, renewed.map_err(|error| bad(patient, error))?));
    }
    let tiers = handover
        .tiers(&present)
        .map_err(|error| bad(patient, error))?;
    let epoch = entry.epoch.plus(1);
    let enrolment = Enrolment {
        roster: handover.plan.roster(&present).to_vec(),
        tiers,
        acceptances: Vec::new(),
        ..entry.enrolment.clone()
    };
    let circle = CircleKind::First;
    let shares = keep_shares(desk, patient, (&enrolment, circle), epoch, shares)?;
    Ok(Ward {
        patient,
        circle,
        index: recipient,
        epoch,
        second_epoch: entry.second_epoch,
        since: entry.roster_since,
        digest: enrolment.digest(desk.client.chain(), patient),
        active: false,
        offered_ms: desk.client.now(),
        enrolment,
        shares,
        rewrapped: entry.rewrapped,
    })
}
