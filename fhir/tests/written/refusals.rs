//! Facts that cannot be written are refused, and the error names the field.

use kithkin_fhir::FactError;
use kithkin_fhir::audit::{Change, Event, Phase, Side, Verdict, event};
use kithkin_fhir::code::{ActReason, ConsentState, IssueType};
use kithkin_fhir::fact::{
    Address, ITEMS_MAX, Identifier, Namespace, Period, TEXT_CHARS_MAX, TOKEN_CHARS_MAX,
};
use kithkin_fhir::provenance::{Target, provenance};
use kithkin_fhir::{consent, kin, outcome};
use kithkin_protocol::units::Tier;

use crate::samples::*;

fn audit(what: Event) -> FactError {
    event(&stamp(&[ActReason::BreakGlass]), &what).unwrap_err()
}

fn empty(field: &'static str) -> FactError {
    FactError::Empty { field }
}

#[test]
fn empty_lists_texts_and_counts() {
    let mut nothing_read = read();
    nothing_read.records.count = 0;
    assert_eq!(audit(Event::Read(nothing_read)), empty("records.count"));
    let mut no_tier = decision(Verdict::Approved);
    no_tier.tiers.clear();
    assert_eq!(audit(Event::Decision(no_tier)), empty("tiers"));
    let unexplained = decision(refused(" \t"));
    assert_eq!(audit(Event::Decision(unexplained)), empty("reason"));
    let mut nobody = disclosure(Side::Source);
    nobody.patient.value.clear();
    assert_eq!(audit(Event::Disclosure(nobody)), empty("patient"));
    let roster = Change::Validators { members: 0 };
    assert_eq!(audit(Event::Change(change(roster))), empty("members"));
    let mut unnamed = activity(Phase::Started);
    unnamed.program.clear();
    assert_eq!(audit(Event::Node(unnamed)), empty("program"));
    let without_purpose = event(&stamp(&[]), &Event::Read(read()));
    assert_eq!(without_purpose, Err(empty("purposes")));
    let mut off_ledger = stamp(&[ActReason::Treatment]);
    off_ledger.ledger.transaction.clear();
    let off_ledger = event(&off_ledger, &Event::Read(read()));
    assert_eq!(off_ledger, Err(empty("ledger.transaction")));
}

#[test]
fn empty_lists_of_the_others() {
    let mut about_nothing = a_provenance();
    about_nothing.targets.clear();
    assert_eq!(provenance(&about_nothing), Err(empty("targets")));
    let mut by_nobody = a_provenance();
    by_nobody.agents.clear();
    assert_eq!(provenance(&by_nobody), Err(empty("agents")));
    let mut kept_by_nobody = a_consent(ConsentState::Active);
    kept_by_nobody.organizations.clear();
    assert_eq!(
        consent::break_glass(&kept_by_nobody),
        Err(empty("organizations"))
    );
    let active = a_consent(ConsentState::Active);
    let mut for_nothing = a_grant();
    for_nothing.purposes.clear();
    assert_eq!(
        consent::grant(&active, &for_nothing),
        Err(empty("purposes"))
    );
    let mut of_nothing = a_grant();
    of_nothing.tiers.clear();
    assert_eq!(consent::grant(&active, &of_nothing), Err(empty("tiers")));
    let mut unreachable = a_contact();
    (unreachable.name, unreachable.phone) = (None, None);
    assert_eq!(kin::contact(&unreachable), Err(empty("name and phone")));
    let mut for_no_use = a_contact();
    for_no_use.roles.clear();
    assert_eq!(kin::contact(&for_no_use), Err(empty("roles")));
    assert_eq!(outcome::outcome(&[]), Err(empty("issues")));
    assert_eq!(outcome::forbidden(""), Err(empty("text")));
}

#[test]
fn texts_have_a_greatest_length() {
    let longest = "é".repeat(TEXT_CHARS_MAX);
    assert!(outcome::error(IssueType::Invalid, &longest).is_ok());
    assert_eq!(
        outcome::expired(&format!("{longest}x")),
        Err(FactError::TooLong {
            field: "text",
            chars: TEXT_CHARS_MAX + 1,
            max: TEXT_CHARS_MAX,
        })
    );
    let mut sister = a_kin();
    sister.identifier.value = "k".repeat(TOKEN_CHARS_MAX);
    assert!(kin::related_person(&sister).is_ok());
    sister.identifier.value.push('k');
    assert_eq!(
        kin::related_person(&sister),
        Err(FactError::TooLong {
            field: "identifier",
            chars: TOKEN_CHARS_MAX + 1,
            max: TOKEN_CHARS_MAX,
        })
    );
}

#[test]
fn lists_have_a_greatest_length_and_no_item_twice() {
    let active = a_consent(ConsentState::Active);
    let mut many = a_grant();
    many.records = (0..ITEMS_MAX)
        .map(|at| (Tier::Summary, id(Namespace::Record, &format!("r-{at}"))))
        .collect();
    assert!(consent::grant(&active, &many).is_ok());
    let one_more = id(Namespace::Record, "one-more");
    many.records.push((Tier::Summary, one_more));
    assert_eq!(
        consent::grant(&active, &many),
        Err(FactError::TooMany {
            field: "records",
            count: ITEMS_MAX + 1,
            max: ITEMS_MAX,
        })
    );
    let mut twice = a_grant();
    twice.tiers.push(twice.tiers[0]);
    let error = FactError::Twice { field: "tiers" };
    assert_eq!(consent::grant(&active, &twice), Err(error));
    let mut same_agent = a_provenance();
    same_agent.agents.push(same_agent.agents[0].clone());
    let error = FactError::Twice { field: "agents" };
    assert_eq!(provenance(&same_agent), Err(error));
    let purposes = [ActReason::BreakGlass, ActReason::BreakGlass];
    let error = FactError::Twice { field: "purposes" };
    assert_eq!(event(&stamp(&purposes), &Event::Read(read())), Err(error));
    let issues = vec![an_issue(); ITEMS_MAX + 1];
    assert!(outcome::outcome(&issues[1..]).is_ok());
    assert!(matches!(
        outcome::outcome(&issues),
        Err(FactError::TooMany {
            field: "issues",
            ..
        })
    ));
}

#[test]
fn characters_that_deceive_or_break_are_refused() {
    for (bad, code) in [
        ("a\u{202e}b", 0x202e),
        ("a\nb", 10),
        ("\u{1b}[2J", 27),
        ("a\0", 0),
    ] {
        let error = FactError::Character {
            field: "text",
            code,
        };
        assert_eq!(outcome::forbidden(bad), Err(error));
    }
    let mut spaced = a_kin();
    spaced.identifier.value = "kin 1".to_owned();
    assert_eq!(
        kin::related_person(&spaced),
        Err(FactError::Character {
            field: "identifier",
            code: 32,
        })
    );
}

#[test]
fn systems_ids_types_and_addresses_have_a_form() {
    let form = |field, expected| FactError::Form { field, expected };
    let mut relative = a_kin();
    relative.patient = Identifier {
        system: "patients".to_owned(),
        value: "1".to_owned(),
    };
    assert_eq!(
        kin::related_person(&relative),
        Err(form("patient", "absolute URI"))
    );
    for bad in ["a/b", "a_b", &"a".repeat(65)] {
        let mut kin = a_kin();
        kin.id = bad.to_owned();
        assert!(matches!(
            kin::related_person(&kin),
            Err(FactError::Form { field: "id", .. })
        ));
    }
    for bad in ["", "patient", "Pat ient", "Patient/1"] {
        let mut wrong = a_provenance();
        wrong.targets[0] = Target::Resource {
            resource_type: bad.to_owned(),
            id: "1".to_owned(),
        };
        let expected = form("targets", "name of a resource type");
        assert_eq!(provenance(&wrong), Err(expected));
    }
    let mut nowhere = read();
    nowhere.client.address = Address::Uri("er-3".to_owned());
    assert_eq!(audit(Event::Read(nowhere)), form("address", "absolute URI"));
}

#[test]
fn times_and_periods_must_be_writable() {
    let mut never = stamp(&[ActReason::Treatment]);
    never.recorded_ms = u64::MAX;
    assert_eq!(
        event(&never, &Event::Read(read())),
        Err(FactError::Time { ms: u64::MAX })
    );
    let mut backwards = a_grant();
    backwards.period = Period {
        start_ms: NOW,
        end_ms: Some(NOW - 1),
    };
    assert_eq!(
        consent::grant(&a_consent(ConsentState::Active), &backwards),
        Err(FactError::Period {
            start_ms: NOW,
            end_ms: NOW - 1,
        })
    );
    backwards.period.end_ms = Some(NOW);
    assert!(consent::grant(&a_consent(ConsentState::Active), &backwards).is_ok());
}
