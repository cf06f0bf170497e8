//! What is said of a credential, against the pages in `golden/`, and what makes one fail.

use super::judge::{Founded, Judgement, OnLedger, Outcome, Standing};
use super::{DAY_MS, ledger::older, words};
use crate::cli::Cli;
use crate::golden;
use clap::{Command, CommandFactory as _};
use kithkin_actors::node::IssuedCredential;
use kithkin_actors::node::credential::Statement;
use kithkin_protocol::crypto::{Secret32, SigningKey};
use kithkin_protocol::emergency::ClinicalRole;
use kithkin_protocol::ids::{AccountId, BlockId, ChainId, HospitalId};
use kithkin_protocol::ledger::Role;
use kithkin_protocol::ledger::light::Proved;
use kithkin_protocol::units::{Height, Millis};

const CHAIN: ChainId = ChainId([7; 32]);

/// 27 November 2026, 21:30:00 UTC.
const BEGIN: Millis = Millis(1_795_815_000_000);

fn agrees_with(name: &str, found: &str) {
    golden::agrees("src/commands/credential/golden", name, found);
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret32::new([n; 32]))
}

/// Of the issuer with this seed, for ninety days.
fn issued_by(issuer: u8, hospital: HospitalId) -> IssuedCredential {
    let statement = Statement {
        clinician: key(2).verifying_key(),
        role: ClinicalRole::Physician,
        hospital,
        valid_until_ms: BEGIN.plus(90 * DAY_MS),
    };
    IssuedCredential::issue(CHAIN, &key(issuer), statement, BEGIN).unwrap()
}

fn issued() -> IssuedCredential {
    issued_by(1, HospitalId([3; 32]))
}

fn founded(hospital: Option<&str>) -> Founded {
    Founded {
        chain: CHAIN,
        hospital: hospital.map(str::to_owned),
    }
}

/// A ledger, as proved by a block ten seconds after the beginning.
fn ledger(hospital: Standing, issuer: Standing) -> OnLedger {
    OnLedger {
        hospital,
        issuer,
        has_issuers: true,
        as_of: Proved {
            height: Height(41),
            id: BlockId([5; 32]),
            time_ms: BEGIN.plus(10_000),
            index: None,
        },
    }
}

fn mary() -> Standing {
    Standing::Accredited("St Mary's".to_owned())
}

fn chamber() -> Standing {
    Standing::Accredited("Chamber of physicians".to_owned())
}

fn revoked(was: Role) -> Standing {
    Standing::Revoked {
        was,
        height: Height(40),
        time_ms: BEGIN,
    }
}

/// Judged twelve seconds after the beginning.
fn judged(issued: &IssuedCredential, ledger: Option<&OnLedger>) -> Judgement {
    let founded = founded(Some("St Mary's"));
    Judgement::of(issued, &founded, BEGIN.plus(12_000), ledger)
}

fn failing(judgement: &Judgement) -> Vec<&'static str> {
    let failing = judgement.with(Outcome::Fails);
    failing.map(|finding| finding.check).collect()
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[test]
fn a_credential_is_told_as_it_always_was() {
    let issued = issued();
    agrees_with(
        "shown.txt",
        &(words::explain(&issued, Some("St Mary's")) + "\n"),
    );
    agrees_with("shown.json", &pretty(&words::json(&issued)));
    let offline = judged(&issued, None);
    agrees_with("offline.txt", &(words::judgement(&offline) + "\n"));
    let all = ledger(mary(), chamber());
    let counts = judged(&issued, Some(&all));
    agrees_with("counts.txt", &(words::judgement(&counts) + "\n"));
    agrees_with(
        "counts.json",
        &pretty(&words::judgement_json(&issued, &counts)),
    );
    let gone = ledger(mary(), revoked(Role::Issuer));
    let fails = judged(&issued, Some(&gone));
    agrees_with("revoked.txt", &(words::judgement(&fails) + "\n"));
}

/// The width and the environment are the terminal's; the words are pinned.
#[test]
fn the_help_reads_as_it_always_did() {
    let mut cli = Cli::command().mut_arg("log_format", |arg| arg.hide_env_values(true));
    cli.build();
    let help = |command: &Command| {
        let page = command.clone().term_width(100).render_long_help();
        page.to_string()
    };
    let credential = cli.find_subcommand("credential").unwrap();
    agrees_with("help.txt", &help(credential));
    for name in ["issue", "show", "verify"] {
        let command = credential.find_subcommand(name).unwrap();
        agrees_with(&format!("help-{name}.txt"), &help(command));
    }
}

#[test]
fn whoever_is_not_accredited_or_was_revoked_makes_it_fail() {
    let issued = issued();
    let nothing: [&str; 0] = [];
    let cases = [
        (mary(), chamber(), nothing.as_slice()),
        (Standing::Never, chamber(), &["hospital"]),
        (revoked(Role::Hospital), chamber(), &["hospital"]),
        (mary(), Standing::Never, &["issuer"]),
        (mary(), revoked(Role::Issuer), &["issuer"]),
        // A key with another role never becomes an issuer's.
        (mary(), revoked(Role::Reviewer), &["issuer"]),
        (
            Standing::Never,
            revoked(Role::Issuer),
            &["hospital", "issuer"],
        ),
    ];
    for (hospital, issuer, expected) in cases {
        let judgement = judged(&issued, Some(&ledger(hospital, issuer)));
        assert_eq!(failing(&judgement), expected);
        assert!(judgement.unchecked().is_empty());
    }
}

#[test]
fn a_hospital_vouches_for_its_own_until_there_is_an_issuer() {
    let own = HospitalId::from(AccountId::of(&key(1).verifying_key()));
    let issued = issued_by(1, own);
    let mut ledger = ledger(mary(), Standing::Never);
    assert_eq!(failing(&judged(&issued, Some(&ledger))), ["issuer"]);
    ledger.has_issuers = false;
    let nothing: [&str; 0] = [];
    assert_eq!(failing(&judged(&issued, Some(&ledger))), nothing);
    // Another hospital's clinician is none of its business.
    let other = issued_by(1, HospitalId([3; 32]));
    assert_eq!(failing(&judged(&other, Some(&ledger))), ["issuer"]);
}

#[test]
fn time_and_ledger_are_checked_without_a_node_too() {
    let issued = issued();
    let nothing: [&str; 0] = [];
    let end = BEGIN.plus(90 * DAY_MS);
    for (clock, expected) in [
        (end, nothing.as_slice()),
        (end.plus(1), &["time"]),
        // Signed further ahead than a year and a day: it does not count yet.
        (BEGIN.minus(276 * DAY_MS), &[]),
        (BEGIN.minus(276 * DAY_MS + 1), &["time"]),
    ] {
        let judgement = Judgement::of(&issued, &founded(None), clock, None);
        assert_eq!(failing(&judgement), expected, "{clock}");
        assert_eq!(judgement.unchecked(), ["hospital", "issuer"]);
    }
    let elsewhere = Founded {
        chain: ChainId([8; 32]),
        hospital: None,
    };
    let judgement = Judgement::of(&issued, &elsewhere, BEGIN, None);
    assert_eq!(failing(&judgement), ["ledger"]);
}

/// A node that shows an old block can neither keep a credential alive nor pass for the present; nor can a slow clock.
#[test]
fn an_old_block_and_a_slow_clock_prove_nothing_about_now() {
    let issued = issued();
    let founded = founded(None);
    let mut ledger = ledger(mary(), chamber());
    let late = BEGIN.plus(90 * DAY_MS + 1);
    let judgement = Judgement::of(&issued, &founded, late, Some(&ledger));
    assert_eq!(failing(&judgement), ["time", "newest"]);
    assert_eq!(judgement.verdict(), "it does not count");
    ledger.as_of.time_ms = late;
    let judgement = Judgement::of(&issued, &founded, BEGIN, Some(&ledger));
    assert_eq!(failing(&judgement), ["time"]);
    let edge = BEGIN.plus(600_000);
    ledger.as_of.time_ms = BEGIN;
    for (clock, expected, verdict) in [
        (edge, &[][..], "it counts"),
        (edge.plus(1), &["newest"], "it is not shown that it counts"),
    ] {
        let judgement = Judgement::of(&issued, &founded, clock, Some(&ledger));
        assert_eq!(failing(&judgement), expected);
        assert_eq!(judgement.verdict(), verdict);
    }
}

#[test]
fn of_several_proofs_the_oldest_counts() {
    let at = |height| Proved {
        height: Height(height),
        ..ledger(mary(), chamber()).as_of
    };
    for heights in [[40, 41, 42], [42, 40, 41], [41, 42, 40]] {
        let mut as_of = None;
        for height in heights {
            as_of = Some(older(as_of, at(height)));
        }
        assert_eq!(as_of, Some(at(40)));
    }
}
