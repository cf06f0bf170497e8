//! What a node refuses, in words and with the right exit code.

use crate::founding::{Town, done, ended, until_height};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

/// Runs a node that is not to start.
fn refused(town: &Town, n: usize, code: i32, words: &str) {
    let output = ended(&["node", "--config", &town.settings(n)]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(words), "{stderr}");
}

#[test]
fn keys_that_others_can_read_or_that_are_damaged_are_refused() {
    let town = Town::found("tcp");
    let key = town.path("validator-0/validator/vote");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    refused(&town, 0, 2, "chmod 600");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(&key).unwrap();
    bytes[7] ^= 1;
    fs::write(&key, &bytes).unwrap();
    refused(&town, 0, 2, "is damaged");
    fs::remove_file(&key).unwrap();
    refused(&town, 0, 2, "there is no key 'vote'");
    // Another folder's permissions.
    let folder = town.path("validator-1");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    refused(&town, 1, 2, "chmod 700");
}

#[test]
fn keys_are_never_overwritten_and_show_their_public_parts() {
    let town = Town::found("tcp");
    let folder = town.path("validator-0");
    let folder = folder.to_str().unwrap();
    let output = ended(&["keys", "new", "--out", folder]);
    assert_eq!(output.status.code(), Some(2));
    let public = fs::read_to_string(town.path("validator-0/public.toml")).unwrap();
    assert_eq!(done(&["keys", "show", folder]), public);
    assert!(public.contains("vote_key") && !public.contains("secret"));
    let hospital = town.path("hospital-0");
    let shown = done(&["keys", "show", hospital.to_str().unwrap()]);
    assert_eq!(
        shown,
        fs::read_to_string(hospital.join("public.toml")).unwrap()
    );
}

#[test]
fn a_changed_genesis_and_keys_of_another_ledger_are_refused() {
    let town = Town::found("tcp");
    let path = town.path("genesis.toml");
    let text = fs::read_to_string(&path).unwrap();
    let shown = path.to_str().unwrap();
    assert!(done(&["genesis", "show", shown]).contains(&town.chain.to_hex()));
    let json: serde_json::Value =
        serde_json::from_str(&done(&["genesis", "show", shown, "--json"])).unwrap();
    assert_eq!(
        (&json["quorum"], &json["tolerated"]),
        (&3.into(), &1.into())
    );
    assert_eq!(json["chain"], town.chain.to_hex());
    fs::write(&path, text.replace("opaque", "records")).unwrap();
    refused(&town, 0, 2, "it was changed");
    let misspelt = text.replace("workload", "work_load");
    assert_ne!(misspelt, text);
    fs::write(&path, misspelt).unwrap();
    refused(&town, 0, 2, "work_load");
    let other = Town::found("tcp");
    fs::copy(other.path("genesis.toml"), &path).unwrap();
    refused(&town, 0, 2, "another ledger's genesis, or other keys");
}

#[test]
fn a_node_without_its_records_is_refused_until_the_operator_says_so() {
    let town = Town::found("tcp");
    let mut nodes = town.start_all();
    until_height(&mut nodes[0], 4);
    // The folder is in use.
    refused(&town, 0, 3, "data-0");
    nodes.remove(0).kill();
    fs::remove_dir_all(town.path("data-0")).unwrap();
    refused(&town, 0, 3, "--quarantine");
    let settings = town.settings(0);
    let mut again = crate::running::Running::spawn(crate::running::program(&[
        "node",
        "--quarantine",
        "--config",
        &settings,
    ]));
    again.until("ready");
    until_height(&mut nodes[0], 12);
    until_height(&mut again, 12);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let town = Town::found("tcp");
    let _door = std::net::TcpListener::bind(town.doors[0]).unwrap();
    refused(&town, 0, 4, &town.doors[0].to_string());
}

#[test]
fn settings_are_checked() {
    let town = Town::found("tcp");
    let settings = town.path("0.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("unknown = 1\n{text}")).unwrap();
    refused(&town, 0, 2, "config/node.toml shows every key");
    let output = ended(&["node"]);
    assert_eq!(output.status.code(), Some(2));
}
