//! FriendRelative shell: mailbox and timers. (Skeleton: handles every message, does nothing yet.)

use crate::friend_relative::messages::{
    Conduct, Decide, Decided, FetchShards, FetchUpload, Held, Inventory, KinError, OfferShares,
    Pending, PendingRequest, ReplayApproval, Replayed, StoreShards,
};
use crate::identity::{Identity, Setting};
use crate::ports::network::{Delivered, Port};
use crate::ports::store::Space;
use crate::ports::vault::KeySpace;
use crate::upload::Upload;
use crate::validator::messages::Notice;
use actix::{Actor, Context, Handler, ResponseFuture};
use kithkin_protocol::crypto::Signature;
use kithkin_protocol::ids::RecordId;
use kithkin_protocol::record::{Receipt, Shard};
use std::sync::Arc;

/// A friend or relative: keeps shares and shards, proves requests, decides, releases partial openings.
pub struct FriendRelative;

impl FriendRelative {
    /// Comes back from the store as it was.
    ///
    /// # Errors
    /// [`KinError::Store`] when store or vault cannot be used.
    pub fn open(
        setting: Setting,
        identity: Identity,
        keys: KeySpace,
        port: Port,
        space: Space,
    ) -> Result<Self, KinError> {
        let _ = (setting, identity, keys, port, space);
        Ok(Self)
    }
}

fn unwritten<T: Send + 'static>() -> ResponseFuture<Result<T, KinError>> {
    Box::pin(async {
        Err(KinError::Store {
            reason: "not written yet".to_owned(),
        })
    })
}

impl Actor for FriendRelative {
    type Context = Context<Self>;
}

impl Handler<Delivered<Notice>> for FriendRelative {
    type Result = ();

    fn handle(&mut self, _: Delivered<Notice>, _: &mut Self::Context) {}
}

impl Handler<Delivered<OfferShares>> for FriendRelative {
    type Result = ResponseFuture<Result<Signature, KinError>>;

    fn handle(&mut self, _: Delivered<OfferShares>, _: &mut Self::Context) -> Self::Result {
        unwritten()
    }
}

impl Handler<Delivered<StoreShards>> for FriendRelative {
    type Result = ResponseFuture<Result<Receipt, KinError>>;

    fn handle(&mut self, _: Delivered<StoreShards>, _: &mut Self::Context) -> Self::Result {
        unwritten()
    }
}

impl Handler<Delivered<FetchUpload>> for FriendRelative {
    type Result = ResponseFuture<Result<Arc<Upload>, KinError>>;

    fn handle(&mut self, _: Delivered<FetchUpload>, _: &mut Self::Context) -> Self::Result {
        unwritten()
    }
}

impl Handler<Delivered<FetchShards>> for FriendRelative {
    type Result = ResponseFuture<Result<Vec<(RecordId, Shard)>, KinError>>;

    fn handle(&mut self, _: Delivered<FetchShards>, _: &mut Self::Context) -> Self::Result {
        unwritten()
    }
}

impl Handler<Delivered<Pending>> for FriendRelative {
    type Result = ResponseFuture<Result<Vec<PendingRequest>, KinError>>;

    fn handle(&mut self, _: Delivered<Pending>, _: &mut Self::Context) -> Self::Result {
        unwritten()
    }
}

impl Handler<Delivered<Decide>> for FriendRelative {
    type Result = ResponseFuture<Result<Decided, KinError>>;

    fn handle(&mut self, _: Delivered<Decide>, _: &mut Self::Context) -> Self::Result {
        unwritten()
    }
}

impl Handler<Delivered<Conduct>> for FriendRelative {
    type Result = ();

    fn handle(&mut self, _: Delivered<Conduct>, _: &mut Self::Context) {}
}

impl Handler<Delivered<ReplayApproval>> for FriendRelative {
    type Result = ResponseFuture<Result<Replayed, KinError>>;

    fn handle(&mut self, _: Delivered<ReplayApproval>, _: &mut Self::Context) -> Self::Result {
        unwritten()
    }
}

impl Handler<Delivered<Inventory>> for FriendRelative {
    type Result = ResponseFuture<Result<Held, KinError>>;

    fn handle(&mut self, _: Delivered<Inventory>, _: &mut Self::Context) -> Self::Result {
        unwritten()
    }
}

crate::supervised!(FriendRelative);
