//! What a member of the roster is to the patient (HL7 v3-RoleCode).

use serde::{Deserialize, Serialize};

/// A member's relation to the patient, as the patient states it. Kin, clinicians and reviewers see it beside an approval.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// Husband or wife.
    Spouse,
    /// Lives with the patient as a partner.
    Partner,
    /// Daughter or son.
    Child,
    /// Mother or father.
    Parent,
    /// Sister or brother.
    Sibling,
    /// Of the wider family.
    Extended,
    /// Of the family, not said more closely.
    Family,
    /// A friend.
    #[default]
    Friend,
    /// A neighbour.
    Neighbour,
    /// Close to the patient in another way.
    SignificantOther,
}

impl Relation {
    /// Every relation.
    pub const ALL: [Self; 10] = [
        Self::Spouse,
        Self::Partner,
        Self::Child,
        Self::Parent,
        Self::Sibling,
        Self::Extended,
        Self::Family,
        Self::Friend,
        Self::Neighbour,
        Self::SignificantOther,
    ];

    /// The code in `http://terminology.hl7.org/CodeSystem/v3-RoleCode`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Spouse => "SPS",
            Self::Partner => "DOMPART",
            Self::Child => "CHILD",
            Self::Parent => "PRN",
            Self::Sibling => "SIB",
            Self::Extended => "EXT",
            Self::Family => "FAMMEMB",
            Self::Friend => "FRND",
            Self::Neighbour => "NBOR",
            Self::SignificantOther => "SIGOTHR",
        }
    }

    /// The relation in text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spouse => "spouse",
            Self::Partner => "partner",
            Self::Child => "child",
            Self::Parent => "parent",
            Self::Sibling => "sibling",
            Self::Extended => "extended family",
            Self::Family => "family",
            Self::Friend => "friend",
            Self::Neighbour => "neighbour",
            Self::SignificantOther => "significant other",
        }
    }
}
