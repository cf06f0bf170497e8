//! A validator that has forgotten what it signed, or was told so, does not vote until that is safe.

use super::*;
use crate::ports::store::Batch;
use kithkin_protocol::consensus::QUARANTINE_HEIGHTS;

/// Who forgets, and whose absence makes its vote necessary.
const FORGETFUL: ActorName = ActorName::Validator(3);
const ABSENT: ActorName = ActorName::Validator(0);

impl House {
    fn set_memory(&self, name: ActorName, memory: Memory) {
        let mut memories = self.memories.lock().expect("not poisoned");
        memories.insert(name, memory);
    }

    /// Submits until all are at `height`, at least.
    async fn go_on_to(&mut self, height: Height, tag: &mut u8) {
        let mut last = self.height().await;
        while last < height {
            *tag += 1;
            self.submit(*tag).await.expect("final");
            last = self.height().await;
        }
        self.all_at(&[0, 1, 2, 3], height).await;
    }

    /// Whether three of the four, the forgetful one among them, make something final within so long.
    async fn is_final_without_the_absent(&self, tag: &mut u8, within: Duration) -> bool {
        self.hold(ABSENT).await;
        *tag += 1;
        let body = TxBody::Close {
            case: CaseId([*tag; 32]),
        };
        let submitted = self.client.submit(body, Instant::now() + within).await;
        self.release(ABSENT).await;
        match submitted {
            Err(ClientError::Rejected { .. }) => true,
            Err(ClientError::NotFinal { .. }) => false,
            other => panic!("{other:?}"),
        }
    }

    /// The height from which on the forgetful one may vote, as it stands on its disk; it is stopped for that.
    async fn vote_from(&self) -> Height {
        self.hold(FORGETFUL).await;
        let space = self.store.space(&FORGETFUL.to_string()).expect("its space");
        let (store, ..) = ChainStore::open(space, &self.genesis).expect("it opens");
        let height = store.vote_from().expect("readable");
        drop(store);
        self.release(FORGETFUL).await;
        height
    }
}

#[actix::test]
async fn a_validator_that_has_forgotten_nothing_votes_after_asking() {
    let mut house = House::open(4).await;
    let mut tag = 0;
    house.go_on_to(Height(2), &mut tag).await;
    house.set_memory(FORGETFUL, Memory::Asked);
    house.hold(FORGETFUL).await;
    house.release(FORGETFUL).await;
    assert!(house.is_final_without_the_absent(&mut tag, WITHIN).await);
    assert_eq!(house.vote_from().await, Height(0));
}

/// An old copy of its disk, put back: the others show it votes that it does not know.
#[actix::test]
async fn a_validator_on_an_old_copy_of_its_disk_is_silent_until_it_is_safe() {
    let mut house = House::open(4).await;
    let mut tag = 0;
    house.go_on_to(Height(2), &mut tag).await;
    house.hold(FORGETFUL).await;
    let space = house
        .store
        .space(&FORGETFUL.to_string())
        .expect("its space");
    let old = space.scan(b"").expect("readable");
    drop(space);
    house.release(FORGETFUL).await;
    let head = house.height().await;
    house.go_on_to(head.plus(4), &mut tag).await;
    house.hold(FORGETFUL).await;
    let space = house
        .store
        .space(&FORGETFUL.to_string())
        .expect("its space");
    let mut batch = Batch::default();
    batch.delete_prefix(Vec::new());
    for (key, value) in old {
        batch.put(key, value);
    }
    space.write_blocking(batch).expect("written");
    drop(space);
    house.set_memory(FORGETFUL, Memory::Asked);
    let at_restart = house.height().await;
    house.release(FORGETFUL).await;
    assert_silent_then_back(&mut house, at_restart, &mut tag).await;
}

/// The operator says that the log is lost.
#[actix::test]
async fn a_validator_in_quarantine_is_silent_until_it_is_safe() {
    let mut house = House::open(4).await;
    let mut tag = 0;
    house.go_on_to(Height(2), &mut tag).await;
    house.hold(FORGETFUL).await;
    house.set_memory(FORGETFUL, Memory::Lost);
    let at_restart = house.height().await;
    house.release(FORGETFUL).await;
    assert_silent_then_back(&mut house, at_restart, &mut tag).await;
}

async fn assert_silent_then_back(house: &mut House, at_restart: Height, tag: &mut u8) {
    let while_silent = Duration::from_secs(3);
    assert!(!house.is_final_without_the_absent(tag, while_silent).await);
    // What it was told when it had asked stays on its disk, whatever it trusts at the next start.
    house.set_memory(FORGETFUL, Memory::Trusted);
    let vote_from = house.vote_from().await;
    let least = at_restart.plus(QUARANTINE_HEIGHTS + 1);
    assert!(vote_from >= least, "{vote_from} is before {least}");
    if house.height().await.plus(1) < vote_from {
        assert!(!house.is_final_without_the_absent(tag, while_silent).await);
    }
    house.go_on_to(vote_from.minus(1), tag).await;
    assert!(house.is_final_without_the_absent(tag, WITHIN).await);
}
