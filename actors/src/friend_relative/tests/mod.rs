//! The kin as an actor, in a whole cluster; the tests play the patient or a hospital where they misbehave.

mod deciding;
mod erasing;
mod invitations;
mod offers;
mod releasing;
mod reminding;
mod second;
mod second_later;
mod shards;

use super::storage::Storage;
use crate::ports::store::Space;
use crate::ports::vault::KeySpace;
use kithkin_protocol::sharing::{HeldShare, load_share};
use kithkin_protocol::units::{Epoch, Tier};

/// The shares that a kin keeps, opened with the keys of its vault.
pub(crate) fn kept_shares(space: Space, keys: &KeySpace) -> Vec<(Epoch, Tier, HeldShare)> {
    let mut shares = Vec::new();
    let store = Storage::open(space, keys.clone()).expect("readable");
    for ward in store.wards().expect("readable") {
        for kept in &ward.shares {
            let key = keys.load(&kept.key).expect("readable").expect("a key");
            let context = ward.context(kept.tier);
            let commitments = ward.commitments(kept.tier).expect("such a tier");
            let share = load_share(&kept.sealed, &key, ward.index, &context, commitments);
            shares.push((ward.epoch, kept.tier, share.expect("its own share")));
        }
    }
    shares
}
