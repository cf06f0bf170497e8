//! Verdicts on real signatures and proofs, remembered while a simulation runs: all nodes of a cluster stand on one thread and
//! verify the same few.
//!
//! Each verdict comes from the curve once, whoever asks first; it depends on nothing but key, message and signature, which
//! are compared whole. Compiled for tests only.

use crate::crypto::vrf::{VrfProof, VrfPublicKey};
use crate::crypto::{Digest, Signature, VerifyingKey};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What came of one question, under each message that it was asked with.
type Answers<T> = Vec<(Vec<u8>, T)>;

#[derive(Default)]
struct Verdicts {
    signatures: BTreeMap<(Signature, VerifyingKey), Answers<bool>>,
    proofs: BTreeMap<(VrfProof, VrfPublicKey), Answers<Option<Digest>>>,
}

thread_local! {
    static VERDICTS: RefCell<Option<Verdicts>> = const { RefCell::new(None) };
}

/// While this lives, its thread remembers verdicts. Scopes do not nest: the end of one ends all.
#[derive(Debug)]
pub struct Remembered {
    /// A scope ends on the thread on which it began.
    not_send: core::marker::PhantomData<*const ()>,
}

impl Remembered {
    /// Begins the scope, with nothing remembered.
    #[must_use = "the scope ends when this is dropped"]
    pub fn enter() -> Self {
        VERDICTS.set(Some(Verdicts::default()));
        Self {
            not_send: core::marker::PhantomData,
        }
    }

    /// Whether this thread is inside a scope.
    #[must_use]
    pub fn is_on() -> bool {
        VERDICTS.with_borrow(Option::is_some)
    }
}

impl Drop for Remembered {
    fn drop(&mut self) {
        VERDICTS.set(None);
    }
}

fn find<T: Copy>(answers: Option<&Answers<T>>, message: &[u8]) -> Option<T> {
    let mut known = answers?.iter();
    known
        .find(|(asked, _)| asked == message)
        .map(|&(_, answer)| answer)
}

/// What was found about this signature before.
pub(super) fn signature(key: &VerifyingKey, message: &[u8], signature: &Signature) -> Option<bool> {
    VERDICTS.with_borrow(|verdicts| {
        let known = verdicts.as_ref()?.signatures.get(&(*signature, *key));
        find(known, message)
    })
}

/// Remembers what was found about a signature.
pub(super) fn keep_signature(
    key: &VerifyingKey,
    message: &[u8],
    signature: &Signature,
    holds: bool,
) {
    VERDICTS.with_borrow_mut(|verdicts| {
        if let Some(verdicts) = verdicts {
            let answers = verdicts.signatures.entry((*signature, *key)).or_default();
            answers.push((message.to_vec(), holds));
        }
    });
}

/// The output that a proof shows, or that it shows none: as found before, or found now.
pub(super) fn proof(
    key: &VrfPublicKey,
    input: &[u8],
    proof: &VrfProof,
    verify: impl FnOnce() -> Option<Digest>,
) -> Option<Digest> {
    let known = VERDICTS.with_borrow(|verdicts| {
        let known = verdicts.as_ref()?.proofs.get(&(*proof, *key));
        find(known, input)
    });
    if let Some(known) = known {
        return known;
    }
    let output = verify();
    VERDICTS.with_borrow_mut(|verdicts| {
        if let Some(verdicts) = verdicts {
            let answers = verdicts.proofs.entry((*proof, *key)).or_default();
            answers.push((input.to_vec(), output));
        }
    });
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vrf::VrfSecretKey;
    use crate::crypto::{Secret32, SigningKey, verify_batch, verify_each};

    /// Every answer is the same with and without, the first time and later, one at a time and in a batch.
    #[test]
    fn what_is_remembered_is_what_the_curve_says() {
        let [one, other] = [1, 2].map(|n| SigningKey::from_seed(Secret32::new([n; 32])));
        let (a, b) = (one.verifying_key(), other.verifying_key());
        let signed = one.sign(b"one");
        let items = [
            (a, b"one".as_slice(), signed),
            (b, b"one".as_slice(), signed),
            (a, b"two".as_slice(), signed),
            (b, b"two".as_slice(), other.sign(b"two")),
        ];
        let expected = verify_each(&items);
        assert_eq!(expected, [true, false, false, true]);
        let _scope = Remembered::enter();
        for _ in 0..2 {
            assert_eq!(verify_each(&items), expected);
            for ((key, message, signature), holds) in items.iter().zip(&expected) {
                assert_eq!(key.verify(message, signature).is_ok(), *holds);
            }
            assert!(verify_batch(&items).is_err());
            assert!(verify_batch(&[items[0], items[3]]).is_ok());
        }
        assert_eq!(super::signature(&a, b"one", &signed), Some(true));
        assert_eq!(super::signature(&a, b"two", &signed), Some(false));
    }

    #[test]
    fn proofs_are_remembered_with_their_input_and_until_the_end() {
        let key = VrfSecretKey::from_seed(Secret32::new([3; 32]));
        let (output, pi) = key.prove(b"input").expect("provable");
        let public = key.public_key();
        {
            let _scope = Remembered::enter();
            for _ in 0..2 {
                assert_eq!(public.verify(b"input", &pi), Ok(output));
                assert!(public.verify(b"other", &pi).is_err());
            }
            let unasked = || panic!("it was asked before");
            assert_eq!(proof(&public, b"input", &pi, unasked), Some(output));
        }
        assert_eq!(proof(&public, b"input", &pi, || None), None);
    }
}
