//! Simulated signatures and beacon proofs for simulations: cheap, in the same types, and no protection at all.
//!
//! Whole clusters are simulated by the ten thousands; real curve arithmetic would take nearly all of the time. Inside
//! a [`Simulated`] scope the thread's signatures are a keyed checksum over public key and message. A wrong message,
//! key or signature is refused as ever, but whoever knows a public key can sign for it: the simulator's adversaries
//! don't. Compiled for tests only; a shipped program has no such switch.

use crate::crypto::Digest;
use std::cell::Cell;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// While this lives, its thread signs and verifies by checksum. Scopes may nest.
#[derive(Debug)]
pub struct Simulated {
    /// A scope ends on the thread on which it began.
    not_send: core::marker::PhantomData<*const ()>,
}

impl Simulated {
    /// Begins the scope.
    #[must_use = "the scope ends when this is dropped"]
    pub fn enter() -> Self {
        DEPTH.set(DEPTH.get().saturating_add(1));
        Self {
            not_send: core::marker::PhantomData,
        }
    }

    /// Whether this thread is inside a scope.
    #[must_use]
    pub fn is_on() -> bool {
        DEPTH.get() > 0
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

/// What a checksum is for; each use has a start of its own.
const SIGNATURE: u64 = 0x7369_676e_6174_7572;
const PROOF: u64 = 0x7672_662d_7072_6f6f;
const OUTPUT: u64 = 0x7672_662d_6f75_7470;

/// The simulated signature of the owner of `key` under `message`.
pub(super) fn signature(key: &[u8; 32], message: &[u8]) -> [u8; 64] {
    expand(checksum(SIGNATURE, key, message))
}

/// The simulated beacon proof of the owner of `key` for `input`.
pub(super) fn proof(key: &[u8; 32], input: &[u8]) -> [u8; 80] {
    expand(checksum(PROOF, key, input))
}

/// The one output that `key` has for `input`.
pub(super) fn output(key: &[u8; 32], input: &[u8]) -> Digest {
    Digest(expand(checksum(OUTPUT, key, input)))
}

/// Two lanes of 64 bits, each folded by a wide multiplication; the same on every machine.
fn checksum(domain: u64, key: &[u8; 32], message: &[u8]) -> [u64; 2] {
    let mut lanes = [domain, !domain ^ message.len() as u64];
    for word in key.chunks(8).chain(message.chunks(8)) {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(word) {
            *to = *from;
        }
        let word = u64::from_le_bytes(bytes);
        lanes = [
            fold(lanes[0] ^ word, 0x9e37_79b9_7f4a_7c15),
            fold(lanes[1] ^ word, 0xd6e8_feb8_6659_fd93),
        ];
    }
    lanes
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x2545_f491_4f6c_dd1d).wrapping_mul(u128::from(b));
    // The rotated factor keeps a zero from wiping the lane out.
    (product as u64) ^ ((product >> 64) as u64) ^ a.rotate_left(23)
}

fn expand<const N: usize>(lanes: [u64; 2]) -> [u8; N] {
    let mut bytes = [0; N];
    for (place, word) in bytes.chunks_mut(8).enumerate() {
        let [even, odd] = lanes;
        let lane = if place.is_multiple_of(2) { even } else { odd };
        let value = fold(lane, odd.wrapping_add(place as u64) | 1);
        for (to, from) in word.iter_mut().zip(value.to_le_bytes()) {
            *to = from;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vrf::{VrfError, VrfSecretKey};
    use crate::crypto::{Secret32, SigningKey, verify_batch};

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(Secret32::new([n; 32]))
    }

    #[test]
    fn a_wrong_message_key_or_signature_is_refused() {
        let _scope = Simulated::enter();
        let (one, other) = (key(1), key(2));
        let message = b"a message of more than eight bytes";
        let signature = one.sign(message);
        assert!(one.verifying_key().verify(message, &signature).is_ok());
        assert!(other.verifying_key().verify(message, &signature).is_err());
        for place in 0..message.len() {
            let mut changed = *message;
            changed[place] ^= 1;
            assert!(one.verifying_key().verify(&changed, &signature).is_err());
        }
        assert!(
            one.verifying_key()
                .verify(&message[1..], &signature)
                .is_err()
        );
        for place in 0..64 {
            let mut changed = signature;
            changed.0[place] ^= 0x80;
            assert!(one.verifying_key().verify(message, &changed).is_err());
        }
        let good = (one.verifying_key(), message.as_slice(), signature);
        let bad = (other.verifying_key(), message.as_slice(), signature);
        assert!(verify_batch(&[good, good]).is_ok());
        assert!(verify_batch(&[good, bad]).is_err());
    }

    #[test]
    fn a_beacon_proof_is_bound_to_key_and_input() {
        let _scope = Simulated::enter();
        let one = VrfSecretKey::from_seed(Secret32::new([1; 32]));
        let other = VrfSecretKey::from_seed(Secret32::new([2; 32]));
        let (output, proof) = one.prove(b"input").expect("provable");
        assert_eq!(one.public_key().verify(b"input", &proof), Ok(output));
        assert_eq!(one.public_key().verify(b"other", &proof), Err(VrfError));
        assert_eq!(other.public_key().verify(b"input", &proof), Err(VrfError));
        assert_ne!(one.prove(b"other").expect("provable").0, output);
    }

    /// The two kinds never pass for each other, and the scope ends.
    #[test]
    fn outside_of_the_scope_signatures_are_real() {
        let real = key(3).sign(b"m");
        let simulated = {
            let _outer = Simulated::enter();
            drop(Simulated::enter());
            assert!(Simulated::is_on());
            assert!(key(3).verifying_key().verify(b"m", &real).is_err());
            key(3).sign(b"m")
        };
        assert!(!Simulated::is_on());
        assert!(key(3).verifying_key().verify(b"m", &simulated).is_err());
        assert!(key(3).verifying_key().verify(b"m", &real).is_ok());
    }
}
