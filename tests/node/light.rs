//! What a node says of its ledger is proved from the genesis, and a node that lies is found out.

use crate::founding::{Town, on_runtime};
use crate::governance::{govern, refused};
use kithkin_actors::node::protocol::{Ask, GREETING, Question, Reply, Said, Welcome};
use kithkin_protocol::wire;
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What somebody between a client and a node does to the answers.
type Lie = fn(&mut Reply);

async fn frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn put(to: &mut OwnedWriteHalf, value: &impl Serialize) -> Option<()> {
    let bytes = wire::encode(value);
    to.write_u32(u32::try_from(bytes.len()).expect("short"))
        .await
        .ok()?;
    to.write_all(&bytes).await.ok()
}

async fn between(client: TcpStream, node: SocketAddr, lie: Lie) -> Option<()> {
    let (mut asks, mut told) = client.into_split();
    let node = TcpStream::connect(node).await.expect("the node's door");
    let (mut says, mut to_node) = node.into_split();
    let mut greeting = [0; GREETING.len()];
    asks.read_exact(&mut greeting).await.ok()?;
    to_node.write_all(&greeting).await.ok()?;
    let welcome: Welcome = wire::decode(&frame(&mut says).await?).expect("a welcome");
    put(&mut told, &welcome).await?;
    // One question after the other, as commands ask.
    loop {
        let question: Question = wire::decode(&frame(&mut asks).await?).expect("a question");
        put(&mut to_node, &question).await?;
        assert!(!matches!(question.ask, Ask::Follow), "no news here");
        let mut said: Said = wire::decode(&frame(&mut says).await?).expect("an answer");
        if let Said::Reply { reply, .. } = &mut said {
            lie(reply);
        }
        put(&mut told, &said).await?;
    }
}

/// Runs `kithkin governance show` through somebody who lies; it must be refused. What it said.
fn shown_by_a_liar(town: &Town, node: usize, lie: Lie) -> String {
    let node = town.doors[node];
    let genesis = town.path("genesis.toml").display().to_string();
    on_runtime(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let door = listener.local_addr().expect("an address").to_string();
        let liar = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a client");
                tokio::spawn(between(client, node, lie));
            }
        });
        let asked = tokio::task::spawn_blocking(move || {
            refused(&["show", "--node", &door, "--genesis", &genesis], 1)
        });
        let words = asked.await.expect("it ran");
        liar.abort();
        words
    })
}

#[test]
fn what_a_node_says_is_proved_from_the_genesis_and_lies_are_found_out() {
    let town = Town::found("tcp");
    let _nodes = town.start_all();
    let genesis = town.path("genesis.toml").display().to_string();
    let door = town.doors[0].to_string();
    town.amend("leave", &["--remove", "3"], &[0, 1, 2]);
    let shown = govern(&["show", "--node", &door, "--genesis", &genesis, "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["proved"], true);
    let all = shown["validators"].as_array().expect("a list");
    let ids: Vec<_> = all.iter().map(|row| &row["validator"]["id"]).collect();
    assert_eq!(ids, [0, 1, 2]);
    let believed = govern(&["show", "--node", &door, "--json"]);
    let believed: Value = serde_json::from_str(&believed).expect("JSON");
    assert_eq!(
        (&believed["proved"], &believed["validators"][2]["validator"]),
        (&Value::Bool(false), &shown["validators"][2]["validator"])
    );

    // It conceals that the validators have changed.
    let words = shown_by_a_liar(&town, 0, |reply| {
        if let Reply::Steps(steps) = reply {
            steps.clear();
        }
    });
    assert!(
        words.contains("does not follow from the genesis"),
        "{words}"
    );
    // It shows other standings.
    let words = shown_by_a_liar(&town, 0, |reply| {
        if let Reply::ProvedFinal(proved) = reply {
            // Another entry may be proved absent.
            if let Some(value) = proved.entry.value.as_mut() {
                *value.last_mut().expect("bytes") ^= 1;
            }
        }
    });
    assert!(
        words.contains("does not follow from the genesis"),
        "{words}"
    );
    // It shows a block that too few have signed.
    let words = shown_by_a_liar(&town, 0, |reply| {
        if let Reply::ProvedFinal(proved) = reply {
            proved.step.certificate.votes.pop();
        }
    });
    assert!(
        words.contains("does not follow from the genesis"),
        "{words}"
    );
    // It proves something else.
    let words = shown_by_a_liar(&town, 0, |reply| {
        if let Reply::ProvedFinal(proved) = reply {
            proved.entry = proved.step.electorate.clone();
        }
    });
    assert!(words.contains("something else"), "{words}");

    // A genesis of another ledger.
    let other = Town::found("tcp");
    let genesis = other.path("genesis.toml").display().to_string();
    let words = refused(&["show", "--node", &door, "--genesis", &genesis], 2);
    assert!(words.contains("is of the ledger"), "{words}");
}
