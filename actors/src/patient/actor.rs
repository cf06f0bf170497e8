//! Patient shell: mailbox and timers. (Skeleton: handles every message, does nothing yet.)

use crate::identity::{Identity, Setting};
use crate::patient::messages::{Enrol, Enrolled, PatientError, ReadAll, Veto};
use crate::ports::network::{Delivered, Port};
use crate::ports::store::Space;
use crate::ports::vault::KeySpace;
use crate::upload::OpenedRecord;
use crate::validator::messages::Notice;
use actix::{Actor, Context, Handler, ResponseFuture};
use kithkin_protocol::units::Height;

/// A patient's own device: the only place where tier keys exist.
pub struct Patient;

impl Patient {
    /// Comes back from the store as it was.
    ///
    /// # Errors
    /// [`PatientError::Store`] when store or vault cannot be used.
    pub fn open(
        setting: Setting,
        identity: Identity,
        keys: KeySpace,
        port: Port,
        space: Space,
    ) -> Result<Self, PatientError> {
        let _ = (setting, identity, keys, port, space);
        Ok(Self)
    }
}

fn unwritten<T: Send + 'static>() -> ResponseFuture<Result<T, PatientError>> {
    Box::pin(async {
        Err(PatientError::Store {
            reason: "not written yet".to_owned(),
        })
    })
}

impl Actor for Patient {
    type Context = Context<Self>;
}

impl Handler<Delivered<Notice>> for Patient {
    type Result = ();

    fn handle(&mut self, _: Delivered<Notice>, _: &mut Self::Context) {}
}

impl Handler<Delivered<Enrol>> for Patient {
    type Result = ResponseFuture<Result<Enrolled, PatientError>>;

    fn handle(&mut self, _: Delivered<Enrol>, _: &mut Self::Context) -> Self::Result {
        unwritten()
    }
}

impl Handler<Delivered<ReadAll>> for Patient {
    type Result = ResponseFuture<Result<Vec<OpenedRecord>, PatientError>>;

    fn handle(&mut self, _: Delivered<ReadAll>, _: &mut Self::Context) -> Self::Result {
        unwritten()
    }
}

impl Handler<Delivered<Veto>> for Patient {
    type Result = ResponseFuture<Result<Height, PatientError>>;

    fn handle(&mut self, _: Delivered<Veto>, _: &mut Self::Context) -> Self::Result {
        unwritten()
    }
}

crate::supervised!(Patient);
