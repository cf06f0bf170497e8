//! X25519 (RFC 7748 section 5): public keys and the exchange, the same bytes on every processor (ADR 46).
//!
//! Where the processor can, by `graviola`: the text of s2n-bignum's assembly, which is proved correct and written to take
//! constant time. Elsewhere by `curve25519-dalek`, in the Edwards form, for which it has vector arithmetic, rather than by its ladder.

use curve25519_dalek::montgomery::MontgomeryPoint;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The public key of a secret one, which need not be clamped.
pub(super) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    assembly::public_key(secret).unwrap_or_else(|| in_edwards_form::public_key(secret))
}

/// `None` for a result of zeros, which RFC 9180 section 7.1.4 refuses. The secret need not be clamped.
pub(super) fn exchange(secret: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    let shared = assembly::exchange(secret, public)
        .unwrap_or_else(|| in_edwards_form::exchange(secret, public));
    let zero: bool = shared.as_ref().ct_eq(&[0; 32]).into();
    (!zero).then_some(shared)
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod assembly {
    use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};
    use zeroize::Zeroizing;

    /// The library stops the program on a processor that lacks something, so nothing of it is called there.
    fn available() -> bool {
        // What it does not ask for and its multiplication needs; a virtual machine may hide each by itself.
        #[cfg(target_arch = "x86_64")]
        let also = std::arch::is_x86_feature_detected!("bmi2");
        #[cfg(target_arch = "aarch64")]
        let also = true;
        also && graviola::util::is_cpu_supported()
    }

    pub(super) fn public_key(secret: &[u8; 32]) -> Option<[u8; 32]> {
        available().then(|| StaticPrivateKey::from_array(secret).public_key().as_bytes())
    }

    /// Zeros as they are.
    pub(super) fn exchange(secret: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        available().then(|| {
            let public = PublicKey::from_array(public);
            match StaticPrivateKey::from_array(secret).diffie_hellman(&public) {
                Ok(shared) => Zeroizing::new(shared.0),
                // Its only error: a result of zeros.
                Err(_) => Zeroizing::new([0; 32]),
            }
        })
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod assembly {
    use zeroize::Zeroizing;

    pub(super) fn public_key(_: &[u8; 32]) -> Option<[u8; 32]> {
        None
    }

    pub(super) fn exchange(_: &[u8; 32], _: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        None
    }
}

mod in_edwards_form {
    use super::{MontgomeryPoint, Zeroizing};

    pub(super) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
        MontgomeryPoint::mul_base_clamped(*secret).0
    }

    /// An `u` belongs to two points, `P` and `-P`, or to none but on the twist. Which, is public. In the former case the Edwards
    /// form of either gives the same `u` of the product; in the latter the ladder does it.
    pub(super) fn exchange(secret: &[u8; 32], public: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let public = MontgomeryPoint(*public);
        let product = Zeroizing::new(match public.to_edwards(0) {
            Some(point) => Zeroizing::new(point.mul_clamped(*secret)).to_montgomery(),
            None => public.mul_clamped(*secret),
        });
        Zeroizing::new(product.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    fn hex(text: &str) -> [u8; 32] {
        core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex"))
    }

    /// Whether there must be assembly here, said once more: without it a test of all ways would pass with one.
    #[cfg(target_arch = "x86_64")]
    fn expects_assembly() -> bool {
        use std::arch::is_x86_feature_detected as has;
        let vector = has!("avx") && has!("avx2") && has!("aes") && has!("pclmulqdq");
        vector && has!("adx") && has!("bmi1") && has!("bmi2")
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn expects_assembly() -> bool {
        assembly::public_key(&[1; 32]).is_some()
    }

    /// What `curve25519-dalek` and `x25519-dalek` compute.
    fn ladder(secret: &[u8; 32], public: &[u8; 32]) -> [u8; 32] {
        MontgomeryPoint(*public).mul_clamped(*secret).0
    }

    /// What [`exchange`] says, after every way there is on this machine said the same.
    fn everyway(secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
        let expected = ladder(secret, public);
        assert_eq!(
            *in_edwards_form::exchange(secret, public),
            expected,
            "{public:x?}"
        );
        if let Some(shared) = assembly::exchange(secret, public) {
            assert_eq!(*shared, expected, "assembly, {public:x?}");
        }
        let found = exchange(secret, public).map(|shared| *shared);
        assert_eq!(found, (expected != [0; 32]).then_some(expected));
        found
    }

    /// RFC 7748 sections 5.2 and 6.1.
    #[test]
    fn the_exchange_is_that_of_rfc_7748() {
        let vectors = [
            (
                "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
            ),
            (
                "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
            ),
            (
                "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
                "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
            ),
        ];
        for (secret, public, shared) in vectors {
            assert_eq!(everyway(&hex(secret), &hex(public)), Some(hex(shared)));
        }
        // Iterated, from the generator: once, and a thousand times, in which `u` lies on the curve and on the twist.
        let mut generator = [0; 32];
        generator[0] = 9;
        let (mut k, mut u) = (generator, generator);
        for round in 1..=1_000 {
            let next = everyway(&k, &u).expect("not zero");
            (u, k) = (k, next);
            if round == 1 {
                assert_eq!(
                    k,
                    hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
                );
            }
        }
        assert_eq!(
            k,
            hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
        );
    }

    /// RFC 7748 section 6.1, and whatever secrets: the same as an exchange with the generator.
    #[test]
    fn public_keys_are_those_of_rfc_7748() {
        let mut generator = [0; 32];
        generator[0] = 9;
        let pairs = [
            (
                "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            ),
            (
                "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            ),
        ];
        for (secret, public) in pairs {
            assert_eq!(public_key(&hex(secret)), hex(public));
        }
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let mut secrets = vec![[0; 32], [0xff; 32]];
        for _ in 0..500 {
            let mut secret = [0; 32];
            rng.fill_bytes(&mut secret);
            secrets.push(secret);
        }
        for secret in secrets {
            let expected = ladder(&secret, &generator);
            assert_eq!(public_key(&secret), expected);
            assert_eq!(in_edwards_form::public_key(&secret), expected);
            if let Some(found) = assembly::public_key(&secret) {
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn all_ways_are_the_ladder_on_curve_twist_and_at_the_edges() {
        assert_eq!(assembly::public_key(&[1; 32]).is_some(), expects_assembly());
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let (mut on_curve, mut on_twist) = (0, 0);
        let mut edges = Vec::new();
        // Small numbers, and those around p and 2p, as 255 and as 256 bits: low orders, -1, and what is not canonical.
        for low in 0..=255 {
            for rest in [0x00, 0xff] {
                for top in [0x00, 0x7f, 0x80, 0xff] {
                    let mut u = [rest; 32];
                    (u[0], u[31]) = (low, top);
                    edges.push(u);
                }
            }
        }
        // The two points of order 8 (RFC 7748 section 6.1 speaks of them; the values are from Bernstein's page on Curve25519).
        edges.push(hex(
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        ));
        edges.push(hex(
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        ));
        let mut none = 0;
        for u in edges {
            let mut secret = [0; 32];
            rng.fill_bytes(&mut secret);
            none += u32::from(everyway(&secret, &u).is_none());
        }
        assert!(none >= 7, "points of low order give zero: {none}");
        for _ in 0..500 {
            let (mut secret, mut u) = ([0; 32], [0; 32]);
            rng.fill_bytes(&mut secret);
            rng.fill_bytes(&mut u);
            if MontgomeryPoint(u).to_edwards(0).is_some() {
                on_curve += 1;
            } else {
                on_twist += 1;
            }
            everyway(&secret, &u);
        }
        assert!(on_curve > 150 && on_twist > 150);
    }
}
