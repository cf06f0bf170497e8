//! A case's life anew, from its transactions: the one file here that knows the steps of a case.
//!
//! The steps themselves are the ledger's own ([`Replay`]). What each transaction said is noted on the way, and for each
//! release the approvals before it are counted once more, apart from the rules.

use super::error::AuditError;
use super::findings::{Decision, Judgement, Mark, ReadReport, Release};
use crate::crypto::Digest;
use crate::emergency::Case;
use crate::ids::{AccountId, CaseId, KinId};
use crate::ledger::{Replay, SignedTransaction, TxBody};
use crate::units::{Height, Millis};
use std::collections::BTreeSet;

/// What a case's transactions said, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    pub(super) requested: Option<Mark>,
    pub(super) decisions: Vec<Decision>,
    pub(super) releases: Vec<Release>,
    pub(super) reads: Vec<ReadReport>,
    pub(super) vetoed: Option<Mark>,
    pub(super) verdict: Option<Judgement>,
}

/// The case that a transaction belongs to, if it belongs to one.
pub(super) fn case_of(transaction: &SignedTransaction) -> Option<CaseId> {
    match &transaction.content.body {
        TxBody::Request(_) => Some(CaseId(transaction.id().0)),
        TxBody::Approve(approval) => Some(approval.case),
        TxBody::Refuse { case, .. }
        | TxBody::Veto { case }
        | TxBody::Release { case, .. }
        | TxBody::Read { case, .. }
        | TxBody::Close { case }
        | TxBody::Review { case, .. } => Some(*case),
        TxBody::Enrol(_)
        | TxBody::Batch { .. }
        | TxBody::Restock { .. }
        | TxBody::Governance(_)
        | TxBody::Opaque(_) => None,
    }
}

/// Who judges with this transaction, if it is a verdict.
pub(super) fn reviewer_of(transaction: &SignedTransaction) -> Option<AccountId> {
    matches!(transaction.content.body, TxBody::Review { .. }).then(|| transaction.account())
}

/// Executes a case's transactions one after the other.
pub(super) struct Life {
    id: CaseId,
    replay: Replay,
    account: Account,
    count: usize,
}

impl Life {
    /// Before the request. `replay` knows the patient and who is accredited.
    pub(super) fn new(id: CaseId, replay: Replay) -> Self {
        Self {
            id,
            replay,
            account: Account::default(),
            count: 0,
        }
    }

    /// From now on a reviewer may judge.
    pub(super) fn accredit_reviewer(&mut self, id: AccountId) {
        self.replay.accredit_reviewer(id);
    }

    /// Takes the next transaction, at its place.
    ///
    /// # Errors
    /// [`AuditError::Foreign`] or [`AuditError::Refused`], and nothing changes but time; [`AuditError::Quorum`].
    pub(super) fn take(
        &mut self,
        mark: Mark,
        transaction: &SignedTransaction,
    ) -> Result<(), AuditError> {
        let (case, number) = (self.id, self.count.saturating_add(1));
        if case_of(transaction) != Some(case) {
            return Err(AuditError::Foreign { case, number });
        }
        self.replay.begin(mark.height, mark.time_ms);
        self.replay
            .apply(mark.index, transaction)
            .map_err(|reason| AuditError::Refused {
                case,
                number,
                reason: Box::new(reason),
            })?;
        self.count = number;
        self.note(mark, transaction)
    }

    fn note(&mut self, mark: Mark, transaction: &SignedTransaction) -> Result<(), AuditError> {
        let kin = KinId::from(transaction.account());
        let account = &mut self.account;
        match &transaction.content.body {
            TxBody::Request(_) => account.requested = Some(mark),
            TxBody::Approve(_) => account.decisions.push(Decision {
                kin,
                refused: None,
                mark,
            }),
            TxBody::Refuse { reason, .. } => account.decisions.push(Decision {
                kin,
                refused: Some(*reason),
                mark,
            }),
            TxBody::Veto { .. } => account.vetoed = Some(mark),
            TxBody::Release { digest, .. } => {
                let approvals_before = self.check_quorum(kin, mark)?;
                self.account.releases.push(Release {
                    kin,
                    digest: *digest,
                    mark,
                    approvals_before,
                });
            }
            TxBody::Read {
                tier,
                records,
                digest,
                ..
            } => account.reads.push(ReadReport {
                tier: *tier,
                records: *records,
                digest: *digest,
                mark,
            }),
            TxBody::Review { verdict, .. } => {
                account.verdict = Some(Judgement {
                    verdict: *verdict,
                    reviewer: transaction.account(),
                    mark,
                });
            }
            // The case's entry says how it ended; the others are of no case, and so have been refused.
            TxBody::Close { .. }
            | TxBody::Enrol(_)
            | TxBody::Batch { .. }
            | TxBody::Restock { .. }
            | TxBody::Governance(_)
            | TxBody::Opaque(_) => {}
        }
        Ok(())
    }

    /// How many kin had approved before this place, while the request stood. There must be enough of them, and whoever
    /// releases must have approved.
    fn check_quorum(&self, kin: KinId, at: Mark) -> Result<usize, AuditError> {
        let (case, number) = (self.id, self.count);
        let before = |decision: &&Decision| {
            decision.refused.is_none()
                && (decision.mark.height, decision.mark.index) < (at.height, at.index)
        };
        let approved = self.account.decisions.iter().filter(before);
        let Some(stands) = self.replay.case(case) else {
            return Err(AuditError::Foreign { case, number });
        };
        let in_time: BTreeSet<KinId> = approved
            .clone()
            .filter(|decision| decision.mark.time_ms < stands.request.expires_ms)
            .map(|decision| decision.kin)
            .filter(|kin| stands.roster.contains(kin))
            .collect();
        let (approvals, needed) = (in_time.len(), stands.threshold);
        let own = approved.into_iter().any(|decision| decision.kin == kin);
        if approvals < usize::from(needed) || !own || self.account.requested.is_none() {
            return Err(AuditError::Quorum {
                case,
                number,
                kin,
                approvals,
                needed,
            });
        }
        Ok(approvals)
    }

    /// The running digest and number of the transactions taken so far.
    pub(super) fn log(&self) -> (Digest, u32) {
        let case = self.replay.case(self.id);
        case.map_or((Digest::ZERO, 0), |case| case.log)
    }

    /// Lets time pass to the head and compares the case with what the state proves.
    ///
    /// # Errors
    /// [`AuditError::Log`] or [`AuditError::Differs`].
    pub(super) fn finish(
        mut self,
        proved: &Case,
        height: Height,
        time_ms: Millis,
    ) -> Result<Account, AuditError> {
        let case = self.id;
        if self.log() != proved.log {
            return Err(AuditError::Log { case });
        }
        self.replay.begin(height, time_ms);
        match self.replay.case(case) {
            Some(found) if found == proved => Ok(self.account),
            Some(found) => Err(AuditError::Differs {
                case,
                field: first_difference(found, proved),
            }),
            None => Err(AuditError::Log { case }),
        }
    }
}

/// The name of the first thing in which two cases differ.
fn first_difference(found: &Case, proved: &Case) -> &'static str {
    let differs = [
        ("request", found.request != proved.request),
        ("roster", found.roster != proved.roster),
        ("threshold", found.threshold != proved.threshold),
        ("timing", found.timing != proved.timing),
        ("phase", found.phase != proved.phase),
        ("list of approvals", found.approvals != proved.approvals),
        ("list of refusals", found.refusals != proved.refusals),
        ("list of releases", found.releases != proved.releases),
        ("number of reads", found.records_read != proved.records_read),
        ("time of the grant", found.granted_ms != proved.granted_ms),
        ("end", found.closed != proved.closed),
        ("verdict", found.verdict != proved.verdict),
    ];
    let first = differs.into_iter().find(|(_, differs)| *differs);
    first.map_or("entry", |(field, _)| field)
}
