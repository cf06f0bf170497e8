//! What the validator's store keeps of blocks, before and after they are final.

use super::*;
use crate::ports::random::SystemRng;
use crate::ports::store::{Store, StoreOptions};
use kithkin_protocol::consensus::VoteKind;
use kithkin_protocol::crypto::vrf::VrfSecretKey;
use kithkin_protocol::crypto::{Digest, SigningKey};
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::ledger::snapshot::{Entry, ManifestBuilder, Survey, place};
use kithkin_protocol::ledger::{Header, Profile, SignedTransaction, ValidatorInfo, Workload};
use kithkin_protocol::units::{Millis, Sequence, View};

fn genesis() -> Genesis {
    Genesis {
        time_ms: Millis(1_000),
        profile: Profile::Balanced,
        workload: Workload::OpaqueUnsigned,
        validators: vec![ValidatorInfo {
            id: ValidatorId(0),
            vote_key: SigningKey::random(&mut SystemRng).verifying_key(),
            vrf_key: VrfSecretKey::random(&mut SystemRng).public_key(),
            network_key: SigningKey::random(&mut SystemRng).verifying_key(),
            hospital: None,
        }],
        hospitals: Vec::new(),
        reviewers: Vec::new(),
        review_within_ms: Millis(1_000),
    }
}

/// Nobody checks a block here, so its proof need not hold.
fn block(genesis: &Genesis, view: u64) -> Arc<Block> {
    let chain = genesis.chain_id();
    let transactions: Vec<_> = (0..20)
        .map(|n| SignedTransaction::unsigned(chain, Sequence(n), Millis(9_000), vec![7; 200]))
        .collect();
    let header = Header {
        chain,
        height: Height(1),
        parent_id: BlockId::NONE,
        parent_state_root: Digest([0; 32]),
        author: ValidatorId(0),
        view: View(view),
        time_ms: Millis(2_000),
        tx_root: Block::tx_root(&transactions),
        parent_cert: None,
        late_votes: Vec::new(),
        evidence: Vec::new(),
        vrf_proof: VrfSecretKey::random(&mut SystemRng)
            .prove(b"nothing")
            .expect("a proof")
            .1,
    };
    Arc::new(Block::new(header, transactions))
}

fn persist(store: &mut ChainStore, block: &Arc<Block>) -> usize {
    let mut batch = Batch::default();
    store.put_wal(&mut batch, &WalEntry::Body(Arc::clone(block)));
    let changes = batch.len();
    store.space().write_blocking(batch).expect("written");
    changes
}

/// Parts that a disk has spoilt after they were checked: they go, the state that was there stays, and the node starts.
#[test]
fn a_snapshot_that_is_not_what_it_was_leaves_the_old_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let genesis = genesis();
    let store = Store::open(folder.path(), StoreOptions::default()).expect("a store");
    let open = || {
        let space = store.space("validator-0").expect("a space");
        ChainStore::open(space, &genesis).expect("it opens")
    };
    let (chain, ledger, _) = open();
    let height = Height(0);
    let mut survey = Survey::default();
    let mut sorted = BTreeMap::new();
    for (key, value) in ledger.state().entries() {
        survey.add(&key, &value);
        sorted.insert(place(&key), Entry { key, value });
    }
    let mut builder = ManifestBuilder::new(height, survey.depth(u64::MAX).expect("few"));
    let mut batch = Batch::default();
    for entry in sorted.values() {
        builder.add(entry).expect("ascending");
    }
    let manifest = builder.finish();
    super::super::snapshots::put_begin(&mut batch, &manifest);
    let entries: Vec<Entry> = sorted.into_values().skip(1).collect();
    super::super::snapshots::put_part(&mut batch, height, 0, &entries);
    chain.space().write_blocking(batch).expect("written");
    let block = block(&genesis, 1);
    let last = light::Step {
        header: Header {
            parent_state_root: ledger.state_root(),
            ..block.header.clone()
        },
        certificate: Certificate {
            kind: VoteKind::Finalize,
            height: Height(1),
            view: View(1),
            id: block.id(),
            votes: Vec::new(),
        },
        electorate: ledger
            .prove(kithkin_protocol::ledger::State::electorate_key())
            .expect("a proof"),
    };
    let installed = chain.snapshots().install(manifest, last);
    assert!(
        matches!(
            installed,
            Err(StorageError::SnapshotRoot { .. } | StorageError::State(_))
        ),
        "{installed:?}"
    );
    for prefix in [b"i", b"r", b"n", b"x"] {
        assert!(chain.space().scan(prefix).expect("read").is_empty());
    }
    drop(chain);
    let (_, again, _) = open();
    assert_eq!(again.state_root(), ledger.state_root());
}

/// A body is written once, is there after a restart, and stays as the final block's; the others of its height go.
#[test]
fn a_body_is_written_once_and_outlives_the_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let genesis = genesis();
    let open = || {
        let store = Store::open(folder.path(), StoreOptions::default()).expect("a store");
        let space = store.space("validator-0").expect("a space");
        let (chain, _, wal) = ChainStore::open(space, &genesis).expect("it opens");
        (store, chain, wal)
    };
    let (first, second) = (block(&genesis, 1), block(&genesis, 2));
    let (store, mut chain, wal) = open();
    assert!(wal.is_empty());
    assert_eq!(persist(&mut chain, &first), 1);
    assert_eq!(persist(&mut chain, &first), 0);
    drop(chain);
    store.close().expect("closes");

    let (store, mut chain, wal) = open();
    assert!(!wal.is_empty());
    assert_eq!(persist(&mut chain, &first), 0);
    assert_eq!(persist(&mut chain, &second), 1);
    assert_eq!(chain.space().scan(b"d").expect("read").len(), 2);
    let certificate = Certificate {
        kind: VoteKind::Finalize,
        height: Height(1),
        view: View(2),
        id: second.id(),
        votes: Vec::new(),
    };
    let mut batch = Batch::default();
    chain.put_commit(&mut batch, &second, &certificate, &Effects::default());
    assert!(batch.len_bytes() < second.encoded_len());
    chain.space().write_blocking(batch).expect("written");
    assert_eq!(chain.space().scan(b"d").expect("read").len(), 1);
    assert_eq!(chain.space().scan(b"w").expect("read").len(), 0);
    let stored = chain.block(Height(1)).expect("read").expect("final");
    assert_eq!(
        (stored.block, stored.certificate),
        (second.clone(), certificate)
    );
    for (index, transaction) in (0..).zip(&second.transactions) {
        let place = chain.place(transaction.id()).expect("read");
        let expected = TxPlace {
            height: Height(1),
            index,
            rejected: None,
        };
        assert_eq!(place, Some(expected));
    }

    // Whoever is a little behind gets it from memory.
    let blocks = chain.blocks(Height(1), 4, usize::MAX).expect("read");
    assert!(Arc::ptr_eq(&blocks[0].block, &second));

    // Others are read.
    chain.recent.clear();
    let blocks = chain.blocks(Height(1), 4, usize::MAX).expect("read");
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].block, second);

    // Another body in its place, or none, is damage.
    let mut batch = Batch::default();
    batch.put(
        body_key(Height(1), second.id()),
        wire::encode(first.as_ref()),
    );
    chain.space().write_blocking(batch).expect("written");
    let damage = chain.block(Height(1)).expect_err("another block");
    assert!(matches!(damage, StorageError::Body { height: Height(1) }));
    let mut batch = Batch::default();
    batch.delete(body_key(Height(1), second.id()));
    chain.space().write_blocking(batch).expect("written");
    let damage = chain.block(Height(1)).expect_err("no block");
    assert!(
        damage.to_string().contains("restore it from a backup"),
        "{damage}"
    );
    drop(chain);
    store.close().expect("closes");
}
