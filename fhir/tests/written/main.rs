//! What is written, pinned. `KITHKIN_BLESS=1 cargo test -p kithkin-fhir --test written` writes the
//! fixtures anew: a deliberate act, because others keep these resources and compare them.

mod refusals;
mod samples;

use std::collections::BTreeSet;
use std::path::Path;

use kithkin_fhir::audit::{Erased, Event, Phase, Profile, Side, event};
use kithkin_fhir::code::ActReason;
use kithkin_fhir::consent::PROFILE;
use samples::{activity, disclosure, erasure, events, stamp, written};
use serde_json::Value;

#[test]
fn every_resource_is_written_as_its_fixture_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/written");
    let mut names = BTreeSet::new();
    for (name, value) in written() {
        let file = folder.join(format!("{name}.json"));
        let text = format!("{}\n", serde_json::to_string_pretty(&value).unwrap());
        if std::env::var_os("KITHKIN_BLESS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let expected =
            std::fs::read_to_string(&file).expect("a fixture; KITHKIN_BLESS=1 writes it");
        assert_eq!(text, expected, "{name}");
        assert!(names.insert(format!("{name}.json")), "{name} twice");
    }
    let found: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, names, "a fixture that nothing writes");
}

#[test]
fn the_same_facts_give_the_same_bytes() {
    let bytes = || -> Vec<Vec<u8>> {
        let all = written();
        all.iter()
            .map(|(_, value)| serde_json::to_vec(value).unwrap())
            .collect()
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn synthetic_resources_are_labelled_and_others_are_not() {
    let label = "HTEST";
    for (name, value) in written() {
        if value["resourceType"] != "OperationOutcome" {
            assert_eq!(value["meta"]["security"][0]["code"], label, "{name}");
        }
    }
    for (name, mut stamp, what) in events() {
        stamp.test_data = false;
        let value = event(&stamp, &what).unwrap();
        assert!(value["meta"].get("security").is_none(), "{name}");
    }
}

/// What R4 requires of each resource (cardinality 1..), by type.
fn required(resource_type: &str) -> &'static [&'static str] {
    match resource_type {
        "AuditEvent" => &["type", "recorded", "agent", "source"],
        "Provenance" => &["target", "recorded", "agent"],
        "Consent" => &["status", "scope", "category", "patient", "policy"],
        "RelatedPerson" => &["patient"],
        "OperationOutcome" => &["issue"],
        "Patient" => &[],
        other => panic!("no list for {other}"),
    }
}

#[test]
fn what_r4_requires_is_there_and_nothing_is_empty() {
    for (name, value) in written() {
        for element in required(value["resourceType"].as_str().unwrap()) {
            assert!(value.get(*element).is_some(), "{name}: {element}");
        }
        nothing_empty(name, &value);
    }
}

fn nothing_empty(name: &str, value: &Value) {
    match value {
        Value::Null => panic!("{name} has a null"),
        Value::String(text) => assert!(!text.trim().is_empty(), "{name} has an empty text"),
        Value::Array(items) => {
            assert!(!items.is_empty(), "{name} has an empty list");
            items.iter().for_each(|item| nothing_empty(name, item));
        }
        Value::Object(members) => {
            assert!(!members.is_empty(), "{name} has an empty object");
            members.values().for_each(|item| nothing_empty(name, item));
        }
        Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn every_audit_event_has_agents_observer_and_its_place_on_the_ledger() {
    for (name, stamp, what) in events() {
        let value = event(&stamp, &what).unwrap();
        let agents = value["agent"].as_array().unwrap();
        for agent in agents {
            assert!(agent["requestor"].is_boolean(), "{name}");
            assert!(agent["who"]["identifier"]["value"].is_string(), "{name}");
            assert!(agent["type"]["coding"][0]["code"].is_string(), "{name}");
        }
        let observer = &value["source"]["observer"];
        assert!(agents.iter().any(|a| a["who"] == *observer), "{name}");
        let details: Vec<_> = value["entity"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|entity| entity["detail"].as_array())
            .flatten()
            .map(|d| {
                (
                    d["type"].as_str().unwrap(),
                    d["valueString"].as_str().unwrap(),
                )
            })
            .collect();
        let transaction = stamp.ledger.transaction.as_str();
        let height = stamp.ledger.height.to_string();
        assert!(
            details.contains(&("ledger-transaction", transaction)),
            "{name}"
        );
        assert!(details.contains(&("ledger-height", &height)), "{name}");
        let codes: Vec<_> = stamp.purposes.iter().map(|p| p.code()).collect();
        let written: Vec<_> = value["purposeOfEvent"]
            .as_array()
            .map(|list| {
                list.iter()
                    .map(|p| p["coding"][0]["code"].as_str().unwrap())
            })
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(codes, written, "{name}");
    }
}

#[test]
fn ids_are_stable_differ_between_events_and_follow_the_ledger() {
    let mut seen = BTreeSet::new();
    for (name, stamp, what) in events() {
        let id = |stamp: &_, what: &_| event(stamp, what).unwrap()["id"].clone();
        let first = id(&stamp, &what);
        assert!(seen.insert(first.to_string()), "{name}");
        let mut later = stamp.clone();
        later.recorded_ms += 1;
        let is_node = matches!(what, Event::Node(_));
        assert_eq!(first == id(&later, &what), !is_node, "{name}");
        let mut higher = stamp.clone();
        higher.ledger.height -= 1;
        assert_ne!(first, id(&higher, &what), "{name}");
        let mut other = stamp.clone();
        other.ledger.transaction = "b6".repeat(32);
        assert_ne!(first, id(&other, &what), "{name}");
    }
    assert_eq!(seen.len(), events().len());
}

/// A rule of a BALP profile about agents: type, must have a network, who is the observer.
type AgentRule = (&'static str, bool, bool);

/// The rules of BALP 1.1 that a profile adds to R4.
struct Rules {
    profile: Profile,
    event: [&'static str; 3],
    agents: &'static [AgentRule],
    entities: &'static [&'static str],
    no_other_entities: bool,
    no_details: &'static [&'static str],
}

const RULES: [Rules; 5] = [
    Rules {
        profile: Profile::PatientRead,
        event: ["rest", "read", "R"],
        agents: &[
            ("110152", true, false),
            ("110153", true, true),
            ("IRCP", false, false),
        ],
        entities: &["1", "2"],
        no_other_entities: false,
        no_details: &[],
    },
    Rules {
        profile: Profile::AuthZconsent,
        event: ["110113", "AuthZ-Consent", "E"],
        agents: &[
            ("110150", true, false),
            ("IRCP", false, false),
            ("PROV", false, false),
            ("authserver", false, true),
        ],
        entities: &["1", "Consent"],
        no_other_entities: true,
        no_details: &[],
    },
    Rules {
        profile: Profile::DisclosureSource,
        event: ["110106", "disclose", "R"],
        agents: &[
            ("110153", true, true),
            ("110152", true, false),
            ("429577009", false, false),
        ],
        entities: &["1"],
        no_other_entities: false,
        no_details: &[],
    },
    Rules {
        profile: Profile::DisclosureRecipient,
        event: ["110107", "disclose", "C"],
        agents: &[
            ("110153", true, false),
            ("110152", true, true),
            ("429577009", false, false),
        ],
        entities: &["1"],
        no_other_entities: false,
        no_details: &[],
    },
    Rules {
        profile: Profile::PatientDelete,
        event: ["rest", "delete", "D"],
        agents: &[
            ("110150", true, false),
            ("custodian", true, true),
            ("AUT", false, false),
        ],
        entities: &["1", "2"],
        no_other_entities: false,
        no_details: &["1", "2"],
    },
];

fn check(rules: &Rules, name: &str, value: &Value) {
    let [kind, subtype, action] = rules.event;
    assert_eq!(value["type"]["code"], kind, "{name}");
    assert_eq!(value["subtype"].as_array().unwrap().len(), 1, "{name}");
    assert_eq!(value["subtype"][0]["code"], subtype, "{name}");
    assert_eq!(value["action"], action, "{name}");
    let agents = value["agent"].as_array().unwrap();
    for (code, has_network, is_observer) in rules.agents {
        let of_type: Vec<_> = agents
            .iter()
            .filter(|agent| agent["type"]["coding"][0]["code"] == *code)
            .collect();
        assert_eq!(of_type.len(), 1, "{name}: {code}");
        let agent = of_type[0];
        assert_eq!(
            agent.get("network").is_some(),
            *has_network,
            "{name}: {code}"
        );
        let observes = agent["who"] == value["source"]["observer"];
        assert_eq!(observes, *is_observer, "{name}: {code}");
        let is_person = ["IRCP", "AUT"].contains(code);
        assert_eq!(agent["requestor"], is_person, "{name}: {code}");
    }
    let entities = value["entity"].as_array().unwrap();
    let count = |code: &str| {
        let of_type = entities.iter().filter(|e| e["type"]["code"] == code);
        of_type.count()
    };
    for code in rules.entities {
        assert_eq!(count(code), 1, "{name}: {code}");
    }
    if rules.no_other_entities {
        assert_eq!(entities.len(), rules.entities.len(), "{name}");
    }
    for entity in entities {
        let code = entity["type"]["code"].as_str().unwrap();
        if rules.no_details.contains(&code) {
            assert!(entity.get("detail").is_none(), "{name}: {code}");
        }
    }
    assert_eq!(entities[0]["what"]["type"], "Patient", "{name}");
    assert_eq!(entities[0]["role"]["code"], "1", "{name}");
}

#[test]
fn events_keep_to_the_profiles_they_claim() {
    let mut met = BTreeSet::new();
    for (name, stamp, what) in events() {
        let value = event(&stamp, &what).unwrap();
        let Some(url) = value["meta"]["profile"][0].as_str() else {
            assert!(
                matches!(what, Event::Override(_) | Event::Change(_) | Event::Node(_)),
                "{name} claims no profile"
            );
            continue;
        };
        let rules = RULES.iter().find(|rules| rules.profile.url() == url);
        let rules = rules.unwrap_or_else(|| panic!("{name}: {url}"));
        check(rules, name, &value);
        met.insert(rules.profile);
    }
    assert_eq!(met, Profile::ALL.iter().copied().collect());
}

#[test]
fn a_refusal_is_a_failure_and_says_why() {
    for (name, value) in written() {
        if value["resourceType"] != "AuditEvent" {
            continue;
        }
        let refused = name == "audit-refused";
        assert_eq!(value["outcome"], if refused { "8" } else { "0" }, "{name}");
        assert_eq!(value.get("outcomeDesc").is_some(), refused, "{name}");
    }
}

#[test]
fn security_events_have_their_dicom_codes() {
    for (name, kind, subtype) in [
        ("audit-override-started", "110113", "110127"),
        ("audit-override-stopped", "110113", "110138"),
        ("audit-roster", "110113", "110136"),
        ("audit-validators", "110113", "110136"),
        ("audit-member-key", "110113", "110137"),
        ("audit-tier-key", "110113", "110135"),
        ("audit-node-started", "110100", "110120"),
        ("audit-node-stopped", "110100", "110121"),
    ] {
        let all = written();
        let (_, value) = all.iter().find(|(found, _)| *found == name).unwrap();
        assert_eq!(value["type"]["code"], kind, "{name}");
        assert_eq!(value["subtype"][0]["code"], subtype, "{name}");
    }
}

#[test]
fn both_ends_of_a_disclosure_have_ids_of_their_own() {
    let stamp = stamp(&[ActReason::BreakGlass]);
    let id = |what| event(&stamp, &what).unwrap()["id"].clone();
    let source = id(Event::Disclosure(disclosure(Side::Source)));
    assert_ne!(source, id(Event::Disclosure(disclosure(Side::Recipient))));
    let mut other = disclosure(Side::Recipient);
    other.kin.value.push('x');
    assert_ne!(
        id(Event::Disclosure(other)),
        id(Event::Disclosure(disclosure(Side::Recipient)))
    );
    assert_ne!(
        id(Event::Erasure(erasure(Erased::Shares))),
        id(Event::Erasure(erasure(Erased::Records)))
    );
    assert_ne!(
        id(Event::Node(activity(Phase::Started))),
        id(Event::Node(activity(Phase::Stopped)))
    );
}

#[test]
fn consents_deny_all_but_what_they_list() {
    let all = written();
    let consent = |name: &str| &all.iter().find(|(found, _)| *found == name).unwrap().1;
    let standing = consent("consent-break-glass");
    assert_eq!(standing["meta"]["profile"][0], PROFILE);
    assert_eq!(standing["scope"]["coding"][0]["code"], "patient-privacy");
    assert_eq!(standing["category"][0]["coding"][0]["code"], "59284-0");
    assert_eq!(standing["category"][1]["coding"][0]["code"], "emrgonly");
    assert_eq!(
        standing["policy"][0]["uri"],
        "https://profiles.ihe.net/ITI/PCF/Policy-break-glass-only"
    );
    let grant = consent("consent-grant");
    for (value, permits) in [(standing, 1), (grant, 2)] {
        assert_eq!(value["provision"]["type"], "deny");
        let nested = value["provision"]["provision"].as_array().unwrap();
        assert_eq!(nested.len(), permits);
        assert!(nested.iter().all(|permit| permit["type"] == "permit"));
    }
    assert_eq!(
        standing["provision"]["provision"][0]["purpose"][0]["code"],
        "BTG"
    );
    let permit = &grant["provision"]["provision"][1];
    assert_eq!(permit["securityLabel"][0]["code"], "sensitive");
    assert_eq!(permit["data"].as_array().unwrap().len(), 2);
    assert_eq!(permit["period"]["end"], "2026-01-02T00:00:00.000Z");
    assert_eq!(grant["status"], "active");
    assert_eq!(consent("consent-grant-ended")["status"], "inactive");
}
