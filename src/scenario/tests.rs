//! What a script may say, and how a wrong one is refused.

use super::{ScriptError, load, parse};
use std::path::Path;

const START: &str = "title = \"t\"\nstory = \"s\"\n";

fn refused(text: &str) -> String {
    match parse(Path::new("wrong.toml"), &format!("{START}{text}")) {
        Ok(_) => panic!("taken: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_script_of_ours_can_be_played() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios");
    let files = super::files(&folder).expect("the folder is there");
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let loaded = load(&file).unwrap_or_else(|error| panic!("{error}"));
        assert!(!loaded.script.steps.is_empty(), "{}", file.display());
    }
}

#[test]
fn unknown_keys_and_words_are_named_with_their_line() {
    let cases = [
        ("[cast]\nvalidatrs = 4\n", "validatrs"),
        (
            "[[step]]\ndo.enroll = { patient = \"patient-0\" }\n",
            "enroll",
        ),
        (
            "[[step]]\ndo.enrol = { patient = \"patient-0\", sponser = \"x\" }\n",
            "sponser",
        ),
        (
            "[[step]]\ndo.enrol = { patient = \"hospital-0\" }\n",
            "hospital-0",
        ),
        (
            "[[step]]\ndo.enrol = { patient = \"nurse-1\" }\n",
            "nurse-1",
        ),
        ("[[step]]\nat = \"soon\"\ndo.heal = {}\n", "soon"),
        (
            "[[expect]]\nphase = { case = \"a\", is = [\"gone\"] }\n",
            "gone",
        ),
        (
            "[[expect]]\nphase = { case = \"a\", is = [\"open\"], extra = 1 }\n",
            "extra",
        ),
    ];
    for (text, word) in cases {
        let error = refused(text);
        assert!(error.contains("wrong.toml"), "{error}");
        assert!(error.contains(word), "{word} in {error}");
        assert!(error.contains("line"), "{error}");
    }
}

#[test]
fn references_must_fit_together() {
    let expect = "[[expect]]\nheight = { at_least = 1 }\n";
    let cases = [
        (
            "[[step]]\ndo.crash = { actor = \"kin-0-5\", how = \"panic\" }\n",
            "there is no kin-0-5",
        ),
        (
            "[[step]]\ndo.close = { case = \"a\" }\n",
            "no step before this requests a case 'a'",
        ),
        (
            "[[step]]\ndo.restore = { record = \"r\" }\n",
            "writes a record 'r'",
        ),
        (
            "[[step]]\nat = \"1s\"\nafter = \"1s\"\ndo.heal = {}\n",
            "either at",
        ),
        (
            "[[step]]\ndo.revoke_consent = { consent = \"c\" }\n",
            "no step before this gives a consent 'c'",
        ),
        (
            "[[step]]\ndo.request = { hospital = \"hospital-0\", patient = \"patient-0\", case = \"a\", after = \"b\" }\n",
            "no step before this requests a case 'b'",
        ),
        (
            "[[step]]\ndo.enrol = { patient = \"patient-0\", second = [\"kin-0-9\"] }\n",
            "there is no kin-0-9 in this cast",
        ),
        ("[[step]]\ndo.cut = {}\n", "say which links"),
        (
            "[[step]]\ndo.lose = { of = [\"kin-0-0\"], share = 2.0 }\n",
            "no share",
        ),
        (
            "[[step]]\ndo.byzantine = { actor = \"validator-0\", conduct = \"forge\" }\n",
            "'double_vote' or 'honest'",
        ),
        (
            "[[step]]\ndo.byzantine = { actor = \"kin-0-0\", conduct = \"equivocate\" }\n",
            "only validators vote",
        ),
        (
            "[[step]]\ndo.wait_convicted = { validator = \"validator-4\" }\n",
            "there is no validator-4",
        ),
        (
            "[[step]]\ndo.byzantine = { actor = \"hospital-0\", conduct = \"silent\" }\n",
            "only a kin or a validator",
        ),
        ("[cast]\nrelatives = 2\n", "relatives"),
    ];
    for (text, words) in cases {
        let error = refused(&format!("{text}{expect}"));
        assert!(error.contains(words), "{words} in {error}");
    }
    assert!(refused("").contains("nothing is expected"));
    let unread = load(Path::new("there-is-no-such.toml"));
    assert!(matches!(unread, Err(ScriptError::Read { .. })));
}
