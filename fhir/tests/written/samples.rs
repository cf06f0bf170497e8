//! Synthetic facts, and every kind of resource written from them.

use std::net::{IpAddr, Ipv6Addr};

use kithkin_fhir::audit::{
    Change, Decision, Disclosure, Erased, Erasure, Event, NodeActivity, Override, Phase, Read,
    Records, Requester, SecurityChange, Side, Stamp, Verdict, event,
};
use kithkin_fhir::code::{
    ActReason, AgentRole, ConsentState, ContactRole, DataOperation, IssueType, Relationship,
    Severity,
};
use kithkin_fhir::consent::{self, Consent, Grant};
use kithkin_fhir::fact::{
    Address, Identifier, Ledger, Machine, Namespace, Party, PartyKind, Period,
};
use kithkin_fhir::kin::{self, Contact, Kin};
use kithkin_fhir::outcome::{self, Issue};
use kithkin_fhir::provenance::{Agent, Provenance, Target, provenance};
use kithkin_protocol::units::Tier;
use serde_json::{Value, json};

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW: u64 = 1_767_225_600_000;

pub(crate) fn id(namespace: Namespace, value: &str) -> Identifier {
    Identifier::new(namespace, value)
}

pub(crate) fn patient() -> Identifier {
    id(Namespace::Patient, "patient-7f3a")
}

pub(crate) fn kin_id() -> Identifier {
    id(Namespace::Kin, "kin-51c0")
}

pub(crate) fn case() -> Identifier {
    id(Namespace::Case, "case-c0de")
}

pub(crate) fn ledger() -> Ledger {
    Ledger {
        transaction: "a5".repeat(32),
        height: 18_446_744_073_709_551_615,
    }
}

pub(crate) fn stamp(purposes: &[ActReason]) -> Stamp {
    Stamp {
        recorded_ms: NOW,
        ledger: ledger(),
        purposes: purposes.to_vec(),
        test_data: true,
    }
}

pub(crate) fn requester() -> Requester {
    Requester {
        clinician: id(Namespace::Clinician, "clinician-19"),
        hospital: id(Namespace::Hospital, "hospital-4"),
    }
}

fn machine(name: &str, address: Address) -> Machine {
    Machine {
        id: id(Namespace::Node, name),
        address,
    }
}

pub(crate) fn hospital_node() -> Machine {
    machine(
        "hospital-node",
        Address::Uri("https://ehr.example/fhir".to_owned()),
    )
}

pub(crate) fn kin_node() -> Machine {
    machine(
        "kin-node",
        Address::Ip(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
    )
}

pub(crate) fn workstation() -> Machine {
    machine("workstation", Address::Name("er-3.example".to_owned()))
}

pub(crate) fn records() -> Records {
    Records {
        id: id(Namespace::Batch, "batch-0b"),
        case: case(),
        tier: Tier::Chart,
        count: 42,
    }
}

pub(crate) fn read() -> Read {
    Read {
        patient: patient(),
        requester: requester(),
        client: workstation(),
        server: hospital_node(),
        records: records(),
    }
}

pub(crate) fn decision(verdict: Verdict) -> Decision {
    Decision {
        patient: patient(),
        requester: requester(),
        client: hospital_node(),
        purpose: ActReason::BreakGlass,
        kin: kin_id(),
        consent: id(Namespace::Consent, "consent-1"),
        case: case(),
        tiers: vec![Tier::Summary, Tier::Chart],
        verdict,
    }
}

pub(crate) fn refused(reason: &str) -> Verdict {
    Verdict::Refused {
        reason: reason.to_owned(),
    }
}

pub(crate) fn disclosure(side: Side) -> Disclosure {
    Disclosure {
        side,
        patient: patient(),
        requester: requester(),
        kin: kin_id(),
        source: kin_node(),
        recipient: hospital_node(),
        records: records(),
    }
}

pub(crate) fn emergency(phase: Phase, reason: Option<&str>) -> Override {
    Override {
        phase,
        patient: patient(),
        requester: requester(),
        node: hospital_node(),
        case: case(),
        reason: reason.map(str::to_owned),
    }
}

pub(crate) fn change(change: Change) -> SecurityChange {
    SecurityChange {
        by: Party {
            kind: PartyKind::Patient,
            id: patient(),
        },
        node: hospital_node(),
        change,
    }
}

pub(crate) fn activity(phase: Phase) -> NodeActivity {
    NodeActivity {
        phase,
        node: kin_node(),
        program: "kithkin 0.1.0".to_owned(),
    }
}

pub(crate) fn erasure(erased: Erased) -> Erasure {
    Erasure {
        patient: patient(),
        by: Party {
            kind: PartyKind::Patient,
            id: patient(),
        },
        client: workstation(),
        holder: kin_node(),
        erased,
        data: id(Namespace::Batch, "batch-0b"),
        count: 3,
    }
}

pub(crate) fn a_provenance() -> Provenance {
    let agent = |role, kind, id| Agent {
        role,
        who: Party { kind, id },
        on_behalf_of: None,
    };
    let clinician = requester().clinician;
    let hospital = requester().hospital;
    let mut author = agent(AgentRole::Author, PartyKind::Practitioner, clinician);
    author.on_behalf_of = Some(Party {
        kind: PartyKind::Organization,
        id: hospital.clone(),
    });
    Provenance {
        targets: vec![
            Target::Resource {
                resource_type: "Patient".to_owned(),
                id: "p-1".to_owned(),
            },
            Target::Identified(id(Namespace::Batch, "batch-0b")),
        ],
        recorded_ms: NOW,
        occurred: Some(Period {
            start_ms: NOW - 60_000,
            end_ms: Some(NOW),
        }),
        activity: DataOperation::Create,
        reasons: vec![ActReason::Treatment],
        agents: vec![
            author,
            agent(AgentRole::Verifier, PartyKind::Organization, hospital),
            agent(AgentRole::Custodian, PartyKind::RelatedPerson, kin_id()),
        ],
        ledger: ledger(),
        test_data: true,
    }
}

pub(crate) fn a_consent(state: ConsentState) -> Consent {
    Consent {
        id: "consent-1".to_owned(),
        identifier: id(Namespace::Consent, "consent-1"),
        patient: patient(),
        given_ms: NOW,
        state,
        organizations: vec![requester().hospital],
        ledger: ledger(),
        test_data: true,
    }
}

pub(crate) fn a_grant() -> Grant {
    Grant {
        hospital: requester().hospital,
        purposes: vec![ActReason::Treatment, ActReason::EmergencyTreatment],
        tiers: vec![Tier::Summary, Tier::Sensitive],
        records: vec![
            (Tier::Summary, id(Namespace::Record, "r-1")),
            (Tier::Summary, id(Namespace::Record, "r-2")),
            (Tier::Sensitive, id(Namespace::Record, "r-1")),
            (Tier::Sensitive, id(Namespace::Record, "r-2")),
        ],
        period: Period {
            start_ms: NOW,
            end_ms: Some(NOW + 86_400_000),
        },
    }
}

pub(crate) fn a_kin() -> Kin {
    Kin {
        id: "kin-51c0".to_owned(),
        identifier: kin_id(),
        patient: patient(),
        active: true,
        relationship: Relationship::Sibling,
        name: Some("Tess Tester".to_owned()),
        phone: Some("+1-555-0100".to_owned()),
        period: Some(Period {
            start_ms: NOW,
            end_ms: None,
        }),
        test_data: true,
    }
}

pub(crate) fn a_contact() -> Contact {
    Contact {
        roles: vec![ContactRole::Emergency, ContactRole::NextOfKin],
        relationship: Some(Relationship::Spouse),
        name: Some("Sam Sample".to_owned()),
        phone: Some("+1-555-0101".to_owned()),
        period: None,
    }
}

pub(crate) fn an_issue() -> Issue {
    Issue {
        reason: Some(ActReason::TestData),
        diagnostics: Some("line 3".to_owned()),
        expressions: vec!["Bundle.entry[0]".to_owned()],
        ..Issue::new(
            Severity::Error,
            IssueType::Invalid,
            "The bundle has no patient.",
        )
    }
}

/// Every event, by the name of its fixture.
pub(crate) fn events() -> Vec<(&'static str, Stamp, Event)> {
    use ActReason::{
        BreakGlass, Compliance, FamilyRequested, PatientRequested, PowerOfAttorney, SupportNetwork,
        Treatment,
    };
    let roster = Change::Roster {
        patient: patient(),
        epoch: 2,
        members: 5,
    };
    let tier_key = Change::TierKey {
        patient: patient(),
        tier: Tier::Sensitive,
        epoch: 3,
    };
    let member_key = Change::MemberKey {
        member: Party {
            kind: PartyKind::RelatedPerson,
            id: kin_id(),
        },
    };
    #[rustfmt::skip]
    let events: Vec<(&'static str, &[ActReason], Event)> = vec![
        ("audit-read", &[Treatment], Event::Read(read())),
        ("audit-approved", &[BreakGlass, FamilyRequested], Event::Decision(decision(Verdict::Approved))),
        ("audit-refused", &[BreakGlass, SupportNetwork], Event::Decision(decision(refused("The patient can be asked.")))),
        ("audit-released", &[BreakGlass, PowerOfAttorney], Event::Disclosure(disclosure(Side::Source))),
        ("audit-received", &[BreakGlass], Event::Disclosure(disclosure(Side::Recipient))),
        ("audit-override-started", &[BreakGlass], Event::Override(emergency(Phase::Started, Some("Found unconscious")))),
        ("audit-override-stopped", &[BreakGlass, Compliance], Event::Override(emergency(Phase::Stopped, None))),
        ("audit-roster", &[PatientRequested], Event::Change(change(roster))),
        ("audit-validators", &[], Event::Change(change(Change::Validators { members: 7 }))),
        ("audit-member-key", &[], Event::Change(change(member_key))),
        ("audit-tier-key", &[PatientRequested], Event::Change(change(tier_key))),
        ("audit-node-started", &[], Event::Node(activity(Phase::Started))),
        ("audit-node-stopped", &[], Event::Node(activity(Phase::Stopped))),
        ("audit-erased-shares", &[PatientRequested], Event::Erasure(erasure(Erased::Shares))),
        ("audit-erased-records", &[PatientRequested], Event::Erasure(erasure(Erased::Records))),
    ];
    let stamped = events.into_iter();
    stamped
        .map(|(name, purposes, event)| (name, stamp(purposes), event))
        .collect()
}

/// Every resource, by the name of its fixture.
pub(crate) fn written() -> Vec<(&'static str, Value)> {
    let mut all: Vec<_> = events()
        .iter()
        .map(|(name, stamp, what)| (*name, event(stamp, what).unwrap()))
        .collect();
    let standing = consent::break_glass(&a_consent(ConsentState::Active));
    let grant = consent::grant(&a_consent(ConsentState::Active), &a_grant());
    let ended = consent::grant(
        &a_consent(ConsentState::Inactive),
        &Grant {
            records: Vec::new(),
            ..a_grant()
        },
    );
    // A contact is part of a Patient: written as one, it can be validated.
    let patient = json!({
        "resourceType": "Patient",
        "meta": {"security": [{
            "system": ActReason::TestData.system(),
            "code": ActReason::TestData.code(),
        }]},
        "contact": [kin::contact(&a_contact()).unwrap()],
    });
    all.extend([
        ("provenance", provenance(&a_provenance()).unwrap()),
        ("consent-break-glass", standing.unwrap()),
        ("consent-grant", grant.unwrap()),
        ("consent-grant-ended", ended.unwrap()),
        ("related-person", kin::related_person(&a_kin()).unwrap()),
        ("patient-contact", patient),
        ("outcome-suppressed", outcome::suppressed()),
        (
            "outcome-forbidden",
            outcome::forbidden("Not your patient.").unwrap(),
        ),
        (
            "outcome-expired",
            outcome::expired("The case was closed.").unwrap(),
        ),
        ("outcome-throttled", outcome::throttled(30)),
        ("outcome-error", outcome::outcome(&[an_issue()]).unwrap()),
    ]);
    all
}
