//! `kithkin audit`: cases played on real clusters, exported, checked, and spoilt in every way.

use kithkin::audit::{VerifyError, check, fhir};
use kithkin::stage::{Ask, Stage};
use kithkin_actors::cluster::{ClusterConfig, Shape};
use kithkin_actors::friend_relative::messages::Decision;
use kithkin_actors::node::file;
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::validator::{ExportAudit, ExportRoom, Validator};
use kithkin_fhir::fixture;
use kithkin_protocol::audit::{Attachment, AuditError, Bundle, Subject, verify};
use kithkin_protocol::emergency::{Phase, RefusalReason};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::Genesis;
use kithkin_protocol::roster::RosterRules;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(30);

fn kithkin(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kithkin"))
        .args(arguments)
        .env("RUST_LOG", "off")
        .output()
        .expect("the binary starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

/// What the program says with this exit code.
fn said(arguments: &[&str], code: i32) -> String {
    let output = kithkin(arguments);
    let all = [output.stdout, output.stderr].concat();
    let all = String::from_utf8_lossy(&all).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {all}");
    all
}

fn bundles(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).expect("a folder");
    let files = files.map(|file| file.expect("a file").path());
    files
        .filter(|path| path.extension().is_some_and(|is| is == "audit"))
        .collect()
}

/// A case with a refusal, four approvals and a read, in the folder of a cluster that has stopped; and the same from a
/// running validator.
async fn played(dir: &Path) -> (CaseId, Vec<u8>) {
    let shape = Shape {
        patients: 1,
        ..Shape::default()
    };
    let mut config = ClusterConfig::new(dir.to_owned(), shape);
    config.timing.heartbeat_ms = 500;
    let stage = Stage::launch(config).await.expect("a cluster");
    let rules = RosterRules::default();
    let enrolled = stage.enrol(0, 0, None, Vec::new(), rules).await;
    enrolled.expect("enrolled");
    let bundle = Arc::new(fixture::demo_bundle().to_vec());
    let written = stage.write(0, 0, bundle, WITHIN).await;
    written.expect("written");
    let asked = stage.request(1, 0, Ask::default()).await;
    let case = asked.expect("a case").case;
    let no = Decision::Refuse(RefusalReason::Doubtful);
    stage.decide(0, 1, case, no).await.expect("decided");
    for kin in [0, 2, 3, 4] {
        let decided = stage.decide(0, kin, case, Decision::Approve).await;
        decided.expect("decided");
    }
    stage.read(1, case, None, WITHIN).await.expect("opened");
    stage.close(1, case).await.expect("closed");
    let closed = stage.case_in(case, &[Phase::Closed], WITHIN).await;
    closed.expect("closed");
    let port = stage.cluster().driver();
    let (place, _asker) = ExportRoom::default().enter().await.expect("room");
    let subject = Subject::Case(case);
    let export = ExportAudit { subject, place };
    let asked = port.ask::<Validator, _>(ActorName::Validator(2), export, WITHIN);
    let running = asked.await.expect("an answer").expect("a bundle");
    stage.shutdown().await;
    (case, running)
}

fn whole(error: &VerifyError) -> String {
    format!("{:#}", anyhow::anyhow!(error.to_string()))
}

#[test]
fn a_case_on_a_real_cluster_is_exported_and_every_change_is_found() {
    let scratch = tempfile::tempdir().expect("a folder");
    let data = scratch.path().join("data");
    let (case, running) = actix::System::new().block_on(played(&data));
    let genesis = scratch.path().join("genesis.toml");
    let file = scratch.path().join("case.audit");
    let (id, from) = (case.to_hex(), text(&data));
    let listed = said(&["audit", "list", "--from", from], 0);
    assert!(listed.contains(&id), "{listed}");
    let out = ["--out", text(&file), "--write-genesis", text(&genesis)];
    let export = ["audit", "export", id.as_str(), "--from", from];
    said(&[&export[..], &out].concat(), 0);
    let again = said(&[&export[..], &["--out", text(&file)]].concat(), 2);
    assert!(again.contains("is there already"), "{again}");

    let to = ["--genesis", text(&genesis)];
    let verify_file = ["audit", "verify", text(&file)];
    let words = said(&[&verify_file[..], &to].concat(), 0);
    println!("{words}");
    for expected in [
        "By the patient's rules of epoch 1, 3 of 5 kin of the first circle had to approve",
        "refused on",
        "before each, the request was final and at least 3 kin had approved it in time",
        "All of them are in this bundle",
        "say the same and nothing else",
    ] {
        assert!(words.contains(expected), "{expected} is not in {words}");
    }
    let genesis = file::read(&genesis).expect("a genesis");
    let bytes = std::fs::read(&file).expect("a bundle");
    changed_bytes(&genesis, &bytes);
    changed_events(&genesis, &bytes);
    changed_transactions(&genesis, &bytes);

    // A running validator shows the same case.
    let running = Bundle::decode(&running).expect("a bundle");
    let found = verify(&genesis, &running).expect("it holds");
    let stopped = check(&genesis, &bytes).expect("it holds").findings;
    assert_eq!(found.cases[0].releases, stopped.cases[0].releases);
    assert_eq!(found.cases[0].phase, Phase::Closed);

    spoilt_by_hand(&file, &bytes, &to);
    nothing_to_show(&data, scratch.path());
}

/// The program's exit codes and what it names.
fn spoilt_by_hand(file: &Path, bytes: &[u8], to: &[&str]) {
    let mut spoilt = bytes.to_vec();
    let last = spoilt.len() - 1;
    spoilt[last] ^= 1;
    let path = file.with_extension("spoilt");
    std::fs::write(&path, spoilt).expect("written");
    let verify = ["audit", "verify", text(&path)];
    let words = said(&[&verify[..], to].concat(), 1);
    assert!(
        words.contains("the bundle does not hold: attachment 1"),
        "{words}"
    );
    let json = kithkin(&[&verify[..], to, &["--json"]].concat());
    assert_eq!(json.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["holds"], false);
    let missing = ["audit", "verify", "no-such-file"];
    said(&[&missing[..], to].concat(), 2);
    let json = kithkin(&[&["audit", "verify", text(file)], to, &["--json"]].concat());
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["holds"], true);
    assert_eq!(json["findings"]["cases"][0]["phase"], "closed");
    assert_eq!(json["words"][0]["basis"], "proved");
}

fn nothing_to_show(data: &Path, scratch: &Path) {
    let nobody = "00".repeat(32);
    let (from, out) = (text(data), scratch.join("nobody.audit"));
    let export = ["audit", "export", &nobody, "--out", text(&out), "--from"];
    let words = said(&[&export[..], &[from]].concat(), 1);
    assert!(words.contains("as a case"), "{words}");
    assert!(words.contains("as a patient"), "{words}");
    said(&[&export[..], &[text(scratch)]].concat(), 2);
    said(&[&export[..], &["nowhere"]].concat(), 2);
    assert!(!out.exists());
}

/// 1,000 changes of single bytes at random places; `KITHKIN_SEED` and `KITHKIN_CHANGES` choose others.
fn changed_bytes(genesis: &Genesis, sound: &[u8]) {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (seed, changes) = (number("KITHKIN_SEED", 34), number("KITHKIN_CHANGES", 1_000));
    println!("KITHKIN_SEED={seed} KITHKIN_CHANGES={changes}");
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut broken: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..changes {
        let at = usize::try_from(rng.next_u64()).expect("64 bits") % sound.len();
        let by = u8::try_from(rng.next_u32() % 255 + 1).expect("small");
        let mut bytes = sound.to_vec();
        bytes[at] ^= by;
        let error = check(genesis, &bytes).expect_err("a changed byte");
        assert!(whole(&error).len() > 20, "{error}");
        let name = format!("{error:?}");
        let name = name.split([' ', '{']).next().unwrap_or_default().to_owned();
        *broken.entry(name).or_default() += 1;
    }
    println!("{} bytes: {broken:?}", sound.len());
    assert_eq!(u64::from(broken.values().sum::<u32>()), changes);
}

/// The FHIR events, with every digest worked out anew.
fn changed_events(genesis: &Genesis, sound: &[u8]) {
    let bundle = Bundle::decode(sound).expect("a bundle");
    let events = bundle.attachments[0].content.to_vec();
    let json: Value = serde_json::from_slice(&events).expect("JSON");
    assert_eq!(
        (&json["resourceType"], &json["type"]),
        (&"Bundle".into(), &"collection".into())
    );
    let kinds = |kind: &str| {
        let entries = json["entry"].as_array().expect("a list").iter();
        entries
            .filter(|entry| entry["resource"]["resourceType"] == kind)
            .count()
    };
    // Five decisions, override started and stopped, three releases or more with two tiers each, reads.
    assert!(kinds("AuditEvent") >= 14, "{json:#}");
    assert_eq!(kinds("Provenance"), 1);
    let with = |attachments: Vec<Attachment>| {
        let mut other = bundle.clone();
        other.attachments = attachments;
        check(genesis, &other.encode().expect("written"))
    };
    assert!(matches!(with(Vec::new()), Err(VerifyError::NoEvents)));
    let words = String::from_utf8(events).expect("text");
    let refused = words.replacen("\"outcome\":\"8\"", "\"outcome\":\"0\"", 1);
    assert_ne!(refused, words);
    let attach = |name: &str, media_type: &str, text: &str| {
        Attachment::new(
            name.to_owned(),
            media_type.to_owned(),
            text.as_bytes().to_vec(),
        )
    };
    let changed = with(vec![attach(fhir::NAME, fhir::MEDIA_TYPE, &refused)]);
    assert!(matches!(changed, Err(VerifyError::Events { at }) if at > 0));
    let other_type = with(vec![attach(fhir::NAME, "text/plain", &words)]);
    assert!(matches!(other_type, Err(VerifyError::Events { .. })));
    // Something else beside it does no harm, and is told of as what it is.
    let note = attach("note.txt", "text/plain", "written by hand");
    let both = with(vec![attach(fhir::NAME, fhir::MEDIA_TYPE, &words), note]);
    let both = both.expect("it holds");
    assert_eq!(both.findings.attachments.len(), 1);
}

fn changed_transactions(genesis: &Genesis, sound: &[u8]) {
    let bundle = Bundle::decode(sound).expect("a bundle");
    let spoil = |change: &dyn Fn(&mut Bundle)| {
        let mut spoilt = bundle.clone();
        change(&mut spoilt);
        match check(genesis, &spoilt.encode().expect("written")) {
            Err(VerifyError::Proofs(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    for place in 0..bundle.cases[0].blocks.len() {
        let dropped = spoil(&|bundle| drop(bundle.cases[0].blocks.remove(place)));
        assert!(matches!(dropped, AuditError::Count { .. }), "{dropped}");
    }
    let swapped = spoil(&|bundle| bundle.cases[0].blocks.swap(1, 2));
    assert!(
        matches!(swapped, AuditError::BlockOrder { .. }),
        "{swapped}"
    );
    let replaced = spoil(&|bundle| {
        let blocks = &mut bundle.cases[0].blocks;
        blocks[1].transactions = blocks[2].transactions.clone();
    });
    assert!(matches!(replaced, AuditError::Place { .. }), "{replaced}");
}

/// Scripts in which rosters, cases and vetoes go their ways; each bundle holds, with its own genesis and no other's.
#[test]
fn scenarios_leave_bundles_that_hold() {
    let scratch = tempfile::tempdir().expect("a folder");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios");
    let names = [
        "shares-are-refreshed-after-a-case",
        "veto-during-the-case",
        "two-cases-at-once",
    ];
    let scripts = names.map(|name| scenarios.join(format!("{name}.toml")));
    let mut run = vec!["scenario", "run", "--json", "--audit", text(scratch.path())];
    run.extend(scripts.iter().map(|path| text(path)));
    said(&run, 0);
    for (n, name) in names.iter().enumerate() {
        let dir = scratch.path().join(name);
        let found = bundles(&dir);
        assert!(!found.is_empty(), "{name}");
        for bundle in found {
            let genesis = dir.join("genesis.toml");
            let verify = ["audit", "verify", text(&bundle), "--genesis"];
            let words = said(&[&verify[..], &[text(&genesis)]].concat(), 0);
            assert!(
                words.contains("executed again they lead to the case"),
                "{words}"
            );
            let other = scratch.path().join(names[(n + 1) % names.len()]);
            let foreign = other.join("genesis.toml");
            let words = said(&[&verify[..], &[text(&foreign)]].concat(), 1);
            assert!(words.contains("step 1 from the genesis"), "{words}");
        }
    }
}

/// What the README says.
#[test]
fn the_demo_leaves_a_bundle() {
    let scratch = tempfile::tempdir().expect("a folder");
    let dir = scratch.path().join("evidence");
    said(&["demo", "--json", "--audit", text(&dir)], 0);
    let (bundle, genesis) = (bundles(&dir).remove(0), dir.join("genesis.toml"));
    let events = scratch.path().join("events.json");
    let verify = [
        "audit",
        "verify",
        text(&bundle),
        "--genesis",
        text(&genesis),
    ];
    let words = said(&[&verify[..], &["--events", text(&events)]].concat(), 0);
    assert!(
        words.contains("There has been one emergency case"),
        "{words}"
    );
    let events = std::fs::read(events).expect("written");
    let events: Value = serde_json::from_slice(&events).expect("JSON");
    assert_eq!(events["type"], "collection");
}
