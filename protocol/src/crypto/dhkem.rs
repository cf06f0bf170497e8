//! DHKEM(X25519, HKDF-SHA256) of RFC 9180 section 4.1 for `hpke`, base mode only; ADR 44.
//!
//! The same bytes as `hpke`'s own, in two thirds of the time. Keys, their derivation, the key derivation function and the
//! key schedule are `hpke`'s; here are the order of the steps and one exchange. The curve's points are multiplied in the
//! Edwards form, where `curve25519-dalek` has vector arithmetic, and no public key is computed twice.

use curve25519_dalek::montgomery::MontgomeryPoint;
use hpke::hybrid_array::typenum::U32;
use hpke::kdf::{HkdfSha256, Kdf as _};
use hpke::kem::{SharedSecret, X25519HkdfSha256 as Library};
use hpke::{Deserializable, HpkeError, Kem, Serializable};
use rand_core::CryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

type LibraryKey = <Library as Kem>::PrivateKey;
type PublicKey = <Library as Kem>::PublicKey;
type EncappedKey = <Library as Kem>::EncappedKey;

/// `suite_id`: "KEM" and the identifier 0x0020.
const SUITE: [u8; 5] = [b'K', b'E', b'M', 0x00, 0x20];

/// The key encapsulation. Whoever asks for the authenticated modes gets an error.
pub(super) struct X25519HkdfSha256;

/// A private key and its public one, which the library would compute anew for each message. Wiped by the library.
#[derive(Clone)]
pub(super) struct PrivateKey {
    secret: LibraryKey,
    public: PublicKey,
}

impl PrivateKey {
    fn exchange(&self, with: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let secret = Zeroizing::new(<[u8; 32]>::from(self.secret.to_bytes()));
        exchange(&secret, with)
    }
}

/// X25519 (RFC 7748 section 5). `None` for a result of zeros, which RFC 9180 section 7.1.4 refuses.
///
/// An `u` belongs to two points, `P` and `-P`, or to none but on the twist. Which, is public. In the former case the Edwards form
/// of either gives the same `u` of the product; in the latter the ladder does it.
fn exchange(secret: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    let public = MontgomeryPoint(*public);
    let product = Zeroizing::new(match public.to_edwards(0) {
        Some(point) => Zeroizing::new(point.mul_clamped(*secret)).to_montgomery(),
        None => public.mul_clamped(*secret),
    });
    let shared = Zeroizing::new(product.0);
    let zero: bool = shared.as_ref().ct_eq(&[0; 32]).into();
    (!zero).then_some(shared)
}

/// `ExtractAndExpand(dh, enc || pkR)`.
fn shared_secret(
    dh: &[u8; 32],
    enc: &[u8; 32],
    recipient: &[u8; 32],
) -> Result<SharedSecret<X25519HkdfSha256>, HpkeError> {
    let context = [enc.as_slice(), recipient].concat();
    let mut secret = SharedSecret::default();
    HkdfSha256::extract_and_expand(dh, &SUITE, &context, &mut secret.0)?;
    Ok(secret)
}

impl Kem for X25519HkdfSha256 {
    type PublicKey = PublicKey;
    type PrivateKey = PrivateKey;
    type EncappedKey = EncappedKey;
    type NSecret = U32;
    const KEM_ID: u16 = Library::KEM_ID;

    fn sk_to_pk(key: &PrivateKey) -> PublicKey {
        key.public.clone()
    }

    fn derive_keypair(ikm: &[u8]) -> (PrivateKey, PublicKey) {
        let (secret, public) = Library::derive_keypair(ikm);
        let key = PrivateKey {
            secret,
            public: public.clone(),
        };
        (key, public)
    }

    fn encap_with_rng(
        recipient: &PublicKey,
        sender: Option<(&PrivateKey, &PublicKey)>,
        rng: &mut impl CryptoRng,
    ) -> Result<(SharedSecret<Self>, EncappedKey), HpkeError> {
        if sender.is_some() {
            return Err(HpkeError::EncapError);
        }
        let (ephemeral, enc) = Self::gen_keypair_with_rng(rng);
        let recipient = recipient.to_bytes().into();
        let enc: [u8; 32] = enc.to_bytes().into();
        let dh = ephemeral.exchange(&recipient);
        let dh = dh.ok_or(HpkeError::EncapError)?;
        let secret = shared_secret(&dh, &enc, &recipient)?;
        Ok((secret, EncappedKey::from_bytes(&enc)?))
    }

    fn decap(
        key: &PrivateKey,
        sender: Option<&PublicKey>,
        enc: &EncappedKey,
    ) -> Result<SharedSecret<Self>, HpkeError> {
        if sender.is_some() {
            return Err(HpkeError::DecapError);
        }
        let enc = enc.to_bytes().into();
        let dh = key.exchange(&enc).ok_or(HpkeError::DecapError)?;
        shared_secret(&dh, &enc, &key.public.to_bytes().into())
    }
}

impl ConstantTimeEq for PrivateKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.secret.ct_eq(&other.secret)
    }
}

impl Serializable for PrivateKey {
    type OutputSize = U32;
    fn write_exact(&self, buf: &mut [u8]) {
        self.secret.write_exact(buf);
    }
}

impl Deserializable for PrivateKey {
    fn from_bytes(encoded: &[u8]) -> Result<Self, HpkeError> {
        let secret = LibraryKey::from_bytes(encoded)?;
        let public = Library::sk_to_pk(&secret);
        Ok(Self { secret, public })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;
    use curve25519_dalek::scalar::clamp_integer;
    use hpke::aead::AesGcm256;
    use hpke::{OpModeR, OpModeS, single_shot_open, single_shot_seal_with_rng};
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _, TryCryptoRng, TryRng};

    fn hex(text: &str) -> [u8; 32] {
        core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex"))
    }

    /// What `curve25519-dalek` and `x25519-dalek` compute.
    fn ladder(secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
        let shared = MontgomeryPoint(*public).mul_clamped(*secret).0;
        (shared != [0; 32]).then_some(shared)
    }

    /// Gives out what it was given.
    struct Fixed([u8; 32]);

    impl TryRng for Fixed {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            unreachable!("bytes only")
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            unreachable!("bytes only")
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.copy_from_slice(&self.0);
            Ok(())
        }
    }

    impl TryCryptoRng for Fixed {}

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
            let found = exchange(&hex(secret), &hex(public)).expect("not zero");
            assert_eq!(*found, hex(shared));
        }
        // Iterated, from the generator: once, and a thousand times, in which `u` lies on the curve and on the twist.
        let mut generator = [0; 32];
        generator[0] = 9;
        let (mut k, mut u) = (generator, generator);
        for round in 1..=1_000 {
            let next = exchange(&k, &u).expect("not zero");
            (u, k) = (k, *next);
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

    #[test]
    fn the_exchange_is_the_ladder_on_curve_twist_and_at_the_edges() {
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
            let found = exchange(&secret, &u).map(|shared| *shared);
            assert_eq!(found, ladder(&secret, &u), "{u:x?}");
            none += u32::from(found.is_none());
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
            let found = exchange(&secret, &u).map(|shared| *shared);
            assert_eq!(found, ladder(&secret, &u), "{u:x?}");
        }
        assert!(on_curve > 150 && on_twist > 150);
    }

    /// RFC 9180 appendix A.1.1: the KEM is the same there.
    #[test]
    fn keys_and_shared_secret_are_those_of_rfc_9180() {
        let ikm_e = hex("7268600d403fce431561aef583ee1613527cff655c1343f29812e66706df3234");
        let ikm_r = hex("6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037");
        let (key, public) = X25519HkdfSha256::derive_keypair(&ikm_r);
        assert_eq!(
            <[u8; 32]>::from(public.to_bytes()),
            hex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d")
        );
        let private = hex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8");
        // The appendix shows it before clamping, the library after it.
        assert_eq!(<[u8; 32]>::from(key.to_bytes()), clamp_integer(private));
        let (sent, enc) =
            X25519HkdfSha256::encap_with_rng(&public, None, &mut Fixed(ikm_e)).expect("usable");
        assert_eq!(
            <[u8; 32]>::from(enc.to_bytes()),
            hex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431")
        );
        let shared = hex("fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc");
        assert_eq!(<[u8; 32]>::from(sent.0), shared);
        let received = X25519HkdfSha256::decap(&key, None, &enc).expect("usable");
        assert_eq!(<[u8; 32]>::from(received.0), shared);
    }

    /// From the same randomness the same message, byte for byte; each opens what the other sealed.
    #[test]
    fn it_is_the_librarys_own_kem() {
        type Aead = AesGcm256;
        for number in 0..64u8 {
            let (mine, my_public) = X25519HkdfSha256::derive_keypair(&[number; 32]);
            let (library, public) = Library::derive_keypair(&[number; 32]);
            assert_eq!(my_public, public);
            assert_eq!(mine.to_bytes(), library.to_bytes());
            let again = PrivateKey::from_bytes(&mine.to_bytes()).expect("a key");
            assert_eq!(X25519HkdfSha256::sk_to_pk(&again), public);
            assert!(bool::from(again.ct_eq(&mine)));
            let rng = || ChaCha20Rng::from_seed([number; 32]);
            let (info, text) = ([number; 7], [number; 99]);
            let ours = single_shot_seal_with_rng::<Aead, HkdfSha256, X25519HkdfSha256>(
                &OpModeS::Base,
                &my_public,
                &info,
                &text,
                b"aad",
                &mut rng(),
            );
            let theirs = single_shot_seal_with_rng::<Aead, HkdfSha256, Library>(
                &OpModeS::Base,
                &public,
                &info,
                &text,
                b"aad",
                &mut rng(),
            );
            let ((enc, sealed), (their_enc, their_sealed)) =
                (ours.expect("sealed"), theirs.expect("sealed"));
            assert_eq!(enc.to_bytes(), their_enc.to_bytes());
            assert_eq!(sealed, their_sealed);
            let opened = single_shot_open::<Aead, HkdfSha256, X25519HkdfSha256>(
                &OpModeR::Base,
                &mine,
                &their_enc,
                &info,
                &their_sealed,
                b"aad",
            );
            assert_eq!(opened.expect("opens"), text);
            let opened = single_shot_open::<Aead, HkdfSha256, Library>(
                &OpModeR::Base,
                &library,
                &enc,
                &info,
                &sealed,
                b"aad",
            );
            assert_eq!(opened.expect("opens"), text);
        }
    }

    #[test]
    fn other_modes_and_useless_keys_are_refused() {
        let (key, public) = X25519HkdfSha256::derive_keypair(&[1; 32]);
        let mut rng = ChaCha20Rng::from_seed([6; 32]);
        let sender = Some((&key, &public));
        let refused = X25519HkdfSha256::encap_with_rng(&public, sender, &mut rng);
        assert_eq!(refused.err(), Some(HpkeError::EncapError));
        let (_, enc) = X25519HkdfSha256::encap_with_rng(&public, None, &mut rng).expect("usable");
        let refused = X25519HkdfSha256::decap(&key, Some(&public), &enc);
        assert_eq!(refused.err(), Some(HpkeError::DecapError));
        let zero = PublicKey::from_bytes(&[0; 32]).expect("32 bytes");
        let refused = X25519HkdfSha256::encap_with_rng(&zero, None, &mut rng);
        assert_eq!(refused.err(), Some(HpkeError::EncapError));
        let zero = EncappedKey::from_bytes(&[0; 32]).expect("32 bytes");
        let refused = X25519HkdfSha256::decap(&key, None, &zero);
        assert_eq!(refused.err(), Some(HpkeError::DecapError));
    }
}
