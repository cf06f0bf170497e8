//! Checks a bundle from the genesis alone: each certificate, each proof, each transaction, and the whole life of each case.
//!
//! The order is that of trust: the steps lead to a head; the entries stand under the head's state root; the entry of a case says how
//! many transactions it has and which; these stand in final blocks; executed anew they lead to the entry. Nothing in the bundle
//! is taken over unchecked, and nothing may be in it that is not needed.

mod blocks;
mod head;

use self::blocks::check_blocks;
use self::head::Head;
use super::bundle::{Bundle, CaseFile, Subject};
use super::error::{AuditError, Part};
use super::findings::{
    AsOf, AttachmentFinding, CaseFinding, Closing, Findings, HospitalFinding, Mark, PatientFinding,
    ScopeFinding, TierFinding,
};
use super::replay::{Account, Life};
use crate::crypto::Digest;
use crate::emergency::Case;
use crate::ids::{AccountId, CaseId, HospitalId, PatientId};
use crate::ledger::{Genesis, Hospital, Patient, Replay, State};
use crate::units::Millis;
use std::collections::{BTreeMap, BTreeSet};

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
    check_cases(bundle.subject, &cases, &patient)?;
    let known = Known {
        genesis,
        patient: &patient,
        hospitals: head.hospitals(bundle, &cases)?,
        reviewers: head.reviewers(bundle)?,
    };
    let mut found = Vec::with_capacity(cases.len());
    for ((case_id, case), file) in cases.iter().zip(&bundle.cases) {
        let account = known.live(&head, *case_id, case, file)?;
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
    match (subject, cases) {
        (Subject::Patient(id), _) => Ok(id),
        (Subject::Case(case), [(found, entry)]) if *found == case => Ok(entry.patient()),
        (Subject::Case(case), _) => Err(AuditError::Subject { case }),
    }
}

/// Checks that a patient's bundle holds all cases of the patient, in their order.
fn check_cases(
    subject: Subject,
    cases: &[(CaseId, Case)],
    patient: &Patient,
) -> Result<(), AuditError> {
    let Subject::Patient(expected) = subject else {
        return Ok(());
    };
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

/// What the rules need to know beside a case's transactions.
struct Known<'a> {
    genesis: &'a Genesis,
    patient: &'a Patient,
    hospitals: BTreeMap<HospitalId, Hospital>,
    reviewers: BTreeSet<AccountId>,
}

impl Known<'_> {
    /// Checks every transaction of a case and where it stands, and executes them anew.
    fn live(
        &self,
        head: &Head,
        id: CaseId,
        case: &Case,
        file: &CaseFile,
    ) -> Result<Account, AuditError> {
        let (_, proved) = case.log;
        let found = file.transactions().count();
        let mut replay = Replay::new(self.genesis, &head.meta, case.patient(), self.patient);
        for hospital in self.hospitals.values() {
            replay.accredit(hospital);
        }
        for reviewer in &self.reviewers {
            replay.accredit_reviewer(*reviewer);
        }
        check_blocks(head, id, file)?;
        if usize::try_from(proved) != Ok(found) {
            let case = id;
            return Err(AuditError::Count {
                case,
                found,
                proved,
            });
        }
        let mut life = Life::new(id, replay);
        for (block, placed) in file.transactions() {
            let mark = Mark {
                height: block.header.height,
                index: placed.path.index,
                time_ms: block.header.time_ms,
                transaction: placed.transaction.id(),
            };
            life.take(mark, &placed.transaction)?;
        }
        life.finish(case, head.meta.height, head.meta.time_ms)
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
        let log = AuditError::Log { case: case.id };
        let request = &case.request;
        Ok(CaseFinding {
            id: case.id,
            hospital: HospitalFinding {
                id: case.hospital,
                name: hospital.info.name.clone(),
                suspended_until_ms: hospital.suspended_until_ms,
            },
            clinician: request.clinician,
            requested: account.requested.ok_or(log)?,
            purpose: request.purpose,
            reason: request.reason,
            encounter: request.encounter,
            expires_ms: request.expires_ms,
            scopes,
            roster: case.roster.clone(),
            threshold: case.threshold,
            timing: case.timing,
            decisions: account.decisions,
            granted_ms: case.granted_ms,
            releases: account.releases,
            reads: account.reads,
            vetoed: account.vetoed,
            closed: case.closed.map(|(time_ms, by)| Closing { by, time_ms }),
            review_due_ms: case.review_due_ms,
            overdue: case.overdue,
            verdict: account.verdict,
            phase: case.phase,
            transactions: case.log.1,
        })
    }
}

fn patient_finding(id: PatientId, patient: &Patient) -> PatientFinding {
    let enrolment = &patient.enrolment;
    PatientFinding {
        id,
        epoch: patient.epoch,
        roster: enrolment.roster.iter().map(|member| member.id()).collect(),
        tiers: enrolment
            .tiers
            .iter()
            .map(|shares| TierFinding {
                tier: shares.tier,
                threshold: shares.commitments.threshold(),
                policy: shares.policy,
            })
            .collect(),
        cases: patient.case_log.1,
    }
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
