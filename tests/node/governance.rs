//! Amendments from the command line: four nodes change who they are.

use crate::founding::{Town, done, ended, on_runtime, until_height};
use crate::running::number;
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
