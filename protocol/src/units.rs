//! How much and when: newtypes for every number with a unit.

use serde::{Deserialize, Serialize};
use std::time::{Duration, UNIX_EPOCH};

macro_rules! number {
    ($(#[$meta:meta])* $name:ident, $inner:ty) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// Sum, held at the largest value instead of wrapping.
            #[must_use]
            pub fn plus(self, more: $inner) -> Self {
                Self(self.0.saturating_add(more))
            }

            /// Difference, held at zero instead of wrapping.
            #[must_use]
            pub fn minus(self, less: $inner) -> Self {
                Self(self.0.saturating_sub(less))
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// Number of a block; the first block has height 1, the genesis state height 0.
    Height, u64
);
number!(
    /// Attempt to agree within one height; starts at 1.
    View, u64
);
number!(
    /// Milliseconds: a point in time since 1970-01-01T00:00Z, or a span.
    Millis, u64
);
number!(
    /// A validator's standing, in `0..=1_000_000` (design, consensus section 4).
    Credit, u32
);
number!(
    /// Generation of a patient's roster and shares; starts at 1, rises with every change.
    Epoch, u32
);
number!(
    /// A signer's transaction counter; starts at 0.
    Sequence, u64
);

impl Millis {
    /// As a point in time for people, in UTC. What lies after the year 9999 is shown as its end.
    #[must_use]
    pub fn moment(self) -> String {
        const LAST: Millis = Millis(253_402_300_799_999);
        let time = UNIX_EPOCH.checked_add(Duration::from_millis(self.min(LAST).0));
        time.map_or_else(
            || "an unknown time".to_owned(),
            |time| {
                let text = humantime::format_rfc3339_seconds(time).to_string();
                text.replace('T', " ").replace('Z', " UTC")
            },
        )
    }
}

/// The place of one share, in `1..=255`. Zero is the secret itself and therefore no share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct ShareIndex(core::num::NonZeroU8);

/// A share index of zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a share index is at least 1: index 0 would be the secret itself")]
pub struct ZeroShareIndex;

impl ShareIndex {
    /// # Errors
    /// [`ZeroShareIndex`] for 0.
    pub fn new(index: u8) -> Result<Self, ZeroShareIndex> {
        core::num::NonZeroU8::new(index)
            .map(Self)
            .ok_or(ZeroShareIndex)
    }

    /// The index of the member at `position` (from 0) of a roster; none past the 255th.
    #[must_use]
    pub fn from_position(position: usize) -> Option<Self> {
        u8::try_from(position.checked_add(1)?)
            .ok()
            .and_then(|index| Self::new(index).ok())
    }

    /// The number, in `1..=255`.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0.get()
    }

    /// Where the member with this index stands in its roster, from 0.
    #[must_use]
    pub fn position(self) -> usize {
        usize::from(self.0.get()) - 1
    }
}

impl TryFrom<u8> for ShareIndex {
    type Error = ZeroShareIndex;
    fn try_from(index: u8) -> Result<Self, Self::Error> {
        Self::new(index)
    }
}

impl From<ShareIndex> for u8 {
    fn from(index: ShareIndex) -> Self {
        index.get()
    }
}

impl core::fmt::Display for ShareIndex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a record is for; every tier has a key, a threshold and a rule of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// What an emergency room needs at once: a derived International Patient Summary.
    Summary,
    /// The original bytes, but for what is sensitive.
    Chart,
    /// Psychiatry, HIV, domestic violence, genetics, addiction; whatever is labelled R or V.
    Sensitive,
}

impl Tier {
    /// Every tier, in the order of growing privacy.
    pub const ALL: [Self; 3] = [Self::Summary, Self::Chart, Self::Sensitive];

    /// The tier's name in text and in hashes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Chart => "chart",
            Self::Sensitive => "sensitive",
        }
    }
}

/// One of a patient's two circles of kin. Each has a roster, share indices, a sharing and a majority of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CircleKind {
    /// The patient's roster: it holds shares of all tiers and the shards of all records.
    First,
    /// Those to turn to when the first circle cannot be reached: they hold shares of the summary key.
    Second,
}

impl CircleKind {
    /// The circle's name in text and in hashes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }
}

impl core::fmt::Display for CircleKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::fmt::Display for Tier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
