//! The words of a script: names of actors by role, and spans of time. A wrong one is refused where it stands.

use kithkin_actors::ports::names::ActorName;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

macro_rules! role {
    ($(#[$meta:meta])* $name:ident($($field:ident: $type:ty),+), $variant:ident, $example:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name($(
            #[doc = concat!("The number of the ", stringify!($field), ", from 0.")]
            pub $type
        ),+);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match name(deserializer)? {
                    ActorName::$variant($($field),+) => Ok(Self($($field),+)),
                    other => Err(D::Error::custom(format!(
                        "'{other}' does not belong here; write for example {}",
                        $example
                    ))),
                }
            }
        }

        impl From<$name> for ActorName {
            fn from(role: $name) -> Self {
                let $name($($field),+) = role;
                Self::$variant($($field),+)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                ActorName::from(*self).fmt(f)
            }
        }
    };
}

role!(
    /// A hospital of the cast.
    HospitalName(hospital: u16), Hospital, "hospital-0"
);
role!(
    /// A patient of the cast.
    PatientName(patient: u16), Patient, "patient-0"
);
role!(
    /// A friend or relative of the cast.
    KinName(patient: u16, kin: u8), Kin, "kin-0-3"
);
role!(
    /// A validator of the cast.
    ValidatorName(validator: u16), Validator, "validator-0"
);

/// Any actor of the cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyName(pub ActorName);

impl<'de> Deserialize<'de> for AnyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match name(deserializer)? {
            ActorName::Driver => Err(D::Error::custom(
                "the driver is the script itself; name an actor, for example kin-0-3",
            )),
            other => Ok(Self(other)),
        }
    }
}

/// An actor, or the validator whose turn it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one.
    Actor(ActorName),
    /// `next-master`: the validator that is to build the next block.
    NextMaster,
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "next-master" {
            return Ok(Self::NextMaster);
        }
        let name = text.parse().map_err(D::Error::custom)?;
        Ok(Self::Actor(name))
    }
}

/// A span of time, written as `250ms`, `5s` or `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format!(
                "'{text}' is no span of time ({error}); write for example 5s"
            ))
        })?;
        Ok(Self(span))
    }
}

impl core::fmt::Display for Span {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ActorName, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}
