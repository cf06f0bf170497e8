//! A report in words.

use super::Page;
use kithkin_protocol::emergency::{
    Advice, ClinicalRole, ClosedBy, KinLine, Outcome, Phase, Price, Purpose, Reason, RefusalReason,
    ReviewState, Said, TierLine, Verdict,
};
use kithkin_protocol::units::{CircleKind, Millis, Tier};
use std::fmt::Write as _;

/// Columns of a line, and of the words in front of it.
const WIDTH: usize = 100;
const LABEL: usize = 14;

/// The whole page.
pub(super) fn page(page: &Page) -> String {
    let report = &page.disclosure;
    let mut out = Sheet(String::new());
    out.title(headline(page));
    let asked = &report.asked;
    let key = asked.clinician.to_string();
    let key = key.get(..8).unwrap_or(&key);
    out.entry(
        "Who asked",
        &format!(
            "{}{} asked on {}. A {} with the key {key} signed for it; the hospital knows who that is and has to tell you.",
            asked.hospital_name,
            match asked.revoked_ms {
                Some(_) => ", which is accredited no more,",
                None => "",
            },
            time(asked.at_ms),
            asked.role.map_or("clinician", ClinicalRole::as_str)
        ),
    );
    out.entry(
        "Why",
        &format!("{}: {}.", purpose(asked.purpose), reason(asked.reason)),
    );
    for (n, line) in report.tiers.iter().enumerate() {
        out.entry(if n == 0 { "What for" } else { "" }, &asked_for(line));
    }
    out.entry("Your kin", &agreement(page));
    for line in &report.kin {
        out.entry("", &kin(page, line));
    }
    for (n, line) in report.tiers.iter().enumerate() {
        out.entry(if n == 0 { "What was read" } else { "" }, &read(line));
    }
    out.entry("How it ended", &outcome(page));
    out.entry("The review", &review(page));
    out.title("What you can do now");
    for advice in &report.advice {
        out.point(words(*advice));
    }
    out.closing(&format!(
        "This is what the ledger proves as of block {}, {}. Case {} consists of {} signed entries; none of them can be \
         taken out or changed later. What was read is what the hospital has reported; it cannot read what your kin did not \
         help to open.",
        report.as_of_height,
        time(report.as_of_ms),
        report.case.to_hex(),
        report.transactions
    ));
    out.0
}

struct Sheet(String);

impl Sheet {
    fn title(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{text}\n{}\n", "-".repeat(text.chars().count()));
    }

    fn entry(&mut self, label: &str, text: &str) {
        self.wrapped(label, LABEL, text);
    }

    fn point(&mut self, text: &str) {
        self.wrapped("*", 2, text);
    }

    fn closing(&mut self, text: &str) {
        self.0.push('\n');
        self.wrapped("", 0, text);
    }

    /// Words in lines of [`WIDTH`] columns; `label` stands in front of the first.
    fn wrapped(&mut self, label: &str, indent: usize, text: &str) {
        let mut line = format!("{label:indent$}");
        let mut is_empty = true;
        for word in text.split_whitespace() {
            if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line = " ".repeat(indent);
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }
}

fn headline(page: &Page) -> &'static str {
    let report = &page.disclosure;
    match report.outcome {
        _ if report.anything_read() => "Your health records were opened",
        Outcome::UnderWay { .. } => "Somebody asks to open your health records",
        Outcome::Refused { .. }
        | Outcome::Vetoed { .. }
        | Outcome::Revoked { .. }
        | Outcome::Expired { .. } => {
            "Somebody asked to open your health records; nothing was opened"
        }
        Outcome::Closed { .. } => {
            "Your health records could have been opened; no read was reported"
        }
    }
}

fn time(at: Millis) -> String {
    let at = i64::try_from(at.0).ok();
    let at = at.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match at {
        Some(at) => at.strftime("%-d %B %Y, %H:%M:%S UTC").to_string(),
        None => "a time that no calendar has".to_owned(),
    }
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::BreakGlass => "A threat to your life was stated",
        Purpose::EmergencyTreatment => {
            "An emergency treatment was stated, without a threat to your life"
        }
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Unconscious => "you were found unconscious",
        Reason::Cardiac => "your heart had stopped, or a heart attack was suspected",
        Reason::Stroke => "a stroke was suspected",
        Reason::Trauma => "you had an accident or were injured",
        Reason::Anaphylaxis => "you had a severe allergic reaction",
        Reason::Poisoning => "you were poisoned, or had taken too much of something",
        Reason::Sepsis => "you had a severe infection",
        Reason::Obstetric => "an emergency in pregnancy or at birth",
        Reason::Acute => "an acute illness for which your history was needed",
    }
}

fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Summary => "the emergency summary",
        Tier::Chart => "the full records",
        Tier::Sensitive => "the sensitive records",
    }
}

fn records(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} record{plural}")
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

fn asked_for(line: &TierLine) -> String {
    let count = records(line.records);
    let which = if line.is_selection {
        ", named one by one"
    } else {
        ""
    };
    format!("{}: {count}{which}.", tier(line.tier))
}

fn read(line: &TierLine) -> String {
    let what = tier(line.tier);
    match line.read {
        None => format!("{what}: nothing."),
        Some(reading) => format!(
            "{what}: {}, {}, on {}.",
            records(u64::from(reading.records)),
            times(reading.times),
            time(reading.last_ms)
        ),
    }
}

fn agreement(page: &Page) -> String {
    let report = &page.disclosure;
    let circle = match report.asked.circle {
        CircleKind::First => "of your kin",
        CircleKind::Second => "of your second circle, because the first could not be reached",
    };
    let granted = match report.granted_ms {
        Some(at) => format!("that was enough on {}.", time(at)),
        None => "that was not enough.".to_owned(),
    };
    format!(
        "{} of {} {circle} had to agree; {} did, and {granted}",
        report.needed,
        report.kin.len(),
        report.agreed()
    )
}

fn kin(page: &Page, line: &KinLine) -> String {
    let pseudonym = line.kin.to_hex();
    let pseudonym = pseudonym.get(..8).unwrap_or(&pseudonym);
    let name = page.names.get(&line.kin).map_or(pseudonym, String::as_str);
    let who = format!("{name} ({})", line.relation.as_str());
    match line.said {
        Said::Nothing => format!("{who} did not answer."),
        Said::No { at_ms, reason } => {
            format!("{who} said no on {}: {}.", time(at_ms), refusal(reason))
        }
        Said::Yes { at_ms } => match line.released_ms {
            Some(released) => format!(
                "{who} agreed on {}, and helped to open on {}.",
                time(at_ms),
                time(released)
            ),
            None => format!("{who} agreed on {}, and did not help to open.", time(at_ms)),
        },
    }
}

fn refusal(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::PatientCanDecide => "you could be asked yourself",
        RefusalReason::NotThere => "you were not where the request said",
        RefusalReason::Doubtful => "the request was not to be believed",
        RefusalReason::Unstated => "no reason given",
    }
}

fn outcome(page: &Page) -> String {
    match page.disclosure.outcome {
        Outcome::UnderWay { phase } => format!("It has not ended: {}.", standing(phase)),
        Outcome::Refused { at_ms } => format!("Too many of your kin said no, on {}.", time(at_ms)),
        Outcome::Vetoed { at_ms } => {
            format!(
                "You stopped it on {}, before anything could be opened.",
                time(at_ms)
            )
        }
        Outcome::Revoked { at_ms } => format!(
            "The hospital, or whoever vouched for its clinician, lost its accreditation on {}.",
            time(at_ms)
        ),
        Outcome::Expired { at_ms } => {
            format!(
                "Too few of your kin had agreed when it expired on {}.",
                time(at_ms)
            )
        }
        Outcome::Closed { at_ms, by } => {
            let by = match by {
                ClosedBy::Time => "Its time was over",
                ClosedBy::Hospital => "The hospital ended it",
                ClosedBy::Veto => "You stopped it",
                ClosedBy::Revoked => "The hospital lost its accreditation, which ended it",
            };
            format!(
                "{by} on {}; your kin then change their shares.",
                time(at_ms)
            )
        }
    }
}

fn standing(phase: Phase) -> &'static str {
    match phase {
        Phase::Requested => "your kin are being asked",
        Phase::Waiting => "enough of your kin have agreed, and the waiting time runs",
        Phase::Granted | Phase::Open => "records can be opened now",
        Phase::Closed
        | Phase::Reviewed
        | Phase::Refused
        | Phase::Vetoed
        | Phase::Revoked
        | Phase::Expired => "it is over",
    }
}

fn review(page: &Page) -> String {
    let report = &page.disclosure;
    match report.review {
        ReviewState::None if matches!(report.outcome, Outcome::UnderWay { .. }) => {
            "It falls due when the case is over, if anything could be opened.".to_owned()
        }
        ReviewState::None => "There is none, because nothing could be opened.".to_owned(),
        ReviewState::Due { by_ms } => format!(
            "An independent reviewer has until {} to say whether this was justified.",
            time(by_ms)
        ),
        ReviewState::Overdue { since_ms } => format!(
            "Overdue since {}. {}",
            time(since_ms),
            match report.price {
                Some(Price::Credit) => "The hospital loses standing with every day.",
                Some(Price::Accreditation) => REVOKED,
                Some(Price::Nothing | Price::RightToAsk { .. }) | None =>
                    "That costs the hospital nothing: it runs no part of this network.",
            }
        ),
        ReviewState::Given(review) => {
            let found = match review.verdict {
                Verdict::Justified => "there was an emergency: justified.".to_owned(),
                Verdict::Unjustified => {
                    format!(
                        "there was no emergency: unjustified. {}",
                        paid(report.price)
                    )
                }
                Verdict::Inconclusive => "it cannot be told: inconclusive.".to_owned(),
            };
            let reviewer = review.reviewer.to_hex();
            let reviewer = reviewer.get(..8).unwrap_or(&reviewer).to_owned();
            format!(
                "Reviewer {reviewer} found on {}: {found}",
                time(review.at_ms)
            )
        }
    }
}

const REVOKED: &str = "The hospital is accredited no more, and can ask for nobody's records.";

/// What a verdict against the hospital has cost it.
fn paid(price: Option<Price>) -> String {
    match price {
        Some(Price::Credit) => "The hospital has lost standing.".to_owned(),
        Some(Price::RightToAsk { until_ms }) => format!(
            "The hospital has lost its right to ask for anybody's records until {}.",
            time(until_ms)
        ),
        Some(Price::Accreditation) => REVOKED.to_owned(),
        Some(Price::Nothing) | None => "It has cost the hospital nothing.".to_owned(),
    }
}

fn words(advice: Advice) -> &'static str {
    match advice {
        Advice::Veto => {
            "You can stop this now, from your own device. Nothing can be opened afterwards."
        }
        Advice::NothingToDo => "You need not do anything: none of your records were opened.",
        Advice::AskForReasons => {
            "Ask the hospital why it asked. The reviewer found that it should not have; this page proves it."
        }
        Advice::PressForReview => "Ask the hospital for the review that is overdue.",
        Advice::TellTheReviewer => {
            "Tell the reviewer what you know: whether you were there, and whether you could have been asked."
        }
        Advice::TalkWithKin => {
            "Talk with those who agreed, if you would not have. A decision of theirs cannot be taken back."
        }
        Advice::ChangeKin => {
            "Think of replacing those who did not answer: next time it may depend on them."
        }
        Advice::ChangeRules => {
            "You can lay down which hospitals may ask, how long they have to wait when your life is not at risk, and whether \
             the sensitive records may be opened at all."
        }
    }
}
