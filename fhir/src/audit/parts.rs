//! Agents, entities and details, as all AuditEvents have them.
//!
//! Not here: which event has which (the neighbours of this file).

use serde_json::{Value, json};

use super::{EventAction, EventOutcome, EventSubtype, EventType, Profile, Records, Requester};
use crate::code::{ActReason, AgentType, Coded, EntityRole, EntityType, SourceType};
use crate::fact::write::{self, Object};
use crate::fact::{FactError, Identifier, Ledger, Machine, PartyKind};

/// One event, decided but not yet put together.
pub(super) struct Draft {
    pub(super) profile: Option<Profile>,
    pub(super) event_type: EventType,
    pub(super) subtype: EventSubtype,
    pub(super) action: EventAction,
    pub(super) outcome: EventOutcome,
    pub(super) outcome_words: Option<String>,
    pub(super) agents: Vec<Value>,
    /// Who recorded it. Where a profile wants an agent to be the observer, it is the same value.
    pub(super) observer: Value,
    pub(super) source: SourceType,
    pub(super) entities: Vec<Value>,
    /// Whether the event is about a patient.
    pub(super) has_patient: bool,
    /// What tells this event from others of its kind in the same transaction.
    pub(super) names: Vec<String>,
}

impl Draft {
    /// A successful event with nobody in it yet.
    pub(super) fn new(
        event_type: EventType,
        subtype: EventSubtype,
        action: EventAction,
        observer: Value,
        source: SourceType,
    ) -> Self {
        Self {
            profile: None,
            event_type,
            subtype,
            action,
            outcome: EventOutcome::Success,
            outcome_words: None,
            agents: Vec::new(),
            observer,
            source,
            entities: Vec::new(),
            has_patient: false,
            names: Vec::new(),
        }
    }

    /// Under this profile.
    pub(super) fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// With these agents.
    pub(super) fn agents(mut self, agents: impl IntoIterator<Item = Value>) -> Self {
        self.agents.extend(agents);
        self
    }

    /// With the patient whose data it is about.
    pub(super) fn patient(mut self, patient: &Identifier) -> Result<Self, FactError> {
        let what = write::reference("patient", PartyKind::Patient, patient)?;
        self.has_patient = true;
        self.entities.push(
            entity(EntityType::Person, Some(EntityRole::Patient))
                .with("what", what)
                .done(),
        );
        Ok(self.named(patient))
    }

    /// With one more entity.
    pub(super) fn entity(mut self, entity: Value) -> Self {
        self.entities.push(entity);
        self
    }

    /// With records of a case.
    pub(super) fn records(self, records: &Records) -> Result<Self, FactError> {
        let count = write::count("records.count", records.count)?;
        let details = Details::default()
            .id("case", &records.case)?
            .word("tier", records.tier.as_str())
            .number("records", count.into());
        let object = entity(EntityType::SystemObject, Some(EntityRole::DomainResource))
            .with("what", write::logical("records.id", None, &records.id)?)
            .list("detail", details.0);
        let words = records.tier.as_str();
        let draft = self.entity(object.done()).named(&records.id);
        Ok(draft.named(&records.case).named_by(words))
    }

    /// With the transaction as an entity of its own.
    pub(super) fn ledger(self, ledger: &Ledger, details: Details) -> Result<Self, FactError> {
        let id = write::transaction(ledger);
        let object = entity(EntityType::Other, Some(EntityRole::DataRepository))
            .with("what", write::logical("ledger.transaction", None, &id)?)
            .list("detail", details.ledger(ledger)?.0);
        Ok(self.entity(object.done()))
    }

    /// Told from others by this identifier.
    pub(super) fn named(self, id: &Identifier) -> Self {
        self.named_by(&id.system).named_by(&id.value)
    }

    /// Told from others by this text.
    pub(super) fn named_by(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }
}

/// The details of an entity.
#[derive(Default)]
pub(super) struct Details(Vec<Value>);

impl Details {
    /// With a word of this program's own.
    pub(super) fn word(mut self, name: &str, value: &str) -> Self {
        self.0.push(json!({"type": name, "valueString": value}));
        self
    }

    /// With a number.
    pub(super) fn number(self, name: &str, value: u64) -> Self {
        self.word(name, &value.to_string())
    }

    /// With an identifier's value.
    pub(super) fn id(self, name: &'static str, id: &Identifier) -> Result<Self, FactError> {
        write::identifier(name, id)?;
        Ok(self.word(name, &id.value))
    }

    /// With a text from outside, where there is one.
    pub(super) fn text(
        self,
        name: &'static str,
        value: Option<&String>,
    ) -> Result<Self, FactError> {
        match value {
            Some(value) => Ok(self.word(name, write::text(name, value)?)),
            None => Ok(self),
        }
    }

    /// With the place on the ledger.
    pub(super) fn ledger(self, ledger: &Ledger) -> Result<Self, FactError> {
        let transaction = write::token("ledger.transaction", &ledger.transaction)?;
        Ok(self
            .word("ledger-transaction", transaction)
            .number("ledger-height", ledger.height))
    }

    /// As the element `detail`.
    pub(super) fn done(self) -> Vec<Value> {
        self.0
    }
}

/// An entity of which no more is known yet.
pub(super) fn entity(kind: EntityType, role: Option<EntityRole>) -> Object {
    Object::new()
        .with("type", kind.coding())
        .maybe("role", role.map(Coded::coding))
}

/// An agent who is no machine, or a machine whose address does not matter.
pub(super) fn agent(kind: AgentType, who: Value, requestor: bool) -> Object {
    Object::new()
        .with("type", kind.concept())
        .with("who", who)
        .with("requestor", requestor)
}

/// A machine as a reference.
pub(super) fn device(field: &'static str, machine: &Machine) -> Result<Value, FactError> {
    write::reference(field, PartyKind::Device, &machine.id)
}

/// A machine as an agent. People request, machines do not.
pub(super) fn machine(
    field: &'static str,
    kind: AgentType,
    machine: &Machine,
) -> Result<Value, FactError> {
    let object = agent(kind, device(field, machine)?, false);
    Ok(object.with("network", write::network(machine)?).done())
}

/// The clinician and the hospital who ask.
pub(super) fn requester(
    requester: &Requester,
    purpose: Option<ActReason>,
) -> Result<[Value; 2], FactError> {
    let clinician = write::reference("clinician", PartyKind::Practitioner, &requester.clinician)?;
    let hospital = write::reference("hospital", PartyKind::Organization, &requester.hospital)?;
    let purposes = purpose.map(Coded::concept).into_iter().collect();
    Ok([
        agent(AgentType::Recipient, clinician, true)
            .list("purposeOfUse", purposes)
            .done(),
        agent(AgentType::Provider, hospital, false).done(),
    ])
}
