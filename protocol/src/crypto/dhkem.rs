//! DHKEM(X25519, HKDF-SHA256) of RFC 9180 section 4.1 for `hpke`, base mode only; ADR 44.
//!
//! The same bytes as `hpke`'s own, in less than half the time where the processor has the
//! assembly, in two thirds elsewhere. The derivation of keys, the key derivation function and the
//! key schedule are `hpke`'s; here is the order of the steps. X25519 is [`super::x25519`]'s, and no public key is computed twice.

use super::x25519;
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
    fn new(secret: LibraryKey) -> Result<Self, HpkeError> {
        let public = x25519::public_key(&bytes(&secret));
        let public = PublicKey::from_bytes(&public)?;
        Ok(Self { secret, public })
    }

    fn exchange(&self, with: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        x25519::exchange(&bytes(&self.secret), with)
    }
}

fn bytes(secret: &LibraryKey) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    secret.write_exact(bytes.as_mut());
    bytes
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
        let derived = Zeroizing::new(HkdfSha256::derive_x25519_sk_eph_bytes(&SUITE, ikm));
        let key = LibraryKey::from_bytes(derived.as_ref()).and_then(PrivateKey::new);
        let key = key.unwrap_or_else(|_| {
            // Both take any 32 bytes, so this is not reached; the library's own way gives the same.
            let (secret, public) = Library::derive_keypair(ikm);
            PrivateKey { secret, public }
        });
        let public = key.public.clone();
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
        LibraryKey::from_bytes(encoded).and_then(Self::new)
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
    use rand_core::{SeedableRng as _, TryCryptoRng, TryRng};

    fn hex(text: &str) -> [u8; 32] {
        core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex"))
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
