//! Giving a grant: the hospital signs the terms, this device seals the keys anew and signs all of it.

use super::keep::{Pending, deliver};
use super::messages::{GrantAccess, Granted};
use crate::clients::ClientError;
use crate::hospital::Hospital;
use crate::hospital::consent::messages::{GrantOffer, ProposeGrant};
use crate::patient::collect::{from_hospital, upload_from_kin};
use crate::patient::device::{Device, FINAL_WITHIN, MAY_STAND_MS};
use crate::patient::messages::PatientError;
use crate::patient::read::capsules;
use crate::ports::names::ActorName;
use crate::ports::random::SystemRng;
use crate::scope::{batch_places, in_scope, prove_batch};
use kithkin_protocol::consent::{
    Bundle, ConsentError, Grant, GrantDeed, GrantTerms, RekeyError, Rekeying,
};
use kithkin_protocol::crypto::{Digest, VerifyingKey};
use kithkin_protocol::emergency::Scope;
use kithkin_protocol::ids::{GrantId, HospitalId, RecordId};
use kithkin_protocol::ledger::{self, Enrolment, State, TxBody};
use kithkin_protocol::record::CheckedCapsule;
use kithkin_protocol::units::{Height, Tier};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a hospital may take to answer.
pub(super) const ASK_WITHIN: Duration = Duration::from_secs(10);
/// How long proofs may take.
pub(super) const PROVE_WITHIN: Duration = Duration::from_secs(20);

/// What was sealed anew.
struct Sealed {
    bundle: Bundle,
    digest: Digest,
    left_out: Vec<RecordId>,
}

pub(super) async fn grant(device: Arc<Device>, wish: GrantAccess) -> Result<Granted, PatientError> {
    let deadline = Instant::now() + PROVE_WITHIN;
    let enrolled = device.enrolled(deadline).await?;
    let (patient, height) = enrolled.ok_or_else(|| PatientError::Ledger {
        reason: "this patient is not enrolled".to_owned(),
    })?;
    let _turn = device.delivering.lock().await;
    let (terms, signature) = agree(&device, &wish, height).await?;
    let sealed = seal(&device, &terms, &patient).await?;
    let id = terms.id(device.client.chain());
    let pending = Pending {
        hospital: terms.hospital,
        keys: sealed.bundle,
        // From here on it may become final, whatever happens to this device.
        until_ms: device.client.now().plus(MAY_STAND_MS),
    };
    let (until_ms, keys) = (terms.until_ms, pending.keys.places().len());
    device.keep_pending(id, &pending).await?;
    let deed = GrantDeed {
        terms,
        encapsulation: sealed.digest,
        hospital_signature: signature,
    };
    let body = TxBody::Grant(Box::new(deed));
    let submitted = device
        .client
        .submit(body, Instant::now() + FINAL_WITHIN)
        .await;
    let height = match submitted {
        Ok(finalized) => finalized.proof.header.height,
        Err(ClientError::Rejected { reason }) => {
            device.drop_pending(id).await?;
            return Err(refused(id, reason));
        }
        Err(error) => return Err(error.into()),
    };
    let delivered = match deliver(&device, id, pending).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(patient = %device.me, grant = %id, %error, "its keys are sent again later");
            false
        }
    };
    Ok(Granted {
        grant: id,
        height,
        until_ms,
        keys,
        left_out: sealed.left_out,
        delivered,
    })
}

/// Terms that the hospital has signed and that are what this device proposed.
async fn agree(
    device: &Device,
    wish: &GrantAccess,
    height: Height,
) -> Result<(GrantTerms, kithkin_protocol::crypto::Signature), PatientError> {
    let hospital = wish.hospital;
    let declined = |reason: String| PatientError::NotAgreed { hospital, reason };
    let (name, key) = whereabouts(device, hospital).await?;
    let now = device.client.now();
    let scopes = wish.scopes.iter().map(|(tier, only)| Scope {
        tier: *tier,
        up_to: height,
        only: only.iter().copied().collect(),
    });
    let propose = ProposeGrant {
        scopes: scopes.collect(),
        purpose: wish.purpose,
        from_ms: now.plus(wish.begins_in_ms.0),
        until_ms: now.plus(wish.ends_in_ms.0),
    };
    let asked = device
        .port
        .ask::<Hospital, _>(name, propose.clone(), ASK_WITHIN)
        .await;
    let GrantOffer { terms, signature } = match asked {
        Ok(Ok(offer)) => offer,
        Ok(Err(error)) => return Err(declined(error.to_string())),
        Err(error) => return Err(declined(error.to_string())),
    };
    let same = terms.patient == device.me
        && terms.hospital == hospital
        && terms.scopes == propose.scopes
        && terms.purpose == propose.purpose
        && (terms.from_ms, terms.until_ms) == (propose.from_ms, propose.until_ms);
    if !same {
        return Err(declined("it signed other terms".to_owned()));
    }
    let checked = terms.verify(device.client.chain(), &key, &signature);
    checked.map_err(|error| declined(error.to_string()))?;
    Ok((terms, signature))
}

/// Where an accredited hospital lives, and its key.
pub(super) async fn whereabouts(
    device: &Device,
    hospital: HospitalId,
) -> Result<(ActorName, VerifyingKey), PatientError> {
    let refused = |reason: &str| PatientError::NotAgreed {
        hospital,
        reason: reason.to_owned(),
    };
    let deadline = Instant::now() + PROVE_WITHIN;
    let accredited = device.client.prove_hospital(hospital, deadline).await?;
    let accredited = accredited.ok_or_else(|| refused("it is not accredited"))?;
    let name = device.setting.directory.name(hospital);
    let name = name.filter(|name| matches!(name, ActorName::Hospital(_)));
    let name = name.ok_or_else(|| refused("the directory does not know it"))?;
    Ok((name, accredited.info.key))
}

/// Seals the keys of all records in scope to the hospital.
async fn seal(
    device: &Arc<Device>,
    terms: &GrantTerms,
    patient: &ledger::Patient,
) -> Result<Sealed, PatientError> {
    let enrolment = &patient.enrolment;
    let mut uploads: Vec<(Tier, Height, Vec<CheckedCapsule>)> = Vec::new();
    for scope in &terms.scopes {
        let deadline = Instant::now() + PROVE_WITHIN;
        let (client, port) = (&device.client, &device.port);
        let places = batch_places(
            client,
            port,
            (device.me, scope.tier, scope.up_to),
            scope.up_to,
            deadline,
        );
        for place in places.await? {
            let entry = prove_batch(client, place, deadline).await?;
            let entry = entry.ok_or_else(|| PatientError::Ledger {
                reason: format!("the batch at height {} is not proved", place.2),
            })?;
            // Manifest and capsules alone are with the kin; a hospital sends the ciphertexts too.
            let upload = match upload_from_kin(device, enrolment, &entry.header).await {
                Ok(upload) => upload,
                Err(error) => match from_hospital(device, &entry.header).await {
                    Some((upload, _)) => upload,
                    None => return Err(error),
                },
            };
            let capsules = capsules(device, patient, &entry.header, &upload).await?;
            uploads.push((scope.tier, place.2, capsules));
        }
    }
    let (terms, enrolment) = (terms.clone(), enrolment.clone());
    let sealing = device.heavy(move |device| seal_all(device, &terms, &enrolment, uploads));
    sealing.await
}

fn seal_all(
    device: &Device,
    terms: &GrantTerms,
    enrolment: &Enrolment,
    uploads: Vec<(Tier, Height, Vec<CheckedCapsule>)>,
) -> Result<Sealed, PatientError> {
    let mut rekeying = Rekeying::new(device.client.chain(), terms);
    let mut left_out = Vec::new();
    for (tier, height, capsules) in uploads {
        let shares = enrolment.tier(tier);
        let shares = shares.ok_or_else(|| PatientError::Ledger {
            reason: format!("the patient has no tier {tier}"),
        })?;
        let key = device.tier_key(tier, shares.commitments.public_key())?;
        let only = terms.scope(tier).map(|scope| scope.only.iter().copied());
        let only = only.into_iter().flatten().collect();
        for capsule in in_scope(capsules, &only) {
            match rekeying.add(&key, height, &capsule, &mut SystemRng) {
                Ok(()) => {}
                Err(RekeyError::Capsule { record, author }) => {
                    tracing::warn!(patient = %device.me, %record, %author, "its capsule wraps nothing; it is left out");
                    left_out.push(record);
                }
                Err(error) => return Err(unsealed(&capsule, error)),
            }
        }
    }
    let (bundle, digest) = rekeying.finish();
    Ok(Sealed {
        bundle,
        digest,
        left_out,
    })
}

fn unsealed(capsule: &CheckedCapsule, error: RekeyError) -> PatientError {
    PatientError::Record {
        record: capsule.entry().record,
        reason: error.to_string(),
    }
}

pub(super) fn refused(grant: GrantId, reason: impl core::fmt::Display) -> PatientError {
    PatientError::Grant {
        grant,
        reason: reason.to_string(),
    }
}

impl Device {
    /// One of the own grants as it stands now, proved, with the height of the proof.
    pub(super) async fn grant(&self, id: GrantId) -> Result<(Grant, Height), PatientError> {
        let deadline = Instant::now() + PROVE_WITHIN;
        let (value, head) = self.client.prove(State::grant_key(id), deadline).await?;
        let unknown = || refused(id, ConsentError::Unknown { grant: id });
        let grant: Grant =
            State::decode_value(&value.ok_or_else(unknown)?).map_err(|error| refused(id, error))?;
        if grant.patient() != self.me {
            return Err(refused(id, "it is another patient's"));
        }
        Ok((grant, head.height))
    }
}
