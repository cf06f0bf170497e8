//! Hashing with a domain string and length-prefixed fields, so that no two
//! different inputs ever feed the same bytes to the hash.

use crate::bytes::byte_newtype;
use ring::digest;

byte_newtype!(
    /// A SHA-256 digest.
    Digest, 32
);

impl Digest {
    /// Thirty-two zero bytes: "nothing yet".
    pub const ZERO: Self = Self([0; 32]);
}

impl Default for Digest {
    fn default() -> Self {
        Self::ZERO
    }
}

/// Collects fields for a hash one at a time; each is prefixed with its length (eight bytes, big endian).
pub struct HashWriter(digest::Context);

impl HashWriter {
    /// Starts a SHA-256 with the `domain` string as first field.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        Self::with(&digest::SHA256, domain)
    }

    fn with(algorithm: &'static digest::Algorithm, domain: &str) -> Self {
        let mut writer = Self(digest::Context::new(algorithm));
        writer.field(domain.as_bytes());
        writer
    }

    /// Adds one field.
    pub fn field(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a number as one field of eight bytes.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.field(number.to_be_bytes())
    }

    /// The digest of all fields.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        Digest(out)
    }
}

/// SHA-256 over `domain` and `fields`.
#[must_use]
pub fn hash(domain: &str, fields: &[&[u8]]) -> Digest {
    let mut writer = HashWriter::new(domain);
    for field in fields {
        writer.field(field);
    }
    writer.finish()
}

/// SHA-512 over `domain` and `fields`: wide enough to reduce to a scalar or to map to a group element.
#[must_use]
pub fn hash_wide(domain: &str, fields: &[&[u8]]) -> [u8; 64] {
    let mut writer = HashWriter::with(&digest::SHA512, domain);
    for field in fields {
        writer.field(field);
    }
    let mut out = [0; 64];
    out.copy_from_slice(writer.0.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_ne!(hash("d", &[b"ab", b"c"]), hash("d", &[b"a", b"bc"]));
        assert_ne!(hash("d", &[b"ab"]), hash("d", &[b"ab", b""]));
        assert_ne!(hash("da", &[b"b"]), hash("d", &[b"ab"]));
    }
}
