//! Credentials from the command line: an issuer's key, its word, and what a ledger of four nodes says of it.

use crate::founding::{Town, done, ended};
use crate::governance::govern;
use crate::running::number;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

/// The clinician's public key. Nobody signs with it here.
const CLINICIAN: &str = "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12";

/// Runs `kithkin credential`, which must end with this code; standard output and what it said.
fn credential(args: &[&str], code: i32) -> (String, String) {
    let output = ended(&[&["credential"], args].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    (stdout, stderr)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

impl Town {
    /// Makes the key of an issuer.
    fn issuer(&self, name: &str) -> String {
        let dir = self.at(name);
        done(&[
            "keys", "new", "--role", "issuer", "--name", name, "--out", &dir,
        ]);
        dir
    }

    /// Issues a credential for hospital-0, so long, into a file of this name.
    fn issue(&self, keys: &str, end: [&str; 2], out: &str, code: i32) -> (String, String) {
        let (genesis, hospital) = (self.at("genesis.toml"), self.at("hospital-0"));
        let args = [
            "issue",
            "--keys",
            keys,
            "--genesis",
            &genesis,
            "--hospital",
            &hospital,
            "--clinician",
            CLINICIAN,
            "--role",
            "physician",
            "--out",
            out,
        ];
        credential(&[&args[..], &end].concat(), code)
    }

    /// Checks a credential at these nodes.
    fn verify(&self, file: &str, nodes: &[usize], code: i32) -> Value {
        let genesis = self.at("genesis.toml");
        let doors: Vec<String> = nodes.iter().map(|n| self.door(*n)).collect();
        let mut args = vec!["verify", file, "--genesis", &genesis, "--json"];
        for door in &doors {
            args.extend(["--node", door.as_str()]);
        }
        json(&credential(&args, code).0)
    }
}

/// How a point came out.
fn result<'a>(verdict: &'a Value, check: &str) -> &'a Value {
    let mut all = verdict["checks"].as_array().expect("a list").iter();
    let found = all.find(|finding| finding["check"] == check);
    &found.expect("it is there")["result"]
}

#[test]
fn an_issuer_vouches_and_whoever_changes_a_byte_is_found_out() {
    let town = Town::found("tcp");
    let keys = town.issuer("chamber");
    let public = fs::read_to_string(town.path("chamber/public.toml")).expect("public keys");
    assert_eq!(done(&["keys", "show", &keys]), public);
    let (file, hospital) = (town.at("lee.toml"), town.at("hospital-0"));
    let (said, warned) = town.issue(&keys, ["--days", "90"], &file, 0);
    for words in [CLINICIAN, "physician", "Hospital 0", "with the key"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(warned.contains("was not checked"), "{warned}");
    // It says the same when it is shown, and as JSON what it says in the file.
    let (shown, _) = credential(&["show", &file], 0);
    assert!(shown.lines().all(|line| said.contains(line)), "{shown}");
    let shown = json(&credential(&["show", &file, "--json"], 0).0);
    let written = fs::read_to_string(&file).expect("a credential");
    for member in ["chain", "clinician", "role", "hospital", "signature"] {
        let text = shown[member].as_str().expect("text");
        assert!(written.contains(&format!("{member} = \"{text}\"")));
    }
    let until = number(&shown, "valid_until_ms");
    assert!(written.contains(&format!("valid_until_ms = {until}")));
    assert!(public.contains(shown["issuer_key"].as_str().expect("a key")));
    // The same by the identifiers of ledger and hospital.
    let (chain, id) = (
        town.chain.to_hex(),
        shown["hospital"].as_str().expect("an id"),
    );
    let again = town.at("again.toml");
    let args = [
        "issue",
        "--json",
        "--keys",
        &keys,
        "--chain",
        &chain,
        "--hospital",
        id,
        "--clinician",
        CLINICIAN,
        "--role",
        "nurse",
        "--until",
    ];
    let tomorrow = jiff::Timestamp::now() + std::time::Duration::from_secs(86_400);
    let tomorrow = tomorrow.to_string();
    let (said, _) = credential(&[&args[..], &[&tomorrow, "--out", &again]].concat(), 0);
    assert_eq!(json(&said)["hospital"], id);

    let verdict = town.verify(&file, &[], 0);
    assert_eq!(
        (&verdict["holds"], &verdict["as_of"]),
        (&true.into(), &Value::Null)
    );
    assert_eq!(
        verdict["not_checked"],
        serde_json::json!(["hospital", "issuer"])
    );
    // Another ledger's genesis, and a node that is asked nothing then.
    let other = Town::found("tcp");
    let genesis = other.at("genesis.toml");
    let args = ["verify", &file, "--genesis", &genesis, "--node"];
    let (said, words) = credential(&[&args[..], &["127.0.0.1:1"]].concat(), 1);
    assert!(said.contains("it does not count"), "{said}");
    assert!(words.contains("it is for the ledger"), "{words}");
    // A byte.
    fs::write(&file, written.replace("physician", "paramedic")).expect("writable");
    let verdict = town.verify(&file, &[], 1);
    assert_eq!(verdict["holds"], false);
    let broken = verdict["broken"].as_str().expect("words");
    assert!(broken.contains("does not hold"), "{broken}");
    let (_, words) = credential(&["show", &file], 2);
    assert!(words.contains("ask the issuer for it again"), "{words}");
    fs::write(&file, written.replace("format = 1", "format = 1\nfor = 2")).expect("writable");
    let (_, words) = credential(&["show", &file], 2);
    assert!(words.contains("is no credential"), "{words}");
    // Public parts of somebody else in place of the hospital's.
    let (_, words) = credential(
        &[
            "issue",
            "--keys",
            &keys,
            "--chain",
            &chain,
            "--hospital",
            &keys,
            "--clinician",
            CLINICIAN,
            "--role",
            "nurse",
            "--days",
            "1",
            "--out",
            &hospital,
        ],
        2,
    );
    assert!(
        words.contains("an issuer's keys; a hospital's are needed"),
        "{words}"
    );
}

#[test]
fn what_would_not_count_is_refused_before_it_is_signed() {
    let town = Town::found("tcp");
    let keys = town.issuer("chamber");
    let file = town.at("never.toml");
    let refused = |keys: &str, end: [&str; 2], words: &str| {
        let (_, said) = town.issue(keys, end, &file, 2);
        assert!(said.contains(words), "{words}: {said}");
        assert!(!town.path("never.toml").exists());
    };
    refused(&keys, ["--days", "367"], "366 days at most are allowed");
    refused(&keys, ["--days", "0"], "0 is not in");
    refused(&keys, ["--until", "2020-01-01"], "nothing was signed");
    refused(&keys, ["--until", "soon"], "no day such as 2027-03-31");
    refused(&town.at("hospital-1"), ["--days", "9"], "a hospital's keys");
    refused(&town.at("validator-1"), ["--days", "9"], "--role issuer");
    refused(&town.at("nobody"), ["--days", "9"], "no key 'signing'");
    let key = town.path("chamber/issuer/signing");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("its mode");
    refused(&keys, ["--days", "9"], "chmod 600");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its mode");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o750)).expect("its mode");
    refused(&keys, ["--days", "9"], "chmod 700");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o700)).expect("its mode");
    // The last day that is allowed; and once written it stays.
    town.issue(&keys, ["--days", "366"], &file, 0);
    let written = fs::read(&file).expect("a credential");
    let (_, said) = town.issue(&keys, ["--days", "9"], &file, 2);
    assert!(said.contains("is not overwritten"), "{said}");
    assert_eq!(fs::read(&file).expect("a credential"), written);
    let nowhere = town.at("nowhere/lee.toml");
    let (_, said) = town.issue(&keys, ["--days", "9"], &nowhere, 3);
    assert!(said.contains("cannot be written"), "{said}");
    // Keys are never overwritten, and an issuer has a name.
    let output = ended(&[
        "keys", "new", "--role", "issuer", "--name", "x", "--out", &keys,
    ]);
    assert_eq!(output.status.code(), Some(2));
    let output = ended(&["keys", "new", "--role", "issuer", "--out", &nowhere]);
    assert_eq!(output.status.code(), Some(2));
}

/// From the first issuer's key to its revocation, as nodes prove it.
#[test]
fn a_ledger_says_whose_word_counts() {
    let town = Town::found("tcp");
    let _nodes = town.start_all();
    let keys = town.issuer("chamber");
    let (file, door) = (town.at("lee.toml"), town.door(0));
    town.issue(&keys, ["--days", "90"], &file, 0);
    let verdict = town.verify(&file, &[0], 1);
    assert_eq!(result(&verdict, "hospital"), "holds");
    assert_eq!(result(&verdict, "issuer"), "fails");

    let propose = |name: &str, what: [&str; 2]| {
        let out = town.at(&format!("{name}.toml"));
        let args = ["propose", "--node", &door, "--out", &out];
        let said = govern(&[&args[..], &what].concat());
        let adopted = town.adopt(&town.sign_all(name, &[0, 1, 2]));
        (said, number(&adopted, "height"))
    };
    let (said, height) = propose("come", ["--accredit-issuer", &keys]);
    assert!(said.contains("accredits chamber as issuer"), "{said}");
    let verdict = town.verify(&file, &[0, 2], 0);
    assert_eq!(
        (&verdict["holds"], &verdict["not_checked"]),
        (&true.into(), &serde_json::json!([]))
    );
    assert!(number(&verdict["as_of"], "height") >= height);

    let key = json(&credential(&["show", &file, "--json"], 0).0);
    let key = key["issuer_key"].as_str().expect("a key");
    let (_, height) = propose("go", ["--revoke-issuer", key]);
    let genesis = town.at("genesis.toml");
    // A node that is silent is passed over.
    let args = ["verify", &file, "--genesis", &genesis, "--node", &door];
    let (said, words) = credential(&[&args[..], &["--node", "127.0.0.1:1"]].concat(), 1);
    assert!(said.contains("it does not count"), "{said}");
    assert!(words.contains("127.0.0.1:1 gives no proof"), "{words}");
    let revoked = format!("revoked as issuer at height {height}");
    assert!(words.contains(&revoked), "{words}");
    // Nobody answers: nothing is said.
    let args = ["verify", &file, "--genesis", &genesis];
    let (said, _) = credential(&[&args[..], &["--node", "127.0.0.1:1"]].concat(), 4);
    assert_eq!(said, "");
}
