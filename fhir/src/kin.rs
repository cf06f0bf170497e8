//! Friends and relatives: RelatedPerson, and a contact in `Patient.contact`.
//!
//! On the ledger kin are pseudonyms. A name or a telephone number is written only for those who
//! may see it; that is the caller's decision.
//!
//! Not here: who is on a roster (the ledger), what kin did ([`crate::audit`]).

use serde_json::{Value, json};

use crate::code::{Coded, ContactRole, Relationship};
use crate::fact::write::{self, Object};
use crate::fact::{FactError, Identifier, PartyKind, Period};

/// A friend or relative.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kin {
    /// The resource's id: at most 64 letters, digits, hyphens and dots.
    pub id: String,
    /// The pseudonym.
    pub identifier: Identifier,
    /// Whose kin.
    pub patient: Identifier,
    /// Whether the person is on the roster now.
    pub active: bool,
    /// What the person is to the patient.
    pub relationship: Relationship,
    /// The name, in one line.
    pub name: Option<String>,
    /// The telephone number.
    pub phone: Option<String>,
    /// Since when, and until when, the person is on the roster.
    pub period: Option<Period>,
    /// Whether it is synthetic; it is then labelled HTEST.
    pub test_data: bool,
}

/// Somebody to call. R4 wants at least a name or a telephone number (invariant pat-1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contact {
    /// What for, at least one.
    pub roles: Vec<ContactRole>,
    /// What the person is to the patient.
    pub relationship: Option<Relationship>,
    /// The name, in one line.
    pub name: Option<String>,
    /// The telephone number.
    pub phone: Option<String>,
    /// For which time.
    pub period: Option<Period>,
}

/// Writes a RelatedPerson.
///
/// # Errors
/// [`FactError`] names the first field that cannot be written.
pub fn related_person(kin: &Kin) -> Result<Value, FactError> {
    let object = Object::resource("RelatedPerson")
        .with("id", write::id("id", &kin.id)?)
        .maybe("meta", write::meta(None, kin.test_data))
        .with(
            "identifier",
            vec![write::identifier("identifier", &kin.identifier)?],
        )
        .with("active", kin.active)
        .with(
            "patient",
            write::reference("patient", PartyKind::Patient, &kin.patient)?,
        )
        .with("relationship", vec![kin.relationship.concept()])
        .list("name", name(kin.name.as_ref())?.into_iter().collect());
    reachable(object, kin.phone.as_ref(), kin.period)
}

/// Writes one member of `Patient.contact`.
///
/// # Errors
/// [`FactError::Empty`] for a contact of whom neither name nor number is known, otherwise
/// [`FactError`] names the first field that cannot be written.
pub fn contact(contact: &Contact) -> Result<Value, FactError> {
    if contact.name.is_none() && contact.phone.is_none() {
        return Err(FactError::Empty {
            field: "name and phone",
        });
    }
    let roles = write::items("roles", &contact.roles)?;
    let relationship = contact.relationship.map(Coded::concept);
    let roles = roles.iter().map(|role| role.concept());
    let object = Object::new()
        .list("relationship", roles.chain(relationship).collect())
        .maybe("name", name(contact.name.as_ref())?);
    reachable(object, contact.phone.as_ref(), contact.period)
}

fn name(name: Option<&String>) -> Result<Option<Value>, FactError> {
    name.map(|name| Ok(json!({"text": write::text("name", name)?})))
        .transpose()
}

fn reachable(
    object: Object,
    phone: Option<&String>,
    period: Option<Period>,
) -> Result<Value, FactError> {
    let phone = phone
        .map(|phone| Ok(json!({"system": "phone", "value": write::text("phone", phone)?})))
        .transpose()?;
    Ok(object
        .list("telecom", phone.into_iter().collect())
        .maybe("period", period.map(write::period).transpose()?)
        .done())
}
