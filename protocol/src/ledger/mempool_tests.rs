//! The mempool against a naive one that looks at everything each time.

use super::*;
use crate::crypto::{OpeningKey, Secret32, SigningKey};
use crate::ledger::{Genesis, HospitalInfo, Profile, Transaction, TxBody};
use crate::testing::fixture;
use proptest::prelude::*;

const SENDERS: u8 = 3;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret32::new([n; 32]))
}

fn ledger(workload: Workload) -> (Ledger, Genesis) {
    let mut genesis = fixture(1, Profile::Balanced).genesis;
    genesis.workload = workload;
    genesis.hospitals = (0..SENDERS)
        .map(|n| HospitalInfo {
            key: key(n).verifying_key(),
            sealing: OpeningKey::from_seed(Secret32::new([n; 32])).sealing_key(),
            name: format!("hospital {n}"),
        })
        .collect();
    (Ledger::genesis(&genesis).expect("valid").0, genesis)
}

/// What every pool of at most these few transactions must do.
#[derive(Default)]
struct Naive {
    waiting: Vec<(SignedTransaction, Option<Height>)>,
    settled: Vec<TxId>,
}

impl Naive {
    /// Whether it is taken in.
    fn admit(&mut self, transaction: &SignedTransaction, ledger: &Ledger, now: Millis) -> bool {
        let clash = self.waiting.iter().any(|(other, _)| {
            other.id() == transaction.id()
                || !transaction.is_unsigned()
                    && other.content.signer == transaction.content.signer
                    && other.content.sequence == transaction.content.sequence
        });
        let taken = !clash
            && !self.settled.contains(&transaction.id())
            && ledger.state().check_envelope(transaction, now).is_ok()
            && (transaction.is_unsigned() || transaction.altered(|_| ()).verify().is_ok());
        if taken {
            self.waiting.push((transaction.clone(), None));
        }
        taken
    }

    fn on_block(&mut self, block: &Block, ledger: &Ledger, now: Millis) {
        self.settled
            .extend(block.transactions.iter().map(SignedTransaction::id));
        let settled = &self.settled;
        self.waiting.retain(|(transaction, _)| {
            !settled.contains(&transaction.id())
                && ledger.state().check_envelope(transaction, now).is_ok()
        });
        for (_, proposed) in &mut self.waiting {
            *proposed = proposed.filter(|height| *height > block.header.height);
        }
    }

    fn oldest(&self, height: Height, bytes: usize) -> Vec<SignedTransaction> {
        let mut room = bytes;
        let free = self
            .waiting
            .iter()
            .filter(|(_, proposed)| proposed.is_none_or(|proposed| proposed >= height));
        free.map_while(|(transaction, _)| {
            room = room.checked_sub(transaction.encoded_len())?;
            Some(transaction.clone())
        })
        .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// By sender, ahead of the sender's lowest number, valid for so long, well signed or not.
    Admit(u8, u64, u64, bool),
    /// One that came before comes again.
    Again(usize),
    /// The oldest of so many bytes are proposed so many heights ahead.
    Propose(u64, usize),
    /// A block with every so-many-th of the waiting, and one that nobody here has seen.
    Block(usize, bool),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..SENDERS, 0u64..6, 0u64..40, prop::bool::weighted(0.9))
            .prop_map(|(who, ahead, valid, good)| Step::Admit(who, ahead, valid, good)),
        1 => (0usize..50).prop_map(Step::Again),
        1 => (1u64..4, 0usize..1_500).prop_map(|(ahead, bytes)| Step::Propose(ahead, bytes)),
        1 => (1usize..4, any::<bool>()).prop_map(|(every, foreign)| Step::Block(every, foreign)),
        1 => (0u64..10).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..60)
}

/// One more block on the ledger, executed without looking at its header: the pool does not either.
fn execute(ledger: &mut Ledger, now: Millis, transactions: Vec<SignedTransaction>) -> Block {
    let header = crate::ledger::Header {
        chain: ledger.chain(),
        height: ledger.height().plus(1),
        parent_id: ledger.head_id(),
        parent_state_root: ledger.state_root(),
        author: crate::ids::ValidatorId(0),
        view: crate::units::View(1),
        time_ms: now,
        tx_root: Block::tx_root(&transactions),
        parent_cert: None,
        late_votes: Vec::new(),
        evidence: Vec::new(),
        vrf_proof: crate::crypto::vrf::VrfProof([0; 80]),
    };
    let block = Block::new(header, transactions);
    ledger.execute(&block).expect("executable");
    block
}

fn run(workload: Workload, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut ledger, genesis) = ledger(workload);
    let (mut pool, mut naive) = (Mempool::default(), Naive::default());
    let mut now = genesis.time_ms.plus(1);
    let mut seen: Vec<SignedTransaction> = Vec::new();
    let make = |ledger: &Ledger, who: u8, ahead: u64, until: Millis, good: bool, salt: usize| {
        let chain = ledger.chain();
        if workload == Workload::OpaqueUnsigned {
            let payload = vec![who; usize::from(!good) * 40];
            return SignedTransaction::unsigned(chain, Sequence(ahead), until, payload);
        }
        let signer = key(who).verifying_key();
        let lowest = ledger.state().sequences(AccountId::of(&signer)).lowest();
        let content = Transaction {
            chain,
            signer,
            sequence: lowest.plus(ahead),
            valid_until_ms: until,
            body: TxBody::Opaque(vec![0; salt % 50]),
        };
        content.sign(&key(if good { who } else { who + 1 }))
    };
    for (salt, step) in steps.into_iter().enumerate() {
        match step {
            Step::Admit(who, ahead, valid, good) => {
                let transaction = make(&ledger, who, ahead, now.plus(valid), good, salt);
                seen.push(transaction.clone());
                let taken = naive.admit(&transaction, &ledger, now);
                let id = transaction.id();
                prop_assert_eq!(
                    pool.admit(transaction, &ledger, now).ok(),
                    taken.then_some(id)
                );
            }
            Step::Again(which) => {
                let Some(transaction) = seen.get(which % seen.len().max(1)) else {
                    continue;
                };
                let again = transaction.altered(|_| ());
                let taken = naive.admit(&again, &ledger, now);
                prop_assert_eq!(pool.admit(again, &ledger, now).is_ok(), taken);
            }
            Step::Propose(ahead, bytes) => {
                let height = ledger.height().plus(ahead);
                let chosen = pool.oldest(height, bytes);
                prop_assert_eq!(&chosen, &naive.oldest(height, bytes));
                pool.on_proposed(height, &chosen);
                for (transaction, proposed) in &mut naive.waiting {
                    if chosen.contains(transaction) {
                        *proposed = Some(height);
                    }
                }
            }
            Step::Block(every, foreign) => {
                now = now.plus(1);
                let mut some: Vec<_> = pool.iter().step_by(every).cloned().collect();
                if foreign {
                    some.push(make(&ledger, 0, 0, now.plus(5), true, salt));
                }
                let chosen = ledger.state().select(&some, now, 1 << 20);
                let block = execute(&mut ledger, now, chosen);
                pool.on_block(&block, &ledger, now);
                naive.on_block(&block, &ledger, now);
            }
            Step::Pass(time) => now = now.plus(time),
        }
        let waiting: Vec<_> = naive.waiting.iter().map(|(tx, _)| tx.clone()).collect();
        prop_assert_eq!(pool.iter().cloned().collect::<Vec<_>>(), waiting.clone());
        let bytes: usize = waiting.iter().map(SignedTransaction::encoded_len).sum();
        prop_assert_eq!((pool.len(), pool.bytes()), (waiting.len(), bytes));
        prop_assert_eq!(pool.expiry.len(), waiting.len());
        prop_assert_eq!(pool.places.len(), waiting.len());
        let numbers: usize = pool.senders.values().map(BTreeMap::len).sum();
        let numbered = if workload == Workload::OpaqueUnsigned {
            0
        } else {
            waiting.len()
        };
        prop_assert_eq!(numbers, numbered);
    }
    Ok(())
}

#[test]
fn does_what_a_naive_pool_does() {
    proptest!(ProptestConfig::with_cases(60), |(steps in steps())| run(Workload::Opaque, steps)?);
    proptest!(ProptestConfig::with_cases(60), |(steps in steps())| run(Workload::OpaqueUnsigned, steps)?);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut settled = Settled::default();
    let id = |n: usize| TxId(crate::crypto::hash("n", &[&n.to_be_bytes()]).0);
    for n in 0..SETTLED_MAX + 10 {
        settled.insert(id(n));
        assert!(settled.newer.len() + settled.older.len() <= SETTLED_MAX);
    }
    assert!(settled.contains(id(SETTLED_MAX + 9)) && settled.contains(id(SETTLED_MAX / 2 + 10)));
    assert!(!settled.contains(id(0)));
}
