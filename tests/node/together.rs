//! Four processes agree, stop in order, and go on.

use crate::founding::{Town, on_runtime, until_height};
use crate::running::{LONG, number};
use kithkin_actors::node::ClientFailure;
use kithkin_actors::node::client::News;
use kithkin_actors::node::protocol::Refusal;
use kithkin_actors::validator::messages::QueryError;
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::units::Height;

#[test]
fn four_processes_agree_over_tcp() {
    agree("tcp");
}

#[test]
fn four_processes_agree_over_quic() {
    agree("quic");
}

fn agree(transport: &str) {
    let town = Town::found(transport);
    let mut nodes = town.start_all();
    for node in &mut nodes {
        until_height(node, 5);
    }
    on_runtime(async {
        let blocks = town.blocks(0, Height(5)).await;
        for n in 1..4 {
            assert_eq!(town.blocks(n, Height(5)).await, blocks, "validator {n}");
        }
        let status = town.client(2).await.status(LONG).await.expect("an answer");
        assert_eq!(status.validator, ValidatorId(2));
        let others = [0, 1, 3].map(ValidatorId);
        assert_eq!(status.connected, others);
    });
    for node in &nodes {
        node.signal("TERM");
    }
    for node in nodes {
        let (status, lines, stderr) = node.end();
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert_eq!(lines.last().expect("a last line")["reason"], "signal");
    }
}

#[test]
fn what_one_node_takes_in_is_final_at_all() {
    let town = Town::found("tcp");
    let _nodes = town.start_all();
    on_runtime(async {
        let client = town.client(1).await;
        assert_eq!(client.welcome().chain, town.chain);
        let mut news = town.client(3).await;
        let follower = std::mem::replace(&mut news, town.client(3).await);
        let mut told = follower.follow(LONG).await.expect("an answer");
        let key = town.hospital(0);
        let transactions: Vec<_> = (1..=300).map(|n| town.transaction(&key, n)).collect();
        let ids: Vec<_> = transactions.iter().map(|tx| tx.id()).collect();
        let mut again = transactions.clone();
        let refused = client
            .submit_many(transactions, LONG)
            .await
            .expect("an answer");
        assert_eq!(refused, Vec::new());
        // Once more: each is known, waiting or final. And one that no block may contain.
        again.push(
            town.transaction(&key, 301)
                .altered(|tx| tx.signature.0[0] ^= 1),
        );
        let refused = client.submit_many(again, LONG).await.expect("an answer");
        let known = |(place, why): &&(u32, Refusal)| match why {
            Refusal::Waiting | Refusal::Settled => true,
            Refusal::Invalid { reason } => *place < 300 && reason.ends_with("is used already"),
            Refusal::SenderFull | Refusal::PoolFull => false,
        };
        assert_eq!(refused.iter().filter(known).count(), 300, "{refused:?}");
        assert!(
            matches!(refused.last(), Some((300, Refusal::Invalid { .. }))),
            "{refused:?}"
        );
        for n in 0..4 {
            let client = town.client(n).await;
            for id in &ids {
                let last = client.await_tx(*id, LONG).await.expect("final");
                assert_eq!(last.rejected, None);
                assert_eq!(last.proof.transaction.id(), *id);
            }
        }
        let mut heard = 0;
        while heard < ids.len() {
            match tokio::time::timeout(LONG, told.recv())
                .await
                .expect("in time")
            {
                Some(News::Final(block)) => heard += block.transactions.len(),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_node_that_was_stopped_catches_up() {
    let town = Town::found("tcp");
    let mut nodes = town.start_all();
    until_height(&mut nodes[3], 3);
    let last = nodes.pop().expect("four");
    last.signal("TERM");
    let (status, _, stderr) = last.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    for node in &mut nodes {
        until_height(node, 12);
    }
    let mut last = town.start(3);
    let ready = last.until("ready");
    assert!(number(&ready, "height") >= 3, "{ready}");
    until_height(&mut last, 12);
    // It votes again: without it, and without another, there would be no quorum.
    nodes.pop().expect("three").kill();
    until_height(&mut last, 20);
    until_height(&mut nodes[0], 20);
    on_runtime(async {
        let blocks = town.blocks(0, Height(20)).await;
        assert_eq!(town.blocks(3, Height(20)).await, blocks);
    });
}

#[test]
fn a_node_far_behind_gets_the_state_of_a_snapshot() {
    const EVERY: u64 = 8;
    let town = Town::found("tcp");
    for n in 0..4 {
        let path = town.settings(n);
        let settings = std::fs::read_to_string(&path).expect("readable");
        let settings = format!("snapshot_every = {EVERY}\n{settings}");
        std::fs::write(&path, settings).expect("writable");
    }
    let mut nodes: Vec<_> = (0..3).map(|n| town.start(n)).collect();
    for node in &mut nodes {
        until_height(node, 3 * EVERY + 2);
    }
    let mut last = town.start(3);
    last.until("ready");
    until_height(&mut last, 3 * EVERY + 2);
    let first = on_runtime(async {
        // It may have got a few of the first blocks, unasked.
        let last = Height(3 * EVERY);
        let asked = town.client(3).await.chain(last, 4, LONG).await;
        let Err(ClientFailure::Query(QueryError::Pruned { first, .. })) = asked else {
            panic!("{asked:?}");
        };
        first
    });
    assert!(first.0 > 3 * EVERY && first.0 % EVERY == 1, "{first}");
    // It votes: without it, and without another, there would be no quorum.
    nodes.pop().expect("three").kill();
    until_height(&mut last, first.0 + 10);
    on_runtime(async {
        let theirs = town.client(0).await.chain(first, 10, LONG).await;
        let ours = town.client(3).await.chain(first, 10, LONG).await;
        assert_eq!(ours.expect("an answer"), theirs.expect("an answer"));
    });
}
