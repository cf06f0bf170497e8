//! The sealed keys of a grant, kept until the hospital has them or the grant has ended.

use super::grant::{ASK_WITHIN, refused, whereabouts};
use crate::hospital::Hospital;
use crate::hospital::consent::messages::DeliverKeys;
use crate::patient::device::Device;
use crate::patient::messages::PatientError;
use crate::ports::store::Batch;
use kithkin_protocol::consent::Bundle;
use kithkin_protocol::ids::{GrantId, HospitalId};
use kithkin_protocol::units::Millis;
use kithkin_protocol::wire;
use serde::{Deserialize, Serialize};

/// What keys of pending grants start with.
const PENDING: u8 = b'g';

/// Keys on their way to a hospital. They are sealed to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) hospital: HospitalId,
    pub(super) keys: Bundle,
    /// Until when the grant's transaction may become final.
    pub(super) until_ms: Millis,
}

impl Device {
    /// Durable on return.
    pub(super) async fn keep_pending(
        &self,
        grant: GrantId,
        pending: &Pending,
    ) -> Result<(), PatientError> {
        let mut batch = Batch::default();
        batch.put(key(grant), wire::encode(pending));
        Ok(self.space.write(batch).await?)
    }

    pub(super) async fn drop_pending(&self, grant: GrantId) -> Result<(), PatientError> {
        let mut batch = Batch::default();
        batch.delete(key(grant));
        Ok(self.space.write(batch).await?)
    }

    fn all_pending(&self) -> Result<Vec<(GrantId, Pending)>, PatientError> {
        let mut all = Vec::new();
        for (key, value) in self.space.scan(&[PENDING])? {
            let id = key.get(1..).and_then(|id| id.try_into().ok());
            let pending = wire::decode(&value).map_err(|error| PatientError::Store {
                reason: format!("the keys of a grant cannot be read: {error}"),
            })?;
            all.extend(id.map(|id| (GrantId(id), pending)));
        }
        Ok(all)
    }
}

fn key(grant: GrantId) -> Vec<u8> {
    [&[PENDING], grant.as_ref()].concat()
}

/// Hands the keys over, and forgets them then.
pub(super) async fn deliver(
    device: &Device,
    grant: GrantId,
    pending: Pending,
) -> Result<(), PatientError> {
    let (name, _) = whereabouts(device, pending.hospital).await?;
    let keys = pending.keys;
    let deliver = DeliverKeys { grant, keys };
    let asked = device.port.ask::<Hospital, _>(name, deliver, ASK_WITHIN);
    match asked.await {
        Ok(Ok(())) => device.drop_pending(grant).await,
        Ok(Err(error)) => Err(refused(grant, error)),
        Err(error) => Err(refused(grant, error)),
    }
}

/// Tries again with all keys that no hospital has taken yet. Those of a grant that has ended, or never came to stand on chain, are
/// dropped.
pub(in crate::patient) async fn deliver_all(device: &Device) -> Result<(), PatientError> {
    // One round at a time, and none while a flow is at work on its own.
    let Ok(_turn) = device.delivering.try_lock() else {
        return Ok(());
    };
    for (id, pending) in device.all_pending()? {
        match device.grant(id).await {
            // docs/spec/consent.md: the device asks the ledger before it hands the bundle over.
            Ok((grant, _)) if grant.is_live() => {
                if let Err(error) = deliver(device, id, pending).await {
                    tracing::debug!(patient = %device.me, grant = %id, %error, "its keys are not delivered yet");
                }
            }
            Ok(_) => device.drop_pending(id).await?,
            Err(PatientError::Grant { .. }) if device.client.now() > pending.until_ms => {
                device.drop_pending(id).await?;
            }
            Err(error) => {
                tracing::debug!(patient = %device.me, grant = %id, %error, "not proved");
            }
        }
    }
    Ok(())
}
