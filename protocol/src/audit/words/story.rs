//! One case as a story, in the order in which it happened.

use super::{Basis, Line, counted, proved, rule_of, say, span};
use crate::audit::findings::{AsOf, CaseFinding, Mark};
use crate::emergency::{Circle, ClosedBy, Phase, Purpose, Reason, RefusalReason, Verdict};
use crate::ids::KinId;
use crate::units::Height;

/// Tells a case.
pub(super) fn tell(case: &CaseFinding, as_of: AsOf, lines: &mut Vec<Line>) {
    request(case, lines);
    circle(case, lines);
    rules(case, lines);
    // Everything after the request has a place on the chain, but for what time alone brings about.
    let mut told: Vec<((Height, u32), Line)> = Vec::new();
    decisions(case, &mut told);
    releases(case, &mut told);
    reads(case, &mut told);
    if let Some(veto) = case.vetoed {
        let (at, device) = (place(veto.mark), veto.device);
        let text = format!("The patient vetoed it{at}, with device {device}.");
        told.push((key(veto.mark), line(Basis::Proved, text)));
    }
    told.sort_by_key(|(key, _)| *key);
    lines.extend(told.into_iter().map(|(_, line)| line));
    end(case, as_of, lines);
    if !case.releases.is_empty() {
        let releases = u64::try_from(case.releases.len()).unwrap_or(u64::MAX);
        proved(
            lines,
            format!(
                "{} in case {}: before each, the request was final and at least {} kin had approved it in time, by transactions that were final \
                 too; whoever released was one of them.",
                counted(releases, "release"),
                case.id,
                case.threshold
            ),
        );
    }
    proved(
        lines,
        format!(
            "Case {} consists of {}. All of them are in this bundle, in their order, and executed again they lead to the \
             case as the ledger has it.",
            case.id,
            counted(u64::from(case.transactions), "transaction")
        ),
    );
}

/// Whose approval was asked, when it was not the first circle's.
fn circle(case: &CaseFinding, lines: &mut Vec<Line>) {
    if let Circle::Second { after } = case.circle {
        proved(
            lines,
            format!(
                "It goes on from case {after}, in which the first circle was asked and had come to no decision; by the patient's rule the                  second circle could be asked by then."
            ),
        );
    }
}

/// The patient's rules for the tiers that were asked for.
fn rules(case: &CaseFinding, lines: &mut Vec<Line>) {
    for rule in &case.rules {
        let text = rule_of(rule);
        proved(
            lines,
            format!(
                "Policy of epoch {}, tier {}: {text}.",
                case.epoch, rule.tier
            ),
        );
    }
}

fn request(case: &CaseFinding, lines: &mut Vec<Line>) {
    let purpose = match case.purpose {
        Purpose::BreakGlass => "for a threat to life",
        Purpose::EmergencyTreatment => "for emergency treatment",
    };
    let tiers: Vec<String> = case
        .scopes
        .iter()
        .map(|scope| scope.tier.to_string())
        .collect();
    proved(
        lines,
        format!(
            "Case {:#}: \"{}\" (hospital {}) asked to open tier {}, {purpose}{}. The clinician signed with key {}.",
            case.id,
            case.hospital.name,
            case.hospital.id,
            tiers.join(" and "),
            place(case.requested),
            case.clinician
        ),
    );
    if let Some(voucher) = &case.voucher {
        proved(
            lines,
            format!(
                "\"{}\" ({}) vouched for that key as a {}'s.",
                voucher.name, voucher.issuer, voucher.role
            ),
        );
    }
    say(
        lines,
        Basis::Reported,
        format!(
            "the hospital gave as the reason: {}.",
            reason_words(case.reason)
        ),
    );
    for scope in &case.scopes {
        let extent = match scope.only {
            0 => "everything".to_owned(),
            count => counted(u64::try_from(count).unwrap_or(u64::MAX), "single record"),
        };
        let held = match scope.batches.len() {
            0 => "no batch of records is shown for it".to_owned(),
            batches => format!(
                "{} of {} shown for it",
                counted(
                    scope
                        .batches
                        .iter()
                        .map(|batch| u64::from(batch.records))
                        .sum(),
                    "record"
                ),
                match batches {
                    1 => "1 batch are".to_owned(),
                    _ => format!("{batches} batches are"),
                }
            ),
        };
        proved(
            lines,
            format!(
                "Of tier {} it asked for {extent} written up to height {}; {held}.",
                scope.tier, scope.up_to
            ),
        );
    }
    proved(
        lines,
        format!(
            "By the patient's rules of epoch {}, {} of {} kin of the {} circle had to approve before {}; the session could last {}.",
            case.epoch,
            case.threshold,
            case.roster.len(),
            case.circle.kind(),
            case.expires_ms.moment(),
            span(case.timing.session_ms)
        ),
    );
}

fn decisions(case: &CaseFinding, told: &mut Vec<((Height, u32), Line)>) {
    for decision in &case.decisions {
        let who = kin(case, decision.kin);
        let text = match decision.refused {
            None => format!("{who} approved{}.", place(decision.mark)),
            Some(why) => format!(
                "{who} refused{}: {}.",
                place(decision.mark),
                refusal_words(why)
            ),
        };
        told.push((key(decision.mark), line(Basis::Proved, text)));
    }
}

fn releases(case: &CaseFinding, told: &mut Vec<((Height, u32), Line)>) {
    for release in &case.releases {
        let text = format!(
            "{} announced its release{}. {} kin had approved in time by then; {} were needed.",
            kin(case, release.kin),
            place(release.mark),
            release.approvals_before,
            case.threshold
        );
        told.push((key(release.mark), line(Basis::Proved, text)));
    }
}

fn reads(case: &CaseFinding, told: &mut Vec<((Height, u32), Line)>) {
    for read in &case.reads {
        let text = format!(
            "the hospital says that its clinician read {} of tier {} (reported{}).",
            counted(u64::from(read.records), "record"),
            read.tier,
            place(read.mark)
        );
        told.push((key(read.mark), line(Basis::Reported, text)));
    }
}

fn end(case: &CaseFinding, as_of: AsOf, lines: &mut Vec<Line>) {
    match case.granted_ms {
        Some(time) => proved(
            lines,
            format!("The kin's approval took effect on {}.", time.moment()),
        ),
        None => proved(
            lines,
            "It was never granted, and no kin released anything.".to_owned(),
        ),
    }
    if case.granted_ms.is_some() && case.releases.is_empty() {
        proved(lines, "No kin released anything.".to_owned());
    }
    if let Some(closing) = case.closed {
        let by = match closing.by {
            ClosedBy::Time => "because the session's time was over",
            ClosedBy::Hospital => "by the hospital",
            ClosedBy::Veto => "by the patient's veto",
            ClosedBy::Revoked => "because the validators revoked the hospital's accreditation",
        };
        proved(
            lines,
            format!("It was closed {by} on {}.", closing.time_ms.moment()),
        );
    }
    if let Some(verdict) = phase(case, as_of) {
        proved(lines, verdict);
    }
    if case.overdue {
        proved(lines, "The verdict did not come in time.".to_owned());
    }
    if let Some(height) = case.hospital.revoked_at {
        proved(
            lines,
            format!("The hospital is accredited no more since block {height}."),
        );
    }
    if case.hospital.suspended_until_ms > as_of.time_ms {
        proved(
            lines,
            format!(
                "The hospital may not ask again before {}.",
                case.hospital.suspended_until_ms.moment()
            ),
        );
    }
}

/// What there is to say about where the case stands.
fn phase(case: &CaseFinding, as_of: AsOf) -> Option<String> {
    let standing = match case.phase {
        Phase::Requested => "it was waiting for approvals",
        Phase::Waiting => "it was approved, and the patient's waiting time was not over",
        Phase::Granted => "it was granted and no kin had released yet",
        Phase::Open => "it was open",
        Phase::Closed => "no reviewer had judged it yet",
        Phase::Refused => return Some("It ended because too many kin refused.".to_owned()),
        Phase::Vetoed => return Some("It ended with the patient's veto.".to_owned()),
        Phase::Revoked => {
            return Some(
                "It ended because the validators revoked the accreditation of the hospital, or of who vouched for its clinician."
                    .to_owned(),
            );
        }
        Phase::Expired => return Some("It ended because too few kin approved in time.".to_owned()),
        Phase::Reviewed => {
            let judged = case.verdict?;
            let verdict = match judged.verdict {
                Verdict::Justified => "there was an emergency",
                Verdict::Unjustified => "there was no emergency",
                Verdict::Inconclusive => "it cannot be told whether there was an emergency",
            };
            return Some(format!(
                "Reviewer {} judged{}: {verdict}.",
                judged.reviewer,
                place(judged.mark)
            ));
        }
    };
    Some(format!("As of height {} {standing}.", as_of.height))
}

fn key(mark: Mark) -> (Height, u32) {
    (mark.height, mark.index)
}

fn line(basis: Basis, text: String) -> Line {
    Line { basis, text }
}

fn place(mark: Mark) -> String {
    format!(" on {} (block {})", mark.time_ms.moment(), mark.height)
}

fn kin(case: &CaseFinding, id: KinId) -> String {
    match case.roster.iter().position(|kin| *kin == id) {
        Some(position) => format!("Kin {} ({id})", position.saturating_add(1)),
        None => format!("Kin {id}"),
    }
}

/// What happened, in words.
#[must_use]
pub fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Unconscious => "found unconscious",
        Reason::Cardiac => "cardiac arrest or a suspected heart attack",
        Reason::Stroke => "a suspected stroke",
        Reason::Trauma => "an accident or injury",
        Reason::Anaphylaxis => "a severe allergic reaction",
        Reason::Poisoning => "poisoning or an overdose",
        Reason::Sepsis => "a severe infection",
        Reason::Obstetric => "an emergency in pregnancy or at birth",
        Reason::Acute => "an acute illness without immediate threat to life",
    }
}

/// Why a kin refused, in words.
#[must_use]
pub fn refusal_words(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::PatientCanDecide => "the patient can be asked",
        RefusalReason::NotThere => "the patient is not where the request says",
        RefusalReason::Doubtful => "it did not believe the request",
        RefusalReason::Unstated => "it gave no reason",
    }
}
