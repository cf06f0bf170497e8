//! Signatures of transactions, judged beside the actors. The verdict stays with the transaction, so the validator's own
//! checks cost nothing afterwards.

use kithkin_protocol::ledger::{Judged, SignedTransaction, verify_some};
use tokio::sync::Semaphore;

/// Most transactions that are judged in one turn: whoever brings many waits between them, and others have theirs.
const PER_TURN: usize = 1_024;

/// So many signatures are verified where the caller runs: it takes less than a millisecond, and handing them to another
/// thread and back costs as much as one of them.
const AT_ONCE_MAX: usize = 8;

/// How many batches of peers, and of clients, are judged at a time in this process. Whoever floods it with bad signatures
/// keeps so many threads busy and no more; and clients, whoever they are, never stand in front of blocks.
static PEERS: Semaphore = Semaphore::const_new(2);
static CLIENTS: Semaphore = Semaphore::const_new(1);

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
        let signed = turn.iter().filter(|one| !one.is_unsigned()).count();
        let more = if signed == 0 {
            verify_some(turn, left)
        } else {
            // Never closed.
            let _free = free.acquire().await;
            if signed <= AT_ONCE_MAX {
                verify_some(turn, left)
            } else {
                let theirs = turn.to_vec();
                let work = tokio::task::spawn_blocking(move || verify_some(&theirs, left));
                work.await.unwrap_or_default()
            }
        };
        judged.count += more.count;
        judged.bad += more.bad;
        if more.count < turn.len() || judged.bad >= bad_max {
            break;
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::random::SystemRng;
    use kithkin_protocol::crypto::{Signature, SigningKey};
    use kithkin_protocol::ids::ChainId;
    use kithkin_protocol::ledger::{Transaction, TxBody};
    use kithkin_protocol::units::{Millis, Sequence};
    use std::time::Duration;

    /// `count` transactions, of which those that `spoil` names are signed wrongly.
    fn signed(count: u64, spoil: impl Fn(u64) -> bool) -> Vec<SignedTransaction> {
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
}
