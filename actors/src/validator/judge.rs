//! Signatures of transactions, judged beside the actors. The verdict stays with the transaction, so the validator's own
//! checks cost nothing afterwards.

use kithkin_protocol::crypto::Signature;
use kithkin_protocol::ids::TxId;
use kithkin_protocol::ledger::{Judged, SignedTransaction, verify_some};
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

/// Most transactions that are judged in one turn: whoever brings many waits between them, and others have theirs.
const PER_TURN: usize = 1_024;

/// So many signatures are verified where the caller runs: it takes less than a millisecond, and handing them to another
/// thread and back costs as much as one of them.
const AT_ONCE_MAX: usize = 8;

/// How many batches of peers, and of clients, are judged at a time in this process. Whoever floods it with bad signatures
/// keeps so many threads busy and no more; and clients, whoever they are, never stand in front of blocks.
const PEERS_MAX: usize = 2;
static PEERS: Semaphore = Semaphore::const_new(PEERS_MAX);
static CLIENTS: Semaphore = Semaphore::const_new(1);
/// Told when a batch of a peer is judged.
static PEER_DONE: Notify = Notify::const_new();
/// A client waits while peers have something to be judged, but not longer than this. A node that took in more from its
/// clients than it can keep up with from its peers would propose what the others have not judged yet, be asked for it, and
/// make all of them judge it twice.
const CLIENT_WAITS_MAX: Duration = Duration::from_millis(50);

/// A transaction comes more than once: as gossip, from whoever completes a proposal, in a block that is fetched. Its
/// signature is verified once.
static GOOD: LazyLock<Mutex<Good>> = LazyLock::new(Mutex::default);

/// Signatures that hold, the latest one or two [`Good::HALF`]; a hundred bytes each.
#[derive(Default)]
struct Good {
    new: HashSet<(TxId, Signature)>,
    old: HashSet<(TxId, Signature)>,
}

impl Good {
    const HALF: usize = 16_384;

    fn holds(&self, key: &(TxId, Signature)) -> bool {
        self.new.contains(key) || self.old.contains(key)
    }

    fn add(&mut self, key: (TxId, Signature)) {
        self.new.insert(key);
        if self.new.len() >= Self::HALF {
            self.old = std::mem::take(&mut self.new);
        }
    }

    /// Vouches for those that are known to be good; says which are not known.
    fn recognize(all: &[SignedTransaction]) -> Vec<&SignedTransaction> {
        let good = GOOD.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = all.iter().filter(|one| {
            if one.verdict().is_none() && good.holds(&key(one)) {
                one.vouch();
            }
            one.verdict().is_none() && !one.is_unsigned()
        });
        unknown.collect()
    }

    fn remember(all: &[&SignedTransaction]) {
        let mut good = GOOD.lock().unwrap_or_else(PoisonError::into_inner);
        for one in all.iter().filter(|one| one.verdict() == Some(Ok(()))) {
            good.add(key(one));
        }
    }
}

/// What a verdict belongs to: the content, by its digest, and the signature.
fn key(transaction: &SignedTransaction) -> (TxId, Signature) {
    (transaction.id(), transaction.envelope().signature)
}

/// Who has brought transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Peer,
    Client,
}

/// Works out identifiers, and verifies signatures in batches, from the front until `bad_max` do not hold: what follows is
/// rubbish too, most likely, and should go no further, because the validator would judge it itself.
pub(crate) async fn judge(
    transactions: &[SignedTransaction],
    bad_max: usize,
    party: Party,
) -> Judged {
    let free = match party {
        Party::Peer => &PEERS,
        Party::Client => &CLIENTS,
    };
    let mut judged = Judged::default();
    for turn in transactions.chunks(PER_TURN) {
        for transaction in turn {
            // Worked out here, kept there.
            let _ = transaction.id();
        }
        let left = bad_max.saturating_sub(judged.bad);
        let unknown = Good::recognize(turn);
        let more = if unknown.is_empty() {
            verify_some(turn, left)
        } else {
            // Never closed.
            let place = free.acquire().await;
            if party == Party::Client {
                // Waited for long enough: its turn it is.
                let _ = tokio::time::timeout(CLIENT_WAITS_MAX, peers_idle()).await;
            }
            let more = if unknown.len() <= AT_ONCE_MAX {
                verify_some(turn, left)
            } else {
                let theirs = turn.to_vec();
                let work = tokio::task::spawn_blocking(move || verify_some(&theirs, left));
                work.await.unwrap_or_default()
            };
            drop(place);
            Good::remember(&unknown);
            if party == Party::Peer {
                PEER_DONE.notify_one();
            }
            more
        };
        judged.count += more.count;
        judged.bad += more.bad;
        if more.count < turn.len() || judged.bad >= bad_max {
            break;
        }
    }
    judged
}

/// Until nothing of a peer is being judged. For one client at a time.
async fn peers_idle() {
    while PEERS.available_permits() < PEERS_MAX {
        PEER_DONE.notified().await;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ports::random::SystemRng;
    use futures_util::FutureExt as _;
    use kithkin_protocol::crypto::{Signature, SigningKey};
    use kithkin_protocol::ids::ChainId;
    use kithkin_protocol::ledger::{Transaction, TxBody};
    use kithkin_protocol::units::{Millis, Sequence};
    use std::time::Duration;

    /// `count` transactions, of which those that `spoil` names are signed wrongly.
    pub(crate) fn signed(count: u64, spoil: impl Fn(u64) -> bool) -> Vec<SignedTransaction> {
        let key = SigningKey::random(&mut SystemRng);
        let sign = |n| {
            let content = Transaction {
                chain: ChainId([1; 32]),
                signer: key.verifying_key(),
                sequence: Sequence(n),
                valid_until_ms: Millis(9),
                body: TxBody::Opaque(vec![1]),
            };
            let good = content.sign(&key);
            if spoil(n) {
                return good
                    .altered(|envelope| envelope.signature = Signature([9; Signature::LEN]));
            }
            good
        };
        (0..count).map(sign).collect()
    }

    async fn judged(all: &[SignedTransaction], bad_max: usize) -> Judged {
        judge(all, bad_max, Party::Peer).await
    }

    #[actix::test]
    async fn good_ones_are_all_judged() {
        let all = signed(PER_TURN as u64 + 5, |_| false);
        let count = all.len();
        assert_eq!(judged(&all, 1).await, Judged { count, bad: 0 });
        assert!(all.iter().all(|one| one.verdict() == Some(Ok(()))));
    }

    #[actix::test]
    async fn after_so_many_bad_ones_nothing_is_looked_at_any_more() {
        let all = signed(2_000, |n| n % 10 == 3);
        assert_eq!(
            judged(&all, 16).await,
            Judged {
                count: 154,
                bad: 16
            }
        );
        let looked_at = all.iter().filter(|one| one.verdict().is_some());
        assert_eq!(looked_at.count(), 154);
        // Found before, they count again; and all the way through when there are fewer.
        assert_eq!(
            judged(&all, 16).await,
            Judged {
                count: 154,
                bad: 16
            }
        );
        let count = all.len();
        assert_eq!(judged(&all, 1_000).await, Judged { count, bad: 200 });
    }

    #[actix::test]
    async fn what_was_found_good_is_not_verified_again() {
        let all = signed(20, |n| n == 7);
        assert_eq!(judged(&all, 16).await.bad, 1);
        // As it comes over the network: nobody knows a verdict of it.
        let again: Vec<_> = all.iter().map(|one| one.altered(|_| ())).collect();
        let unknown = Good::recognize(&again);
        assert_eq!(unknown.len(), 1);
        assert_eq!(unknown[0].id(), all[7].id());
        assert_eq!(judged(&again, 16).await, Judged { count: 20, bad: 1 });
        // The same content under another signature is another matter.
        let forged: Vec<_> = all
            .iter()
            .map(|one| one.altered(|envelope| envelope.signature = Signature([9; Signature::LEN])))
            .collect();
        assert_eq!(judged(&forged, 100).await.bad, 20);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut good = Good::default();
        let key = |n: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            (TxId(id), Signature([0; Signature::LEN]))
        };
        for n in 0..5 * Good::HALF {
            good.add(key(n));
            assert!(good.holds(&key(n)));
            assert!(good.new.len() + good.old.len() <= 2 * Good::HALF);
        }
        assert!(good.holds(&key(4 * Good::HALF + 1)) && !good.holds(&key(0)));
    }

    #[actix::test]
    async fn what_nobody_has_signed_costs_nothing() {
        let one =
            |n| SignedTransaction::unsigned(ChainId([1; 32]), Sequence(n), Millis(9), vec![1]);
        let all: Vec<_> = (0..10).map(one).collect();
        assert_eq!(judged(&all, 1).await, Judged { count: 10, bad: 0 });
        assert!(all.iter().all(|one| one.verdict().is_none()));
    }

    #[actix::test]
    async fn clients_do_not_stand_in_front_of_peers() {
        let all = signed(3, |_| false);
        let _clients = CLIENTS.acquire().await.expect("never closed");
        let peers = tokio::time::timeout(Duration::from_secs(30), judged(&all, 1));
        assert_eq!(peers.await.expect("at once").count, 3);
    }

    #[actix::test]
    async fn a_client_waits_for_peers_and_not_for_ever() {
        let all = signed(3, |_| false);
        let peers = PEERS.acquire().await.expect("never closed");
        let client = judge(&all, 1, Party::Client);
        tokio::pin!(client);
        assert!((&mut client).now_or_never().is_none(), "it does not wait");
        let later = tokio::time::timeout(Duration::from_secs(30), &mut client);
        assert_eq!(later.await.expect("its turn").count, 3);
        drop(peers);
    }
}
