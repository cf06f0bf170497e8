//! Amendments: what makes one count, and what it does at once. All or nothing: everything is done on copies first.

use super::Run;
use crate::credit::Standings;
use crate::crypto::VerifyingKey;
use crate::emergency::{Case, CaseEvent};
use crate::ids::{AccountId, TxId};
use crate::ledger::accreditation::{Accredited, Revoked, Role};
use crate::ledger::event::What;
use crate::ledger::genesis::ValidatorInfo;
use crate::ledger::governance::{Amendment, Change, Clause, Governance, GovernanceError};
use crate::ledger::state::State;

impl State {
    /// Adopts an amendment that a quorum of the block's own validators has signed.
    pub(super) fn govern(
        &mut self,
        run: &mut Run,
        cause: (TxId, u32),
        governance: &Governance,
    ) -> Result<(), GovernanceError> {
        let amendment = &governance.amendment;
        let expected = self.register().amendments_after(&run.standings);
        let found = amendment.number;
        if found != expected {
            return Err(GovernanceError::Number { found, expected });
        }
        let (until, now) = (amendment.valid_until_ms, run.now);
        if until < now {
            return Err(GovernanceError::Expired { until, now });
        }
        // The standings are those after this block's header: its own validators are the previous ones.
        governance.check_signatures(self.meta().chain, run.standings.previous_validators())?;
        let (state, standings) = self.amended(run, amendment)?;
        *self = state;
        run.standings = standings;
        let (number, changes) = (amendment.number, amendment.changes.clone());
        run.emit(Some(cause), What::Amended { number, changes });
        for clause in &amendment.changes {
            if let Clause::Revoke { role, account } = clause {
                self.end_cases(run, cause, *role, *account);
                if *role == Role::Hospital {
                    self.end_grants(run, cause, (*account).into());
                }
            }
        }
        Ok(())
    }

    /// Institutions and standings as the amendment leaves them.
    fn amended(
        &self,
        run: &Run,
        amendment: &Amendment,
    ) -> Result<(Self, Standings), GovernanceError> {
        amendment.check_shape()?;
        let mut state = self.clone();
        for clause in &amendment.changes {
            match clause {
                Clause::Accredit(party) => state.accredit(run, party)?,
                Clause::Revoke { role, account } => state.revoke(run, *role, *account)?,
                Clause::Validators(_) => {}
            }
        }
        let mut standings = run.standings.clone();
        let changes = amendment.validator_changes();
        if changes.is_empty() {
            let mut register = state.register();
            register.amendments = register.amendments.saturating_add(1);
            state.register.put((), register);
        } else {
            standings.amend(&changes)?;
        }
        for change in &changes {
            if let Change::Admit(info) | Change::Rekey(info) = change {
                state.check_validator(info)?;
            }
        }
        amendment.check_left_behind(standings.newest_validators())?;
        Ok((state, standings))
    }

    fn accredit(&mut self, run: &Run, party: &Accredited) -> Result<(), GovernanceError> {
        let (account, role) = (party.account(), party.role());
        if self.accredited(role, account).is_some() {
            return Err(GovernanceError::Accredited { account, role });
        }
        if let Some(before) = self.revoked.get(&account) {
            // Nothing outlives a reviewer's accreditation: it may come back, from another workplace say. What a hospital or
            // an issuer has signed for others, enrolments and credentials, would count again.
            if before.was.role() != Role::Reviewer || role != Role::Reviewer {
                return Err(GovernanceError::WasRevoked { account });
            }
        }
        let has_part = self.knows(account)
            || self.issuers.contains(&account)
            || self.patients.contains(&account.into());
        if has_part || is_validators(&run.standings, &party.key()) {
            return Err(GovernanceError::RoleTaken { account });
        }
        if let Accredited::Reviewer(info) = party
            && let Some(hospital) = info.hospital
            && !self.hospitals.contains(&hospital)
        {
            return Err(GovernanceError::Hospital { hospital });
        }
        if role == Role::Issuer {
            let mut register = self.register();
            register.issuers_since = register.issuers_since.or(Some(run.height));
            self.register.put((), register);
        }
        self.revoked.remove(&account);
        self.enter(party.clone());
        Ok(())
    }

    fn revoke(&mut self, run: &Run, role: Role, account: AccountId) -> Result<(), GovernanceError> {
        let was = self
            .accredited(role, account)
            .ok_or(GovernanceError::NotAccredited { account, role })?;
        self.strike(role, account);
        let revoked = Revoked {
            height: run.height,
            time_ms: run.now,
            was,
        };
        self.revoked.put(account, revoked);
        Ok(())
    }

    /// A validator is run by nobody or an accredited hospital, with keys that are nobody else's.
    fn check_validator(&self, info: &ValidatorInfo) -> Result<(), GovernanceError> {
        if let Some(hospital) = info.hospital
            && !self.hospitals.contains(&hospital)
        {
            return Err(GovernanceError::Hospital { hospital });
        }
        let mut accounts = keys(info).into_iter().map(|key| AccountId::of(&key));
        if accounts.any(|account| !self.is_free(account)) {
            return Err(GovernanceError::KeyUsed { id: info.id });
        }
        Ok(())
    }

    /// Live cases end with the accreditation that they rest on. What else the hospital or the issuer has signed before stands.
    pub(super) fn end_cases(
        &mut self,
        run: &mut Run,
        cause: (TxId, u32),
        role: Role,
        account: AccountId,
    ) {
        let now = run.now;
        let end: fn(&mut Case, crate::units::Millis) -> Vec<CaseEvent> = match role {
            Role::Hospital => Case::on_hospital_revoked,
            Role::Issuer => Case::on_issuer_revoked,
            Role::Reviewer => return,
        };
        let rests = |case: &Case| match role {
            Role::Hospital => AccountId::from(case.hospital) == account,
            Role::Issuer => {
                let credential = case.request.credential.as_ref();
                credential.is_some_and(|credential| credential.issuer == account)
            }
            Role::Reviewer => false,
        };
        // Every live case has a deadline.
        let cases = self.deadlines.iter();
        let ended: Vec<(Case, Vec<CaseEvent>)> = cases
            .filter_map(|((_, id), ())| self.cases.get(id))
            .filter(|case| rests(case))
            .filter_map(|case| {
                let mut case = case.clone();
                let steps = end(&mut case, now);
                (!steps.is_empty()).then_some((case, steps))
            })
            .collect();
        for (mut case, steps) in ended {
            case.note(cause.0);
            self.put_case(run, Some(cause), case, &steps);
        }
    }
}

/// Whether a key is that of a validator: one that votes, that will, or that did lately.
fn is_validators(standings: &Standings, key: &VerifyingKey) -> bool {
    let company = standings.company();
    let known = company.members.iter().chain(&company.former);
    known
        .chain(standings.newest_validators().iter())
        .any(|info| keys(info).contains(key))
}

fn keys(info: &ValidatorInfo) -> [VerifyingKey; 3] {
    [
        info.vote_key,
        VerifyingKey(info.vrf_key.0),
        info.network_key,
    ]
}
