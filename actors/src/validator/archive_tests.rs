//! Which blocks an export reads, and that it ends when nobody waits for it.

use super::*;
use crate::ports::random::SystemRng;
use crate::ports::store::Batch;
use crate::validator::ExportRoom;
use kithkin_protocol::consensus::VoteKind;
use kithkin_protocol::crypto::vrf::VrfSecretKey;
use kithkin_protocol::crypto::{Digest, SigningKey};
use kithkin_protocol::ids::{BlockId, ValidatorId};
use kithkin_protocol::ledger::{Effects, Header, Profile, ValidatorInfo, Workload};
use kithkin_protocol::units::{Millis, View};

/// Heights of the chain.
const HEIGHTS: u64 = 40;

fn genesis() -> Genesis {
    Genesis {
        time_ms: Millis(1_000),
        profile: Profile::Balanced,
        workload: Workload::Records,
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

/// Nobody checks a block here, so nothing in it need hold.
fn block(genesis: &Genesis, height: Height) -> (Arc<Block>, Certificate) {
    let proof = VrfSecretKey::random(&mut SystemRng).prove(b"nothing");
    let header = Header {
        chain: genesis.chain_id(),
        height,
        parent_id: BlockId::NONE,
        parent_state_root: Digest::ZERO,
        author: ValidatorId(0),
        view: View(1),
        time_ms: Millis(2_000),
        tx_root: Block::tx_root(&[]),
        parent_cert: None,
        late_votes: Vec::new(),
        evidence: Vec::new(),
        vrf_proof: proof.expect("a proof").1,
    };
    let block = Arc::new(Block::new(header, Vec::new()));
    let certificate = Certificate {
        kind: VoteKind::Finalize,
        height,
        view: View(1),
        id: block.id(),
        votes: Vec::new(),
    };
    (block, certificate)
}

/// A chain whose blocks have changed `cases` at the heights that stand beside them, read for somebody.
fn archive(dir: &Path, cases: &[(CaseId, &[u64])], place: ExportPlace) -> Archive {
    let genesis = genesis();
    let store = Store::open(dir, StoreOptions::default()).expect("a store");
    let space = store.space("validator-0").expect("a space");
    let (mut chain, ledger, _) = ChainStore::open(space, &genesis).expect("it opens");
    for height in 1..=HEIGHTS {
        let (block, certificate) = block(&genesis, Height(height));
        let changed = cases.iter().filter(|(_, at)| at.contains(&height));
        let effects = Effects {
            writes: changed
                .map(|(case, _)| (State::case_key(*case), Some(vec![1])))
                .collect(),
            ..Effects::default()
        };
        let mut batch = Batch::default();
        chain.put_commit(&mut batch, &block, &certificate, &effects);
        chain.space().write_blocking(batch).expect("written");
    }
    let (last, certificate) = block(&genesis, Height(HEIGHTS + 1));
    let last = Step {
        header: last.header.clone(),
        certificate,
        electorate: ledger.prove(State::electorate_key()).expect("a proof"),
    };
    Archive::running(Arc::new(genesis), chain, ledger, last, place)
}

#[actix::test]
async fn only_blocks_that_have_changed_a_case_are_read_and_only_for_somebody() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (CaseId([1; 32]), CaseId([2; 32]));
    let (place, asker) = ExportRoom::default().enter().await.expect("room");
    let cases: [(CaseId, &[u64]); 2] = [(one, &[3, 5, 37]), (other, &[5, 20])];
    let mut archive = archive(folder.path(), &cases, place);
    let mut heights = |cases: &[CaseId], first, last| {
        let found = archive.heights_of(cases, Height(first), Height(last));
        let found = found.expect("read").into_iter();
        found.map(|height| height.0).collect::<Vec<_>>()
    };
    assert_eq!(heights(&[one], 3, HEIGHTS), [3, 5, 37]);
    assert_eq!(heights(&[other], 5, HEIGHTS), [5, 20]);
    assert_eq!(heights(&[one, other], 3, HEIGHTS), [3, 5, 20, 37]);
    // Later than the head that the bundle shows.
    assert_eq!(heights(&[one], 3, 36), [3, 5]);
    assert!(heights(&[CaseId([3; 32])], 1, HEIGHTS).is_empty());

    assert!(archive.block(Height(3)).expect("read").is_some());
    drop(asker);
    let unwanted = archive.block(Height(3)).expect_err("for nobody");
    assert!(matches!(unwanted, ArchiveError::Unwanted), "{unwanted}");
    assert!(archive.prove(State::meta_key()).is_err() && archive.steps().is_err());
}
