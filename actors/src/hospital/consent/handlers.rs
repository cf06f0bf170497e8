//! One short handler for each message about consents.

use super::messages::{
    DeliverKeys, GiveBack, GrantOffer, GrantOpened, MisuseGrant, Misused, ProposeGrant,
    ProposeRenewal, ReadGranted, TakeGrants,
};
use super::{misuse, offer, read};
use crate::hospital::actor::{Hospital, only_driver};
use crate::hospital::messages::HospitalError;
use crate::ports::network::Delivered;
use actix::{Context, Handler, ResponseFuture};
use kithkin_protocol::consent::Renewal;
use kithkin_protocol::units::Height;

impl Handler<Delivered<ProposeGrant>> for Hospital {
    type Result = ResponseFuture<Result<GrantOffer, HospitalError>>;

    fn handle(&mut self, asked: Delivered<ProposeGrant>, _: &mut Context<Self>) -> Self::Result {
        self.begin(|desk| async move { offer::offer(&desk, asked.from, asked.message).await })
    }
}

impl Handler<Delivered<DeliverKeys>> for Hospital {
    type Result = ResponseFuture<Result<(), HospitalError>>;

    fn handle(&mut self, sent: Delivered<DeliverKeys>, _: &mut Context<Self>) -> Self::Result {
        self.begin(|desk| async move { offer::take_keys(&desk, sent.from, sent.message).await })
    }
}

impl Handler<Delivered<ProposeRenewal>> for Hospital {
    type Result = ResponseFuture<Result<Renewal, HospitalError>>;

    fn handle(&mut self, asked: Delivered<ProposeRenewal>, _: &mut Context<Self>) -> Self::Result {
        self.begin(|desk| async move { offer::renew(&desk, asked.from, asked.message).await })
    }
}

impl Handler<Delivered<TakeGrants>> for Hospital {
    type Result = ResponseFuture<Result<(), HospitalError>>;

    fn handle(&mut self, asked: Delivered<TakeGrants>, _: &mut Context<Self>) -> Self::Result {
        self.begin(|desk| async move {
            only_driver(asked.from)?;
            desk.consents.take(&asked.message.0).await
        })
    }
}

impl Handler<Delivered<ReadGranted>> for Hospital {
    type Result = ResponseFuture<Result<GrantOpened, HospitalError>>;

    fn handle(&mut self, asked: Delivered<ReadGranted>, _: &mut Context<Self>) -> Self::Result {
        self.begin(|desk| async move {
            only_driver(asked.from)?;
            read::read(&desk, asked.message).await
        })
    }
}

impl Handler<Delivered<GiveBack>> for Hospital {
    type Result = ResponseFuture<Result<Height, HospitalError>>;

    fn handle(&mut self, asked: Delivered<GiveBack>, _: &mut Context<Self>) -> Self::Result {
        self.begin(|desk| async move {
            only_driver(asked.from)?;
            offer::give_back(&desk, asked.message.0).await
        })
    }
}

impl Handler<Delivered<MisuseGrant>> for Hospital {
    type Result = ResponseFuture<Result<Vec<Misused>, HospitalError>>;

    fn handle(&mut self, asked: Delivered<MisuseGrant>, _: &mut Context<Self>) -> Self::Result {
        self.begin(|desk| async move {
            only_driver(asked.from)?;
            misuse::misuse(&desk, asked.message.0).await
        })
    }
}
