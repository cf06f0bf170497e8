//! Data were erased: BALP PatientDelete.
//!
//! The profile forbids details on the patient and on the data, so number and kind of what was
//! erased stand with the transaction.

use super::parts::{self, Details, Draft};
use super::{Erasure, EventAction, EventSubtype, EventType, Profile, Stamp};
use crate::code::{AgentType, EntityRole, EntityType, SourceType};
use crate::fact::FactError;
use crate::fact::write;

pub(super) fn draft(erasure: &Erasure, stamp: &Stamp) -> Result<Draft, FactError> {
    let by = write::party("by", &erasure.by)?;
    let client = parts::machine("client", AgentType::Application, &erasure.client)?;
    let holder = parts::machine("holder", AgentType::Custodian, &erasure.holder)?;
    let orderer = parts::agent(AgentType::Author, by, true).done();
    let data = parts::entity(EntityType::SystemObject, Some(EntityRole::DomainResource))
        .with("what", write::logical("data", None, &erasure.data)?);
    let word = erasure.erased.word();
    let details = Details::default()
        .word("erased", word)
        .number("count", write::count("count", erasure.count)?.into());
    Draft::new(
        EventType::Rest,
        EventSubtype::Delete,
        EventAction::Delete,
        parts::device("holder", &erasure.holder)?,
        SourceType::ApplicationServer,
    )
    .profile(Profile::PatientDelete)
    .agents([client, holder, orderer])
    .named(&erasure.holder.id)
    .patient(&erasure.patient)?
    .entity(data.done())
    .named(&erasure.data)
    .named_by(word)
    .ledger(&stamp.ledger, details)
}
