//! Amendments from the command line: four nodes change who they are.

use crate::founding::{Town, done, ended, on_runtime, until_height};
use crate::running::{LONG, Running, number};
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::units::Height;
use serde_json::Value;
use std::time::Instant;

/// Runs `kithkin governance`; what it printed.
pub(crate) fn govern(args: &[&str]) -> String {
    done(&[&["governance"], args].concat())
}

/// Runs `kithkin governance`, which must end with this code; what it said.
pub(crate) fn refused(args: &[&str], code: i32) -> String {
    let output = ended(&[&["governance"], args].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    stderr
}

impl Town {
    pub(crate) fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn door(&self, n: usize) -> String {
        self.doors[n].to_string()
    }

    /// Who the validators are, as a node says.
    fn standing(&self, n: usize) -> Value {
        let shown = govern(&["show", "--node", &self.door(n), "--json"]);
        serde_json::from_str(&shown).expect("JSON")
    }

    /// Has these validators sign, each at its own node, and puts it together.
    pub(crate) fn sign_all(&self, amendment: &str, signers: &[usize]) -> String {
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
    pub(crate) fn amend(&self, name: &str, what: &[&str], signers: &[usize]) -> u64 {
        let (file, door) = (self.at(&format!("{name}.toml")), self.door(0));
        let args = ["propose", "--node", &door, "--out", &file];
        govern(&[&args, what].concat());
        members_from(&self.adopt(&self.sign_all(name, signers)))
    }

    /// Hands an amendment in at the first node; what was said when it was final.
    pub(crate) fn adopt(&self, whole: &str) -> Value {
        let (keys, door) = (self.at("validator-0"), self.door(0));
        let genesis = self.at("genesis.toml");
        let said = govern(&[
            "submit",
            whole,
            "--keys",
            &keys,
            "--node",
            &door,
            "--genesis",
            &genesis,
            "--json",
        ]);
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(said["proved"], true);
        said
    }
}

/// The height from which an amendment's validators count.
fn members_from(adopted: &Value) -> u64 {
    let from = number(adopted, "members_from");
    assert_eq!(from, number(adopted, "height") + 2);
    from
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

    let from = members_from(&town.adopt(&whole));
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

/// A hospital, an issuer and a reviewer come with one amendment and count with its block; the hospital goes again.
#[test]
fn who_is_accredited_is_decided_by_the_validators() {
    let town = Town::found("tcp");
    let _nodes = town.start_all();
    let (door, mary) = (town.door(0), town.at("mary"));
    let made = [
        "keys",
        "new",
        "--role",
        "hospital",
        "--name",
        "St Mary's",
        "--out",
        &mary,
    ];
    done(&made);
    let (issuer, reviewer) = ("11".repeat(32), "22".repeat(32));
    let named = format!("{issuer}=Chamber of physicians");
    let works = format!("{reviewer}={mary}");
    let propose = |name: &str, what: &[&str]| {
        let file = town.at(&format!("{name}.toml"));
        govern(&[&["propose", "--node", &door, "--out", &file], what].concat())
    };
    let never = town.at("never.toml");
    let vain = |what: &[&str]| {
        refused(
            &[&["propose", "--node", &door, "--out", &never], what].concat(),
            2,
        )
    };
    let words = vain(&["--revoke-hospital", &mary]);
    let said = words.matches("is not accredited as hospital").count();
    assert_eq!(said, 1, "the cause is printed once: {words}");
    let words = vain(&["--accredit-reviewer", &works]);
    assert!(words.contains("is not accredited"), "{words}");
    let words = vain(&["--accredit-issuer", &format!("{issuer}=")]);
    assert!(words.contains("a name of 0 bytes"), "{words}");

    let (come, issues, judges) = (
        ["--accredit-hospital", &mary],
        ["--accredit-issuer", &named],
        ["--accredit-reviewer", &works],
    );
    let said = propose("come", &[come, issues, judges].concat());
    for words in [
        "accredits the hospital St Mary's",
        "accredits Chamber of physicians as issuer",
        "works at St Mary's",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let adopted = town.adopt(&town.sign_all("come", &[0, 1, 2]));
    assert_eq!(adopted["members_from"], Value::Null);
    assert_eq!(adopted["accredited_from"], adopted["height"]);
    let standing = town.standing(0);
    assert_eq!(number(&standing, "amendments"), 1);
    assert_eq!(standing["issuers_since"], adopted["height"]);
    let words = vain(&come);
    assert!(words.contains("accredited as hospital already"), "{words}");

    let said = propose("go", &["--revoke-hospital", &mary]);
    assert!(said.contains("revokes the hospital St Mary's"), "{said}");
    town.adopt(&town.sign_all("go", &[1, 2, 3]));
    let words = vain(&come);
    assert!(words.contains("comes with another key"), "{words}");
    assert_eq!(number(&town.standing(0), "amendments"), 2);
}

/// Waits for a status line that says this of the node's part in the ledger.
fn until_part(node: &mut Running, part: &str) {
    while node.until("status")["part"] != part {}
}

/// Waits until a node has ended because its keys have no part in the ledger any more.
fn until_left(node: Running) -> String {
    let (status, lines, stderr) = node.end();
    assert_eq!(status.code(), Some(5), "{stderr}");
    assert_eq!(lines.last().expect("a last line")["reason"], "left");
    stderr
}

impl Town {
    /// Changes lines of a node's settings.
    fn reset(&self, n: usize, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.settings(n)).expect("settings");
        assert!(text.contains(from), "{text}");
        std::fs::write(self.settings(n), text.replace(from, to)).expect("writable");
    }

    /// Waits until a node says at its door that it is connected with exactly these.
    fn until_connected(&self, n: usize, with: &[u16]) {
        let with: Vec<ValidatorId> = with.iter().copied().map(ValidatorId).collect();
        let deadline = Instant::now() + LONG;
        on_runtime(async {
            let client = self.client(n).await;
            loop {
                let found = client.status(LONG).await.expect("an answer").connected;
                if found == with {
                    return;
                }
                assert!(Instant::now() < deadline, "validator {n}: {found:?}");
                tokio::task::yield_now().await;
            }
        });
    }

    /// Waits until each of these nodes is so much higher than the highest of them is now.
    fn grow(&self, nodes: &mut [(usize, &mut Running)], more: u64) -> u64 {
        let mut goal = 0;
        on_runtime(async {
            for (n, _) in nodes.iter() {
                let status = self.client(*n).await.status(LONG).await;
                goal = goal.max(status.expect("an answer").height.0 + more);
            }
        });
        for (_, node) in nodes {
            until_height(node, goal);
        }
        goal
    }
}

#[test]
fn a_fifth_joins_another_changes_its_keys_and_a_third_leaves() {
    let mut town = Town::found("tcp");
    let nodes = town.start_all();
    let [mut zero, one, mut two, three] = <[Running; 4]>::try_from(nodes).ok().expect("four");
    // The operators let the newcomer follow, without a restart.
    town.newcomer("validator = 4\n");
    for node in [&zero, &one, &two, &three] {
        node.signal("HUP");
    }
    let mut fifth = town.start(4);
    let ready = fifth.until("ready");
    assert_eq!(number(&ready, "validator"), 4);
    let head = number(&zero.until("status"), "height");
    until_height(&mut fifth, head + 3);
    until_part(&mut fifth, "waits");
    // To the others it is nobody yet.
    town.until_connected(0, &[1, 2, 3]);

    let from = town.amend("join", &["--admit", &town.at("validator-4")], &[0, 1, 2]);
    until_part(&mut fifth, "votes");
    until_height(&mut fifth, from);
    town.until_connected(0, &[1, 2, 3, 4]);
    // Four of five have to vote, so with one of the old ones gone it must.
    three.kill();
    town.grow(&mut [(0, &mut zero), (2, &mut two), (4, &mut fifth)], 5);
    // Who comes back, and who is started again, knows the newcomer from the state it has.
    let mut three = town.start(3);
    town.until_connected(3, &[0, 1, 2, 4]);
    fifth.kill();
    let mut fifth = town.start(4);
    until_part(&mut fifth, "votes");
    town.grow(&mut [(0, &mut zero), (3, &mut three), (4, &mut fifth)], 3);

    // Validator 1 goes on with other keys; its old process ends by itself, as it has nothing left to do.
    let renewed = town.at("validator-1b");
    done(&["keys", "new", "--out", &renewed]);
    let rekey = format!("1={renewed}");
    let from = town.amend("renew", &["--rekey", &rekey], &[0, 2, 3, 4]);
    let stderr = until_left(one);
    assert!(stderr.contains("given it other keys"), "{stderr}");
    town.reset(1, "keys = 'validator-1'", "keys = 'validator-1b'");
    let output = ended(&["node", "--config", &town.settings(1)]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("validator = NUMBER"), "{words}");
    town.reset(
        1,
        "keys = 'validator-1b'",
        "keys = 'validator-1b'\nvalidator = 1",
    );
    let mut one = town.start(1);
    until_part(&mut one, "votes");
    until_height(&mut one, from + 1);
    // Again everybody is needed.
    three.kill();
    town.grow(&mut [(0, &mut zero), (1, &mut one), (4, &mut fifth)], 5);
    let three = town.start(3);
    town.until_connected(3, &[0, 1, 2, 4]);

    // Validator 2 leaves: q is three of four from then on.
    std::fs::rename(town.path("validator-1"), town.path("validator-1a")).expect("renamed");
    std::fs::rename(town.path("validator-1b"), town.path("validator-1")).expect("renamed");
    town.amend("leave", &["--remove", "2"], &[0, 1, 3, 4]);
    until_left(two);
    town.until_connected(0, &[1, 3, 4]);
    three.kill();
    let head = town.grow(&mut [(0, &mut zero), (1, &mut one), (4, &mut fifth)], 5);
    // It stays out.
    until_left(town.start(2));
    on_runtime(async {
        let blocks = town.blocks(0, Height(head)).await;
        for n in [1, 4] {
            assert_eq!(town.blocks(n, Height(head)).await, blocks, "validator {n}");
        }
    });
    let standing = town.standing(4);
    assert_eq!(
        (number(&standing, "quorum"), number(&standing, "amendments")),
        (3, 3)
    );
}

/// The next keys lie ready, with the network key that the node has: nothing is started anew.
#[test]
fn keys_change_in_a_running_node() {
    let town = Town::found("tcp");
    let (keys, next) = (town.at("validator-1"), town.at("validator-1b"));
    done(&["keys", "new", "--network-of", &keys, "--out", &next]);
    let other = town.at("validator-1c");
    done(&["keys", "new", "--out", &other]);
    town.reset(1, "keys = ", "next_keys = 'validator-1c'\nkeys = ");
    let output = ended(&["node", "--config", &town.settings(1)]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("--network-of"), "{words}");
    town.reset(1, "validator-1c", "validator-1b");
    let nodes = town.start_all();
    let [mut zero, mut one, mut two, three] = <[Running; 4]>::try_from(nodes).ok().expect("four");
    let from = town.amend("renew", &["--rekey", &format!("1={next}")], &[0, 2, 3]);
    // Three of four have to vote: without the fourth, whoever has the new keys must.
    three.kill();
    town.grow(&mut [(0, &mut zero), (1, &mut one), (2, &mut two)], 5);
    until_height(&mut one, from + 10);
    until_part(&mut one, "votes");
    let shown = &town.standing(0)["validators"][1]["validator"]["vote_key"];
    let public = std::fs::read_to_string(town.path("validator-1b/public.toml")).expect("keys");
    assert!(public.contains(shown.as_str().expect("a key")), "{shown}");
}
