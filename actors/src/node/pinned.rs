//! What is said at the door, byte for byte, and the same with mistakes in it. The pinned frames are the fuzzer's seeds:
//! `KITHKIN_BLESS=1 cargo test -p kithkin-actors pinned` writes them anew, a deliberate act, because programs of before are
//! then no longer understood.

use super::genesis_text;
use super::protocol::*;
use crate::ports::names::ActorName;
use crate::validator::messages::{Answer, Look, Proved, QueryError};
use kithkin_protocol::audit::Subject;
use kithkin_protocol::ids::{BlockId, CaseId, ChainId, TxId, ValidatorId};
use kithkin_protocol::ledger::{Confirmed, HeadStatement, Ledger, Profile, SequenceWindow, State};
use kithkin_protocol::testing::fixture;
use kithkin_protocol::units::{Height, Millis};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn seeds(target: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../fuzz/seeds").join(target)
}

fn pinned(target: &str, name: &str, bytes: &[u8]) {
    let file = seeds(target).join(name);
    if std::env::var_os("KITHKIN_BLESS").is_some() {
        std::fs::create_dir_all(seeds(target)).expect("a folder");
        std::fs::write(&file, bytes).expect("written");
    }
    let expected = std::fs::read(&file).expect("a seed; KITHKIN_BLESS=1 writes it");
    assert_eq!(bytes, expected, "{target}/{name} has changed");
}

/// Reads values until the bytes end, or are none; answers them as they are written.
async fn reread<T: Serialize + DeserializeOwned>(mut bytes: &[u8]) -> Result<Vec<u8>, DoorError> {
    let mut again = Vec::new();
    while let Some(value) = read::<T>(&mut bytes, ANSWER_BYTES_MAX).await? {
        put(&mut again, &value);
    }
    Ok(again)
}

fn questions() -> Vec<(&'static str, Ask)> {
    let fixture = fixture(4, Profile::Balanced);
    let chain = ChainId([7; 32]);
    let transactions = (1..=3).map(|n| fixture.transaction(chain, n)).collect();
    vec![
        ("submit", Ask::Submit(transactions)),
        (
            "await",
            Ask::AwaitTx {
                id: TxId([3; 32]),
                within: Millis(1_000),
            },
        ),
        ("prove", Ask::Prove(State::electorate_key())),
        ("look", Ask::Look(Look::Head)),
        (
            "chain",
            Ask::Chain {
                from: Height(1),
                count: 64,
            },
        ),
        ("follow", Ask::Follow),
        ("status", Ask::Status),
        ("steps", Ask::Steps(Height(3))),
        ("prove_final", Ask::ProveFinal(State::electorate_key())),
        ("audit", Ask::Audit(Subject::Case(CaseId([4; 32])))),
    ]
}

fn answers() -> Vec<(&'static str, Reply)> {
    let fixture = fixture(4, Profile::Balanced);
    let (ledger, _) = Ledger::genesis(&fixture.genesis).expect("a genesis");
    let head = Confirmed {
        height: ledger.height(),
        head: ledger.head_id(),
        state_root: ledger.state_root(),
        time_ms: ledger.head_time(),
    };
    let me = &fixture.identities[1];
    let refused = vec![
        (0, Refusal::Waiting),
        (
            9,
            Refusal::Invalid {
                reason: "no".to_owned(),
            },
        ),
    ];
    let status = NodeStatus {
        validator: ValidatorId(2),
        height: Height(9),
        time_ms: Millis(77),
        master: Some(ValidatorId(1)),
        connected: vec![ValidatorId(0), ValidatorId(1)],
    };
    let name = ActorName::Validator(2);
    vec![
        ("submitted", Reply::Submitted(refused)),
        (
            "proved",
            Reply::Proved(Proved {
                statement: HeadStatement::sign(ledger.chain(), head, me.id, &me.vote_key),
                proof: ledger.prove(State::electorate_key()).expect("a proof"),
            }),
        ),
        (
            "sequences",
            Reply::Answer(Answer::Sequences(SequenceWindow::default())),
        ),
        ("head", Reply::Answer(Answer::Head(Height(3), Millis(4)))),
        ("chain", Reply::Chain(vec![(Height(1), BlockId([1; 32]))])),
        ("following", Reply::Following),
        ("status", Reply::Status(status)),
        ("query", Reply::Query(QueryError::Busy { name })),
        ("refused", Reply::Refused(DoorRefusal::Late)),
        ("steps", Reply::Steps(Vec::new())),
        ("audit", Reply::Audit(vec![1, 2, 3])),
    ]
}

#[actix::test]
async fn what_is_said_at_the_door_has_the_pinned_bytes() {
    let mut all = Vec::new();
    for (number, (name, ask)) in (0..).zip(questions()) {
        let mut bytes = Vec::new();
        put(&mut bytes, &Question { number, ask });
        pinned("door_question", name, &bytes);
        all.extend(bytes);
    }
    assert_eq!(reread::<Question>(&all).await.expect("it reads"), all);
    pinned("door_question", "all", &all);
    let mut all = Vec::new();
    for (number, (name, reply)) in (0..).zip(answers()) {
        let reply = Box::new(reply);
        let mut bytes = Vec::new();
        put(&mut bytes, &Said::Reply { number, reply });
        pinned("door_answer", name, &bytes);
        all.extend(bytes);
    }
    let news = Final {
        height: Height(4),
        block: BlockId([5; 32]),
        transactions: vec![TxId([6; 32]), TxId([8; 32])],
    };
    put(&mut all, &Said::Final(Arc::new(news)));
    put(&mut all, &Said::Missed(3));
    assert_eq!(reread::<Said>(&all).await.expect("it reads"), all);
    pinned("door_answer", "all", &all);
    let genesis = fixture(4, Profile::Hardened).genesis;
    let text = genesis_text::write(&genesis).expect("it can be written");
    pinned("genesis_file", "four", text.as_bytes());
}

/// The fuzzer does this with millions.
#[actix::test]
async fn mistakes_in_what_is_said_are_errors() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for target in ["door_question", "door_answer", "genesis_file"] {
        for file in std::fs::read_dir(seeds(target)).expect("seeds") {
            let seed = std::fs::read(file.expect("a seed").path()).expect("a seed");
            for _ in 0..500 {
                let mut bytes = seed.clone();
                for _ in 0..=rng.next_u32() % 3 {
                    let place = rng.next_u32() as usize % bytes.len();
                    match rng.next_u32() % 4 {
                        0 => bytes[place] ^= 1 << (rng.next_u32() % 8),
                        1 => bytes[place] = rng.next_u32() as u8,
                        2 => bytes.truncate(place.max(1)),
                        _ => bytes.insert(place, rng.next_u32() as u8),
                    }
                }
                // Whether it still reads is chance: what counts is that nothing panics.
                let _ = match target {
                    "door_question" => reread::<Question>(&bytes).await.map(drop),
                    "door_answer" => reread::<Said>(&bytes).await.map(drop),
                    _ => {
                        drop(genesis_text::read(&String::from_utf8_lossy(&bytes)));
                        Ok(())
                    }
                };
            }
        }
    }
}
