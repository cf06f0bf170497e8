//! Partial openings: taking them in, and what is known of each (opening.md section 3).
//!
//! They are kept sealed, as they came, until the case is over. Which are good
//! is found out in `judge`.

use crate::hospital::books::Delivery;
use crate::hospital::desk::{Desk, forbidden};
use crate::hospital::messages::{DeliverPartials, HospitalError};
use crate::ports::network::Delivered;
use kithkin_protocol::crypto::{Digest, hash};
use kithkin_protocol::emergency::RELEASES_MAX;
use kithkin_protocol::sharing::{CheckedPartial, OPENING_CAPSULES_MAX, SignedPartial};
use kithkin_protocol::units::{ShareIndex, Tier};
use kithkin_protocol::wire;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Largest sealed partial opening in bytes: its points, and room for proof, signature and framing.
const PARTIAL_BYTES_MAX: usize = OPENING_CAPSULES_MAX * 32 + 1_024;
/// Length of the key that HPKE encapsulates.
const ENC_BYTES: usize = 32;

/// A delivery: whose, and which of that kin's.
pub(super) type Slot = (ShareIndex, u8);

/// What the kin of one case have delivered, and what became of it.
#[derive(Default)]
pub(super) struct Pile(BTreeMap<Slot, Item>);

/// One delivery.
pub(super) struct Item {
    /// Tells a repetition from something new.
    digest: Digest,
    durable: bool,
    /// None until the session key has opened it.
    pub(super) unsealed: Option<Unsealed>,
    pub(super) verdicts: BTreeMap<Tier, Verdict>,
}

/// What the session key found inside.
pub(super) enum Unsealed {
    /// What is inside, and the digest that must stand on chain.
    Signed(Arc<Vec<(Tier, SignedPartial)>>, Digest),
    /// Not sealed to this session, or no partial opening.
    Unusable,
}

/// What became of one partial opening.
pub(super) enum Verdict {
    Good(Arc<CheckedPartial>),
    Bad,
}

impl Pile {
    /// What is on disk.
    pub(super) fn load(deliveries: Vec<(Slot, Vec<u8>)>) -> Self {
        let items = deliveries.into_iter().map(|(slot, frame)| {
            let mut item = Item::new(digest_of(&frame));
            item.durable = true;
            (slot, item)
        });
        Self(items.collect())
    }

    /// The place of a delivery: the old one when it is a repetition. None when the kin has used all its places.
    fn place(&mut self, index: ShareIndex, digest: Digest) -> Option<Slot> {
        for number in 0..u8::try_from(RELEASES_MAX).unwrap_or(u8::MAX) {
            let slot = (index, number);
            match self.0.get(&slot) {
                Some(item) if item.digest == digest => return Some(slot),
                Some(_) => {}
                None => {
                    self.0.insert(slot, Item::new(digest));
                    return Some(slot);
                }
            }
        }
        None
    }

    /// Good partial openings of a tier, one of each kin, by share index.
    pub(super) fn good(&self, tier: Tier) -> BTreeMap<ShareIndex, Arc<CheckedPartial>> {
        let mut good = BTreeMap::new();
        for ((index, _), item) in &self.0 {
            if let Some(Verdict::Good(partial)) = item.verdicts.get(&tier) {
                good.insert(*index, Arc::clone(partial));
            }
        }
        good
    }

    /// All of them.
    pub(super) fn items(&self) -> impl Iterator<Item = (&Slot, &Item)> {
        self.0.iter()
    }

    /// Deliveries that nobody has opened yet.
    pub(super) fn sealed(&self) -> Vec<Slot> {
        let items = self.0.iter();
        items
            .filter(|(_, item)| item.durable && item.unsealed.is_none())
            .map(|(slot, _)| *slot)
            .collect()
    }

    pub(super) fn set(&mut self, slot: Slot, change: impl FnOnce(&mut Item)) {
        if let Some(item) = self.0.get_mut(&slot) {
            change(item);
        }
    }
}

impl Item {
    fn new(digest: Digest) -> Self {
        Self {
            digest,
            durable: false,
            unsealed: None,
            verdicts: BTreeMap::new(),
        }
    }
}

fn digest_of(frame: &[u8]) -> Digest {
    hash("kithkin/delivery/1", &[frame])
}

/// Takes a kin's partial openings in. They are durable when this returns.
pub(super) async fn take_in(
    desk: &Desk,
    delivered: Delivered<DeliverPartials>,
) -> Result<(), HospitalError> {
    let DeliverPartials { case, partials } = delivered.message;
    let kin = desk.setting.directory.kin(delivered.from);
    let kin = kin.ok_or_else(|| forbidden(format!("{} is no kin", delivered.from)))?;
    check_size(&partials)?;
    let work = desk.case(case).await?;
    let place = work.kin().find(|(_, member)| member.id() == kin);
    let (index, _) =
        place.ok_or_else(|| forbidden(format!("{kin} is not on the roster of this case")))?;
    let asked = |tier: Tier| work.file.request.scope(tier).is_some();
    if !partials.iter().all(|(tier, _)| asked(*tier)) {
        return Err(forbidden("the case does not cover this tier"));
    }
    if !desk.books.is_open(case)? {
        return Err(forbidden("the case is over"));
    }
    let frame = wire::encode(&partials);
    let slot = work.pile().place(index, digest_of(&frame));
    let slot = slot.ok_or_else(|| forbidden("this kin has delivered too often in this case"))?;
    desk.books.put_delivery(case, slot, frame).await?;
    work.pile().set(slot, |item| item.durable = true);
    work.wake();
    Ok(())
}

fn check_size(partials: &Delivery) -> Result<(), HospitalError> {
    let fits = partials.iter().all(|(_, sealed)| {
        sealed.enc.len() == ENC_BYTES && sealed.ciphertext.len() <= PARTIAL_BYTES_MAX
    });
    if partials.is_empty() || !fits || !partials.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(forbidden(
            "partial openings come one per tier, tiers ascending, none over the limit",
        ));
    }
    Ok(())
}
