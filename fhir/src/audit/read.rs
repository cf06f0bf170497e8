//! A clinician read records: BALP PatientRead.

use super::parts::{self, Details, Draft};
use super::{EventAction, EventSubtype, EventType, Profile, Read, Stamp};
use crate::code::{AgentType, SourceType};
use crate::fact::FactError;

pub(super) fn draft(read: &Read, stamp: &Stamp) -> Result<Draft, FactError> {
    let [clinician, hospital] = parts::requester(&read.requester, None)?;
    let client = parts::machine("client", AgentType::Destination, &read.client)?;
    let server = parts::machine("server", AgentType::Source, &read.server)?;
    Draft::new(
        EventType::Rest,
        EventSubtype::Read,
        EventAction::Read,
        parts::device("server", &read.server)?,
        SourceType::ApplicationServer,
    )
    .profile(Profile::PatientRead)
    .agents([client, server, clinician, hospital])
    .named(&read.server.id)
    .patient(&read.patient)?
    .records(&read.records)?
    .ledger(&stamp.ledger, Details::default())
}
