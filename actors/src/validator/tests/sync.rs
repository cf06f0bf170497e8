//! A validator that is far behind gets the state of a snapshot: from honest peers, among them a lying one, and after a crash.

use super::*;
use crate::validator::messages::{Chain, Consensus, QueryError, Snapshot};
use kithkin_protocol::consensus::{Finalized, Message};
use kithkin_protocol::ids::BlockId;
use kithkin_protocol::ledger::snapshot::{Entry, Manifest, StateSync};
use kithkin_protocol::wire;
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use tokio::sync::watch;

const EVERY: u64 = 20;
/// Who is behind.
const LATE: ActorName = ActorName::Validator(3);

/// A message about snapshots that an actor has sent.
type Sent = (ActorName, ActorName, StateSync);

/// Four validators, one of which has not seen any of the blocks yet.
struct Behind {
    house: House,
    sent: watch::Receiver<Vec<Sent>>,
}

/// How the late one lost its network while it was fetching parts.
#[derive(Clone, Default)]
struct Cut {
    /// The parts that it has asked for before.
    asked: BTreeSet<u32>,
    /// Its questions that have not been answered, nor the answer lost.
    open: BTreeMap<u32, (ActorName, StateSync)>,
    /// Those whose answers were lost.
    lost: Vec<(ActorName, StateSync)>,
    /// The parts that have come, before or since.
    come: BTreeSet<u32>,
    done: bool,
}

impl Cut {
    /// Every question that was on its way has had its answer, and one of them at least in vain.
    fn is_over(&self) -> bool {
        self.done && self.open.is_empty() && !self.lost.is_empty()
    }
}

impl Behind {
    /// The others are at `height`, at least, and have made their snapshots; the late one stopped at `start` or just above.
    async fn between(start: u64, height: u64) -> Self {
        let house = House::with(Plan {
            validators: 4,
            // So many entries of the state, and parts.
            hospitals: 40,
            workload: Workload::Records,
            snapshots: SnapshotPolicy {
                every: NonZeroU64::new(EVERY).expect("20"),
                keep: 2,
                chunk_bytes: 1,
            },
        })
        .await;
        let (see, sent) = watch::channel(Vec::new());
        house.network.tap(move |event| {
            if let Some(Snapshot(message)) = event.content.downcast_ref() {
                see.send_modify(|all| all.push((event.from, event.to, message.clone())));
            }
        });
        let mut behind = Self { house, sent };
        let mut n = 0;
        while behind.house.height().await < Height(start) {
            behind.house.submit(n).await.expect("final");
            n += 1;
        }
        if start > 0 {
            behind.house.all_at(&[3], Height(start)).await;
        }
        behind.house.hold(LATE).await;
        while behind.house.height().await < Height(height) {
            behind.house.submit(n).await.expect("three of four suffice");
            n = n.wrapping_add(1);
        }
        for n in 0..3 {
            behind.snapshot_is_made(n, height / EVERY * EVERY).await;
        }
        behind
    }

    /// Waits until validator `n` offers the snapshot of this height, and the blocks after it are final.
    async fn snapshot_is_made(&self, n: u16, height: u64) {
        let port = self.house.network.port(LATE);
        let mut sent = self.sent.clone();
        let height_wanted = Height(height);
        let asked = async {
            loop {
                let question = Snapshot(StateSync::Ask { height: Height(0) });
                port.tell::<Validator, _>(ActorName::Validator(n), question);
                let offers = sent.wait_for(|all| {
                    all.iter().any(|(from, _, message)| {
                        let StateSync::Offer { snapshot } = message else {
                            return false;
                        };
                        *from == ActorName::Validator(n)
                            && snapshot.is_some_and(|id| id.height >= height_wanted)
                    })
                });
                let soon = Duration::from_millis(100);
                if tokio::time::timeout(soon, offers).await.is_ok() {
                    return;
                }
            }
        };
        let made = tokio::time::timeout(WITHIN, asked).await;
        made.expect("a snapshot is made in time");
    }

    /// What was sent from `from` to `to`, as far as `of` picks it.
    fn sent<T>(
        &self,
        from: ActorName,
        to: ActorName,
        of: impl Fn(&StateSync) -> Option<T>,
    ) -> Vec<T> {
        let sent = self.sent.borrow();
        let between = sent.iter().filter(|(f, t, _)| (*f, *t) == (from, to));
        between.filter_map(|(_, _, message)| of(message)).collect()
    }

    /// The late one loses its network with its question for the last of so many different parts as `after` says of the
    /// manifest. Nothing is on its way any more when [`cut_off`] returns.
    fn cut_off_after(
        &self,
        after: impl Fn(&Manifest) -> usize + Send + Sync + 'static,
    ) -> watch::Receiver<Cut> {
        let network = self.house.network.clone();
        let parts = Mutex::new(None);
        let (see, seen) = watch::channel(Cut::default());
        self.house.network.tap(move |event| {
            let Some(Snapshot(message)) = event.content.downcast_ref() else {
                return;
            };
            let mut parts = parts.lock().expect("not poisoned");
            see.send_modify(|cut| match message {
                StateSync::Manifest(manifest) => {
                    parts.get_or_insert_with(|| after(manifest));
                }
                StateSync::GetChunk { part, .. } if !cut.done => {
                    cut.asked.insert(*part);
                    cut.open.insert(*part, (event.to, message.clone()));
                    if *parts == Some(cut.asked.len()) {
                        network.set_node(LATE, LinkRule::severed());
                        cut.done = true;
                    }
                }
                StateSync::Chunk { part, .. } if event.to == LATE => {
                    let question = cut.open.remove(part);
                    if event.lost {
                        cut.lost.extend(question);
                    } else {
                        cut.come.insert(*part);
                    }
                }
                _ => {}
            });
        });
        seen
    }

    /// The parts that the late one has asked for, whomever.
    fn parts_asked(&self) -> Vec<u32> {
        let sent = self.sent.borrow();
        sent.iter()
            .filter_map(|(_, _, message)| part_asked(message))
            .collect()
    }

    async fn chain(&self, n: u16, from: u64) -> Result<Vec<(Height, BlockId)>, QueryError> {
        let port = self.house.network.port(ActorName::Driver);
        let chain = Chain {
            from: Height(from),
            count: 20,
        };
        let deadline = Instant::now() + WITHIN;
        let to = ActorName::Validator(n);
        port.ask_until::<Validator, _>(to, chain, WITHIN, deadline)
            .await
            .expect("it answers")
    }

    /// The late one has the state of the snapshot at `height`, what came after it, and votes again.
    async fn assert_caught_up(&mut self, height: u64) {
        let head = self.house.height().await;
        self.house.submit(200).await.expect("final");
        self.house.all_at(&[3], head.plus(1)).await;
        let first = Height(height + 1);
        // It may have got a few of the first blocks, unasked.
        let pruned = self.chain(3, height).await;
        assert!(
            matches!(pruned, Err(QueryError::Pruned { first: f, .. }) if f == first),
            "{pruned:?}"
        );
        let theirs = self.chain(0, height + 1).await.expect("blocks");
        let ours = self.chain(3, height + 1).await.expect("blocks");
        let common = theirs.len().min(ours.len());
        assert!(common > 0);
        assert_eq!(theirs[..common], ours[..common]);
        // Without its vote there is no quorum now.
        self.house.hold(ActorName::Validator(0)).await;
        self.house.submit(201).await.expect("final");
    }
}

/// Waits until the late one has lost its network and nothing is on its way.
async fn cut_off(cut: &watch::Receiver<Cut>) -> Cut {
    let mut cut = cut.clone();
    let over = cut.wait_for(Cut::is_over);
    let over = tokio::time::timeout(WITHIN, over).await;
    over.expect("in time").expect("the tap lives").clone()
}

fn part_asked(message: &StateSync) -> Option<u32> {
    match message {
        StateSync::GetChunk { part, .. } => Some(*part),
        _ => None,
    }
}

#[actix::test]
async fn a_validator_three_snapshots_behind_gets_the_state() {
    let mut behind = Behind::between(0, 3 * EVERY + 5).await;
    behind.house.release(LATE).await;
    behind.assert_caught_up(3 * EVERY).await;
    let different: BTreeSet<u32> = behind.parts_asked().into_iter().collect();
    assert!(different.len() > 20, "{} parts", different.len());
    for n in 0..3 {
        let of_one = behind.sent(LATE, ActorName::Validator(n), part_asked);
        assert!(!of_one.is_empty(), "validator {n} was asked for none");
    }
}

#[actix::test]
async fn a_validator_less_than_a_snapshot_behind_gets_blocks() {
    let mut behind = Behind::between(5, EVERY + 2).await;
    behind.house.release(LATE).await;
    behind.house.submit(200).await.expect("final");
    behind.house.all_at(&[3], Height(EVERY + 3)).await;
    assert!(behind.parts_asked().is_empty());
    let blocks = behind.chain(3, 1).await.expect("blocks");
    assert_eq!(blocks, behind.chain(0, 1).await.expect("blocks"));
}

#[actix::test]
async fn a_server_with_a_wrong_part_is_not_asked_again() {
    let mut behind = Behind::between(0, 3 * EVERY + 5).await;
    let liar = ActorName::Validator(1);
    behind.house.hold(liar).await;
    let space = behind
        .house
        .store
        .space(&liar.to_string())
        .expect("its space");
    let mut batch = crate::ports::store::Batch::default();
    for (key, value) in space.scan(b"x").expect("entries") {
        let mut entry: Entry = wire::decode(&value).expect("an entry");
        entry.value.push(0);
        batch.put(key, wire::encode(&entry));
    }
    assert!(batch.len() > 40);
    space.write_blocking(batch).expect("written");
    drop(space);
    behind.house.release(liar).await;
    behind.house.release(LATE).await;
    behind.assert_caught_up(3 * EVERY).await;
    assert_eq!(behind.sent(LATE, liar, part_asked).len(), 1);
    let parts = behind.parts_asked();
    let different: BTreeSet<u32> = parts.iter().copied().collect();
    assert!(
        parts.len() > different.len(),
        "one part was asked for again"
    );
}

#[actix::test]
async fn after_a_crash_only_what_is_missing_is_fetched() {
    const BEFORE: usize = 12;
    let mut behind = Behind::between(0, 3 * EVERY + 5).await;
    // The network fails in the middle, and the node crashes then.
    let cut = behind.cut_off_after(|_| BEFORE);
    behind.house.release(LATE).await;
    cut_off(&cut).await;
    behind.house.hold(LATE).await;
    let before = behind.parts_asked();
    behind.house.network.clear_links();
    behind.house.release(LATE).await;
    behind.assert_caught_up(3 * EVERY).await;
    let after = behind.parts_asked().split_off(before.len());
    let different: BTreeSet<u32> = before.iter().chain(&after).copied().collect();
    // At most as many as are under way at a time were lost.
    let lost = before.len() + after.len() - different.len();
    let window = kithkin_protocol::ledger::snapshot::WINDOW;
    assert!(
        lost <= 2 * window,
        "{lost} of {} parts came twice",
        before.len()
    );
    assert!(different.len() > 2 * BEFORE, "{} parts", different.len());
}

/// What validator 0 sends whoever asks it for the first blocks.
async fn first_blocks(behind: &Behind) -> Vec<Finalized> {
    let (see, mut seen) = watch::channel(Vec::new());
    behind.house.network.tap(move |event| {
        if let Some(Consensus(Message::Committed(blocks))) = event.content.downcast_ref()
            && event.to == LATE
        {
            see.send_replace(blocks.clone());
        }
    });
    let question = Consensus(Message::GetCommitted {
        from: Height(1),
        count: 64,
    });
    let port = behind.house.network.port(LATE);
    port.tell::<Validator, _>(ActorName::Validator(0), question);
    let answered = seen.wait_for(|blocks| !blocks.is_empty());
    let answered = tokio::time::timeout(WITHIN, answered).await;
    answered.expect("in time").expect("the tap lives").clone()
}

/// A peer may send blocks unasked. A snapshot of a height that the chain has passed meanwhile must not be put in place: the
/// node has voted on what follows, and its records of that would go with the old state.
#[actix::test]
async fn a_snapshot_that_blocks_have_overtaken_is_not_put_in_place() {
    let mut behind = Behind::between(0, 3 * EVERY + 5).await;
    let blocks = first_blocks(&behind).await;
    assert_eq!(blocks.len(), 64);
    // All parts are asked for; the answers to the last questions are lost.
    let cut = behind.cut_off_after(|manifest| manifest.parts().count());
    behind.house.release(LATE).await;
    let Cut { asked, lost, .. } = cut_off(&cut).await;
    behind.house.network.clear_links();
    let liar = behind.house.network.port(ActorName::Validator(0));
    liar.tell::<Validator, _>(LATE, Consensus(Message::Committed(blocks)));
    let late = behind.house.network.port(LATE);
    for (to, question) in lost {
        late.tell::<Validator, _>(to, Snapshot(question));
    }
    behind.house.submit(200).await.expect("final");
    let head = behind.house.height().await;
    let mut last = Height(0);
    let up_to_date = async {
        while let Some(sight) = behind.house.sights.recv().await {
            let Sight::Block(seen, _) = sight else {
                continue;
            };
            if seen.validator == ValidatorId(3) {
                assert!(seen.height > last, "{} after {last}", seen.height);
                last = seen.height;
            }
            if last >= head {
                return;
            }
        }
    };
    let reached = tokio::time::timeout(WITHIN, up_to_date).await;
    reached.expect("in time");
    // It has got the whole snapshot, too late.
    let mut cut = cut.clone();
    let come = cut.wait_for(|cut| cut.come == asked);
    let come = tokio::time::timeout(WITHIN, come).await;
    drop(come.expect("in time").expect("the tap lives"));
    let blocks = behind.chain(3, 1).await.expect("blocks");
    assert_eq!(blocks, behind.chain(0, 1).await.expect("blocks"));
}
