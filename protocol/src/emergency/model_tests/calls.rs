//! One call of a rule of the case, as a value: a broken rule is the true rule, called with something else.

use crate::crypto::Digest;
use crate::emergency::{Case, CaseError, CaseEvent, RefusalReason, Verdict};
use crate::ids::{AccountId, HospitalId, KinId, PatientId};
use crate::ledger::Approval;
use crate::units::{Millis, Tier};

const REVIEWER: AccountId = AccountId([0xaa; 32]);

/// Which rule is called, and with what.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Approve(KinId, Approval),
    Refuse(KinId),
    Release(KinId),
    Veto(PatientId),
    Read(HospitalId),
    Close(HospitalId),
    Review,
    Time,
    HospitalRevoked,
    IssuerRevoked,
}

impl Call {
    /// Calls the true rule.
    pub(super) fn make(&self, case: &mut Case, now: Millis) -> Result<Vec<CaseEvent>, CaseError> {
        match self {
            Self::Approve(kin, approval) => case.on_approve(*kin, approval, now),
            Self::Refuse(kin) => case.on_refuse(*kin, RefusalReason::Unstated, now),
            Self::Release(kin) => case.on_release(*kin, Digest::ZERO, now),
            Self::Veto(patient) => case.on_veto(*patient, now),
            Self::Read(hospital) => case.on_read(*hospital, (Tier::Summary, 1), now),
            Self::Close(hospital) => case.on_close(*hospital, now),
            Self::Review => case.on_review(REVIEWER, Verdict::Justified, now),
            Self::Time => Ok(case.on_time(now)),
            Self::HospitalRevoked => Ok(case.on_hospital_revoked(now)),
            Self::IssuerRevoked => Ok(case.on_issuer_revoked(now)),
        }
    }
}
