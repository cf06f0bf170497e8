//! One short handler for each message about consents.

use super::messages::{
    ConsentDocument, DescribeGrant, GrantAccess, Granted, RenewGrant, Renewed, RevokeGrant,
};
use super::{change, document, grant};
use crate::patient::actor::Patient;
use crate::patient::messages::PatientError;
use crate::ports::network::Delivered;
use actix::{Context, Handler, ResponseFuture};
use kithkin_protocol::units::Height;

impl Handler<Delivered<GrantAccess>> for Patient {
    type Result = ResponseFuture<Result<Granted, PatientError>>;

    fn handle(&mut self, asked: Delivered<GrantAccess>, _: &mut Context<Self>) -> Self::Result {
        let wish = asked.message;
        self.at_the_screen(asked.from, async move |device| {
            grant::grant(device, wish).await
        })
    }
}

impl Handler<Delivered<RevokeGrant>> for Patient {
    type Result = ResponseFuture<Result<Height, PatientError>>;

    fn handle(&mut self, asked: Delivered<RevokeGrant>, _: &mut Context<Self>) -> Self::Result {
        let RevokeGrant(id) = asked.message;
        self.at_the_screen(asked.from, async move |device| {
            change::revoke(&device, id).await
        })
    }
}

impl Handler<Delivered<RenewGrant>> for Patient {
    type Result = ResponseFuture<Result<Renewed, PatientError>>;

    fn handle(&mut self, asked: Delivered<RenewGrant>, _: &mut Context<Self>) -> Self::Result {
        let wish = asked.message;
        self.at_the_screen(asked.from, async move |device| {
            change::renew(&device, wish).await
        })
    }
}

impl Handler<Delivered<DescribeGrant>> for Patient {
    type Result = ResponseFuture<Result<ConsentDocument, PatientError>>;

    fn handle(&mut self, asked: Delivered<DescribeGrant>, _: &mut Context<Self>) -> Self::Result {
        let DescribeGrant(id) = asked.message;
        self.at_the_screen(asked.from, async move |device| {
            document::describe(&device, id).await
        })
    }
}
