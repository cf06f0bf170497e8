//! FriendRelative shell. (Being written.)

use crate::ports::network::Delivered;
use crate::validator::messages::Notice;
use actix::{Actor, Context, Handler};

/// A friend or relative: keeps shares and shards, proves requests, decides, releases partial openings.
pub struct FriendRelative;

impl Actor for FriendRelative {
    type Context = Context<Self>;
}

impl Handler<Delivered<Notice>> for FriendRelative {
    type Result = ();

    fn handle(&mut self, _: Delivered<Notice>, _: &mut Self::Context) {}
}

crate::supervised!(FriendRelative);
