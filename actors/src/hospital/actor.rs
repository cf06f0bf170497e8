//! Hospital shell. (Being written.)

use crate::ports::network::Delivered;
use crate::validator::messages::Notice;
use actix::{Actor, Context, Handler};

/// A hospital: seals records, spreads shards, opens cases, reads.
pub struct Hospital;

impl Actor for Hospital {
    type Context = Context<Self>;
}

impl Handler<Delivered<Notice>> for Hospital {
    type Result = ();

    fn handle(&mut self, _: Delivered<Notice>, _: &mut Self::Context) {}
}

crate::supervised!(Hospital);
