//! What is known about a credential, point by point: what holds, what does not, and what was not checked.
//!
//! The ledger's own rule is `Credential::check` with `State::voucher`; here its parts are told apart, and each may be unknown.

use super::in_time;
use crate::commands::governance::time;
use kithkin_actors::node::IssuedCredential;
use kithkin_protocol::ids::{AccountId, ChainId};
use kithkin_protocol::ledger::Role;
use kithkin_protocol::ledger::light::Proved;
use kithkin_protocol::units::{Height, Millis};
use serde::Serialize;
use std::time::Duration;

/// A proof older than this says little about now: also when nobody writes there is a block every ten seconds, unless nodes are set
/// otherwise.
const AGE_MS_MAX: u64 = 600_000;

/// The point about the age of the proof.
const NEWEST: &str = "newest";

/// What the genesis says.
pub(super) struct Founded {
    /// The ledger.
    pub(super) chain: ChainId,
    /// The credential's hospital, if it is one of the first.
    pub(super) hospital: Option<String>,
}

/// How somebody stands on the ledger.
pub(super) enum Standing {
    /// Accredited, under this name.
    Accredited(String),
    /// Accredited no more.
    Revoked {
        was: Role,
        height: Height,
        time_ms: Millis,
    },
    /// Not accredited, and never revoked.
    Never,
}

/// What is proved of the ledger.
pub(super) struct OnLedger {
    pub(super) hospital: Standing,
    pub(super) issuer: Standing,
    /// Whether there has ever been an issuer: until then hospitals vouch for their own.
    pub(super) has_issuers: bool,
    /// The block from which on nothing is known.
    pub(super) as_of: Proved,
}

/// How a point came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// It holds.
    Holds,
    /// It does not, so the credential does not count.
    Fails,
    /// Nobody has looked.
    NotChecked,
}

/// One point.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) result: Outcome,
    pub(super) words: String,
}

/// All points.
pub(super) struct Judgement {
    pub(super) findings: Vec<Finding>,
    /// The block that proves how issuer and hospital stand.
    pub(super) as_of: Option<Proved>,
}

impl Judgement {
    /// Judges a credential whose signature holds. `clock` is this machine's time.
    pub(super) fn of(
        issued: &IssuedCredential,
        founded: &Founded,
        clock: Millis,
        ledger: Option<&OnLedger>,
    ) -> Self {
        let mut findings = vec![Finding {
            check: "signature",
            result: Outcome::Holds,
            words: format!("the key {:#} has signed it", issued.issuer_key()),
        }];
        findings.push(chain(issued, founded));
        findings.push(validity(issued, clock, ledger));
        match ledger {
            Some(ledger) => {
                findings.push(hospital(&ledger.hospital));
                findings.push(issuer(issued, ledger));
                findings.push(age(clock, &ledger.as_of));
            }
            None => findings.extend(unasked(founded)),
        }
        Self {
            findings,
            as_of: ledger.map(|ledger| ledger.as_of),
        }
    }

    /// Whether nothing fails.
    pub(super) fn holds(&self) -> bool {
        self.with(Outcome::Fails).next().is_none()
    }

    /// The points that came out so.
    pub(super) fn with(&self, result: Outcome) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(move |finding| finding.result == result)
    }

    /// What was not checked.
    pub(super) fn unchecked(&self) -> Vec<&'static str> {
        let open = self.with(Outcome::NotChecked);
        open.map(|finding| finding.check).collect()
    }

    /// What all points come to. That a proof is old says nothing against the credential, and nothing for it.
    pub(super) fn verdict(&self) -> String {
        let mut failing = self.with(Outcome::Fails).peekable();
        let open = self.unchecked();
        match (failing.peek().is_some(), open.is_empty()) {
            (true, _) if failing.all(|finding| finding.check == NEWEST) => {
                "it is not shown that it counts".to_owned()
            }
            (true, _) => "it does not count".to_owned(),
            (false, true) => "it counts".to_owned(),
            (false, false) => format!(
                "it holds as far as it was checked; not checked: {}",
                open.join(", ")
            ),
        }
    }
}

fn chain(issued: &IssuedCredential, founded: &Founded) -> Finding {
    let (found, expected) = (issued.chain(), founded.chain);
    let (result, words) = match found == expected {
        true => (Outcome::Holds, "it is for this genesis' ledger".to_owned()),
        false => (
            Outcome::Fails,
            format!("it is for the ledger {found:#}, and the genesis founds {expected:#}"),
        ),
    };
    Finding {
        check: "ledger",
        result,
        words,
    }
}

/// Block time decides. This machine's clock stands in for it, and where a node shows an old block, against it.
fn validity(issued: &IssuedCredential, clock: Millis, ledger: Option<&OnLedger>) -> Finding {
    let credential = issued.credential();
    let now = ledger.map_or(clock, |ledger| ledger.as_of.time_ms.max(clock));
    let (result, words) = match credential.check_time(now) {
        Ok(()) => (
            Outcome::Holds,
            format!("it is valid until {}", time(credential.valid_until_ms)),
        ),
        Err(error) => (
            Outcome::Fails,
            in_time(error).unwrap_or_else(|| error.to_string()),
        ),
    };
    Finding {
        check: "time",
        result,
        words,
    }
}

fn hospital(standing: &Standing) -> Finding {
    let (result, words) = match standing {
        Standing::Accredited(name) => (Outcome::Holds, format!("{name} is accredited")),
        other => (Outcome::Fails, lacking("the hospital", other)),
    };
    Finding {
        check: "hospital",
        result,
        words,
    }
}

fn issuer(issued: &IssuedCredential, ledger: &OnLedger) -> Finding {
    let credential = issued.credential();
    let is_own = AccountId::from(credential.hospital) == credential.issuer;
    let (result, words) = match &ledger.issuer {
        Standing::Accredited(name) => (Outcome::Holds, format!("{name} is accredited as issuer")),
        Standing::Never if is_own && !ledger.has_issuers => (
            Outcome::Holds,
            "the hospital vouches for its own clinicians, as the ledger has never had an issuer"
                .to_owned(),
        ),
        Standing::Never if is_own => (
            Outcome::Fails,
            "the hospital vouches for its own clinician, and on this ledger issuers alone do"
                .to_owned(),
        ),
        other => (Outcome::Fails, lacking("the issuer", other)),
    };
    Finding {
        check: "issuer",
        result,
        words,
    }
}

fn lacking(who: &str, standing: &Standing) -> String {
    match standing {
        Standing::Revoked {
            was,
            height,
            time_ms,
        } => format!(
            "{who} was revoked as {was} at height {height}, {}",
            time(*time_ms)
        ),
        Standing::Accredited(_) | Standing::Never => {
            format!("{who} is not accredited: a quorum of the validators must accredit it first")
        }
    }
}

/// What is proved holds of a block; what came since a node could conceal.
fn age(clock: Millis, as_of: &Proved) -> Finding {
    let block = format!("block {} of {}", as_of.height, time(as_of.time_ms));
    let age = clock.0.saturating_sub(as_of.time_ms.0);
    let (result, words) = match age <= AGE_MS_MAX {
        true => (
            Outcome::Holds,
            format!("proved from the genesis by {block}"),
        ),
        false => {
            let age = humantime::format_duration(Duration::from_secs(age / 1_000));
            let words = format!(
                "the newest proof is by {block}, {age} ago; what came later was not seen: ask other nodes as well"
            );
            (Outcome::Fails, words)
        }
    };
    Finding {
        check: NEWEST,
        result,
        words,
    }
}

fn unasked(founded: &Founded) -> [Finding; 2] {
    let hospital = match &founded.hospital {
        Some(name) => format!(
            "the genesis accredits {name}; whether it is still, was not looked up (--node)"
        ),
        None => "the genesis does not name the hospital; whether an amendment accredits it was not looked up (--node)".to_owned(),
    };
    let issuer = "whether the ledger accredits the issuer was not looked up (--node)";
    [("hospital", hospital), ("issuer", issuer.to_owned())].map(|(check, words)| Finding {
        check,
        result: Outcome::NotChecked,
        words,
    })
}
