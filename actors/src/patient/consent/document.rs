//! A grant as a FHIR Consent: what other programs of patient and hospital understand.

use super::grant::refused;
use super::messages::ConsentDocument;
use crate::patient::device::Device;
use crate::patient::messages::PatientError;
use kithkin_fhir::code::{ActReason, ConsentState};
use kithkin_fhir::consent::{Consent, Grant as Allowed, grant as write};
use kithkin_fhir::fact::{Identifier, Ledger, Namespace, Period};
use kithkin_protocol::consent::{Grant, GrantPurpose};
use kithkin_protocol::ids::GrantId;

/// Writes the resource from the grant as it stands on chain.
pub(super) async fn describe(
    device: &Device,
    id: GrantId,
) -> Result<ConsentDocument, PatientError> {
    let (grant, height) = device.grant(id).await?;
    let resource = write(&consent(&grant), &allowed(&grant));
    let resource = resource.map_err(|error| refused(id, error))?;
    Ok(ConsentDocument {
        json: resource.to_string(),
        height,
    })
}

fn consent(grant: &Grant) -> Consent {
    let state = if grant.is_live() {
        ConsentState::Active
    } else {
        ConsentState::Inactive
    };
    let id = grant.id.to_hex();
    Consent {
        id: id.clone(),
        identifier: Identifier::new(Namespace::Consent, id),
        patient: Identifier::new(Namespace::Patient, grant.patient().to_hex()),
        given_ms: grant.granted_ms.0,
        state,
        organizations: vec![hospital(grant)],
        ledger: Ledger {
            transaction: grant.transaction.to_hex(),
            height: grant.height.0,
        },
        test_data: false,
    }
}

/// Single records by their pseudonyms: what they are is nowhere but inside them.
fn allowed(grant: &Grant) -> Allowed {
    let terms = &grant.terms;
    let scopes = terms.scopes.iter();
    let records = scopes.flat_map(|scope| scope.only.iter().map(|record| (scope.tier, record)));
    Allowed {
        hospital: hospital(grant),
        purposes: vec![purpose(terms.purpose)],
        tiers: terms.scopes.iter().map(|scope| scope.tier).collect(),
        records: records
            .map(|(tier, record)| (tier, Identifier::new(Namespace::Record, record.to_hex())))
            .collect(),
        period: Period {
            start_ms: terms.from_ms.0,
            end_ms: Some(grant.until_ms.0),
        },
    }
}

fn hospital(grant: &Grant) -> Identifier {
    Identifier::new(Namespace::Hospital, grant.terms.hospital.to_hex())
}

fn purpose(purpose: GrantPurpose) -> ActReason {
    match purpose {
        GrantPurpose::Treatment => ActReason::Treatment,
        GrantPurpose::EmergencyTreatment => ActReason::EmergencyTreatment,
        GrantPurpose::PatientRequest => ActReason::PatientRequested,
        GrantPurpose::FamilyRequest => ActReason::FamilyRequested,
        GrantPurpose::Compliance => ActReason::Compliance,
    }
}
