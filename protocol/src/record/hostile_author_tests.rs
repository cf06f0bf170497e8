//! What an author who holds the record's key, and so can make any envelope, cannot do.

use super::envelope::{commitment, encrypt};
use super::{
    Capsule, CapsuleError, CapsuleKey, CheckedCapsule, RECORD_BYTES_MAX, RecordEntry, RecordError,
    SealContext, ciphertext_digest, open, seal,
};
use crate::crypto::{Digest, Secret32, aead};
use crate::ids::{ChainId, HospitalId, PatientId, RecordId};
use crate::sharing::{TierKey, capsule_key_direct};
use crate::units::Tier;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

struct Author {
    rng: ChaCha20Rng,
    key: TierKey,
    context: SealContext,
    dek: Secret32,
}

impl Author {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        Self {
            key: TierKey::random(&mut rng),
            dek: Secret32::random(&mut rng),
            context: SealContext {
                chain: ChainId([1; 32]),
                patient: PatientId([2; 32]),
                record: RecordId([3; 32]),
                tier: Tier::Chart,
                author: HospitalId([4; 32]),
            },
            rng,
        }
    }

    /// A capsule and entry that fit `ciphertext` and pass every check before opening.
    fn publish(&mut self, ciphertext: &[u8], claimed: Digest) -> (CapsuleKey, CheckedCapsule) {
        let digest = ciphertext_digest(ciphertext);
        let public = self.key.public();
        let label = self.context.label(&digest);
        let capsule = Capsule::encapsulate(&self.dek, label, &public, &mut self.rng);
        let capsule = capsule.expect("encapsulated");
        let entry = RecordEntry {
            record: self.context.record,
            commitment: claimed,
            ciphertext: digest,
            capsule: capsule.digest(),
            shard_root: Digest::ZERO,
            bytes: ciphertext.len() as u32,
        };
        let checked = capsule
            .check(&self.context, &entry, &public)
            .expect("all fits");
        let key = capsule_key_direct(&self.key, &checked).expect("own key");
        (key, checked)
    }

    /// Opens an envelope whose content, before encryption, is `packed`.
    fn open_packed(&mut self, packed: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, RecordError> {
        let ciphertext = encrypt(packed, &self.dek, &self.context, &mut self.rng)?;
        let claimed = commitment(&self.dek, plaintext);
        let (key, checked) = self.publish(&ciphertext, claimed);
        open(&key, &checked, &ciphertext)
    }
}

fn packed(announced: u32, plaintext: &[u8]) -> Vec<u8> {
    let frame = zstd::bulk::compress(plaintext, 19).expect("compressed");
    [announced.to_be_bytes().as_slice(), &frame].concat()
}

#[test]
fn a_bomb_does_not_go_off() {
    let mut author = Author::new();
    let zeros = vec![0; 4 * RECORD_BYTES_MAX];
    let bomb = packed(1_000, &zeros);
    assert!(
        bomb.len() < 10_000,
        "60 MiB of zeros in {} bytes",
        bomb.len()
    );
    assert_eq!(author.open_packed(&bomb, &zeros), Err(RecordError::Unpack));
    let honest = packed(zeros.len() as u32, &zeros);
    let bytes = zeros.len();
    assert_eq!(
        author.open_packed(&honest, &zeros),
        Err(RecordError::TooLong { bytes })
    );
    let most = packed(RECORD_BYTES_MAX as u32, &zeros);
    assert_eq!(author.open_packed(&most, &zeros), Err(RecordError::Unpack));
    // Many frames, each of which is small enough.
    let frames = packed(1_000, &[0; 900]);
    let twice = [&frames, &frames[4..]].concat();
    assert_eq!(
        author.open_packed(&twice, &[0; 1_800]),
        Err(RecordError::Unpack)
    );
}

#[test]
fn content_of_another_length_is_refused() {
    let mut author = Author::new();
    assert_eq!(
        author.open_packed(&packed(4, b"text"), b"text"),
        Ok(b"text".to_vec())
    );
    for announced in [0, 3, 5, 1_000] {
        let content = packed(announced, b"text");
        assert_eq!(
            author.open_packed(&content, b"text"),
            Err(RecordError::Unpack)
        );
    }
    for content in [&[][..], &[0, 0], &[0, 0, 0, 4], &[0, 0, 0, 1, 9, 9, 9]] {
        assert_eq!(author.open_packed(content, b""), Err(RecordError::Unpack));
    }
}

#[test]
fn another_plaintext_than_the_committed_one_is_refused() {
    let mut author = Author::new();
    let content = packed(4, b"text");
    assert_eq!(
        author.open_packed(&content, b"lies"),
        Err(RecordError::Commitment)
    );
}

#[test]
fn an_envelope_under_another_key_context_or_nonce_does_not_open() {
    let mut author = Author::new();
    let content = packed(4, b"text");
    let claimed = commitment(&author.dek, b"text");
    let other = Secret32::random(&mut author.rng);
    let elsewhere = SealContext {
        record: RecordId([9; 32]),
        ..author.context
    };
    let wrong = [
        encrypt(&content, &other, &author.context, &mut author.rng).expect("encrypted"),
        encrypt(&content, &author.dek, &elsewhere, &mut author.rng).expect("encrypted"),
        vec![],
        vec![1; aead::NONCE_BYTES],
    ];
    for ciphertext in wrong {
        let (key, checked) = author.publish(&ciphertext, claimed);
        assert_eq!(open(&key, &checked, &ciphertext), Err(RecordError::Decrypt));
    }
    let good = encrypt(&content, &author.dek, &author.context, &mut author.rng);
    let good = good.expect("encrypted");
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let (key, checked) = author.publish(&changed, claimed);
        assert_eq!(
            open(&key, &checked, &changed),
            Err(RecordError::Decrypt),
            "bit {bit}"
        );
    }
}

/// Whatever is copied from a capsule into one that passes all checks, its key is not what comes out.
#[test]
fn a_wrapped_key_under_another_label_does_not_unwrap() {
    let mut author = Author::new();
    let public = author.key.public();
    let sealed = seal(b"text", &author.context, &public, &mut author.rng).expect("sealed");
    let own = seal(b"mine", &author.context, &public, &mut author.rng).expect("sealed");
    let entry = sealed.entry(Digest::ZERO);
    let checked = sealed
        .capsule
        .check(&author.context, &entry, &public)
        .expect("good");
    let key = capsule_key_direct(&author.key, &checked).expect("own key");
    let mut mixed = sealed.capsule;
    assert!(key.unwrap(&mixed).is_ok());
    mixed.label = own.capsule.label;
    assert_eq!(key.unwrap(&mixed), Err(CapsuleError::Unwrap));
    mixed.label = sealed.capsule.label;
    mixed.wrapped = own.capsule.wrapped;
    assert_eq!(key.unwrap(&mixed), Err(CapsuleError::Unwrap));
}
