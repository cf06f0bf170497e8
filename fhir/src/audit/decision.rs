//! A kin decided about a request: BALP AuthZconsent.
//!
//! The profile closes the list of entities: patient, consent, access token, nothing else. So case,
//! tiers and transaction are details of the consent.

use super::parts::{self, Details, Draft};
use super::{
    Decision, EventAction, EventOutcome, EventSubtype, EventType, Profile, Stamp, Verdict,
};
use crate::code::{AgentType, EntityType, SourceType};
use crate::fact::write;
use crate::fact::{FactError, PartyKind};

pub(super) fn draft(decision: &Decision, stamp: &Stamp) -> Result<Draft, FactError> {
    let kin = write::reference("kin", PartyKind::RelatedPerson, &decision.kin)?;
    let [clinician, hospital] = parts::requester(&decision.requester, Some(decision.purpose))?;
    let client = parts::machine("client", AgentType::Application, &decision.client)?;
    let authorizer = parts::agent(AgentType::Authorizer, kin.clone(), false).done();
    let mut details = Details::default().id("case", &decision.case)?;
    for tier in write::items("tiers", &decision.tiers)? {
        details = details.word("tier", tier.as_str());
    }
    let consent = parts::entity(EntityType::Consent, None)
        .with(
            "what",
            write::logical("consent", Some("Consent"), &decision.consent)?,
        )
        .list("detail", details.ledger(&stamp.ledger)?.done());
    let mut draft = Draft::new(
        EventType::SecurityAlert,
        EventSubtype::ConsentDecision,
        EventAction::Execute,
        kin,
        SourceType::SecurityServer,
    )
    .profile(Profile::AuthZconsent)
    .agents([client, clinician, hospital, authorizer])
    .named(&decision.kin)
    .patient(&decision.patient)?
    .entity(consent.done())
    .named(&decision.case);
    if let Verdict::Refused { reason } = &decision.verdict {
        draft.outcome = EventOutcome::Failure;
        draft.outcome_words = Some(write::text("reason", reason)?.to_owned());
    }
    Ok(draft)
}
