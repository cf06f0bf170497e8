//! The states of a case and every step between them.

use super::{
    CaseError, CaseEvent, ClosedBy, Phase, RELEASES_MAX, ReachError, Reading, Refusal,
    RefusalReason, Request, Review, ReviewTask, Scope, Stage, Timing, Verdict,
};
use crate::crypto::{Digest, HashWriter};
use crate::ids::{AccountId, CaseId, ChainId, HospitalId, KinId, PatientId, TxId};
use crate::ledger::Approval;
use crate::sharing::{OpeningContext, Rho};
use crate::units::{CircleKind, Epoch, Height, Millis, Tier};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often an overdue review costs the hospital again (design, consensus section 4, rule 6).
const OVERDUE_EVERY_MS: Millis = Millis(24 * 3_600_000);

/// One case as it stands on the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The case: the digest of the request transaction.
    pub id: CaseId,
    /// The hospital that asks.
    pub hospital: HospitalId,
    /// What it asks for.
    pub request: Request,
    /// Height of the request.
    pub height: Height,
    /// Place of the request in its block.
    pub index: u32,
    /// Block time of the request.
    pub requested_ms: Millis,
    /// The epoch of the patient's second circle at that time; that of the first stands in the request.
    pub second_epoch: Epoch,
    /// The epoch of the patient's rules at that time; that of the shares stands in the request.
    pub rules_epoch: Epoch,
    /// Kin of the circle that is asked, in the order of their share indices. Their partial openings are checked against
    /// that circle's commitments ([`Enrolment::commitments`](crate::ledger::Enrolment::commitments)).
    pub roster: Vec<KinId>,
    /// Approvals needed: the highest threshold of the tiers in scope, in this circle.
    pub threshold: u16,
    /// Deadlines.
    pub timing: Timing,
    /// Where the case stands.
    pub phase: Phase,
    /// Who has been asked so far.
    pub stage: Stage,
    /// Who approved, and at which block time.
    pub approvals: BTreeMap<KinId, Millis>,
    /// Who refused, when and why.
    pub refusals: BTreeMap<KinId, Refusal>,
    /// Digests that kin announced before they released.
    pub releases: BTreeMap<KinId, Vec<Digest>>,
    /// When each of them announced the first.
    pub released_ms: BTreeMap<KinId, Millis>,
    /// What was read of each tier so far, as the hospital reports.
    pub reads: BTreeMap<Tier, Reading>,
    /// When it was granted.
    pub granted_ms: Option<Millis>,
    /// When it ended without having been granted: refused, vetoed or expired.
    pub ended_ms: Option<Millis>,
    /// When and by what it was closed.
    pub closed: Option<(Millis, ClosedBy)>,
    /// When the verdict is, or next becomes, overdue.
    pub review_due_ms: Option<Millis>,
    /// Whether the verdict has been overdue.
    pub overdue: bool,
    /// The verdict.
    pub review: Option<Review>,
    /// Running digest over every transaction of the case, and their number: nothing can be left out later.
    pub log: (Digest, u32),
}

impl Case {
    /// `rho`: what partial openings are bound to (design, opening section 3).
    #[must_use]
    pub fn rho(&self, chain: ChainId) -> Rho {
        Rho::of(&chain, self.height, self.index, &TxId(self.id.0))
    }

    /// What partial openings of `tier` in this case are bound to.
    #[must_use]
    pub fn opening_context(&self, chain: ChainId, tier: Tier) -> OpeningContext {
        OpeningContext {
            chain,
            rho: self.rho(chain),
            request: self.request.binding(chain, self.hospital),
            patient: self.patient(),
            tier,
            circle: self.circle(),
            epoch: self.request.epoch,
            session: self.request.session,
        }
    }

    /// Whether a kin may still release at local time `now`: granted, and the session not over. Block time may
    /// lag behind, so the kin looks at its own clock too.
    #[must_use]
    pub fn opens_at(&self, now: Millis) -> bool {
        self.phase.opens() && now < self.session_end()
    }

    /// What it opens of a patient's tier at local time `now`: all records when the scope names none.
    ///
    /// # Errors
    /// Why nothing.
    pub fn reach(&self, now: Millis, patient: PatientId, tier: Tier) -> Result<&Scope, ReachError> {
        if self.patient() != patient {
            return Err(ReachError::OtherPatient);
        }
        if !self.opens_at(now) {
            let phase = self.phase;
            return Err(ReachError::Shut { phase });
        }
        self.request.scope(tier).ok_or(ReachError::Tier { tier })
    }

    /// The circle that is asked.
    #[must_use]
    pub fn circle(&self) -> CircleKind {
        self.request.circle.kind()
    }

    /// Records read so far, as the hospital reports.
    #[must_use]
    pub fn records_read(&self) -> u32 {
        let reads = self.reads.values().map(|reading| reading.records);
        reads.fold(0, u32::saturating_add)
    }

    /// What a reviewer has to do about this case; none while it is not over, was never granted or has been judged.
    #[must_use]
    pub fn review_task(&self) -> Option<ReviewTask> {
        let (closed_ms, _) = self.closed.filter(|_| self.phase == Phase::Closed)?;
        Some(ReviewTask {
            case: self.id,
            hospital: self.hospital,
            closed_ms,
            due_ms: closed_ms.plus(self.timing.review_within_ms.0),
            is_overdue: self.overdue,
        })
    }

    /// Whose records.
    #[must_use]
    pub fn patient(&self) -> PatientId {
        self.request.patient
    }

    /// The next time at which the case changes by itself, if any.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let stage = self.next_stage().map(|(at, _)| at);
        self.phase_deadline().into_iter().chain(stage).min()
    }

    /// When the phase changes by itself.
    fn phase_deadline(&self) -> Option<Millis> {
        match self.phase {
            Phase::Requested => Some(self.request.expires_ms),
            Phase::Waiting => Some(self.timing.not_before_ms.min(self.request.expires_ms)),
            Phase::Granted | Phase::Open => Some(self.session_end()),
            Phase::Closed => self.review_due_ms,
            Phase::Reviewed | Phase::Refused | Phase::Vetoed | Phase::Expired | Phase::Revoked => {
                None
            }
        }
    }

    /// Who is to be asked next, and when. Kin are reminded while approvals are missing; the second circle may be turned
    /// to as long as the first has neither granted nor said no, also after the request has expired.
    fn next_stage(&self) -> Option<(Millis, Stage)> {
        if self.phase == Phase::Requested && self.stage == Stage::Asked {
            return Some((self.timing.remind_at_ms, Stage::Reminded));
        }
        let next = self.phase.is_undecided() && self.stage < Stage::SecondCircle;
        let at = self.timing.second_circle_at_ms.filter(|_| next)?;
        Some((at, Stage::SecondCircle))
    }

    /// Notes a transaction of this case in the running digest.
    pub(crate) fn note(&mut self, transaction: TxId) {
        let mut writer = HashWriter::new("kithkin/case-log/1");
        writer.field(self.log.0).field(transaction);
        self.log = (writer.finish(), self.log.1.saturating_add(1));
    }

    /// Lets block time pass: reminder, second circle, expiry, end of waiting, end of session, overdue review.
    pub(crate) fn on_time(&mut self, now: Millis) -> Vec<CaseEvent> {
        let mut events = Vec::new();
        // A case can pass several deadlines at once after a long pause of the chain.
        while let Some(deadline) = self.deadline()
            && now >= deadline
        {
            // What changes the phase comes first: who expires with the reminder is not reminded.
            if self.phase_deadline() != Some(deadline)
                && let Some((_, stage)) = self.next_stage()
            {
                self.stage = stage;
                events.push(match stage {
                    Stage::SecondCircle => CaseEvent::SecondCircle,
                    Stage::Asked | Stage::Reminded => CaseEvent::Remind,
                });
                continue;
            }
            match self.phase {
                Phase::Requested => self.expire(deadline, &mut events),
                // The waiting time may not end after the request expires; expiry wins.
                Phase::Waiting if self.request.expires_ms <= self.timing.not_before_ms => {
                    self.expire(deadline, &mut events);
                }
                Phase::Waiting => self.grant(deadline, &mut events),
                Phase::Granted | Phase::Open => self.close(deadline, ClosedBy::Time, &mut events),
                Phase::Closed => {
                    self.overdue = true;
                    self.review_due_ms = Some(deadline.plus(OVERDUE_EVERY_MS.0));
                    events.push(CaseEvent::Overdue);
                }
                Phase::Reviewed
                | Phase::Refused
                | Phase::Vetoed
                | Phase::Expired
                | Phase::Revoked => break,
            }
        }
        events
    }

    /// A kin agrees. Counts until the case closes, so that a kin beyond the threshold can replace one whose
    /// partial opening was bad.
    pub(crate) fn on_approve(
        &mut self,
        kin: KinId,
        approval: &Approval,
        now: Millis,
    ) -> Result<Vec<CaseEvent>, CaseError> {
        self.require_live()?;
        self.require_undecided(kin)?;
        let request = &self.request;
        let differs = [
            ("case", approval.case != self.id),
            ("circle", approval.circle != request.circle),
            ("epoch", approval.epoch != request.epoch),
            ("hospital", approval.hospital != self.hospital),
            ("purpose", approval.purpose != request.purpose),
            ("reason", approval.reason != request.reason),
            ("expiry", approval.expires_ms != request.expires_ms),
        ];
        if let Some((field, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            return Err(CaseError::Mismatch { field });
        }
        self.approvals.insert(kin, now);
        let mut events = vec![CaseEvent::Approved(kin)];
        if self.phase == Phase::Requested && self.approvals.len() >= usize::from(self.threshold) {
            if now >= self.timing.not_before_ms {
                self.grant(now, &mut events);
            } else {
                self.phase = Phase::Waiting;
                events.push(CaseEvent::Waiting);
            }
        }
        Ok(events)
    }

    /// A kin does not agree. That is the last word, as an approval is: who errs asks the hospital to request anew. A
    /// refusal that could be taken back would leave a kin under pressure for as long as the case lives.
    pub(crate) fn on_refuse(
        &mut self,
        kin: KinId,
        reason: RefusalReason,
        now: Millis,
    ) -> Result<Vec<CaseEvent>, CaseError> {
        self.require_live()?;
        self.require_undecided(kin)?;
        let refusal = Refusal { reason, at_ms: now };
        self.refusals.insert(kin, refusal);
        let mut events = vec![CaseEvent::KinRefused(kin, reason)];
        let possible = self.roster.len().saturating_sub(self.refusals.len());
        if self.phase == Phase::Requested && possible < usize::from(self.threshold) {
            self.phase = Phase::Refused;
            self.ended_ms = Some(now);
            events.push(CaseEvent::Refused);
        }
        Ok(events)
    }

    /// The patient stops the case.
    pub(crate) fn on_veto(
        &mut self,
        signer: PatientId,
        now: Millis,
    ) -> Result<Vec<CaseEvent>, CaseError> {
        if signer != self.patient() {
            return Err(CaseError::NotAllowed { role: "patient" });
        }
        self.require_live()?;
        let mut events = Vec::new();
        if self.phase.opens() {
            self.close(now, ClosedBy::Veto, &mut events);
        } else {
            self.phase = Phase::Vetoed;
            self.ended_ms = Some(now);
            events.push(CaseEvent::Vetoed);
        }
        Ok(events)
    }

    /// The hospital is accredited no more: a live case ends, granted or not.
    pub(crate) fn on_hospital_revoked(&mut self, now: Millis) -> Vec<CaseEvent> {
        let mut events = self.on_issuer_revoked(now);
        if self.phase.opens() {
            self.close(now, ClosedBy::Revoked, &mut events);
        }
        events
    }

    /// Nobody vouches for the clinician any more: what the kin have not granted, they cannot grant. What they have granted
    /// goes on.
    pub(crate) fn on_issuer_revoked(&mut self, now: Millis) -> Vec<CaseEvent> {
        match self.phase {
            Phase::Requested | Phase::Waiting => {
                self.phase = Phase::Revoked;
                self.ended_ms = Some(now);
                vec![CaseEvent::Revoked]
            }
            Phase::Granted
            | Phase::Open
            | Phase::Closed
            | Phase::Reviewed
            | Phase::Refused
            | Phase::Vetoed
            | Phase::Expired
            | Phase::Revoked => Vec::new(),
        }
    }

    /// A kin announces what it is about to release.
    pub(crate) fn on_release(
        &mut self,
        kin: KinId,
        digest: Digest,
        now: Millis,
    ) -> Result<Vec<CaseEvent>, CaseError> {
        if !self.phase.opens() {
            return Err(CaseError::Phase { phase: self.phase });
        }
        if !self.approvals.contains_key(&kin) {
            return Err(CaseError::NotApproved { kin });
        }
        let announced = self.releases.entry(kin).or_default();
        if announced.len() >= RELEASES_MAX {
            return Err(CaseError::TooManyReleases { kin });
        }
        announced.push(digest);
        self.released_ms.entry(kin).or_insert(now);
        let mut events = vec![CaseEvent::Released(kin, digest)];
        if self.phase == Phase::Granted {
            self.phase = Phase::Open;
            events.push(CaseEvent::Opened);
        }
        Ok(events)
    }

    /// The hospital reports a read.
    pub(crate) fn on_read(
        &mut self,
        signer: HospitalId,
        (tier, records): (Tier, u32),
        now: Millis,
    ) -> Result<Vec<CaseEvent>, CaseError> {
        self.require_hospital(signer)?;
        if self.phase != Phase::Open {
            return Err(CaseError::Phase { phase: self.phase });
        }
        if self.request.scope(tier).is_none() {
            return Err(CaseError::OutOfScope { tier });
        }
        let reading = self.reads.entry(tier).or_insert(Reading::none(now));
        *reading = reading.with(records, now);
        Ok(vec![CaseEvent::Read(records)])
    }

    /// The hospital ends the case.
    pub(crate) fn on_close(
        &mut self,
        signer: HospitalId,
        now: Millis,
    ) -> Result<Vec<CaseEvent>, CaseError> {
        self.require_hospital(signer)?;
        if !self.phase.opens() {
            return Err(CaseError::Phase { phase: self.phase });
        }
        let mut events = Vec::new();
        self.close(now, ClosedBy::Hospital, &mut events);
        Ok(events)
    }

    /// A reviewer judges. The ledger has checked that the reviewer is accredited and stands outside.
    pub(crate) fn on_review(
        &mut self,
        reviewer: AccountId,
        verdict: Verdict,
        now: Millis,
    ) -> Result<Vec<CaseEvent>, CaseError> {
        if self.phase != Phase::Closed {
            return Err(CaseError::Phase { phase: self.phase });
        }
        self.phase = Phase::Reviewed;
        self.review = Some(Review {
            verdict,
            reviewer,
            at_ms: now,
        });
        self.review_due_ms = None;
        Ok(vec![CaseEvent::Reviewed(verdict)])
    }

    fn expire(&mut self, now: Millis, events: &mut Vec<CaseEvent>) {
        self.phase = Phase::Expired;
        self.ended_ms = Some(now);
        events.push(CaseEvent::Expired);
    }

    fn grant(&mut self, now: Millis, events: &mut Vec<CaseEvent>) {
        self.phase = Phase::Granted;
        self.granted_ms = Some(now);
        events.push(CaseEvent::Granted);
    }

    fn close(&mut self, now: Millis, by: ClosedBy, events: &mut Vec<CaseEvent>) {
        let due = now.plus(self.timing.review_within_ms.0);
        self.phase = Phase::Closed;
        self.closed = Some((now, by));
        self.review_due_ms = Some(due);
        events.push(CaseEvent::Closed(by, due));
    }

    /// When a granted session is over.
    #[must_use]
    pub fn session_end(&self) -> Millis {
        self.granted_ms
            .unwrap_or(self.requested_ms)
            .plus(self.timing.session_ms.0)
    }

    fn require_live(&self) -> Result<(), CaseError> {
        if self.phase.is_live() {
            Ok(())
        } else {
            Err(CaseError::Phase { phase: self.phase })
        }
    }

    fn require_undecided(&self, kin: KinId) -> Result<(), CaseError> {
        if !self.roster.contains(&kin) {
            let epoch = self.request.epoch;
            return Err(CaseError::NotKin { kin, epoch });
        }
        if self.approvals.contains_key(&kin) || self.refusals.contains_key(&kin) {
            return Err(CaseError::AlreadyDecided { kin });
        }
        Ok(())
    }

    fn require_hospital(&self, signer: HospitalId) -> Result<(), CaseError> {
        if signer == self.hospital {
            Ok(())
        } else {
            Err(CaseError::NotAllowed { role: "hospital" })
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
