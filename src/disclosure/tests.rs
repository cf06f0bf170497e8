//! Reports against the pages in `golden/`. `KITHKIN_BLESS=1` writes them anew; read the difference before committing it.

use super::Page;
use crate::golden;
use kithkin_protocol::crypto::VerifyingKey;
use kithkin_protocol::emergency::{
    Advice, Asked, ClinicalRole, ClosedBy, Disclosure, KinLine, Outcome, Phase, Price, Purpose,
    Reading, Reason, RefusalReason, Review, ReviewState, Said, TierLine, Verdict,
};
use kithkin_protocol::ids::{AccountId, CaseId, HospitalId, KinId, PatientId};
use kithkin_protocol::roster::Relation;
use kithkin_protocol::units::{CircleKind, Height, Millis, Tier};

/// 27 November 2026, 21:30:00 UTC.
const BEGIN: u64 = 1_795_815_000_000;

fn at(seconds: u64) -> Millis {
    Millis(BEGIN + seconds * 1_000)
}

fn kin(n: u8, relation: Relation, said: Said, released: Option<u64>) -> KinLine {
    KinLine {
        kin: KinId([n; 32]),
        relation,
        said,
        released_ms: released.map(at),
    }
}

fn tier(tier: Tier, records: u64, read: Option<(u32, u32)>) -> TierLine {
    TierLine {
        tier,
        records,
        is_selection: false,
        read: read.map(|(times, records)| Reading {
            times,
            records,
            first_ms: at(20),
            last_ms: at(30),
        }),
    }
}

fn opened() -> Disclosure {
    let yes = |seconds| Said::Yes { at_ms: at(seconds) };
    Disclosure {
        case: CaseId([9; 32]),
        patient: PatientId([7; 32]),
        as_of_height: Height(41),
        as_of_ms: at(3_700),
        asked: Asked {
            hospital: HospitalId([8; 32]),
            hospital_name: "Hospital of St. Anne".to_owned(),
            revoked_ms: None,
            clinician: VerifyingKey([0x1f; 32]),
            role: Some(ClinicalRole::Physician),
            purpose: Purpose::BreakGlass,
            reason: Reason::Unconscious,
            circle: CircleKind::First,
            at_ms: at(0),
            height: Height(12),
            expires_ms: at(600),
        },
        tiers: vec![
            tier(Tier::Summary, 1, Some((2, 2))),
            tier(Tier::Chart, 34, None),
        ],
        needed: 3,
        kin: vec![
            kin(1, Relation::Spouse, yes(5), Some(12)),
            kin(2, Relation::Child, yes(7), Some(13)),
            kin(
                3,
                Relation::Sibling,
                Said::No {
                    at_ms: at(8),
                    reason: RefusalReason::Doubtful,
                },
                None,
            ),
            kin(4, Relation::Friend, yes(11), None),
            kin(5, Relation::Neighbour, Said::Nothing, None),
        ],
        granted_ms: Some(at(11)),
        outcome: Outcome::Closed {
            at_ms: at(3_600),
            by: ClosedBy::Hospital,
        },
        review: ReviewState::Due {
            by_ms: at(7 * 24 * 3_600),
        },
        price: None,
        advice: vec![
            Advice::TellTheReviewer,
            Advice::TalkWithKin,
            Advice::ChangeKin,
            Advice::ChangeRules,
        ],
        transactions: 9,
    }
}

fn named(disclosure: Disclosure) -> Page {
    let name = |kin: KinId| match kin.0[0] {
        1 => Some("Ada".to_owned()),
        2 => Some("Ben".to_owned()),
        3 => Some("Cleo".to_owned()),
        _ => None,
    };
    Page::new(disclosure, name)
}

fn agrees_with(name: &str, found: &str) {
    golden::agrees("src/disclosure/golden", name, found);
}

#[test]
fn a_report_reads_as_it_always_did() {
    agrees_with("opened.txt", &named(opened()).text());

    let mut refused = opened();
    refused.granted_ms = None;
    refused.outcome = Outcome::Refused { at_ms: at(40) };
    refused.review = ReviewState::None;
    refused.tiers = vec![tier(Tier::Summary, 1, None)];
    refused.advice = vec![Advice::NothingToDo, Advice::ChangeRules];
    agrees_with("refused.txt", &named(refused).text());

    let mut judged = opened();
    judged.review = ReviewState::Given(Review {
        verdict: Verdict::Unjustified,
        reviewer: AccountId([0xee; 32]),
        at_ms: at(90_000),
    });
    judged.price = Some(Price::Credit);
    judged.advice = vec![
        Advice::AskForReasons,
        Advice::TalkWithKin,
        Advice::ChangeRules,
    ];
    agrees_with("unjustified.txt", &named(judged).text());
}

/// What a review costs a hospital is said as it is: whoever has nothing to lose is not said to have lost it.
#[test]
fn a_review_is_said_to_cost_what_it_does() {
    let until_ms = at(40 * 24 * 3_600);
    let unjustified = ReviewState::Given(Review {
        verdict: Verdict::Unjustified,
        reviewer: AccountId([0xee; 32]),
        at_ms: at(90_000),
    });
    let overdue = ReviewState::Overdue { since_ms: at(80) };
    let told = |review, price, revoked_ms| {
        let mut report = opened();
        report.review = review;
        report.price = Some(price);
        report.asked.revoked_ms = revoked_ms;
        let text = named(report).text();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (review, price, revoked_ms, says) in [
        (
            overdue,
            Price::Credit,
            None,
            "loses standing with every day",
        ),
        (overdue, Price::Nothing, None, "costs the hospital nothing"),
        (
            overdue,
            Price::Accreditation,
            Some(at(70)),
            "accredited no more, and can ask",
        ),
        (
            unjustified,
            Price::Credit,
            None,
            "The hospital has lost standing.",
        ),
        (
            unjustified,
            Price::RightToAsk { until_ms },
            None,
            "lost its right to ask for anybody's records until 6 January 2027",
        ),
        (
            unjustified,
            Price::Accreditation,
            Some(at(70)),
            "accredited no more, and can ask",
        ),
    ] {
        let text = told(review, price, revoked_ms);
        assert!(text.contains(says), "{says} in {text}");
        let standing = text.contains("standing");
        assert_eq!(standing, price == Price::Credit, "{text}");
        let asked = text.contains("Hospital of St. Anne, which is accredited no more, asked on");
        assert_eq!(asked, revoked_ms.is_some(), "{text}");
    }
}

#[test]
fn a_report_for_programs_reads_as_it_always_did() {
    let json = serde_json::to_string_pretty(&named(opened())).expect("JSON");
    agrees_with("opened.json", &format!("{json}\n"));
}

#[test]
fn every_state_has_words_and_every_line_fits() {
    let outcomes = [
        Outcome::UnderWay {
            phase: Phase::Waiting,
        },
        Outcome::Vetoed { at_ms: at(3) },
        Outcome::Expired { at_ms: at(600) },
        Outcome::Closed {
            at_ms: at(9),
            by: ClosedBy::Veto,
        },
        Outcome::Closed {
            at_ms: Millis(u64::MAX),
            by: ClosedBy::Time,
        },
    ];
    let mut pages = std::collections::BTreeSet::new();
    for outcome in outcomes {
        for review in [ReviewState::None, ReviewState::Overdue { since_ms: at(80) }] {
            let page = Page::new(
                Disclosure {
                    outcome,
                    review,
                    advice: vec![Advice::Veto, Advice::PressForReview],
                    ..opened()
                },
                |_| None,
            );
            let text = page.text();
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
            assert!(pages.insert(text));
        }
    }
}
