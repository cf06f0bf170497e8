//! Patient shell. (Being written.)

use crate::ports::network::Delivered;
use crate::validator::messages::Notice;
use actix::{Actor, Context, Handler};

/// A patient's own device: the only place where tier keys exist.
pub struct Patient;

impl Actor for Patient {
    type Context = Context<Self>;
}

impl Handler<Delivered<Notice>> for Patient {
    type Result = ();

    fn handle(&mut self, _: Delivered<Notice>, _: &mut Self::Context) {}
}

crate::supervised!(Patient);
