//! AuditEvents: what happened to whose records, after IHE's Basic Audit Log Patterns (BALP 1.1).
//!
//! | file | event | BALP profile |
//! |---|---|---|
//! | `read.rs` | a clinician read records | PatientRead |
//! | `decision.rs` | a kin agreed or refused | AuthZconsent |
//! | `disclosure.rs` | a kin released, a hospital received | PrivacyDisclosure.Source, .Recipient |
//! | `erasure.rs` | shares or records were erased | PatientDelete |
//! | `security.rs` | emergency override, rosters and keys, nodes | none exists |
//!
//! Every event names the ledger's transaction and its height. They stand in the details of an
//! entity of their own; AuthZconsent allows none, so there they stand in the Consent's. The `id`
//! derives from transaction, height, kind of event, observer and object: whoever writes the same
//! event writes it under the same id.
//!
//! Not here: what is an event, and when (the ledger decides); keeping them; [`crate::provenance`].

mod decision;
mod disclosure;
mod erasure;
mod parts;
mod read;
mod security;

use kithkin_protocol::units::Tier;
use serde_json::Value;

use crate::code::{ActReason, Coded, EventAction, EventOutcome, EventSubtype, EventType};
use crate::fact::write::{self, Object};
use crate::fact::{FactError, Identifier, Ledger, Machine, Party};
use parts::Draft;

/// What all events have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// When it was recorded, in milliseconds since 1970-01-01T00:00Z.
    pub recorded_ms: u64,
    /// The transaction that tells of it. For a node: the last one it had executed.
    pub ledger: Ledger,
    /// Why it happened. An event about a patient has at least one reason.
    pub purposes: Vec<ActReason>,
    /// Whether the event is synthetic; it is then labelled HTEST.
    pub test_data: bool,
}

/// An event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A clinician read records.
    Read(Read),
    /// A kin decided about a request.
    Decision(Decision),
    /// Records were disclosed.
    Disclosure(Disclosure),
    /// An emergency override started or stopped.
    Override(Override),
    /// A roster or a key changed.
    Change(SecurityChange),
    /// A node started or stopped.
    Node(NodeActivity),
    /// Data were erased.
    Erasure(Erasure),
}

/// Who asks for records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requester {
    /// The clinician.
    pub clinician: Identifier,
    /// The clinician's hospital.
    pub hospital: Identifier,
}

/// Records of one tier in one case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Records {
    /// What names them: a batch, or a digest over their identifiers.
    pub id: Identifier,
    /// The emergency case.
    pub case: Identifier,
    /// Their tier.
    pub tier: Tier,
    /// How many, from 1.
    pub count: u32,
}

/// A clinician read records at the hospital. Recorded by the hospital's node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Read {
    /// Whose records.
    pub patient: Identifier,
    /// Who read.
    pub requester: Requester,
    /// The machine they were read on.
    pub client: Machine,
    /// The hospital's node.
    pub server: Machine,
    /// What was read.
    pub records: Records,
}

/// A kin's decision about a request. Recorded by the kin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Whose records are asked for.
    pub patient: Identifier,
    /// Who asks.
    pub requester: Requester,
    /// The machine that sent the request.
    pub client: Machine,
    /// What the requester says it is for.
    pub purpose: ActReason,
    /// The kin who decided.
    pub kin: Identifier,
    /// The Consent under which kin decide.
    pub consent: Identifier,
    /// The emergency case.
    pub case: Identifier,
    /// The tiers asked for.
    pub tiers: Vec<Tier>,
    /// The decision.
    pub verdict: Verdict,
}

/// What a kin decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Yes.
    Approved,
    /// No: the event's outcome is a failure.
    Refused {
        /// Why, in words.
        reason: String,
    },
}

/// Records went from a kin to a hospital.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disclosure {
    /// Who recorded it.
    pub side: Side,
    /// Whose records.
    pub patient: Identifier,
    /// For whom.
    pub requester: Requester,
    /// The kin who released.
    pub kin: Identifier,
    /// The kin's node.
    pub source: Machine,
    /// The hospital's node.
    pub recipient: Machine,
    /// What was disclosed.
    pub records: Records,
}

/// Which end of a disclosure recorded it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The kin's node: an export.
    Source,
    /// The hospital's node: an import.
    Recipient,
}

/// Whether something began or ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It began.
    Started,
    /// It ended.
    Stopped,
}

/// An emergency override began or ended. Recorded by the hospital's node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    /// Which of the two.
    pub phase: Phase,
    /// Whose records.
    pub patient: Identifier,
    /// Who overrides.
    pub requester: Requester,
    /// The hospital's node.
    pub node: Machine,
    /// The emergency case.
    pub case: Identifier,
    /// What happened to the patient, in words.
    pub reason: Option<String>,
}

/// A roster or a key changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecurityChange {
    /// Who ordered it.
    pub by: Party,
    /// The node that recorded it.
    pub node: Machine,
    /// What changed.
    pub change: Change,
}

/// What changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A patient's kin.
    Roster {
        /// Whose kin.
        patient: Identifier,
        /// The roster's new epoch.
        epoch: u32,
        /// How many kin it has, from 1.
        members: u32,
    },
    /// The validators of the ledger.
    Validators {
        /// How many there are, from 1.
        members: u32,
    },
    /// The keys of one member.
    MemberKey {
        /// Whose keys.
        member: Party,
    },
    /// The shares or the key of a patient's tier.
    TierKey {
        /// Whose records.
        patient: Identifier,
        /// The tier.
        tier: Tier,
        /// The new epoch.
        epoch: u32,
    },
}

/// A node started or stopped. Recorded by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeActivity {
    /// Which of the two.
    pub phase: Phase,
    /// The node.
    pub node: Machine,
    /// The program's name and version.
    pub program: String,
}

/// Data were erased. Recorded by the node that held them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Erasure {
    /// Whose data.
    pub patient: Identifier,
    /// Who ordered it.
    pub by: Party,
    /// The machine that asked for it.
    pub client: Machine,
    /// The machine that held the data.
    pub holder: Machine,
    /// What was erased.
    pub erased: Erased,
    /// What names it: a batch, a record, a share's epoch.
    pub data: Identifier,
    /// How many items, from 1.
    pub count: u32,
}

/// What was erased.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Erased {
    /// Shares of a tier's key.
    Shares,
    /// Sealed records.
    Records,
}

impl Erased {
    fn word(self) -> &'static str {
        match self {
            Self::Shares => "shares",
            Self::Records => "records",
        }
    }
}

/// A BALP profile, `https://profiles.ihe.net/ITI/BALP`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Profile {
    /// A successful read with a patient.
    PatientRead,
    /// A decision about access, with a consent.
    AuthZconsent,
    /// A disclosure as its source saw it.
    DisclosureSource,
    /// A disclosure as its recipient saw it.
    DisclosureRecipient,
    /// A successful deletion with a patient.
    PatientDelete,
}

impl Profile {
    /// Every profile that is written.
    pub const ALL: &'static [Self] = &[
        Self::PatientRead,
        Self::AuthZconsent,
        Self::DisclosureSource,
        Self::DisclosureRecipient,
        Self::PatientDelete,
    ];

    /// The profile's canonical address.
    #[must_use]
    #[rustfmt::skip]
    pub fn url(self) -> &'static str {
        match self {
            Self::PatientRead => "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead",
            Self::AuthZconsent => "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.AuthZconsent",
            Self::DisclosureSource => "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PrivacyDisclosure.Source",
            Self::DisclosureRecipient => "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PrivacyDisclosure.Recipient",
            Self::PatientDelete => "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientDelete",
        }
    }
}

/// Writes an event as an AuditEvent.
///
/// # Errors
/// [`FactError`] names the first field that cannot be written.
pub fn event(stamp: &Stamp, event: &Event) -> Result<Value, FactError> {
    let draft = match event {
        Event::Read(read) => read::draft(read, stamp),
        Event::Decision(decision) => decision::draft(decision, stamp),
        Event::Disclosure(disclosure) => disclosure::draft(disclosure, stamp),
        Event::Override(change) => security::emergency(change, stamp),
        Event::Change(change) => security::change(change, stamp),
        Event::Node(activity) => security::node(activity, stamp),
        Event::Erasure(erasure) => erasure::draft(erasure, stamp),
    }?;
    assemble(stamp, draft)
}

fn assemble(stamp: &Stamp, draft: Draft) -> Result<Value, FactError> {
    if draft.has_patient {
        write::items("purposes", &stamp.purposes)?;
    }
    let purposes = write::few("purposes", &stamp.purposes)?;
    let kind = draft.subtype;
    let mut names = vec![
        draft.event_type.code(),
        kind.system(),
        kind.code(),
        draft.outcome.code(),
    ];
    names.extend(draft.names.iter().map(String::as_str));
    let id = write::stable_id("kithkin/fhir/audit-event/1", &stamp.ledger, &names);
    let source = Object::new()
        .with("observer", draft.observer)
        .list("type", vec![draft.source.coding()])
        .done();
    Ok(Object::resource("AuditEvent")
        .with("id", id)
        .maybe(
            "meta",
            write::meta(draft.profile.map(Profile::url), stamp.test_data),
        )
        .with("type", draft.event_type.coding())
        .list("subtype", vec![kind.coding()])
        .with("action", draft.action.code())
        .with("recorded", write::instant(stamp.recorded_ms)?)
        .with("outcome", draft.outcome.code())
        .maybe("outcomeDesc", draft.outcome_words)
        .list(
            "purposeOfEvent",
            purposes.iter().map(|purpose| purpose.concept()).collect(),
        )
        .list("agent", draft.agents)
        .with("source", source)
        .list("entity", draft.entities)
        .done())
}
