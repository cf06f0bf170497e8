//! Entries of the ledger that were proved a moment ago: for who fetches many things in a row.
//!
//! Each id is proved by one flow at a time, however many ask, and no id waits for the
//! proof of another: who names a thousand that do not exist delays nobody else. What
//! cannot be proved is remembered for a moment, too, and no one may ask for many
//! proofs at a time.

use super::desk::lock;
use super::messages::KinError;
use super::turns::Turns;
use crate::ports::names::ActorName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Questions of one asker that may wait at a time.
const WAITING_MAX: usize = 128;
/// How many of them are seen to at a time.
const AT_ONCE: usize = 16;
/// For how long what could not be proved is not tried again.
const FAILED_FRESH: Duration = Duration::from_millis(250);

/// What was proved last of one id, or why it could not be.
pub(super) struct Seen<V> {
    begun: Instant,
    ended: Instant,
    proved: Result<Arc<V>, KinError>,
}

impl<V> Seen<V> {
    /// Whether it ended less than so long ago; what could not be proved counts for a moment only.
    pub(super) fn is_fresh(&self, for_how_long: impl FnOnce(&V) -> Duration) -> bool {
        let fresh = self.proved.as_ref().map(|value| for_how_long(value));
        self.ended.elapsed() < fresh.unwrap_or(FAILED_FRESH)
    }

    /// Whether it was begun since then; what could not be proved a moment ago need not be.
    pub(super) fn is_since(&self, asked: Instant) -> bool {
        self.begun >= asked || (self.proved.is_err() && self.ended.elapsed() < FAILED_FRESH)
    }
}

/// Proofs by id.
pub(super) struct Recent<K, V> {
    turns: Turns<K, Option<Seen<V>>>,
    /// Who asks now; each handle is one question.
    askers: Mutex<BTreeMap<ActorName, Arc<Semaphore>>>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            turns: Turns::default(),
            askers: Mutex::default(),
        }
    }
}

impl<K: Ord + Copy, V> Recent<K, V> {
    /// What was proved of an id, if `is_good` says that it will do; else as it is proved now.
    ///
    /// # Errors
    /// [`KinError::TooMuch`] when too many questions of this asker wait; what `prove` says.
    pub(super) async fn get(
        &self,
        asker: ActorName,
        id: K,
        is_good: impl FnOnce(&Seen<V>) -> bool,
        prove: impl Future<Output = Result<V, KinError>>,
    ) -> Result<Arc<V>, KinError> {
        let asking = self.asking(asker)?;
        let _permit = asking.acquire().await;
        let turn = self.turns.of(id);
        let mut seen = turn.lock().await;
        if let Some(seen) = seen.as_ref().filter(|seen| is_good(seen)) {
            return seen.proved.clone();
        }
        let begun = Instant::now();
        let proved = prove.await.map(Arc::new);
        *seen = Some(Seen {
            begun,
            ended: Instant::now(),
            proved: proved.clone(),
        });
        proved
    }

    fn asking(&self, asker: ActorName) -> Result<Arc<Semaphore>, KinError> {
        let mut askers = lock(&self.askers);
        askers.retain(|_, asking| Arc::strong_count(asking) > 1);
        let asking = askers
            .entry(asker)
            .or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE)));
        // One handle is kept here.
        if Arc::strong_count(asking) > WAITING_MAX {
            return Err(KinError::TooMuch {
                what: "questions that wait for a proof",
                limit: WAITING_MAX,
            });
        }
        Ok(asking.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{join_all, poll_immediate};
    use std::future::{pending, ready};

    const A: ActorName = ActorName::Hospital(0);
    const B: ActorName = ActorName::Hospital(1);

    fn never(_: &Seen<u8>) -> bool {
        false
    }

    /// A hospital that names what does not exist waits for that alone; another one's questions go by.
    #[actix::test]
    async fn nobody_waits_for_the_proof_of_another_id() {
        let recent: Recent<usize, u8> = Recent::default();
        let stuck = |id| recent.get(A, id, never, pending());
        let mut waiting = Box::pin(join_all((0..WAITING_MAX).map(stuck)));
        assert!(poll_immediate(&mut waiting).await.is_none());
        let id = WAITING_MAX;
        let proved = poll_immediate(recent.get(B, id, never, ready(Ok(7)))).await;
        assert_eq!(proved, Some(Ok(Arc::new(7))));
        let more = recent.get(A, id, never, ready(Ok(7))).await;
        assert!(matches!(more, Err(KinError::TooMuch { .. })), "{more:?}");
        drop(waiting);
        assert_eq!(recent.get(A, 0, never, ready(Ok(8))).await, Ok(Arc::new(8)));
    }

    #[actix::test]
    async fn what_was_proved_is_not_proved_again_while_it_will_do() {
        let recent: Recent<u8, u8> = Recent::default();
        let refused = KinError::NotMyPatient {
            patient: kithkin_protocol::ids::PatientId([1; 32]),
        };
        let failed = recent.get(A, 1, never, ready(Err(refused.clone()))).await;
        assert_eq!(failed, Err(refused.clone()));
        let any = |_: &Seen<u8>| true;
        let unasked = async { panic!("it is known") };
        assert_eq!(recent.get(B, 1, any, unasked).await, Err(refused));
        assert_eq!(recent.get(B, 1, never, ready(Ok(2))).await, Ok(Arc::new(2)));
        let unasked = async { panic!("it is known") };
        assert_eq!(recent.get(A, 1, any, unasked).await, Ok(Arc::new(2)));
    }

    #[test]
    fn freshness() {
        let now = Instant::now();
        let seen = |proved| Seen {
            begun: now,
            ended: now,
            proved,
        };
        let hour = Duration::from_secs(3_600);
        let good = seen(Ok(Arc::new(1)));
        assert!(good.is_fresh(|_| hour) && !good.is_fresh(|_| Duration::ZERO));
        assert!(good.is_since(now) && !good.is_since(now + hour));
        let long_ago = now.checked_sub(FAILED_FRESH);
        let bad = Seen {
            ended: long_ago.expect("a clock that runs"),
            ..seen(Err(KinError::Unknown {
                root: kithkin_protocol::crypto::Digest([1; 32]),
            }))
        };
        assert!(!bad.is_fresh(|_| hour) && !bad.is_since(now + hour));
    }
}
