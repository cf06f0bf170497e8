//! Facts from which resources are written: who, what, when, and where it stands on the ledger.
//!
//! Everything comes from outside: identifiers, times, heights. People are named by pseudonyms, as
//! the ledger names them; a name in plain text is written only where the caller gives one. Every
//! text is checked before it is written, and a bad one is an error that names the field.
//!
//! Not here: the resources ([`crate::audit`], [`crate::provenance`], [`crate::consent`],
//! [`crate::kin`], [`crate::outcome`]), the codes ([`crate::code`]).

pub(crate) mod write;

/// The longest text, in characters.
pub const TEXT_CHARS_MAX: usize = 1_000;

/// The longest identifier or address, in characters.
pub const TOKEN_CHARS_MAX: usize = 256;

/// The most items of a list, such as the records of a grant.
pub const ITEMS_MAX: usize = 1_024;

/// Why a resource was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactError {
    /// A text, a list or a count that must hold something is empty.
    #[error("{field} is empty")]
    Empty {
        /// Which field.
        field: &'static str,
    },
    /// A text is longer than may be written.
    #[error("{field} has {chars} characters; at most {max} are written")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// Its length.
        chars: usize,
        /// The most.
        max: usize,
    },
    /// A list has more items than may be written.
    #[error("{field} has {count} items; at most {max} are written")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// How many.
        count: usize,
        /// The most.
        max: usize,
    },
    /// An item stands twice in a list.
    #[error("{field} has an item twice")]
    Twice {
        /// Which field.
        field: &'static str,
    },
    /// A text has a character that is not allowed there.
    #[error("{field} has the character U+{code:04X}, which is not allowed there")]
    Character {
        /// Which field.
        field: &'static str,
        /// The character's number.
        code: u32,
    },
    /// A text is not of the form that its field wants.
    #[error("{field} is no {expected}")]
    Form {
        /// Which field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The time cannot be written with a year of four digits.
    #[error("{ms} ms since 1970 is no time that can be written")]
    Time {
        /// The time given.
        ms: u64,
    },
    /// A period ends before it starts.
    #[error("the period starts at {start_ms} and ends at {end_ms}")]
    Period {
        /// Its start in milliseconds.
        start_ms: u64,
        /// Its end in milliseconds.
        end_ms: u64,
    },
}

/// A pseudonymous identifier: the system that gives it out, and its value there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Identifier {
    /// An absolute URI: a URN or an address. [`Namespace::uri`] has those of this project.
    pub system: String,
    /// The identifier, at most [`TOKEN_CHARS_MAX`] printable characters without spaces.
    pub value: String,
}

impl Identifier {
    /// An identifier of this project.
    #[must_use]
    pub fn new(namespace: Namespace, value: impl Into<String>) -> Self {
        Self {
            system: namespace.uri().to_owned(),
            value: value.into(),
        }
    }
}

/// What identifiers of this project identify.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Namespace {
    /// Patients.
    Patient,
    /// Friends and relatives.
    Kin,
    /// Hospitals.
    Hospital,
    /// Clinicians.
    Clinician,
    /// Machines.
    Node,
    /// Emergency cases.
    Case,
    /// Uploads of records.
    Batch,
    /// Single records.
    Record,
    /// Consents.
    Consent,
    /// Transactions of the ledger.
    Transaction,
}

impl Namespace {
    /// The system of the identifiers.
    ///
    /// The address is reserved never to lead anywhere (RFC 2606), so nobody else can give it a
    /// meaning.
    #[must_use]
    pub fn uri(self) -> &'static str {
        match self {
            Self::Patient => "https://kithkin.invalid/fhir/id/patient",
            Self::Kin => "https://kithkin.invalid/fhir/id/kin",
            Self::Hospital => "https://kithkin.invalid/fhir/id/hospital",
            Self::Clinician => "https://kithkin.invalid/fhir/id/clinician",
            Self::Node => "https://kithkin.invalid/fhir/id/node",
            Self::Case => "https://kithkin.invalid/fhir/id/case",
            Self::Batch => "https://kithkin.invalid/fhir/id/batch",
            Self::Record => "https://kithkin.invalid/fhir/id/record",
            Self::Consent => "https://kithkin.invalid/fhir/id/consent",
            Self::Transaction => "https://kithkin.invalid/fhir/id/transaction",
        }
    }
}

/// What a party is, as a FHIR resource type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PartyKind {
    /// The patient.
    Patient,
    /// A friend or relative.
    RelatedPerson,
    /// A clinician.
    Practitioner,
    /// A hospital.
    Organization,
    /// A machine or program.
    Device,
}

impl PartyKind {
    /// The resource type.
    #[must_use]
    pub fn resource_type(self) -> &'static str {
        match self {
            Self::Patient => "Patient",
            Self::RelatedPerson => "RelatedPerson",
            Self::Practitioner => "Practitioner",
            Self::Organization => "Organization",
            Self::Device => "Device",
        }
    }
}

/// Somebody or something that acts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Party {
    /// What it is.
    pub kind: PartyKind,
    /// Its pseudonym.
    pub id: Identifier,
}

/// A machine with its place in the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    /// Its identifier.
    pub id: Identifier,
    /// Where it is reached.
    pub address: Address,
}

/// A machine's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// The name of a machine or domain.
    Name(String),
    /// An IP address.
    Ip(std::net::IpAddr),
    /// An absolute URI.
    Uri(String),
}

/// Where a fact stands on the ledger.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ledger {
    /// The transaction's identifier.
    pub transaction: String,
    /// The height of its block.
    pub height: u64,
}

/// A span of time, both ends in milliseconds since 1970-01-01T00:00Z. An end that is not known or
/// not decided is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    /// From when on.
    pub start_ms: u64,
    /// Until when, not before the start.
    pub end_ms: Option<u64>,
}
