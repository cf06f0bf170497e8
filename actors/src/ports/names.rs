//! Names of actors: the addresses of the in-process transport and the words in logs and tables.

use serde::{Deserialize, Serialize};

/// One actor of a cluster. `Display` and `FromStr` use forms such as `validator-0` and `kin-2-4`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ActorName {
    /// A validator, by its number in the genesis.
    Validator(u16),
    /// The leader of that validator.
    Leader(u16),
    /// A hospital, from 0.
    Hospital(u16),
    /// A patient, from 0.
    Patient(u16),
    /// A friend or relative: the patient's number, then its own, both from 0.
    Kin(u16, u8),
    /// Whoever sits in front of the program: the driver of a scenario, a clinician's or a kin's screen.
    Driver,
}

impl core::fmt::Display for ActorName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Validator(n) => write!(f, "validator-{n}"),
            Self::Leader(n) => write!(f, "leader-{n}"),
            Self::Hospital(n) => write!(f, "hospital-{n}"),
            Self::Patient(n) => write!(f, "patient-{n}"),
            Self::Kin(patient, n) => write!(f, "kin-{patient}-{n}"),
            Self::Driver => f.write_str("driver"),
        }
    }
}

/// A text that names no actor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' names no actor; write for example validator-0, hospital-1, patient-0 or kin-0-3")]
pub struct BadName {
    /// The text.
    pub text: String,
}

impl core::str::FromStr for ActorName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadName {
            text: text.to_owned(),
        };
        let mut parts = text.split('-');
        let role = parts.next().ok_or_else(bad)?;
        let numbers: Vec<&str> = parts.collect();
        let name = match (role, numbers.as_slice()) {
            ("driver", []) => Self::Driver,
            ("validator", [n]) => Self::Validator(n.parse().map_err(|_| bad())?),
            ("leader", [n]) => Self::Leader(n.parse().map_err(|_| bad())?),
            ("hospital", [n]) => Self::Hospital(n.parse().map_err(|_| bad())?),
            ("patient", [n]) => Self::Patient(n.parse().map_err(|_| bad())?),
            ("kin", [patient, n]) => Self::Kin(
                patient.parse().map_err(|_| bad())?,
                n.parse().map_err(|_| bad())?,
            ),
            _ => return Err(bad()),
        };
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in [
            ActorName::Validator(3),
            ActorName::Leader(0),
            ActorName::Hospital(1),
            ActorName::Patient(9),
            ActorName::Kin(2, 4),
            ActorName::Driver,
        ] {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for bad in [
            "",
            "kin-1",
            "kin-a-b",
            "validator",
            "validator-1-2",
            "nurse-1",
        ] {
            assert!(bad.parse::<ActorName>().is_err(), "{bad}");
        }
    }
}
