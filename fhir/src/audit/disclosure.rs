//! A kin released, a hospital received: BALP PrivacyDisclosure.Source and .Recipient.
//!
//! Both ends write the same agents and entities. They differ in what the event is to them, and in
//! who observed it: the profiles want the observer to be that end.

use super::parts::{self, Details, Draft};
use super::{Disclosure, EventAction, EventSubtype, EventType, Profile, Side, Stamp};
use crate::code::{AgentType, SourceType};
use crate::fact::write;
use crate::fact::{FactError, PartyKind};

pub(super) fn draft(disclosure: &Disclosure, stamp: &Stamp) -> Result<Draft, FactError> {
    let (event_type, action, profile, observer, source) = match disclosure.side {
        Side::Source => (
            EventType::Export,
            EventAction::Read,
            Profile::DisclosureSource,
            &disclosure.source,
            SourceType::UserDevice,
        ),
        Side::Recipient => (
            EventType::Import,
            EventAction::Create,
            Profile::DisclosureRecipient,
            &disclosure.recipient,
            SourceType::ApplicationServer,
        ),
    };
    let kin = write::reference("kin", PartyKind::RelatedPerson, &disclosure.kin)?;
    let [clinician, hospital] = parts::requester(&disclosure.requester, None)?;
    let agents = [
        parts::machine("source", AgentType::Source, &disclosure.source)?,
        parts::machine("recipient", AgentType::Destination, &disclosure.recipient)?,
        parts::agent(AgentType::PatientAdvocate, kin, false).done(),
        clinician,
        hospital,
    ];
    let subtype = EventSubtype::Disclose;
    let who = parts::device("observer", observer)?;
    Draft::new(event_type, subtype, action, who, source)
        .profile(profile)
        .agents(agents)
        .named(&observer.id)
        .named(&disclosure.kin)
        .patient(&disclosure.patient)?
        .records(&disclosure.records)?
        .ledger(&stamp.ledger, Details::default())
}
