//! Lives of cases anew, from their transactions: the one file here that knows the steps of a case.
//!
//! The steps themselves are the ledger's own ([`Replay`]). What each transaction said is noted on the way, and for each
//! release the approvals before it are counted once more, apart from the rules.

use super::error::AuditError;
use super::findings::{Decision, Judgement, Mark, ReadReport, Release, Veto};
use crate::crypto::Digest;
use crate::emergency::Case;
use crate::ids::{AccountId, CaseId, KinId, TxId};
use crate::ledger::light::Follower;
use crate::ledger::{Accredited, Clause, Governance, Replay, Role, SignedTransaction, TxBody};
use crate::units::{Height, Millis};
use std::collections::{BTreeMap, BTreeSet};

/// What a case's transactions said, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    pub(super) requested: Option<Mark>,
    pub(super) decisions: Vec<Decision>,
    pub(super) releases: Vec<Release>,
    pub(super) reads: Vec<ReadReport>,
    pub(super) vetoed: Option<Veto>,
    pub(super) closed: Option<Mark>,
    pub(super) revoked: Option<Mark>,
    pub(super) verdict: Option<Judgement>,
    count: usize,
}

/// Whether an amendment revokes what a case rests on: its hospital, or who vouched for its clinician.
pub(super) fn revokes(governance: &Governance, case: &Case) -> bool {
    let issuer = case
        .request
        .credential
        .as_ref()
        .map(|credential| credential.issuer);
    governance
        .amendment
        .changes
        .iter()
        .any(|clause| match clause {
            Clause::Revoke { role, account } => match role {
                Role::Hospital => *account == case.hospital.into(),
                Role::Issuer => Some(*account) == issuer,
                Role::Reviewer => false,
            },
            Clause::Accredit(_) | Clause::Validators(_) => false,
        })
}

/// The case that a transaction belongs to, if it belongs to one. Amendments may belong to many ([`revokes`]).
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
        | TxBody::Erase { .. }
        | TxBody::Governance(_)
        | TxBody::Roster { .. }
        | TxBody::Opaque(_)
        | TxBody::Grant(_)
        | TxBody::Renew(_)
        | TxBody::Revoke { .. }
        | TxBody::GrantRead { .. } => None,
    }
}

/// Somebody who is accredited at the head, or was until a height.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) party: Accredited,
    /// Not accredited any more after this block.
    pub(super) until: Option<Height>,
}

/// Who judges with this transaction, if it is a verdict.
pub(super) fn reviewer_of(transaction: &SignedTransaction) -> Option<AccountId> {
    matches!(transaction.content.body, TxBody::Review { .. }).then(|| transaction.account())
}

/// Executes the transactions of one patient's cases, one after the other.
pub(super) struct Life<'a> {
    replay: Replay,
    /// Who the validators were.
    follower: &'a Follower,
    accounts: BTreeMap<CaseId, Account>,
    /// The amendment that was executed last. It may belong to several cases, and is executed once.
    amended: Option<TxId>,
}

impl<'a> Life<'a> {
    /// Before the first request. `replay` knows the patient and who is accredited.
    pub(super) fn new(replay: Replay, follower: &'a Follower) -> Self {
        Self {
            replay,
            follower,
            accounts: BTreeMap::new(),
            amended: None,
        }
    }

    /// A reviewer may judge.
    pub(super) fn accredit_reviewer(&mut self, reviewer: Standing) {
        self.replay.accredit(reviewer.party, reviewer.until);
    }

    /// Takes the next transaction of a case, at its place.
    ///
    /// # Errors
    /// [`AuditError::Foreign`] or [`AuditError::Refused`], and nothing changes but time; [`AuditError::Quorum`].
    pub(super) fn take(
        &mut self,
        case: CaseId,
        mark: Mark,
        transaction: &SignedTransaction,
    ) -> Result<(), AuditError> {
        let before = self.accounts.get(&case).map_or(0, |account| account.count);
        let number = before.saturating_add(1);
        let foreign = AuditError::Foreign { case, number };
        let amendment = match &transaction.content.body {
            TxBody::Governance(governance) => Some(governance),
            _ => None,
        };
        let belongs = match amendment {
            Some(governance) => {
                let stands = self.replay.case(case);
                stands.is_some_and(|case| revokes(governance, case))
            }
            None => case_of(transaction) == Some(case),
        };
        if !belongs {
            return Err(foreign);
        }
        if let Some(governance) = amendment {
            self.check_amendment(governance, mark)
                .ok_or(AuditError::Amendment { case, number })?;
        }
        self.replay.begin(mark.height, mark.time_ms);
        let id = transaction.id();
        if amendment.is_none() || self.amended != Some(id) {
            self.amended = amendment.map(|_| id);
            self.replay
                .apply(mark.index, transaction)
                .map_err(|reason| AuditError::Refused {
                    case,
                    number,
                    reason: Box::new(reason),
                })?;
        }
        // An amendment moves a case only while it is live.
        if usize::try_from(self.log(case).1) != Ok(number) {
            return Err(foreign);
        }
        let stands = self.replay.case(case);
        let stands = stands.ok_or(AuditError::Foreign { case, number })?;
        let account = self.accounts.entry(case).or_default();
        account.count = number;
        account.note(stands, mark, transaction)
    }

    /// A quorum of the block's own validators has signed it, and it was in time.
    fn check_amendment(&self, governance: &Governance, mark: Mark) -> Option<()> {
        let set = self.follower.validators_at(mark.height)?;
        let in_time = governance.amendment.valid_until_ms >= mark.time_ms;
        let signed = governance.check_signatures(self.replay.chain(), set);
        (in_time && signed.is_ok()).then_some(())
    }

    /// The running digest and number of the transactions of a case that were taken so far.
    pub(super) fn log(&self, case: CaseId) -> (Digest, u32) {
        let case = self.replay.case(case);
        case.map_or((Digest::ZERO, 0), |case| case.log)
    }

    /// Lets time pass to the head.
    pub(super) fn pass(&mut self, height: Height, time_ms: Millis) {
        self.replay.begin(height, time_ms);
    }

    /// Compares a case with what the state proves, and says what its transactions said.
    ///
    /// # Errors
    /// [`AuditError::Log`] or [`AuditError::Differs`].
    pub(super) fn close(&mut self, proved: &Case) -> Result<Account, AuditError> {
        let case = proved.id;
        if self.log(case) != proved.log {
            return Err(AuditError::Log { case });
        }
        let account = self.accounts.remove(&case);
        match (self.replay.case(case), account) {
            (Some(found), Some(account)) if found == proved => Ok(account),
            (Some(found), Some(_)) => Err(AuditError::Differs {
                case,
                field: first_difference(found, proved),
            }),
            (None, _) | (_, None) => Err(AuditError::Log { case }),
        }
    }
}

impl Account {
    fn note(
        &mut self,
        stands: &Case,
        mark: Mark,
        transaction: &SignedTransaction,
    ) -> Result<(), AuditError> {
        let signer = transaction.account();
        let kin = KinId::from(signer);
        match &transaction.content.body {
            TxBody::Request(_) => self.requested = Some(mark),
            TxBody::Approve(_) => self.decisions.push(Decision {
                kin,
                refused: None,
                mark,
            }),
            TxBody::Refuse { reason, .. } => self.decisions.push(Decision {
                kin,
                refused: Some(*reason),
                mark,
            }),
            TxBody::Veto { .. } => {
                let device = signer;
                self.vetoed = Some(Veto { device, mark });
            }
            TxBody::Release { digest, .. } => {
                let approvals_before = self.check_quorum(stands, kin, mark)?;
                self.releases.push(Release {
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
            } => self.reads.push(ReadReport {
                tier: *tier,
                records: *records,
                digest: *digest,
                mark,
            }),
            TxBody::Close { .. } => self.closed = Some(mark),
            TxBody::Review { verdict, .. } => {
                self.verdict = Some(Judgement {
                    verdict: *verdict,
                    reviewer: signer,
                    mark,
                });
            }
            TxBody::Governance(_) => self.revoked = Some(mark),
            // They are of no case, and so have been refused.
            TxBody::Enrol(_)
            | TxBody::Batch { .. }
            | TxBody::Restock { .. }
            | TxBody::Erase { .. }
            | TxBody::Roster { .. }
            | TxBody::Opaque(_)
            | TxBody::Grant(_)
            | TxBody::Renew(_)
            | TxBody::Revoke { .. }
            | TxBody::GrantRead { .. } => {}
        }
        Ok(())
    }

    /// How many kin had approved before this place, while the request stood. There must be enough of them, and whoever
    /// releases must have approved.
    fn check_quorum(&self, stands: &Case, kin: KinId, at: Mark) -> Result<usize, AuditError> {
        let before = |decision: &&Decision| {
            decision.refused.is_none()
                && (decision.mark.height, decision.mark.index) < (at.height, at.index)
        };
        let approved = self.decisions.iter().filter(before);
        let in_time: BTreeSet<KinId> = approved
            .clone()
            .filter(|decision| decision.mark.time_ms < stands.request.expires_ms)
            .map(|decision| decision.kin)
            .filter(|kin| stands.roster.contains(kin))
            .collect();
        let (approvals, needed) = (in_time.len(), stands.threshold);
        let own = approved.into_iter().any(|decision| decision.kin == kin);
        if approvals < usize::from(needed) || !own || self.requested.is_none() {
            return Err(AuditError::Quorum {
                case: stands.id,
                number: self.count,
                kin,
                approvals,
                needed,
            });
        }
        Ok(approvals)
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
        ("stage", found.stage != proved.stage),
        ("list of approvals", found.approvals != proved.approvals),
        ("list of refusals", found.refusals != proved.refusals),
        ("list of releases", found.releases != proved.releases),
        ("list of reads", found.reads != proved.reads),
        ("time of the grant", found.granted_ms != proved.granted_ms),
        ("end", found.closed != proved.closed),
        ("review", found.review != proved.review),
    ];
    let first = differs.into_iter().find(|(_, differs)| *differs);
    first.map_or("entry", |(field, _)| field)
}
