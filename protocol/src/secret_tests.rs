//! Secret types: none prints what it holds, each is wiped when dropped.
//!
//! That a value is gone once it is dropped can be looked at in `unsafe` code only, which is forbidden here. So two things are
//! tested of each type: that it wipes itself when dropped (the derived `ZeroizeOnDrop` calls `zeroize`), and that `zeroize` leaves nothing.

use crate::consensus::Identity;
use crate::crypto::group::{Point, PointBytes, ScalarBytes};
use crate::crypto::vrf::VrfSecretKey;
use crate::crypto::{OpeningKey, Secret32, SigningKey, hash};
use crate::ids::ValidatorId;
use crate::record::CapsuleKey;
use crate::sharing::{
    Combined, Commitments, HeldShare, Reconstructed, SessionSecret, Share, SubShare, Threshold,
    TierKey, ZeroDealing, deal,
};
use crate::units::ShareIndex;
use core::fmt::Debug;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a secret that already tell something.
const TELLING: usize = 3;

/// Thirty-two bytes that are also a canonical scalar.
fn secret() -> Secret32 {
    let mut bytes = hash("kithkin/test-secret/1", &[]).0;
    bytes[31] &= 0x0f;
    Secret32::new(bytes)
}

fn shares() -> Vec<Share> {
    dealt().1
}

fn held() -> Vec<HeldShare> {
    let (commitments, shares) = dealt();
    let held = shares.into_iter().map(|share| share.held(&commitments));
    held.collect::<Result<_, _>>().expect("good shares")
}

fn dealt() -> (Commitments, Vec<Share>) {
    let key = TierKey::from_secret(&secret()).expect("a scalar");
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let dealt = deal(&key, Threshold::majority(5).expect("five"), &mut rng);
    dealt.expect("dealt")
}

fn sub_share() -> SubShare {
    let index = ShareIndex::new(1).expect("an index");
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    let kin = Threshold::majority(5).expect("five");
    let (_, mut subs) = ZeroDealing::deal(index, kin, &mut rng).expect("dealt");
    subs.remove(2)
}

fn point_bytes(point: &Point) -> [u8; 32] {
    PointBytes::from(point).0
}

/// Whether a few bytes of the secret stand somewhere in the text, one after the other, in any usual way of printing bytes.
fn tells(text: &str, secret: &[u8]) -> bool {
    secret.windows(TELLING).any(|window| {
        let joined = |separator: &str, form: fn(&u8) -> String| {
            let bytes: Vec<String> = window.iter().map(form).collect();
            bytes.join(separator)
        };
        [
            joined("", |byte| format!("{byte:02x}")),
            joined("", |byte| format!("{byte:02X}")),
            joined(", ", u8::to_string),
            joined(",\n    ", u8::to_string),
            joined(", ", |byte| format!("0x{byte:02x}")),
        ]
        .iter()
        .any(|form| text.contains(form))
    })
}

#[test]
fn what_tells_is_noticed() {
    let secret = secret();
    let bytes = secret.expose();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    for text in [
        format!("{bytes:?}"),
        format!("Key({hex})"),
        hex[20..28].to_owned(),
    ] {
        assert!(tells(&text, bytes), "{text}");
    }
    assert!(tells(&format!("{bytes:#?}"), bytes));
    assert!(!tells("Key(<redacted>)", bytes));
}

/// Prints it in both ways and looks for the secret.
fn hides<T: Debug>(value: &T, secret: &[u8]) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!tells(&text, secret), "{text}");
        assert!(text.contains("<redacted>"), "{text}");
    }
}

/// Wipes it, by the trait that its drop uses too, and looks at what is left.
fn wipes<T: Zeroize + ZeroizeOnDrop, const N: usize>(
    mut value: T,
    held: impl Fn(&T) -> [u8; N],
    empty: [u8; N],
) {
    assert!(
        core::mem::needs_drop::<T>(),
        "nothing happens when it is dropped"
    );
    assert_ne!(held(&value), empty, "there is nothing to wipe");
    value.zeroize();
    assert_eq!(held(&value), empty);
}

#[test]
fn no_secret_is_printed() {
    let secret = secret();
    let bytes = secret.expose();
    hides(&secret, bytes);
    hides(&SigningKey::from_seed(secret.clone()), bytes);
    hides(&OpeningKey::from_seed(secret.clone()), bytes);
    hides(&VrfSecretKey::from_seed(secret.clone()), bytes);
    hides(&TierKey::from_secret(&secret).expect("a scalar"), bytes);
    hides(
        &SessionSecret::from_secret(&secret).expect("a scalar"),
        bytes,
    );
    for share in shares() {
        hides(&share, &share.to_bytes()[1..]);
    }
    for held in held() {
        hides(&held, &held.share().to_bytes()[1..]);
    }
    hides(&sub_share(), &sub_share().publish().value.0);
    let point = Point::mul_base(&ScalarBytes(*bytes).decode().expect("a scalar"));
    hides(&CapsuleKey::new(point), &point_bytes(&point));
}

/// Whatever holds secrets prints as little.
#[test]
fn nor_by_what_holds_them() {
    let secret = secret();
    let bytes = secret.expose();
    let point = Point::mul_base(&ScalarBytes(*bytes).decode().expect("a scalar"));
    let combined = Combined {
        keys: vec![CapsuleKey::new(point)],
        refused: Vec::new(),
    };
    hides(&combined, &point_bytes(&point));
    let reconstructed = Reconstructed {
        key: TierKey::from_secret(&secret).expect("a scalar"),
        refused: Vec::new(),
    };
    hides(&reconstructed, bytes);
    let identity = Identity {
        id: ValidatorId(1),
        vote_key: SigningKey::from_seed(secret.clone()),
        vrf_key: VrfSecretKey::from_seed(secret.clone()),
    };
    hides(&identity, bytes);
    hides(&Some(vec![secret.clone()]), bytes);
}

#[test]
fn every_secret_is_wiped() {
    let bytes = |secret: &Secret32| *secret.expose();
    wipes(secret(), bytes, [0; 32]);
    wipes(
        SigningKey::from_seed(secret()),
        |key| bytes(key.seed()),
        [0; 32],
    );
    wipes(
        VrfSecretKey::from_seed(secret()),
        |key| bytes(key.seed()),
        [0; 32],
    );
    let tier = TierKey::from_secret(&secret()).expect("a scalar");
    wipes(tier, |key| bytes(&key.to_secret()), [0; 32]);
    let session = SessionSecret::from_secret(&secret()).expect("a scalar");
    wipes(session, |key| bytes(&key.to_secret()), [0; 32]);
    for share in shares() {
        let mut empty = [0; Share::LEN];
        empty[0] = share.index().get();
        wipes(share, |share| *share.to_bytes(), empty);
    }
    for held in held() {
        let mut empty = [0; Share::LEN];
        empty[0] = held.share().index().get();
        wipes(held, |held| *held.share().to_bytes(), empty);
    }
    wipes(sub_share(), |sub| sub.publish().value.0, [0; 32]);
    let scalar = ScalarBytes(*secret().expose()).decode().expect("a scalar");
    let nothing = CapsuleKey::new(Point::default());
    let mut key = CapsuleKey::new(Point::mul_base(&scalar));
    assert!(key != nothing);
    key.zeroize();
    assert!(key == nothing, "the identity tells nothing");
    assert!(core::mem::needs_drop::<CapsuleKey>());
}
