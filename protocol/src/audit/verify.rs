//! Checks a bundle from the genesis alone: each certificate, each proof, each transaction, and the whole life of each case.
//!
//! The order is that of trust: the steps lead to a head; the entries stand under the head's state root; the entry of a case says how
//! many transactions it has and which; these stand in final blocks; executed anew they lead to the entry. Nothing in the bundle
//! is taken over unchecked, and nothing may be in it that is not needed.

use super::bundle::{Bundle, CaseFile, SealedBlock, Subject};
use super::error::{AuditError, Part};
use super::findings::{
    AsOf, AttachmentFinding, BatchFinding, CaseFinding, Closing, Findings, HospitalFinding, Mark,
    PatientFinding, ScopeFinding, TierFinding,
};
use super::replay::{Account, Life, reviewer_of};
use crate::crypto::Digest;
use crate::emergency::Case;
use crate::ids::{AccountId, CaseId, HospitalId, PatientId};
use crate::ledger::light::Follower;
use crate::ledger::{
    BatchEntry, BatchPlace, Genesis, Hospital, Meta, Patient, Replay, State, StateProof,
};
use crate::units::{Height, Millis};
use serde::de::DeserializeOwned;
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
        if case.patient() != id {
            return Err(AuditError::OtherPatient {
                case: *case_id,
                found: case.patient(),
                expected: id,
            });
        }
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

/// The state that a bundle's steps lead to.
struct Head {
    follower: Follower,
    /// Height of the header that commits to the state.
    height: Height,
    root: Digest,
    meta: Meta,
}

impl Head {
    fn reach(genesis: &Genesis, bundle: &Bundle) -> Result<Self, AuditError> {
        genesis.validate()?;
        let mut follower = Follower::new(genesis).map_err(|_| AuditError::NoSteps)?;
        for (position, step) in bundle.steps.iter().enumerate() {
            follower.follow(step).map_err(|source| AuditError::Step {
                number: position.saturating_add(1),
                height: step.header.height,
                source,
            })?;
        }
        let last = bundle.steps.last().ok_or(AuditError::NoSteps)?;
        let (height, root) = (last.header.height, last.header.parent_state_root);
        let meta = entry(
            &bundle.meta,
            &State::meta_key(),
            Part::Ledger,
            (height, &root),
        )?;
        let head = Self {
            follower,
            height,
            root,
            meta,
        };
        let meta = &head.meta;
        let before = meta.height.plus(1) == height && meta.head == last.header.parent_id;
        if !before || meta.chain != genesis.chain_id() {
            return Err(AuditError::Head { height });
        }
        check_time(meta.height, meta.time_ms)?;
        Ok(head)
    }

    /// Reads the entry with this key.
    fn entry<T: DeserializeOwned>(
        &self,
        proof: &StateProof,
        key: &[u8],
        part: Part,
    ) -> Result<T, AuditError> {
        entry(proof, key, part, (self.height, &self.root))
    }

    fn case(&self, proof: &StateProof) -> Result<(CaseId, Case), AuditError> {
        let id = State::case_of_key(&proof.key).ok_or(AuditError::List { what: "cases" })?;
        let case: Case = self.entry(proof, &State::case_key(id), Part::Case(id))?;
        Ok((id, case))
    }

    /// The hospitals that asked: exactly they, in their order.
    fn hospitals(
        &self,
        bundle: &Bundle,
        cases: &[(CaseId, Case)],
    ) -> Result<BTreeMap<HospitalId, Hospital>, AuditError> {
        let asked: BTreeSet<HospitalId> = cases.iter().map(|(_, case)| case.hospital).collect();
        if asked.len() != bundle.hospitals.len() {
            return Err(AuditError::List { what: "hospitals" });
        }
        let proofs = asked.into_iter().zip(&bundle.hospitals);
        proofs
            .map(|(id, proof)| {
                let part = Part::Hospital(id);
                Ok((id, self.entry(proof, &State::hospital_key(id), part)?))
            })
            .collect()
    }

    /// The reviewers that judged: exactly they, in their order.
    fn reviewers(&self, bundle: &Bundle) -> Result<BTreeSet<AccountId>, AuditError> {
        let transactions = bundle.cases.iter().flat_map(CaseFile::transactions);
        let judged: BTreeSet<AccountId> = transactions
            .filter_map(|(_, placed)| reviewer_of(&placed.transaction))
            .collect();
        if judged.len() != bundle.reviewers.len() {
            return Err(AuditError::List { what: "reviewers" });
        }
        for (id, proof) in judged.iter().zip(&bundle.reviewers) {
            self.entry::<()>(proof, &State::reviewer_key(*id), Part::Reviewer(*id))?;
        }
        Ok(judged)
    }

    /// What the request named, with the batches that the bundle shows for it.
    fn scopes(
        &self,
        id: CaseId,
        case: &Case,
        file: &CaseFile,
    ) -> Result<Vec<ScopeFinding>, AuditError> {
        let mut scopes: Vec<ScopeFinding> = case
            .request
            .scopes
            .iter()
            .map(|scope| ScopeFinding {
                tier: scope.tier,
                up_to: scope.up_to,
                only: scope.only.len(),
                batches: Vec::new(),
            })
            .collect();
        let mut last: Option<BatchPlace> = None;
        for (position, proof) in file.batches.iter().enumerate() {
            let number = position.saturating_add(1);
            let part = Part::Batch { case: id, number };
            let misplaced = AuditError::Misplaced { part };
            let place = State::batch_place(&proof.key).ok_or(misplaced.clone())?;
            let (patient, tier, height, index) = place;
            let mut fitting = scopes.iter_mut();
            let scope = fitting.find(|scope| scope.tier == tier && height <= scope.up_to);
            let (Some(scope), true) = (scope, patient == case.patient()) else {
                return Err(misplaced);
            };
            if last.is_some_and(|last| last >= place) {
                return Err(misplaced);
            }
            last = Some(place);
            let batch: BatchEntry = self.entry(proof, &State::batch_key(place), part)?;
            scope.batches.push(BatchFinding {
                id: batch.id,
                author: batch.header.author,
                height,
                index,
                records: batch.header.records,
                status: batch.header.status,
            });
        }
        Ok(scopes)
    }
}

fn entry<T: DeserializeOwned>(
    proof: &StateProof,
    key: &[u8],
    part: Part,
    (height, root): (Height, &Digest),
) -> Result<T, AuditError> {
    if proof.key != key {
        return Err(AuditError::Misplaced { part });
    }
    proof
        .verify(root)
        .map_err(|_| AuditError::StateProof { part, height })?;
    let value = proof.value.as_ref().ok_or(AuditError::Absent { part })?;
    State::decode_value(value).map_err(|source| AuditError::Unreadable { part, source })
}

fn check_time(height: Height, time: Millis) -> Result<(), AuditError> {
    if time > TIME_MAX {
        return Err(AuditError::Time { height, time });
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

/// Checks that a case's blocks are final and ascend, and that its transactions stand in them where they say.
fn check_blocks(head: &Head, case: CaseId, file: &CaseFile) -> Result<(), AuditError> {
    let mut last = Height(0);
    let mut number = 0;
    for block in &file.blocks {
        let height = block.header.height;
        if height <= last || height > head.meta.height {
            return Err(AuditError::BlockOrder { case, height });
        }
        last = height;
        head.follower
            .check_header(&block.header, &block.certificate)
            .map_err(|source| AuditError::Block {
                case,
                height,
                source,
            })?;
        check_time(height, block.header.time_ms)?;
        number = check_transactions(case, block, number)?;
    }
    Ok(())
}

/// Checks the transactions of one block; `before` is how many came earlier. How many there are now.
fn check_transactions(
    case: CaseId,
    block: &SealedBlock,
    before: usize,
) -> Result<usize, AuditError> {
    let header = &block.header;
    let height = header.height;
    if block.transactions.is_empty() {
        return Err(AuditError::BlockEmpty { case, height });
    }
    let mut number = before;
    let mut last = None;
    for placed in &block.transactions {
        number = number.saturating_add(1);
        let (transaction, index) = (&placed.transaction, placed.path.index);
        if last.is_some_and(|last| last >= index) {
            return Err(AuditError::Order {
                case,
                number,
                height,
                index,
            });
        }
        last = Some(index);
        placed
            .path
            .verify(transaction.id().as_ref(), &header.tx_root)
            .map_err(|_| AuditError::Place {
                case,
                number,
                height,
                index,
            })?;
        transaction
            .verify()
            .map_err(|_| AuditError::Signature { case, number })?;
        let content = &transaction.content;
        if content.chain != header.chain || content.valid_until_ms < header.time_ms {
            return Err(AuditError::Validity {
                case,
                number,
                height,
            });
        }
    }
    Ok(number)
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
