//! The operating system's randomness: the only source of keys, nonces and capsules.
//!
//! Seeded generators drive schedules, loads and faults, never keys; they are not here.

use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};

/// The operating system's random generator.
///
/// Through the blanket implementations of `rand_core` it is a `Rng` and a `CryptoRng`: pass `&mut SystemRng`
/// where the rules ask for `&mut impl CryptoRng`.
///
/// # Panics
/// Every method, when the operating system gives no randomness. No key, nonce or proof may be made without it,
/// and no caller could do anything sensible instead.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

#[expect(
    clippy::panic,
    reason = "without the operating system's randomness no secret may be made"
)]
fn fill(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        panic!(
            "the operating system gives no randomness ({error}); no key can be made without it. \
             Check that the system call getrandom is allowed and that /dev/urandom is there"
        );
    }
}

impl TryRng for SystemRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for SystemRng {}

#[cfg(test)]
mod tests {
    use super::*;
    use kithkin_protocol::crypto::Secret32;
    use rand_core::Rng;

    #[test]
    fn draws_differ() {
        let mut rng = SystemRng;
        assert_ne!(Secret32::random(&mut rng), Secret32::random(&mut rng));
        assert_ne!(rng.next_u64(), rng.next_u64());
        let mut long = [0_u8; 4_096];
        rng.fill_bytes(&mut long);
        // 32 draws of the same value have probability 2^-248.
        assert!((0..32).any(|_| rng.next_u32() & 0xff != 0));
        assert!(long.iter().any(|&byte| byte != 0));
    }
}
