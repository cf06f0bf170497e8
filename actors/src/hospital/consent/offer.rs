//! Signing terms and renewals, taking in the keys of a grant, giving one back.

use super::files::GrantFile;
use super::messages::{DeliverKeys, GrantOffer, ProposeGrant, ProposeRenewal};
use crate::hospital::desk::{Desk, FINAL_WITHIN, PROVED_WITHIN, forbidden, ledger, off_thread};
use crate::hospital::messages::HospitalError;
use crate::ports::names::ActorName;
use crate::ports::random::SystemRng;
use kithkin_protocol::consent::{ConsentError, Grant, GrantPurpose, GrantTerms, Renewal};
use kithkin_protocol::crypto::OpeningKey;
use kithkin_protocol::ids::{GrantId, PatientId};
use kithkin_protocol::ledger::{State, TxBody};
use kithkin_protocol::units::Height;
use std::time::{Duration, Instant};

/// How long a grant's absence is doubted: enough validators may lag behind those that told the patient.
const DOUBT: Duration = Duration::from_secs(1);
/// Pause before they are asked again.
const PAUSE: Duration = Duration::from_millis(50);

impl Desk {
    /// A grant to this hospital as it stands now, proved.
    pub(super) async fn grant(
        &self,
        id: GrantId,
        deadline: Instant,
    ) -> Result<Option<Grant>, HospitalError> {
        let key = State::grant_key(id);
        let proved = self.client.prove(key, deadline).await;
        let (value, _) = proved.map_err(ledger)?;
        let grant = value.map(|value| State::decode_value::<Grant>(&value));
        let grant = grant.transpose().map_err(|error| HospitalError::Ledger {
            reason: format!("the entry of grant {id} cannot be read: {error}"),
        })?;
        Ok(grant.filter(|grant| grant.terms.hospital == self.me))
    }

    /// As [`Self::grant`], for one that somebody says is there.
    async fn grant_given(&self, id: GrantId) -> Result<Grant, HospitalError> {
        let deadline = Instant::now() + PROVED_WITHIN;
        let doubt_until = Instant::now() + DOUBT;
        loop {
            match self.grant(id, deadline).await? {
                Some(grant) => return Ok(grant),
                None if Instant::now() < doubt_until => tokio::time::sleep(PAUSE).await,
                None => return Err(HospitalError::UnknownGrant { grant: id }),
            }
        }
    }

    fn patient_at(&self, from: ActorName) -> Result<PatientId, HospitalError> {
        let patient = self.setting.directory.patient(from);
        patient.ok_or_else(|| forbidden(format!("{from} is no patient")))
    }

    fn require_taken(&self, purpose: GrantPurpose) -> Result<(), HospitalError> {
        if self.consents.taken()?.contains(&purpose) {
            return Ok(());
        }
        let reason = format!("it takes no grants for {}", purpose.code());
        Err(HospitalError::Declined { reason })
    }
}

/// Draws a key for the grant, keeps it, and signs the terms.
pub(super) async fn offer(
    desk: &Desk,
    from: ActorName,
    asked: ProposeGrant,
) -> Result<GrantOffer, HospitalError> {
    let patient = desk.patient_at(from)?;
    desk.require_taken(asked.purpose)?;
    let opening = OpeningKey::random(&mut SystemRng);
    let terms = GrantTerms {
        patient,
        hospital: desk.me,
        scopes: asked.scopes,
        purpose: asked.purpose,
        from_ms: asked.from_ms,
        until_ms: asked.until_ms,
        key: opening.sealing_key(),
    };
    let declined = |reason: String| HospitalError::Declined { reason };
    // Which heights there are is for the ledger to judge: this hospital may lag behind.
    terms
        .check(desk.client.now(), Height(u64::MAX))
        .map_err(|error| declined(error.to_string()))?;
    desk.prove_patient(patient, Instant::now() + PROVED_WITHIN)
        .await?;
    // One at a time, so that the number of offers is bounded.
    let _turn = desk.offering.lock().await;
    if !desk.consents.has_room(patient)? {
        return Err(declined(
            "it keeps as many offers and grants as it can".to_owned(),
        ));
    }
    let chain = desk.client.chain();
    let file = GrantFile {
        id: terms.id(chain),
        terms,
        offered_ms: desk.client.now(),
    };
    desk.consents.keep(&file, &opening).await?;
    let signature = file.terms.sign(chain, &desk.identity.signing);
    tracing::info!(grant = %file.id, %patient, purpose = file.terms.purpose.code(), "signs the terms of a consent");
    Ok(GrantOffer {
        terms: file.terms,
        signature,
    })
}

/// Checks the keys of a grant against the digest on chain, and keeps them.
pub(super) async fn take_keys(
    desk: &Desk,
    from: ActorName,
    sent: DeliverKeys,
) -> Result<(), HospitalError> {
    let DeliverKeys { grant: id, keys } = sent;
    let patient = desk.patient_at(from)?;
    let file = desk.consents.file(id)?;
    if file.terms.patient != patient {
        return Err(forbidden(format!("grant {id} is not of {from}")));
    }
    let grant = desk.grant_given(id).await?;
    let standing = grant.standing;
    if !grant.is_live() {
        return Err(refused(id, ConsentError::Ended { standing }));
    }
    let opening = desk.consents.opening(id).await?;
    let opening = opening.ok_or(HospitalError::UnknownGrant { grant: id })?;
    let (chain, copy) = (desk.client.chain(), keys.clone());
    let checked = off_thread(move || copy.accept(chain, &grant, opening).map(drop)).await?;
    checked.map_err(|error| refused(id, error))?;
    desk.consents.keep_bundle(id, keys).await
}

/// Signs a later end.
pub(super) async fn renew(
    desk: &Desk,
    from: ActorName,
    asked: ProposeRenewal,
) -> Result<Renewal, HospitalError> {
    let id = asked.grant;
    let patient = desk.patient_at(from)?;
    let grant = desk.grant_given(id).await?;
    if grant.patient() != patient {
        return Err(forbidden(format!("grant {id} is not of {from}")));
    }
    desk.require_taken(grant.terms.purpose)?;
    // The ledger judges the rest: whether the grant is live, and whether this end comes after the present one.
    Ok(Renewal::signed(
        desk.client.chain(),
        id,
        asked.ends_ms,
        asked.until_ms,
        &desk.identity.signing,
    ))
}

/// Ends a grant before its time, and destroys its keys.
pub(super) async fn give_back(desk: &Desk, id: GrantId) -> Result<Height, HospitalError> {
    desk.consents.file(id)?;
    let body = TxBody::Revoke { grant: id };
    let deadline = Instant::now() + FINAL_WITHIN;
    let finalized = desk.client.submit(body, deadline).await.map_err(ledger)?;
    desk.consents.forget(id).await?;
    Ok(finalized.proof.header.height)
}

pub(super) fn refused(grant: GrantId, reason: impl core::fmt::Display) -> HospitalError {
    HospitalError::Grant {
        grant,
        reason: reason.to_string(),
    }
}
