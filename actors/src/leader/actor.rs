//! Leader shell: takes an order, picks, answers. The rule of what fits is `State::select`.

use crate::leader::messages::Assemble;
use crate::ports::names::ActorName;
use crate::ports::network::{Delivered, Port};
use crate::validator::Validator;
use crate::validator::messages::Assembled;
use actix::{Actor, Context, Handler};

/// Builds blocks for one validator.
pub struct Leader {
    validator: ActorName,
    port: Port,
}

impl Leader {
    /// The leader that works for `validator`.
    #[must_use]
    pub fn new(validator: ActorName, port: Port) -> Self {
        Self { validator, port }
    }
}

impl Actor for Leader {
    type Context = Context<Self>;
}

impl Handler<Delivered<Assemble>> for Leader {
    type Result = ();

    fn handle(&mut self, order: Delivered<Assemble>, _: &mut Self::Context) {
        // Only its own validator may wake it.
        if order.from != self.validator {
            return;
        }
        let order = order.message;
        let transactions = order
            .state
            .select(&order.candidates, order.time_ms, order.bytes_max);
        let assembled = Assembled {
            height: order.height,
            view: order.view,
            ahead_of: order.ahead_of,
            transactions,
        };
        self.port.tell::<Validator, _>(self.validator, assembled);
    }
}

crate::supervised!(Leader {
    // One order at a time is all that can come, and one ahead of time; more would be stale.
    const MAILBOX: usize = 16;
});
