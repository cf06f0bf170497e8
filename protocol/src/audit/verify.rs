//! Checks a bundle from the genesis alone: each certificate, each proof, each transaction, and the whole life of each case.
//!
//! The order is that of trust: the steps lead to a head; the entries stand under the head's state root; the entry of a case says how
//! many transactions it has and which; these stand in final blocks; executed anew they lead to the entry. Nothing in the bundle
//! is taken over unchecked, and nothing may be in it that is not needed.

mod blocks;
mod head;

pub(super) use self::head::issuer;

use self::blocks::check_blocks;
use self::head::{Head, Seen};
use super::bundle::{Bundle, CaseFile, Subject};
use super::error::{AuditError, Part};
use super::findings::{
    AsOf, AttachmentFinding, CaseFinding, Closing, Findings, HospitalFinding, Mark, PatientFinding,
    ScopeFinding, TierFinding, VoucherFinding,
};
use super::replay::{Account, Life, Standing};
use crate::crypto::Digest;
use crate::emergency::{Case, Circle, ClosedBy};
use crate::ids::{AccountId, CaseId, HospitalId, PatientId};
use crate::ledger::{Enrolment, Epochs, Genesis, Meta, Patient, Replay, State};
use crate::units::{CircleKind, Height, Millis, Tier};
use std::collections::BTreeMap;

/// The last millisecond of the year 9999. Beyond it only forged times lie, and cases would run through their deadlines without end.
pub(super) const TIME_MAX: Millis = Millis(253_402_300_799_999);

/// Checks the bytes of a bundle and says what they show.
///
/// # Errors
/// [`AuditError`] naming what does not hold.
pub fn verify_bytes(genesis: &Genesis, bytes: &[u8]) -> Result<Findings, AuditError> {
    verify(genesis, &Bundle::decode(bytes)?)
}

/// Checks a bundle and says what it shows.
///
/// # Errors
/// [`AuditError`] naming what does not hold.
pub fn verify(genesis: &Genesis, bundle: &Bundle) -> Result<Findings, AuditError> {
    bundle.check_counts()?;
    let head = Head::reach(genesis, bundle)?;
    let cases: Vec<(CaseId, Case)> = bundle
        .cases
        .iter()
        .map(|file| head.case(&file.entry))
        .collect::<Result<_, _>>()?;
    let id = whose(bundle.subject, &cases)?;
    let patient: Patient =
        head.entry(&bundle.patient, &State::patient_key(id), Part::Patient(id))?;
    check_cases(bundle.subject, &cases, (id, &patient))?;
    let known = Known {
        rosters: head.rosters(bundle, id, &cases)?,
        opened: cases
            .iter()
            .map(|(id, case)| (*id, case.epochs()))
            .collect(),
        issuers_since: head.issuers_since(bundle)?,
        hospitals: head.hospitals(bundle, &cases)?,
        issuers: head.issuers(bundle, &cases)?,
        reviewers: head.reviewers(bundle)?,
    };
    let replay = known.replay(genesis, &head.meta, id, &patient);
    let mut life = live(&head, replay, &cases, &bundle.cases)?;
    let mut found = Vec::with_capacity(cases.len());
    for ((case_id, case), file) in cases.iter().zip(&bundle.cases) {
        let account = life.close(case)?;
        let scopes = head.scopes(*case_id, case, file)?;
        found.push(known.finding(case, account, scopes)?);
    }
    Ok(Findings {
        chain: head.meta.chain,
        subject: bundle.subject,
        as_of: AsOf {
            height: head.meta.height,
            block: head.meta.head,
            time_ms: head.meta.time_ms,
        },
        patient: patient_finding(id, &patient),
        cases: found,
        attachments: attachments(bundle)?,
    })
}

/// The patient that the bundle is about.
fn whose(subject: Subject, cases: &[(CaseId, Case)]) -> Result<PatientId, AuditError> {
    let case = match subject {
        Subject::Patient(id) => return Ok(id),
        Subject::Case(case) => case,
    };
    let wrong = AuditError::Subject { case };
    let Some(((last, entry), before)) = cases.split_last() else {
        return Err(wrong);
    };
    let needed = match entry.request.circle {
        Circle::First => None,
        Circle::Second { after } => Some(after),
    };
    let stands = *last == case && before.iter().map(|(id, _)| *id).eq(needed);
    stands.then(|| entry.patient()).ok_or(wrong)
}

/// Checks that all cases are the patient's, and that a patient's bundle holds all there are, in their order.
fn check_cases(
    subject: Subject,
    cases: &[(CaseId, Case)],
    (expected, patient): (PatientId, &Patient),
) -> Result<(), AuditError> {
    for (case, entry) in cases {
        let found = entry.patient();
        if found != expected {
            let case = *case;
            return Err(AuditError::OtherPatient {
                case,
                found,
                expected,
            });
        }
    }
    if matches!(subject, Subject::Case(_)) {
        return Ok(());
    }
    let (_, proved) = patient.case_log;
    let found = cases.len();
    if usize::try_from(proved) != Ok(found) {
        return Err(AuditError::CaseCount { found, proved });
    }
    let log = cases.iter().fold((Digest::ZERO, 0), |log, (id, _)| {
        Patient::case_log_with(log, *id)
    });
    if log != patient.case_log {
        return Err(AuditError::CaseLog);
    }
    Ok(())
}

/// Checks every transaction of the cases and where it stands, and executes them anew, in the order of the chain.
fn live<'a>(
    head: &'a Head,
    replay: Replay,
    cases: &[(CaseId, Case)],
    files: &[CaseFile],
) -> Result<Life<'a>, AuditError> {
    let mut order = Vec::new();
    for ((id, case), file) in cases.iter().zip(files) {
        check_blocks(head, *id, file)?;
        let (_, proved) = case.log;
        let found = file.transactions().count();
        if usize::try_from(proved) != Ok(found) {
            let case = *id;
            return Err(AuditError::Count {
                case,
                found,
                proved,
            });
        }
        order.extend(file.transactions().map(|(block, placed)| {
            let mark = Mark {
                height: block.header.height,
                index: placed.path.index,
                time_ms: block.header.time_ms,
                transaction: placed.transaction.id(),
            };
            (*id, mark, &placed.transaction)
        }));
    }
    order.sort_by_key(|(_, mark, _)| (mark.height, mark.index));
    let mut life = Life::new(replay, &head.follower);
    for (id, mark, transaction) in order {
        life.take(id, mark, transaction)?;
    }
    life.pass(head.meta.height, head.meta.time_ms);
    Ok(life)
}

/// What the rules need to know beside the cases' transactions.
struct Known {
    rosters: BTreeMap<Epochs, Enrolment>,
    /// The epochs in which the cases were opened.
    opened: BTreeMap<CaseId, Epochs>,
    issuers_since: Option<Height>,
    hospitals: BTreeMap<HospitalId, Seen>,
    issuers: BTreeMap<AccountId, Seen>,
    reviewers: Vec<Seen>,
}

impl Known {
    fn replay(&self, genesis: &Genesis, meta: &Meta, id: PatientId, patient: &Patient) -> Replay {
        let mut replay = Replay::new(
            genesis,
            meta,
            (id, patient),
            self.rosters.clone(),
            self.opened.clone(),
        );
        replay.issuers_since(self.issuers_since);
        let institutions = self.hospitals.values().chain(self.issuers.values());
        for seen in institutions.chain(&self.reviewers) {
            let Standing { party, until } = seen.standing.clone();
            replay.accredit(party, until);
        }
        replay
    }

    fn finding(
        &self,
        case: &Case,
        account: Account,
        scopes: Vec<ScopeFinding>,
    ) -> Result<CaseFinding, AuditError> {
        let part = Part::Hospital(case.hospital);
        let hospital = self.hospitals.get(&case.hospital);
        let hospital = hospital.ok_or(AuditError::Absent { part })?;
        let (epoch, circle) = (case.request.epoch, case.request.circle);
        let part = Part::Roster(case.epochs());
        let enrolment = self
            .rosters
            .get(&case.epochs())
            .ok_or(AuditError::Absent { part })?;
        let log = AuditError::Log { case: case.id };
        let request = &case.request;
        Ok(CaseFinding {
            id: case.id,
            hospital: HospitalFinding {
                id: case.hospital,
                name: name(hospital),
                suspended_until_ms: hospital.suspended_until_ms,
                revoked_at: hospital.standing.until,
            },
            clinician: request.clinician,
            voucher: request
                .credential
                .as_ref()
                .map(|credential| VoucherFinding {
                    issuer: credential.issuer,
                    name: name(self.issuers.get(&credential.issuer).unwrap_or(hospital)),
                    role: credential.role,
                }),
            requested: account.requested.ok_or(log)?,
            purpose: request.purpose,
            reason: request.reason,
            encounter: request.encounter,
            expires_ms: request.expires_ms,
            epoch,
            circle,
            rules: request
                .scopes
                .iter()
                .filter_map(|scope| tier_finding(enrolment, circle.kind(), scope.tier))
                .collect(),
            scopes,
            roster: case.roster.clone(),
            threshold: case.threshold,
            timing: case.timing,
            decisions: account.decisions,
            granted_ms: case.granted_ms,
            releases: account.releases,
            reads: account.reads,
            vetoed: account.vetoed,
            closed: case.closed.map(|(time_ms, by)| Closing {
                by,
                time_ms,
                mark: match by {
                    ClosedBy::Time => None,
                    ClosedBy::Hospital => account.closed,
                    ClosedBy::Veto => account.vetoed.map(|veto| veto.mark),
                    ClosedBy::Revoked => account.revoked,
                },
            }),
            review_due_ms: case.review_due_ms,
            overdue: case.overdue,
            verdict: account.verdict,
            phase: case.phase,
            transactions: case.log.1,
        })
    }
}

fn name(seen: &Seen) -> String {
    seen.standing.party.name().unwrap_or_default().to_owned()
}

fn patient_finding(id: PatientId, patient: &Patient) -> PatientFinding {
    let enrolment = &patient.enrolment;
    PatientFinding {
        id,
        epoch: patient.epoch,
        roster: enrolment.roster.iter().map(|member| member.id()).collect(),
        tiers: Tier::ALL
            .into_iter()
            .filter_map(|tier| tier_finding(enrolment, CircleKind::First, tier))
            .collect(),
        cases: patient.case_log.1,
    }
}

fn tier_finding(enrolment: &Enrolment, circle: CircleKind, tier: Tier) -> Option<TierFinding> {
    Some(TierFinding {
        tier,
        threshold: enrolment.commitments(circle, tier)?.threshold(),
        policy: enrolment.tier(tier)?.policy.clone(),
    })
}

/// Checks names, order and digests of the attachments.
fn attachments(bundle: &Bundle) -> Result<Vec<AttachmentFinding>, AuditError> {
    let mut last: Option<&str> = None;
    let mut found = Vec::with_capacity(bundle.attachments.len());
    for (position, attachment) in bundle.attachments.iter().enumerate() {
        let name = attachment.name.as_str();
        let fits = attachment.names_fit() && last.is_none_or(|last| last < name);
        if !fits || attachment.digest != attachment.actual_digest() {
            let number = position.saturating_add(1);
            return Err(AuditError::Attachment { number });
        }
        last = Some(name);
        found.push(AttachmentFinding {
            name: name.to_owned(),
            media_type: attachment.media_type.clone(),
            bytes: attachment.content.len(),
            digest: attachment.digest,
        });
    }
    Ok(found)
}
