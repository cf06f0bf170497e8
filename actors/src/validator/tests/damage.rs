//! Records that were changed on the disk behind the database's back, so that its own checksums say nothing: a validator does
//! not start on them, or does not hand them on, and says what to do.

use super::*;
use crate::ports::store::{Batch, Space};
use crate::validator::messages::{Chain, QueryError};
use kithkin_protocol::consensus::{Certificate, Vote, VoteKind, WalEntry, WalError};
use kithkin_protocol::ids::BlockId;
use kithkin_protocol::ledger::{Block, Hospital};
use kithkin_protocol::wire;

const FIRST: ActorName = ActorName::Validator(0);

/// One validator with a few blocks, stopped, and its records.
async fn stopped() -> (House, Space) {
    let house = House::open(1).await;
    for n in 0..3 {
        house.submit(n).await.expect("final");
    }
    house.hold(FIRST).await;
    let space = house.store.space(&FIRST.to_string()).expect("its space");
    (house, space)
}

fn put(space: &Space, key: &[u8], value: Vec<u8>) {
    let mut batch = Batch::default();
    batch.put(key, value);
    space.write_blocking(batch).expect("written");
}

/// What opening says; every such text tells what to do.
fn refusal(house: &House, space: &Space) -> StorageError {
    let opened = ChainStore::open(space.clone(), &house.genesis);
    let error = opened.err().expect("it is refused");
    let text = error.to_string();
    assert!(text.contains("restore it from a backup"), "{text}");
    error
}

/// Writes `value`, expects a refusal, and puts back what was there.
fn refused_with(house: &House, space: &Space, key: &[u8], value: Vec<u8>) -> StorageError {
    let before = space.get(key).expect("readable").expect("it is there");
    assert_ne!(before, value);
    put(space, key, value);
    let error = refusal(house, space);
    put(space, key, before);
    assert!(ChainStore::open(space.clone(), &house.genesis).is_ok());
    error
}

/// Every byte of every entry, one bit each: nothing is taken for the state that is not.
#[actix::test]
async fn no_changed_entry_of_the_state_is_taken_for_it() {
    let (house, space) = stopped().await;
    let entries = space.scan(b"s").expect("readable");
    assert!(entries.len() >= 4);
    let mut changed = 0;
    for (key, value) in entries {
        let step = (value.len() / 16).max(1);
        for at in (0..value.len()).step_by(step) {
            let mut bad = value.clone();
            bad[at] ^= 1;
            match refused_with(&house, &space, &key, bad) {
                StorageError::StateRoot { .. } | StorageError::State(_) => changed += 1,
                other => panic!("byte {at} of {key:?}: {other:?}"),
            }
        }
        let mut batch = Batch::default();
        batch.delete(key.clone());
        space.write_blocking(batch).expect("written");
        refusal(&house, &space);
        put(&space, &key, value);
    }
    assert!(changed > 40, "{changed}");
}

/// An entry that is still readable, and wrong.
#[actix::test]
async fn a_state_with_another_root_is_refused() {
    let (house, space) = stopped().await;
    let entries = space.scan(b"s\x03").expect("readable");
    let (key, value) = entries.first().expect("a hospital").clone();
    let mut hospital: Hospital = wire::decode(&value).expect("a hospital");
    hospital.info.name.push('!');
    let error = refused_with(&house, &space, &key, wire::encode(&hospital));
    assert!(matches!(error, StorageError::StateRoot { .. }), "{error:?}");
}

#[actix::test]
async fn a_head_that_is_not_what_was_finalized_is_refused() {
    let (house, space) = stopped().await;
    let bodies = space.scan(b"d").expect("readable");
    let (key, value) = bodies.last().expect("bodies").clone();
    let block: Block = wire::decode(&value).expect("a block");
    let later = block.altered(|parts| parts.header.time_ms = parts.header.time_ms.plus(1));
    let fewer = block.altered(|parts| drop(parts.transactions.pop()));
    for other in [later, fewer] {
        let error = refused_with(&house, &space, &key, wire::encode(&other));
        assert!(matches!(error, StorageError::Body { .. }), "{error:?}");
    }
    let error = refused_with(&house, &space, &key, value_cut(&space, &key));
    assert!(matches!(error, StorageError::Record { .. }), "{error:?}");
    let finals = space.scan(b"b").expect("readable");
    let (key, value) = finals.last().expect("blocks").clone();
    let (id, certificate): (BlockId, Certificate) = wire::decode(&value).expect("a record");
    let mut unsigned = certificate.clone();
    unsigned.votes[0].1.0[9] ^= 1;
    let error = refused_with(&house, &space, &key, wire::encode(&(id, &unsigned)));
    let head = block.header.height;
    assert!(
        matches!(error, StorageError::Wal(WalError::HeadCertificate { head: h }) if h == head),
        "{error:?}"
    );
    let error = refused_with(&house, &space, &key, value_cut(&space, &key));
    assert!(matches!(error, StorageError::Record { .. }), "{error:?}");
}

/// The first half of a value.
fn value_cut(space: &Space, key: &[u8]) -> Vec<u8> {
    let mut value = space.get(key).expect("readable").expect("it is there");
    value.truncate(value.len() / 2);
    value
}

/// Votes of a height that is not final: a changed one would be sent again, or be missed.
#[actix::test]
async fn a_changed_record_of_an_own_vote_is_refused() {
    let house = House::open(4).await;
    house.submit(1).await.expect("final");
    for n in [1, 2] {
        house.hold(ActorName::Validator(n)).await;
    }
    let body = TxBody::Close {
        case: CaseId([2; 32]),
    };
    let soon = Instant::now() + Duration::from_secs(2);
    let refused = house.client.submit(body, soon).await;
    assert!(matches!(refused, Err(ClientError::NotFinal { .. })));
    house.hold(FIRST).await;
    let space = house.store.space(&FIRST.to_string()).expect("its space");
    let mut votes = 0;
    for (key, value) in space.scan(b"w").expect("readable") {
        let entry: WalEntry = wire::decode(&value).expect("a record");
        let WalEntry::Vote(vote) = entry else {
            continue;
        };
        votes += 1;
        let flip = |change: fn(&mut Vote)| {
            let mut bad = vote.clone();
            change(&mut bad);
            wire::encode(&WalEntry::Vote(bad))
        };
        for bad in [
            flip(|vote| vote.signature.0[3] ^= 1),
            flip(|vote| vote.view.0 += 40),
            flip(|vote| vote.signer = ValidatorId(3)),
            flip(|vote| {
                vote.kind = match vote.kind {
                    VoteKind::Notarize => VoteKind::Finalize,
                    _ => VoteKind::Notarize,
                }
            }),
        ] {
            let error = refused_with(&house, &space, &key, bad);
            assert!(
                matches!(
                    error,
                    StorageError::Wal(WalError::Signature { .. } | WalError::Contradiction { .. })
                ),
                "{error:?}"
            );
        }
        let error = refused_with(&house, &space, &key, value[..value.len() - 1].to_vec());
        assert!(matches!(error, StorageError::Record { .. }), "{error:?}");
    }
    assert!(votes > 0, "it has voted");
}

/// Blocks below the head are not read at start; who asks for a changed one is told, and gets nothing.
#[actix::test]
async fn a_changed_block_is_not_handed_on() {
    let (house, space) = stopped().await;
    let bodies = space.scan(b"d").expect("readable");
    let (key, value) = bodies.first().expect("bodies").clone();
    let block: Block = wire::decode(&value).expect("a block");
    let later = block.altered(|parts| parts.header.time_ms = parts.header.time_ms.plus(1));
    put(&space, &key, wire::encode(&later));
    let (chain, ..) = ChainStore::open(space.clone(), &house.genesis).expect("it opens");
    for damage in [
        chain.block(Height(1)).err(),
        chain.blocks(Height(1), 4, usize::MAX).err(),
    ] {
        assert!(
            matches!(damage, Some(StorageError::Body { height: Height(1) })),
            "{damage:?}"
        );
    }
    drop(chain);
    let finals = space.scan(b"b").expect("readable");
    let (key, value) = finals.first().expect("blocks").clone();
    let (_, certificate): (BlockId, Certificate) = wire::decode(&value).expect("a record");
    put(&space, &key, wire::encode(&(later.id(), &certificate)));
    drop(space);
    house.release(FIRST).await;
    let chain = Chain {
        from: Height(1),
        count: 2,
    };
    let port = house.network.port(ActorName::Driver);
    let deadline = Instant::now() + WITHIN;
    let asked = port.ask_until::<Validator, _>(FIRST, chain, WITHIN, deadline);
    match asked.await.expect("it answers") {
        Err(QueryError::Store { reason, .. }) => {
            assert!(reason.contains("the block at height 1"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}
