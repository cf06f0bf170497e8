//! The next block before its time: chosen while this one is voted on, and nothing twice.

use super::*;
use crate::leader::messages::Assemble;
use crate::validator::messages::{AwaitTx, Consensus, SubmitMany};
use kithkin_protocol::consensus::Message;
use kithkin_protocol::ids::{BlockId, TxId};
use kithkin_protocol::ledger::{Block, OPAQUE_BYTES_MAX, SignedTransaction};
use kithkin_protocol::units::{Sequence, View};
use std::collections::BTreeSet;

/// Transactions of the largest size: some 128 in a block.
fn transactions(house: &House, count: u64) -> Vec<SignedTransaction> {
    let chain = house.genesis.chain_id();
    let until = SystemClock.now().plus(600_000);
    (0..count)
        .map(|n| {
            let payload = vec![7; OPAQUE_BYTES_MAX];
            SignedTransaction::unsigned(chain, Sequence(n), until, payload)
        })
        .collect()
}

async fn house() -> House {
    House::with(Plan {
        validators: 4,
        hospitals: 0,
        workload: Workload::OpaqueUnsigned,
        snapshots: SnapshotPolicy::default(),
    })
    .await
}

/// What was ordered of leaders, and what masters have proposed.
#[derive(Default)]
struct Seen {
    orders: Vec<Assemble>,
    proposed: BTreeMap<BlockId, Arc<Block>>,
}

fn watched(house: &House) -> Arc<Mutex<Seen>> {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let theirs = seen.clone();
    house.network.tap(move |event| {
        let mut seen = theirs.lock().expect("not poisoned");
        if let Some(order) = event.content.downcast_ref::<Assemble>() {
            seen.orders.push(order.clone());
        }
        if let Some(Consensus(Message::Proposal(proposal))) = event.content.downcast_ref() {
            let block = proposal.block.clone();
            seen.proposed.insert(block.id(), block);
        }
    });
    seen
}

/// Hands all to every validator, and waits until all are final.
async fn submit(house: &House, all: &[SignedTransaction]) {
    let port = house.network.port(ActorName::Driver);
    for n in 0..4 {
        let to = ActorName::Validator(n);
        let handed_in = port
            .ask::<Validator, _>(to, SubmitMany(all.to_vec()), WITHIN)
            .await;
        // Some have come by gossip before.
        assert_eq!(handed_in.expect("it answers").len(), all.len());
    }
    for transaction in all {
        let waits = AwaitTx(transaction.id());
        let last = port.ask::<Validator, _>(ActorName::Validator(0), waits, WITHIN);
        let last = last.await.expect("in time");
        last.expect("it is final");
    }
}

fn ids(transactions: &[SignedTransaction]) -> BTreeSet<TxId> {
    transactions.iter().map(SignedTransaction::id).collect()
}

#[actix::test]
async fn with_much_waiting_the_next_master_chooses_before_its_turn() {
    let house = house().await;
    let seen = watched(&house);
    let all = transactions(&house, 600);
    submit(&house, &all).await;
    let seen = seen.lock().expect("not poisoned");
    let mut prepared = 0;
    for order in &seen.orders {
        let Some(parent) = order.ahead_of else {
            continue;
        };
        let block = &seen.proposed[&parent];
        assert_eq!(
            (order.height, order.view),
            (block.header.height.plus(1), View(1))
        );
        // On the state that the block leads to, and nothing of what it holds.
        assert_eq!(order.state.meta().height, block.header.height);
        let chosen = ids(&order.candidates);
        assert!(chosen.is_disjoint(&ids(&block.transactions)));
        let bytes: usize = order.candidates.iter().map(|tx| tx.encoded_len()).sum();
        assert!(bytes <= order.bytes_max);
        // Used, unless the leader came too late with it: the block that follows is what was chosen.
        prepared += seen
            .proposed
            .values()
            .filter(|next| next.header.parent_id == parent && next.header.view == View(1))
            .filter(|next| ids(&next.transactions) == chosen)
            .count();
    }
    assert!(prepared > 0, "{} orders", seen.orders.len());
}

/// With less than two blocks' worth, what arrives meanwhile would have to wait for one block more.
#[actix::test]
async fn with_little_waiting_it_waits_for_what_arrives() {
    let house = house().await;
    let seen = watched(&house);
    let all = transactions(&house, 60);
    submit(&house, &all).await;
    let seen = seen.lock().expect("not poisoned");
    assert!(!seen.orders.is_empty());
    assert!(seen.orders.iter().all(|order| order.ahead_of.is_none()));
}
