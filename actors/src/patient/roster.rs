//! What the patient's device does about the own roster: propose a change, stop one (opening.md section 5).

use super::device::{Device, FINAL_WITHIN};
use super::messages::{AboutRoster, PatientError};
use crate::clients::ClientError;
use crate::scope::prove_at;
use kithkin_protocol::ledger::{State, TxBody};
use kithkin_protocol::roster::{Handover, RosterStep};
use kithkin_protocol::units::Height;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a proof may take.
const PROVE_WITHIN: Duration = Duration::from_secs(10);

pub(super) fn bad(reason: impl core::fmt::Display) -> PatientError {
    PatientError::Roster {
        reason: reason.to_string(),
    }
}

/// Does what the person wants about the roster.
pub(super) async fn about(device: Arc<Device>, about: AboutRoster) -> Result<Height, PatientError> {
    let step = match about {
        AboutRoster::Propose(plan) => RosterStep::Propose(plan),
        AboutRoster::Veto => RosterStep::Veto {
            handover: under_way(&device)
                .await?
                .ok_or_else(|| bad("no change of the roster is under way"))?
                .id,
        },
    };
    stand(&device, step).await
}

/// Has a step about the own roster or rules stand on chain.
pub(super) async fn stand(device: &Device, step: RosterStep) -> Result<Height, PatientError> {
    let body = TxBody::Roster {
        patient: device.me,
        step: Box::new(step),
    };
    let deadline = Instant::now() + FINAL_WITHIN;
    match device.client.submit(body, deadline).await {
        Ok(finalized) => Ok(finalized.proof.header.height),
        Err(ClientError::Rejected { reason }) => Err(bad(reason)),
        Err(error) => Err(error.into()),
    }
}

/// The change that is under way, proved.
pub(super) async fn under_way(device: &Device) -> Result<Option<Handover>, PatientError> {
    under_way_at(device, Height(0)).await
}

/// As [`under_way`], at a height if validators get there in time.
pub(super) async fn under_way_at(
    device: &Device,
    height: Height,
) -> Result<Option<Handover>, PatientError> {
    let key = State::handover_key(device.me);
    let deadline = Instant::now() + PROVE_WITHIN;
    let (value, _) = prove_at(&device.client, key, height, PROVE_WITHIN, deadline).await?;
    let handover = value.map(|value| State::decode_value(&value));
    handover.transpose().map_err(bad)
}
