//! Revoking a grant, and renewing one.

use super::grant::{ASK_WITHIN, refused, whereabouts};
use super::messages::{RenewGrant, Renewed};
use crate::clients::ClientError;
use crate::hospital::Hospital;
use crate::hospital::consent::messages::ProposeRenewal;
use crate::patient::device::{Device, FINAL_WITHIN};
use crate::patient::messages::PatientError;
use kithkin_protocol::consent::{ConsentError, Renewal};
use kithkin_protocol::ids::GrantId;
use kithkin_protocol::ledger::TxBody;
use kithkin_protocol::units::Height;
use std::time::Instant;

/// Ends a grant at once.
pub(super) async fn revoke(device: &Device, id: GrantId) -> Result<Height, PatientError> {
    // Whatever has not been handed over yet is not handed over any more.
    device.drop_pending(id).await?;
    submit(device, id, TxBody::Revoke { grant: id }).await
}

/// Agrees with the hospital on a later end.
pub(super) async fn renew(device: &Device, wish: RenewGrant) -> Result<Renewed, PatientError> {
    let id = wish.grant;
    let (grant, _) = device.grant(id).await?;
    let hospital = grant.terms.hospital;
    let declined = |reason: String| PatientError::NotAgreed { hospital, reason };
    let (name, key) = whereabouts(device, hospital).await?;
    let propose = ProposeRenewal {
        grant: id,
        ends_ms: grant.until_ms,
        until_ms: device.client.now().plus(wish.ends_in_ms.0),
    };
    let asked = device.port.ask::<Hospital, _>(name, propose, ASK_WITHIN);
    let renewal: Renewal = match asked.await {
        Ok(Ok(renewal)) => renewal,
        Ok(Err(error)) => return Err(declined(error.to_string())),
        Err(error) => return Err(declined(error.to_string())),
    };
    let signed = (renewal.grant, renewal.ends_ms, renewal.until_ms);
    if signed != (propose.grant, propose.ends_ms, propose.until_ms) {
        return Err(declined("it signed another renewal".to_owned()));
    }
    if !renewal.is_signed_by(device.client.chain(), &key) {
        let error = ConsentError::HospitalSignature { hospital };
        return Err(declined(error.to_string()));
    }
    let until_ms = renewal.until_ms;
    let height = submit(device, id, TxBody::Renew(Box::new(renewal))).await?;
    Ok(Renewed { height, until_ms })
}

async fn submit(device: &Device, id: GrantId, body: TxBody) -> Result<Height, PatientError> {
    let submitted = device.client.submit(body, Instant::now() + FINAL_WITHIN);
    match submitted.await {
        Ok(finalized) => Ok(finalized.proof.header.height),
        Err(ClientError::Rejected { reason }) => Err(refused(id, reason)),
        Err(error) => Err(error.into()),
    }
}
