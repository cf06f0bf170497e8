//! The macro behind every fixed-size byte string: keys, digests, signatures, identifiers.
//!
//! Binary formats carry raw bytes (half the size of a sequence of integers),
//! human-readable ones carry lower-case hexadecimal.

/// Declares a newtype over `[u8; N]` with ordering, hexadecimal text and compact serde.
macro_rules! byte_newtype {
    ($(#[$meta:meta])* $name:ident, $len:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// All bytes in lower-case hexadecimal.
            #[must_use]
            pub fn to_hex(&self) -> String {
                crate::bytes::hex(&self.0)
            }

            /// Reads exactly `2 * LEN` hexadecimal digits.
            ///
            /// # Errors
            /// [`BadHex`](crate::bytes::BadHex) on a wrong length or a character that is no digit.
            pub fn from_hex(text: &str) -> Result<Self, crate::bytes::BadHex> {
                crate::bytes::unhex(text).map(Self)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl core::fmt::Display for $name {
            /// Eight digits, enough to tell things apart in a log; `{:#}` writes all of them.
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let text = self.to_hex();
                if f.alternate() {
                    f.write_str(&text)
                } else {
                    f.write_str(text.get(..8).unwrap_or(&text))
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                crate::bytes::serialize(&self.0, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::bytes::deserialize(deserializer).map(Self)
            }
        }
    };
}
pub(crate) use byte_newtype;

/// Text that is not the expected number of hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits")]
pub struct BadHex {
    /// How many digits were expected.
    pub expected: usize,
}

/// Lower-case hexadecimal of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Reads exactly `2 * N` hexadecimal digits.
///
/// # Errors
/// [`BadHex`] on a wrong length or a character that is no digit.
pub fn unhex<const N: usize>(text: &str) -> Result<[u8; N], BadHex> {
    let bad = BadHex { expected: 2 * N };
    if text.len() != 2 * N || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(bad);
    }
    let mut bytes = [0u8; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        let digits = text.get(2 * i..2 * i + 2).ok_or(bad)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| bad)?;
    }
    Ok(bytes)
}

pub(crate) fn serialize<S: serde::Serializer>(
    bytes: &[u8],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_str(&hex(bytes))
    } else {
        serializer.serialize_bytes(bytes)
    }
}

pub(crate) fn deserialize<'de, const N: usize, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    struct Fixed<const N: usize>;

    impl<const N: usize> serde::de::Visitor<'_> for Fixed<N> {
        type Value = [u8; N];

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            write!(f, "{N} bytes")
        }

        fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            bytes
                .try_into()
                .map_err(|_| E::invalid_length(bytes.len(), &self))
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            unhex(text).map_err(E::custom)
        }
    }

    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Fixed::<N>)
    } else {
        deserializer.deserialize_bytes(Fixed::<N>)
    }
}
