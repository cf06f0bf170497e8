//! Proposals without their transactions, and how they are put together again.

use super::*;
use crate::consensus::{Filling, OUTLINED_MAX, Outline, OutlineError};
use crate::ledger::SignedTransaction;
use crate::units::Sequence;
use crate::wire;

fn transactions(node: &Solo, count: u64) -> Vec<SignedTransaction> {
    let make =
        |n| SignedTransaction::unsigned(node.chain(), Sequence(n), Millis(1_000_000), vec![7; 300]);
    (0..count).map(make).collect()
}

fn proposal(node: &Solo, transactions: &[SignedTransaction]) -> crate::consensus::Proposal {
    let block = node.block(1).altered(|parts| {
        parts.header.tx_root = Block::tx_root(transactions);
        parts.transactions = transactions.to_vec();
    });
    let (_, Message::Proposal(proposal)) = node.proposal(1, &block, Justification::default())
    else {
        panic!("a proposal");
    };
    *proposal
}

/// With everything at hand the proposal is what it was, and its outline is a fraction of it.
#[test]
fn an_outline_of_known_transactions_is_the_proposal() {
    let node = Solo::follower(4, 0);
    let all = transactions(&node, 100);
    let whole = proposal(&node, &all);
    let frame = wire::encode(&Outline::of(&whole).expect("few enough"));
    assert!(frame.len() * 5 < wire::encode(&whole).len());
    let outline: Outline = wire::decode(&frame).expect("decodes");
    let find = |id| all.iter().find(|tx| tx.id() == id).cloned();
    let filling = Filling::new(outline, find).expect("few enough");
    assert_eq!(filling.lacking(), Vec::<u32>::new());
    assert_eq!(filling.id(), whole.block.id());
    assert_eq!(filling.place(), (whole.height, whole.view));
    let finished = filling.finish().expect("complete");
    assert!(finished.block.commits());
    assert_eq!(finished, whole);
}

/// What is lacking is named, and all of that is taken, or nothing.
#[test]
fn what_is_lacking_is_asked_for_and_nothing_else_taken() {
    let node = Solo::follower(4, 0);
    let all = transactions(&node, 10);
    let whole = proposal(&node, &all);
    let outline = Outline::of(&whole).expect("few enough");
    let known = |id| {
        let place = all.iter().position(|tx| tx.id() == id)?;
        (place % 3 == 0).then(|| all[place].clone())
    };
    let mut filling = Filling::new(outline, known).expect("few enough");
    let lacking = filling.lacking();
    assert_eq!(lacking, [1, 2, 4, 5, 7, 8]);
    let wanted: Vec<_> = lacking
        .iter()
        .map(|&place| all[place as usize].clone())
        .collect();
    let mut swapped = wanted.clone();
    swapped.swap(0, 1);
    let other = [wanted[..5].to_vec(), transactions(&node, 11)[10..].to_vec()].concat();
    for wrong in [Vec::new(), wanted[1..].to_vec(), swapped, other] {
        assert_eq!(filling.supply(wrong), Err(OutlineError::Supply));
        assert_eq!(filling.lacking(), lacking);
    }
    let filling = filling.finish().expect_err("something is lacking");
    let mut filling = *filling;
    let mut earlier = filling.clone();
    filling.supply(wanted).expect("what was asked for");
    assert_eq!(filling.finish().expect("complete"), whole);
    // Asked for all, the master has sent all; meanwhile some have come from elsewhere.
    earlier.supply(all).expect("more than is lacking");
    assert_eq!(earlier.finish().expect("complete"), whole);
}

#[test]
fn a_block_of_too_many_transactions_is_not_outlined() {
    let node = Solo::follower(4, 0);
    let one = transactions(&node, 1);
    let many = vec![one[0].clone(); OUTLINED_MAX + 1];
    assert_eq!(Outline::of(&proposal(&node, &many)), None);
    let mut outline = Outline::of(&proposal(&node, &many[1..])).expect("just few enough");
    outline.transactions.push(one[0].id());
    let count = OUTLINED_MAX + 1;
    let refused = Filling::new(outline, |_| None).expect_err("too many");
    assert_eq!(refused, OutlineError::TooMany { count });
}
