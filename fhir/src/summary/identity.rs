//! Identifiers for what the summary adds: version 8 UUIDs (RFC 9562, 5.8) made from names.
//!
//! Randomness would have to come from outside, and a cryptographic hash is not needed: what goes
//! in is the patient's own id and the time, both of which stand in the summary anyway.

/// A `urn:uuid:` that is the same for the same names and hardly ever for others.
pub(super) fn urn(names: &[&str]) -> String {
    // FNV-1a with 128 bits; offset basis and prime from draft-eastlake-fnv.
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = names
        .iter()
        // A separator that no name contains keeps ("ab", "c") and ("a", "bc") apart.
        .flat_map(|name| name.bytes().chain([0xff]))
        .fold(BASIS, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(PRIME)
        });
    const VERSION_8: u128 = 0x8 << 76;
    const VARIANT: u128 = 0b10 << 62;
    let bits = hash & !(0xf << 76) & !(0b11 << 62) | VERSION_8 | VARIANT;
    format!(
        "urn:uuid:{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        bits >> 80 & 0xffff,
        bits >> 64 & 0xffff,
        bits >> 48 & 0xffff,
        bits & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_shape_of_a_uuid_and_depends_on_every_name() {
        let one = urn(&["ab", "c"]);
        assert_ne!(one, urn(&["a", "bc"]));
        assert_eq!(one, urn(&["ab", "c"]));
        assert_eq!(one.len(), "urn:uuid:".len() + 36);
        let digits: Vec<char> = one.chars().collect();
        assert_eq!(digits[9 + 14], '8');
        assert!(matches!(digits[9 + 19], '8' | '9' | 'a' | 'b'));
    }
}
