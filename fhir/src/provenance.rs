//! Provenance: who made, checked or keeps a resource, and where the ledger says so.
//!
//! The transaction is the source from which the statement was taken: `entity` of role `source`, by
//! identifier, since a ledger has no FHIR address. R4's Provenance has no place for the height;
//! it stands in an extension of that reference.
//!
//! Not here: what happened to records ([`crate::audit`]).

use serde_json::{Value, json};

use crate::code::{ActReason, AgentRole, Coded, DataOperation};
use crate::fact::write::{self, Object};
use crate::fact::{FactError, Identifier, Ledger, Party, Period};

/// What is stated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Provenance {
    /// What it is about, at least one.
    pub targets: Vec<Target>,
    /// When it was stated, in milliseconds since 1970-01-01T00:00Z.
    pub recorded_ms: u64,
    /// When it happened, where that is another time.
    pub occurred: Option<Period>,
    /// What was done.
    pub activity: DataOperation,
    /// Why; may be empty.
    pub reasons: Vec<ActReason>,
    /// Who did it, at least one.
    pub agents: Vec<Agent>,
    /// Where it stands on the ledger.
    pub ledger: Ledger,
    /// Whether it is synthetic; it is then labelled HTEST.
    pub test_data: bool,
}

/// What a Provenance is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// A resource on the same server.
    Resource {
        /// Its type, such as `Patient`.
        resource_type: String,
        /// Its id: at most 64 letters, digits, hyphens and dots.
        id: String,
    },
    /// Something known by its identifier alone.
    Identified(Identifier),
}

/// Who did it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    /// The part played.
    pub role: AgentRole,
    /// Who.
    pub who: Party,
    /// For whom, where that is somebody else.
    pub on_behalf_of: Option<Party>,
}

/// Writes a Provenance. Its id derives from transaction, height, activity and targets.
///
/// # Errors
/// [`FactError`] names the first field that cannot be written.
pub fn provenance(provenance: &Provenance) -> Result<Value, FactError> {
    let targets = write::items("targets", &provenance.targets)?;
    let reasons = write::few("reasons", &provenance.reasons)?;
    let agents: Vec<_> = provenance.agents.iter().map(Agent::key).collect();
    write::items("agents", &agents)?;
    let occurred = provenance.occurred.map(write::period).transpose()?;
    let source = json!({"role": "source", "what": write::on_ledger(None, &provenance.ledger)?});
    Ok(Object::resource("Provenance")
        .with("id", id(provenance))
        .maybe("meta", write::meta(None, provenance.test_data))
        .with(
            "target",
            targets
                .iter()
                .map(Target::reference)
                .collect::<Result<Vec<_>, _>>()?,
        )
        .maybe("occurredPeriod", occurred)
        .with("recorded", write::instant(provenance.recorded_ms)?)
        .list("reason", reasons.iter().map(|r| r.concept()).collect())
        .with("activity", provenance.activity.concept())
        .with(
            "agent",
            provenance
                .agents
                .iter()
                .map(Agent::value)
                .collect::<Result<Vec<_>, _>>()?,
        )
        .list("entity", vec![source])
        .done())
}

fn id(provenance: &Provenance) -> String {
    let mut names = vec![provenance.activity.code()];
    for target in &provenance.targets {
        let (one, other) = target.names();
        names.extend([one, other]);
    }
    write::stable_id("kithkin/fhir/provenance/1", &provenance.ledger, &names)
}

impl Target {
    fn names(&self) -> (&str, &str) {
        match self {
            Self::Resource { resource_type, id } => (resource_type, id),
            Self::Identified(id) => (&id.system, &id.value),
        }
    }

    fn reference(&self) -> Result<Value, FactError> {
        match self {
            Self::Resource { resource_type, id } => {
                let kind = type_name("targets", resource_type)?;
                let id = write::id("targets", id)?;
                Ok(json!({"reference": format!("{kind}/{id}")}))
            }
            Self::Identified(id) => write::logical("targets", None, id),
        }
    }
}

/// A resource type's name, as far as its form goes: the list of R4 grows with every release.
fn type_name<'t>(field: &'static str, name: &'t str) -> Result<&'t str, FactError> {
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|c| c.is_ascii_alphabetic())
        && name.len() <= 64;
    is_name.then_some(name).ok_or(FactError::Form {
        field,
        expected: "name of a resource type",
    })
}

impl Agent {
    /// One party plays one part once.
    fn key(&self) -> (AgentRole, &Identifier) {
        (self.role, &self.who.id)
    }

    fn value(&self) -> Result<Value, FactError> {
        let on_behalf_of = self.on_behalf_of.as_ref();
        let on_behalf_of = on_behalf_of.map(|other| write::party("on_behalf_of", other));
        Ok(Object::new()
            .with("type", self.role.concept())
            .with("who", write::party("agents", &self.who)?)
            .maybe("onBehalfOf", on_behalf_of.transpose()?)
            .done())
    }
}
