//! Consents: the standing one that allows breaking the glass, and single grants to a hospital.
//!
//! Both deny everything and then permit what is listed, one nested provision each: R4 does not say
//! whether several labels of one provision mean all of them or any. Whoever does not understand a
//! nested provision is left with the denial.
//!
//! Both follow IHE Privacy Consent on FHIR (PCF) in what it wants of every Consent. The standing
//! one claims its profile; a grant cannot, for PCF knows no tiers among its labels.
//!
//! Not here: what a grant is worth (the ledger decides).

use kithkin_protocol::units::Tier;
use serde_json::{Value, json};

use crate::code::{ActReason, AgentType, Coded, ConsentState};
use crate::fact::write::{self, Object};
use crate::fact::{FactError, Identifier, Ledger, PartyKind, Period};

/// The profile of the standing Consent.
pub const PROFILE: &str =
    "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentIntermediate";

/// The policy: nobody, except who breaks the glass.
pub const POLICY_BREAK_GLASS: &str = "https://profiles.ihe.net/ITI/PCF/Policy-break-glass-only";

/// The policy: nobody, except whom this Consent names.
pub const POLICY_DENY: &str = "https://profiles.ihe.net/ITI/PCF/Policy-deny";

/// What all Consents have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consent {
    /// The resource's id: at most 64 letters, digits, hyphens and dots.
    pub id: String,
    /// The Consent's identifier.
    pub identifier: Identifier,
    /// Whose data.
    pub patient: Identifier,
    /// When it was given, in milliseconds since 1970-01-01T00:00Z.
    pub given_ms: u64,
    /// Whether it counts.
    pub state: ConsentState,
    /// Who keeps to it, at least one.
    pub organizations: Vec<Identifier>,
    /// The transaction that the patient signed.
    pub ledger: Ledger,
    /// Whether it is synthetic; it is then labelled HTEST.
    pub test_data: bool,
}

/// What a hospital may read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Who may read.
    pub hospital: Identifier,
    /// What for, at least one.
    pub purposes: Vec<ActReason>,
    /// Which tiers, at least one.
    pub tiers: Vec<Tier>,
    /// Only these records of their tiers; a tier of which none is named is meant with all of its records.
    pub records: Vec<(Tier, Identifier)>,
    /// From when until when.
    pub period: Period,
}

/// Writes the standing Consent: nobody may read, except who breaks the glass.
///
/// # Errors
/// [`FactError`] names the first field that cannot be written.
pub fn break_glass(consent: &Consent) -> Result<Value, FactError> {
    let emergency_only = json!({"coding": [{
        "system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes",
        "code": "emrgonly",
        "display": "Emergency Only",
    }]});
    let permit = json!({"type": "permit", "purpose": [ActReason::BreakGlass.coding()]});
    Ok(common(consent, Some(PROFILE))?
        .with("category", vec![loinc_consent(), emergency_only])
        .with("policy", json!([{"uri": POLICY_BREAK_GLASS}]))
        .with("provision", json!({"type": "deny", "provision": [permit]}))
        .done())
}

/// Writes a grant: one hospital may read some tiers for a time.
///
/// # Errors
/// [`FactError`] names the first field that cannot be written.
pub fn grant(consent: &Consent, grant: &Grant) -> Result<Value, FactError> {
    let period = write::period(grant.period)?;
    let tiers = write::items("tiers", &grant.tiers)?;
    let permits: Vec<Value> = tiers
        .iter()
        .map(|tier| permit(grant, *tier, &period))
        .collect::<Result<_, _>>()?;
    let provision = json!({"type": "deny", "period": period, "provision": permits});
    Ok(common(consent, None)?
        .with("category", vec![loinc_consent()])
        .with("policy", json!([{"uri": POLICY_DENY}]))
        .with("provision", provision)
        .done())
}

/// The display of LOINC 59284-0 differs between its releases, so none is written.
fn loinc_consent() -> Value {
    json!({"coding": [{"system": "http://loinc.org", "code": "59284-0"}]})
}

fn common(consent: &Consent, profile: Option<&str>) -> Result<Object, FactError> {
    let scope = json!({"coding": [{
        "system": "http://terminology.hl7.org/CodeSystem/consentscope",
        "code": "patient-privacy",
        "display": "Privacy Consent",
    }]});
    let patient = write::reference("patient", PartyKind::Patient, &consent.patient)?;
    let organizations: Vec<Value> = write::items("organizations", &consent.organizations)?
        .iter()
        .map(|id| write::reference("organizations", PartyKind::Organization, id))
        .collect::<Result<_, _>>()?;
    let source = write::on_ledger(Some("DocumentReference"), &consent.ledger)?;
    Ok(Object::resource("Consent")
        .with("id", write::id("id", &consent.id)?)
        .maybe("meta", write::meta(profile, consent.test_data))
        .with(
            "identifier",
            vec![write::identifier("identifier", &consent.identifier)?],
        )
        .with("status", consent.state.code())
        .with("scope", scope)
        .with("patient", patient.clone())
        .with("dateTime", write::instant(consent.given_ms)?)
        .with("performer", vec![patient])
        .with("organization", organizations)
        .with("sourceReference", source))
}

fn permit(grant: &Grant, tier: Tier, period: &Value) -> Result<Value, FactError> {
    let hospital = write::reference("hospital", PartyKind::Organization, &grant.hospital)?;
    let actor = json!({"role": AgentType::Recipient.concept(), "reference": hospital});
    let purposes = write::items("purposes", &grant.purposes)?;
    let of_tier = grant.records.iter().filter(|(of, _)| *of == tier);
    let records: Vec<Identifier> = of_tier.map(|(_, record)| record.clone()).collect();
    let records = write::few("records", &records)?
        .iter()
        .map(|record| {
            let reference = write::logical("records", None, record)?;
            Ok(json!({"meaning": "instance", "reference": reference}))
        })
        .collect::<Result<_, _>>()?;
    Ok(Object::new()
        .with("type", "permit")
        .with("period", period.clone())
        .with("actor", vec![actor])
        .list("securityLabel", vec![write::tier(tier)])
        .list("purpose", purposes.iter().map(|p| p.coding()).collect())
        .list("data", records)
        .done())
}
