//! Amendments from the command line: four nodes change who they are.

use crate::founding::{Town, done, ended, free_address, on_runtime, until_height};
use crate::running::{Running, number};
use kithkin_protocol::units::Height;
use serde_json::Value;

/// Runs `kithkin governance`; what it printed.
fn govern(args: &[&str]) -> String {
    done(&[&["governance"], args].concat())
}

/// Runs `kithkin governance`, which must end with this code; what it said.
fn refused(args: &[&str], code: i32) -> String {
    let output = ended(&[&["governance"], args].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    stderr
}

impl Town {
    fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn door(&self, n: usize) -> String {
        self.doors[n].to_string()
    }

    /// Who the validators are, as a node says.
    fn standing(&self, n: usize) -> Value {
        let shown = govern(&["show", "--node", &self.door(n), "--json"]);
        serde_json::from_str(&shown).expect("JSON")
    }

    /// Has these validators sign, each at its own node, and puts it together.
    fn sign_all(&self, amendment: &str, signers: &[usize]) -> String {
        let whole = self.at(&format!("{amendment}-whole.toml"));
        let file = self.at(&format!("{amendment}.toml"));
        let mut args = vec!["combine".to_owned(), "--out".to_owned(), whole.clone()];
        for &n in signers {
            let (keys, out) = (
                self.at(&format!("validator-{n}")),
                self.at(&format!("{amendment}-{n}.toml")),
            );
            let door = self.door(n);
            let said = govern(&[
                "sign", &file, "--keys", &keys, "--node", &door, "--out", &out,
            ]);
            assert!(said.contains(&format!("signed by v{n}")), "{said}");
            args.push(out);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        govern(&args);
        whole
    }

    /// Writes an amendment and has these validators sign it, each at its own node; adopted, the height from which it counts.
    fn amend(&self, name: &str, what: &[&str], signers: &[usize]) -> u64 {
        let (file, door) = (self.at(&format!("{name}.toml")), self.door(0));
        let args = ["propose", "--node", &door, "--out", &file];
        govern(&[&args, what].concat());
        self.adopt(&self.sign_all(name, signers))
    }

    /// Adds lines in front of a node's settings.
    fn set_first(&self, n: usize, lines: &str) {
        let text = std::fs::read_to_string(self.settings(n)).expect("settings");
        std::fs::write(self.settings(n), format!("{lines}\n{text}")).expect("writable");
    }

    /// Makes the keys and the settings of a fifth node; the four let it follow.
    fn found_fifth(&mut self) {
        done(&["keys", "new", "--out", &self.at("validator-4")]);
        let text = std::fs::read_to_string(self.settings(0)).expect("settings");
        // The first node's, as seen from its place: it has the addresses of three; the fourth is the node itself.
        let line = |start: &str| {
            let line = text.lines().find(|line| line.starts_with(start));
            line.expect("a line").to_owned()
        };
        let first = line("listen = ").replace("listen", "0");
        let peers = [first, line("1 = "), line("2 = "), line("3 = ")].join("\n");
        let door = free_address();
        self.doors.push(door);
        let fifth = format!(
            "genesis = 'genesis.toml'\nkeys = 'validator-4'\nvalidator = 4\ndata = 'data-4'\n\
             listen = ['/ip4/127.0.0.1/tcp/0']\nclient_listen = '{door}'\nheartbeat_ms = 200\nstatus_every_ms = 50\n\
             json = true\n[peers]\n{peers}\n"
        );
        std::fs::write(self.settings(4), fifth).expect("writable");
        for n in 0..4 {
            let text = std::fs::read_to_string(self.settings(n)).expect("settings");
            let text = format!("{text}[followers]\n4 = 'validator-4'\n");
            std::fs::write(self.settings(n), text).expect("writable");
        }
    }

    /// Hands an amendment in at the first node; the height from which its validators count.
    fn adopt(&self, whole: &str) -> u64 {
        let (keys, door) = (self.at("validator-0"), self.door(0));
        let said = govern(&["submit", whole, "--keys", &keys, "--node", &door, "--json"]);
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let from = number(&said, "members_from");
        assert_eq!(from, number(&said, "height") + 2);
        from
    }
}

#[test]
fn a_quorum_removes_a_validator_and_the_others_go_on_without_it() {
    let town = Town::found("tcp");
    let mut nodes = town.start_all();
    let (door, keys) = (town.door(0), town.at("validator-0"));
    let file = town.at("remove.toml");
    let shown = govern(&["propose", "--node", &door, "--remove", "v3", "--out", &file]);
    assert!(shown.contains("removes v3") && shown.contains("3 more of v0, v1, v2, v3"));

    // The ledger would not adopt these, so nobody is bothered with them.
    let out = town.at("never.toml");
    let words = refused(
        &["propose", "--node", &door, "--remove", "9", "--out", &out],
        2,
    );
    assert!(words.contains("v9 is no member"), "{words}");
    let known = town.at("validator-1");
    let words = refused(
        &["propose", "--node", &door, "--admit", &known, "--out", &out],
        2,
    );
    assert!(words.contains("is used already"), "{words}");
    let words = refused(&["propose", "--node", &door, "--out", &out], 2);
    assert!(words.contains("--admit"), "{words}");
    let words = refused(&["propose", "--remove", "1", "--out", &out], 2);
    assert!(words.contains("--node"), "{words}");
    // Nobody signs with keys of somebody else, nor for another ledger.
    let other = Town::found("tcp");
    let (genesis, theirs) = (other.at("genesis.toml"), other.at("validator-0"));
    let words = refused(&["sign", &file, "--keys", &theirs, "--out", &out], 2);
    assert!(words.contains("no member has the vote key"), "{words}");
    let words = refused(
        &[
            "sign",
            &file,
            "--keys",
            &keys,
            "--genesis",
            &genesis,
            "--out",
            &out,
        ],
        2,
    );
    assert!(words.contains("is for the ledger"), "{words}");

    let two = town.sign_all("remove", &[1, 2]);
    let words = refused(&["submit", &two, "--keys", &keys, "--node", &door], 2);
    assert!(words.contains("2 of 3 signatures"), "{words}");
    let (third, whole) = (town.at("third.toml"), town.at("whole.toml"));
    govern(&[
        "sign",
        &file,
        "--keys",
        &town.at("validator-3"),
        "--out",
        &third,
    ]);
    let said = govern(&["combine", &two, &third, "--out", &whole]);
    assert!(said.contains("v1, v2, v3: enough (3 of 4"), "{said}");
    let shown = govern(&["show", &whole, "--node", &door, "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(
        (&shown["missing"], &shown["refused"]),
        (&0.into(), &Value::Null)
    );

    let from = town.adopt(&whole);
    for node in &mut nodes[..3] {
        until_height(node, from);
    }
    // It counts no more: the three go on alone, and each of them is needed.
    nodes.pop().expect("four").kill();
    for node in &mut nodes {
        until_height(node, from + 5);
    }
    let standing = town.standing(1);
    let ids: Vec<&Value> = standing["validators"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    let ids: Vec<_> = ids.iter().map(|row| &row["validator"]["id"]).collect();
    assert_eq!(ids, [0, 1, 2]);
    assert_eq!(
        (number(&standing, "quorum"), number(&standing, "amendments")),
        (3, 1)
    );
    let words = refused(&["submit", &whole, "--keys", &keys, "--node", &door], 2);
    assert!(words.contains("has number 0; 1 is next"), "{words}");
    on_runtime(async {
        let blocks = town.blocks(0, Height(from + 5)).await;
        assert_eq!(town.blocks(2, Height(from + 5)).await, blocks);
    });
}

#[test]
fn a_fifth_joins_another_changes_its_keys_and_a_third_leaves() {
    let mut town = Town::found("tcp");
    town.found_fifth();
    let mut nodes: Vec<Option<Running>> = town.start_all().into_iter().map(Some).collect();
    fn up(nodes: &mut [Option<Running>], height: u64) {
        for node in nodes.iter_mut().flatten() {
            until_height(node, height);
        }
    }

    // It follows without a vote.
    let mut fifth = town.start(4);
    let ready = fifth.until("ready");
    assert_eq!(number(&ready, "validator"), 4);
    let height = number(&nodes[0].as_mut().expect("runs").until("status"), "height");
    until_height(&mut fifth, height + 3);
    nodes.push(Some(fifth));

    let from = town.amend("join", &["--admit", &town.at("validator-4")], &[0, 1, 2]);
    up(&mut nodes, from);
    // Four of five have to vote, so with one of the old ones gone it must.
    nodes[3].take().expect("runs").kill();
    up(&mut nodes, from + 5);
    nodes[3] = Some(town.start(3));
    up(&mut nodes, from + 5);

    // New keys, another start, the same number and database.
    done(&["keys", "new", "--out", &town.at("validator-1b")]);
    let rekey = format!("1={}", town.at("validator-1b"));
    let from = town.amend("rekey", &["--rekey", &rekey], &[0, 2, 3, 4]);
    nodes[1].take().expect("runs").kill();
    let text = std::fs::read_to_string(town.settings(1)).expect("settings");
    let text = text.replace("keys = 'validator-1'", "keys = 'validator-1b'");
    std::fs::write(town.settings(1), text).expect("writable");
    let words = {
        let output = ended(&["node", "--config", &town.settings(1)]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(words.contains("validator = N"), "{words}");
    town.set_first(1, "validator = 1");
    nodes[1] = Some(town.start(1));
    up(&mut nodes, from);
    nodes[3].take().expect("runs").kill();
    up(&mut nodes, from + 5);
    nodes[3] = Some(town.start(3));
    up(&mut nodes, from + 5);

    std::fs::rename(town.path("validator-1"), town.path("validator-1a")).expect("renamed");
    std::fs::rename(town.path("validator-1b"), town.path("validator-1")).expect("renamed");
    let from = town.amend("leave", &["--remove", "v3"], &[0, 1, 2, 4]);
    nodes[3].take().expect("runs").kill();
    up(&mut nodes, from + 5);
    on_runtime(async {
        let blocks = town.blocks(0, Height(from + 5)).await;
        for n in [1, 2, 4] {
            assert_eq!(
                town.blocks(n, Height(from + 5)).await,
                blocks,
                "validator {n}"
            );
        }
    });
}
