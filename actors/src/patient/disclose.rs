//! The report about one case: its entries of the ledger, each proved, drawn together (`kithkin_protocol::emergency::Disclosure`).

use super::device::Device;
use super::messages::PatientError;
use crate::scope::{every_batch_place, prove_batch};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kithkin_protocol::emergency::{Case, Disclosure, Facts};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::{Confirmed, Enrolment, Hospital, State};
use kithkin_protocol::record::BatchHeader;
use kithkin_protocol::units::Height;
use std::time::{Duration, Instant};

/// How long all proofs together may take.
const PROVE_WITHIN: Duration = Duration::from_secs(30);
/// Proofs of batches that are asked for at a time.
const PROOFS_AT_ONCE: usize = 8;

/// Draws the report about `id`.
pub(super) async fn disclose(device: &Device, id: CaseId) -> Result<Disclosure, PatientError> {
    let deadline = Instant::now() + PROVE_WITHIN;
    let (case, head) = proved::<Case>(device, State::case_key(id), deadline).await?;
    let unknown = PatientError::Case { case: id };
    let case = case.filter(|case| case.patient() == device.me);
    let case = case.ok_or(unknown)?;
    let roster_key = State::roster_key(device.me, case.epochs());
    let (enrolment, _) = proved::<Enrolment>(device, roster_key, deadline).await?;
    let enrolment = enrolment.ok_or_else(|| missing("the roster of the case"))?;
    let hospital_key = State::hospital_key(case.hospital);
    let (hospital, _) = proved::<Hospital>(device, hospital_key, deadline).await?;
    let name = match hospital {
        Some(hospital) => hospital.info.name,
        None => format!("Hospital {}, which is accredited no more,", case.hospital),
    };
    let batches = batches(device, &case, deadline).await?;
    let facts = Facts {
        case: &case,
        as_of: (head.height, head.time_ms),
        roster: enrolment.roster_of(case.circle()),
        hospital: &name,
        batches: &batches,
    };
    Disclosure::of(&facts).map_err(|error| PatientError::Ledger {
        reason: error.to_string(),
    })
}

/// The batches that the case reaches: of each tier those up to the height that the request names.
async fn batches(
    device: &Device,
    case: &Case,
    deadline: Instant,
) -> Result<Vec<(Height, BatchHeader)>, PatientError> {
    let mut batches = Vec::new();
    for scope in &case.request.scopes {
        let (client, port) = (&device.client, &device.port);
        let of = (device.me, scope.tier, scope.up_to);
        let places = every_batch_place(client, port, of, None, deadline).await?;
        let proofs = stream::iter(places)
            .map(|place| async move { (place, prove_batch(client, place, deadline).await) })
            .buffered(PROOFS_AT_ONCE)
            .map(|(place, entry)| match entry? {
                // What was erased before it was asked for was not asked for.
                Some(entry) if entry.ordered_ms.is_some_and(|at| at <= case.requested_ms) => {
                    Ok(None)
                }
                Some(entry) => Ok(Some((place.2, entry.header))),
                None => Err(missing("a batch of records")),
            });
        batches.extend(proofs.try_collect::<Vec<_>>().await?.into_iter().flatten());
    }
    Ok(batches)
}

async fn proved<T: serde::de::DeserializeOwned>(
    device: &Device,
    key: Vec<u8>,
    deadline: Instant,
) -> Result<(Option<T>, Confirmed), PatientError> {
    let (value, head) = device.client.prove(key, deadline).await?;
    let value = value.map(|value| State::decode_value(&value)).transpose();
    let value = value.map_err(|error| PatientError::Ledger {
        reason: format!("a proved entry cannot be read: {error}"),
    })?;
    Ok((value, head))
}

fn missing(what: &str) -> PatientError {
    PatientError::Ledger {
        reason: format!("{what} is not proved"),
    }
}
