//! Who leads which view of a height (spec section 3): a pure function of agreed state.
//!
//! A wrong order would cost progress, never agreement. Where ranking and seed
//! come from is decided in `standings`.

use crate::credit::draw::draw_below;
use crate::credit::score::{Record, grade};
use crate::credit::{OPEN_EVERY, ValidatorSet};
use crate::crypto::{Digest, HashWriter};
use crate::ids::ValidatorId;
use crate::ledger::Profile;
use crate::units::{Credit, Height, View};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Credit and eligibility of all validators after one height: the spec's R.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranking(BTreeMap<ValidatorId, (Credit, bool)>);

impl Ranking {
    /// The ranking of these `records` after `height`.
    pub(super) fn of(records: &BTreeMap<ValidatorId, Record>, height: Height) -> Self {
        Self(
            records
                .iter()
                .map(|(&id, record)| (id, (record.credit, record.is_eligible(height))))
                .collect(),
        )
    }

    /// A ranking from credit and eligibility, for tests and displays.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = (ValidatorId, Credit, bool)>) -> Self {
        Self(
            entries
                .into_iter()
                .map(|(id, credit, eligible)| (id, (credit, eligible)))
                .collect(),
        )
    }

    /// Unknown validators have no credit and are not eligible.
    fn entry(&self, id: ValidatorId) -> (Credit, bool) {
        self.0.get(&id).copied().unwrap_or((Credit(0), false))
    }
}

/// The masters of one height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderOrder {
    /// Master of view `v` is entry `(v - 1) mod n`; a permutation of the validators.
    pub order: Vec<ValidatorId>,
    /// The candidates for the first view, best first: the scheme's leader set.
    pub leader_set: Vec<ValidatorId>,
}

impl LeaderOrder {
    /// The master of `view`; none for view 0 or when there are no validators.
    #[must_use]
    pub fn leader(&self, view: View) -> Option<ValidatorId> {
        leader(&self.order, view)
    }
}

/// The master of `view` in an `order`.
#[must_use]
pub(crate) fn leader(order: &[ValidatorId], view: View) -> Option<ValidatorId> {
    let place = view.0.checked_sub(1)?.checked_rem(order.len() as u64)?;
    order.get(usize::try_from(place).ok()?).copied()
}

/// Orders the masters of `height`.
///
/// `authors` wrote the last blocks, the newest last; how many of them cool down is decided here.
#[must_use]
pub fn leader_order(
    profile: Profile,
    set: &ValidatorSet,
    ranking: &Ranking,
    seed: &Digest,
    height: Height,
    authors: &[ValidatorId],
) -> LeaderOrder {
    #[cfg(any(test, feature = "testing"))]
    if let Some(order) = super::plain::plain_order(profile, set, seed, height) {
        return order;
    }
    let tenth = set.n().div_ceil(10).max(1);
    let k = match profile {
        Profile::Literal => tenth,
        Profile::Balanced => tenth.max(set.n().min(3)),
        Profile::Hardened => tenth.max(set.f().saturating_add(1)),
        #[cfg(any(test, feature = "testing"))]
        Profile::RoundRobin | Profile::Fixed | Profile::Random => set.n(),
    };
    let (mut rank, mut rest) = rank(profile, set, ranking, seed, height);
    if !matches!(profile, Profile::Literal) {
        cool_down(&mut rank, authors, set.f().min(k.saturating_sub(1)));
    }
    let open = !matches!(profile, Profile::Literal) && height.0.is_multiple_of(OPEN_EVERY);
    let mut window = if open { rank.len() } else { k.min(rank.len()) };
    let leader_set: Vec<_> = rank.iter().take(window).copied().collect();

    let mut order = Vec::with_capacity(set.n());
    let mut pool: Vec<ValidatorId> = Vec::new();
    let mut next = rank.iter().copied();
    for view in 1..=rank.len() {
        // The pool holds the first `window` ranks less those drawn before.
        let wanted = window
            .saturating_sub(order.len())
            .saturating_sub(pool.len());
        pool.extend(next.by_ref().take(wanted));
        let drawn = draw_below(pool.len(), seed, height, View(view as u64));
        if drawn < pool.len() {
            order.push(pool.remove(drawn));
        }
        // Widen after every failed view.
        window = window.saturating_mul(2).min(rank.len());
    }
    order.append(&mut rest);
    LeaderOrder { order, leader_set }
}

/// The eligible, best first, and the others; ties are broken by the seed.
fn rank(
    profile: Profile,
    set: &ValidatorSet,
    ranking: &Ranking,
    seed: &Digest,
    height: Height,
) -> (Vec<ValidatorId>, Vec<ValidatorId>) {
    let mut rank = Vec::new();
    let mut rest = Vec::new();
    for id in set.ids() {
        let (credit, eligible) = ranking.entry(id);
        let step = match profile {
            Profile::Literal => credit.0,
            Profile::Balanced | Profile::Hardened => grade(credit),
            #[cfg(any(test, feature = "testing"))]
            Profile::RoundRobin | Profile::Fixed | Profile::Random => 0,
        };
        let tie = tie(seed, height, id);
        if eligible {
            rank.push((Reverse(step), tie, id));
        } else {
            rest.push((tie, id));
        }
    }
    rank.sort_unstable();
    rest.sort_unstable();
    (
        rank.into_iter().map(|(_, _, id)| id).collect(),
        rest.into_iter().map(|(_, id)| id).collect(),
    )
}

fn tie(seed: &Digest, height: Height, id: ValidatorId) -> Digest {
    let mut writer = HashWriter::new("kithkin/tie/1");
    writer.field(seed).number(height.0).number(u64::from(id.0));
    writer.finish()
}

/// Puts the authors of the last `count` blocks behind all others, the newest last.
fn cool_down(rank: &mut Vec<ValidatorId>, authors: &[ValidatorId], count: usize) {
    let skip = authors.len().saturating_sub(count);
    for author in authors.iter().skip(skip) {
        if let Some(place) = rank.iter().position(|id| id == author) {
            let id = rank.remove(place);
            rank.push(id);
        }
    }
}
