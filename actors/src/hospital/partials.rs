//! Partial openings: taking them in, and finding out which are good (opening.md section 3).
//!
//! They are kept sealed, as they came, until the case is over. One counts when
//! its kin signed it, announced it on chain before, and its proof holds. One
//! that is signed and does not hold names its author.

use crate::hospital::books::{Delivery, Forgery};
use crate::hospital::capsules::TierScope;
use crate::hospital::case::{CaseWork, SessionKeys};
use crate::hospital::desk::{Desk, forbidden, off_thread};
use crate::hospital::messages::{DeliverPartials, HospitalError};
use crate::ports::network::Delivered;
use futures_util::future::join_all;
use kithkin_protocol::crypto::{Digest, OpeningKey, VerifyingKey, hash};
use kithkin_protocol::emergency::{Case, RELEASES_MAX};
use kithkin_protocol::ids::{ChainId, KinId};
use kithkin_protocol::ledger::release_digest;
use kithkin_protocol::sharing::{
    OPENING_CAPSULES_MAX, Opening, PartialOpening, ReleaseError, SignedPartial,
};
use kithkin_protocol::units::{ShareIndex, Tier};
use kithkin_protocol::wire;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Largest sealed partial opening in bytes: its points, and room for proof, signature and framing.
const PARTIAL_BYTES_MAX: usize = OPENING_CAPSULES_MAX * 32 + 1_024;
/// Length of the key that HPKE encapsulates.
const ENC_BYTES: usize = 32;

/// A delivery: whose, and which of that kin's.
type Slot = (ShareIndex, u8);

/// What the kin of one case have delivered, and what became of it.
#[derive(Default)]
pub(super) struct Pile(BTreeMap<Slot, Item>);

struct Item {
    /// Tells a repetition from something new.
    digest: Digest,
    durable: bool,
    /// None until the session key has opened it.
    unsealed: Option<Unsealed>,
    verdicts: BTreeMap<Tier, Verdict>,
}

#[derive(Clone)]
enum Unsealed {
    /// What is inside, and the digest that must stand on chain.
    Signed(Arc<Vec<(Tier, SignedPartial)>>, Digest),
    /// Not sealed to this session, or no partial opening.
    Unusable,
}

enum Verdict {
    Good(Arc<PartialOpening>),
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
    pub(super) fn good(&self, tier: Tier) -> BTreeMap<ShareIndex, Arc<PartialOpening>> {
        let mut good = BTreeMap::new();
        for ((index, _), item) in &self.0 {
            if let Some(Verdict::Good(partial)) = item.verdicts.get(&tier) {
                good.insert(*index, Arc::clone(partial));
            }
        }
        good
    }

    fn sealed(&self) -> Vec<Slot> {
        let items = self.0.iter();
        items
            .filter(|(_, item)| item.durable && item.unsealed.is_none())
            .map(|(slot, _)| *slot)
            .collect()
    }

    fn set(&mut self, slot: Slot, change: impl FnOnce(&mut Item)) {
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

/// Looks at everything that has come and was not looked at. True when something still waits for its announcement
/// to show on chain.
pub(super) async fn judge(
    desk: &Desk,
    work: &CaseWork,
    case: &Case,
    keys: &SessionKeys,
    scopes: &[Arc<TierScope>],
) -> Result<bool, HospitalError> {
    unseal_new(desk, work, case, keys).await?;
    let (todo, waiting) = not_judged(work, case, scopes);
    let judged = join_all(todo.into_iter().map(|task| off_thread(move || task.run()))).await;
    for judgement in judged {
        let Judged {
            slot,
            tier,
            outcome,
        } = judgement?;
        let verdict = match outcome {
            Outcome::Good(partial) => Verdict::Good(partial),
            Outcome::Unsigned => Verdict::Bad,
            Outcome::Forged(kin, fault, partial) => {
                let forgery = Forgery {
                    kin,
                    fault,
                    partial: Some((tier, partial)),
                };
                desk.accuse(work, forgery).await?;
                Verdict::Bad
            }
        };
        work.pile().set(slot, |item| {
            item.verdicts.insert(tier, verdict);
        });
    }
    Ok(waiting)
}

async fn unseal_new(
    desk: &Desk,
    work: &CaseWork,
    case: &Case,
    keys: &SessionKeys,
) -> Result<(), HospitalError> {
    let slots = work.pile().sealed();
    if slots.is_empty() {
        return Ok(());
    }
    let (books, case, key) = (desk.books.clone(), case.clone(), keys.opening.clone());
    let chain = desk.client.chain();
    let opened = off_thread(move || {
        let opened = slots.into_iter().map(|slot| {
            let delivery = books.delivery(case.id, slot)?;
            let unsealed = delivery.map(|delivery| unseal(&delivery, &case, chain, &key));
            Ok((slot, unsealed))
        });
        opened.collect::<Result<Vec<_>, HospitalError>>()
    })
    .await??;
    let mut pile = work.pile();
    for (slot, unsealed) in opened {
        if let Some(unsealed) = unsealed {
            pile.set(slot, |item| item.unsealed = Some(unsealed));
        }
    }
    Ok(())
}

fn unseal(delivery: &Delivery, case: &Case, chain: ChainId, key: &OpeningKey) -> Unsealed {
    let (rho, mut signed, mut digests) = (case.rho(chain), Vec::new(), Vec::new());
    for (tier, sealed) in delivery {
        let context = case.opening_context(chain, *tier);
        match SignedPartial::unseal(sealed, &context, key) {
            Ok(partial) => {
                digests.push(partial.partial.digest(&rho));
                signed.push((*tier, partial));
            }
            // HPKE's base mode does not say who sealed it, so nobody is accused.
            Err(error) => {
                tracing::warn!(case = %case.id, %tier, %error, "a delivery cannot be used");
                return Unsealed::Unusable;
            }
        }
    }
    Unsealed::Signed(Arc::new(signed), release_digest(&digests))
}

/// One partial opening to be judged.
struct Task {
    slot: Slot,
    tier: Tier,
    key: VerifyingKey,
    opening: Arc<Opening>,
    signed: Arc<Vec<(Tier, SignedPartial)>>,
}

struct Judged {
    slot: Slot,
    tier: Tier,
    outcome: Outcome,
}

enum Outcome {
    Good(Arc<PartialOpening>),
    /// Not signed by the kin that it came from: says nothing about who is at fault.
    Unsigned,
    Forged(KinId, String, SignedPartial),
}

fn not_judged(work: &CaseWork, case: &Case, scopes: &[Arc<TierScope>]) -> (Vec<Task>, bool) {
    let (mut todo, mut waiting) = (Vec::new(), false);
    for (slot, item) in &work.pile().0 {
        let (Some(member), Some(Unsealed::Signed(signed, announced))) =
            (work.member(slot.0), &item.unsealed)
        else {
            continue;
        };
        // The chain knows of a release before it is sent; what it does not know does not count.
        let releases = case.releases.get(&member.id());
        if !releases.is_some_and(|releases| releases.contains(announced)) {
            waiting = true;
            continue;
        }
        let inside: BTreeSet<Tier> = signed.iter().map(|(tier, _)| *tier).collect();
        for scope in scopes {
            let new = inside.contains(&scope.tier) && !item.verdicts.contains_key(&scope.tier);
            if let (true, Some(opening)) = (new, &scope.opening) {
                todo.push(Task {
                    slot: *slot,
                    tier: scope.tier,
                    key: member.key,
                    opening: Arc::clone(opening),
                    signed: Arc::clone(signed),
                });
            }
        }
    }
    (todo, waiting)
}

impl Task {
    fn run(self) -> Judged {
        let found = self.signed.iter().find(|(tier, _)| *tier == self.tier);
        let outcome = found.map_or(Outcome::Unsigned, |(_, signed)| self.verify(signed));
        Judged {
            slot: self.slot,
            tier: self.tier,
            outcome,
        }
    }

    fn verify(&self, signed: &SignedPartial) -> Outcome {
        let kin = KinId::of(&self.key);
        let forged = |fault: String| Outcome::Forged(kin, fault, signed.clone());
        match signed.verify(&self.opening, &self.key) {
            Ok(()) if signed.partial.index == self.slot.0 => {
                Outcome::Good(Arc::new(signed.partial.clone()))
            }
            Ok(()) => forged(format!(
                "signed the partial opening of share {}",
                signed.partial.index
            )),
            Err(ReleaseError::Partial(bad)) => forged(bad.to_string()),
            Err(
                ReleaseError::Signature
                | ReleaseError::Recipient
                | ReleaseError::Unsealable
                | ReleaseError::Malformed,
            ) => Outcome::Unsigned,
        }
    }
}
