//! Signatures of transactions, judged beside the actors. The verdict stays with the transaction, so the validator's own
//! checks cost nothing afterwards.

use kithkin_protocol::ledger::{SignedTransaction, verify_many};
use tokio::sync::Semaphore;

/// How many batches are judged at a time in this process: whoever floods it with bad signatures keeps so many threads
/// busy and no more.
const JUDGES: usize = 2;

/// So many signatures are verified where the caller runs: it takes less than a millisecond, and handing them to another
/// thread and back costs as much as one of them.
const AT_ONCE_MAX: usize = 8;

static FREE: Semaphore = Semaphore::const_new(JUDGES);

/// Works out identifiers, and verifies signatures in one batch.
pub(crate) async fn judge(transactions: Vec<SignedTransaction>) {
    let signed: Vec<SignedTransaction> = transactions
        .into_iter()
        .filter(|transaction| {
            // Worked out here, kept there.
            let _ = transaction.id();
            !transaction.is_unsigned()
        })
        .collect();
    if signed.is_empty() {
        return;
    }
    let Ok(_free) = FREE.acquire().await else {
        return;
    };
    if signed.len() <= AT_ONCE_MAX {
        // The verdict stays with each.
        let _ = verify_many(&signed);
        return;
    }
    // What is not judged here, the validator judges itself.
    let _ = tokio::task::spawn_blocking(move || verify_many(&signed)).await;
}
