//! Leader orders that know no credit, to measure credit against: rotation and pure chance. Never in a shipped binary.

use crate::credit::ValidatorSet;
use crate::credit::draw::draw_below;
use crate::credit::order::LeaderOrder;
use crate::crypto::Digest;
use crate::ids::ValidatorId;
use crate::ledger::Profile;
use crate::units::{Height, View};

/// The order of a rule that takes every validator alike; none when `profile` goes by credit.
pub(super) fn plain_order(
    profile: Profile,
    set: &ValidatorSet,
    seed: &Digest,
    height: Height,
) -> Option<LeaderOrder> {
    let order = match profile {
        Profile::Literal | Profile::Balanced | Profile::Hardened => return None,
        Profile::RoundRobin => rotation(set, height),
        Profile::Fixed => set.ids().collect(),
        Profile::Random => chance(set, seed, height),
    };
    let leader_set = order.clone();
    Some(LeaderOrder { order, leader_set })
}

/// Height after height, and view after view, the next number.
fn rotation(set: &ValidatorSet, height: Height) -> Vec<ValidatorId> {
    let mut order: Vec<_> = set.ids().collect();
    let first = height.0.checked_rem(order.len() as u64).unwrap_or(0);
    order.rotate_left(usize::try_from(first).unwrap_or(0));
    order
}

/// All alike in the lottery, each once.
fn chance(set: &ValidatorSet, seed: &Digest, height: Height) -> Vec<ValidatorId> {
    let mut pool: Vec<_> = set.ids().collect();
    let views = 1..=pool.len() as u64;
    views
        .map(|view| pool.remove(draw_below(pool.len(), seed, height, View(view))))
        .collect()
}
