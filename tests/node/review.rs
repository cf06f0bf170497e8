//! A reviewer at a node's door: a case is closed, stands on the list, is judged once.

use crate::audit::{act, play};
use crate::founding::{Town, done, ended, on_runtime};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::TxBody;
use serde_json::Value;

/// Runs `kithkin review`, which must end with this code; what it said.
fn refused(args: &[&str], code: i32) -> String {
    let output = ended(&[&["review"], args].concat());
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {words}");
    words
}

fn json(args: &[&str]) -> Value {
    let said = done(&[&["review"], args, &["--json"]].concat());
    serde_json::from_str(&said).expect("JSON")
}

async fn close(town: &Town, case: CaseId) {
    let body = TxBody::Close { case };
    act(town, town.sign(&town.hospital(1), 1, body)).await;
}

#[test]
fn a_closed_case_is_listed_and_judged_once_by_an_accredited_reviewer() {
    let town = Town::found_for("tcp", "records");
    let _nodes = town.start_all();
    let at = |name: &str| town.path(name).display().to_string();
    let (keys, genesis, door) = (
        at("reviewer"),
        at("genesis.toml"),
        town.doors[1].to_string(),
    );
    let shown = done(&["keys", "show", &keys]);
    let public = std::fs::read_to_string(town.path("reviewer/public.toml"));
    assert_eq!(shown, public.expect("public parts"));
    let again = ended(&["keys", "new", "--role", "validator", "--out", &keys]);
    assert_eq!(again.status.code(), Some(2));

    let case = on_runtime(play(&town));
    let id = case.to_hex();
    let list = ["list", "--keys", &keys, "--node", &door];
    let submit = |keys: &str, verdict: &str| {
        let words = ["submit", &id, "--verdict", verdict, "--keys", keys];
        let node = ["--node", &door, "--genesis", &genesis];
        [&words[..], &node[..]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let run = |args: &[String], code| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        refused(&args, code)
    };
    assert_eq!(json(&list)["tasks"], serde_json::json!([]));
    let words = run(&submit(&keys, "justified"), 1);
    assert!(
        words.contains("waits for no verdict: it is open"),
        "{words}"
    );

    on_runtime(close(&town, case));
    let tasks = &json(&list)["tasks"];
    assert_eq!(tasks[0]["case"], id.as_str());
    assert_eq!(tasks[0]["is_overdue"], false);
    let listed = done(&[&["review"], &list[..]].concat());
    assert!(
        listed.contains(&id) && listed.contains("due by"),
        "{listed}"
    );

    // Somebody whom nobody has accredited, and keys that are no reviewer's.
    let stranger = at("stranger");
    done(&["keys", "new", "--role", "reviewer", "--out", &stranger]);
    let words = run(&submit(&stranger, "justified"), 1);
    assert!(words.contains("does not take the verdict"), "{words}");
    let words = run(&submit(&at("hospital-0"), "justified"), 2);
    assert!(words.contains("no key 'signing'"), "{words}");

    let verdict = submit(&keys, "unjustified");
    let verdict: Vec<&str> = verdict.iter().map(String::as_str).collect();
    let judged = json(&verdict);
    assert_eq!(judged["case"], id.as_str());
    assert_eq!(judged["verdict"], "unjustified");
    assert!(judged["height"].as_u64() > Some(0));
    assert_eq!(json(&list)["tasks"], serde_json::json!([]));
    let words = run(&submit(&keys, "justified"), 1);
    assert!(
        words.contains("waits for no verdict: it is reviewed"),
        "{words}"
    );
}
