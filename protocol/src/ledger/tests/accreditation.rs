//! Accreditation by amendments: who comes, who goes, and what ends with it, in the block that decides it.

mod amendments;
mod credentials;
mod endings;

use super::*;
use crate::ids::AccountId;

/// Keys of nobody yet.
const NEW: u8 = 50;
const ISSUER: u8 = 51;
const OTHER_ISSUER: u8 = 52;
const INSIDER: u8 = 53;
const LATER: u8 = 54;

fn account(n: u8) -> AccountId {
    AccountId::of(&key(n).verifying_key())
}

fn hospital_id(n: u8) -> HospitalId {
    account(n).into()
}

fn hospital(n: u8) -> Clause {
    Clause::Accredit(Accredited::Hospital(hospital_info(n)))
}

fn issuer(n: u8) -> Clause {
    named_issuer(n, "chamber of physicians")
}

fn named_issuer(n: u8, name: &str) -> Clause {
    Clause::Accredit(Accredited::Issuer(IssuerInfo {
        key: key(n).verifying_key(),
        name: name.to_owned(),
    }))
}

fn reviewer(n: u8, at: Option<u8>) -> Clause {
    Clause::Accredit(Accredited::Reviewer(ReviewerInfo {
        key: key(n).verifying_key(),
        hospital: at.map(hospital_id),
    }))
}

pub(super) fn revoke(role: Role, n: u8) -> Clause {
    let account = account(n);
    Clause::Revoke { role, account }
}

/// The lone validator, run by another hospital or by none.
fn run_by(hospital: Option<u8>) -> Clause {
    let mut info = genesis().validators[0].clone();
    info.hospital = hospital.map(hospital_id);
    Change::Rekey(info).into()
}

impl Chain {
    fn governance(&self, changes: Vec<Clause>) -> TxBody {
        let amendment = Amendment {
            number: self.ledger.state().amendments(),
            valid_until_ms: self.ledger.head_time().plus(60_000),
            changes,
        };
        let signature = amendment.sign(self.ledger.chain(), &key(VALIDATOR));
        let whole = amendment.combine([(ValidatorId(0), signature)]);
        TxBody::Governance(Box::new(whole))
    }

    /// What an amendment does beside being adopted.
    pub(super) fn amend(&mut self, changes: Vec<Clause>) -> Vec<What> {
        let body = self.governance(changes.clone());
        let mut what = self.act(VALIDATOR, body);
        match what.first() {
            Some(What::Amended { changes: told, .. }) => assert_eq!(*told, changes),
            other => panic!("not adopted: {other:?}"),
        }
        what.split_off(1)
    }

    fn not_adopted(&mut self, changes: Vec<Clause>) -> GovernanceError {
        let body = self.governance(changes);
        match self.rejected(VALIDATOR, body) {
            Rejection::Governance(error) => error,
            other => panic!("refused for another reason: {other}"),
        }
    }

    fn case_of(&mut self, hospital: u8, issuer: u8) -> CaseId {
        let request = self.request_vouched(hospital, issuer);
        self.opened(hospital, request)
    }

    fn grant(&mut self, case: CaseId) {
        for n in &KIN[..2] {
            let approval = self.approval(case);
            self.act(*n, approval);
        }
        assert_eq!(self.phase(case), Phase::Granted);
    }

    /// Whether a transaction of the signer can stand in the next block.
    fn is_known(&self, signer: u8) -> bool {
        let close = TxBody::Close {
            case: CaseId([1; 32]),
        };
        let sequence = Sequence(self.sequences.get(&signer).copied().unwrap_or_default());
        let transaction = self.sign_with(signer, sequence, close);
        let block = self.block(1, vec![transaction]);
        match self.ledger.clone().check_block(&block) {
            Ok(()) => true,
            Err(BlockError::Envelope {
                source: EnvelopeError::UnknownSigner { .. },
                ..
            }) => false,
            Err(other) => panic!("{other}"),
        }
    }

    fn live(&self) -> u16 {
        let patient = self.ledger.state().patient(patient()).expect("enrolled");
        patient.live_cases
    }
}

/// What happened to cases, beside what time does to the patient's roster.
fn steps(what: &[What]) -> Vec<(CaseId, CaseEvent)> {
    let steps = what.iter().filter_map(|what| match what {
        What::Case { case, step, .. } => Some((*case, *step)),
        What::Roster { .. } => None,
        other => panic!("not a case's step: {other:?}"),
    });
    steps.collect()
}
