//! Security alerts without a BALP profile, after DICOM's audit messages (PS3.15, A.5): emergency
//! overrides, changes of rosters and keys; and nodes that start and stop.

use super::parts::{self, Details, Draft};
use super::{
    Change, EventAction, EventSubtype, EventType, NodeActivity, Override, Phase, SecurityChange,
    Stamp,
};
use crate::code::{AgentType, EntityRole, EntityType, SourceType};
use crate::fact::write;
use crate::fact::{FactError, PartyKind};

/// An emergency override began or ended.
pub(super) fn emergency(change: &Override, stamp: &Stamp) -> Result<Draft, FactError> {
    let subtype = match change.phase {
        Phase::Started => EventSubtype::OverrideStarted,
        Phase::Stopped => EventSubtype::OverrideStopped,
    };
    let [clinician, hospital] = parts::requester(&change.requester, None)?;
    let node = parts::machine("node", AgentType::Application, &change.node)?;
    let details = Details::default().text("reason", change.reason.as_ref())?;
    let case = parts::entity(EntityType::SystemObject, Some(EntityRole::SecurityResource))
        .with("what", write::logical("case", None, &change.case)?)
        .list("detail", details.done());
    Draft::new(
        EventType::SecurityAlert,
        subtype,
        EventAction::Execute,
        parts::device("node", &change.node)?,
        SourceType::ApplicationServer,
    )
    .agents([node, clinician, hospital])
    .named(&change.node.id)
    .patient(&change.patient)?
    .entity(case.done())
    .named(&change.case)
    .ledger(&stamp.ledger, Details::default())
}

/// A roster or a key changed.
pub(super) fn change(change: &SecurityChange, stamp: &Stamp) -> Result<Draft, FactError> {
    let subtype = match &change.change {
        Change::Roster { .. } | Change::Validators { .. } => EventSubtype::SecurityRoles,
        Change::MemberKey { .. } => EventSubtype::UserSecurity,
        Change::TierKey { .. } => EventSubtype::ObjectSecurity,
    };
    let by = write::party("by", &change.by)?;
    let node = parts::machine("node", AgentType::Application, &change.node)?;
    let draft = Draft::new(
        EventType::SecurityAlert,
        subtype,
        EventAction::Update,
        parts::device("node", &change.node)?,
        SourceType::ApplicationServer,
    )
    .agents([parts::agent(AgentType::Author, by, true).done(), node])
    .named(&change.node.id);
    changed(draft, &change.change)?.ledger(&stamp.ledger, Details::default())
}

fn changed(draft: Draft, change: &Change) -> Result<Draft, FactError> {
    match change {
        Change::Roster {
            patient,
            epoch,
            members,
        } => {
            let details = Details::default()
                .number("epoch", (*epoch).into())
                .number("members", write::count("members", *members)?.into());
            let draft = draft.patient(patient)?;
            Ok(object(
                draft,
                EntityRole::SecurityGroup,
                "roster of kin",
                details,
            ))
        }
        Change::Validators { members } => {
            let count = write::count("members", *members)?;
            let details = Details::default().number("members", count.into());
            let role = EntityRole::SecurityGroup;
            Ok(object(draft, role, "validators of the ledger", details))
        }
        Change::MemberKey { member } => {
            let kind = match member.kind {
                PartyKind::Patient | PartyKind::RelatedPerson | PartyKind::Practitioner => {
                    EntityType::Person
                }
                PartyKind::Organization => EntityType::Organization,
                PartyKind::Device => EntityType::SystemObject,
            };
            let entity = parts::entity(kind, Some(EntityRole::SecurityUser))
                .with("what", write::party("member", member)?);
            Ok(draft.entity(entity.done()).named(&member.id))
        }
        Change::TierKey {
            patient,
            tier,
            epoch,
        } => {
            let details = Details::default()
                .word("tier", tier.as_str())
                .number("epoch", (*epoch).into());
            let draft = draft.patient(patient)?.named_by(tier.as_str());
            Ok(object(
                draft,
                EntityRole::SecurityResource,
                "key of a tier",
                details,
            ))
        }
    }
}

/// With an object that has a name in plain words instead of an identifier.
fn object(draft: Draft, role: EntityRole, name: &str, details: Details) -> Draft {
    let entity = parts::entity(EntityType::SystemObject, Some(role))
        .with("name", name)
        .list("detail", details.done());
    draft.entity(entity.done()).named_by(name)
}

/// A node started or stopped.
pub(super) fn node(activity: &NodeActivity, stamp: &Stamp) -> Result<Draft, FactError> {
    let subtype = match activity.phase {
        Phase::Started => EventSubtype::ApplicationStart,
        Phase::Stopped => EventSubtype::ApplicationStop,
    };
    let who = parts::device("node", &activity.node)?;
    let agent = parts::agent(AgentType::Application, who.clone(), false)
        .with("name", write::text("program", &activity.program)?)
        .with("network", write::network(&activity.node)?);
    Draft::new(
        EventType::ApplicationActivity,
        subtype,
        EventAction::Execute,
        who,
        SourceType::ApplicationServer,
    )
    .agents([agent.done()])
    .named(&activity.node.id)
    // A node may start twice before the ledger grows.
    .named_by(&stamp.recorded_ms.to_string())
    .ledger(&stamp.ledger, Details::default())
}
